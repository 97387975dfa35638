"""Error among the answers that a classifier gives, by threshold, and its upper bound."""

from __future__ import annotations

import numpy as np
from scipy.special import betaincinv, stdtrit

_MOST_THRESHOLDS = 100


def errors_by_threshold(
    probabilities: np.ndarray, wrong: np.ndarray, groups: np.ndarray, confidence: float | None
) -> dict[str, np.ndarray]:
    """Share of answers and error among them, for increasing thresholds of the probability.

    Parameters
    ----------
    probabilities : ndarray of shape (n,)
        Largest probability of each left-out window.
    wrong : ndarray of bool, shape (n,)
        Whether the class with this probability is not the label.
    groups : ndarray of int, shape (n,)
        Codes 0, 1, ... of the groups, in which windows resemble each other.
    confidence : float or None
        Confidence of the bound in (0, 1). None takes the observed error as the bound.

    Returns
    -------
    dict of str to ndarray of shape (n_thresholds,)
        ``"thresholds"`` (at most 101, and the first is 0), ``"coverage"``, ``"error"`` and
        ``"error_bound"``.
    """
    candidates = np.quantile(
        probabilities, np.arange(1, _MOST_THRESHOLDS) / _MOST_THRESHOLDS, method="lower"
    )
    thresholds = np.unique(np.append(0.0, candidates))
    n_groups = int(groups.max()) + 1
    correlation = error_correlation(*_counts(wrong, groups, n_groups))
    rows = []
    for threshold in thresholds:
        answered = probabilities >= threshold
        n_wrong, n = _counts(wrong[answered], groups[answered], n_groups)
        error = n_wrong.sum() / n.sum()
        bound = error
        if confidence is not None:
            # Confident errors can belong to a single person: the larger correlation counts.
            largest = max(correlation, error_correlation(n_wrong, n))
            bound = error_bound(n_wrong, n, confidence, largest)
        rows.append((threshold, answered.mean(), error, bound))
    names = ("thresholds", "coverage", "error", "error_bound")
    return dict(zip(names, np.array(rows, np.float64).T.copy(), strict=True))


def _counts(wrong: np.ndarray, groups: np.ndarray, n_groups: int) -> tuple[np.ndarray, np.ndarray]:
    n_wrong = np.bincount(groups, wrong, n_groups)
    return n_wrong, np.bincount(groups, minlength=n_groups).astype(np.float64)


def error_correlation(n_wrong: np.ndarray, n: np.ndarray) -> float:
    """Intraclass correlation of errors within groups, by analysis of variance, 0 or more.

    Parameters
    ----------
    n_wrong, n : ndarray of shape (n_groups,)
        Errors and answers of each group; groups without answers are ignored.
    """
    n_wrong, n = n_wrong[n > 0], n[n > 0]
    n_groups, total = len(n), n.sum()
    if n_groups < 2 or total <= n_groups:
        return 0.0
    rates = n_wrong / n
    between = (n * (rates - n_wrong.sum() / total) ** 2).sum() / (n_groups - 1)
    within = (n_wrong * (1 - rates)).sum() / (total - n_groups)
    size = (total - (n**2).sum() / total) / (n_groups - 1)
    spread = between + (size - 1) * within
    return float(max(0.0, (between - within) / spread)) if spread > 0 else 0.0


def error_bound(n_wrong: np.ndarray, n: np.ndarray, confidence: float, correlation: float) -> float:
    """Upper confidence bound of the error, for windows that resemble each other within groups.

    Clopper and Pearson's bound for the effective number of windows (Korn and Graubard, 1998): the
    number of windows, divided by the design effect, and by the squared ratio of Student's
    quantiles for the number of groups and for that of windows.

    Parameters
    ----------
    n_wrong, n : ndarray of shape (n_groups,)
        Errors and answers of each group; groups without answers are ignored.
    confidence : float
        In (0, 1).
    correlation : float
        Intraclass correlation of the errors, in [0, 1].

    Returns
    -------
    float
        In (0, 1]; 1 if fewer than two groups have answers.
    """
    n_wrong, n = n_wrong[n > 0], n[n > 0]
    n_groups, total = len(n), n.sum()
    if n_groups < 2:
        return 1.0
    design_effect = 1 + ((n**2).sum() / total - 1) * correlation
    ratio = stdtrit(total - 1, confidence) / stdtrit(n_groups - 1, confidence)
    effective = total / design_effect * ratio**2
    expected = effective * n_wrong.sum() / total
    if expected >= effective:
        return 1.0
    return float(betaincinv(expected + 1, effective - expected, confidence))
