"""Offsets far above the signal: subtracted in double precision, and otherwise warned of."""

import warnings

import joblib
import mne
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.pipeline import make_pipeline

from citrus_sk import CitrusClassifier, CitrusEmbedder, CitrusPretrainer, SignalAligner
from citrus_sk.inspection import attribution
from citrus_sk.mne import predict_raw
from citrus_sk.signals.offsets import single_if_exact
from citrus_sk.signals.recordings.window_files import read_window_file

SIZES = [1e5, 1e7, 1e9]


@pytest.fixture(scope="module")
def motion(watch):
    """Acceleration without gravity in double precision, and the typical sd of each channel."""
    X = watch.X.astype(np.float64)
    X -= np.median(X.mean(-1), axis=0)[:, None]
    return X, np.median(X.std(-1), axis=0)[:, None]


@pytest.mark.parametrize("size", SIZES)
def test_features_are_those_without_the_offset(motion, size):
    X, sd = motion
    expected = CitrusEmbedder().fit(X).transform(X)
    found = CitrusEmbedder().fit(X + size * sd).transform(X + size * sd)
    # At 1e9, double precision itself rounds to 1e-7 sd.
    assert_allclose(found, expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("method", ["resample", "rate", "pad", "native"])
@pytest.mark.parametrize("size", SIZES)
def test_aligned_windows_are_those_without_the_offset(motion, method, size):
    X, sd = motion

    def aligned(offset):
        aligner = SignalAligner(100, method=method, sfreq=50, target_sfreq=40)
        return aligner.fit(X + offset).transform(X[:20] + offset)

    assert_allclose(aligned(size * sd) / sd, aligned(0) / sd, rtol=0, atol=1e-5)


def test_windows_of_unequal_lengths_lose_their_offset_as_well(motion):
    X, sd = motion
    cut = [window[:, : 100 + i] for i, window in enumerate(X[:20])]
    expected = SignalAligner(64).fit_transform(cut)
    found = SignalAligner(64).fit_transform([window + 1e7 * sd for window in cut])
    level = (found - expected).mean((0, 2))[:, None]  # the median of means of other windows
    assert_allclose((found - level) / sd, expected / sd, rtol=0, atol=1e-5)


def test_a_classifier_is_as_good_with_an_offset(motion, watch):
    X, sd = motion
    train = np.isin(watch.groups, np.unique(watch.groups)[:3])
    scores = []
    for size in (0, 1e7, 1e9):
        pipe = make_pipeline(SignalAligner(128), CitrusClassifier(random_state=0))
        pipe.fit(X[train] + size * sd, watch.y[train])
        scores.append(pipe.score(X[~train] + size * sd, watch.y[~train]))
    assert min(scores[1:]) > scores[0] - 0.1


def test_differences_in_level_are_kept(motion):
    X, sd = motion
    level = np.linspace(-3, 3, len(X))[:, None, None] * sd
    aligned = SignalAligner(128, method="native").fit_transform(X + level + 1e8 * sd)
    assert_allclose(np.ptp(aligned.mean(-1) - X.mean(-1), axis=0) / sd[:, 0], 6, rtol=1e-3)


def test_the_order_of_windows_and_copies_of_them_change_nothing(motion):
    X, sd = motion
    X = X + 1e7 * sd
    expected = SignalAligner(100).fit(X).transform(X)
    assert_array_equal(SignalAligner(100).fit(X[::-1]).transform(X), expected)
    assert_array_equal(SignalAligner(100).fit(np.r_[X, X[:7], X[:3]]).transform(X), expected)


@pytest.mark.parametrize("size", [0, 1e3])
def test_smaller_offsets_are_kept_to_the_bit(motion, size):
    X, sd = motion
    X = X + size * sd
    found = SignalAligner(method="native").fit_transform(X)
    assert_array_equal(found, X.astype(np.float32))
    dead = np.concatenate([X, np.full_like(X[:, :1], 1e6)], axis=1)  # a constant has no offset
    found = SignalAligner(method="native").fit_transform(dead)
    assert_array_equal(found, dead.astype(np.float32))


def test_integers_of_many_digits_lose_their_offset_too():
    X = np.random.default_rng(0).integers(-5, 6, (6, 2, 64)) + 2**30
    found = SignalAligner(method="native").fit_transform(X)
    assert np.abs(found).max() < 10
    assert_array_equal(np.diff(found), np.diff(X))


@pytest.mark.parametrize("make", [CitrusEmbedder, lambda: SignalAligner(128)])
def test_the_offset_of_fit_is_stored_and_subtracted_from_any_type(motion, make, tmp_path):
    X, sd = motion
    X = X + 1e5 * sd
    model = make().fit(X)
    joblib.dump(model, tmp_path / "model.joblib")
    expected = model.transform(X)
    assert_array_equal(joblib.load(tmp_path / "model.joblib").transform(X), expected)
    # float32 has rounded the signal to a hundredth of its sd, but its level is the same.
    single = model.transform(X.astype(np.float32))
    assert_allclose(single, expected, rtol=0, atol=0.3)
    assert_array_equal(model.fit(motion[0]).transform(X), make().fit(motion[0]).transform(X))


def test_a_signal_that_single_precision_has_lost_is_warned_of(motion):
    X, sd = motion
    with pytest.warns(UserWarning, match="channel 0, 1, 2, 3, 4 and 1 more .* Pass float64"):
        SignalAligner(64).fit((X + 1e7 * sd).astype(np.float32))
    drift = np.random.default_rng(0).normal(size=(len(X), X.shape[1], 1)) * 1e9
    with pytest.warns(UserWarning, match="Subtract the mean of each window"):
        CitrusEmbedder().fit(X + drift * sd)


def test_usual_signals_and_dead_channels_are_not_warned_of(motion):
    X, sd = motion
    dead = np.concatenate([X + 1e7 * sd, np.full_like(X[:, :1], 4.7)], axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SignalAligner(64).fit(dead)
        SignalAligner(64).fit((X + 100 * sd).astype(np.float32))
        SignalAligner(64).fit(np.zeros((3, 2, 50)))


@pytest.mark.parametrize("aligned", [True, False])
def test_attribution_subtracts_the_offset_once(motion, watch, aligned):
    X, sd = motion
    X = X + 1e7 * sd
    clf = CitrusClassifier(random_state=0)
    model = (make_pipeline(SignalAligner(64), clf) if aligned else clf).fit(X, watch.y)
    found = attribution(model, X[:2], output="probability", stretch=0.5)
    assert np.abs(found.signal / sd).max() < 50
    assert_allclose(found.scores, model.predict_proba(X[:2]).max(1), atol=1e-6)


def test_windows_of_a_recording_keep_double_precision(motion, watch):
    X, sd = motion
    chosen = slice(0, 8)
    clf = CitrusClassifier(random_state=0).fit(X + 1e7 * sd, watch.y)
    info = mne.create_info([f"A{i}" for i in range(X.shape[1])], 50, "misc")
    signal = np.concatenate(list(X[chosen] + 1e7 * sd), axis=1)
    raw = mne.io.RawArray(signal, info, verbose="error")
    found = predict_raw(clf, raw, duration=X.shape[2] / 50, picks=info["ch_names"])
    assert_array_equal(found.proba, clf.predict_proba(X[chosen] + 1e7 * sd))


def test_pieces_of_a_recording_become_single_where_that_is_exact_enough():
    x = np.random.default_rng(0).normal(size=(2, 100))
    assert single_if_exact(x).dtype == np.float32
    assert single_if_exact(x + np.array([[0], [1e6]])).dtype == np.float64


@pytest.mark.parametrize("by_window", [True, False])
def test_tables_of_windows_keep_double_precision(tmp_path, by_window):
    X = np.random.default_rng(0).normal(size=(6, 40)) + 1e8
    rows = [("window", "A"), *((i, value) for i, window in enumerate(X) for value in window)]
    if by_window:
        rows = [range(40), *X]
    path = tmp_path / "windows.csv"
    path.write_text("\n".join(",".join(map(str, row)) for row in rows))
    assert_array_equal(read_window_file(path, labelled=False).X[:, 0], X)


def test_pretraining_reads_windows_with_an_offset(motion):
    X, sd = motion

    def loss(signal):
        settings = {"preset": "tiny", "max_steps": 1, "batch_size": 8, "random_state": 0}
        return CitrusPretrainer(pretrained=None, **settings).fit(signal).history_[-1]["loss"]

    assert loss(X + 1e9 * sd) == pytest.approx(loss(X), rel=1e-3)
