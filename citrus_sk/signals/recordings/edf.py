"""Reader of EDF, EDF+, BDF and BDF+ files, in pieces and with each signal at its own rate.

MNE brings all signals of such a file to the highest rate among them, which hides that a channel
was sampled once a second and should be left out of a corpus.

References
----------
B. Kemp and J. Olivan: European data format 'plus' (EDF+), an EDF alike standard format for the
exchange of physiological data. Clinical Neurophysiology 114(9), 2003.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from .quality import marks_bad

EDF_EXTENSIONS = (".edf", ".bdf", ".rec")
# Widths of the fields of the header, each of which is stored for all signals before the next one.
_FIELDS = {
    "label": 16, "transducer": 80, "unit": 8, "physical_min": 8, "physical_max": 8,
    "digital_min": 8, "digital_max": 8, "prefilter": 80, "n_times": 8, "reserved": 32,
}  # fmt: skip
# A time-stamped annotation: onset, optional duration, and text, separated by 0x14 and 0x15.
_ANNOTATION = re.compile(rb"([+-]\d+(?:[.,]\d*)?)(?:\x15(\d+(?:[.,]\d*)?))?\x14([^\x00]*)\x14\x00")


@dataclass(frozen=True)
class EdfSignal:
    """Description of a signal in the header.

    Attributes
    ----------
    label : str
        Name of the signal.
    sfreq : float
        Sampling rate in Hz.
    n_times : int
        Number of samples in a data record.
    offset : int
        Index of its first byte in a data record.
    gain, shift : float
        Scale: ``digital * gain + shift`` is the physical value. The gain is 0 if the header does
        not give a valid range.
    flaw : str
        Reason why its values cannot be used; empty if they can.
    """

    label: str
    sfreq: float
    n_times: int
    offset: int
    gain: float
    shift: float
    flaw: str = ""


class EdfFile:
    """Header of a file, and access to its samples.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    signals : list of EdfSignal
        Signals of the file, without its annotations.
    runs : list of (int, int, float)
        Runs of data records without gaps: first record, the one after the last, and onset in
        seconds. There is one, unless the file is marked as discontinuous.
    bad : list of (float, float)
        Onset and end, in seconds, of annotations that mark data as bad; equal if an annotation has
        no duration.
    note : str
        Difference between the number of data records in the file and in its header; empty if
        there is none.

    Raises
    ------
    ValueError
        If the file is not of this format, or has no complete data record.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            head = file.read(256)
            bdf = head[:8] == b"\xffBIOSEMI"
            if len(head) < 256 or not (bdf or _text(head[:8]) == "0"):
                raise ValueError(f"not an EDF or BDF file: it begins with {head[:8]!r}")
            try:
                rest = file.read(256 * max(0, _integer(head[252:256])))
                self._parse(head, rest, 3 if bdf else 2)
            except ValueError as error:
                raise ValueError(f"its header cannot be read: {error}") from error
        n_stored = (path.stat().st_size - self._n_header) // max(1, self._n_record)
        self.note = self._difference(n_stored)
        if self.note and not n_stored:
            raise ValueError(self.note)
        self._n_records = n_stored
        if n_stored < 1 or not self.signals:
            raise ValueError("it holds no signal")
        self._records = np.memmap(
            path, np.uint8, "r", self._n_header, (self._n_records, self._n_record)
        )
        self.runs, self.bad = self._read_annotations(head[192:197] in (b"EDF+D", b"BDF+D"))

    _n_record: int  # bytes of a data record
    _n_records: int

    def _difference(self, n_stored: int) -> str:
        """Describe how the data records in the file differ from those in its header."""
        stated = self._n_records
        if n_stored < stated:
            return (
                f"truncated: it holds {n_stored} whole data records of the {stated} in its header; "
                f"missing at its end: {(stated - n_stored) * self._duration:g} s"
            )
        if n_stored > stated >= 0:  # -1 is allowed during a recording
            return (
                f"its header states {stated} data records, and it holds {n_stored}; all of them "
                "are read"
            )
        return ""

    def _parse(self, head: bytes, rest: bytes, width: int) -> None:
        self._width, self._n_header = width, _integer(head[184:192])
        self._n_records, self._duration = _integer(head[236:244]), _number(head[244:252])
        n_signals, position = _integer(head[252:256]), 0
        if len(rest) < 256 * n_signals:
            raise ValueError("the file ends before the header does")
        if self._n_header < 256 * (n_signals + 1):  # parts of it would be read as samples
            raise ValueError(
                f"it states {self._n_header} bytes for itself, and has {256 * (n_signals + 1)}"
            )
        fields: dict[str, list[bytes]] = {}
        for name, n_bytes in _FIELDS.items():
            ends = range(position, position + n_bytes * n_signals, n_bytes)
            fields[name] = [rest[i : i + n_bytes] for i in ends]
            position += n_bytes * n_signals
        self.signals: list[EdfSignal] = []
        self._annotations: list[tuple[int, int]] = []  # first byte and the one after the last
        offset = 0
        for i, label in enumerate(map(_text, fields["label"])):
            n_times = _integer(fields["n_times"][i])
            if n_times < 0:
                raise ValueError(f"{label!r} has {n_times} samples in a data record")
            end = offset + n_times * width
            if label in ("EDF Annotations", "BDF Annotations"):
                self._annotations.append((offset, end))
            else:
                if not self._duration > 0:
                    raise ValueError(
                        f"a data record lasts {self._duration:g} s, which gives no sampling rate"
                    )
                scale = _scale({name: column[i] for name, column in fields.items()})
                sfreq = n_times / self._duration
                self.signals.append(EdfSignal(label, sfreq, n_times, offset, *scale))
            offset = end
        self._n_record = offset

    def _read_annotations(
        self, gaps: bool
    ) -> tuple[list[tuple[int, int, float]], list[tuple[float, float]]]:
        onsets = np.arange(self._n_records) * self._duration
        bad: list[tuple[float, float]] = []
        for i, (start, end) in enumerate(self._annotations):
            for record, content in enumerate(np.asarray(self._records)[:, start:end]):
                found = _ANNOTATION.findall(content.tobytes())
                if i == 0 and found:
                    onsets[record] = _number(found[0][0])  # every record begins with its onset
                for onset, duration, texts in found:
                    if marks_bad(texts.decode("utf-8", "replace")):
                        begin = _number(onset)
                        bad.append((begin, begin + (_number(duration) if duration else 0.0)))
        if not gaps:
            return [(0, self._n_records, float(onsets[0]))], bad
        tolerance = 0.5 / max(signal.sfreq for signal in self.signals)
        broken = np.abs(np.diff(onsets) - self._duration) > tolerance
        edges = [0, *(np.flatnonzero(broken) + 1).tolist(), self._n_records]
        return [(first, last, float(onsets[first])) for first, last in pairwise(edges)], bad

    def end_of(self, run: tuple[int, int, float]) -> float:
        """Return the end of a run in seconds."""
        return run[2] + (run[1] - run[0]) * self._duration

    def read(
        self, signals: Sequence[EdfSignal], run: tuple[int, int, float], start: int, stop: int
    ) -> np.ndarray:
        """Read samples ``start`` to ``stop`` of a run.

        Parameters
        ----------
        signals : sequence of EdfSignal
            Signals of one rate.
        run : tuple
            One of `runs`.
        start, stop : int
            Samples, counted from the start of the run.

        Returns
        -------
        ndarray of shape (n_signals, stop - start), float64
            Values in the unit of the header; NaN if an annotation marks them as bad.
        """
        n_times = signals[0].n_times
        first, last = run[0] + start // n_times, run[0] - (-stop // n_times)
        out = np.empty((len(signals), stop - start))
        for signal, row in zip(signals, out, strict=True):
            end = signal.offset + n_times * self._width
            content = np.ascontiguousarray(self._records[first:last, signal.offset : end])
            digital = _integers(content, self._width)
            skip = start % n_times
            row[:] = digital[skip : skip + len(row)] * signal.gain + signal.shift
        for onset, end_s in self.bad:
            left, right = (
                round((time - run[2]) * signals[0].sfreq) - start for time in (onset, end_s)
            )
            out[:, max(0, left) : max(0, right, left + 1)] = np.nan
        return out


def _text(field: bytes) -> str:
    """Return the text of a field of the header, which some programs pad with NUL."""
    return field.replace(b"\0", b" ").decode("latin-1").strip()


def _number(field: bytes) -> float:
    """Return the number in a field of the header; some programs write a decimal comma."""
    return float(_text(field).replace(",", "."))


def _integer(field: bytes) -> int:
    value = _number(field)
    if not value.is_integer():
        raise ValueError(f"{_text(field)!r} is not an integer")
    return int(value)


def _scale(fields: dict[str, bytes]) -> tuple[float, float, str]:
    """Return gain and shift of a signal, and the reason if it has none."""
    limits: list[float] = []
    for kind in ("physical", "digital"):
        low, high = fields[f"{kind}_min"], fields[f"{kind}_max"]
        try:
            limits += [_number(low), _number(high)]
        except ValueError:
            texts = f"{_text(low)!r} and {_text(high)!r}"
            return 0.0, 0.0, f"its {kind} minimum and maximum in the header are {texts}"
        if not np.isfinite(limits).all() or limits[-1] == limits[-2]:
            both = "both " if limits[-1] == limits[-2] else ""
            texts = f"{both}{limits[-2]:g}" if both else f"{limits[-2]:g} and {limits[-1]:g}"
            return 0.0, 0.0, f"its {kind} minimum and maximum in the header are {texts}"
    physical_min, physical_max, digital_min, digital_max = limits
    gain = (physical_max - physical_min) / (digital_max - digital_min)
    return gain, physical_min - digital_min * gain, ""


def _integers(content: np.ndarray, width: int) -> np.ndarray:
    """Decode bytes (uint8) as little-endian signed integers of two or three bytes."""
    if width == 2:
        return content.view("<i2").ravel()
    wide = np.zeros((content.size // 3, 4), np.uint8)
    wide[:, 1:] = content.reshape(-1, 3)
    return wide.view("<i4").ravel() >> 8
