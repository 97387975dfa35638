"""A window with what its samples say for or against a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

from .._figures import literal, new_axes
from .._parameters import check_number
from ._attribution import Attribution, attribution
from ._grid import read_inspected
from ._model import FittedModel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's: told apart by every kind of eye. In print, up and down tell them apart.
FOR, AGAINST = "#D55E00", "#0072B2"
_TRACE, _AREA = (0.42, 0.97), (0.03, 0.39)  # parts of a channel's row, from its foot


@dataclass(kw_only=True, eq=False, repr=False)
class AttributionDisplay:
    """The channels of a window, shaded by what their samples say for a class or against it.

    Make one with `from_estimator`; it is drawn at once, and again by `plot`. Below each signal
    stands a curve: upwards and orange where a sample speaks for the target, downwards and blue
    where it speaks against it. The shade behind the signal is the same curve.

    Parameters
    ----------
    attribution : Attribution
        What `citrus_sk.inspection.attribution` found.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
    figure_ : matplotlib.figure.Figure

    Examples
    --------
    >>> import numpy as np
    >>> from citrus_sk import CitrusClassifier, AttributionDisplay
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat(["slow", "fast"], 10)
    >>> X = np.sin(np.arange(96) * np.where(y == "slow", 0.3, 0.9)[:, None])
    >>> X += 0.3 * rng.standard_normal(X.shape)
    >>> clf = CitrusClassifier(pretrained=None, preset="tiny", random_state=0).fit(X, y)
    >>> display = AttributionDisplay.from_estimator(clf, X, window=3, sfreq=100)
    >>> display.ax_.get_xlabel()
    'time (s)'
    """

    attribution: Attribution
    ax_: Axes | None = None
    figure_: Figure | None = None

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        window: int = 0,
        target: Any = None,
        channels: Sequence[int] | None = None,
        ax: Axes | None = None,
        **settings: Any,
    ) -> AttributionDisplay:
        """Explain a model's answer to one window, and draw it.

        Parameters
        ----------
        estimator : fitted estimator or Pipeline
        X : array-like of shape (n_windows, n_channels, n_times) or (n_windows, n_times), list or \
mne.Epochs
            Only one of the windows is explained. References, where the method needs them and none
            are given, are drawn from the others.
        window : int, default=0
            Which one.
        target : label, int or None, default=None
            Class that is asked about; the predicted one if None.
        channels : sequence of int, default=None
            Which channels are drawn, from top to bottom; all if None.
        ax : matplotlib.axes.Axes, default=None
            What to draw on; a new figure if None.
        **settings
            Of `citrus_sk.inspection.attribution`: ``method``, ``sfreq``, ``ch_names`` and others.

        Returns
        -------
        AttributionDisplay

        Raises
        ------
        ModuleNotFoundError
            If matplotlib is not installed.
        TypeError, ValueError
            As `citrus_sk.inspection.attribution`.
        """
        # What is wrong with a model or its windows is said before anything is cut.
        read_inspected(FittedModel(estimator), X)
        data = X if hasattr(X, "__len__") else np.asarray(X)
        check_number("window", window, Integral, high=len(data) - 1)
        others = [place for place in range(len(data)) if place != window]
        if settings.get("references") is None and others:
            settings["references"] = take(data, others)
        found = attribution(estimator, take(data, [window]), target=target, **settings)
        return cls(attribution=found).plot(channels=channels, ax=ax)

    def plot(
        self,
        *,
        window: int = 0,
        channels: Sequence[int] | None = None,
        ax: Axes | None = None,
    ) -> AttributionDisplay:
        """Draw one window; on a new figure where `ax` is None.

        Parameters
        ----------
        window : int, default=0
            Which of those that were explained.
        channels : sequence of int, default=None
            Which channels, from top to bottom; all if None.
        ax : matplotlib.axes.Axes, default=None

        Returns
        -------
        AttributionDisplay
            Itself.
        """
        found = self.attribution
        check_number("window", window, Integral, high=len(found.values) - 1)
        chosen = list(range(found.values.shape[1]) if channels is None else channels)
        for channel in chosen:
            check_number("channels", channel, Integral, high=found.values.shape[1] - 1)
        ax = new_axes(ax, (6.4, 0.9 + 0.8 * len(chosen)))
        values, signal = found.values[window][chosen], found.signal[window][chosen]
        times = found.times[window]
        peak = np.abs(values).max() or 1.0
        image = self._shade(ax, times, values / peak)
        for row, (trace, value) in enumerate(zip(signal, values / peak, strict=True)):
            foot = len(chosen) - 1 - row
            self._draw_channel(ax, times, trace, value, foot)
        middles = np.arange(len(chosen))[::-1] + 0.5
        ax.set_yticks(middles, [literal(found.ch_names[channel]) for channel in chosen])
        ax.tick_params("y", length=0)
        ax.set(xlim=times[[0, -1]], ylim=(0, len(chosen)))
        ax.set_xlabel("time (s)" if found.time_unit == "s" else "time (samples)")
        ax.set_title(self._title(window), fontsize="medium")
        ax.spines[["top", "right", "left"]].set_visible(False)
        bar = ax.figure.colorbar(image, ax=ax, pad=0.02, aspect=30)
        bar.set_ticks([-1, 0, 1], labels=[f"{-peak:.2g}", "0", f"{peak:.2g}"])
        bar.set_label(self._unit(), fontsize="small")
        bar.ax.tick_params(labelsize="small")
        bar.outline.set_visible(False)
        self.ax_, self.figure_ = ax, ax.figure  # type: ignore[assignment]
        return self

    def _shade(self, ax: Axes, times: np.ndarray, values: np.ndarray) -> Any:
        from matplotlib.colors import LinearSegmentedColormap

        # No darker than a signal in black can be read on.
        colours = LinearSegmentedColormap.from_list("for_against", [AGAINST, "1.0", FOR])
        step = (times[-1] - times[0]) / max(1, len(times) - 1)
        extent = (times[0] - step / 2, times[-1] + step / 2, 0, len(values))
        return ax.imshow(
            values, cmap=colours, vmin=-1, vmax=1, extent=extent, aspect="auto", alpha=0.7,
            interpolation="nearest", zorder=0,
        )  # fmt: skip

    def _draw_channel(
        self, ax: Axes, times: np.ndarray, trace: np.ndarray, value: np.ndarray, foot: int
    ) -> None:
        low, high = trace.min(), trace.max()
        unit = (trace - low) / (high - low) if high > low else np.full_like(trace, 0.5)
        ax.plot(times, foot + _TRACE[0] + unit * (_TRACE[1] - _TRACE[0]), color="0.0", lw=0.8)
        zero = foot + sum(_AREA) / 2
        curve = zero + value * (_AREA[1] - _AREA[0]) / 2
        ax.fill_between(times, zero, curve, where=value > 0, color=FOR, lw=0)
        ax.fill_between(times, zero, curve, where=value < 0, color=AGAINST, lw=0)
        ax.axhline(zero, color="0.3", lw=0.5)
        ax.axhline(foot, color="1.0", lw=2)

    def _title(self, window: int) -> str:
        found = self.attribution
        target, score = literal(found.targets[window]), found.scores[window]
        if found.score_unit == "prediction":
            return f"prediction {score:.3g}"
        return f"{target}, {found.score_unit} {score:.2f}"

    def _unit(self) -> str:
        found = self.attribution
        share = "loss of" if found.method == "occlusion" else "share of"
        return f"{share} {found.score_unit}"


def take(data: Any, rows: list[int]) -> Any:
    """Some windows of an array, a list, a data frame or Epochs, in the same container."""
    if isinstance(data, list | tuple):
        return [data[row] for row in rows]
    return data.iloc[rows] if hasattr(data, "iloc") else data[rows]
