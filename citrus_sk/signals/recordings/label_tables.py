"""Reader of labelled windows, from an .npz file or from recordings and a table of labels."""

from __future__ import annotations

import csv
import io
import os
import re
import unicodedata
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from ..missing import is_missing
from ..picks import pick_channels
from .formats import open_raw
from .rates import check_one_rate

_COLUMNS = ("file", "onset", "duration", "label")


def read_labelled(
    path: Path, labels: Path | None = None, *, picks: Sequence[str] | None = None
) -> Bunch:
    """Read windows, labels, groups and sampling rate.

    Parameters
    ----------
    path : Path
        An ``.npz`` file with ``X`` of shape (n_windows, n_chans, n_times) or (n_windows, n_times),
        ``y``, and optionally ``groups`` and ``sfreq`` (Hz); or a folder of recordings that MNE
        reads (EDF, BDF, FIF and others), for which `labels` is needed. Stimulus, miscellaneous
        and bad channels of recordings are left out.
    labels : Path, default=None
        CSV file with a row for each window: ``file`` (within the folder), ``onset`` and
        ``duration`` (s), ``label``, and optionally ``group``. Without groups each file is one.
    picks : sequence of str, default=None
        Names or kinds of the channels of the recordings, such as "EEG". None takes all signals.

    Returns
    -------
    Bunch
        ``X``, ``y``, ``groups`` and ``sfreq`` (None if unknown), ``ch_names``, and
        ``groups_from``, a description of the source of the groups.

    Raises
    ------
    ValueError
        If a value is missing or not valid; the message names the file and the row.
    OSError
        If a file cannot be read.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no file or folder {str(path)!r}.")
    if path.is_dir():
        if labels is None:
            raise ValueError(
                f"{str(path)!r} is a folder of recordings; expected --labels, a CSV file with the "
                f"columns {', '.join(_COLUMNS)} and optionally group."
            )
        return _read_recordings(path, labels, picks)
    if path.suffix != ".npz":
        raise ValueError(
            f"{str(path)!r} is neither an .npz file nor a folder; expected X, y, groups and sfreq "
            "in an .npz file, or a folder of recordings with --labels."
        )
    if labels is not None:
        raise ValueError(f"--labels is for a folder of recordings; {path.name} has its own y.")
    if picks is not None:
        raise ValueError(f"--picks is for a folder of recordings; {path.name} holds an array.")
    return _read_npz(path)


def _read_npz(path: Path) -> Bunch:
    with path.open("rb") as opened:  # np.load leaves a broken archive open
        try:
            with np.load(opened, allow_pickle=False) as file:
                content = {name: file[name] for name in file.files}
        # An OSError is a wrong offset in the archive here, since the file itself was opened above.
        except (ValueError, EOFError, KeyError, OSError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(
                f"{path.name} cannot be read: {error}. Expected a complete file with arrays of "
                "numbers and strings. Python objects are refused, because reading them can run "
                "code in the file: convert them first, such as labels with y.astype(str)."
            ) from error
    if missing := [name for name in ("X", "y") if name not in content]:
        raise ValueError(
            f"{path.name} has no {' and no '.join(missing)}; it holds "
            f"{', '.join(content) or 'nothing'}. Expected X, y, and optionally groups and sfreq."
        )
    X, y = content["X"], content["y"]
    if "scale" in content:  # of integers: the physical value of one step in each channel
        scale = content["scale"].reshape(-1, 1).astype(np.float32)
        if X.ndim < 2 or scale.size not in (1, *X.shape[1:-1]):
            raise ValueError(
                f"{path.name} has a scale of {scale.size} values and X of the shape {X.shape}; "
                "expected one value for each channel."
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
        raise ValueError(f"{table.name} has no rows; expected a row for each window.")
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
        if first is None:
            first = (path, float(raw.info["sfreq"]), raw.ch_names)
        _match_first(raw, path, *first)
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


def read_label_table(table: Path) -> tuple[list[dict[str, Any]], str]:
    """Return the rows of a table of labels, and a description of the source of the groups.

    Columns are separated by commas, semicolons or tabs, and the case of their names is ignored.
    Numbers may have a decimal comma. Composed and decomposed accents are equal.

    Returns
    -------
    rows : list of dict
        Dicts with "row" (line in the file), "file", "onset" and "duration" (s), "label", and
        "group", which is empty if the table has no groups.
    groups_from : str
        Description of the source of the groups.

    Raises
    ------
    ValueError
        If the table cannot be read, or a value is missing or not valid; the row is named.
    """
    text = _read_text(table)
    separator = re.match(r"sep=(.)\s*\n", text)  # a line that only Excel uses
    start = 0 if separator is None else separator.end()
    head = text[start:].partition("\n")[0]
    delimiter = max(",;\t", key=head.count) if separator is None else separator[1]
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    try:
        if separator is not None:
            next(reader)
        return _parse_table(table.name, reader, delimiter)
    except csv.Error as error:
        raise ValueError(f"{table.name} cannot be read: {error}.") from error


def _read_text(table: Path) -> str:
    """Return the text of a table, with the line endings of Python."""
    content = table.read_bytes()
    # Excel saves "Unicode text" as UTF-16.
    is_utf_16 = content[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        text = content.decode("utf-16" if is_utf_16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        row = content[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{table.name} cannot be read: row {row} is not UTF-8 ({error.reason}). Save the table "
            "as UTF-8; Excel calls this 'CSV UTF-8'."
        ) from error
    if "\0" in text:
        raise ValueError(
            f"{table.name} cannot be read: it holds null characters, like UTF-16 or a binary "
            "file. Save it as a CSV file in UTF-8."
        )
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _parse_table(name: str, reader: Any, delimiter: str) -> tuple[list[dict[str, Any]], str]:
    columns = [column.strip().lower() for column in next(reader, [])]
    if missing := [column for column in _COLUMNS if column not in columns]:
        raise ValueError(
            f"{name} has no column {', '.join(missing)}; it has "
            f"{', '.join(columns) or 'none'}. Expected {', '.join(_COLUMNS)} and optionally group."
        )
    if twice := [column for column in (*_COLUMNS, "group") if columns.count(column) > 1]:
        raise ValueError(f"{name} has the column {twice[0]!r} more than once. Keep one of them.")
    lines: dict[int, dict[str, str]] = {}
    for cells in reader:
        if any(cell.strip() for cell in cells):
            if len(cells) > len(columns) and any(cell.strip() for cell in cells[len(columns) :]):
                raise ValueError(
                    f"{name}, row {reader.line_num} has {len(cells)} values, and there are "
                    f"{len(columns)} columns. Put values that contain {delimiter!r} in quotes, and "
                    "write decimals with a point."
                )
            values = (unicodedata.normalize("NFC", cell.strip()) for cell in cells)
            lines[reader.line_num] = dict(zip(columns, values, strict=False))
    _refuse_missing(name, lines)
    rows = [_parse_row(name, row, line, delimiter) for row, line in lines.items()]
    has_groups = any(row["group"] for row in rows)
    return (
        rows,
        f"column 'group' of {name}" if has_groups else "the files, because no row has a group",
    )


def _refuse_missing(name: str, lines: dict[int, dict[str, str]]) -> None:
    """Raise ValueError if a value is missing; groups may be missing in all rows together."""
    for column in _COLUMNS:
        found = [row for row, line in lines.items() if is_missing(line.get(column, ""))]
        if found:
            text = lines[found[0]].get(column, "")
            problem = f"is {text!r}, a missing value" if text else "is empty"
            raise ValueError(
                f"{name}, row {found[0]}: {column} {problem}{_others(found)}. Fill it in, or "
                "delete the row."
            )
    found = [row for row, line in lines.items() if is_missing(line.get("group", ""))]
    if found and len(found) < len(lines):
        raise ValueError(
            f"{name}, row {found[0]}: group is missing{_others(found)}, and other rows have one. "
            "Windows of unknown origin could be both in training and in test data. Fill in the "
            "group, or delete the row."
        )


def _others(rows: list[int]) -> str:
    return f" (and in {len(rows) - 1} more rows)" if len(rows) > 1 else ""


def _parse_row(name: str, row: int, line: dict[str, str], delimiter: str) -> dict[str, Any]:
    where = f"{name}, row {row}"
    onset, duration = (
        _seconds(line[column], delimiter, f"{where}: {column}") for column in ("onset", "duration")
    )
    if duration <= 0 or onset < 0:
        raise ValueError(
            f"{where}: onset {onset:g} s, duration {duration:g} s; expected an onset of 0 or more "
            "and a duration above 0."
        )
    group = line.get("group", "")
    return {
        "row": row, "file": line["file"], "onset": onset, "duration": duration,
        "label": line["label"], "group": "" if is_missing(group) else group,
    }  # fmt: skip


def _seconds(text: str, delimiter: str, where: str) -> float:
    # In tables with semicolons a comma is a decimal one.
    if delimiter != ";" and re.fullmatch(r"[1-9]\d{0,2},\d{3}", text):
        raise ValueError(
            f"{where} is {text!r}, which could be {text.replace(',', '.')} or "
            f"{text.replace(',', '')}. Write it without thousands separators, and decimals with a "
            "point."
        )
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise ValueError(f"{where} is {text!r}; expected a number of seconds, such as 1090.5.")
    return value


def _find_file(folder: Path, name: str, where: str) -> Path:
    """Return the path within `folder` of a file in a table that another system may have written.

    Windows separates folders by backslashes and ignores case; macOS decomposes accents.
    """
    if (folder / name).is_file():
        return _within(folder, Path(name))
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
    return _within(folder, found)


def _within(folder: Path, found: Path) -> Path:
    """Return the same path for a file if a table has it as absolute or with ``..`` in it."""
    base, path = (Path(os.path.normpath(each.absolute())) for each in (folder, folder / found))
    return path.relative_to(base) if path.is_relative_to(base) else path


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _open(path: Path, name: str, picks: Sequence[str] | None) -> Any:
    try:
        raw = open_raw(path)
    except ModuleNotFoundError:
        raise
    except Exception as error:  # each reader has its own errors
        raise ValueError(f"{name} cannot be read: {error}") from error
    chosen = pick_channels(raw, picks, argument="--picks", where=name)
    raw.pick(chosen, verbose="error")
    remedy = "Select channels of one rate with --picks."
    if check_one_rate(path, raw.ch_names, remedy) is not None:
        # Without the faster channels, MNE does not resample these.
        raw = open_raw(path, include=raw.ch_names).pick(raw.ch_names, verbose="error")
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
