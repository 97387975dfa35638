"""Checks of signals, for every ``X`` that is passed to an estimator.

Windows are ``(n_windows, n_chans, n_times)``; ``(n_windows, n_times)`` is one channel.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_array, validate_data

from .alignment import MIN_TIMES
from .consistency import note_or_compare
from .containers import Windows, unpack_container
from .missing import is_missing
from .nested import unnest
from .offsets import to_single, with_offset
from .targets import refuse_masked

CHUNK_BYTES = 32 * 2**20


def read_windows(
    estimator: BaseEstimator,
    X: Any,
    *,
    reset: bool,
    ragged: bool = False,
    any_rate: bool = False,
) -> Windows:
    """Check the form of `X`, and store its shape on `estimator` or compare it with the stored one.

    Values are read in ``fit`` alone, for the size of offsets; see `float32_chunks` for the others.

    Parameters
    ----------
    estimator : BaseEstimator
        Estimator that gets ``n_chans_``, ``n_times_`` and ``n_features_in_`` if `reset`, and
        ``ch_names_`` and ``sfreq_`` if the container has them. Otherwise they are compared. See
        `with_offset` for ``_offset``.
    X : array-like, list of array, nested data frame, mne.Epochs, mne.Evoked, list of these, or \
windows of braindecode
    reset : bool
        True in ``fit``, False afterwards.
    ragged : bool, default=False
        Whether lists of windows of unequal lengths are accepted, and after ``fit`` lists and
        Epochs of any length. An array always has to have the length seen in ``fit``.
    any_rate : bool, default=False
        Whether windows at another rate than in ``fit`` are accepted.

    Returns
    -------
    Windows
    """
    who = type(estimator).__name__
    sfreq = chs = None
    any_length = False
    refuse_masked(X, "X")
    if (contained := unpack_container(X, who)) is not None:
        X, sfreq, chs = contained.data, contained.sfreq, contained.chs
        any_length = ragged
    X = unnest(X)
    frame = X  # with column names, for scikit-learn's own check
    if (listed := _as_list(X)) is not None:
        shapes = {window.shape for window in listed}
        if len(shapes) > 1:
            windows = Windows(_check_ragged(listed, who, ragged), sfreq, chs)
            windows = note_or_compare(
                estimator, windows, reset=reset, any_length=True, any_rate=any_rate
            )
            return with_offset(estimator, windows, reset=reset)
        frame = X = np.stack(listed)
        any_length = ragged
    array = _check_array(X, who)
    is_2d = array.ndim == 2
    windows = Windows(array[:, None, :] if is_2d else array, sfreq, chs, is_2d)
    if windows.is_2d and (reset or getattr(estimator, "_fitted_on_2d", False)):
        validate_data(
            estimator, frame if hasattr(frame, "shape") else array, reset=reset,
            skip_check_array=True,
        )  # fmt: skip
    _check_length(array.shape, who)  # after scikit-learn's own comparison with fit
    windows = note_or_compare(
        estimator, windows, reset=reset, any_length=any_length, any_rate=any_rate
    )
    return with_offset(estimator, windows, reset=reset)


def agreed_sfreq(windows: Windows, sfreq: float | None) -> float | None:
    """Return the sampling rate in Hz: that of the container, else `sfreq`."""
    if windows.sfreq is None:
        return None if sfreq is None else float(sfreq)
    if sfreq is not None and not math.isclose(sfreq, windows.sfreq, rel_tol=1e-6):
        raise ValueError(
            f"sfreq={sfreq:g} Hz was given, but the Epochs were sampled at {windows.sfreq:g} Hz. "
            "Leave sfreq=None to use the rate of the Epochs."
        )
    return windows.sfreq


def float32_chunks(windows: Windows, max_bytes: int = CHUNK_BYTES) -> Iterator[tuple[int, Any]]:
    """Yield ``(start, chunk)``, each chunk float32, finite, and small.

    A chunk is ``(n, n_chans, n_times)``; if lengths are unequal it is one window,
    ``(1, n_chans, n_times_i)``. It may share memory with the input, so do not write to it.
    """
    if isinstance(windows.data, list):
        for start, window in enumerate(windows.data):
            yield start, _to_float32(window[None], start, windows.offset)
        return
    n_windows, n_chans, n_times = windows.data.shape
    step = max(1, max_bytes // (4 * n_chans * n_times))
    for start in range(0, n_windows, step):
        yield start, _to_float32(windows.data[start : start + step], start, windows.offset)


def to_float32(windows: Windows) -> np.ndarray:
    """Return all windows as one finite, C-contiguous float32 array, copied only if needed."""
    is_ready = windows.data.dtype == np.float32 and windows.data.flags.c_contiguous
    if is_ready and windows.offset is None:
        return finite(windows)
    out = np.empty(windows.data.shape, np.float32)
    for start, chunk in float32_chunks(windows):
        out[start : start + len(chunk)] = chunk
    return out


def finite(windows: Windows) -> np.ndarray:
    """Return all windows as they are, after a check that they are finite in single precision.

    Unlike `to_float32`, it does not copy them, so a memory map of any type stays on the disk. Only
    windows with a large offset are copied.
    """
    if windows.offset is not None:
        return to_float32(windows)
    for _ in float32_chunks(windows):
        pass
    return np.asarray(windows.data)


def centred(windows: Windows) -> Windows:
    """Return float32 windows without their offsets."""
    if windows.n_times is None:
        data: Any = [chunk[0] for _, chunk in float32_chunks(windows)]
    else:
        data = to_float32(windows)
    return replace(windows, data=data, offset=None)


def channel_statistics(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and sd of each channel over all windows, both float32 of shape (n_chans, 1).

    The sd of a channel that is constant up to rounding is 1.
    """
    mean = X.mean((0, 2), dtype=np.float64)
    centred = np.subtract(X, mean[:, None], dtype=np.float64)
    sd = np.sqrt(np.square(centred, out=centred).mean((0, 2)))
    sd = np.where(sd > 1e-6 * np.abs(mean), sd, 1.0)
    return mean.astype(np.float32)[:, None], sd.astype(np.float32)[:, None]


def _to_float32(chunk: np.ndarray, first: int, offset: np.ndarray | None) -> np.ndarray:
    values = to_single(chunk, offset)
    # The sum is one pass that allocates nothing; only if it is suspicious, values are checked.
    with np.errstate(over="ignore", invalid="ignore"):
        suspicious = not np.isfinite(values.sum())
    if suspicious:
        bad = ~np.isfinite(values)
        if bad.any():
            window, channel, sample = np.argwhere(bad)[0]
            value = chunk[window, channel, sample]
            remedy = "Interpolate the gap or leave the window out; a signal has to be finite."
            raise not_finite(value, first + window, channel, sample, remedy)
    return values


def not_finite(value: Any, window: int, channel: int, sample: int, remedy: str) -> ValueError:
    """Return the error for a value that is not finite as float32."""
    content = "NaN" if np.isnan(value) else "inf or a value too large for float32"
    return ValueError(
        f"Input X contains {content}: window {window}, channel {channel}, sample {sample} is "
        f"{value:g}. {remedy}"
    )


def _as_list(X: Any) -> list[np.ndarray] | None:
    """Return the arrays of a list as ``(n_chans, n_times_i)``; None if X is anything else."""
    if isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1:
        X = list(X)
    if not isinstance(X, list | tuple) or not X:
        return None
    if not all(isinstance(window, np.ndarray) for window in X):
        return None
    if any(window.ndim == 0 for window in X):
        return None
    if all(window.ndim == 1 for window in X) and len({len(window) for window in X}) == 1:
        return None  # rows of an ordinary 2-D array
    return [window[None] if window.ndim == 1 else window for window in X]


def _check_ragged(listed: list[np.ndarray], who: str, accepted: bool) -> list[np.ndarray]:
    lengths = sorted({window.shape[-1] for window in listed if window.ndim})
    if not accepted:
        raise ValueError(
            f"X is a list of windows of unequal shapes ({lengths[0]} to {lengths[-1]} samples), "
            f"but {who} expects one length. Put SignalAligner() before it in the pipeline."
        )
    chans = {window.shape[0] for window in listed}
    for i, window in enumerate(listed):
        if window.ndim != 2 or len(chans) > 1 or window.shape[1] < MIN_TIMES:
            raise ValueError(
                f"X[{i}] has shape {window.shape}; every window of a list has to be "
                f"(n_channels, n_times) with the same n_channels (found: {sorted(chans)}) "
                f"and at least {MIN_TIMES} samples."
            )
        _check_dtype(window, f"X[{i}]")
    return listed


def _check_dtype(array: np.ndarray, name: str) -> None:
    if array.dtype.kind == "c":
        raise ValueError(
            f"Complex data not supported: {name} has dtype {array.dtype}. "
            "Pass the real signal, its magnitude or its phase."
        )
    if array.dtype.kind in "USMm":
        raise ValueError(f"{name} has dtype {array.dtype}; expected numbers, one for each sample.")


def _check_array(X: Any, who: str) -> np.ndarray:
    """Return X as a real array of two or three non-empty dimensions, without a copy."""
    if not issparse(X):
        array = _asarray(X)
        if array.ndim == 0:
            raise ValueError(
                f"X is a {type(X).__name__}. Expected 2D array or 3D array of shape (n_windows, "
                "n_channels, n_times) or (n_windows, n_times), a list of (n_channels, n_times) "
                "arrays, or mne.Epochs."
            )
        _refuse_missing(array)
        _check_dtype(array, "X")
        _check_ndim(array, who)
        X = X if hasattr(X, "iloc") else array
    return check_array(
        X, allow_nd=True, ensure_all_finite=False, input_name="X", estimator=who,
        ensure_min_features=0,
    )  # fmt: skip


def _asarray(X: Any) -> np.ndarray:
    try:
        return np.asarray(X)
    except ValueError as error:
        raise ValueError(
            "X cannot be made an array: its windows have unequal shapes. Pass a list of numpy "
            "arrays of shape (n_channels, n_times_i) to SignalAligner, which gives them one length."
        ) from error


def _refuse_missing(array: np.ndarray) -> None:
    """Raise ValueError for None and pd.NA, which only arrays of objects can hold."""
    if array.dtype != object:
        return
    for index, value in np.ndenumerate(array):
        if is_missing(value):
            raise ValueError(
                f"Input X contains NaN: X{list(index)} is {value!r}. Interpolate the gap or leave "
                "the window out; a signal has to be finite."
            )


def _check_ndim(array: np.ndarray, who: str) -> None:
    shape = array.shape
    if array.ndim < 2:
        raise ValueError(
            f"Expected 2D array or 3D array, got X of shape {shape}. {who} expects (n_windows, "
            "n_channels, n_times), or (n_windows, n_times) for one channel. Reshape your data: "
            "X.reshape(1, -1) if it is a single window of one channel."
        )
    if array.ndim > 3:
        raise ValueError(
            f"X has {array.ndim} dimensions, shape {shape}; {who} expects (n_windows, n_channels, "
            "n_times). Fold the surplus dimensions into windows or channels."
        )
    if shape[0] == 0:
        raise ValueError(
            f"Found array with 0 sample(s) (shape={shape}) while a minimum of 1 is required by "
            f"{who}: X holds no windows."
        )
    if array.ndim == 3 and shape[1] == 0:
        raise ValueError(f"X has 0 channels (shape={shape}); {who} expects at least one.")


def _check_length(shape: tuple[int, ...], who: str) -> None:
    if shape[-1] < MIN_TIMES:
        raise ValueError(
            f"Found array with {shape[-1]} feature(s) (shape={shape}) while a minimum of "
            f"{MIN_TIMES} is required by {who}: windows need at least {MIN_TIMES} samples."
        )
