"""LeaveOnePersonOut: nested calibration windows, one test for all of them, nobody on both sides."""

import pickle
import warnings
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut, cross_val_score

from citrus_sk.evaluation import LeaveOnePersonOut


@pytest.fixture
def windows():
    """Labels and people of 360 windows: 4 people with 30 of each of three classes, mixed up."""
    order = np.random.default_rng(0).permutation(360)
    y = np.tile(np.repeat(["fist", "pinch", "rest"], 30), 4)[order]
    return y, np.repeat(["Ann", "Bob", "Cleo", "Dan"], 90)[order]


def folds(windows, n_calibration=2, **parameters):
    y, people = windows
    cv = LeaveOnePersonOut(n_calibration, **parameters)
    return list(cv.split_calibration(np.zeros((len(y), 1, 4)), y, people))


def same(some, others):
    return len(some) == len(others) and all(
        np.array_equal(a, b)
        for first, second in zip(some, others, strict=True)
        for a, b in zip(first, second, strict=True)
    )


@pytest.mark.parametrize("shuffle", [True, False])
def test_each_person_is_left_out_once_and_gives_windows_of_each_class(windows, shuffle):
    y, people = windows
    found = folds(windows, 3, shuffle=shuffle)
    assert [np.unique(people[test]).tolist() for *_, test in found] == [
        [p] for p in sorted({*people})
    ]
    for train, calibration, test in found:
        person = people[test][0]
        assert set(people[train]) == {*people} - {person}
        assert len(train) == 270
        assert set(people[calibration]) == {person}
        assert np.unique(y[calibration], return_counts=True)[1].tolist() == [3, 3, 3]
        assert np.unique(y[test], return_counts=True)[1].tolist() == [20, 20, 20]
        assert not np.intersect1d(calibration, test).size
        for rows in (train, calibration, test):
            assert (np.diff(rows) > 0).all()


def test_split_joins_calibration_windows_to_the_training_windows(windows):
    y, people = windows
    apart = folds(windows, 4)
    for (train, test), (others, calibration, tested) in zip(
        LeaveOnePersonOut(4).split(None, y, people), apart, strict=True
    ):
        assert train.tolist() == sorted([*others, *calibration])
        assert np.array_equal(test, tested)


@pytest.mark.parametrize("shuffle", [True, False])
def test_calibration_windows_are_nested_and_the_test_stays_the_same(windows, shuffle):
    curve = [folds(windows, n, shuffle=shuffle) for n in (0, 1, 2, 5, 10)]
    assert not any(calibration.size for _, calibration, _ in curve[0])
    for fewer, more in pairwise(curve):
        for (_, few, tested), (_, many, tested_too) in zip(fewer, more, strict=True):
            assert set(few) < set(many)
            assert np.array_equal(tested, tested_too)


def test_more_windows_than_ten_are_reserved_only_if_they_are_used(windows):
    for n_calibration, n_reserved, n_tested in [(12, None, 18), (0, 0, 30), (1, 4, 26)]:
        for _, calibration, test in folds(windows, n_calibration, n_reserved=n_reserved):
            assert len(calibration) == 3 * n_calibration
            assert len(test) == 3 * n_tested


def test_half_of_the_windows_of_a_class_stay_in_the_test():
    y = np.repeat(["a", "b", "c", "a", "b", "c"], [1, 2, 7, 30, 30, 30])
    people = np.repeat(["scarce", "rich"], [10, 90])
    with pytest.warns(
        UserWarning, match=r"fewer than n_calibration=5 .*: scarce \(0 win"
    ) as record:
        rich, scarce = folds((y, people), 5)
    assert len(record) == 1
    assert record[0].filename == __file__
    assert np.unique(y[rich[2]], return_counts=True)[1].tolist() == [20, 20, 20]
    assert np.unique(y[scarce[2]], return_counts=True)[1].tolist() == [1, 1, 4]
    assert y[scarce[1]].tolist() == ["b", "c", "c", "c"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        folds((y, people), 0)


def test_without_shuffling_the_first_windows_are_taken():
    y = np.tile(["a", "b"], 60)
    people = np.repeat([1, 2], 60)
    for person, (_, calibration, test) in enumerate(folds((y, people), 2, shuffle=False)):
        assert calibration.tolist() == [60 * person + row for row in (0, 1, 2, 3)]
        assert test.tolist() == list(range(60 * person + 20, 60 * person + 60))


def test_draws_of_a_person_depend_on_no_one_else(windows):
    y, people = windows
    renamed = np.where(people == "Bob", "Zoe", people)
    for person, number in (("Ann", 0), ("Cleo", 2)):
        _, calibration, _ = folds((y, people))[number]
        _, again, _ = folds((y, renamed))[sorted({*renamed}).index(person)]
        assert np.array_equal(calibration, again)
    other_label = np.where(y == "pinch", "hold", y)
    for (_, calibration, _), (_, again, _) in zip(
        folds((y, people)), folds((other_label, people)), strict=True
    ):
        for label in ("fist", "rest"):
            assert calibration[y[calibration] == label].tolist() == (
                again[y[again] == label].tolist()
            )


def test_people_with_windows_in_the_same_order_are_drawn_at_different_positions():
    y = np.tile(np.repeat(["a", "b"], 40), 2)
    (_, first, _), (_, second, _) = folds((y, np.repeat([1, 2], 80)), 5)
    assert set(first) != set(second - 80)


def test_seeds_repeat_themselves_and_none_draws_anew(windows):
    default = folds(windows)
    assert same(default, folds(windows, random_state=0))
    assert not same(default, folds(windows, random_state=1))
    assert not same(folds(windows, random_state=None), folds(windows, random_state=None))
    generator = np.random.RandomState(3)
    before = generator.get_state()[1].copy()
    assert same(folds(windows, random_state=generator), folds(windows, random_state=generator))
    assert np.array_equal(generator.get_state()[1], before)


def test_whole_people_are_scikit_learns_own_split(windows):
    y, people = windows
    expected = list(LeaveOneGroupOut().split(y, y, people))
    found = list(LeaveOnePersonOut(0, n_reserved=0).split(y, y, people))
    assert same(found, expected)


@pytest.mark.parametrize("convert", [list, pd.Series, lambda v: np.array(v, object)])
def test_containers_of_labels_and_people_are_split_alike(windows, convert):
    y, people = windows
    found = folds((convert(y), convert(people)))
    assert same(found, folds(windows))


@pytest.mark.parametrize(
    ("parameters", "error", "match"),
    [
        ({"n_calibration": -1}, ValueError, "n_calibration=-1 is out of range"),
        ({"n_calibration": 1.5}, TypeError, r"n_calibration=1\.5 is a float; expected an integer"),
        ({"n_calibration": True}, TypeError, "n_calibration=True is a bool"),
        ({"n_reserved": "10"}, TypeError, "n_reserved='10' is a str; expected an integer"),
        ({"n_reserved": 1}, ValueError, "n_calibration=2 is larger than n_reserved=1"),
        ({"shuffle": "no"}, TypeError, "Expected shuffle to be True or False"),
    ],
)  # fmt: skip
def test_parameters_out_of_range_are_named(parameters, error, match):
    with pytest.raises(error, match=match):
        LeaveOnePersonOut(**parameters)


@pytest.mark.parametrize(
    ("y", "groups", "match"),
    [
        ([0, 1] * 10, None, "groups is None; expected the person of each window"),
        ([0, 1] * 10, [7] * 20, r"groups has 1 distinct value\(s\); expected at least 2 people"),
        ([0, 1] * 10, [np.nan] + [1] * 19, r"groups contains NaN.*first: 0"),
        ([0, 1] * 10, [1] * 10 + [2] * 9, "but groups has 19 groups"),
        (None, [1] * 10 + [2] * 10, "y is None; expected one class label"),
        ([0, np.nan] + [1] * 18, [1] * 10 + [2] * 10, "y contains NaN.*first: 1"),
    ],
)
def test_data_that_cannot_be_split_are_named(y, groups, match):
    with pytest.raises(ValueError, match=match):
        next(LeaveOnePersonOut().split(np.zeros((20, 1, 4)), y, groups))


def test_the_number_of_folds_is_that_of_the_people(windows):
    assert LeaveOnePersonOut().get_n_splits(groups=windows[1]) == 4
    with pytest.raises(ValueError, match="groups is None"):
        LeaveOnePersonOut().get_n_splits()


def test_a_class_of_a_single_person_is_named(windows):
    y, people = windows
    with pytest.warns(
        UserWarning, match=r"occur in one person only: fist \(Bob\)\. When that"
    ) as record:
        folds((np.where((y == "fist") & (people != "Bob"), "rest", y), people))
    assert record[0].filename == __file__


@pytest.mark.parametrize(
    "copy",
    [lambda cv: clone(cv, safe=False), lambda cv: pickle.loads(pickle.dumps(cv))],
    ids=["clone", "pickle"],
)
def test_copies_draw_the_same(windows, copy):
    y, people = windows
    cv = LeaveOnePersonOut(3, random_state=np.random.RandomState(5))
    assert same(list(copy(cv).split(y, y, people)), list(cv.split(y, y, people)))
    assert " ".join(repr(LeaveOnePersonOut(3)).split()) == (
        "LeaveOnePersonOut(n_calibration=3, n_reserved=None, random_state=0, shuffle=True)"
    )


def test_scikit_learn_cross_validates_with_it(windows):
    y, people = windows
    X, cv = np.zeros((360, 2)), LeaveOnePersonOut()
    assert cross_val_score(DummyClassifier(), X, y, groups=people, cv=cv).shape == (4,)
    search = GridSearchCV(DummyClassifier(), {"strategy": ["prior"]}, cv=cv)
    assert search.fit(X, y, groups=people).n_splits_ == 4


def test_metadata_routing_passes_people(windows):
    y, people = windows
    with sklearn.config_context(enable_metadata_routing=True):
        for cv in (LeaveOnePersonOut(), LeaveOnePersonOut().set_split_request(groups="person")):
            name = (
                "groups" if cv.get_metadata_routing().split.requests["groups"] is True else "person"
            )
            scores = cross_val_score(
                DummyClassifier(), np.zeros((360, 2)), y, params={name: people}, cv=cv
            )
            assert scores.shape == (4,)
