"""Every block of code that a person may copy runs."""

import doctest
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

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
    "datasets",
    "evaluation._fractions",
]


def test_readme_blocks_run_one_after_another(tmp_path, monkeypatch):
    assert len(BLOCKS) >= 4
    (tmp_path / "readme.py").write_text("\n".join(BLOCKS))
    done = subprocess.run(
        [sys.executable, "readme.py"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", DOCUMENTED)
def test_docstring_examples_run(module):
    results = doctest.testmod(
        importlib.import_module(f"citrus_sk.{module}"), optionflags=doctest.NORMALIZE_WHITESPACE
    )
    assert results.failed == 0
    assert results.attempted or module in ("_registry", "_reconstruction")


@pytest.mark.parametrize(
    "name", ["CitrusClassifier", "CitrusEmbedder", "CitrusPretrainer", "SignalAligner"]
)
def test_every_parameter_is_documented_in_its_order(name):
    cls = getattr(citrus_sk, name)
    section = cls.__doc__.split("Attributes\n")[0]
    documented = re.findall(r"^    (\w+(?:, \w+)*) : ", section, flags=re.M)
    names = [parameter for line in documented for parameter in line.split(", ")]
    assert names == list(inspect.signature(cls).parameters)
