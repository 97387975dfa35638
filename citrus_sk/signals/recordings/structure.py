"""Checks of the sizes in a file, for formats whose readers in MNE trust them.

With a wrong size or position, these readers can loop without end, fill the memory or crash.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .edf import EDF_EXTENSIONS
from .matlab import check_mat

_TAG = struct.Struct(">iIii")  # kind, type, size, and position of the next (0: behind this one)
_DIRECTORY, _DIRECTORY_ENTRIES = 101, 32  # kind of the pointer to a directory, and its type
_ENTRY = 16  # bytes of an entry of a directory, which is a tag with its own position
_PIECE = 2**20
# Bytes of a sample of GDF, by the number of its type.
_GDF_BYTES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 8, 8: 8, 16: 4, 17: 8}
_EVENT_BYTES = {1: 6, 3: 12}  # by the mode of the table of events


def check_structure(path: Path) -> None:
    """Raise ValueError if an EDF, FIF, GDF or EEGLAB file states sizes that it does not have.

    Other formats are not checked.
    """
    name = path.name.lower()
    if name.endswith(".fif"):
        with path.open("rb") as file:
            _check_fif(file, path.stat().st_size)
    elif name.endswith(".fif.gz"):
        with gzip.open(path) as unpacked:
            size = sum(map(len, iter(lambda: unpacked.read(_PIECE), b"")))
            _check_fif(unpacked, size)  # type: ignore[arg-type]
    elif name.endswith(EDF_EXTENSIONS):
        with path.open("rb") as file:
            _check_edf(file.read(256), path.stat().st_size)
    elif name.endswith(".gdf"):
        with path.open("rb") as file:
            _check_gdf(file, path.stat().st_size)
    elif name.endswith(".set"):
        with path.open("rb") as file:
            check_mat(file, path.stat().st_size)


def _check_fif(file: BinaryIO, size: int) -> None:
    for position, n_bytes in _fif_tags(file):
        if not (position >= 0 and n_bytes >= 0 and position + _TAG.size + n_bytes <= size):
            raise ValueError(
                f"it is damaged or cut short: it has {size} bytes, and states {n_bytes} bytes of "
                f"data at byte {position}. Copy or export it again"
            )


def _fif_tags(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Yield the position and the bytes of each tag, as MNE finds them."""
    first, pointer = _tag(file, 0), _tag(file, 36)
    if first is None or pointer is None or pointer[0] != _DIRECTORY:
        return  # not a FIF file, which MNE reports
    (start,) = struct.unpack(">i", file.read(4).ljust(4, b"\0"))
    found = _tag(file, start) if start > 0 else None
    if found is not None and found[2] > 0:
        yield start, found[2]
        if found[1] == _DIRECTORY_ENTRIES:
            content = file.read(found[2])
            entries = np.frombuffer(content[: len(content) // _ENTRY * _ENTRY], ">i4")
            yield from entries.reshape(-1, 4)[:, [3, 2]].tolist()
        return
    position, seen = 0, set()
    while (tag := _tag(file, position)) is not None:
        if position in seen:
            raise ValueError(f"it is damaged: its tags form a circle at byte {position}")
        seen.add(position)
        yield position, tag[2]
        if tag[3] < 0:  # the last one
            return
        position = tag[3] or position + _TAG.size + tag[2]


def _tag(file: BinaryIO, position: int) -> tuple[int, ...] | None:
    file.seek(position)
    content = file.read(_TAG.size)
    return _TAG.unpack(content) if len(content) == _TAG.size else None


def _check_edf(head: bytes, size: int) -> None:
    n_signals = head[252:256].replace(b"\0", b" ").strip()
    if n_signals.isdigit() and 256 * (int(n_signals) + 1) > size:
        raise ValueError(
            f"it is damaged or cut short: it has {size} bytes, and states a header of "
            f"{int(n_signals)} signals. Copy or export it again"
        )


def _check_gdf(file: BinaryIO, size: int) -> None:
    head = file.read(256).ljust(256, b"\0")
    try:
        is_old = float(head[4:8]) < 1.9
    except ValueError as error:
        raise ValueError(f"not a GDF file: it begins with {head[:8]!r}") from error
    n_signals = int.from_bytes(head[252 : 256 if is_old else 254], "little")
    stated = head[184:192] if is_old else head[184:186]
    n_header = int.from_bytes(stated, "little") * (1 if is_old else 256)
    if not 256 * (n_signals + 1) <= n_header <= size:
        raise ValueError(
            f"it is damaged or cut short: it has {size} bytes, and states a header of {n_header} "
            f"bytes for {n_signals} signals. Copy or export it again"
        )
    rest = file.read(256 * n_signals)
    counts = np.frombuffer(rest, "<u4", n_signals, 216 * n_signals).tolist()
    types = np.frombuffer(rest, "<u4", n_signals, 220 * n_signals).tolist()
    n_record = sum(n * _GDF_BYTES.get(kind, 0) for n, kind in zip(counts, types, strict=True))
    n_records = int.from_bytes(head[236:244], "little", signed=True)
    events = n_header + n_records * n_record
    if not 0 <= events <= size:
        raise ValueError(
            f"it is damaged or cut short: it has {size} bytes, and states {n_records} data records "
            f"of {n_record} bytes. Copy or export it again"
        )
    file.seek(events)
    table = file.read(8).ljust(8, b"\0")
    width = 4 if float(head[4:8]) < 1.94 else 3
    n_events = int.from_bytes(table[4:8] if width == 4 else table[1:4], "little")
    if n_events * _EVENT_BYTES.get(table[0], 0) > size - events:
        raise ValueError(
            f"it is damaged or cut short: it states {n_events} events in the {size - events} bytes "
            "after its data. Copy or export it again"
        )
