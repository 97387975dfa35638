"""Recordings at the corpus's rate: converted once, kept in a folder, mapped from there."""

from __future__ import annotations

import errno
import hashlib
import json
import math
from dataclasses import astuple, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ..modalities import Choice
from .conversion import Seconds, Settings, Writer
from .owner import Owner
from .readers import read_file

FORMAT = 3  # of the files in the cache; another number makes them be written anew


@dataclass(frozen=True)
class Recording:
    """Channels of one person, recorded together, at the corpus's rate.

    Attributes
    ----------
    name : str
        Such as "SC4001E0-PSG.edf", "bidmc.npz:bidmc_01" or "array 3".
    subject : str
        The person, unique among data sets: "bidmc/bidmc_01".
    dataset : str
    ch_names, modalities : tuple of str
        One for each channel.
    data : ndarray of shape (n_chans, n_times)
        int16 or float32, often a read-only memory map.
    scale : ndarray of shape (n_chans,), float32
        Physical value = ``data * scale``, in the unit of the file.
    good : tuple of ndarray of shape (n_stretches, 2), int64
        For each channel its usable stretches ``[start, stop)``: sorted, none overlaps another.
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
        Those of which something is usable.
    seconds : dict
        For (data set, subject, modality) the channel-seconds of each of `FATES`.
    left_out : list of (str, str)
        Channels that were left out as a whole, and why.
    notes : list of (str, str)
        The file, and what its user should know of it, such as that it was cut short.
    about : dict
        For the data set: "licence", "source", "citation", as far as they are known.
    """

    recordings: list[Recording]
    seconds: Seconds
    left_out: list[tuple[str, str]]
    notes: list[tuple[str, str]]
    about: dict[str, dict[str, str]]


def load_file(path: Path, settings: Settings, cache: Path) -> FileRecordings:
    """The recordings of a file, converted unless the cache holds them.

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
    owner = Owner.of(path)
    base = cache / _key(path, owner, settings)
    content = _cached(base) or _convert(path, owner, settings, base)
    mapped = _map(base.with_suffix(".bin")) if content["n_bytes"] else np.empty(0, np.uint8)
    return FileRecordings(
        [_recording(entry, mapped, path) for entry in content["recordings"]],
        {(dataset, who, kind): np.array(s) for dataset, who, kind, s in content["seconds"]},
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
        tuple(np.array(stretches, np.int64).reshape(-1, 2) for stretches in entry["good"]),
    )


def _map(path: Path) -> np.ndarray:
    """A read-only memory map of a .npy file, or of the bytes of any other."""
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


def _key(path: Path, owner: Owner, settings: Settings) -> str:
    files = [
        (str(file.resolve()), (stat := file.stat()).st_size, stat.st_mtime_ns)
        for file in (path, *owner.companions)
    ]
    # By the path as it was given as well: subjects and data sets follow from folders and links.
    content = [FORMAT, str(path.absolute()), files, astuple(settings)]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]


def _cached(base: Path) -> dict[str, Any] | None:
    """Result of an earlier conversion; None if it is missing or incomplete."""
    try:
        content = json.loads(base.with_suffix(".json").read_text())
        n_bytes = content["n_bytes"]
        whole = not n_bytes or base.with_suffix(".bin").stat().st_size == n_bytes
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return content if whole else None


def _convert(path: Path, owner: Owner, settings: Settings, base: Path) -> dict[str, Any]:
    """Write ``base.bin`` and then ``base.json``, each under another name until it is whole."""
    choose = Choice(settings.sfreq, settings.modality, path.name)
    with TemporaryDirectory(prefix="unfinished-", dir=base.parent) as unfinished:
        values, table = Path(unfinished, "values"), Path(unfinished, "table")
        with values.open("wb") as out:
            writer = Writer(settings, out)
            empty = True
            for source in read_file(path, owner, choose):
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
            "about": {source.dataset: owner.about},
        }
        table.write_text(json.dumps(content))
        if writer.end:
            values.replace(base.with_suffix(".bin"))
        table.replace(base.with_suffix(".json"))
    return content
