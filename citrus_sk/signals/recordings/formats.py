"""Readers of MNE and wfdb, which are imported when they are needed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..._utils.optional import require
from .edf import EDF_EXTENSIONS
from .quality import marks_bad
from .structure import check_structure

# Boundaries of parts of a recording that are not continuous, in MNE, EEGLAB and BrainVision.
_BOUNDARY = re.compile(r"(edge |bad )?boundary|new segment", re.IGNORECASE)
# Symbols of WFDB annotations whose meaning is in their text: change of rhythm, and comment.
_WFDB_TEXTS = ("+", '"')


def open_raw(
    path: Path, include: Sequence[str] = (), *, note: Callable[[str], Any] | None = None
) -> Any:
    """Open a recording as `mne.io.Raw`, with its values left on disk if MNE can do that.

    Parameters
    ----------
    path : Path
    include : sequence of str, default=()
        Channels to read from EDF and BDF files, with the numbers that MNE appends to equal
        labels; empty for all. Other channels with the same label are read as well.
    note : callable or None, default=None
        Function that gets a text if the recording cannot be read completely. None raises instead.

    Raises
    ------
    ModuleNotFoundError
        If MNE is not installed, or wfdb where it is needed.
    ValueError, OSError and other errors of the readers of MNE
        If the file cannot be read.
    """
    require("mne", f"Reading {path.name}")
    check_structure(path)
    raw = _open(path, include, note)
    if not (0 < raw.info["sfreq"] < np.inf and raw.n_times):
        raise ValueError(
            f"it has {raw.n_times} samples at {raw.info['sfreq']:g} Hz; expected at least one "
            "sample, and a rate above 0"
        )
    return raw


def _open(path: Path, include: Sequence[str], note: Callable[[str], Any] | None) -> Any:
    import mne

    suffix = path.suffix.lower()
    labels = {label for name in include for label in (name, re.sub(r"-\d+$", "", name))}
    only = {"include": sorted(labels)} if labels else {}
    if suffix in EDF_EXTENSIONS:
        return _open_edf(path, only)
    if suffix == ".hea":
        return _raw_of_wfdb(path)
    if suffix == ".fif" or path.name.lower().endswith(".fif.gz"):
        return _open_fif(path, note)
    return mne.io.read_raw(path, preload=False, verbose="error", **only)


def open_named(path: Path, name: str) -> Any:
    """Open a recording as `open_raw`; the errors of the readers become ValueError with `name`."""
    with reading(name):
        return open_raw(path)


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Name the recording in the errors of libraries, which read most of a file when it is used.

    Parameters
    ----------
    name : str
        Name of the recording.

    Raises
    ------
    ValueError
        If a library raises any error, or a file states sizes that do not fit into memory.
    """
    try:
        with np.errstate(all="ignore"):  # of numbers that are damaged
            yield
    except ModuleNotFoundError:
        raise
    except Exception as error:  # each reader has its own errors
        raise ValueError(f"{name} cannot be read: {reason_of(error)}") from error


def reason_of(error: Exception) -> str:
    """Text of an error of a library, with its type unless that says no more than the text."""
    if isinstance(error, MemoryError):
        return f"it states sizes that do not fit into memory ({error or 'MemoryError'})"
    if isinstance(error, ValueError | OSError) and str(error):
        return str(error)
    return f"{type(error).__name__}: {error}"  # such as a missing key


def _open_edf(path: Path, only: dict[str, list[str]]) -> Any:
    import mne

    def read(encoding: str) -> Any:
        if path.suffix.lower() != ".rec":
            return mne.io.read_raw(path, preload=False, encoding=encoding, verbose="error", **only)
        with path.open("rb") as file:  # another extension of EDF
            return mne.io.read_raw_edf(
                file, preload=True, encoding=encoding, verbose="error", **only
            )

    try:
        return read("utf8")
    except Exception as error:
        # MNE says so if annotations are not in UTF-8, against the standard.
        if "encoding='latin1'" not in str(error):
            raise
        return read("latin1")


def _open_fif(path: Path, note: Callable[[str], Any] | None) -> Any:
    import mne

    try:
        return mne.io.read_raw_fif(path, preload=False, verbose="error")
    except ValueError as error:
        if note is None:
            raise
        # If this succeeds, the reason was a missing part.
        raw = mne.io.read_raw_fif(path, preload=False, on_split_missing="ignore", verbose="error")
        note(f"its first {len(raw.filenames)} part(s) are read: {error}")
        return raw


def is_boundary(text: str) -> bool:
    """Return True if an annotation marks the boundary of two parts of a recording."""
    return _BOUNDARY.match(text) is not None


def bad_samples(raw: Any, spans: list[tuple[float, float]]) -> list[tuple[int, int]]:
    """Return the segments that are marked bad, and the boundaries of parts, in samples.

    Parameters
    ----------
    raw : mne.io.Raw
    spans : list of (float, float)
        Onset and end, in seconds, of segments that another file marks as bad.

    Returns
    -------
    list of (int, int)
        Start and stop of each segment of at least one sample.
    """
    sfreq, marked = float(raw.info["sfreq"]), list(spans)
    for note in raw.annotations:
        onset = float(note["onset"]) - raw.first_time
        if is_boundary(note["description"]):
            marked += [(onset, onset)] if onset > 0 else []
        elif marks_bad(note["description"]):
            marked.append((onset, onset + float(note["duration"])))
    found = []
    for onset, end in marked:
        start = round(onset * sfreq)
        found.append((start, max(round(end * sfreq), start + 1)))
    return found


@dataclass(frozen=True)
class WfdbGroup:
    """Signals of a WFDB record that were sampled at one rate.

    Attributes
    ----------
    record : str
        Path of the record without an extension.
    names : list of str
        Names of the signals.
    signals : list of int
        Indices of the signals in the record.
    sfreq : float
        Sampling rate in Hz.
    per_frame : int
        Samples of each signal in a frame of the record.
    n_times : int
        Samples of each signal in the record.
    """

    record: str
    names: list[str]
    signals: list[int]
    sfreq: float
    per_frame: int
    n_times: int

    def read(self, rows: list[int], start: int, stop: int) -> np.ndarray:
        """Read samples of some signals, (n_rows, stop - start); missing ones are NaN."""
        import wfdb

        first, last = start // self.per_frame, -(-stop // self.per_frame)
        record = wfdb.rdrecord(
            self.record, sampfrom=first, sampto=last, smooth_frames=False,
            channels=[self.signals[row] for row in rows],
        )  # fmt: skip
        skip = start - first * self.per_frame
        return np.stack([signal[skip : skip + stop - start] for signal in record.e_p_signal])


def wfdb_groups(path: Path) -> Iterator[WfdbGroup]:
    """Yield the signals of a WFDB record, grouped by sampling rate.

    Raises
    ------
    ModuleNotFoundError
        If wfdb is not installed.
    ValueError
        If the header of the record names no signal.
    """
    require("wfdb", f"Reading {path.name}")
    import wfdb

    record = str(path.with_suffix(""))
    header = wfdb.rdheader(record)
    segments = [name for name in getattr(header, "seg_name", []) if name != "~"]
    # The first of several segments describes the signals, and may hold none of their samples.
    described = wfdb.rdheader(str(path.with_name(segments[0]))) if segments else header
    if not described.n_sig:
        raise ValueError("its header names no signal")
    if not header.sig_len:
        raise ValueError("its header states no number of samples; add it after the rate")
    for per_frame in sorted(set(described.samps_per_frame)):
        signals = [i for i, n in enumerate(described.samps_per_frame) if n == per_frame]
        yield WfdbGroup(
            record,
            [described.sig_name[i] or f"channel {i}" for i in signals],
            signals,
            float(header.fs) * per_frame,
            per_frame,
            int(header.sig_len) * per_frame,
        )


def _raw_of_wfdb(path: Path) -> Any:
    """Read the signals of the highest rate of a WFDB record into memory, with its annotations."""
    import mne

    group = max(wfdb_groups(path), key=lambda each: each.sfreq)
    values = group.read(list(range(len(group.names))), 0, group.n_times)
    info = mne.create_info(group.names, group.sfreq, "misc")
    raw = mne.io.RawArray(values, info, verbose="error")
    if path.with_suffix(".atr").is_file():
        notes = _wfdb_annotations(group.record, group.n_times / group.sfreq)
        raw.set_annotations(mne.Annotations(*zip(*notes, strict=True)) if notes else None)
    return raw


def _wfdb_annotations(record: str, end: float) -> list[tuple[float, float, str]]:
    """Return onset and duration (s) and text of the annotations in the file ``.atr``.

    A rhythm lasts until the next one, and the last one until `end`. Beats and other annotations
    have no duration. Their text is the symbol, and that of a comment the comment.
    """
    import wfdb

    try:
        found = wfdb.rdann(record, "atr")
        sfreq = float(found.fs or wfdb.rdheader(record).fs)
    except Exception as error:  # wfdb raises anything for a damaged file
        raise ValueError(
            f"its annotations, {Path(record).name}.atr, are damaged ({error})"
        ) from error
    onsets = (np.asarray(found.sample) / sfreq).tolist()
    texts = [text.strip(" \0") for text in found.aux_note]
    ends = [onset for onset, text in zip(onsets, texts, strict=True) if text.startswith("(")]
    ends = [*ends[1:], end]
    notes = []
    for onset, symbol, text in zip(onsets, found.symbol, texts, strict=True):
        if text.startswith("("):
            notes.append((onset, max(ends.pop(0) - onset, 0.0), text))
        elif symbol not in _WFDB_TEXTS or text:
            notes.append((onset, 0.0, text if symbol in _WFDB_TEXTS else symbol))
    return notes
