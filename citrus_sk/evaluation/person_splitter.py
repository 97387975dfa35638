"""Cross-validation that leaves one person out, with a few labelled windows of that person."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import indexable

from .._utils.validation import as_flag, check_number, first_few
from ..signals.containers import count_windows
from ..signals.targets import check_groups
from .splitters import as_seed, check_labels, label_seed, with_counts

FEWEST_RESERVED = 10


class LeaveOnePersonOut(BaseCrossValidator):
    """Folds that test on one person each and train on the others and on a few windows of theirs.

    The splitter for the question how well a classifier does on a new person who has labelled
    `n_calibration` windows of each class. With ``n_calibration=0`` it is scikit-learn's
    `LeaveOneGroupOut`, except that some windows of the person are reserved and not tested on.

    Calibration windows are nested: those for 1 window per class are among those for 2. The test
    windows of a person are the same for every `n_calibration` up to `n_reserved`, so two such
    scores differ only in what was known of the person.

    Parameters
    ----------
    n_calibration : int, default=2
        Number of windows of each class of the person left out that are trained on, 0 or more and
        at most `n_reserved`. From a class with fewer reserved windows, all of these are taken; a
        `UserWarning` names the people.

    n_reserved : int or None, default=None
        Number of windows of each class of the person left out that are reserved for calibration,
        and therefore not tested on. From a class with `n` windows of that person, ``min(n_reserved,
        n // 2)`` are reserved, so at least half of them remain for the test. None is the larger of
        10 and `n_calibration`.

    shuffle : bool, default=True
        Whether the reserved windows of each class are drawn at random. False takes the first ones
        in the order of `X`, as a calibration at the beginning of a recording does. Use False if
        windows overlap, because a random window overlaps with windows of the test.

    random_state : int, RandomState instance or None, default=0
        Seed of the draws; it has no effect if `shuffle` is False. The default makes splits
        repeatable. None makes new draws at each call of `split`, which are then nested no longer.
        A `RandomState` instance is read but not advanced.

    See Also
    --------
    sklearn.model_selection.LeaveOneGroupOut : The same folds without calibration windows.
    StratifiedFractionKFold : Several people in each fold, trained on a fraction of the labels.

    Notes
    -----
    The windows of each class of each person are shuffled once, with a seed made of `random_state`,
    the person and the label, and the first windows of that order are reserved. The order depends
    neither on `n_calibration` nor on the other people and classes.

    Examples
    --------
    >>> import numpy as np
    >>> from citrus_sk.evaluation import LeaveOnePersonOut
    >>> X = np.zeros((120, 1, 50))  # 120 windows, 1 channel, 50 samples
    >>> y = np.tile(["rest", "fist"], 60)
    >>> people = np.repeat(["Ann", "Bob", "Cleo"], 40)
    >>> cv = LeaveOnePersonOut(n_calibration=2)
    >>> for train, calibration, test in cv.split_calibration(X, y, people):
    ...     print(len(train), "and", len(calibration), "windows, tested on", len(test))
    80 and 4 windows, tested on 20
    80 and 4 windows, tested on 20
    80 and 4 windows, tested on 20

    Pass it as `cv` to any function that cross-validates. Training windows are then those of the
    other people and the calibration windows together:

    >>> from sklearn.dummy import DummyClassifier
    >>> from sklearn.model_selection import cross_val_score
    >>> cross_val_score(DummyClassifier(), X, y, groups=people, cv=cv).shape
    (3,)
    """

    # With metadata routing enabled, groups reach `split` without a request, as in scikit-learn's
    # own group splitters.
    __metadata_request__split = {"groups": True}  # noqa: RUF012

    def __init__(
        self,
        n_calibration: int = 2,
        *,
        n_reserved: int | None = None,
        shuffle: bool = True,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        check_number("n_calibration", n_calibration, Integral)
        check_number("n_reserved", n_reserved, Integral, alternatives=(None,))
        as_flag("shuffle", shuffle)
        if n_reserved is not None and n_reserved < n_calibration:
            raise ValueError(
                f"n_calibration={n_calibration} is larger than n_reserved={n_reserved}; expected "
                "at most as many calibration windows per class as are reserved for them. Raise "
                "n_reserved, or leave it out."
            )
        self.n_calibration = n_calibration
        self.n_reserved = n_reserved
        self.shuffle = shuffle
        self.random_state = random_state

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds, which is the number of people.

        Parameters
        ----------
        X, y : object
            Ignored; scikit-learn passes them.
        groups : array-like of shape (n_windows,)
            Person of each window.

        Returns
        -------
        int

        Raises
        ------
        ValueError
            If `groups` is None or holds a single group.
        """
        return len(_check_people(groups, None)[1])

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
        groups : array-like of shape (n_windows,)
            Person of each window.

        Yields
        ------
        train : ndarray of shape (n_train,)
            Sorted indices of all windows of the other people and of the calibration windows.
        test : ndarray of shape (n_test,)
            Sorted indices of the windows of the person left out that are not reserved.

        Raises
        ------
        ValueError
            If labels or groups are missing, there is only one group, or their number differs from
            that of the windows.

        Warns
        -----
        UserWarning
            If a class of a person has fewer reserved windows than `n_calibration`, or if a class
            occurs in one person only, whom no other person's windows can represent.
        """
        for train, calibration, test in self._folds(X, y, groups):
            yield np.sort(np.concatenate([train, calibration])), test

    def split_calibration(
        self, X: Any, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield the indices of the training, the calibration and the test windows of each fold.

        Parameters
        ----------
        X : array-like of length n_windows, or None
            Only its length is used, so a memory map stays on disk.
        y : array-like of shape (n_windows,)
            Class labels: strings, integers or booleans.
        groups : array-like of shape (n_windows,)
            Person of each window.

        Yields
        ------
        train : ndarray of shape (n_train,)
            Sorted indices of all windows of the other people.
        calibration : ndarray of shape (n_calibration_windows,)
            Sorted indices of the calibration windows of the person left out.
        test : ndarray of shape (n_test,)
            Sorted indices of the windows of the person left out that are not reserved.

        Raises
        ------
        ValueError
            As in `split`.

        Warns
        -----
        UserWarning
            As in `split`.
        """
        yield from self._folds(X, y, groups)

    def _folds(
        self, X: Any, y: Any, groups: Any
    ) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        y = check_labels(y, None if X is None else count_windows(X))
        groups, people = _check_people(groups, len(y))
        indexable(X, y, groups)
        _warn_single(y, groups)
        seed = as_seed(self.random_state) if self.shuffle else None
        folds = []
        short: dict[Any, int] = {}
        for person in people:
            of_person = groups == person
            reserved = self._reserved_windows(np.flatnonzero(of_person), y, person, seed)
            calibration = [rows[: self.n_calibration] for rows in reserved]
            if (fewest := min(map(len, calibration))) < self.n_calibration:
                short[person] = fewest
            test = np.setdiff1d(np.flatnonzero(of_person), np.concatenate(reserved))
            folds.append((np.flatnonzero(~of_person), np.sort(np.concatenate(calibration)), test))
        if short:
            _warn_short(short, self.n_calibration)
        return folds

    def _reserved_windows(
        self, rows: np.ndarray, y: np.ndarray, person: Any, seed: int | None
    ) -> list[np.ndarray]:
        """Rows of a person that are not tested on, class by class, in the order of their use."""
        n_reserved = self.n_reserved
        if n_reserved is None:
            n_reserved = max(FEWEST_RESERVED, self.n_calibration)
        reserved = []
        for label in np.unique(y[rows]):
            of_class = rows[y[rows] == label]
            if seed is not None:
                order = np.random.default_rng([seed, label_seed(person), label_seed(label)])
                of_class = order.permutation(of_class)
            reserved.append(of_class[: min(n_reserved, len(of_class) // 2)])
        return reserved


def _check_people(groups: Any, n_windows: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Person of each window, and the people in sorted order."""
    if groups is None:
        raise ValueError(
            "groups is None; expected the person of each window, because one person is left out at "
            "a time. Pass split(X, y, groups), or groups=people to scikit-learn's function."
        )
    groups = check_groups(groups, n_windows)
    people = np.unique(groups)
    if len(people) < 2:
        raise ValueError(
            f"groups has {len(people)} distinct value(s); expected at least 2 people, one to test "
            "on and others to train on."
        )
    return groups, people


def _warn_single(y: np.ndarray, groups: np.ndarray) -> None:
    people_of = {label: np.unique(groups[y == label]) for label in np.unique(y)}
    single = {label: people[0] for label, people in people_of.items() if len(people) == 1}
    if single:
        named = first_few(f"{label} ({person})" for label, person in single.items())
        warnings.warn(
            f"Some classes occur in one person only: {named}. When that person is left out, a "
            "classifier learns such a class from the calibration windows alone, and without them "
            "it cannot predict it.",
            UserWarning,
            stacklevel=4,
        )


def _warn_short(short: Mapping[Any, int], n_calibration: int) -> None:
    warnings.warn(
        f"Some people have fewer than n_calibration={n_calibration} reserved windows of a class, "
        "because half of the windows of each class are kept for the test, and all reserved ones "
        f"are taken: {with_counts(short, '{} ({} window(s))')}.",
        UserWarning,
        stacklevel=4,
    )
