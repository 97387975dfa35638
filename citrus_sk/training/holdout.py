"""Windows held out of a training to choose its epoch by."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from .labelled import LabelledWindows, inner_folds

# A validation part smaller than this ranks epochs by luck.
_TRUSTED_WINDOWS, _TRUSTED_PER_CLASS = 50, 3
_MOST_FOLDS = 20  # of which whole ones are held out: shares come out to a twentieth or better


def hold_out(
    labelled: LabelledWindows, fraction: float, seed: int, *, forced: bool
) -> tuple[LabelledWindows, LabelledWindows | None]:
    """Training and validation part; no validation part where it could not be trusted.

    Parameters
    ----------
    labelled : LabelledWindows
        With groups, whole groups are held out.
    fraction : float
        Share that is held out, up to a half.
    seed : int
    forced : bool
        Whether any part with every class in it is good enough. Where there is none, this warns.
    """
    for train, valid in _parts(labelled, fraction, seed):
        fewest = _fewest_of_a_class(labelled, valid)
        trusted = len(valid) >= _TRUSTED_WINDOWS and fewest >= _TRUSTED_PER_CLASS
        if trusted or (forced and fewest > 0):
            return labelled.take(train), labelled.take(valid)
    if forced:
        unit = "windows" if labelled.groups is None else "groups"
        of = "" if labelled.n_classes is None else " with every class both in it and outside it"
        warnings.warn(
            f"early_stopping=True holds out nothing: no part of the {unit} can be set aside{of}, "
            f"so training runs for all its epochs. Pass more {unit}, or early_stopping=False.",
            stacklevel=2,
        )
    return labelled, None


def _parts(
    labelled: LabelledWindows, fraction: float, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Indices of training and validation windows, each class in training."""
    fraction = float(fraction)
    share = Fraction(fraction).limit_denominator(max(_MOST_FOLDS, round(1 / fraction)))
    folds = inner_folds(labelled, share.denominator, seed)
    if not folds:
        return
    tests = [test for _, test in folds]
    # Fewer folds than asked for, where a class has few windows, and some may be left out.
    n_folds = round(len(labelled) / np.mean([len(test) for test in tests]))
    n_held = max(1, min(round(fraction * n_folds), len(tests) - 1))
    for first in range(len(tests)):
        held = [tests[(first + more) % len(tests)] for more in range(n_held)]
        valid = np.sort(np.concatenate(held))
        train = np.setdiff1d(np.arange(len(labelled)), valid)
        if labelled.n_classes is None or _has_every_class(labelled, train):
            yield train, valid


def _has_every_class(labelled: LabelledWindows, index: np.ndarray) -> bool:
    return len(np.unique(labelled.targets[index])) == len(np.unique(labelled.targets))


def _fewest_of_a_class(labelled: LabelledWindows, index: np.ndarray) -> int:
    """Windows of the scarcest class among those of `index`; of all, where there are no classes."""
    if labelled.n_classes is None:
        return len(index)
    return int(np.bincount(labelled.targets[index], minlength=labelled.n_classes).min())
