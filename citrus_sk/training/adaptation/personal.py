"""A linear head for one person, from the person's own windows with few labels or none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .decision import log_softmax
from .people import ordered_mean

LABEL_NOISE = 0.3  # usual ridge penalty of a labelled window, the median of its prior
# The same where the decisions are recentred. They are closer to the truth, so labels add less.
RECENTRED_LABEL_NOISE = 1.0
_GUESS_NOISE = 2.0  # ridge penalty of a window with a guessed label, in mean squared norms
_LABEL_NOISES = np.array([0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 20.0])
_N_ROUNDS = 5
_MAX_SCALE = 2.0  # largest factor between a person's scale of guesses and the training people's


def canonical_order(values: np.ndarray) -> np.ndarray:
    """Order of one person's rows that depends on their values only; NaN comes last.

    Sort the rows by it before `person_kernel`, `self_trained` and `correction_head`: sums in
    another order differ in the last bits.

    Parameters
    ----------
    values : ndarray of shape (n, n_columns)

    Returns
    -------
    ndarray of int, shape (n,)
    """
    return np.lexsort(values.T[::-1])


def person_kernel(
    features: np.ndarray, families: list[int], shares: np.ndarray | None = None
) -> np.ndarray:
    """Inner products of one person's centred windows, with a weight for each family.

    Parameters
    ----------
    features : ndarray of shape (n, n_features)
        Standardised features.
    families : list of int
        Number of columns of each family.
    shares : ndarray of shape (n_families,), optional
        Weights of the families, with a sum of 1. Equal by default.

    Returns
    -------
    ndarray of shape (n, n)
        The mean of its diagonal is 1.
    """
    scaled = scale_families(features - ordered_mean(features), families, shares)
    return np.asarray(scaled @ scaled.T)


def scale_families(
    centred: np.ndarray, families: list[int], shares: np.ndarray | None = None
) -> np.ndarray:
    """Divide the columns of each family so that its mean squared norm is its share.

    Parameters
    ----------
    centred : ndarray of shape (n, n_features)
        Features of mean 0.
    families, shares
        As in `person_kernel`.

    Returns
    -------
    ndarray of shape (n, n_features)
    """
    parts = _families(centred, families, shares)
    return np.concatenate([part / np.sqrt(size) for part, size in parts], axis=1)


def _families(
    centred: np.ndarray, families: list[int], shares: np.ndarray | None
) -> list[tuple[np.ndarray, float]]:
    """Columns of each family, with its mean squared norm divided by its share."""
    parts = np.split(np.asarray(centred, np.float64), np.cumsum(families)[:-1], axis=1)
    norms = [np.sort((part**2).sum(axis=1)).sum() / len(part) for part in parts]
    if shares is None:
        shares = np.full(len(parts), 1 / len(parts))
    return [
        (part, float(max(norm, 1e-12) / max(share, 1e-6)))
        for part, norm, share in zip(parts, norms, shares, strict=True)
    ]


def self_trained(
    kernel: np.ndarray,
    decisions: np.ndarray,
    sharpness: float,
    usual: np.ndarray,
    labels: np.ndarray | None = None,
    label_noise: float = LABEL_NOISE,
) -> np.ndarray:
    """Coefficients of a correction to the head, by self-training on one person's windows.

    A ridge fits the predicted probabilities, which are closer to 0 and 1 than the decisions are,
    on this person's features, in five rounds. Its prior mean is the head's decisions. The
    probabilities of each class are scaled to the size of the decisions, so that repeated rounds
    do not raise the confidence.

    Parameters
    ----------
    kernel : ndarray of shape (n, n)
        Inner products of the person's windows, see `person_kernel`.
    decisions : ndarray of shape (n, n_classes)
        Recentred decisions.
    sharpness : float
        Factor of the decisions before the softmax.
    usual : ndarray of shape (n_classes,)
        `guess_scale` of the training windows.
    labels : ndarray of int, shape (n,), optional
        Class of each window; -1 where it is unknown. All are unknown by default.
    label_noise : float, default=0.3
        Ridge penalty of a labelled window, see `choose_label_noise`.

    Returns
    -------
    ndarray of shape (n, n_classes)
        ``decisions + kernel @ coefficients`` are the corrected decisions.
    """
    n, n_classes = decisions.shape
    known = np.zeros(n, bool) if labels is None else labels >= 0
    noise = np.where(known, label_noise, _GUESS_NOISE)
    residual, coefficients = np.zeros_like(decisions), np.zeros_like(decisions)
    if labels is not None and known.any():
        targets = np.full_like(decisions, np.nan)
        targets[known] = 2.0 * np.eye(n_classes)[labels[known]] - 1
        residual[known] = targets[known] - decisions[known]
        coefficients = label_correction(kernel, decisions, targets, label_noise)
    if known.all():
        return coefficients
    inverse = np.linalg.inv(kernel + np.diag(noise))
    centred = decisions - ordered_mean(decisions)
    scale = guess_scale(decisions, sharpness, usual)
    for _ in range(_N_ROUNDS):
        guesses = np.exp(log_softmax(sharpness * (decisions + kernel @ coefficients)))
        guesses -= ordered_mean(guesses)
        residual[~known] = (scale * guesses - centred)[~known]
        coefficients = inverse @ residual
    return coefficients


def equal_confidence(corrected: np.ndarray, decisions: np.ndarray, sharpness: float) -> float:
    """Factor that makes corrected decisions no more confident than the original ones.

    Confidence is measured by the mean entropy of the predicted probabilities.

    Parameters
    ----------
    corrected : ndarray of shape (n, n_classes)
        Decisions after self-training.
    decisions : ndarray of shape (n, n_classes)
        Decisions before self-training.
    sharpness : float
        Factor of the decisions before the softmax.

    Returns
    -------
    float
        Above 0 and at most 1.
    """
    goal = _mean_entropy(sharpness * decisions)
    low, high = 0.0, 1.0
    if _mean_entropy(sharpness * corrected) >= goal:
        return high
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (
            (middle, high)
            if _mean_entropy(middle * sharpness * corrected) > goal
            else (low, middle)
        )
    return high


def _mean_entropy(scores: np.ndarray) -> float:
    logs = log_softmax(scores)
    return float(-(np.exp(logs) * logs).sum(axis=1).mean())


def choose_label_noise(
    kernel: np.ndarray,
    decisions: np.ndarray,
    labels: np.ndarray,
    sharpness: float,
    usual: float = LABEL_NOISE,
) -> float:
    """Ridge penalty of a person's labelled windows, chosen by leaving out each of them.

    The population's decisions are the prior mean of the ridge. The left-out log loss is added to
    a normal prior on the logarithm of the penalty: with one window of each class, the class of
    the left-out one does not occur in the others, and leave-one-out alone would choose the
    largest penalty.

    Parameters
    ----------
    kernel : ndarray of shape (n, n)
        Inner products of the labelled windows: the rows and columns of `person_kernel`.
    decisions : ndarray of shape (n, n_classes)
        The population's decisions, which may be recentred.
    labels : ndarray of int, shape (n,)
        Class of each window.
    sharpness : float
        Factor of the decisions before the softmax.
    usual : float, default=0.3
        Median of the prior of the penalty.

    Returns
    -------
    float
        Infinite, so that the labels have no effect, if each class has three windows or more and
        the left-out log loss is higher than that of the population's decisions.
    """
    rows = np.arange(len(labels))
    targets = 2.0 * np.eye(decisions.shape[1])[labels] - 1

    def loss(predicted: np.ndarray) -> float:
        return float(-log_softmax(sharpness * predicted)[rows, labels].sum())

    several = np.unique(labels, return_counts=True)[1].min() > 2
    return _choose_noise(kernel, decisions, targets, loss, several, usual)


def choose_value_noise(kernel: np.ndarray, predicted: np.ndarray, values: np.ndarray) -> float:
    """Ridge penalty of a person's measured windows, chosen by leaving out each of them.

    Parameters
    ----------
    kernel : ndarray of shape (n, n)
        Inner products of the measured windows: the rows and columns of `person_kernel`.
    predicted : ndarray of shape (n, n_outputs)
        Values that the population's head predicts.
    values : ndarray of shape (n, n_outputs)
        Measured values, in units of their standard deviation over the training windows.

    Returns
    -------
    float
        Infinite, so that the values have no effect, if there are four windows or more and the
        left-out squared error is larger than that of the population's head.
    """

    def loss(left_out: np.ndarray) -> float:
        return float(0.5 * ((left_out - values) ** 2).sum())

    return _choose_noise(kernel, predicted, values, loss, len(values) > 3, LABEL_NOISE)


def _choose_noise(
    kernel: np.ndarray,
    decisions: np.ndarray,
    targets: np.ndarray,
    loss: Callable[[np.ndarray], float],
    may_have_no_effect: bool,
    usual: float,
) -> float:
    """Penalty with the smallest sum of left-out loss and negative logarithm of its prior."""
    losses, costs = [], []
    for noise in _LABEL_NOISES:
        inverse = np.linalg.inv(kernel + noise * np.eye(len(kernel)))
        left_out = targets - inverse @ (targets - decisions) / np.diag(inverse)[:, None]
        losses.append(loss(left_out))
        costs.append(losses[-1] + 0.5 * np.log(noise / usual) ** 2)
    best = int(np.argmin(costs))
    if may_have_no_effect and losses[best] > loss(decisions):
        return np.inf
    return float(_LABEL_NOISES[best])


def label_correction(
    kernel: np.ndarray, decisions: np.ndarray, targets: np.ndarray, noise: float
) -> np.ndarray:
    """Coefficients of a correction to the head, from labelled windows alone.

    A ridge whose prior mean is the head's decisions.

    Parameters
    ----------
    kernel : ndarray of shape (n, n)
        Inner products of the person's windows, see `person_kernel`.
    decisions : ndarray of shape (n, n_outputs)
        Decisions of the head.
    targets : ndarray of shape (n, n_outputs)
        Targets of the labelled windows; NaN in the rows of the others.
    noise : float
        Ridge penalty of a labelled window.

    Returns
    -------
    ndarray of shape (n, n_outputs)
        0 in the rows of windows without a label.
    """
    known = ~np.isnan(targets[:, 0])
    inner = kernel[np.ix_(known, known)] + noise * np.eye(known.sum())
    coefficients = np.zeros_like(decisions)
    coefficients[known] = np.linalg.solve(inner, targets[known] - decisions[known])
    return coefficients


def guess_scale(
    decisions: np.ndarray, sharpness: float, usual: np.ndarray | None = None
) -> np.ndarray:
    """Factor for each class that scales predicted probabilities to the size of the decisions.

    Parameters
    ----------
    decisions : ndarray of shape (n, n_classes)
        Recentred decisions: left-out ones of the training windows, or those of one person.
    sharpness : float
        Factor of the decisions before the softmax.
    usual : ndarray of shape (n_classes,), optional
        Factors of the training windows. The result lies between half and twice of them: where all
        windows of a person are alike, the probabilities hardly vary and their factor would be
        huge. By default, the factor of all classes together takes their place.

    Returns
    -------
    ndarray of shape (n_classes,)
    """
    guesses = np.exp(log_softmax(sharpness * decisions))
    guesses -= ordered_mean(guesses)
    centred = decisions - ordered_mean(decisions)
    size, overlap = (centred**2).sum(axis=0), (guesses * centred).sum(axis=0)
    if usual is None:
        usual = np.full(len(size), size.sum() / max(overlap.sum(), 1e-12))
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.where(overlap > 0, size / overlap, usual)
    return np.clip(scale, usual / _MAX_SCALE, usual * _MAX_SCALE)


def correction_head(
    features: np.ndarray,
    families: list[int],
    coefficients: np.ndarray,
    shares: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Weights and bias that add the correction of `self_trained` to a linear head.

    Parameters
    ----------
    features : ndarray of shape (n, n_features)
        Standardised features of the windows that the kernel was computed from.
    families, shares
        Those of the kernel, see `person_kernel`.
    coefficients : ndarray of shape (n, n_classes)
        Result of `self_trained`.

    Returns
    -------
    weight : ndarray of shape (n_classes, n_features)
    bias : ndarray of shape (n_classes,)
    """
    middle = ordered_mean(features)
    # Both factors of the kernel are scaled, so the scale enters squared.
    parts = _families(features - middle, families, shares)
    weight = np.concatenate([coefficients.T @ part / size for part, size in parts], axis=1)
    return weight, -weight @ middle
