"""fraction_curve: the same draws for everyone, failures as rows, runs that go on."""

import importlib
import json
import math
import os
import signal
import subprocess
import sys
import time
import warnings
from unittest import mock

import mne
import numpy as np
import pandas as pd
import pytest
import sklearn
from joblib import parallel_config, register_parallel_backend
from joblib.parallel import ThreadingBackend
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, make_scorer
from sklearn.model_selection import (
    GroupKFold,
    LeaveOneGroupOut,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC, LinearSVC

from citrus_sk import SignalAligner
from citrus_sk.evaluation import (
    FractionCurve,
    StratifiedFractionKFold,
    compare_on_folds,
    correct_holm,
    fraction_curve,
    make_peer,
)
from citrus_sk.evaluation.leakage import warn_of_leaks
from citrus_sk.evaluation.run_directory import _tree_digest, estimator_fingerprint


class Fragile(ClassifierMixin, BaseEstimator):
    """Does what `when` says as soon as it sees fewer than `below` windows."""

    def __init__(self, when="raise", below=10**6):
        self.when = when
        self.below = below

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.bad_ = len(X) < self.below
        if self.when == "raise" and self.bad_:
            raise RuntimeError("no convergence\nin so few windows")
        return self

    def predict(self, X):
        if self.when == "raise late" and self.bad_:
            raise RuntimeError("cannot predict")
        return np.repeat(self.classes_[:1], len(X))

    def predict_proba(self, X):
        odd = np.nan if self.when == "nan" and self.bad_ else 0.0
        return np.tile(np.eye(len(self.classes_))[0] + odd, (len(X), 1))


class Reader(ClassifierMixin, BaseEstimator):
    """Notes which windows it is trained on and tested on; a window's number is its value."""

    seen: list = []  # noqa: RUF012 - shared by all clones

    def fit(self, X, y, groups=None):
        self.classes_ = np.unique(y)
        self.trained_ = np.asarray(X).ravel().astype(int)
        self.groups_ = groups
        return self

    def predict(self, X):
        self.seen.append((self.trained_, np.asarray(X).ravel().astype(int), self.groups_))
        return np.repeat(self.classes_[:1], len(X))


@pytest.fixture
def data():
    """Windows of three unequal classes that overlap in feature space, and twelve people."""
    rng = np.random.default_rng(0)
    y = np.repeat(["fist", "pinch", "rest"], [90, 60, 30])
    X = rng.standard_normal((180, 8)) + 0.8 * (np.unique(y, return_inverse=True)[1])[:, None]
    return X, y, rng.permutation(np.repeat(np.arange(12), 15))


@pytest.fixture
def numbered(data):
    Reader.seen.clear()
    return np.arange(180.0)[:, None], data[1], data[2]


def equal(first, second):
    """Same rows but for the times."""
    times = ("fit_time", "predict_time")
    for a, b in zip(first.rows, second.rows, strict=True):
        assert a.keys() == b.keys()
        for key in a.keys() - set(times):
            assert a[key] == b[key] or (a[key] != a[key] and b[key] != b[key]), key


# --- what is compared ---


@pytest.mark.parametrize("fraction", [0.1, 1.0])
def test_it_scores_as_cross_validate_does_with_our_splitter(data, fraction):
    X, y, groups = data
    scoring = ("accuracy", "f1_macro", "neg_log_loss")
    curve = fraction_curve(
        LogisticRegression(),
        X,
        y,
        groups=groups,
        fractions=(fraction,),
        n_repeats=2,
        random_state=3,
    )
    for repeat in range(2):
        cv = StratifiedFractionKFold(5, train_fraction=fraction, random_state=3 + repeat)
        peer = cross_validate(LogisticRegression(), X, y, groups=groups, cv=cv, scoring=scoring)
        for metric in scoring:
            ours = curve.scores("LogisticRegression", metric, fraction=fraction)[5 * repeat :][:5]
            assert ours.tolist() == peer[f"test_{metric}"].tolist()


def test_every_estimator_sees_the_same_nested_draws_without_shared_people(numbered):
    X, y, groups = numbered
    fractions = (0.05, 0.2, 1.0)
    fraction_curve(
        {"a": Reader(), "b": Reader()}, X, y, groups=groups, fractions=fractions,
        n_repeats=2, scoring="accuracy",
    )  # fmt: skip
    seen = np.array(Reader.seen, object).reshape(2, 5, len(fractions), 2, 3)
    for of_fold in seen.reshape(-1, len(fractions), 2, 3):
        for of_amount in of_fold:
            assert np.array_equal(of_amount[0][0], of_amount[1][0])
            assert np.array_equal(of_amount[0][1], of_amount[1][1])
            assert not np.intersect1d(groups[of_amount[0][0]], groups[of_amount[0][1]]).size
        trained = [set(of_amount[0][0]) for of_amount in of_fold]
        assert trained[0] < trained[1] < trained[2]
    assert not np.array_equal(seen[0, 0, 0, 0, 0], seen[1, 0, 0, 0, 0])  # another draw


def test_shots_are_windows_of_each_class(numbered):
    X, y, groups = numbered
    curve = fraction_curve(Reader(), X, y, groups=groups, shots=(1, 5), cv=4, scoring="accuracy")
    assert curve.fractions == []
    assert curve.shots == [1, 5]
    for trained, *_ in Reader.seen:
        counts = np.unique(y[trained], return_counts=True)[1]
        assert counts.tolist() in ([1, 1, 1], [5, 5, 5])
    assert [len(curve.select("Reader", shots=n)) for n in (1, 5)] == [5 * 4, 2 * 4]


def test_small_fractions_are_repeated(data):
    X, y, groups = data
    curve = fraction_curve(
        DummyClassifier(), X, y, groups=groups, fractions=(0.02, 0.05, 0.1, 1.0), scoring="accuracy"
    )
    assert [len(curve.select("DummyClassifier", f)) // 5 for f in curve.fractions] == [5, 2, 1, 1]


ORDER = np.random.default_rng(1).permutation(180)


@pytest.mark.parametrize("cv", [StratifiedKFold(3), GroupKFold(4), [(ORDER[:90], ORDER[90:])]])
def test_folds_of_ones_own_are_thinned_out(numbered, cv):
    X, y, groups = numbered
    groups = groups if isinstance(cv, GroupKFold) else None
    curve = fraction_curve(
        Reader(), X, y, groups=groups, fractions=(0.2, 1.0), scoring="accuracy", n_repeats=2, cv=cv
    )
    folds = cv if isinstance(cv, list) else list(cv.split(X, y, groups))
    for (trained, tested, _), fold in zip(Reader.seen[1::2], folds, strict=False):
        assert np.array_equal(trained, np.sort(fold[0]))
        assert np.array_equal(tested, fold[1])
    # All of a fold of one's own can be drawn but once.
    assert len(curve.select("Reader", 0.2)) == 2 * len(curve.select("Reader", 1.0))


def test_scikit_learns_own_pipelines_run_on_windows(watch):
    summary = FunctionTransformer(np.mean, kw_args={"axis": 2})
    forest = make_pipeline(summary, RandomForestClassifier(20, random_state=0))
    curve = fraction_curve(
        forest, watch.X, watch.y, groups=watch.groups, fractions=(0.3, 1.0), cv=3
    )
    few, all_ = (curve.scores("RandomForestClassifier", fraction=f).mean() for f in (0.3, 1.0))
    assert 1 / 3 < few <= all_


def test_what_is_passed_to_fit_is_thinned_out(numbered):
    X, y, groups = numbered
    fraction_curve(
        Reader(), X, y, groups=groups, fractions=(0.2,), scoring="accuracy",
        params={"groups": groups},
    )  # fmt: skip
    for trained, _, passed in Reader.seen:
        assert np.array_equal(passed, groups[trained])


def test_metadata_is_routed_to_fits_and_scorers(data):
    X, y, groups = data
    weights = np.random.default_rng(0).integers(1, 4, 180).astype(float)
    with sklearn.config_context(enable_metadata_routing=True):
        model = LogisticRegression().set_fit_request(sample_weight=True)
        scorer = make_scorer(balanced_accuracy_score).set_score_request(sample_weight=True)
        cv = StratifiedFractionKFold(5, train_fraction=0.5)
        params = {"sample_weight": weights}
        curve = fraction_curve(
            model, X, y, groups=groups, fractions=(0.5,), scoring={"recall": scorer}, params=params
        )
        peer = cross_validate(
            model, X, y, cv=cv, scoring=scorer, params=params | {"groups": groups}
        )
    assert curve.scores("LogisticRegression", fraction=0.5).tolist() == peer["test_score"].tolist()


def test_lists_of_unequal_windows_are_taken(data):
    _, y, groups = data
    X = [np.ones((1, 20 + i % 5)) * i for i in range(180)]
    first = FunctionTransformer(lambda windows: np.array([[w[0, 0]] for w in windows]))
    model = make_pipeline(first, DummyClassifier())
    curve = fraction_curve(model, X, y, groups=groups, fractions=(1.0,), scoring="accuracy")
    assert not curve.failures


def test_a_frame_of_labels_and_windows_is_taken(data):
    X, y, groups = data
    plain = fraction_curve(LogisticRegression(), X, y, groups=groups, fractions=(0.5,))
    framed = fraction_curve(
        LogisticRegression(), pd.DataFrame(X), pd.Series(y, index=np.arange(180)[::-1]),
        groups=pd.Series(groups), fractions=(0.5,),
    )  # fmt: skip
    assert plain.scores("LogisticRegression", fraction=0.5).tolist() == (
        framed.scores("LogisticRegression", fraction=0.5).tolist()
    )


def test_the_draws_repeat_themselves_unless_the_seed_is_none(numbered):
    X, y, groups = numbered

    def tested(**seed):
        Reader.seen.clear()
        settings = {"groups": groups, "fractions": (0.2, 1.0), "scoring": "accuracy"}
        curve = fraction_curve(Reader(), X, y, **settings, **seed)
        return curve, [(trained.tolist(), held.tolist()) for trained, held, _ in Reader.seen]

    default, rows = tested()
    assert default.settings["random_state"] == "0"
    assert tested()[1] == tested(random_state=0)[1] == rows
    drawn, anew = tested(random_state=None)
    assert anew != rows
    trained = [set(trained) for trained, _, _ in Reader.seen]
    assert all(small < large for small, large in zip(trained[::2], trained[1::2], strict=True))
    assert tested(random_state=int(drawn.settings["random_state"]))[1] == anew


# --- workers ---


def test_two_workers_give_the_same_bits(data, two_workers):
    X, y, groups = data
    models = {
        "svc": make_pipeline(StandardScaler(), SVC(random_state=0)),
        "forest": RandomForestClassifier(9),
    }
    models["forest"].set_params(random_state=0)
    scoring = ("accuracy", "f1_macro")
    settings = {"groups": groups, "fractions": (0.1, 1.0), "scoring": scoring}
    one = fraction_curve(models, X, y, **settings)
    equal(one, fraction_curve(models, X, y, n_jobs=two_workers, **settings))


def test_a_dask_cluster_gives_the_same_bits(data):
    distributed = pytest.importorskip("distributed")  # in the test extra
    X, y, groups = data
    settings = {"groups": groups, "fractions": (0.1, 1.0)}
    one = fraction_curve(LogisticRegression(), X, y, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ports, forks and logs of the cluster
        with (
            # Dask leaves MKL_NUM_THREADS=1 behind, and whatever process is started later computes
            # other bits than this one.
            mock.patch.dict(os.environ),
            distributed.LocalCluster(
                n_workers=2, threads_per_worker=1, dashboard_address=None
            ) as cluster,
            distributed.Client(cluster),
            parallel_config("dask"),
        ):
            spread = fraction_curve(LogisticRegression(), X, y, n_jobs=2, **settings)
    equal(one, spread)


class NoGenerator(ThreadingBackend):
    """As multiprocessing and Ray: returns nothing before the last call has ended."""

    supports_return_generator = False


def test_a_backend_without_generators_gives_the_same_bits(data):
    X, y, groups = data
    settings = {"groups": groups, "fractions": (0.1, 1.0)}
    one = fraction_curve(LogisticRegression(), X, y, **settings)
    register_parallel_backend("no generator", NoGenerator)
    with parallel_config("no generator"):
        equal(one, fraction_curve(LogisticRegression(), X, y, n_jobs=2, **settings))
        with pytest.raises(ValueError, match="n_jobs == 0"):
            fraction_curve(LogisticRegression(), X, y, n_jobs=0, **settings)


def test_a_backend_without_generators_stores_fits_in_blocks(data, tmp_path):
    X, y, groups = data
    register_parallel_backend("no generator", NoGenerator)
    with parallel_config("no generator"):
        curve = fraction_curve(
            Rows(tmp_path / "rows.jsonl"), X, y, groups=groups, fractions=(0.1, 0.2, 0.5, 1.0),
            scoring={"rows": n_rows}, run_dir=tmp_path, n_jobs=2,
        )  # fmt: skip
    assert sorted(row["rows"] for row in curve.rows) == [0] * 8 + [8] * 8 + [16] * 4


class Rows(DummyClassifier):
    """Counts the rows that are stored when it is fitted."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    def fit(self, X, y):
        self.n_rows_ = self.path.read_bytes().count(b"\n") if self.path.exists() else 0
        return super().fit(X, y)


def n_rows(model, X, y):
    return model.n_rows_


def test_fits_run_on_the_threads_that_were_asked_for(data):
    X, y, groups = data
    for n_threads in (1, 2):
        curve = fraction_curve(
            Threads(), X, y, groups=groups, fractions=(1.0,), n_threads=n_threads,
            scoring={"threads": lambda model, X, y: model.threads_},
        )  # fmt: skip
        assert set(curve.scores("Threads", fraction=1.0)) == {n_threads}


class Threads(DummyClassifier):
    def fit(self, X, y):
        import torch

        self.threads_ = torch.get_num_threads()
        return super().fit(X, y)


# --- classes that test people lack ---


@pytest.fixture(scope="module")
def lacking():
    """Windows of three classes of five people; person 3 has two of them."""
    rng = np.random.default_rng(0)
    y, people = np.tile(["fist", "rest", "wave"], 50), np.repeat(np.arange(5), 30)
    kept = (people != 3) | (y != "rest")
    y, people = y[kept], people[kept]
    return rng.standard_normal((len(y), 6)) + (y == "fist")[:, None], y, people


@pytest.mark.parametrize(
    ("scoring", "name"), [("neg_log_loss", "neg_log_loss"), ({"loss": "neg_log_loss"}, "loss")]
)
def test_log_loss_of_people_who_lack_a_class(lacking, scoring, name):
    X, y, people = lacking
    settings = {"groups": people, "cv": LeaveOneGroupOut(), "fractions": (1.0,)}
    curve = fraction_curve(LogisticRegression(), X, y, scoring=scoring, **settings)
    assert not curve.failures
    for person in range(5):
        train, test = people != person, people == person
        proba = LogisticRegression().fit(X[train], y[train]).predict_proba(X[test])
        columns = np.searchsorted(np.unique(y), y[test])
        expected = np.log(proba[np.arange(len(proba)), columns]).mean()
        assert curve.rows[person][name] == pytest.approx(expected)


# --- failures ---


def test_a_fit_that_raises_is_a_row_with_the_reason(data):
    X, y, groups = data
    models = {"fragile": Fragile(below=50), "prior": DummyClassifier()}
    with pytest.warns(UserWarning, match=r"5 of 20 fits failed.*'fragile': RuntimeError: no conv"):
        curve = fraction_curve(models, X, y, groups=groups, fractions=(0.1, 1.0))
    assert np.isnan(curve.scores("fragile", fraction=0.1)).all()
    assert np.isfinite(curve.scores("fragile", fraction=1.0)).all()
    assert np.isfinite(curve.scores("prior", fraction=0.1)).all()
    assert {row["error"] for row in curve.failures} == {"RuntimeError: no convergence"}


@pytest.mark.parametrize(
    ("model", "reason", "accuracy_known"),
    [
        (Fragile("raise late"), "RuntimeError: cannot predict", False),
        (Fragile("nan"), "neg_log_loss: ValueError: .*NaN.*predict_proba: .*not finite", True),
        (
            LinearSVC(random_state=0),
            "neg_log_loss: AttributeError: LinearSVC .*predict_proba",
            True,
        ),
    ],
)
def test_what_cannot_be_scored_says_why(data, model, reason, accuracy_known):
    X, y, groups = data
    with pytest.warns(UserWarning, match=f"10 of 10 fits failed.*{reason}"):
        curve = fraction_curve(model, X, y, groups=groups, fractions=(0.5, 1.0))
    known = np.isfinite(curve.scores(type(model).__name__, "accuracy", fraction=1.0))
    assert known.all() == accuracy_known
    assert np.isnan(curve.scores(type(model).__name__, "neg_log_loss", fraction=1.0)).all()


# --- the best test epoch ---


def test_the_best_test_epoch_stands_in_a_column_of_its_own(data):
    X, y, groups = data
    boosted = GradientBoostingClassifier(n_estimators=30, random_state=0)
    settings = {"groups": groups, "fractions": (0.5,), "cv": 3}
    plain = fraction_curve(boosted, X, y, **settings)
    curve = fraction_curve(boosted, X, y, report_oracle_epoch=True, **settings)
    assert not any("optimistic" in name for name in plain.columns)
    assert curve.metrics == plain.metrics
    for metric in curve.metrics:
        ours = curve.scores("GradientBoostingClassifier", metric, fraction=0.5)
        assert (
            ours.tolist()
            == plain.scores("GradientBoostingClassifier", metric, fraction=0.5).tolist()
        )
    assert (curve.table["optimistic_best_test_epoch_neg_log_loss"] > ours).all()  # it overfits


def test_the_best_test_epoch_of_a_network_in_a_pipeline(watch, quick):
    # Without a choice between the network and its probe, which is not an epoch.
    network = quick(max_epochs=6, strategy="finetune", early_stopping=False)
    models = {"network": make_pipeline(SignalAligner(64), network), "prior": DummyClassifier()}
    models["peer"] = make_peer("patchtst").set_params(max_epochs=6)
    settings = {"groups": watch.groups, "fractions": (1.0,), "cv": 2, "scoring": "neg_log_loss"}
    curve = fraction_curve(models, watch.X, watch.y, report_oracle_epoch=True, **settings)
    plain = fraction_curve(models, watch.X, watch.y, **settings)
    for name in ("network", "peer"):
        proper = curve.scores(name, fraction=1.0)
        assert proper.tolist() == plain.scores(name, fraction=1.0).tolist()
        rows = curve.select(name, fraction=1.0)
        best = np.array([row["optimistic_best_test_epoch_neg_log_loss"] for row in rows])
        assert (best >= proper - 1e-6).all()
    for row in curve.select("prior", fraction=1.0):
        assert math.isnan(row["optimistic_best_test_epoch_neg_log_loss"])


# --- run directories ---


def test_a_finished_run_is_read_back_and_not_run_again(numbered, tmp_path):
    X, y, groups = numbered
    settings = {"groups": groups, "scoring": "accuracy", "run_dir": tmp_path / "run"}
    first = fraction_curve(Reader(), X, y, fractions=(0.1, 1.0), **settings)
    n_fits = len(Reader.seen)
    second = fraction_curve(Reader(), X, y, fractions=(0.1, 1.0), **settings)
    assert len(Reader.seen) == n_fits
    equal(first, second)
    assert [row["fit_time"] for row in first.rows] == [row["fit_time"] for row in second.rows]
    fraction_curve(Reader(), X, y, fractions=(0.1, 0.5, 1.0), **settings)
    assert len(Reader.seen) == n_fits + 5  # only what is new


@pytest.mark.parametrize("what", ["parameters", "scoring", "seed", "params"])
def test_stale_rows_are_not_taken(data, tmp_path, what):
    X, y, groups = data
    settings = {"groups": groups, "fractions": (0.1,), "scoring": "accuracy"}
    changed = dict(settings)
    model = other = LogisticRegression(C=1e-3)
    if what == "parameters":
        other = LogisticRegression(C=1e3)
    elif what == "scoring":
        changed["scoring"] = "f1_macro"
    elif what == "seed":
        changed["random_state"] = 5
    else:
        changed["params"] = {"sample_weight": np.linspace(0.1, 9, 180)}
    fraction_curve(model, X, y, run_dir=tmp_path, **settings)
    kept = fraction_curve(other, X, y, run_dir=tmp_path, **changed)
    equal(kept, fraction_curve(other, X, y, **changed))
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == 10


CODE = """
from sklearn.dummy import DummyClassifier

def helper():
    return 1

class Mine(DummyClassifier):
    def __init__(self, weights="none"):
        super().__init__()
        self.weights = weights

def half(y, predicted):
    return helper() / 2
"""


@pytest.mark.parametrize("what", ["class", "helper", "scorer", "weights"])
def test_what_was_edited_makes_rows_stale(data, tmp_path, monkeypatch, what):
    X, y, groups = data
    monkeypatch.syspath_prepend(tmp_path)
    edits = {"class": ("super().__init__()", "super().__init__(strategy='most_frequent')"),
             "helper": ("return 1", "return 11"), "scorer": ("/ 2", "/ 22")}  # fmt: skip
    edited = CODE.replace(*edits[what]) if what in edits else CODE
    found = []
    for code, weights in ((CODE, "a"), (CODE, "a"), (edited, "b" if what == "weights" else "a")):
        (tmp_path / "my_models.py").write_text(code)
        (tmp_path / "weights").write_text(weights)
        sys.modules.pop("my_models", None)
        my_models = importlib.import_module("my_models")
        fraction_curve(
            my_models.Mine(str(tmp_path / "weights")), X, y, groups=groups, fractions=(1.0,),
            scoring={"half": make_scorer(my_models.half)}, run_dir=tmp_path / "run",
        )  # fmt: skip
        found.append(len((tmp_path / "run" / "rows.jsonl").read_text().splitlines()))
    sys.modules.pop("my_models")
    assert found == [5, 5, 10]


def test_edits_of_a_package_in_development_are_seen(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_package").mkdir()
    (tmp_path / "my_package" / "__init__.py").write_text("from sklearn.svm import SVC as Base\n")
    (tmp_path / "my_package" / "net.py").write_text("from . import Base\nclass Net(Base): pass\n")
    found = []
    for other in ("x = 1", "x = 1", "x = 2"):
        (tmp_path / "my_package" / "other.py").write_text(other)
        _tree_digest.cache_clear()  # as in another process
        net = importlib.import_module("my_package.net").Net()
        found.append(estimator_fingerprint(net))
    assert found[0] == found[1] != found[2]
    for name in ("my_package", "my_package.net"):
        sys.modules.pop(name)


def test_a_failed_fit_is_tried_again(data, tmp_path):
    X, y, groups = data
    settings = {"groups": groups, "fractions": (1.0,), "run_dir": tmp_path}
    for _ in range(2):
        with pytest.warns(UserWarning, match="5 of 5 fits failed"):
            fraction_curve(Fragile(), X, y, **settings)
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == 10


def test_a_line_cut_short_is_run_again(data, tmp_path):
    X, y, groups = data
    settings = {"groups": groups, "fractions": (0.1, 1.0), "run_dir": tmp_path}
    whole = fraction_curve(LogisticRegression(), X, y, **settings)
    path = tmp_path / "rows.jsonl"
    path.write_bytes(path.read_bytes()[:-40])
    for _ in range(2):  # the second time the broken line stands in the middle
        equal(whole, fraction_curve(LogisticRegression(), X, y, **settings))


@pytest.mark.parametrize(
    "damage",
    [(b'"accuracy": 0.', b'"accuracy": 1.'), (b'"accuracy"', b'"accurac\xff"'), (b"{", b"[")],
)
def test_a_damaged_score_is_computed_again(data, tmp_path, damage):
    X, y, groups = data
    settings = {"groups": groups, "fractions": (1.0,), "scoring": "accuracy", "run_dir": tmp_path}
    whole = fraction_curve(LogisticRegression(), X, y, **settings)
    path = tmp_path / "rows.jsonl"
    content = path.read_bytes()
    assert damage[0] in content
    path.write_bytes(content.replace(*damage, 1))
    equal(whole, fraction_curve(LogisticRegression(), X, y, **settings))
    assert len(path.read_text(errors="replace").splitlines()) == 6


def test_the_run_of_other_data_is_refused_and_kept(data, tmp_path):
    X, y, groups = data
    settings = {"groups": groups, "fractions": (1.0,), "run_dir": tmp_path}
    fraction_curve(DummyClassifier(), X, y, **settings)
    before = (tmp_path / "rows.jsonl").read_bytes()
    with pytest.raises(ValueError, match=r"run_dir=.*holds the run of other data"):
        fraction_curve(DummyClassifier(), X + 1, y, **settings)
    assert (tmp_path / "rows.jsonl").read_bytes() == before


def test_a_folder_of_something_else_is_refused(data, tmp_path):
    X, y, groups = data
    settings = {"groups": groups, "fractions": (1.0,)}
    killed_early = tmp_path / "early"
    killed_early.mkdir()
    (killed_early / "run.json.123").write_text("{")
    assert not fraction_curve(DummyClassifier(), X, y, run_dir=killed_early, **settings).failures
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(ValueError, match="holds other files and no run"):
        fraction_curve(DummyClassifier(), X, y, run_dir=tmp_path, **settings)
    with pytest.raises(ValueError, match="is a file; expected a folder"):
        fraction_curve(DummyClassifier(), X, y, run_dir=tmp_path / "thesis.tex", **settings)
    model = make_pipeline(FunctionTransformer(lambda X: X), DummyClassifier())
    with pytest.raises(TypeError, match="scorers that can be pickled"):
        fraction_curve(model, X, y, run_dir=tmp_path / "run", **settings)


KILLED = """
import sys, time
import numpy as np
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from citrus_sk.evaluation import fraction_curve
rng = np.random.default_rng(0)
y = np.repeat(["a", "b"], 60)
X = rng.standard_normal((120, 4)) + 0.5 * (y == "b")[:, None]
curve = fraction_curve(RandomForestClassifier(30, random_state=0), X, y,
    groups=np.tile(np.arange(10), 12), fractions=(0.1, 0.2, 0.5, 1.0), run_dir=sys.argv[1])
curve.to_csv(sys.argv[2], times=False)
"""


def test_a_killed_run_goes_on_to_the_same_csv(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(KILLED)

    def start(name):
        out = tmp_path / f"{name}.csv"
        return subprocess.Popen([sys.executable, script, tmp_path / name, out]), out

    process, whole = start("whole")
    assert process.wait() == 0
    rows = tmp_path / "cut" / "rows.jsonl"
    for n_lines in (3, 9):
        process, cut = start("cut")
        while process.poll() is None:
            if rows.exists() and rows.read_bytes().count(b"\n") >= n_lines:
                os.kill(process.pid, signal.SIGKILL)
                break
            time.sleep(0.005)
        assert process.wait() == -signal.SIGKILL
        assert not cut.exists()
    process, cut = start("cut")
    assert process.wait() == 0
    assert cut.read_bytes() == whole.read_bytes()
    assert rows.read_bytes().count(b"\n") < 20 + 3  # no more than a row twice for each kill


# --- warnings about the data ---


def test_copies_and_overlaps_are_named(watch):
    X, y, groups = watch.X, watch.y, watch.groups
    settings = {"fractions": (1.0,), "cv": 2, "scoring": "accuracy"}
    recording = np.random.default_rng(0).standard_normal((1, 2000))
    starts = np.random.default_rng(1).permutation(np.arange(0, 1900, 25))
    sliding = np.stack([recording[:, start : start + 100] for start in starts])
    labels = np.arange(len(sliding)) % 2
    with pytest.warns(UserWarning, match=r"\d+ windows overlap another one.*pass groups="):
        fraction_curve(DummyClassifier(), sliding, labels, **settings)
    frames = pd.DataFrame(sliding[:, 0])
    for same in (frames, list(sliding), mne.EpochsArray(sliding, mne.create_info(1, 50.0, "eeg"))):
        with pytest.warns(UserWarning, match="overlap another one"):
            warn_of_leaks(same, None)
    again = np.tile(np.sin(np.arange(96) / 16 * 2 * np.pi).round(3), (800, 1))
    again[:, -1] = np.arange(800)
    start = time.perf_counter()
    warn_of_leaks(again, None)  # each begins like a part of all others, which is soon found out
    assert time.perf_counter() - start < 5
    warn_of_leaks([np.ones((1, 40 + i % 3)) for i in range(9)], None)  # of unequal lengths
    twice = np.concatenate([X, X[:3]])
    with (
        pytest.warns(UserWarning, match=r"6 windows are identical to another one"),
        pytest.warns(UserWarning, match=r"windows overlap another one"),  # as they were cut
    ):
        fraction_curve(DummyClassifier(), twice, np.append(y, y[:3]), **settings)
    with pytest.warns(UserWarning, match="in different groups"):
        fraction_curve(
            DummyClassifier(), twice, np.append(y, y[:3]), groups=np.append(groups, ["x"] * 3),
            **settings,
        )  # fmt: skip


def test_overlap_within_a_person_is_no_news(watch):
    X = np.concatenate([watch.X[:, :, :64], watch.X[:, :, 32:96]])
    y, groups = np.tile(watch.y, 2), np.tile(watch.groups, 2)
    fraction_curve(DummyClassifier(), X, y, groups=groups, fractions=(1.0,), cv=2)


def test_flat_and_clipped_windows_are_no_overlap():
    X = np.clip(np.random.default_rng(0).standard_normal((60, 1, 80)), -0.5, 0.5)
    X[:10, :, :40] = 0
    fraction_curve(DummyClassifier(), X, np.arange(60) % 2, fractions=(1.0,), cv=2)


def test_folds_that_share_people_are_named(data):
    X, y, groups = data
    cv = ShuffleSplit(3, random_state=0)
    with pytest.warns(UserWarning, match=r"cv puts \d+ group\(s\) on both sides of fold 0"):
        fraction_curve(
            DummyClassifier(), X, y, groups=groups, fractions=(1.0,), cv=list(cv.split(X))
        )
    cv = StratifiedGroupKFold(3)
    fraction_curve(DummyClassifier(), X, y, groups=groups, fractions=(1.0,), cv=cv)


def test_scarce_classes_are_named(data):
    X, y, _ = data
    y = np.where(np.arange(180) == 4, "cough", y)
    with (
        pytest.warns(UserWarning, match=r"fewer than 2 windows: cough \(1\)"),
        pytest.warns(UserWarning, match=r"fewer windows than n_splits=5: cough \(1 window"),
        pytest.warns(UserWarning, match=r"lack a class.*cough \(in 1 fold"),
        pytest.warns(
            UserWarning, match=r"fewer windows in a training fold than shots.*cough \(1 w"
        ),
    ):
        fraction_curve(
            DummyClassifier(), X, y, fractions=(1.0,), shots=(2,), n_repeats=1, scoring="accuracy"
        )


# --- bad input ---


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (
            {"fractions": (0.0, 0.5)},
            ValueError,
            r"fractions holds 0\.0; expected numbers in \(0, 1\]",
        ),
        ({"fractions": (0.5, 2)}, ValueError, "fractions holds 2"),
        ({"fractions": (0.5, 0.1)}, ValueError, r"not sorted.*\(0\.1, 0\.5\)"),
        ({"fractions": (0.1, 0.1)}, ValueError, r"0\.1 more than once"),
        ({"fractions": 0.1}, TypeError, r"fractions=0\.1 is a float; expected a sequence"),
        ({"fractions": ("0.1",)}, TypeError, "is a str; expected a number"),
        ({"fractions": ()}, ValueError, "both empty"),
        ({"shots": (0,)}, ValueError, "shots holds 0"),
        ({"shots": (1.5,)}, TypeError, r"1\.5 is a float; expected an integer"),
        ({"n_repeats": 0}, ValueError, "n_repeats=0"),
        ({"n_repeats": "often"}, TypeError, "n_repeats: 'often' is a str"),
        (
            {"scoring": "acuracy"},
            ValueError,
            "scoring holds 'acuracy', which is unknown. Did you mean 'accuracy'?",
        ),
        ({"scoring": ()}, ValueError, "scoring is empty"),
        ({"scoring": {"mine": 3}}, TypeError, "scoring holds 3"),
        ({"y": ["a"] * 179}, ValueError, "X has 180 windows and y has 179 labels"),
        ({"y": ["a"] * 180}, ValueError, "y holds a single class, a; expected two or more"),
        ({"groups": [1, 2]}, ValueError, "but groups has 2 groups"),
        ({"cv": 1}, ValueError, "n_splits=1"),
        ({"cv": 13}, ValueError, "groups has 12 distinct value"),
        ({"cv": "many"}, TypeError, "cv='many' is a str; expected the number of folds"),
        (
            {"cv": StratifiedFractionKFold(4)},
            TypeError,
            "draws a fraction of the training folds itself",
        ),
        ({"estimators": {}}, ValueError, "estimators is empty"),
        ({"estimators": DummyClassifier}, TypeError, "not a scikit-learn estimator"),
        ({"estimators": StandardScaler()}, TypeError, "which is not a classifier"),
        ({"estimators": [("a", SVC()), ("a", SVC())]}, ValueError, "has 'a' twice"),
    ],
)
def test_bad_input_is_named_before_anything_runs(data, change, error, match):
    X, y, groups = data
    arguments = {"estimators": Fragile(), "X": X, "y": y, "groups": groups} | change
    with pytest.raises(error, match=match):
        fraction_curve(**arguments)


def test_more_folds_than_windows_of_any_class_is_an_error():
    with pytest.raises(
        ValueError, match=r"at most 3 window\(s\) of a class, fewer than n_splits=5"
    ):
        fraction_curve(DummyClassifier(), np.zeros((6, 2)), [0, 1] * 3)


# --- the result ---


@pytest.fixture(scope="module")
def curve():
    rng = np.random.default_rng(0)
    y = np.repeat(["fist", "rest"], 60)
    X = rng.standard_normal((120, 5)) + 0.5 * (y == "rest")[:, None]
    models = {"logistic": LogisticRegression(), "svc": SVC()}
    with pytest.warns(UserWarning, match="fits failed"):
        return fraction_curve(
            models, X, y, groups=np.tile(np.arange(12), 10), fractions=(0.1, 1.0), shots=(2,)
        )


def test_the_table_is_tidy(curve):
    table = curve.table
    assert list(table.columns) == curve.columns
    assert len(table) == 2 * (5 + 5 + 5 * 5)
    whole = table[table["fraction"] == 1.0]
    assert whole["n_train"].eq(whole["n_available"]).all()
    assert (table["fraction"].isna() ^ table["shots"].isna()).all()
    assert (table["fit_time"] > 0).all()


def test_without_pandas_the_table_is_an_array(curve, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert curve.table.dtype.names == tuple(curve.columns)
    assert curve.table["accuracy"].dtype == float
    assert curve.summary("accuracy")["n_scores"].tolist() == [5, 5, 25] * 2


def test_files_hold_what_the_table_holds(curve, tmp_path):
    curve.to_csv(tmp_path / "a.csv")
    curve.to_parquet(tmp_path / "a.parquet")
    curve.to_json(tmp_path / "a.json")
    csv = pd.read_csv(tmp_path / "a.csv", keep_default_na=True, na_filter=True)
    csv["error"] = csv["error"].fillna("")
    pd.testing.assert_frame_equal(csv, curve.table, check_dtype=False)
    parquet = pd.read_parquet(tmp_path / "a.parquet")
    pd.testing.assert_frame_equal(parquet, curve.table, check_dtype=False)
    back = FractionCurve.read_json(tmp_path / "a.json")
    equal(curve, back)
    assert back.settings == json.loads(json.dumps(curve.settings))
    assert back.metrics == curve.metrics


def test_files_that_cannot_be_written_or_read_are_named(curve, tmp_path):
    with pytest.raises(OSError, match=r"its folder .*nowhere"):
        curve.to_csv(tmp_path / "nowhere" / "a.csv")
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(ValueError, match=r"a\.json' is not a curve"):
        FractionCurve.read_json(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"fraction"', '"friction"', "KeyError.'fraction'"),
        ('"accuracy": 0.', '"accuracy": "x",  "b": 0.', "accuracy is 'x'"),
        ('"n_test": ', '"n_test": -', "a fit without windows"),
        ('"estimator": "', '"estimator": "x', "an estimator lacks scores"),
        ("", "", "no rows"),
    ],
)
def test_a_damaged_curve_is_refused_when_it_is_read(curve, tmp_path, old, new, message):
    path = tmp_path / "a.json"
    curve.to_json(path)
    text = path.read_text()
    if message == "no rows":
        text = text[: text.index('"rows"')] + '"rows": []}'
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError, match=rf"a\.json' is not a curve.*{message}"):
        FractionCurve.read_json(path)


def test_the_band_is_that_of_the_corrected_t_test(curve):
    summary = curve.summary("accuracy")
    row = summary[(summary["estimator"] == "logistic") & (summary["fraction"] == 1.0)].iloc[0]
    scores = curve.scores("logistic", fraction=1.0)
    rows = curve.select("logistic", fraction=1.0)
    ratio = np.mean([row["n_test"] / row["n_train"] for row in rows])
    half = 2.776445 * scores.std(ddof=1) * math.sqrt(1 / 5 + ratio)  # t of 4 degrees of freedom
    assert row["mean"] == pytest.approx(scores.mean())
    assert row["high"] - row["mean"] == pytest.approx(half, rel=1e-5)
    assert row["mean"] - row["low"] == pytest.approx(half, rel=1e-5)


def test_estimators_are_compared_fold_by_fold(curve):
    table = curve.compare("logistic", "svc", "accuracy")
    assert table["n_folds"].tolist() == [5, 5, 25]
    rows = curve.select("logistic", fraction=1.0)
    alone = compare_on_folds(
        curve.scores("logistic", fraction=1.0), curve.scores("svc", fraction=1.0),
        n_train=[row["n_available"] for row in rows], n_test=[row["n_test"] for row in rows],
    )  # fmt: skip
    assert table["difference"][1] == alone.difference
    assert table["p_value"][1] == alone.p_value
    assert table["p_holm"].tolist() == correct_holm(table["p_value"]).tolist()
    unknown = curve.compare("logistic", "svc", "neg_log_loss")  # which SVC has not
    assert unknown["n_folds"].tolist() == [0, 0, 0]
    assert unknown[["difference", "p_value", "p_holm"]].isna().all(axis=None)


def test_confusion_and_reliability_count_every_window(curve):
    for row in curve.rows:
        assert np.sum(row["confusion"]) == row["n_test"]
        if row["estimator"] == "logistic":
            bins = np.array(row["reliability"])
            assert bins[:, 0].sum() == row["n_test"]
            assert bins[:, 2].sum() / row["n_test"] == pytest.approx(row["accuracy"])
        else:
            assert "reliability" not in row


def test_what_is_not_in_the_curve_is_named(curve):
    with pytest.raises(ValueError, match="estimator='x' is not in this curve"):
        curve.scores("x", fraction=1.0)
    with pytest.raises(ValueError, match="metric='x' is not"):
        curve.scores("svc", "x", fraction=1.0)
    with pytest.raises(ValueError, match=r"fraction=0\.3 is not.*fractions are \[0\.1, 1\.0\]"):
        curve.scores("svc", fraction=0.3)
    with pytest.raises(ValueError, match="expected one of the two"):
        curve.scores("svc")
    assert "2 estimators, 3 amounts of data, 70 fits" in repr(curve)


def test_progress_is_shown_when_asked(data, capsys):
    X, y, groups = data
    for verbose in (0, 1):
        fraction_curve(
            DummyClassifier(), X, y, groups=groups, fractions=(1.0,), cv=2, verbose=verbose
        )
        assert ("2/2" in capsys.readouterr().err) == bool(verbose)
