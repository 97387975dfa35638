"""Cross-validation with only a fraction of each training fold."""

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

from .._targets import check_groups, one_label_each

MAX_NAMED = 5


class StratifiedFractionKFold(BaseCrossValidator):
    """Stratified folds that train on a fraction of the training fold.

    The splitter behind a learning curve over labelled data: each training fold is thinned
    out class by class, each test fold stays whole. The draws are nested, so the windows
    trained on at a smaller fraction are among those trained on at any larger one, and
    two points of a curve differ in the amount of data and in nothing else.

    When ``groups`` (people, animals, recordings) are passed, the folds are made by group
    and nobody is in both the training and the test windows. Pass them whenever windows of
    one person resemble each other, which in bio-signals is nearly always, and whenever
    windows overlap.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2.

    train_fraction : float, default=0.1
        Share of each class of the training fold that is trained on, in (0, 1]. Of a class
        with `n` windows in the training fold ``round(train_fraction * n)`` are drawn, and
        never fewer than one; a `UserWarning` names the classes for which that floor binds.
        1.0 gives the whole training fold.

    random_state : int, RandomState instance or None, default=None
        Decides the folds and the draws. Unlike elsewhere in scikit-learn, None is one
        fixed draw and not a new one at each call: the points of a learning curve are
        compared with each other, so they have to share their folds. Pass an int for
        another draw. A `RandomState` instance is read but never advanced.

    See Also
    --------
    sklearn.model_selection.StratifiedKFold : The folds when no groups are passed.
    sklearn.model_selection.StratifiedGroupKFold : The folds when groups are passed.

    Notes
    -----
    Within a fold every class is put into a random order once, by a seed made of
    `random_state`, the number of the fold and the label, and the first windows of that order
    are taken. Neither the fraction nor the other classes have a say in the order.

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

    It is passed as `cv` to everything that cross-validates:

    >>> from sklearn.dummy import DummyClassifier
    >>> from sklearn.model_selection import cross_val_score
    >>> cross_val_score(DummyClassifier(), X, y, groups=people, cv=cv).shape
    (5,)
    """

    # With metadata routing enabled, groups reach `split` without being asked for, as they do
    # in scikit-learn's own group splitters.
    __metadata_request__split = {"groups": True}  # noqa: RUF012

    def __init__(
        self,
        n_splits: int = 5,
        *,
        train_fraction: float = 0.1,
        random_state: int | np.random.RandomState | None = None,
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
            Ignored, present because scikit-learn passes them.

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
            The person or the recording a window comes from.

        Yields
        ------
        train : ndarray of shape (n_train,)
            Sorted indices of the drawn training windows.
        test : ndarray of shape (n_test,)
            Sorted indices of all windows of the test fold.

        Raises
        ------
        ValueError
            If `y` or `groups` cannot be split so; the message says what is wanted.

        Warns
        -----
        UserWarning
            If `train_fraction` of a class rounds to no window, so that one is taken (said once
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
            for label, wanted in counts.items():
                if round(wanted) == 0:
                    floored[label] = min(wanted, floored.get(label, wanted))
            splits.append((drawn, test))
        if floored:
            _warn_floored(floored, self.train_fraction)
        yield from splits


def draw_fraction(
    train: np.ndarray, y: np.ndarray, fraction: float, seed: tuple[int, int]
) -> tuple[np.ndarray, dict[Any, float]]:
    """The windows drawn from a training fold, sorted, and what each class's share comes to."""
    wanted = {label: fraction * np.sum(y[train] == label) for label in np.unique(y[train])}
    sizes = {label: max(1, round(share)) for label, share in wanted.items()}
    return draw_windows(train, y, sizes, seed), wanted


def draw_windows(
    train: np.ndarray, y: np.ndarray, sizes: Mapping[Any, int], seed: tuple[int, int]
) -> np.ndarray:
    """The first windows of each class in the order that belongs to `seed`, sorted."""
    drawn = []
    for label, size in sizes.items():
        order = np.random.default_rng([*seed, _label_seed(label)])
        drawn.append(order.permutation(train[y[train] == label])[:size])
    return np.sort(np.concatenate(drawn))


def _check_n_splits(n_splits: Any) -> None:
    if not isinstance(n_splits, Integral) or isinstance(n_splits, bool):
        raise TypeError(
            f"n_splits={n_splits!r} is a {type(n_splits).__name__}; wanted an integer, the number "
            "of folds, such as 5."
        )
    if n_splits < 2:
        raise ValueError(
            f"n_splits={n_splits}; wanted at least 2, as one fold is tested on while the others "
            "are trained on."
        )


def _check_train_fraction(train_fraction: Any) -> None:
    if not isinstance(train_fraction, Real) or isinstance(train_fraction, bool):
        raise TypeError(
            f"train_fraction={train_fraction!r} is a {type(train_fraction).__name__}; wanted a "
            "number in (0, 1], such as 0.05 for five percent of each training fold."
        )
    if not 0 < float(train_fraction) <= 1:
        raise ValueError(
            f"train_fraction={train_fraction}; wanted a number in (0, 1]. It is a share of the "
            "training fold and not a count: pass 0.05 for five percent, 1.0 for all of it."
        )


def count_windows(X: Any) -> int:
    """Number of windows of an array, a list or a container."""
    return X.shape[0] if hasattr(X, "shape") else len(X)


def check_labels(y: Any, n_windows: int | None = None) -> np.ndarray:
    """One known class label for each window."""
    if y is None:
        raise ValueError(
            "y is None; expected one class label for each window, since the folds and the draws "
            "are stratified. Pass split(X, y)."
        )
    return one_label_each(y, n_windows, "a stratified splitter")


def _check_enough_windows(y: np.ndarray, n_splits: int) -> None:
    labels, counts = np.unique(y, return_counts=True)
    if counts.max() < n_splits:
        raise ValueError(
            f"y has at most {counts.max()} window(s) of a class, fewer than n_splits={n_splits}; "
            f"wanted at least one for each fold. Take {max(2, counts.max())} folds or fewer, or "
            "more windows."
        )
    if counts.min() < n_splits:
        scarce = {label: n for label, n in zip(labels, counts, strict=True) if n < n_splits}
        warnings.warn(
            f"Some classes have fewer windows than n_splits={n_splits}: "
            f"{name_some(scarce, '{} ({} window(s))')}. Some folds are tested without such a "
            "class, and where it has a single window one is trained without.",
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
            f"{name_some(scarce, '{} (in {} group(s))')}. A fold can be without such a class, "
            "and a class in one group is never both trained on and tested on.",
            UserWarning,
            stacklevel=3,
        )


def as_seed(random_state: int | np.random.RandomState | None) -> int:
    """An integer seed, leaving `random_state` and numpy's global state as they are."""
    if random_state is None:
        return 0
    generator = check_random_state(random_state)
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(deepcopy(generator).randint(2**31 - 1))


def _label_seed(label: Any) -> int:
    # Not hash(), which is salted for strings and would differ from process to process.
    return crc32(str(label).encode())


def _warn_floored(floored: dict[Any, float], train_fraction: float) -> None:
    warnings.warn(
        f"train_fraction={train_fraction} of some classes rounds to no window at all, and one is "
        f"taken instead: {name_some(floored, '{} ({:.2g} windows)')}. These classes weigh more "
        "than the fraction says: raise train_fraction, or label more windows of them.",
        UserWarning,
        stacklevel=3,
    )


def name_some(counts: Mapping[Any, float], form: str) -> str:
    """The labels with their counts, a long list cut short."""
    named = [form.format(label, counts[label]) for label in list(counts)[:MAX_NAMED]]
    more = len(counts) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")
