"""Recordings in files: where they are, whose they are, which channels count, how to get pieces.

Nothing here holds a long recording in memory, and MNE is imported for FIF files alone.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .channels import Choice, modality_of, modality_of_type
from .edf import EdfFile, EdfSignal

EXTENSIONS = (".edf", ".bdf", ".fif", ".fif.gz", ".npz", ".npy")

_BIDS_SUBJECT = re.compile(r"sub-[A-Za-z0-9]+")
_SLEEP_EDF = re.compile(r"((SC4|ST7)\d\d)\d\w\w-PSG\.edf", re.IGNORECASE)


@dataclass(frozen=True)
class Block:
    """Channels of one recording that share a rate.

    Attributes
    ----------
    sfreq : float
        Hz.
    n_times : int
    ch_names, modalities : tuple of str
    read : callable
        ``read(start, stop)`` gives (n_chans, stop - start), any real dtype; not finite is missing.
    scale : ndarray of shape (n_chans,)
        Physical value = value read * scale.
    stored : dtype or None
        int16 or float32 if the values should stay as they are at an equal rate.
    """

    sfreq: float
    n_times: int
    ch_names: tuple[str, ...]
    modalities: tuple[str, ...]
    read: Callable[[int, int], np.ndarray]
    scale: np.ndarray
    stored: np.dtype | None = None


@dataclass(frozen=True)
class Source:
    """A recording that has not been brought to the corpus's rate yet.

    Attributes
    ----------
    name, subject, dataset : str
    blocks : list of Block
    in_place : bool
        Whether the file itself can be mapped, if the rate is right.
    gap_s : float
        Seconds before it for which the recording was interrupted.
    """

    name: str
    subject: str
    dataset: str
    blocks: list[Block]
    in_place: bool = False
    gap_s: float = 0.0


@dataclass(frozen=True)
class Owner:
    """Whose recordings a file holds.

    Attributes
    ----------
    dataset, subject : str
        The subject without the data set before it.
    about : dict
        "licence", "source" and "citation" of the data set, as far as they are known.
    companions : tuple of Path
        Files beside it that say more about it.
    """

    dataset: str
    subject: str
    about: dict[str, str]
    companions: tuple[Path, ...] = ()

    @classmethod
    def of(cls, path: Path) -> Owner:
        """By a BIDS-like path, by the names of Sleep-EDF, else by folder and file name."""
        path = path.absolute()
        folder, subject = path.parent, _stem(path)
        if match := _BIDS_SUBJECT.match(path.name):
            subject = match[0]
        elif match := _SLEEP_EDF.fullmatch(path.name):
            subject = match[1].upper()
        for level in path.parents[:3]:  # sub-XX/ses-YY/eeg: what is further up is no subject
            if _BIDS_SUBJECT.fullmatch(level.name):
                folder, subject = level.parent, level.name
                break
        dataset, about = folder.name or "recordings", {}
        description = folder / "dataset_description.json"
        companions = [description, *(folder / name for name in _LICENCE_FILES)]
        companions.append(_channels_table(path))
        if path.suffix == ".npy":
            companions.append(path.with_suffix(".json"))
        companions = [companion for companion in companions if companion.is_file()]
        if description in companions:
            content = _json_object(description.read_bytes(), description.name)
            dataset = str(content.get("Name") or dataset)
            about = _about_bids(content)
        for companion in companions:
            if companion.name in _LICENCE_FILES and "licence" not in about:
                lines = companion.read_text(errors="replace").strip().splitlines()
                about |= {"licence": lines[0].strip()} if lines else {}
        return cls(dataset, subject, about, tuple(companions))


_LICENCE_FILES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "LICENCE.txt")


def _about_bids(content: dict[str, Any]) -> dict[str, str]:
    authors = content.get("Authors")
    authors = authors if isinstance(authors, list) else []
    known = {
        "licence": content.get("License"),
        "source": content.get("DatasetDOI"),
        "citation": content.get("HowToAcknowledge") or ", ".join(map(str, authors)),
    }
    return {key: str(value) for key, value in known.items() if value}


def _stem(path: Path) -> str:
    name = path.name[:-3] if path.name.lower().endswith(".gz") else path.name
    return Path(name).stem


def _channels_table(path: Path) -> Path:
    return path.with_name(f"{_stem(path).rpartition('_')[0]}_channels.tsv")


def _json_object(content: bytes, name: str, kind: type = dict) -> Any:
    try:
        result = json.loads(content.decode())
    except ValueError as error:
        raise ValueError(f"{name} is no JSON: {error}") from error
    if not isinstance(result, kind):
        raise ValueError(f"{name} holds a {type(result).__name__}, wanted a {kind.__name__}")
    return result


def find_files(source: str | Path | Sequence[str | Path]) -> list[Path]:
    """All files of a known extension in files and folders, sorted, each once.

    Raises
    ------
    FileNotFoundError
        If a path does not exist.
    TypeError, ValueError
        If `source` is neither a path nor a list of paths, or a file has an unknown extension.
    """
    listed = [source] if isinstance(source, str | Path) else source
    if not isinstance(listed, list | tuple) or not all(isinstance(p, str | Path) for p in listed):
        raise TypeError(f"source={source!r}; wanted a path to a file or folder, or a list of them.")
    found: dict[Path, Path] = {}
    for path in map(Path, listed):
        if not path.exists():
            raise FileNotFoundError(f"source: there is no file or folder {str(path)!r}.")
        if not path.is_dir() and not path.name.lower().endswith(EXTENSIONS):
            raise ValueError(
                f"source: {str(path)!r} has an unknown extension; wanted {', '.join(EXTENSIONS)}."
            )
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        found |= {file.resolve(): file for file in inside if _is_recording(file)}
    return sorted(found.values())


def _is_recording(path: Path) -> bool:
    name = path.name.lower()
    if not name.endswith(EXTENSIONS) or name.startswith(".") or path.is_dir():
        return False
    # Sleep stages of Sleep-EDF, and later parts of a split FIF, which MNE opens with the first.
    return not (name.endswith("hypnogram.edf") or re.search(r"_split-(?!0*1_)\d+_.*\.fif", name))


def read_file(path: Path, owner: Owner, choose: Choice) -> Iterator[Source]:
    """The recordings of a file, one after the other.

    Parameters
    ----------
    path : Path
    owner : Owner
    choose : Choice
        Notes the channels that it leaves out.

    Yields
    ------
    Source

    Raises
    ------
    ValueError, OSError and what the formats' libraries raise
        If the file is damaged or not what its extension says.
    ModuleNotFoundError
        If MNE is wanted and not installed.
    """
    name = path.name.lower()
    if name.endswith((".edf", ".bdf")):
        yield from _read_edf(path, owner, choose)
    elif name.endswith((".fif", ".fif.gz")):
        yield from _read_fif(path, owner, choose)
    elif name.endswith(".npz"):
        yield from _read_npz(path, owner, choose)
    else:
        yield from _read_npy(path, owner, choose)


def _table(owner: Owner) -> dict[str, dict[str, str]]:
    """The rows of a BIDS channel table, by the channel's name."""
    for path in owner.companions:
        if path.name.endswith("_channels.tsv"):
            with path.open(encoding="utf-8-sig", newline="") as file:
                return {row["name"]: row for row in csv.DictReader(file, delimiter="\t")}
    return {}


def _is_bad(row: dict[str, str]) -> bool:
    return (row.get("status") or "").lower() == "bad"


def _read_edf(path: Path, owner: Owner, choose: Choice) -> Iterator[Source]:
    edf, table = EdfFile(path), _table(owner)
    groups: dict[int, list[tuple[EdfSignal, str]]] = {}
    for signal in edf.signals:
        row = table.get(signal.label, {})
        bad = _is_bad(row) or signal.gain == 0
        modality = modality_of(signal.label, row.get("type") or "")
        if modality := choose(signal.label, modality, signal.sfreq, bad):
            groups.setdefault(signal.n_times, []).append((signal, modality))
    if not groups:
        return
    for number, run in enumerate(edf.runs):
        blocks = []
        for n_times, members in groups.items():
            signals = [signal for signal, _ in members]
            blocks.append(
                Block(
                    signals[0].sfreq,
                    (run[1] - run[0]) * n_times,
                    tuple(signal.label for signal in signals),
                    tuple(modality for _, modality in members),
                    partial(edf.read, signals, run),
                    np.ones(len(signals)),
                )
            )
        name = path.name if len(edf.runs) == 1 else f"{path.name}:{number + 1}"
        gap_s = max(0.0, run[2] - edf.end_of(edf.runs[number - 1])) if number else 0.0
        subject = f"{owner.dataset}/{owner.subject}"
        yield Source(name, subject, owner.dataset, blocks, gap_s=gap_s)


def _read_fif(path: Path, owner: Owner, choose: Choice) -> Iterator[Source]:
    try:
        import mne
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"Reading {path.name} needs MNE. Install it with: pip install mne", name="mne"
        ) from error
    raw = mne.io.read_raw_fif(path, preload=False, verbose="error")
    sfreq, table = float(raw.info["sfreq"]), _table(owner)
    bads = {*raw.info["bads"], *(name for name, row in table.items() if _is_bad(row))}
    found = [
        # MNE's type for whatever it finds in an EDF file is EEG, and so it is written to FIF.
        (modality_of(name) if kind == "eeg" else None, modality_of(name, kind))
        for name, kind in zip(raw.ch_names, raw.get_channel_types(), strict=True)
    ]
    kinds = [by_type if by_name is None else by_name for by_name, by_type in found]
    rows, names, modalities = choose.pick(raw.ch_names, kinds, sfreq, bads)

    def read(start: int, stop: int) -> np.ndarray:
        return raw.get_data(rows, start, stop, reject_by_annotation="NaN", verbose="error")

    if rows:
        block = Block(sfreq, int(raw.n_times), names, modalities, read, np.ones(len(rows)))
        yield Source(path.name, f"{owner.dataset}/{owner.subject}", owner.dataset, [block])


def _read_npz(path: Path, owner: Owner, choose: Choice) -> Iterator[Source]:
    dataset = path.stem
    with path.open("rb") as opened, np.load(opened) as file:
        if not {"index", "meta"} <= set(file.files):
            raise ValueError(
                "its entries 'index' and 'meta' are missing: a corpus in .npz has these two, as "
                "JSON, beside an int16 array for each recording; save plain arrays as .npy"
            )
        meta = _json_object(file["meta"].tobytes(), "meta")
        owner.about.update(
            {k: str(meta[k]) for k in ("licence", "source", "citation") if k in meta}
        )
        for entry in _json_object(file["index"].tobytes(), "index", list):
            array = file[entry["key"]]
            names, scale = entry["ch_names"], np.array(entry["scale"], np.float32)
            if array.ndim != 2 or not len(array) == len(names) == len(scale):
                raise ValueError(
                    f"recording {entry['key']!r} has an array of shape {array.shape}, "
                    f"{len(names)} ch_names and {len(scale)} scales"
                )
            sfreq = float(entry["sfreq"])
            picked = choose.pick(
                names, [modality_of_type(kind) for kind in entry["ch_types"]], sfreq
            )
            if picked[0]:
                recording = f"{path.name}:{entry['recording']}"
                block = _array_block(array, scale, sfreq, *picked)
                yield Source(recording, f"{dataset}/{entry['subject']}", dataset, [block])


def _read_npy(path: Path, owner: Owner, choose: Choice) -> Iterator[Source]:
    array = np.load(path, mmap_mode="r")
    array = array[None] if array.ndim == 1 else array
    if array.ndim != 2 or array.dtype.kind not in "iuf":
        raise ValueError(
            f"it holds an array of shape {array.shape} and dtype {array.dtype}; wanted real "
            "numbers of shape (n_chans, n_times) or (n_times,)"
        )
    if array.shape[0] > array.shape[1]:
        raise ValueError(
            f"its shape {array.shape} means more channels than samples; wanted (n_chans, n_times)"
        )
    sidecar = path.with_suffix(".json")
    content = _json_object(sidecar.read_bytes(), sidecar.name) if sidecar.is_file() else {}
    kinds = content.get("modalities", choose.modality)
    if kinds is None:
        raise ValueError(
            "nothing tells what it records: pass modality=, or write 'modalities' in "
            f"{sidecar.name}"
        )
    kinds = [kinds] * len(array) if isinstance(kinds, str) else kinds
    names = content.get("ch_names") or [f"channel {i}" for i in range(len(array))]
    if not len(names) == len(kinds) == len(array):
        raise ValueError(
            f"{sidecar.name} lists {len(names)} ch_names and {len(kinds)} modalities for "
            f"{len(array)} channels"
        )
    owner.about.update(
        {k: str(content[k]) for k in ("licence", "source", "citation") if k in content}
    )
    sfreq = float(content.get("sfreq", choose.sfreq))
    scale = np.broadcast_to(np.asarray(content.get("scale", 1.0), np.float32), len(array))
    picked = choose.pick(names, [modality_of_type(str(kind)) for kind in kinds], sfreq)
    if picked[0]:
        block = _array_block(array, scale, sfreq, *picked)
        in_place = len(picked[0]) == len(array) and array.flags.c_contiguous
        subject = f"{owner.dataset}/{content.get('subject', owner.subject)}"
        yield Source(path.name, subject, owner.dataset, [block], in_place)


def _array_block(
    array: np.ndarray,
    scale: np.ndarray,
    sfreq: float,
    rows: list[int],
    names: tuple[str, ...],
    modalities: tuple[str, ...],
) -> Block:
    keeps = array.dtype in (np.dtype(np.int16), np.dtype(np.float32))
    chosen = slice(None) if len(rows) == len(array) else rows

    def read(start: int, stop: int) -> np.ndarray:
        return array[chosen, start:stop]

    return Block(
        sfreq,
        array.shape[1],
        names,
        modalities,
        read,
        scale[chosen],
        array.dtype if keeps else None,
    )
