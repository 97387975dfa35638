"""Callbacks of skorch: what follows a training, what changes it, and what cannot."""

import json
import re
import subprocess
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from skorch.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    LRScheduler,
    MlflowLogger,
    TensorBoard,
    WandbLogger,
)

from citrus_sk import CitrusRegressor, SignalAligner, fraction_curve

ROOT = Path(__file__).parents[2]


@pytest.fixture
def training(quick):
    """Make a classifier that trains two epochs of three batches."""
    return partial(quick, strategy="finetune")


@pytest.fixture(scope="module")
def many_tones():
    """Windows enough to hold some out."""
    rng = np.random.default_rng(1)
    y = np.repeat([0, 1], 130)
    X = np.sin(np.arange(64) * np.where(y, 0.9, 0.3)[:, None])
    return (X + 0.3 * rng.standard_normal(X.shape))[:, None], y


# --- TensorBoard ---------------------------------------------------------------------------------


def tensorboard(folder):
    """A new writer in a new folder, so that no fit writes into another one's curves."""
    from torch.utils.tensorboard import SummaryWriter

    number = len(list(folder.iterdir())) if folder.exists() else 0
    return TensorBoard(SummaryWriter(folder / f"fit{number}"))


def read_events(folder):
    """The recorded training losses, by epoch."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder)).Reload()
    return [scalar.value for scalar in events.Scalars("Loss/train_loss")]


def test_tensorboard_has_the_losses_of_the_history(tones, training, tmp_path):
    clf = training(callbacks=[partial(tensorboard, tmp_path)]).fit(*tones)
    assert_allclose(read_events(tmp_path / "fit0"), clf.net_.history[:, "train_loss"], rtol=1e-6)


def test_tensorboard_writes_a_folder_for_each_fit_and_each_member(tones, training, tmp_path):
    X, y = tones
    clf = training(callbacks=[partial(tensorboard, tmp_path)], n_estimators=2)
    pipe = make_pipeline(SignalAligner(64), clf)
    cross_val_score(pipe, X, y, cv=2)
    runs = [read_events(folder) for folder in sorted(tmp_path.iterdir())]
    assert len(runs) == 4
    assert len({tuple(losses) for losses in runs}) == 4
    assert all(len(losses) == 2 for losses in runs)


def test_an_open_writer_is_used_as_it_is_and_named_where_it_cannot_be_copied(
    tones, training, tmp_path
):
    from torch.utils.tensorboard import SummaryWriter

    clf = training(callbacks=[TensorBoard(SummaryWriter(tmp_path), close_after_train=False)])
    clf.fit(*tones)
    clf.callbacks[0].writer.flush()
    assert_allclose(read_events(tmp_path), clf.net_.history[:, "train_loss"], rtol=1e-6)
    with pytest.raises(TypeError, match=r"a TensorBoard that cannot be copied.*a function that"):
        clone(clf)
    with pytest.raises(TypeError, match="callbacks holds a TensorBoard"):
        cross_val_score(make_pipeline(SignalAligner(64), clf), *tones, cv=2)
    clf.callbacks[0].writer.close()


# --- MLflow --------------------------------------------------------------------------------------


other_deprecations = pytest.mark.filterwarnings(  # of SQLAlchemy, by MLflow
    "ignore::DeprecationWarning", "ignore::PendingDeprecationWarning"
)


@pytest.fixture(scope="module")
def mlflow_client(tmp_path_factory):
    """A client of a data base in a folder; its tables take seconds to make."""
    mlflow = pytest.importorskip("mlflow")
    return mlflow.MlflowClient(f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db")


@other_deprecations
def test_mlflow_has_a_finished_run_for_each_fit(tones, training, mlflow_client):
    experiment = mlflow_client.create_experiment("folds")

    def mlflow_run():
        run = mlflow_client.create_run(experiment)
        return MlflowLogger(run, mlflow_client, create_artifact=False)

    cross_val_score(training(callbacks=[mlflow_run]), *tones, cv=2)
    clf = training(callbacks=[mlflow_run]).fit(*tones)
    runs = mlflow_client.search_runs([experiment], order_by=["attribute.start_time DESC"])
    assert [run.info.status for run in runs] == ["FINISHED"] * 3
    history = mlflow_client.get_metric_history(runs[0].info.run_id, "train_loss")
    assert [metric.step for metric in history] == [1, 2]
    assert_allclose([metric.value for metric in history], clf.net_.history[:, "train_loss"])
    assert "dur" in runs[0].data.metrics


@other_deprecations
def test_mlflow_takes_a_run_by_object_and_keeps_its_artifacts(
    tones, training, mlflow_client, tmp_path
):
    experiment = mlflow_client.create_experiment("artifacts", f"file://{tmp_path}")
    run = mlflow_client.create_run(experiment)
    clf = training(callbacks=[MlflowLogger(run, mlflow_client)]).fit(*tones)
    stored = mlflow_client.get_run(run.info.run_id).data.metrics["train_loss"]
    assert stored == pytest.approx(clf.net_.history[-1, "train_loss"])
    names = {artifact.path for artifact in mlflow_client.list_artifacts(run.info.run_id)}
    assert names == {"params.pth", "optimizer.pth", "criterion.pth", "history.json"}
    (kept,) = tmp_path.rglob("history.json")
    history = json.loads(kept.read_text())
    assert [row["train_loss"] for row in history] == clf.net_.history[:, "train_loss"]


# --- Weights & Biases ----------------------------------------------------------------------------


def test_wandb_has_the_losses_offline(many_tones, training, tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    run = wandb.init(project="tones", dir=tmp_path)
    clf = training(callbacks=[WandbLogger(run)], early_stopping=True).fit(*many_tones)
    assert run.summary["train_loss"] == pytest.approx(clf.net_.history[-1, "train_loss"])
    assert run.summary["valid_loss"] == pytest.approx(clf.net_.history[-1, "valid_loss"])
    run.finish()


class Run:
    """What `WandbLogger` needs of a run, as W&B documents it: ``watch``, ``log`` and ``dir``."""

    def __init__(self, folder):
        self.dir, self.rows, self.watched = folder, folder / "rows.jsonl", []

    def watch(self, module):
        assert isinstance(module, torch.nn.Module)

    def log(self, row):
        with self.rows.open("a") as file:
            print(json.dumps(row), file=file)


def test_the_interface_of_a_wandb_run_is_all_that_is_asked(many_tones, training, tmp_path):
    clf = training(callbacks=[WandbLogger(Run(tmp_path))], early_stopping=True).fit(*many_tones)
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [row["valid_loss"] for row in rows] == clf.net_.history[:, "valid_loss"]
    saved = torch.load(tmp_path / "best_model.pth", weights_only=True)
    assert saved.keys() == clf.net_.module_.state_dict().keys()


# --- what a training is told ---------------------------------------------------------------------


def test_a_callback_that_looks_on_changes_no_bit(many_tones, quick, tmp_path):
    X, y = many_tones
    alone = quick().fit(X, y)
    watched = quick(
        callbacks=[EpochScoring("accuracy", lower_is_better=False), partial(tensorboard, tmp_path)]
    ).fit(X, y)
    assert_array_equal(alone.predict_proba(X), watched.predict_proba(X))


def test_early_stopping_of_skorch_stops(many_tones, training):
    stop = EarlyStopping(patience=1, threshold=0.9, threshold_mode="abs")
    clf = training(callbacks=[stop], max_epochs=9, early_stopping=True).fit(*many_tones)
    assert len(clf.net_.history) == 2


@pytest.mark.parametrize(
    "callback",
    [
        EarlyStopping(),
        partial(Checkpoint, f_params=None, f_optimizer=None, f_criterion=None, f_history=None),
        EarlyStopping("accuracy"),
        LRScheduler("ReduceLROnPlateau", monitor="valid_loss"),
    ],
    ids=["EarlyStopping", "Checkpoint", "of a score", "LRScheduler"],
)
def test_looking_for_a_validation_loss_without_held_out_windows_names_the_remedy(
    tones, training, callback
):
    with pytest.raises(
        ValueError, match=r"No windows were held out.*early_stopping=True"
    ) as caught:
        training(callbacks=[callback]).fit(*tones)
    assert "not found in history" in str(caught.value)
    assert caught.value.__cause__ is not None


def test_wandb_without_held_out_windows_names_the_remedy(tones, training, tmp_path):
    with pytest.raises(ValueError, match=r"valid_loss_best.*early_stopping=True"):
        training(callbacks=[WandbLogger(Run(tmp_path))]).fit(*tones)
    training(callbacks=[WandbLogger(Run(tmp_path), save_model=False)]).fit(*tones)


def test_an_error_of_a_callback_itself_comes_through(tones, training):
    class Broken(Callback):
        def on_epoch_end(self, net, **kwargs):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        training(callbacks=[Broken()]).fit(*tones)


def test_a_schedule_of_the_users_takes_the_place_of_ours(tones, training):
    halve = LRScheduler("StepLR", step_size=1, gamma=0.5)
    clf = training(callbacks=[("mine", halve)], max_epochs=3, learning_rate=1e-3).fit(*tones)
    # The first rate of the optimiser is that of the convolution.
    assert clf.net_.history[:, "event_lr"] == pytest.approx([1e-2, 5e-3, 2.5e-3])
    names = [name for name, _ in clf.net_.callbacks_]
    assert "mine" in names
    assert "LRScheduler" not in names
    ours = training(max_epochs=3).fit(*tones)
    assert "LRScheduler" in [name for name, _ in ours.net_.callbacks_]


def test_checkpoints_are_written_where_they_are_told(many_tones, training, tmp_path):
    kept = Checkpoint(dirname=tmp_path / "kept", f_optimizer=None, f_criterion=None)
    clf = training(callbacks=[kept], early_stopping=True).fit(*many_tones)
    weights = torch.load(tmp_path / "kept" / "params.pt", weights_only=True)
    assert weights.keys() == clf.net_.module_.state_dict().keys()
    assert json.loads((tmp_path / "kept" / "history.json").read_text())


# --- scikit-learn's contract ---------------------------------------------------------------------


def test_callbacks_that_are_passed_stay_as_they_are(many_tones, training):
    stop = EarlyStopping(patience=5)
    before = dict(vars(stop))
    clf = training(callbacks=[("stop", stop)], early_stopping=True, n_estimators=2).fit(*many_tones)
    assert vars(stop) == before
    used = [dict(net.callbacks_)["stop"] for net in clf.members_]
    assert stop is not used[0] is not used[1]
    assert np.isfinite(used[0].dynamic_threshold_)


def test_classes_functions_and_pairs_make_callbacks(tones, training):
    clf = training(callbacks=[Noted, ("noted", Noted), ("made", partial(Noted, 3))]).fit(*tones)
    noted = {name: each.start for name, each in clf.net_.callbacks_ if isinstance(each, Noted)}
    assert noted == {"Noted": 0, "noted": 0, "made": 3}


class Noted(Callback):
    """Does nothing but be there."""

    def __init__(self, start=0):
        self.start = start


def test_a_fitted_classifier_is_stored_with_its_callbacks(tones, training, tmp_path):
    X, y = tones
    clf = training(callbacks=[Noted(), partial(Noted, 2)]).fit(X, y)
    joblib.dump(clf, tmp_path / "clf.joblib")
    loaded = joblib.load(tmp_path / "clf.joblib")
    assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X))
    assert_array_equal(loaded.fit(X, y).predict_proba(X), clf.predict_proba(X))


def test_a_search_may_choose_among_callbacks(many_tones, training):
    X, y = many_tones
    choices = [None, [EarlyStopping(patience=2)]]
    clf = training(early_stopping=True)
    search = GridSearchCV(clf, {"callbacks": choices, "max_epochs": [1]}, cv=2).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_.net_.history


def test_callbacks_go_into_other_processes(tones, training, two_workers, tmp_path):
    clf = training(callbacks=[EpochScoring("accuracy", on_train=True, name="acc"), Noted])
    scores = cross_val_score(clf, *tones, cv=2, n_jobs=two_workers, error_score="raise")
    assert scores.tolist() == cross_val_score(clf, *tones, cv=2).tolist()


@pytest.mark.parametrize("strategy", ["auto", "linear-probe"])
def test_a_linear_probe_has_nothing_to_follow(tones, quick, strategy):
    clf = quick(strategy=strategy, random_kernels=True, callbacks=[Noted()])
    with pytest.raises(ValueError, match=r"callbacks follow a training.*'probe-then-finetune'"):
        clf.fit(*tones)
    clf.set_params(callbacks=[]).fit(*tones)


def test_the_best_test_epoch_of_a_probe_is_not_known(tones, quick):
    settings = {"fractions": (1.0,), "cv": 2, "scoring": "accuracy"}
    probe = quick(strategy="linear-probe")
    curve = fraction_curve({"probe": probe}, *tones, report_oracle_epoch=True, **settings)
    assert curve.scores("probe", fraction=1.0).min() > 0.9
    rows = curve.select("probe", fraction=1.0)
    assert all(np.isnan(row["optimistic_best_test_epoch_accuracy"]) for row in rows)


@pytest.mark.parametrize(
    ("callbacks", "words"),
    [
        ("tensorboard", "expected a list"),
        (EarlyStopping(), "expected a list"),
        (["tensorboard"], "expected skorch callbacks"),
        ([("name", 3)], "expected skorch callbacks"),
        ([dict], "which returned {}"),
    ],
    ids=lambda value: str(value).split(" at 0x")[0],
)
def test_what_is_no_callback_is_named(tones, training, callbacks, words):
    with pytest.raises(TypeError, match=f"callbacks.*{words}"):
        training(callbacks=callbacks).fit(*tones)


def test_a_regressor_is_followed_as_a_classifier_is(tones, tmp_path):
    X, y = tones
    regressor = CitrusRegressor(
        None, preset="tiny", strategy="finetune", max_epochs=2, random_state=0,
        callbacks=[partial(tensorboard, tmp_path)],
    )  # fmt: skip
    regressor.fit(X, y + 0.5)
    losses = regressor.net_.history[:, "train_loss"]
    assert_allclose(read_events(tmp_path / "fit0"), losses, rtol=1e-6)
    with pytest.raises(ValueError, match="callbacks follow a training"):
        regressor.set_params(strategy="linear-probe").fit(X, y + 0.5)


# --- the page ------------------------------------------------------------------------------------


WANDB = """
class Run:
    dir = "."

    def watch(self, module):
        pass

    def log(self, row):
        assert row["train_loss"] > 0

    def finish(self):
        pass


def init(*, project, mode):
    assert mode == "offline"
    return Run()
"""


def test_the_blocks_of_the_page_on_tracking_run(tmp_path):
    if find_spec("wandb") is None:  # it is not in the extra "test"
        (tmp_path / "wandb.py").write_text(WANDB)
    page = (ROOT / "docs" / "guide" / "track.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert len(blocks) == 10
    (tmp_path / "page.py").write_text(
        "import matplotlib\nmatplotlib.use('Agg')\n" + "\n".join(blocks)
    )
    done = subprocess.run([sys.executable, "page.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    folders = sorted((tmp_path / "runs").glob("watch-*"))
    assert len(folders) == 2  # one a fold
    assert all(len(read_events(folder)) == 3 for folder in folders)
    assert (tmp_path / "rates.png").stat().st_size > 10_000
    assert joblib.load(tmp_path / "watch.joblib").callbacks is None
