"""Real recordings to try the package on; nothing is downloaded."""

from __future__ import annotations

from importlib.util import find_spec
from numbers import Real
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from sklearn.utils import Bunch

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

    Ten people, 140 recordings, six channels of acceleration and angular velocity at 50 Hz.
    The recordings come inside the seglearn package, so this works offline; install it with
    ``pip install "citrus-sk[demo]"``.

    Parameters
    ----------
    window_s : float, default=5.12
        Length of a window in seconds, at most the 18.94 s of the shortest recording.
    overlap : float, default=0.5
        Share of a window that the next one overlaps, in [0, 1). No window spans two
        recordings, and what is left at the end of a recording is dropped.
    return_X_y : bool, default=False
        Whether to return ``(X, y)`` alone.

    Returns
    -------
    watch : Bunch
        Returned if `return_X_y` is False, with these attributes:

        X : ndarray of shape (n_windows, 6, n_times), float32
            The windows; 1693 of 256 samples with the default arguments.
        y : ndarray of shape (n_windows,), str
            The exercise.
        groups : ndarray of shape (n_windows,), str
            The person, "1" to "10".
        recordings : ndarray of shape (n_windows,), int
            The recording that a window was cut from, 0 to 139.
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
    _check_number("window_s", window_s, "a length in seconds, such as 5.12")
    _check_number("overlap", overlap, "a share of a window, such as 0.5")
    if not 0 <= overlap < 1:
        raise ValueError(
            f"overlap={overlap}; wanted a share of a window in [0, 1): 0 lays windows end to end, "
            "0.5 starts one at every half window."
        )
    content = np.load(_watch_path(), allow_pickle=True).item()  # from an installed package
    signals = [np.asarray(signal.T, np.float32) for signal in content["X"]]
    n_times = _n_times(window_s, min(signal.shape[1] for signal in signals))
    step = max(1, round(n_times * (1 - overlap)))

    cut = [_cut(signal, n_times, step) for signal in signals]
    recordings = np.repeat(np.arange(len(cut)), [len(windows) for windows in cut])
    X = np.concatenate(cut)
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


def _check_number(name: str, value: Any, wanted: str) -> None:
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{name}={value!r} is a {type(value).__name__}; wanted {wanted}.")


def _n_times(window_s: float, shortest: int) -> int:
    longest_s = shortest / WATCH_SFREQ
    if not 2 / WATCH_SFREQ <= window_s <= longest_s:
        raise ValueError(
            f"window_s={window_s}; wanted {2 / WATCH_SFREQ:g} to {longest_s:g} s, two samples at "
            f"{WATCH_SFREQ:g} Hz to the length of the shortest recording."
        )
    return round(window_s * WATCH_SFREQ)


def _cut(signal: np.ndarray, n_times: int, step: int) -> np.ndarray:
    """Windows of a recording (n_chans, n_samples), as (n_windows, n_chans, n_times)."""
    windows = np.lib.stride_tricks.sliding_window_view(signal, n_times, axis=1)[:, ::step]
    return np.ascontiguousarray(windows.transpose(1, 0, 2))


def _watch_path() -> Path:
    # Found without being imported: the package is old, and its import slow and full of warnings.
    spec = find_spec("seglearn")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            "load_watch reads recordings that come inside the seglearn package, which is not "
            'installed. Install it with: pip install "citrus-sk[demo]"',
            name="seglearn",
        )
    return Path(spec.origin).parent / "data" / "watch_dataset.npy"
