"""People reach every fit, prediction and scorer of a curve that requests them, and no other."""

import numpy as np
import pytest
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import make_scorer
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline

from citrus_sk.evaluation import fraction_curve


class Adaptive(ClassifierMixin, BaseEstimator):
    """Sign of the first feature, above the mean of the person where people are passed."""

    def fit(self, X, y, groups=None):
        self.classes_ = np.unique(y)
        self.groups_of_fit_ = groups
        return self

    def decision_function(self, X, groups=None):
        return centred(X, groups)[:, 0]

    def predict(self, X, groups=None):
        return self.classes_[(self.decision_function(X, groups=groups) > 0).astype(int)]

    def predict_proba(self, X, groups=None):
        p = 1 / (1 + np.exp(-self.decision_function(X, groups=groups)))
        return np.stack([1 - p, p], axis=1)

    def score(self, X, y, sample_weight=None, groups=None):
        return float(np.mean(self.predict(X, groups=groups) == y))


class Recentre(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None, groups=None):
        return self

    def transform(self, X, groups=None):
        return centred(X, groups)

    def fit_transform(self, X, y=None, groups=None):
        return self.fit(X, y, groups).transform(X, groups)


def centred(X, groups):
    X = np.array(X, float)
    for group in np.unique(groups) if groups is not None else ():
        X[groups == group] -= X[groups == group].mean(axis=0)
    return X


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.fixture(scope="module")
def shifted():
    """Two classes that differ by 2, and people who differ by tens: each alone is easy."""
    rng = np.random.default_rng(0)
    y, people = np.tile([0, 1], 60), np.repeat(np.arange(6), 20)
    X = rng.standard_normal((120, 3)) * 0.3
    X[:, 0] += 2 * y + 20 * rng.standard_normal(6)[people]
    return X, y, people


def accuracy(model, shifted, scoring="accuracy", **settings):
    X, y, people = shifted
    curve = fraction_curve(
        {"model": model}, X, y, groups=people, fractions=(1.0,), cv=3, scoring=scoring, **settings
    )
    return curve.scores("model", fraction=1.0)


def test_people_reach_predictions_that_request_them(shifted, routing):
    adaptive = Adaptive()
    plain = accuracy(adaptive, shifted)
    assert plain.mean() < 0.8
    adaptive.set_decision_function_request(groups=True)
    assert accuracy(adaptive, shifted).tolist() == plain.tolist()  # accuracy uses predict
    assert accuracy(adaptive, shifted, "roc_auc").min() > 0.99
    adaptive.set_predict_request(groups=True)
    assert accuracy(adaptive, shifted).min() > 0.97
    adaptive.set_predict_proba_request(groups=True)
    assert accuracy(adaptive, shifted, "neg_log_loss").min() > -0.5


def test_people_reach_a_score_that_requests_them(shifted, routing):
    def own_score(model, X, y):
        return model.score(X, y)

    assert accuracy(Adaptive(), shifted, own_score).mean() < 0.8
    assert accuracy(Adaptive().set_score_request(groups=True), shifted, own_score).min() > 0.97


def test_people_reach_the_steps_of_a_pipeline(shifted, routing):
    recentre = Recentre().set_fit_request(groups=True)
    with_people = make_pipeline(recentre.set_transform_request(groups=True), LogisticRegression())
    assert accuracy(with_people, shifted).min() > 0.97
    assert accuracy(make_pipeline(Recentre(), LogisticRegression()), shifted).mean() < 0.8


def test_people_reach_the_fit_with_the_training_windows_of_each(shifted, routing):
    seen = []

    def note(model, X, y):
        seen.append(model.groups_of_fit_)
        return 0.0

    accuracy(Adaptive().set_fit_request(groups=True), shifted, note)
    assert [len(np.unique(groups)) for groups in seen] == [4, 4, 4]
    seen.clear()
    accuracy(Adaptive(), shifted, note)  # takes them, and has not requested them
    accuracy(Adaptive().set_fit_request(groups=False), shifted, note)
    assert seen == [None] * 6


def test_people_reach_an_inner_splitter(shifted, routing):
    search = GridSearchCV(DummyClassifier(), {"strategy": ["prior"]}, cv=GroupKFold(2))
    assert np.isfinite(accuracy(search, shifted)).all()


def test_people_reach_a_scorer_that_requests_them(shifted, routing):
    def n_people(y_true, y_pred, groups=None):
        return len(np.unique(groups))

    scorer = make_scorer(n_people).set_score_request(groups=True)
    assert accuracy(DummyClassifier(), shifted, {"people": scorer}).tolist() == [2, 2, 2]


def test_metadata_of_predictions_may_have_a_name_of_its_own(shifted, routing):
    model = Adaptive().set_predict_request(groups="person")
    assert accuracy(model, shifted, params={"person": shifted[2]}).min() > 0.97
    assert accuracy(model, shifted).mean() < 0.8
    with pytest.warns(UserWarning, match="3 of 3 fits failed.*TypeError: .*'person'.*not routed"):
        accuracy(Adaptive(), shifted, params={"person": shifted[2]})


def test_without_routing_only_what_is_passed_to_fit_arrives(shifted):
    seen = []

    def note(model, X, y):
        seen.append(model.groups_of_fit_)
        return np.mean(model.predict(X) == y)

    assert accuracy(Adaptive(), shifted, note).mean() < 0.8
    assert seen == [None] * 3
    accuracy(Adaptive(), shifted, note, params={"groups": shifted[2]})
    assert all(len(groups) == 80 for groups in seen[3:])


def test_scoring_leaves_no_trace_on_the_model(shifted, routing):
    models = []

    def keep(model, X, y):
        models.append(model)
        return 0.0

    accuracy(Adaptive().set_predict_request(groups=True), shifted, keep)
    for model in models:
        assert set(vars(model)) == {"_metadata_request", "classes_", "groups_of_fit_"}


def test_stored_rows_without_people_are_not_taken_for_those_with(shifted, tmp_path):
    with sklearn.config_context(enable_metadata_routing=True):
        model = Adaptive().set_predict_request(groups=True)
    assert accuracy(model, shifted, run_dir=tmp_path).mean() < 0.8
    with sklearn.config_context(enable_metadata_routing=True):
        assert accuracy(model, shifted, run_dir=tmp_path).min() > 0.97
