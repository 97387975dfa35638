"""A linear head for all people, with what it takes to adapt it to one of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .decision import Decision, shrunk_shift
from .people import mean_weight, ordered_mean, share_of_others
from .personal import (
    LABEL_NOISE,
    RECENTRED_LABEL_NOISE,
    canonical_order,
    choose_label_noise,
    choose_value_noise,
    correction_head,
    equal_confidence,
    label_correction,
    person_kernel,
    self_trained,
)

_MOST_WINDOWS = 1000  # of a person, that a kernel is computed of: its inverse costs their cube
# Weight of the head that was trained on its own guesses; they are wrong for a few people.
_GUESS_SHARE = 2 / 3

Linear = tuple[np.ndarray, np.ndarray]  # weight (n_outputs, n_features) and bias (n_outputs,)


@dataclass(frozen=True)
class AdaptiveHead:
    """Statistics of the training people by which a linear head is adapted to a new person.

    Decisions are the outputs of the head divided by `sharpness`: of the size of targets of 1 and
    -1. The outputs of a regression are decisions as they are.

    Attributes
    ----------
    decision : Decision
        Kind of adaptation, and why it was chosen.
    families : list of int
        Number of features of each family.
    outputs : ndarray of int
        Outputs of the head that are adapted: the classes that occur in training.
    of_classes : bool
        Whether the outputs are scores of classes rather than numbers.
    sharpness : float
        Outputs per decision of the plain head.
    adapted_sharpness : float
        Outputs per decision of the adapted head.
    reference : ndarray of shape (n_outputs,)
        Mean decision of the plain head over the training people.
    farthest : float
        Length of the longest shift of a person's mean decision.
    recentred : tuple of ndarray, or None
        Weight and bias of the head that is recentred, in units of decisions; None means the plain
        head.
    recentred_reference : ndarray of shape (n_outputs,) or None
        Mean decision of this head over the training people.
    usual_scale : ndarray of shape (n_outputs,) or None
        `guess_scale` of the training windows; None for a head that is not trained on its own
        guesses.
    class_means : ndarray of shape (n_outputs, n_outputs) or None
        Mean decision of the plain head for the training windows of each class.
    shares : ndarray of shape (n_families,) or None
        Weights of the families in the kernel of a person with labels; None means equal ones.
    """

    decision: Decision
    families: list[int]
    outputs: np.ndarray
    of_classes: bool
    sharpness: float
    adapted_sharpness: float
    reference: np.ndarray
    farthest: float = np.inf
    recentred: Linear | None = None
    recentred_reference: np.ndarray | None = None
    usual_scale: np.ndarray | None = None
    class_means: np.ndarray | None = None
    shares: np.ndarray | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values and arrays, for a file."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> AdaptiveHead:
        return cls(**{**stored, "decision": Decision(**stored["decision"])})


def outputs_of(head: Linear, features: np.ndarray) -> np.ndarray:
    """Outputs of a linear head, with the same bits for a window alone and among others.

    Parameters
    ----------
    head : tuple of ndarray
        Weight of shape (n_outputs, n_features), and bias.
    features : ndarray of shape (n, n_features)

    Returns
    -------
    ndarray of shape (n, n_outputs), float64
    """
    weight, bias = (np.ascontiguousarray(part, np.float64) for part in head)
    # A product of all rows at once would round each by its place among the others.
    rows = [weight @ np.asarray(row, np.float64) + bias for row in features]
    return np.reshape(rows, (len(features), len(bias)))


def personal_head(
    adaptive: AdaptiveHead,
    head: Linear,
    features: np.ndarray,
    targets: np.ndarray | None = None,
) -> Linear:
    """Weight and bias of the head for one person.

    Parameters
    ----------
    adaptive : AdaptiveHead
    head : tuple of ndarray
        Weight and bias of the plain head.
    features : ndarray of shape (n, n_features)
        Standardised features of the person's windows, in any order.
    targets : ndarray of float, shape (n, n_outputs), optional
        Known targets of the windows, among the outputs that are adapted: 1 for the class and -1
        for the others, or numbers; NaN in the rows of windows without a label. Without a label
        for any window, the head is adapted to the windows alone.

    Returns
    -------
    weight : ndarray of shape (n_outputs, n_features)
    bias : ndarray of shape (n_outputs,)
        The very arrays of the plain head where nothing is adapted.
    """
    if targets is None:
        targets = np.full((len(features), len(adaptive.outputs)), np.nan)
    plain = (
        head[0][adaptive.outputs] / adaptive.sharpness,
        head[1][adaptive.outputs] / adaptive.sharpness,
    )
    # Sums over the windows have the same bits in whatever order they came: labelled ones first.
    order = canonical_order(np.hstack([targets, outputs_of(plain, features)]))
    features, targets = np.asarray(features, np.float64)[order], targets[order]
    by_labels = _with_labels(adaptive, plain, features, targets)
    if by_labels is not None:
        return _blended(adaptive, head, plain, by_labels, 1.0)
    kind = adaptive.decision.kind
    if kind is None or len(features) < 2:
        return head
    if kind == "pool":
        return _blended(adaptive, head, plain, _pooled(plain, features), 1.0)
    # Few windows without labels are little evidence: the plain head keeps a part of the weight.
    share = adaptive.decision.share * mean_weight(len(features))
    adapted = _self_trained(adaptive, _recentred(adaptive, plain, features), features)
    return _blended(adaptive, head, plain, adapted, share)


def _blended(
    adaptive: AdaptiveHead, head: Linear, plain: Linear, adapted: Linear, share: float
) -> Linear:
    """Weighted mean of the plain and the adapted head, in units of outputs."""
    weight, bias = (np.array(part, np.float64) for part in head)
    for whole, part, new in zip((weight, bias), plain, adapted, strict=True):
        whole[adaptive.outputs] = (1 - share) * adaptive.sharpness * part
        whole[adaptive.outputs] += share * adaptive.adapted_sharpness * new
    return weight, bias


def _pooled(plain: Linear, features: np.ndarray) -> Linear:
    """Draw the decisions towards their mean over the person's windows, see `pooled`."""
    share = share_of_others(len(features))
    mean = ordered_mean(outputs_of(plain, features))
    return (1 - share) * plain[0], (1 - share) * plain[1] + share * mean


def _recentred(adaptive: AdaptiveHead, plain: Linear, features: np.ndarray) -> Linear:
    """The head without the shift of this person's mean decision."""
    head, reference = plain, adaptive.reference
    if adaptive.recentred is not None and adaptive.recentred_reference is not None:
        head, reference = adaptive.recentred, adaptive.recentred_reference
    mean = ordered_mean(outputs_of(head, features))
    return head[0], head[1] - shrunk_shift(mean, reference, len(features), adaptive.farthest)


def _without_offset(
    adaptive: AdaptiveHead, plain: Linear, features: np.ndarray, targets: np.ndarray
) -> Linear:
    """Take away the mean error on labelled windows, shrunk as in `recentred`."""
    expected = targets
    if adaptive.class_means is not None:  # decisions are smaller than their targets
        expected = adaptive.class_means[targets.argmax(axis=1)]
    offset = ordered_mean(outputs_of(plain, features) - expected)
    return plain[0], plain[1] - mean_weight(len(features)) * offset


def _self_trained(adaptive: AdaptiveHead, base: Linear, features: np.ndarray) -> Linear:
    """Correct a head by its own guesses, see `self_trained`."""
    if adaptive.usual_scale is None:
        return base
    rows = _spread(len(features), _MOST_WINDOWS)
    kernel = person_kernel(features[rows], adaptive.families)
    decisions = outputs_of(base, features[rows])
    coefficients = self_trained(kernel, decisions, adaptive.adapted_sharpness, adaptive.usual_scale)
    guessed = _corrected(adaptive, base, features[rows], coefficients)
    return _restrained(adaptive, guessed, base, features[rows])


def _restrained(
    adaptive: AdaptiveHead, guessed: Linear, base: Linear, features: np.ndarray
) -> Linear:
    """Mean of a head that was trained on its own guesses and the one from before.

    Guesses add no evidence, so the first is scaled to be no more confident than the second.
    """
    factor = equal_confidence(
        outputs_of(guessed, features), outputs_of(base, features), adaptive.adapted_sharpness
    )
    weight, bias = (
        _GUESS_SHARE * factor * new + (1 - _GUESS_SHARE) * old
        for new, old in zip(guessed, base, strict=True)
    )
    return weight, bias


def _with_labels(
    adaptive: AdaptiveHead, plain: Linear, features: np.ndarray, targets: np.ndarray
) -> Linear | None:
    """Correct a head by the person's labelled windows, and by guesses for the others.

    Returns None without labels, or if leaving out each of them shows that they do not help.
    """
    known = ~np.isnan(targets[:, 0])
    if not known.any():
        return None
    if adaptive.decision.kind == "recenter" and adaptive.decision.share == 1:
        base, usual = _recentred(adaptive, plain, features), adaptive.usual_scale
    else:
        base, usual = _without_offset(adaptive, plain, features[known], targets[known]), None
    others = np.flatnonzero(~known)
    room = max(0, _MOST_WINDOWS - int(known.sum()))
    rows = np.concatenate([np.flatnonzero(known), others[_spread(len(others), room)]])
    features, targets, known = features[rows], targets[rows], known[rows]
    # Families that separate the classes of other people also separate those of this person.
    shares = adaptive.shares
    kernel = person_kernel(features, adaptive.families, shares)
    decisions = outputs_of(base, features)
    prior = LABEL_NOISE if usual is None else RECENTRED_LABEL_NOISE
    noise = _label_noise(adaptive, kernel, decisions, targets, known, prior)
    if np.isinf(noise):
        return None
    coefficients = label_correction(kernel, decisions, targets, noise)
    by_labels = _corrected(adaptive, base, features, coefficients, shares)
    if usual is None or known.all():
        return by_labels
    labels = np.where(known, np.nan_to_num(targets).argmax(axis=1), -1)
    coefficients = self_trained(kernel, decisions, adaptive.adapted_sharpness, usual, labels, noise)
    guessed = _corrected(adaptive, base, features, coefficients, shares)
    return _restrained(adaptive, guessed, by_labels, features[~known])


def _corrected(
    adaptive: AdaptiveHead,
    base: Linear,
    features: np.ndarray,
    coefficients: np.ndarray,
    shares: np.ndarray | None = None,
) -> Linear:
    weight, bias = correction_head(features, adaptive.families, coefficients, shares)
    return base[0] + weight, base[1] + bias


def _label_noise(
    adaptive: AdaptiveHead,
    kernel: np.ndarray,
    decisions: np.ndarray,
    targets: np.ndarray,
    known: np.ndarray,
    usual: float,
) -> float:
    """Ridge penalty of the labelled windows."""
    inner = kernel[np.ix_(known, known)]
    if not adaptive.of_classes:
        return choose_value_noise(inner, decisions[known], targets[known])
    labels = targets[known].argmax(axis=1)
    return choose_label_noise(inner, decisions[known], labels, adaptive.adapted_sharpness, usual)


def _spread(n: int, most: int) -> np.ndarray:
    """Indices of `n` windows, or of `most` among them at equal distances."""
    return np.arange(n) if n <= most else np.linspace(0, n - 1, most).round().astype(int)
