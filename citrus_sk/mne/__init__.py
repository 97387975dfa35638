"""Recordings of MNE: windows, labels, and predictions over time.

Every estimator accepts `mne.Epochs`, in the units of MNE (volts, tesla, siemens), with the rate
and the channels of their ``info``. The functions of this module cut recordings into Epochs,
extract labels and groups, and apply a fitted classifier to whole recordings.
"""

from ..signals.containers import labels_of
from .channels import match_channels
from .display import RawPredictionDisplay
from .epochs import make_epochs
from .prediction import predict_raw
from .recording_model import RecordingModel
from .result import RawPrediction

__all__ = [
    "RawPrediction",
    "RawPredictionDisplay",
    "RecordingModel",
    "labels_of",
    "make_epochs",
    "match_channels",
    "predict_raw",
]
