"""A fitted classifier, and what is needed to apply it to recordings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from .._utils.validation import check_number, last_step
from .._utils.version import __version__


@dataclass(frozen=True, kw_only=True, eq=False)
class RecordingModel:
    """A fitted classifier, and what is needed to apply it to recordings.

    ``citrus-sk fit`` saves one, and `predict_raw` and ``citrus-sk predict`` apply it.

    Parameters
    ----------
    estimator : fitted classifier or Pipeline
        Model with ``predict_proba`` for windows of shape ``(n_windows, n_chans, n_times)``.
    duration : float
        Length of a window in seconds.
    sfreq : float
        Sampling rate of the training windows in Hz.
    step : float or None, default=None
        Time between the starts of successive windows in seconds. None means `duration`, for
        windows without overlap.
    ch_names : tuple of str or None, default=None
        Names of the channels, in the order of the training windows; None if they are unknown.
    ch_kinds : tuple of str or None, default=None
        Kind of each channel, such as ``"eeg"``; None if they are unknown.
    version : str
        Version of citrus_sk that fitted the model; the installed one by default.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Classes, in the order of the probabilities.

    Raises
    ------
    ValueError
        If `duration`, `step` or `sfreq` is out of range.
    sklearn.exceptions.NotFittedError
        If `estimator` is not fitted.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from citrus_sk import CitrusClassifier, SignalAligner
    >>> from citrus_sk.mne import RecordingModel
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat(["rest", "fist"], 10)
    >>> X = rng.standard_normal((20, 2, 100)) * np.where(y == "fist", 3, 1)[:, None, None]
    >>> clf = CitrusClassifier(pretrained=None, preset="tiny", random_state=0)
    >>> pipe = make_pipeline(SignalAligner(), clf).fit(X, y)
    >>> model = RecordingModel(
    ...     estimator=pipe, duration=0.5, sfreq=200.0, ch_names=("left", "right")
    ... )
    >>> model.classes_.tolist()
    ['fist', 'rest']
    """

    __module__ = "citrus_sk.mne"  # pickles outlive a move of this file

    estimator: Any
    duration: float
    sfreq: float
    step: float | None = None
    ch_names: tuple[str, ...] | None = None
    ch_kinds: tuple[str, ...] | None = None
    version: str = __version__

    def __post_init__(self) -> None:
        check_is_fitted(self.estimator)
        check_number("sfreq", self.sfreq, unit="Hz", open_low=True)
        check_number("duration", self.duration, unit="seconds", low=2 / self.sfreq)
        check_number("step", self.step, unit="seconds", open_low=True, alternatives=(None,))

    @property
    def classes_(self) -> np.ndarray:
        """Classes, in the order of the probabilities."""
        return np.asarray(last_step(self.estimator).classes_)


def as_recording_model(model: Any, sfreq: float, duration: float | None) -> RecordingModel:
    """Return `model` itself, or a `RecordingModel` of a fitted estimator.

    Parameters
    ----------
    model : RecordingModel or fitted classifier
    sfreq : float
        Sampling rate of the recording in Hz, for an estimator that was fitted on arrays and does
        not know its rate.
    duration : float or None
        Length of a window in seconds; None means that of the training windows.

    Raises
    ------
    TypeError
        If `model` does not predict probabilities.
    ValueError
        If `duration` is None, and the training windows had unequal lengths.
    """
    if isinstance(model, RecordingModel):
        return model
    if not hasattr(model, "predict_proba"):
        raise TypeError(
            f"model is a {type(model).__name__}; expected a RecordingModel, or a fitted "
            "classifier or Pipeline with predict_proba."
        )
    check_is_fitted(model)
    first = first_step(model)
    rate = getattr(first, "sfreq_", None) or sfreq
    if duration is None and (n_times := getattr(first, "n_times_", None)):
        duration = n_times / rate
    if duration is None:
        raise ValueError(
            "duration is None, but the length of the training windows is not known. Pass "
            "duration, the length of a window in seconds."
        )
    return RecordingModel(
        estimator=model,
        duration=duration,
        sfreq=rate,
        ch_names=getattr(first, "ch_names_", None),
    )


def first_step(estimator: Any) -> Any:
    """Return the first step of a pipeline, or the estimator itself if it is not a pipeline."""
    return estimator.steps[0][1] if isinstance(estimator, Pipeline) else estimator
