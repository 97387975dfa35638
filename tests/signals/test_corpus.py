"""Corpora: recordings in files of several kinds, at one rate, and what of them is usable."""

import gc
import json
import pickle
import shutil
import subprocess
import sys
import tracemalloc

import mne
import numpy as np
import pytest
from edf_files import EDF_GAIN, write_edf
from sklearn.base import BaseEstimator

from citrus_sk.signals.modalities import modality_of
from citrus_sk.signals.recordings import cache as cache_module
from citrus_sk.signals.recordings import conversion
from citrus_sk.signals.recordings.arrays import array_corpus
from citrus_sk.signals.recordings.quality import n_flat
from citrus_sk.signals.recordings.reading import read_corpus

OUTCOMES = ("kept_s", "flat_s", "clipped_s", "missing_s", "short_s")


def noise(*shape, seed=0, top=1000):
    return np.random.default_rng(seed).integers(-top, top, shape)


def sine(frequency, sfreq, seconds, amplitude=1000.0):
    return amplitude * np.sin(2 * np.pi * frequency * np.arange(round(seconds * sfreq)) / sfreq)


def physical(recording, channel=0):
    return recording.data[channel].astype(float) * recording.scale[channel]


def outcomes(corpus):
    return {name: getattr(corpus.report, name) for name in OUTCOMES}


def write_sleep(folder, person, night, seconds=30):
    """A recording as in Sleep-EDF, whose EMG is sampled once a second, and its hypnogram."""
    fast = {"EEG Fpz-Cz": 1, "EEG Pz-Oz": 2, "EOG horizontal": 3}
    slow = {"Resp oro-nasal": 4, "EMG submental": 5, "Temp rectal": 6, "Event marker": 7}
    signals = {
        name: (noise(seconds * 100, seed=(person, seed)), 100) for name, seed in fast.items()
    }
    signals |= {name: (noise(seconds, seed=(person, seed)), 1) for name, seed in slow.items()}
    path = write_edf(folder / f"SC4{person:02d}{night}E0-PSG.edf", signals)
    stages = {"EDF Annotations": (np.zeros(60, int), 60)}
    write_edf(folder / f"SC4{person:02d}{night}EC-Hypnogram.edf", stages, annotations=[])
    return path, signals


def write_house(path, recordings, **meta):
    """`recordings`: list of dict, whose "array" is taken out and stored under "key"."""
    arrays, index = {}, []
    for number, recording in enumerate(recordings):
        entry = {"key": f"r{number}", "recording": f"rec{number}", "sfreq": 100.0} | recording
        arrays[entry["key"]] = np.asarray(entry.pop("array"), np.int16)
        n_chans = len(arrays[entry["key"]])
        entry.setdefault("ch_names", [f"C{i}" for i in range(n_chans)])
        entry.setdefault("scale", [0.5] * n_chans)
        index.append(entry)
    as_bytes = {
        name: np.frombuffer(json.dumps(content).encode(), np.uint8)
        for name, content in {"index": index, "meta": meta}.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **as_bytes, **arrays)
    return path


def write_people(path, n_people, kind="eeg", seconds=10, **meta):
    recordings = [
        {"array": noise(1, seconds * 100, seed=i), "subject": f"p{i}", "ch_types": [kind]}
        for i in range(n_people)
    ]
    return write_house(path, recordings, **meta)


def write_npy(path, array, **sidecar):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)
    if sidecar:
        path.with_suffix(".json").write_text(json.dumps(sidecar))
    return path


# What a channel is


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("EEG Fpz-Cz", "", "EEG"), ("Fc5.", "", "EEG"), ("FP1-REF", "", "EEG"),
        ("C3-A2", "", "EEG"),
        ("EEG EKG1-REF", "", "ECG"), ("II", "", "ECG"), ("aVR", "", "ECG"), ("ECG II", "", "ECG"),
        ("PLETH", "", "PPG"), ("BVP", "", "PPG"), ("Resp oro-nasal", "", "RESP"),
        ("ABP", "", "ABP"),
        ("EMG submental", "", "EMG"), ("EOG horizontal", "", "EOG"), ("LOC-A2", "", "EOG"),
        ("Temp rectal", "", ""), ("Event marker", "", ""), ("Status", "", ""), ("SpO2", "", ""),
        ("Cz", "stim", ""), ("Ch1", "", None), ("EXG3", "", None), ("Ch1", "VEOG", "EOG"),
        ("Ch1", "ppg", "PPG"), ("ECG", "misc", "ECG"), ("XFp1", "", None), ("C3X", "", None),
    ],
)  # fmt: skip
def test_a_channel_is_known_by_its_type_and_by_its_name(name, kind, expected):
    assert modality_of(name, kind) == expected


# EDF


def test_sleep_edf_is_read_by_its_layout(tmp_path):
    paths = {(who, night): write_sleep(tmp_path, who, night) for who in (0, 7) for night in (1, 2)}
    corpus = read_corpus(tmp_path)
    assert corpus.subjects == [f"{tmp_path.name}/SC400", f"{tmp_path.name}/SC407"]
    assert corpus.modalities == ["EEG", "EOG"]
    assert [recording.name for recording in corpus.recordings] == [
        path.name for path, _ in paths.values()
    ]
    for recording, (_, signals) in zip(corpus.recordings, paths.values(), strict=True):
        assert recording.dataset == tmp_path.name
        assert recording.ch_names == ("EEG Fpz-Cz", "EEG Pz-Oz", "EOG horizontal")
        assert recording.data.dtype == np.int16
        for channel, name in enumerate(recording.ch_names):
            error = np.abs(physical(recording, channel) - EDF_GAIN * signals[name][0])
            assert error.max() <= 0.51 * recording.scale[channel]


def test_channels_sampled_too_slowly_are_left_out_and_listed(tmp_path):
    path, _ = write_sleep(tmp_path, 0, 1)
    left_out = read_corpus(path).report.skipped_channels
    assert [name for name, _ in left_out] == [
        f"{path.name}: Resp oro-nasal",
        f"{path.name}: EMG submental",
    ]
    assert {reason for _, reason in left_out} == {"sampled at 1 Hz, less than half of 100 Hz"}


@pytest.mark.parametrize("bdf", [False, True])
@pytest.mark.parametrize("duration", [1.0, 0.5, 30.0])
def test_values_are_those_that_mne_reads(tmp_path, bdf, duration):
    n = round(100 * duration)
    values = {"EEG Cz": (noise(6000, top=30_000), n), "EEG Pz": (noise(6000, seed=1), n)}
    path = write_edf(tmp_path / f"x.{'bdf' if bdf else 'edf'}", values, bdf=bdf, duration=duration)
    reader = mne.io.read_raw_bdf if bdf else mne.io.read_raw_edf
    expected = reader(path, verbose="error").get_data() * 1e6
    recording = read_corpus(path).recordings[0]
    assert recording.data.shape == expected.shape
    for channel in range(2):
        error = np.abs(physical(recording, channel) - expected[channel])
        assert error.max() <= 0.51 * recording.scale[channel]


def test_24_bits_around_an_offset_are_not_squeezed_into_16(tmp_path):
    values = noise(3000, top=50) + 4_000_000
    recording = read_corpus(write_edf(tmp_path / "x.bdf", {"Cz": (values, 100)}, bdf=True))
    recording = recording.recordings[0]
    assert recording.data.dtype == np.float32
    np.testing.assert_array_equal(physical(recording), values)


def test_signals_of_different_rates_come_to_the_same_one(tmp_path):
    signals = {
        "ECG": (sine(3, 256, 20).round().astype(int), 256),
        "EEG Cz": (sine(3, 64, 20).round().astype(int), 64),
        "RESP": (sine(3, 100, 20).round().astype(int), 100),
    }
    recording = read_corpus(write_edf(tmp_path / "x.edf", signals)).recordings[0]
    assert recording.ch_names == ("ECG", "EEG Cz", "RESP")
    assert recording.data.shape == (3, 2000)
    for channel in range(3):
        error = physical(recording, channel) - EDF_GAIN * sine(3, 100, 20)
        assert np.abs(error[50:-50]).max() < 0.3  # of 100


def test_a_gap_parts_a_recording_and_counts_as_missing(tmp_path):
    values = noise(2000)
    onsets = [*range(8), *range(15, 27)]
    path = write_edf(tmp_path / "x.edf", {"EEG Cz": (values, 100)}, onsets=onsets)
    corpus = read_corpus(path)
    assert [recording.name for recording in corpus.recordings] == ["x.edf:1", "x.edf:2"]
    assert [recording.data.shape[1] for recording in corpus.recordings] == [800, 1200]
    assert len(corpus.subjects) == 1
    error = physical(corpus.recordings[1]) - EDF_GAIN * values[800:]
    assert np.abs(error).max() <= 0.51 * corpus.recordings[1].scale[0]
    assert outcomes(corpus) == dict(zip(OUTCOMES, (20, 0, 0, 7, 0), strict=True))


def test_segments_annotated_as_bad_are_missing(tmp_path):
    signals = {"EEG Cz": (noise(3000), 100)}
    notes = [(10, 5, "BAD_electrode"), (20, 5, "Sleep stage 2")]
    corpus = read_corpus(write_edf(tmp_path / "x.edf", signals, annotations=notes))
    assert corpus.recordings[0].good[0].tolist() == [[0, 1000], [1500, 3000]]
    assert corpus.report.missing_s == 5


def test_without_a_known_layout_every_file_is_a_subject_of_the_folder(tmp_path):
    for name in "ab":
        write_edf(
            tmp_path / "ward" / f"{name}.edf", {"II": (noise(1000), 100), "Ch1": (noise(1000), 100)}
        )
    corpus = read_corpus(tmp_path)
    assert corpus.subjects == ["ward/a", "ward/b"]
    assert corpus.modalities == ["ECG"]
    assert corpus.report.skipped_channels[0][0] == "a.edf: Ch1"
    assert "with modality=" in corpus.report.skipped_channels[0][1]


def test_a_folder_far_above_is_no_subject(tmp_path):
    folder = tmp_path / "sub-projects" / "2024" / "data" / "ward"
    write_edf(folder / "x.edf", {"II": (noise(1000), 100)})
    assert read_corpus(tmp_path).subjects == ["ward/x"]


def test_a_modality_that_is_told_is_that_of_all_signals(tmp_path):
    signals = {name: (noise(1000), 100) for name in ("EEG Cz", "Ch1", "Event marker")}
    recording = read_corpus(write_edf(tmp_path / "x.edf", signals), modality="emg").recordings[0]
    assert recording.ch_names == ("EEG Cz", "Ch1")
    assert recording.modalities == ("EMG", "EMG")


# BIDS


def write_bids(root):
    root.mkdir()
    about = {"Name": "Naps", "License": "CC0", "DatasetDOI": "doi:10.1/x", "Authors": ["A. B", "C"]}
    (root / "dataset_description.json").write_text(json.dumps(about))
    for subject in ("sub-01", "sub-02"):
        for session in ("ses-1", "ses-2"):
            folder = root / subject / session / "eeg"
            stem = f"{subject}_{session}_task-nap"
            signals = {name: (noise(1000), 100) for name in ("Cz", "x1", "x2", "Pz")}
            write_edf(folder / f"{stem}_eeg.edf", signals)
            (folder / f"{stem}_channels.tsv").write_text(
                "name\ttype\tunits\tstatus\nCz\tEEG\tuV\tgood\nx1\tHEOG\tuV\tgood\n"
                "x2\tTRIG\tuV\tgood\nPz\tEEG\tuV\tbad\n"
            )


def test_bids_tells_subjects_channels_and_licence(tmp_path):
    write_bids(tmp_path / "ds1")
    corpus = read_corpus(tmp_path)
    assert corpus.subjects == ["Naps/sub-01", "Naps/sub-02"]
    assert len(corpus.recordings) == 4
    assert {recording.ch_names for recording in corpus.recordings} == {("Cz", "x1")}
    assert corpus.recordings[0].modalities == ("EEG", "EOG")
    assert {reason for _, reason in corpus.report.skipped_channels} == {"marked bad"}
    (about,) = corpus.provenance()
    assert about["name"] == "Naps"
    assert about["n_subjects"] == 2
    assert about["licence"] == "CC0"
    assert about["source"] == "doi:10.1/x"
    assert about["citation"] == "A. B, C"
    assert about["hours"] == pytest.approx({"EEG": 4 / 360, "EOG": 4 / 360})


def test_a_licence_file_beside_the_recordings_is_named(tmp_path):
    write_edf(tmp_path / "x.edf", {"II": (noise(1000), 100)})
    (tmp_path / "LICENSE").write_text("\nMIT License\n\nCopyright")
    assert read_corpus(tmp_path).provenance()[0]["licence"] == "MIT License"


# FIF


def write_fif(path, sfreq=100.0):
    kinds = {"EEG 001": "eeg", "EOG": "eeg", "Fz": "eeg", "STI": "stim", "A": "ecg", "B": "misc"}
    info = mne.create_info(list(kinds), sfreq, list(kinds.values()))
    info["bads"] = ["Fz"]
    raw = mne.io.RawArray(1e-6 * noise(6, round(30 * sfreq)), info, verbose="error")
    raw.set_annotations(mne.Annotations([10.0, 20.0], [5.0, 1.0], ["BAD_move", "note"]))
    raw.save(path, verbose="error")
    return path, raw


def test_fif_keeps_what_mne_knows_of_it(tmp_path):
    path, raw = write_fif(tmp_path / "p1_raw.fif.gz")
    corpus = read_corpus(path)
    (recording,) = corpus.recordings
    assert recording.subject == f"{tmp_path.name}/p1_raw"
    assert recording.ch_names == ("A", "EEG 001", "EOG")
    assert recording.modalities == ("ECG", "EEG", "EOG")
    for segments in recording.good:
        assert segments.tolist() == [[0, 1000], [1500, 3000]]
    values = raw.get_data("A")[0]
    usable = np.r_[0:1000, 1500:3000]
    assert np.abs(physical(recording) - values)[usable].max() <= 0.51 * recording.scale[0]
    assert {name.split(": ")[1] for name, _ in corpus.report.skipped_channels} == {"Fz", "B"}


def test_fif_without_mne_says_how_to_get_it(tmp_path, monkeypatch):
    path, _ = write_fif(tmp_path / "p1_raw.fif")
    monkeypatch.setitem(sys.modules, "mne", None)
    with pytest.raises(ModuleNotFoundError, match="pip install mne") as caught:
        read_corpus(path)
    assert caught.value.name == "mne"


def test_a_fif_in_two_parts_is_read_once(tmp_path):
    info = mne.create_info(["Cz"], 100.0, "eeg")
    raw = mne.io.RawArray(1e-6 * noise(1, 2_000_000), info, verbose="error")
    raw.save(tmp_path / "p1_raw.fif", split_size="5MB", split_naming="bids", verbose="error")
    assert len(list(tmp_path.iterdir())) > 1
    (recording,) = read_corpus(tmp_path).recordings
    assert recording.data.shape == (1, 2_000_000)


# The house's .npz


def test_house_recordings_keep_their_integers_and_scale(tmp_path):
    array = noise(3, 1000)
    path = write_house(
        tmp_path / "set.npz",
        [{"array": array, "subject": 12, "ch_types": ["resp", "ppg", "ecg"], "scale": [1, 2, 3]}],
        source="somewhere",
        licence="MIT",
    )
    corpus = read_corpus(path)
    (recording,) = corpus.recordings
    assert (recording.name, recording.subject) == ("set.npz:rec0", "set/12")
    assert recording.modalities == ("ECG", "PPG", "RESP")
    assert recording.scale.tolist() == [3, 2, 1]
    np.testing.assert_array_equal(recording.data, array[::-1])
    assert isinstance(recording.data, np.memmap)
    assert not recording.data.flags.writeable
    assert [recording.scale.dtype, recording.good[0].dtype] == [np.float32, np.int64]
    assert corpus.provenance()[0]["source"] == "somewhere"


def test_house_recordings_of_another_rate_are_resampled(tmp_path):
    values = np.stack([sine(7, 200, 30), sine(70, 200, 30)])
    recording = {"array": values, "subject": "a", "ch_types": ["emg"] * 2, "sfreq": 200.0}
    (recording,) = read_corpus(write_house(tmp_path / "set.npz", [recording])).recordings
    assert recording.data.shape == (2, 3000)
    error = physical(recording)[50:-50] - 0.5 * sine(7, 100, 30)[50:-50]
    assert np.abs(error).max() < 1  # of 500
    assert np.abs(physical(recording, 1)[50:-50]).max() < 1  # above the new Nyquist frequency


# .npy


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
@pytest.mark.parametrize("shape", [(3, 1000), (1000,)])
def test_an_array_at_the_right_rate_is_mapped_in_place(tmp_path, dtype, shape):
    path = write_npy(tmp_path / "x.npy", noise(*shape).astype(dtype))
    corpus = read_corpus(path, modality="EEG", cache=tmp_path / "cache")
    (recording,) = corpus.recordings
    assert recording.data.dtype == dtype
    assert recording.data.base.filename == path.resolve()
    assert not list((tmp_path / "cache").glob("*.bin"))
    np.testing.assert_array_equal(recording.data, np.load(path).reshape(-1, 1000))
    assert recording.ch_names == tuple(f"channel {i}" for i in range(len(recording.data)))


@pytest.mark.parametrize(
    "array",
    [noise(3, 1000).astype(float), noise(3, 1000).astype(">i2"), np.asfortranarray(noise(3, 1000))],
    ids=["float64", "big-endian", "Fortran"],
)
def test_other_arrays_are_converted(tmp_path, array):
    (recording,) = read_corpus(write_npy(tmp_path / "x.npy", array), modality="EEG").recordings
    assert recording.data.dtype.isnative
    for channel in range(3):
        assert (
            np.abs(physical(recording, channel) - array[channel]).max() < recording.scale[channel]
        )


def test_a_sidecar_tells_what_an_array_does_not(tmp_path):
    array = np.stack([sine(7, 256, 20), sine(3, 256, 20)]).astype(np.float32)
    path = write_npy(
        tmp_path / "x.npy", array, sfreq=256, ch_names=["w", "v"], modalities=["ppg", "odd"],
        subject="Ann", licence="CC0", scale=2,
    )  # fmt: skip
    corpus = read_corpus(path)
    (recording,) = corpus.recordings
    assert recording.subject == f"{tmp_path.name}/Ann"
    assert (recording.ch_names, recording.modalities) == (("w", "v"), ("PPG", "odd"))
    assert corpus.provenance()[0]["licence"] == "CC0"
    error = physical(recording)[50:-50] - 2 * sine(7, 100, 20)[50:-50]
    assert np.abs(error).max() < 4  # of 2000


@pytest.mark.parametrize(
    ("array", "sidecar", "message"),
    [
        (noise(2, 1000), {}, "x.npy cannot be read: its modality is unknown: pass"),
        (noise(2, 3, 1000), {"modalities": "EEG"}, r"shape \(2, 3, 1000\)"),
        (noise(1000, 2), {"modalities": "EEG"}, "more channels than samples"),
        (np.array(["a", "b"]), {"modalities": "EEG"}, "expected real numbers"),
        (noise(2, 1000), {"modalities": ["EEG"]}, "2 ch_names and 1 modalities for 2 channels"),
        (noise(2, 1000), {"modalities": "stim"}, "no channel to use"),
        (np.array([None, 1]), {"modalities": "EEG"}, "Python objects"),
    ],
)
def test_an_array_that_is_no_recording_is_an_error_with_a_remedy(tmp_path, array, sidecar, message):
    path = write_npy(tmp_path / "x.npy", array, **sidecar)
    with pytest.raises(ValueError, match=message):
        read_corpus(path, on_error="raise")


# Rates


@pytest.mark.parametrize("sfreq", [64, 125, 128, 173.61, 220, 256, 512, 1000, 2000, 4000])
def test_a_sine_comes_out_at_its_frequency_and_amplitude(tmp_path, monkeypatch, sfreq):
    monkeypatch.setattr(conversion, "PIECE_VALUES", 2**12)  # many pieces, no seams
    values = sine(7, sfreq, 40)[None].astype(np.float32)
    path = write_npy(tmp_path / "x.npy", values, sfreq=sfreq, modalities="EEG")
    found = physical(read_corpus(path).recordings[0])
    expected = sine(7, 100, 40)[: len(found)]
    assert abs(len(found) - 4000) <= 1
    assert np.abs(found - expected)[50:-50].max() < 2  # of 1000
    assert np.abs(found - expected).max() < 150


@pytest.mark.parametrize("sfreq", [64, 100, 256, 173.61, 2000])
def test_pieces_do_not_show_in_the_result(tmp_path, monkeypatch, sfreq):
    values = noise(2, round(60 * sfreq)).astype(np.float32)
    values[:, 700:800] = 5
    values[0, 2000:2100] = np.nan
    values[1, 1500:1507] = 1000
    path = write_npy(tmp_path / "x.npy", values, sfreq=sfreq, modalities="EEG")
    whole = read_corpus(path, min_duration_s=0.5)
    for size in (2**9, 2**11, 1777):
        monkeypatch.setattr(conversion, "PIECE_VALUES", size)
        pieces = read_corpus(path, min_duration_s=0.5)
        assert outcomes(pieces) == pytest.approx(outcomes(whole))
        for channel, segments in enumerate(whole.recordings[0].good):
            np.testing.assert_array_equal(pieces.recordings[0].good[channel], segments)
            for start, stop in segments:
                inside = slice(start + 50, stop - 50)
                piece, one = (c.recordings[0].data[channel, inside] for c in (pieces, whole))
                np.testing.assert_allclose(piece.astype(float), one, atol=2)


def test_memory_stays_small_beside_the_recording(tmp_path):
    path = tmp_path / "x.npy"
    array = np.lib.format.open_memmap(path, "w+", np.int16, (8, 4_000_000))  # 64 MB
    for start in range(0, 4_000_000, 500_000):
        array[:, start : start + 500_000] = noise(8, 500_000, seed=start)
    array.flush()
    del array
    path.with_suffix(".json").write_text(json.dumps({"sfreq": 1000, "modalities": "EEG"}))
    tracemalloc.start()
    try:
        corpus = read_corpus(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert corpus.recordings[0].data.shape == (8, 400_000)
    assert peak < 32e6


# What is usable


def test_every_second_is_counted_once(tmp_path):
    values = noise(1, 6000, top=900).astype(np.float32)
    values[0, 1000:1100] = values[0, 999] + 1  # flat for 1 s
    values[0, 1500:1549] = 7  # equal, but for less than half a second
    values[0, 2000:2005] = 1500  # clipped for 0.05 s, and 0.25 s on either side
    values[0, 2500:2504] = -1500  # four samples at the lowest value are none too many
    values[0, 3000:3200] = np.nan
    values[0, 3250] = np.inf  # leaves 0.5 s before it, which is too short
    corpus = read_corpus(write_npy(tmp_path / "x.npy", values), modality="EEG")
    assert corpus.recordings[0].good[0].tolist() == [
        [0, 1000], [1100, 1975], [2030, 3000], [3251, 6000]
    ]  # fmt: skip
    kept = 60 - 1 - 0.55 - 2.01 - 0.5
    assert outcomes(corpus) == pytest.approx(
        dict(zip(OUTCOMES, (kept, 1, 0.55, 2.01, 0.5), strict=True))
    )
    assert corpus.hours() == pytest.approx(kept / 3600)
    assert corpus.hours("EEG") == corpus.hours()
    assert corpus.hours("ECG") == 0


def test_segments_are_given_at_the_rate_of_the_corpus(tmp_path):
    values = noise(1, 25_600).astype(np.float32)
    values[0, 10_000:12_000] = np.nan
    path = write_npy(tmp_path / "x.npy", values, sfreq=256, modalities="EEG")
    (recording,) = read_corpus(path).recordings
    assert recording.data.shape == (1, 10_000)
    # Samples 0 to 9999 and 12000 to 25599, at 2.56 old samples a new one.
    assert recording.good[0].tolist() == [[0, 3906], [4688, 10_000]]
    assert np.isfinite(recording.data).all()


def test_plateaus_of_a_pulse_and_signals_of_few_bits_are_usable(tmp_path):
    pulse = np.clip(sine(1.2, 100, 60, 200.0), -50, None)
    pulse += np.linspace(0, 20, len(pulse))  # a drifting foot, so no plateau is the lowest value
    coarse = noise(6000, top=3)
    path = write_npy(tmp_path / "x.npy", np.stack([pulse.round(), coarse]).astype(np.int16))
    corpus = read_corpus(path, modality="PPG")
    assert corpus.report.kept_s > 0.97 * 120


def test_channels_are_checked_one_by_one(tmp_path):
    array = noise(3, 1000)
    array[1] = 4
    corpus = read_corpus(write_npy(tmp_path / "x.npy", array.astype(np.int16)), modality="EMG")
    assert [len(segments) for segments in corpus.recordings[0].good] == [1, 0, 1]
    assert corpus.recordings[0].good[1].shape == (0, 2)
    assert corpus.report.flat_s == 10


def test_a_recording_of_which_nothing_is_usable_is_dropped_but_counted(tmp_path):
    recordings = [
        {"array": noise(1, 1000), "subject": "a", "ch_types": ["eeg"]},
        {"array": np.zeros((1, 1000)), "subject": "b", "ch_types": ["eeg"]},
        {"array": noise(1, 300), "subject": "c", "ch_types": ["eeg"]},
    ]
    corpus = read_corpus(write_house(tmp_path / "set.npz", recordings))
    assert corpus.subjects == ["set/a"]
    assert outcomes(corpus) == dict(zip(OUTCOMES, (10, 10, 0, 0, 3), strict=True))
    assert len(read_corpus(tmp_path / "set.npz", min_duration_s=3).recordings) == 2


# Files that cannot be read


def damaged(folder):
    good = write_edf(folder / "a.edf", {"II": (noise(1000), 100)})
    content = good.read_bytes()
    (folder / "cut.edf").write_bytes(content[:-100])
    (folder / "head.edf").write_bytes(content[:300])
    (folder / "empty.edf").write_bytes(b"")
    (folder / "text.bdf").write_text("not a recording " * 100)
    (folder / "zip.npz").write_bytes(write_people(folder / "z.npz", 1).read_bytes()[:-200])
    (folder / "raw.fif").write_bytes(b"\x00" * 1000)
    (folder / "short.npy").write_bytes(b"\x93NUMPY\x01\x00")
    np.savez(folder / "plain.npz", X=np.zeros(3))
    return {"cut.edf", "head.edf", "empty.edf", "text.bdf", "zip.npz", "raw.fif", "short.npy",
            "plain.npz"}  # fmt: skip


def test_damaged_files_are_left_out_and_named_once(tmp_path):
    names = damaged(tmp_path)
    with pytest.warns(UserWarning, match="7 of 10 files were left out") as caught:
        corpus = read_corpus(tmp_path, modality="EEG")
    assert len(caught) == 1
    assert len(corpus.recordings) == 3
    assert {path.rpartition("/")[2] for path, _ in corpus.report.skipped} == names - {"cut.edf"}
    for path, reason in corpus.report.skipped:
        assert f"{path}: {reason}" in str(caught[0].message)
        assert f"{path}: {reason}" in corpus.summary()
    reasons = {path.rpartition("/")[2]: reason for path, reason in corpus.report.skipped}
    assert "'index' and 'meta' are missing" in reasons["plain.npz"]


def test_damaged_files_raise_where_that_is_wanted(tmp_path):
    for name in damaged(tmp_path) - {"cut.edf"}:
        with pytest.raises(ValueError, match=f"{name} cannot be read: ") as caught:
            read_corpus(tmp_path / name, modality="EEG", on_error="raise")
        assert caught.value.__cause__ is not None


def test_nothing_to_read_is_an_error_that_tells_what_was_looked_for(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(ValueError, match=r"no recording in .*\.edf, \.bdf, \.rec, \.fif") as caught:
        read_corpus(tmp_path)
    assert str(tmp_path) in str(caught.value)
    with pytest.raises(ValueError, match="no recording in an empty list"):
        read_corpus([])
    (tmp_path / "x.edf").write_bytes(b"")
    with pytest.raises(ValueError, match=r"no file in .* can be read"):
        read_corpus(tmp_path)
    flat = write_npy(tmp_path / "flat.npy", np.zeros(1000, np.int16))
    with pytest.raises(ValueError, match=r"nothing in .* is usable[\s\S]*100.0 %"):
        read_corpus(flat, modality="EEG")


def test_a_full_disk_is_not_taken_for_a_damaged_file(tmp_path, monkeypatch):
    write_people(tmp_path / "set.npz", 2)

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache_module, "read_file", full)
    with pytest.raises(OSError, match="No space left"):
        read_corpus(tmp_path)


def test_wrong_arguments_are_named(tmp_path):
    path = write_npy(tmp_path / "x.npy", noise(1, 1000).astype(np.int16))
    with pytest.raises(FileNotFoundError, match=r"nowhere\.edf"):
        read_corpus([path, tmp_path / "nowhere.edf"])
    other = tmp_path / "x.csv"
    other.write_text("")
    with pytest.raises(ValueError, match=r"x\.csv.* unknown extension; expected \.edf"):
        read_corpus(other)
    for wrong, error in [
        ({"source": 3}, TypeError), ({"sfreq": 0}, ValueError), ({"sfreq": "fast"}, TypeError),
        ({"min_duration_s": -1}, ValueError), ({"on_error": "ignore"}, ValueError),
        ({"modality": 3}, TypeError), ({"cache": 3}, TypeError), ({"verbose": "no"}, TypeError),
    ]:  # fmt: skip
        (name,) = wrong
        with pytest.raises(error, match=f"{name}="):
            read_corpus(**({"source": path, "modality": "EEG"} | wrong))


def test_files_in_files_and_folders_are_read_once_in_the_order_of_their_paths(tmp_path, capsys):
    b, a = (write_people(tmp_path / "in" / f"{name}.npz", 1) for name in "ba")
    (tmp_path / "in" / "._a.npz").write_bytes(b"left by some file manager")
    corpus = read_corpus([b, tmp_path, a], verbose=1)
    assert [recording.dataset for recording in corpus.recordings] == ["a", "b"]
    assert "2/2" in capsys.readouterr().err


# The cache


def test_a_second_reading_takes_everything_from_the_cache(tmp_path, monkeypatch):
    write_sleep(tmp_path / "data", 0, 1)
    write_people(tmp_path / "data" / "set.npz", 3, licence="MIT")
    write_npy(tmp_path / "data" / "x.npy", noise(2, 1000).astype(np.int16), modalities="ECG")
    first = read_corpus(tmp_path / "data", cache=tmp_path / "cache")
    monkeypatch.setattr(cache_module, "read_file", None)
    second = read_corpus(tmp_path / "data", cache=tmp_path / "cache")
    assert second.fingerprint() == first.fingerprint()
    assert second.summary() == first.summary()
    assert second.provenance() == first.provenance()
    assert second.report.skipped_channels == first.report.skipped_channels


@pytest.mark.parametrize("change", ["values", "companion", "sfreq", "modality", "min_duration_s"])
def test_whatever_has_changed_is_read_anew(tmp_path, change):
    path = write_npy(tmp_path / "x.npy", noise(2, 1000), modalities="ECG")
    read_corpus(path, cache=tmp_path / "cache")
    n_before = len(list((tmp_path / "cache").iterdir()))
    settings = {}
    if change == "values":
        np.save(path, noise(2, 1001))
    elif change == "companion":
        path.with_suffix(".json").write_text(json.dumps({"modalities": "EMG", "subject": "b"}))
    else:
        settings = {change: {"sfreq": 50.0, "modality": "EEG", "min_duration_s": 2}[change]}
    read_corpus(path, cache=tmp_path / "cache", **settings)
    assert len(list((tmp_path / "cache").iterdir())) == n_before + 2


@pytest.mark.parametrize(
    "half", ["no table", "half a table", "half the values", "no values", "a changed table"]
)
def test_what_an_interrupted_run_left_is_not_trusted(tmp_path, half):
    path = write_people(tmp_path / "set.npz", 3)
    cache = tmp_path / "cache"
    expected = read_corpus(path, cache=cache).fingerprint()
    (values,), (table,) = cache.glob("*.bin"), cache.glob("*.json")
    match half:
        case "no table":
            table.unlink()
        case "half a table":
            table.write_text(table.read_text()[:100])
        case "half the values":
            values.write_bytes(values.read_bytes()[:1000])
        case "no values":
            values.unlink()
        case "a changed table":
            table.write_text(
                table.read_text().replace('"subject": "set/p1"', '"subject": "set/p2"')
            )
    assert read_corpus(path, cache=cache).fingerprint() == expected


def test_an_entry_that_is_missing_is_named(tmp_path):
    path = write_house(tmp_path / "set.npz", [{"array": noise(1, 1000), "subject": "a"}])
    with pytest.raises(ValueError, match=r"set\.npz cannot be read: KeyError: 'ch_types'"):
        read_corpus(path, on_error="raise")


def test_an_error_on_the_way_leaves_nothing_in_the_cache(tmp_path):
    recordings = [{"array": noise(1, 1000), "subject": "a", "ch_types": ["eeg"]}] * 2
    recordings[1] = recordings[1] | {"scale": [1, 2]}
    with pytest.raises(ValueError, match="2 scales"):
        read_corpus(
            write_house(tmp_path / "set.npz", recordings), cache=tmp_path / "c", on_error="raise"
        )
    assert not list((tmp_path / "c").iterdir())


def test_the_cache_may_lie_among_the_recordings(tmp_path):
    write_people(tmp_path / "set.npz", 3)
    for _ in range(2):
        assert len(read_corpus(tmp_path, cache=tmp_path / "cache").recordings) == 3


def test_a_temporary_folder_goes_with_the_last_corpus_that_needs_it(tmp_path, monkeypatch):
    write_people(tmp_path / "data" / "set.npz", 4)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    corpus = read_corpus(tmp_path / "data")
    train, _ = corpus.split_by_subject(0.5, 0)
    expected = corpus.fingerprint()
    del corpus, _
    gc.collect()
    assert len(list((tmp_path / "tmp").iterdir())) == 1
    assert train.fingerprint() != expected
    del train
    gc.collect()
    assert not list((tmp_path / "tmp").iterdir())


# The corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    write_people(folder / "one.npz", 10, licence="MIT", source="here", citation="A. B 2020")
    write_people(folder / "two.npz", 5, kind="ecg")
    write_people(folder / "three.npz", 1, kind="ppg")
    write_people(folder / "four.npz", 1, kind="ppg")
    both = {"subject": "p", "ch_types": ["eeg", "emg", "eeg"], "array": noise(3, 1000)}
    write_house(folder / "both.npz", [both, both])
    yield read_corpus(folder)
    shutil.rmtree(folder)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.99])
def test_held_out_people_are_whole_and_every_modality_is_on_both_sides(corpus, share, seed):
    train, held_out = corpus.split_by_subject(share, seed)
    assert not set(train.subjects) & set(held_out.subjects)
    assert sorted(train.subjects + held_out.subjects) == corpus.subjects
    assert len(train.recordings) + len(held_out.recordings) == len(corpus.recordings)
    for side in (train, held_out):
        assert {"one", "two"} <= {recording.dataset for recording in side.recordings}
        assert {"EEG", "ECG", "PPG"} <= set(side.modalities)
    n_held_out = sum(subject.startswith("one/") for subject in held_out.subjects)
    assert n_held_out == min(max(1, round(10 * share)), 9)
    assert train.hours() + held_out.hours() == pytest.approx(corpus.hours())
    assert train.report.kept_s + held_out.report.kept_s == pytest.approx(corpus.report.kept_s)


def test_who_is_held_out_depends_on_the_seed_and_not_on_the_order(corpus):
    reference = corpus.split_by_subject(0.3, 1)[1].subjects
    backwards = type(corpus)(corpus.recordings[::-1], corpus.sfreq, corpus.report)
    assert backwards.split_by_subject(0.3, 1)[1].subjects == reference
    assert any(corpus.split_by_subject(0.3, s)[1].subjects != reference for s in range(2, 5))


def test_people_of_one_set_are_held_out_whatever_other_sets_there_are(corpus):
    alone = corpus.select(["ECG"]).split_by_subject(0.4, 3)[1].subjects
    among = corpus.split_by_subject(0.4, 3)[1].subjects
    assert alone == [subject for subject in among if subject.startswith("two/")]


def test_a_split_that_cannot_be_had_is_an_error(tmp_path, corpus):
    lonely = read_corpus(write_people(tmp_path / "set.npz", 1))
    with pytest.raises(ValueError, match=r"No data set and no modality has two subjects.*set/p0"):
        lonely.split_by_subject(0.2, 0)
    for share in (0, 1.5, "some"):
        with pytest.raises((ValueError, TypeError), match="share="):
            corpus.split_by_subject(share, 0)
    with pytest.raises(TypeError, match="seed="):
        corpus.split_by_subject(0.2, 0.5)


def test_a_selection_has_only_channels_of_its_modalities_and_copies_nothing(corpus):
    chosen = corpus.select(["EEG"])
    assert chosen.modalities == ["EEG"]
    assert {kind for recording in chosen.recordings for kind in recording.modalities} == {"EEG"}
    assert chosen.hours() == pytest.approx(corpus.hours("EEG"))
    assert chosen.report.kept_s == pytest.approx(3600 * corpus.hours("EEG"))
    (whole,) = (each for each in corpus.recordings if each.name == "both.npz:rec0")
    (part,) = (each for each in chosen.recordings if each.name == "both.npz:rec0")
    assert whole.modalities == ("EEG", "EEG", "EMG")
    assert part.ch_names == ("C0", "C2")
    assert np.shares_memory(part.data, whole.data)
    with pytest.raises(ValueError, match=r"\['EOG'\].*it has ECG, EEG, EMG, PPG"):
        corpus.select(["EEG", "EOG"])


def test_channels_that_do_not_lie_side_by_side_become_several_recordings(tmp_path):
    array = noise(3, 1000).astype(np.int16)
    path = write_npy(tmp_path / "x.npy", array, modalities=["EEG", "ECG", "EEG"])
    parts = read_corpus(path).select(["EEG"]).recordings
    assert [part.ch_names for part in parts] == [("channel 0",), ("channel 2",)]
    np.testing.assert_array_equal(np.concatenate([part.data for part in parts]), array[::2])


def test_the_fingerprint_tells_corpora_apart(tmp_path):
    array = noise(2, 1000).astype(np.int16)

    def fingerprint(array, **sidecar):
        told = {"modalities": "EEG"} | sidecar
        return read_corpus(write_npy(tmp_path / "x.npy", array, **told)).fingerprint()

    changed = array.copy()
    changed[0, 0] += 1
    late = array.copy()
    late[1, -1] += 1
    flat = array.copy()
    flat[0, 450:550] = 3
    seen = [
        fingerprint(array), fingerprint(changed), fingerprint(flat), fingerprint(array[:, :-1]),
        fingerprint(array[::-1]), fingerprint(array, subject="b"), fingerprint(array, scale=2),
        fingerprint(late),
        fingerprint(array, modalities="ECG"), fingerprint(array, ch_names=["a", "b"]),
    ]  # fmt: skip
    assert len(set(seen)) == len(seen)
    assert fingerprint(array) == seen[0]


def test_the_summary_is_a_table_of_what_there_is_and_what_is_not(corpus, tmp_path):
    lines = corpus.summary().splitlines()
    assert lines[0].split() == [
        "data", "set", "modality", "subjects", "recordings", "hours", "flat", "clipped", "missing",
        "short",
    ]  # fmt: skip
    assert [line.split()[:5] for line in lines[1:3]] == [
        ["both", "EEG", "1", "2", "0.01"],
        ["both", "EMG", "1", "2", "0.01"],
    ]
    assert len({len(line) for line in lines}) == 1
    path, _ = write_sleep(tmp_path, 0, 1)
    assert "2 sampled at 1 Hz, less than half of 100 Hz" in read_corpus(path).summary()


def test_provenance_has_an_entry_for_every_data_set(corpus):
    entries = {entry["name"]: entry for entry in corpus.provenance()}
    assert sorted(entries) == ["both", "four", "one", "three", "two"]
    assert entries["one"] == {
        "name": "one", "n_subjects": 10, "hours": {"EEG": pytest.approx(10 / 360)},
        "licence": "MIT", "source": "here", "citation": "A. B 2020",
    }  # fmt: skip
    assert entries["two"]["licence"] is None


def test_the_corpus_says_what_it_is(corpus):
    assert repr(corpus) == "<Corpus: 19 recordings of 18 subjects, ECG, EEG, EMG, PPG>"


# Arrays


def test_windows_become_recordings_without_a_copy():
    X = noise(6, 2, 300).astype(np.float32)
    corpus = array_corpus(X, modality="emg", sfreq=100.0, subjects=[1, 1, 2, 2, 3, 3])
    assert corpus.subjects == ["array/1", "array/2", "array/3"]
    assert corpus.modalities == ["EMG"]
    assert corpus.hours() == pytest.approx(6 * 2 * 3 / 3600)
    for number, recording in enumerate(corpus.recordings):
        assert recording.name == f"array {number}"
        assert np.shares_memory(recording.data, X)
        np.testing.assert_array_equal(recording.data, X[number])
        assert [segments.tolist() for segments in recording.good] == [[[0, 300]]] * 2
        assert recording.scale.tolist() == [1, 1]


def test_an_array_on_disk_stays_there(tmp_path):
    np.save(tmp_path / "X.npy", noise(100, 4, 5000).astype(np.float32))
    X = np.load(tmp_path / "X.npy", mmap_mode="r")
    tracemalloc.start()
    try:
        corpus = array_corpus(X)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert all(np.shares_memory(recording.data, X) for recording in corpus.recordings)
    assert peak < X.nbytes / 8


def test_a_long_array_is_looked_at_in_pieces():
    X = noise(1, 1, 3_000_000).astype(np.int16)
    X[0, 0, 1_000_000:1_001_000] = 5
    corpus = array_corpus(X, sfreq=1000.0)
    assert corpus.recordings[0].good[0].tolist() == [[0, 1_000_000], [1_001_000, 3_000_000]]
    assert corpus.recordings[0].data.dtype == np.int16


def test_lists_of_unequal_lengths_and_two_dimensional_arrays_are_welcome():
    corpus = array_corpus([noise(2, 100), noise(2, 250)])
    assert [recording.data.shape for recording in corpus.recordings] == [(2, 100), (2, 250)]
    assert [each.data.shape for each in array_corpus(noise(3, 50)).recordings] == [(1, 50)] * 3
    corpus = array_corpus([noise(100), noise(250)])
    assert [recording.data.shape for recording in corpus.recordings] == [(1, 100), (1, 250)]


def test_without_a_rate_there_are_no_hours():
    corpus = array_corpus(noise(4, 2, 100))
    assert corpus.sfreq is None
    assert np.isnan(corpus.hours())
    assert corpus.report.kept_s == 800
    assert "samples" in corpus.summary()
    assert corpus.modalities == ["unknown"]
    assert len(corpus.subjects) == 4


@pytest.mark.parametrize(
    ("value", "what"), [(np.nan, "NaN"), (np.inf, "inf"), (1e300, "too large")]
)
def test_an_array_has_to_be_finite(value, what):
    X = noise(4, 2, 100).astype(float)
    X[2, 1, 30] = value
    with pytest.raises(ValueError, match=f"{what}.*window 2, channel 1, sample 30") as caught:
        array_corpus(X)
    assert str(caught.value).startswith("Input X contains")


def test_half_a_second_is_flat_and_no_single_sample():
    assert [n_flat(sfreq) for sfreq in (1, 2, 4, 100, 101)] == [2, 2, 2, 50, 51]


def test_flat_channels_and_windows_are_kept_out():
    X = noise(3, 2, 300)
    X[0] = 5
    X[1, 0] = 5
    X[2, 1, 100:180] = 5  # what remains, 100 and 120 samples, is less than half
    corpus = array_corpus(X)
    assert [recording.name for recording in corpus.recordings] == ["array 1", "array 2"]
    assert [list(map(len, each.good)) for each in corpus.recordings] == [[0, 1], [1, 0]]
    assert corpus.report.flat_s == 980
    assert corpus.report.short_s == 220
    corpus = array_corpus(X, min_n_times=110)
    assert corpus.recordings[1].good[1].tolist() == [[180, 300]]
    with pytest.raises(ValueError, match=r"X holds nothing usable[\s\S]*100.0 %"):
        array_corpus(np.zeros((3, 2, 40)))


def test_epochs_know_rate_and_modalities():
    kinds = {"Cz": "eeg", "STI": "stim", "A": "ecg", "Pz": "eeg"}
    info = mne.create_info(list(kinds), 200.0, list(kinds.values()))
    info["bads"] = ["Pz"]
    epochs = mne.EpochsArray(noise(5, 4, 300).astype(float), info, verbose="error")
    corpus = array_corpus(epochs)
    assert corpus.sfreq == 200
    assert corpus.recordings[0].ch_names == ("Cz", "A")
    assert corpus.recordings[0].modalities == ("EEG", "ECG")
    assert array_corpus(epochs, modality="EMG").modalities == ["EMG"]
    raw = mne.io.RawArray(noise(4, 3000).astype(float), info, verbose="error")
    with pytest.raises(TypeError, match="read_corpus"):
        array_corpus(raw)


def test_wrong_arguments_of_arrays_are_named():
    X = noise(4, 2, 100)
    for wrong, error in [
        ({"subjects": [1, 2]}, ValueError), ({"sfreq": -1}, ValueError),
        ({"min_n_times": 0.5}, TypeError), ({"modality": None}, TypeError),
    ]:  # fmt: skip
        with pytest.raises(error, match=next(iter(wrong))):
            array_corpus(X, **wrong)


def test_an_estimator_is_named_in_errors_and_notes_the_shape():
    class Pretrainer(BaseEstimator):
        pass

    estimator = Pretrainer()
    array_corpus(noise(4, 2, 100), estimator=estimator)
    assert estimator.n_features_in_ == 2
    with pytest.raises(ValueError, match="Pretrainer expects"):
        array_corpus(noise(4, 2, 100, 1), estimator=estimator)


# The module


def test_importing_brings_in_neither_mne_nor_torch():
    heavy = "{'mne', 'torch', 'braindecode', 'tqdm'}"
    code = f"import sys, citrus_sk.signals.recordings.reading; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_recording_can_be_sent_to_another_process(corpus):
    recording = pickle.loads(pickle.dumps(corpus.recordings[0]))
    np.testing.assert_array_equal(recording.data, corpus.recordings[0].data)


def test_miscellaneous_channels_of_epochs_are_named_as_they_are_read():
    info = mne.create_info(["Cz", "answer", "Pz"], 100, ["eeg", "misc", "eeg"])
    epochs = mne.EpochsArray(noise(3, 3, 200), info, verbose="error")
    (first, *_) = array_corpus(epochs).recordings
    assert first.ch_names == ("Cz", "Pz")
    assert first.data.shape == (2, 200)
