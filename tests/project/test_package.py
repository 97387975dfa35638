"""The package as a whole: its imports, its typing marker, its public names."""

import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

import citrus_sk
import citrus_sk.nn

ENDS = (".safetensors", ".md", ".toml")


def python(code, *arguments):
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
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


def test_the_transformers_of_arrays_and_the_folds_need_no_torch():
    code = "from citrus_sk import GroupRecenter, SignalAligner, StratifiedFractionKFold"
    assert python(f"import sys; {code}; print('torch' in sys.modules)") == "False"


@pytest.mark.parametrize("option", ["--help", "--version", "models"])
def test_the_command_line_lists_and_helps_without_torch(option):
    code = (
        "import sys\nfrom citrus_sk.cli import main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit: pass\n"
        "print({'torch', 'sklearn', 'skorch'} & set(sys.modules))"
    )
    *printed, loaded = python(code, option).splitlines()
    assert loaded == "set()"
    assert printed[0].startswith({"--help": "usage", "models": "name"}.get(option, "citrus-sk"))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'citrus_sk' has no attribute 'Citrus'"):
        _ = citrus_sk.Citrus
    with pytest.raises(AttributeError, match=r"module 'citrus_sk\.nn' has no attribute 'Citrus'"):
        _ = citrus_sk.nn.Citrus
    assert all(hasattr(citrus_sk.nn, name) for name in citrus_sk.nn.__all__)
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


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """Names inside the wheel and inside the sdist, without the sdist's own folder."""
    folder = tmp_path_factory.mktemp("dist")
    root = Path(__file__).parents[2]
    for target in ("wheel", "sdist"):
        done = subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)],
            cwd=root, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        in_wheel = set(wheel.namelist())
    with tarfile.open(next(folder.glob("*.tar.gz"))) as sdist:
        in_sdist = {name.partition("/")[2] for name in sdist.getnames()}
    return in_wheel, in_sdist


def test_the_wheel_and_the_sdist_hold_weights_licence_and_typing_marker(archives):
    for names in archives:
        for checkpoint in citrus_sk.list_pretrained():
            assert {f"citrus_sk/checkpoints/{checkpoint}{end}" for end in ENDS} <= names
        assert {"citrus_sk/py.typed", "citrus_sk/checkpoints/index.json"} <= names
        assert any(name.endswith("LICENSE") for name in names)


def test_the_wheel_holds_the_package_and_nothing_else(archives):
    in_wheel, _ = archives
    tops = {name.split("/")[0] for name in in_wheel}
    assert tops == {"citrus_sk", f"citrus_sk-{citrus_sk.__version__}.dist-info"}
    assert not any("__pycache__" in name for name in in_wheel)


def test_the_sdist_holds_what_is_needed_to_test_and_document_it(archives):
    _, in_sdist = archives
    expected = {
        "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "README.md", "docs/conf.py",
        "docs/guide/align.md", "docs/_ext/api_pages.py", "examples/plot_quick_start.py",
        "tests/conftest.py",
    }  # fmt: skip
    assert expected <= in_sdist
    assert not any(name.startswith(("docs/_build", "docs/api", "shared")) for name in in_sdist)


def test_the_version_is_cited_as_it_is():
    citation = (Path(__file__).parents[2] / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {citrus_sk.__version__}\n" in citation
    assert "arXiv:2412.11695" in citation
