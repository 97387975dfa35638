"""The random kernels compiled by numba: a bank pools each response while it is in the cache.

Loops go over slices, whose indices cannot be negative, because only these are vectorised.
"""

from __future__ import annotations

import numpy as np
from numba import njit

# Sums may be computed in any order, in parallel. NaN and infinity keep their meaning.
_compiled = njit(
    cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz", "arcp"}, error_model="numpy"
)
_N_TAPS = 9


@_compiled
def pool_windows(
    x: np.ndarray,
    positives: np.ndarray,
    channels: np.ndarray,
    dilations: np.ndarray,
    thresholds: np.ndarray,
    n_runs: int,
    softness: float,
    out: np.ndarray,
) -> None:
    """Write the features of `KernelBank` to `out`.

    Parameters
    ----------
    x : ndarray of float32, shape (n_windows, n_chans, n_times)
    positives : ndarray of int64, shape (n_kernels, 3)
        The three positive taps of each kernel.
    channels : ndarray of bool, shape (n_dilations, n_kernels, n_chans)
    dilations : ndarray of int64, shape (n_dilations,)
    thresholds : ndarray of float32, shape (n_dilations, n_kernels, n_thresholds)
    n_runs : int
        Number of thresholds for which longest runs are pooled: 0 or 1.
    softness : float
        Length of the ramp at a threshold.
    out : ndarray of float32, shape (n_windows, n_features)
        Shares, then longest runs.
    """
    n_chans, n_times = x.shape[1:]
    n_dilations, n_kernels, n_thresholds = thresholds.shape
    margin = _N_TAPS // 2 * dilations.max()
    padded = np.zeros((n_chans, n_times + 2 * margin), np.float32)
    common = np.empty((n_chans, n_times), np.float32)
    response = np.empty(n_times, np.float32)
    ramp = np.float32(softness)
    runs = n_dilations * n_kernels * n_thresholds  # the place of the first of them
    for window in range(len(x)):
        padded[:, margin : margin + n_times] = x[window]
        for i in range(n_dilations):
            first = margin - _N_TAPS // 2 * dilations[i]
            _sum_of_taps(padded, first, dilations[i], common)
            for kernel in range(n_kernels):
                starts = first + dilations[i] * positives[kernel]
                _respond(padded, common, starts, channels[i, kernel], response)
                for j in range(n_thresholds):
                    foot = thresholds[i, kernel, j] - ramp / np.float32(2)
                    place = (i * n_thresholds + j) * n_kernels + kernel
                    out[window, place] = _share_above(response, foot, ramp)
                    if j < n_runs:
                        run = _longest_run(response, foot + ramp)
                        out[window, runs + i * n_kernels + kernel] = run / np.float32(n_times)


@_compiled
def _sum_of_taps(padded: np.ndarray, first: int, distance: int, common: np.ndarray) -> None:
    """Negative third of the sum of all taps, which the kernels of a dilation share."""
    n_times = common.shape[1]
    for chan in range(len(common)):
        total = common[chan]
        total[:] = 0
        for tap in range(_N_TAPS):
            start = first + tap * distance
            shifted = padded[chan, start : start + n_times]
            for t in range(n_times):
                total[t] -= shifted[t] / np.float32(3)


@_compiled
def _respond(
    padded: np.ndarray,
    common: np.ndarray,
    starts: np.ndarray,
    channels: np.ndarray,
    response: np.ndarray,
) -> None:
    """Response of a kernel: the taps are 2/3 at three places, and -1/3 elsewhere."""
    n_times = len(response)
    response[:] = 0
    for chan in range(len(channels)):
        if channels[chan]:
            total = common[chan]
            one = padded[chan, starts[0] : starts[0] + n_times]
            two = padded[chan, starts[1] : starts[1] + n_times]
            three = padded[chan, starts[2] : starts[2] + n_times]
            for t in range(n_times):
                response[t] += total[t] + (one[t] + two[t] + three[t])


@_compiled
def _share_above(response: np.ndarray, foot: np.float32, ramp: np.float32) -> np.float32:
    total = np.float32(0)
    for t in range(len(response)):
        total += min(max(response[t] - foot, np.float32(0)), ramp)
    return min(total / (ramp * np.float32(len(response))), np.float32(1))


@_compiled
def _longest_run(response: np.ndarray, top: np.float32) -> int:
    best, last_below = 0, -1
    for t in range(len(response)):
        last_below = last_below if response[t] > top else t
        best = max(best, t - last_below)
    return best
