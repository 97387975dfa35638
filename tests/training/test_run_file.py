"""The state of a pre-training run: what stops a run, and that it goes on as if nothing had been."""

import errno
import json
import os
import signal
import threading
from contextlib import contextmanager

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from sklearn.exceptions import NotFittedError

from citrus_sk import CitrusPretrainer
from citrus_sk.signals.recordings.arrays import array_corpus
from citrus_sk.training.pretraining.run import PretrainRun
from citrus_sk.training.pretraining.run_file import saved_seed

N_STEPS = 12  # with a row of the history at 10 and at 12
RNG = np.random.default_rng(0)
X = np.cumsum(RNG.standard_normal((6, 2, 500)), axis=2).astype(np.float32)


def pretrainer(path=None, **parameters):
    settings = {"preset": "tiny", "max_steps": N_STEPS, "batch_size": 4, "random_state": 0}
    settings |= {"run_file": path, "validation_fraction": 0.2}
    return CitrusPretrainer(**(settings | parameters))


@pytest.fixture(scope="module")
def never_stopped():
    return pretrainer().fit(X)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.run"


def assert_same_bits(one, other):
    """The weights are equal, and so is what is known of the run, but for how long it took."""
    first, second = one.autoencoder_.state_dict(), other.autoencoder_.state_dict()
    assert list(first) == list(second)
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
    histories = [
        [{key: value for key, value in row.items() if key != "seconds"} for row in each.history_]
        for each in (one, other)
    ]
    assert histories[0] == histories[1]
    assert one.held_out_subjects_ == other.held_out_subjects_


@contextmanager
def at_step(number, action):
    """Run `action` in the middle of step `number`, counted from 1: its batch is trained on."""
    step = PretrainRun.train_step

    def train_step(run):
        value = step(run)
        if run.step == number:
            action()
        return value

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PretrainRun, "train_step", train_step)
        yield


def control_c(times=1):
    def press():
        for _ in range(times):
            signal.raise_signal(signal.SIGINT)

    return press


def crash():
    raise RuntimeError("the power is gone")


def read(path):
    """Step, settings and tensors of a saved run."""
    with safetensors.safe_open(path, "pt") as file:
        header = json.loads(file.metadata()["citrus_sk_run"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return json.loads(header["progress"])["step"], header["settings"], tensors


def rewrite(path, change):
    """Let `change` alter the header of a saved run."""
    with safetensors.safe_open(path, "pt") as file:
        header = json.loads(file.metadata()["citrus_sk_run"])
    tensors = read(path)[2]
    change(header)
    safetensors.torch.save_file(tensors, path, {"citrus_sk_run": json.dumps(header)})


# --- stopped and taken up again ------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 5, 10, 11, N_STEPS])
def test_after_a_control_c_the_run_goes_on_to_the_same_bits(path, never_stopped, step):
    stopped = pretrainer(path)
    with at_step(step, control_c()), pytest.raises(KeyboardInterrupt):
        stopped.fit(X)
    with pytest.raises(NotFittedError):
        stopped.transform(X)
    assert read(path)[0] == step  # the step that was under way is finished and saved
    assert_same_bits(pretrainer(path, resume=True).fit(X), never_stopped)


def test_a_run_may_be_stopped_again_and_again(path, never_stopped):
    for step in (2, 3, 9, 11):
        with at_step(step, control_c()), pytest.raises(KeyboardInterrupt):
            pretrainer(path, resume=True).fit(X)
    assert_same_bits(pretrainer(path, resume=True).fit(X), never_stopped)


@pytest.mark.parametrize(
    "parameters",
    [
        {"objective": "both", "masking": "input", "cross_channel": True, "flip": True},
        {"validation_fraction": 0, "warmup": 0.5, "ema": 0.5, "weight_decay": 0.5},
        {"precision": "bfloat16"},
        {"episodes": 0.5, "batch_size": 24, "flip": True},
        {"episodes": 0.5, "batch_size": 24, "sigreg_weight": 0.25},
    ],
    ids=["tasks", "schedule", "bfloat16", "episodes", "sigreg"],
)
def test_other_runs_go_on_to_the_same_bits_as_well(path, parameters):
    with at_step(4, control_c()), pytest.raises(KeyboardInterrupt):
        pretrainer(path, **parameters).fit(X)
    resumed = pretrainer(path, resume=True, **parameters).fit(X)
    assert_same_bits(resumed, pretrainer(**parameters).fit(X))


def test_saving_does_not_change_the_run(path, never_stopped):
    assert_same_bits(pretrainer(path, save_minutes=0).fit(X), never_stopped)


@pytest.mark.parametrize("step", [1, 7, 11])
def test_a_crash_costs_only_the_steps_since_the_last_save(path, never_stopped, step):
    with at_step(step, crash), pytest.raises(RuntimeError, match="the power is gone"):
        pretrainer(path, save_minutes=0).fit(X)
    # Never half a step: what crashed is done again.
    assert (read(path)[0] if path.exists() else 0) == step - 1
    assert_same_bits(pretrainer(path, resume=True).fit(X), never_stopped)


def test_a_state_is_saved_once_it_is_due_and_at_the_end(path, monkeypatch):
    from citrus_sk.training.pretraining.run_file import RunFile

    saved, save = [], RunFile.save
    monkeypatch.setattr(
        RunFile, "save", lambda file, run: saved.append(run.step) or save(file, run)
    )
    pretrainer(path, save_minutes=0).fit(X)
    assert sorted(set(saved)) == list(range(1, N_STEPS + 1))
    saved.clear()
    pretrainer(path, save_minutes=60).fit(X)
    assert saved == [N_STEPS]


def test_a_second_control_c_is_heard_at_once(path):
    handler = signal.getsignal(signal.SIGINT)
    finished = []
    with (
        at_step(5, lambda: [control_c(times=2)(), finished.append(True)]),
        pytest.raises(KeyboardInterrupt),
    ):
        pretrainer(path, save_minutes=0).fit(X)
    assert not finished
    assert read(path)[0] == 4  # what was saved before; the step that broke off is none
    assert signal.getsignal(signal.SIGINT) is handler


def test_after_a_run_control_c_means_what_it_meant_before(path):
    heard = []
    earlier = signal.signal(signal.SIGINT, lambda *_: heard.append(True))
    try:
        with at_step(3, control_c()), pytest.raises(KeyboardInterrupt):
            pretrainer(path).fit(X)
        assert not heard
        signal.raise_signal(signal.SIGINT)
        assert heard
    finally:
        signal.signal(signal.SIGINT, earlier)


def test_without_a_file_control_c_stops_at_once_and_the_earlier_fit_stays():
    fitted = pretrainer(max_steps=1).fit(X)
    before = fitted.transform(X)
    with at_step(3, control_c()), pytest.raises(KeyboardInterrupt):
        fitted.set_params(max_steps=N_STEPS).fit(X)
    np.testing.assert_array_equal(fitted.transform(X), before)


def test_another_thread_cannot_hear_of_control_c_and_saves_all_the_same(path, never_stopped):
    fitted = pretrainer(path)
    thread = threading.Thread(target=fitted.fit, args=(X,))
    thread.start()
    thread.join()
    assert read(path)[0] == N_STEPS
    assert_same_bits(fitted, never_stopped)


def test_a_run_that_is_finished_is_read_and_not_trained(path, never_stopped, monkeypatch):
    pretrainer(path).fit(X)
    monkeypatch.setattr(PretrainRun, "train_step", crash)
    assert_same_bits(pretrainer(path, resume=True).fit(X), never_stopped)


def test_to_resume_without_a_file_is_to_begin(path, never_stopped):
    assert_same_bits(pretrainer(path.parent / "new" / "x.run", resume=True).fit(X), never_stopped)
    assert (path.parent / "new" / "x.run").exists()


def test_not_to_resume_is_to_begin_anew(path, never_stopped):
    with at_step(3, control_c()), pytest.raises(KeyboardInterrupt):
        pretrainer(path, random_state=1).fit(X)
    assert_same_bits(pretrainer(path).fit(X), never_stopped)


def test_what_changes_no_weight_may_differ(path, never_stopped, capsys):
    with at_step(4, control_c()), pytest.raises(KeyboardInterrupt):
        pretrainer(path).fit(X)
    resumed = pretrainer(path, resume=True, save_minutes=0, verbose=1, device="cpu").fit(X)
    assert_same_bits(resumed, never_stopped)
    assert f"{N_STEPS}/{N_STEPS}" in capsys.readouterr().err


def test_a_seed_that_nobody_named_is_kept(path):
    with at_step(4, control_c()), pytest.raises(KeyboardInterrupt):
        pretrainer(path, random_state=None).fit(X)
    seed, state = saved_seed(path), path.read_bytes()
    first = pretrainer(path, random_state=None, resume=True).fit(X)
    assert saved_seed(path) == seed
    path.write_bytes(state)
    assert_same_bits(pretrainer(path, random_state=None, resume=True).fit(X), first)
    path.unlink()
    assert pretrainer(path, random_state=None).fit(X)
    assert saved_seed(path) != seed


@pytest.mark.parametrize(
    "parameters",
    [{"batch_size": np.int64(4)}, {"learning_rate": np.float32(1e-3)}, {"max_steps": np.int64(2)}],
    ids=str,
)
def test_numbers_of_numpy_as_parameters_can_be_saved(path, parameters):
    pretrainer(path, **parameters).fit(X)
    pretrainer(path, resume=True, **parameters).fit(X)


def test_a_pair_may_be_a_list_or_a_tuple(path, never_stopped):
    with at_step(4, control_c()), pytest.raises(KeyboardInterrupt):
        pretrainer(path, crop=[0.1, 1.5]).fit(X)
    assert_same_bits(pretrainer(path, resume=True).fit(X), never_stopped)


# --- a disk that is full -------------------------------------------------------------------------


def no_space(*args, **kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


class FullFile:
    """A file that takes its first bytes and no more."""

    def __init__(self, file):
        self.file = file

    def __enter__(self):
        return self

    def __exit__(self, *caught):
        self.file.close()

    def write(self, data):
        self.file.write(data[:1000])
        no_space()


def break_disk(how, patch):
    if how == "write":
        from pathlib import Path

        opened = Path.open
        patch.setattr(Path, "open", lambda self, *args: FullFile(opened(self, *args)))
    else:
        patch.setattr(os, how, no_space)


@pytest.mark.parametrize("how", ["write", "fsync", "replace"])
def test_where_the_disk_is_full_the_run_goes_on_and_the_last_good_state_stays(
    path, never_stopped, how
):
    with pytest.MonkeyPatch.context() as patch:
        before = []

        def full():
            before.append(path.read_bytes())
            break_disk(how, patch)

        with (
            at_step(5, full),
            pytest.warns(
                UserWarning, match=r"could not be saved at step \d+: .*No space"
            ) as caught,
        ):
            fitted = pretrainer(path, save_minutes=0).fit(X)
    assert_same_bits(fitted, never_stopped)
    messages = [str(warning.message) for warning in caught]
    steps = {int(message.partition("at step ")[2].partition(":")[0]) for message in messages}
    assert steps == set(range(5, N_STEPS + 1))
    assert str(path) in messages[0]
    assert path.read_bytes() == before[0]
    assert list(path.parent.iterdir()) == [path]  # nothing half-written is left
    assert read(path)[0] == 4
    assert_same_bits(pretrainer(path, resume=True).fit(X), never_stopped)


def test_once_there_is_space_again_the_run_is_saved_again(path):
    with pytest.MonkeyPatch.context() as patch:

        def shortly_full():
            patch.setattr(os, "fsync", lambda number: [patch.undo(), no_space()])

        with at_step(5, shortly_full), pytest.warns(UserWarning, match="No space") as caught:
            pretrainer(path, save_minutes=0).fit(X)
    assert len(caught) == 1
    assert read(path)[0] == N_STEPS


@contextmanager
def largest_file(n_bytes):
    """A true limit of the kernel's on how far a file may grow."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    earlier = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # an error instead of a signal
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, earlier)


def test_a_file_that_truly_cannot_grow_costs_nothing_but_the_saves(path, never_stopped):
    with at_step(3, control_c()), pytest.raises(KeyboardInterrupt):
        pretrainer(path).fit(X)
    before = path.read_bytes()
    with (
        largest_file(len(before) // 2),
        pytest.warns(UserWarning, match=r"could not be saved at step \d+: .*File too large"),
    ):
        fitted = pretrainer(path, resume=True, save_minutes=0).fit(X)
    assert_same_bits(fitted, never_stopped)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_control_c_on_a_full_disk_is_still_a_control_c(path, monkeypatch):
    monkeypatch.setattr(os, "fsync", no_space)
    with (
        at_step(3, control_c()),
        pytest.warns(UserWarning, match="could not be saved at step 3"),
        pytest.raises(KeyboardInterrupt),
    ):
        pretrainer(path).fit(X)
    assert list(path.parent.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_an_error_before_any_training(path, monkeypatch):
    path.write_text("in the way")
    monkeypatch.setattr(PretrainRun, "train_step", crash)
    with pytest.raises(OSError, match=str(path)):
        pretrainer(path / "state.run").fit(X)


def test_a_folder_as_file_is_an_error_before_any_training(tmp_path, monkeypatch):
    monkeypatch.setattr(PretrainRun, "train_step", crash)
    for resume in (False, True):
        with pytest.raises((OSError, ValueError), match=f"{tmp_path}.* is a folder"):
            pretrainer(tmp_path, resume=resume).fit(X)


# --- what is not taken up ------------------------------------------------------------------------


@pytest.fixture
def begun(path):
    """A run that was stopped at step 3."""
    with at_step(3, control_c()), pytest.raises(KeyboardInterrupt):
        pretrainer(path).fit(X)
    return path


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"learning_rate": 2e-3}, r"learning_rate=0\.001; this one has learning_rate=0\.002\."),
        ({"max_steps": 13}, r"n_steps=12; this one has n_steps=13"),
        ({"objective": "time"}, r"objective='freq'; this one has objective='time'"),
        ({"crop": (0.2, 1.5)}, r"crop=\[0\.1, 1\.5\]; this one has crop=\[0\.2, 1\.5\]"),
        ({"random_state": 1}, r"seed=\d+; this one has seed=\d+"),
        ({"modality": "EEG"}, r"corpus="),
        ({"batch_size": 8, "unknown": 0.4}, r"batch_size=4; .*=8 \(and unknown differ as well\)"),
    ],
    ids=str,
)
def test_a_run_does_not_go_on_with_other_parameters(begun, parameters, message):
    before = begun.read_bytes()
    with pytest.raises(ValueError, match=rf"state\.run' is of a run with {message}"):
        pretrainer(begun, resume=True, **parameters).fit(X)
    assert begun.read_bytes() == before
    assert pretrainer(begun, resume=True).fit(X).n_steps_ == N_STEPS  # with the same, it does


@pytest.mark.parametrize("other", [X + 1, X[:5], X[::-1].copy()], ids=["values", "fewer", "order"])
def test_a_run_does_not_go_on_with_other_recordings(begun, other):
    with pytest.raises(ValueError, match=r"of a run with corpus='\w+'; .*resume=False or another"):
        pretrainer(begun, resume=True).fit(other)


def damage(path, how):
    data = path.read_bytes()
    if how == "text":
        path.write_text("once upon a time")
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "half":
        path.write_bytes(data[: len(data) // 2])
    elif how == "last byte":
        path.write_bytes(data[:-1])
    elif how == "zeros":  # as some file systems leave behind after a power cut
        path.write_bytes(bytes(len(data)))
    elif how == "weights":
        corpus = array_corpus(X, modality="EEG", sfreq=100.0)
        pretrainer(max_steps=1).fit(corpus).save(path)
    elif how == "no JSON":
        safetensors.torch.save_file(read(path)[2], path, {"citrus_sk_run": "{"})


@pytest.mark.parametrize(
    "how", ["text", "empty", "half", "last byte", "zeros", "weights", "no JSON"]
)
@pytest.mark.parametrize("random_state", [0, None])
def test_a_file_that_is_no_run_is_told_so(begun, how, random_state):
    damage(begun, how)
    with pytest.raises(ValueError, match=r"state\.run' is not the state of a pre-training run"):
        pretrainer(begun, resume=True, random_state=random_state).fit(X)


def test_a_file_of_another_version_is_told_so(begun):
    rewrite(begun, lambda header: header.update(version=1))
    with pytest.raises(ValueError, match="was written by another version of citrus_sk"):
        pretrainer(begun, resume=True).fit(X)


def test_a_file_with_a_damaged_number_is_told_so(begun):
    data = bytearray(begun.read_bytes())
    data[-1000] ^= 64
    begun.write_bytes(data)
    with pytest.raises(ValueError, match=r"state\.run'"):
        pretrainer(begun, resume=True).fit(X)


def test_a_changed_header_is_told_so(begun):
    rewrite(begun, lambda header: header.update(progress=header["progress"].replace("3", "4", 1)))
    with pytest.raises(ValueError, match=r"state\.run' is not the state .*match its checksum"):
        pretrainer(begun, resume=True).fit(X)


def test_a_file_that_is_not_taken_up_leaves_the_earlier_fit(begun):
    fitted = pretrainer(max_steps=1).fit(X)
    before = fitted.transform(X)
    with pytest.raises(ValueError, match="is of a run with"):
        fitted.set_params(max_steps=9, run_file=begun, resume=True).fit(X)
    np.testing.assert_array_equal(fitted.transform(X), before)


def test_to_resume_takes_a_file_to_resume_from():
    with pytest.raises(ValueError, match="resume=True needs run_file, the file"):
        pretrainer(resume=True).fit(X)


def test_the_state_holds_plain_numbers_alone(begun):
    step, settings, tensors = read(begun)
    assert step == 3
    assert settings["corpus"]
    assert "random_state" not in settings
    parts = {name.split(".")[0] for name in tensors}
    assert parts == {"model", "average", "optimizer"}
    assert list(begun.parent.iterdir()) == [begun]  # no other file is left behind either
