"""Extraction of windows from the cells of a data frame, a Series or an object array."""

from __future__ import annotations

from typing import Any

import numpy as np

from .missing import is_missing


def unnest(X: Any) -> Any:
    """Return a list of windows ``(n_channels, n_times_i)`` if cells of `X` hold arrays, else `X`.

    A cell of a Series, or of a frame of one column, holds a whole window, ``(n_times,)`` or
    ``(n_channels, n_times)``. In a frame of several columns, such as a nested frame of sktime,
    each column is a channel and a cell holds ``(n_times,)``. A cell array of MATLAB, an object
    array of one row or one column, holds a window in each cell.

    Raises
    ------
    ValueError
        If a cell is missing or holds no signal, or the channels of a window have unequal lengths.
    """
    cells = _cells_of(X)
    if cells is None:
        return X
    return [_window(row, i) for i, row in enumerate(cells)]


def _cells_of(X: Any) -> np.ndarray | None:
    """Return the cells as ``(n_windows, n_columns)``; None if they do not hold arrays."""
    is_frame = hasattr(X, "iloc") and hasattr(X, "to_numpy")
    if not is_frame and not (isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 2):
        return None
    cells = X.to_numpy() if is_frame else X
    if cells.dtype != object or not cells.size or cells.ndim > 2:
        return None
    cells = cells[:, None] if cells.ndim == 1 else cells
    if not any(_is_signal(cell) for cell in cells[0]):
        return None
    is_row = not is_frame and cells.shape[0] == 1 and np.ndim(cells[0, 0]) == 2
    return cells.T if is_row else cells


def _is_signal(cell: Any) -> bool:
    return isinstance(cell, np.ndarray | list | tuple) or hasattr(cell, "iloc")


def _window(cells: np.ndarray, i: int) -> np.ndarray:
    for column, cell in enumerate(cells):
        if not _is_signal(cell):
            content = "missing" if is_missing(cell) else f"{cell!r}, which is not an array"
            raise ValueError(
                f"X holds windows in its cells, but the cell in row {i}, column {column} is "
                f"{content}. Leave this row out of X and y, or fill the cell."
            )
    channels = [np.asarray(cell) for cell in cells]
    if len(channels) == 1:
        return channels[0][None] if channels[0].ndim == 1 else channels[0]
    shapes = [channel.shape for channel in channels]
    if len(set(shapes)) > 1 or channels[0].ndim != 1:
        raise ValueError(
            f"X holds a channel in each column, and the cells of row {i} have the shapes "
            f"{', '.join(map(str, shapes))}; expected (n_times,), equal within a row."
        )
    return np.stack(channels)
