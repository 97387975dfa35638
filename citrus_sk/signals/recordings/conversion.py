"""Conversion of recordings to the rate of the corpus, piece by piece."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, BinaryIO

import numpy as np
from scipy.signal import resample_poly

from ..resampling import HALF_WIDTH, resample
from .quality import OUTCOMES, Segments, Statistics, find_flaws, reach
from .readers import Block, Source

# Coarsest step of int16, in typical standard deviations. If an outlier or an offset would make it
# coarser, a recording is stored as float32.
COARSEST_STEP = 1 / 20
# Upper limit of the overshoot of the resampling filter at an edge, as a factor.
OVERSHOOT = 1.25
INT16_MAX = 32767
# Values and samples of a piece; the memory in use is a small multiple of these.
PIECE_VALUES = 2**19
PIECE_TIMES = 2**17
ALIGNMENT = 64  # bytes
_POLY_REACH = 12  # samples on either side that scipy.signal.resample_poly uses, with a margin

# Channel-seconds of each of `OUTCOMES`, by (data set, subject, modality).
Seconds = dict[tuple[str, str, str], np.ndarray]


@dataclass(frozen=True)
class Settings:
    """Settings of a conversion.

    Attributes
    ----------
    sfreq : float
        Sampling rate of the corpus in Hz.
    modality : str or None
        Modality of all channels that hold a signal; None finds it by types and names.
    min_duration_s : float
        Duration of the shortest usable segment in seconds.
    """

    sfreq: float
    modality: str | None
    min_duration_s: float

    @property
    def min_n_times(self) -> int:
        """Samples of the shortest usable segment."""
        return max(2, math.ceil(self.min_duration_s * self.sfreq - 1e-9))


class _Resampler:
    """Resampling of a block in pieces, each of which begins at a sample of both rates."""

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
        """Yield pieces as ``(start, stop, low, high)``, to be read from `low` to `high`."""
        for start in range(0, self.n_times, self._step):
            stop = min(start + self._step, self.n_times)
            low, high = max(0, start - self._margin), min(self.n_times, stop + self._margin)
            yield start, stop, low, high

    def resample(self, values: np.ndarray, start: int, stop: int, low: int) -> np.ndarray:
        """Return the new samples of a piece, from values without gaps that begin at `low`."""
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
    """Return values as floats that represent those of the file exactly; not finite is NaN."""
    values = block.read(start, stop)
    values = values.astype(np.result_type(values.dtype, np.float32), copy=False)
    finite = np.isfinite(values)
    return values if finite.all() else np.where(finite, values, np.nan)


def _statistics(block: Block, resampler: _Resampler) -> Statistics:
    n_chans, second = len(block.ch_names), max(2, round(block.sfreq))
    low, high = np.full(n_chans, np.nan), np.full(n_chans, np.nan)
    spreads: list[list[float]] = [[] for _ in range(n_chans)]
    for start, stop, _, _ in resampler.pieces():
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
        # Rounding gives constants a tiny standard deviation.
        varying = of_channel[of_channel > 1e-6 * (high[channel] - low[channel])]
        typical[channel] = np.median(varying) if len(varying) else 0.0
    return Statistics(low, high, typical)


def _fill(values: np.ndarray) -> np.ndarray:
    """Interpolate missing values linearly, so that filters do not spread the gap."""
    missing = np.isnan(values)
    if not missing.any():
        return values
    values = values.copy()
    times = np.arange(values.shape[1])
    for row, gaps in zip(values, missing, strict=True):
        row[gaps] = 0.0 if gaps.all() else np.interp(times[gaps], times[~gaps], row[~gaps])
    return values


class Conversion:
    """Conversion of a block to another rate, and the flaws of its values.

    Parameters
    ----------
    block : Block
    sfreq : float
        New rate in Hz.

    Attributes
    ----------
    statistics : Statistics
        Range and typical standard deviation of each channel.
    unchanged : bool
        Whether the values are stored as in the source.
    step : ndarray of shape (n_chans,) or None
        Divisor that makes the values int16; None if they are stored as float32.
    """

    def __init__(self, block: Block, sfreq: float) -> None:
        self.block = block
        self.resampler = _Resampler(block, sfreq)
        self.statistics = _statistics(block, self.resampler)
        self.unchanged = block.stored is not None and self.resampler.ratio == 1
        self.step = self._step()

    def _step(self) -> np.ndarray | None:
        if self.unchanged:
            return np.ones(len(self.block.ch_names)) if self.block.stored == np.int16 else None
        peak = np.nan_to_num(np.fmax(np.abs(self.statistics.low), np.abs(self.statistics.high)))
        step = peak * (1 if self.resampler.ratio == 1 else OVERSHOOT) / INT16_MAX
        typical = self.statistics.typical
        if np.any(step > COARSEST_STEP * np.where(typical > 0, typical, np.inf)):
            return None
        return np.where(step > 0, step, 1.0)

    def convert(self) -> Iterator[tuple[int, np.ndarray, int, np.ndarray]]:
        """Yield pieces as ``(start, codes of flaws, start at the new rate, new values)``."""
        resampler = self.resampler
        for start, stop, low, high in resampler.pieces():
            values = _read(self.block, low, high)
            codes = find_flaws(values, self.statistics, self.block.sfreq)[
                :, start - low : stop - low
            ]
            new = resampler.resample(_fill(values), start, stop, low)
            yield start, codes, start // resampler.p * resampler.q, new


def _encoded(values: np.ndarray, step: np.ndarray | None) -> np.ndarray:
    if step is None:
        return values.astype(np.float32)
    return np.rint(values / step[:, None]).clip(-INT16_MAX - 1, INT16_MAX).astype(np.int16)


class Writer:
    """Writer of the converted recordings of one file, and of their descriptions.

    Parameters
    ----------
    settings : Settings
    out : binary file
        File for the values, each recording as a C-contiguous (n_chans, n_times).

    Attributes
    ----------
    end : int
        Number of bytes that belong to recordings; any later ones are left over.
    entries : list of dict
        Descriptions, which JSON can hold, of the recordings in which anything is usable.
    seconds : dict
        Channel-seconds of each of `OUTCOMES`, by (data set, subject, modality).
    """

    def __init__(self, settings: Settings, out: BinaryIO) -> None:
        self.settings, self.out, self.end = settings, out, 0
        self.entries: list[dict[str, Any]] = []
        self.seconds: Seconds = {}

    def add(self, source: Source) -> None:
        """Find the usable segments of a recording, and write it if there are any."""
        conversions = [
            Conversion(block, self.settings.sfreq) for block in source.blocks if block.n_times
        ]
        if not conversions:
            return
        in_place = source.in_place and conversions[0].unchanged
        steps = [conversion.step for conversion in conversions]
        if any(step is None for step in steps):
            steps = [None] * len(conversions)  # an array has one dtype
        names = [name for conversion in conversions for name in conversion.block.ch_names]
        modalities = [
            modality for conversion in conversions for modality in conversion.block.modalities
        ]
        order = list(range(len(names)))
        if not in_place:  # Channels of one modality side by side can be selected without a copy.
            order.sort(key=lambda channel: modalities[channel])
        n_times = min(conversion.resampler.n_out for conversion in conversions)
        good: list[np.ndarray] = []
        scale: list[float] = []
        for conversion, step in zip(conversions, steps, strict=True):
            rows = [order.index(len(good) + i) for i in range(len(conversion.block.ch_names))]
            segments = Segments(len(rows))
            for start, codes, first, values in conversion.convert():
                segments.add(codes, start)
                if not in_place:
                    self._write(_encoded(values, step), rows, first, n_times)
            found = segments.resampled(
                conversion.resampler.ratio, n_times, self.settings.min_n_times
            )
            self._count(source, conversion.block, segments.counts, found)
            good += found
            scale += (conversion.block.scale * (1.0 if step is None else step)).tolist()
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
            # By rounding, a segment may be longer at the new rate, by less than a sample.
            short = max(0.0, usable - kept)
            key = (source.dataset, source.subject, modality)
            outcomes = np.array([kept, flat, clipped, missing + source.gap_s, short])
            self.seconds[key] = self.seconds.get(key, np.zeros(len(OUTCOMES))) + outcomes
