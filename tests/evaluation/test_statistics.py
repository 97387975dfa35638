"""Comparisons over folds and over sets: published figures, other people's code, odd cases."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from citrus_sk.evaluation import compare_on_folds, compare_over_sets, correct_holm, rank_models

RNG = np.random.default_rng(0)
# Demsar (2006), table 5: q for Nemenyi's test at 0.05, for two to ten classifiers.
DEMSAR = [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]


@pytest.mark.parametrize("n_models", range(2, 11))
def test_the_critical_difference_is_the_published_one(n_models):
    ranks = rank_models(RNG.standard_normal((30, n_models)), [*"abcdefghij"][:n_models])
    wanted = DEMSAR[n_models - 2] * math.sqrt(n_models * (n_models + 1) / (6 * 30))
    assert ranks.critical_difference == pytest.approx(wanted, rel=1e-3)
    apart = np.abs(ranks.mean_ranks[:, None] - ranks.mean_ranks) > ranks.critical_difference
    assert np.array_equal(ranks.p_values < 0.05, apart)


def test_ranks_are_scipys_and_the_best_comes_first():
    scores = RNG.normal(0, 1, (12, 4)) + np.array([0, 3, 1, 2])
    scores[3, :2] = 1.0  # a tie
    ranks = rank_models(scores, ["a", "b", "c", "d"])
    assert ranks.names == ("b", "d", "c", "a")
    assert ranks.friedman_p == pytest.approx(stats.friedmanchisquare(*scores.T).pvalue)
    order = [1, 3, 2, 0]
    assert_allclose(ranks.mean_ranks, stats.rankdata(-scores, axis=1).mean(0)[order])
    lower = rank_models(-scores, ["a", "b", "c", "d"], greater_is_better=False)
    assert lower.names == ranks.names


def test_pairs_are_wilcoxons_corrected_by_holm():
    scores = RNG.normal(0, 1, (12, 3)) + np.array([0, 2, 1])
    ranks = rank_models(scores, ["a", "b", "c"], method="holm")
    pairs = [(1, 2), (1, 0), (2, 0)]  # of b, c, a
    raw = [stats.wilcoxon(scores[:, i], scores[:, j]).pvalue for i, j in pairs]
    assert_allclose(ranks.p_values[np.triu_indices(3, 1)], correct_holm(raw))
    assert_allclose(ranks.p_values, ranks.p_values.T)
    assert ranks.critical_difference is None


@pytest.mark.parametrize(
    ("shifts", "cliques"),
    [
        ([0, 9, 18], []),
        ([0, 0.01, 18], [("x", "y")]),
        ([0, 0, 0], [("x", "y", "z")]),
    ],
)
def test_cliques_are_the_longest_runs_that_do_not_differ(shifts, cliques):
    noise = np.tile(np.resize([0.0, 0.02, -0.02], 30)[:, None], 3)
    noise[:, 1] *= -1
    ranks = rank_models(noise + shifts, ["x", "y", "z"], method="holm")
    assert [tuple(sorted(clique)) for clique in ranks.cliques()] == cliques


def test_two_models_and_models_that_never_differ_are_ranked():
    ranks = rank_models(RNG.normal(0, 1, (9, 2)) + np.array([0, 5]), ["a", "b"])
    assert ranks.names == ("b", "a")
    assert ranks.friedman_p < 0.05
    same = rank_models(np.ones((9, 3)), ["a", "b", "c"])
    assert same.friedman_p == 1
    assert same.mean_ranks.tolist() == [2, 2, 2]
    assert same.cliques() == [("a", "b", "c")]


def test_holm_by_hand():
    assert_allclose(correct_holm([0.04, 0.01, 0.03, 0.9]), [0.09, 0.04, 0.09, 0.9])
    assert correct_holm([]).shape == (0,)
    for wrong in (np.nan, -0.1, 1.1):
        with pytest.raises(ValueError, match="from 0 to 1"):
            correct_holm([0.1, wrong])


def test_the_fold_test_is_the_t_test_with_a_larger_variance():
    first, second = RNG.normal(0, 1, (2, 10)) + np.array([[1.0], [0.0]])
    gaps = first - second
    plain = stats.ttest_rel(first, second)
    found = compare_on_folds(first, second, n_train=90, n_test=10)
    factor = math.sqrt((1 / 10) / (1 / 10 + 10 / 90))
    assert found.t == pytest.approx(plain.statistic * factor)
    assert found.p_value == pytest.approx(2 * stats.t.sf(abs(plain.statistic * factor), 9))
    assert found.difference == pytest.approx(gaps.mean())
    assert found.effect_size == pytest.approx(gaps.mean() / gaps.std(ddof=1))
    # The interval ends at zero where p is one minus its confidence.
    edge = compare_on_folds(first, second, n_train=90, n_test=10, confidence=1 - found.p_value)
    assert min(abs(edge.low), abs(edge.high)) == pytest.approx(0, abs=1e-9)


def test_it_holds_its_level_where_the_t_test_does_not():
    """Five folds of the same 100 windows: two models of equal skill, compared 300 times."""
    rng = np.random.default_rng(1)
    plain, corrected = [], []
    for _ in range(300):
        y = rng.integers(0, 2, 100)
        X = rng.standard_normal((100, 12))
        X[:, [0, 6]] += y[:, None]
        gaps = []
        for fold in range(5):
            test = np.arange(100) % 5 == fold
            right = []
            for half in (slice(0, 6), slice(6, 12)):  # each sees one informative feature
                gap = X[~test, half][y[~test] == 1].mean(0) - X[~test, half][y[~test] == 0].mean(0)
                middle = X[~test, half].mean(0)
                guess = (X[test, half] - middle) @ gap > 0
                right.append(np.mean(guess == y[test]))
            gaps.append(right)
        first, second = np.array(gaps).T
        if np.ptp(first - second) == 0:
            continue
        plain.append(stats.ttest_rel(first, second).pvalue < 0.05)
        corrected.append(compare_on_folds(first, second, n_train=80, n_test=20).p_value < 0.05)
    assert np.mean(corrected) < 0.06
    assert np.mean(corrected) < np.mean(plain)


@pytest.mark.parametrize(
    ("gap", "p_value", "t"), [(0.0, 1.0, 0.0), (0.1, 0.0, np.inf), (-0.1, 0.0, -np.inf)]
)
def test_constant_differences_give_no_nan(gap, p_value, t):
    second = np.array([0.1, 0.5, 0.7])
    found = compare_on_folds(second + gap, second, n_train=4, n_test=2)
    assert (found.p_value, found.t) == (p_value, t)
    assert found.low == pytest.approx(gap)
    assert found.high == pytest.approx(gap)


def test_over_sets_by_hand():
    found = compare_over_sets([0.9, 0.8, 0.7, 0.6, 0.5, 0.4], [0.8, 0.6, 0.4, 0.2, 0.5, 0.45])
    assert (found.n_sets, found.n_better, found.n_worse) == (6, 4, 1)
    assert found.effect_size == pytest.approx((2 + 3 + 4 + 5 - 1) / 15)
    assert found.median == pytest.approx(0.15)
    same = compare_over_sets([1, 2, 3], [1, 2, 3])
    assert (same.p_value, same.effect_size) == (1.0, 0.0)


@pytest.mark.parametrize("compare", [
    compare_over_sets, lambda *scores: compare_on_folds(*scores, n_train=8, n_test=2)
])  # fmt: skip
def test_scores_that_are_no_pairs_are_named(compare):
    with pytest.raises(ValueError, match="first has 2 scores and second 3"):
        compare([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="1 pair of scores; expected at least two"):
        compare([1], [2])
    with pytest.raises(ValueError, match=r"2 of 3 pairs have a score that is not finite"):
        compare([1, np.nan, 3], [1, 2, np.inf])


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"scores": np.ones(5)}, r"shape \(5,\)"),
        ({"scores": np.ones((5, 1)), "names": ["a"]}, "at least two of each"),
        ({"names": ["a"]}, "names has 1 entries, but scores has 3 columns"),
        ({"scores": np.full((6, 3), np.nan)}, "18 entries that are not finite"),
        ({"method": "tukey"}, "method='tukey' is unknown"),
        ({"alpha": 5}, "alpha=5"),
    ],
)
def test_ranks_of_bad_input_are_refused(change, match):
    arguments = {"scores": np.ones((6, 3)), "names": ["a", "b", "c"]} | change
    with pytest.raises(ValueError, match=match):
        rank_models(**arguments)


def test_few_sets_are_warned_of():
    with pytest.warns(UserWarning, match="4 data sets are too few"):
        rank_models(RNG.standard_normal((4, 3)), ["a", "b", "c"])
