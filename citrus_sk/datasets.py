"""Real recordings that need no download."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, overload

import numpy as np
from sklearn.utils import Bunch

from ._utils.optional import require
from ._utils.validation import check_number

__all__ = ["load_watch"]

WATCH_SFREQ = 50.0
WATCH_EXERCISES = {
    "PEN": "pendulum",
    "ABD": "abduction",
    "FEL": "forward elevation",
    "IR": "internal rotation",
    "ER": "external rotation",
    "TRAP": "trapezius extension",
    "ROW": "row",
}
WATCH_DESCR = """\
Smart-watch recordings of seven shoulder exercises
--------------------------------------------------

Ten healthy adults each did seven physiotherapy exercises with either arm, about twenty
repetitions at a time, wearing a smart watch: 140 recordings of 19 to 52 s at 50 Hz.

Channels: acceleration ax, ay, az (g) and angular velocity wx, wy, wz (rad/s).
Classes: {exercises}.
Groups: the person, "1" to "10". Windows of one person resemble each other, so split by
person: `cross_val_score(..., groups=watch.groups, cv=StratifiedFractionKFold())`.

The recordings are read from the installed seglearn package (version 1.2.5, BSD-3-Clause,
https://github.com/dmbee/seglearn).

D. M. Burns, N. Leung, M. Hardisty, C. M. Whyne, P. Henry, S. McLachlin: Shoulder
physiotherapy exercise recognition: machine learning the inertial signals from a smartwatch.
Physiological Measurement 39(7), 2018. arXiv:1802.01489.
""".format(exercises=", ".join(f"{name} ({code})" for code, name in WATCH_EXERCISES.items()))


@overload
def load_watch(
    *, window_s: float = ..., overlap: float = ..., return_X_y: Literal[False] = ...
) -> Bunch: ...
@overload
def load_watch(
    *, window_s: float = ..., overlap: float = ..., return_X_y: Literal[True]
) -> tuple[np.ndarray, np.ndarray]: ...
def load_watch(
    *, window_s: float = 5.12, overlap: float = 0.5, return_X_y: bool = False
) -> Bunch | tuple[np.ndarray, np.ndarray]:
    """Load smart-watch recordings of seven shoulder exercises, cut into windows.

    The data are 140 recordings of ten people, with six channels of acceleration and angular
    velocity at 50 Hz. They are part of the seglearn package, so nothing is downloaded; install it
    with ``pip install "citrus-sk[demo]"``.

    Parameters
    ----------
    window_s : float, default=5.12
        Length of a window in seconds, at most the 18.94 s of the shortest recording.
    overlap : float, default=0.5
        Fraction of a window that overlaps with the next one, in [0, 1). No window spans two
        recordings, and the remainder at the end of a recording is dropped.
    return_X_y : bool, default=False
        Whether to return only ``(X, y)``.

    Returns
    -------
    watch : Bunch
        Returned if `return_X_y` is False, with these attributes:

        X : ndarray of shape (n_windows, 6, n_times), float32
            Windows; 1693 of 256 samples with the default arguments.
        y : ndarray of shape (n_windows,), str
            Exercise of each window.
        groups : ndarray of shape (n_windows,), str
            Person of each window, "1" to "10".
        recordings : ndarray of shape (n_windows,), int
            Recording of each window, 0 to 139.
        sfreq : float
            Sampling rate in Hz.
        ch_names : list of str
            Names of the channels.
        DESCR : str
            Description, licence and citation.
    (X, y) : tuple of ndarray
        Returned if `return_X_y` is True.

    Raises
    ------
    ModuleNotFoundError
        If seglearn is not installed.
    TypeError, ValueError
        If `window_s` or `overlap` is not a number or out of range.

    Examples
    --------
    >>> from citrus_sk.datasets import load_watch
    >>> watch = load_watch()
    >>> watch.X.shape
    (1693, 6, 256)
    >>> watch.ch_names
    ['ax', 'ay', 'az', 'wx', 'wy', 'wz']
    """
    check_number("overlap", overlap)
    if overlap >= 1:
        raise ValueError(
            f"overlap={overlap!r} is out of range; expected a fraction of a window below 1."
        )
    content = np.load(_watch_path(), allow_pickle=True).item()  # from an installed package
    signals = [np.asarray(signal.T, np.float32) for signal in content["X"]]
    longest_s = min(signal.shape[1] for signal in signals) / WATCH_SFREQ
    low = 2 / WATCH_SFREQ  # two samples
    check_number("window_s", window_s, unit="seconds", low=low, high=longest_s)
    n_times = round(window_s * WATCH_SFREQ)
    step = max(1, round(n_times * (1 - overlap)))

    of_recording = [_cut(signal, n_times, step) for signal in signals]
    n_windows = [len(windows) for windows in of_recording]
    recordings = np.repeat(np.arange(len(signals)), n_windows)
    X = np.concatenate(of_recording)
    exercises = np.array([WATCH_EXERCISES[str(code)] for code in content["y_labels"]])
    y = exercises[content["y"]][recordings]
    if return_X_y:
        return X, y
    return Bunch(
        X=X,
        y=y,
        groups=content["subject"].astype(str)[recordings],
        recordings=recordings,
        sfreq=WATCH_SFREQ,
        ch_names=[str(name) for name in content["X_labels"]],
        DESCR=WATCH_DESCR,
    )


def _cut(signal: np.ndarray, n_times: int, step: int) -> np.ndarray:
    """Cut a recording (n_chans, n_samples) into windows (n_windows, n_chans, n_times)."""
    windows = np.lib.stride_tricks.sliding_window_view(signal, n_times, axis=1)[:, ::step]
    return np.ascontiguousarray(windows.transpose(1, 0, 2))


def _watch_path() -> Path:
    # Not imported, because the import of this old package is slow and raises many warnings.
    spec = require("seglearn", "load_watch", install="citrus-sk[demo]")
    assert spec.origin is not None
    return Path(spec.origin).parent / "data" / "watch_dataset.npy"
