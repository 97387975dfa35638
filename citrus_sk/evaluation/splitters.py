"""Cross-validation that trains on a fraction of each training fold."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from copy import deepcopy
from numbers import Integral, Real
from typing import Any
from zlib import crc32

import numpy as np
from sklearn.model_selection import BaseCrossValidator, StratifiedGroupKFold, StratifiedKFold
from sklearn.utils import check_random_state, indexable

from .._utils.validation import first_few
from ..signals.containers import count_windows
from ..signals.targets import check_groups, one_label_each


class StratifiedFractionKFold(BaseCrossValidator):
    """Stratified folds that train on a fraction of the training fold.

    The splitter for a learning curve over labelled data: a fraction of each class is drawn from
    each training fold, and test folds stay whole. The draws are nested: the windows drawn at a
    smaller fraction are among those drawn at any larger one, so two points of a curve differ only
    in the amount of data.

    When ``groups`` (people, animals, recordings) are passed, the folds are made by group, and no
    group is in both the training and the test windows. Pass them whenever windows of one person
    resemble each other, which in bio-signals is nearly always, and whenever windows overlap.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2.

    train_fraction : float, default=0.1
        Fraction of each class of the training fold to train on, in (0, 1]. From a class with `n`
        windows in the training fold, ``round(train_fraction * n)`` are drawn, and at least one; a
        `UserWarning` names the classes for which that minimum applies. 1.0 gives the whole
        training fold.

    random_state : int, RandomState instance or None, default=0
        Seed of the folds and the draws. The default makes splits repeatable: points of a learning
        curve are compared with each other, so they need the same folds. None makes new folds and
        draws at each call of `split`, which are then nested no longer. A `RandomState` instance is
        read but not advanced.

    See Also
    --------
    sklearn.model_selection.StratifiedKFold : The folds without groups.
    sklearn.model_selection.StratifiedGroupKFold : The folds with groups.

    Notes
    -----
    Within a fold, the windows of each class are shuffled once, with a seed made of `random_state`,
    the index of the fold and the label, and the first windows of that order are taken. The order
    depends neither on the fraction nor on the other classes.

    Examples
    --------
    >>> import numpy as np
    >>> from citrus_sk.evaluation import StratifiedFractionKFold
    >>> X = np.zeros((120, 1, 50))  # 120 windows, 1 channel, 50 samples
    >>> y = np.tile(["rest", "fist", "pinch"], 40)
    >>> people = np.repeat(np.arange(10), 12)
    >>> cv = StratifiedFractionKFold(train_fraction=0.25)
    >>> for train, test in cv.split(X, y, groups=people):
    ...     print(len(train), "of", 120 - len(test), "windows, tested on", len(test))
    24 of 96 windows, tested on 24
    24 of 96 windows, tested on 24
    24 of 96 windows, tested on 24
    24 of 96 windows, tested on 24
    24 of 96 windows, tested on 24

    Pass it as `cv` to any function that cross-validates:

    >>> from sklearn.dummy import DummyClassifier
    >>> from sklearn.model_selection import cross_val_score
    >>> cross_val_score(DummyClassifier(), X, y, groups=people, cv=cv).shape
    (5,)
    """

    # With metadata routing enabled, groups reach `split` without a request, as in scikit-learn's
    # own group splitters.
    __metadata_request__split = {"groups": True}  # noqa: RUF012

    def __init__(
        self,
        n_splits: int = 5,
        *,
        train_fraction: float = 0.1,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        _check_n_splits(n_splits)
        _check_train_fraction(train_fraction)
        self.n_splits = n_splits
        self.train_fraction = train_fraction
        self.random_state = random_state

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X, y, groups : object
            Ignored; scikit-learn passes them.

        Returns
        -------
        int
        """
        return self.n_splits

    def split(
        self, X: Any, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the indices of the training and the test windows of each fold.

        Parameters
        ----------
        X : array-like of length n_windows, or None
            Only its length is used, so a memory map stays on disk.
        y : array-like of shape (n_windows,)
            Class labels: strings, integers or booleans.
        groups : array-like of shape (n_windows,), default=None
            Person or recording of each window.

        Yields
        ------
        train : ndarray of shape (n_train,)
            Sorted indices of the drawn training windows.
        test : ndarray of shape (n_test,)
            Sorted indices of all windows of the test fold.

        Raises
        ------
        ValueError
            If there are fewer windows or groups than folds, labels or groups are missing, or their
            number differs from that of the windows.

        Warns
        -----
        UserWarning
            If `train_fraction` of a class rounds to no window, so that one is taken (one warning
            for all folds), or if a class has fewer windows or groups than there are folds.
        """
        y = check_labels(y, None if X is None else count_windows(X))
        groups = None if groups is None else check_groups(groups, len(y))
        indexable(X, y, groups)
        if groups is None:
            _check_enough_windows(y, self.n_splits)
        else:
            _check_enough_groups(groups, y, self.n_splits)
        seed = as_seed(self.random_state)
        folder = StratifiedKFold if groups is None else StratifiedGroupKFold
        folds = folder(self.n_splits, shuffle=True, random_state=seed)

        splits = []
        floored: dict[Any, float] = {}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The least populated class")  # named above
            whole = list(folds.split(np.zeros(len(y)), y, groups))
        for fold, (train, test) in enumerate(whole):
            drawn, counts = draw_fraction(train, y, self.train_fraction, (seed, fold))
            for label, count in counts.items():
                if round(count) == 0:
                    floored[label] = min(count, floored.get(label, count))
            splits.append((drawn, test))
        if floored:
            _warn_floored(floored, self.train_fraction)
        yield from splits


def draw_fraction(
    train: np.ndarray, y: np.ndarray, fraction: float, seed: tuple[int, int]
) -> tuple[np.ndarray, dict[Any, float]]:
    """Draw windows of a training fold, sorted, and give each class's count before rounding."""
    counts = {label: fraction * np.sum(y[train] == label) for label in np.unique(y[train])}
    sizes = {label: max(1, round(count)) for label, count in counts.items()}
    return draw_windows(train, y, sizes, seed), counts


def draw_windows(
    train: np.ndarray, y: np.ndarray, sizes: Mapping[Any, int], seed: tuple[int, int]
) -> np.ndarray:
    """Draw the first windows of each class in the random order of `seed`, sorted."""
    drawn = []
    for label, size in sizes.items():
        order = np.random.default_rng([*seed, label_seed(label)])
        drawn.append(order.permutation(train[y[train] == label])[:size])
    return np.sort(np.concatenate(drawn))


def _check_n_splits(n_splits: Any) -> None:
    if not isinstance(n_splits, Integral) or isinstance(n_splits, bool):
        raise TypeError(
            f"n_splits={n_splits!r} is a {type(n_splits).__name__}; expected an integer, the "
            "number of folds, such as 5."
        )
    if n_splits < 2:
        raise ValueError(
            f"n_splits={n_splits}; expected at least 2: one fold to test on and one to train on."
        )


def _check_train_fraction(train_fraction: Any) -> None:
    if not isinstance(train_fraction, Real) or isinstance(train_fraction, bool):
        raise TypeError(
            f"train_fraction={train_fraction!r} is a {type(train_fraction).__name__}; expected a "
            "number in (0, 1], such as 0.05 for five percent of each training fold."
        )
    if not 0 < float(train_fraction) <= 1:
        raise ValueError(
            f"train_fraction={train_fraction}; expected a number in (0, 1], the fraction of the "
            "training fold, such as 0.05 for five percent or 1.0 for all of it."
        )


def check_labels(y: Any, n_windows: int | None = None) -> np.ndarray:
    """Class labels of all windows, none of them missing."""
    if y is None:
        raise ValueError(
            "y is None; expected one class label for each window, because the folds and the draws "
            "are stratified. Pass split(X, y)."
        )
    return one_label_each(y, n_windows, "a stratified splitter")


def _check_enough_windows(y: np.ndarray, n_splits: int) -> None:
    labels, counts = np.unique(y, return_counts=True)
    if counts.max() < n_splits:
        raise ValueError(
            f"y has at most {counts.max()} window(s) of a class, fewer than n_splits={n_splits}; "
            f"expected at least one for each fold. Use {max(2, counts.max())} folds or fewer, or "
            "more windows."
        )
    if counts.min() < n_splits:
        scarce = {label: n for label, n in zip(labels, counts, strict=True) if n < n_splits}
        warnings.warn(
            f"Some classes have fewer windows than n_splits={n_splits}: "
            f"{with_counts(scarce, '{} ({} window(s))')}. Some test folds lack such a class, and "
            "if it has a single window, one training fold lacks it.",
            UserWarning,
            stacklevel=3,
        )


def _check_enough_groups(groups: np.ndarray, y: np.ndarray, n_splits: int) -> None:
    n_groups = len(np.unique(groups))
    if n_groups < n_splits:
        fewer = f"Take {n_groups} folds or fewer, or pass" if n_groups > 1 else "Pass"
        raise ValueError(
            f"groups has {n_groups} distinct value(s), fewer than n_splits={n_splits}; expected at "
            f"least one group for each fold. {fewer} smaller groups, such as people, or within "
            "one person runs or blocks of time."
        )
    scarce = {
        label: n for label in np.unique(y) if (n := len(np.unique(groups[y == label]))) < n_splits
    }
    if scarce:
        warnings.warn(
            f"Some classes come from fewer groups than n_splits={n_splits}: "
            f"{with_counts(scarce, '{} (in {} group(s))')}. A fold can lack such a class, and a "
            "class in a single group is never both trained on and tested on.",
            UserWarning,
            stacklevel=3,
        )


def as_seed(random_state: int | np.random.RandomState | None) -> int:
    """An integer seed. `random_state` and numpy's global state are left as they are.

    None gives a new seed at each call.
    """
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0] >> 1)
    generator = check_random_state(random_state)
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(deepcopy(generator).randint(2**31 - 1))


def label_seed(label: Any) -> int:
    """Seed made of a label or a person, the same in every process."""
    # Not hash(), which is salted for strings and differs from process to process.
    return crc32(str(label).encode())


def _warn_floored(floored: dict[Any, float], train_fraction: float) -> None:
    warnings.warn(
        f"train_fraction={train_fraction} of some classes rounds to no window, and one is taken "
        f"instead: {with_counts(floored, '{} ({:.2g} windows)')}. These classes are more frequent "
        "than the fraction implies: raise train_fraction, or label more windows of them.",
        UserWarning,
        stacklevel=3,
    )


def with_counts(counts: Mapping[Any, float], form: str) -> str:
    """Labels with their counts in the given form, for a message."""
    return first_few(form.format(label, count) for label, count in counts.items())
