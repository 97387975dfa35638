"""Files of an evaluation are shared: they name no user and no folder, and hold text as text."""

import csv
import json
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier

from citrus_sk._utils.files import without_home
from citrus_sk.evaluation import fraction_curve, new_person_curve, write_report

SCRIPT = "<script>alert(1)</script>"
FORMULAS = ["=1+1", "+cmd", "-2", "@SUM(A1)", '"quoted", and more', "two\nlines"]


class Unreadable(DummyClassifier):
    """A classifier that names a file in its parameters and in the error of its fit."""

    def __init__(self, file=None):
        super().__init__()
        self.file = file

    def fit(self, X, y):
        raise OSError(f"cannot read {self.file}")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder with a working folder in it."""
    home = tmp_path / "home" / "alice"
    (home / "study").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.chdir(home / "study")
    return home


def evaluated(home, classes=(SCRIPT, "rest"), models=None):
    y = np.tile(classes, 12)
    X = np.arange(24.0)[:, None] + np.zeros((24, 2))
    models = models or {
        "b & <i>": DummyClassifier(),
        "unreadable": Unreadable(home / "study" / "weights.bin"),
        "elsewhere": Unreadable(str(home / "other" / "weights.bin")),
    }
    people = np.repeat([f"{SCRIPT}{i}" for i in range(4)], 6)
    shared = {"groups": people, "scoring": ["accuracy"], "random_state": 0}
    with pytest.warns(UserWarning, match="fits failed"):
        curve = fraction_curve(models, X, y, fractions=[1.0], cv=2, **shared)
    with pytest.warns(UserWarning, match="fits failed"):
        new_person = new_person_curve(models, X, y, n_calibration=[1], **shared)
    return curve, new_person


def test_no_file_names_the_home_or_the_working_folder(home, tmp_path):
    curve, new_person = evaluated(home)
    out = tmp_path / "out"
    out.mkdir()
    for name, each in (("curve", curve), ("new_person", new_person)):
        each.to_json(out / f"{name}.json")
        each.to_csv(out / f"{name}.csv")
    command = f"citrus-sk evaluate {home}/study/data --out {home}/results"
    note = f"{home}/study/a.edf is flat"
    write_report(curve, out / "a.html", command=command, notes=[note], new_person=new_person)
    texts = {path.name: path.read_text("utf-8") for path in out.iterdir()}
    assert len(texts) == 5
    for name, text in texts.items():
        assert "alice" not in text, name
        assert str(Path(__file__).parent) not in text, name
    assert "cannot read ./weights.bin" in texts["curve.csv"]
    assert "cannot read ~/other/weights.bin" in texts["new_person.csv"]
    assert "citrus-sk evaluate ./data --out ~/results" in texts["a.html"]


def test_a_script_as_class_person_or_estimator_is_shown_and_not_run(home):
    curve, new_person = evaluated(home, models={SCRIPT: DummyClassifier(), "b": Unreadable()})
    write_report(curve, "a.html", title=SCRIPT, notes=[SCRIPT], command=SCRIPT,
                 new_person=new_person)  # fmt: skip
    text = Path("a.html").read_text("utf-8")
    assert "<script" not in text.lower()
    assert unescape(text).count(SCRIPT) >= 5  # title, heading, note, command, class, estimator


def test_cells_of_tables_are_not_changed_for_spreadsheets(home, tmp_path):
    models = {name: DummyClassifier() for name in FORMULAS} | {"unreadable": Unreadable()}
    for each in evaluated(home, models=models):
        each.to_csv(tmp_path / "a.csv")
        with (tmp_path / "a.csv").open(newline="") as file:
            names = [row["estimator"] for row in csv.DictReader(file)]
        assert list(dict.fromkeys(names)) == list(models)
        each.to_json(tmp_path / "a.json")
        assert json.loads((tmp_path / "a.json").read_text())["rows"][0]["estimator"] == "=1+1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{home}/study/a.edf", "./a.edf"),
        ("'{home}/study'", "'.'"),
        ("{home}/study2/a.edf", "~/study2/a.edf"),
        ("{home}2/a.edf", "{home}2/a.edf"),
        ("--out={home}", "--out=~"),
        ("no path", "no path"),
    ],
)
def test_only_the_two_folders_are_shortened(home, text, expected):
    assert without_home(text.format(home=home)) == expected.format(home=home)


class Named(ClassifierMixin, BaseEstimator):
    def __init__(self, name=None):
        self.name = name


@pytest.mark.parametrize("strategy", ["auto", SCRIPT])
def test_parameters_are_escaped_in_the_box_of_a_notebook(strategy):
    from citrus_sk import CitrusClassifier, RejectingClassifier, SignalAligner

    for estimator in (
        CitrusClassifier(strategy=strategy, pretrained=SCRIPT, modality=SCRIPT),
        SignalAligner(method=SCRIPT),
        RejectingClassifier(Named(SCRIPT)),
    ):
        html = estimator._repr_html_()
        assert "alert(1)" in html
        assert SCRIPT not in html
