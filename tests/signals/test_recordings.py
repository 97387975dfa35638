"""Recordings as people have them: cut short, in other formats, copied, linked, marked bad."""

import json

import mne
import numpy as np
import pandas as pd
import pytest
import wfdb
from edf_files import write_edf

from citrus_sk import read_corpus
from citrus_sk.mne import make_epochs
from citrus_sk.signals.modalities import ChannelTable, bare_name
from citrus_sk.signals.recordings.edf import EdfFile
from citrus_sk.signals.recordings.rates import check_one_rate

RNG = np.random.default_rng(0)


def noise(n=1000):
    return RNG.integers(-900, 900, n)


def one_eeg(path, **settings):
    return write_edf(path, {"EEG Cz": (noise(), 100)}, **settings)


def patch(path, offset, text, width=8):
    """Overwrite a field of a header."""
    content = bytearray(path.read_bytes())
    content[offset : offset + width] = text.ljust(width)
    path.write_bytes(content)
    return path


# --- EDF files -----------------------------------------------------------------------------------


def test_a_file_that_was_cut_short_keeps_its_whole_data_records(tmp_path):
    path = one_eeg(tmp_path / "night.edf")
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.warns(UserWarning, match=r"night.edf: truncated: it holds 9 .* missing .*: 1 s"):
        corpus = read_corpus(tmp_path)
    assert corpus.hours() * 3600 == pytest.approx(9)
    assert corpus.report.notes[0][0] == "night.edf"
    assert "truncated" in corpus.summary()
    assert not corpus.report.skipped


def test_a_file_without_a_whole_data_record_is_left_out(tmp_path):
    path = one_eeg(tmp_path / "night.edf")
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(ValueError, match="truncated: it holds 0 whole data records of the 10"):
        read_corpus(tmp_path)


def test_the_note_on_a_cut_file_comes_from_the_cache_as_well(tmp_path):
    path = one_eeg(tmp_path / "in" / "night.edf")
    path.write_bytes(path.read_bytes()[:-50])
    for _ in range(2):
        with pytest.warns(UserWarning, match="truncated"):
            read_corpus(tmp_path / "in", cache=tmp_path / "cache")


def test_a_file_that_was_cut_short_is_still_checked_for_its_rates(tmp_path):
    path = write_edf(tmp_path / "n.edf", {"EEG Cz": (noise(), 100), "Resp": (noise(10), 1)})
    path.write_bytes(path.read_bytes()[:-50])
    raw = mne.io.read_raw_edf(path, verbose="error")
    with pytest.raises(ValueError, match="unequal sampling rates"):
        make_epochs(raw, duration=2)
    assert make_epochs(raw, duration=2, picks="EEG Cz").ch_names == ["EEG Cz"]


def test_a_header_that_cannot_be_read_is_refused_and_not_passed(tmp_path):
    path = patch(one_eeg(tmp_path / "n.edf"), 244, b"fast")
    with pytest.raises(ValueError, match=r"n\.edf cannot be read: its header.*'fast'"):
        check_one_rate(path, ["EEG Cz"], "")
    check_one_rate(tmp_path / "moved_away.edf", ["EEG Cz"], "")


def test_signals_of_one_label_at_several_rates_are_refused(tmp_path):
    signals = {"EEG": (np.arange(1000), 100), "EEG ": (np.arange(10), 1)}  # spaces fill the field
    path = write_edf(tmp_path / "twice.edf", signals)
    with pytest.raises(ValueError, match=r"unequal sampling rates, such as 'EEG' at 1 Hz"):
        check_one_rate(path, ["EEG-0", "EEG-1"], "")


@pytest.mark.parametrize("text", [b"-3276,8", b"-3276.8\0", b"-3276.8 \0"])
def test_decimal_commas_and_nul_in_a_header_are_read(tmp_path, text):
    path = one_eeg(tmp_path / "n.edf")
    before = EdfFile(path).signals[0]
    patch(path, 256 + 16 + 80 + 8, text)
    assert EdfFile(path).signals[0] == before
    patch(path, 244, b"1,0\0\0")
    patch(path, 256, b"EEG Cz\0\0", 16)
    assert EdfFile(path).signals[0] == before


@pytest.mark.parametrize(("field", "kind"), [(0, "physical"), (16, "digital")])
def test_a_channel_without_a_range_is_left_out_for_that_reason(tmp_path, field, kind):
    path = write_edf(tmp_path / "n.edf", {"EEG Cz": (noise(), 100)})
    other = write_edf(tmp_path / "other.edf", {"EEG Cz": (noise(), 100)})
    for offset in (0, 8):
        patch(path, 256 + 16 + 80 + 8 + field + offset, b"0")
    with pytest.warns(UserWarning, match=f"{kind} minimum and maximum in the header are both 0"):
        read_corpus([path, other])


# --- marked bad ----------------------------------------------------------------------------------


def test_every_text_of_an_annotation_is_looked_at(tmp_path):
    annotations = [(2, 3, "Movement\x14BAD_muscle"), (6, 1, "not bad")]
    path = one_eeg(tmp_path / "n.edf", annotations=annotations)
    assert EdfFile(path).bad == [(2.0, 5.0)]


@pytest.mark.parametrize(
    ("name", "bare"),
    [
        ("EEG Fp1-REF", "FP1"), ("Fp1", "FP1"), ("EEG Fpz-Cz", "FPZ-CZ"), ("Fc5.", "FC5"),
        ("EKG EKG1-Ref", "EKG1"), ("C3-A2", "C3"), ("POL T3", "T3"), ("M1", "M1"),
        ("EEG-Fp1 - A1A2", "FP1"), ("Fp1_Ref", "FP1"), ("EEG Fp1 Avg", "FP1"), ("REF", "REF"),
    ],
)  # fmt: skip
def test_names_are_compared_without_type_and_reference(name, bare):
    assert bare_name(name) == bare


@pytest.mark.parametrize(("statuses", "bad"), [(("bad", "good"), False), (("bad", "bad"), True)])
def test_a_name_that_could_be_several_rows_is_bad_if_all_are(statuses, bad):
    rows = [
        {"name": n, "status": status}
        for n, status in zip(("C3-A1", "C3-M2"), statuses, strict=True)
    ]
    table = ChannelTable("channels.tsv", rows)
    assert table.is_bad("C3-A1")
    assert table.is_bad("EEG C3-REF") == bad


BAD = "name\ttype\tstatus\nFp1\tEEG\tbad\nFp2\tEEG\tgood\nEEG061\tEOG\tgood\n"
SIGNALS = {name: (noise(), 100) for name in ("EEG Fp1-REF", "EEG Fp2-REF", "EEG061")}
RUN = "sub-01/ses-a/eeg/sub-01_ses-a_task-rest_run-01_eeg.edf"


def study(root):
    write_edf(root / RUN, SIGNALS)
    (root / "dataset_description.json").write_text(json.dumps({"Name": "Study"}))
    return root


@pytest.mark.parametrize(
    "table",
    [
        "sub-01/ses-a/eeg/sub-01_ses-a_task-rest_run-01_channels.tsv",
        "sub-01/ses-a/sub-01_ses-a_task-rest_channels.tsv",
        "sub-01/sub-01_channels.tsv",
        "task-rest_channels.tsv",
        "channels.tsv",
    ],
)
def test_a_table_of_the_session_or_of_the_study_applies(tmp_path, table):
    root = study(tmp_path / "study")
    (root / table).write_text(BAD)
    recording = read_corpus(root).recordings[0]
    assert dict(zip(recording.ch_names, recording.modalities, strict=True)) == {
        "EEG Fp2-REF": "EEG",
        "EEG061": "EOG",
    }


def test_the_nearest_table_applies_and_those_of_others_do_not(tmp_path):
    root = study(tmp_path / "study")
    (root / "task-rest_channels.tsv").write_text(BAD.replace("good", "bad"))
    (root / "sub-01/ses-a/sub-01_ses-a_task-rest_channels.tsv").write_text(BAD)
    (root / "sub-01/ses-a/sub-01_ses-a_task-sleep_channels.tsv").write_text("name\nx\n")
    assert len(read_corpus(root).recordings[0].ch_names) == 2


def test_a_table_above_the_study_is_not_looked_for(tmp_path):
    root = study(tmp_path / "study")
    (tmp_path / "channels.tsv").write_text(BAD)
    assert len(read_corpus(root).recordings[0].ch_names) == 3


def test_a_bad_channel_that_the_file_does_not_have_is_noted(tmp_path):
    root = study(tmp_path / "study")
    (root / "channels.tsv").write_text("name\tstatus\nFpz\tbad\n")
    with pytest.warns(UserWarning, match=r"channels\.tsv marks 'Fpz' as bad, and no channel"):
        read_corpus(root)


# --- who is who ----------------------------------------------------------------------------------


@pytest.mark.parametrize("naming", ["neuromag", "bids"])
def test_a_fif_recording_in_parts_counts_once(tmp_path, naming):
    values = 1e-5 * RNG.standard_normal((1, 1_200_000))
    raw = mne.io.RawArray(values, mne.create_info(["Cz"], 100, "eeg"), verbose="error")
    name = "p1_raw.fif" if naming == "neuromag" else "p1_meg.fif"
    raw.save(tmp_path / name, split_size="3MB", split_naming=naming, verbose="error")
    assert len(list(tmp_path.iterdir())) > 1
    corpus = read_corpus(tmp_path)
    assert len(corpus.recordings) == len(corpus.subjects) == 1
    assert corpus.hours() == pytest.approx(values.size / 360000, rel=1e-3)


def test_two_fif_recordings_of_similar_names_are_two(tmp_path):
    info = mne.create_info(["Cz"], 100, "eeg")
    for name in ("p1_raw.fif", "p1-1_raw.fif"):
        raw = mne.io.RawArray(1e-5 * RNG.standard_normal((1, 3000)), info, verbose="error")
        raw.save(tmp_path / name, verbose="error")
    assert len(read_corpus(tmp_path).recordings) == 2


def test_copies_below_a_data_set_are_passed_over_and_named(tmp_path):
    root = study(tmp_path / "study")
    write_edf(root / "derivatives/clean/sub-01/eeg/sub-01_desc-clean_eeg.edf", SIGNALS)
    write_edf(root / "sourcedata/sub-01/eeg/sub-01_original.edf", SIGNALS)
    with pytest.warns(UserWarning, match=r"derivatives: copies of the data set's recordings"):
        corpus = read_corpus(root)
    assert corpus.subjects == ["Study/sub-01"]
    assert [name.rpartition("/")[2] for name, _ in corpus.report.passed_over] == [
        "derivatives", "sourcedata",
    ]  # fmt: skip
    # Asked for by name they are read, as recordings of the same person.
    assert read_corpus([root / "derivatives", root / RUN]).subjects == ["Study/sub-01"]


@pytest.mark.parametrize(
    "name",
    [
        "sub-emptyroom/ses-1/meg/sub-emptyroom_ses-1_task-noise_eeg.edf",
        "sub-phantom01/eeg/sub-phantom01_eeg.edf",
        "sub-01/ses-b/eeg/sub-01_ses-b_task-noise_eeg.edf",
        "empty_room/today.edf",
    ],
)
def test_recordings_of_nobody_are_passed_over_and_named(tmp_path, name):
    root = study(tmp_path / "study")
    one_eeg(root / name)
    with pytest.warns(UserWarning, match="empty room or a phantom"):
        assert read_corpus(root).subjects == ["Study/sub-01"]


def test_links_to_folders_are_followed_and_files_counted_once(tmp_path):
    one_eeg(tmp_path / "disk" / "sub-01" / "sub-01_eeg.edf")
    project = tmp_path / "project"
    project.mkdir()
    (project / "recordings").symlink_to(tmp_path / "disk", target_is_directory=True)
    (project / "again").symlink_to(tmp_path / "disk", target_is_directory=True)
    (tmp_path / "disk" / "loop").symlink_to(tmp_path / "disk", target_is_directory=True)
    assert len(read_corpus(project).recordings) == 1
    (project / "gone.edf").symlink_to(tmp_path / "nowhere.edf")
    with pytest.warns(UserWarning, match=r"gone\.edf: a broken link"):
        read_corpus(project)


# --- formats -------------------------------------------------------------------------------------


def write_brainvision(path, values, sfreq=100):
    """Two channels, 32-bit floats in microvolts, as BrainVision Recorder writes them."""
    values.T.astype("<f4").tofile(path.with_suffix(".eeg"))
    path.with_suffix(".vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n[Common Infos]\n"
        f"DataFile={path.stem}.eeg\n[Marker Infos]\nMk1=New Segment,,1,1,0\n"
    )
    path.write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\n"
        f"DataFile={path.stem}.eeg\nMarkerFile={path.stem}.vmrk\nDataFormat=BINARY\n"
        f"DataOrientation=MULTIPLEXED\nNumberOfChannels=2\nSamplingInterval={1e6 / sfreq:g}\n"
        "[Binary Infos]\nBinaryFormat=IEEE_FLOAT_32\n"
        "[Channel Infos]\nCh1=C3,,1,µV\nCh2=C4,,1,µV\n",
        encoding="utf-8",
    )
    return path


def test_brainvision_is_read_with_its_own_files(tmp_path):
    write_brainvision(tmp_path / "a.vhdr", 20 * RNG.standard_normal((2, 1000)))
    corpus = read_corpus(tmp_path)
    assert len(corpus.recordings) == 1
    assert corpus.recordings[0].ch_names == ("C3", "C4")
    assert corpus.hours() * 3600 == pytest.approx(20)
    assert not corpus.report.passed_over


def test_wfdb_is_read_at_the_rate_of_each_signal(tmp_path):
    fast, slow = RNG.standard_normal(2000), RNG.standard_normal(1000)
    wfdb.wrsamp(
        "r1", fs=100, units=["mV", "mV"], sig_name=["MLII", "PLETH"], fmt=["16", "16"],
        e_p_signal=[fast, slow], samps_per_frame=[2, 1], write_dir=str(tmp_path),
    )  # fmt: skip
    (recording,) = read_corpus(tmp_path).recordings
    assert recording.modalities == ("ECG", "PPG")
    values = recording.data * recording.scale[:, None]
    assert values.shape == (2, 1000)
    np.testing.assert_allclose(values[1], slow, atol=1e-3)


def test_edf_by_the_name_of_rec_is_read(tmp_path):
    one_eeg(tmp_path / "a.rec")
    assert read_corpus(tmp_path).modalities == ["EEG"]


def test_other_formats_are_named_with_the_reason(tmp_path):
    others = ("vhdr", "set", "gdf", "hea", "rec", "mat", "xdf")
    for i in range(14):
        (tmp_path / f"p{i}.{others[i % 7]}").write_bytes(b"0" * 100)
    (tmp_path / "README.md").write_text("a study")
    with pytest.raises(ValueError, match=r"no file in .* can be read.*10 of 10") as caught:
        read_corpus(tmp_path)
    for extension in (".vhdr", ".set", ".gdf", ".hea", ".rec", ".mat (2)", ".xdf (2)"):
        assert extension in str(caught.value)
    one_eeg(tmp_path / "one.edf")
    with pytest.warns(UserWarning, match=r"passed over, by extension: \.mat \(2\), \.xdf \(2\)"):
        corpus = read_corpus(tmp_path)
    assert "p5.mat: files of the format .mat are not read" in corpus.summary()
    assert "README" not in corpus.summary()


def test_a_table_with_a_label_for_each_recording_is_not_a_recording(tmp_path):
    one_eeg(tmp_path / "one.edf")
    pd.DataFrame({"a": [1]}).to_csv(tmp_path / "one.csv")
    assert not read_corpus(tmp_path).report.passed_over
