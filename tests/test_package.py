"""The package as a whole: its imports, its typing marker, its public names."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import citrus_sk


def python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_brings_in_no_heavy_neighbour():
    heavy = "{'braindecode', 'mne', 'matplotlib', 'torchaudio', 'seglearn', 'IPython'}"
    assert python(f"import sys, citrus_sk; print({heavy} & set(sys.modules))") == "set()"


def test_import_takes_hardly_more_modules_than_torch_sklearn_and_skorch():
    # Counted, not timed: shared machines are too noisy. benchmarks/import_time.py times it.
    count = "import sys; print(len(set(sys.modules)))"
    base = int(python(f"import torch, sklearn, skorch; {count}"))
    assert int(python(f"import citrus_sk; {count}")) < 1.1 * base


def test_the_installed_braindecode_can_be_imported_beside_torch():
    assert python("import warnings; warnings.simplefilter('ignore'); import braindecode") == ""


def test_public_names_exist_and_are_documented():
    for name in citrus_sk.__all__:
        assert len(getattr(citrus_sk, name).__doc__.splitlines()) > 3, name


def test_the_version_is_that_of_the_distribution():
    assert version("citrus-sk") == citrus_sk.__version__


def test_type_hints_are_announced():
    assert (Path(citrus_sk.__file__).parent / "py.typed").exists()
