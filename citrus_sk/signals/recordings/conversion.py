"""Recordings onto the corpus's rate, piece by piece."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, BinaryIO

import numpy as np
from scipy.signal import resample_poly

from ..resampling import HALF_WIDTH, resample
from .quality import FATES, Stretches, Survey, judge, reach
from .readers import Block, Source

# int16 may be this coarse, in typical standard deviations; where an outlier or an offset would
# make it coarser, a recording is kept as float32.
COARSEST_STEP = 1 / 20
# The resampling filter overshoots at an edge, by less than this.
OVERSHOOT = 1.25
INT16_MAX = 32767
# Values and samples of a piece: what is held in memory at a time is a small multiple of these.
PIECE_VALUES = 2**19
PIECE_TIMES = 2**17
ALIGNMENT = 64  # bytes
_POLY_REACH = 12  # samples on either side that scipy.signal.resample_poly looks at, and some more

# Seconds of each fate for (data set, subject, modality).
Seconds = dict[tuple[str, str, str], np.ndarray]


@dataclass(frozen=True)
class Settings:
    """Settings that a conversion depends on, beside the file.

    Attributes
    ----------
    sfreq : float
        Hz.
    modality : str or None
    min_stretch_s : float
        Seconds.
    """

    sfreq: float
    modality: str | None
    min_stretch_s: float

    @property
    def min_stretch(self) -> int:
        """Samples of the shortest usable stretch."""
        return max(2, math.ceil(self.min_stretch_s * self.sfreq - 1e-9))


class _Grid:
    """How a block is cut: every piece begins at a sample of the old grid and of the new one."""

    def __init__(self, block: Block, sfreq: float) -> None:
        ratio = Fraction(block.sfreq).limit_denominator(1000)
        ratio /= Fraction(sfreq).limit_denominator(1000)
        self.ratio = ratio.limit_denominator(10_000)
        self.p, self.q = self.ratio.numerator, self.ratio.denominator
        self.n_times, self.n_out = block.n_times, -(-block.n_times * self.q // self.p)
        filter_reach = math.ceil(1.5 * HALF_WIDTH * max(1.0, self.p / self.q))
        n_margin = -(-max(reach(block.sfreq), filter_reach) // self.p)
        n_times = min(PIECE_TIMES, PIECE_VALUES // len(block.ch_names))
        n_periods = max(2 * n_margin, n_times // max(self.p, self.q))
        self._margin, self._step = n_margin * self.p, n_periods * self.p

    def pieces(self) -> Iterator[tuple[int, int, int, int]]:
        """``(start, stop, low, high)``: a piece, and with what around it it has to be read."""
        for start in range(0, self.n_times, self._step):
            stop = min(start + self._step, self.n_times)
            low, high = max(0, start - self._margin), min(self.n_times, stop + self._margin)
            yield start, stop, low, high

    def resample(self, values: np.ndarray, start: int, stop: int, low: int) -> np.ndarray:
        """The new samples of a piece, from values without gaps that begin at `low`."""
        last = self.n_out if stop == self.n_times else stop // self.p * self.q
        n_new, first = last - start // self.p * self.q, (start - low) // self.p * self.q
        if self.ratio > 1 and values.shape[1] > 1:
            values = np.ascontiguousarray(values, np.float32)
            return resample(values, self.p / self.q, n_new, first=first)
        if self.ratio < 1 and values.shape[1] > 1:
            n_pad = -(-_POLY_REACH // self.p)
            ends = n_pad * self.p, n_pad * self.p
            values = np.pad(values, ((0, 0), ends), mode="reflect", reflect_type="odd")
            values = resample_poly(values, self.q, self.p, axis=1)
            first += n_pad * self.q
        return values[:, first : first + n_new]


def _read(block: Block, start: int, stop: int) -> np.ndarray:
    """Values as floats that are exact for what files hold; NaN for whatever is not finite."""
    values = block.read(start, stop)
    values = values.astype(np.result_type(values.dtype, np.float32), copy=False)
    finite = np.isfinite(values)
    return values if finite.all() else np.where(finite, values, np.nan)


def _survey(block: Block, grid: _Grid) -> Survey:
    n_chans, second = len(block.ch_names), max(2, round(block.sfreq))
    low, high = np.full(n_chans, np.nan), np.full(n_chans, np.nan)
    spreads: list[list[float]] = [[] for _ in range(n_chans)]
    for start, stop, _, _ in grid.pieces():
        values = _read(block, start, stop)
        low = np.fmin(low, np.fmin.reduce(values, axis=1))
        high = np.fmax(high, np.fmax.reduce(values, axis=1))
        length = min(second, stop - start)
        seconds = values[:, : (stop - start) // length * length].reshape(n_chans, -1, length)
        with np.errstate(over="ignore", invalid="ignore"):
            for row, spread in zip(spreads, seconds.std(axis=2), strict=True):
                row.extend(spread.tolist())
    typical = np.zeros(n_chans)
    for channel, of_channel in enumerate(map(np.array, spreads)):
        # A constant has a tiny spread by rounding.
        alive = of_channel[of_channel > 1e-6 * (high[channel] - low[channel])]
        typical[channel] = np.median(alive) if len(alive) else 0.0
    return Survey(low, high, typical)


def _fill(values: np.ndarray) -> np.ndarray:
    """Straight lines where values are missing, so that no filter spreads the gap."""
    missing = np.isnan(values)
    if not missing.any():
        return values
    values = values.copy()
    times = np.arange(values.shape[1])
    for row, gaps in zip(values, missing, strict=True):
        row[gaps] = 0.0 if gaps.all() else np.interp(times[gaps], times[~gaps], row[~gaps])
    return values


class _Part:
    """A block on its way into the file.

    Attributes
    ----------
    as_it_is : bool
        Whether the values are stored as they are in the source.
    step : ndarray of shape (n_chans,) or None
        What the values are divided by to be int16; None if they have to be float32.
    """

    def __init__(self, block: Block, sfreq: float) -> None:
        self.block = block
        self.grid = _Grid(block, sfreq)
        self.survey = _survey(block, self.grid)
        self.as_it_is = block.stored is not None and self.grid.ratio == 1
        self.step = self._step()

    def _step(self) -> np.ndarray | None:
        if self.as_it_is:
            return np.ones(len(self.block.ch_names)) if self.block.stored == np.int16 else None
        peak = np.nan_to_num(np.fmax(np.abs(self.survey.low), np.abs(self.survey.high)))
        step = peak * (1 if self.grid.ratio == 1 else OVERSHOOT) / INT16_MAX
        typical = self.survey.typical
        if np.any(step > COARSEST_STEP * np.where(typical > 0, typical, np.inf)):
            return None
        return np.where(step > 0, step, 1.0)

    def convert(self) -> Iterator[tuple[int, np.ndarray, int, np.ndarray]]:
        """Piece by piece: where it begins, the verdicts; the same for the new grid, the values."""
        grid = self.grid
        for start, stop, low, high in grid.pieces():
            values = _read(self.block, low, high)
            codes = judge(values, self.survey, self.block.sfreq)[:, start - low : stop - low]
            new = grid.resample(_fill(values), start, stop, low)
            yield start, codes, start // grid.p * grid.q, new


def _encoded(values: np.ndarray, step: np.ndarray | None) -> np.ndarray:
    if step is None:
        return values.astype(np.float32)
    return np.rint(values / step[:, None]).clip(-INT16_MAX - 1, INT16_MAX).astype(np.int16)


class Writer:
    """Writes the recordings of one file, end to end, and describes them.

    Parameters
    ----------
    settings : Settings
    out : binary file
        Gets the values, each recording as a C-contiguous (n_chans, n_times).

    Attributes
    ----------
    end : int
        Bytes of the file that count.
    entries : list of dict
        Descriptions of the recordings of which something is usable, in what JSON can hold.
    seconds : dict
        For (data set, subject, modality) the channel-seconds of each of `FATES`.
    """

    def __init__(self, settings: Settings, out: BinaryIO) -> None:
        self.settings, self.out, self.end = settings, out, 0
        self.entries: list[dict[str, Any]] = []
        self.seconds: Seconds = {}

    def add(self, source: Source) -> None:
        """Judge a recording, and write it if any of it is usable."""
        parts = [_Part(block, self.settings.sfreq) for block in source.blocks if block.n_times]
        if not parts:
            return
        in_place = source.in_place and parts[0].as_it_is
        steps = [part.step for part in parts]
        if any(step is None for step in steps):
            steps = [None] * len(parts)  # an array has one type
        names = [name for part in parts for name in part.block.ch_names]
        modalities = [modality for part in parts for modality in part.block.modalities]
        order = list(range(len(names)))
        if not in_place:  # A modality's channels side by side: selecting it needs no copy.
            order.sort(key=lambda channel: modalities[channel])
        n_times = min(part.grid.n_out for part in parts)
        good: list[np.ndarray] = []
        scale: list[float] = []
        for part, step in zip(parts, steps, strict=True):
            rows = [order.index(len(good) + i) for i in range(len(part.block.ch_names))]
            stretches = Stretches(len(rows))
            for start, codes, first, values in part.convert():
                stretches.add(codes, start)
                if not in_place:
                    self._write(_encoded(values, step), rows, first, n_times)
            found = stretches.on_grid(part.grid.ratio, n_times, self.settings.min_stretch)
            self._count(source, part.block, stretches.counts, found)
            good += found
            scale += (part.block.scale * (1.0 if step is None else step)).tolist()
        if not any(map(len, good)):
            return
        dtype = np.dtype(np.float32 if steps[0] is None else np.int16)
        self.entries.append(
            {
                "name": source.name,
                "subject": source.subject,
                "dataset": source.dataset,
                "ch_names": [names[i] for i in order],
                "modalities": [modalities[i] for i in order],
                "scale": [scale[i] for i in order],
                "good": [good[i].tolist() for i in order],
                "dtype": dtype.name,
                "shape": [len(order), n_times],
                "offset": None if in_place else self.end,
            }
        )
        if not in_place:
            n_bytes = len(order) * n_times * dtype.itemsize
            self.end += -(-n_bytes // ALIGNMENT) * ALIGNMENT

    def _write(self, values: np.ndarray, rows: list[int], first: int, n_times: int) -> None:
        values = values[:, : max(0, n_times - first)]
        for row, piece in zip(rows, values, strict=True):
            self.out.seek(self.end + (row * n_times + first) * values.itemsize)
            self.out.write(piece.tobytes())

    def _count(
        self, source: Source, block: Block, counts: np.ndarray, good: list[np.ndarray]
    ) -> None:
        for channel, modality in enumerate(block.modalities):
            usable, flat, clipped, missing = counts[channel] / block.sfreq
            kept = np.diff(good[channel], axis=1).sum() / self.settings.sfreq
            # Samples of two grids: a stretch may seem longer on the new one, by less than one.
            short = max(0.0, usable - kept)
            key = (source.dataset, source.subject, modality)
            fates = np.array([kept, flat, clipped, missing + source.gap_s, short])
            self.seconds[key] = self.seconds.get(key, np.zeros(len(FATES))) + fates
