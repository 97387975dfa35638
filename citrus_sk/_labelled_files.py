"""Labelled windows from files: one .npz, or recordings with a table of labels."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from ._containers import signal_picks
from ._missing import is_missing
from ._recordings.channels import as_named, modality_of
from ._recordings.edf import check_one_rate
from ._recordings.formats import open_raw

_COLUMNS = ("file", "onset", "duration", "label")


def read_labelled(
    path: Path, labels: Path | None = None, *, picks: Sequence[str] | None = None
) -> Bunch:
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
        ``duration`` (s), ``label``, and optionally ``group``; otherwise a file is a group.
    picks : sequence of str, default=None
        Names or kinds of the channels of the recordings, such as "EEG"; None takes all signals.

    Returns
    -------
    Bunch
        ``X``, ``y``, ``groups`` (None if not known), ``sfreq`` (None if not known), ``ch_names``,
        and ``groups_from``, where the groups come from, in words.

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
                f"{str(path)!r} is a folder of recordings; expected --labels, a CSV file with the "
                f"columns {', '.join(_COLUMNS)} and, if known, group."
            )
        return _read_recordings(path, labels, picks)
    if path.suffix != ".npz":
        raise ValueError(
            f"{str(path)!r} is neither an .npz file nor a folder; expected X, y, groups and sfreq "
            "in an .npz file, or a folder of recordings with --labels."
        )
    if labels is not None:
        raise ValueError(f"--labels goes with a folder of recordings; {path.name} holds its own y.")
    if picks is not None:
        raise ValueError(f"--picks goes with a folder of recordings; {path.name} is an array.")
    return _read_npz(path)


def _read_npz(path: Path) -> Bunch:
    with path.open("rb") as opened:  # np.load leaves a broken archive open
        try:
            with np.load(opened, allow_pickle=False) as file:
                content = {name: file[name] for name in file.files}
        # A wrong offset in an archive is an OSError; that the file itself opens is known by now.
        except (ValueError, EOFError, KeyError, OSError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(
                f"{path.name} cannot be read: {error}. Expected a whole file with arrays of "
                "numbers and strings; Python objects are refused, as reading them runs whatever "
                "code they hold."
            ) from error
    if missing := [name for name in ("X", "y") if name not in content]:
        raise ValueError(
            f"{path.name} has no {' and no '.join(missing)}; it holds "
            f"{', '.join(content) or 'nothing'}. Expected X, y, and if known groups and sfreq."
        )
    X, y = content["X"], content["y"]
    if "scale" in content:  # integers, and the physical value of one step in each channel
        scale = content["scale"].reshape(-1, 1).astype(np.float32)
        if X.ndim < 2 or scale.size not in (1, *X.shape[1:-1]):
            raise ValueError(
                f"{path.name} has a scale of {scale.size} values and X of the shape {X.shape}; "
                "expected one for each channel."
            )
        X = X.astype(np.float32) * scale
    sfreq = content.get("sfreq")
    if sfreq is not None and (sfreq.size != 1 or sfreq.dtype.kind not in "fiu"):
        raise ValueError(f"{path.name} has sfreq={sfreq}; expected one number, in Hz.")
    sfreq = None if sfreq is None else float(sfreq.item())
    return Bunch(
        X=X,
        y=y,
        groups=content.get("groups"),
        sfreq=sfreq,
        ch_names=None,
        groups_from=f"'groups' of {path.name}",
    )


def _read_recordings(folder: Path, table: Path, picks: Sequence[str] | None) -> Bunch:
    rows, groups_from = read_label_table(table)
    if not rows:
        raise ValueError(f"{table.name} has no rows; expected one for each window.")
    known: dict[str, Path] = {}
    by_file: dict[Path, list[int]] = {}
    for i, row in enumerate(rows):
        if (name := row["file"]) not in known:
            known[name] = _find_file(folder, name, f"{table.name}, row {row['row']}")
        row["file"] = known[name]
        by_file.setdefault(row["file"], []).append(i)
    windows: dict[int, np.ndarray] = {}
    first: tuple[Path, float, list[str]] | None = None
    for path, indices in by_file.items():
        raw = _open(folder / path, path.as_posix(), picks)
        about = (path, float(raw.info["sfreq"]), raw.ch_names)
        first = first or about
        if about[1:] != first[1:]:
            raise ValueError(
                f"{path} has {len(about[2])} channels at {about[1]:g} Hz ({_some(about[2])}), and "
                f"{first[0]} {len(first[2])} at {first[1]:g} Hz ({_some(first[2])}); expected the "
                "same channels at one rate in all recordings. Choose common ones with --picks."
            )
        for i in indices:
            windows[i] = _cut(raw, path.as_posix(), rows[i])
    lengths = [windows[i].shape[1] for i in range(len(rows))]
    if len(set(lengths)) > 1:
        odd = next(i for i, length in enumerate(lengths) if length != lengths[0])
        raise ValueError(
            f"{table.name}, row {rows[odd]['row']}: its window has {lengths[odd]} samples and that "
            f"of row {rows[0]['row']} has {lengths[0]}; expected one duration for all windows."
        )
    assert first is not None
    return Bunch(
        X=np.stack([windows[i] for i in range(len(rows))]),
        y=np.array([row["label"] for row in rows]),
        groups=np.array([row["group"] or row["file"].as_posix() for row in rows]),
        sfreq=first[1],
        ch_names=first[2],
        groups_from=groups_from,
    )


def read_label_table(table: Path) -> tuple[list[dict[str, Any]], str]:
    """The rows of a table of labels, and where their groups come from, in words.

    Columns may be separated by commas, semicolons or tabs, and their names may differ in case. With
    semicolons or tabs, numbers may have a decimal comma.

    Returns
    -------
    rows : list of dict
        "row" (line in the file), "file", "onset" and "duration" (s), "label", and "group", which
        is empty where the table has no groups.
    groups_from : str
    """
    try:
        # Excel writes UTF-16 where it is asked for Unicode text.
        encoding = "utf-16" if table.read_bytes()[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        with table.open(encoding=encoding, newline="") as file:
            lines = file.read()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{table.name} cannot be read: {error}. Expected a CSV file in UTF-8; save it as such."
        ) from error
    head = lines.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    try:
        return _parse_table(
            table.name, csv.reader(io.StringIO(lines), delimiter=delimiter), delimiter
        )
    except csv.Error as error:
        raise ValueError(f"{table.name} cannot be read: {error}.") from error


def _parse_table(name: str, reader: Any, delimiter: str) -> tuple[list[dict[str, Any]], str]:
    columns = [column.strip().lower() for column in next(reader, [])]
    if missing := [column for column in _COLUMNS if column not in columns]:
        raise ValueError(
            f"{name} has no column {', '.join(missing)}; it has "
            f"{', '.join(columns) or 'none'}. Expected {', '.join(_COLUMNS)} and, if known, group."
        )
    rows: list[dict[str, Any]] = []
    for cells in reader:
        if any(cell.strip() for cell in cells):
            line = dict(zip(columns, (cell.strip() for cell in cells), strict=False))
            rows.append(_parse_row(f"{name}, row {reader.line_num}", line, delimiter))
            rows[-1]["row"] = reader.line_num
    known = [row for row in rows if row["group"]]
    if known and len(known) < len(rows):
        odd = next(row for row in rows if not row["group"])
        raise ValueError(
            f"{name}, row {odd['row']}: group is missing, and other rows have one. Windows of "
            "unknown origin could be trained on and tested on at once: fill in the group, or "
            "delete the row."
        )
    return rows, f"column 'group' of {name}" if known else "the files, as no row has a group"


def _parse_row(where: str, line: dict[str, str], delimiter: str) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for column in _COLUMNS:
        text = line.get(column, "")
        if is_missing(text):
            what = "is empty" if not text else f"is {text!r}, which stands for a missing value"
            raise ValueError(f"{where}: {column} {what}. Fill it in, or delete the row.")
        row[column] = text
    for column in ("onset", "duration"):
        text = row[column] if delimiter == "," else row[column].replace(",", ".")
        row[column] = _seconds(text, f"{where}: {column}")
    if row["duration"] <= 0 or row["onset"] < 0:
        raise ValueError(
            f"{where}: onset {row['onset']:g} s, duration {row['duration']:g} s; expected an "
            "onset of 0 or more and a duration above 0."
        )
    group = line.get("group", "")
    return row | {"group": "" if is_missing(group) else group}


def _seconds(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise ValueError(f"{where} is {text!r}; expected a number of seconds.")
    return value


def _find_file(folder: Path, name: str, where: str) -> Path:
    """The path within `folder` of a file in a table, which may come from another system.

    Backslashes separate folders on Windows, where upper and lower case are alike as well; macOS
    writes accents as characters of their own.
    """
    if (folder / name).is_file():
        return Path(name)
    found = Path()
    for part in re.split(r"[\\/]+", name.removeprefix("./").removeprefix(".\\")):
        here = folder / found
        inside = sorted(here.iterdir()) if here.is_dir() else []
        alike = [each.name for each in inside if _plain(each.name) == _plain(part)]
        found /= part if part in alike or len(alike) != 1 else alike[0]
    if not (folder / found).is_file():
        raise ValueError(
            f"{where} names the file {name!r}, which is not in {str(folder)!r}; expected a path "
            "within that folder, such as sub/a.edf."
        )
    return found


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _open(path: Path, name: str, picks: Sequence[str] | None) -> Any:
    try:
        raw = open_raw(path)
    except ModuleNotFoundError:
        raise
    except Exception as error:  # each format's reader raises errors of its own
        raise ValueError(f"{name} cannot be read: {error}") from error
    chosen = signal_picks(raw) if picks is None else _choose(raw, name, picks)
    if not chosen:
        raise ValueError(
            f"{name} has no signal: its channels ({_some(raw.ch_names)}) are stimulus channels or "
            "marked bad."
        )
    raw.pick(chosen, verbose="error")
    check_one_rate(path, raw.ch_names, "Choose channels of one rate with --picks.")
    return raw


def _choose(raw: Any, name: str, picks: Sequence[str]) -> list[int]:
    """Indices of the channels whose name, or whose kind, is among `picks`."""
    usable = set(signal_picks(raw))
    # Readers of EDF give the type EEG to all channels: a name that says more comes first.
    kinds = [
        modality_of(channel) or modality_of(channel, kind) or kind
        for channel, kind in zip(raw.ch_names, raw.get_channel_types(), strict=True)
    ]
    chosen: list[int] = []
    for pick in picks:
        found = [i for i, channel in enumerate(raw.ch_names) if channel == pick]
        if not found:
            kind = as_named(pick).casefold()
            found = [i for i in sorted(usable) if kinds[i].casefold() == kind]
        if not found:
            known = (f"{raw.ch_names[i]} ({kinds[i]})" for i in range(len(kinds)))
            raise ValueError(
                f"--picks: {name} has no channel of the name or kind {pick!r}; it has "
                f"{', '.join(known)}."
            )
        chosen += [i for i in found if i not in chosen]
    return chosen


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
