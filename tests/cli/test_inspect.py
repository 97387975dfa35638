"""``citrus-sk inspect``: what is in the data is counted, and nothing is hidden."""

import numpy as np
import pytest
from edf_files import EDF_GAIN, write_edf

from citrus_sk.cli.parser import main
from citrus_sk.datasets import load_watch
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
    assert "0.07 h in total. A recording lasts 60 to 60 s" in said
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
