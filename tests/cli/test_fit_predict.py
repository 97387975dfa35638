"""``citrus-sk fit`` and ``predict``: from recordings to a model, and from a model to answers."""

import csv
from pathlib import Path
from types import SimpleNamespace

import joblib
import mne
import numpy as np
import pandas as pd
import pytest
from edf_files import write_edf
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils import Bunch

from citrus_sk import SignalAligner
from citrus_sk.cli import recording_parsers
from citrus_sk.cli.arguments import DataSource, listed, names
from citrus_sk.cli.fit import _closing_words
from citrus_sk.cli.parser import main
from citrus_sk.datasets import load_watch
from citrus_sk.estimators.citrus_predictor import STRATEGIES
from citrus_sk.mne import RecordingModel, predict_raw

EXERCISES = ("row", "abduction", "pendulum")
LENGTH = 2.56


def save_person(watch, person, path):
    """Save three exercises of a person, with their names as annotations."""
    parts = [watch.X[(watch.groups == person) & (watch.y == name)][:8] for name in EXERCISES]
    info = mne.create_info(watch.ch_names, watch.sfreq, "misc")
    raw = mne.io.RawArray(np.concatenate(np.concatenate(parts), axis=1), info, verbose="error")
    lengths = np.array([len(part) for part in parts]) * LENGTH
    raw.set_annotations(mne.Annotations(np.cumsum(lengths) - lengths, lengths, EXERCISES))
    raw.save(path, verbose="error")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model of four people by the command, and recordings of two others."""
    folder = tmp_path_factory.mktemp("watch")
    watch = load_watch(window_s=LENGTH, overlap=0)
    (folder / "train").mkdir()
    (folder / "new").mkdir()
    for person in "123456":
        part = "train" if person < "5" else "new"
        save_person(watch, person, folder / part / f"person{person}_raw.fif")
    arguments = ["fit", folder / "train", "--labels", "annotations", "--duration", LENGTH]
    assert main([*map(str, arguments), "--out", str(folder / "my.joblib")]) == 0
    return folder


def run(*arguments):
    return main(list(map(str, arguments)))


def error_of(capsys, *arguments):
    """Return the single line of an error, which is no traceback."""
    assert run(*arguments) == 1
    text = capsys.readouterr().err
    (line,) = [line for line in text.splitlines() if not line.startswith("warning")]
    assert line.startswith(f"citrus-sk {arguments[0]}: error: ")
    return line


def test_exercises_of_new_people_are_recognised(trained, tmp_path, capsys):
    out, folder = tmp_path / "p.csv", tmp_path / "events"
    arguments = (trained / "new", "--out", out, "--annotations", folder, "--min-duration", 10)
    assert run("predict", trained / "my.joblib", *arguments, "--quiet") == 0
    printed = capsys.readouterr()
    assert "2 recording(s), 48 windows of 2.56 s" in printed.out
    assert printed.err == ""
    table = pd.read_csv(out)
    assert list(table) == ["recording", "start", "end", "label", "p_abduction", "p_pendulum",
                           "p_row"]  # fmt: skip
    truth = np.tile(np.repeat(EXERCISES, 8), 2)
    assert (table["label"] == truth).mean() > 0.8
    np.testing.assert_allclose(table["end"] - table["start"], LENGTH)
    for name in ("person5_raw.fif", "person6_raw.fif"):
        raw = mne.io.read_raw_fif(trained / "new" / name, preload=True, verbose="error")
        found = mne.read_annotations(folder / f"{name}_annot.txt")
        prediction = predict_raw(joblib.load(trained / "my.joblib"), raw)
        assert len(found) >= 3
        assert found == prediction.to_annotations(min_duration=10)
        np.testing.assert_allclose(
            prediction.proba, table[table["recording"] == name].iloc[:, 4:], atol=1e-6
        )


def test_the_model_knows_its_windows_and_what_to_do_next(trained, tmp_path, capsys):
    model = joblib.load(trained / "my.joblib")
    assert model.ch_names == ("ax", "ay", "az", "wx", "wy", "wz")
    assert (model.duration, model.sfreq, len(model.ch_kinds)) == (LENGTH, 50.0, 6)
    assert sorted(model.classes_) == sorted(EXERCISES)
    arguments = ("fit", trained / "train", "--labels", "annotations", "--duration", "5.12",
                 "--events", "row,pendulum", "--picks", "ax,wy")  # fmt: skip
    assert run(*arguments, "--out", tmp_path / "other.joblib", "--pretrained", "none") == 0
    said = capsys.readouterr().out
    assert "2 channels (ax, wy), 2 classes, 4 groups" in said
    assert "Windows of each class: row 16, pendulum 16." in said
    shown = said.splitlines()[-1]
    assert shown.endswith(
        "train --labels annotations --duration 5.12 --events row,pendulum --picks ax,wy"
    )
    assert shown.startswith("  citrus-sk evaluate ")


def test_nothing_is_overwritten_unless_told(trained, tmp_path, capsys):
    (tmp_path / "my.joblib").write_text("mine")
    fit = ("fit", trained / "train", "--labels", "annotations", "--duration", LENGTH, "--out")
    assert "my.joblib exists already" in error_of(capsys, *fit, tmp_path / "my.joblib")
    assert (tmp_path / "my.joblib").read_text() == "mine"
    (tmp_path / "p.csv").write_text("mine")
    predict = ("predict", trained / "my.joblib", trained / "new", "--quiet", "--out")
    assert "p.csv exists already" in error_of(capsys, *predict, tmp_path / "p.csv")
    (tmp_path / "ev").mkdir()
    (tmp_path / "ev" / "person5_raw.fif_annot.txt").write_text("mine")
    more = (tmp_path / "new.csv", "--annotations", tmp_path / "ev")
    assert "annot.txt exists already" in error_of(capsys, *predict, *more)
    assert not (tmp_path / "new.csv").exists()
    assert run(*predict, tmp_path / "p.csv", "--overwrite") == 0
    assert (tmp_path / "p.csv").read_text().startswith("recording,start")
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []


def test_adapting_is_by_subject_or_by_a_table(trained, tmp_path):
    predict = ("predict", trained / "my.joblib", trained / "new", "--quiet", "--adapt", "--out")
    assert run(*predict, tmp_path / "alone.csv") == 0
    (tmp_path / "people.csv").write_text("file,group\nperson5_raw.fif,same\nperson6_raw.fif,same\n")
    assert run(*predict, tmp_path / "same.csv", "--people", tmp_path / "people.csv") == 0
    alone, same = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("alone", "same"))
    model = joblib.load(trained / "my.joblib")
    raw = mne.io.read_raw_fif(trained / "new/person5_raw.fif", preload=True, verbose="error")
    expected = predict_raw(model, raw, adapt=True).proba
    np.testing.assert_allclose(alone.iloc[:24, 4:], expected, atol=1e-6)
    assert abs(alone.iloc[:, 4:] - same.iloc[:, 4:]).to_numpy().max() > 1e-4


# --- recordings of all kinds, with a model that fits in milliseconds ---------------------------


def noise(n_seconds=20, sfreq=100, seed=0):
    values = np.random.default_rng(seed).standard_normal(n_seconds * sfreq) * 100
    loud = np.arange(len(values)) // (2 * sfreq) % 2  # every other two seconds
    return (values * (1 + 4 * loud)).astype(int)


def edf(path, names=("EEG Fz", "EEG Cz"), n_seconds=20, sfreq=100, **settings):
    signals = {name: (noise(n_seconds, sfreq, seed), sfreq) for seed, name in enumerate(names)}
    return write_edf(path, signals, **settings)


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A folder with a recording and a model of loud and quiet windows of 2 s."""
    edf(tmp_path / "rec" / "a.edf")
    X = np.stack([noise(seed=seed).reshape(10, 200) for seed in range(2)], axis=1) * 1e-7
    y = np.where(np.arange(10) % 2, "lärm", "still, ganz")
    spread = FunctionTransformer(np.std, kw_args={"axis": 2})
    pipe = make_pipeline(SignalAligner(128), spread, StandardScaler(), LogisticRegression())
    model = RecordingModel(
        estimator=pipe.fit(X, y), duration=2.0, sfreq=100.0, ch_names=("EEG Fz", "EEG Cz")
    )
    joblib.dump(model, tmp_path / "m.joblib")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def predict(*arguments, out="p.csv"):
    assert run("predict", "m.joblib", *arguments, "--quiet", "--out", out) == 0
    with Path(out).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_labels_may_be_any_text(work, capsys):
    rows = predict("rec", "--annotations", "ev")
    assert [row["label"] for row in rows] == ["still, ganz", "lärm"] * 5
    text = Path("ev/a.edf_annot.txt").read_text("utf-8")
    assert text.splitlines()[1:3] == ["# onset, duration, description", "0,2,still; ganz"]
    assert list(rows[0])[-2:] == ["p_lärm", "p_still, ganz"]
    assert "'lärm' has letters that mne.read_annotations cannot read" in capsys.readouterr().err
    assert [path.name for path in Path("ev").iterdir()] == ["a.edf_annot.txt"]
    predict("rec", "--annotations", "rec", "--annotations-format", "edf", out="e.csv")
    assert capsys.readouterr().err == ""
    found = mne.read_annotations("rec/a.edf_annot.edf")
    np.testing.assert_allclose(found.onset, np.arange(0, 20, 2))
    np.testing.assert_allclose(found.duration, 2)
    assert list(found.description) == ["still, ganz", "lärm"] * 5
    assert len(predict("rec", out="f.csv")) == 10  # files of events are no recordings
    more = ("--annotations", "none", "--min-duration", "9", "--step", "1")
    assert len(predict("rec", *more, out="q.csv")) == 19
    assert len(mne.read_annotations("none/a.edf_annot.txt")) == 0
    predict("rec", *more, "--annotations-format", "edf", out="g.csv")
    assert len(mne.read_annotations("none/a.edf_annot.edf")) == 0


def test_order_and_number_of_channels_do_not_matter(work):
    expected = predict("rec")
    edf(work / "more.edf", ("ECG", "EEG Cz", "EEG Fz"))
    values = {"ECG": (noise(), 100), "Cz": (noise(seed=1), 100), "Fz": (noise(), 100)}
    values["Flow"] = (noise(sfreq=200), 200)  # faster, so MNE would resample the others
    write_edf(work / "more.edf", values)
    found = predict("more.edf", out="q.csv")
    assert [row | {"recording": "a.edf"} for row in found] == expected


def test_a_missing_channel_is_interpolated_where_asked(work, capsys):
    edf(work / "other.edf", ("EEG Pz", "EEG C3", "EEG Fz", "EEG C4"))
    assert "no channel 'EEG Cz'" in error_of(
        capsys, "predict", "m.joblib", "other.edf", "--out", "p.csv"
    )
    rows = predict("other.edf", "--missing-channels", "interpolate")
    assert [row["label"] for row in rows] == ["still, ganz", "lärm"] * 5


def test_another_rate_is_resampled(work):
    edf(work / "fast.edf", sfreq=250)
    assert [row["label"] for row in predict("fast.edf")] == ["still, ganz", "lärm"] * 5


def test_windows_may_overlap(work):
    starts = [float(row["start"]) for row in predict("rec", "--step", "0.5")]
    assert starts == [i / 2 for i in range(37)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("short.edf",), "short.edf lasts 1 s, which is less than a window of 2 s"),
        (("bad.edf",), "bad.edf has no window of 2 s without bad or missing stretches"),
        (("renamed.edf",), "renamed.edf has no channel 'EEG Cz', which the model was trained on. It"
         " has EEG Fz, EEG Pz"),
        (("mixed.edf",), "signals of unequal sampling rates"),
        (("torn.edf",), "torn.edf cannot be read"),
        (("empty",), "there is no recording in empty; looked for files that end in .edf"),
        (("arrays.npz",), "arrays.npz has no sampling rate, so the length of its windows is unkn"),
        (("arrays",), "arrays holds arrays and no recording. To predict windows, name the .npz"),
        (("nowhere",), "RECORDING: there is no file or folder 'nowhere'"),
        (("rec", "--step", "3"), "--step=3.0 is out of range; expected a number in seconds"),
        (("rec", "--low", "0.9"), "--low=0.9 is out of range"),
        (
            ("renamed.edf", "--missing-channels", "ignore"),
            "renamed.edf lacks EEG Cz, and missing_channels='ignore' needs a CitrusClassifier",
        ),
        (("rec", "--classes", "laut"), "--classes has 'laut', which is not a class of the model"),
        (("rec", "--people", "x.csv"), "--people is for --adapt"),
        (("rec", "--annotations-format", "edf"), "--annotations-format is for --annotations FOLD"),
        (("rec", "--adapt", "--people", "people.csv"), "people.csv has no row for a.edf"),
        (("rec", "--annotations", "m.joblib"), "cannot write into the folder m.joblib"),
    ],
)  # fmt: skip
def test_what_cannot_be_predicted_is_named_and_nothing_is_written(work, capsys, arguments, said):
    edf(work / "short.edf", n_seconds=1)
    edf(work / "bad.edf", annotations=[(0, 20, "BAD_ all")])
    edf(work / "renamed.edf", ("EEG Fz", "EEG Pz"))
    write_edf(work / "mixed.edf", {"EEG Fz": (noise(), 100), "EEG Cz": (noise(sfreq=50), 50)})
    (work / "torn.edf").write_bytes(b"0       torn")
    (work / "empty").mkdir()
    np.savez(work / "arrays.npz", X=np.zeros((2, 2, 200)))
    (work / "arrays").mkdir()
    np.savez(work / "arrays" / "a.npz", X=np.zeros((2, 2, 200)))
    edf(work / "b.edf")
    (work / "people.csv").write_text("file,group\nb.edf,p\n")
    if "--people" in arguments:
        (work / "rec" / "b.edf").write_bytes((work / "b.edf").read_bytes())
    error = error_of(capsys, "predict", "m.joblib", *arguments, "--out", "p.csv", "--quiet")
    assert said in error
    assert not (work / "p.csv").exists()


def test_what_is_no_model_is_named(work, capsys):
    (work / "torn.joblib").write_bytes((work / "m.joblib").read_bytes()[:500])
    joblib.dump({"a": 1}, work / "dict.joblib")
    said = {
        "no.joblib": "there is no file 'no.joblib'",
        "torn.joblib": "torn.joblib cannot be loaded",
        "dict.joblib": "dict.joblib holds a dict; expected a file of citrus-sk fit",
    }
    for name, text in said.items():
        assert text in error_of(capsys, "predict", name, "rec", "--out", "p.csv")


def test_a_folder_is_predicted_without_what_cannot_be(work, capsys):
    edf(work / "rec" / "short.edf", n_seconds=1)
    assert "Or pass --on-error skip" in error_of(
        capsys, "predict", "m.joblib", "rec", "--out", "p.csv"
    )
    assert {row["recording"] for row in predict("rec", "--on-error", "skip")} == {"a.edf"}
    assert "warning: skipped: short.edf lasts 1 s" in capsys.readouterr().err


def test_recordings_of_equal_names_stay_apart(work):
    edf(work / "rec" / "sub" / "a.edf", n_seconds=4)
    assert {row["recording"] for row in predict("rec")} == {"a.edf", "sub/a.edf"}
    assert {row["recording"] for row in predict("rec/a.edf", "rec/sub/a.edf", out="q.csv")} == {
        "a.edf", "sub/a.edf",
    }  # fmt: skip


# --- labels --------------------------------------------------------------------------------------


def bids(folder):
    """Two subjects, whose events are in tables."""
    for subject in ("01", "02"):
        path = folder / f"sub-{subject}" / "eeg" / f"sub-{subject}_task-x_eeg.edf"
        edf(path, annotations=[(0, 4, "not in the table")])
        lines = ["onset\tduration\ttrial_type"]
        lines += [f"{i}\t2\t{'b' if i % 4 else 'a'}" for i in range(0, 18, 2)]
        lines += ["4\t2\tBAD_moved", "18\tn/a\tcue", "19.5\t0\tcue"]
        path.with_name(f"sub-{subject}_task-x_events.tsv").write_text("\n".join(lines))


def test_events_of_bids_are_labels(tmp_path, capsys):
    bids(tmp_path / "data")
    arguments = ("fit", tmp_path / "data", "--labels", "annotations", "--duration", "2", "--out")
    assert run(*arguments, tmp_path / "m.joblib", "--pretrained", "none") == 0
    said = capsys.readouterr().out
    # Without the window that is marked bad, and the cue that has no room.
    assert "18 windows of 200 samples (2 s), 2 channels (EEG Fz, EEG Cz), 3 classes, 2" in said
    assert "Windows of each class: a 8, b 8, cue 2." in said


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("data", "--labels", "annotations"), "needs --duration, the length of a window in seconds."
         " The annotations are a (10), b (8), cue (4), of 0 to 2 s"),
        (("data", "--labels", "annotations", "--duration", "0"), "--duration=0.0 is out of range"),
        (("data", "--labels", "annotations", "--duration", "3", "--events", "a"),
         "has room for a window of 3 s; they last 2 to 2 s"),
        (("data", "--labels", "annotations", "--duration", "2", "--events", "x"),
         "--events has 'x', and no annotation in"),
        (("plain/a.edf", "--labels", "x.csv"), "neither an .npz file nor a folder"),
        (("plain", "--labels", "annotations", "--duration", "2"), "has annotations. Pass --labels"),
        (("rate.npz",), "rate.npz has no sampling rate"),
        (("names.npz",), "names.npz has 1 different ch_names and X of the shape (4, 2, 50)"),
        (("rate.npz", "--duration", "2"), "--duration is for --labels annotations"),
        (("rate.npz", "--sfreq", "-2"), "--sfreq=-2.0 is out of range"),
        (("rate.npz", "--sfreq", "50", "--pretrained", "eeg-frq"), "'eeg-frq'"),
    ],
)  # fmt: skip
def test_what_cannot_be_fitted_is_named(tmp_path, monkeypatch, capsys, more, said):
    monkeypatch.chdir(tmp_path)
    bids(tmp_path / "data")
    edf(tmp_path / "plain" / "a.edf")
    whole = {"X": np.zeros((4, 2, 50)), "y": [0, 1, 0, 1]}
    np.savez("rate.npz", **whole)
    np.savez("names.npz", **whole, sfreq=100, ch_names=["a"])
    assert said in error_of(capsys, "fit", *more, "--out", "m.joblib")
    assert not (tmp_path / "m.joblib").exists()


def test_the_strategies_are_those_of_the_classifier():
    assert recording_parsers.STRATEGIES == STRATEGIES


def test_an_array_with_names_is_enough(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    y = np.tile([0, 1], 10)
    X = rng.standard_normal((20, 2, 100)) * (1 + 4 * y)[:, None, None]
    np.savez("a.npz", X=X, y=y, sfreq=100, ch_names=["Fz", "Cz"])
    assert run("fit", "a.npz", "--out", "m.joblib", "--pretrained", "none") == 0
    assert joblib.load("m.joblib").ch_names == ("Fz", "Cz")
    edf(tmp_path / "b.edf", ("EEG Cz", "EEG Fz"))
    assert len(predict("b.edf")) == 20


@pytest.mark.parametrize(("adapted", "told"), [(0.4, True), (0.6, False)])
def test_adapting_is_proposed_only_if_it_lowers_the_loss(adapted, told):
    chosen = {"kind": "people", "loss": 0.5, "adapted_loss": adapted}
    pipeline = [SimpleNamespace(adaptation_=chosen)]
    said = _closing_words(Path("m"), 1, pipeline, Bunch(groups=["a"]), DataSource(data=Path("d")))
    assert ("consider --adapt" in said) == told


def test_descriptions_with_commas_are_listed_in_quotes():
    assert names('"rest, eyes open", fist') == ["rest, eyes open", "fist"]
    assert names(listed(["a, b", 'c"d', "e"])) == ["a, b", 'c"d', "e"]
