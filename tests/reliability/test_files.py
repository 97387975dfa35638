"""A small share of the attacks on files, as ``benchmarks/reliability`` makes them in thousands."""

import importlib
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks" / "reliability"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of memory need Linux")
N_ATTEMPTS = 6  # of each attack


@pytest.fixture
def runner(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    yield importlib.import_module("attempts")
    sys.modules.pop("attempts")


# The others differ from these by the checkpoint, or take longer.
ATTACKS = (
    "edf", "fif", "eeglab", "npy", "npz", "wfdb", "tables", "window tables", "window arrays",
    "flips multi-freq", "cuts multi-freq", "lies multi-freq", "names", "conversion cache",
    "evaluation run", "two processes store features", "two processes store scores",
)  # fmt: skip


def test_no_attempt_is_a_fault(runner):
    script = str(FOLDER / "files.py")
    for tally in runner.run(script, ATTACKS, number=N_ATTEMPTS, seconds=2):
        assert not tally.faults, (tally.name, tally.faults)
        assert tally.counts.total() > 0


BAD = """
import os, sys, time
sys.path.insert(0, {folder!r})
import attempts
from attempts import SAME, Attempt, Fault

def undetected(rng, i):
    raise Fault("was accepted")

def unnamed(rng, i):
    raise ValueError("something is wrong")

def named(rng, i):
    raise ValueError("a.edf is wrong")

def other(rng, i):
    raise KeyError("a.edf")

def memory(rng, i):
    return bytearray(2**30) and SAME

def crash(rng, i):
    if i: os._exit(3)
    return SAME

def hang(rng, i):
    if i: time.sleep(60)
    return SAME

ATTACKS = {{
    f.__name__: lambda folder, f=f: Attempt(f, ["a.edf"])
    for f in (undetected, unnamed, named, other, memory, crash, hang)
}}
if __name__ == "__main__":
    attempts.main(__file__, ATTACKS)
"""


def test_faults_of_every_kind_are_counted(runner, tmp_path, monkeypatch):
    script = tmp_path / "bad.py"
    script.write_text(BAD.format(folder=str(FOLDER)))
    monkeypatch.setattr(runner, "SECONDS", 0.5)
    names = ["undetected", "unnamed", "named", "other", "memory", "crash", "hang"]
    tallies = runner.run(str(script), names, number=2, seconds=60, megabytes=100)
    found = {tally.name: tally for tally in tallies}
    assert found.pop("named").counts == {runner.ERROR: 2}
    messages = {name: list(tally.faults) for name, tally in found.items()}
    assert messages["undetected"] == ["Fault: was accepted"]
    assert messages["unnamed"] == ["ValueError: something is wrong"]
    assert messages["other"] == ["KeyError: 'a#edf'"]
    assert messages["memory"] == ["MemoryError: "]
    assert messages["crash"] == ["the process died: exit status #"]
    assert messages["hang"] == ["no end within # s"]
