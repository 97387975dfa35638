"""Comparisons that hold: over the folds of one data set, and over data sets."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

_FEW_SETS = 5


@dataclass(frozen=True)
class FoldComparison:
    """How much better the first of two classifiers is over the folds of one data set.

    Attributes
    ----------
    difference : float
        Mean of the first's scores minus the second's.
    low, high : float
        Confidence interval of the difference.
    t, p_value : float
        Corrected resampled t-test, two-sided.
    effect_size : float
        Mean over standard deviation of the differences; 0 where all are 0.
    n_folds : int
        Pairs of scores.
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
    """How much better the first of two classifiers is over data sets.

    Attributes
    ----------
    difference, median : float
        Mean and median of the first's scores minus the second's.
    n_sets, n_better, n_worse : int
        Sets; on how many the first is better, and worse.
    effect_size : float
        Matched-pairs rank-biserial correlation, from -1 (the second is always better) to 1.
    p_value : float
        Wilcoxon's signed-rank test, two-sided; 1 where no scores differ.
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
    """Classifiers ranked over data sets, and which of them differ.

    Attributes
    ----------
    names : tuple of str
        From the best mean rank to the worst.
    mean_ranks : ndarray of shape (n_models,)
        1 is the best; ties share the mean of their ranks.
    friedman_p : float
        That all are alike.
    p_values : ndarray of shape (n_models, n_models)
        Of each pair: Nemenyi's, or Wilcoxon's corrected by Holm's method.
    alpha : float
        Level below which a pair differs.
    critical_difference : float or None
        Nemenyi's: mean ranks that are further apart differ. None for ``"holm"``.
    """

    names: tuple[str, ...]
    mean_ranks: np.ndarray
    friedman_p: float
    p_values: np.ndarray
    alpha: float
    critical_difference: float | None

    def cliques(self) -> list[tuple[str, ...]]:
        """Longest runs of two or more neighbours in rank of which no pair differs."""
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
        Scores, pair by pair of the same fold; larger is better.
    n_train, n_test : int or array-like of shape (n_folds,)
        Windows in the whole training fold and in the test fold. Of a thinned-out fold pass what it
        was drawn from: folds are alike through what they share, and draws share less.
    confidence : float, default=0.95
        Of the interval, in (0, 1).

    Returns
    -------
    FoldComparison

    Raises
    ------
    ValueError
        For fewer than two pairs, unequal lengths, or scores that are not finite.

    Notes
    -----
    Folds share training windows, which makes the common t-test find differences where there are
    none. The corrected resampled t-test [1]_ adds ``n_test / n_train`` to ``1 / n_folds`` in the
    variance of the mean.

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
    gaps = _differences(first, second)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence!r}; wanted a number between 0 and 1.")
    n = len(gaps)
    ratio = float(np.mean(np.asarray(n_test, float) / np.asarray(n_train, float)))
    mean, sd = float(gaps.mean()), float(gaps.std(ddof=1))
    if np.ptp(gaps) <= 1e-12 * max(1.0, abs(mean)):  # constant but for rounding
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
        Scores, such as means over folds, pair by pair of the same set; larger is better.

    Returns
    -------
    SetComparison

    Raises
    ------
    ValueError
        For fewer than two pairs, unequal lengths, or scores that are not finite.

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
    gaps = _differences(first, second)
    moved = gaps[gaps != 0]
    ranks = stats.rankdata(np.abs(moved))
    return SetComparison(
        difference=float(gaps.mean()),
        median=float(np.median(gaps)),
        n_sets=len(gaps),
        n_better=int((gaps > 0).sum()),
        n_worse=int((gaps < 0).sum()),
        effect_size=float(np.sign(moved) @ ranks / ranks.sum()) if len(moved) else 0.0,
        p_value=float(stats.wilcoxon(gaps).pvalue) if len(moved) else 1.0,
    )


def correct_holm(p_values: Any) -> np.ndarray:
    """Correct p-values for how many there are, by Holm's method (1979).

    Parameters
    ----------
    p_values : array-like of shape (n,)
        Each in [0, 1].

    Returns
    -------
    ndarray of shape (n,)
        In the order they came.

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
        raise ValueError(f"p_values={raw.tolist()}; wanted numbers from 0 to 1.")
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
    """Rank classifiers over data sets, and test which differ.

    Parameters
    ----------
    scores : array-like of shape (n_sets, n_models)
        One score, such as a mean over folds, for each classifier on each set.
    names : sequence of str
        Of the classifiers.
    method : {"nemenyi", "holm"}, default="nemenyi"
        Nemenyi's test on mean ranks [1]_, or Wilcoxon's signed-rank test of each pair, corrected by
        Holm's method: it does not change for two classifiers when others are added [2]_.
    alpha : float, default=0.05
        Level, in (0, 1).
    greater_is_better : bool, default=True
        False where a lower score is better.

    Returns
    -------
    ModelRanks

    Raises
    ------
    ValueError
        For fewer than two classifiers or sets, or scores that are not finite.

    Warns
    -----
    UserWarning
        For fewer than five sets, on which nothing can be found to differ.

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
            f"scores has the shape {table.shape}; wanted (n_sets, n_models) with at least two of "
            "each."
        )
    if len(names) != table.shape[1]:
        raise ValueError(f"names has {len(names)} entries and scores {table.shape[1]} columns.")
    if not np.isfinite(table).all():
        raise ValueError(
            f"scores has {(~np.isfinite(table)).sum()} entries that are not finite; leave out the "
            "sets on which a classifier failed."
        )
    if method not in ("nemenyi", "holm"):
        raise ValueError(f"method={method!r} is unknown; wanted 'nemenyi' or 'holm'.")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha={alpha!r}; wanted a number between 0 and 1.")
    n_sets, n_models = table.shape
    if n_sets < _FEW_SETS:
        warnings.warn(
            f"{n_sets} sets are too few for any test over sets to find a difference; wanted at "
            f"least {_FEW_SETS}, better 10.",
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
        names=tuple(names[place] for place in order),
        mean_ranks=ranks,
        friedman_p=_friedman(table),
        p_values=p_values,
        alpha=alpha,
        critical_difference=critical,
    )


def _friedman(table: np.ndarray) -> float:
    if table.shape[1] == 2:  # which scipy refuses: with two, it is the sign test's business
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
            f"first has {len(first)} scores and second {len(second)}; wanted pairs of the same "
            "folds or sets."
        )
    if len(first) < 2:
        raise ValueError(f"{len(first)} pair of scores; wanted at least two.")
    gaps = first - second
    if not np.isfinite(gaps).all():
        raise ValueError(
            f"{(~np.isfinite(gaps)).sum()} of {len(gaps)} pairs hold a score that is not finite, "
            "such as that of a failed fit; wanted scores of both."
        )
    return gaps
