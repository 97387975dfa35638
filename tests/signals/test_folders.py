"""The search for recordings: links, copies, parts, and what is passed over with its reason."""

import json
import os
from pathlib import Path

import mne
import numpy as np
import pytest
from edf_files import write_edf

from citrus_sk import read_corpus
from citrus_sk.signals.recordings.folders import search

RNG = np.random.default_rng(0)


def one_eeg(path):
    return write_edf(path, {"EEG Cz": (RNG.integers(-900, 900, 1000), 100)})


def reasons(source):
    """The reason for each file or folder that is passed over, by its name."""
    return {Path(name).name: reason for name, reason in search(source).passed_over}


# --- one file, several ways to it ----------------------------------------------------------------


def test_a_linked_file_belongs_to_the_person_whose_folder_links_to_it(tmp_path):
    stored = one_eeg(tmp_path / "annex" / "a1b2.edf")
    link = tmp_path / "sub-07" / "eeg" / "sub-07_eeg.edf"
    link.parent.mkdir(parents=True)
    link.symlink_to(stored)
    assert read_corpus(tmp_path).subjects == [f"{tmp_path.name}/sub-07"]


def test_hidden_folders_are_not_searched(tmp_path):
    one_eeg(tmp_path / ".git" / "annex" / "a1b2.edf")
    one_eeg(tmp_path / "a.edf")
    assert [path.name for path in search(tmp_path).files] == ["a.edf"]


def test_a_hard_link_is_the_same_file(tmp_path):
    first = one_eeg(tmp_path / "a.edf")
    (tmp_path / "b.edf").hardlink_to(first)
    assert len(search(tmp_path).files) == 1


def test_a_folder_is_searched_by_its_own_path_before_the_links_to_it(tmp_path):
    one_eeg(tmp_path / "sub-02" / "eeg" / "run1.edf")
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "first").symlink_to(tmp_path / "sub-02" / "eeg", target_is_directory=True)
    assert read_corpus(tmp_path).subjects == [f"{tmp_path.name}/sub-02"]


def test_a_link_to_a_folder_above_ends(tmp_path):
    inner = tmp_path / "disk" / "project"
    one_eeg(inner / "a.edf")
    one_eeg(tmp_path / "disk" / "b.edf")
    (inner / "up").symlink_to(tmp_path / "disk", target_is_directory=True)
    assert [path.name for path in search(inner).files] == ["a.edf", "b.edf"]


# --- passed over ---------------------------------------------------------------------------------


def test_a_folder_that_cannot_be_opened_is_named(tmp_path, monkeypatch):
    one_eeg(tmp_path / "locked" / "a.edf")
    one_eeg(tmp_path / "b.edf")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert reasons(tmp_path) == {"locked": "a folder that cannot be opened: Permission denied"}


def test_a_link_to_a_folder_that_is_not_there_is_named(tmp_path):
    (tmp_path / "recordings").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    with pytest.raises(ValueError, match="recordings: a broken link"):
        read_corpus(tmp_path)


def test_archives_are_named_and_own_files_of_a_recording_are_not(tmp_path):
    one_eeg(tmp_path / "a.edf")
    for name in ("b.edf.gz", "c.zip", "a.dat", "0123456789abcdef0123456789abcdef.bin"):
        (tmp_path / name).write_bytes(b"0")
    assert reasons(tmp_path) == {
        "b.edf.gz": "files of the format .gz are not read",
        "c.zip": "files of the format .zip are not read",
    }


@pytest.mark.parametrize("copies", ["derivatives/clean", "sourcedata"])
def test_copies_beside_a_folder_of_raw_data_are_those_of_the_same_people(tmp_path, copies):
    root = tmp_path / "study"
    one_eeg(root / "rawdata" / "sub-01" / "eeg" / "sub-01_eeg.edf")
    (root / "rawdata" / "dataset_description.json").write_text(json.dumps({"Name": "Naps"}))
    copy = one_eeg(root / copies / "sub-01" / "eeg" / "sub-01_desc-x_eeg.edf")
    with pytest.warns(UserWarning, match="copies of the data set's recordings"):
        assert read_corpus(root).subjects == ["Naps/sub-01"]
    assert read_corpus(copy).subjects == ["Naps/sub-01"]


def test_a_study_of_phantom_limbs_is_read(tmp_path):
    one_eeg(tmp_path / "phantom-limb" / "a.edf")
    one_eeg(tmp_path / "phantom" / "b.edf")
    found = search(tmp_path)
    assert [path.name for path in found.files] == ["a.edf"]
    assert found.passed_over[0][1] == "recordings of an empty room or a phantom"


# --- parts ---------------------------------------------------------------------------------------


def test_a_fif_recording_without_its_next_part_keeps_the_first(tmp_path):
    values = 1e-5 * RNG.standard_normal((1, 1_200_000))
    raw = mne.io.RawArray(values, mne.create_info(["Cz"], 100, "eeg"), verbose="error")
    raw.save(tmp_path / "p1_raw.fif", split_size="3MB", split_naming="neuromag", verbose="error")
    (tmp_path / "p1_raw-1.fif").unlink()
    with pytest.warns(UserWarning, match=r"p1_raw\.fif: its first 1 part\(s\) are read.*-1\.fif"):
        corpus = read_corpus(tmp_path / "p1_raw.fif")
    assert 0 < corpus.hours() < values.size / 360000


WFDB_SEGMENTS = {
    "variable": "p1_layout 0\np1_1 1000\n~ 500\np1_2 1500\n",
    "fixed": "p1_1 1000\np1_2 1500\n",
}


@pytest.mark.parametrize("layout", ["variable", "fixed"])
def test_a_wfdb_record_of_several_segments_is_one_recording(tmp_path, layout):
    wfdb = pytest.importorskip("wfdb")
    values = {"p1_1": RNG.standard_normal((1000, 1)), "p1_2": RNG.standard_normal((1500, 1))}
    for name, segment in values.items():
        wfdb.wrsamp(
            name, fs=100, units=["mV"], sig_name=["II"], fmt=["16"], p_signal=segment,
            write_dir=str(tmp_path),
        )  # fmt: skip
    n_segments, n_times = (4, 3000) if layout == "variable" else (2, 2500)
    (tmp_path / "p1_layout.hea").write_text("p1_layout 1 100 0\n~ 0 1000/mV 16 0 0 0 0 II\n")
    if layout == "fixed":
        (tmp_path / "p1_layout.hea").unlink()
    (tmp_path / "p1.hea").write_text(f"p1/{n_segments} 1 100 {n_times}\n{WFDB_SEGMENTS[layout]}")
    (recording,) = (corpus := read_corpus(tmp_path)).recordings
    assert recording.name == "p1.hea"
    assert corpus.hours() * 3600 == pytest.approx(25)
    assert recording.ch_names == ("II",)
    end = recording.data[0, -1500:] * recording.scale[0]
    np.testing.assert_allclose(end, values["p1_2"][:, 0], atol=2e-3)
    assert search(tmp_path).passed_over == []
