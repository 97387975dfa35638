"""Labelled windows from files: one .npz, or recordings with a table of labels."""

from __future__ import annotations

import csv
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from ._containers import signal_picks
from ._recordings.edf import check_one_rate

_WANTED = ("file", "onset", "duration", "label")


def read_labelled(path: Path, labels: Path | None = None) -> Bunch:
    """Read windows, labels, groups and sampling rate.

    Parameters
    ----------
    path : Path
        An ``.npz`` file with ``X`` of shape (n_windows, n_chans, n_times) or (n_windows, n_times),
        ``y``, and if they are known ``groups`` and ``sfreq`` (Hz); or a folder of recordings that
        MNE reads (EDF, BDF, FIF and others), for which `labels` is needed. Their stimulus,
        miscellaneous and marked-bad channels are left out.
    labels : Path, default=None
        CSV file with a row for each window: ``file`` (within the folder), ``onset`` and
        ``duration`` (s), ``label``, and if wanted ``group``; otherwise a file is a group.

    Returns
    -------
    Bunch
        ``X``, ``y``, ``groups`` (None if not known), ``sfreq`` (None if not known), ``ch_names``.

    Raises
    ------
    ValueError
        If something is missing or does not fit; the message names the file and the row.
    OSError
        If a file cannot be read.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no file or folder {str(path)!r}.")
    if path.is_dir():
        if labels is None:
            raise ValueError(
                f"{str(path)!r} is a folder of recordings; wanted --labels, a CSV file with the "
                f"columns {', '.join(_WANTED)} and, if known, group."
            )
        return _read_recordings(path, labels)
    if path.suffix != ".npz":
        raise ValueError(
            f"{str(path)!r} is neither an .npz file nor a folder; wanted X, y, groups and sfreq in "
            "an .npz file, or a folder of recordings with --labels."
        )
    if labels is not None:
        raise ValueError(f"--labels goes with a folder of recordings; {path.name} holds its own y.")
    return _read_npz(path)


def _read_npz(path: Path) -> Bunch:
    with path.open("rb") as opened:  # np.load leaves a broken archive open
        try:
            with np.load(opened, allow_pickle=False) as file:
                content = {name: file[name] for name in file.files}
        # A wrong offset in an archive is an OSError; that the file itself opens is known by now.
        except (ValueError, EOFError, KeyError, OSError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(
                f"{path.name} cannot be read: {error}. Wanted a whole file with arrays of numbers "
                "and strings; Python objects are refused, as reading them runs whatever code they "
                "hold."
            ) from error
    if missing := [name for name in ("X", "y") if name not in content]:
        raise ValueError(
            f"{path.name} has no {' and no '.join(missing)}; it holds "
            f"{', '.join(content) or 'nothing'}. Wanted X, y, and if known groups and sfreq."
        )
    X, y = content["X"], content["y"]
    if "scale" in content:  # integers, and the physical value of one step in each channel
        scale = content["scale"].reshape(-1, 1).astype(np.float32)
        if X.ndim < 2 or scale.size not in (1, *X.shape[1:-1]):
            raise ValueError(
                f"{path.name} has a scale of {scale.size} values and X of the shape {X.shape}; "
                "wanted one for each channel."
            )
        X = X.astype(np.float32) * scale
    sfreq = content.get("sfreq")
    if sfreq is not None and (sfreq.size != 1 or sfreq.dtype.kind not in "fiu"):
        raise ValueError(f"{path.name} has sfreq={sfreq}; wanted one number, in Hz.")
    sfreq = None if sfreq is None else float(sfreq.item())
    return Bunch(X=X, y=y, groups=content.get("groups"), sfreq=sfreq, ch_names=None)


def _read_recordings(folder: Path, table: Path) -> Bunch:
    try:
        rows = _read_table(table)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f"{table.name} cannot be read: {error}. Wanted a CSV file in UTF-8."
        ) from error
    by_file: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        by_file.setdefault(row["file"], []).append(place)
    windows: dict[int, np.ndarray] = {}
    first: tuple[str, float, list[str]] | None = None
    for name, places in by_file.items():
        raw = _open(folder, name, rows[places[0]]["row"])
        about = (name, float(raw.info["sfreq"]), raw.ch_names)
        first = first or about
        if about[1:] != first[1:]:
            raise ValueError(
                f"{name} has {len(about[2])} channels at {about[1]:g} Hz ({_some(about[2])}), and "
                f"{first[0]} {len(first[2])} at {first[1]:g} Hz ({_some(first[2])}); wanted the "
                "same channels at one rate in all recordings."
            )
        for place in places:
            windows[place] = _cut(raw, name, rows[place])
    if first is None:
        raise ValueError(f"{table.name} has no rows; wanted one for each window.")
    lengths = [windows[place].shape[1] for place in range(len(rows))]
    if len(set(lengths)) > 1:
        odd = next(place for place, length in enumerate(lengths) if length != lengths[0])
        raise ValueError(
            f"{table.name}, row {rows[odd]['row']}: its window has {lengths[odd]} samples and that "
            f"of row {rows[0]['row']} has {lengths[0]}; wanted one duration for all windows."
        )
    return Bunch(
        X=np.stack([windows[place] for place in range(len(rows))]),
        y=np.array([row["label"] for row in rows]),
        groups=np.array([row["group"] for row in rows]),
        sfreq=first[1],
        ch_names=first[2],
    )


def _read_table(table: Path) -> list[dict[str, Any]]:
    with table.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        if missing := [name for name in _WANTED if name not in (reader.fieldnames or ())]:
            raise ValueError(
                f"{table.name} has no column {', '.join(missing)}; it has "
                f"{', '.join(reader.fieldnames or ()) or 'none'}. Wanted {', '.join(_WANTED)} "
                "and, if known, group."
            )
        rows: list[dict[str, Any]] = []
        for line in reader:
            where = f"{table.name}, row {reader.line_num}"
            row: dict[str, Any] = {"row": reader.line_num}
            for name in _WANTED:
                if not (line[name] or "").strip():
                    raise ValueError(f"{where}: {name} is empty.")
                row[name] = line[name].strip()
            for name in ("onset", "duration"):
                row[name] = _seconds(row[name], f"{where}: {name}")
            if row["duration"] <= 0 or row["onset"] < 0:
                raise ValueError(
                    f"{where}: onset {row['onset']:g} s, duration {row['duration']:g} s; wanted an "
                    "onset of 0 or more and a duration above 0."
                )
            row["group"] = (line.get("group") or "").strip() or row["file"]
            rows.append(row)
    return rows


def _seconds(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise ValueError(f"{where} is {text!r}; wanted a number of seconds.")
    return value


def _open(folder: Path, name: str, row: int) -> Any:
    import mne

    path = folder / name
    if not path.is_file():
        raise ValueError(
            f"row {row} names the file {name!r}, which is not in {str(folder)!r}; wanted a path "
            "within that folder."
        )
    try:
        raw = mne.io.read_raw(path, preload=False, verbose="error")
    except Exception as error:  # each format's reader raises errors of its own
        raise ValueError(f"{name} cannot be read: {error}") from error
    picks = signal_picks(raw)
    if not picks:
        raise ValueError(
            f"{name} has no signal: its channels ({_some(raw.ch_names)}) are stimulus channels or "
            "marked bad."
        )
    raw.pick(picks, verbose="error")
    check_one_rate(path, raw.ch_names, "Write recordings whose signals have one rate.")
    return raw


def _cut(raw: Any, name: str, row: dict[str, Any]) -> np.ndarray:
    sfreq = float(raw.info["sfreq"])
    start = round(row["onset"] * sfreq)
    stop = start + round(row["duration"] * sfreq)
    if stop > raw.n_times or stop == start:
        raise ValueError(
            f"row {row['row']}: the window from {row['onset']:g} s to "
            f"{row['onset'] + row['duration']:g} s does not fit {name}, which has "
            f"{raw.n_times / sfreq:g} s at {sfreq:g} Hz."
        )
    return raw.get_data(start=start, stop=stop, verbose="error").astype(np.float32)


def _some(names: list[str]) -> str:
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
