"""Windows that are held out of a training to choose its best epoch."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from .labelled import LabelledWindows, inner_folds

# In a smaller validation part, chance decides which epoch is best.
_TRUSTED_WINDOWS, _TRUSTED_PER_CLASS = 50, 3
_MOST_FOLDS = 20  # whole folds are held out, so the share is exact to a twentieth or better


def hold_out(
    labelled: LabelledWindows, fraction: float, seed: int, *, forced: bool
) -> tuple[LabelledWindows, LabelledWindows | None]:
    """Split a training set into a training and a validation part.

    Parameters
    ----------
    labelled : LabelledWindows
        Training set. If it has groups, whole groups are held out.
    fraction : float
        Share of the windows to hold out, up to a half.
    seed : int
        Seed of the split.
    forced : bool
        Whether to hold out any part that has every class, and to warn if there is none. Otherwise,
        a part that is too small to be reliable is not held out.

    Returns
    -------
    train : LabelledWindows
        Training part.
    valid : LabelledWindows or None
        Validation part, if windows are held out.
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
            f"early_stopping=True has no effect: no part of the {unit} can be held out{of}, so all "
            f"epochs are trained. Pass more {unit}, or early_stopping=False.",
            stacklevel=2,
        )
    return labelled, None


def _parts(
    labelled: LabelledWindows, fraction: float, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield indices of training and validation windows, with every class in the training part."""
    fraction = float(fraction)
    share = Fraction(fraction).limit_denominator(max(_MOST_FOLDS, round(1 / fraction)))
    folds = inner_folds(labelled, share.denominator, seed)
    if not folds:
        return
    tests = [test for _, test in folds]
    # If a class has few windows, there are fewer folds, and some of them may be left out.
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
    """Number of windows of the rarest class among those of `index`; of all in a regression."""
    if labelled.n_classes is None:
        return len(index)
    return int(np.bincount(labelled.targets[index], minlength=labelled.n_classes).min())
