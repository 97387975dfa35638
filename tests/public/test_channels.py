"""Recordings and Epochs that lack channels of the training windows, or have others."""

import pickle

import mne
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from citrus_sk import CitrusClassifier, SignalAligner
from citrus_sk.datasets import load_watch
from citrus_sk.mne import RecordingModel, match_channels, predict_raw

EXERCISES = ("row", "abduction", "pendulum")
ELECTRODES = ["Fz", "Cz", "Pz", "Oz", "C3", "C4", "P3", "P4"]


def as_epochs(X, names, sfreq=50.0):
    return mne.EpochsArray(X, mne.create_info(list(names), sfreq, "eeg"), verbose="error")


@pytest.fixture(scope="module")
def watch():
    return load_watch(window_s=2.56, overlap=0)


@pytest.fixture(scope="module")
def new(watch):
    """Windows and labels of a person who is not in the training set."""
    chosen = np.flatnonzero(np.isin(watch.y, EXERCISES) & (watch.groups == "1"))[::3]
    return watch.X[chosen], watch.y[chosen]


@pytest.fixture(scope="module")
def fitted(watch):
    """A classifier of exercises, fitted on Epochs."""
    chosen = np.flatnonzero(np.isin(watch.y, EXERCISES) & (watch.groups != "1"))[::8]
    clf = CitrusClassifier(pretrained=None, preset="tiny", random_state=0)
    X = as_epochs(watch.X[chosen], watch.ch_names)
    return clf.fit(X, watch.y[chosen], groups=watch.groups[chosen])


@pytest.fixture(scope="module")
def raw(new, watch):
    info = mne.create_info(watch.ch_names, 50.0, "misc")
    return mne.io.RawArray(np.concatenate(new[0], axis=1), info, verbose="error")


@pytest.fixture(scope="module")
def eeg():
    """Sums of a few sources that are smooth over the scalp, without positions."""
    rng = np.random.default_rng(0)
    montage = mne.channels.make_standard_montage("biosemi32")
    places = np.array([montage.get_positions()["ch_pos"][name] for name in ELECTRODES])
    sources = rng.standard_normal((5, 3)) * 0.1
    mixing = np.exp(-np.square(places[:, None] - sources).sum(-1) / 0.02)
    signals = 1e-5 * mixing @ rng.standard_normal((5, 2000))
    return mne.io.RawArray(signals, mne.create_info(ELECTRODES, 100, "eeg"), verbose="error")


@pytest.fixture(scope="module")
def power():
    """A model of EEG windows of 1 s, whose probabilities depend on the power of each channel."""
    X = (
        np.random.default_rng(1).standard_normal((20, 8, 100))
        * np.linspace(1, 2, 20)[:, None, None]
    )
    steps = [SignalAligner(100), FunctionTransformer(np.std, kw_args={"axis": 2}), StandardScaler()]
    pipe = make_pipeline(*steps, LogisticRegression()).fit(1e-5 * X, np.arange(20) > 9)
    pipe[-1].coef_ *= np.arange(1, 9) / 5  # unequal weights, so that the order matters
    return RecordingModel(estimator=pipe, duration=1.0, sfreq=100.0, ch_names=tuple(ELECTRODES))


# --- ignored channels ----------------------------------------------------------------------------


@pytest.mark.parametrize("absent", [["ax"], ["wx", "wy", "wz"]])
def test_a_new_person_is_recognised_without_some_channels(fitted, new, watch, absent):
    X, y = new
    lost = X.copy()
    lost[:, [watch.ch_names.index(name) for name in absent]] = 0
    ignoring = fitted.without_channels(absent)
    assert ignoring.score(lost, y) > 0.9
    assert ignoring.score(lost, y) > fitted.score(lost, y) + 0.2 * (absent[0] == "ax")
    assert ignoring.score(lost, y, groups=np.zeros(len(y))) > 0.9


def test_what_an_ignored_channel_holds_has_no_effect(fitted, new):
    X = new[0][:5]
    ignoring = fitted.without_channels([5, 1])
    expected = ignoring.predict_proba(X)
    for value in (0, 1e3, np.nan):
        other = X.copy()
        other[:, [1, 5]] = value
        np.testing.assert_array_equal(ignoring.predict_proba(other), expected)
    assert np.isfinite(X).all()
    again = pickle.loads(pickle.dumps(ignoring))
    np.testing.assert_array_equal(again.predict_proba(X), expected)
    personal = [each.adapt(other).predict_proba(other) for each in (ignoring, again)]
    np.testing.assert_array_equal(*personal)
    assert abs(fitted.predict_proba(X) - expected).max() > 0.01  # the original is as it was


def test_epochs_may_lack_ignored_channels_and_no_others(fitted, new, watch):
    epochs = as_epochs(new[0][:5], watch.ch_names)
    ignoring = fitted.without_channels(["wy", "ax"])
    fewer = epochs.copy().pick(["wz", "ay", "az", "wx"])
    expected = ignoring.predict_proba(epochs)
    np.testing.assert_array_equal(ignoring.predict_proba(fewer), expected)
    with pytest.raises(ValueError, match="X lacks wz"):
        ignoring.predict(fewer.drop_channels("wz"))
    assert ignoring.fit(epochs, np.arange(5) % 2).predict(epochs).shape == (5,)
    with pytest.raises(ValueError, match="X lacks ax, wy"):  # forgotten in another fit
        ignoring.predict(epochs.drop_channels(["ax", "wy"]))


@pytest.mark.parametrize(
    ("channels", "error", "match"),
    [
        (["up"], ValueError, "channels holds 'up'; expected names among ax, ay"),
        ([6], ValueError, "channels holds 6; .*indices from 0 to 5"),
        ([-1], ValueError, "channels holds -1"),
        ([1.0], TypeError, r"channels holds 1\.0, a float; expected names or indices"),
        (None, TypeError, "channels holds None, a NoneType"),
        ([], ValueError, "channels has 0 of 6 channels"),
        (range(6), ValueError, "channels has 6 of 6 channels; .*fewer than all"),
    ],
)
def test_channels_that_cannot_be_ignored_are_named(fitted, channels, error, match):
    with pytest.raises(error, match=match):
        fitted.without_channels(channels)


def test_a_fine_tuned_network_and_a_second_call_are_refused(fitted, watch):
    with pytest.raises(ValueError, match="ignores channels already"):
        fitted.without_channels("ax").without_channels("ay")
    clf = CitrusClassifier(
        pretrained=None, preset="tiny", strategy="finetune", random_kernels=False, max_epochs=3,
        early_stopping=False, random_state=0,
    )  # fmt: skip
    clf.fit(watch.X[:8], np.arange(8) % 2)
    with pytest.raises(ValueError, match="was fine-tuned, and every feature"):
        clf.without_channels([0])


# --- recordings ----------------------------------------------------------------------------------


def test_a_recording_is_predicted_without_a_channel(fitted, raw, new):
    pipe = make_pipeline(SignalAligner(128), fitted)
    pipe.steps[0][1].fit(as_epochs(new[0][:2], raw.ch_names))
    fewer = raw.copy().drop_channels(["ax"])
    expected = fitted.without_channels(["ax"]).predict_proba(new[0])
    for model in (fitted, pipe):
        found = predict_raw(model, fewer, missing_channels="ignore")
        np.testing.assert_allclose(found.proba, expected, atol=1e-6)
    fewer.info["bads"] = ["wy"]
    expected = fitted.without_channels(["ax", "wy"])
    for adapt, groups in ((False, None), (True, np.zeros(len(new[0])))):
        found = predict_raw(pipe, fewer, missing_channels="ignore", adapt=adapt)
        np.testing.assert_allclose(found.proba, expected.predict_proba(new[0], groups), atol=1e-6)
    whole = predict_raw(pipe, raw, missing_channels="ignore")
    np.testing.assert_allclose(whole.proba, fitted.predict_proba(new[0]), atol=1e-6)


def test_interpolated_channels_are_those_of_mne(power, eeg):
    positioned = eeg.copy().set_montage("biosemi32")
    positioned.info["bads"] = ["Cz", "P4"]
    expected = predict_raw(power, positioned.copy().interpolate_bads(verbose="error"))
    found = predict_raw(power, positioned, missing_channels="interpolate")
    np.testing.assert_allclose(found.proba, expected.proba, rtol=1e-4)
    assert positioned.info["bads"] == ["Cz", "P4"]


def test_absent_electrodes_are_interpolated_by_their_names(power, eeg):
    fewer = eeg.copy().drop_channels(["Pz", "C4"]).rename_channels(lambda name: f"EEG {name}-REF")
    fewer.reorder_channels(fewer.ch_names[::-1])
    found = predict_raw(power, fewer, missing_channels="interpolate").proba
    expected = predict_raw(power, eeg).proba
    zeros = eeg.copy().apply_function(lambda x: 0 * x, picks=["Pz", "C4"])
    away = abs(predict_raw(power, zeros).proba - expected).mean()
    assert abs(found - expected).mean() < 0.3 * away


def test_epochs_get_the_channels_of_the_model(power, eeg):
    epochs = mne.make_fixed_length_epochs(eeg, 1.0, preload=True, verbose="error")
    other = epochs.copy().reorder_channels(ELECTRODES[::-1])
    other.add_channels([epochs.copy().pick(["Cz"]).rename_channels({"Cz": "F9"})])
    matched = match_channels(other, power)
    assert matched.ch_names == ELECTRODES
    np.testing.assert_array_equal(matched.get_data(), epochs.get_data())
    np.testing.assert_array_equal(matched.events, epochs.events)
    other.set_montage("colin27_1005" if "colin27_1005" in mne.channels.get_builtin_montages()
                      else "standard_1005").info["bads"] = ["Cz", "F9"]  # fmt: skip
    expected = other.copy().interpolate_bads(verbose="error").reorder_channels(ELECTRODES)
    found = match_channels(other, power, missing_channels="interpolate").get_data()
    np.testing.assert_allclose(found, expected.get_data(), atol=1e-12)


def test_a_model_fitted_on_epochs_matches_them(fitted, new, watch):
    epochs = as_epochs(new[0][:5], watch.ch_names)
    more = epochs.copy().add_channels([epochs.copy().rename_channels(lambda name: f"more {name}")])
    with pytest.raises(ValueError, match=r"has more ax, .*match_channels interpolates"):
        fitted.predict(more)
    found = fitted.predict_proba(match_channels(more, fitted))
    np.testing.assert_array_equal(found, fitted.predict_proba(epochs))


@pytest.mark.parametrize(
    ("names", "how", "match"),
    [
        (["ay", "az", "wx", "wy", "wz"], "interpolate", "lacks ax, whose position is not known"),
        (["b", "c"], "ignore", "none of the channels"),
        (["ay", "az", "wx", "wy", "wz"], "raise", "no channel 'ax'.*use missing_channels='ignore'"),
        (["ay"], "mean", "missing_channels='mean' is unknown; expected one of 'raise', 'inter"),
    ],
)
def test_channels_that_cannot_be_filled_are_named(fitted, names, how, match):
    info = mne.create_info(names, 50, "misc")
    other = mne.io.RawArray(np.zeros((len(names), 500)), info, verbose="error")
    with pytest.raises(ValueError, match=match):
        predict_raw(fitted, other, missing_channels=how)


def test_filling_needs_electrodes_names_and_a_classifier_that_can(power, eeg, raw):
    few = eeg.copy().pick(["Fz", "Cz"])
    with pytest.raises(ValueError, match=r"has 2 good EEG channel\(s\).*Fz, Cz.*4 electrodes"):
        predict_raw(
            RecordingModel(estimator=power.estimator, duration=1, sfreq=100, ch_names=("Cz", "Pz")),
            few, missing_channels="interpolate",
        )  # fmt: skip
    with pytest.raises(ValueError, match=r"lacks Pz, .*needs a CitrusClassifier .*Logistic"):
        predict_raw(power, eeg.copy().drop_channels(["Pz"]), missing_channels="ignore")
    nameless = RecordingModel(estimator=power.estimator, duration=1, sfreq=100)
    with pytest.raises(ValueError, match=r"does not know the names of its channels\. Fit it on"):
        predict_raw(nameless, eeg, missing_channels="interpolate")
    with pytest.raises(ValueError, match="does not know the names"):
        match_channels(as_epochs(np.zeros((2, 8, 100)), ELECTRODES), power.estimator)
    with pytest.raises(ValueError, match=r"found by name\. Omit picks"):
        predict_raw(power, eeg, picks=ELECTRODES, missing_channels="ignore")
    with pytest.raises(TypeError, match=r"epochs is a RawArray; expected mne\.Epochs"):
        match_channels(raw, power)
