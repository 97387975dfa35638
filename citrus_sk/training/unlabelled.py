"""Training windows without a label: what they say about the people of those that have one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .adaptation.people import PeopleMeans
from .labelled import UnlabelledWindows

MOST_OF_A_PERSON = 200  # a mean over more is hardly more accurate, and features take time


def means_of_people(
    unlabelled: UnlabelledWindows, features_of: Callable[[np.ndarray], np.ndarray]
) -> PeopleMeans:
    """Mean features of each person over windows without a label, at most 200 of a person.

    The features of one person are in memory at a time.

    Parameters
    ----------
    unlabelled : UnlabelledWindows
        Windows with groups. They are sorted by hashes, so the first of a person are a random
        sample.
    features_of : callable
        Function from rows of ``X`` to standardised features of shape (n_rows, n_features).
    """
    groups = unlabelled.groups
    assert groups is not None
    people, counts, means = np.unique(groups), [], []
    for person in people:
        picked = np.flatnonzero(groups == person)[:MOST_OF_A_PERSON]
        weights = unlabelled.weights[picked]
        counts.append(weights.sum())
        means.append(np.average(features_of(unlabelled.rows[picked]), axis=0, weights=weights))
    return PeopleMeans(people, np.array(counts), np.array(means))
