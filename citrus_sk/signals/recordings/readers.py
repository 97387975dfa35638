"""Readers of recordings, which return the chosen channels piece by piece.

No reader holds a long recording in memory, and MNE is imported only if a format needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ..modalities import Choice, modality_of, modality_of_type
from .edf import EDF_EXTENSIONS, EdfFile, EdfSignal
from .formats import bad_samples, open_raw, wfdb_groups
from .origin import Origin, json_object
from .rates import gdf_rates


@dataclass(frozen=True)
class Block:
    """Channels of one recording that share a rate.

    Attributes
    ----------
    sfreq : float
        Sampling rate in Hz.
    n_times : int
        Number of samples.
    ch_names, modalities : tuple of str
        Name and modality of each channel.
    read : callable
        Function of ``(start, stop)`` that returns the values, (n_chans, stop - start), of any real
        dtype. Values that are not finite are missing.
    scale : ndarray of shape (n_chans,)
        Factor from the values of `read` to physical values.
    stored : dtype or None
        int16 or float32 if values are to be stored unchanged at an equal rate; None otherwise.
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
    """Recording before its conversion to the rate of the corpus.

    Attributes
    ----------
    name, subject, dataset : str
        Names of the recording, the subject and the data set.
    blocks : list of Block
        Channels, by sampling rate.
    in_place : bool
        Whether the file itself can be mapped if its rate is that of the corpus.
    gap_s : float
        Duration in seconds of the interruption before this recording.
    """

    name: str
    subject: str
    dataset: str
    blocks: list[Block]
    in_place: bool = False
    gap_s: float = 0.0


def read_file(path: Path, origin: Origin, choose: Choice) -> Iterator[Source]:
    """Yield the recordings of a file, one after the other.

    Parameters
    ----------
    path : Path
    origin : Origin
    choose : Choice
        Choice of channels, which records those that are left out.

    Yields
    ------
    Source

    Raises
    ------
    ValueError, OSError and other errors of the libraries that read the formats
        If the file is damaged, or not of the format of its extension.
    ModuleNotFoundError
        If MNE or wfdb is needed and not installed.
    """
    name = path.name.lower()
    if name.endswith(EDF_EXTENSIONS):
        yield from _read_edf(path, origin, choose)
    elif name.endswith(".hea"):
        yield from _read_wfdb(path, origin, choose)
    elif name.endswith(".npz"):
        yield from _read_npz(path, origin, choose)
    elif name.endswith(".npy"):
        yield from _read_npy(path, origin, choose)
    else:
        yield from _read_raw(path, origin, choose)


def _read_edf(path: Path, origin: Origin, choose: Choice) -> Iterator[Source]:
    edf, table = EdfFile(path), origin.channel_table()
    edf.bad += origin.bad_spans()
    if edf.note:
        choose.note(edf.note)
    table.note_unknown([signal.label for signal in edf.signals], choose)
    groups: dict[int, list[tuple[EdfSignal, str]]] = {}
    for signal in edf.signals:
        flaw = signal.flaw or ("marked bad" if table.is_bad(signal.label) else "")
        modality = modality_of(signal.label, table.type_of(signal.label))
        if modality := choose(signal.label, modality, signal.sfreq, flaw):
            groups.setdefault(signal.n_times, []).append((signal, modality))
    if not groups:
        return
    for i, run in enumerate(edf.runs):
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
        name = path.name if len(edf.runs) == 1 else f"{path.name}:{i + 1}"
        gap_s = max(0.0, run[2] - edf.end_of(edf.runs[i - 1])) if i else 0.0
        subject = f"{origin.dataset}/{origin.subject}"
        yield Source(name, subject, origin.dataset, blocks, gap_s=gap_s)


def _read_raw(path: Path, origin: Origin, choose: Choice) -> Iterator[Source]:
    """Read a recording of a format that MNE reads."""
    raw, table = open_raw(path, note=choose.note), origin.channel_table()
    names, sfreq = raw.ch_names, float(raw.info["sfreq"])
    rate_of = gdf_rates(path) if path.suffix.lower() == ".gdf" else {}
    bad = bad_samples(raw, origin.bad_spans())
    table.note_unknown(names, choose)
    bads = {*raw.info["bads"], *filter(table.is_bad, names)}
    kinds = []
    for name, kind in zip(names, raw.get_channel_types(), strict=True):
        # Readers give the type EEG to all unknown channels, so a known name overrides it.
        by_name = modality_of(name) if kind == "eeg" else None
        by_table = table.type_of(name)
        by_type = modality_of(name, by_table or kind)
        kinds.append(by_type if by_name is None or by_table else by_name)
    rates = [rate_of.get(name, sfreq) for name in names]
    rows, names, modalities = choose.pick(names, kinds, rates, bads)

    def read(start: int, stop: int) -> np.ndarray:
        values: np.ndarray = raw.get_data(rows, start, stop, verbose="error")
        values = values.copy() if bad else values  # may be a view of data in MNE
        for first, last in bad:
            values[:, max(0, first - start) : max(0, last - start)] = np.nan
        return values

    if rows:
        block = Block(sfreq, int(raw.n_times), names, modalities, read, np.ones(len(rows)))
        yield Source(path.name, f"{origin.dataset}/{origin.subject}", origin.dataset, [block])


def _read_wfdb(path: Path, origin: Origin, choose: Choice) -> Iterator[Source]:
    blocks = []
    for group in wfdb_groups(path):
        kinds = [modality_of(name) for name in group.names]
        rows, names, modalities = choose.pick(group.names, kinds, group.sfreq)
        if rows:
            blocks.append(
                Block(
                    group.sfreq, group.n_times, names, modalities,
                    partial(group.read, rows), np.ones(len(rows)),
                )
            )  # fmt: skip
    if blocks:
        yield Source(path.name, f"{origin.dataset}/{origin.subject}", origin.dataset, blocks)


def _read_npz(path: Path, origin: Origin, choose: Choice) -> Iterator[Source]:
    dataset = path.stem
    with path.open("rb") as opened, np.load(opened) as file:
        if not {"index", "meta"} <= set(file.files):
            raise ValueError(
                "its entries 'index' and 'meta' are missing. A corpus in .npz has both, as JSON, "
                "and an int16 array for each recording; save plain arrays as .npy"
            )
        meta = json_object(file["meta"].tobytes(), "meta")
        origin.about.update(
            {k: str(meta[k]) for k in ("licence", "source", "citation") if k in meta}
        )
        for entry in json_object(file["index"].tobytes(), "index", list):
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


def _read_npy(path: Path, origin: Origin, choose: Choice) -> Iterator[Source]:
    array = np.load(path, mmap_mode="r")
    array = array[None] if array.ndim == 1 else array
    if array.ndim != 2 or array.dtype.kind not in "iuf":
        raise ValueError(
            f"it holds an array of shape {array.shape} and dtype {array.dtype}; expected real "
            "numbers of shape (n_chans, n_times) or (n_times,)"
        )
    if array.shape[0] > array.shape[1]:
        raise ValueError(
            f"its shape {array.shape} has more channels than samples; expected (n_chans, n_times)"
        )
    sidecar = path.with_suffix(".json")
    content = json_object(sidecar.read_bytes(), sidecar.name) if sidecar.is_file() else {}
    kinds = content.get("modalities", choose.modality)
    if kinds is None:
        raise ValueError(
            f"its modality is unknown: pass modality=, or add 'modalities' to {sidecar.name}"
        )
    kinds = [kinds] * len(array) if isinstance(kinds, str) else kinds
    names = content.get("ch_names") or [f"channel {i}" for i in range(len(array))]
    if not len(names) == len(kinds) == len(array):
        raise ValueError(
            f"{sidecar.name} lists {len(names)} ch_names and {len(kinds)} modalities for "
            f"{len(array)} channels"
        )
    origin.about.update(
        {k: str(content[k]) for k in ("licence", "source", "citation") if k in content}
    )
    sfreq = float(content.get("sfreq", choose.sfreq))
    scale = np.broadcast_to(np.asarray(content.get("scale", 1.0), np.float32), len(array))
    picked = choose.pick(names, [modality_of_type(str(kind)) for kind in kinds], sfreq)
    if picked[0]:
        block = _array_block(array, scale, sfreq, *picked)
        in_place = len(picked[0]) == len(array) and array.flags.c_contiguous
        subject = f"{origin.dataset}/{content.get('subject', origin.subject)}"
        yield Source(path.name, subject, origin.dataset, [block], in_place)


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
