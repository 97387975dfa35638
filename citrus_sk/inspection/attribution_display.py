"""Plot of a window and the contribution of its samples to a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

from .._utils.plotting import Display, literal
from .._utils.validation import check_number
from ..signals.containers import take_windows
from .attribution import Attribution, attribution
from .fitted_model import FittedModel
from .grid import read_inspected

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, which differ with any colour vision; in print, up and down differ.
FOR, AGAINST = "#D55E00", "#0072B2"
_TRACE, _AREA = (0.42, 0.97), (0.03, 0.39)  # parts of a channel's row, from its bottom


@dataclass(kw_only=True, eq=False, repr=False)
class AttributionDisplay(Display):
    """Channels of a window, shaded by the contribution of their samples to a class.

    Make one with `from_estimator`, which draws it; `plot` draws it again. The curve below each
    signal is orange and above zero where samples raise the score of the target, blue and below
    zero where they lower it. The shade behind the signal shows the same values.

    Parameters
    ----------
    attribution : Attribution
        Result of `citrus_sk.inspection.attribution`.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes with the plot.
    figure_ : matplotlib.figure.Figure
        Figure of these axes.

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
        """Explain the prediction for one window, and draw the explanation.

        Parameters
        ----------
        estimator : fitted estimator or Pipeline
            Model to explain.
        X : array-like of shape (n_windows, n_channels, n_times) or (n_windows, n_times), list or \
mne.Epochs
            Windows, of which one is explained. References are drawn from the others, if the method
            needs them and none are passed.
        window : int, default=0
            Index of the window to explain.
        target : label, int or None, default=None
            Class to explain; the predicted one if None.
        channels : sequence of int, default=None
            Indices of the channels to draw, from top to bottom; all if None.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on. None makes a new figure.
        **settings
            Parameters of `citrus_sk.inspection.attribution`: ``method``, ``sfreq``, ``ch_names``
            and others.

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
        # Errors in the model or its windows are raised before anything is cut.
        read_inspected(FittedModel(estimator), X)
        data = X if hasattr(X, "__len__") else np.asarray(X)
        check_number("window", window, Integral, high=len(data) - 1)
        others = [i for i in range(len(data)) if i != window]
        if settings.get("references") is None and others:
            settings["references"] = take_windows(data, others)
        found = attribution(estimator, take_windows(data, [window]), target=target, **settings)
        return cls(attribution=found).plot(ax, channels=channels)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        window: int = 0,
        channels: Sequence[int] | None = None,
    ) -> AttributionDisplay:
        """Draw one window.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on. None makes a new figure.
        window : int, default=0
            Index among the windows that were explained.
        channels : sequence of int, default=None
            Indices of the channels, from top to bottom; all if None.

        Returns
        -------
        AttributionDisplay
            The display itself.

        Raises
        ------
        ModuleNotFoundError
            If matplotlib is not installed.
        """
        found = self.attribution
        check_number("window", window, Integral, high=len(found.values) - 1)
        chosen = list(range(found.values.shape[1]) if channels is None else channels)
        for channel in chosen:
            check_number("channels", channel, Integral, high=found.values.shape[1] - 1)
        ax = self._begin(ax, (6.4, 0.9 + 0.8 * len(chosen)))
        values, signal = found.values[window][chosen], found.signal[window][chosen]
        times = found.times[window]
        peak = np.abs(values).max() or 1.0
        image = self._shade(ax, times, values / peak)
        for row, (trace, value) in enumerate(zip(signal, values / peak, strict=True)):
            self._draw_channel(ax, times, trace, value, bottom=len(chosen) - 1 - row)
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
        return self

    def _shade(self, ax: Axes, times: np.ndarray, values: np.ndarray) -> Any:
        from matplotlib.colors import LinearSegmentedColormap

        # Light enough for a black signal on top.
        colours = LinearSegmentedColormap.from_list("for_against", [AGAINST, "1.0", FOR])
        step = (times[-1] - times[0]) / max(1, len(times) - 1)
        extent = (times[0] - step / 2, times[-1] + step / 2, 0, len(values))
        return ax.imshow(
            values, cmap=colours, vmin=-1, vmax=1, extent=extent, aspect="auto", alpha=0.7,
            interpolation="nearest", zorder=0,
        )  # fmt: skip

    def _draw_channel(
        self, ax: Axes, times: np.ndarray, trace: np.ndarray, value: np.ndarray, bottom: int
    ) -> None:
        low, high = trace.min(), trace.max()
        unit = (trace - low) / (high - low) if high > low else np.full_like(trace, 0.5)
        ax.plot(times, bottom + _TRACE[0] + unit * (_TRACE[1] - _TRACE[0]), color="0.0", lw=0.8)
        zero = bottom + sum(_AREA) / 2
        curve = zero + value * (_AREA[1] - _AREA[0]) / 2
        ax.fill_between(times, zero, curve, where=value > 0, color=FOR, lw=0)
        ax.fill_between(times, zero, curve, where=value < 0, color=AGAINST, lw=0)
        ax.axhline(zero, color="0.3", lw=0.5)
        ax.axhline(bottom, color="1.0", lw=2)

    def _title(self, window: int) -> str:
        found = self.attribution
        target, score = literal(found.targets[window]), found.scores[window]
        if found.score_unit == "prediction":
            return f"prediction {score:.3g}"
        return f"{target}, {found.score_unit} {score:.2f}"

    def _unit(self) -> str:
        found = self.attribution
        kind = "loss of" if found.method == "occlusion" else "contribution to"
        return f"{kind} {found.score_unit}"
