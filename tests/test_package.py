"""The package as a whole: its imports, its typing marker, its public names."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import citrus_sk


def python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_brings_in_no_heavy_neighbour():
    heavy = "{'braindecode', 'mne', 'matplotlib', 'torchaudio', 'seglearn', 'IPython'}"
    assert (
        python(f"import sys; from citrus_sk import *; print({heavy} & set(sys.modules))") == "set()"
    )


def test_importing_everything_takes_hardly_more_modules_than_torch_sklearn_and_skorch():
    # Counted, not timed: shared machines are too noisy. benchmarks/import_time.py times it.
    count = "import sys; print(len(set(sys.modules)))"
    base = int(python(f"import torch, sklearn, skorch; {count}"))
    assert int(python(f"from citrus_sk import *; {count}")) < 1.15 * base


def test_the_aligner_and_the_folds_need_no_torch():
    code = "from citrus_sk import SignalAligner, StratifiedFractionKFold"
    assert python(f"import sys; {code}; print('torch' in sys.modules)") == "False"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'citrus_sk' has no attribute 'Citrus'"):
        _ = citrus_sk.Citrus
    assert set(citrus_sk.__all__) <= set(dir(citrus_sk))


def test_the_installed_braindecode_can_be_imported_beside_torch():
    assert python("import warnings; warnings.simplefilter('ignore'); import braindecode") == ""


def test_public_names_exist_and_are_documented():
    for name in citrus_sk.__all__:
        assert len(getattr(citrus_sk, name).__doc__.splitlines()) > 3, name


def test_the_version_is_that_of_the_distribution():
    assert version("citrus-sk") == citrus_sk.__version__


def test_type_hints_are_announced():
    assert (Path(citrus_sk.__file__).parent / "py.typed").exists()
