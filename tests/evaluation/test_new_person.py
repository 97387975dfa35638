"""new_person_curve: each person left out, with nothing known, without labels, with a few."""

import json
import math
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import AdaBoostClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import make_scorer
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from citrus_sk import GroupRecenter, SignalAligner
from citrus_sk.evaluation import (
    FractionCurve,
    LeaveOnePersonOut,
    NewPersonCurve,
    compare_on_folds,
    new_person_curve,
)

COUNTS = (0, 1, 3)
KNOWN = ["nothing", "unlabelled", 1, 3]
calls: list = []


def note(what, X, groups=None):
    calls.append((what, np.asarray(X)[:, 0].astype(int), groups))


class Diary(ClassifierMixin, BaseEstimator):
    """Notes every call; the number of a window is its first value. Takes no people."""

    def fit(self, X, y):
        note("fit", X)
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        note("predict", X)
        return np.repeat(self.classes_[:1], len(X))


class Grouped(Diary):
    """Takes people wherever it can."""

    def fit(self, X, y, groups=None):
        super().fit(X, y)
        note("people of fit", X, groups)
        return self

    def predict(self, X, groups=None):
        note("people of predict", X, groups)
        return super().predict(X)


class Adaptable(Diary):
    """Has methods that make another estimator for one person."""

    def adapt(self, X):
        note("adapt", X)
        return self._other(X)

    def personalize(self, X, y, X_unlabelled=None):
        note("personalize", X, y)
        note("unlabelled", X_unlabelled)
        return self._other(X)

    def _other(self, X):
        return Diary().fit(X, self.classes_)


class Together(TransformerMixin, BaseEstimator):
    """Notes which windows are transformed together, and of whom."""

    def fit(self, X, y=None, groups=None):
        return self

    def transform(self, X, groups=None):
        note("transform", X, groups)
        return X

    def fit_transform(self, X, y=None, groups=None):
        note("fit_transform", X, groups)
        return X


@pytest.fixture
def numbered():
    """Windows with their number as first value: 3 people with 8 of each of two classes."""
    calls.clear()
    order = np.random.default_rng(0).permutation(48)
    X = np.arange(48.0)[:, None]
    return X, np.tile(["rest", "fist"], 24)[order], np.repeat(["Ann", "Bob", "Cleo"], 16)[order]


@pytest.fixture(scope="module")
def shifted():
    """Two classes that differ by 2, and people who differ by more: each alone is easy."""
    rng = np.random.default_rng(0)
    y, people = np.tile([0, 1], 120), np.repeat(np.arange(6), 40)
    X = rng.standard_normal((240, 3)) * 0.3
    X[:, 0] += 2 * y + 3 * rng.standard_normal(6)[people]
    return X, y, people


def run(model, data, n_calibration=COUNTS, scoring="accuracy", **settings):
    return new_person_curve(
        {"model": model}, *data, n_calibration=n_calibration, scoring=scoring, **settings
    )


def planned(data, n_calibration=3):
    X, y, people = data
    cv = LeaveOnePersonOut(n_calibration, n_reserved=10)
    return list(cv.split_calibration(X, y, people))


def called(what):
    return [(rows.tolist(), groups) for name, rows, groups in calls if name == what]


# --- what each estimator is given ---


def test_an_estimator_without_people_is_fitted_again_with_the_labelled_windows(numbered):
    curve = run(Diary(), numbered)
    assert curve.known == KNOWN
    few, more = planned(numbered, 1), planned(numbered, 3)
    fits, predictions = called("fit"), called("predict")
    for (train, one, test), (_, three, _) in zip(few, more, strict=True):
        assert [sorted(fits.pop(0)[0]) for _ in range(3)] == [
            train.tolist(), sorted([*train, *one]), sorted([*train, *three])
        ]  # fmt: skip
        assert [predictions.pop(0)[0] for _ in KNOWN] == [test.tolist()] * 4
    assert not fits
    assert not predictions


def test_people_are_passed_wherever_they_are_taken_and_never_with_nothing_known(numbered):
    run(Grouped(), numbered, (0, 2))
    people = numbered[2]
    for rows, groups in called("people of fit"):
        assert groups.tolist() == people[rows].tolist()
    predictions = called("people of predict")
    assert len(predictions) == 3 * 3
    for i, (rows, groups) in enumerate(predictions):
        if i % 3 == 0:
            assert groups is None
        else:
            assert groups.tolist() == people[rows].tolist()
            assert len(set(groups)) == 1


def test_people_that_are_declined_are_not_passed(numbered):
    with sklearn.config_context(enable_metadata_routing=True):
        model = Grouped().set_fit_request(groups=False).set_predict_request(groups=False)
    run(model, numbered, (0, 2))
    assert {groups for _, groups in called("people of fit") + called("people of predict")} == {None}


def test_adapt_and_personalize_are_given_the_windows_of_the_person(numbered):
    _, y, people = numbered
    run(Adaptable(), numbered, (0, 3))
    for (_, calibration, test), adapted, personal, unlabelled in zip(
        planned(numbered), called("adapt"), called("personalize"), called("unlabelled"), strict=True
    ):
        assert adapted[0] == unlabelled[0] == test.tolist()
        assert personal[0] == calibration.tolist()
        assert personal[1].tolist() == y[calibration].tolist()
        assert len(set(people[[*calibration, *test]])) == 1


def test_steps_of_a_pipeline_transform_the_windows_of_a_person_together(numbered):
    people = numbered[2]
    run(make_pipeline(Together(), Adaptable()), numbered, (0, 3))
    transforms = called("transform")
    for (train, calibration, test), fitted in zip(
        planned(numbered), called("fit_transform"), strict=True
    ):
        assert fitted[0] == train.tolist()
        assert fitted[1].tolist() == people[train].tolist()
        rows, groups = zip(*[transforms.pop(0) for _ in range(3)], strict=True)
        assert rows == (test.tolist(), test.tolist(), [*calibration, *test])
        assert groups[0] is None
        assert groups[2].tolist() == people[rows[2]].tolist()
    calls.clear()
    run(make_pipeline(Together(), Diary()), numbered, (3,))
    fits = called("fit")
    for train, calibration, _ in planned(numbered):
        assert fits.pop(0)[0] == train.tolist()
        assert fits.pop(0)[0] == [*train, *calibration]


def test_test_windows_are_the_same_for_every_number_and_every_estimator(numbered):
    X, y, people = numbered
    new_person_curve([Diary(), Diary()], X, y, people, n_calibration=COUNTS, scoring="accuracy")
    tested = {tuple(rows) for rows, _ in called("predict")}
    assert tested == {tuple(test) for *_, test in planned(numbered)}


# --- what the scores are ---


@pytest.mark.parametrize("count", [0, 1, 5])
def test_scores_are_those_of_cross_validation_with_the_splitter(shifted, count):
    X, y, people = shifted
    model = (
        make_pipeline(StandardScaler(), LogisticRegression())
        if count == 0
        else LogisticRegression()
    )
    curve = run(model, shifted, (0, 1, 5))
    cv = LeaveOnePersonOut(count, n_reserved=10)
    expected = cross_val_score(model, X, y, groups=people, cv=cv, scoring="accuracy")
    assert curve.scores("model", known=count or "nothing").tolist() == expected.tolist()


def test_recentring_helps_once_windows_of_the_person_are_seen_together(shifted):
    plain = run(LogisticRegression(), shifted)
    assert plain.scores("model", known="unlabelled").mean() < 0.8
    recentred = run(make_pipeline(GroupRecenter(), LogisticRegression()), shifted)
    assert recentred.scores("model", known="nothing").mean() < 0.8
    for known in ("unlabelled", 1, 3):
        assert recentred.scores("model", known=known).min() > 0.9


def test_a_classifier_adapts_inside_a_pipeline(watch, quick):
    model = make_pipeline(SignalAligner(64), quick(strategy="linear-probe"))
    settings = {"n_calibration": (0, 1), "scoring": ("accuracy", "neg_log_loss")}
    apart = slice(None, None, 2)  # every second window, so that none overlap
    curve = new_person_curve(model, watch.X[apart], watch.y[apart], watch.groups[apart], **settings)
    name = curve.estimators[0]
    assert np.isfinite(curve.scores(name, "neg_log_loss", known="nothing")).all()
    nothing, few = (curve.scores(name, known=known).mean() for known in ("nothing", 1))
    assert few > nothing > 1 / 3


def test_log_loss_of_a_person_who_lacks_a_class():
    rng = np.random.default_rng(0)
    y, people = np.tile(["a", "b", "c"], 40), np.repeat(np.arange(4), 30)
    kept = (people != 1) | (y != "b")
    X, y, people = rng.standard_normal((120, 3))[kept], y[kept], people[kept]
    settings = {"n_calibration": (0, 2), "scoring": ("neg_log_loss",)}
    curve = new_person_curve(DummyClassifier(), X, y, people, **settings)
    assert not curve.failures
    assert np.isfinite([row["neg_log_loss"] for row in curve.rows]).all()


def test_scorers_may_take_people(shifted):
    def n_people(y_true, y_pred, groups):
        return len(np.unique(groups))

    with sklearn.config_context(enable_metadata_routing=True):
        scorer = make_scorer(n_people).set_score_request(groups=True)
    curve = run(DummyClassifier(), shifted, scoring={"people": scorer})
    assert {row["people"] for row in curve.rows} == {1}


@pytest.mark.parametrize(
    "step",
    [
        OneHotEncoder(handle_unknown="ignore"),
        FunctionTransformer(lambda X: [np.ones(int(x)) for (x,) in X]),
        StandardScaler().set_output(transform="pandas"),
    ],
    ids=["sparse", "lists", "frame"],
)
def test_features_of_every_kind_are_joined(numbered, step):
    class Kinds(DummyClassifier):
        def fit(self, X, y):
            assert len(y) == (X.shape[0] if sparse.issparse(X) else len(X))
            return super().fit(np.zeros((len(y), 1)), y)

        def predict(self, X):
            n = X.shape[0] if sparse.issparse(X) else len(X)
            return super().predict(np.zeros((n, 1)))

    curve = run(make_pipeline(step, Kinds()), numbered)
    assert not curve.failures


def test_windows_in_lists_and_frames_are_taken(numbered):
    X, y, people = numbered
    plain = run(DummyClassifier(), numbered)
    for windows in (list(X), pd.DataFrame(X)):
        found = run(DummyClassifier(), (windows, pd.Series(y), pd.Series(people)))
        assert [row["accuracy"] for row in found.rows] == [row["accuracy"] for row in plain.rows]


def test_an_estimator_without_metadata_routing_is_scored(shifted):
    for model in (AdaBoostClassifier(n_estimators=3, random_state=0),):
        assert not run(make_pipeline(StandardScaler(), model), shifted).failures
        assert not run(model, shifted).failures


def test_nothing_is_left_behind(numbered):
    model = Grouped()
    run(model, numbered)
    assert vars(model) == {}
    assert not sklearn.get_config()["enable_metadata_routing"]


# --- runs ---


def test_two_workers_give_the_same_bits_and_a_run_is_resumed(shifted, two_workers, tmp_path):
    models = {
        "plain": LogisticRegression(),
        "recentred": make_pipeline(GroupRecenter(), LogisticRegression()),
    }
    settings = {"n_calibration": COUNTS, "scoring": ("accuracy", "neg_log_loss")}
    one = new_person_curve(models, *shifted, run_dir=tmp_path, **settings)
    two = new_person_curve(models, *shifted, n_jobs=two_workers, **settings)
    again = new_person_curve(models, *shifted, run_dir=tmp_path, **settings)
    assert again.rows == one.rows  # times as well, so nothing was fitted
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == 2 * 6
    for first, second in zip(one.rows, two.rows, strict=True):
        for key in first.keys() - {"fit_time", "predict_time"}:
            assert first[key] == second[key]
    new_person_curve(models, *shifted, run_dir=tmp_path, n_calibration=(0, 1), shuffle=False)
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == 4 * 6


def test_failures_are_rows_with_the_reason(shifted):
    class Stubborn(LogisticRegression):
        def personalize(self, X, y, X_unlabelled=None):
            raise RuntimeError("no\nway")

    with pytest.warns(UserWarning, match="12 of 24 fits failed.*'model': RuntimeError: no"):
        curve = run(Stubborn(), shifted)
    assert {row["error"] for row in curve.failures} == {"RuntimeError: no"}
    assert np.isfinite(curve.scores("model", known="unlabelled")).all()
    assert np.isnan(curve.scores("model", known=3)).all()
    with pytest.warns(UserWarning, match="24 of 24 fits failed.*InvalidParameterError"):
        curve = run(LogisticRegression(C=-1), shifted)
    assert np.isnan(curve.scores("model", known="nothing")).all()


def test_a_person_without_a_window_to_spare_fails_with_labels_alone(shifted):
    X, y, people = shifted
    rows = np.r_[0:202]  # two windows of the last person
    with (
        pytest.warns(UserWarning, match="reserved windows of a class"),
        pytest.warns(UserWarning, match="2 of 24 fits failed"),
    ):
        curve = run(LogisticRegression(), (X[rows], y[rows], people[rows]))
    failed = [(row["person"], row["known"]) for row in curve.failures]
    assert failed == [("5", "labelled")] * 2
    assert "no window of this person is reserved" in curve.failures[0]["error"]


# --- warnings and errors ---


def test_calibration_windows_that_overlap_with_the_test_are_named():
    rng = np.random.default_rng(0)
    y, people = np.tile(np.repeat([0, 1], 10), 2), np.repeat([1, 2], 20)
    recordings = rng.standard_normal((4, 1, 600))
    X = np.concatenate(
        [[each[:, start : start + 100] for start in range(0, 500, 50)] for each in recordings]
    )
    model = make_pipeline(FunctionTransformer(lambda X: X.std(axis=2)), DummyClassifier())
    settings = {"n_calibration": (0, 2), "n_reserved": 4}
    with pytest.warns(
        UserWarning, match=r"\d+ of 24 test windows overlap a cal.*shuffle=False"
    ) as r:
        new_person_curve(model, X, y, people, scoring="accuracy", **settings)
    assert r[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Windows 0 and 1 of each recording calibrate, 2 and 3 are reserved, 4 and on are tested.
        new_person_curve(model, X, y, people, shuffle=False, scoring="accuracy", **settings)
    with pytest.warns(UserWarning, match=r"4 of 24 test windows .* do not overlap\.$"):
        new_person_curve(
            model, X, y, people, shuffle=False, scoring="accuracy", n_calibration=(4,), n_reserved=4
        )
    with pytest.warns(UserWarning, match="overlap another one.*in different groups"):
        new_person_curve(
            model, X, y, np.tile([1, 2], 20), shuffle=False, scoring="accuracy", **settings
        )


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"groups": None}, ValueError, "groups is None; expected the person of each window"),
        ({"groups": np.zeros(240)}, ValueError, r"groups has 1 distinct value"),
        ({"groups": [1, 2]}, ValueError, "but groups has 2 groups"),
        ({"y": np.zeros(240, int)}, ValueError, "y holds a single class, 0"),
        ({"n_calibration": ()}, ValueError, "n_calibration is empty"),
        ({"n_calibration": 5}, TypeError, r"n_calibration=5 is a int; expected a sequence"),
        ({"n_calibration": (1.5,)}, TypeError, r"n_calibration=1\.5 is a float"),
        ({"n_calibration": (-1, 2)}, ValueError, "n_calibration=-1 is out of range"),
        (
            {"n_calibration": (5, 1)},
            ValueError,
            r"not sorted; expected increasing numbers, \(1, 5\)",
        ),
        ({"n_calibration": (1, 1)}, ValueError, "holds 1 more than once"),
        ({"n_reserved": 2}, ValueError, "n_calibration=3 is larger than n_reserved=2"),
        ({"n_reserved": "all"}, TypeError, "n_reserved='all' is a str"),
        ({"shuffle": "no"}, TypeError, "Expected shuffle to be True or False"),
        ({"scoring": "acuracy"}, ValueError, "Did you mean 'accuracy'"),
        ({"estimators": StandardScaler()}, TypeError, "which is not a classifier"),
    ],
)
def test_bad_input_is_named_before_anything_runs(shifted, change, error, match):
    X, y, groups = shifted
    arguments = {"estimators": DummyClassifier(), "X": X, "y": y, "groups": groups}
    with pytest.raises(error, match=match):
        new_person_curve(**(arguments | {"n_calibration": COUNTS} | change))


# --- the result ---


@pytest.fixture(scope="module")
def curve(shifted):
    models = {
        "plain": LogisticRegression(),
        "recentred": make_pipeline(GroupRecenter(), LogisticRegression()),
    }
    return new_person_curve(models, *shifted, n_calibration=COUNTS)


def test_the_table_is_tidy(curve):
    table = curve.table
    assert list(table.columns) == curve.columns
    assert len(table) == 2 * 4 * 6
    assert table["person"].unique().tolist() == curve.people == list("012345")
    assert (table["n_train"] - table["n_available"] == 2 * table["n_calibration"]).all()
    assert (table["n_test"] == 20).all()
    assert table["known"].unique().tolist() == ["nothing", "unlabelled", "labelled"]
    assert "2 estimators, 6 people, known of them: nothing, unlabelled, 1, 3" in repr(curve)


def test_means_are_over_people(curve):
    summary = curve.summary("accuracy")
    assert summary["n_scores"].tolist() == [6] * 8
    for row, known in zip(summary.itertuples(), KNOWN * 2, strict=True):
        scores = curve.scores(row.estimator, known=known)
        assert row.mean == pytest.approx(scores.mean())
        half = (
            2.570582 * scores.std(ddof=1) * math.sqrt(1 / 6 + 20 / 200)
        )  # t, 5 degrees of freedom
        assert row.low == pytest.approx(max(0, scores.mean() - half), rel=1e-4)
    assert len(curve.summary()) == 3 * 8


def test_estimators_are_compared_person_by_person(curve):
    table = curve.compare("recentred", "plain")
    assert table["known"].tolist() == ["nothing", "unlabelled", "labelled", "labelled"]
    assert table["n_calibration"].tolist() == [0, 0, 1, 3]
    alone = compare_on_folds(
        curve.scores("recentred", known="unlabelled"), curve.scores("plain", known="unlabelled"),
        n_train=200, n_test=20,
    )  # fmt: skip
    assert table["difference"][1] == alone.difference > 0.1
    assert table["p_value"][1] == alone.p_value


def test_files_hold_what_the_table_holds(curve, tmp_path):
    curve.to_csv(tmp_path / "a.csv")
    curve.to_parquet(tmp_path / "a.parquet")
    curve.to_json(tmp_path / "a.json")
    csv = pd.read_csv(tmp_path / "a.csv", dtype={"person": str, "error": str})
    pd.testing.assert_frame_equal(csv.fillna({"error": ""}), curve.table, check_dtype=False)
    parquet = pd.read_parquet(tmp_path / "a.parquet")
    pd.testing.assert_frame_equal(parquet, curve.table, check_dtype=False)
    back = NewPersonCurve.read_json(tmp_path / "a.json")
    assert back.rows == curve.rows
    assert back.settings == json.loads(json.dumps(curve.settings))
    with pytest.raises(ValueError, match="is not a curve"):
        FractionCurve.read_json(tmp_path / "a.json")


def test_what_is_not_in_the_curve_is_named(curve):
    with pytest.raises(ValueError, match=r"known=2 is not.*'nothing', 'unlabelled', 1, 3\]"):
        curve.scores("plain", known=2)
    with pytest.raises(ValueError, match="estimator='x' is not in this curve"):
        curve.scores("x", known=1)


def test_confusion_counts_every_window(curve):
    for row in curve.rows:
        assert np.sum(row["confusion"]) == row["n_test"]
