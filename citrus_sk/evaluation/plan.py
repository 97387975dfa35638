"""Training windows of a learning curve: amounts of data, repeats, folds and draws."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.model_selection import check_cv

from .._utils.validation import first_few
from .splitters import StratifiedFractionKFold, draw_fraction, draw_windows, with_counts

FRACTIONS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
MOST_REPEATS = 5
# Below these amounts, "auto" repeats draws so that about as many windows are drawn in total.
_REPEATED_BELOW = {"fraction": 0.1, "shots": 10}


@dataclass(frozen=True)
class Amount:
    """Amount of training data: a fraction of the fold, or a number of windows per class."""

    kind: str  # "fraction" or "shots"
    value: float

    def __str__(self) -> str:
        return f"{self.value:.4g}" if self.kind == "fraction" else f"{self.value:g} per class"

    @property
    def auto_repeats(self) -> int:
        return min(MOST_REPEATS, max(1, round(_REPEATED_BELOW[self.kind] / self.value)))


@dataclass(frozen=True)
class Draw:
    """Training and test windows of one fit."""

    amount: Amount
    repeat: int
    fold: int
    n_available: int  # windows in the whole training fold
    train: np.ndarray
    test: np.ndarray


def check_amounts(fractions: Any, shots: Any) -> list[Amount]:
    """Amounts in increasing order, fractions first.

    Raises
    ------
    TypeError, ValueError
        If there is none, or one is out of range or listed twice.
    """
    if fractions is None:
        fractions = FRACTIONS if shots is None else ()
    fractions = as_list("fractions", fractions, "(0.05,) for five percent")
    shots = as_list("shots", () if shots is None else shots, "(5,) for five windows of each class")
    for value in fractions:
        _check_kind("fractions", value, Real, "a number in (0, 1]")
        if not 0 < value <= 1:
            raise ValueError(
                f"fractions holds {value!r}; expected numbers in (0, 1], fractions of the training "
                "fold. For numbers of windows per class pass shots=."
            )
    for value in shots:
        _check_kind("shots", value, Integral, "an integer of 1 or more")
        if value < 1:
            raise ValueError(f"shots holds {value!r}; expected integers of 1 or more.")
    for name, values in (("fractions", fractions), ("shots", shots)):
        if twice := [value for value, n in Counter(values).items() if n > 1]:
            raise ValueError(
                f"{name} holds {twice[0]!r} more than once; expected each amount once."
            )
        if values != sorted(values):
            raise ValueError(
                f"{name}={tuple(values)} is not sorted; expected increasing amounts, "
                f"{tuple(sorted(values))}."
            )
    if not fractions and not shots:
        raise ValueError(
            "fractions and shots are both empty; expected at least one amount of data."
        )
    amounts = [Amount("fraction", float(value)) for value in fractions]
    return amounts + [Amount("shots", int(value)) for value in shots]


def check_repeats(n_repeats: Any) -> None:
    """Raise unless `n_repeats` is "auto" or an integer of 1 or more."""
    if isinstance(n_repeats, str) and n_repeats == "auto":
        return
    _check_kind("n_repeats", n_repeats, Integral, "an integer of 1 or more, or 'auto'")
    if n_repeats < 1:
        raise ValueError(f"n_repeats={n_repeats}; expected an integer of 1 or more, or 'auto'.")


def plan_draws(
    X: Any,
    y: np.ndarray,
    groups: np.ndarray | None,
    *,
    amounts: Sequence[Amount],
    cv: Any,
    n_repeats: int | str,
    seed: int,
) -> list[Draw]:
    """All draws, ordered by repeat, fold and amount."""
    repeats = {a: a.auto_repeats if n_repeats == "auto" else int(n_repeats) for a in amounts}
    fixed = None if isinstance(cv, Integral) else _folds_of(cv, X, y, groups)
    draws: list[Draw] = []
    for repeat in range(max(repeats.values())):
        folds = fixed
        if folds is None:
            splitter = StratifiedFractionKFold(cv, train_fraction=1.0, random_state=seed + repeat)
            with warnings.catch_warnings():
                if repeat:  # the first one has warned already
                    warnings.simplefilter("ignore", UserWarning)
                folds = list(splitter.split(X, y, groups))
        for fold, (train, test) in enumerate(folds):
            for amount in amounts:
                whole = fixed is not None and amount == Amount("fraction", 1.0)
                if repeat < (1 if whole else repeats[amount]):
                    drawn = _draw(amount, train, y, (seed + repeat, fold))
                    draws.append(Draw(amount, repeat, fold, len(train), drawn, test))
    _warn_scarce(draws, y)
    if groups is not None and fixed is not None:
        _warn_shared(fixed, groups)
    return draws


def _draw(amount: Amount, train: np.ndarray, y: np.ndarray, seed: tuple[int, int]) -> np.ndarray:
    if amount.kind == "fraction":
        return draw_fraction(train, y, amount.value, seed)[0]
    return draw_windows(train, y, dict.fromkeys(np.unique(y[train]), int(amount.value)), seed)


def _folds_of(
    cv: Any, X: Any, y: np.ndarray, groups: np.ndarray | None
) -> list[tuple[np.ndarray, np.ndarray]]:
    if isinstance(cv, StratifiedFractionKFold):
        raise TypeError(
            f"cv={cv!r} draws a fraction of the training folds itself; expected the number of "
            f"folds, cv={cv.n_splits}, or a splitter with whole training folds. Pass the amounts "
            "as fractions=."
        )
    try:
        splitter = check_cv(cv, y, classifier=True)
    except ValueError as error:
        raise TypeError(
            f"cv={cv!r} is a {type(cv).__name__}; expected the number of folds, a splitter of "
            "scikit-learn, or a list of (train, test) indices."
        ) from error
    folds = [(np.asarray(a), np.asarray(b)) for a, b in splitter.split(X, y, groups)]
    if not folds or any(len(train) == 0 or len(test) == 0 for train, test in folds):
        raise ValueError(
            f"cv={cv!r} gives a fold without training windows or without test windows."
        )
    return folds


def _warn_scarce(draws: Sequence[Draw], y: np.ndarray) -> None:
    """Warn of classes with too few windows for the draws."""
    labels, counts = np.unique(y, return_counts=True)
    few = {label: n for label, n in zip(labels, counts, strict=True) if n < 2}
    if few:
        warnings.warn(
            f"Some classes have fewer than 2 windows: {with_counts(few, '{} ({})')}. A class "
            "with one window is never both trained on and tested on: leave it out, or label more.",
            UserWarning,
            stacklevel=4,
        )
    short: dict[Any, float] = {}
    for draw in draws:
        if draw.amount.kind == "shots":
            drawn, n = np.unique(y[draw.train], return_counts=True)
            for label, size in zip(drawn, n, strict=True):
                if size < draw.amount.value:
                    short[label] = min(size, short.get(label, math.inf))
    if short:
        warnings.warn(
            "Some classes have fewer windows in a training fold than shots, and all of them are "
            f"used: {with_counts(short, '{} ({:.0f} windows)')}.",
            UserWarning,
            stacklevel=4,
        )
    # Every draw has a window of each class in its fold, so the folds decide which ones are absent.
    folds = {(draw.repeat, draw.fold): np.setdiff1d(labels, y[draw.train]) for draw in draws}
    if absent := Counter(label for missing in folds.values() for label in missing):
        warnings.warn(
            "Some training folds lack a class, which a model trained on them cannot predict: "
            f"{with_counts(absent, '{} (in {} fold(s))')}.",
            UserWarning,
            stacklevel=4,
        )


def _warn_shared(folds: Iterable[tuple[np.ndarray, np.ndarray]], groups: np.ndarray) -> None:
    for fold, (train, test) in enumerate(folds):
        shared = np.intersect1d(groups[train], groups[test])
        if len(shared):
            warnings.warn(
                f"cv puts {len(shared)} group(s) on both sides of fold {fold}: "
                f"{first_few(shared)}. Scores on people in the training windows do not predict "
                "scores on others: pass cv as a number, or a group splitter such as "
                "StratifiedGroupKFold.",
                UserWarning,
                stacklevel=4,
            )
            return


def as_list(name: str, values: Any, example: str) -> list[Any]:
    """Return the values as a list; raise TypeError if they are not a sequence of numbers."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(
            f"{name}={values!r} is a {type(values).__name__}; expected a sequence of amounts, such "
            f"as {example}."
        )
    return list(values)


def _check_kind(name: str, value: Any, kind: Any, expected: str) -> None:
    if isinstance(value, bool | np.bool_) or not isinstance(value, kind):
        raise TypeError(f"{name}: {value!r} is a {type(value).__name__}; expected {expected}.")
