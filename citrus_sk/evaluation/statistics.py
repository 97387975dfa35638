"""Tests that compare classifiers over the folds of one data set, and over data sets."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from .._utils.validation import check_choice

_FEW_SETS = 5


@dataclass(frozen=True)
class FoldComparison:
    """Difference of two classifiers over the folds of one data set.

    Attributes
    ----------
    difference : float
        Mean of the first's scores minus the second's.
    low, high : float
        Confidence interval of the difference.
    t, p_value : float
        Result of the corrected resampled t-test, two-sided.
    effect_size : float
        Mean divided by standard deviation of the differences; 0 if all are 0.
    n_folds : int
        Number of pairs of scores.
    """

    difference: float
    low: float
    high: float
    t: float
    p_value: float
    effect_size: float
    n_folds: int


@dataclass(frozen=True)
class SetComparison:
    """Difference of two classifiers over data sets.

    Attributes
    ----------
    difference, median : float
        Mean and median of the first's scores minus the second's.
    n_sets, n_better, n_worse : int
        Number of data sets, and of those on which the first is better, and worse.
    effect_size : float
        Matched-pairs rank-biserial correlation, from -1 (the second is always better) to 1.
    p_value : float
        P-value of Wilcoxon's signed-rank test, two-sided; 1 if no scores differ.
    """

    difference: float
    median: float
    n_sets: int
    n_better: int
    n_worse: int
    effect_size: float
    p_value: float


@dataclass(frozen=True)
class ModelRanks:
    """Ranks of classifiers over data sets, with tests of their differences.

    Attributes
    ----------
    names : tuple of str
        Names from the best mean rank to the worst.
    mean_ranks : ndarray of shape (n_models,)
        Mean ranks; 1 is the best, and ties get the mean of their ranks.
    friedman_p : float
        P-value of Friedman's test that all classifiers are equal.
    p_values : ndarray of shape (n_models, n_models)
        P-value of each pair: Nemenyi's, or Wilcoxon's corrected by Holm's method.
    alpha : float
        Significance level: a pair with a lower p-value differs.
    critical_difference : float or None
        Nemenyi's critical difference: mean ranks that are further apart differ. None for
        ``"holm"``.
    """

    names: tuple[str, ...]
    mean_ranks: np.ndarray
    friedman_p: float
    p_values: np.ndarray
    alpha: float
    critical_difference: float | None

    def cliques(self) -> list[tuple[str, ...]]:
        """Longest runs of two or more neighbours in rank without a pair that differs."""
        alike = self.p_values >= self.alpha
        found: list[tuple[int, int]] = []
        for start in range(len(self.names)):
            stop = start + 1
            while stop < len(self.names) and alike[start : stop + 1, start : stop + 1].all():
                stop += 1
            if stop - start > 1 and (not found or stop > found[-1][1]):
                found.append((start, stop))
        return [self.names[start:stop] for start, stop in found]


def compare_on_folds(
    first: Any, second: Any, *, n_train: Any, n_test: Any, confidence: float = 0.95
) -> FoldComparison:
    """Compare two classifiers by their scores on the same folds of one data set.

    Parameters
    ----------
    first, second : array-like of shape (n_folds,)
        Scores of both on the same folds; larger is better.
    n_train, n_test : int or array-like of shape (n_folds,)
        Number of windows in the whole training fold and in the test fold. If only a fraction of
        the training fold was used, pass the size of the whole fold: the correction is for the
        overlap of training folds, and draws from them overlap less.
    confidence : float, default=0.95
        Confidence level of the interval, in (0, 1).

    Returns
    -------
    FoldComparison

    Raises
    ------
    ValueError
        If there are fewer than two pairs, the lengths differ, or a score is not finite.

    Notes
    -----
    Folds share training windows, so the usual t-test finds differences that do not exist. The
    corrected resampled t-test [1]_ adds ``n_test / n_train`` to ``1 / n_folds`` in the variance of
    the mean.

    References
    ----------
    .. [1] Nadeau and Bengio (2003). Inference for the generalization error. Machine Learning 52,
       239-281.

    Examples
    --------
    >>> from citrus_sk.evaluation import compare_on_folds
    >>> found = compare_on_folds(
    ...     [0.81, 0.78, 0.84, 0.80, 0.79], [0.76, 0.77, 0.80, 0.74, 0.77], n_train=80, n_test=20
    ... )
    >>> print(f"{found.difference:+.3f}, p = {found.p_value:.3f}")
    +0.036, p = 0.061
    """
    differences = _differences(first, second)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence!r}; expected a number between 0 and 1.")
    n = len(differences)
    ratio = float(np.mean(np.asarray(n_test, float) / np.asarray(n_train, float)))
    mean, sd = float(differences.mean()), float(differences.std(ddof=1))
    if np.ptp(differences) <= 1e-12 * max(1.0, abs(mean)):  # constant up to rounding
        sd = 0.0
    error = sd * np.sqrt(1 / n + ratio)
    half = float(stats.t.ppf((1 + confidence) / 2, n - 1) * error)
    t, effect = (mean / error, mean / sd) if sd else (np.copysign(np.inf, mean),) * 2
    if mean == 0:
        t = effect = 0.0
    p_value = float(2 * stats.t.sf(abs(t), n - 1))
    return FoldComparison(mean, mean - half, mean + half, float(t), p_value, float(effect), n)


def compare_over_sets(first: Any, second: Any) -> SetComparison:
    """Compare two classifiers by one score for each data set.

    Parameters
    ----------
    first, second : array-like of shape (n_sets,)
        Scores of both on the same data sets, such as means over folds; larger is better.

    Returns
    -------
    SetComparison

    Raises
    ------
    ValueError
        If there are fewer than two pairs, the lengths differ, or a score is not finite.

    References
    ----------
    .. [1] Demsar (2006). Statistical comparisons of classifiers over multiple data sets. Journal of
       Machine Learning Research 7, 1-30.

    Examples
    --------
    >>> from citrus_sk.evaluation import compare_over_sets
    >>> found = compare_over_sets([0.8, 0.7, 0.9, 0.6, 0.8, 0.7], [0.7, 0.65, 0.7, 0.63, 0.6, 0.4])
    >>> found.n_better, round(found.effect_size, 2), round(found.p_value, 3)
    (5, 0.9, 0.062)
    """
    differences = _differences(first, second)
    nonzero = differences[differences != 0]
    ranks = stats.rankdata(np.abs(nonzero))
    return SetComparison(
        difference=float(differences.mean()),
        median=float(np.median(differences)),
        n_sets=len(differences),
        n_better=int((differences > 0).sum()),
        n_worse=int((differences < 0).sum()),
        effect_size=float(np.sign(nonzero) @ ranks / ranks.sum()) if len(nonzero) else 0.0,
        p_value=float(stats.wilcoxon(differences).pvalue) if len(nonzero) else 1.0,
    )


def correct_holm(p_values: Any) -> np.ndarray:
    """Correct p-values for their number, by Holm's method (1979).

    Parameters
    ----------
    p_values : array-like of shape (n,)
        P-values in [0, 1].

    Returns
    -------
    ndarray of shape (n,)
        Corrected p-values in the same order.

    Raises
    ------
    ValueError
        If one is not in [0, 1].

    Examples
    --------
    >>> from citrus_sk.evaluation import correct_holm
    >>> correct_holm([0.01, 0.04, 0.03]).round(2).tolist()
    [0.03, 0.06, 0.06]
    """
    raw = np.asarray(p_values, float).ravel()
    if not ((raw >= 0) & (raw <= 1)).all():
        raise ValueError(f"p_values={raw.tolist()}; expected numbers from 0 to 1.")
    order = np.argsort(raw, kind="stable")
    raised = raw[order] * np.arange(len(raw), 0, -1)
    corrected = np.empty(len(raw))
    corrected[order] = np.maximum.accumulate(raised).clip(max=1)
    return corrected


def rank_models(
    scores: Any,
    names: Sequence[str],
    *,
    method: str = "nemenyi",
    alpha: float = 0.05,
    greater_is_better: bool = True,
) -> ModelRanks:
    """Rank classifiers over data sets, and test which of them differ.

    Parameters
    ----------
    scores : array-like of shape (n_sets, n_models)
        Score of each classifier on each data set, such as a mean over folds.
    names : sequence of str
        Names of the classifiers.
    method : {"nemenyi", "holm"}, default="nemenyi"
        Nemenyi's test on mean ranks [1]_, or Wilcoxon's signed-rank test of each pair, corrected by
        Holm's method. Wilcoxon's test of two classifiers does not depend on the others [2]_.
    alpha : float, default=0.05
        Significance level, in (0, 1).
    greater_is_better : bool, default=True
        False if a lower score is better.

    Returns
    -------
    ModelRanks

    Raises
    ------
    ValueError
        If there are fewer than two classifiers or data sets, or a score is not finite.

    Warns
    -----
    UserWarning
        If there are fewer than five data sets, too few for any test to find a difference.

    References
    ----------
    .. [1] Demsar (2006). Statistical comparisons of classifiers over multiple data sets. Journal of
       Machine Learning Research 7, 1-30.
    .. [2] Benavoli, Corani and Mangili (2016). Should we really use post-hoc tests based on
       mean-ranks? Journal of Machine Learning Research 17, 1-10.

    Examples
    --------
    >>> from citrus_sk.evaluation import rank_models
    >>> scores = [[0.9, 0.8, 0.5], [0.8, 0.7, 0.6], [0.7, 0.8, 0.4], [0.9, 0.7, 0.6],
    ...           [0.8, 0.7, 0.5], [0.6, 0.5, 0.4]]
    >>> ranks = rank_models(scores, ["a", "b", "c"])
    >>> ranks.mean_ranks.round(2).tolist(), ranks.cliques()
    ([1.17, 1.83, 3.0], [('a', 'b'), ('b', 'c')])
    """
    table = np.asarray(scores, float)
    if table.ndim != 2 or table.shape[0] < 2 or table.shape[1] < 2:
        raise ValueError(
            f"scores has the shape {table.shape}; expected (n_sets, n_models) with at least two of "
            "each."
        )
    if len(names) != table.shape[1]:
        raise ValueError(
            f"names has {len(names)} entries, but scores has {table.shape[1]} columns."
        )
    if not np.isfinite(table).all():
        raise ValueError(
            f"scores has {(~np.isfinite(table)).sum()} entries that are not finite; leave out the "
            "data sets on which a classifier failed."
        )
    check_choice("method", method, ("nemenyi", "holm"))
    if not 0 < alpha < 1:
        raise ValueError(f"alpha={alpha!r}; expected a number between 0 and 1.")
    n_sets, n_models = table.shape
    if n_sets < _FEW_SETS:
        warnings.warn(
            f"{n_sets} data sets are too few for any test to find a difference; expected at least "
            f"{_FEW_SETS}, preferably 10.",
            UserWarning,
            stacklevel=2,
        )
    ranks = stats.rankdata(-table if greater_is_better else table, axis=1).mean(axis=0)
    order = np.argsort(ranks, kind="stable")
    table, ranks = table[:, order], ranks[order]
    critical = None
    if method == "nemenyi":
        unit = np.sqrt(n_models * (n_models + 1) / (12 * n_sets))  # sd of a difference over root 2
        p_values = stats.studentized_range.sf(
            np.abs(ranks[:, None] - ranks) / unit, n_models, np.inf
        )
        critical = float(stats.studentized_range.ppf(1 - alpha, n_models, np.inf) * unit)
    else:
        p_values = _pairwise_wilcoxon(table)
    return ModelRanks(
        names=tuple(names[i] for i in order),
        mean_ranks=ranks,
        friedman_p=_friedman(table),
        p_values=p_values,
        alpha=alpha,
        critical_difference=critical,
    )


def _friedman(table: np.ndarray) -> float:
    if table.shape[1] == 2:  # scipy refuses two, for which Friedman's test is a sign test
        return compare_over_sets(table[:, 0], table[:, 1]).p_value
    if (table == table[:, :1]).all():
        return 1.0
    return float(stats.friedmanchisquare(*table.T).pvalue)


def _pairwise_wilcoxon(table: np.ndarray) -> np.ndarray:
    rows, columns = np.triu_indices(table.shape[1], 1)
    raw = [
        compare_over_sets(table[:, a], table[:, b]).p_value
        for a, b in zip(rows, columns, strict=True)
    ]
    p_values = np.ones((table.shape[1],) * 2)
    p_values[rows, columns] = p_values[columns, rows] = correct_holm(raw)
    return p_values


def _differences(first: Any, second: Any) -> np.ndarray:
    first, second = np.asarray(first, float).ravel(), np.asarray(second, float).ravel()
    if len(first) != len(second):
        raise ValueError(
            f"first has {len(first)} scores and second {len(second)}; expected pairs of the same "
            "folds or data sets."
        )
    if len(first) < 2:
        raise ValueError(f"{len(first)} pair of scores; expected at least two.")
    differences = first - second
    if not np.isfinite(differences).all():
        raise ValueError(
            f"{(~np.isfinite(differences)).sum()} of {len(differences)} pairs have a score that is "
            "not finite, such as that of a failed fit; leave these pairs out."
        )
    return differences
