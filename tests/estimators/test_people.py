"""Predictions for people whom a fit has not seen: together, frozen, and with few labels."""

import pickle

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.metrics import log_loss
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline

from citrus_sk import (
    CitrusClassifier,
    CitrusEmbedder,
    CitrusRegressor,
    ModuleClassifier,
    SignalAligner,
)


def small(**parameters):
    settings = {"pretrained": None, "preset": "tiny", "random_state": 0}
    return CitrusClassifier(**(settings | parameters))


def people(n_people, n_windows=12, *, seed=0, label=None):
    """Windows of three gestures, which people make with forces of their own: a factor up to 8."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_people), n_windows)
    y = np.tile(["rest", "soft", "firm"], n_people * n_windows // 3)
    if label is not None:
        y = np.array([label(person, i % n_windows) for i, person in enumerate(groups)])
    force = np.select([y == "rest", y == "soft"], [0.5, 1.0], 2.0)
    force = force * np.exp(rng.uniform(-1, 1, n_people))[groups]
    X = force[:, None, None] * rng.standard_normal((len(y), 2, 128))
    return X.astype(np.float32), y, 100 + groups


TRAIN = people(8)
NEW = people(3, n_windows=18, seed=1)


@pytest.fixture(scope="module")
def fitted():
    X, y, groups = TRAIN
    return small().fit(X, y, groups=groups)


# --- windows of one person together --------------------------------------------------------------


def test_new_people_are_predicted_better_together(fitted):
    X, y, groups = NEW
    alone, together = fitted.predict_proba(X), fitted.predict_proba(X, groups=groups)
    assert fitted.score(X, y, groups=groups) > fitted.score(X, y) + 0.1
    assert log_loss(y, together) < log_loss(y, alone) - 0.05
    np.testing.assert_allclose(together.sum(axis=1), 1)
    assert_array_equal(
        fitted.decision_function(X, groups=groups).argmax(axis=1), together.argmax(axis=1)
    )


def test_without_groups_the_bits_are_those_of_a_fit_without_adaptation(fitted):
    X, y, groups = TRAIN
    plain = small(adaptation=None).fit(X, y, groups=groups)
    assert_array_equal(fitted.predict_proba(NEW[0]), plain.predict_proba(NEW[0]))
    # With adaptation=None, groups at predict have no effect beyond rounding.
    np.testing.assert_allclose(
        plain.predict_proba(NEW[0], groups=NEW[2]), plain.predict_proba(NEW[0]), atol=1e-5
    )


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"random_kernels": False, "strategy": "linear-probe"},
        {"random_kernels": False, "strategy": "probe-then-finetune", "max_epochs": 1},
        {"strategy": "finetune", "max_epochs": 1, "n_estimators": 2},
    ],
    ids=["kernels", "network", "fine-tuned", "ensemble"],
)
def test_neither_order_nor_other_people_change_a_bit(parameters):
    X, y, groups = TRAIN
    clf = small(**parameters).fit(X, y, groups=groups)
    assert clf.adaptation_["kind"] == "recenter"
    X, _, groups = NEW
    together = clf.predict_proba(X, groups=groups)
    assert np.abs(together - clf.predict_proba(X)).max() > 0.01
    order = np.random.default_rng(0).permutation(len(X))
    assert_array_equal(clf.predict_proba(X[order], groups=groups[order]), together[order])
    for person in np.unique(groups):
        rows = groups == person
        assert_array_equal(clf.predict_proba(X[rows], groups=groups[rows]), together[rows])
    copy = pickle.loads(pickle.dumps(clf))
    assert_array_equal(copy.predict_proba(X, groups=groups), together)
    assert copy.adaptation_ == clf.adaptation_


def test_a_person_with_one_window_gets_the_prediction_of_that_window_alone(fitted):
    X, _, groups = NEW
    rows = np.r_[0, np.flatnonzero(groups == groups[-1])]  # one of the first person, all of another
    together = fitted.predict_proba(X[rows], groups=groups[rows])
    assert_array_equal(together[:1], fitted.predict_proba(X[:1]))


def test_names_of_people_may_be_strings(fitted):
    X, _, groups = NEW
    names = np.array([f"s{group}" for group in groups])
    assert_array_equal(
        fitted.predict_proba(X, groups=names), fitted.predict_proba(X, groups=groups)
    )


def test_constant_windows_of_a_person_have_finite_predictions(fitted):
    flat = np.zeros((4, 2, 128), np.float32)
    assert np.isfinite(fitted.predict_proba(flat, groups=np.zeros(4))).all()


# --- when not to ---------------------------------------------------------------------------------


def test_people_with_one_class_each_are_never_recentred():
    X, y, groups = people(9, label=lambda person, i: ["rest", "soft", "firm"][person % 3])
    clf = small().fit(X, y, groups=groups)
    assert clf.adaptation_["kind"] != "recenter"
    assert "Each person has one class" in clf.adaptation_["reason"]
    assert clf.adaptation_["consistency"] > 0.9


def test_people_with_different_classes_are_predicted_window_by_window():
    pairs = [("rest", "soft"), ("soft", "firm"), ("rest", "firm")]
    X, y, groups = people(9, label=lambda person, i: pairs[person % 3][i % 2])
    clf = small().fit(X, y, groups=groups)
    assert clf.adaptation_["kind"] is None
    assert "different classes" in clf.adaptation_["reason"]
    np.testing.assert_allclose(clf.predict_proba(X, groups=groups), clf.predict_proba(X), atol=1e-5)


def test_the_choice_can_be_overruled_and_turned_off():
    X, y, groups = people(9, label=lambda person, i: ["rest", "soft", "firm"][person % 3])
    assert small(adaptation="recenter").fit(X, y, groups=groups).adaptation_["kind"] == "recenter"
    off = small(adaptation=None).fit(X, y, groups=groups).adaptation_
    assert off["kind"] is None
    assert "adaptation=None" in off["reason"]


def test_losses_of_left_out_people_are_reported(fitted):
    adaptation = fitted.adaptation_
    assert adaptation["adapted_loss"] < adaptation["loss"] < np.log(3) + 0.2
    assert "same classes" in adaptation["reason"]
    without = small().fit(*TRAIN[:2]).adaptation_
    assert without["kind"] is None
    assert np.isnan(without["loss"])


def test_verbose_says_what_was_decided(capsys):
    X, y, groups = TRAIN
    small(verbose=1).fit(X, y, groups=groups)
    assert "recenter" in capsys.readouterr().out
    small().fit(X, y, groups=groups)
    assert capsys.readouterr().out == ""


# --- an estimator for one person -----------------------------------------------------------------


def test_a_frozen_estimator_predicts_one_window_at_a_time_with_the_same_bits(fitted):
    X, _, groups = NEW
    rows = groups == groups[0]
    mine = fitted.adapt(X[rows])
    together = fitted.predict_proba(X, groups=groups)[rows]
    assert_array_equal(mine.predict_proba(X[rows]), together)
    assert_array_equal(
        np.vstack([mine.predict_proba(window[None]) for window in X[rows]]), together
    )
    # The estimator that it came from is unchanged.
    assert_array_equal(fitted.predict_proba(X, groups=groups)[rows], together)


def few_of(y, rows, k):
    """The first `k` windows of each class, and the rest."""
    few = np.concatenate([rows[y[rows] == label][:k] for label in np.unique(y)])
    return few, np.setdiff1d(rows, few)


def test_labels_of_the_person_help_more_than_windows_alone(fitted):
    X, y, groups = NEW
    losses = []
    for person in np.unique(groups):
        few, rest = few_of(y, np.flatnonzero(groups == person), 2)
        estimators = (fitted, fitted.adapt(X[rest]), fitted.personalize(X[few], y[few], X[rest]))
        losses.append([log_loss(y[rest], each.predict_proba(X[rest])) for each in estimators])
    plain, adapted, personal = np.mean(losses, axis=0)
    assert personal < adapted < plain


def test_a_personal_estimator_can_be_stored_and_is_no_larger(fitted):
    X, y, groups = NEW
    few, rest = few_of(y, np.flatnonzero(groups == groups[0]), 1)
    mine = fitted.personalize(X[few], y[few])
    data = pickle.dumps(mine)
    assert len(data) < 1.01 * len(pickle.dumps(fitted))
    assert_array_equal(pickle.loads(data).predict_proba(X[rest]), mine.predict_proba(X[rest]))
    assert mine.strategy_ == fitted.strategy_
    assert mine.history_ == []


def test_labels_help_where_fit_had_no_groups_as_well():
    X, y, groups = NEW
    clf = small().fit(*TRAIN[:2])
    gains = []
    for person in np.unique(groups):
        few, rest = few_of(y, np.flatnonzero(groups == person), 4)
        mine = clf.personalize(X[few], y[few])
        losses = [log_loss(y[rest], each.predict_proba(X[rest])) for each in (clf, mine)]
        gains.append(losses[0] - losses[1])
    assert np.mean(gains) > 0.05


def test_labels_that_contradict_the_windows_are_not_used(fitted):
    X, y, groups = NEW
    few, rest = few_of(y, np.flatnonzero(groups == groups[0]), 3)
    adapted = fitted.adapt(np.concatenate([X[few], X[rest]])).predict_proba(X[rest])
    unused = 0
    for seed in range(5):
        wrong = np.random.default_rng(seed).permutation(y[few])
        unused += np.array_equal(
            fitted.personalize(X[few], wrong, X[rest]).predict_proba(X[rest]), adapted
        )
    # Some permutations agree with the windows by chance, and others show that the head is too sure.
    assert unused >= 2
    right = fitted.personalize(X[few], y[few], X[rest]).predict_proba(X[rest])
    assert not np.array_equal(right, adapted)


def test_a_refit_of_a_personal_estimator_is_for_all_people_again(fitted):
    X, y, groups = TRAIN
    mine = fitted.adapt(NEW[0][:9])
    again = mine.fit(X, y, groups=groups)
    assert_array_equal(
        again.predict_proba(NEW[0], groups=NEW[2]), fitted.predict_proba(NEW[0], groups=NEW[2])
    )


# --- regression ----------------------------------------------------------------------------------


def test_values_of_new_people_are_recentred():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(10), 14)
    y = np.tile(np.linspace(1, 3, 14), 10)
    force = np.exp(y + rng.uniform(-1.5, 1.5, 10)[groups])
    X = (force[:, None, None] * rng.standard_normal((len(y), 2, 128))).astype(np.float32)
    train, new = groups < 7, groups >= 7
    reg = CitrusRegressor(pretrained=None, preset="tiny", random_state=0)
    reg.fit(X[train], y[train], groups=groups[train])
    assert reg.adaptation_["kind"] == "recenter"
    alone = reg.score(X[new], y[new])
    together = reg.score(X[new], y[new], groups=groups[new])
    assert together > alone + 0.02
    order = rng.permutation(new.sum())
    assert_array_equal(
        reg.predict(X[new][order], groups=groups[new][order]),
        reg.predict(X[new], groups=groups[new])[order],
    )
    person = np.flatnonzero(groups == 9)
    mine = reg.personalize(X[person[::3]], y[person[::3]], X[person])
    assert mine.score(X[person], y[person]) > reg.score(X[person], y[person])
    copy = pickle.loads(pickle.dumps(mine))
    assert_array_equal(copy.predict(X[person]), mine.predict(X[person]))


def test_a_property_of_the_person_is_not_recentred():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(10), 8)
    age = rng.uniform(20, 80, 10)[groups]
    X = age[:, None, None] * rng.standard_normal((80, 2, 128)).astype(np.float32)
    reg = CitrusRegressor(pretrained=None, preset="tiny", random_state=0)
    reg.fit(X, age, groups=groups)
    assert reg.adaptation_["kind"] != "recenter"
    assert "Each person has one value" in reg.adaptation_["reason"]


# --- the embedder --------------------------------------------------------------------------------


def test_features_of_new_people_are_moved_to_the_mean_of_all(watch):
    train = watch.groups != watch.groups[0]
    embedder = CitrusEmbedder(pretrained=None, preset="tiny", random_state=0)
    embedder.fit(watch.X[train], watch.y[train], groups=watch.groups[train])
    X, groups = watch.X[~train], watch.groups[~train]
    plain, moved = embedder.transform(X), embedder.transform(X, groups=groups)
    before = np.linalg.norm(plain.mean(axis=0) - embedder.recenter_.mean_)
    assert np.linalg.norm(moved.mean(axis=0) - embedder.recenter_.mean_) < 0.5 * before
    both = embedder.transform(watch.X, groups=watch.groups)
    assert_array_equal(both[~train], moved)
    assert_array_equal(pickle.loads(pickle.dumps(embedder)).transform(X, groups=groups), moved)
    with pytest.raises(ValueError, match="fit was called without groups"):
        clone(embedder).fit(X).transform(X, groups=groups)


# --- in a pipeline -------------------------------------------------------------------------------


def test_groups_are_routed_through_a_pipeline():
    X, y, groups = TRAIN
    with sklearn.config_context(enable_metadata_routing=True):
        clf = small().set_fit_request(groups=True).set_predict_request(groups=True)
        pipe = make_pipeline(SignalAligner(128), clf.set_predict_proba_request(groups=True))
        pipe.fit(X, y, groups=groups)
        proba = pipe.predict_proba(NEW[0], groups=NEW[2])
        together = pipe.score(NEW[0], NEW[1], groups=NEW[2])
        assert together == np.mean(pipe.predict(NEW[0], groups=NEW[2]) == NEW[1])
        assert together > pipe.score(NEW[0], NEW[1])
        scores = cross_val_score(pipe, X, y, params={"groups": groups}, cv=GroupKFold(4))
    expected = clone(small()).fit(SignalAligner(128).fit_transform(X), y, groups=groups)
    assert_array_equal(proba, expected.predict_proba(NEW[0], groups=NEW[2]))
    train, test = next(GroupKFold(4).split(X, y, groups))
    first = clone(small()).fit(X[train], y[train], groups=groups[train])
    assert scores[0] == first.score(X[test], y[test], groups=groups[test])


def test_scores_are_without_adaptation_unless_predict_requests_groups():
    X, y, groups = TRAIN
    with sklearn.config_context(enable_metadata_routing=True):
        clf = small().set_fit_request(groups=True)
        scores = cross_val_score(clf, X, y, params={"groups": groups}, cv=GroupKFold(2))
    train, test = next(GroupKFold(2).split(X, y, groups))
    plain = small().fit(X[train], y[train], groups=groups[train])
    assert scores[0] == plain.score(X[test], y[test])


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (np.zeros(5), r"X has 54 windows, but groups has 5"),
        ([None] + ["a"] * 53, r"groups contains NaN, None or another missing value"),
        (np.r_[np.nan, np.ones(53)], r"groups contains NaN, None or another missing value"),
        ("subject", "groups"),
        (np.zeros((54, 2)), "groups should be a 1d array"),
    ],
    ids=["length", "None", "NaN", "column", "two columns"],
)
def test_bad_groups_are_refused(fitted, groups, message):
    with pytest.raises((ValueError, TypeError), match=message):
        fitted.predict(NEW[0], groups=groups)


def test_what_cannot_be_adapted_says_what_to_do(fitted):
    X, y, groups = NEW
    without = small().fit(*TRAIN[:2])
    for call in (lambda: without.predict(X, groups=groups), lambda: without.adapt(X)):
        with pytest.raises(ValueError, match=r"fit was called without groups.*Pass groups"):
            call()
    with pytest.raises(ValueError, match=r"adaptation=None.*adaptation='auto'"):
        small(adaptation=None).fit(*TRAIN[:2], groups=TRAIN[2]).adapt(X)
    mine = fitted.adapt(X[:9])
    for call in (
        lambda: mine.predict(X, groups=groups),
        lambda: mine.adapt(X),
        lambda: mine.personalize(X[:3], y[:3]),
    ):
        with pytest.raises(ValueError, match="adapted to one person"):
            call()
    with pytest.raises(ValueError, match=r"'clenched'.*has not seen"):
        fitted.personalize(X[:2], ["rest", "clenched"])
    with pytest.raises(ValueError, match="Input y contains NaN, None or another missing value"):
        fitted.personalize(X[:2], ["rest", None])
    with pytest.raises(ValueError, match="personalize needs y"):
        fitted.personalize(X[:2], None)
    with pytest.raises(ValueError, match="y has 3 labels"):
        fitted.personalize(X[:2], ["rest"] * 3)
    with pytest.raises(ValueError, match=r"adaptation='center' is unknown"):
        small(adaptation="center").fit(*TRAIN[:2])
    module = ModuleClassifier("EEGNet", max_epochs=1, random_state=0).fit(*TRAIN[:2])
    with pytest.raises(ValueError, match="ModuleClassifier does not adapt to people"):
        module.predict(X, groups=groups)
    reg = CitrusRegressor(pretrained=None, preset="tiny").fit(X, np.arange(len(X)))
    with pytest.raises(ValueError, match="y has 2 columns; expected 1"):
        reg.personalize(X[:3], np.ones((3, 2)))
