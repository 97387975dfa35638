"""A picture of what a pre-trained network makes of the parts of a signal that it is not shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ._aligner import SignalAligner
from ._checkpoint import Checkpoint
from ._containers import Windows
from ._devices import draw_seed
from ._parameters import check_number
from ._recordings.channels import as_named
from ._registry import resolve_pretrained
from ._signals import read_windows
from .nn import MaskedAutoencoder, draw_mask
from .nn._encoder import normalise

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Greys and Okabe and Ito's vermilion: told apart by every kind of eye, and in black and white.
_SHOWN, _TRUE, _GUESS, _SHADE = "0.1", "0.6", "#D55E00", "0.9"


@dataclass(kw_only=True, eq=False, repr=False)
class ReconstructionDisplay:
    """Original, hidden and reconstructed signal and spectrum, window by window.

    Make one with `from_estimator`; it is drawn at once, and again by `plot`. What is shown beside
    a hidden stretch is not quite free of it: spectral frames and the convolution reach into it.

    Parameters
    ----------
    signal : ndarray of shape (n_windows, n_times)
        Windows on the network's grid, of mean 0 and sd 1.
    mask : ndarray of bool of shape (n_windows, n_tokens)
        True where a token was hidden.
    targets, prediction : dict of str to ndarray
        What each token was and what the network says it was, hidden or not: ``"time"``, of shape
        (n_windows, n_tokens, token_stride), in sd of the window; ``"freq"``, of shape (n_windows,
        n_tokens, n_bins), natural log of the magnitude, which is about 1 for white noise; or both.
    losses : ndarray of shape (n_windows,)
        Mean smooth L1 over the hidden tokens of each window, the loss of the pre-training.
    modality : list of str
        Whose decoder was used for each window.
    token_stride : int
        Samples under a token.
    sfreq : ndarray of shape (n_windows,) or None, default=None
        Samples of `signal` in a second; None where not known.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        What was drawn on.
    axes_ : ndarray of matplotlib.axes.Axes of shape (n_panels, n_windows)
        The signal and, where spectra were predicted, the true, shown and reconstructed ones.

    Examples
    --------
    >>> display = ReconstructionDisplay.from_estimator("eeg-freq", X, sfreq=160)  # doctest: +SKIP
    >>> display.figure_.savefig("reconstruction.png")  # doctest: +SKIP
    """

    signal: np.ndarray
    mask: np.ndarray
    targets: dict[str, np.ndarray]
    prediction: dict[str, np.ndarray]
    losses: np.ndarray
    modality: list[str]
    token_stride: int
    sfreq: np.ndarray | None = None

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        n_windows: int = 3,
        channel: int = 0,
        modality: str | Sequence[str] | None = None,
        sfreq: float | None = None,
        random_state: Any = 0,
        figure: Figure | None = None,
    ) -> ReconstructionDisplay:
        """Hide parts of windows, let the network fill them in, and draw it.

        Parameters
        ----------
        estimator : fitted CitrusPretrainer, str, path-like or Checkpoint
            The network, or whatever else ``pretrained=`` of `CitrusClassifier` takes.
        X : array-like of shape (n, n_channels, n_times) or (n, n_times), list or mne.Epochs
            Windows, resampled to the network's grid where they are of another length. A list holds
            arrays of shape (n_channels, n_times_i).
        n_windows : int, default=3
            How many are drawn, from the first on; all, if there are fewer.
        channel : int, default=0
            Which channel of them; the others are left out.
        modality : str, sequence of str or None, default=None
            Kind of signal of all windows or of each window of `X`: what the network is told, and
            whose decoder it uses. None will do for a network of a single kind.
        sfreq : float or None, default=None
            Sampling rate of `X` in Hz, for the axes. None takes that of Epochs, or the network's
            grid for windows of its length, and else counts in samples of the grid.
        random_state : int, RandomState instance or None, default=0
            Of what is hidden: as large a share, and as long runs, as in pre-training.
        figure : matplotlib.figure.Figure or None, default=None
            Where to draw; emptied and laid out anew. None makes one with `matplotlib.pyplot`.

        Returns
        -------
        ReconstructionDisplay

        Raises
        ------
        TypeError
            If `estimator` is None or nothing that holds weights, or a parameter has a wrong type.
        ValueError
            If checkpoint, channel or modality is unknown or not told, or `X` is no finite signal.
        ImportError
            If matplotlib is not installed.
        """
        check_number("n_windows", n_windows, Integral, low=1)
        checkpoint = resolve_pretrained(estimator)
        if checkpoint is None:
            raise TypeError("estimator=None has no weights; pass a pre-trainer or a checkpoint.")
        aligner = SignalAligner(checkpoint.network.n_times, sfreq=sfreq)
        windows = read_windows(aligner, X, reset=True, ragged=True)
        check_number("channel", channel, Integral, high=windows.n_chans - 1)
        kinds = _modalities(modality, len(windows), checkpoint.network.modalities)[:n_windows]
        # Cut before it is read: of a memory map only what is drawn leaves the disk.
        few = replace(windows, data=windows.data[:n_windows])
        x = torch.from_numpy(aligner.fit_transform(few.data)[:, channel])
        return cls(
            **_fill_in(checkpoint, x, kinds, draw_seed(random_state)),
            modality=kinds,
            token_stride=checkpoint.network.token_stride,
            sfreq=_grid_sfreq(few, sfreq, checkpoint),
        ).plot(figure=figure)

    def plot(self, *, figure: Figure | None = None) -> ReconstructionDisplay:
        """Draw.

        Parameters
        ----------
        figure : matplotlib.figure.Figure or None, default=None
            Where to draw; emptied and laid out anew. None makes one with `matplotlib.pyplot`.

        Returns
        -------
        ReconstructionDisplay
            Itself, with ``figure_`` and ``axes_``.
        """
        n_windows, spectral = len(self.signal), "freq" in self.targets
        self.figure_ = _new_figure(figure_size(n_windows, spectral)) if figure is None else figure
        self.figure_.clear()
        self.figure_.set_layout_engine("constrained")  # the legend stands outside the panels
        alike = len(set(self._rates)) == 1
        if spectral:
            self.axes_ = self.figure_.subplots(
                4, n_windows, sharex="col", sharey="row", squeeze=False, height_ratios=[4, 3, 3, 3]
            )
            self._plot_spectra()
        else:
            self.axes_ = self.figure_.subplots(n_windows, 1, sharex=alike, squeeze=False).T
        for number, axes in enumerate(self.axes_[0]):
            self._plot_signal(axes, number)
        for axes in self.axes_.flat:
            axes.set_xlabel("samples" if self.sfreq is None else "time (s)")
            if spectral or alike:
                axes.label_outer()
        handles = self.axes_[0, 0].get_legend_handles_labels()
        self.figure_.legend(*handles, loc="outside upper center", ncols=4, frameon=False)
        return self

    @property
    def _rates(self) -> list[float]:
        """Samples in a unit of each window's time axis."""
        return [1.0] * len(self.signal) if self.sfreq is None else self.sfreq.tolist()

    def _runs(self, number: int) -> np.ndarray:
        """Where hidden stretches of a window begin and end on its time axis, ``(n_runs, 2)``."""
        steps = np.flatnonzero(np.diff(self.mask[number], prepend=False, append=False))
        return steps.reshape(-1, 2) * self.token_stride / self._rates[number]

    def _plot_signal(self, axes: Any, number: int) -> None:
        signal, rate = self.signal[number], self._rates[number]
        n_times, times = len(signal), np.arange(len(signal)) / rate
        hidden = self.mask[number].repeat(self.token_stride)[:n_times]
        for start, stop in self._runs(number):
            axes.axvspan(start, stop, color=_SHADE, lw=0, zorder=0)
        axes.plot(times, signal, color=_TRUE, lw=0.8, label="signal, hidden")
        # On top of the whole signal, so that no gap opens at the edges.
        shown = np.where(hidden, np.nan, signal)
        axes.plot(times, shown, color=_SHOWN, lw=0.8, label="signal, shown")
        if "time" in self.prediction:
            guess = np.where(hidden, self.prediction["time"][number].ravel()[:n_times], np.nan)
            axes.plot(times, guess, color=_GUESS, lw=1.3, label="reconstruction")
        title = f"{self.modality[number]}, masked loss {self.losses[number]:.3f}"
        axes.set(title=title, xlim=(0, n_times / rate), ylabel="signal (sd)")
        axes.spines[["top", "right"]].set_visible(False)

    def _plot_spectra(self) -> None:
        true, hidden = self.targets["freq"], self.mask[..., None]
        _, n_tokens, n_bins = true.shape
        panels = {
            "true": true,
            "shown": np.where(hidden, np.nan, true),
            "reconstructed": np.where(hidden, self.prediction["freq"], true),
        }
        low, high = np.quantile(true, [0.01, 0.995])  # one scale, which no single bin stretches
        unit, top = "cycles/sample" if self.sfreq is None else "Hz", max(self._rates) / 2
        for row, (name, spectra) in zip(self.axes_[1:], panels.items(), strict=True):
            for number, (axes, rate) in enumerate(zip(row, self._rates, strict=True)):
                end, half_bin = n_tokens * self.token_stride / rate, rate / 4 / (n_bins - 1)
                image = axes.imshow(
                    spectra[number].T, origin="lower", aspect="auto", interpolation="nearest",
                    extent=(0, end, -half_bin, rate / 2 + half_bin),
                    cmap="viridis", vmin=low, vmax=high,
                )  # fmt: skip
                for run in self._runs(number):
                    axes.axvspan(*run, ymax=rate / 2 / top, color=_SHADE, lw=0, zorder=-1)
                    axes.vlines(run, 0, rate / 2, color="white", lw=0.8, ls="--")
                axes.set(ylim=(0, top), ylabel=f"{name}\n({unit})")
        self.figure_.colorbar(image, ax=self.axes_[1:], label="log magnitude", pad=0.01, aspect=40)


def figure_size(n_windows: int, spectral: bool) -> tuple[float, float]:
    """Inches of a figure that can be read.

    Windows stand side by side above their spectra; signals alone are wide, and are stacked.
    """
    return (1.4 + 3.8 * n_windows, 7.5) if spectral else (9.0, 1.0 + 1.8 * n_windows)


def _new_figure(size: tuple[float, float]) -> Figure:
    try:
        import matplotlib.pyplot as plt
    except ModuleNotFoundError as error:
        message = 'ReconstructionDisplay needs matplotlib: pip install "citrus-sk[demo]"'
        raise ModuleNotFoundError(message, name="matplotlib") from error
    return plt.figure(figsize=size, layout="constrained")


def _modalities(modality: Any, n_windows: int, known: tuple[str, ...]) -> list[str]:
    """Whose decoder each window of X gets."""
    names = ", ".join(map(repr, known))
    if not known:
        raise ValueError("The network has no decoder; pass one that CitrusPretrainer made.")
    if modality is None and len(known) > 1:
        raise ValueError(f"modality=None, and the network knows {names}; set it to what X is.")
    modality = known[0] if modality is None else modality
    named = [modality] * n_windows if isinstance(modality, str) else list(modality)
    if len(named) != n_windows:
        raise ValueError(f"modality names {len(named)} windows, and X has {n_windows} of them.")
    for each in named:
        if not isinstance(each, str) or as_named(each) not in known:
            raise ValueError(f"modality={each!r} has no decoder; wanted one of {names}.")
    return [as_named(each) for each in named]


def _grid_sfreq(windows: Windows, sfreq: float | None, checkpoint: Checkpoint) -> np.ndarray | None:
    """Samples of the grid in a second of each window; None where that is not known."""
    longer = np.array([checkpoint.network.n_times / window.shape[-1] for window in windows.data])
    rate = windows.sfreq if sfreq is None else sfreq
    if rate is None and (longer == 1).all():
        rate = checkpoint.info.get("grid", {}).get("sfreq")
    return None if rate is None else rate * longer


@torch.no_grad()
def _fill_in(checkpoint: Checkpoint, x: Tensor, kinds: list[str], seed: int) -> dict[str, Any]:
    """Mask windows and predict them; targets and prediction are in natural units."""
    network, task = checkpoint.network, checkpoint.task
    with torch.device("meta"):  # no draw from any random state
        model = MaskedAutoencoder(network, task).eval()
    model.load_state_dict(checkpoint.tensors, strict=True, assign=True)
    z, generator = normalise(x)[0], torch.Generator().manual_seed(seed)
    # One at a time: what is hidden of a window does not hang on how many come after it.
    how = (1, network.n_tokens, task.mask_ratio, task.run_length, generator)
    mask = torch.cat([draw_mask(*how) for _ in kinds])
    modality = torch.tensor([network.modalities.index(kind) for kind in kinds])
    # The network is told the modality, and sees no other channel of the window.
    prediction = model(z, mask, modality, torch.ones_like(mask[:, 0]), torch.arange(len(z)))
    mean, sd = model.target_mean[modality][:, None], model.target_sd[modality][:, None]
    true, guess = model.raw_targets(z), prediction * sd + mean
    sizes = list(model.parts.values())
    return {
        "signal": z.numpy(),
        "mask": mask.numpy(),
        "targets": dict(zip(model.parts, map(np.asarray, true.split(sizes, 2)), strict=True)),
        "prediction": dict(zip(model.parts, map(np.asarray, guess.split(sizes, 2)), strict=True)),
        "losses": model.loss(prediction, model.targets(z, modality), mask).numpy(),
    }
