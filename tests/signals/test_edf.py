"""EDF and GDF files as devices write them, for pre-training and for evaluation alike."""

import mne
import numpy as np
import pytest
from edf_files import write_edf

from citrus_sk import read_corpus
from citrus_sk.mne import make_epochs
from citrus_sk.signals.recordings.edf import EdfFile
from citrus_sk.signals.recordings.quality import marks_bad
from citrus_sk.signals.recordings.rates import check_one_rate, gdf_rates

RNG = np.random.default_rng(0)
LIMITS = 256 + 2 * (16 + 80 + 8)  # of the first of two signals: physical, then digital
RECORDS, DURATION = 236, 244


def noise(n=1000):
    return RNG.integers(-900, 900, n)


def one_eeg(path, **settings):
    return write_edf(path, {"EEG Cz": (noise(), 100)}, **settings)


def patch(path, offset, text):
    """Overwrite a field of 8 bytes of a header."""
    content = bytearray(path.read_bytes())
    content[offset : offset + 8] = text.ljust(8)
    path.write_bytes(content)
    return path


# --- the header and the file ---------------------------------------------------------------------


@pytest.mark.parametrize("stated", [b"0", b"4"])
def test_a_file_longer_than_its_header_says_is_read_as_a_whole(tmp_path, stated):
    path = patch(one_eeg(tmp_path / "n.edf"), RECORDS, stated)
    with pytest.warns(UserWarning, match=rf"header states {stated.decode()} data .* holds 10; all"):
        corpus = read_corpus(path)
    assert corpus.hours() * 3600 == pytest.approx(10)
    assert mne.io.read_raw_edf(path, verbose="error").times[-1] == pytest.approx(9.99)


def test_a_recording_that_was_not_closed_is_read_without_a_note(tmp_path):
    corpus = read_corpus(patch(one_eeg(tmp_path / "n.edf"), RECORDS, b"-1"))
    assert corpus.hours() * 3600 == pytest.approx(10)
    assert not corpus.report.notes


@pytest.mark.parametrize(
    ("offset", "text", "reason"),
    [
        (LIMITS, b"", "physical minimum and maximum in the header are '' and '3276.7'"),
        (LIMITS + 48, b"nan", "digital minimum and maximum in the header are -32768 and nan"),
        (LIMITS + 16, b"-3276.8", "physical minimum and maximum in the header are both -3276.8"),
    ],
)
def test_a_channel_without_a_scale_is_left_out_and_the_others_are_read(
    tmp_path, offset, text, reason
):
    signals = {name: (noise(), 100) for name in ("EEG Cz", "EEG Pz")}
    path = write_edf(tmp_path / "n.edf", signals)
    patch(path, offset, text)
    corpus = read_corpus(path)
    assert corpus.recordings[0].ch_names == ("EEG Pz",)
    assert corpus.report.skipped_channels == [("n.edf: EEG Cz", f"its {reason}")]


def test_evaluation_refuses_a_channel_without_a_scale_and_takes_the_others(tmp_path):
    signals = {name: (noise(), 100) for name in ("EEG Cz", "EEG Pz")}
    path = write_edf(tmp_path / "n.edf", signals)
    for offset in (LIMITS, LIMITS + 16):
        patch(path, offset, b"0")
    raw = mne.io.read_raw_edf(path, verbose="error")
    with pytest.raises(ValueError, match=r"n\.edf.*'EEG Cz' has no scale, as its physical minimum"):
        make_epochs(raw, duration=1)
    assert make_epochs(raw, duration=1, picks="EEG Pz").ch_names == ["EEG Pz"]


@pytest.mark.parametrize("duration", [b"0", b"-1", b"nan"])
def test_a_header_without_a_duration_gives_no_rate(tmp_path, duration):
    patch(one_eeg(tmp_path / "n.edf"), DURATION, duration)
    with pytest.raises(ValueError, match=r"a data record lasts .* s, which gives no sampling rate"):
        read_corpus(tmp_path)


def test_a_file_that_ends_in_its_header_says_so(tmp_path):
    path = one_eeg(tmp_path / "n.edf")
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(ValueError, match="the file ends before the header does"):
        read_corpus(path)


def test_evaluation_refuses_a_recording_whose_times_jump(tmp_path):
    onsets = [*range(4), *range(9, 15)]
    path = write_edf(tmp_path / "n.edf", {"EEG Cz": (noise(), 100)}, onsets=onsets)
    with pytest.raises(ValueError, match=r"interrupted 1 time\(s\), first after 4 s.*later times"):
        check_one_rate(path, ["EEG Cz"], "")
    whole = write_edf(tmp_path / "w.edf", {"EEG Cz": (noise(), 100)}, onsets=[*range(10)])
    check_one_rate(whole, ["EEG Cz"], "")


@pytest.mark.parametrize("name", ["Cz", "EEG Cz", "EEG Cz-0"])
def test_rates_are_compared_whatever_mne_calls_the_channels(tmp_path, name):
    signals = {"EEG Cz": (noise(), 100), "Resp nasal": (noise(10), 1)}
    path = write_edf(tmp_path / "n.edf", signals)
    with pytest.raises(ValueError, match="unequal sampling rates"):
        check_one_rate(path, [name, "Resp nasal"], "")
    check_one_rate(path, [name], "")


def test_a_signal_of_like_name_and_another_type_is_not_taken_for_the_picked_one(tmp_path):
    path = write_edf(tmp_path / "n.edf", {"EEG 1": (noise(), 100), "EMG 1": (noise(10), 1)})
    check_one_rate(path, ["EEG 1"], "")


# --- annotations ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "bad"),
    [
        ("BAD_muscle", True), ("bad", True), ("Bad electrode", True), ("Movement\x14BAD", True),
        ("Movement; bad contact", True), ("EEG/BAD_blink", True), ("artefact BAD_eye", True),
        ("Baden-Baden", True),  # as in MNE, where the first letters count
        ("not bad", False), ("Sleep stage 2", False), ("ebad_x", False), ("", False),
    ],
)  # fmt: skip
def test_a_mark_is_found_wherever_it_stands_in_a_text(text, bad):
    assert marks_bad(text) == bad


def test_annotations_with_a_decimal_comma_are_read(tmp_path):
    path = one_eeg(tmp_path / "n.edf", annotations=[(2, 3, "BAD_x")])
    content = path.read_bytes()
    path.write_bytes(
        content.replace(b"+2\x153\x14", b"+2,5\x151,5\x14").replace(b"\0\0\0\0", b"", 1)
    )
    assert EdfFile(path).bad == [(2.5, 4.0)]


@pytest.mark.parametrize("duration", ["0", ""])
def test_a_mark_without_a_duration_parts_a_recording(tmp_path, duration):
    path = one_eeg(tmp_path / "n.edf", annotations=[(5, 0, "BAD_jump")])
    if not duration:
        text = b"+5\x150\x14BAD_jump\x14\0"
        path.write_bytes(path.read_bytes().replace(text, text.replace(b"\x150", b"") + b"\0\0"))
    corpus = read_corpus(path)
    assert [each.tolist() for each in corpus.recordings[0].good] == [[[0, 500], [501, 1000]]]


# --- GDF -----------------------------------------------------------------------------------------


def write_gdf(path, signals, seconds):
    """GDF 1.25 with 16-bit integers, one data record a second: {label: (values, rate)}."""
    n = len(signals)
    head = b"GDF 1.25" + b" " * (80 + 80) + b"2020010112000000"
    head += np.int64(256 * (n + 1)).tobytes() + bytes(8 + 8 + 8 + 20)
    head += np.int64(seconds).tobytes() + np.array([1, 1, n], "<u4").tobytes()
    assert len(head) == 256
    for text, width in (("label", 16), ("", 80), ("uV", 8)):
        names = signals if text == "label" else [text] * n
        head += b"".join(name.encode().ljust(width) for name in names)
    for low, dtype in ((-32768, "<f8"), (32767, "<f8"), (-32768, "<i8"), (32767, "<i8")):
        head += np.full(n, low, dtype).tobytes()
    head += b" " * 80 * n
    head += np.array([rate for _, rate in signals.values()], "<i4").tobytes()
    head += np.full(n, 3, "<i4").tobytes() + bytes(32 * n)
    records = [
        np.asarray(values[i * rate : (i + 1) * rate], "<i2").tobytes()
        for i in range(seconds)
        for values, rate in signals.values()
    ]
    path.write_bytes(head + b"".join(records) + bytes([1]) + bytes(7))
    return path


def test_gdf_signals_count_at_the_rates_of_the_file(tmp_path):
    path = write_gdf(tmp_path / "n.gdf", {"EEG Cz": (noise(), 100), "Resp": (noise(10), 1)}, 10)
    assert gdf_rates(path) == {"EEG Cz": 100.0, "Resp": 1.0}
    corpus = read_corpus(path)
    assert corpus.recordings[0].ch_names == ("EEG Cz",)
    assert corpus.report.skipped_channels == [
        ("n.gdf: Resp", "sampled at 1 Hz, less than half of 100 Hz")
    ]
    raw = mne.io.read_raw_gdf(path, verbose="error")
    with pytest.raises(ValueError, match=r"n\.gdf has signals of unequal sampling rates"):
        make_epochs(raw, duration=1)


@pytest.mark.parametrize("version", [b"1.89", b"1.90", b"2.20"])
def test_gdf_of_any_version_tells_its_rates(tmp_path, version):
    path = write_gdf(tmp_path / "n.gdf", {"EEG Cz": (noise(), 100), "Resp": (noise(10), 1)}, 10)
    content = bytearray(path.read_bytes())
    content[4:9] = version + b"K"  # the patient's name begins behind the version
    if version != b"1.89":
        content[254:256] = b"\x01\x01"  # no longer part of the number of signals
    path.write_bytes(content)
    assert gdf_rates(path) == {"EEG Cz": 100.0, "Resp": 1.0}


@pytest.mark.parametrize("place", [slice(244, 248), slice(248, 252), slice(700, None)])
def test_gdf_without_a_duration_or_a_whole_header_is_refused(tmp_path, place):
    path = write_gdf(tmp_path / "n.gdf", {"EEG Cz": (noise(), 100), "Resp": (noise(10), 1)}, 10)
    content = bytearray(path.read_bytes())
    content[place] = bytes(4) if place.stop else b""
    path.write_bytes(content)
    with pytest.raises(ValueError, match="its header cannot be read"):
        gdf_rates(path)
