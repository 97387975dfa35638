"""Resampling of signals, to another rate or number of samples.

Pure functions on float32 arrays whose last axis is time. A resampled signal is a linear map of the
signal, ``y = x @ W``, and ``W`` is a band matrix. It is cut into dense blocks of columns, so that
matrix products do the work for any ratio of lengths, not only for ratios of small integers.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy.special import i0

# Grid of the pre-trained weights: 10.24 s at 100 Hz.
GRID_N_TIMES = 1024
GRID_SFREQ = 100.0

# Kaiser-windowed sinc: zero crossings on each side, and the window's shape parameter. With these
# the transition band is 0.8 to 1.2 of the new Nyquist frequency and the ripple is below -100 dB,
# a little above what float32 can show; see benchmarks/resampling.py.
HALF_WIDTH = 16
KAISER_BETA = 10.0
# Output samples in a block. More means fewer calls, but more multiplications by zero.
BLOCK = 32
# At this ratio and above, an integer decimation comes first: its blocks are all equal, so the
# operator stays small for windows of any length.
TWO_STAGES_FROM = 16.0
# Size of the rows that are processed together, which should fit into the processor's cache.
ROWS_BYTES = 2**20

Operator = tuple[tuple[int, int, np.ndarray], ...]


def first_centred(n_in: int, n_out: int) -> int:
    """Return the index of the first sample of a centred output of `n_out` samples.

    It is negative if there are fewer than `n_out`, which are then padded in front.
    """
    surplus = n_in - n_out
    return surplus // 2 if surplus >= 0 else -(-surplus // 2)


def resample(
    x: np.ndarray, step: float, n_out: int, *, first: int = 0, out: np.ndarray | None = None
) -> np.ndarray:
    """Return the values of a signal at times ``(first + k) * step``, for ``k = 0 .. n_out - 1``.

    Parameters
    ----------
    x : ndarray of shape (..., n_in), float32
        Signals, finite, with at least two samples.
    step : float
        Distance between new samples, in old samples: ``n_in / n_out`` for the sample times of
        `scipy.signal.resample`, ``sfreq / target_sfreq`` for another sampling rate.
    n_out : int
        Number of new samples.
    first : int, default=0
        Index of the first new sample to return.
    out : C-contiguous ndarray of shape (..., n_out), float32, default=None
        Array to write to, which must not overlap `x`.

    Returns
    -------
    ndarray of shape (..., n_out), float32
        `out`, or a new array.

    Notes
    -----
    ``step < 1`` interpolates linearly and holds the last sample. ``step > 1`` convolves with
    a Kaiser-windowed sinc whose cutoff is the new Nyquist frequency; beyond its ends the signal
    is extended by odd reflection, ``2 * x[0] - x[-i]``, which preserves trends.
    """
    n_in = x.shape[-1]
    if out is None:
        out = np.empty((*x.shape[:-1], n_out), np.float32)
    rows_in, rows_out = x.reshape(-1, n_in), out.reshape(-1, n_out)
    if step == 1:
        rows_out[:] = rows_in[:, first : first + n_out]
        return out
    stages = operator_stages(n_in, n_out, step, first)
    n_rows = max(1, ROWS_BYTES // (4 * n_in))
    centred = np.empty((min(n_rows, len(rows_in)), n_in), np.float32)
    for start in range(0, len(rows_in), n_rows):
        rows, target = rows_in[start : start + n_rows], rows_out[start : start + n_rows]
        # Without a large offset, sums do not lose precision, and constants stay exact. Any value
        # near the mean serves, so the mean of some 256 samples is enough.
        some = rows[:, :: max(1, n_in // 256)]
        offset = some.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
        rows = np.subtract(rows, offset, out=centred[: len(rows)])
        for operator, n_stage in stages[:-1]:
            rows = _apply(operator, rows, np.empty((len(rows), n_stage), np.float32))
        _apply(stages[-1][0], rows, target)
        target += offset
    return out


def operator_stages(
    n_in: int, n_out: int, step: float, first: int = 0
) -> list[tuple[Operator, int]]:
    """Return the map of `resample` as operators to apply in turn, with their numbers of outputs.

    An operator is a tuple of blocks ``(lo, hi, weights)``; ``x[:, lo:hi] @ weights`` gives the
    next samples.
    """
    if step < TWO_STAGES_FROM:
        return [(_operator(n_in, n_out, step, first), n_out)]
    factor = int(step // 4)
    n_between = (n_in - 1) // factor + 1
    return [
        (_operator(n_in, n_between, float(factor), 0), n_between),
        (_operator(n_between, n_out, step / factor, first), n_out),
    ]


def _apply(operator: Operator, rows: np.ndarray, out: np.ndarray) -> np.ndarray:
    k = 0
    for lo, hi, weights in operator:
        # One product for each row: in a product of matrices, the rounding of a row would depend on
        # its place among the others, and on the number of threads.
        part = out[:, None, k : k + weights.shape[1]]
        np.matmul(rows[:, None, lo:hi], weights, out=part)
        k += weights.shape[1]
    return out


@lru_cache(maxsize=16)
def _operator(n_in: int, n_out: int, step: float, first: int) -> Operator:
    reach = 0 if step < 1 else math.ceil(HALF_WIDTH * step)
    blocks = []
    known: dict[tuple[float, int, int], np.ndarray] = {}
    for k in range(first, first + n_out, BLOCK):
        times = np.arange(k, min(k + BLOCK, first + n_out)) * step
        lo, hi = math.floor(times[0]) - reach, math.floor(times[-1]) + reach + 2
        if lo < 0 or hi > n_in:
            fold = _hold_end if step < 1 else _reflect_ends
            blocks.append(fold(*_taps(times, step, reach), n_in))
            continue
        # Blocks whose first time has the same fractional part have the same weights.
        key = (round(times[0] % 1, 9), hi - lo, len(times))
        if key not in known:
            taps, weights = _taps(times, step, reach)
            known[key] = _dense(taps - lo, weights, hi - lo)
        blocks.append((lo, hi, known[key]))
    return tuple(blocks)


def _taps(times: np.ndarray, step: float, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the samples within reach of each time and their weights, ``(n_times, n_taps)``."""
    left = np.floor(times).astype(int)[:, None]
    taps = left + np.arange(-reach, reach + 2)
    if step < 1:
        to_the_right = times[:, None] - left
        return taps, np.concatenate([1 - to_the_right, to_the_right], axis=1)
    crossings = (taps - times[:, None]) / step
    inside = np.maximum(0.0, 1 - (crossings / HALF_WIDTH) ** 2)
    weights = np.sinc(crossings) * np.where(inside > 0, i0(KAISER_BETA * np.sqrt(inside)), 0)
    return taps, weights / weights.sum(axis=1, keepdims=True)


def _hold_end(taps: np.ndarray, weights: np.ndarray, n_in: int) -> tuple[int, int, np.ndarray]:
    taps = np.minimum(taps, n_in - 1)
    lo = int(taps.min())
    return lo, n_in, _dense(taps - lo, weights, n_in - lo)


def _reflect_ends(taps: np.ndarray, weights: np.ndarray, n_in: int) -> tuple[int, int, np.ndarray]:
    """Express samples beyond the ends by samples of the window.

    Odd reflection at both ends makes the signal periodic up to its trend, so it is defined at
    any distance from a short window.
    """
    last = n_in - 1
    periods, index = np.divmod(taps, 2 * last)
    mirrored = index > last
    index = np.where(mirrored, 2 * last - index, index)
    # That is, x[tap] = +-x[index] + 2 * (mirrored + periods) * x[last] - 2 * periods * x[0]
    to_last = 2 * (weights * (mirrored + periods)).sum(axis=1)
    to_first = -2 * (weights * periods).sum(axis=1)
    lo = 0 if periods.any() else int(index.min())
    hi = n_in if (mirrored + periods).any() else int(index.max()) + 1
    matrix = _dense(index - lo, np.where(mirrored, -weights, weights), hi - lo)
    if lo == 0:
        matrix[0] += to_first
    if hi == n_in:
        matrix[-1] += to_last
    return lo, hi, matrix


def _dense(taps: np.ndarray, weights: np.ndarray, n_rows: int) -> np.ndarray:
    """Return taps and weights ``(n_times, n_taps)`` as a matrix ``(n_rows, n_times)``."""
    matrix = np.zeros((n_rows, len(taps)))
    columns = np.broadcast_to(np.arange(len(taps))[:, None], taps.shape)
    np.add.at(matrix, (taps, columns), weights)
    return matrix.astype(np.float32)
