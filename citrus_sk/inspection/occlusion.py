"""Loss of a model's score when a part of a window is covered."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .fitted_model import FittedModel

_CHUNK_SAMPLES = 2**23  # size of the covered windows in memory at once


def stretches(n_times: int, stretch: float) -> list[slice]:
    """Stretches of equal length, shifted by half of it; the last one ends with the window."""
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
    """Loss of score when a stretch of a channel is covered, averaged over those with a sample.

    Parameters
    ----------
    model : FittedModel
        Model to explain.
    n_passed : int
        Number of steps that have transformed the windows already.
    X : ndarray of shape (n_windows, n_channels, n_times)
        Windows.
    references : list of ndarray of shape (n_references, n_channels, n_times) or None
        References of each window, whose stretches replace its own; None draws a line across the
        gap.
    columns, scores : ndarray of shape (n_windows,)
        Output to explain for each window, and its score.
    stretch : float
        Length of a stretch as a fraction of the window.

    Returns
    -------
    ndarray of shape (n_windows, n_channels, n_times)
    """
    spans = stretches(X.shape[2], stretch)
    n_covers = np.zeros(X.shape[2])
    for span in spans:
        n_covers[span] += 1
    values = np.zeros(X.shape)
    for i, (window, column) in enumerate(zip(X, columns, strict=True)):
        fills = [None] if references is None else list(references[i])
        for fill in fills:
            losses = scores[i] - _scores_without(model, n_passed, window, fill, spans, column)
            for loss, (channel, span) in zip(losses, _cells(window, spans), strict=True):
                values[i, channel, span] += loss / len(fills)
    return values / n_covers


def _cells(window: np.ndarray, spans: list[slice]) -> Iterator[tuple[int, slice]]:
    """Every stretch of every channel."""
    return ((channel, span) for channel in range(len(window)) for span in spans)


def _scores_without(
    model: FittedModel,
    n_passed: int,
    window: np.ndarray,
    fill: np.ndarray | None,
    spans: list[slice],
    column: int,
) -> np.ndarray:
    """Scores of the window with one cell after another covered."""
    cells, found = list(_cells(window, spans)), []
    at_once = max(1, _CHUNK_SAMPLES // window.size)
    for start in range(0, len(cells), at_once):
        part = cells[start : start + at_once]
        changed = np.repeat(window[None], len(part), axis=0)
        for copy, (channel, span) in zip(changed, part, strict=True):
            copy[channel, span] = (
                _line(window[channel], span) if fill is None else fill[channel, span]
            )
        found.append(model.scores(changed, n_passed)[:, column])
    return np.concatenate(found)


def _line(signal: np.ndarray, span: slice) -> np.ndarray:
    """Straight line between the neighbours of a gap; constant if it has only one."""
    left = signal[span.start - 1] if span.start > 0 else signal[span.stop]
    right = signal[span.stop] if span.stop < len(signal) else left
    return np.linspace(left, right, span.stop - span.start + 2, dtype=signal.dtype)[1:-1]
