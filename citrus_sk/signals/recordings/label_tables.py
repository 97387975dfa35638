"""Tables of labels, as spreadsheets and other systems write them."""

from __future__ import annotations

import csv
import io
import os
import re
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..._utils.validation import first_few
from ..missing import is_missing

COLUMNS = ("file", "onset", "duration", "label")
PEOPLE_COLUMNS = ("file", "group")
Lines = dict[int, dict[str, str]]  # cells by column, by row


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
    FileNotFoundError
        If there is no table.
    """
    if not table.exists():
        raise FileNotFoundError(
            f"there is no table {str(table)!r}; expected a CSV file, or the word annotations for "
            "the labels of the recordings themselves."
        )
    lines, delimiter = _read_lines(table, COLUMNS, "and optionally group")
    _refuse_missing(table.name, lines)
    rows = [_parse_row(table.name, row, line, delimiter) for row, line in lines.items()]
    has_groups = any(row["group"] for row in rows)
    return (
        rows,
        f"column 'group' of {table.name}"
        if has_groups
        else "the files, because no row has a group",
    )


def read_people(table: Path, folder: Path, names: Sequence[str]) -> dict[str, str]:
    """Return the person of each recording, from a table with the columns file and group.

    Parameters
    ----------
    table : Path
    folder : Path
        Folder of the recordings.
    names : sequence of str
        Paths of the recordings within the folder.

    Raises
    ------
    ValueError
        If the table cannot be read; a value is missing, of which the row is named; a file has two
        groups; or a recording has no row.
    """
    if not table.exists():
        raise FileNotFoundError(f"--people: there is no table {str(table)!r}.")
    lines, _ = _read_lines(table, PEOPLE_COLUMNS)
    _refuse_missing_values(table.name, lines, PEOPLE_COLUMNS)
    groups: dict[str, str] = {}
    for row, line in lines.items():
        where, listed, group = f"{table.name}, row {row}", line["file"], line["group"]
        name = find_file(folder, listed, where).as_posix()
        if groups.setdefault(name, group) != group:
            raise ValueError(f"{where}: {listed!r} has two groups, {groups[name]!r} and {group!r}.")
    if missing := [name for name in names if name not in groups]:
        raise ValueError(
            f"{table.name} has no row for {first_few(missing)}; expected the group, that is the "
            "person, of each recording."
        )
    return {name: groups[name] for name in names}


def _read_lines(table: Path, required: tuple[str, ...], more: str = "") -> tuple[Lines, str]:
    """Return the cells of each row by column, and the delimiter."""
    reader, delimiter = table_reader(table)
    try:
        columns = _read_head(table.name, reader, required, more)
        return _read_cells(table.name, reader, columns, delimiter), delimiter
    except csv.Error as error:
        raise ValueError(f"{table.name} cannot be read: {error}.") from error


def table_reader(table: Path) -> tuple[Any, str]:
    """Return a `csv.reader` at the head of a table, and the delimiter of its columns.

    Raises
    ------
    ValueError
        If the text is in neither UTF-8 nor UTF-16.
    """
    text = _read_text(table)
    separator = re.match(r"sep=(.)\s*\n", text)  # a line that only Excel uses
    start = 0 if separator is None else separator.end()
    head = text[start:].partition("\n")[0]
    delimiter = max(",;\t", key=head.count) if separator is None else separator[1]
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    if separator is not None:
        next(reader)
    return reader, delimiter


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


def _read_head(name: str, reader: Any, required: tuple[str, ...], more: str) -> list[str]:
    columns = [column.strip().lower() for column in next(reader, [])]
    if missing := [column for column in required if column not in columns]:
        raise ValueError(
            f"{name} has no column {', '.join(missing)}; it has "
            f"{', '.join(columns) or 'none'}. Expected {', '.join(required)} {more}".rstrip()
            + "."
        )
    if twice := [column for column in {*required, "group"} if columns.count(column) > 1]:
        raise ValueError(f"{name} has the column {twice[0]!r} more than once. Keep one of them.")
    return columns


def _read_cells(name: str, reader: Any, columns: list[str], delimiter: str) -> Lines:
    lines: Lines = {}
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
    return lines


def _refuse_missing_values(name: str, lines: Lines, columns: tuple[str, ...]) -> None:
    """Raise ValueError if a value is missing in one of these columns."""
    for column in columns:
        found = [row for row, line in lines.items() if is_missing(line.get(column, ""))]
        if found:
            text = lines[found[0]].get(column, "")
            problem = f"is {text!r}, a missing value" if text else "is empty"
            raise ValueError(
                f"{name}, row {found[0]}: {column} {problem}{_others(found)}. Fill it in, or "
                "delete the row."
            )


def _refuse_missing(name: str, lines: Lines) -> None:
    """Raise ValueError if a value is missing; groups may be missing in all rows together."""
    _refuse_missing_values(name, lines, COLUMNS)
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


def find_file(folder: Path, name: str, where: str) -> Path:
    """Return the path within `folder` of a file in a table that another system may have written.

    Windows separates folders by backslashes and ignores case; macOS decomposes accents.
    """
    if is_of_kind(Path.is_file, folder / name):
        return _within(folder, Path(name))
    found = Path()
    for part in re.split(r"[\\/]+", name):
        here = folder / found
        inside = sorted(here.iterdir()) if is_of_kind(Path.is_dir, here) else []
        alike = [each.name for each in inside if _plain(each.name) == _plain(part)]
        found /= part if part in alike or len(alike) != 1 else alike[0]
    if not is_of_kind(Path.is_file, folder / found):
        raise ValueError(
            f"{where} names the file {name!r}, which is not in {str(folder)!r}; expected a path "
            "within that folder, such as sub/a.edf."
        )
    return _within(folder, found)


def is_of_kind(kind: Callable[[Path], bool], path: Path) -> bool:
    """Whether `kind` holds for a path; False for a name that is too long for any file."""
    try:
        return kind(path)
    except OSError:
        return False


def _within(folder: Path, found: Path) -> Path:
    """Return the same path for a file if a table has it as absolute or with ``..`` in it."""
    base, path = (Path(os.path.normpath(each.absolute())) for each in (folder, folder / found))
    return path.relative_to(base) if path.is_relative_to(base) else path


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
