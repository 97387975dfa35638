"""Plot of a recording with the events that a classifier predicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .._utils.plotting import fitting_columns, literal, new_axes, new_panels, style
from .._utils.validation import check_number
from ..signals.picks import pick_channels
from .prediction import predict_raw
from .result import RawPrediction

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from mne import Annotations
    from mne.io import BaseRaw

# Pieces of the time axis, in each of which the lowest and highest value are drawn.
_N_PIECES = 1000
_CHANNEL_INCHES, _PROBABILITY_INCHES = 0.45, 1.3


@dataclass(kw_only=True, eq=False, repr=False)
class RawPredictionDisplay:
    """Signals of a recording, with predicted events over them and probabilities below.

    Make one with `from_estimator` or `from_prediction`, which draw it; `plot` draws it again.

    Parameters
    ----------
    prediction : RawPrediction
        Probabilities.
    events : mne.Annotations
        Events to mark.
    times : ndarray of shape (n_times,)
        Times of the signals in seconds after the first sample of the recording.
    signals : ndarray of shape (n_chans, n_times)
        Signals to draw, in any unit.
    ch_names : list of str
        Names of the channels.
    high, low : float
        Thresholds of the events.

    Attributes
    ----------
    axes_ : ndarray of matplotlib.axes.Axes of shape (2,)
        Axes of the signals and of the probabilities.
    figure_ : matplotlib.figure.Figure
        Figure of these axes.

    Examples
    --------
    >>> import mne
    >>> import numpy as np
    >>> from citrus_sk.mne import RawPrediction, RawPredictionDisplay
    >>> rng = np.random.default_rng(0)
    >>> info = mne.create_info(["C3", "C4"], 100, "eeg")
    >>> raw = mne.io.RawArray(rng.standard_normal((2, 1000)), info, verbose="error")
    >>> p = np.array([0.1, 0.2, 0.9, 0.8, 0.2])
    >>> prediction = RawPrediction(
    ...     onset=np.arange(0.0, 10.0, 2.0),
    ...     duration=2.0,
    ...     proba=np.column_stack([p, 1 - p]),
    ...     classes=np.array(["spindle", "none"]),
    ... )
    >>> display = RawPredictionDisplay.from_prediction(prediction, raw, classes=["spindle"])
    >>> display.axes_[1].get_xlabel()
    'time (s)'
    """

    prediction: RawPrediction
    events: Annotations
    times: np.ndarray
    signals: np.ndarray
    ch_names: list[str]
    high: float
    low: float

    @classmethod
    def from_estimator(
        cls,
        model: Any,
        raw: BaseRaw,
        *,
        ax: Axes | Sequence[Axes] | None = None,
        duration: float | None = None,
        overlap: float | None = None,
        adapt: bool = False,
        **settings: Any,
    ) -> RawPredictionDisplay:
        """Predict a recording, and draw it.

        Parameters
        ----------
        model : RecordingModel, fitted classifier or Pipeline
            Model, as for `predict_raw`.
        raw : mne.io.Raw
            Recording.
        ax : matplotlib.axes.Axes, sequence of two of them or None, default=None
            Axes to draw on, see `plot`. None makes a new figure.
        duration, overlap, adapt
            Parameters of `predict_raw`.
        **settings
            Further parameters of `from_prediction`.

        Returns
        -------
        RawPredictionDisplay

        Raises
        ------
        ModuleNotFoundError
            If matplotlib is not installed.
        TypeError, ValueError
            As `predict_raw` and `from_prediction`.
        """
        prediction = predict_raw(model, raw, duration=duration, overlap=overlap, adapt=adapt)
        return cls.from_prediction(prediction, raw, ax=ax, **settings)

    @classmethod
    def from_prediction(
        cls,
        prediction: RawPrediction,
        raw: BaseRaw,
        *,
        ax: Axes | Sequence[Axes] | None = None,
        picks: str | Sequence[str] | None = None,
        tmin: float = 0.0,
        tmax: float | None = None,
        high: float = 0.6,
        low: float = 0.5,
        min_duration: float = 0.0,
        classes: Sequence[Any] | None = None,
    ) -> RawPredictionDisplay:
        """Draw a recording and its predictions.

        Parameters
        ----------
        prediction : RawPrediction
            Result of `predict_raw`.
        raw : mne.io.Raw
            Recording.
        ax : matplotlib.axes.Axes, sequence of two of them or None, default=None
            Axes to draw on, see `plot`. None makes a new figure.
        picks : str, sequence of str or None, default=None
            Names or kinds of the channels to draw. None draws all signals.
        tmin, tmax : float or None
            Limits of the time axis in seconds after the first sample. None is the end.
        high, low, min_duration, classes
            Parameters of `RawPrediction.to_annotations`.

        Returns
        -------
        RawPredictionDisplay

        Raises
        ------
        ModuleNotFoundError
            If matplotlib is not installed.
        TypeError, ValueError
            If a parameter is not valid.
        """
        length = raw.n_times / raw.info["sfreq"]
        check_number("tmin", tmin, unit="seconds", high=length)
        check_number("tmax", tmax, unit="seconds", low=tmin, open_low=True, alternatives=(None,))
        chosen = pick_channels(raw, picks)
        times, signals = _outline(raw, chosen, tmin, min(length, tmax or length))
        events = prediction.to_annotations(
            high=high, low=low, min_duration=min_duration, classes=classes
        )
        names = [raw.ch_names[pick] for pick in chosen]
        display = cls(
            prediction=prediction, events=events, times=times, signals=signals, ch_names=names,
            high=high, low=low,
        )  # fmt: skip
        return display.plot(ax=ax)

    def plot(self, ax: Axes | Sequence[Axes] | None = None) -> RawPredictionDisplay:
        """Draw the plot.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, sequence of two of them or None, default=None
            A single Axes is replaced by two, one above the other. A sequence, such as the
            ``axes_`` of another display, holds the Axes of the signals and of the probabilities.
            None makes a new figure.

        Returns
        -------
        RawPredictionDisplay
            The display itself.

        Raises
        ------
        ModuleNotFoundError
            If matplotlib is not installed.
        """
        heights = [0.5 + _CHANNEL_INCHES * len(self.ch_names), _PROBABILITY_INCHES]
        if ax is None:
            ax = new_axes((8.0, sum(heights) + 0.7))
        self.axes_: np.ndarray = new_panels(ax, 2, 1, sharex="col", height_ratios=heights)
        self.figure_: Figure = self.axes_[0].figure
        upper, lower = self.axes_
        self._draw_signals(upper)
        self._draw_events(upper)
        self._draw_probabilities(lower)
        lower.set_xlim(self.times[0], self.times[-1])
        for panel in self.axes_:
            panel.spines[["top", "right"]].set_visible(False)
        return self

    def _draw_signals(self, ax: Axes) -> None:
        n_chans = len(self.ch_names)
        low, high = np.nanquantile(self.signals, [0.005, 0.995], axis=1, keepdims=True)
        scale = np.where(high > low, high - low, 1.0)
        for i, row in enumerate((self.signals - (low + high) / 2) / scale):
            # Rare peaks may reach half of the way to the next channel.
            ax.plot(self.times, n_chans - 1 - i + np.clip(0.9 * row, -0.9, 0.9), "k", lw=0.5)
        ax.set_yticks(range(n_chans), [literal(name) for name in self.ch_names[::-1]])
        ax.set_ylim(-0.8, n_chans - 0.2)

    def _draw_events(self, ax: Axes) -> None:
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        styles = self._styles()
        for event in self.events:
            start, name = event["onset"] - self.prediction.event_shift, event["description"]
            color = styles[name][0]
            ax.axvspan(start, start + event["duration"], color=color, alpha=0.25, lw=0)
        # A shade with the line of the probability on it: in grey, only the lines differ.
        handles = [
            (Patch(color=color, alpha=0.25, lw=0), Line2D([], [], color=color, ls=line, lw=1.2))
            for color, line in styles.values()
        ]
        labels = list(map(literal, styles))
        ax.legend(
            handles, labels, loc="lower left", bbox_to_anchor=(0, 1), frameon=False,
            fontsize="small", borderaxespad=0.1, ncols=fitting_columns(ax, labels, 4),
        )  # fmt: skip

    def _draw_probabilities(self, ax: Axes) -> None:
        edges, proba = self.prediction.on_axis()
        for i, (name, (color, line)) in enumerate(self._styles().items()):
            ax.stairs(
                proba[:, i], edges, baseline=None, color=color, ls=line, lw=1.2, label=literal(name)
            )
        for threshold in {self.high, self.low}:
            ax.axhline(threshold, color="0.4", lw=0.7, ls=":")
        ax.set(ylim=(-0.03, 1.03), yticks=[0, 0.5, 1], ylabel="probability", xlabel="time (s)")

    def _styles(self) -> dict[str, tuple[str, str]]:
        """Colour and line of each class."""
        names = [str(each) for each in self.prediction.classes.tolist()]
        return {name: style(i + 1)[:2] for i, name in enumerate(names)}


def _outline(
    raw: BaseRaw, picks: list[int], tmin: float, tmax: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return times and signals; of a long recording, the lowest and highest value of each piece."""
    sfreq = float(raw.info["sfreq"])
    start, stop = int(tmin * sfreq), max(int(tmin * sfreq) + 2, round(tmax * sfreq))
    if stop - start <= 4 * _N_PIECES:
        return np.arange(start, stop) / sfreq, raw.get_data(picks, start, stop, verbose="error")
    edges = np.linspace(start, stop, _N_PIECES + 1).astype(int)
    pieces = [
        raw.get_data(picks, first, last, verbose="error")
        for first, last in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    ]
    extremes = np.stack([[each.min(axis=1), each.max(axis=1)] for each in pieces])
    return np.repeat(edges[:-1] / sfreq, 2), extremes.reshape(2 * _N_PIECES, -1).T
