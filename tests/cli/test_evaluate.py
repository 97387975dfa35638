"""``citrus-sk evaluate``: data from everywhere, estimators by name, runs that survive."""

import html.parser
import os
import re
import signal
import subprocess
import sys
import time
from functools import wraps

import mne
import numpy as np
import pandas as pd
import psutil
import pytest
from edf_files import EDF_GAIN, write_edf

from citrus_sk import CitrusClassifier
from citrus_sk.cli.evaluate import make_estimators
from citrus_sk.cli.parser import main
from citrus_sk.evaluation import FractionCurve, NewPersonCurve, fraction_curve, write_report
from citrus_sk.evaluation.new_person_report import new_person_block
from citrus_sk.signals.recordings.labelled import read_labelled

MODELS = """
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer


def power(X):
    return X.std(axis=2)


logistic = make_pipeline(FunctionTransformer(power), LogisticRegression())
prior = DummyClassifier


def forest():
    return make_pipeline(FunctionTransformer(power), RandomForestClassifier(30, random_state=0))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to work in, with models and an .npz of forty windows of two classes."""
    rng = np.random.default_rng(0)
    y = np.tile(["rest", "fist"], 30)
    X = rng.standard_normal((60, 2, 64)) * np.where(y == "fist", 1.6, 1.0)[:, None, None]
    np.savez(tmp_path / "mine.npz", X=X, y=y, groups=np.repeat(np.arange(6), 10), sfreq=200.0)
    (tmp_path / "my_own_models.py").write_text(MODELS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("my_own_models", None)


def evaluate(*more, out="out", estimators="my_own_models:logistic,prior=my_own_models:prior"):
    arguments = ["evaluate", "--out", out, "--quiet", "--jobs", "1"]
    return main(
        [*arguments, *(["--estimators", estimators] if estimators else []), *map(str, more)]
    )


@pytest.mark.parametrize(("options", "cached"), [([], True), (["--no-cache"], False)])
def test_features_are_shared_unless_told_otherwise(folder, monkeypatch, options, cached):
    asked = []

    def curve(*args, cache_features, **kwargs):
        asked.append(cache_features)
        return fraction_curve(*args, cache_features=cache_features, **kwargs)

    monkeypatch.setattr("citrus_sk.cli.evaluate.fraction_curve", curve)
    assert evaluate("mine.npz", "--fractions", "1", *options) == 0
    assert asked == [cached]


def test_our_classifier_is_fitted_with_the_people(folder, monkeypatch):
    people, fit = [], CitrusClassifier.fit

    @wraps(fit)
    def noted(self, X, y, groups=None, **more):
        people.append(groups)
        return fit(self, X, y, groups=groups, **more)

    monkeypatch.setattr(CitrusClassifier, "fit", noted)
    assert evaluate("mine.npz", "--fractions", "1", estimators="citrus,bandpower") == 0
    assert [len(np.unique(each)) for each in people] == [4, 4, 4]  # of six, in three folds


def test_it_writes_tables_and_a_report(folder, capsys):
    assert evaluate("mine.npz", "--fractions", "0.2,1", "--shots", "2") == 0
    said = capsys.readouterr().out
    assert (
        "60 windows of 64 samples (0.32 s), 2 channels, 2 classes, 6 groups ('groups' of mine.npz)."
        in said
    )
    scores = pd.read_csv("out/scores.csv")
    assert len(scores) == 2 * 3 * 3
    assert "fit_time" not in scores.columns
    assert (pd.read_csv("out/times.csv")["fit_time"] > 0).all()
    means = scores[scores["fraction"] == 1.0].groupby("estimator")["accuracy"].mean()
    assert means["my_own_models:logistic"] > 0.8 > means["prior"]
    curve = FractionCurve.read_json("out/curve.json")
    assert f"{curve.scores('prior', 'f1_macro', shots=2).mean():.3f}" in said
    assert "report.html" in said


# In the run with this variable, each worker waits in its first fit until all have begun one, and
# in any fit after the fourth row until it is killed.
SLOW_MODELS = """
import os
import time
from pathlib import Path

from my_own_models import *


def power(X):
    if n_workers := int(os.environ.get("N_WORKERS", 0)):
        Path(f"worker-{os.getpid()}").touch()
        rows = Path("cut/run/rows.jsonl")
        while len(list(Path.cwd().glob("worker-*"))) < n_workers or (
            rows.exists() and rows.read_bytes().count(b"\\n") >= 4
        ):
            time.sleep(0.01)
    return X.std(axis=2)


def forest():
    return make_pipeline(FunctionTransformer(power), RandomForestClassifier(30, random_state=0))
"""


def test_a_killed_command_gives_the_same_csv(folder):
    (folder / "slow_models.py").write_text(SLOW_MODELS)
    command = [sys.executable, "-m", "citrus_sk", "evaluate", "mine.npz", "--quiet"]
    command += ["--estimators", "forest=slow_models:forest", "--fractions", "0.1,0.3,1"]

    def start(out, n_jobs, **variables):
        rest = ["--out", out, "--jobs", n_jobs]
        return subprocess.Popen(
            [*command, *rest], stdout=subprocess.DEVNULL, env=os.environ | variables
        )

    assert start("whole", "1").wait(120) == 0
    process, rows = start("cut", "2", N_WORKERS="2"), folder / "cut" / "run" / "rows.jsonl"
    while process.poll() is None and not (rows.exists() and rows.read_bytes().count(b"\n") >= 4):
        time.sleep(0.01)
    workers = psutil.Process(process.pid).children()
    assert len(list(folder.glob("worker-*"))) == 2
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL
    assert not (folder / "cut" / "scores.csv").exists()
    assert not psutil.wait_procs(workers, timeout=30)[1]  # they end with it, and cost no memory
    assert start("cut", "1").wait(120) == 0
    assert (folder / "cut/scores.csv").read_bytes() == (folder / "whole/scores.csv").read_bytes()


def test_watch_needs_no_file(folder):
    more = ("--dataset", "watch", "--fractions", "0.05", "--folds", "2")
    assert evaluate(*more, estimators="majority,bandpower") == 0
    means = pd.read_csv("out/scores.csv").groupby("estimator")["accuracy"].mean()
    assert means["bandpower"] > 0.6 > means["majority"]


def test_the_ablation_has_all_combinations_of_the_paper():
    models = make_estimators(None, sfreq=100.0, seed=0, ablation=True)
    assert len(models) == 5 * 2 * 2
    for name, model in models.items():
        method, backbone, weights = name.split(", ")
        assert model[0].method == method
        assert (model[1].backbone, model[1].pretrained or "scratch") == (backbone, weights)
    assert len(make_estimators("majority", sfreq=None, seed=0, ablation=True)) == 1 + 4 * 2 * 2


def test_the_ablation_runs(folder):
    assert (
        evaluate("mine.npz", "--ablation", "--fractions", "0.3", "--folds", "2", estimators="") == 0
    )
    scores = pd.read_csv("out/scores.csv")
    assert len(scores) == 20 * 2
    assert scores["accuracy"].notna().all()


# --- data ---


@pytest.fixture
def recordings(tmp_path):
    """Three EDF recordings of 60 s, and a table of windows of 2 s."""
    rng = np.random.default_rng(0)
    lines = ["file,onset,duration,label,group"]
    for number in range(3):
        values = {name: (rng.integers(-900, 900, 6000), 100) for name in ("EEG Fz", "EEG Cz")}
        write_edf(tmp_path / f"rec{number}.edf", values)
        lines += [f"rec{number}.edf,{o},2.0,{'ab'[o // 4 % 2]},p{number}" for o in range(0, 40, 4)]
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_windows_are_cut_from_recordings(recordings):
    bunch = read_labelled(recordings, recordings / "labels.csv")
    assert bunch.X.shape == (30, 2, 200)
    assert bunch.sfreq == 100
    assert bunch.ch_names in (["EEG Fz", "EEG Cz"], ["Fz", "Cz"])
    assert bunch.groups.tolist() == np.repeat(["p0", "p1", "p2"], 10).tolist()
    rng = np.random.default_rng(0)
    first = rng.integers(-900, 900, 6000)
    assert bunch.X[1, 0] * 1e6 == pytest.approx(first[400:600] * EDF_GAIN, abs=0.06)  # volts


def test_stimulus_misc_and_bad_channels_are_no_signal(tmp_path):
    kinds = ["eeg", "emg", "stim", "misc", "eeg"]
    info = mne.create_info(["Cz", "arm", "STI", "answer", "broken"], 100, kinds)
    values = np.random.default_rng(0).standard_normal((5, 1000))
    values[2:4] = np.arange(1000) // 200 % 2  # what is to be predicted
    raw = mne.io.RawArray(values, info, verbose="error")
    raw.info["bads"] = ["broken"]
    raw.save(tmp_path / "one_raw.fif", verbose="error")
    table = tmp_path / "labels.csv"
    table.write_text("file,onset,duration,label\none_raw.fif,0,2,a\none_raw.fif,2,2,b\n")
    bunch = read_labelled(tmp_path, table)
    assert bunch.ch_names == ["Cz", "arm"]
    assert pytest.approx(values[:2, :400].reshape(2, 2, 200).swapaxes(0, 1), abs=1e-5) == bunch.X

    raw.info["bads"] = raw.ch_names
    raw.save(tmp_path / "one_raw.fif", overwrite=True, verbose="error")
    with pytest.raises(ValueError, match=r"one_raw\.fif has no signal"):
        read_labelled(tmp_path, table)


def test_accelerometers_which_have_no_type_are_signals(tmp_path):
    raw = mne.io.RawArray(np.ones((2, 300)), mne.create_info(2, 100, "misc"), verbose="error")
    raw.save(tmp_path / "one_raw.fif", verbose="error")
    (tmp_path / "labels.csv").write_text("file,onset,duration,label\none_raw.fif,0,2,a\n")
    assert read_labelled(tmp_path, tmp_path / "labels.csv").X.shape == (1, 2, 200)


def test_an_edf_file_of_mixed_rates_is_refused(tmp_path):
    signals = {"EEG A": (np.arange(600) % 90, 100), "Resp": (np.arange(6), 1)}
    write_edf(tmp_path / "mixed.edf", signals)
    (tmp_path / "labels.csv").write_text("file,onset,duration,label\nmixed.edf,0,2,a\n")
    with pytest.raises(ValueError, match=r"mixed\.edf .*'Resp' at 1 Hz and 'EEG A' at 100 Hz"):
        read_labelled(tmp_path, tmp_path / "labels.csv")


def test_damaged_files_are_named(recordings):
    np.savez(recordings / "whole.npz", X=np.ones((4, 1, 8)), y=np.ones(4))
    whole = (recordings / "whole.npz").read_bytes()
    for content in (b"PK\x03\x04 no archive", whole[: len(whole) // 2], whole[:200] + whole[260:]):
        (recordings / "cut.npz").write_bytes(content)
        with pytest.raises(ValueError, match=r"cut\.npz cannot be read"):
            read_labelled(recordings / "cut.npz")
    table = recordings / "labels.csv"
    table.write_bytes(table.read_bytes() + b"rec0.edf,8,2.0,\xff\xfe\n")
    with pytest.raises(ValueError, match=r"labels\.csv cannot be read.*UTF-8"):
        read_labelled(recordings, table)


def test_a_folder_of_recordings_is_evaluated(recordings, folder):
    assert evaluate(recordings, "--labels", recordings / "labels.csv", "--fractions", "0.5") == 0
    assert len(pd.read_csv("out/scores.csv")) == 2 * 3


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("file,onset", "name,onset", r"labels\.csv has no column file"),
        ("rec1.edf,8,", "rec7.edf,8,", r"row 14 names the file 'rec7\.edf', which is not in"),
        (
            "rec1.edf,8,2.0",
            "rec1.edf,59,2.0",
            r"row 14: the window from 59 s to 61 s does not fit rec1",
        ),
        ("rec1.edf,8,2.0", "rec1.edf,8,3.0", r"row 14: its window has 300 samples.*row 2 has 200"),
        ("rec1.edf,8,2.0", "rec1.edf,x,2.0", r"row 14: onset is 'x'; expected a number"),
        ("rec1.edf,8,2.0", "rec1.edf,8,-1", r"row 14: onset 8 s, duration -1 s"),
        ("rec1.edf,8,2.0,a", "rec1.edf,8,2.0,", r"row 14: label is empty"),
    ],
)
def test_faults_in_the_table_are_named(recordings, old, new, match):
    table = recordings / "labels.csv"
    text = table.read_text()
    assert old in text
    table.write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError, match=match):
        read_labelled(recordings, table)


def test_recordings_that_differ_are_named(recordings):
    write_edf(recordings / "rec2.edf", {"EEG Fz": (np.arange(6000) % 99, 100)})
    with pytest.raises(ValueError, match=r"rec2\.edf has the channels EEG Fz, and rec0"):
        read_labelled(recordings, recordings / "labels.csv")


def test_integers_with_a_scale_become_physical(tmp_path):
    X = np.arange(24, dtype=np.int16).reshape(2, 2, 6)
    np.savez(tmp_path / "a.npz", X=X, y=[0, 1], scale=[0.5, 2.0])
    assert read_labelled(tmp_path / "a.npz").X[1, :, 0].tolist() == [6.0, 36.0]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("nowhere.npz",), "there is no file or folder"),
        ((), "expected either DATA"),
        (("mine.npz", "--dataset", "watch"), "expected either DATA"),
        (("mine.npz", "--labels", "x.csv"), "--labels is for a folder"),
        ((".",), "expected --labels"),
        (("my_own_models.py",), "neither an .npz file nor a folder"),
        (("noy.npz",), "noy.npz has no y; it holds X"),
        (("objects.npz",), "objects.npz cannot be read"),
        (("rates.npz",), "rates.npz has sfreq=[1. 1.]; expected one number, in Hz"),
        (("scales.npz",), "scale of 5 values and X of the shape (4, 1, 8)"),
        (("single.npz",), "y holds a single class, 1"),
        (("mine.npz", "--out", "taken"), "cannot write 'taken/report.html': it is a folder"),
        (("mine.npz", "--estimators", "rocket"), "rocket"),
        (("mine.npz", "--estimators", "nothing:here"), "'nothing:here' cannot be imported"),
        (("mine.npz", "--estimators", "my_own_models:x"), "cannot be imported"),
        (("mine.npz", "--estimators", "my_own_models:power"), "power"),
        (("mine.npz", "--estimators", "majority,majority"), "has 'majority' twice"),
        (("mine.npz", "--fractions", "2"), "fractions holds 2.0"),
        (("mine.npz", "--folds", "9"), "6 group(s) for 9 folds"),
        (("mine.npz", "--out", "mine.npz/x"), "cannot write into the folder"),
    ],
)
def test_bad_input_is_named_without_a_traceback(folder, capsys, more, said):
    np.savez("noy.npz", X=np.zeros((4, 1, 8)))
    whole = {"X": np.zeros((4, 1, 8)), "y": np.ones(4, int)}
    np.savez("rates.npz", **whole, sfreq=np.ones(2))
    np.savez("scales.npz", **whole, scale=np.ones(5))
    np.savez("single.npz", **whole)
    (folder / "taken" / "report.html").mkdir(parents=True)
    np.savez("objects.npz", X=np.array([{}], object), y=[1])
    assert evaluate(*more, estimators="" if "--estimators" in more else "majority") == 1
    error = capsys.readouterr().err
    assert error.startswith("citrus-sk evaluate: error:")
    assert said in error


def test_data_that_cannot_be_read_leave_no_folder(folder):
    assert evaluate("absent.npz") == 1
    assert not (folder / "out").exists()


def test_a_missing_matplotlib_is_named_before_anything_runs(folder, capsys, monkeypatch):
    monkeypatch.setattr("citrus_sk._utils.optional.find_spec", lambda name: None)
    assert evaluate("mine.npz") == 1
    assert "pip install matplotlib" in capsys.readouterr().err
    assert not (folder / "out").exists()


def test_a_run_of_other_data_is_left_alone(folder, capsys):
    assert evaluate("mine.npz", "--fractions", "1", estimators="majority") == 0
    before = (folder / "out/scores.csv").read_bytes()
    with np.load("mine.npz") as file:
        np.savez("other.npz", X=file["X"] + 1, y=file["y"])
    assert evaluate("other.npz", "--fractions", "1", estimators="majority") == 1
    assert "holds the run of other data" in capsys.readouterr().err
    assert (folder / "out/scores.csv").read_bytes() == before


def test_when_every_fit_fails_the_status_says_so(folder, capsys):
    (folder / "my_own_models.py").write_text("from sklearn.svm import SVC\nbad = SVC(C=-1)\n")
    assert evaluate("mine.npz", "--fractions", "1", estimators="my_own_models:bad") == 1
    assert "no fit could be scored" in capsys.readouterr().err
    assert "InvalidParameterError" in (folder / "out/report.html").read_text()


def test_when_no_fit_can_be_scored_the_status_says_so(folder, capsys):
    source = "from sklearn.svm import LinearSVC\nfrom my_own_models import *\n"
    source += "bad = make_pipeline(FunctionTransformer(power), LinearSVC(random_state=0))\n"
    (folder / "no_probabilities.py").write_text(source)
    arguments = ["mine.npz", "--fractions", "1", "--scoring", "neg_log_loss"]
    assert evaluate(*arguments, estimators="no_probabilities:bad") == 1
    assert "no fit could be scored" in capsys.readouterr().err
    sys.modules.pop("no_probabilities")


def test_means_of_fewer_fits_are_marked(folder, capsys):
    # It fails where the first person is tested on, in one fold of three.
    source = "import numpy as np\nfrom sklearn.dummy import DummyClassifier\n\n"
    source += "first = np.load('mine.npz')['X'][0]\n\n\nclass Moody(DummyClassifier):\n"
    source += "    def fit(self, X, y):\n        if not np.array_equal(X[0], first):\n"
    source += "            raise ValueError('no')\n        return super().fit(X, y)\n"
    (folder / "moody.py").write_text(source)
    assert evaluate("mine.npz", "--fractions", "1", estimators="moody:Moody,majority") == 0
    scores = pd.read_csv("out/scores.csv").query("estimator == 'moody:Moody'")
    assert scores["accuracy"].notna().sum() == 2
    assert "* mean of fewer fits, because the others failed" in capsys.readouterr().out
    page = (folder / "out/report.html").read_text()
    assert "of 2 of 3 fits" in page
    sys.modules.pop("moody")


# --- a new person ---


def test_adapt_evaluates_on_a_new_person_beside_recentred_peers(folder, capsys):
    more = ("mine.npz", "--adapt", "--fractions", "1", "--folds", "2")
    assert evaluate(*more, estimators="prior=my_own_models:prior,band=bandpower") == 0
    said = capsys.readouterr().out
    scores = pd.read_csv("out/new_person.csv", dtype={"person": str})
    assert scores["estimator"].unique().tolist() == ["prior", "band", "band, recentred"]
    assert scores["known"].unique().tolist() == ["nothing", "unlabelled", "labelled"]
    assert scores["n_calibration"].unique().tolist() == [0, 1, 2, 5, 10]
    assert len(scores) == 3 * 6 * 6
    curve = NewPersonCurve.read_json("out/new_person.json")
    mean = curve.scores("band, recentred", "f1_macro", known="unlabelled").mean()
    assert "f1_macro on a new person" in said
    assert f"{mean:.3f}" in said.partition("on a new person")[2]
    assert not curve.settings["shuffle"]
    page = Page((folder / "out/report.html").read_text(encoding="utf-8"))
    text = " ".join("".join(page.text).split())
    for expected in ("A new person", "Each of the 6 people is left out once", "Nothing known",
                     "the first ones in the order of the data", "marked as recentred",
                     "10 per class", "f1_macro on a new person", f"{mean:.3f}"):  # fmt: skip
        assert expected in text
    assert any(image["alt"].startswith("accuracy on a new person") for image in page.images)


def test_without_adapt_nothing_is_said_of_a_new_person(folder, capsys):
    assert evaluate("mine.npz", "--fractions", "1", estimators="majority") == 0
    assert "new person" not in capsys.readouterr().out
    assert "new person" not in (folder / "out/report.html").read_text(encoding="utf-8")
    assert not (folder / "out/new_person.csv").exists()


def test_the_block_explains_recentring_only_where_there_is_any():
    rows = [
        {"estimator": name, "known": "nothing", "n_calibration": 0, "person": str(person),
         "n_train": 20, "n_test": 10, "n_available": 20, "accuracy": 0.5 + 0.1 * person,
         "fit_time": 0.1, "predict_time": 0.1, "error": ""}
        for name in ("<i>a</i>", "b") for person in range(3)
    ]  # fmt: skip
    curve = NewPersonCurve(rows, metrics=["accuracy"], settings={"classes": {"x": 5, "y": 5}})
    text = "".join(new_person_block(curve))
    assert "&lt;i&gt;a" in text
    assert "0.600" in text
    assert "recentred" not in text
    assert "Unlabelled" not in text
    assert "Labelled" not in text


def test_failures_on_a_new_person_are_in_the_report(folder):
    source = "from my_own_models import *\n\n\nclass Odd(LogisticRegression):\n"
    source += "    def personalize(self, X, y, X_unlabelled=None):\n"
    source += "        raise RuntimeError('too few')\n\n\n"
    source += "odd = make_pipeline(FunctionTransformer(power), Odd())\n"
    (folder / "odd_models.py").write_text(source)
    assert evaluate("mine.npz", "--adapt", "--fractions", "1", estimators="odd_models:odd") == 0
    assert "RuntimeError: too few" in (folder / "out/report.html").read_text(encoding="utf-8")
    sys.modules.pop("odd_models")


def test_an_interrupted_evaluation_of_new_people_is_resumed(folder):
    more = ("mine.npz", "--adapt", "--fractions", "1", "--folds", "2", "--scoring", "accuracy")
    assert evaluate(*more) == 0
    stored = (folder / "out/run-new-person/rows.jsonl").read_bytes()
    before = (folder / "out/new_person.json").read_bytes()
    assert evaluate(*more) == 0
    assert (folder / "out/run-new-person/rows.jsonl").read_bytes() == stored
    assert (folder / "out/new_person.json").read_bytes() == before


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ({}, "--adapt evaluates on a new person, but the data have no groups"),
        ({"groups": np.zeros(60)}, "1 group(s)"),
    ],
)
def test_adapt_needs_people(folder, capsys, groups, said):
    with np.load("mine.npz") as file:
        np.savez("alone.npz", X=file["X"], y=file["y"], **groups)
    assert evaluate("alone.npz", "--adapt", estimators="majority") == 1
    error = capsys.readouterr().err
    assert error.startswith("citrus-sk evaluate: error:")
    assert said in error
    assert not (folder / "out" / "run").exists()


# --- the report ---


class Page(html.parser.HTMLParser):
    """Checks that tags are balanced, and gathers what matters."""

    def __init__(self, text):
        super().__init__()
        self.open, self.images, self.text, self.names = [], [], [], set()
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.names.add(tag)
        if tag == "img":
            self.images.append(dict(attrs))
        if tag not in ("img", "br", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_report_is_one_page_that_needs_nothing_and_escapes_what_it_shows(folder):
    rows = []
    for name in ("<script>alert(1)</script>", "b&b"):
        for fold in range(3):
            score = 0.5 + 0.1 * fold + 0.2 * (name == "b&b")
            rows.append(
                {"estimator": name, "fraction": 0.5, "shots": np.nan, "repeat": 0, "fold": fold,
                 "n_train": 10, "n_test": 10, "n_available": 20, "accuracy": score,
                 "fit_time": 0.1, "predict_time": 0.1, "error": "x < y" if fold == 2 else "",
                 "confusion": [[5, 0], [2, 3]]}
            )  # fmt: skip
    settings = {"classes": {"<b>rest</b>": 15, "fist": 15}, "shape": [30, 1, 8], "n_groups": None}
    curve = FractionCurve(rows, metrics=["accuracy"], settings=settings)
    write_report(curve, "a.html", title="Trial & <i>error</i>", notes=["5 windows <overlap>"])
    write_report(curve, "b.html", title="Trial & <i>error</i>", notes=["5 windows <overlap>"])
    text = (folder / "a.html").read_text(encoding="utf-8")
    assert text == (folder / "b.html").read_text(encoding="utf-8")
    page = Page(text)
    assert not {"script", "b", "i", "overlap", "link", "iframe"} & page.names
    assert not re.findall(r'(?:src|href)="(?!data:)', text)
    assert 'name="viewport"' in text
    assert '<html lang="en">' in text
    assert len(page.images) == 1 + 2  # a curve, two confusions; no estimator gave probabilities
    assert all(image["alt"] and image["src"].startswith("data:image/svg") for image in page.images)
    said = "".join(page.text)
    for expected in ("<script>alert(1)</script>", "b&b", "<b>rest</b>", "x < y", "0.600", "-0.200",
                   "5 windows <overlap>", "No groups were passed"):  # fmt: skip
        assert expected in said


def test_a_report_that_cannot_be_written_is_named(folder):
    curve = FractionCurve([], metrics=["accuracy"], settings={})
    with pytest.raises(OSError, match=r"its folder 'nowhere' does not exist"):
        write_report(curve, "nowhere/a.html")
