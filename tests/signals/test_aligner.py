"""SignalAligner: every method on every container, and what it refuses."""

import pickle
import tracemalloc

import mne
import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from citrus_sk.signals.aligner import SignalAligner
from citrus_sk.signals.alignment import METHODS
from citrus_sk.signals.resampling import GRID_N_TIMES
from citrus_sk.signals.windows import channel_statistics

# Most signals here are white noise, which loses power with every reduction of the rate.
pytestmark = pytest.mark.filterwarnings("ignore:method=.* of the power of X:UserWarning")


def signals(*shape, seed=0, dtype=np.float64):
    return (100 * np.random.default_rng(seed).normal(size=shape)).astype(dtype)


def aligner_of(method, n_times=64):
    return SignalAligner(n_times, method=method, sfreq=250.0 if method == "rate" else None)


def epochs_of(data, sfreq=100.0, kinds="eeg"):
    info = mne.create_info(data.shape[1], sfreq, kinds)
    return mne.EpochsArray(data, info, verbose="error")


# --- containers -----------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n_times", [50, 64, 200])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int16, np.uint8, bool])
def test_three_dimensions_of_any_dtype_become_float32(method, n_times, dtype):
    X = signals(5, 3, n_times, dtype=dtype)
    before = X.copy()
    out = aligner_of(method).fit_transform(X)
    assert out.shape == (5, 3, n_times if method == "native" else 64)
    assert out.dtype == np.float32
    assert out.flags.c_contiguous
    assert not np.shares_memory(out, X)
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize("method", METHODS)
def test_two_dimensions_are_one_channel_and_stay_two(method):
    X = signals(5, 200)
    aligner = aligner_of(method)
    flat = aligner.fit_transform(X)
    assert flat.ndim == 2
    assert flat.flags.c_contiguous
    assert aligner.n_features_in_ == 200
    np.testing.assert_array_equal(flat, aligner.fit_transform(X[:, None])[:, 0])
    assert aligner.n_features_in_ == 1


@pytest.mark.parametrize("method", tuple(METHODS)[:-1])
def test_a_list_of_unequal_lengths_is_aligned_window_by_window(method):
    X = [signals(2, n, seed=n) for n in (40, 64, 300)]
    aligner = aligner_of(method)
    out = aligner.fit_transform(X)
    assert out.shape == (3, 2, 64)
    assert aligner.n_times_ is None
    for window, aligned in zip(X, out, strict=True):
        alone = aligner_of(method).fit_transform(window[None])[0]
        np.testing.assert_allclose(aligned, alone, rtol=1e-6)
    # What was fitted on unequal lengths takes any length.
    assert aligner.transform(signals(4, 2, 77)).shape == (4, 2, 64)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_list_of_equal_lengths_is_the_array(method, order):
    X = np.asarray(signals(4, 2, 90), order=order)
    np.testing.assert_allclose(
        aligner_of(method).fit_transform(list(X)), aligner_of(method).fit_transform(X), rtol=1e-5
    )


@pytest.mark.parametrize("method", METHODS)
def test_epochs_are_their_signal_channels(method):
    data = signals(6, 4, 200)
    epochs = epochs_of(data, 250.0, ["eeg", "eeg", "stim", "ecg"])
    epochs.info["bads"] = ["1"]
    aligner = aligner_of(method)
    out = aligner.fit_transform(epochs)
    np.testing.assert_array_equal(out, aligner_of(method).fit_transform(data[:, [0, 3]]))
    assert aligner.n_chans_ == 2
    assert aligner.sfreq_ == 250.0
    np.testing.assert_array_equal(epochs.get_data(copy=False), data)


@pytest.mark.parametrize("method", METHODS)
def test_a_read_only_memory_map_is_read_as_it_lies(method, tmp_path):
    X = signals(5, 3, 200, dtype=np.int16)
    X.tofile(tmp_path / "windows.raw")
    mapped = np.memmap(tmp_path / "windows.raw", np.int16, mode="r", shape=X.shape)
    out = aligner_of(method).fit_transform(mapped)
    assert type(out) is np.ndarray
    np.testing.assert_array_equal(out, aligner_of(method).fit_transform(X))


@pytest.mark.parametrize("method", ["resample", "rate", "crop", "pad"])
def test_memory_stays_bounded_on_a_large_memory_map(method, tmp_path):
    shape = (1500, 8, 8000)  # 192 MB on a sparse file, 384 MB as float32
    np.memmap(tmp_path / "windows.raw", np.int16, mode="w+", shape=shape)
    mapped = np.memmap(tmp_path / "windows.raw", np.int16, mode="r", shape=shape)
    tracemalloc.start()
    aligner_of(method).fit_transform(mapped)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 96 * 2**20


def test_a_data_frame_gives_its_column_names():
    X = pd.DataFrame(signals(5, 20), columns=[f"ms{i}" for i in range(20)])
    aligner = SignalAligner(8).fit(X)
    np.testing.assert_array_equal(aligner.feature_names_in_, X.columns)
    np.testing.assert_array_equal(
        aligner.transform(X), SignalAligner(8).fit_transform(X.to_numpy())
    )


# --- what each method does --------------------------------------------------------------------


@pytest.mark.parametrize("n_in", [315, 1024, 3000, 40_000])
def test_none_means_the_grid_of_the_pretrained_weights(n_in):
    aligner = SignalAligner()
    assert aligner.fit_transform(signals(2, 3, n_in)).shape == (2, 3, 1024)
    assert aligner.n_times_out_ == GRID_N_TIMES == 1024
    assert aligner.n_times_ == n_in
    assert aligner.n_times is None


def test_resample_keeps_the_whole_window_and_its_amplitude():
    seconds = np.arange(3000) / 3000
    X = 40e-6 * np.sin(2 * np.pi * 100 * seconds)[None, None] + 7e-6
    expected = 40e-6 * np.sin(2 * np.pi * 100 * np.arange(1024) / 1024) + 7e-6
    out = SignalAligner().fit_transform(X)[0, 0]
    np.testing.assert_allclose(out[40:-40], expected[40:-40], atol=40e-6 * 1e-4)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_amplitude_is_kept_at_any_scale(scale):
    X = signals(3, 2, 300)
    out = SignalAligner(100).fit_transform(X * scale)
    np.testing.assert_allclose(out / scale, SignalAligner(100).fit_transform(X), rtol=2e-3)


@pytest.mark.parametrize("method", ["resample", "rate", "native"])
@pytest.mark.parametrize("n_times", [30, 64, 500])
def test_a_constant_window_stays_exactly_constant(method, n_times):
    out = aligner_of(method).fit_transform(np.full((2, 3, n_times), 0.1))
    np.testing.assert_array_equal(out, np.float32(0.1))


def test_a_window_does_not_depend_on_its_neighbours():
    X = signals(50, 2, 300)
    aligner = SignalAligner(128).fit(X)
    alone = np.concatenate([aligner.transform(window[None]) for window in X])
    np.testing.assert_allclose(aligner.transform(X), alone, atol=1e-4)
    np.testing.assert_allclose(aligner.transform(X[::-1])[::-1], alone, atol=1e-4)


def test_rate_keeps_the_physical_time_scale_and_the_centre():
    # 20 s at 250 Hz hold 2000 samples at 100 Hz, of which the middle 1024 are kept.
    X = np.sin(2 * np.pi * 10 * np.arange(5000) / 250)[None]
    out = SignalAligner(method="rate", sfreq=250.0).fit_transform(X)[0]
    times = (np.arange(1024) + (2000 - 1024) // 2) / 100
    np.testing.assert_allclose(out, np.sin(2 * np.pi * 10 * times), atol=1e-4)


def test_rate_fills_a_short_window_with_its_own_mean_on_both_sides():
    X = signals(2, 3, 500)
    out = SignalAligner(400, method="rate", sfreq=200.0).fit_transform(X)
    means = X.mean(axis=-1, keepdims=True)
    inside = SignalAligner(250, method="rate", sfreq=200.0).fit_transform(X)
    np.testing.assert_allclose(out[..., :75], np.broadcast_to(means, (2, 3, 75)), rtol=1e-5)
    np.testing.assert_array_equal(out[..., 75:325], inside)
    np.testing.assert_allclose(out[..., 325:], np.broadcast_to(means, (2, 3, 75)), rtol=1e-5)


def test_rate_upwards_interpolates():
    X = signals(1, 50)
    out = SignalAligner(100, method="rate", sfreq=25, target_sfreq=50).fit_transform(X)[0]
    np.testing.assert_allclose(out, np.interp(np.arange(100) / 2, np.arange(50), X[0]), rtol=1e-4)


def test_rate_of_equal_rates_only_crops_or_pads():
    X = signals(2, 50)
    same = SignalAligner(50, method="rate", sfreq=100).fit_transform(X)
    np.testing.assert_array_equal(same, X.astype(np.float32))
    cropped = SignalAligner(20, method="rate", sfreq=100).fit_transform(X)
    np.testing.assert_array_equal(cropped, X[:, 15:35].astype(np.float32))


def test_rate_uses_the_rate_of_the_epochs_at_hand():
    fitted_at_250 = SignalAligner(64, method="rate").fit(epochs_of(signals(3, 2, 200), 250.0))
    data = signals(3, 2, 200, seed=1)
    out = fitted_at_250.transform(epochs_of(data, 500.0))
    expected = SignalAligner(64, method="rate", sfreq=500.0).fit_transform(data)
    np.testing.assert_array_equal(out, expected)
    # An array does not tell its rate; that of fit holds.
    expected = SignalAligner(64, method="rate", sfreq=250.0).fit_transform(data)
    np.testing.assert_array_equal(fitted_at_250.transform(data), expected)


def test_crop_takes_the_first_samples_and_fills_up_with_zeros():
    X = signals(2, 3, 50)
    np.testing.assert_array_equal(
        SignalAligner(20, method="crop").fit_transform(X), X[..., :20].astype(np.float32)
    )
    longer = SignalAligner(60, method="crop").fit_transform(X)
    np.testing.assert_array_equal(longer[..., :50], X.astype(np.float32))
    assert not longer[..., 50:].any()


@pytest.mark.parametrize(("n_times", "before"), [(60, 5), (61, 5)])
def test_pad_puts_zeros_on_both_sides(n_times, before):
    X = signals(2, 3, 50)
    out = SignalAligner(n_times, method="pad").fit_transform(X)
    np.testing.assert_array_equal(out[..., before : before + 50], X.astype(np.float32))
    assert not out[..., :before].any()
    assert not out[..., before + 50 :].any()


def test_pad_keeps_the_centre_of_a_longer_window():
    X = signals(2, 3, 50)
    np.testing.assert_array_equal(
        SignalAligner(20, method="pad").fit_transform(X), X[..., 15:35].astype(np.float32)
    )


def test_native_changes_the_dtype_and_nothing_else():
    X = signals(2, 3, 50, dtype=np.float32)
    out = SignalAligner(7, method="native").fit_transform(X)
    np.testing.assert_array_equal(out, X)
    assert not np.shares_memory(out, X)


# --- as a scikit-learn estimator --------------------------------------------------------------


def test_clone_pickle_set_params_and_refit_on_another_shape():
    aligner = SignalAligner(32, method="pad", sfreq=200.0)
    assert clone(aligner).get_params() == aligner.get_params()
    X = signals(4, 2, 50)
    out = aligner.fit_transform(X)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(aligner)).transform(X), out)
    aligner.set_params(n_times=16, method="resample").fit(signals(4, 90))
    assert (aligner.n_chans_, aligner.n_times_, aligner.n_times_out_) == (1, 90, 16)
    assert aligner.transform(signals(3, 90)).shape == (3, 16)


def test_fit_leaves_the_parameters_as_they_are():
    aligner = SignalAligner(np.int64(12), method="rate", sfreq=50, target_sfreq=np.float32(25))
    before = aligner.get_params()
    aligner.fit(signals(4, 90))
    assert aligner.get_params() == before


def test_stands_in_a_pipeline_under_cross_validation():
    X = signals(40, 2, 120) + 200 * np.sin(np.arange(120) / 5)
    y = np.repeat(["rest", "move"], 20)
    X[y == "rest"] *= 0.1
    flatten = FunctionTransformer(lambda X: X.std(axis=-1))
    pipe = make_pipeline(SignalAligner(64), flatten, LogisticRegression())
    assert cross_val_score(pipe, X, y, cv=4).mean() == 1.0


def test_two_dimensional_output_follows_set_output():
    X = pd.DataFrame(signals(5, 20), index=list("abcde"))
    X.columns = X.columns.astype(str)
    out = SignalAligner(8).set_output(transform="pandas").fit_transform(X)
    assert list(out.columns) == [f"t{i}" for i in range(8)]
    assert list(out.index) == list("abcde")
    assert set(out.dtypes) == {np.dtype(np.float32)}


@pytest.mark.parametrize("n_chans", [1, 3])
def test_three_dimensional_output_stays_an_array_under_set_output(n_chans):
    X = signals(5, n_chans, 20)
    flatten = FunctionTransformer(lambda X: pd.DataFrame(X.std(axis=-1)))
    pipe = make_pipeline(SignalAligner(8), flatten).set_output(transform="pandas")
    assert pipe.fit_transform(X).shape == (5, n_chans)
    with sklearn.config_context(transform_output="pandas"):
        assert SignalAligner(8).fit_transform(X).shape == (5, n_chans, 8)


def test_feature_names_exist_for_columns_only():
    aligner = SignalAligner(4).fit(signals(5, 20))
    np.testing.assert_array_equal(aligner.get_feature_names_out(), ["t0", "t1", "t2", "t3"])
    assert aligner.get_feature_names_out([f"x{i}" for i in range(20)]).dtype == object
    with pytest.raises(ValueError, match=r"number of features \(20\), got 3"):
        aligner.get_feature_names_out(["a", "b", "c"])
    aligner.fit(pd.DataFrame({"a": [1.0, 2.0], "b": [2.0, 3.0]}))
    with pytest.raises(ValueError, match="not equal to feature_names_in_"):
        aligner.get_feature_names_out(["b", "a"])
    assert not hasattr(aligner.fit(signals(5, 1, 20)), "get_feature_names_out")


# --- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize("n_times", [-5, 0, 1, np.int64(-1)])
def test_n_times_below_two_is_refused(n_times):
    with pytest.raises(
        ValueError, match=r"n_times=.*out of range; expected an integer of 2 or more or None"
    ):
        SignalAligner(n_times).fit(signals(3, 20))


@pytest.mark.parametrize("n_times", [True, np.True_, 64.0, "64", np.nan, [64]])
def test_n_times_of_another_type_is_refused(n_times):
    with pytest.raises(TypeError, match=r"n_times=.* is a \w+; expected an integer"):
        SignalAligner(n_times).fit(signals(3, 20))


@pytest.mark.parametrize("method", ["fourier", "Resample", None, 3, ["crop"]])
def test_an_unknown_method_is_told_the_known_ones(method):
    with pytest.raises(
        ValueError, match="expected one of 'resample', 'rate', 'crop', 'pad', 'native'"
    ):
        SignalAligner(method=method).fit(signals(3, 20))


@pytest.mark.parametrize("name", ["sfreq", "target_sfreq"])
@pytest.mark.parametrize("value", [0, 0.0, -100, np.nan, np.inf, -np.inf])
def test_a_rate_out_of_range_is_refused(name, value):
    with pytest.raises(
        ValueError, match=rf"^{name}=.* out of range; expected a number in Hz above 0"
    ):
        SignalAligner(**{name: value}).fit(signals(3, 20))


@pytest.mark.parametrize("name", ["sfreq", "target_sfreq"])
@pytest.mark.parametrize("value", ["100", True, [100.0], 1j])
def test_a_rate_of_another_type_is_refused(name, value):
    with pytest.raises(TypeError, match=rf"^{name}=.* is a \w+; expected a number in Hz"):
        SignalAligner(**{name: value}).fit(signals(3, 20))


def test_the_constructor_checks_nothing():
    SignalAligner(-1, method="unknown", sfreq="fast", target_sfreq=0)


def test_rate_without_a_sampling_rate_says_what_to_do():
    with pytest.raises(ValueError, match=r"needs the sampling rate.*Set sfreq.*mne\.Epochs"):
        SignalAligner(method="rate").fit(signals(3, 20))


def test_two_different_sampling_rates_are_refused():
    epochs = epochs_of(signals(3, 2, 200), 250.0)
    aligner = SignalAligner(method="rate", sfreq=100.0)
    with pytest.raises(ValueError, match=r"sfreq=100 Hz was given, but.*250 Hz"):
        aligner.fit(epochs)


def test_rate_refuses_a_window_without_two_samples_at_the_new_rate():
    with pytest.raises(ValueError, match=r"20 samples at 4000 Hz.*has 0 sample.*target_sfreq"):
        SignalAligner(method="rate", sfreq=4000).fit_transform(signals(3, 20))
    two_samples = SignalAligner(16, method="rate", sfreq=4000).fit_transform(signals(3, 80))
    assert np.isfinite(two_samples).all()


def test_native_refuses_unequal_lengths_and_names_the_remedy():
    unequal = [signals(2, 40), signals(2, 30)]
    with pytest.raises(ValueError, match=r"'native' keeps.*30 to 40 samples.*method='resample'"):
        SignalAligner(method="native").fit(unequal)
    aligner = SignalAligner(method="native").fit(signals(3, 2, 40))
    with pytest.raises(ValueError, match=r"'native' keeps.*30 to 40 samples"):
        aligner.transform(unequal)


def with_value(value, dtype=np.float64):
    X = signals(3, 2, 20, dtype=dtype)
    X[1, 0, 7] = value
    return X


BAD_INPUT = {
    "NaN": (with_value(np.nan), "NaN: window 1, channel 0, sample 7"),
    "inf": (with_value(np.inf), "inf.*: window 1, channel 0, sample 7"),
    "inf and -inf": (np.r_[with_value(np.inf), with_value(-np.inf)], "inf.*: window 1"),
    "beyond float32": (with_value(1e300), "too large for float32.*1e\\+300"),
    "NaN in a list": ([signals(2, 9), with_value(np.nan)[1]], "NaN: window 1"),
    "complex": (signals(3, 2, 20) * 1j, "[Cc]omplex"),
    "strings": (np.full((3, 2, 20), "1"), "dtype <U1"),
    "dates": (np.zeros((3, 20), "M8[s]"), "dtype datetime64"),
    "objects": (np.full((3, 2, 20), None), "NoneType|NaN"),
    "no window": (np.zeros((0, 2, 20)), "0 sample"),
    "empty list": ([], "array"),
    "no channel": (np.zeros((3, 0, 20)), "0 channels"),
    "no sample": (np.zeros((3, 2, 0)), r"0 feature\(s\)"),
    "one sample": (np.zeros((3, 2, 1)), r"1 feature\(s\)"),
    "1-D": (np.zeros(20), r"X\.reshape\(1, -1\)"),
    "4-D": (np.zeros((3, 2, 4, 20)), "4 dimensions"),
    "unequal channels": ([signals(2, 9), signals(3, 9)], r"same n_channels \(found: \[2, 3\]\)"),
    "unequal nested lists": ([[1.0, 2.0], [1.0, 2.0, 3.0]], "unequal shapes"),
}


@pytest.mark.parametrize("method", tuple(METHODS)[:-1])
@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_is_refused_with_a_reason(name, method):
    X, reason = BAD_INPUT[name]
    with pytest.raises((ValueError, TypeError), match=reason):
        aligner_of(method).fit(X)


@pytest.mark.parametrize("name", BAD_INPUT)
def test_native_refuses_bad_input_too(name):
    with pytest.raises((ValueError, TypeError)):
        SignalAligner(method="native").fit(BAD_INPUT[name][0])


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_is_refused_in_transform_too(name):
    aligner = SignalAligner(8).fit(signals(3, 2, 20))
    with pytest.raises((ValueError, TypeError)):
        aligner.transform(BAD_INPUT[name][0])


@pytest.mark.parametrize("method", METHODS)
def test_transform_refuses_other_channels_and_other_lengths(method):
    aligner = aligner_of(method).fit(signals(3, 2, 200))
    with pytest.raises(ValueError, match="3 channels, but SignalAligner was fitted on 2"):
        aligner.transform(signals(3, 3, 200))
    with pytest.raises(ValueError, match="150 samples, but SignalAligner was fitted on 200"):
        aligner.transform(signals(3, 2, 150))
    aligner.fit(signals(3, 200))
    with pytest.raises(ValueError, match="X has 150 features, but SignalAligner is expecting 200"):
        aligner.transform(signals(3, 150))


def test_transform_before_fit_is_refused():
    with pytest.raises(sklearn.exceptions.NotFittedError):
        SignalAligner().transform(signals(3, 20))


def test_statistics_of_channels_are_exact_on_an_offset_and_a_constant_has_an_sd_of_one():
    X = signals(50, 3, 40) * [[1.0], [1e-3], [0.0]] + [[0.0], [1.0], [1e-9]]
    mean, sd = channel_statistics(X)
    assert mean.dtype == sd.dtype == np.float32
    np.testing.assert_allclose(mean[:, 0], X.mean((0, 2)), rtol=1e-6)
    np.testing.assert_allclose(sd[:, 0], [*X.std((0, 2))[:2], 1.0], rtol=1e-6)
