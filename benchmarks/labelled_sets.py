"""Labelled sets and the draws from them that the benchmarks train and test on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from citrus_sk.datasets import load_watch

MOST_TRAINED, MOST_TESTED, FEWEST = 1000, 500, 2
N_FOLDS = 5


def read_sets(folder: Path | None) -> dict[str, tuple]:
    """X, y, groups or None and Hz of every ``.npz`` in `folder`; the demo's recordings for None."""
    if folder is None:
        watch = load_watch()
        return {"watch": (watch.X, watch.y, watch.groups, watch.sfreq)}
    sets = {path.stem: read_set(path) for path in sorted(folder.glob("*.npz"))}
    if not sets:
        raise SystemExit(f"--sets {folder}: there is no .npz in it")
    return sets


def read_set(path: Path) -> tuple:
    with np.load(path) as data:
        X = data["X"].astype(np.float32)
        if "scale" in data.files:
            X *= np.asarray(data["scale"], np.float32).reshape(1, -1, 1)
        groups = data["groups"].astype(str) if "groups" in data.files else None
        return X, data["y"].astype(str), groups, float(data.get("sfreq", np.nan))


def splits_by_group(y, groups, n_folds: int = N_FOLDS) -> bool:
    """Whether every class has enough groups for one in each fold."""
    return groups is not None and all(
        len(np.unique(groups[y == label])) >= n_folds for label in np.unique(y)
    )


def all_splits(y, groups, n_folds: int, seed: int) -> list[tuple]:
    """All folds; nobody is on both sides where every class has enough groups."""
    by_group = splits_by_group(y, groups, n_folds)
    splitter = StratifiedGroupKFold if by_group else StratifiedKFold
    folds = splitter(n_folds, shuffle=True, random_state=seed)
    return list(folds.split(y, y, groups if by_group else None))


def has_people(y, groups) -> bool:
    """Whether most groups have several classes, as people do and recordings do not."""
    if groups is None:
        return False
    several = [len(np.unique(y[groups == group])) > 1 for group in np.unique(groups)]
    return len(several) > 1 and float(np.mean(several)) > 0.5


def splits(y, groups, n_folds: int):
    """The first of five folds; nobody is on both sides where every class has five groups."""
    return all_splits(y, groups, N_FOLDS, 0)[:n_folds]


def drawn(y, train, fraction: float, seed: int):
    """A stratified share of the training fold, at least two of a class."""
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(train[y[train] == label]) for label in np.unique(y[train])]
    total = sum(len(order) for order in orders) * fraction
    fraction *= min(1.0, MOST_TRAINED / total)
    return np.sort(np.concatenate([o[: max(FEWEST, round(fraction * len(o)))] for o in orders]))


def draws(y, groups, fractions, n_folds: int) -> list[tuple]:
    """Fold, fraction, training and test windows. A smaller share is part of a larger one."""
    cases = []
    for fold, (train, test) in enumerate(splits(y, groups, n_folds)):
        test = np.random.default_rng(fold).permutation(test)[:MOST_TESTED]
        cases += [(fold, f, drawn(y, train, f, fold), test) for f in fractions]
    return cases
