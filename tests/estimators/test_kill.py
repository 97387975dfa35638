"""``citrus-sk pretrain``, killed again and again: in the end the same bits as if it never had been.

    CITRUS_KILLS=100 pytest tests/estimators/test_kill.py -k killed -s

kills more often than the five times that are enough for every day.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors
import torch
from edf_files import write_edf

from citrus_sk.checkpoints.checkpoint import read_checkpoint
from citrus_sk.cli.parser import main

N_KILLS = int(os.environ.get("CITRUS_KILLS", "5"))
N_STEPS = 40
PATIENCE = 240  # seconds that a step or a command may take before it counts as hanging


class Command:
    """The command line in a folder of its own, with the same recordings and seed every time."""

    def __init__(self, folder: Path, recordings: Path) -> None:
        self.folder, self.recordings = folder, recordings
        self.out, self.state = folder / "weights.safetensors", folder / "weights.run"
        (folder / "recipe.toml").write_text("batch_size = 4\nvalidation_fraction = 0.4\n")
        (folder / "tmp").mkdir()

    def arguments(self, *more: str) -> list[str]:
        arguments = ["pretrain", self.recordings, "--out", self.out, "--preset", "tiny"]
        arguments += ["--config", self.folder / "recipe.toml", "--max-steps", N_STEPS, "--seed", 0]
        return [*map(str, arguments), "--save-minutes", "0", "--quiet", *more]

    def start(self, *more: str) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", "citrus_sk", *self.arguments(*more)],
            env=os.environ | {"TMPDIR": str(self.folder / "tmp")},  # what kills leave goes with it
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *more: str) -> subprocess.CompletedProcess:
        process = self.start(*more)
        try:
            out, err = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def wait_for_saves(self, process: subprocess.Popen, number: int) -> None:
        """Until the state has been replaced so many times, or the process has come to its end."""
        seen, deadline = self.version(), time.monotonic() + PATIENCE
        while number and process.poll() is None:
            assert time.monotonic() < deadline, "nothing was saved"
            time.sleep(0.002)
            if self.version() not in (seen, None):
                seen, number = self.version(), number - 1

    def version(self) -> tuple[int, int] | None:
        try:
            stat = self.state.stat()
        except FileNotFoundError:
            return None
        return stat.st_mtime_ns, stat.st_ino

    def step(self) -> int:
        """The step of the state, which has to be readable as a whole where there is one."""
        if not self.state.exists():
            return 0
        with safetensors.safe_open(self.state, "pt") as file:
            for name in file.keys():  # noqa: SIM118
                assert file.get_tensor(name).isfinite().all()
            header = json.loads(file.metadata()["citrus_sk_run"])
        return json.loads(header["progress"])["step"]

    def result(self) -> tuple[dict[str, torch.Tensor], list]:
        """Weights and history, without what the clock says."""
        checkpoint = read_checkpoint(self.out)
        history = checkpoint.info["training"]["history"]
        return checkpoint.tensors, [{**row, "seconds": None} for row in history]

    def forget(self) -> None:
        for path in (self.out, self.state, self.out.with_suffix(".png")):
            path.unlink(missing_ok=True)


def assert_same_bits(one, other):
    (first, first_history), (second, second_history) = one, other
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
    assert first_history == second_history


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Three people, 20 s each, as Sleep-EDF names them."""
    folder = tmp_path_factory.mktemp("recordings")
    rng = np.random.default_rng(0)
    for person in range(3):
        walk = 200 * np.cumsum(rng.standard_normal((2, 2000)), axis=1)
        walk = (walk - np.linspace(walk[:, 0], walk[:, -1], 2000).T).round()
        signals = {"EEG Fpz-Cz": (walk[0], 100), "EOG horizontal": (walk[1], 100)}
        write_edf(folder / f"SC40{person}1E0-PSG.edf", signals)
    return folder


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, recordings):
    command = Command(tmp_path_factory.mktemp("uninterrupted"), recordings)
    done = command.run()
    assert done.returncode == 0, done.stderr
    assert not command.state.exists()
    return command.result()


@pytest.fixture
def command(tmp_path, recordings):
    return Command(tmp_path, recordings)


def test_however_often_it_is_killed_it_ends_with_the_same_bits(command, uninterrupted):
    rng = np.random.default_rng(int(os.environ.get("CITRUS_KILL_SEED", "0")))
    kills, finished = [], 0
    while len(kills) < N_KILLS or not finished:
        process, before = command.start("--resume"), command.step()
        if len(kills) < N_KILLS:
            # At a step or in the middle of a save; at times already while it starts up.
            starting = rng.random() < 0.2
            command.wait_for_saves(process, 0 if starting else int(rng.integers(1, 8)))
            time.sleep(rng.uniform(0, 5.0 if starting else 0.3))
            alive = process.poll() is None
            process.kill()
        else:
            alive = False
        try:
            _, err = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
        if alive:
            assert process.returncode == -signal.SIGKILL
            kills.append(command.step())
            # Nothing that was saved is lost, unless all is done and the state is gone for good.
            assert kills[-1] >= before or command.out.exists()
        else:
            assert process.returncode == 0, err
            assert_same_bits(command.result(), uninterrupted)
            assert not command.state.exists()
            finished += 1
            command.forget()
    print(f"\n{len(kills)} kills, the states left at steps {kills}; {finished} runs finished")  # noqa: T201 - read with -s


def test_control_c_saves_says_how_to_go_on_and_loses_nothing(command, uninterrupted, capsys):
    process = command.start()
    command.wait_for_saves(process, 3)
    process.send_signal(signal.SIGINT)
    try:
        _, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in err
    assert f"Saved in {command.state}" in err
    assert "Add --resume to the command" in err
    assert 3 <= command.step() < N_STEPS
    assert not command.out.exists()

    assert main(command.arguments()) == 1  # by mistake without --resume
    assert "is the state of an unfinished run. Add --resume" in capsys.readouterr().err

    done = command.run("--resume")
    assert done.returncode == 0, done.stderr
    assert_same_bits(command.result(), uninterrupted)
    assert not command.state.exists()

    assert main(command.arguments("--resume")) == 0
    assert "is complete; there is nothing to resume" in capsys.readouterr().out
