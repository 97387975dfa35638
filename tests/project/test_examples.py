"""Every example runs from top to bottom, away from the repository and without a display."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))


def test_there_are_examples():
    assert len(EXAMPLES) >= 12


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(example, tmp_path):
    run = subprocess.run(
        [sys.executable, "-W", "error::FutureWarning", str(example)],
        cwd=tmp_path,
        # Threads on cores that other tests use too would wait for each other.
        env={**os.environ, "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=1500,  # for one that hangs; a slow and busy machine needs minutes
    )
    assert run.returncode == 0, run.stderr
    assert list(tmp_path.iterdir()) == []  # an example leaves nothing behind


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_is_a_page_with_a_title_and_cells(example):
    text = example.read_text(encoding="utf-8")
    title, underline = text.removeprefix('"""\n').splitlines()[:2]
    assert underline == "=" * len(title)
    assert text.count("\n# %%\n") >= 3
    assert text.endswith("\nplt.show()\n")
