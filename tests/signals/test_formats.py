"""Recordings in the formats of other libraries, and the marks and joints in them."""

import json

import mne
import numpy as np
import pytest
from edf_files import write_edf
from scipy.io import savemat

from citrus_sk import read_corpus
from citrus_sk.signals.recordings.origin import Origin

RNG = np.random.default_rng(0)


def write_brainvision(path, values, markers=("New Segment,,1,1,0",), data=None):
    """Two channels at 100 Hz, 32-bit floats in microvolts."""
    data = data or f"{path.stem}.eeg"
    values.T.astype("<f4").tofile(path.parent / data)
    lines = "\n".join(f"Mk{i}={marker}" for i, marker in enumerate(markers, 1))
    path.with_suffix(".vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n[Common Infos]\n"
        f"DataFile={data}\n[Marker Infos]\n{lines}\n"
    )
    path.write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\n"
        f"DataFile={data}\nMarkerFile={path.stem}.vmrk\nDataFormat=BINARY\n"
        "DataOrientation=MULTIPLEXED\nNumberOfChannels=2\nSamplingInterval=10000\n"
        "[Binary Infos]\nBinaryFormat=IEEE_FLOAT_32\n"
        "[Channel Infos]\nCh1=C3,,1,µV\nCh2=C4,,1,µV\n",
        encoding="utf-8",
    )
    return path


def segments(corpus):
    return corpus.recordings[0].good[0].tolist()


def test_data_of_brainvision_by_another_name_belong_to_their_header(tmp_path):
    values = 20 * RNG.standard_normal((2, 1000))
    write_brainvision(tmp_path / "a.vhdr", values, data="first.eeg")
    corpus = read_corpus(tmp_path)
    assert [each.name for each in corpus.recordings] == ["a.vhdr"]
    assert not corpus.report.passed_over


def test_data_of_brainvision_may_be_in_another_folder(tmp_path):
    (tmp_path / "data").mkdir()
    path = tmp_path / "a.vhdr"
    write_brainvision(path, 20 * RNG.standard_normal((2, 1000)), data="data/a.eeg")
    assert Origin.of(path).companions == (tmp_path / "a.vmrk", tmp_path / "data" / "a.eeg")
    assert len(read_corpus(path).recordings) == 1
    path.write_text(path.read_text().replace("MarkerFile=a.vmrk", f"MarkerFile={300 * 'm'}"))
    assert Origin.of(path).companions == (tmp_path / "data" / "a.eeg",)


def test_data_of_brainvision_without_a_header_are_named(tmp_path):
    write_brainvision(tmp_path / "a.vhdr", 20 * RNG.standard_normal((2, 1000)))
    (tmp_path / "lone.eeg").write_bytes(bytes(4000))
    with pytest.warns(UserWarning, match=r"lone\.eeg: neither a file of Nihon Kohden nor"):
        assert len(read_corpus(tmp_path).recordings) == 1


def test_the_cache_notices_new_data_beside_an_old_header(tmp_path):
    path = write_brainvision(tmp_path / "a.vhdr", 20 * RNG.standard_normal((2, 1000)), data="x.eeg")
    first = read_corpus(path, cache=tmp_path / "cache").fingerprint()
    (20 * RNG.standard_normal((1100, 2))).astype("<f4").tofile(tmp_path / "x.eeg")
    assert read_corpus(path, cache=tmp_path / "cache").fingerprint() != first


def test_segments_of_brainvision_are_not_read_across_their_joint(tmp_path):
    markers = ("New Segment,,1,1,0", "New Segment,,501,1,0", "Comment,BAD_move,701,100,0")
    write_brainvision(tmp_path / "a.vhdr", 20 * RNG.standard_normal((2, 2000)), markers)
    corpus = read_corpus(tmp_path)
    assert segments(corpus) == [[0, 500], [800, 2000]]
    assert corpus.report.short_s == pytest.approx(2 * 1.99)  # between the joint and the mark


def test_eeglab_is_read_and_parted_at_its_boundaries(tmp_path):
    data = 20 * RNG.standard_normal((2, 1000))
    chanlocs = np.array(
        [(name, "EEG", 0.0, 0.0, 0.0) for name in ("C3", "C4")],
        dtype=[("labels", "O"), ("type", "O"), ("X", "O"), ("Y", "O"), ("Z", "O")],
    )
    event = np.array(
        [("boundary", 501.0, 300.0)], dtype=[("type", "O"), ("latency", "O"), ("duration", "O")]
    )
    content = {
        "setname": "x", "nbchan": 2.0, "pnts": 1000.0, "trials": 1.0, "srate": 100.0, "xmin": 0.0,
        "xmax": 9.99, "data": data, "chanlocs": chanlocs, "event": event, "ref": "common",
        "icawinv": [], "icasphere": [], "icaweights": [], "chaninfo": {"nosedir": "+X"},
    }  # fmt: skip
    savemat(tmp_path / "p1.set", {"EEG": content}, appendmat=False)
    corpus = read_corpus(tmp_path)
    assert corpus.recordings[0].ch_names == ("C3", "C4")
    assert segments(corpus) == [[0, 500], [501, 1000]]


def test_a_mark_in_fif_counts_wherever_it_stands(tmp_path):
    info = mne.create_info(["Cz"], 100, "eeg")
    raw = mne.io.RawArray(
        1e-5 * RNG.standard_normal((1, 2000)), info, first_samp=300, verbose="error"
    )
    notes = mne.Annotations([8.0, 15.0], [2.0, 1.0], ["movement; BAD_muscle", "not bad"])
    raw.set_annotations(notes)
    raw.save(tmp_path / "p1_raw.fif", verbose="error")
    assert segments(read_corpus(tmp_path)) == [[0, 800], [1000, 2000]]


def test_joined_recordings_are_not_read_across_the_joint(tmp_path):
    info = mne.create_info(["Cz"], 100, "eeg")
    parts = [
        mne.io.RawArray(1e-5 * RNG.standard_normal((1, 1000)), info, verbose="error")
        for _ in range(2)
    ]
    mne.concatenate_raws(parts, verbose="error").save(tmp_path / "p1_raw.fif", verbose="error")
    assert segments(read_corpus(tmp_path)) == [[0, 1000], [1001, 2000]]


EVENTS = "onset\tduration\ttrial_type\n2\t3\tBAD_move\n6\tn/a\trest\n8\tn/a\tBAD_jump\n"


@pytest.mark.parametrize(
    "table", ["sub-01/eeg/sub-01_task-rest_events.tsv", "task-rest_events.tsv"]
)
def test_a_table_of_events_marks_data_as_bad(tmp_path, table):
    root = tmp_path / "study"
    values = RNG.integers(-900, 900, 2000)
    write_edf(root / "sub-01/eeg/sub-01_task-rest_eeg.edf", {"EEG Cz": (values, 100)})
    (root / "dataset_description.json").write_text(json.dumps({"Name": "Study"}))
    (root / table).write_text(EVENTS)
    corpus = read_corpus(root, min_duration_s=1)
    assert segments(corpus) == [[0, 200], [500, 800], [801, 2000]]
    (root / table).write_text(EVENTS.replace("2\t3", "n/a\t3"))
    with pytest.raises(ValueError, match=r"events\.tsv marks data as bad without a valid onset"):
        read_corpus(root)


def test_a_table_beside_a_recording_of_any_name_applies(tmp_path):
    signals = {name: (RNG.integers(-900, 900, 1000), 100) for name in ("EEG Cz", "EEG Pz")}
    write_edf(tmp_path / "night.edf", signals)
    (tmp_path / "night_channels.tsv").write_text("name\tstatus\nCz\tbad\n")
    assert read_corpus(tmp_path).recordings[0].ch_names == ("EEG Pz",)
