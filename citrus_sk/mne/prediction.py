"""Application of a fitted classifier to recordings, window by window."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.pipeline import Pipeline

from .._utils.validation import as_flag, check_number, last_step
from ..signals.consistency import same_rate
from ..signals.recordings.formats import bad_samples, reading
from .channels import Channels, find_channels
from .epochs import check_rates
from .recording_model import RecordingModel, as_recording_model, first_step
from .result import RawPrediction

if TYPE_CHECKING:
    from mne.io import BaseRaw

# Windows that are read and predicted at a time.
_AT_A_TIME = 64


def predict_raw(
    model: Any,
    raw: BaseRaw,
    *,
    duration: float | None = None,
    overlap: float | None = None,
    picks: str | Sequence[str] | None = None,
    adapt: bool = False,
    reject_by_annotation: bool = True,
    missing_channels: str = "raise",
) -> RawPrediction:
    """Predict the probability of each class over the time of a recording.

    The recording is cut into windows of fixed length, and each is predicted by itself, as a
    stream would be. A recording of any length takes little memory.

    Parameters
    ----------
    model : RecordingModel, fitted classifier or Pipeline
        Model with ``predict_proba``. To predict recordings of another sampling rate than in
        training, it has to begin with `SignalAligner`.
    raw : mne.io.Raw
        Recording, in the units of the training windows. It is not changed.
    duration : float or None, default=None
        Length of a window in seconds. None means that of the training windows.
    overlap : float or None, default=None
        Overlap of successive windows in seconds, at least one sample less than `duration`. None
        means the step of a `RecordingModel`, or no overlap.
    picks : str, sequence of str or None, default=None
        Names or kinds of the channels, in the order of the training windows. None means the
        channels of the training windows by name, whatever their order in `raw`, or all signals if
        the model does not know names.
    adapt : bool, default=False
        Whether to predict the windows together, as those of one new person, like
        ``predict_proba`` with ``groups``. They should cover the classes as the training windows
        do. The model must have been fitted with groups.
    reject_by_annotation : bool, default=True
        Whether to leave out windows that overlap an annotation that marks data as bad, or a
        boundary between parts of the recording.
    missing_channels : {"raise", "interpolate", "ignore"}, default="raise"
        Handling of channels of the training windows that `raw` lacks or marks as bad:

        - ``"raise"``: raise an error that names them.
        - ``"interpolate"``: compute them from the good EEG channels by spherical splines, as
          `mne.io.Raw.interpolate_bads`. Positions are those in `raw`, or those of the 10-05 system
          by name.
        - ``"ignore"``: leave them out of the prediction, see
          `citrus_sk.CitrusClassifier.without_channels`.

    Returns
    -------
    RawPrediction
        Probabilities of the windows. Those with missing values are left out.

    Raises
    ------
    TypeError
        If `model` does not predict probabilities, `raw` is not a recording, or a parameter is of a
        wrong type.
    ValueError
        If a channel of the model is missing or marked bad, and cannot be interpolated or ignored
        where this is asked for; if the recording is shorter than a
        window; if no window is left; if an EDF file has gaps or signals of unequal rates; or if a
        number is out of range.

    Examples
    --------
    >>> import mne
    >>> import numpy as np
    >>> from citrus_sk import CitrusClassifier
    >>> from citrus_sk.mne import predict_raw
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat(["rest", "fist"], 10)
    >>> X = rng.standard_normal((20, 2, 100)) * np.where(y == "fist", 3, 1)[:, None, None]
    >>> clf = CitrusClassifier(pretrained=None, preset="tiny", random_state=0).fit(X, y)
    >>> signals = rng.standard_normal((2, 1000)) * np.repeat([1, 3, 1], [300, 400, 300])
    >>> info = mne.create_info(["left", "right"], 200, "emg")
    >>> raw = mne.io.RawArray(signals, info, verbose="error")
    >>> prediction = predict_raw(clf, raw)
    >>> prediction.proba.shape
    (10, 2)
    >>> events = prediction.to_annotations(classes=["fist"])
    >>> print(events.onset, events.duration)
    [1.5] [2.]
    """
    import mne

    if not isinstance(raw, mne.io.BaseRaw):
        raise TypeError(
            f"raw is a {type(raw).__name__}; expected an mne.io.Raw, as mne.io.read_raw returns it."
        )
    adapt = as_flag("adapt", adapt)
    plan = plan_windows(
        model, raw, duration=duration, overlap=overlap, picks=picks,
        reject_by_annotation=reject_by_annotation, missing_channels=missing_channels,
    )  # fmt: skip
    (prediction,) = predict_plans([plan], adapt=adapt)
    return prediction


@dataclass(frozen=True, eq=False)
class WindowPlan:
    """Windows to cut from a recording, before any value is read.

    Attributes
    ----------
    model : RecordingModel
    raw : mne.io.Raw
    where : str
        Name of the recording, for messages.
    channels : Channels
        Source of the channels of the training windows.
    onset : ndarray of shape (n_windows,)
        Start of each window in seconds. Its first sample is the nearest one, so that windows
        without overlap leave no gap at any rate.
    duration : float
        Length of a window in seconds.
    """

    model: RecordingModel
    raw: BaseRaw
    where: str
    channels: Channels
    onset: np.ndarray
    duration: float

    @property
    def n_times(self) -> int:
        """Samples of a window."""
        return round(self.duration * self.raw.info["sfreq"])

    def read(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield onsets and windows of shape (n, n_chans, n_times), without missing values."""
        for first in range(0, len(self.onset), _AT_A_TIME):
            onset = self.onset[first : first + _AT_A_TIME]
            values = self._windows(np.round(onset * self.raw.info["sfreq"]).astype(int))
            complete = np.isfinite(values).all(axis=(1, 2))
            if complete.any():
                yield onset[complete], values[complete]

    def _windows(self, starts: np.ndarray) -> np.ndarray:
        """Windows from these samples on; those that are near each other are read at once."""
        cuts = np.flatnonzero(np.diff(starts) > 2 * self.n_times) + 1
        return np.concatenate([self._near(part) for part in np.split(starts, cuts)])

    def _near(self, starts: np.ndarray) -> np.ndarray:
        first, end = int(starts[0]), int(starts[-1]) + self.n_times
        picks = [self.raw.ch_names.index(name) for name in self.channels.names]
        with reading(self.where):
            values = self.raw.get_data(picks, first, end, verbose="error")
        values = self.channels.arranged(values)
        return np.stack([values[:, i : i + self.n_times] for i in (starts - first).tolist()])


def plan_windows(
    model: Any,
    raw: BaseRaw,
    *,
    duration: float | None = None,
    overlap: float | None = None,
    picks: str | Sequence[str] | None = None,
    reject_by_annotation: bool = True,
    missing_channels: str = "raise",
    channels: Channels | None = None,
    where: str = "the recording",
    bad_spans: Sequence[tuple[float, float]] = (),
) -> WindowPlan:
    """Choose channels and windows of a recording; see `predict_raw`.

    Parameters
    ----------
    model, raw, duration, overlap, picks, reject_by_annotation, missing_channels
        As in `predict_raw`.
    channels : Channels or None, default=None
        Channels, if they were found before.
    where : str, default="the recording"
        Name of the recording, for messages.
    bad_spans : sequence of (float, float), default=()
        Onset and end in seconds of further bad stretches.

    Returns
    -------
    WindowPlan

    Raises
    ------
    TypeError, ValueError
        As `predict_raw`.
    """
    sfreq = float(raw.info["sfreq"])
    check_number("duration", duration, unit="seconds", low=2 / sfreq, alternatives=(None,))
    check_number("overlap", overlap, unit="seconds", alternatives=(None,))
    known = as_recording_model(model, sfreq, duration)
    length = known.duration if duration is None else float(duration)
    step = (known.step or length) if overlap is None else length - overlap
    if step * sfreq < 1 - 1e-6:
        raise ValueError(
            f"overlap={overlap!r} is out of range; expected at least one sample ({1 / sfreq:g} s) "
            f"less than the window of {length:g} s."
        )
    if channels is None:
        channels = find_channels(
            known.estimator, known.ch_names, raw, picks, where, missing_channels
        )
    _check_rate(known, sfreq, where)
    check_rates(raw, [raw.ch_names.index(name) for name in channels.names], stacklevel=4)
    n_times = round(length * sfreq)
    if n_times > raw.n_times:
        raise ValueError(
            f"{where} lasts {raw.n_times / sfreq:g} s, which is less than a window of "
            f"{length:g} s. Leave it out, or use a model of shorter windows."
        )
    onset = np.arange(math.ceil(raw.n_times / (step * sfreq))) * step
    starts = np.round(onset * sfreq).astype(int)
    fits = starts + n_times <= raw.n_times
    if reject_by_annotation:
        for first, last in bad_samples(raw, list(bad_spans)):
            fits[(starts < last) & (starts + n_times > first)] = False
    if not fits.any():
        raise _no_window_left(where, length)
    return WindowPlan(known, raw, where, channels, onset[fits], length)


def predict_plans(plans: Sequence[WindowPlan], *, adapt: bool) -> list[RawPrediction]:
    """Predict recordings; with `adapt` together, as those of one new person.

    Parameters
    ----------
    plans : sequence of WindowPlan
        Windows of one or several recordings, of the same model.
    adapt : bool

    Returns
    -------
    list of RawPrediction

    Raises
    ------
    ValueError
        If all windows of a recording have missing values, or with `adapt` if the model was fitted
        without groups.
    """
    onset, parts = [], []  # of each recording: probabilities, or aligned windows to adapt to
    compute = _aligned if adapt else _probabilities
    ignored = [plan.channels.ignored for plan in plans]
    if adapt:  # one estimator predicts all windows
        ignored = [tuple(sorted(set().union(*ignored)))] * len(plans)
    for plan, without in zip(plans, ignored, strict=True):
        estimator = _ignoring(plan.model.estimator, without)
        found = [(each, compute(plan, estimator, values)) for each, values in plan.read()]
        if not found:
            raise _no_window_left(plan.where, plan.duration)
        onset.append(np.concatenate([each for each, _ in found]))
        parts.append(np.concatenate([each for _, each in found]))
    if adapt:
        together = np.concatenate(parts)
        last = last_step(_ignoring(plans[0].model.estimator, ignored[0]))
        proba = last.predict_proba(together, groups=np.zeros(len(together), int))
        parts = np.split(proba, np.cumsum([len(part) for part in parts])[:-1])
    return [_result(*each) for each in zip(plans, onset, parts, strict=True)]


def _ignoring(estimator: Any, channels: tuple[int, ...]) -> Any:
    """Return an estimator or a pipeline whose last step ignores some channels."""
    if not channels:
        return estimator
    last = last_step(estimator).without_channels(channels)
    if not isinstance(estimator, Pipeline):
        return last
    pipeline = copy.copy(estimator)
    pipeline.steps = [*estimator.steps[:-1], (estimator.steps[-1][0], last)]
    return pipeline


def _aligned(plan: WindowPlan, estimator: Any, values: np.ndarray) -> np.ndarray:
    """Return windows as the last step of the model gets them."""
    if not isinstance(estimator, Pipeline) or len(estimator) == 1:
        return values
    return estimator[:-1].transform(_input(plan, values))


def _probabilities(plan: WindowPlan, estimator: Any, values: np.ndarray) -> np.ndarray:
    return estimator.predict_proba(_input(plan, values))


def _input(plan: WindowPlan, values: np.ndarray) -> Any:
    """Return windows in the form in which the model was fitted."""
    first = first_step(plan.model.estimator)
    if (names := getattr(first, "ch_names_", None)) is not None:
        import mne

        # All are signals, whatever their type in the recording.
        info = mne.create_info(list(names), plan.raw.info["sfreq"], "eeg")
        return mne.EpochsArray(values, info, verbose="error")
    # Arrays must have the length seen in fit; the aligner accepts a list of any length.
    same_length = getattr(first, "n_times_", None) in (None, plan.n_times)
    return values if same_length else list(values)


def _check_rate(model: RecordingModel, sfreq: float, where: str) -> None:
    """Raise ValueError if windows of another rate would get another time scale."""
    first = first_step(model.estimator)
    converts = hasattr(first, "ch_names_") or getattr(first, "method_", None) == "resample"
    if not same_rate(sfreq, model.sfreq) and not converts:
        raise ValueError(
            f"{where} was sampled at {sfreq:g} Hz, and the model was trained on windows sampled at "
            f"{model.sfreq:g} Hz. Resample it: raw.resample({model.sfreq:g}); or begin the model "
            "with SignalAligner()."
        )


def _no_window_left(where: str, duration: float) -> ValueError:
    return ValueError(
        f"{where} has no window of {duration:g} s without bad or missing stretches. Check its "
        "annotations that begin with BAD, or leave the recording out."
    )


def _result(plan: WindowPlan, onset: np.ndarray, proba: np.ndarray) -> RawPrediction:
    return RawPrediction(
        onset=onset,
        duration=plan.duration,
        proba=proba,
        classes=plan.model.classes_,
        meas_date=plan.raw.info["meas_date"],
        first_time=float(plan.raw.first_time),
    )
