"""Attributions find what was planted, share out what they say, and refuse what they cannot do."""

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from citrus_sk import (
    AttributionDisplay,
    BandOcclusionDisplay,
    CitrusClassifier,
    CitrusEmbedder,
    CitrusRegressor,
    ModuleClassifier,
    SignalAligner,
)
from citrus_sk.inspection import attribution, band_occlusion
from citrus_sk.inspection.band_occlusion import remove_band

SFREQ = 64.0
BURST = slice(72, 104)  # of channel 1, 16 Hz
METHODS = ("occlusion", "integrated-gradients")


@pytest.fixture(scope="module")
def bursts():
    """Noise in three channels; half of the windows have a burst of 16 Hz in one of them."""
    rng = np.random.default_rng(0)
    y = np.tile(["rest", "burst"], 40)
    X = rng.standard_normal((80, 3, 128))
    place = np.arange(BURST.start, BURST.stop)
    X[1::2, 1, BURST] += 3 * np.sin(2 * np.pi * 16 / SFREQ * place)
    return X.astype(np.float32), y


@pytest.fixture(scope="module")
def fitted(bursts):
    """By name: the default with kernels, the network alone, and a network of braindecode."""
    X, y = bursts
    settings = {"pretrained": None, "preset": "tiny", "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # braindecode's import
        return {
            "kernels": CitrusClassifier(**settings).fit(X, y),
            "network": CitrusClassifier(**settings, random_kernels=False, max_epochs=10).fit(X, y),
            "EEGNet": ModuleClassifier(module="EEGNet", max_epochs=15, random_state=0).fit(X, y),
        }


@pytest.fixture(autouse=True)
def no_figure_left():
    yield
    plt.close("all")


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("kernels", "occlusion"),
        ("network", "occlusion"),
        ("network", "integrated-gradients"),
        ("EEGNet", "occlusion"),
        ("EEGNet", "integrated-gradients"),
    ],
)
def test_the_burst_is_found_in_its_channel_and_at_its_time(fitted, bursts, name, method):
    X, _ = bursts
    found = attribution(
        fitted[name], X[1:12:2], method=method, target="burst", sfreq=SFREQ, references=X[::2]
    )
    assert found.values.shape == found.signal.shape == (6, 3, 128)
    assert found.times[0, -1] == 127 / SFREQ
    mean = found.values.mean(0)
    assert np.abs(mean).sum(1).argmax() == 1
    inside = mean[1, BURST].sum()
    assert inside > 0
    assert inside > 2 * np.abs(np.delete(mean[1], np.r_[BURST])).sum() * 32 / 96


@pytest.mark.parametrize("name", ["kernels", "network", "EEGNet"])
def test_the_burst_is_found_in_its_band_and_channel(fitted, bursts, name):
    X, _ = bursts
    found = band_occlusion(
        fitted[name], X[1:20:2], sfreq=SFREQ, target="burst", by_channel=True,
        bands={"slow": (1, 8), "planted": (13, 19), "fast": (22, 32)},
    )  # fmt: skip
    assert found.values.shape == (10, 3, 3)
    assert found.by_class.shape == (10, 2, 3, 3)
    channel, band = np.unravel_index(found.values.mean(0).argmax(), (3, 3))
    assert (channel, list(found.bands)[band]) == (1, "planted")


@pytest.mark.parametrize("output", ["log-odds", "probability"])
@pytest.mark.parametrize("name", ["network", "EEGNet"])
def test_integrated_gradients_share_out_the_change_of_score(fitted, bursts, name, output):
    X, _ = bursts
    found = attribution(
        fitted[name], X[:6], method="integrated-gradients", output=output, n_steps=32
    )
    change = found.scores - found.reference_scores
    np.testing.assert_allclose(found.values.sum((1, 2)), change, rtol=0.02, atol=0.02)
    np.testing.assert_allclose(found.gap, found.values.sum((1, 2)) - change)
    assert np.abs(change).max() > 0.1


def test_integrated_gradients_share_out_what_an_ensemble_says_of_real_windows(watch, quick):
    pipe = make_pipeline(SignalAligner(128), quick(n_estimators=2)).fit(watch.X, watch.y)
    found = attribution(
        pipe, watch.X[:4], method="integrated-gradients", sfreq=50, references=watch.X[20:],
        target=watch.y[:4],
    )  # fmt: skip
    change = found.scores - found.reference_scores
    np.testing.assert_allclose(found.values.sum((1, 2)), change, rtol=0.05, atol=0.05)
    # What torch says with a gradient is what predict_proba says without.
    columns = np.searchsorted(pipe.classes_, watch.y[:4])
    p = pipe.predict_proba(watch.X[:4])[np.arange(4), columns]
    np.testing.assert_allclose(found.scores, np.log(p / (1 - p)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("n_estimators", [1, 2])
def test_a_regressors_prediction_is_shared_out(bursts, n_estimators):
    """Two targets, of which one is the height of the burst in its own, large unit."""
    X, rng = bursts[0][1::2].copy(), np.random.default_rng(0)
    height = rng.uniform(0, 4, len(X))
    X[:, 1, BURST] *= height[:, None]
    y = np.stack([rng.standard_normal(len(X)), 100 + 50 * height], axis=1)
    reg = CitrusRegressor(
        None,
        preset="tiny",
        random_kernels=False,
        max_epochs=6,
        n_estimators=n_estimators,
        random_state=0,
    ).fit(X, y)
    found = attribution(reg, X[:4], method="integrated-gradients", references=X[4:], target=1)
    assert (found.score_unit, found.targets.tolist()) == ("prediction", [1] * 4)
    np.testing.assert_allclose(found.scores, reg.predict(X[:4])[:, 1], rtol=1e-4)
    change = found.scores - found.reference_scores
    np.testing.assert_allclose(found.values.sum((1, 2)), change, rtol=0.05, atol=2)
    high = attribution(reg, X[height.argmax()][None], target=1)
    assert high.values[0].sum(1).argmax() == 1
    assert BURST.start - 4 <= high.values[0, 1].argmax() < BURST.stop + 4
    bands = band_occlusion(
        reg, X[height > 3], sfreq=SFREQ, target=1, bands={"slow": (1, 8), "planted": (13, 19)}
    )
    assert bands.values.mean(0).argmax() == 1
    with pytest.raises(ValueError, match="regressor has 2 outputs; expected the index of one"):
        attribution(reg, X[:1])
    with pytest.raises(ValueError, match="target=2 is not among the outputs of CitrusRegressor"):
        attribution(reg, X[:1], target=2)
    display = AttributionDisplay.from_estimator(reg, X[:2], target=1)
    assert display.ax_.get_title().startswith("prediction ")


def test_too_few_steps_are_warned_of(watch, quick):
    clf = quick(max_epochs=8).fit(watch.X, watch.y)
    with pytest.warns(ConvergenceWarning, match=r"Raise n_steps \(it is 1\)"):
        attribution(clf, watch.X[::9], method="integrated-gradients", n_steps=1)


def test_a_constant_reference_hides_the_shape(fitted, bursts):
    """Why references are real windows: all but the end of the way looks alike to the network."""
    X, _ = bursts
    ask = {"method": "integrated-gradients", "n_steps": 64, "target": "burst"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        flat = attribution(fitted["network"], X[1:4:2], references=0 * X[:1] + 1e-3, **ask)
    real = attribution(fitted["network"], X[1:4:2], references=X[::2], **ask)
    change = np.abs(flat.scores - flat.reference_scores)
    assert (np.abs(flat.gap) > 0.5 * change).all()
    assert (np.abs(real.gap) < 0.02 * np.abs(real.scores - real.reference_scores)).all()


def test_a_linear_score_is_shared_out_exactly():
    rng = np.random.default_rng(0)
    X, weights = rng.standard_normal((40, 32)), np.linspace(-1, 1, 32)
    model = Ridge(alpha=1e-6).fit(X, X @ weights)
    found = attribution(model, X, fill="references", references=X[:1] * 0, stretch=1 / 32)
    np.testing.assert_allclose(found.values[:, 0], X * weights, atol=1e-4)
    assert found.score_unit == "prediction"
    assert found.gap is None


def test_models_of_other_libraries_are_explained_by_occlusion(watch):
    flat = FunctionTransformer(lambda X: X.reshape(len(X), -1))
    for model in (
        make_pipeline(flat, StandardScaler(), LogisticRegression(max_iter=500)),
        make_pipeline(
            SignalAligner(64), CitrusEmbedder(None, preset="tiny", random_state=0),
            StandardScaler(), LogisticRegression(max_iter=500),
        ),
        GridSearchCV(
            make_pipeline(flat, LogisticRegression(max_iter=500)),
            {"logisticregression__C": [0.1]}, cv=2,
        ),
    ):  # fmt: skip
        model.fit(watch.X / 10, watch.y)
        found = attribution(model, watch.X[:2] / 10, sfreq=50)
        assert found.values.shape[:2] == (2, 6)
        assert np.abs(found.values).max() > 0
        np.testing.assert_array_equal(found.targets, model.predict(watch.X[:2] / 10))


def test_times_follow_the_windows_through_the_aligner(watch, quick):
    """A spike is found at the time at which the aligner put it, whatever the method."""
    for method, n_times, settings in [
        ("resample", 96, {}),
        ("rate", 100, {"target_sfreq": 40.0}),
        ("rate", 60, {"target_sfreq": 40.0}),
        ("crop", 100, {}),
        ("pad", 90, {}),
        ("pad", 151, {}),
        ("native", None, {}),
    ]:
        X = np.zeros((1, 1, 128))
        X[0, 0, 60:69] = np.hanning(9)
        aligner = SignalAligner(n_times, method=method, sfreq=50.0, **settings).fit(X)
        out = aligner.transform(X)[0, 0] - aligner.transform(X).min()
        samples = aligner.alignment(128, 50.0).source_samples()
        assert len(samples) == len(out)
        assert abs((samples * out).sum() / out.sum() - 64) < 0.6, method


def test_windows_of_unequal_lengths_have_times_of_their_own(watch, quick):
    windows = [window[:, : 100 + i] for i, window in enumerate(watch.X)]
    pipe = make_pipeline(SignalAligner(128), quick()).fit(windows, watch.y)
    found = attribution(pipe, windows[:3], sfreq=50)
    np.testing.assert_allclose(found.times[:, -1], 127 / 128 * np.array([100, 101, 102]) / 50)
    bands = band_occlusion(pipe, windows[:3], sfreq=50, bands={"low": (0.5, 5)})
    assert bands.values.shape == (3, 1)


def test_epochs_tell_rate_names_and_bands(watch, quick):
    import mne

    info = mne.create_info(watch.ch_names, 50.0, "eeg")
    epochs = mne.EpochsArray(watch.X, info, verbose="error")
    pipe = make_pipeline(SignalAligner(128), quick()).fit(epochs, watch.y)
    found = attribution(pipe, epochs[:2], method="integrated-gradients")
    assert (found.time_unit, found.ch_names) == ("s", watch.ch_names)
    assert found.times[0, -1] == 127 / 50
    bands = band_occlusion(pipe, epochs[:2])
    assert bands.bands["alpha"] == (8.0, 13.0)
    assert bands.bands["beta"] == (13.0, 25.0)  # as far as the rate reaches
    with pytest.raises(ValueError, match=r"sfreq=40 Hz was given, but the Epochs were sampled"):
        band_occlusion(pipe, epochs[:2], sfreq=40)


def test_a_windows_explanation_does_not_hang_on_the_others_asked_about(fitted, bursts):
    X, _ = bursts
    for method in METHODS:
        together = attribution(fitted["network"], X[:3], method=method, references=X[10:])
        alone = attribution(fitted["network"], X[1:2], method=method, references=X[10:])
        np.testing.assert_allclose(together.values[1], alone.values[0], atol=1e-4)


def test_without_a_rate_time_is_counted_in_samples(fitted, bursts):
    found = attribution(fitted["kernels"], bursts[0][:1])
    assert (found.time_unit, found.times[0, -1]) == ("samples", 127)


def test_a_removed_band_is_gone_and_the_rest_stays():
    time = np.arange(500) / 100
    slow, fast = np.sin(2 * np.pi * 3 * time), np.sin(2 * np.pi * 20 * time)
    left = remove_band(5 + slow + fast, 15, 25, 100)
    assert np.abs(left - 5 - slow)[25:-25].max() < 0.1
    np.testing.assert_allclose(left.mean(), 5, atol=1e-9)


def test_octaves_end_at_nyquist_and_hold_a_cycle_of_the_shortest_window(fitted, bursts):
    found = band_occlusion(fitted["kernels"], bursts[0][:2], sfreq=SFREQ)
    edges = list(found.bands.values())
    assert edges[-1] == (16.0, 32.0)
    assert edges[0] == (0.5, 1.0)


@pytest.mark.parametrize("explain", [attribution, band_occlusion])
def test_models_that_cannot_be_explained_are_refused(explain, watch, quick):
    with pytest.raises(NotFittedError):
        explain(quick(), watch.X, sfreq=50)
    with pytest.raises(NotFittedError):
        explain(make_pipeline(SignalAligner(), quick()), watch.X, sfreq=50)
    with pytest.raises(TypeError, match="is not an estimator; expected a fitted classifier"):
        explain("eeg-freq", watch.X, sfreq=50)
    embedder = CitrusEmbedder(None, preset="tiny").fit(watch.X)
    with pytest.raises(TypeError, match="is not a classifier or regressor"):
        explain(embedder, watch.X, sfreq=50)
    flat = watch.X.reshape(len(watch.X), -1)
    with pytest.raises(TypeError, match=r"has no predict_proba.*CalibratedClassifierCV"):
        explain(RidgeClassifier().fit(flat, watch.y), flat, sfreq=50)
    calibrated = CalibratedClassifierCV(RidgeClassifier(), cv=2).fit(flat, watch.y)
    explain(calibrated, flat[:1], sfreq=300)


def test_integrated_gradients_of_step_functions_are_refused_with_a_remedy(fitted, watch):
    with pytest.raises(ValueError, match=r"occlusion'.*or fit CitrusClassifier\(random_kernels=F"):
        attribution(fitted["kernels"], watch.X[:, :3], method="integrated-gradients")
    flat = watch.X.reshape(len(watch.X), -1)
    model = LogisticRegression(max_iter=200).fit(flat, watch.y)
    with pytest.raises(ValueError, match="LogisticRegression has none"):
        attribution(model, flat, method="integrated-gradients")


def test_bad_input_is_refused(fitted, bursts):
    X, _ = bursts
    clf = fitted["network"]
    for settings, message in [
        ({"target": "walk"}, r"'walk' is not among the classes_ of CitrusClassifier \('burst', 'r"),
        ({"target": ["rest"] * 3}, r"target has shape \(3,\), and there are 2 windows"),
        ({"method": "lime"}, "method='lime' is unknown"),
        ({"output": "logit"}, "output='logit' is unknown"),
        ({"stretch": 0.7}, "stretch=0.7 is out of range"),
        ({"n_steps": 0}, "n_steps=0 is out of range"),
        ({"sfreq": -1}, "sfreq=-1 is out of range"),
        ({"ch_names": ["a"]}, "ch_names has 1 names, and X has 3 channels"),
    ]:
        with pytest.raises(ValueError, match=message):
            attribution(clf, X[:2], **settings)
    with pytest.raises(ValueError, match="X has 2 channels, but CitrusClassifier was fitted on 3"):
        attribution(clf, X[:2, :2])
    with pytest.raises(ValueError, match="X has windows of 100 samples"):
        attribution(clf, X[:2, :, :100])
    with pytest.raises(ValueError, match="NaN"):
        attribution(clf, X[:2] * np.nan)
    with pytest.raises(ValueError, match=r"no window other than window 0.*Pass training windows"):
        attribution(clf, X[:1], method="integrated-gradients")


def test_bad_bands_are_refused(fitted, bursts):
    X, _ = bursts
    for bands, message in [
        (
            {"high": (20, 40)},
            "extends to 40 Hz, but windows at 64 Hz contain no frequencies above 32 Hz",
        ),
        ({"thin": (10.01, 10.02)}, r"contains no frequency .* are 0.25 Hz apart"),
        ({"odd": (8, 4)}, "must be ordered"),
        ("ecg", "bands='ecg' is unknown"),
    ]:
        with pytest.raises(ValueError, match=message):
            band_occlusion(fitted["kernels"], X[:2], sfreq=SFREQ, bands=bands)
    with pytest.raises(TypeError, match="is not a dict of bands"):
        band_occlusion(fitted["kernels"], X[:2], sfreq=SFREQ, bands=[(1, 2)])
    with pytest.raises(ValueError, match=r"sfreq=None.*Pass sfreq in Hz"):
        band_occlusion(fitted["kernels"], X[:2])


# --- displays ------------------------------------------------------------------------------------


def test_the_display_draws_each_channel_with_its_attribution(fitted, bursts):
    X, _ = bursts
    display = AttributionDisplay.from_estimator(
        fitted["network"], X[:10], window=3, method="integrated-gradients", sfreq=SFREQ,
        ch_names=["$a", "b", "c"], target="burst",
    )  # fmt: skip
    found = display.attribution
    assert len(found.values) == 1
    np.testing.assert_array_equal(found.signal[0], X[3])
    assert display.figure_ is display.ax_.figure
    assert display.ax_.get_xlabel() == "time (s)"
    assert [text.get_text() for text in display.ax_.get_yticklabels()] == [r"\$a", "b", "c"]
    assert "burst" in display.ax_.get_title()
    (image,) = display.ax_.images
    np.testing.assert_allclose(np.abs(image.get_array()).max(), 1)
    display.figure_.canvas.draw()


def test_the_display_draws_some_channels_on_given_axes(fitted, bursts):
    _, ax = plt.subplots()
    display = AttributionDisplay.from_estimator(
        fitted["kernels"], bursts[0][:2], channels=[2, 0], ax=ax
    )
    assert display.ax_ is ax
    labels = [text.get_text() for text in ax.get_yticklabels()]
    assert labels == ["channel 2", "channel 0"]
    assert ax.get_xlabel() == "time (samples)"
    with pytest.raises(ValueError, match="channels=3 is out of range"):
        display.plot(channels=[3])
    with pytest.raises(ValueError, match="window=2 is out of range"):
        AttributionDisplay.from_estimator(fitted["kernels"], bursts[0][:2], window=2)


def test_the_bars_are_medians_by_class_or_by_channel(fitted, bursts):
    X, y = bursts
    bands = {"slow": (1, 8), "planted": (13, 19)}
    display = BandOcclusionDisplay.from_estimator(
        fitted["kernels"], X[:10], sfreq=SFREQ, bands=bands, target=y[:10]
    )
    heights = [bar.get_height() for bar in display.ax_.patches]
    values = display.occlusion.values
    medians = [np.median(values[y[:10] == name], axis=0) for name in ("burst", "rest")]
    np.testing.assert_allclose(heights, np.concatenate(medians))
    assert display.ax_.get_xticklabels()[1].get_text() == "planted\n13-19"
    _, ax = plt.subplots()
    by_channel = BandOcclusionDisplay.from_estimator(
        fitted["kernels"], X[:4], sfreq=SFREQ, by_channel=True, ax=ax
    )
    assert by_channel.ax_ is ax
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["channel 0", "channel 1", "channel 2"]
