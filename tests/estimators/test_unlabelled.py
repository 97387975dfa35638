"""Windows without a label in the fit of a classifier."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.metrics import log_loss

from citrus_sk import CitrusClassifier, SignalAligner
from citrus_sk.datasets import load_watch

SETTINGS = {"pretrained": None, "preset": "tiny", "random_state": 0}


def small(**parameters):
    return CitrusClassifier(**(SETTINGS | parameters))


@pytest.fixture(scope="module")
def watch():
    """Windows of six people, two of each with a label, and of four people who are new."""
    data, rng = load_watch(overlap=0), np.random.default_rng(0)
    kept = np.isin(data.y, rng.permutation(np.unique(data.y))[:4])
    X, y, people = SignalAligner(128).fit_transform(data.X[kept]), data.y[kept], data.groups[kept]
    names = rng.permutation(np.unique(people))
    train = rng.permutation(np.flatnonzero(np.isin(people, names[4:])))[:120]
    few = [rng.permutation(train[people[train] == name])[:2] for name in names[4:]]
    marked = np.where(np.isin(train, few), y[train], "unknown")
    test = np.flatnonzero(np.isin(people, names[:4]))[::6]
    return (X[train], marked, people[train]), (X[test], y[test], people[test])


@pytest.fixture(scope="module")
def fitted(watch):
    X, y, people = watch[0]
    return small(unlabelled="unknown").fit(X, y, groups=people)


def test_they_help_to_recentre_people_whom_the_fit_has_not_seen(watch, fitted):
    (X, y, people), (X_new, y_new, new_people) = watch
    few = y != "unknown"
    alone = small().fit(X[few], y[few], groups=people[few])
    assert_array_equal(fitted.classes_, alone.classes_)
    assert fitted.adaptation_["n_unlabelled"] == (~few).sum()
    assert alone.adaptation_["n_unlabelled"] == 0
    assert fitted.adaptation_["reason"].endswith(
        "Unlabelled windows lower the log loss of left-out people further."
    )
    assert "nlabelled" not in alone.adaptation_["reason"]
    losses = [
        log_loss(y_new, clf.predict_proba(X_new, groups=new_people)) for clf in (fitted, alone)
    ]
    assert losses[0] < losses[1] - 0.02
    # A window by itself is predicted as if they were not there.
    assert_array_equal(fitted.predict_proba(X_new), alone.predict_proba(X_new))


def test_neither_the_order_of_the_rows_nor_a_pickle_changes_a_bit(watch, fitted):
    (X, y, people), (X_new, _, new_people) = watch
    X_new, new_people = X_new[:20], new_people[:20]
    order = np.random.default_rng(0).permutation(len(X))
    again = small(unlabelled="unknown").fit(X[order], y[order], groups=people[order])
    expected = fitted.predict_proba(X_new, groups=new_people)
    assert_array_equal(again.predict_proba(X_new, groups=new_people), expected)
    copy = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(copy.predict_proba(X_new, groups=new_people), expected)
    assert copy.adaptation_ == fitted.adaptation_


@pytest.mark.parametrize(
    ("marks", "unlabelled"),
    [
        ([-1, 0, 1, 2, 3], -1),
        ([np.nan, 0, 1, 2, 3], np.nan),
        ([None, "a", "b", "c", "d"], np.nan),
        ([-1, "a", "b", "c", "d"], -1),
    ],
    ids=["-1", "NaN among numbers", "None among strings", "-1 among strings"],
)
def test_a_mark_may_be_a_number_or_a_missing_value(watch, fitted, marks, unlabelled):
    X, y, people = watch[0]
    codes = np.searchsorted(fitted.classes_, y)
    codes = np.where(y == "unknown", 0, codes + 1)
    mixed = np.array(marks, dtype=None if isinstance(marks[1], int) else object)[codes]
    clf = small(unlabelled=unlabelled).fit(X, mixed, groups=people)
    assert clf.classes_.tolist() == marks[1:]
    assert clf.adaptation_ == fitted.adaptation_


def test_score_counts_the_windows_with_a_label(watch, fitted):
    labelled_first = np.argsort(watch[0][1] == "unknown", kind="stable")[:25]
    X, y, people = (each[labelled_first] for each in watch[0])
    few = y != "unknown"
    assert 0 < few.sum() < 25
    weights = np.linspace(0, 1, len(y))
    right = fitted.predict(X, groups=people)[few] == y[few]
    assert fitted.score(X, y, groups=people) == right.mean()
    weighted = fitted.score(X, y, sample_weight=weights, groups=people)
    assert weighted == pytest.approx(np.average(right, weights=weights[few]))


def test_a_weight_of_zero_leaves_them_out(watch):
    (X, y, people), _ = watch
    weights = np.where(y == "unknown", 0.0, 1.0)
    clf = small(unlabelled="unknown").fit(X, y, weights, groups=people)
    assert clf.adaptation_["n_unlabelled"] == 0


def test_without_the_parameter_every_value_is_a_class(watch):
    X, y, people = watch[0]
    assert "unknown" in small().fit(X, y, groups=people).classes_


@pytest.mark.parametrize(
    "parameters", [{"adaptation": None}, {"random_kernels": False, "strategy": "linear-probe"}, {}]
)
def test_a_fit_that_they_cannot_change_says_so(watch, parameters):
    X, y, people = watch[0]
    groups = people if parameters else None
    with pytest.warns(UserWarning, match=r"\d+ unlabelled windows have no effect"):
        clf = small(unlabelled="unknown", **parameters).fit(X, y, groups=groups)
    assert "unknown" not in clf.classes_


def test_a_trained_network_leaves_them_out(watch):
    (X, y, people), (X_new, *_) = watch
    tuned = {"strategy": "finetune", "max_epochs": 1, "early_stopping": False}
    few = y != "unknown"
    clf = small(unlabelled="unknown", **tuned).fit(X, y, groups=people)
    alone = small(**tuned).fit(X[few], y[few], groups=people[few])
    assert_array_equal(clf.predict_proba(X_new), alone.predict_proba(X_new))


@pytest.mark.parametrize(
    ("y", "unlabelled", "message"),
    [
        (["a", "b", "?"] * 4, -1, "unlabelled=-1 is no text.* such as 'a'"),
        ([0, 1, -1] * 4, "-1", "unlabelled='-1' is text.* numbers such as 0"),
        ([-1] * 12, -1, "All 12 windows are unlabelled"),
        ([0, -1] * 6, -1, "one class: y holds only 0 in 6 windows"),
        ([0, 1, -1], -1, "X has 12 windows, but y has 3 labels"),
    ],
)
def test_labels_that_do_not_fit_are_refused(y, unlabelled, message):
    X = rng_windows()
    with pytest.raises(ValueError, match=message):
        small(unlabelled=unlabelled).fit(X, y, groups=np.arange(12) % 3)


def test_a_mark_is_a_single_value():
    with pytest.raises(TypeError, match="Expected unlabelled to be one value of y"):
        small(unlabelled=[-1]).fit(rng_windows(), [0, 1] * 6)


def rng_windows():
    return np.random.default_rng(0).standard_normal((12, 1, 64))
