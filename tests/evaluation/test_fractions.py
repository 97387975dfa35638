"""StratifiedFractionKFold: stratified, nested, by group, and reproducible."""

import pickle
import warnings
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedGroupKFold,
    StratifiedKFold,
    cross_val_score,
    cross_validate,
)

from citrus_sk.evaluation import StratifiedFractionKFold

FRACTIONS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0)


@pytest.fixture
def labels():
    """Labels of 600 windows in three unequal classes, sorted as a recording leaves them."""
    return np.repeat(["fist", "pinch", "rest"], [300, 200, 100])


@pytest.fixture
def people():
    """Twelve people, each with windows of all classes, and not the same number."""
    return np.random.default_rng(3).integers(0, 12, 600)


def splits(y, groups=None, X=None, **parameters):
    """Return the folds as a list; X is a placeholder unless one is given."""
    X = np.zeros((len(y), 1, 8)) if X is None else X
    return list(StratifiedFractionKFold(**parameters).split(X, y, groups))


def same(some, others):
    return len(some) == len(others) and all(
        np.array_equal(train, train_) and np.array_equal(test, test_)
        for (train, test), (train_, test_) in zip(some, others, strict=True)
    )


@pytest.mark.parametrize("fraction", FRACTIONS)
@pytest.mark.parametrize("grouped", [False, True])
def test_every_class_gives_its_rounded_share(labels, people, fraction, grouped):
    groups = people if grouped else None
    whole = splits(labels, groups, train_fraction=1.0)
    drawn = splits(labels, groups, train_fraction=fraction)
    for (train, _), (all_train, _) in zip(drawn, whole, strict=True):
        for label in np.unique(labels):
            n_estimators = np.sum(labels[all_train] == label)
            assert np.sum(labels[train] == label) == max(1, round(fraction * n_estimators))


@pytest.mark.parametrize("grouped", [False, True])
def test_smaller_fractions_are_nested_in_larger_ones(labels, people, grouped):
    groups = people if grouped else None
    curve = [splits(labels, groups, train_fraction=fraction) for fraction in FRACTIONS]
    for smaller, larger in pairwise(curve):
        for (train, test), (larger_train, larger_test) in zip(smaller, larger, strict=True):
            assert set(train) < set(larger_train)
            assert np.array_equal(test, larger_test)


@pytest.mark.parametrize("grouped", [False, True])
def test_whole_fraction_is_scikit_learns_own_split(labels, people, grouped):
    groups = people if grouped else None
    folder = StratifiedGroupKFold if grouped else StratifiedKFold
    expected = list(folder(5, shuffle=True, random_state=7).split(labels, labels, groups))
    assert same(splits(labels, groups, train_fraction=1.0, random_state=7), expected)


@pytest.mark.parametrize("grouped", [False, True])
def test_test_folds_partition_all_windows(labels, people, grouped):
    folds = splits(labels, people if grouped else None, train_fraction=0.1)
    assert np.array_equal(np.sort(np.concatenate([test for _, test in folds])), np.arange(600))


@pytest.mark.parametrize("seed", range(10))
def test_nobody_is_on_both_sides(labels, people, seed):
    for train, test in splits(labels, people, train_fraction=0.2, random_state=seed):
        assert not set(people[train]) & set(people[test])


def test_indices_are_sorted_and_unique(labels, people):
    for train, test in splits(labels, people, train_fraction=0.3):
        assert np.all(np.diff(train) > 0)
        assert np.all(np.diff(test) > 0)


def test_draw_of_a_class_does_not_depend_on_the_other_classes(labels):
    # Relabelling "rest" leaves the folds as they are, which go by position of the class.
    renamed = np.where(labels == "rest", "sleep", labels)
    merged = zip(
        splits(labels, train_fraction=0.1), splits(renamed, train_fraction=0.1), strict=True
    )
    for (train, _), (renamed_train, _) in merged:
        for label in ("fist", "pinch"):
            assert np.array_equal(
                train[labels[train] == label], renamed_train[renamed[renamed_train] == label]
            )


def test_classes_of_the_same_size_are_drawn_at_different_positions():
    y = np.repeat(["left", "right"], 100)
    train, _ = splits(y, train_fraction=0.1)[0]
    assert set(train[y[train] == "left"]) != set(train[y[train] == "right"] - 100)


def test_the_default_is_one_fixed_draw(labels, people):
    assert same(splits(labels, people), splits(labels, people))
    assert same(splits(labels, people), splits(labels, people, random_state=0))


def test_none_draws_anew_at_each_call(labels, people):
    cv = StratifiedFractionKFold(random_state=None)
    first, second = (list(cv.split(labels, labels, people)) for _ in range(2))
    assert not same(first, second)
    for train, test in first:
        assert not set(people[train]) & set(people[test])


def test_int_seeds_repeat_themselves_and_differ_from_each_other(labels):
    assert same(splits(labels, random_state=4), splits(labels, random_state=4))
    assert not same(splits(labels, random_state=4), splits(labels, random_state=5))


def test_random_state_instance_is_read_but_never_advanced(labels):
    generator = np.random.RandomState(11)
    before = generator.get_state()[1].copy()
    cv = StratifiedFractionKFold(random_state=generator)
    first = list(cv.split(labels, labels))
    assert same(first, list(cv.split(labels, labels)))
    assert np.array_equal(generator.get_state()[1], before)
    assert same(first, splits(labels, random_state=np.random.RandomState(11)))
    assert not same(first, splits(labels, random_state=np.random.RandomState(12)))


@pytest.fixture
def reseed():
    """Give a function that seeds numpy's global state, which is put back afterwards."""
    before = np.random.get_state()  # noqa: NPY002
    yield np.random.seed
    np.random.set_state(before)  # noqa: NPY002


@pytest.mark.parametrize("random_state", [None, 3])
def test_global_random_state_is_neither_read_nor_touched(labels, random_state, reseed):
    reseed(0)
    before = np.random.get_state()  # noqa: NPY002
    first = splits(labels, random_state=random_state)
    after = np.random.get_state()  # noqa: NPY002
    assert np.array_equal(before[1], after[1])
    assert before[2] == after[2]
    reseed(0 if random_state is None else 1)
    assert same(first, splits(labels, random_state=random_state)) == (random_state is not None)


def test_floor_warns_once_and_names_classes_shares_and_remedy():
    y = np.repeat(["common", "rare", "scarce"], [300, 15, 10])
    with pytest.warns(UserWarning, match="rounds to no window") as record:
        folds = splits(y, train_fraction=0.02)
    assert len(record) == 1
    message = str(record[0].message)
    assert "rare (0.24 windows), scarce (0.16 windows)" in message
    assert "one is taken instead" in message
    assert "common" not in message
    assert record[0].filename == __file__
    for train, _ in folds:
        assert np.sum(y[train] == "rare") == np.sum(y[train] == "scarce") == 1


def test_floor_warning_shortens_a_long_list():
    y = np.repeat(np.arange(100), 20)
    with pytest.warns(UserWarning, match=r"0 \(0.16 windows\).* and 95 more"):
        splits(y, train_fraction=0.01)


def test_floor_that_changes_nothing_is_silent():
    y = np.repeat(["a", "b"], 50)  # 40 of each in a training fold; 0.02 of them is 0.8
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        folds = splits(y, train_fraction=0.02)
    assert [len(train) for train, _ in folds] == [2] * 5


@pytest.mark.parametrize(
    "convert",
    [
        list,
        np.array,
        pd.Series,
        lambda y: pd.Series(y, dtype="category", index=np.arange(600)[::-1]),
        lambda y: np.array(y, dtype=object),
    ],
    ids=["list", "array", "Series", "categorical", "object"],
)
def test_containers_of_labels_are_split_alike(labels, convert):
    assert same(splits(convert(labels), X=np.zeros(600)), splits(labels))


@pytest.mark.parametrize("values", [[True, False, True], [1, 2, 3], [-1, 5, 7], [0.0, 1.0, 2.0]])
def test_labels_are_bools_ints_or_whole_floats(labels, values):
    y = np.array(values)[np.unique(labels, return_inverse=True)[1]]
    for train, _ in splits(y, train_fraction=0.1):
        assert set(y[train]) == set(values)


@pytest.mark.parametrize("kind", ["list", "ragged", "memmap", "frame", "none"])
def test_only_the_length_of_X_counts(labels, tmp_path, kind):
    X = {
        "list": lambda: [[0.0]] * 600,
        "ragged": lambda: [np.zeros((1, 5 + i % 3)) for i in range(600)],
        "memmap": lambda: np.memmap(tmp_path / "X", mode="w+", shape=(600, 1, 4)),
        "frame": lambda: pd.DataFrame({"a": np.zeros(600)}),
        "none": lambda: None,
    }[kind]()
    folds = list(StratifiedFractionKFold().split(X, labels))
    assert same(folds, splits(labels))


@pytest.mark.parametrize("fraction", [0, -0.1, 1.01, 20, np.nan, np.inf])
def test_fraction_out_of_range_is_an_error(fraction):
    with pytest.raises(ValueError, match=r"train_fraction=.*expected a number in \(0, 1\]"):
        StratifiedFractionKFold(train_fraction=fraction)


@pytest.mark.parametrize("fraction", [True, "0.1", None, np.array([0.1]), 1j])
def test_fraction_that_is_not_a_number_is_an_error(fraction):
    with pytest.raises(TypeError, match=r"train_fraction=.*expected a number in \(0, 1\]"):
        StratifiedFractionKFold(train_fraction=fraction)


@pytest.mark.parametrize("n_splits", [1, 0, -3])
def test_fewer_than_two_folds_is_an_error(n_splits):
    with pytest.raises(ValueError, match=rf"n_splits={n_splits}; expected at least 2"):
        StratifiedFractionKFold(n_splits)


@pytest.mark.parametrize("n_splits", [2.0, "5", None, True])
def test_number_of_folds_that_is_not_an_integer_is_an_error(n_splits):
    with pytest.raises(TypeError, match=r"n_splits=.*expected an integer"):
        StratifiedFractionKFold(n_splits)


@pytest.mark.parametrize(
    ("y", "match"),
    [
        (None, "y is None; expected one class label for each window"),
        (np.linspace(0, 1, 20), "Unknown label type: continuous"),
        (np.eye(20, 2, dtype=int), "y has 2 columns"),
        (np.arange(40).reshape(20, 2), "y has 2 columns"),
        (np.r_[np.nan, np.ones(19)], "y contains NaN.*first: 0"),
        (["a"] * 19 + [None], "y contains NaN.*first: 19"),
        (["a"] * 9 + [np.nan] + ["b"] * 10, "y contains NaN.*first: 9"),
        (pd.Series(["a", "b", pd.NA] + ["b"] * 17), "y contains NaN.*first: 2"),
    ],
)
def test_y_that_is_not_a_class_label_is_an_error(y, match):
    with pytest.raises(ValueError, match=match):
        next(StratifiedFractionKFold().split(np.zeros((20, 1, 4)), y))


@pytest.mark.parametrize("groups", [[np.nan] + [1] * 19, [None] + ["a"] * 19])
def test_missing_group_is_an_error(groups):
    with pytest.raises(ValueError, match=r"groups contains NaN.*first: 0"):
        splits([0, 1] * 10, groups)


@pytest.mark.parametrize(("n_y", "n_groups"), [(19, 20), (20, 21)])
def test_lengths_that_differ_are_an_error(n_y, n_groups):
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        splits(np.arange(n_y) % 2, np.arange(n_groups), X=np.zeros((20, 4)))


def test_fewer_groups_than_folds_is_an_error_that_says_so():
    with pytest.raises(
        ValueError, match=r"groups has 3 distinct value\(s\), fewer than n_splits=5"
    ):
        splits([0, 1] * 30, np.repeat(["Ann", "Bob", "Cleo"], 20))


def test_fewer_windows_than_folds_in_every_class_is_an_error():
    with pytest.raises(
        ValueError, match=r"at most 4 window\(s\) of a class, fewer than n_splits=5"
    ):
        splits([0, 1] * 4)


def test_class_of_fewer_windows_than_folds_warns_with_its_name():
    y = np.repeat(["common", "rare"], [20, 3])
    with pytest.warns(UserWarning, match=r"fewer windows than n_splits=5: rare \(3 w") as record:
        folds = list(StratifiedFractionKFold(train_fraction=1.0).split(y, y))
    assert len(record) == 1
    assert record[0].filename == __file__
    assert sum(np.sum(y[test] == "rare") for _, test in folds) == 3


def test_class_in_fewer_groups_than_folds_warns_with_its_name(labels, people):
    people = np.where(labels == "rest", 3, people)  # one person rests
    words = r"fewer groups than n_splits=5: rest \(in 1 group"
    with pytest.warns(UserWarning, match=words) as record:
        list(StratifiedFractionKFold().split(labels, labels, people))
    assert record[0].filename == __file__


def test_repr_shows_the_parameters():
    assert repr(StratifiedFractionKFold(3, train_fraction=0.05)) == (
        "StratifiedFractionKFold(n_splits=3, random_state=0, train_fraction=0.05)"
    )


def test_number_of_splits_needs_no_data():
    assert StratifiedFractionKFold(7).get_n_splits() == 7
    assert StratifiedFractionKFold(7).get_n_splits(None, None, None) == 7


@pytest.mark.parametrize(
    "copy",
    [lambda cv: clone(cv, safe=False), lambda cv: pickle.loads(pickle.dumps(cv))],
    ids=["clone", "pickle"],
)
def test_copies_draw_the_same(labels, copy):
    cv = StratifiedFractionKFold(train_fraction=0.2, random_state=np.random.RandomState(5))
    assert same(list(copy(cv).split(labels, labels)), list(cv.split(labels, labels)))


def test_cross_validation_trains_on_the_fraction_with_two_workers(labels, people, two_workers):
    X = np.random.default_rng(0).normal(size=(600, 4))
    cv = StratifiedFractionKFold(train_fraction=0.1)
    serial = cross_validate(LogisticRegression(), X, labels, groups=people, cv=cv)
    parallel = cross_validate(
        LogisticRegression(), X, labels, groups=people, cv=cv, n_jobs=two_workers
    )
    assert np.array_equal(serial["test_score"], parallel["test_score"])
    indices = cross_validate(
        LogisticRegression(), X, labels, groups=people, cv=cv, return_indices=True
    )["indices"]
    assert all(len(train) < 60 for train in indices["train"])


def test_grid_search_takes_it(labels, people, two_workers):
    X = np.random.default_rng(0).normal(size=(600, 4))
    search = GridSearchCV(
        LogisticRegression(), {"C": [0.1, 1.0]}, cv=StratifiedFractionKFold(3), n_jobs=two_workers
    ).fit(X, labels, groups=people)
    assert search.n_splits_ == 3


def test_metadata_routing_passes_groups_without_a_request(labels, people):
    X = np.zeros((600, 2))
    with sklearn.config_context(enable_metadata_routing=True):
        scores = cross_val_score(
            DummyClassifier(), X, labels, params={"groups": people}, cv=StratifiedFractionKFold()
        )
        assert scores.shape == (5,)
        # One person cannot be split into five folds: the error proves that groups arrived.
        with pytest.raises(ValueError, match="groups has 1 distinct"):
            cross_val_score(
                DummyClassifier(),
                X,
                labels,
                params={"groups": np.zeros(600)},
                cv=StratifiedFractionKFold(),
            )
