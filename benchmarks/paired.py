"""Scores of models on the same sets and folds: means, differences, and bootstrap intervals."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from cells import Row

N_DRAWN, FEWEST_SETS = 2000, 3

Scores = dict[str, dict[int, float]]  # set, then fold


def scores_of(rows: Iterable[Row], model: str, fraction: float, metric: str) -> Scores:
    found: Scores = {}
    for row in rows:
        if row["model"] == model and float(row["fraction"]) == fraction:
            found.setdefault(row["set"], {})[int(row["fold"])] = float(row[metric])
    return found


def values(scores: Scores) -> dict[str, np.ndarray]:
    """Scores of each set, fold by fold."""
    return {name: np.array([scores[name][fold] for fold in sorted(scores[name])])
            for name in sorted(scores)}  # fmt: skip


def gaps(first: Scores, second: Scores) -> dict[str, np.ndarray]:
    """Differences on each set, over the folds that both have."""
    both = {
        name: {fold: score - second[name][fold] for fold, score in first[name].items()
               if fold in second[name]}
        for name in first.keys() & second.keys()
    }  # fmt: skip
    return values({name: folds for name, folds in both.items() if folds})


def mean_of(of_sets: dict[str, np.ndarray]) -> float:
    """Mean over sets of the mean over folds."""
    return float(np.mean([each.mean() for each in of_sets.values()]))


def interval(of_sets: dict[str, np.ndarray]) -> tuple[float, float] | None:
    """95 % interval of the mean, from resampling sets, and folds within each set.

    Folds of a set share training windows, so the part of the folds is rather too small. None for
    fewer than three sets, whose resamples are hardly any.
    """
    if len(of_sets) < FEWEST_SETS:
        return None
    rng, sets = np.random.default_rng(0), list(of_sets.values())
    sizes = np.array([len(each) for each in sets])
    padded = np.array([np.pad(each, (0, sizes.max() - len(each))) for each in sets])
    picked = rng.integers(len(sets), size=(N_DRAWN, len(sets)))
    n_folds = sizes[picked][..., None]
    folds = (rng.random((N_DRAWN, len(sets), sizes.max())) * n_folds).astype(int)
    drawn = padded[picked[..., None], folds] * (np.arange(sizes.max()) < n_folds)
    means = (drawn.sum(-1) / n_folds[..., 0]).mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
