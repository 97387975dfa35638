"""Windows in a file: arrays in .npz, or a table in CSV."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from ..._utils.validation import first_few
from ..missing import is_missing
from ..offsets import single_if_exact
from .formats import reason_of
from .label_tables import table_reader

WINDOW_EXTENSIONS = (".npz", ".csv")
# Columns of a CSV file that hold no samples.
_RESERVED = ("window", "time", "label", "group")
# Share of a sampling interval by which steps between times may differ from it.
_JITTER = 0.5


def is_window_file(path: Path) -> bool:
    """Return True if a path is that of a file of windows, by its extension."""
    return path.suffix.lower() in WINDOW_EXTENSIONS and not path.is_dir()


def read_window_file(path: Path, *, labelled: bool) -> Bunch:
    """Read windows from an ``.npz`` or a CSV file.

    Parameters
    ----------
    path : Path
        An ``.npz`` file with ``X`` of shape (n_windows, n_chans, n_times) or (n_windows, n_times),
        and optionally ``y``, ``groups``, ``sfreq`` (Hz) and ``ch_names``. Or a CSV file with a
        row for each window and numbered columns for its samples; or with a column ``window``, a
        row for each sample and a column for each channel.
    labelled : bool
        Whether labels are needed.

    Returns
    -------
    Bunch
        ``X``, ``y``, ``groups``, ``sfreq``, ``ch_names`` and ``ch_kinds``, each of them but `X`
        None if unknown; ``window``, the name of each window in the file; ``onset``, its first time
        (s), or None; and ``groups_from``, a description of the source of the groups.

    Raises
    ------
    ValueError
        If a value is missing or not valid; the message names the file and the row.
    OSError
        If the file cannot be read.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no file {str(path)!r}.")
    return _read_csv(path, labelled) if path.suffix.lower() == ".csv" else _read_npz(path, labelled)


# --- arrays --------------------------------------------------------------------------------------


def _read_npz(path: Path, labelled: bool) -> Bunch:
    with path.open("rb") as opened:  # np.load leaves a broken archive open
        try:
            with np.load(opened, allow_pickle=False) as file:
                content = {name: file[name] for name in file.files}
            if odd := [name for name, each in content.items() if not isinstance(each, np.ndarray)]:
                raise ValueError(f"its entry {odd[0]!r} is not an array")
        # A damaged archive or header of an array can raise many errors, such as TokenError.
        except Exception as error:
            raise ValueError(
                f"{path.name} cannot be read: {reason_of(error)}. Expected a complete file with "
                "arrays of numbers and strings. Python objects are refused, because reading them "
                "can run code in the file: convert them first, such as labels with y.astype(str)."
            ) from error
    needed = ("X", "y") if labelled else ("X",)
    if missing := [name for name in needed if name not in content]:
        raise ValueError(
            f"{path.name} has no {' and no '.join(missing)}; it holds "
            f"{', '.join(content) or 'nothing'}. Expected X, y, and optionally groups and sfreq."
        )
    X = content["X"]
    if X.ndim not in (2, 3):
        raise ValueError(
            f"{path.name} has X of the shape {X.shape}; expected (n_windows, n_chans, n_times), or "
            "(n_windows, n_times) for one channel."
        )
    for name, kinds in {"X": "biuf", "scale": "iuf", "sfreq": "iuf"}.items():
        if name in content and content[name].dtype.kind not in kinds:
            raise ValueError(
                f"{path.name} has {name} of the type {content[name].dtype}; expected numbers."
            )
    for name in ("y", "groups"):
        if name in content and content[name].shape[:1] != X.shape[:1]:
            raise ValueError(
                f"{path.name} has {name} of the shape {content[name].shape} and X of the shape "
                f"{X.shape}; expected a value for each window."
            )
    return Bunch(
        X=_scaled(path, content, X),
        y=content.get("y"),
        groups=content.get("groups"),
        sfreq=_rate_in_npz(path, content),
        ch_names=_names_in_npz(path, content, X),
        ch_kinds=None,
        window=np.arange(len(X)),
        onset=None,
        groups_from=f"'groups' of {path.name}",
    )


def _scaled(path: Path, content: dict[str, np.ndarray], X: np.ndarray) -> np.ndarray:
    """Return `X` times the physical value of one step in each channel, if the file has that."""
    if "scale" not in content:
        return X
    scale = content["scale"].reshape(-1, 1)
    if scale.size not in (1, *X.shape[1:-1]) or not np.isfinite(scale).all():
        raise ValueError(
            f"{path.name} has a scale of {scale.size} values and X of the shape {X.shape}; "
            "expected one finite value for each channel."
        )
    with np.errstate(all="ignore"):  # of values that are damaged
        return X.astype(np.float32) * scale.astype(np.float32)


def _rate_in_npz(path: Path, content: dict[str, np.ndarray]) -> float | None:
    """Return the sampling rate in Hz; None if the file has none."""
    sfreq = content.get("sfreq")
    if sfreq is not None and not (sfreq.size == 1 and 0 < sfreq.item() < np.inf):
        raise ValueError(f"{path.name} has sfreq={sfreq}; expected one number, in Hz and above 0.")
    return None if sfreq is None else float(sfreq.item())


def _names_in_npz(path: Path, content: dict[str, np.ndarray], X: np.ndarray) -> list[str] | None:
    """Return the names of the channels; None if the file has none."""
    if "ch_names" not in content:
        return None
    names = [str(name) for name in content["ch_names"].ravel()]
    n_chans = X.shape[1] if X.ndim == 3 else 1
    n_names = len(set(names))
    if not len(names) == n_names == n_chans:
        found = f"{n_names} different ch_names"
        if n_names < len(names):
            found = f"{len(names)} ch_names, {n_names} of them different,"
        raise ValueError(
            f"{path.name} has {found} and X of the shape {X.shape}; expected a name for each "
            "channel."
        )
    return names


# --- tables --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Table:
    """Cells of a CSV file; `rows` are lines in the file."""

    name: str
    columns: list[str]
    rows: list[int]
    cells: list[list[str]]
    decimal_comma: bool

    @classmethod
    def read(cls, path: Path) -> _Table:
        reader, delimiter = table_reader(path)
        rows, cells = [], []
        try:
            columns = [_plain(cell) for cell in next(reader, [])]
            # The names of other columns are those of channels, whose case counts.
            columns = [c.lower() if c.lower() in _RESERVED else c for c in columns]
            for line in reader:
                if any(cell.strip() for cell in line):
                    rows.append(reader.line_num)
                    cells.append(line)
        except csv.Error as error:
            raise ValueError(f"{path.name} cannot be read: {error}.") from error
        table = cls(path.name, columns, rows, cells, delimiter != ",")
        table._check()
        return table

    def _check(self) -> None:
        if not self.cells:
            raise ValueError(f"{self.name} has no rows; expected a head and rows below it.")
        if "" in self.columns:
            raise ValueError(
                f"{self.name}: column {self.columns.index('') + 1} has no name. If it is an index "
                "that pandas wrote, omit it with to_csv(index=False)."
            )
        if twice := [name for name in self.columns if self.columns.count(name) > 1]:
            raise ValueError(f"{self.name} has the column {twice[0]!r} more than once.")
        for row, cells in zip(self.rows, self.cells, strict=True):
            if len(cells) != len(self.columns):
                raise ValueError(
                    f"{self.name}, row {row} has {len(cells)} values, and there are "
                    f"{len(self.columns)} columns. Windows must have the same length, and "
                    "decimals a point if commas separate the columns."
                )

    def text(self, column: str) -> list[str] | None:
        """Return a column of texts without missing values; None if there is none."""
        if column not in self.columns:
            return None
        i = self.columns.index(column)
        found = [_plain(cells[i]) for cells in self.cells]
        missing = [row for row, text in zip(self.rows, found, strict=True) if is_missing(text)]
        if column == "group" and len(missing) == len(found):
            return None
        if missing:
            raise ValueError(
                f"{self.name}, row {missing[0]}: {column} is missing. Fill it in, or delete the "
                "row."
            )
        return found

    def numbers(self, columns: Sequence[str]) -> np.ndarray:
        """Return columns of numbers, (n_rows, n_columns)."""
        places = [self.columns.index(name) for name in columns]
        values = np.empty((len(self.cells), len(places)))
        for out, row, cells in zip(values, self.rows, self.cells, strict=True):
            for j, place in enumerate(places):
                text = cells[place]
                try:
                    out[j] = float(text.replace(",", ".") if self.decimal_comma else text)
                except ValueError:
                    raise ValueError(
                        f"{self.name}, row {row}: {columns[j]} is {text!r}; expected a number, or "
                        f"nan for a missing value. Columns other than {', '.join(_RESERVED)} hold "
                        "samples: delete those that do not."
                    ) from None
        return values


def _plain(cell: str) -> str:
    return unicodedata.normalize("NFC", cell.strip())


def _read_csv(path: Path, labelled: bool) -> Bunch:
    table = _Table.read(path)
    if labelled and "label" not in table.columns:
        raise ValueError(
            f"{path.name} has no column label; it has {first_few(table.columns, 8)}. Expected a "
            "head with label, optionally group, and numbered columns for the samples of a window; "
            "or label, window, and a column for each channel."
        )
    return _of_samples(table) if "window" in table.columns else _of_windows(table)


def _bunch(table: _Table, X: np.ndarray, y: list[str] | None, groups: list[str] | None) -> Bunch:
    return Bunch(
        X=X,
        y=None if y is None else np.array(y),
        groups=None if groups is None else np.array(groups),
        sfreq=None,
        ch_names=None,
        ch_kinds=None,
        window=np.arange(len(X)),
        onset=None,
        groups_from=f"column 'group' of {table.name}",
    )


def _of_windows(table: _Table) -> Bunch:
    """Read a row for each window, of one channel."""
    samples = [name for name in table.columns if name not in ("label", "group")]
    numbered = [re.fullmatch(r"(.*?)(\d+)", name) for name in samples]
    previous: tuple[str, int] | None = None
    for name, match in zip(samples, numbered, strict=True):
        here = None if match is None else (match[1], int(match[2]))
        if here is None or (previous and here != (previous[0], previous[1] + 1)):
            raise ValueError(
                f"{table.name}: the column {name!r} is not the next sample. If a row is a window, "
                "all columns but label and group are its samples in order, with successive "
                "numbers: 0, 1, 2, or s1, s2, s3. If a row is a sample, add a column window with "
                "the name of its window. A whole recording is read from EDF, FIF and other formats "
                "of recordings: save it as FIF with mne.io.RawArray."
            )
        previous = here
    if len(samples) < 2:
        raise ValueError(
            f"{table.name} has {len(samples)} column(s) of samples; expected at least two."
        )
    X = single_if_exact(table.numbers(samples))[:, None]
    return _bunch(table, X, table.text("label"), table.text("group"))


def _of_samples(table: _Table) -> Bunch:
    """Read a row for each sample, with a column for each channel."""
    ch_names = [name for name in table.columns if name not in _RESERVED]
    if not ch_names:
        raise ValueError(f"{table.name} has no column besides {', '.join(table.columns)}.")
    names = table.text("window") or []
    starts = [0, *(i for i in range(1, len(names)) if names[i] != names[i - 1])]
    firsts = [names[i] for i in starts]
    if len(set(firsts)) < len(firsts):
        again = next(i for k, i in enumerate(starts) if names[i] in firsts[:k])
        raise ValueError(
            f"{table.name}, row {table.rows[again]}: window {names[again]!r} begins again. Rows of "
            "a window must follow each other, and two windows need two names."
        )
    lengths = np.diff([*starts, len(names)])
    if odd := [i for i, n in enumerate(lengths) if n != lengths[0]]:
        raise ValueError(
            f"{table.name}: window {firsts[odd[0]]!r} has {lengths[odd[0]]} rows, and "
            f"{firsts[0]!r} has {lengths[0]}; expected the same length for all windows."
        )
    X = table.numbers(ch_names).reshape(len(starts), -1, len(ch_names)).swapaxes(1, 2)
    y, groups = (_constant(table, column, firsts, int(lengths[0])) for column in ("label", "group"))
    bunch = _bunch(table, np.ascontiguousarray(single_if_exact(X)), y, groups)
    bunch.update(ch_names=ch_names, window=np.array(firsts))
    if "time" in table.columns:
        times = table.numbers(["time"]).reshape(len(starts), -1)
        bunch.update(sfreq=_rate(table.name, firsts, times), onset=times[:, 0])
    return bunch


def _constant(table: _Table, column: str, windows: list[str], n: int) -> list[str] | None:
    """Return the value of each window in a column, which must not change within it."""
    found = table.text(column)
    if found is None:
        return None
    for i, window in enumerate(windows):
        if len(values := dict.fromkeys(found[i * n : (i + 1) * n])) > 1:
            raise ValueError(
                f"{table.name}: window {window!r} has the {column} {' and '.join(values)}; "
                f"expected one {column} in all rows of a window."
            )
    return found[::n]


def _rate(name: str, windows: list[str], times: np.ndarray) -> float:
    """Return the sampling rate in Hz of times in seconds, (n_windows, n_times)."""
    steps = np.diff(times, axis=1)
    step = float(np.median(steps)) if steps.size else 0.0
    uneven = ~(np.abs(steps - step) <= _JITTER * step).all(axis=1)
    if not step > 0 or uneven.any():
        window = windows[int(np.argmax(uneven))]
        raise ValueError(
            f"{name}: the times of window {window!r} do not follow each other at one interval "
            f"({step:g} s in the median). Expected seconds, evenly spaced within each window: "
            "interpolate the samples, or omit the column time and pass --sfreq."
        )
    # The mean is not affected by rounded times.
    return float(f"{(times.shape[1] - 1) / np.mean(times[:, -1] - times[:, 0]):.6g}")
