"""Plot of the hidden parts of a signal and a pre-trained network's reconstruction of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from .._utils.devices import draw_seed
from .._utils.plotting import cell_size, new_axes, new_panels
from .._utils.validation import check_number
from ..checkpoints.checkpoint import Checkpoint
from ..checkpoints.registry import resolve_pretrained
from ..nn import MaskedAutoencoder, draw_mask
from ..nn.encoder import normalise
from ..signals.aligner import SignalAligner
from ..signals.containers import Windows
from ..signals.modalities import as_named
from ..signals.windows import read_windows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Greys and Okabe and Ito's vermilion: they differ with any colour vision, and in black and white.
_SHOWN, _TRUE, _GUESS, _SHADE = "0.1", "0.6", "#D55E00", "0.9"
_LEGEND_INCHES = 0.35
_NARROW_PANEL = 2.6  # inches of a panel in which its title has two lines


@dataclass(kw_only=True, eq=False, repr=False)
class ReconstructionDisplay:
    """Original, hidden and reconstructed signal and spectrum of some windows.

    Make one with `from_estimator`, which draws it; `plot` draws it again. The signal next to a
    hidden stretch is not quite free of it: spectral frames and convolutions reach into it.

    Parameters
    ----------
    signal : ndarray of shape (n_windows, n_times)
        Windows on the network's grid, standardised to mean 0 and sd 1.
    mask : ndarray of bool of shape (n_windows, n_tokens)
        True where a token was hidden.
    targets, prediction : dict of str to ndarray
        True and predicted value of each token, hidden or not: ``"time"``, of shape (n_windows,
        n_tokens, token_stride), in sd of the window; ``"freq"``, of shape (n_windows, n_tokens,
        n_bins), natural log of the magnitude, which is about 1 for white noise; or both.
    losses : ndarray of shape (n_windows,)
        Mean smooth L1 over the hidden tokens of each window, the loss of pre-training.
    modality : list of str
        Modality of the decoder that was used for each window.
    token_stride : int
        Samples per token.
    sfreq : ndarray of shape (n_windows,) or None, default=None
        Samples of `signal` per second, or None if they are unknown.

    Attributes
    ----------
    axes_ : ndarray of matplotlib.axes.Axes of shape (n_panels, n_windows)
        The signal and, where spectra were predicted, the true, shown and reconstructed ones.
    figure_ : matplotlib.figure.Figure
        Figure of these axes.

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
        ax: Axes | Sequence[Axes] | None = None,
    ) -> ReconstructionDisplay:
        """Hide parts of windows, reconstruct them with the network, and draw both.

        Parameters
        ----------
        estimator : fitted CitrusPretrainer, str, path-like or Checkpoint
            Pre-trained network, as for ``pretrained=`` of `CitrusClassifier`.
        X : array-like of shape (n, n_channels, n_times) or (n, n_times), list or mne.Epochs
            Windows, resampled to the network's grid where they have another length. A list holds
            arrays of shape (n_channels, n_times_i).
        n_windows : int, default=3
            Number of windows to draw, the first ones; all if there are fewer.
        channel : int, default=0
            Index of the channel to draw; the others are ignored.
        modality : str, sequence of str or None, default=None
            Modality of all windows or of each window of `X`, which chooses the network's
            embedding and decoder. None is allowed for a network with a single modality.
        sfreq : float or None, default=None
            Sampling rate of `X` in Hz, for the axes. None takes that of Epochs, or for windows of
            the grid's length that of the grid; if neither is known, axes count samples.
        random_state : int, RandomState instance or None, default=0
            Seed of the masks. They hide the same fraction, in runs of the same length, as in
            pre-training.
        ax : matplotlib.axes.Axes, sequence of them or None, default=None
            Axes to draw on, see `plot`. None makes a new figure.

        Returns
        -------
        ReconstructionDisplay

        Raises
        ------
        TypeError
            If `estimator` is None or does not hold weights, or a parameter has a wrong type.
        ValueError
            If checkpoint, channel or modality is unknown or missing, or `X` is not a finite signal.
        ModuleNotFoundError
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
        # Cut before reading: of a memory map, only what is drawn is read from disk.
        few = replace(windows, data=windows.data[:n_windows])
        x = torch.from_numpy(aligner.fit_transform(few.data)[:, channel])
        return cls(
            **_fill_in(checkpoint, x, kinds, draw_seed(random_state)),
            modality=kinds,
            token_stride=checkpoint.network.token_stride,
            sfreq=_grid_sfreq(few, sfreq, checkpoint),
        ).plot(ax=ax)

    def plot(self, ax: Axes | Sequence[Axes] | None = None) -> ReconstructionDisplay:
        """Draw the plot.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, sequence of them or None, default=None
            A single Axes is switched off, and rows of panels take its place. A sequence, such as
            ``axes_`` of another display, has one Axes for each panel, row by row. None makes a new
            figure.

        Returns
        -------
        ReconstructionDisplay
            The display itself.

        Raises
        ------
        ModuleNotFoundError
            If matplotlib is not installed.
        """
        n_windows, spectral = len(self.signal), "freq" in self.targets
        one_rate = len(set(self._rates)) == 1
        if ax is None:
            ax = new_axes(figure_size(n_windows, spectral))
        if spectral:
            panels = new_panels(
                ax, 4 * n_windows, n_windows, sharex="col", sharey="row",
                height_ratios=[4, 3, 3, 3], head=_LEGEND_INCHES,
            )  # fmt: skip
            self.axes_ = panels.reshape(4, n_windows)
        else:
            panels = new_panels(ax, n_windows, 1, sharex=one_rate, head=_LEGEND_INCHES)
            self.axes_ = panels[None]
        self.figure_: Figure = self.axes_[0, 0].figure
        for i, panel in enumerate(self.axes_[0]):
            self._plot_signal(panel, i)
        if spectral:
            self._plot_spectra()
        for panel in self.axes_.flat:
            panel.set_xlabel("samples" if self.sfreq is None else "time (s)")
            if spectral or one_rate:
                panel.label_outer()
        self._plot_legend(ax)
        return self

    def _plot_legend(self, ax: Any) -> None:
        """Draw the legend above the panels, or within one if the caller has laid them out."""
        handles, labels = self.axes_[0, 0].get_legend_handles_labels()
        if isinstance(ax, Sequence | np.ndarray):
            self.axes_[0, -1].legend(handles, labels, loc="upper right", fontsize="small")
        else:
            legend = ax.legend(
                handles, labels, loc="upper center", ncols=4, frameon=False, borderaxespad=0
            )
            legend.set_in_layout(False)  # its space above the panels is reserved already

    @property
    def _rates(self) -> list[float]:
        """Samples per unit of each window's time axis."""
        return [1.0] * len(self.signal) if self.sfreq is None else self.sfreq.tolist()

    def _runs(self, i: int) -> np.ndarray:
        """Start and end of the hidden stretches of a window on its time axis, ``(n_runs, 2)``."""
        steps = np.flatnonzero(np.diff(self.mask[i], prepend=False, append=False))
        return steps.reshape(-1, 2) * self.token_stride / self._rates[i]

    def _plot_signal(self, panel: Any, i: int) -> None:
        signal, rate = self.signal[i], self._rates[i]
        n_times, times = len(signal), np.arange(len(signal)) / rate
        hidden = self.mask[i].repeat(self.token_stride)[:n_times]
        for start, stop in self._runs(i):
            panel.axvspan(start, stop, color=_SHADE, lw=0, zorder=0)
        panel.plot(times, signal, color=_TRUE, lw=0.8, label="signal, hidden")
        # On top of the whole signal, so that no gap opens at the edges.
        shown = np.where(hidden, np.nan, signal)
        panel.plot(times, shown, color=_SHOWN, lw=0.8, label="signal, shown")
        if "time" in self.prediction:
            guess = np.where(hidden, self.prediction["time"][i].ravel()[:n_times], np.nan)
            panel.plot(times, guess, color=_GUESS, lw=1.3, label="reconstruction")
        narrow = cell_size(panel)[0] < _NARROW_PANEL
        separator = "\n" if narrow else " "
        title = f"{self.modality[i]},{separator}masked loss {self.losses[i]:.3f}"
        panel.set_title(title, fontsize="x-small" if narrow else "large")
        panel.set(xlim=(0, n_times / rate), ylabel="signal (sd)")
        panel.spines[["top", "right"]].set_visible(False)

    def _plot_spectra(self) -> None:
        true, hidden = self.targets["freq"], self.mask[..., None]
        _, n_tokens, n_bins = true.shape
        rows = {
            "true": true,
            "shown": np.where(hidden, np.nan, true),
            "reconstructed": np.where(hidden, self.prediction["freq"], true),
        }
        low, high = np.quantile(true, [0.01, 0.995])  # one scale that no single bin stretches
        unit, top = "cycles/sample" if self.sfreq is None else "Hz", max(self._rates) / 2
        for panels, (name, spectra) in zip(self.axes_[1:], rows.items(), strict=True):
            for i, (panel, rate) in enumerate(zip(panels, self._rates, strict=True)):
                end, half_bin = n_tokens * self.token_stride / rate, rate / 4 / (n_bins - 1)
                image = panel.imshow(
                    spectra[i].T, origin="lower", aspect="auto", interpolation="nearest",
                    extent=(0, end, -half_bin, rate / 2 + half_bin),
                    cmap="viridis", vmin=low, vmax=high,
                )  # fmt: skip
                for run in self._runs(i):
                    panel.axvspan(*run, ymax=rate / 2 / top, color=_SHADE, lw=0, zorder=-1)
                    panel.vlines(run, 0, rate / 2, color="white", lw=0.8, ls="--")
                panel.set(ylim=(0, top), ylabel=f"{name}\n({unit})")
        self.figure_.colorbar(
            image, ax=self.axes_[1:].ravel().tolist(), label="log magnitude", pad=0.01, aspect=40
        )


def figure_size(n_windows: int, spectral: bool) -> tuple[float, float]:
    """Width and height in inches of a legible figure.

    Windows with spectra below them are side by side, and windows without are below each other.
    """
    return (1.4 + 3.8 * n_windows, 7.5) if spectral else (9.0, 1.0 + 1.8 * n_windows)


def _modalities(modality: Any, n_windows: int, known: tuple[str, ...]) -> list[str]:
    """Name of the decoder for each window of X."""
    names = ", ".join(map(repr, known))
    if not known:
        raise ValueError("The network has no decoder; pass one that CitrusPretrainer made.")
    if modality is None and len(known) > 1:
        raise ValueError(
            f"modality=None, and the network has decoders for {names}; expected that of X."
        )
    modality = known[0] if modality is None else modality
    named = [modality] * n_windows if isinstance(modality, str) else list(modality)
    if len(named) != n_windows:
        raise ValueError(
            f"modality has {len(named)} entries, and X has {n_windows} windows; expected one for "
            "each, or a single string."
        )
    for name in named:
        if not isinstance(name, str) or as_named(name) not in known:
            raise ValueError(f"modality={name!r} has no decoder; expected one of {names}.")
    return [as_named(name) for name in named]


def _grid_sfreq(windows: Windows, sfreq: float | None, checkpoint: Checkpoint) -> np.ndarray | None:
    """Samples per second of each window on the grid; None if they are unknown."""
    longer = np.array([checkpoint.network.n_times / window.shape[-1] for window in windows.data])
    rate = windows.sfreq if sfreq is None else sfreq
    if rate is None and (longer == 1).all():
        rate = checkpoint.info.get("grid", {}).get("sfreq")
    return None if rate is None else rate * longer


@torch.no_grad()
def _fill_in(checkpoint: Checkpoint, x: Tensor, kinds: list[str], seed: int) -> dict[str, Any]:
    """Mask windows and predict them; targets and prediction are in natural units."""
    network, task = checkpoint.network, checkpoint.task
    with torch.device("meta"):  # no random numbers are drawn
        model = MaskedAutoencoder(network, task).eval()
    model.load_state_dict(checkpoint.tensors, strict=True, assign=True)
    z, generator = normalise(x)[0], torch.Generator().manual_seed(seed)
    # One at a time: the mask of a window does not depend on the number of windows after it.
    settings = (1, network.n_tokens, task.mask_ratio, task.run_length, generator)
    mask = torch.cat([draw_mask(*settings) for _ in kinds])
    modality = torch.tensor([network.modalities.index(kind) for kind in kinds])
    # The network uses the modality of each window, but no other channels of it.
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
