"""A small share of the faults that ``benchmarks/reliability/faults.py`` makes around commands."""

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks" / "reliability"


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory need Linux")
def test_pretraining_that_is_interrupted_or_out_of_memory_goes_on_to_the_same_bits():
    words = [FOLDER / "faults.py", "signals", "memory", "--commands", "pretrain", "--number", "1"]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line for line in done.stdout.splitlines() if "| pretrain |" in line]
    assert [row.split(" | ")[2] for row in rows] == ["1", "1"]
