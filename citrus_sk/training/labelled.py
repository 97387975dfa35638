"""Training sets: distinct windows in a canonical order, with targets and weights.

Identical windows with identical targets are merged, their weights are summed, and the windows are
sorted by a hash of their values. A fit thus does not depend on the order of the rows, and a weight
of 2 gives the same bits as two copies of a window.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

import numpy as np
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold
from sklearn.utils import compute_class_weight

from .._utils.warnings import ignored
from ..signals.targets import check_groups, check_weights

# scikit-learn's warning that a classification may be a regression; few windows have many classes.
MANY_CLASSES = "The number of unique classes"


NO_LABEL = -1  # in place of the index of a class


@dataclass(frozen=True)
class UnlabelledWindows:
    """Training windows without a label.

    Attributes
    ----------
    rows : ndarray of int, shape (n,)
        Rows of the ``X`` of the labelled windows.
    weights : ndarray of float, shape (n,)
        Weights, with a mean of 1.
    groups : ndarray of int, shape (n,), or None
        Code of the group of each window, as of the labelled windows.
    """

    rows: np.ndarray
    weights: np.ndarray
    groups: np.ndarray | None

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class LabelledWindows:
    """A view of some rows of ``X`` with their targets, weights and groups.

    Attributes
    ----------
    X : ndarray of shape (n_windows, n_chans, n_times)
        All windows, which are shared and never copied.
    rows : ndarray of int, shape (n,)
        Rows of ``X`` that the view contains.
    targets : ndarray
        Index of the class, int64 of shape (n,); or values of a regression, float32 of shape
        (n, n_outputs).
    weights : ndarray of float, shape (n,)
        Weights, whose mean over the whole training set is 1.
    groups : ndarray of int, shape (n,), or None
        Code of the group of each window, if groups are known.
    n_classes : int or None
        Number of classes; None for a regression.
    unlabelled : UnlabelledWindows or None
        Further windows, the same in each view.
    """

    X: np.ndarray
    rows: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    groups: np.ndarray | None
    n_classes: int | None
    unlabelled: UnlabelledWindows | None = None

    @property
    def n_outputs(self) -> int:
        return self.targets.shape[1] if self.n_classes is None else self.n_classes

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: np.ndarray) -> LabelledWindows:
        groups = None if self.groups is None else self.groups[index]
        return replace(
            self,
            rows=self.rows[index],
            targets=self.targets[index],
            weights=self.weights[index],
            groups=groups,
        )

    def without_groups(self) -> LabelledWindows:
        return replace(self, groups=None, unlabelled=None)

    def target_statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Weighted mean and sd of each target; 1 instead of the sd of a constant target."""
        mean = np.average(self.targets, axis=0, weights=self.weights)
        spread = np.average((self.targets - mean) ** 2, axis=0, weights=self.weights) ** 0.5
        return mean, np.where(spread > 1e-12 * np.abs(mean), spread, 1.0)

    def standardised(self, mean: np.ndarray, scale: np.ndarray) -> LabelledWindows:
        """Subtract `mean` from the targets and divide them by `scale`."""
        return replace(self, targets=((self.targets - mean) / scale).astype(np.float32))


def label_windows(
    X: np.ndarray,
    codes: np.ndarray,
    classes: np.ndarray,
    *,
    sample_weight: Any = None,
    class_weight: Any = None,
    groups: Any = None,
) -> LabelledWindows:
    """Merge, sort and weight the windows of a training set for classification.

    Windows whose code is `NO_LABEL` are kept apart.
    """
    rows, weights, group_codes = _distinct(X, codes, sample_weight, groups)
    known, unlabelled = codes[rows] != NO_LABEL, None
    if not known.all():
        others = None if group_codes is None else group_codes[~known]
        unlabelled = UnlabelledWindows(rows[~known], _with_mean_1(weights[~known]), others)
        rows, weights = rows[known], weights[known]
        group_codes = None if group_codes is None else group_codes[known]
    codes = codes[rows]
    _check_two_classes(codes, "sample_weight")
    if class_weight is not None:
        present = np.unique(codes)
        per_class = np.zeros(len(classes))
        per_class[present] = compute_class_weight(
            class_weight, classes=classes[present], y=classes[codes], sample_weight=weights
        )
        weights = weights * per_class[codes]
    labelled = LabelledWindows(X, rows, codes, weights, group_codes, len(classes), unlabelled)
    labelled = labelled.take(np.flatnonzero(weights))
    _check_two_classes(labelled.targets, "class_weight")
    return replace(labelled, weights=_with_mean_1(labelled.weights))


def _check_two_classes(codes: np.ndarray, name: str) -> None:
    if len(np.unique(codes)) < 2:
        raise ValueError(
            f"Expected {name} to leave at least 2 classes, got fewer: all windows of the others "
            "have zero weight. Give windows of at least 2 classes a weight above 0."
        )


def regression_windows(
    X: np.ndarray, values: np.ndarray, *, sample_weight: Any = None, groups: Any = None
) -> LabelledWindows:
    """Merge, sort and weight the windows of a regression on values ``(n_windows, n_outputs)``."""
    rows, weights, group_codes = _distinct(X, values, sample_weight, groups)
    if len(rows) < 2:
        raise ValueError(
            f"n_samples = {len(rows)} is too few: expected at least 2 distinct windows whose "
            f"sample_weight is not zero, got {len(rows)} among {len(X)} window(s)."
        )
    return LabelledWindows(X, rows, values[rows], _with_mean_1(weights), group_codes, None)


def _with_mean_1(weights: np.ndarray) -> np.ndarray:
    """Divide the weights of distinct windows by their mean, so that only their ratios matter.

    Merged windows count as one, so repeating all windows changes nothing.
    """
    weights = weights / weights.max()  # so that the sum cannot overflow
    return weights / weights.mean()


def _distinct(
    X: np.ndarray, targets: np.ndarray, sample_weight: Any, groups: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Rows of distinct windows, with their weights and groups."""
    weights = check_weights(sample_weight, len(X))
    group_codes = None
    if groups is not None:
        _, group_codes = np.unique(check_groups(groups, len(X)), return_inverse=True)
    rows, weights = _merge(X, targets, weights, group_codes)
    return rows, weights, None if group_codes is None else group_codes[rows]


def _merge(
    X: np.ndarray, targets: np.ndarray, weights: np.ndarray, groups: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of distinct windows with a positive weight, and their summed weights."""
    found: dict[tuple[Any, ...], list[Any]] = {}
    for row in np.flatnonzero(weights):
        digest = blake2b(X[row].tobytes(), digest_size=16).digest()
        group = 0 if groups is None else groups[row]
        target = tuple(np.atleast_1d(targets[row]).tolist())
        entry = found.setdefault((digest, target, group), [row, 0.0])
        entry[1] += weights[row]
    entries = [found[key] for key in sorted(found)]
    return np.array([row for row, _ in entries], int), np.array([weight for _, weight in entries])


def inner_folds(labelled: LabelledWindows, n_splits: int, seed: int) -> list[tuple[Any, ...]]:
    """Cross-validation folds within a training set, which keep groups together.

    Folds are stratified by class. There are fewer folds if a class has too few windows (or groups),
    and none if not even two folds can have every class on both sides.
    """
    if labelled.n_classes is None:
        return _plain_folds(labelled, n_splits, seed)
    codes, groups = labelled.targets, labelled.groups
    units = np.arange(len(codes)) if groups is None else groups
    scarce = min(len(np.unique(units[codes == code])) for code in np.unique(codes))
    n_splits = min(n_splits, scarce)
    if n_splits < 2:
        return []
    kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    with ignored(UserWarning, MANY_CLASSES):
        folds = list(kind(n_splits, shuffle=True, random_state=seed).split(codes, codes, groups))
    classes = len(np.unique(codes))
    return [fold for fold in folds if len(np.unique(codes[fold[0]])) == classes]


def _plain_folds(labelled: LabelledWindows, n_splits: int, seed: int) -> list[tuple[Any, ...]]:
    groups = labelled.groups
    n_splits = min(n_splits, len(labelled) if groups is None else len(np.unique(groups)))
    if n_splits < 2:
        return []
    kind = KFold if groups is None else GroupKFold
    return list(kind(n_splits, shuffle=True, random_state=seed).split(labelled.rows, None, groups))
