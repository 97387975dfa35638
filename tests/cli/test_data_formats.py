"""Every format that the guide names: the commands of its sections run on files of that format."""

import re
import shlex
from pathlib import Path

import joblib
import mne
import numpy as np
import pandas as pd
import pytest
import wfdb
from edf_files import write_edf
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from citrus_sk import SignalAligner
from citrus_sk.cli.parser import main
from citrus_sk.datasets import load_watch
from citrus_sk.mne import RecordingModel
from citrus_sk.signals.recordings.labelled import open_picked, read_labelled

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "recordings.md"
EXERCISES = ("row", "abduction")
SFREQ = 50


@pytest.fixture(scope="module")
def exercises():
    """A minute of each exercise of five people, (2 channels, n_times), at 50 Hz."""
    watch = load_watch(window_s=2.56, overlap=0)
    parts = {}
    for person in "12578":  # who have a minute of both
        rows = [watch.X[(watch.groups == person) & (watch.y == name)][:24] for name in EXERCISES]
        parts[person] = [np.concatenate(each, axis=1)[[0, 4], : 60 * SFREQ] for each in rows]
    assert all(part.shape == (2, 60 * SFREQ) for each in parts.values() for part in each)
    return parts


def whole(parts):
    return np.concatenate(parts, axis=1)


def edf(path, parts, names, **settings):
    signals = {
        name: ((values * 1000).astype(int), SFREQ)
        for name, values in zip(names, whole(parts), strict=True)
    }
    if "slow" in settings:
        signals[settings.pop("slow")] = (np.arange(120), 1)
    return write_edf(path, signals, **settings)


def record(folder, name, parts, notes=()):
    """Write a WFDB record, with annotations: sample, symbol and text."""
    folder.mkdir(exist_ok=True)
    wfdb.wrsamp(
        name, SFREQ, ["g", "deg/s"], ["ax", "wy"], whole(parts).T.astype(float),
        fmt=["16", "16"], write_dir=str(folder),
    )  # fmt: skip
    if notes:
        samples, symbols, texts = zip(*notes, strict=True)
        wfdb.wrann(
            name, "atr", np.array(samples), list(symbols), aux_note=list(texts), fs=SFREQ,
            write_dir=str(folder),
        )  # fmt: skip


def wfdb_records(exercises):
    for person, parts in exercises.items():
        notes = [(0, "+", "(AFIB"), (60 * SFREQ, "+", "(N")]
        record(Path("new" if person == "7" else "records"), person, parts, notes)


def bids_folder(exercises):
    for person, parts in exercises.items():
        for run, part in enumerate(parts, 1):
            name = f"sub-{person}_ses-a_task-x_run-{run}"
            top = Path("new" if person == "7" else "dataset")
            path = top / f"sub-{person}" / "ses-a" / "eeg" / f"{name}_eeg.edf"
            edf(path, [part], ("A1", "A2"))
            label = ("Übung, rechts", "підйом")[run - 1]
            lines = ["onset\tduration\ttrial_type", f"0\t60\t{label}", "20\t5\tBAD_cough"]
            path.with_name(f"{name}_events.tsv").write_text("\n".join(lines), encoding="utf-8")
    lines = ["name\ttype\tunits\tstatus", "A1\tEEG\tuV\tgood", "A2\tEOG\tuV\tgood"]
    for top in (Path("dataset"), Path("new")):
        (top / "channels.tsv").write_text("\n".join(lines))
        (top / "dataset_description.json").write_text('{"Name": "twin", "BIDSVersion": "1.9.0"}')
        (top / "participants.tsv").write_text("participant_id\tage\nsub-1\t30\n")


def sleep_nights(exercises):
    for person, parts in exercises.items():
        night = {"1": "011", "2": "012"}.get(person, f"0{person}1")  # both nights of a person
        folder = Path("new" if person == "7" else "nights")
        names = ("EEG Fpz-Cz", "EEG Pz-Oz")
        edf(folder / f"SC4{night}E0-PSG.edf", parts, names, slow="Resp oro-nasal", annotations=[])
        stages = [(0, 60, "Sleep stage W"), (60, 60, "Sleep stage 2"), (120, 99, "Sleep stage ?")]
        if person != "7":
            path = folder / f"SC4{night}EC-Hypnogram.edf"
            write_edf(path, {"x": (np.zeros(120, int), 1)}, annotations=stages)


def csv_windows(exercises):
    for name, people in (("windows", "1258"), ("new", "7")):
        tables = []
        for person in people:
            for label, part in zip(EXERCISES, exercises[person], strict=True):
                for i in range(3):
                    table = pd.DataFrame(part[:, 128 * i :][:, :128].T, columns=["ax", "wy"])
                    table["time"] = (np.arange(128) / SFREQ + i * 2.56).round(2)
                    labels = {"label": label} if name == "windows" else {}
                    tables.append(
                        table.assign(window=f"{person}{label}{i}", group=person, **labels)
                    )
        pd.concat(tables).to_csv(f"{name}.csv", index=False)


def commands_of(section):
    page = GUIDE.read_text(encoding="utf-8")
    text = re.search(rf"### {re.escape(section)}\n.*?```sh\n(.*?)```", page, flags=re.DOTALL)[1]
    return [shlex.split(line)[1:] for line in text.splitlines()]


@pytest.mark.parametrize(
    ("section", "write", "people", "classes"),
    [
        ("WFDB", wfdb_records, 4, ["(AFIB", "(N"]),
        ("BIDS", bids_folder, 4, ["Übung, rechts", "підйом"]),
        ("Sleep-EDF", sleep_nights, 3, ["Sleep stage 2", "Sleep stage W"]),
        ("CSV and .npz", csv_windows, 4, ["abduction", "row"]),
    ],
)
def test_the_commands_of_a_format_run(
    tmp_path, monkeypatch, capsys, exercises, section, write, people, classes
):
    monkeypatch.chdir(tmp_path)
    write(exercises)
    fit, evaluate, predict = commands_of(section)
    cheap = ["--estimators", "bandpower", "--fractions", "1", "--jobs", "1", "--quiet"]
    assert main(["inspect", *fit[1 : fit.index("--out")], "--quiet"]) == 0
    assert main([*fit, "--pretrained", "none"]) == 0
    assert main([*evaluate, *cheap]) == 0
    assert main([*predict, "--quiet"]) == 0
    printed = capsys.readouterr().out
    assert f"{people} groups" in printed
    assert f"2 classes, {people} groups" in printed
    assert f"each class has at least {people} people" in printed
    assert (tmp_path / "score" / "report.html").exists()
    table = pd.read_csv("predictions.csv")
    assert list(table)[-2:] == [f"p_{name}" for name in classes]
    truth = {"(AFIB": 0, "Übung, rechts": 0, "Sleep stage W": 0, "row": 0}
    found = np.array([truth.get(label, 1) for label in table["label"]])
    assert len(found) >= 4
    assert (found == np.arange(len(found)) // (len(found) / 2)).mean() > 0.7
    if "--annotations" in predict:
        events = [path.read_text("utf-8") for path in Path("events").rglob("*_annot.txt")]
        assert all(text.startswith("# MNE-Annotations") for text in events)
        assert all(name.replace(",", ";") in "".join(events) for name in classes)


# --- WFDB ----------------------------------------------------------------------------------------


def test_rhythms_last_and_beats_do_not(tmp_path, exercises):
    notes = [(0, "+", "(N\x00"), (100, "N", ""), (200, "V", ""), (500, "+", "(AFIB"),
             (600, "+", ""), (700, '"', "moved")]  # fmt: skip
    record(tmp_path, "a", exercises["1"], notes)
    raw = open_picked(tmp_path / "a.hea", "a.hea", None)
    found = [(each["onset"], each["duration"], each["description"]) for each in raw.annotations]
    assert found == [
        (0, 10, "(N"), (2, 0, "N"), (4, 0, "V"), (10, 110, "(AFIB"), (14, 0, "moved"),
    ]  # fmt: skip
    take = {"labels": Path("annotations"), "duration": 0.6}
    beats = read_labelled(tmp_path, **take, events=["N", "V"], tmin=-0.3)
    np.testing.assert_allclose(beats.X[1], whole(exercises["1"])[:, 185:215], atol=1e-3)
    assert beats.y.tolist() == ["N", "V"]
    with pytest.raises(ValueError, match=r"'N' at 2 s is within '\(N'.*--events '\(N,\(AFIB'"):
        read_labelled(tmp_path, **take)


def test_a_damaged_annotation_file_is_named(tmp_path, exercises):
    record(tmp_path, "a", exercises["1"])
    (tmp_path / "a.atr").write_bytes(b"\x01")
    with pytest.raises(ValueError, match=r"a\.hea cannot be read: its annotations, a\.atr, are"):
        read_labelled(tmp_path, Path("annotations"), duration=1)


# --- annotations ---------------------------------------------------------------------------------


def test_a_night_without_hypnogram_is_named(tmp_path, exercises):
    edf(tmp_path / "ST7011J0-PSG.edf", exercises["1"], ("EEG Fpz-Cz", "EEG Pz-Oz"))
    with pytest.raises(ValueError, match=r"ST7011J0-PSG\.edf has no hypnogram.*Hypnogram\.edf"):
        read_labelled(tmp_path, Path("annotations"), duration=30)
    stages = [(0, 60, "Sleep stage W"), (60, 30, "Movement time"), (90, 30, "Sleep stage R")]
    path = tmp_path / "st7011jp-hypnogram.edf"
    write_edf(path, {"x": (np.zeros(120, int), 1)}, annotations=stages)
    found = read_labelled(tmp_path, Path("annotations"), duration=30)
    assert found.y.tolist() == ["Sleep stage W", "Sleep stage W", "Sleep stage R"]


def test_the_table_of_channels_of_bids_counts(tmp_path, monkeypatch, exercises):
    monkeypatch.chdir(tmp_path)
    bids_folder(exercises)
    take = {"labels": Path("annotations"), "duration": 10}
    assert read_labelled(Path("dataset"), **take, picks=["EOG"]).ch_names == ["A2"]
    table = Path("dataset/channels.tsv")
    table.write_text(table.read_text().replace("A1\tEEG\tuV\tgood", "A1\tEEG\tuV\tbad"))
    assert read_labelled(Path("dataset"), **take).ch_names == ["A2"]


def test_a_table_names_the_people_of_annotated_recordings(tmp_path, exercises):
    for name in ("a1", "a2", "b"):
        edf(tmp_path / f"{name}.edf", exercises["1"], ("Fz", "Cz"), annotations=[(0, 10, name)])
    take = {"labels": Path("annotations"), "duration": 5}
    assert set(read_labelled(tmp_path, **take).groups) == {"a1.edf", "a2.edf", "b.edf"}
    table = tmp_path / "people.csv"
    table.write_text("file,group\na1.edf,anna\nA2.edf,anna\nb.edf,bob\n")
    found = read_labelled(tmp_path, **take, people=table)
    assert found.groups.tolist() == ["anna"] * 4 + ["bob"] * 2
    assert found.groups_from == "column 'group' of people.csv"
    table.write_text("file,group\na1.edf,anna\n")
    with pytest.raises(ValueError, match=r"people\.csv has no row for a2\.edf, b\.edf"):
        read_labelled(tmp_path, **take, people=table)
    with pytest.raises(ValueError, match="--people is for --labels annotations"):
        read_labelled(tmp_path, tmp_path / "labels.csv", people=table)


@pytest.mark.parametrize(
    ("notes", "said"),
    [
        ([(0, 10, "rest"), (5, 10, "fist")], "'fist' at 5 s is within 'rest', from 0 to 10 s"),
        ([(0, 10, "rest"), (4, 0, "cue")], "'cue' at 4 s is within 'rest'.*--events 'rest'"),
        ([(3, 0, "cue"), (3, 0, "tone")], "at 3 s has the labels 'cue' and 'tone'"),
    ],
)
def test_two_labels_at_one_time_are_refused(tmp_path, exercises, notes, said):
    edf(tmp_path / "a.edf", exercises["1"], ("Fz", "Cz"), annotations=notes)
    for duration in (1, 2):
        with pytest.raises(ValueError, match=said):
            read_labelled(tmp_path, Path("annotations"), duration=duration)


def test_annotations_of_a_recording_that_was_cropped_stay_at_their_samples(tmp_path):
    values = np.random.default_rng(0).standard_normal((2, 1000)) * 1e-5
    raw = mne.io.RawArray(values, mne.create_info(2, 100.0, "eeg"), verbose="error")
    raw.set_annotations(mne.Annotations([4.0, 6.0], [1.0, 1.0], ["a", "b"]))
    raw.crop(3.0).save(tmp_path / "a_raw.fif", verbose="error")
    np.save(tmp_path / "array.npy", values)  # has no annotations, and is passed over
    found = read_labelled(tmp_path, Path("annotations"), duration=1)
    assert found.y.tolist() == ["a", "b"]
    np.testing.assert_allclose(found.X, [values[:, 400:500], values[:, 600:700]], atol=1e-10)


def test_labels_that_only_touch_or_follow_each_other_fast_are_taken(tmp_path, exercises):
    notes = [(0, 10.005, "a"), (10, 10, "b"), (12, 0.5, "short"), (40, 0, "c"), (40.3, 0, "d")]
    edf(tmp_path / "a.edf", exercises["1"], ("Fz", "Cz"), annotations=notes)
    found = read_labelled(tmp_path, Path("annotations"), duration=1)
    assert found.y.tolist() == ["a"] * 10 + ["b"] * 10 + ["c", "d"]


def test_annotations_in_another_encoding_and_form_are_read(tmp_path, exercises):
    notes = [(0, 10, "Ruhe"), (10, 10, "Lxrm")]
    path = edf(tmp_path / "a.edf", exercises["1"], ("Fz", "Cz"), annotations=notes)
    path.write_bytes(path.read_bytes().replace(b"Lxrm", "Lärm".encode("latin-1")))
    found = read_labelled(tmp_path, Path("annotations"), duration=5, events=["La\u0308rm"])
    assert found.y.tolist() == ["Lärm", "Lärm"]


# --- windows -------------------------------------------------------------------------------------


@pytest.fixture
def windows(tmp_path, monkeypatch, exercises):
    """A model of the spread of two channels, and its windows in arrays."""
    monkeypatch.chdir(tmp_path)
    X = np.concatenate([part[:, :1280].reshape(2, 10, 128).swapaxes(0, 1)
                        for part in exercises["1"]])  # fmt: skip
    y = np.repeat(EXERCISES, 10)
    spread = FunctionTransformer(np.std, kw_args={"axis": 2})
    pipe = make_pipeline(SignalAligner(128), spread, StandardScaler(), LogisticRegression())
    model = RecordingModel(
        estimator=pipe.fit(X, y), duration=2.56, sfreq=SFREQ, ch_names=("ax", "wy")
    )
    joblib.dump(model, "m.joblib")
    return X, pipe.predict_proba(X)


def predict(*arguments, out="p.csv"):
    assert main(["predict", "m.joblib", *arguments, "--out", out]) == 0
    return pd.read_csv(out)


def test_windows_in_an_array_get_the_probabilities_of_the_model(windows, capsys):
    X, expected = windows
    np.savez("w.npz", X=X[:, ::-1], sfreq=SFREQ, ch_names=["wy", "ax"])
    table = predict("w.npz")
    assert list(table) == ["recording", "window", "label", "p_abduction", "p_row"]
    assert table["window"].tolist() == list(range(20))
    np.testing.assert_allclose(table.iloc[:, 3:], expected, atol=1e-5)
    holed = X.astype(float)
    holed[3, 0, 5] = np.nan
    holed[4, 1, 7] = 1e300
    np.savez("h.npz", X=holed, sfreq=SFREQ, ch_names=["ax", "wy"])
    table = predict("h.npz", "w.npz", out="q.csv")
    assert table["window"].tolist() == [i for i in range(20) if i not in (3, 4)] + [*range(20)]
    np.testing.assert_allclose(table.iloc[:18, 3:], np.delete(expected, [3, 4], 0), atol=1e-5)
    assert (
        "2 of the 20 windows of h.npz have missing values, or values that are"
        in capsys.readouterr().err
    )


def test_both_forms_of_a_table_hold_the_same_windows(windows):
    X, expected = windows
    lines = ["Window;time;ax;wy"]
    for i, window in enumerate(X):
        for j, values in enumerate(window.T):
            cells = [f"w{i}", f"{i * 2.56 + j / SFREQ:.2f}", *map(repr, values.tolist())]
            lines.append(";".join(cells).replace(".", ","))
    Path("long.csv").write_text("\n".join(lines))
    table = predict("long.csv")
    assert table["window"].tolist() == [f"w{i}" for i in range(20)]
    np.testing.assert_allclose(table["start"], np.arange(20) * 2.56)
    np.testing.assert_allclose(table.iloc[:, 5:], expected, atol=1e-5)
    wide = pd.DataFrame(X[:, 0]).assign(label=3, group="anna")
    wide.to_csv("wide.csv", index=False)
    found = read_labelled(Path("wide.csv"))
    np.testing.assert_allclose(found.X[:, 0], X[:, 0], rtol=1e-6)
    assert (set(found.y), set(found.groups), found.sfreq) == ({"3"}, {"anna"}, None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("label,0,1\na,1,2\nb,1\n", "row 3 has 2 values, and there are 3 columns"),
        ("0,1,2\n1,2,3\n", "has no column label; it has 0, 1, 2"),
        ("label,0,1\na,1,x\n", "row 2: 1 is 'x'; expected a number, or nan"),
        ("label,0,1\na,1,\n", "row 2: 1 is ''; expected a number, or nan"),
        ("id,label,0,1\n7,a,1,2\n", "the column 'id' is not the next sample"),
        ("label,0,10,1\na,1,2,3\n", "the column '10' is not the next sample"),
        (",label,0,1\n0,a,1,2\n", r"column 1 has no name.*index=False"),
        ("label,group,0,1\na,p,1,2\nb,,1,2\n", "row 3: group is missing"),
        ("label,0,1\n", "has no rows"),
        ("window,label,ax\n0,a,1\n0,b,2\n", "window '0' has the label a and b"),
        ("window,label,ax\n0,a,1\n0,a,1\n1,a,2\n", "window '1' has 1 rows, and '0' has 2"),
        ("window,label,ax\n0,a,1\n1,a,1\n0,a,2\n", "row 4: window '0' begins again"),
        ("window,time,label,ax\n0,0,a,1\n0,1,a,1\n0,9,a,1\n0,10,a,1\n", "'0' do not follow"),
        ("window,time,label,ax,ax\n0,0,a,1,1\n", "has the column 'ax' more than once"),
    ],
)
def test_a_table_that_holds_no_windows_is_named_with_its_row(tmp_path, text, said):
    (tmp_path / "w.csv").write_text(text)
    with pytest.raises(ValueError, match=rf"w\.csv.*{said}"):
        read_labelled(tmp_path / "w.csv")


@pytest.mark.parametrize(
    ("content", "more", "said"),
    [
        ({"sfreq": None}, (), "w.npz has no sampling rate"),
        ({"sfreq": 100}, (), "128 samples, that is 1.28 s at 100 Hz; those of the training have"),
        ({"ch_names": None}, (), "does not name its 2 channels"),
        ({"ch_names": ["a", "b"]}, (), "w.npz has no channel 'ax'"),
        ({"groups": None}, ("--adapt",), "w.npz has no groups"),
        ({"ch_names": ["ax", "wy", "ax"]}, (), "w.npz has 3 ch_names, 2 of them different"),
        ({"sfreq": 0.0}, (), "w.npz has sfreq=0.0; expected one number, in Hz and above 0"),
        ({"sfreq": np.nan}, (), "w.npz has sfreq=nan; expected one number"),
        ({"sfreq": "50"}, (), "w.npz has sfreq of the type <U2; expected numbers"),
        ({"X": np.full((4, 2, 128), "1")}, (), "w.npz has X of the type <U1; expected numbers"),
        ({"X": np.ones((4, 2, 128), complex)}, (), "w.npz has X of the type complex128"),
        ({"scale": [1, np.inf]}, (), "w.npz has a scale of 2 values"),
        ({"groups": ["p"]}, (), "groups of the shape (1,) and X of the shape (4, 2, 128)"),
        ({"X": np.zeros(4)}, (), "X of the shape (4,)"),
        ({"X": np.full((4, 2, 128), np.nan)}, (), "all 4 windows of w.npz have missing values"),
        ({}, ("--step", "1"), "--step is for recordings"),
        ({}, (".",), "Predict recordings and windows in two calls"),
    ],
)
def test_windows_that_cannot_be_predicted_are_named(windows, capsys, content, more, said):
    X = windows[0][:4]
    whole = {"X": X, "sfreq": SFREQ, "ch_names": ["ax", "wy"], "groups": [1, 1, 2, 2]} | content
    np.savez("w.npz", **{name: value for name, value in whole.items() if value is not None})
    assert main(["predict", "m.joblib", "w.npz", *more, "--out", "p.csv"]) == 1
    assert said in capsys.readouterr().err
    assert not Path("p.csv").exists()


def test_a_recording_is_checked_before_a_folder_is_made(windows, exercises, capsys):
    edf(Path("a.edf"), exercises["1"], ("ax", "other"))
    arguments = ["predict", "m.joblib", "a.edf", "--out", "p.csv", "--annotations", "events"]
    assert main(arguments) == 1
    assert "no channel 'wy'" in capsys.readouterr().err
    assert not Path("events").exists()
