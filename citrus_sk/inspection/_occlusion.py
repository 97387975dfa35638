"""What a model's score loses when a part of a window is covered."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ._model import FittedModel

_CHUNK_SAMPLES = 2**23  # changed windows that stand in memory at once


def stretches(n_times: int, stretch: float) -> list[slice]:
    """Overlapping stretches of one length, each shifted by half of it; the last ends the window."""
    length = max(1, round(stretch * n_times))
    starts = list(range(0, n_times - length + 1, max(1, length // 2)))
    if starts[-1] + length < n_times:
        starts.append(n_times - length)
    return [slice(start, start + length) for start in starts]


def occlude(
    model: FittedModel,
    n_passed: int,
    X: np.ndarray,
    references: list[np.ndarray] | None,
    columns: np.ndarray,
    scores: np.ndarray,
    stretch: float,
) -> np.ndarray:
    """Loss of score with each stretch of each channel covered, as a mean over those of a sample.

    Parameters
    ----------
    model : FittedModel
    n_passed : int
        Steps that the windows have passed.
    X : ndarray of shape (n_windows, n_channels, n_times)
    references : list of ndarray of shape (n_references, n_channels, n_times) or None
        Of each window, whose stretches are put in its place; None draws a line across the gap.
    columns, scores : ndarray of shape (n_windows,)
        Output that each window is asked about, and its score.
    stretch : float
        Share of the window that is covered.

    Returns
    -------
    ndarray of shape (n_windows, n_channels, n_times)
    """
    places = stretches(X.shape[2], stretch)
    covered = np.zeros(X.shape[2])
    for place in places:
        covered[place] += 1
    values = np.zeros(X.shape)
    for number, (window, column) in enumerate(zip(X, columns, strict=True)):
        fills = [None] if references is None else list(references[number])
        for fill in fills:
            losses = scores[number] - _scores_without(model, n_passed, window, fill, places, column)
            for loss, (channel, place) in zip(losses, _cells(window, places), strict=True):
                values[number, channel, place] += loss / len(fills)
    return values / covered


def _cells(window: np.ndarray, places: list[slice]) -> Iterator[tuple[int, slice]]:
    return ((channel, place) for channel in range(len(window)) for place in places)


def _scores_without(
    model: FittedModel,
    n_passed: int,
    window: np.ndarray,
    fill: np.ndarray | None,
    places: list[slice],
    column: int,
) -> np.ndarray:
    """Score of the window with one cell after another covered."""
    cells, found = list(_cells(window, places)), []
    at_once = max(1, _CHUNK_SAMPLES // window.size)
    for start in range(0, len(cells), at_once):
        part = cells[start : start + at_once]
        changed = np.repeat(window[None], len(part), axis=0)
        for copy, (channel, place) in zip(changed, part, strict=True):
            copy[channel, place] = (
                _line(window[channel], place) if fill is None else fill[channel, place]
            )
        found.append(model.scores(changed, n_passed)[:, column])
    return np.concatenate(found)


def _line(signal: np.ndarray, place: slice) -> np.ndarray:
    """A straight line between the neighbours of a gap; level where it has only one."""
    left = signal[place.start - 1] if place.start > 0 else signal[place.stop]
    right = signal[place.stop] if place.stop < len(signal) else left
    return np.linspace(left, right, place.stop - place.start + 2, dtype=signal.dtype)[1:-1]
