"""Damaged recordings: an error that names the file, without a long wait or much memory."""

import gzip
import io
import struct
import zipfile
from pathlib import Path

import mne
import numpy as np
import pytest
from edf_files import write_edf
from test_edf import write_gdf

from citrus_sk import read_corpus
from citrus_sk.mne import predict_raw
from citrus_sk.signals.recordings.edf import EdfFile
from citrus_sk.signals.recordings.labelled import read_labelled
from citrus_sk.signals.recordings.structure import check_structure

RNG = np.random.default_rng(0)
POINTER = 52  # position of the pointer to the directory of a FIF file


def noise(n=1000):
    return RNG.integers(-900, 900, n)


@pytest.fixture
def fif(tmp_path):
    """Twenty seconds of one channel, with two annotations."""
    raw = mne.io.RawArray(1e-5 * RNG.standard_normal((1, 2000)), mne.create_info(1, 100, "eeg"),
                          verbose="error")  # fmt: skip
    raw.set_annotations(mne.Annotations([1, 8], [2, 2], ["rest", "walk"]))
    raw.save(tmp_path / "p1_raw.fif", verbose="error")
    return tmp_path / "p1_raw.fif"


def patch(path, *changes):
    """Overwrite bytes at some positions."""
    content = bytearray(path.read_bytes())
    for position, new in changes:
        content[position : position + len(new)] = new
    path.write_bytes(content)
    return path


def windows_of(path, duration=1.0):
    return read_labelled(path, Path("annotations"), duration=duration)


# --- FIF and GDF, whose readers trust the sizes in a file ----------------------------------------


def test_whole_files_pass(fif):
    packed = fif.with_name("p2_raw.fif.gz")
    mne.io.read_raw_fif(fif, verbose="error").save(packed, verbose="error")
    for path in (fif, packed, patch(fif, (POINTER, struct.pack(">i", -1)))):
        check_structure(path)
        assert len(windows_of(path).X) == 4


@pytest.mark.parametrize("suffix", [".fif", ".fif.gz"])
def test_tags_of_a_fif_file_in_a_circle_are_found(fif, suffix):
    # The tag after the pointer says that the next one is the first tag of the file.
    patch(fif, (POINTER, struct.pack(">i", -1)), (56 + 12, struct.pack(">i", 36)))
    path = fif
    if suffix == ".fif.gz":
        path = fif.with_name("p1_raw.fif.gz")
        path.write_bytes(gzip.compress(fif.read_bytes()))
    with pytest.raises(ValueError, match=r"p1_raw.*form a circle at byte 36"):
        read_corpus(path, on_error="raise")


def test_a_fif_file_that_states_more_than_it_has_is_cut_short(fif):
    content = fif.read_bytes()
    buffers = [(300, 4, 400, content.index(struct.pack(">iii", 300, 4, 400)))]
    for size in (400, 2**31 - 1):
        entries = b"".join(struct.pack(">iiii", *each[:2], size, each[3]) for each in buffers)
        directory = struct.pack(">iiii", 102, 32, len(entries), -1) + entries
        fif.write_bytes(content + directory)
        patch(fif, (POINTER, struct.pack(">i", len(content))))
        if size == 400:
            check_structure(fif)
    with pytest.raises(ValueError, match=r"p1_raw.fif.* bytes, and states 2147483647 bytes"):
        read_corpus(fif, on_error="raise")


@pytest.mark.parametrize(
    ("position", "message"),
    [(252, "a header of 768 bytes for 4294967295 signals"), (236, "states 4294967295 data rec"),
     (-4, "states 4294967295 events")],
)  # fmt: skip
def test_a_gdf_file_that_states_billions_is_damaged(tmp_path, position, message):
    signals = {"EEG Cz": (noise(), 100), "EEG Pz": (noise(), 100)}
    path = write_gdf(tmp_path / "n.gdf", signals, 10)
    patch(path, (position % path.stat().st_size, b"\xff" * 4))
    with pytest.raises(ValueError, match=rf"n\.gdf cannot be read: it is damaged.*{message}"):
        read_corpus(path, on_error="raise")


def test_an_edf_header_of_thousands_of_signals_that_are_not_there_is_refused_at_once(tmp_path):
    path = write_edf(tmp_path / "n.edf", {"EEG Cz": (noise(), 100)}, annotations=[(1, 4, "walk")])
    with pytest.raises(
        ValueError, match=r"n\.edf cannot be read: .*states a header of 9999 signals"
    ):
        windows_of(patch(path, (252, b"9999")))


# --- what libraries read when it is used ---------------------------------------------------------


def test_damage_that_is_found_late_names_the_file(fif, quick):
    content, start = fif.read_bytes(), struct.pack(">iii", 300, 4, 400)  # of a buffer of data
    position = content.index(start, content.index(start) + 1)
    patch(fif, (position + 8, struct.pack(">ii", 398, position + 16 + 400)))
    with pytest.raises(ValueError, match=r"p1_raw\.fif cannot be read: "):
        windows_of(fif)
    raw = mne.io.read_raw_fif(fif, verbose="error")
    clf = quick().fit(RNG.standard_normal((20, 1, 100)), np.arange(20) % 2)
    with pytest.raises(ValueError, match="the recording cannot be read: "):
        predict_raw(clf, raw, duration=1)


def test_a_channel_of_an_unknown_type_names_the_file(fif):
    content = fif.read_bytes()
    kind = struct.pack(">iii", 1, 1, 2)  # number, number, and type of the first channel
    fif.write_bytes(content.replace(kind, struct.pack(">iii", 1, 1, 2222)))
    with pytest.raises(ValueError, match=r"p1_raw\.fif cannot be read: .*[Uu]nknown channel type"):
        windows_of(fif)


def test_numbers_that_overflow_give_no_warning(tmp_path):
    path = write_edf(tmp_path / "n.edf", {"EEG Cz": (noise(), 100)}, annotations=[(1, 4, "walk")])
    patch(path, (512 + 2 * (16 + 80 + 8) - 256, b"-1e300  "))
    assert not np.isfinite(windows_of(path).X).all()


# --- times ---------------------------------------------------------------------------------------


def test_a_window_of_less_than_two_samples_names_the_file(fif):
    with pytest.raises(
        ValueError, match=r"p1_raw\.fif has 100 Hz: --duration=0.01 is out of range"
    ):
        windows_of(fif, 0.01)


def test_an_event_that_lasts_for_ever_ends_with_the_recording(fif):
    fif.with_name("p1_events.tsv").write_text("onset\tduration\ttrial_type\n10.0\t1e300\twalk\n")
    assert len(windows_of(fif).X) == 10


@pytest.mark.parametrize("row", ["nan\t1", "inf\t1", "1\tinf", "1e400\t1"])
@pytest.mark.parametrize("text", ["walk", "BAD_x"])
def test_times_of_events_are_finite(fif, row, text):
    table = fif.with_name("p1_events.tsv")
    table.write_text(f"onset\tduration\ttrial_type\n{row}\t{text}\n")
    with pytest.raises(ValueError, match=r"p1_events\.tsv .* without a valid onset or duration"):
        windows_of(fif)


# --- arrays and EDF ------------------------------------------------------------------------------


def npy(header):
    """An array with a given header and no values."""
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def write_npz(path, **entries):
    with zipfile.ZipFile(path, "w") as file:
        for name, content in entries.items():
            file.writestr(f"{name}.npy", content)
    return path


def test_an_array_with_a_broken_header_names_the_file(tmp_path):
    path = write_npz(tmp_path / "w.npz", X=npy("{'descr': ("), y=npy("{}"))
    with pytest.raises(ValueError, match=r"w\.npz cannot be read: TokenError"):
        read_labelled(path)


def test_an_entry_that_is_no_array_names_the_file(tmp_path):
    path = write_npz(tmp_path / "w.npz", X=b"\x92NUMPY", y=b"")
    with pytest.raises(ValueError, match=r"w\.npz cannot be read: its entry 'X' is not an array"):
        read_labelled(path)


HUGE = f"{{'descr': '<i2', 'fortran_order': False, 'shape': (1, {10**16})}}"


def test_labelled_windows_that_claim_more_than_there_is_name_the_file(tmp_path):
    path = write_npz(tmp_path / "w.npz", X=npy(HUGE), y=npy(HUGE))
    with pytest.raises(ValueError, match=r"w\.npz cannot be read: it states sizes that do not fit"):
        read_labelled(path)


def test_a_small_file_that_claims_more_than_there_is_is_left_out(tmp_path):
    texts = {"index": '[{"key": "r0"}]', "meta": "{}"}
    entries = {"r0": npy(HUGE)}
    for name, text in texts.items():
        file = io.BytesIO()
        np.save(file, np.frombuffer(text.encode(), np.uint8))
        entries[name] = file.getvalue()
    write_npz(tmp_path / "w.npz", **entries)
    write_edf(tmp_path / "n.edf", {"EEG Cz": (noise(), 100)})
    with pytest.warns(UserWarning, match=r"1 of 2 files .*\n.*w\.npz: it states sizes that do not"):
        assert len(read_corpus(tmp_path).recordings) == 1


@pytest.mark.parametrize(
    ("position", "text", "message"),
    [(252, b"-1  ", "it holds no signal"), (256 + 216, b"-100    ", "has -100 samples")],
)
def test_an_edf_header_with_negative_numbers_is_refused(tmp_path, position, text, message):
    path = write_edf(tmp_path / "n.edf", {"EEG Cz": (noise(), 100)})
    with pytest.raises(ValueError, match=message):
        EdfFile(patch(path, (position, text)))


@pytest.mark.parametrize("sfreq", ["99999999", "1e300", "Infinity", "NaN"])
def test_a_rate_that_no_device_has_leaves_the_channel_out(tmp_path, sfreq):
    np.save(tmp_path / "a.npy", noise().astype(np.int16))
    (tmp_path / "a.json").write_text(f'{{"sfreq": {sfreq}, "modalities": "EEG"}}')
    with pytest.raises(ValueError, match=r"a\.npy.*no channel to use .*more than 100,000 times"):
        read_corpus(tmp_path / "a.npy", on_error="raise")
