"""A CSV file with a row for each cell: a model on a set, a fold and a fraction of the labels."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable
from pathlib import Path

KEYS = ["set", "model", "fold", "fraction"]
METRICS = ["accuracy", "macro_f1", "log_loss", "calibration_error"]
COLUMNS = [*KEYS, "weights", "n_train", "n_test", *METRICS, "fit_s", "predict_s"]

Row = dict[str, str]


def key_of(row: Row) -> tuple[str, str, int, float]:
    return row["set"], row["model"], int(row["fold"]), float(row["fraction"])


def read(paths: Iterable[Path]) -> list[Row]:
    """Rows of all files. The last row of a cell counts, and a line without its end is left out."""
    rows: dict[tuple, Row] = {}
    for path in paths:
        text = Path(path).read_text(encoding="utf-8")
        for row in csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1])):
            whole = {column: row.get(column) or "" for column in COLUMNS}
            rows[key_of(whole)] = whole
    return list(rows.values())


def replace_all(path: Path, rows: list[Row]) -> None:
    """Write the file anew, sorted, so that it is whole at any time."""
    draft = path.with_suffix(".part")
    with draft.open("w", encoding="utf-8", newline="") as file:
        file.write(",".join(COLUMNS) + "\n" + as_text(sorted(rows, key=key_of)))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def append(path: Path, rows: list[Row]) -> None:
    with path.open("a", encoding="utf-8", newline="") as file:
        file.write(as_text(rows))
        file.flush()
        os.fsync(file.fileno())


def as_text(rows: list[Row]) -> str:
    text = io.StringIO()
    csv.DictWriter(text, COLUMNS, lineterminator="\n").writerows(rows)
    return text.getvalue()
