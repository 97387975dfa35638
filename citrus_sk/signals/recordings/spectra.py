"""Spectra of the channels of each kind."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

_LEAST = 1e-12  # of the total power; rounding errors are below


@dataclass(frozen=True)
class Spectrum:
    """Spectrum of the channels of a kind and a sampling rate.

    Attributes
    ----------
    kind : str
        Modality of the channels.
    sfreq : float
        Sampling rate in Hz.
    frequencies : ndarray of shape (n_frequencies,)
        Frequencies in Hz, without 0.
    mean, low, high : ndarray of shape (n_frequencies,)
        Power density relative to the total power of each channel, in dB: mean, least and most over
        channels.
    n_chans : int
        Number of channels.
    """

    kind: str
    sfreq: float
    frequencies: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    n_chans: int


class Spectra:
    """Running means and ranges of spectra, so that many recordings need little memory."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, float], Spectrum] = {}

    def add(self, kind: str, sfreq: float, frequencies: np.ndarray, power: np.ndarray) -> None:
        """Add the power of a channel at frequencies from 0 on, (n_frequencies,)."""
        frequencies, power = frequencies[1:], power[1:]
        total = power.sum() * frequencies[0] if len(power) else 0.0
        if not np.isfinite(total) or total <= 0:  # flat, or with missing values
            return
        level = 10 * np.log10(np.maximum(power / total, _LEAST))
        old = self._known.get((kind, sfreq))
        if old is None:
            self._known[kind, sfreq] = Spectrum(kind, sfreq, frequencies, level, level, level, 1)
            return
        # A recording of less than a few seconds has fewer frequencies.
        level = np.interp(old.frequencies, frequencies, level)
        n = old.n_chans + 1
        self._known[kind, sfreq] = replace(
            old, mean=old.mean + (level - old.mean) / n, low=np.minimum(old.low, level),
            high=np.maximum(old.high, level), n_chans=n,
        )  # fmt: skip

    def found(self) -> list[Spectrum]:
        """Return the spectra, by kind and rate."""
        return [spectrum for _, spectrum in sorted(self._known.items())]
