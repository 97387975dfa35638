"""A classifier that gives no answer where it would be wrong too often."""

import pickle

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_array_equal
from scipy.stats import binomtest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, LeaveOneGroupOut, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC

from citrus_sk import RejectingClassifier
from citrus_sk.datasets import load_watch
from citrus_sk.estimators.error_bounds import error_bound, error_correlation, errors_by_threshold


def summary(X):
    return np.concatenate([X.mean(axis=2), X.std(axis=2)], axis=1)


@pytest.fixture(scope="module")
def people():
    """Mean and sd of every channel of the smart watch, for windows without overlap."""
    bunch = load_watch(overlap=0)
    bunch.X = summary(bunch.X)
    return bunch


def model():
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))


@pytest.fixture(scope="module")
def fitted(people):
    clf = RejectingClassifier(model(), max_error=0.12, confidence=None, cv=LeaveOneGroupOut())
    return clf.fit(people.X, people.y, groups=people.groups)


def test_the_threshold_is_the_lowest_that_is_good_enough_on_left_out_people(people, fitted):
    largest, wrong = np.zeros(len(people.y)), np.zeros(len(people.y), bool)
    for person in np.unique(people.groups):
        left = people.groups == person
        clf = model().fit(people.X[~left], people.y[~left])
        probabilities = clf.predict_proba(people.X[left])
        largest[left] = probabilities.max(1)
        wrong[left] = clf.predict(people.X[left]) != people.y[left]
    answered = largest >= fitted.threshold_
    assert fitted.coverage_ == answered.mean()
    assert fitted.error_ == wrong[answered].mean() <= 0.12 < wrong.mean()
    assert fitted.error_bound_ == fitted.error_
    lower = fitted.cv_results_["thresholds"] < fitted.threshold_
    assert lower.sum() > 3
    assert (fitted.cv_results_["error"][lower] > 0.12).all()


def test_rejected_windows_are_those_below_the_threshold(people, fitted):
    probabilities = fitted.predict_proba(people.X)
    assert_array_equal(probabilities, model().fit(people.X, people.y).predict_proba(people.X))
    rejected = probabilities.max(1) < fitted.threshold_
    assert 0.05 < rejected.mean() < 0.6
    assert_array_equal(fitted.rejects(people.X), rejected)
    answers = fitted.predict(people.X)
    assert_array_equal(answers == "rejected", rejected)
    assert_array_equal(answers[~rejected], fitted.estimator_.predict(people.X[~rejected]))
    assert fitted.score(people.X, people.y) == (answers == people.y).mean()
    assert "rejected" not in fitted.classes_


@pytest.mark.parametrize(
    ("y", "given", "label"),
    [
        (["no", "yes"], "auto", "rejected"),
        (["no", "yes"], "no decision", "no decision"),
        (np.array(["no", "yes"], object), "auto", "rejected"),
        ([0, 1], "auto", -1),
        (np.array([0, 1], np.uint8), "auto", -1),
        ([0, 1], 99, 99),
        ([-1, 1], 0, 0),
    ],
)
def test_the_marker_fits_the_labels(y, given, label):
    X = np.random.default_rng(0).standard_normal((40, 2))
    clf = RejectingClassifier(GaussianNB(), max_error=0.3, confidence=None, reject_label=given)
    with pytest.warns(UserWarning, match="All windows will be rejected"):
        clf.set_params(max_error=1e-9).fit(X, np.resize(y, 40))
    assert clf.reject_label_ == label
    assert clf.predict(X).tolist() == [label] * 40


def test_people_who_differ_make_the_bound_larger():
    windows = np.full(10, 50.0)
    alike, apart = np.full(10, 2.0), np.array([20.0] + [0.0] * 9)
    exact = binomtest(20, 500).proportion_ci(0.8).high  # two-sided: 10 % above
    assert error_correlation(alike, windows) == 0
    assert error_correlation(apart, windows) > 0.3
    bounds = [
        error_bound(each, windows, 0.9, error_correlation(each, windows)) for each in (alike, apart)
    ]
    assert exact < bounds[0] < 0.06
    assert bounds[1] > 0.1
    # Each window its own group: the bound of Clopper and Pearson.
    each = np.arange(500) < 20
    assert error_bound(each * 1.0, np.ones(500), 0.9, 0.0) == pytest.approx(exact, abs=1e-6)
    assert error_bound(alike[:1], windows[:1], 0.9, 0.0) == 1


def test_the_mean_error_of_new_people_is_rarely_above_the_wanted_one():
    rng = np.random.default_rng(0)

    def draw(n_people):
        groups = np.repeat(np.arange(n_people), 60)
        decision = np.abs(rng.normal(2, 1.5, len(groups)))
        right = 1 / (1 + np.exp(-decision - rng.normal(scale=0.5, size=n_people)[groups]))
        return 1 / (1 + np.exp(-decision)), rng.random(len(groups)) > right, groups

    confidence, wrong, _ = draw(2000)
    too_many = {0.9: 0, None: 0}
    for _ in range(40):
        left_out = draw(20)
        for level in too_many:
            found = errors_by_threshold(*left_out, level)
            good = found["thresholds"][found["error_bound"] <= 0.1]
            too_many[level] += bool(len(good)) and wrong[confidence >= good[0]].mean() > 0.1
    assert too_many[0.9] <= 6
    assert too_many[None] >= 10


def test_a_fitted_classifier_gets_a_threshold_from_other_people(people):
    others = people.groups < "3"
    clf = model().fit(people.X[~others], people.y[~others])
    coefficients = clf[-1].coef_.copy()
    rejecting = RejectingClassifier(FrozenEstimator(clf), max_error=0.1, confidence=None)
    rejecting.fit(people.X[others], people.y[others], groups=people.groups[others])
    assert_array_equal(clf[-1].coef_, coefficients)
    answers = clf.predict(people.X[others])[~rejecting.rejects(people.X[others])]
    answered = people.y[others][~rejecting.rejects(people.X[others])]
    assert (answers != answered).mean() == pytest.approx(rejecting.error_)


class Recorder(ClassifierMixin, BaseEstimator):
    """A classifier that notes which groups it was given."""

    seen: list = []  # noqa: RUF012

    def fit(self, X, y, groups=None, weight=None):
        self.classes_ = np.unique(y)
        self.seen.append(("fit", len(X), groups, weight))
        return self

    def predict_proba(self, X, groups=None):
        self.seen.append(("predict_proba", len(X), groups))
        return np.tile([0.7, 0.3], (len(X), 1))


X, Y, GROUPS = np.arange(12.0)[:, None], np.tile([0, 1], 6), np.repeat([1, 2, 3], 4)


def test_groups_and_other_metadata_are_cut_to_the_folds(monkeypatch):
    monkeypatch.setattr(Recorder, "seen", [])
    clf = RejectingClassifier(Recorder(), max_error=1.0, cv=GroupKFold(3))
    clf.fit(X, Y, groups=GROUPS, weight=X[:, 0])
    fits = [each for each in Recorder.seen if each[0] == "fit"]
    assert [len(each[2]) for each in fits] == [8, 8, 8, 12]
    assert all(set(GROUPS[each[3].astype(int)]) == set(each[2]) for each in fits)
    assert all(each[2] is None for each in Recorder.seen if each[0] == "predict_proba")
    with pytest.raises(ValueError, match="metadata routing is not enabled"):
        clf.predict(X, groups=GROUPS)


def test_groups_are_routed_to_fits_and_predictions_that_request_them(monkeypatch):
    monkeypatch.setattr(Recorder, "seen", [])
    with sklearn.config_context(enable_metadata_routing=True):
        inner = Recorder().set_fit_request(groups=False).set_predict_proba_request(groups=True)
        pipe = make_pipeline(FunctionTransformer(), inner)
        clf = RejectingClassifier(pipe, max_error=1.0)
        cross_val_score(
            clf, X, Y, cv=LeaveOneGroupOut(), params={"groups": GROUPS}, error_score="raise"
        )
        clf.fit(X, Y, groups=GROUPS)
        clf.predict(X, groups=GROUPS)
        clf.rejects(X, groups=GROUPS)
    assert all(each[2] is None for each in Recorder.seen if each[0] == "fit")
    predictions = [each for each in Recorder.seen if each[0] == "predict_proba"]
    assert len(predictions) == 3 * (2 + 1) + 3 + 2
    assert all(len(each[2]) == each[1] for each in predictions)


def test_a_pickle_is_small_and_gives_the_same_answers(people, fitted):
    stored = pickle.dumps(fitted)
    assert len(stored) < len(pickle.dumps(fitted.estimator_)) + 10_000
    assert_array_equal(pickle.loads(stored).predict(people.X), fitted.predict(people.X))


def test_the_warning_says_what_was_reached(people):
    clf = RejectingClassifier(model(), max_error=0.01)
    with pytest.warns(
        UserWarning, match=r"on 10 left-out groups. The lowest upper bound is 0\.\d+"
    ):
        clf.fit(people.X, people.y, groups=people.groups)
    assert (clf.threshold_, clf.coverage_) == (np.inf, 0)
    assert np.isnan([clf.error_, clf.error_bound_]).all()
    assert clf.rejects(people.X).all()


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"max_error": 5}, ValueError, "max_error=5 is out of range"),
        ({"confidence": 1.0}, ValueError, r"confidence=1.0 is out of range.* or None"),
        (
            {"estimator": LinearSVC()},
            TypeError,
            "LinearSVC.* is not a classifier with predict_proba",
        ),
        ({"estimator": GaussianNB}, TypeError, "is not a classifier with predict_proba"),
        ({"estimator": None}, TypeError, "estimator=None is not a classifier"),
        ({"reject_label": "none"}, ValueError, "reject_label='none' is a str; expected a number"),
        ({"reject_label": 1}, ValueError, "reject_label=1 is one of the classes"),
        ({"reject_label": True}, ValueError, "reject_label=True is a bool"),
    ],
)
def test_bad_parameters_are_refused_before_anything_is_fitted(parameters, error, message):
    clf = RejectingClassifier(**{"estimator": GaussianNB()} | parameters)
    with pytest.raises(error, match=message):
        clf.fit(X, Y, groups=GROUPS)
    assert not [name for name in vars(clf) if name.endswith("_")]


@pytest.mark.parametrize(
    ("y", "groups", "message"),
    [
        (Y == 1, GROUPS, "Labels are booleans"),
        (Y, np.zeros(12), "groups holds only 0.0; expected at least 2 people"),
        (Y, GROUPS[:5], "X has 12 windows, but groups has 5"),
        (None, GROUPS, "requires y to be passed"),
        (Y * 0, GROUPS, "can't train on one class"),
    ],
)
def test_bad_labels_and_groups_are_refused(y, groups, message):
    with pytest.raises(ValueError, match=message):
        RejectingClassifier(GaussianNB()).fit(X, y, groups=groups)
