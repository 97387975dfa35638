"""Corpora of windows in arrays."""

from __future__ import annotations

from fractions import Fraction
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from ..._utils.validation import check_number, check_text
from ..container_kinds import first_of_mne
from ..containers import signal_picks
from ..modalities import as_named, modality_of
from ..windows import centred, not_finite, read_windows
from .cache import Recording
from .conversion import PIECE_VALUES
from .corpus import Corpus, CorpusReport
from .quality import OUTCOMES, Segments, flat_runs, n_flat

# Rate in Hz by which durations become samples if the rate of an array is unknown.
_ASSUMED_SFREQ = 100.0
_MIN_DURATION_S = 4.0


def array_corpus(
    X: Any,
    *,
    modality: str = "unknown",
    sfreq: float | None = None,
    subjects: Any = None,
    min_n_times: int | None = None,
    estimator: BaseEstimator | None = None,
) -> Corpus:
    """Make a corpus of windows or recordings in memory, or mapped from disk.

    Parameters
    ----------
    X : array-like of shape (n_windows, n_chans, n_times) or (n_windows, n_times), \
list of ndarray of shape (n_chans, n_times_i) or (n_times_i,), or mne.Epochs
        Each window becomes a recording. Values are not copied, so a memory map stays on disk.
    modality : str, default="unknown"
        Modality of the channels. If it is "unknown", the types of the channels of Epochs are
        used.
    sfreq : float or None, default=None
        Sampling rate in Hz; None if unknown, or for Epochs, which have their own.
    subjects : array-like of shape (n_windows,) or None, default=None
        Subject of each window. None means that every window has its own subject.
    min_n_times : int or None, default=None
        Samples of the shortest segment that counts as usable. None means half of the window, but
        at most four seconds (400 samples if the rate is unknown).
    estimator : BaseEstimator or None, default=None
        Estimator that errors name, and that gets ``n_features_in_`` and the other attributes of
        its ``fit``.

    Returns
    -------
    Corpus
        Corpus without the windows in which nothing is usable.

    Raises
    ------
    ValueError
        If X is not finite, of a wrong shape, or nothing in it is usable.
    TypeError
        If a parameter is of a wrong type.

    Notes
    -----
    Segments without a change for half a second (50 samples if the rate is unknown), or in the
    whole of a shorter window, are left out as flat. Clipping is not detected, because the extremes
    of a window are not the limits of a sensor.
    """
    check_text("modality", modality)
    check_number("sfreq", sfreq, unit="Hz", open_low=True, alternatives=(None,))
    check_number("min_n_times", min_n_times, Integral, low=2, alternatives=(None,))
    if hasattr(X, "first_samp"):
        raise TypeError(
            "X is an mne.io.Raw; expected windows. Save it and read it with read_corpus, which "
            "resamples it and skips what its annotations mark as bad, or pass a list of arrays."
        )
    windows = read_windows(estimator or _ArrayCorpus(), X, reset=True, ragged=True)
    if windows.offset is not None:
        windows = centred(windows)
    rate = windows.sfreq or (None if sfreq is None else float(sfreq))
    names, modalities = _channels_of(X, windows.n_chans, modality)
    subject_of = _subject_names(subjects, len(windows))
    recordings, report = [], CorpusReport()
    scale = np.ones(windows.n_chans, np.float32)
    for i, (window, subject) in enumerate(zip(windows.data, subject_of, strict=True)):
        good, outcomes = _usable(window, i, rate, min_n_times)
        for kind, seconds in zip(modalities, outcomes / (rate or 1.0), strict=True):
            key = ("array", subject, kind)
            report.seconds[key] = report.seconds.get(key, 0) + seconds
        if any(map(len, good)):
            name = f"array {i}"
            recordings.append(
                Recording(name, subject, "array", names, modalities, window, scale, good)
            )
    corpus = Corpus(recordings, rate, report)
    if not recordings:
        raise ValueError(
            "X holds nothing usable: every channel of every window is flat, or its other segments "
            f"are too short.\n{corpus.summary()}"
        )
    return corpus


class _ArrayCorpus(BaseEstimator):
    """Placeholder for an estimator, in errors about `X`."""


def _channels_of(X: Any, n_chans: int, modality: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names and modalities of the channels of an array, or of Epochs."""
    if (described := first_of_mne(X)) is None:
        return tuple(f"channel {i}" for i in range(n_chans)), (as_named(modality),) * n_chans
    names, types = described.ch_names, described.get_channel_types()
    picks = signal_picks(described)  # the channels that `read_windows` takes
    kinds = [modality_of(names[pick], types[pick]) or types[pick] for pick in picks]
    if modality != "unknown":
        kinds = [as_named(modality)] * len(kinds)
    return tuple(names[pick] for pick in picks), tuple(kinds)


def _subject_names(subjects: Any, n_windows: int) -> list[str]:
    if subjects is None:
        return [f"array/{i}" for i in range(n_windows)]
    listed = np.asarray(subjects)
    if listed.shape != (n_windows,):
        raise ValueError(
            f"subjects has shape {listed.shape}; expected a subject for each of the {n_windows} "
            "windows."
        )
    return [f"array/{subject}" for subject in listed.tolist()]


def _usable(
    window: np.ndarray, i: int, rate: float | None, min_n_times: int | None
) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Return the usable segments of each channel of window `i`, and its samples by outcome."""
    n_chans, n_times = window.shape
    rate = rate or _ASSUMED_SFREQ
    longest = min(n_flat(rate), n_times)
    if min_n_times is None:
        min_n_times = max(2, min(-(-n_times // 2), round(_MIN_DURATION_S * rate)))
    step = max(longest, PIECE_VALUES // n_chans)
    if min_n_times <= n_times <= step:  # Most windows are short, with nothing flat.
        values = _finite(window, i, 0, n_times)
        n_equal = np.count_nonzero(values[:, 1:] == values[:, :-1], axis=1)
        if np.all(n_equal < longest - 1):
            outcomes = np.zeros((n_chans, len(OUTCOMES)))
            outcomes[:, 0] = n_times
            return (np.array([[0, n_times]], np.int64),) * n_chans, outcomes
    segments = Segments(n_chans)
    for start in range(0, n_times, step):
        low, stop = max(0, start - longest), min(start + step, n_times)
        values = _finite(window, i, low, min(stop + longest, n_times))
        codes = np.zeros(values.shape, np.uint8)
        for row, code in zip(values, codes, strict=True):
            for first, last in flat_runs(row, 0.0, longest).tolist():
                code[first:last] = 1
        segments.add(codes[:, start - low : stop - low], start)
    good = tuple(segments.resampled(Fraction(1), n_times, min_n_times))
    kept = np.array([int(np.diff(each, axis=1).sum()) for each in good])
    usable, flat, clipped, missing = segments.counts.T
    return good, np.stack([kept, flat, clipped, missing, usable - kept], axis=1)


def _finite(window: np.ndarray, i: int, start: int, stop: int) -> np.ndarray:
    with np.errstate(over="ignore", under="ignore"):
        values = np.asarray(window[:, start:stop], np.float32)
    finite = np.isfinite(values)
    if not finite.all():
        channel, sample = np.argwhere(~finite)[0].tolist()
        value = window[channel, start + sample]
        remedy = (
            "Interpolate the gap, leave the window out, or read the recording with read_corpus, "
            "which leaves out missing values."
        )
        raise not_finite(value, i, channel, start + sample, remedy)
    return values
