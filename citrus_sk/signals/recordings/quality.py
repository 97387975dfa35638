"""Detection of the usable segments of a channel, and of the flaws of the others."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

# Outcomes for a second of a channel, in the order of every array with a number for each.
OUTCOMES = ("kept", "flat", "clipped", "missing", "short")
_FLAT, _CLIPPED, _MISSING = 1, 2, 3

FLAT_S = 0.5
CLIPPED_TIMES = 5
CLIPPED_MARGIN_S = 0.25
# Steps below this share of a channel's typical standard deviation count as no change.
FLAT_TOLERANCE = 1e-5


# By MNE's convention the text begins with "bad". The text may also be one of several in a list, or
# the mark may follow other words.
_BAD = re.compile(r"(?:^|[\x14\n,;|/])\s*bad|(?<![^\W_])bad_", re.IGNORECASE)


def marks_bad(text: str) -> bool:
    """Return True if an annotation marks data as bad: "BAD_muscle", "Movement; bad"."""
    return _BAD.search(text) is not None


def runs(mask: np.ndarray) -> np.ndarray:
    """Return the runs ``[start, stop)`` in which a 1-D mask is true, (n_runs, 2)."""
    edges = np.flatnonzero(np.diff(mask.view(np.int8), prepend=0, append=0))
    return edges.reshape(-1, 2)


def flat_runs(values: np.ndarray, tolerance: float, n_flat: int) -> np.ndarray:
    """Segments of at least `n_flat` samples without a step above `tolerance`, (n_runs, 2)."""
    with np.errstate(invalid="ignore"):
        found = runs(np.abs(np.diff(values)) <= tolerance)
    found[:, 1] += 1  # n equal steps lie between n + 1 equal samples
    return found[found[:, 1] - found[:, 0] >= n_flat]


def n_flat(sfreq: float) -> int:
    """Return the number of successive equal samples that make a channel flat."""
    return max(2, math.ceil(FLAT_S * sfreq))


def reach(sfreq: float) -> int:
    """Return the number of samples on either side that the flaw of a sample may depend on."""
    return max(n_flat(sfreq), round(CLIPPED_MARGIN_S * sfreq) + CLIPPED_TIMES)


@dataclass
class Statistics:
    """Statistics of the channels of a whole recording, for the check of each sample.

    Attributes
    ----------
    low, high : ndarray of shape (n_chans,)
        Range of the values; NaN if all are missing.
    typical : ndarray of shape (n_chans,)
        Median of the standard deviations within seconds, without the flat ones.
    """

    low: np.ndarray
    high: np.ndarray
    typical: np.ndarray


def find_flaws(values: np.ndarray, statistics: Statistics, sfreq: float) -> np.ndarray:
    """Return the flaw of each value.

    Values that are not finite are missing. Values that do not change for half a second are flat.
    Values that stay at the lowest or highest value of their channel for five samples or more are
    clipped, with a quarter of a second before and after. Other plateaus are not flaws: pulse and
    pressure waves have them, and slow signals of few bits.

    Parameters
    ----------
    values : ndarray of shape (n_chans, n_times)
        Values; NaN if missing.
    statistics : Statistics
    sfreq : float
        Sampling rate in Hz.

    Returns
    -------
    ndarray of shape (n_chans, n_times), uint8
        0 for a usable value, else 1 (flat), 2 (clipped) or 3 (missing). A value with several
        flaws gets the highest precedence: missing, then flat, then clipped.
    """
    codes = np.zeros(values.shape, np.uint8)
    margin = round(CLIPPED_MARGIN_S * sfreq)
    for channel, (row, code) in enumerate(zip(values, codes, strict=True)):
        low, high = statistics.low[channel], statistics.high[channel]
        for rail in (low, high) if low < high else ():
            for start, stop in runs(row == rail).tolist():
                if stop - start >= CLIPPED_TIMES:
                    code[max(0, start - margin) : stop + margin] = _CLIPPED
        tolerance = FLAT_TOLERANCE * statistics.typical[channel]
        for start, stop in flat_runs(row, tolerance, n_flat(sfreq)).tolist():
            code[start:stop] = _FLAT
        code[np.isnan(row)] = _MISSING
    return codes


class Segments:
    """Usable segments of each channel, collected piece by piece, and counts of the flaws.

    Attributes
    ----------
    counts : ndarray of shape (n_chans, 4), int64
        Numbers of samples that are usable, flat, clipped, missing.
    """

    def __init__(self, n_chans: int) -> None:
        self.counts = np.zeros((n_chans, 4), np.int64)
        self._edges: list[list[list[int]]] = [[] for _ in range(n_chans)]

    def add(self, codes: np.ndarray, start: int) -> None:
        """Add the codes of flaws of the samples from `start`, at which the last piece ended."""
        for channel, (code, edges) in enumerate(zip(codes, self._edges, strict=True)):
            self.counts[channel] += np.bincount(code, minlength=4)
            for first, last in (runs(code == 0) + start).tolist():
                if edges and edges[-1][1] == first:
                    edges[-1][1] = last
                else:
                    edges.append([first, last])

    def resampled(self, ratio: Fraction, n_out: int, min_n_times: int) -> list[np.ndarray]:
        """Return the usable segments of each channel at another rate, without the short ones.

        Parameters
        ----------
        ratio : Fraction
            Old samples per new sample.
        n_out, min_n_times : int
            Samples at the new rate, of the recording and of the shortest segment.

        Returns
        -------
        list of ndarray of shape (n_segments, 2), int64
        """
        good = []
        for edges in self._edges:
            old = np.array(edges, np.int64).reshape(-1, 2) * ratio.denominator
            first = -(-old[:, 0] // ratio.numerator)
            last = (old[:, 1] - ratio.denominator) // ratio.numerator + 1
            new = np.stack([first, np.minimum(last, n_out)], axis=1)
            good.append(new[new[:, 1] - new[:, 0] >= min_n_times])
        return good
