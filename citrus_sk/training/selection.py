"""Choice between a trained network and the linear probe on the features before training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .adaptation.decision import log_softmax
from .labelled import LabelledWindows, inner_folds

N_FOLDS = 3
CLEARLY = 2.0  # standard errors
_PHRASES = {"finetuned": "the fine-tuned network", "probe": "the linear probe"}


@dataclass(frozen=True)
class Selection:
    """Which network is kept after a training, and why.

    Attributes
    ----------
    kind : {"finetuned", "probe"}
    loss, probe_loss : float
        Mean log loss (squared error, for numbers) of windows that are left out; NaN if none are.
    reason : str
        One sentence.
    """

    kind: str
    loss: float
    probe_loss: float
    reason: str


def without_evidence(kind: str, reason: str) -> Selection:
    """Make a selection for which no windows were left out."""
    return Selection(kind, np.nan, np.nan, reason)


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
    """Choose the probe, unless the loss of the network on left-out windows is clearly lower.

    On training folds, choosing the lower loss, or one lower by a standard error, was worse.

    Parameters
    ----------
    outputs, probe_outputs : ndarray of shape (n, n_outputs)
        Outputs of the trained network and of the probe for `left_out`.
    left_out : LabelledWindows
        Windows on which neither was fitted.
    how : str
        How they were left out, for the reason.
    """
    losses, probe_losses = _losses(outputs, left_out), _losses(probe_outputs, left_out)
    gap, error = _mean_and_error(losses - probe_losses, left_out)
    clearly = gap < min(0.0, -CLEARLY * error)
    reason = (
        f"On {len(left_out)} windows {how}, the loss of the fine-tuned network minus that of the "
        f"linear probe is {gap:.3f}, with a standard error of {error:.3f}; the network is kept "
        f"below {-CLEARLY:g} standard errors."
    )
    weights = left_out.weights
    return Selection(
        "finetuned" if clearly else "probe",
        float(np.average(losses, weights=weights)),
        float(np.average(probe_losses, weights=weights)),
        reason,
    )


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
    return f"{text} Loss: {selection.loss:.3f} fine-tuned, {selection.probe_loss:.3f} linear probe."


def _losses(outputs: np.ndarray, labelled: LabelledWindows) -> np.ndarray:
    """Loss of each window."""
    if labelled.n_classes is None:
        return np.square(outputs - labelled.targets).mean(axis=1)
    return -log_softmax(outputs)[np.arange(len(labelled)), labelled.targets]
