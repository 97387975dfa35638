"""Training sets: merged, ordered and weighed."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from citrus_sk.signals.targets import check_labels
from citrus_sk.training.labelled import inner_folds, label_windows, regression_windows

RNG = np.random.default_rng(0)
X = RNG.standard_normal((30, 2, 16)).astype(np.float32)
CODES = np.tile([0, 1, 2], 10)
CLASSES = np.arange(3)


def test_identical_windows_of_a_class_become_one_with_their_summed_weight():
    doubled = np.concatenate([X, X[:4]])
    labelled = label_windows(doubled, np.concatenate([CODES, CODES[:4]]), CLASSES)
    assert len(labelled) == 30
    weight = dict(zip(labelled.rows, labelled.weights, strict=True))
    assert_allclose([weight[row] / weight[4] for row in range(5)], [2, 2, 2, 2, 1])


def test_identical_windows_with_different_labels_or_people_stay_apart():
    same = np.repeat(X[:1], 4, axis=0)
    labelled = label_windows(same, np.array([0, 0, 1, 1]), CLASSES[:2], groups=[1, 2, 1, 1])
    assert sorted(labelled.weights) == [0.75, 0.75, 1.5]


def test_the_order_comes_from_the_values():
    order = RNG.permutation(30)
    forward = label_windows(X, CODES, CLASSES)
    shuffled = label_windows(X[order], CODES[order], CLASSES)
    assert_array_equal(X[forward.rows], X[order][shuffled.rows])
    assert_array_equal(forward.targets, shuffled.targets)


def test_windows_without_weight_are_left_out():
    labelled = label_windows(X, CODES, CLASSES, sample_weight=np.arange(30) % 2)
    assert set(labelled.rows) == set(range(1, 30, 2))


@pytest.mark.parametrize("factor", [1e-300, 2.0, 3.0, 1e300])
def test_weights_are_relative_and_their_mean_is_1(factor):
    weight = RNG.uniform(1, 5, 30)
    parts = [
        make(X, targets, *classes, sample_weight=each)
        for make, targets, classes in (
            (label_windows, CODES, (CLASSES,)),
            (regression_windows, RNG.standard_normal((30, 1)), ()),
        )
        for each in (weight, factor * weight)
    ]
    for one, other in zip(parts[::2], parts[1::2], strict=True):
        assert one.weights.mean() == pytest.approx(1)
        assert_allclose(one.weights, other.weights, rtol=1e-14)


def test_weights_of_classes_are_relative_as_well():
    one, other = (
        label_windows(X, CODES, CLASSES, class_weight=dict(zip(range(3), each, strict=True)))
        for each in ([1, 2, 5], [3, 6, 15])
    )
    assert_allclose(one.weights, other.weights)


def test_a_class_of_zero_weight_is_left_out_and_a_single_one_is_not_enough():
    labelled = label_windows(X, CODES, CLASSES, class_weight={0: 0})
    assert set(labelled.targets) == {1, 2}
    with pytest.raises(ValueError, match="Expected class_weight to leave at least 2 classes"):
        label_windows(X, CODES, CLASSES, class_weight={0: 0, 1: 0})


def test_balanced_classes_have_equal_total_weight():
    codes = np.array([0] * 20 + [1] * 7 + [2] * 3)
    labelled = label_windows(X, codes, CLASSES, class_weight="balanced")
    totals = np.bincount(labelled.targets, labelled.weights)
    assert_allclose(totals, 10)


def test_inner_folds_keep_people_apart_and_every_class_in_training():
    groups = np.repeat(np.arange(6), 5)
    labelled = label_windows(X, CODES, CLASSES, groups=groups)
    folds = inner_folds(labelled, 5, seed=0)
    assert folds
    for train, valid in folds:
        assert not set(labelled.groups[train]) & set(labelled.groups[valid])
        assert set(labelled.targets[train]) == {0, 1, 2}


@pytest.mark.parametrize("groups", [None, np.zeros(30)])
def test_no_folds_where_a_class_stands_in_one_window_or_one_group(groups):
    codes = CODES if groups is not None else np.r_[np.zeros(29, int), 1]
    assert inner_folds(label_windows(X, codes, CLASSES, groups=groups), 5, seed=0) == []


def test_labels_become_sorted_classes_and_indices():
    classes, codes = check_labels(["rest", "fist", "rest"], 3, "X")
    assert_array_equal(classes, ["fist", "rest"])
    assert_array_equal(codes, [1, 0, 1])
