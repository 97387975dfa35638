"""Choice between a trained network, the linear probe on the same features, and the mean of both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .labelled import LabelledWindows

KINDS = ("finetuned", "probe", "both")
_PHRASES = {
    "finetuned": "the fine-tuned network",
    "probe": "the linear probe",
    "both": "the mean of both",
}


@dataclass(frozen=True)
class Selection:
    """Which networks are kept after a training, and why.

    Attributes
    ----------
    kind : {"finetuned", "probe", "both"}
        "both" averages what the fine-tuned network and the linear probe predict.
    loss, probe_loss, both_loss : float
        Mean log loss (squared error, for numbers) of windows that are left out; NaN if none are.
    reason : str
        One sentence.
    """

    kind: str
    loss: float
    probe_loss: float
    both_loss: float
    reason: str


def without_evidence(kind: str, reason: str) -> Selection:
    """Make a selection for which no windows were left out."""
    return Selection(kind, np.nan, np.nan, np.nan, reason)


def select(
    outputs: np.ndarray, probe_outputs: np.ndarray, left_out: LabelledWindows, *, how: str
) -> Selection:
    """Choose by the loss of left-out windows.

    Parameters
    ----------
    outputs, probe_outputs : ndarray of shape (n, n_outputs)
        Outputs of the trained network and of the probe for `left_out`.
    left_out : LabelledWindows
        Windows on which neither was fitted.
    how : str
        How they were left out, for the reason.
    """
    both = _mean(outputs, probe_outputs, left_out)
    losses = [_losses(each, left_out) for each in (outputs, probe_outputs, both)]
    loss, probe_loss, both_loss = (
        float(np.average(each, weights=left_out.weights)) for each in losses
    )
    found = dict(zip(KINDS, (loss, probe_loss, both_loss), strict=True))
    kind = min(found, key=found.__getitem__)
    reason = f"{_PHRASES[kind].capitalize()} had the lowest loss of {len(left_out)} windows {how}."
    return Selection(kind, loss, probe_loss, both_loss, reason)


def summary(selection: Selection) -> str:
    """One line about a selection."""
    text = f"keeps {_PHRASES[selection.kind]}. {selection.reason}"
    if np.isnan(selection.loss):
        return text
    return (
        f"{text} Loss: {selection.loss:.3f} fine-tuned, {selection.probe_loss:.3f} linear probe, "
        f"{selection.both_loss:.3f} both."
    )


def _mean(outputs: np.ndarray, others: np.ndarray, labelled: LabelledWindows) -> np.ndarray:
    """Mean prediction, as an estimator with both networks makes it."""
    if labelled.n_classes is None:
        return (outputs + others) / 2
    return np.logaddexp(_log_softmax(outputs), _log_softmax(others)) - np.log(2)


def _losses(outputs: np.ndarray, labelled: LabelledWindows) -> np.ndarray:
    """Loss of each window."""
    if labelled.n_classes is None:
        return np.square(outputs - labelled.targets).mean(axis=1)
    return -_log_softmax(outputs)[np.arange(len(labelled)), labelled.targets]


def _log_softmax(outputs: np.ndarray) -> np.ndarray:
    shifted = outputs - outputs.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
