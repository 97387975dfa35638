"""Which stretches of a channel are usable, and what is wrong with the others."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

# Fates of a second of a channel, in this order wherever an array holds one number for each.
FATES = ("kept", "flat", "clipped", "missing", "short")
_FLAT, _CLIPPED, _MISSING = 1, 2, 3

FLAT_S = 0.5
CLIPPED_TIMES = 5
CLIPPED_MARGIN_S = 0.25
# Steps below this share of a channel's typical standard deviation count as no change.
FLAT_TOLERANCE = 1e-5


# MNE's convention is a text that begins with "bad". A text may also be one of several in a list, or
# have such a mark behind other words.
_BAD = re.compile(r"(?:^|[\x14\n,;|/])\s*bad|(?<![^\W_])bad_", re.IGNORECASE)


def marks_bad(text: str) -> bool:
    """Whether the text of an annotation marks data as bad: "BAD_muscle", "Movement; bad"."""
    return _BAD.search(text) is not None


def runs(mask: np.ndarray) -> np.ndarray:
    """Where a 1-D mask is true: (n_runs, 2), each ``[start, stop)``."""
    edges = np.flatnonzero(np.diff(mask.view(np.int8), prepend=0, append=0))
    return edges.reshape(-1, 2)


def flat_runs(values: np.ndarray, tolerance: float, n_flat: int) -> np.ndarray:
    """Stretches of at least `n_flat` samples without a step above `tolerance`; (n_runs, 2)."""
    with np.errstate(invalid="ignore"):
        found = runs(np.abs(np.diff(values)) <= tolerance)
    found[:, 1] += 1  # n equal steps lie between n + 1 equal samples
    return found[found[:, 1] - found[:, 0] >= n_flat]


def n_flat(sfreq: float) -> int:
    """Equal samples in a row that make a channel flat."""
    return max(2, math.ceil(FLAT_S * sfreq))


def reach(sfreq: float) -> int:
    """How many samples on either side of a sample may change the verdict on it."""
    return max(n_flat(sfreq), round(CLIPPED_MARGIN_S * sfreq) + CLIPPED_TIMES)


@dataclass
class Survey:
    """Statistics of a whole recording that the check of each sample needs.

    Attributes
    ----------
    low, high : ndarray of shape (n_chans,)
        Range of the values; NaN where all are missing.
    typical : ndarray of shape (n_chans,)
        Median of the standard deviations of its seconds, without the flat ones.
    """

    low: np.ndarray
    high: np.ndarray
    typical: np.ndarray


def judge(values: np.ndarray, survey: Survey, sfreq: float) -> np.ndarray:
    """Flaws of each value.

    Missing is what is not finite. Flat is what does not change for half a second. Clipped is
    what stays at the lowest or highest value of its channel for five samples or more, with a
    quarter of a second before and after. Plateaus elsewhere are left alone, as pulse and
    pressure waves have them, and so has a slow signal of few bits.

    Parameters
    ----------
    values : ndarray of shape (n_chans, n_times)
        NaN where missing.
    survey : Survey
    sfreq : float
        Hz.

    Returns
    -------
    ndarray of shape (n_chans, n_times), uint8
        0 for a usable value, else 1 (flat), 2 (clipped) or 3 (missing). What is missing counts
        as that alone; what is flat is not counted as clipped.
    """
    codes = np.zeros(values.shape, np.uint8)
    margin = round(CLIPPED_MARGIN_S * sfreq)
    for channel, (row, code) in enumerate(zip(values, codes, strict=True)):
        low, high = survey.low[channel], survey.high[channel]
        for rail in (low, high) if low < high else ():
            for start, stop in runs(row == rail).tolist():
                if stop - start >= CLIPPED_TIMES:
                    code[max(0, start - margin) : stop + margin] = _CLIPPED
        tolerance = FLAT_TOLERANCE * survey.typical[channel]
        for start, stop in flat_runs(row, tolerance, n_flat(sfreq)).tolist():
            code[start:stop] = _FLAT
        code[np.isnan(row)] = _MISSING
    return codes


class Stretches:
    """Collects, piece by piece, where each channel is usable, and counts the rest.

    Attributes
    ----------
    counts : ndarray of shape (n_chans, 4), int64
        Samples that are usable, flat, clipped, missing.
    """

    def __init__(self, n_chans: int) -> None:
        self.counts = np.zeros((n_chans, 4), np.int64)
        self._edges: list[list[list[int]]] = [[] for _ in range(n_chans)]

    def add(self, codes: np.ndarray, start: int) -> None:
        """Take in the verdicts on the samples from `start` on, where the last piece ended."""
        for channel, (code, edges) in enumerate(zip(codes, self._edges, strict=True)):
            self.counts[channel] += np.bincount(code, minlength=4)
            for first, last in (runs(code == 0) + start).tolist():
                if edges and edges[-1][1] == first:
                    edges[-1][1] = last
                else:
                    edges.append([first, last])

    def on_grid(self, ratio: Fraction, n_out: int, min_stretch: int) -> list[np.ndarray]:
        """Usable stretches on another grid, for each channel, without the short ones.

        Parameters
        ----------
        ratio : Fraction
            Old samples for one new sample.
        n_out, min_stretch : int
            Samples of the new grid, and of the shortest stretch on it.

        Returns
        -------
        list of ndarray of shape (n_stretches, 2), int64
        """
        good = []
        for edges in self._edges:
            old = np.array(edges, np.int64).reshape(-1, 2) * ratio.denominator
            first = -(-old[:, 0] // ratio.numerator)
            last = (old[:, 1] - ratio.denominator) // ratio.numerator + 1
            new = np.stack([first, np.minimum(last, n_out)], axis=1)
            good.append(new[new[:, 1] - new[:, 0] >= min_stretch])
        return good
