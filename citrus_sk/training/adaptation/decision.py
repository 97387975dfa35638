"""Whether to recentre people, to pool their windows, or neither; and both of these operations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .consistency import CONSISTENCIES, TRUST, label_consistency, value_consistency
from .people import (
    PeopleMeans,
    mean_weight,
    ordered_mean,
    overall_mean,
    rows_of_people,
    share_of_others,
    with_unlabelled,
)

Calibrate = Callable[[np.ndarray, np.ndarray, np.ndarray], float]

_MANY = 10.0  # mean number of windows of a person from which the log loss overrules the labels
_ENOUGH_PEOPLE = 5  # from which the log loss alone justifies recentring
_NEARLY_THE_SAME = 0.15  # expected ICC of the labels below which it may do so
_SLOPE = 3.0  # how fast the share of recentring falls with the expected ICC
_LEAST_SHARE = 0.1  # below which recentring is not worth its time
_FARTHEST = 3.0  # longest shift of a new person, in lengths of the longest of a training person


@dataclass(frozen=True)
class Decision:
    """How the windows of one person are predicted together, and why.

    Attributes
    ----------
    kind : {"recenter", "pool"} or None
        "recenter" takes the person's mean decision away, "pool" draws the decisions towards it,
        None leaves them unchanged.
    loss : float
        Mean log loss (squared error, for numbers) of left-out people who have two windows or
        more, without adaptation.
    adapted_loss : float
        The same with pooling where each person has one class, otherwise with recentring.
    consistency : float
        Expected share of the label's variance that lies between people: about 0 where people
        have the same classes equally often, 1 where each person has one class.
    reason : str
        One sentence.
    share : float, default=1.0
        Weight of the adapted outputs against the plain ones, in [0, 1]. It is below 1 where people
        may have different classes; their means then hold both the person and the label.
    n_unlabelled : int, default=0
        Number of windows without a label in the means of the people; 0 if recentring with them
        does not lower the loss of left-out people further.
    """

    kind: str | None
    loss: float
    adapted_loss: float
    consistency: float
    reason: str
    share: float = 1.0
    n_unlabelled: int = 0


def recentred(
    decisions: np.ndarray,
    groups: np.ndarray,
    reference: np.ndarray,
    weights: np.ndarray | None = None,
    farthest: float = np.inf,
    unlabelled: PeopleMeans | None = None,
) -> np.ndarray:
    """Move the mean decision of each person towards that of all people.

    Centring the outputs of a linear head equals centring its inputs, so this covers the features
    of the network, the kernels and the bands at once.

    Parameters
    ----------
    decisions : ndarray of shape (n, n_outputs)
    groups : ndarray of shape (n,)
        Person of each window.
    reference : ndarray of shape (n_outputs,)
        Mean decision over the training people.
    weights : ndarray of shape (n,), optional
        Number of windows that each row stands for; 1 by default.
    farthest : float, optional
        Length of the longest shift, see `farthest_shift`; longer ones are shortened to it. A
        person with one class only has a mean that is unlike that of any training person.
    unlabelled : PeopleMeans, optional
        Mean decisions over further windows of the same people.

    Returns
    -------
    ndarray of shape (n, n_outputs)
    """
    moved = np.array(decisions, dtype=np.float64)
    for rows, n_windows in rows_of_people(groups, weights):
        part = None if weights is None else weights[rows]
        mean = ordered_mean(decisions[rows], part)
        mean, n_all = with_unlabelled(mean, n_windows, groups[rows[0]], unlabelled)
        moved[rows] -= shrunk_shift(mean, reference, n_all, farthest)
    return moved


def shrunk_shift(
    mean: np.ndarray, reference: np.ndarray, n_windows: float, farthest: float
) -> np.ndarray:
    """Part of a person's distance from the reference that recentring takes away.

    Parameters
    ----------
    mean : ndarray of shape (n_outputs,)
        Mean decision of the person.
    reference, farthest
        As in `recentred`.
    n_windows : float
        Number of windows of the person.

    Returns
    -------
    ndarray of shape (n_outputs,)
    """
    shift = mean - reference
    length = float(np.sqrt((shift**2).sum()))
    return np.asarray(mean_weight(n_windows) * min(1.0, farthest / max(length, 1e-12)) * shift)


def farthest_shift(
    left_out: np.ndarray,
    groups: np.ndarray,
    reference: np.ndarray,
    weights: np.ndarray | None = None,
    unlabelled: PeopleMeans | None = None,
) -> float:
    """Length of the longest plausible shift: three times the longest of any training person.

    Parameters
    ----------
    left_out : ndarray of shape (n, n_outputs)
        Decisions for the training windows, each from a head fitted without its person.
    groups, reference, weights, unlabelled
        As in `recentred`. People with one window are ignored.

    Returns
    -------
    float
        Infinite where nobody has two windows.
    """
    lengths = []
    for rows, n_windows in rows_of_people(groups, weights):
        part = None if weights is None else weights[rows]
        mean = np.average(left_out[rows], axis=0, weights=part)
        mean, n_all = with_unlabelled(mean, n_windows, groups[rows[0]], unlabelled)
        if n_all > 1:
            lengths.append(np.sqrt(((mean - reference) ** 2).sum()))
    return _FARTHEST * float(max(lengths)) if lengths else np.inf


def pooled(
    decisions: np.ndarray, groups: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Draw the decisions towards their person's mean: by 1/2 for two windows, 9/10 for ten.

    Parameters and return value are those of `recentred`.
    """
    moved = np.array(decisions, dtype=np.float64)
    for rows, n_windows in rows_of_people(groups, weights):
        mean = ordered_mean(decisions[rows], None if weights is None else weights[rows])
        moved[rows] += share_of_others(n_windows) * (mean - decisions[rows])
    return moved


def within_people(
    features: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    groups: np.ndarray,
    unlabelled: PeopleMeans | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Features and targets without most of their person's mean, for a ridge on differences within.

    Centring both corresponds to a random-intercept model: a person with more windows of some
    classes does not bias the coefficients, and a person with one class hardly affects them.

    Parameters
    ----------
    features : ndarray of shape (n, n_features)
    targets : ndarray of shape (n, n_outputs)
    weights : ndarray of shape (n,)
        Number of windows that each row stands for.
    groups : ndarray of shape (n,)
        Person of each window.
    unlabelled : PeopleMeans, optional
        Mean features over further windows of the same people. Their targets are taken to have the
        mean over all people.

    Returns
    -------
    features : ndarray of shape (n, n_features)
        Centred features.
    targets : ndarray of shape (n, n_outputs)
        Centred targets, with the mean over all people.
    """
    level = np.average(targets, axis=0, weights=weights)
    centred = np.array(features, np.float64)
    centred_targets = np.array(targets, np.float64)
    for rows, n_windows in rows_of_people(groups, weights):
        part, person = weights[rows], groups[rows[0]]
        mean = np.average(features[rows], axis=0, weights=part)
        mean, n_all = with_unlabelled(mean, n_windows, person, unlabelled)
        share = share_of_others(n_all)  # not shrunk further: labels carry no noise
        centred[rows] -= share * mean
        shift = np.average(targets[rows], axis=0, weights=part) - level
        centred_targets[rows] -= n_windows / n_all * share * shift
    return centred, centred_targets


def decide(
    left_out: np.ndarray,
    codes: np.ndarray,
    weights: np.ndarray,
    groups: np.ndarray,
    calibrate: Calibrate,
    unlabelled: PeopleMeans | None = None,
) -> Decision:
    """Choose between recentring, pooling and neither, on the training people.

    The labels come first. A person's mean is safe to take away where people have the same classes
    equally often; pooling suits labels that each person has one of. The log loss of left-out
    people comes second: it overrules the labels where there are windows enough, and decides
    between the two cases. In between, recentring gets a part of the weight if it lowers this log
    loss: the more, the more alike the people's classes seem to be. One window for each person
    holds no evidence, and nothing is done.

    Parameters
    ----------
    left_out : ndarray of shape (n, n_classes)
        Decisions for the training windows, each from a head fitted without its person.
    codes : ndarray of int, shape (n,)
        Class of each window.
    weights : ndarray of shape (n,)
        Number of windows that each row stands for.
    groups : ndarray of shape (n,)
        Person of each window.
    calibrate : callable
        ``calibrate(decisions, codes, weights)`` returns a positive float by which the decisions
        are multiplied before the softmax.
    unlabelled : PeopleMeans, optional
        Mean decisions over further windows of the people. They are used if recentring with them
        has a lower log loss than recentring without them.

    Returns
    -------
    Decision
    """

    def losses(decisions: np.ndarray) -> np.ndarray:
        log_probabilities = log_softmax(calibrate(decisions, codes, weights) * decisions)
        return -log_probabilities[np.arange(len(codes)), codes]

    probabilities = label_consistency(codes, groups, left_out.shape[1])
    return _decide(left_out, probabilities, weights, groups, losses, _OF_CLASSES, unlabelled)


def decide_values(
    left_out: np.ndarray, values: np.ndarray, weights: np.ndarray, groups: np.ndarray
) -> Decision:
    """Choose between recentring, pooling and neither, for a regression.

    As `decide`, with squared errors in place of log losses.

    Parameters
    ----------
    left_out : ndarray of shape (n, n_outputs)
        Predictions for the training windows, each from a head fitted without its person.
    values : ndarray of shape (n, n_outputs)
        True values.
    weights : ndarray of shape (n,)
        Number of windows that each row stands for.
    groups : ndarray of shape (n,)
        Person of each window.

    Returns
    -------
    Decision
    """

    def losses(predicted: np.ndarray) -> np.ndarray:
        return np.asarray(((predicted - values) ** 2).mean(axis=1))

    probabilities = np.mean([value_consistency(each, groups) for each in values.T], axis=0)
    return _decide(left_out, probabilities, weights, groups, losses, _OF_VALUES)


@dataclass(frozen=True)
class _Words:
    """How the reasons name the targets and their loss."""

    same: str
    nearly: str
    perhaps: str
    one: str
    different: str
    loss: str


_OF_CLASSES = _Words(
    "People have the same classes about equally often",
    "People have nearly the same classes",
    "People may have the same classes",
    "Each person has one class",
    "People have different classes, or the same in different shares",
    "log loss",
)
_OF_VALUES = _Words(
    "The values of all people are alike",
    "The values of all people are nearly alike",
    "The values of all people may be alike",
    "Each person has one value",
    "People have different values",
    "squared error",
)


def _decide(
    left_out: np.ndarray,
    probabilities: np.ndarray,
    weights: np.ndarray,
    groups: np.ndarray,
    losses: Callable[[np.ndarray], np.ndarray],
    words: _Words,
    unlabelled: PeopleMeans | None = None,
) -> Decision:
    """Choose by the probabilities of `CONSISTENCIES` and by the loss of each window."""
    people = rows_of_people(groups)

    def by_person(decisions: np.ndarray) -> np.ndarray:
        loss = losses(decisions)
        return np.array([np.average(loss[rows], weights=weights[rows]) for rows, _ in people])

    consistency = float(probabilities @ CONSISTENCIES)
    have_one_class = bool(probabilities[-1] > TRUST)
    if have_one_class:
        unlabelled = None  # the mean of a person is then the label
    sizes = np.array([len(rows) for rows, _ in people])
    others = [0 if unlabelled is None else unlabelled.count_of(groups[r[0]]) for r, _ in people]
    several = sizes + others > 1  # the decisions of the other people are unchanged
    before = by_person(left_out)
    if not several.any() or len(sizes) < 3:
        loss = float(before.mean())
        reason = "There are fewer than three people, or each of them has one window only."
        return Decision(None, loss, loss, consistency, reason, 0.0)
    loss = float(before[several].mean())
    after, n_unlabelled = by_person(_adapted(left_out, weights, groups, have_one_class)), 0
    if unlabelled is not None:
        further = by_person(_adapted(left_out, weights, groups, have_one_class, unlabelled))
        if further[several].mean() < after[several].mean():
            after, n_unlabelled = further, round(unlabelled.counts.sum())
    gain, error = _mean_gain((after - before)[several])
    kind, share, reason = _choice(probabilities, sizes, loss, gain, error, words)
    return Decision(kind, loss, loss - gain, consistency, reason, share, n_unlabelled)


def _adapted(
    left_out: np.ndarray,
    weights: np.ndarray,
    groups: np.ndarray,
    have_one_class: bool,
    unlabelled: PeopleMeans | None = None,
) -> np.ndarray:
    """Left-out decisions, pooled where people have one class each and recentred otherwise."""
    if have_one_class:
        return pooled(left_out, groups, weights)
    reference = overall_mean(left_out, weights, unlabelled)
    return recentred(left_out, groups, reference, weights, unlabelled=unlabelled)


def _choice(
    probabilities: np.ndarray,
    sizes: np.ndarray,
    loss: float,
    gain: float,
    error: float,
    words: _Words,
) -> tuple[str | None, float, str]:
    """Kind of adaptation, its share and its reason; `error` is the standard error of `gain`."""
    many = sizes.mean() >= _MANY
    if probabilities[0] > TRUST:
        if many and gain < -2 * error:
            return None, 0.0, f"Recentring raises the {words.loss} of left-out people."
        return "recenter", 1.0, f"{words.same}."
    if probabilities[-1] > TRUST:
        if gain > max(error, 0.01 * loss):
            return "pool", 1.0, f"{words.one}, and pooling lowers the {words.loss}."
        return None, 0.0, f"{words.one}, and pooling does not lower the {words.loss}."
    enough = many and len(sizes) >= _ENOUGH_PEOPLE and gain > 2 * error
    return _partial(float(probabilities @ CONSISTENCIES), gain, enough, words)


def _partial(
    consistency: float, gain: float, enough: bool, words: _Words
) -> tuple[str | None, float, str]:
    """The same where the labels are not sure; `enough` is whether `gain` is beyond doubt."""
    share, people = 1 - _SLOPE * consistency, words.perhaps
    if enough and consistency < _NEARLY_THE_SAME:
        share, people = 1.0, words.nearly
    if share < _LEAST_SHARE:
        return None, 0.0, f"{words.different}."
    if gain <= 0:
        return None, 0.0, f"{people}, but recentring does not lower the {words.loss}."
    return "recenter", share, f"{people}, and recentring lowers the {words.loss}."


def _mean_gain(change: np.ndarray) -> tuple[float, float]:
    """Mean decrease of the losses of people, and its standard error."""
    error = change.std(ddof=1) / np.sqrt(len(change)) if len(change) > 1 else np.inf
    return -float(change.mean()), float(error)


def log_softmax(scores: np.ndarray) -> np.ndarray:
    """Log probabilities of each row."""
    scores = scores - scores.max(axis=1, keepdims=True)
    return np.asarray(scores - np.log(np.exp(scores).sum(axis=1, keepdims=True)))
