"""Labelled windows, from a file of windows or from recordings and a table or annotations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from ..offsets import single_if_exact
from ..picks import channel_kinds, pick_channels
from .annotated import annotation_rows
from .formats import open_named, open_raw, reading
from .label_tables import COLUMNS, find_file, read_label_table
from .origin import Origin
from .rates import check_one_rate
from .window_files import is_window_file, read_window_file

# Value of `labels` for the annotations of the recordings themselves.
ANNOTATIONS = "annotations"
# Types of MNE for those of BIDS; others keep the type that the reader of the format gives.
_BIDS_TYPES = {
    "EEG": "eeg", "EOG": "eog", "HEOG": "eog", "VEOG": "eog", "ECG": "ecg", "EMG": "emg",
    "SEEG": "seeg", "ECOG": "ecog", "RESP": "resp", "GSR": "gsr", "TEMP": "temperature",
    "TRIG": "stim", "MISC": "misc",
}  # fmt: skip


def read_labelled(
    path: Path,
    labels: Path | None = None,
    *,
    picks: Sequence[str] | None = None,
    duration: float | None = None,
    events: Sequence[str] | None = None,
    tmin: float | None = None,
    people: Path | None = None,
    labels_needed: bool = True,
) -> Bunch:
    """Read windows, labels, groups and sampling rate.

    Parameters
    ----------
    path : Path
        An ``.npz`` or CSV file of windows with labels, as `read_window_file` reads it; or a folder
        of recordings (EDF, BDF, FIF, WFDB and others), for which `labels` is needed.
        Stimulus, miscellaneous and bad channels of recordings are left out.
    labels : Path, default=None
        CSV file with a row for each window: ``file`` (within the folder), ``onset`` and
        ``duration`` (s), ``label``, and optionally ``group``. Without groups each file is one.
        ``annotations`` takes the annotations of the recordings instead, or the events of BIDS
        tables; `path` may then be a single recording as well.
    picks : sequence of str, default=None
        Names or kinds of the channels of the recordings, such as "EEG". None takes all signals.
    duration : float, default=None
        Length in seconds of the windows to cut from annotations.
    events : sequence of str, default=None
        Annotations to take, by their description. None takes all that do not mark data as bad.
    tmin : float, default=None
        Start in seconds of the window of an annotation without duration, after the annotation.
        None means 0.
    people : Path, default=None
        CSV file with the person of each recording: ``file``, ``group``. It is for annotations.
    labels_needed : bool, default=True
        Whether a file of windows must have labels; ``y`` is None without them.

    Returns
    -------
    Bunch
        ``X``, ``y``, ``groups`` and ``sfreq`` (None if unknown), ``ch_names`` and ``ch_kinds``
        (None if unknown), and ``groups_from``, a description of the source of the groups.

    Raises
    ------
    ValueError
        If a value is missing or not valid; the message names the file and the row.
    OSError
        If a file cannot be read.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no file or folder {str(path)!r}.")
    if labels is not None and str(labels) == ANNOTATIONS and not is_window_file(path):
        folder, rows, groups_from = annotation_rows(path, duration, events, tmin or 0.0, people)
        return _read_recordings(folder, rows, groups_from, "the annotations", picks)
    for_annotations = {"duration": duration, "events": events, "tmin": tmin, "people": people}
    for option, value in for_annotations.items():
        if value is not None:
            raise ValueError(f"--{option} is for --labels {ANNOTATIONS}; omit it otherwise.")
    if path.is_dir():
        if labels is None:
            raise ValueError(
                f"{str(path)!r} is a folder of recordings; expected --labels, a CSV file with the "
                f"columns {', '.join(COLUMNS)} and optionally group, or --labels {ANNOTATIONS}."
            )
        rows, groups_from = read_label_table(labels)
        return _read_recordings(path, rows, groups_from, labels.name, picks)
    if not is_window_file(path):
        raise ValueError(
            f"{str(path)!r} is neither an .npz file nor a folder, nor a CSV file of windows; "
            "expected one of these, and for a folder of recordings --labels. A single recording "
            f"needs --labels {ANNOTATIONS}."
        )
    if labels is not None:
        raise ValueError(f"--labels is for a folder of recordings; {path.name} has its own labels.")
    if picks is not None:
        raise ValueError(f"--picks is for a folder of recordings; {path.name} holds windows.")
    return read_window_file(path, labelled=labels_needed)


def _read_recordings(
    folder: Path,
    rows: list[dict[str, Any]],
    groups_from: str,
    source: str,
    picks: Sequence[str] | None,
) -> Bunch:
    """Cut the windows of the rows of a table; `source` is its name, for messages."""
    if not rows:
        raise ValueError(f"{source} has no rows; expected a row for each window.")
    known: dict[str, Path] = {}
    by_file: dict[Path, list[int]] = {}
    for i, row in enumerate(rows):
        if (name := row["file"]) not in known:
            known[name] = find_file(folder, name, f"{source}, row {row['row']}")
        row["file"] = known[name]
        by_file.setdefault(row["file"], []).append(i)
    _refuse_two_labels(rows, source)
    windows: dict[int, np.ndarray] = {}
    first: tuple[Path, float, list[str]] | None = None
    kinds: list[str] = []
    for path, indices in by_file.items():
        raw = open_picked(folder / path, path.as_posix(), picks)
        if first is None:
            first = (path, float(raw.info["sfreq"]), raw.ch_names)
            kinds = channel_kinds(raw)
        _match_first(raw, path, *first)
        for i in indices:
            windows[i] = _cut(raw, path.as_posix(), rows[i], source)
    lengths = [windows[i].shape[1] for i in range(len(rows))]
    if len(set(lengths)) > 1:
        odd = next(i for i, length in enumerate(lengths) if length != lengths[0])
        raise ValueError(
            f"{source}, row {rows[odd]['row']}: its window has {lengths[odd]} samples and that "
            f"of row {rows[0]['row']} has {lengths[0]}; expected one duration for all windows."
        )
    assert first is not None
    return Bunch(
        X=np.stack([windows[i] for i in range(len(rows))]),
        y=np.array([row["label"] for row in rows]),
        groups=np.array([row["group"] or row["file"].as_posix() for row in rows]),
        sfreq=first[1],
        ch_names=first[2],
        ch_kinds=kinds,
        groups_from=groups_from,
    )


def _refuse_two_labels(rows: list[dict[str, Any]], source: str) -> None:
    labels: dict[tuple[Path, float, float], str] = {}
    for row in rows:
        window = (row["file"], row["onset"], row["duration"])
        if (label := labels.setdefault(window, row["label"])) != row["label"]:
            raise ValueError(
                f"{source}: the window of {row['file'].as_posix()} at {row['onset']:g} s has the "
                f"labels {label!r} and {row['label']!r}; expected one label for each window."
            )


def _match_first(raw: Any, path: Path, first: Path, sfreq: float, names: list[str]) -> None:
    """Reorder channels as in the first recording; raise ValueError if rate or channels differ."""
    if raw.info["sfreq"] != sfreq:
        raise ValueError(
            f"{path} has {raw.info['sfreq']:g} Hz, and {first} has {sfreq:g} Hz; expected one "
            "sampling rate in all recordings. Resample some of them, with MNE's raw.resample and "
            "raw.save, or evaluate each rate separately."
        )
    if set(raw.ch_names) != set(names):
        shared = [name for name in names if name in raw.ch_names]
        remedy = (
            f"Select the shared ones with --picks {','.join(shared)!r}."
            if shared
            else "They share none, so rename their channels or evaluate each separately."
        )
        raise ValueError(
            f"{path} has the channels {', '.join(raw.ch_names)}, and {first} has "
            f"{', '.join(names)}; expected the same channels in all recordings. {remedy}"
        )
    if raw.ch_names != names:
        raw.reorder_channels(names)


def open_picked(path: Path, name: str, picks: Sequence[str] | None) -> Any:
    """Open a recording with the picked channels only, at the rate at which they were sampled.

    Parameters
    ----------
    path : Path
    name : str
        Name of the recording, for messages.
    picks : sequence of str or None
        Names or kinds of channels; None takes all signals.

    Returns
    -------
    mne.io.Raw

    Raises
    ------
    ValueError
        If the file cannot be read, a pick matches no channel, or rates are unequal.
    """
    raw = open_described(path, name)
    with reading(name):
        raw.get_channel_types()  # a damaged file may have unknown ones
    chosen = pick_channels(raw, picks, argument="--picks", where=name)
    return only_channels(raw, path, chosen, "Select channels of one rate with --picks.")


def open_described(path: Path, name: str) -> Any:
    """Open a recording with the types and the bad channels of its BIDS table, if there is one.

    Raises
    ------
    ValueError
        If the file cannot be read; the message begins with `name`.
    """
    return _described(open_named(path, name), path)


def _described(raw: Any, path: Path) -> Any:
    table = Origin.of(path).channel_table()
    bad = [name for name in raw.ch_names if table.is_bad(name)]
    raw.info["bads"] = list(dict.fromkeys([*raw.info["bads"], *bad]))
    types = {name: _BIDS_TYPES.get(table.type_of(name).upper()) for name in raw.ch_names}
    known = {name: kind for name, kind in types.items() if kind is not None}
    return raw.set_channel_types(known, on_unit_change="ignore", verbose="error")


def only_channels(raw: Any, path: Path, chosen: Sequence[int], remedy: str) -> Any:
    """Drop all other channels, and read these at the rate at which they were sampled.

    Parameters
    ----------
    raw : mne.io.Raw
        Recording as `open_described` returns it.
    path : Path
        Its file.
    chosen : sequence of int
        Channels.
    remedy : str
        Advice for channels of unequal rates, for the message.

    Returns
    -------
    mne.io.Raw

    Raises
    ------
    ValueError
        If the channels have unequal rates.
    """
    raw.pick(list(chosen), verbose="error")
    if check_one_rate(path, raw.ch_names, remedy) is not None:
        # Without the faster channels, MNE does not resample these.
        again = open_raw(path, include=raw.ch_names).pick(raw.ch_names, verbose="error")
        return _described(again, path)
    return raw


def _cut(raw: Any, name: str, row: dict[str, Any], source: str) -> np.ndarray:
    sfreq = float(raw.info["sfreq"])
    start = round(row["onset"] * sfreq)
    stop = start + round(row["duration"] * sfreq)
    if stop > raw.n_times or stop == start:
        raise ValueError(
            f"{source}, row {row['row']}: the window from {row['onset']:g} s to "
            f"{row['onset'] + row['duration']:g} s does not fit {name}, which has "
            f"{raw.n_times / sfreq:g} s at {sfreq:g} Hz."
        )
    with reading(name):
        return single_if_exact(raw.get_data(start=start, stop=stop, verbose="error"))
