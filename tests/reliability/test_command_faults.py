"""What goes wrong while a command runs costs one line, and what was finished is kept."""

import errno
import json
import multiprocessing
import os
import signal
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError
from sklearn.dummy import DummyClassifier

from citrus_sk.checkpoints.checkpoint import read_checkpoint
from citrus_sk.cli import parser, predict, pretrain
from citrus_sk.cli.parser import main
from citrus_sk.evaluation import cell, fraction_curve, run_directory, runs
from citrus_sk.signals.recordings.conversion import Writer
from citrus_sk.signals.recordings.reading import read_corpus

CURVE = {"fractions": (0.5, 1.0), "cv": 2, "scoring": "accuracy", "groups": np.arange(40) // 4}


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.standard_normal((40, 1, 50)), np.arange(40) % 2


def last_line(capsys):
    err = capsys.readouterr().err
    assert "Traceback" not in err
    return err.rstrip().rpartition("\n")[2]


# --- signals and memory ---


@pytest.mark.parametrize("of_interrupt", [signal.default_int_handler, signal.SIG_IGN])
def test_sigterm_is_one_line_and_143_also_where_ctrl_c_is_ignored(
    capsys, monkeypatch, of_interrupt
):
    monkeypatch.setattr(parser, "_run_models", lambda _: signal.raise_signal(signal.SIGTERM))
    before = signal.signal(signal.SIGINT, of_interrupt)
    try:
        assert main(["models"]) == 143
    finally:
        signal.signal(signal.SIGINT, before)
    assert last_line(capsys) == "citrus-sk models: terminated"
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_memory_that_runs_out_is_one_line(capsys, monkeypatch):
    def run(arguments):
        np.empty(2**57)

    monkeypatch.setattr(parser, "_run_models", run)
    assert main(["models"]) == 1
    assert last_line(capsys).startswith("citrus-sk models: error: Unable to allocate")


# --- evaluations ---


class DyingPool:
    """Runs the first cells, and then has lost a worker."""

    def __init__(self, n_done):
        self.n_done = n_done

    def __call__(self, **settings):
        return self._run

    def _run(self, cells):
        for i, (function, args, kwargs) in enumerate(cells):
            if i == self.n_done:
                raise TerminatedWorkerError("A worker process managed by the executor was ...")
            yield function.function(*args, **kwargs)  # without the configuration


def test_a_worker_that_dies_is_explained_and_the_finished_fits_are_kept(
    data, tmp_path, monkeypatch
):
    whole = fraction_curve(DummyClassifier(), *data, **CURVE)
    with monkeypatch.context() as patch:
        patch.setattr(runs, "Parallel", DyingPool(3))
        with pytest.raises(ChildProcessError, match=r"worker process died.*Pass run_dir="):
            fraction_curve(DummyClassifier(), *data, **CURVE)
        with pytest.raises(ChildProcessError, match=r"3 of 4 fits are in .*run and are kept"):
            fraction_curve(DummyClassifier(), *data, **CURVE, run_dir=tmp_path / "run")
        patch.setattr(runs, "Parallel", DyingPool(1))  # enough for the fit that is missing
        resumed = fraction_curve(DummyClassifier(), *data, **CURVE, run_dir=tmp_path / "run")
    assert [r["accuracy"] for r in resumed.rows] == [r["accuracy"] for r in whole.rows]


@pytest.mark.parametrize("name", ["LokyProcess-1", "Dask Worker process"])
def test_a_worker_of_loky_ends_if_its_parent_was_killed_before_its_first_task(monkeypatch, name):
    monkeypatch.setattr(cell.os, "_exit", sys.exit)
    monkeypatch.setattr(multiprocessing.current_process(), "name", name)
    begins = pytest.raises(SystemExit) if "Loky" in name else nullcontext()
    with begins:
        cell.end_with(os.getppid() + 1)


def test_workers_of_loky_have_the_name_by_which_they_are_known():
    name = "__import__('multiprocessing').current_process().name"  # imports nothing large
    (found,) = Parallel(2)([delayed(eval)(name)])
    assert found.startswith(cell._LOKY)


def test_a_full_disk_says_which_file_and_keeps_earlier_scores(data, tmp_path, monkeypatch):
    real, n_calls = os.fsync, iter(range(100))

    def full(file):
        if next(n_calls) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(file)

    monkeypatch.setattr(run_directory.os, "fsync", full)
    with pytest.raises(OSError, match=r"rows.jsonl: No space left.*Those before it are kept"):
        fraction_curve(DummyClassifier(), *data, **CURVE, run_dir=tmp_path)
    assert not fraction_curve(DummyClassifier(), *data, **CURVE, run_dir=tmp_path).failures


def test_a_run_that_was_killed_before_its_first_file_is_whole_starts(data, tmp_path):
    (tmp_path / ".0123456789abcdef.tmp").write_text("{")
    assert not fraction_curve(DummyClassifier(), *data, **CURVE, run_dir=tmp_path).failures
    assert json.loads((tmp_path / "run.json").read_text())["data"]


# --- predict ---


def test_a_recording_that_vanishes_after_the_check_is_skipped_where_that_was_asked_for(
    capsys, monkeypatch, tmp_path
):
    def plan(name, file):
        if not file.exists():
            raise FileNotFoundError(f"{name} does not exist")
        return name

    monkeypatch.setattr(predict, "predict_plans", lambda plans, adapt: plans)
    files = {name: tmp_path / name for name in ("a.edf", "b.edf")}
    files["a.edf"].touch()
    person = {name: name for name in files}
    settings = {"adapt": False, "progress": False}
    found = predict._predict(plan, files, person, skip=True, **settings)
    assert found == {"a.edf": "a.edf"}
    assert last_line(capsys) == "warning: skipped b.edf: b.edf does not exist"
    with pytest.raises(FileNotFoundError, match=r"b\.edf"):
        predict._predict(plan, files, person, skip=False, **settings)
    files["a.edf"].unlink()
    with pytest.raises(ValueError, match="none of the 2 recordings"):
        predict._predict(plan, files, person, skip=True, **settings)


def test_the_table_is_written_last(monkeypatch, tmp_path):
    written = []
    monkeypatch.setattr(predict, "write_atomically", lambda path, data: written.append(path.name))
    monkeypatch.setattr(predict, "event_file", lambda events, shift, form: b"")
    monkeypatch.setattr(predict, "_table", lambda predicted: b"")
    events = SimpleNamespace(form="txt", events=lambda prediction: [])
    predicted = {"a": SimpleNamespace(event_shift=0.0)}
    predict._write(predicted, tmp_path / "table.csv", events, {"a": tmp_path / "a_annot.txt"})
    assert written == ["a_annot.txt", "table.csv"]


# --- pretrain ---


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG])
def test_a_full_disk_while_recordings_are_converted_is_no_fault_of_theirs(
    tmp_path, monkeypatch, number
):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).standard_normal((1, 3000)))

    def full(writer, source):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Writer, "add", full)
    with pytest.raises(OSError, match=r"a.npy could not be converted in .*cache: ") as raised:
        read_corpus(tmp_path / "a.npy", modality="EEG", cache=tmp_path / "cache")
    assert raised.value.errno == number
    assert not list((tmp_path / "cache").iterdir())


def test_a_kill_before_the_picture_can_be_made_up_for(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "a.npy", rng.standard_normal((1, 3000)).astype(np.float32))
    out, recipe = tmp_path / "weights.safetensors", tmp_path / "recipe.toml"
    recipe.write_text('batch_size = 2\npreset = "tiny"\n')
    command = ["pretrain", tmp_path / "a.npy", "--out", out, "--modality", "EEG", "--config",
               recipe, "--max-steps", 1, "--seed", 0, "--quiet"]  # fmt: skip
    command = list(map(str, command))

    def killed(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pretrain, "_draw", killed)
        assert main(command) == 130
    assert out.exists()
    assert not out.with_suffix(".png").exists()
    before = read_checkpoint(out)
    assert main([*command, "--resume"]) == 0
    assert out.with_suffix(".png").exists()
    assert not out.with_suffix(".run").exists()
    after = read_checkpoint(out)
    for key in ("created", "sha256"):  # the time is that of the last writing
        del before.info[key], after.info[key]
    assert after.info == before.info
    assert set(after.tensors) == set(before.tensors)
    for name, value in before.tensors.items():
        assert after.tensors[name].equal(value)
