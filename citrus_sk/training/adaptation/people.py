"""The windows of each person, their means, and how much weight a mean deserves."""

from __future__ import annotations

import numpy as np

SHRINKAGE = 5.0  # windows beyond the first at which a person's mean gets half of the weight


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
