"""The windows of each person, their means, and how much weight a mean deserves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SHRINKAGE = 5.0  # windows beyond the first at which a person's mean gets half of the weight


@dataclass(frozen=True)
class PeopleMeans:
    """Means over the windows of each person that have no label.

    Attributes
    ----------
    people : ndarray of int, shape (n_people,)
        Codes of the people, in ascending order.
    counts : ndarray of float, shape (n_people,)
        Number of windows of each person.
    means : ndarray of shape (n_people, n_columns)
        Means of features, or of decisions.
    """

    people: np.ndarray
    counts: np.ndarray
    means: np.ndarray

    def count_of(self, person: int) -> float:
        """Number of windows of one person; 0 for a person who has none."""
        return float(self.counts[self.people == person].sum())


def rows_of_people(
    groups: np.ndarray, weights: np.ndarray | None = None
) -> list[tuple[np.ndarray, float]]:
    """Rows of each person, and the number of windows that they stand for.

    Parameters
    ----------
    groups : ndarray of shape (n,)
        Person of each row.
    weights : ndarray of shape (n,), optional
        Number of windows that each row stands for; 1 by default.

    Returns
    -------
    list of (ndarray of int, float)
        One entry for each person, in sorted order; rows in ascending order.
    """
    _, person, counts = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.argsort(person, kind="stable")
    people = np.split(order, np.cumsum(counts)[:-1])
    return [(rows, float(len(rows) if weights is None else weights[rows].sum())) for rows in people]


def mean_weight(n_windows: float, shrinkage: float = SHRINKAGE) -> float:
    """Weight of a person's mean against the population's.

    Parameters
    ----------
    n_windows : float
        Number of windows of the person.
    shrinkage : float, default=5.0
        Number of windows beyond the first at which the weight is 1/2.

    Returns
    -------
    float
        0 for one window; close to 1 for very many.
    """
    beyond_first = max(0.0, n_windows - 1)
    return beyond_first / (beyond_first + shrinkage) if beyond_first else 0.0


def share_of_others(n_windows: float) -> float:
    """Share of a person's windows that are other windows than a given one: 0 for one window."""
    return max(0.0, n_windows - 1) / max(1.0, n_windows)


def ordered_mean(values: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Mean over rows, with the same bits for any order of the rows.

    Parameters
    ----------
    values : ndarray of shape (n, n_columns)
    weights : ndarray of shape (n,), optional
        Number of windows that each row stands for; 1 by default.

    Returns
    -------
    ndarray of shape (n_columns,)
    """
    if weights is None:
        total, count = np.sort(values, axis=0).sum(axis=0), float(len(values))
    else:
        total = np.sort(weights[:, None] * values, axis=0).sum(axis=0)
        count = float(np.sort(weights).sum())
    return np.asarray(total / count)


def with_unlabelled(
    mean: np.ndarray, n_windows: float, person: int, unlabelled: PeopleMeans | None
) -> tuple[np.ndarray, float]:
    """Join the windows of one person that have no label to the mean of those that have one.

    Parameters
    ----------
    mean : ndarray of shape (n_columns,)
        Over the labelled windows.
    n_windows : float
        Number of labelled windows.
    person : int
        Code of the person.
    unlabelled : PeopleMeans or None

    Returns
    -------
    mean : ndarray of shape (n_columns,)
    n_windows : float
        Number of all windows. Both are returned as they are where no window lacks a label.
    """
    count = 0.0 if unlabelled is None else unlabelled.count_of(person)
    if unlabelled is None or not count:
        return mean, n_windows
    (other,) = unlabelled.means[unlabelled.people == person]
    total = n_windows + count
    return (n_windows * mean + count * other) / total, total


def overall_mean(
    values: np.ndarray, weights: np.ndarray, unlabelled: PeopleMeans | None
) -> np.ndarray:
    """Mean over the windows of all people, with and without a label.

    Parameters
    ----------
    values : ndarray of shape (n, n_columns)
        Of the labelled windows.
    weights : ndarray of shape (n,)
        Number of windows that each row stands for.
    unlabelled : PeopleMeans or None
        Means of the same columns over windows without a label.

    Returns
    -------
    ndarray of shape (n_columns,)
    """
    mean = np.average(values, axis=0, weights=weights)
    if unlabelled is None:
        return np.asarray(mean)
    masses = np.concatenate([[weights.sum()], unlabelled.counts])
    return np.asarray(np.average([mean, *unlabelled.means], axis=0, weights=masses))
