"""Every block of code that a person may copy runs."""

import doctest
import importlib
import inspect
import re
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from edf_files import write_edf

import citrus_sk

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.S)
DOCUMENTED = [
    "_aligner",
    "_classifier",
    "_embedder",
    "_pretrainer",
    "_reconstruction",
    "_registry",
    "_regressor",
    "braindecode",
    "datasets",
    "evaluation._comparison_display",
    "evaluation._curve",
    "evaluation._display",
    "evaluation._fractions",
    "evaluation._peers",
    "evaluation._statistics",
    "mne",
]


def test_readme_blocks_run_one_after_another(tmp_path, monkeypatch):
    assert len(BLOCKS) >= 4
    (tmp_path / "readme.py").write_text("\n".join(BLOCKS))
    done = subprocess.run(
        [sys.executable, "readme.py"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_blocks_of_the_page_on_evaluation_run(tmp_path):
    page = (ROOT / "docs" / "evaluation.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.S)
    assert len(blocks) == 3
    by_person, at_random = re.search(r"prints (0\.\d\d) and (0\.\d\d)", page).groups()
    (tmp_path / "page.py").write_text(
        "import matplotlib\nmatplotlib.use('Agg')\n" + "\n".join(blocks)
    )
    done = subprocess.run([sys.executable, "page.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"\n{by_person}\n{at_random}\n" in done.stdout
    assert "windows overlap another one" in done.stderr
    assert (tmp_path / "curve.png").stat().st_size > 10_000
    assert (tmp_path / "ranks.png").stat().st_size > 5_000


def test_the_blocks_of_the_page_on_the_ecosystem_run(tmp_path):
    page = (ROOT / "docs" / "ecosystem.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.S)
    assert len(blocks) == 6
    (tmp_path / "page.py").write_text("\n".join(blocks))
    done = run([sys.executable, "page.py"], tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_commands_and_blocks_of_the_page_on_pretraining_run(tmp_path):
    page = (ROOT / "docs" / "pretraining.md").read_text()
    commands = re.findall(r"```sh\ncitrus-sk (.*?)\n```", page)
    (recipe,) = re.findall(r"```toml\n(.*?)```", page, flags=re.S)
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.S)
    assert len(commands) == 3
    assert len(blocks) == 2
    (tmp_path / "recipe.toml").write_text(recipe)
    (tmp_path / "recordings").mkdir()
    rng = np.random.default_rng(0)
    for person in range(3):
        signals = {
            name: (rng.integers(-900, 900, 1500).cumsum() % 1000, 100)
            for name in ("EEG Fpz-Cz", "EMG submental")
        }
        write_edf(tmp_path / "recordings" / f"SC40{person}1E0-PSG.edf", signals)
    # As they stand but for the time that they take.
    short = ["--preset", "tiny", "--max-steps", "3", "--quiet"]
    for command in commands:
        (tmp_path / "mine.safetensors").unlink(missing_ok=True)
        done = run([sys.executable, "-m", "citrus_sk", *command.split(), *short], tmp_path)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "mine.safetensors").exists()
        assert (tmp_path / "mine.png").stat().st_size > 10_000
    (tmp_path / "page.py").write_text("\n".join(blocks))
    done = run([sys.executable, "page.py"], tmp_path)
    assert done.returncode == 0, done.stderr


def run(arguments, folder):
    return subprocess.run(arguments, cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize("module", DOCUMENTED)
def test_docstring_examples_run(module):
    # A torch module that a user builds draws from torch's global state, as every one does.
    drawing = torch.random.fork_rng(devices=[]) if module == "braindecode" else nullcontext()
    with drawing:
        results = doctest.testmod(
            importlib.import_module(f"citrus_sk.{module}"), optionflags=doctest.NORMALIZE_WHITESPACE
        )
    assert results.failed == 0
    assert results.attempted or module in ("_registry", "_reconstruction")


@pytest.mark.parametrize(
    "name",
    ["CitrusClassifier", "CitrusEmbedder", "CitrusPretrainer", "CitrusRegressor", "SignalAligner"],
)
def test_every_parameter_is_documented_in_its_order(name):
    cls = getattr(citrus_sk, name)
    section = cls.__doc__.split("Attributes\n")[0]
    documented = re.findall(r"^    (\w+(?:, \w+)*) : ", section, flags=re.M)
    names = [parameter for line in documented for parameter in line.split(", ")]
    assert names == list(inspect.signature(cls).parameters)
