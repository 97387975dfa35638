"""Offsets that are too large for single precision, which are removed before windows become float32.

A float32 holds seven digits. If a signal lies on an offset of 1e7 times its sd, nothing of it is
left in these digits. In double precision, the offset can be subtracted first.
"""

from __future__ import annotations

import copy
import warnings
from dataclasses import replace
from typing import Any

import numpy as np

from .._utils.validation import first_few
from .containers import Windows

# In units of the sd of a window. Up to MOST, rounding to float32 has an sd below 3e-4, and offsets
# stay, because they are features. Beyond LOST, it has an sd of 0.02 or more.
MOST, LOST = 1e4, 1e6
# Relative sd below which a channel is constant up to the rounding of double precision.
_FLAT = 1e-13
# Samples of a window by which it is decided whether to look at all of them.
_FEW_SAMPLES = 64
_CHUNK_VALUES = 2**22


def with_offset(estimator: Any, windows: Windows, *, reset: bool) -> Windows:
    """Return the windows with the offset of each channel that has to be subtracted.

    Parameters
    ----------
    estimator : BaseEstimator
        Estimator that gets ``_offset``, float64 of shape (n_chans, 1), if `reset` and if an offset
        is larger than 1e4 sd; it is 0 for other channels. After ``fit``, the same offset is
        subtracted from all windows, so differences between windows are kept.
    windows : Windows
        Windows, which may hold values that are not finite.
    reset : bool
        True in ``fit``, False afterwards.

    Returns
    -------
    Windows
    """
    if reset:
        vars(estimator).pop("_offset", None)
        if (found := _find_offset(windows)) is not None:
            estimator._offset = found
    offset = offset_of(estimator)
    return windows if offset is None else replace(windows, offset=offset)


def offset_of(estimator: Any) -> np.ndarray | None:
    """Return the offset that a fitted estimator subtracts, see `with_offset`; None without one."""
    return getattr(estimator, "_offset", None)


def without_offset(estimator: Any) -> Any:
    """Return a shallow copy of a fitted estimator, which subtracts no offset."""
    estimator = copy.copy(estimator)
    vars(estimator).pop("_offset", None)
    return estimator


def to_single(values: np.ndarray, offset: np.ndarray | None = None) -> np.ndarray:
    """Return `values` minus the offset as float32, without a copy if they are that already."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        if offset is not None:
            values = np.subtract(values, offset, dtype=np.float64)
        return np.asarray(values, np.float32)


def single_if_exact(values: np.ndarray) -> np.ndarray:
    """Return signals ``(..., n_times)`` as float32, or as they are if an offset is large."""
    ratio = _ratio(*_mean_and_sd(values))
    return values if (ratio > MOST).any() else to_single(values)


def _find_offset(windows: Windows) -> np.ndarray | None:
    """Return the offsets to subtract, or None; warn of channels whose signal is lost all the same.

    The offset of a channel is the median over the different means of its windows. It does not
    depend on the order of the windows, or on how often each of them occurs.
    """
    dtypes = {each.dtype for each in _parts(windows)}
    single = all(np.can_cast(dtype, np.float32) for dtype in dtypes)
    if single and all(dtype.kind != "f" for dtype in dtypes):
        return None  # small integers are exact
    if not (_median(_ratio(*_of_windows(windows, _FEW_SAMPLES))) > MOST / 10).any():
        return None
    mean, sd = _of_windows(windows)
    large = _median(_ratio(mean, sd)) > MOST
    offset = np.zeros(windows.n_chans)
    if not single:
        offset[large] = [np.median(np.unique(each[~np.isnan(each)])) for each in mean.T[large]]
    _warn_of_lost_signals(np.flatnonzero(_median(_ratio(mean - offset, sd)) > LOST), single)
    return offset[:, None] if offset.any() else None


def _of_windows(windows: Windows, n_samples: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Mean and sd of each channel of each window, ``(n_windows, n_chans)``, see `_mean_and_sd`.

    Of long windows, only about `n_samples` samples are read.
    """
    found = []
    for part in _parts(windows):
        n_times = part.shape[-1]
        found.append(_mean_and_sd(part[..., :: max(1, n_times // (n_samples or n_times))]))
    means, sds = zip(*found, strict=True)
    return np.concatenate(means), np.concatenate(sds)


def _parts(windows: Windows) -> list[np.ndarray]:
    """Views of some windows each, ``(n, n_chans, n_times)``."""
    if windows.n_times is None:
        return [each[None] for each in windows.data]
    step = max(1, _CHUNK_VALUES // (windows.n_chans * windows.n_times))
    return [windows.data[i : i + step] for i in range(0, len(windows), step)]


def _mean_and_sd(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and sd along the last axis, float64; both are NaN if it is flat or not finite."""
    with np.errstate(invalid="ignore", over="ignore"):
        mean, sd = x.mean(-1, dtype=np.float64), x.std(-1, dtype=np.float64)
        varies = (sd > _FLAT * np.abs(mean)) & np.isfinite(sd)
    return np.where(varies, mean, np.nan), np.where(varies, sd, np.nan)


def _ratio(mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    return np.abs(mean) / sd


def _median(values: np.ndarray) -> np.ndarray:
    """Median of each column without NaN; 0 if there is nothing else."""
    known = [column[~np.isnan(column)] for column in values.T]
    return np.array([np.median(column) if len(column) else 0.0 for column in known])


def _warn_of_lost_signals(channels: np.ndarray, single: bool) -> None:
    if not len(channels):
        return
    remedy = (
        "Pass float64, from which offsets are subtracted, or subtract" if single else "Subtract"
    )
    warnings.warn(
        f"The means of windows in channel {first_few(channels.tolist())} of X differ from 0 by "
        f"more than {LOST:.0e} times the sd within a window. float32 has seven digits, so the "
        f"signal is lost in rounding. {remedy} the mean of each window or high-pass filter the "
        "recordings. A channel that is meant to be constant can be ignored.",
        UserWarning,
        stacklevel=5,
    )
