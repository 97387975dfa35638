"""Windows held out of a training."""

import warnings

import numpy as np
import pytest

from citrus_sk.training.holdout import hold_out
from citrus_sk.training.labelled import label_windows, regression_windows

X = np.random.default_rng(0).standard_normal((240, 1, 16)).astype(np.float32)
CODES = np.arange(240) % 3
CLASSES = np.arange(3)


def held_out(labelled, fraction, forced=False):
    train, valid = hold_out(labelled, fraction, 0, forced=forced)
    assert sorted([*train.rows, *valid.rows]) == sorted(labelled.rows)
    return len(valid) / len(labelled), train, valid


@pytest.mark.parametrize("fraction", [0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5])
@pytest.mark.parametrize("kind", [float, np.float32])
def test_the_share_that_is_asked_for_is_held_out(fraction, kind):
    labelled = label_windows(X, CODES, CLASSES)
    share, train, valid = held_out(labelled, kind(fraction), forced=True)
    assert share == pytest.approx(fraction, abs=0.011)
    for part in (train, valid):
        assert np.ptp(np.bincount(part.targets)) <= 2  # stratified


def test_whole_people_are_held_out_of_which_none_is_on_both_sides():
    labelled = label_windows(X, CODES, CLASSES, groups=np.arange(240) // 24)
    share, train, valid = held_out(labelled, 0.4)
    assert share == pytest.approx(0.4)
    assert not set(train.groups) & set(valid.groups)


def test_numbers_are_held_out_as_well():
    labelled = regression_windows(X, np.arange(240.0)[:, None])
    assert held_out(labelled, 0.3)[0] == pytest.approx(0.3, abs=0.01)


def test_a_small_part_is_not_trusted_unless_it_is_asked_for():
    labelled = label_windows(X[:60], CODES[:60], CLASSES)
    assert hold_out(labelled, 0.2, 0, forced=False)[1] is None
    assert held_out(labelled, 0.2, forced=True)[0] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("codes", "groups", "unit"),
    [
        (np.r_[np.zeros(29, int), 1], None, "windows"),
        (np.arange(30) // 10, np.arange(30) // 10, "groups"),
    ],
    ids=["single window", "a group a class"],
)
def test_what_was_asked_for_and_cannot_be_is_said(codes, groups, unit):
    labelled = label_windows(X[:30], codes, CLASSES, groups=groups)
    words = rf"early_stopping=True has no effect: no part of the {unit}.*Pass more {unit}"
    with pytest.warns(UserWarning, match=words):
        assert hold_out(labelled, 0.2, 0, forced=True)[1] is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hold_out(labelled, 0.2, 0, forced=False)
