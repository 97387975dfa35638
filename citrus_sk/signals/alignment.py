"""The alignment methods: maps from windows of any length to the grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .resampling import first_centred, resample

MIN_TIMES = 2


@dataclass(frozen=True)
class Alignment:
    """The map from windows of one length to the grid.

    Sample k of the output is the input at ``(first + k) * step`` samples.

    Attributes
    ----------
    step : float
        Distance between output samples, in input samples.
    n_all : int
        Samples of the whole window at that step.
    n_out : int
        Samples of the output.
    first : int
        First output sample, counted from the start of the window; negative if the output starts
        before the window.
    fill : {"zeros", "mean"}
        Value of the output outside the window.
    """

    step: float
    n_all: int
    n_out: int
    first: int
    fill: str = "zeros"

    @property
    def is_filled(self) -> bool:
        """True if the output extends beyond the window."""
        return self.n_all < self.n_out

    @property
    def inner(self) -> tuple[int, int]:
        """First sample and number of samples to compute of the window at the new step."""
        return (0, self.n_all) if self.is_filled else (self.first, self.n_out)

    def apply(self, x: np.ndarray, out: np.ndarray) -> None:
        """Write the aligned windows ``(..., n_out)`` of `x`, ``(..., n_in)``, into `out`."""
        if not self.is_filled:
            resample(x, self.step, self.n_out, first=self.first, out=out)
            return
        out[:] = x.mean(axis=-1, keepdims=True, dtype=np.float64) if self.fill == "mean" else 0
        out[..., -self.first : self.n_all - self.first] = resample(x, self.step, self.n_all)

    def source_samples(self) -> np.ndarray:
        """Return the positions of the output samples in the window, in input samples."""
        return (self.first + np.arange(self.n_out)) * self.step


def _resample(n_in: int, n_out: int, rate_step: float) -> Alignment:
    return Alignment(n_in / n_out, n_out, n_out, 0)


def _rate(n_in: int, n_out: int, rate_step: float) -> Alignment:
    n_all = round(n_in / rate_step)
    return Alignment(rate_step, n_all, n_out, first_centred(n_all, n_out), "mean")


def _crop(n_in: int, n_out: int, rate_step: float) -> Alignment:
    return Alignment(1.0, n_in, n_out, 0)


def _pad(n_in: int, n_out: int, rate_step: float) -> Alignment:
    return Alignment(1.0, n_in, n_out, first_centred(n_in, n_out))


def _native(n_in: int, n_out: int, rate_step: float) -> Alignment:
    return Alignment(1.0, n_in, n_in, 0)


# Arguments: samples of the window, samples of the grid, ratio of the old rate to the new one.
METHODS: dict[str, Callable[[int, int, float], Alignment]] = {
    "resample": _resample,
    "rate": _rate,
    "crop": _crop,
    "pad": _pad,
    "native": _native,
}
