"""``citrus-sk inspect``: what is in the data is counted, and nothing is hidden."""

import html
import re

import numpy as np
import pytest
from edf_files import EDF_GAIN, write_edf

from citrus_sk.cli.parser import main
from citrus_sk.datasets import load_watch
from citrus_sk.signals.recordings.spectra import Spectra
from citrus_sk.signals.recordings.survey import survey_file, survey_windows, unit_of

SECONDS, SFREQ = 60, 200


def noise(seed=0, microvolts=20.0):
    values = np.random.default_rng(seed).standard_normal(SECONDS * SFREQ)
    return (values * microvolts / EDF_GAIN).astype(int)


def said_of(capsys, *arguments):
    assert main(["inspect", *map(str, arguments), "--quiet"]) == 0
    return capsys.readouterr().out


def row_of(text, name):
    (line,) = [line for line in text.splitlines() if line.startswith(name)]
    return line


@pytest.fixture
def folder(tmp_path):
    """Four recordings: one with flaws, one of BIDS, and two with equal signals."""
    time = np.arange(SECONDS * SFREQ) / SFREQ
    flat = noise(1)
    flat[: 15 * SFREQ] = 0
    clipped = np.clip(900 * np.sin(2 * np.pi * time) + noise(2) / 4, -2000, 450).astype(int)
    hum = noise(3) + (300 * np.sin(2 * np.pi * 50 * time)).astype(int)
    first = {"EEG Fz": (flat, SFREQ), "EEG Cz": (clipped, SFREQ), "EEG Pz": (hum, SFREQ)}
    first["ECG"] = (noise(4, microvolts=200)[: SECONDS * 100], 100)
    write_edf(tmp_path / "a.edf", first)
    other = {"EEG Fz": (noise(5), SFREQ)}
    for name in ("b.edf", "copy.edf"):
        write_edf(tmp_path / name, other)
    write_edf(tmp_path / "sub-01" / "sub-01_eeg.edf", {"EEG Fz": (noise(6), SFREQ)})
    (tmp_path / "torn.edf").write_bytes(b"0       torn")
    return tmp_path


def test_flaws_hum_and_units_are_found(folder):
    (found,) = survey_file(folder / "a.edf", "a.edf")
    fz, cz, pz, ecg = found.channels
    assert fz.flat == pytest.approx(0.25, abs=0.01)
    assert cz.clipped > 0.3
    assert (fz.clipped, cz.flat, pz.flat, pz.clipped) == (0, 0, 0, 0)
    assert [set(each.hum) for each in found.channels] == [set(), set(), {50.0}, set()]
    assert {unit_of(each.kind, each.typical) for each in found.channels} == {"uV"}
    assert [unit_of("EEG", 10.0**power) for power in (-5, -2, 0)] == ["V", "mV", ""]
    assert (ecg.kind, ecg.sfreq, ecg.seconds) == ("ECG", 100, SECONDS)
    assert ecg.typical == pytest.approx(200, rel=0.05)


def test_recordings_people_channels_and_copies_are_listed(folder, capsys):
    said = said_of(capsys, folder)
    assert "4 recordings of 4 people" in said
    assert "0.07 h in total. A recording lasts 60 s." in said
    assert row_of(said, "EEG Fz").split()[:5] == ["EEG", "Fz", "EEG", "4", "200"]
    assert "50 Hz in 1" in row_of(said, "EEG Pz")
    assert "Equal signals: b.edf, copy.edf." in said
    assert "torn.edf cannot be read" in said
    assert "Not all recordings have the same channels" in said
    assert "With --labels" in said


def test_nothing_to_read_is_named(tmp_path, capsys):
    (tmp_path / "torn.edf").write_bytes(b"0       torn")
    assert main(["inspect", str(tmp_path), "--quiet"]) == 1
    assert "no recording in" in capsys.readouterr().err
    assert main(["inspect"]) == 1
    assert "expected DATA" in capsys.readouterr().err


def test_real_windows_are_counted_by_person_and_class(capsys):
    said = said_of(capsys, "--dataset", "watch")
    watch = load_watch()
    cells = row_of(said, "4 ").split()[1:]
    expected = [np.sum((watch.groups == "4") & (watch.y == name)) for name in np.unique(watch.y)]
    assert cells == list(map(str, expected))
    assert "each class has at least 10 people" in said
    assert "adapting to a new person may help" in said
    assert "pairs of windows overlap each other, 0 of them of two people" in said


@pytest.mark.parametrize(
    ("y", "groups", "said"),
    [
        ([0, 0, 1, 1] * 2, list("aabb") * 2, "do not use --adapt"),
        ([0, 0, 1, 1] * 2, list("aabb") * 2, "Of 0, 1 there is one person only"),
        ([0, 1, 0, 1] * 2, list("aabb") * 2, "each class has at least 2 people"),
        ([0, 1, 0, 1] * 2, list("aaaa") * 2, "There is one person"),
        ([0, 1, 0, 1] * 2, None, "There are no groups"),
    ],
)
def test_advice_depends_on_the_classes_of_the_people(tmp_path, capsys, y, groups, said):
    X = np.random.default_rng(0).standard_normal((8, 1, 40))
    X[7] = X[2]
    more = {} if groups is None else {"groups": groups}
    np.savez(tmp_path / "a.npz", X=X, y=y, **more)
    text = said_of(capsys, tmp_path / "a.npz")
    assert said in text
    assert "1 pairs of windows are identical" in text
    assert "The sampling rate is unknown" in text


def test_missing_values_of_windows_are_counted():
    X = np.random.default_rng(0).standard_normal((4, 2, 100)).astype(np.float32)
    X[1, 0] = np.nan
    first, second = survey_windows(X, 100.0, None).channels
    assert (first.missing, second.missing) == (0.25, 0)


def test_the_case_of_channel_names_is_kept(tmp_path, capsys):
    rows = [f"{i},{j / 10},{i + j},{j % 7}" for i in range(3) for j in range(40)]
    (tmp_path / "windows.csv").write_text("\n".join(["Window,TIME,Ax,AX", *rows]))
    assert "2 channels (Ax, AX)" in said_of(capsys, tmp_path / "windows.csv")


def test_channels_of_windows_are_known_by_their_names():
    windows = np.ones((2, 2, 100), np.float32)
    for names, kinds in ((None, ["unknown"] * 2), (["ECG", "x"], ["ECG", "unknown"])):
        channels = survey_windows(windows, None, names).channels
        assert [channel.kind for channel in channels] == kinds


@pytest.mark.parametrize("name", ["windows.npz", "windows.csv"])
def test_windows_need_no_labels(tmp_path, capsys, name):
    watch = load_watch(overlap=0)
    X = watch.X[:3, :2].round(3)
    np.savez(tmp_path / "windows.npz", X=X, sfreq=watch.sfreq, ch_names=watch.ch_names[:2])
    rows = [f"{i},{j / 50:.2f},{x},{y}" for i, w in enumerate(X) for j, (x, y) in enumerate(w.T)]
    (tmp_path / "windows.csv").write_text("\n".join(["window,time,ax,ay", *rows]))
    page = tmp_path / "page.html"
    said = said_of(capsys, tmp_path / name, "--html", page)
    first = "3 windows of 256 samples (5.12 s), 2 channels (ax, ay), without labels."
    assert said.startswith(first)
    assert row_of(said, "ay").split()[3] == "50"
    assert "The file has no labels" in said
    assert first in page.read_text()


def test_the_page_shows_what_is_printed(folder, tmp_path, capsys):
    page = tmp_path / "page.html"
    said = said_of(capsys, folder, "--html", page)
    assert said.endswith(f"Page: {page}\n")
    text = page.read_text()
    for printed in ("4 recordings of 4 people", "Equal signals: b.edf, copy.edf.", "50 Hz in 1"):
        assert printed in said
        assert printed in text
    assert "torn.edf cannot be read" in text
    for picture in ("Length of each recording", "Flat, clipped and missing", "EEG: power", "ECG: "):
        assert picture in text
    # Nothing is loaded from elsewhere.
    assert re.findall(r"https?:|<script|<link|@import|url[(]", text) == []
    assert text.count('src="') == text.count('src="data:image/svg+xml;base64,') > 0
    assert list(tmp_path.glob(".*")) == []


def test_the_page_counts_windows_and_escapes_names(tmp_path, capsys):
    watch = load_watch()
    label = "<script>alert('$x$')</script>"
    y = np.where(watch.y == "row", label, watch.y)[::8]
    people = np.char.add("<b>", watch.groups.astype(str))[::8]
    data, page = tmp_path / "<i>.npz", tmp_path / "page.html"
    np.savez(data, X=watch.X[::8], y=y, groups=people, sfreq=watch.sfreq, ch_names=watch.ch_names)
    said_of(capsys, data, "--html", page)
    text = page.read_text()
    assert not re.search(r"<script|<b>|<i>", text)
    assert html.escape(label) in text
    for name in np.unique(people):
        (row,) = re.findall(f'<th scope="row">{html.escape(name)}</th>(.*?)</tr>', text)
        counts = [np.sum((people == name) & (y == each)) for each in np.unique(y)]
        assert list(map(int, re.findall(r">(\d+)</td>", row))) == counts
    (one_percent,) = re.findall(r'<th scope="row">all</th><td>\d+</td><td>(\d+)</td>', text)
    assert int(one_percent) == len(np.unique(y))  # 1 % of 212 windows is one of each class
    assert text.count("<figure") == 1 + len(np.unique(y))  # a spectrum, and an example of each


def test_a_page_is_replaced_only_if_asked(tmp_path, capsys):
    X = np.random.default_rng(0).random((8, 2, 40))
    X[:, 0] = np.nan  # a channel without values
    np.savez(tmp_path / "a.npz", X=X, y=[0, 1] * 4)
    page = tmp_path / "page.html"
    page.write_text("kept")
    arguments = ["inspect", str(tmp_path / "a.npz"), "--html", str(page), "--quiet"]
    assert main(arguments) == 1
    assert "exists already. Choose another name, or add --overwrite." in capsys.readouterr().err
    assert page.read_text() == "kept"
    assert main([*arguments, "--overwrite"]) == 0
    assert "a rate of 100 Hz is assumed" in page.read_text()
    assert main([*arguments[:3], str(tmp_path / "none" / "page.html")]) == 1
    assert "does not exist" in capsys.readouterr().err


def test_spectra_are_means_over_channels_with_their_range():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2, 2, 4000))
    X[:, 1] += 3 * np.sin(2 * np.pi * 50 * np.arange(4000) / 200)
    spectra = Spectra()
    survey_windows(X, 200.0, ["C3", "C4"], spectra)
    survey_windows(X[:1, :1, :300], 200.0, ["C3"], spectra)  # shorter than a segment
    survey_windows(np.zeros((1, 1, 4000)), 200.0, ["C3"], spectra)  # flat: no power to share
    (found,) = spectra.found()
    assert (found.kind, found.sfreq, found.n_chans) == ("EEG", 200, 3)
    at = np.argmin(np.abs(found.frequencies - 50))
    # White noise up to 100 Hz has 1/100 of its power in each Hz; the sine is 4.5 times the noise.
    quiet = np.median(found.mean[:at])
    assert quiet == pytest.approx(np.mean([-20, -20 - 10 * np.log10(5.5), -20]), abs=1)
    assert found.high[at] > found.mean[at] > quiet
    assert (found.low <= found.mean).all()
    survey_windows(X, None, ["C3", "C4"], unknown := Spectra())
    assert unknown.found() == []
