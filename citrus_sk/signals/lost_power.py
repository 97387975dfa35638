"""Share of the power of a signal that resampling to a lower rate removes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from .alignment import Alignment
from .containers import Windows
from .windows import float32_chunks

# More than half: then the output holds less of the signal than it has lost. With the default grid
# the ten labelled sets of benchmarks/labelled_sets.py lose 8 % at most.
MOST = 0.5
# The share is estimated from this many windows, or from four if they have more samples in all.
_N_WINDOWS, _FEW_WINDOWS, _N_SAMPLES = 32, 4, 2**22


def warn_of_lost_power(
    aligner: Any, windows: Windows, alignment_of: Callable[[int], Alignment]
) -> None:
    """Warn if most of the power of the windows lies above the new Nyquist frequency.

    Parameters
    ----------
    aligner : SignalAligner
        Fitted aligner, for the message.
    windows : Windows
        Windows seen in ``fit``.
    alignment_of : callable
        Alignment of windows of a number of samples.
    """
    shares, steps = [], []
    for _, window in float32_chunks(_some(windows), max_bytes=1):
        step = alignment_of(window.shape[-1]).step
        shares.append(power_above(window[0], 0.5 / step) if step > 1 else np.zeros(1))
        steps.append(step)
    found = np.concatenate(shares)
    if not len(found) or (share := found.mean()) <= MOST:
        return
    warnings.warn(
        f"{_loss(aligner, max(steps))} are lost, and they hold {share:.0%} of the power of X "
        f"(mean over windows and channels). If the labels depend on them, {_remedy(aligner)}. If "
        "they are noise, low-pass filter the recordings before you cut windows.",
        UserWarning,
        stacklevel=3,
    )


def power_above(x: np.ndarray, frequency: float) -> np.ndarray:
    """Return the share of the power of each channel above a frequency, without its mean.

    Parameters
    ----------
    x : ndarray of shape (n_chans, n_times)
    frequency : float
        In cycles per sample.

    Returns
    -------
    ndarray of shape (n_chans_that_are_not_flat,)
    """
    x = x - x.mean(axis=-1, keepdims=True)
    peak = np.abs(x).max(axis=-1, keepdims=True)
    varies = peak[:, 0] > 0
    # Squares of very large or small values would not be finite in single precision. Without the
    # taper, the jump from the last sample to the first would add power at all frequencies.
    taper = np.hanning(x.shape[-1] + 2)[1:-1]
    power = np.abs(np.fft.rfft(taper * (x[varies] / peak[varies]))) ** 2
    lost = np.fft.rfftfreq(x.shape[-1]) > frequency
    return power[:, lost].sum(axis=-1) / power.sum(axis=-1)


def _some(windows: Windows) -> Windows:
    """Return a few windows, evenly spaced, because windows are often sorted by label."""
    n_most = max(_FEW_WINDOWS, min(_N_WINDOWS, _N_SAMPLES // windows.data[0].size))
    return replace(windows, data=windows.data[:: -(-len(windows) // n_most)])


def _loss(aligner: Any, step: float) -> str:
    sfreq, method = aligner.sfreq_, aligner.method_
    if sfreq is None:
        return (
            f"method={method!r} keeps one sample of {step:.3g}: frequencies above {0.5 / step:.2g} "
            "cycles per sample"
        )
    return (
        f"method={method!r} resamples X from {sfreq:g} Hz to {sfreq / step:.4g} Hz: frequencies "
        f"above {sfreq / step / 2:.4g} Hz"
    )


def _remedy(aligner: Any) -> str:
    if aligner.method_ == "rate":
        return "set a higher target_sfreq and a larger n_times, or use method='resample'"
    return f"cut shorter windows, set n_times above {aligner.n_times_out_}, or use method='native'"
