"""The benchmarks, which are scripts and no package, as modules."""

import importlib
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def load(monkeypatch):
    """A benchmark as a module; they import each other as scripts do."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module
    own = {path.stem for path in BENCHMARKS.glob("*.py")}
    for name in own & sys.modules.keys():
        sys.modules.pop(name, None)
