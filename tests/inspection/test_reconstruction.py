"""ReconstructionDisplay: what it shows is what the network was given and what it said."""

import sys
from dataclasses import replace

import matplotlib as mpl
import matplotlib.pyplot as plt
import mne
import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError

from citrus_sk import CitrusClassifier, CitrusPretrainer, ReconstructionDisplay, SignalAligner
from citrus_sk.checkpoints.checkpoint import Checkpoint
from citrus_sk.nn import MaskedAutoencoder, NetworkConfig, TaskConfig
from citrus_sk.nn.autoencoder import token_samples, token_spectra
from citrus_sk.nn.encoder import normalise
from citrus_sk.signals.recordings.arrays import array_corpus

# Tokens of 16 samples, 8 of them to a window of the watch.
SMALL = NetworkConfig(
    n_times=128,
    stem_width=8,
    stem_kernel=7,
    widths=(16,),
    kernels=(5,),
    strides=(2,),
    patch=4,
    dim=32,
    depth=1,
    heads=4,
    feedforward=64,
    modalities=("ACC",),
)
STRIDE, FRAME = 16, 32
TWO = replace(SMALL, modalities=("ACC", "ECG"))
OBJECTIVES = ["time", "freq", "both"]


@pytest.fixture(autouse=True)
def no_figure_is_left_open():
    mpl.use("agg")
    assert plt.get_fignums() == []
    yield
    plt.close("all")


@pytest.fixture
def X(watch):
    return watch.X


def make(network=SMALL, sfreq=50.0, **task):
    """A checkpoint of random weights, and the model that it is of."""
    task = TaskConfig(**({"frame": FRAME, "run_length": (1, 2)} | task))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = MaskedAutoencoder(network, task).eval()
        model.target_mean.normal_()
        model.target_sd.uniform_(0.5, 2)
    info = {"grid": {"n_times": network.n_times, "sfreq": sfreq}}
    return Checkpoint(network, task, model.state_dict(), info), model


def show(checkpoint, X, **options):
    return ReconstructionDisplay.from_estimator(checkpoint, X, **options)


def lines(axes):
    return {line.get_label(): line.get_ydata() for line in axes.get_lines()}


def image(axes):
    return np.ma.filled(axes.images[0].get_array(), np.nan).T


def model_says(model, display, kind=0):
    """Prediction in units of the standardised targets, and the loss, by another way."""
    z, mask = torch.from_numpy(display.signal), torch.from_numpy(display.mask)
    kind = torch.full((len(z),), kind)
    with torch.no_grad():
        prediction = model(z, mask, kind, torch.ones(len(z), dtype=torch.bool))
        return prediction, model.loss(prediction, model.targets(z, kind), mask)


# --- what it holds -------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_losses_are_those_of_the_model(X, objective):
    checkpoint, model = make(objective=objective)
    display = show(checkpoint, X)
    _, losses = model_says(model, display)
    assert display.losses.shape == (3,)
    assert_allclose(display.losses, losses, rtol=1e-5)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_targets_and_prediction_are_in_natural_units(X, objective):
    checkpoint, model = make(objective=objective)
    display = show(checkpoint, X, channel=2)
    z = normalise(torch.from_numpy(X[:3, 2].astype(np.float32)))[0]
    assert_array_equal(display.signal, z)
    true = {
        "time": token_samples(z, 8, STRIDE),
        "freq": token_spectra(z, 8, STRIDE, FRAME),
    }
    parts = ["time", "freq"] if objective == "both" else [objective]
    assert list(display.targets) == list(display.prediction) == parts
    for part in parts:
        assert_array_equal(display.targets[part], true[part])
    prediction, _ = model_says(model, display)
    found = np.concatenate([display.prediction[part] for part in parts], axis=2)
    sd, mean = model.target_sd.numpy(), model.target_mean.numpy()
    assert_allclose(found, prediction.numpy() * sd + mean, atol=1e-5)


def test_as_large_a_share_and_as_long_runs_are_hidden_as_in_training(X):
    checkpoint, _ = make(replace(SMALL, n_times=1024), mask_ratio=0.25, run_length=(4, 4))
    display = show(checkpoint, X, n_windows=10)
    assert display.mask.shape == (10, 64)
    assert_array_equal(display.mask.sum(1), 16)
    starts = np.diff(display.mask, axis=1, prepend=False) & display.mask
    assert_array_equal(starts.sum(1), 4)
    assert len(np.unique(display.mask, axis=0)) > 5


def test_the_seed_says_what_is_hidden_and_nothing_else_does(X):
    checkpoint, _ = make(replace(SMALL, n_times=1024), run_length=(2, 8))
    first, again = show(checkpoint, X), show(checkpoint, X)
    assert_array_equal(first.mask, again.mask)
    assert_array_equal(first.prediction["freq"], again.prediction["freq"])
    assert_array_equal(show(checkpoint, X[5:], n_windows=7).mask[:3], first.mask)
    state = np.random.RandomState(3)
    other = show(checkpoint, X, random_state=state, n_windows=9)
    assert_array_equal(other.mask, show(checkpoint, X, random_state=3, n_windows=9).mask)
    assert not np.array_equal(other.mask[:3], first.mask)
    assert show(checkpoint, X, random_state=None).mask.shape == first.mask.shape


def test_what_is_hidden_at_the_input_does_not_reach_the_prediction(X):
    checkpoint, _ = make(masking="input", objective="time")
    before = show(checkpoint, X, n_windows=1)
    z = before.signal[0]
    hidden = before.mask[0].repeat(STRIDE)
    # Turned upside down and shifted, the hidden part keeps the window's mean of 0 and sd of 1.
    inside = z[hidden]
    after = show(checkpoint, np.where(hidden, 2 * inside.mean() - z, z)[None], n_windows=1)
    assert np.abs(after.signal - before.signal).max() > 0.1
    assert_allclose(after.prediction["time"], before.prediction["time"], atol=1e-4)


def test_a_cross_channel_layer_is_part_of_the_prediction(X):
    checkpoint, model = make(cross_channel=True)
    display = show(checkpoint, X)
    z, mask = torch.from_numpy(display.signal), torch.from_numpy(display.mask)
    kind, told, apart = torch.zeros(3).long(), torch.ones(3).bool(), torch.arange(3)
    with torch.no_grad():
        prediction = model(z, mask, kind, told, apart)
        alone = model(z[:1], mask[:1], kind[:1], told[:1], apart[:1])
    natural = prediction * model.target_sd + model.target_mean
    assert_allclose(display.prediction["freq"], natural, atol=1e-5)
    assert_allclose(prediction[:1], alone, atol=1e-5)  # windows know nothing of one another
    assert not torch.allclose(prediction, model_says(model, display)[0], atol=0.1)


# --- what comes in -------------------------------------------------------------------------------


def test_windows_of_another_length_are_resampled_to_the_grid(X):
    checkpoint, _ = make(replace(SMALL, n_times=200))
    display = show(checkpoint, X[:, :, :100], channel=1)
    aligned = SignalAligner(200).fit_transform(X[:3, :, :100])[:, 1]
    assert_array_equal(display.signal, normalise(torch.from_numpy(aligned))[0])
    assert display.mask.shape == (3, 13)
    # The last token reaches beyond the window, which nothing shows.
    assert_allclose(display.axes_[0, 0].get_xlim(), (0, 200))


def test_all_forms_of_windows_give_the_same(X):
    checkpoint, _ = make()
    expected = show(checkpoint, X)
    for form in [X[:, 0], list(X), X[:2].tolist() + X[2:3].tolist(), X.astype(">f8"), X[:3]]:
        display = show(checkpoint, form)
        assert_allclose(display.signal, expected.signal, atol=1e-6)
        assert_array_equal(display.mask, expected.mask)
    assert len(show(checkpoint, X[:2]).signal) == 2  # fewer than asked for


def test_what_is_not_drawn_is_not_read(X):
    X = X.copy()
    X[3:] = np.nan
    assert len(show(make()[0], X).signal) == 3


def test_a_list_of_unequal_lengths_gets_a_time_axis_for_each(X):
    checkpoint, _ = make(sfreq=100.0)
    unequal = [X[0, :1], X[1, :1, :64]]
    display = show(checkpoint, unequal, sfreq=100)
    assert_allclose(display.sfreq, [100, 200])
    assert_allclose([axes.get_xlim()[1] for axes in display.axes_[0]], [1.28, 0.64])
    assert_allclose([axes.get_ylim() for axes in display.axes_[1]], [(0, 100)] * 2)
    assert show(checkpoint, unequal).sfreq is None
    stacked = show(make(objective="time")[0], unequal, sfreq=100)
    assert_allclose([axes.get_xlim()[1] for axes in stacked.axes_[0]], [1.28, 0.64])
    assert [axes.get_xlabel() for axes in stacked.axes_[0]] == ["time (s)"] * 2


def test_the_rate_is_what_was_said_or_that_of_the_grid_where_the_length_fits(X):
    checkpoint, _ = make(sfreq=50.0)
    assert_allclose(show(checkpoint, X).sfreq, 50)
    assert_allclose(show(checkpoint, X, sfreq=10).sfreq, 10)
    assert_allclose(show(checkpoint, X[:, :, :64], sfreq=10).sfreq, 20)
    assert show(checkpoint, X[:, :, :64]).sfreq is None
    assert show(make(sfreq=None)[0], X).sfreq is None


def test_epochs_know_their_rate(X):
    info = mne.create_info(list("abcdef"), 40.0, "misc")
    info["bads"] = ["b"]
    epochs = mne.EpochsArray(X, info, verbose="error")
    display = show(make()[0], epochs, channel=1)
    assert_allclose(display.sfreq, 40)
    assert_allclose(display.signal, show(make()[0], X, channel=2).signal)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_pretrainer_and_its_file_show_the_same(X, objective, tmp_path):
    pretrainer = CitrusPretrainer(
        objective, preset="tiny", max_steps=3, batch_size=8, random_state=0
    ).fit(array_corpus(X, modality="ACC", sfreq=50.0))
    display = show(pretrainer, X)
    pretrainer.save(tmp_path / "own.safetensors")
    for source in (tmp_path / "own.safetensors", str(tmp_path / "own.safetensors")):
        read = show(source, X)
        assert_array_equal(read.mask, display.mask)
        assert_array_equal(read.losses, display.losses)
        for part, prediction in display.prediction.items():
            assert_array_equal(read.prediction[part], prediction)
    assert display.modality == ["ACC"] * 3
    assert np.isfinite(display.losses).all()


# --- whose decoder -------------------------------------------------------------------------------


def test_each_window_gets_the_decoder_of_its_modality(X):
    checkpoint, model = make(TWO)
    display = show(checkpoint, X[:3], modality=["ECG", "ACC", "ekg"])
    assert display.modality == ["ECG", "ACC", "ECG"]
    for kind, windows in ((0, [1]), (1, [0, 2])):
        _, losses = model_says(model, display, kind)
        assert_allclose(display.losses[windows], losses[windows], rtol=1e-5)
    assert show(checkpoint, X, modality="ECG").modality == ["ECG"] * 3
    titles = [axes.get_title() for axes in display.axes_[0]]
    assert titles[1] == f"ACC, masked loss {display.losses[1]:.3f}"


@pytest.mark.parametrize(
    ("modality", "message"),
    [
        (None, "modality=None, and the network has decoders for 'ACC', 'ECG'"),
        ("EEG", "modality='EEG' has no decoder; expected one of 'ACC', 'ECG'"),
        (["ACC", "ACC", None], "modality=None has no decoder; expected one of 'ACC', 'ECG'"),
        (["ACC"], "modality has 1 entries, and X has 3 windows"),
    ],
)
def test_a_network_of_several_modalities_needs_a_known_one(X, modality, message):
    with pytest.raises(ValueError, match=message):
        show(make(TWO)[0], X[:3], modality=modality)


# --- the picture ---------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", ["freq", "both"])
def test_visible_tokens_are_shown_as_they_are_and_hidden_ones_as_predicted(X, objective):
    display = show(make(objective=objective)[0], X)
    assert display.axes_.shape == (4, 3)
    true, hidden = display.targets["freq"], display.mask[..., None]
    for window in range(3):
        _, original, shown, filled = display.axes_[:, window]
        blanked = np.where(hidden[window], np.nan, true[window])
        mixed = np.where(hidden[window], display.prediction["freq"][window], true[window])
        assert_array_equal(image(original), true[window])
        assert_array_equal(image(shown), blanked)
        assert_array_equal(image(filled), mixed)
    scales = {axes.images[0].get_clim() for axes in display.axes_[1:].flat}
    assert len(scales) == 1


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_reconstruction_is_drawn_over_hidden_stretches_alone(X, objective):
    display = show(make(objective=objective)[0], X)
    for window, axes in enumerate(display.axes_[0]):
        drawn, hidden = lines(axes), display.mask[window].repeat(STRIDE)
        assert_array_equal(drawn["signal, hidden"], display.signal[window])
        shown = np.where(hidden, np.nan, display.signal[window])
        assert_array_equal(drawn["signal, shown"], shown)
        assert ("reconstruction" in drawn) == (objective != "freq")
        if objective != "freq":
            guess = np.where(hidden, display.prediction["time"][window].ravel(), np.nan)
            assert_array_equal(drawn["reconstruction"], guess)
        shaded = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in axes.patches]
        times = (np.arange(128) + 0.5) / 50
        inside = np.any([(start < times) & (times < stop) for start, stop in shaded], axis=0)
        assert_array_equal(inside, hidden)


@pytest.mark.parametrize(("sfreq", "frequency"), [(50.0, 6.25), (None, 0.125)])
def test_a_tone_stands_at_its_frequency(sfreq, frequency):
    tone = np.sin(2 * np.pi * 0.125 * np.arange(128))[None]
    display = show(make(sfreq=sfreq)[0], tone, n_windows=1)
    axes = display.axes_[1, 0]
    bottom, top = axes.images[0].get_extent()[2:]
    loudest = image(axes)[4].argmax()
    n_bins = FRAME // 2 + 1
    assert_allclose(bottom + (loudest + 0.5) * (top - bottom) / n_bins, frequency)
    assert_allclose(axes.get_ylim(), (0, 4 * frequency))
    assert axes.get_ylabel().endswith("(Hz)" if sfreq else "(cycles/sample)")
    assert display.axes_[3, 0].get_xlabel() == ("time (s)" if sfreq else "samples")


@pytest.mark.parametrize("n_windows", [1, 4])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_figure_can_be_saved_and_closed(X, objective, n_windows, tmp_path):
    display = show(make(objective=objective)[0], X, n_windows=n_windows)
    n_panels = 1 if objective == "time" else 4
    assert display.axes_.shape == (n_panels, n_windows)
    display.figure_.savefig(tmp_path / "picture.png", dpi=50)
    pixels = plt.imread(tmp_path / "picture.png")
    assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 50
    (legend,) = [ax.get_legend() for ax in display.figure_.axes if ax.get_legend()]
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels[:2] == ["signal, hidden", "signal, shown"]
    plt.close(display.figure_)
    assert plt.get_fignums() == []


def test_panels_take_the_place_of_the_axes_that_were_given(X):
    figure = Figure(figsize=(9, 6), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    display = show(make()[0], X, ax=right)
    assert display.figure_ is figure
    assert len(figure.axes) == 2 + 4 * 3 + 1  # and the colour bar
    figure.canvas.draw()
    for panel in display.axes_.flat:
        assert panel.get_position().x0 > left.get_position().x1
        assert panel.get_position().y1 < right.get_position().y1  # under the legend
    assert plt.get_fignums() == []


def test_panels_are_drawn_on_axes_that_are_laid_out_already(X):
    display = show(make(objective="time")[0], X, ax=Figure().add_subplot())
    panels = Figure().subplots(3, 1)
    assert display.plot(panels) is display
    assert display.axes_.shape == (1, 3)
    assert all(panel.lines for panel in panels)
    assert panels[2].get_legend().get_texts()[0].get_text() == "signal, hidden"
    with pytest.raises(ValueError, match="Expected ax to be one Axes or 3 of them, got 2"):
        display.plot(panels[:2])


def test_axes_that_no_grid_can_replace_are_refused(X):
    figure = Figure()
    ax = figure.add_subplot()
    display = show(make()[0], X, ax=ax)
    with pytest.raises(ValueError, match=r"Expected ax to be switched on, .* Pass the axes_"):
        display.plot(ax)
    with pytest.raises(ValueError, match="Expected ax to be a subplot, got Axes at a free"):
        display.plot(figure.add_axes((0, 0, 1, 1)))


def test_a_constant_window_is_drawn(X):
    display = show(make(objective="both")[0], np.ones((1, 128)))
    assert_array_equal(display.signal, 0)
    display.figure_.canvas.draw()


# --- what is wrong with it -----------------------------------------------------------------------


@pytest.mark.parametrize("source", [None, 3, CitrusClassifier(), CitrusPretrainer])
def test_what_holds_no_weights_is_a_type_error(X, source):
    with pytest.raises(
        TypeError, match=r"estimator=None has no weights|Expected pretrained to be the name"
    ):
        show(source, X)


def test_sources_that_are_not_there_are_named(X, tmp_path):
    with pytest.raises(NotFittedError):
        show(CitrusPretrainer(), X)
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors"):
        show(tmp_path / "none.safetensors", X)
    checkpoint, _ = make()
    with pytest.raises(ValueError, match="no decoder"):
        show(replace(checkpoint, network=replace(SMALL, modalities=())), X)


def test_weights_of_another_network_are_refused(X):
    checkpoint, _ = make()
    fewer = dict(list(checkpoint.tensors.items())[1:])
    with pytest.raises(RuntimeError, match="Missing key"):
        show(replace(checkpoint, tensors=fewer), X)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"channel": 6}, ValueError, "channel=6 is out of range; .* at most 5"),
        ({"channel": "z"}, TypeError, "channel='z' is a str"),
        ({"n_windows": 0}, ValueError, "n_windows=0 is out of range"),
        ({"n_windows": 1.5}, TypeError, "n_windows=1.5 is a float"),
        ({"sfreq": 0}, ValueError, "sfreq=0 is out of range"),
    ],
)
def test_parameters_out_of_range_are_named(X, options, error, message):
    with pytest.raises(error, match=message):
        show(make()[0], X, **options)


def test_a_gap_in_the_signal_is_named(X):
    X = X.copy()
    X[1, 2, 7] = np.nan
    with pytest.raises(ValueError, match="window 1, channel 2, sample 7"):
        show(make()[0], X)


def test_without_matplotlib_the_error_says_what_to_install(X, monkeypatch):
    display = show(make()[0], X)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ModuleNotFoundError, match="pip install matplotlib"):
        display.plot()
