"""Features that the fits of an evaluation share: the same scores, and no trace on disk."""

import json
import tempfile

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import make_pipeline

from citrus_sk import CitrusClassifier, SignalAligner
from citrus_sk.datasets import load_watch
from citrus_sk.evaluation import fraction_curve, new_person_curve
from citrus_sk.evaluation.memory import clone_with_memory
from citrus_sk.nn import CitrusNetwork

TIMES = ("fit_time", "predict_time")


@pytest.fixture(scope="module")
def watch():
    watch = load_watch()
    rows = np.isin(watch.groups, ["1", "2", "3"])
    return tuple(each[rows][::12] for each in (watch.X, watch.y, watch.groups))


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder of temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def pipe(**params):
    probe = CitrusClassifier(pretrained=None, preset="tiny", random_state=0, **params)
    return make_pipeline(SignalAligner(256), probe)


def scores(curve):
    rows = [{k: v for k, v in row.items() if k not in TIMES} for row in curve.rows]
    return json.dumps(rows)


def of_folds(watch, **params):
    X, y, people = watch
    settings = {"fractions": (0.5, 1.0), "cv": 3, "n_repeats": 1, "scoring": "neg_log_loss"}
    return fraction_curve({"pipe": pipe()}, X, y, groups=people, **settings, **params)


@pytest.fixture(scope="module")
def plain(watch):
    curve = of_folds(watch, cache_features=False)
    assert not curve.failures
    return scores(curve)


def test_scores_have_the_same_bits_however_features_are_computed(
    watch, plain, temporary, monkeypatch
):
    computed, compute = [], CitrusNetwork._read_out

    def counting(self, x, z, scalars):
        computed.append(len(x))
        return compute(self, x, z, scalars)

    monkeypatch.setattr(CitrusNetwork, "_read_out", counting)
    run = temporary / "run"
    cached = of_folds(watch, run_dir=run)
    assert scores(cached) == plain
    n_windows = len(watch[1])
    assert sum(computed) < 2 * n_windows, "each window once, and the check of the rounding"
    computed.clear()
    lines = (run / "rows.jsonl").read_text().splitlines(keepends=True)
    (run / "rows.jsonl").write_text("".join(lines[:3]))
    assert scores(of_folds(watch, run_dir=run, cache_features=False)) == plain
    assert computed, "a run goes on without the features of the first part"
    assert not list(temporary.glob("citrus_sk*"))
    assert str(temporary) not in json.dumps(cached.settings)


def test_scores_of_two_workers_have_the_same_bits(watch, plain, temporary):
    assert scores(of_folds(watch, n_jobs=2)) == plain
    assert not list(temporary.glob("citrus_sk*"))


def test_scores_on_new_people_have_the_same_bits(watch, temporary):
    X, y, people = watch
    plain, cached = (
        new_person_curve(
            pipe(), X, y, people, n_calibration=(0,), scoring="neg_log_loss", shuffle=False,
            cache_features=wanted,
        )
        for wanted in (False, True)
    )  # fmt: skip
    assert scores(cached) == scores(plain)
    assert not list(temporary.glob("citrus_sk*"))


def test_only_estimators_without_a_memory_are_given_one(tmp_path):
    def memory_of(model):
        found = clone_with_memory(model, str(tmp_path)).get_params()
        return {name: value for name, value in found.items() if name.endswith("memory")}

    own = CitrusClassifier(memory="mine")
    folder = str(tmp_path)
    assert memory_of(CitrusClassifier()) == {"memory": folder}
    assert memory_of(own) == {"memory": "mine"}
    assert memory_of(pipe()) == {"memory": None, "citrusclassifier__memory": folder}
    inner = CalibratedClassifierCV(pipe())
    assert memory_of(inner)["estimator__citrusclassifier__memory"] == folder
    assert memory_of(DummyClassifier()) == {}
    assert own.memory == "mine"
    assert clone_with_memory(CitrusClassifier(), str(tmp_path / "elsewhere")).memory is None


class Interrupting(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        raise KeyboardInterrupt


def test_the_folder_is_removed_after_ctrl_c(watch, temporary):
    X, y, _ = watch
    with pytest.raises(KeyboardInterrupt):
        fraction_curve({"pipe": pipe(), "stop": Interrupting()}, X, y, fractions=(1.0,), cv=2)
    assert not list(temporary.glob("citrus_sk*"))


def test_without_room_for_temporary_files_scores_are_computed(watch, monkeypatch):
    X, y, _ = watch
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere/at/all")
    with pytest.warns(UserWarning, match="No folder for temporary files can be made"):
        curve = fraction_curve(DummyClassifier(), X, y, groups=watch[2], fractions=(1.0,), cv=3)
    assert not curve.failures


def test_cache_features_must_be_a_flag(watch):
    with pytest.raises(TypeError, match="cache_features to be True or False, got 'no'"):
        of_folds(watch, cache_features="no")
