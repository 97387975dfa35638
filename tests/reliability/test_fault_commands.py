"""A small share of the faults that ``benchmarks/reliability/faults.py`` makes around commands."""

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks" / "reliability"


@pytest.mark.skipif(sys.platform != "linux", reason="as the other attacks")
def test_pretraining_that_gets_a_signal_goes_on_to_the_same_bits():
    words = [FOLDER / "faults.py", "signals", "--commands", "pretrain", "--number", "1"]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| signals | pretrain | 1 |" in done.stdout
