"""Windows that come after ``fit`` are compared with those seen in it."""

import re
import warnings

import mne
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.pipeline import make_pipeline

from citrus_sk import CitrusClassifier, CitrusEmbedder, CitrusRegressor, SignalAligner

RNG = np.random.default_rng(0)
Y = np.array(["a", "b"] * 8)
X = 1e-5 * RNG.standard_normal((16, 3, 100))


def tiny(kind=CitrusClassifier, **params):
    if kind is not CitrusEmbedder:
        params = {"random_kernels": False, "strategy": "linear-probe"} | params
    if kind is CitrusRegressor:
        params.pop("random_kernels")
    return kind(None, preset="tiny", random_state=0, **params)


def epochs(X=X, sfreq=100.0, names=("C3", "C4", "Cz")):
    return mne.EpochsArray(X, mne.create_info(list(names), sfreq, "eeg"), verbose="error")


# --- rate ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [CitrusClassifier, CitrusRegressor, CitrusEmbedder])
def test_epochs_at_another_rate_are_refused(kind):
    model = tiny(kind).fit(epochs(), Y if kind is CitrusClassifier else np.arange(16.0))
    assert model.sfreq_ == 100
    predict = model.transform if kind is CitrusEmbedder else model.predict
    predict(epochs(sfreq=100.02))  # a clock's error
    predict(X)  # an array has no rate to compare
    with pytest.raises(ValueError, match=r"sampled at 200 Hz.*fitted on .*100 Hz.*resample\(100\)"):
        predict(epochs(sfreq=200.0))


def test_a_fit_on_arrays_forgets_the_rate_of_epochs():
    model = tiny().fit(epochs(), Y).fit(X, Y)
    assert not hasattr(model, "sfreq_")
    assert not hasattr(model, "ch_names_")


@pytest.mark.parametrize("method", ["resample", "crop", "pad", "native"])
def test_the_aligner_refuses_another_rate_where_a_second_would_change_its_length(method):
    aligner = SignalAligner(64, method=method).fit(epochs())
    with pytest.raises(ValueError, match=r"sampled at 200 Hz.*fitted on .*100 Hz.*method='rate'"):
        aligner.transform(epochs(sfreq=200.0))


def test_the_aligner_takes_another_rate_where_a_second_keeps_its_length():
    time = np.arange(200) / 200
    fast = np.tile(np.sin(2 * np.pi * 5 * time), (2, 3, 1))
    slow = fast[..., ::2]
    for aligner in (SignalAligner(50), SignalAligner(50, method="rate", target_sfreq=50)):
        aligner.fit(epochs(slow))
        assert (
            np.abs(aligner.transform(epochs(fast, 200.0)) - aligner.transform(epochs(slow)))[
                ..., 5:-5
            ].max()
            < 0.02
        )


@pytest.mark.filterwarnings("ignore:method=.* of the power of X:UserWarning")
def test_what_fit_decided_is_kept_whatever_parameter_is_set_later():
    aligner = SignalAligner(64).fit(X)
    before = aligner.transform(X)
    aligner.set_params(method="native", n_times=32, sfreq=7.0, target_sfreq=3.0)
    assert_array_equal(aligner.transform(X), before)
    assert aligner.method_ == "resample"
    aligner = SignalAligner(64, method="rate", sfreq=100, target_sfreq=50).fit(X)
    before = aligner.transform(X)
    aligner.set_params(method="crop", sfreq=10, target_sfreq=20)
    assert_array_equal(aligner.transform(X), before)


# --- channels ------------------------------------------------------------------------------------


def test_channels_in_another_order_are_put_in_that_of_fit():
    model = tiny().fit(epochs(), Y)
    swapped = epochs(X[:, [2, 0, 1]], names=("Cz", "C3", "C4"))
    assert_array_equal(model.predict_proba(swapped), model.predict_proba(epochs()))
    aligner = SignalAligner(64).fit(epochs())
    assert_array_equal(aligner.transform(swapped), aligner.transform(epochs()))


def test_channels_of_unequal_windows_are_put_in_the_order_of_fit():
    aligner = SignalAligner(64).fit([epochs(), epochs(X[..., :80])])
    names = ("C4", "Cz", "C3")
    swapped = [epochs(X[:, [1, 2, 0]], names=names), epochs(X[:, [1, 2, 0], :80], names=names)]
    expected = aligner.transform([epochs(), epochs(X[..., :80])])
    assert_array_equal(aligner.transform(swapped), expected)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (epochs(names=("C3", "C4", "Pz")), "X lacks Cz and has Pz as well"),
        (epochs(X[:, :2], names=("C3", "C4")), "X lacks Cz.*epochs.pick"),
        (epochs(np.concatenate([X, X[:, :1]], 1), names=("C3", "C4", "Cz", "Oz")), "has Oz as we"),
    ],
)
def test_a_channel_that_is_missing_or_new_is_named(given, message):
    with pytest.raises(ValueError, match=message):
        tiny().fit(epochs(), Y).predict(given)


# --- amplitude -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [CitrusClassifier, CitrusRegressor, CitrusEmbedder])
@pytest.mark.parametrize("factor", [1000, 1 / 1000, 1e6])
def test_another_unit_is_warned_of(kind, factor):
    model = tiny(kind).fit(X, Y if kind is CitrusClassifier else np.arange(16.0))
    predict = model.transform if kind is CitrusEmbedder else model.predict
    with pytest.warns(UserWarning, match=re.escape(f"X has {factor:.2g} times the amplitude")):
        predict(X * factor)


def test_another_unit_is_warned_of_behind_an_aligner_and_after_a_pickle():
    import pickle

    pipe = make_pipeline(SignalAligner(64), tiny()).fit(X, Y)
    with pytest.warns(UserWarning, match="times the amplitude"):
        pickle.loads(pickle.dumps(pipe)).predict(1e6 * X[:1])


def test_one_channel_in_another_unit_is_named():
    model = tiny().fit(X, Y)
    with pytest.warns(UserWarning, match=r"Channel 1 of X has 1e\+03 times"):
        model.predict(X * np.array([1, 1000, 1])[:, None])
    with pytest.warns(UserWarning, match=r"Channel 1 of X has .* times"):
        model.predict(X[:1] * np.array([1, 1000, 1])[:, None])


def test_windows_within_the_range_of_those_in_fit_raise_no_warning():
    strength = np.geomspace(1, 5000, 16)[:, None, None]  # from rest to motion
    model = tiny().fit(X * strength, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict(X[:1])
        model.predict(np.zeros_like(X))  # flat, which is another matter
        model.predict(np.zeros_like(X[:1]))
        model.predict(100 * X)
        model.predict(2 * X * strength)


# --- axes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(16, 360, 2), (16, 128, 9)])
def test_channels_last_are_warned_of(shape):
    values = RNG.standard_normal(shape)
    for fit in (lambda: SignalAligner(64).fit(values), lambda: tiny().fit(values, Y)):
        with pytest.warns(UserWarning, match=rf"{shape[1]} channels of {shape[2]} samp.*transpose"):
            fit()


@pytest.mark.parametrize("shape", [(16, 64, 100), (16, 8, 2), (16, 128, 64), (16, 100)])
def test_other_shapes_raise_no_warning(shape):
    SignalAligner(64).fit(RNG.standard_normal(shape))
