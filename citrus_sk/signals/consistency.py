"""Comparison of new windows with those seen in ``fit``: shape, channels, rate and amplitude."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from typing import Any

import numpy as np

from .containers import Windows, ch_names

# Relative difference up to which two rates are equal; the clocks of recorders deviate by more.
RATE_TOLERANCE = 1e-3
# With this many channels, and this many times as many channels as samples, the axes are probably
# swapped.
_MANY_CHANNELS, _MORE_CHANNELS = 16, 4
# Number of windows from which the amplitude is estimated.
_AMPLITUDE_WINDOWS = 256
# Another unit changes amplitudes by a factor of 1000. Half a decade is allowed for differences
# between windows, and the new amplitude has to be ten times beyond the range seen in fit.
_OTHER_UNIT, _BEYOND_RANGE = 300.0, 10.0


def note_or_compare(
    estimator: Any, windows: Windows, *, reset: bool, any_length: bool, any_rate: bool
) -> Windows:
    """Store the form of the windows on `estimator`, or check later windows against it.

    Parameters
    ----------
    estimator : BaseEstimator
        Estimator that gets ``n_chans_``, ``n_times_`` and ``n_features_in_`` if `reset`, and
        ``ch_names_`` and ``sfreq_`` if the container has them.
    windows : Windows
    reset : bool
        True in ``fit``, False afterwards.
    any_length, any_rate : bool
        Whether windows of another length, or at another rate, are accepted after ``fit``.

    Returns
    -------
    Windows
        The same windows, with their channels in the order seen in ``fit``.

    Raises
    ------
    ValueError
        If channels are missing or added, or if lengths or rates differ.
    """
    if reset:
        _note(estimator, windows)
        return windows
    windows = _in_known_order(estimator, _with_ignored(estimator, windows))
    if windows.n_chans != estimator.n_chans_:
        raise ValueError(
            f"X has {windows.n_chans} channels, but {_fitted_on(estimator)} {estimator.n_chans_}. "
            "Pass the same channels in the same order, or fit again."
        )
    windows = _silenced(estimator, windows)
    if not any_rate:
        _compare_rate(estimator, windows)
    if not any_length and estimator.n_times_ not in (None, windows.n_times):
        raise ValueError(
            f"X has windows of {windows.n_times} samples, but {_fitted_on(estimator)} "
            f"{estimator.n_times_}. Where lengths vary, begin the pipeline with SignalAligner() "
            "and pass it a list of (n_channels, n_times) arrays; else fit again."
        )
    return windows


def _note(estimator: Any, windows: Windows) -> None:
    for name in ("ch_names_", "sfreq_", "_ignored_chans"):
        vars(estimator).pop(name, None)
    if (names := ch_names(windows.chs)) is not None:
        estimator.ch_names_ = names
    if windows.sfreq is not None:
        estimator.sfreq_ = windows.sfreq
    estimator.n_chans_ = windows.n_chans
    estimator.n_times_ = windows.n_times
    estimator._fitted_on_2d = windows.is_2d
    if not windows.is_2d:
        # scikit-learn counts the second axis. Only 2-D input has column names.
        estimator.n_features_in_ = windows.n_chans
        vars(estimator).pop("feature_names_in_", None)
    _warn_of_swapped_axes(windows)


def _warn_of_swapped_axes(windows: Windows) -> None:
    n_chans, n_times = windows.n_chans, windows.n_times
    if windows.chs is not None or n_times is None or n_chans < _MANY_CHANNELS:
        return
    if n_chans >= _MORE_CHANNELS * n_times:
        warnings.warn(
            f"X has {n_chans} channels of {n_times} samples each. Windows are expected as "
            "(n_windows, n_channels, n_times); if yours are (n_windows, n_times, n_channels), "
            "pass X.transpose(0, 2, 1).",
            UserWarning,
            stacklevel=5,
        )


def _with_ignored(estimator: Any, windows: Windows) -> Windows:
    """Append channels that the estimator ignores, and the container lacks, as zeros."""
    names, known = ch_names(windows.chs), getattr(estimator, "ch_names_", None)
    ignored = getattr(estimator, "_ignored_chans", ())
    if names is None or known is None or not (lacking := {known[i] for i in ignored} - {*names}):
        return windows
    n_windows, _, n_times = windows.data.shape
    zeros = np.zeros((n_windows, len(lacking), n_times), windows.data.dtype)
    described = [*(windows.chs or ()), *({"ch_name": name} for name in lacking)]
    return replace(windows, data=np.concatenate([windows.data, zeros], 1), chs=described)


def _silenced(estimator: Any, windows: Windows) -> Windows:
    """Set the channels that the estimator ignores to zero, whatever they hold."""
    if not (ignored := getattr(estimator, "_ignored_chans", ())):
        return windows
    data = np.array(windows.data)
    data[:, list(ignored)] = 0
    return replace(windows, data=data)


def _in_known_order(estimator: Any, windows: Windows) -> Windows:
    """Reorder the channels as in ``ch_names_``, if both are named."""
    names, known = ch_names(windows.chs), getattr(estimator, "ch_names_", None)
    if names is None or known is None or names == known:
        return windows
    missing = [name for name in known if name not in names]
    surplus = [name for name in names if name not in known]
    if missing or surplus or len(set(names)) < len(names):
        differ = [f"lacks {', '.join(missing)}"] if missing else []
        differ += [f"has {', '.join(surplus)} as well"] if surplus else []
        raise ValueError(
            f"X has the channels {', '.join(names)}, but {_fitted_on(estimator)} "
            f"{', '.join(known)}: X {' and '.join(differ) or 'has some of them twice'}. Pass the "
            f"same channels: epochs.pick({list(known)}). Marked-bad channels count as missing; "
            "citrus_sk.mne.match_channels interpolates those of EEG."
        )
    order = [names.index(name) for name in known]
    assert windows.chs is not None
    data: Any = windows.data
    data = [each[order] for each in data] if isinstance(data, list) else data[:, order]
    return replace(windows, data=data, chs=[windows.chs[i] for i in order])


def same_rate(sfreq: float | None, other: float | None) -> bool:
    """Return True if two rates in Hz are equal, or if one of them is unknown."""
    if sfreq is None or other is None:
        return True
    return math.isclose(sfreq, other, rel_tol=RATE_TOLERANCE)


def _compare_rate(estimator: Any, windows: Windows) -> None:
    known = getattr(estimator, "sfreq_", None)
    if not same_rate(windows.sfreq, known):
        raise ValueError(
            f"X was sampled at {windows.sfreq:g} Hz, but {_fitted_on(estimator)} windows sampled "
            f"at {known:g} Hz. Resample it: epochs.resample({known:g}); or begin the pipeline with "
            "SignalAligner(method='rate'), which resamples from any rate."
        )


def _fitted_on(estimator: Any) -> str:
    return f"{type(estimator).__name__} was fitted on"


# --- amplitude -----------------------------------------------------------------------------------


def amplitude_range(X: np.ndarray) -> np.ndarray:
    """Return the lowest, median and highest sd of a window by channel: float64 (3, n_chans).

    Flat windows are ignored; a channel that is flat in all windows gets NaN. At most 256 evenly
    spaced windows are used.
    """
    picked = X[:: math.ceil(len(X) / _AMPLITUDE_WINDOWS)]
    sd = picked.std(2, dtype=np.float64)
    sd[sd == 0] = np.nan
    if len(sd) == 1:  # as online, where quantiles of one number would take a tenth of the time
        return sd.repeat(3, axis=0)
    found = np.full((3, X.shape[1]), np.nan)
    for channel, values in enumerate(sd.T):
        if not np.isnan(values).all():
            found[:, channel] = np.nanquantile(values, (0, 0.5, 1))
    return found


def warn_of_other_amplitude(estimator: Any, X: np.ndarray) -> None:
    """Warn if the amplitude of `X` suggests another unit than that of the windows in ``fit``.

    Parameters
    ----------
    estimator : BaseEstimator
        Estimator whose ``_amplitude`` is the `amplitude_range` of the windows in ``fit``.
    X : ndarray of shape (n_windows, n_chans, n_times)
    """
    seen = getattr(estimator, "_amplitude", None)
    if seen is None or not len(X):
        return
    low, middle, high = seen
    with np.errstate(invalid="ignore", divide="ignore"):
        median = amplitude_range(X)[1]
        ratio = median / middle
        larger = (ratio >= _OTHER_UNIT) & (median > _BEYOND_RANGE * high)
        smaller = (ratio <= 1 / _OTHER_UNIT) & (median < low / _BEYOND_RANGE)
    odd = np.flatnonzero(larger | smaller)
    if not len(odd):
        return
    which = "X" if len(odd) == len(ratio) else f"Channel {odd[0]} of X"
    warnings.warn(
        f"{which} has {ratio[odd[0]]:.2g} times the amplitude of the windows that "
        f"{type(estimator).__name__} was fitted on. Amplitude is a feature. Check the unit: "
        "volts against microvolts.",
        UserWarning,
        stacklevel=4,
    )
