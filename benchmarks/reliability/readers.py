"""Attacks on the readers: mutated recordings, tables and arrays.

A mutated file may still be readable, with other values. Otherwise an error has to name the file.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from attempts import DOCUMENTED, MARK, READ, Attempt, Fault, Payload, failure
from mutations import mutated

SFREQ = 50


def signals(n_chans: int = 3, seconds: int = 20) -> np.ndarray:
    """Accelerations of a smart watch, (n_chans, n_times), in thousandths of g."""
    from citrus_sk.datasets import load_watch

    windows = load_watch(overlap=0).X[:40, :n_chans]
    joined = np.concatenate(list(windows), axis=1)[:, : seconds * SFREQ]
    return np.rint(1000 * joined)


# --- recordings ----------------------------------------------------------------------------------


def _read_as_corpus(path: Path) -> None:
    from citrus_sk import read_corpus

    corpus = read_corpus(path, sfreq=SFREQ, modality="ACC", on_error="raise")
    for recording in corpus.recordings:
        recording.data.copy()


def _read_as_windows(path: Path) -> None:
    from citrus_sk.signals.recordings.labelled import read_labelled

    read_labelled(path, Path("annotations"), duration=1.0)


def _open(path: Path) -> None:
    from citrus_sk.signals.recordings.formats import open_named

    open_named(path, path.name)


@dataclass
class Sample:
    """Files, of which the first is passed to the functions that read it."""

    files: Mapping[str, bytes]
    readers: Sequence[Callable[[Path], None]]
    is_valid: bool = True
    damage: Callable[[np.random.Generator, bytes], bytes] = mutated


def attempt_on(folder: Path, samples: Sequence[Sample]) -> Attempt:
    """Attempts on the samples by turns; one file of a sample is damaged."""

    def written(sample: Sample, files: Mapping[str, bytes]) -> Sequence[Exception | None]:
        for name, content in files.items():
            (folder / name).write_bytes(content)
        path = folder / next(iter(files))
        try:
            return [failure(partial(read, path)) for read in sample.readers]
        finally:
            for name in files:
                (folder / name).unlink()

    for sample in samples:
        for error in written(sample, sample.files):
            if error is not None and sample.is_valid:
                raise error

    def run(rng: np.random.Generator, i: int) -> str:
        sample = samples[i % len(samples)]
        name = list(sample.files)[rng.integers(len(sample.files))]
        errors = written(sample, sample.files | {name: sample.damage(rng, sample.files[name])})
        if (folder / MARK).exists():
            raise Fault("code in a file was run")
        failures = [error for error in errors if error is not None]
        # An error that is not as it should be comes before one that is.
        failures.sort(key=lambda error: isinstance(error, DOCUMENTED) and _names(error, names))
        if failures:
            raise failures[0]
        return READ

    names = {name for sample in samples for name in sample.files}
    return Attempt(run, names)


def _names(error: Exception, names: Iterable[str]) -> bool:
    return any(name in str(error) for name in names)


def edf(folder: Path) -> Attempt:
    import edfio

    values, samples, readers = signals(), [], [_read_as_corpus, _read_as_windows, _open]
    for suffix, of_file, of_signal in (
        ("edf", edfio.Edf, edfio.EdfSignal), ("bdf", edfio.Bdf, edfio.BdfSignal),
    ):  # fmt: skip
        channels = [
            of_signal(row, SFREQ, label=f"ACC {axis}", physical_dimension="mg")
            for row, axis in zip(values, "xyz", strict=True)
        ]
        slow = of_signal(values[0, ::SFREQ], 1, label="Temp rectal")
        marks = [edfio.EdfAnnotation(i, 1.5, text) for i, text in enumerate(["walk", "rest"] * 5)]
        marks.append(edfio.EdfAnnotation(12, 2, "BAD_movement"))
        for kind, notes in (("plain", []), ("plus", marks)):
            path = folder / f"{kind}.{suffix}"
            of_file([*channels, *([] if notes else [slow])], annotations=notes).write(path)
            chosen = readers if notes else [_read_as_corpus, _open]
            samples.append(Sample({path.name: path.read_bytes()}, chosen))
    (whole,) = samples[1].files.values()
    gaps = whole.replace(b"EDF+C", b"EDF+D", 1)
    return attempt_on(folder, [*samples, Sample({"gaps.edf": gaps}, readers)])


def fif(folder: Path) -> Attempt:
    raw, path = _raw(), folder / "walk_raw.fif"
    raw.save(path, verbose="error")
    readers = [_read_as_corpus, _read_as_windows, _open]
    return attempt_on(folder, [Sample({path.name: path.read_bytes()}, readers)])


def _raw():
    import mne

    names = [f"EEG {i}" for i in (1, 2)]
    raw = mne.io.RawArray(
        1e-6 * signals(2), mne.create_info(names, SFREQ, "eeg"), verbose="error"
    )  # fmt: skip
    return raw.set_annotations(mne.Annotations([1, 4, 8], [2, 2, 1], ["walk", "rest", "BAD_x"]))


def formats(folder: Path) -> Attempt:
    """BrainVision, EEGLAB and GDF, which MNE reads."""
    values = signals(2)
    head = (
        "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\nDataFile=a.eeg\n"
        "MarkerFile=a.vmrk\nDataFormat=BINARY\nDataOrientation=MULTIPLEXED\nNumberOfChannels=2\n"
        f"SamplingInterval={1e6 / SFREQ:g}\n[Binary Infos]\nBinaryFormat=IEEE_FLOAT_32\n"
        "[Channel Infos]\nCh1=C3,,1,uV\nCh2=C4,,1,uV\n"
    )
    marks = (
        "Brain Vision Data Exchange Marker File, Version 1.0\n[Common Infos]\nDataFile=a.eeg\n"
        "[Marker Infos]\nMk1=New Segment,,1,1,0\nMk2=Stimulus,walk,100,100,0\n"
    )
    brainvision = {"a.vhdr": head.encode(), "a.vmrk": marks.encode(),
                   "a.eeg": values.T.astype("<f4").tobytes()}  # fmt: skip
    eeglab = {"a.set": _saved(folder, {"EEG": _eeg(values)})}
    readers = [_read_as_corpus, _read_as_windows, _open]
    samples = [Sample(brainvision, readers), Sample(eeglab, readers)]
    return attempt_on(folder, [*samples, Sample({"a.gdf": _gdf(values)}, [_read_as_corpus, _open])])


def eeglab(folder: Path) -> Attempt:
    """Files of EEGLAB in each layout: one structure, its fields, and compressed."""
    from scipy.sparse import csc_array

    eeg, samples = _eeg(signals(2)), []
    odd = {"cells": np.array([1.0, "a", np.eye(2)], object), "sparse": csc_array(np.eye(3)),
           "complex": np.array([1j, 2])}  # fmt: skip
    for name, content, packed in (
        ("whole", {"EEG": eeg | {"etc": odd}}, False), ("fields", eeg, False),
        ("packed", {"EEG": eeg}, True),
    ):  # fmt: skip
        files = {f"{name}.set": _saved(folder, content, packed)}
        samples.append(Sample(files, [_read_as_corpus, _read_as_windows, _open]))
    return attempt_on(folder, samples)


def matlab(folder: Path) -> Attempt:
    """Files that MATLAB wrote for the tests of SciPy, as they are and with nothing compressed."""
    from scipy.io import matlab

    samples = []
    for path in sorted(Path(matlab.__file__).parent.glob("tests/data/*.mat")):
        content = path.read_bytes()
        for i, each in enumerate(dict.fromkeys([content, _unpacked(content)])):
            samples.append(Sample({f"{path.stem}-{i}.set": each}, [_load], is_valid=False))
    return attempt_on(folder, samples)


def _unpacked(content: bytes) -> bytes:
    if content[124:128] not in (b"\0\1IM", b"\1\0MI"):  # not of version 5
        return content
    tag, parts, at = (
        struct.Struct(f"{'<' if content[126:128] == b'IM' else '>'}II"),
        [content[:128]],
        128,
    )
    while at + 8 <= len(content):
        kind, n_bytes = tag.unpack_from(content, at)
        whole = content[at : at + 8 + n_bytes]
        try:
            parts.append(zlib.decompress(whole[8:]) if kind == 15 else whole)
        except zlib.error:  # a test of SciPy
            parts.append(whole)
        at += len(whole)
    return b"".join(parts)


def _load(path: Path) -> None:
    from scipy.io import loadmat

    from citrus_sk.signals.recordings.formats import reading
    from citrus_sk.signals.recordings.structure import check_structure

    with reading(path.name):
        check_structure(path)
        loadmat(path, appendmat=False, squeeze_me=True)


def _eeg(values: np.ndarray) -> dict[str, object]:
    """Two channels and an event, as EEGLAB stores them."""
    channels = np.array([("C3",), ("C4",)], [("labels", object)])
    events = np.array(
        [("walk", 100.0, 50.0)], [(n, object) for n in ("type", "latency", "duration")]
    )
    return {"data": values.astype("f4"), "srate": float(SFREQ), "nbchan": 2, "trials": 1,
            "pnts": values.shape[1], "xmin": 0.0, "xmax": 20.0, "chanlocs": channels,
            "event": events, "setname": "a", "icawinv": [], "icaweights": []}  # fmt: skip


def _saved(folder: Path, content: dict[str, object], packed: bool = False) -> bytes:
    from scipy.io import savemat

    path = folder / "saved.set"
    savemat(path, content, appendmat=False, do_compression=packed)
    try:
        return path.read_bytes()
    finally:
        path.unlink()


def _gdf(values: np.ndarray) -> bytes:
    """GDF 1.25 with 16-bit integers and one data record a second."""
    n, n_records = len(values), values.shape[1] // SFREQ
    head = b"GDF 1.25" + b" " * 160 + b"2020010112000000"
    head += np.int64(256 * (n + 1)).tobytes() + bytes(44) + np.int64(n_records).tobytes()
    head += np.array([1, 1, n], "<u4").tobytes()
    for names, width in (((b"EEG C3", b"EEG C4"), 16), ((b"", b""), 80), ((b"uV", b"uV"), 8)):
        head += b"".join(name.ljust(width) for name in names)
    for limit, dtype in ((-32768, "<f8"), (32767, "<f8"), (-32768, "<i8"), (32767, "<i8")):
        head += np.full(n, limit, dtype).tobytes()
    head += b" " * 80 * n + np.full(n, SFREQ, "<i4").tobytes() + np.full(n, 3, "<i4").tobytes()
    records = values.reshape(n, n_records, SFREQ).transpose(1, 0, 2).astype("<i2").tobytes()
    return head + bytes(32 * n) + records + bytes([1]) + bytes(7)


def wfdb(folder: Path) -> Attempt:
    import wfdb as library

    values = signals(2) / 1000
    library.wrsamp(
        "r1", fs=SFREQ, units=["mV", "mV"], sig_name=["MLII", "PLETH"], fmt=["16", "212"],
        p_signal=values.T, write_dir=str(folder),
    )  # fmt: skip
    files = {path.name: path.read_bytes() for path in [folder / "r1.hea", *folder.glob("r1*.dat")]}
    return attempt_on(folder, [Sample(files, [_read_as_corpus, _open])])


# --- arrays --------------------------------------------------------------------------------------


def npy(folder: Path) -> Attempt:
    values, samples = signals(), []
    payload = np.array([Payload(folder / MARK)], object)
    for name, array in {
        "int.npy": values.astype(np.int16), "float.npy": values.astype(np.float32).T.copy().T,
        "flat.npy": values[0], "pickle.npy": payload,
    }.items():  # fmt: skip
        np.save(folder / name, array, allow_pickle=True)
        files = {name: (folder / name).read_bytes()}
        samples.append(Sample(files, [_read_as_corpus], is_valid=name != "pickle.npy"))
    sidecar = {"sfreq": 50, "ch_names": ["x", "y", "z"], "modalities": "ACC", "scale": [1, 2, 0.5],
               "subject": "a", "licence": "CC0"}  # fmt: skip
    samples[0].files |= {"int.json": json.dumps(sidecar).encode()}
    return attempt_on(folder, samples)


def _as_bytes(content: object) -> np.ndarray:
    return np.frombuffer(json.dumps(content).encode(), np.uint8)


def npz(folder: Path) -> Attempt:
    values, samples = signals().astype(np.int16), []
    entry = {"key": "r0", "subject": "a", "recording": "walk", "sfreq": 50.0,
             "ch_names": ["x", "y", "z"], "ch_types": ["acc"] * 3, "scale": [0.5] * 3}  # fmt: skip
    corpus = {"index": _as_bytes([entry]), "meta": _as_bytes({"licence": "CC0"}), "r0": values}
    windows = {"X": values.reshape(3, 20, -1).transpose(1, 0, 2), "y": np.array(["a", "b"] * 10),
               "groups": np.arange(20), "sfreq": np.float64(50),
               "scale": np.full(3, 0.1)}  # fmt: skip
    payload = np.array([Payload(folder / MARK)] * 2, object)
    for name, content in {
        "corpus": corpus, "windows": windows, "pickle": windows | {"y": payload},
    }.items():  # fmt: skip
        for save in (np.savez, np.savez_compressed):
            path = folder / f"{name}-{save.__name__}.npz"
            save(path, **content)
            reader = _read_as_corpus if name == "corpus" else _read_labelled
            files = {path.name: path.read_bytes()}
            samples.append(Sample(files, [reader], is_valid=name != "pickle"))
    return attempt_on(folder, samples)


def _read_labelled(path: Path) -> None:
    from citrus_sk.signals.recordings.labelled import read_labelled

    read_labelled(path)


# --- tables --------------------------------------------------------------------------------------


def tables(folder: Path) -> Attempt:
    """Tables of labels and of people, and those of BIDS beside a recording."""
    from citrus_sk.signals.recordings.label_tables import read_people
    from citrus_sk.signals.recordings.labelled import read_labelled

    _raw().save(folder / "sub-1_raw.fif", verbose="error")
    rows = "file,onset,duration,label,group\n" + "".join(
        f"sub-1_raw.fif,{i},1.0,{'ab'[i % 2]},p{i % 3}\n" for i in range(10)
    )
    recording = "sub-1_raw.fif"

    def read_windows(path: Path) -> None:
        read_labelled(folder, path)

    def read_groups(path: Path) -> None:
        read_people(path, folder, [recording])

    def read_beside(path: Path) -> None:
        _read_as_corpus(folder / recording)
        _read_as_windows(folder / recording)

    people = f"file,group\n{recording},p1\n./{recording},p1\n"
    channels = b"name\ttype\tstatus\nEEG 1\tEEG\tgood\nEEG 2\tEEG\tbad\n"
    events = b"onset\tduration\ttrial_type\n1\t2\twalk\n5\t2\tBAD_x\n8\tn/a\tb\n"
    samples = [
        Sample({"labels.csv": rows.encode()}, [read_windows]),
        Sample({"excel.csv": rows.replace(",", ";").encode("utf-16")}, [read_windows]),
        Sample({"people.csv": people.encode()}, [read_groups]),
        Sample({"sub-1_channels.tsv": channels}, [read_beside]),
        Sample({"sub-1_events.tsv": events}, [read_beside]),
    ]
    attempt = attempt_on(folder, samples)
    attempt.names = {*attempt.names, recording}
    return attempt


ATTACKS = {
    "edf": edf, "fif": fif, "npy": npy, "npz": npz, "wfdb": wfdb, "tables": tables,
    "formats": formats, "eeglab": eeglab, "matlab": matlab,
}  # fmt: skip
