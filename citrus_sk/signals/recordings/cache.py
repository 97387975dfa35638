"""Cache of converted recordings, which are mapped from its files."""

from __future__ import annotations

import errno
import hashlib
import json
import math
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..._utils.sealed import seal, unseal
from ..._utils.temporary import OwnedFolder
from ..modalities import Choice
from .conversion import Seconds, Settings, Writer
from .origin import Origin
from .readers import read_file

FORMAT = 3  # version of the files in the cache; those of another one are not used
UNFINISHED = "unfinished-"  # prefix of folders in the cache while a file is converted


@dataclass(frozen=True)
class Recording:
    """Channels of one person, recorded together, at the rate of the corpus.

    Attributes
    ----------
    name : str
        Name of the recording, such as "SC4001E0-PSG.edf", "bidmc.npz:bidmc_01" or "array 3".
    subject : str
        Name of the person, unique among data sets, such as "bidmc/bidmc_01".
    dataset : str
        Name of the data set.
    ch_names, modalities : tuple of str
        Name and modality of each channel.
    data : ndarray of shape (n_chans, n_times)
        Values, int16 or float32, often a read-only memory map.
    scale : ndarray of shape (n_chans,), float32
        Factor of each channel: ``data * scale`` is in the unit of the file.
    good : tuple of ndarray of shape (n_segments, 2), int64
        Usable segments ``[start, stop)`` of each channel, sorted and without overlap.
    """

    name: str
    subject: str
    dataset: str
    ch_names: tuple[str, ...]
    modalities: tuple[str, ...]
    data: np.ndarray
    scale: np.ndarray
    good: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class FileRecordings:
    """Recordings of a file.

    Attributes
    ----------
    recordings : list of Recording
        Recordings in which anything is usable.
    seconds : dict
        Channel-seconds of each of `OUTCOMES`, by (data set, subject, modality).
    left_out : list of (str, str)
        Channels that were left out as a whole, and why.
    notes : list of (str, str)
        The file and a note on it, such as that it is truncated.
    about : dict
        For the data set: "licence", "source", "citation", if known.
    """

    recordings: list[Recording]
    seconds: Seconds
    left_out: list[tuple[str, str]]
    notes: list[tuple[str, str]]
    about: dict[str, dict[str, str]]


def load_file(path: Path, settings: Settings, cache: Path) -> FileRecordings:
    """Return the recordings of a file, converted unless the cache holds them.

    Parameters
    ----------
    path : Path
    settings : Settings
    cache : Path
        Folder for the converted values.

    Returns
    -------
    FileRecordings
    """
    origin = Origin.of(path)
    base = cache / _key(path, origin, settings)
    content = _cached(base) or _convert(path, origin, settings, base)
    mapped = _map(base.with_suffix(".bin")) if content["n_bytes"] else np.empty(0, np.uint8)
    return FileRecordings(
        [_recording(entry, mapped, path) for entry in content["recordings"]],
        {tuple(key): np.array(seconds) for *key, seconds in content["seconds"]},
        [(channel, reason) for channel, reason in content["left_out"]],
        [(file, text) for file, text in content["notes"]],
        content["about"],
    )


def _recording(entry: dict[str, Any], mapped: np.ndarray, path: Path) -> Recording:
    dtype, shape, offset = np.dtype(entry["dtype"]), entry["shape"], entry["offset"]
    if offset is None:
        data = _map(path)
    else:
        data = mapped[offset : offset + math.prod(shape) * dtype.itemsize].view(dtype)
    return Recording(
        entry["name"],
        entry["subject"],
        entry["dataset"],
        tuple(entry["ch_names"]),
        tuple(entry["modalities"]),
        data.reshape(shape),
        np.array(entry["scale"], np.float32),
        tuple(np.array(segments, np.int64).reshape(-1, 2) for segments in entry["good"]),
    )


def _map(path: Path) -> np.ndarray:
    """Return a read-only memory map of a .npy file, or of the bytes of any other file."""
    try:
        if path.suffix.lower() == ".npy":
            return np.load(path, mmap_mode="r")
        return np.memmap(path, np.uint8, "r")
    except OSError as error:
        if error.errno == errno.EMFILE:
            error.add_note(
                "Every file of a corpus stays open. Raise the limit of open files, on Linux and "
                "macOS with 'ulimit -n 65536', or build one .npz from many small recordings."
            )
        raise


def _key(path: Path, origin: Origin, settings: Settings) -> str:
    files = [
        (str(file.resolve()), (stat := file.stat()).st_size, stat.st_mtime_ns)
        for file in (path, *origin.companions)
    ]
    # The path as passed is a part: subjects and data sets depend on the names of folders and links.
    content = [FORMAT, str(path.absolute()), files, astuple(settings)]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]


def _cached(base: Path) -> dict[str, Any] | None:
    """Return the result of an earlier conversion; None if it is missing, incomplete or changed.

    The values are not hashed, so that they are only read where they are used.
    """
    try:
        content = unseal(base.with_suffix(".json").read_text())
        n_bytes = content["n_bytes"]
        whole = not n_bytes or base.with_suffix(".bin").stat().st_size == n_bytes
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return content if whole else None


def _convert(path: Path, origin: Origin, settings: Settings, base: Path) -> dict[str, Any]:
    """Write ``base.bin`` and then ``base.json``, each under another name until it is complete."""
    choose = Choice(settings.sfreq, settings.modality, path.name)
    with OwnedFolder(UNFINISHED, base.parent) as unfinished:
        values, table = unfinished.path / "values", unfinished.path / "table"
        with values.open("wb") as out:
            writer = Writer(settings, out)
            empty = True
            for source in read_file(path, origin, choose):
                writer.add(source)
                empty = False
            out.truncate(writer.end)
        if empty:
            reasons = "; ".join(f"{name} {reason}" for name, reason in choose.left_out[:8])
            raise ValueError(f"it has no channel to use ({reasons or 'none holds a signal'})")
        content = {
            "n_bytes": writer.end,
            "recordings": writer.entries,
            "seconds": [[*key, value.tolist()] for key, value in writer.seconds.items()],
            "left_out": choose.left_out,
            "notes": choose.notes,
            "about": {source.dataset: origin.about},
        }
        table.write_text(seal(content))
        if writer.end:
            values.replace(base.with_suffix(".bin"))
        table.replace(base.with_suffix(".json"))
    return content
