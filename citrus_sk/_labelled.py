"""What a training set is: distinct windows, in an order of their own, with labels and weights.

Identical windows with identical labels are merged into one that weighs as much as both, and the
rest is put in an order that the values give. So a fit does not depend on the order of the rows,
and a weight of 2 is the same thing as a window that stands there twice, to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.utils import assert_all_finite, column_or_1d, compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_consistent_length


@dataclass(frozen=True)
class LabelledWindows:
    """A view of some rows of ``X`` with what training has to know of each.

    Attributes
    ----------
    X : ndarray of shape (n_windows, n_chans, n_times)
        All windows; shared, never copied.
    rows : ndarray of int, shape (n,)
        Those that are meant.
    codes : ndarray of int, shape (n,)
        Index of the class.
    weights : ndarray of float, shape (n,)
    groups : ndarray of int, shape (n,), or None
    n_classes : int
    """

    X: np.ndarray
    rows: np.ndarray
    codes: np.ndarray
    weights: np.ndarray
    groups: np.ndarray | None
    n_classes: int

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: np.ndarray) -> LabelledWindows:
        groups = None if self.groups is None else self.groups[index]
        return replace(
            self,
            rows=self.rows[index],
            codes=self.codes[index],
            weights=self.weights[index],
            groups=groups,
        )


def check_labels(y: Any, n_windows: int, who: str) -> tuple[np.ndarray, np.ndarray]:
    """Return ``classes`` and the index into them of each label, as scikit-learn defines them."""
    if y is None:
        raise ValueError(f"This {who} estimator requires y to be passed, but the target y is None.")
    y = column_or_1d(y, warn=True)
    if len(y) != n_windows:
        raise ValueError(
            f"X has {n_windows} windows, but y has {len(y)} labels: inconsistent numbers of "
            "samples. Pass one label for each window."
        )
    missing = [i for i, label in enumerate(y) if label is None or label != label]
    if missing:
        raise ValueError(
            f"Input y contains NaN or None at {len(missing)} of {len(y)} places (first: "
            f"{missing[0]}). Leave the unlabelled windows out of X and y."
        )
    if y.dtype.kind == "f":
        assert_all_finite(y, input_name="y")
    try:
        check_classification_targets(y)
        classes, codes = np.unique(y, return_inverse=True)
    except TypeError as error:
        kinds = sorted({type(label).__name__ for label in y})
        raise TypeError(f"y mixes labels of types {kinds}; wanted one type.") from error
    if len(classes) < 2:
        raise ValueError(
            f"{who} can't train on one class: y holds only {classes.tolist()[0]!r} in {len(y)} "
            "windows. Pass windows of at least 2 classes."
        )
    return classes, codes


def label_windows(
    X: np.ndarray,
    codes: np.ndarray,
    classes: np.ndarray,
    *,
    sample_weight: Any = None,
    class_weight: Any = None,
    groups: Any = None,
) -> LabelledWindows:
    """Merge, order and weigh the windows of a training set."""
    check_consistent_length(X, codes, groups)
    weights = _check_weights(sample_weight, len(X))
    group_codes = None
    if groups is not None:
        _, group_codes = np.unique(column_or_1d(groups), return_inverse=True)
    rows, weights = _merge(X, codes, weights, group_codes)
    codes = codes[rows]
    if len(np.unique(codes)) < 2:
        raise ValueError(
            "sample_weight leaves fewer than 2 classes: windows of all others have zero weight. "
            "Give windows of at least 2 classes a weight above 0."
        )
    if class_weight is not None:
        present = np.unique(codes)
        per_class = np.zeros(len(classes))
        per_class[present] = compute_class_weight(
            class_weight, classes=classes[present], y=classes[codes], sample_weight=weights
        )
        weights = weights * per_class[codes]
    group_codes = None if group_codes is None else group_codes[rows]
    return LabelledWindows(X, rows, codes, weights, group_codes, len(classes))


def _check_weights(sample_weight: Any, n: int) -> np.ndarray:
    if sample_weight is None:
        return np.ones(n)
    weights = check_array(
        sample_weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight"
    )
    if weights.shape != (n,) or (weights < 0).any():
        raise ValueError(
            f"sample_weight has shape {weights.shape} and minimum {weights.min():g}; wanted one "
            f"number of 0 or more for each of the {n} windows."
        )
    return weights


def _merge(
    X: np.ndarray, codes: np.ndarray, weights: np.ndarray, groups: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on, one for each distinct window with a weight, and their summed weights."""
    found: dict[tuple, list] = {}
    for row in np.flatnonzero(weights):
        digest = blake2b(X[row].tobytes(), digest_size=16).digest()
        group = 0 if groups is None else groups[row]
        entry = found.setdefault((digest, codes[row], group), [row, 0.0])
        entry[1] += weights[row]
    entries = [found[key] for key in sorted(found)]
    return np.array([row for row, _ in entries], int), np.array([weight for _, weight in entries])


def inner_folds(labelled: LabelledWindows, n_splits: int, seed: int) -> list[tuple]:
    """Stratified folds inside a training set, people kept together where groups are known.

    Fewer folds where a class has too few windows (or groups); an empty list where even two
    folds cannot have every class on both sides.
    """
    codes, groups = labelled.codes, labelled.groups
    units = np.arange(len(codes)) if groups is None else groups
    scarce = min(len(np.unique(units[codes == code])) for code in np.unique(codes))
    n_splits = min(n_splits, scarce)
    if n_splits < 2:
        return []
    kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    folds = list(kind(n_splits, shuffle=True, random_state=seed).split(codes, codes, groups))
    classes = len(np.unique(codes))
    return [fold for fold in folds if len(np.unique(codes[fold[0]])) == classes]
