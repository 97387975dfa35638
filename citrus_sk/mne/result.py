"""Probabilities over the time of a recording, and the events in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from .._utils.optional import require
from .._utils.validation import check_number, first_few
from ..signals.recordings.quality import runs

if TYPE_CHECKING:
    import pandas as pd
    from mne import Annotations

_TOLERANCE_S = 1e-6  # within which two times are equal
_DECIMALS = 6  # of the times of events in seconds


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RawPrediction:
    """Probability of each class in the windows of a recording.

    `predict_raw` returns one. Predictions of windows that arrive one by one can be collected in
    one as well.

    Parameters
    ----------
    onset : ndarray of shape (n_windows,)
        Start of each window in seconds after the first sample of the recording, increasing.
    duration : float
        Length of a window in seconds.
    proba : ndarray of shape (n_windows, n_classes)
        Probability of each class in each window.
    classes : ndarray of shape (n_classes,)
        Classes, in the order of the columns of `proba`.
    meas_date : datetime or None, default=None
        Date of the measurement, as in ``raw.info["meas_date"]``.
    first_time : float, default=0.0
        Time of the first sample in seconds after `meas_date`, as in ``raw.first_time``.

    Examples
    --------
    >>> import numpy as np
    >>> from citrus_sk.mne import RawPrediction
    >>> prediction = RawPrediction(
    ...     onset=np.arange(4.0),
    ...     duration=1.0,
    ...     proba=np.array([[0.9, 0.1], [0.3, 0.7], [0.45, 0.55], [0.8, 0.2]]),
    ...     classes=np.array(["rest", "fist"]),
    ... )
    >>> prediction.labels.tolist()
    ['rest', 'fist', 'fist', 'rest']
    >>> events = prediction.to_annotations(high=0.6, low=0.5, classes=["fist"])
    >>> print(events.onset, events.duration, events.description)
    [1.] [2.] ['fist']
    """

    onset: np.ndarray
    duration: float
    proba: np.ndarray
    classes: np.ndarray
    meas_date: datetime | None = None
    first_time: float = 0.0

    def __post_init__(self) -> None:
        shape = (len(self.onset), len(self.classes))
        if np.shape(self.proba) != shape:
            raise ValueError(
                f"proba has shape {np.shape(self.proba)}; expected {shape}, a row for each onset "
                "and a column for each class."
            )

    def __repr__(self) -> str:
        end = self.onset[-1] + self.duration if len(self.onset) else 0.0
        return (
            f"<RawPrediction | {len(self.onset)} windows of {self.duration:g} s until {end:g} s, "
            f"classes: {first_few(self.classes.tolist())}>"
        )

    @property
    def labels(self) -> np.ndarray:
        """Most probable class of each window, of shape (n_windows,)."""
        return self.classes[np.argmax(self.proba, axis=1)]

    @property
    def event_shift(self) -> float:
        """Time in seconds to add for onsets of annotations, which count from `meas_date`."""
        return 0.0 if self.meas_date is None else self.first_time

    def on_axis(self) -> tuple[np.ndarray, np.ndarray]:
        """Average the windows that overlap, for a single probability at each time.

        The starts and ends of all windows divide the time into intervals. The probability of an
        interval is the mean over the windows that contain it.

        Returns
        -------
        edges : ndarray of shape (n_intervals + 1,)
            Limits of the intervals in seconds after the first sample of the recording.
        proba : ndarray of shape (n_intervals, n_classes)
            Probabilities; NaN in intervals without a window, such as bad stretches.
        """
        onset = np.asarray(self.onset, float)
        times = np.sort(np.concatenate([onset, onset + self.duration]))
        edges = times[np.diff(times, prepend=-np.inf) > _TOLERANCE_S]
        first = np.searchsorted(edges, onset - _TOLERANCE_S)
        last = np.searchsorted(edges, onset + self.duration - _TOLERANCE_S)
        total = np.zeros((max(len(edges) - 1, 0), len(self.classes)))
        n_windows = np.zeros(len(total))
        for k in range((last - first).max(initial=0)):  # the k-th interval of every window
            rows = np.flatnonzero(first + k < last)
            np.add.at(total, first[rows] + k, self.proba[rows])
            np.add.at(n_windows, first[rows] + k, 1)
        with np.errstate(invalid="ignore"):
            return edges, total / n_windows[:, None]

    def to_annotations(
        self,
        *,
        high: float = 0.6,
        low: float = 0.5,
        min_duration: float = 0.0,
        classes: Sequence[Any] | None = None,
    ) -> Annotations:
        """Merge the probabilities into events.

        The event of a class begins when its probability reaches `high`, and ends when the
        probability falls below `low`, or where no window is. Two thresholds keep a probability
        near one of them from making many short events.

        Parameters
        ----------
        high : float, default=0.6
            Probability at which an event begins, in [0, 1].
        low : float, default=0.5
            Probability below which an event ends, at most `high`. From 0.5 on, events of
            different classes do not overlap.
        min_duration : float, default=0.0
            Length of the shortest event in seconds; shorter ones are left out.
        classes : sequence or None, default=None
            Classes to take, such as all but the resting state. None takes all.

        Returns
        -------
        mne.Annotations
            Events, for ``raw.set_annotations(raw.annotations + events)``.

        Raises
        ------
        TypeError, ValueError
            If a number is out of range, or a class is unknown.
        """
        require("mne", "to_annotations")
        import mne

        check_number("high", high, high=1.0)
        check_number("low", low, high=high)
        check_number("min_duration", min_duration, unit="seconds")
        edges, proba = self.on_axis()
        edges = edges.round(_DECIMALS)
        found = [
            (edges[start], (edges[stop] - edges[start]).round(_DECIMALS), str(self.classes[column]))
            for column in self._columns(classes)
            for start, stop in runs(_hysteresis(proba[:, column], low, high))
            if edges[stop] - edges[start] >= min_duration - _TOLERANCE_S
        ]
        onset, duration, description = zip(*sorted(found), strict=True) if found else ((), (), ())
        return mne.Annotations(
            np.array(onset) + self.event_shift, np.array(duration), list(description),
            orig_time=self.meas_date,
        )  # fmt: skip

    def to_data_frame(self) -> pd.DataFrame:
        """Return the predictions as a table.

        Returns
        -------
        pandas.DataFrame
            Columns ``start`` and ``end`` (seconds after the first sample), ``label``, and
            ``p_`` with the name of each class, its probability. A row for each window.
        """
        require("pandas", "to_data_frame")
        import pandas as pd

        table = {"start": self.onset, "end": self.onset + self.duration, "label": self.labels}
        frame = pd.DataFrame(self.proba, columns=probability_columns(self.classes))
        return pd.concat([pd.DataFrame(table), frame], axis=1)

    def _columns(self, classes: Sequence[Any] | None) -> list[int]:
        known = self.classes.tolist()
        if classes is None:
            return list(range(len(known)))
        if isinstance(classes, str):
            raise TypeError(f"classes={classes!r} is a string; expected a list of classes.")
        if unknown := [each for each in classes if each not in known]:
            raise ValueError(
                f"classes holds {unknown[0]!r}; expected classes among {first_few(known)}."
            )
        return [known.index(each) for each in classes]


def probability_columns(classes: np.ndarray) -> list[str]:
    """Return the names of the columns of a table with the probability of each class."""
    return [f"p_{each}" for each in classes.tolist()]


def _hysteresis(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return True from a value of at least `high` to the next one below `low`, or NaN."""
    begins = values >= high
    decided = begins | ~(values >= low)
    latest = np.maximum.accumulate(np.where(decided, np.arange(len(values)), -1))
    return (latest >= 0) & begins[latest] if len(values) else begins
