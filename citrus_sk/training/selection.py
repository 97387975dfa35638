"""Choice between a trained network, the linear probe on the same features, and the mean of both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .labelled import LabelledWindows, inner_folds

N_FOLDS = 3
CLEARLY = 2.0  # standard errors
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


def left_out_folds(labelled: LabelledWindows, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Indices of training and left-out windows of each fold; no folds if there are too few windows.

    A class with a single window, or group, is never left out, because nothing of it would remain.
    Whole groups are left out.
    """
    if labelled.n_classes is None:
        return inner_folds(labelled, N_FOLDS, seed)
    codes = labelled.targets
    units = np.arange(len(codes)) if labelled.groups is None else labelled.groups
    several = [code for code in np.unique(codes) if len(np.unique(units[codes == code])) > 1]
    if len(several) < 2:
        return []
    usual = np.flatnonzero(np.isin(codes, several))
    rare = np.setdiff1d(np.arange(len(codes)), usual)
    folds = []
    for train, test in inner_folds(labelled.take(usual), N_FOLDS, seed):
        elsewhere = rare[~np.isin(units[rare], units[usual[test]])]
        folds.append((np.sort(np.concatenate([usual[train], elsewhere])), usual[test]))
    return folds


def select(
    outputs: np.ndarray, probe_outputs: np.ndarray, left_out: LabelledWindows, *, how: str
) -> Selection:
    """Choose by the loss of left-out windows; the probe, unless another loss is clearly lower.

    Parameters
    ----------
    outputs, probe_outputs : ndarray of shape (n, n_outputs)
        Outputs of the trained network and of the probe for `left_out`.
    left_out : LabelledWindows
        Windows on which neither was fitted.
    how : str
        How they were left out, for the reason.
    """
    of_each = {
        "finetuned": outputs, "probe": probe_outputs,
        "both": _mean(outputs, probe_outputs, left_out),
    }  # fmt: skip
    losses = {kind: _losses(values, left_out) for kind, values in of_each.items()}
    means = {kind: float(np.average(loss, weights=left_out.weights))
             for kind, loss in losses.items()}  # fmt: skip
    lower = [kind for kind, loss in losses.items()
             if _is_clearly_above(losses["probe"] - loss, left_out)]  # fmt: skip
    kind = min(lower, key=means.__getitem__, default="probe")
    windows = f"{len(left_out)} windows {how}"
    reason = f"No other loss on {windows} is lower by more than {CLEARLY:g} standard errors."
    if kind != "probe":
        gain, error = _mean_and_error(losses["probe"] - losses[kind], left_out)
        reason = (
            f"The loss on {windows} is lower than that of the linear probe by {gain:.3f}, with a "
            f"standard error of {error:.3f}."
        )
    return Selection(kind, means["finetuned"], means["probe"], means["both"], reason)


def _is_clearly_above(gains: np.ndarray, labelled: LabelledWindows) -> bool:
    mean, error = _mean_and_error(gains, labelled)
    return mean > CLEARLY * error and mean > 0


def _mean_and_error(values: np.ndarray, labelled: LabelledWindows) -> tuple[float, float]:
    """Weighted mean and its standard error; windows of one group are not independent."""
    weights = labelled.weights
    groups = np.arange(len(values)) if labelled.groups is None else labelled.groups
    mean = float(np.average(values, weights=weights))
    sums = np.bincount(groups, weights * (values - mean))
    n_groups = len(np.unique(groups))
    correction = n_groups / max(1, n_groups - 1)
    return mean, float(np.sqrt(correction * (sums**2).sum()) / weights.sum())


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
