"""Leaks between folds: windows that are copies of each other or overlap."""

from __future__ import annotations

import warnings
from hashlib import blake2b
from typing import Any

import numpy as np

_HEAD = 16  # samples at the start of a window that are searched for in the others
_FEWEST_VALUES = 5  # distinct values in a head; flat or clipped signals are equal everywhere
_MOST_ALIKE = 4  # windows with the same head that are searched for
_MAX_SAMPLES = 2**25  # samples searched for overlaps; of a larger array, the first windows


def warn_of_leaks(X: Any, groups: np.ndarray | None) -> None:
    """Warn of windows that are identical or overlap and can be on both sides of a fold.

    Parameters
    ----------
    X : array-like of shape (n_windows, n_chans, n_times) or (n_windows, n_times), or mne.Epochs
        Windows. Those of unequal lengths are not checked.
    groups : ndarray of shape (n_windows,) or None
        Person or recording of each window. Windows of one group are always in one fold, so only
        pairs from two groups count.

    Warns
    -----
    UserWarning
        With the number of such windows, and a pair of them.
    """
    for kind, first, second in alike_windows(X):
        if groups is not None:
            apart = groups[first] != groups[second]
            first, second = first[apart], second[apart]
        if len(first):
            _warn(kind, first, second, groups)


def warn_of_calibration_leaks(
    X: Any, groups: np.ndarray, calibration: np.ndarray, test: np.ndarray, *, shuffled: bool
) -> None:
    """Warn of windows that make scores on a new person too good.

    Parameters
    ----------
    X : array-like of shape (n_windows, n_chans, n_times) or (n_windows, n_times), or mne.Epochs
        Windows. Those of unequal lengths are not checked.
    groups : ndarray of shape (n_windows,)
        Person of each window.
    calibration, test : ndarray of bool of shape (n_windows,)
        Windows of each person that are trained on and tested on when the person is left out.
    shuffled : bool
        Whether calibration windows are drawn at random, for the remedy.

    Warns
    -----
    UserWarning
        If windows of two people, or a calibration and a test window of one person, are identical
        or overlap.
    """
    remedy = ", or shuffle=False, which calibrates on the first windows of each class"
    remedy = remedy if shuffled else ""
    for kind, first, second in alike_windows(X):
        apart = groups[first] != groups[second]
        if apart.any():
            _warn(kind, first[apart], second[apart], groups)
        shared = calibration[first] & test[second] | test[first] & calibration[second]
        tested = np.where(test[first], first, second)[shared & ~apart]
        if len(tested):
            warnings.warn(
                f"{len(np.unique(tested))} of {test.sum()} test windows {kind} a calibration "
                f"window of the same person, such as window {tested[0]}, which makes scores with "
                f"labelled windows too good: use windows that do not overlap{remedy}.",
                UserWarning,
                stacklevel=3,
            )


def alike_windows(X: Any) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Pairs of windows that are identical, and pairs of other ones that overlap."""
    windows = _as_windows(X)
    if windows is None:
        return []
    copies = identical_pairs(windows)
    once = np.setdiff1d(np.arange(len(windows)), copies[1])
    distinct = windows[once] if len(once) < len(windows) else windows
    first, second = overlapping_pairs(distinct)
    return [("are identical to", *copies), ("overlap", once[first], once[second])]


def identical_pairs(windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First occurrence and repetition of each window that occurs more than once."""
    seen: dict[bytes, int] = {}
    pairs = []
    for row, window in enumerate(windows):
        earlier = seen.setdefault(blake2b(window.tobytes()).digest(), row)
        if earlier != row:
            pairs.append((earlier, row))
    return _columns(pairs)


def overlapping_pairs(windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of windows of which the second begins within the first.

    The first samples of each window are searched for in the first channel of all others, by a
    rolling hash of their bits, and each match is compared as a whole. Of windows with the same
    first samples, such as those of an artificial rhythm, only a few are searched for.
    """
    n_windows, _, n_times = windows.shape
    if n_times < 2 * _HEAD or n_windows < 2:
        return _columns([])
    rows = np.arange(n_windows)
    if n_windows * n_times > _MAX_SAMPLES:
        # Neighbours overlap, so the first windows are kept instead of a sample of all.
        rows = rows[: max(2, _MAX_SAMPLES // n_times)]
    lead = np.ascontiguousarray(windows[rows, 0], np.float64)
    hashes = _rolling_hash(lead)
    values = np.sort(lead[:, :_HEAD], axis=1)
    lively = (np.diff(values, axis=1) != 0).sum(axis=1) >= _FEWEST_VALUES - 1
    heads: dict[int, list[int]] = {}
    for row in np.flatnonzero(lively):
        alike = heads.setdefault(int(hashes[row, 0]), [])
        if len(alike) < _MOST_ALIKE:
            alike.append(int(row))
    known = np.fromiter(heads, np.uint64, len(heads))
    found = np.isin(hashes, known)
    found[:, 0] = False  # a window's own start, or a copy
    pairs = {
        (int(row), second)
        for row, shift in zip(*np.nonzero(found), strict=True)
        for second in heads[int(hashes[row, shift])]
        if second != row
        and np.array_equal(windows[row, :, shift:], windows[second, :, : n_times - shift])
    }
    return _columns(sorted(pairs))


def _rolling_hash(lead: np.ndarray) -> np.ndarray:
    """Hash of each run of `_HEAD` samples, of shape (n_windows, n_times - _HEAD + 1)."""
    bits = (lead + 0.0).view(np.uint64)  # adding 0.0 turns -0.0 into 0.0, which equals it
    length = bits.shape[1] - _HEAD + 1
    hashes = np.zeros((len(bits), length), np.uint64)
    for step in range(_HEAD):
        hashes = hashes * np.uint64(0x9E3779B97F4A7C15) + bits[:, step : step + length]
        hashes ^= hashes >> np.uint64(29)
    return hashes


def _as_windows(X: Any) -> np.ndarray | None:
    if hasattr(X, "get_data"):  # mne.Epochs
        X = X.get_data()
    elif not isinstance(X, np.ndarray):
        try:
            X = np.asarray(X)
        except ValueError:  # of unequal lengths
            return None
    if X.ndim not in (2, 3) or X.dtype.kind not in "fiu":
        return None
    return X[:, None] if X.ndim == 2 else X


def _columns(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    table = np.array(pairs, int).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _warn(kind: str, first: np.ndarray, second: np.ndarray, groups: np.ndarray | None) -> None:
    affected = len(np.union1d(first, second))
    if groups is None:
        where = "Without groups, they can be in the training and the test windows"
        remedy = "pass groups= (the person or the recording of each window)"
    else:
        where = f"They are in different groups ({groups[first[0]]} and {groups[second[0]]})"
        remedy = "give windows of one recording one group, or drop the copies"
    warnings.warn(
        f"{affected} windows {kind} another one, such as windows {first[0]} and {second[0]}. "
        f"{where}, which makes scores too good: {remedy}.",
        UserWarning,
        stacklevel=4,
    )
