"""Every block of code that a person may copy runs."""

import doctest
import importlib
import inspect
import os
import re
import shlex
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import matplotlib.pyplot as plt
import mne
import numpy as np
import pytest
import torch
from edf_files import write_edf
from numpydoc.validate import validate

import citrus_sk
from citrus_sk.cli.parser import main

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guide"
# Pages whose blocks need what a test of their own prepares, or leave what one of their own reads.
PREPARED = {
    "evaluate.md", "preprocessing.md", "pretrain.md", "recordings.md", "save_and_share.md",
    "track.md",
}  # fmt: skip
PACKAGE = ROOT / "citrus_sk"
DOCUMENTED = [
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    for path in sorted(PACKAGE.rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]

CLASSES = {
    module: set(
        re.findall(
            r"^class (\w+)",
            PACKAGE.joinpath(*module.split(".")).with_suffix(".py").read_text(),
            re.MULTILINE,
        )
    )
    for module in DOCUMENTED
}


def blocks_of(page):
    return re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)


PAGES = [
    page
    for page in [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), *sorted(GUIDE.glob("*.md"))]
    if page.name not in PREPARED and blocks_of(page)
]


def test_pages_that_have_blocks_are_found():
    names = {page.name for page in PAGES}
    assert {"README.md", "align.md", "fine_tune.md", "mne_and_braindecode.md"} <= names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_blocks_of_a_page_run_one_after_another(page, tmp_path):
    if page.name == "choose_parameters.md":
        pytest.importorskip("optuna", reason="its last block needs the extra named search")
    start = "import matplotlib\nmatplotlib.use('Agg')\n"
    (tmp_path / "page.py").write_text(start + "\n".join(blocks_of(page)), encoding="utf-8")
    done = run([sys.executable, "page.py"], tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_blocks_of_the_page_on_evaluation_run(tmp_path):
    page = (GUIDE / "evaluate.md").read_text()
    blocks = blocks_of(GUIDE / "evaluate.md")
    assert len(blocks) == 3
    by_person, at_random = re.search(r"prints (0\.\d\d) and (0\.\d\d)", page).groups()
    (tmp_path / "page.py").write_text(
        "import matplotlib\nmatplotlib.use('Agg')\n" + "\n".join(blocks)
    )
    done = run([sys.executable, "page.py"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"\n{by_person}\n{at_random}\n" in done.stdout
    assert "windows overlap another one" in done.stderr
    assert (tmp_path / "curve.png").stat().st_size > 10_000
    assert (tmp_path / "ranks.png").stat().st_size > 5_000


def test_the_blocks_of_the_page_on_preprocessing_print_its_figures(tmp_path):
    page = (GUIDE / "preprocessing.md").read_text(encoding="utf-8")
    stated = re.findall(r"It prints (0\.\d\d)(?: and (0\.\d\d))?", page)
    stated = [float(each) for pair in stated for each in pair if each]
    (tmp_path / "page.py").write_text("\n".join(blocks_of(GUIDE / "preprocessing.md")))
    done = run([sys.executable, "page.py"], tmp_path)
    assert done.returncode == 0, done.stderr
    printed = [float(each) for each in re.findall(r"\b0\.\d+", done.stdout)]
    # A window in 295 more or less may come from the rounding of another processor.
    np.testing.assert_allclose(printed, stated, atol=0.01)


@pytest.mark.filterwarnings("ignore:episode_classes names the data sets selfback")
def test_the_commands_and_blocks_of_the_page_on_pretraining_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = (GUIDE / "pretrain.md").read_text()
    commands = re.findall(r"```sh\ncitrus-sk (.*?)\n```", page)
    recipe, tasks = re.findall(r"```toml\n(.*?)```", page, flags=re.DOTALL)
    blocks = blocks_of(GUIDE / "pretrain.md")
    assert len(commands) == 3
    assert len(blocks) == 3
    (tmp_path / "recipe.toml").write_text(recipe)
    (tmp_path / "tasks.toml").write_text(tasks)
    commands.append(commands[0] + " --config tasks.toml")
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
        assert main([*command.split(), *short]) == 0, capsys.readouterr().err
        assert (tmp_path / "mine.safetensors").exists()
        assert (tmp_path / "mine.png").stat().st_size > 10_000
    (tmp_path / "page.py").write_text("\n".join(blocks))
    done = run([sys.executable, "page.py"], tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_commands_and_blocks_of_the_page_on_recordings_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = (GUIDE / "recordings.md").read_text(encoding="utf-8")
    page, formats, _ = page.partition("## Formats")  # tests/cli/test_data_formats.py runs the rest
    assert formats
    names = {}
    for language, block in re.findall(r"```(python|sh)\n(.*?)```", page, flags=re.DOTALL):
        if language == "python":
            exec(compile(block, "recordings.md", "exec"), names)
        else:
            # Another classifier, as the comparison is tested elsewhere and takes long.
            faster = ["--estimators", "bandpower", "--jobs", "1"] if "evaluate" in block else []
            assert main([*shlex.split(block)[1:], *faster]) == 0, capsys.readouterr().err
    assert names["score"] > 0.9
    annotated = mne.io.read_raw_edf("person10_annotated.edf", verbose="error")
    found = [text for text in annotated.annotations.description if "BAD" not in text]
    assert found == ["row", "abduction", "pendulum"]
    assert list(names["events"].description) == ["row", "abduction", "pendulum"]
    assert (tmp_path / "prediction.png").stat().st_size > 10_000
    assert len((tmp_path / "predictions.csv").read_text().splitlines()) == 1 + 18
    assert [each.name for each in (tmp_path / "events").iterdir()] == ["person10.edf_annot.txt"]
    plt.close("all")


def run(arguments, folder):
    # Threads on cores that other tests use too would wait for each other.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(arguments, cwd=folder, capture_output=True, text=True, env=environment)


def test_modules_with_examples_are_found():
    assert len(DOCUMENTED) >= 13


@pytest.fixture
def figures_are_closed():
    """Examples draw, and leave their figures to whoever looks at them."""
    yield
    plt.close("all")


@pytest.mark.parametrize("module", DOCUMENTED)
@pytest.mark.usefixtures("figures_are_closed")
def test_docstring_examples_run(module):
    # A torch module that a user builds draws from torch's global state, as every one does.
    drawing = torch.random.fork_rng(devices=[]) if module == "braindecode" else nullcontext()
    home = importlib.import_module(f"citrus_sk.{module}")
    finder = doctest.DocTestFinder()
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    tests = finder.find(home)
    for name, value in vars(home).items():
        # Stored classes give a package as their module, and the finder passes them over.
        is_stored = inspect.isclass(value) and value.__module__ in ("citrus_sk", "citrus_sk.mne")
        if is_stored and name in CLASSES[module]:
            tests += finder.find(value, name, module=False, globs=dict(vars(home)))
    with drawing:
        for test in tests:
            runner.run(test)
    assert runner.summarize().failed == 0
    assert sum(len(test.examples) for test in tests) > 0


@pytest.mark.parametrize(
    "name",
    [
        "CitrusClassifier",
        "CitrusEmbedder",
        "CitrusPretrainer",
        "CitrusRegressor",
        "GroupRecenter",
        "RejectingClassifier",
        "SignalAligner",
    ],
)
def test_every_parameter_is_documented_in_its_order(name):
    cls = getattr(citrus_sk, name)
    section = cls.__doc__.split("Attributes\n")[0]
    documented = re.findall(r"^    (\w+(?:, \w+)*) : ", section, flags=re.MULTILINE)
    names = [parameter for line in documented for parameter in line.split(", ")]
    assert names == list(inspect.signature(cls).parameters)


# What numpydoc's own check finds and we do without: sections that would repeat others, verbs, and a
# summary below the quotes, which its older releases want.
LIBERTIES = {"ES01", "EX01", "GL01", "PR04", "PR07", "RT02", "RT03", "SA01", "SS05"}
# A method that every estimator has, such as ``predict``, need not tell again what goes in and out,
# and what a display or a curve is made of stands among its attributes.
NOT_TOLD_AGAIN = {"PR01", "RT01"}
RESULTS = r"\.[A-Z]\w+\.|Display$|Curve$|inspection\.[A-Z]\w+$|Checkpoint$|NetworkConfig$"


def public_names():
    for module in ("", ".braindecode", ".datasets", ".evaluation", ".inspection", ".mne"):
        home = importlib.import_module(f"citrus_sk{module}")
        for name in home.__all__:
            if not callable(getattr(home, name)):  # a constant has no docstring
                continue
            yield f"{home.__name__}.{name}"
            members = (
                vars(getattr(home, name)).items() if inspect.isclass(getattr(home, name)) else ()
            )
            for member, value in members:
                if inspect.isfunction(value) and not member.startswith("_"):
                    yield f"{home.__name__}.{name}.{member}"


def test_public_docstrings_are_numpydoc():
    names = list(public_names())
    assert len(names) > 60
    faults = [
        f"{name}: {code} {text}"
        for name in names
        for code, text in validate(name)["errors"]
        if code not in LIBERTIES and not (code in NOT_TOLD_AGAIN and re.search(RESULTS, name))
    ]
    assert not faults
