"""Checks of labels, target values, groups and weights.

Estimators and splitters share these checks, so both accept the same input.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_array

from .missing import is_missing, missing_rows


def check_labels(y: Any, n_windows: int, who: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the sorted classes, and for each label its index into them."""
    if y is None:
        raise ValueError(
            f"This {who} estimator requires y to be passed, but the target y is None. Pass one "
            "label for each window. Events of mne.Epochs serve as labels only if the Epochs are "
            "passed to it directly; in a pipeline pass y=citrus_sk.mne.labels_of(epochs)."
        )
    labels, classes, codes = _encode(y, n_windows, who)
    check_number_of(labels, n_windows)
    if len(classes) < 2:
        raise ValueError(
            f"{who} can't train on one class: y holds only {classes.tolist()[0]!r} in "
            f"{len(labels)} windows. Pass windows of at least 2 classes."
        )
    return classes, codes


def split_labels(y: Any, n_windows: int | None, unlabelled: Any) -> tuple[np.ndarray, np.ndarray]:
    """Tell the windows that have a label from those that are marked to have none.

    Parameters
    ----------
    y : array-like of shape (n_windows,)
    n_windows : int or None
        Number of windows; None if unknown.
    unlabelled : object
        The mark: a value of the type of the labels, or NaN for all missing values.

    Returns
    -------
    labels : ndarray
        Those of the windows that have one; not checked otherwise.
    known : ndarray of bool, shape (n_windows,)
        Whether each window has a label.

    Raises
    ------
    ValueError
        If the mark cannot be among the labels, or no window has a label.
    """
    labels = unwrap(y, "y", n_windows)
    if labels.ndim == 2 and 1 in labels.shape:
        labels = labels.ravel()
    if labels.ndim != 1:
        return labels, np.ones(len(labels), bool)  # which check_labels refuses
    if is_missing(unlabelled):
        known = np.ones(len(labels), bool)
        known[missing_rows(labels)] = False
    else:
        _check_mark(unlabelled, labels)
        known = np.array([label != unlabelled for label in labels.tolist()], bool)
    if len(known) and not known.any():
        raise ValueError(
            f"All {len(labels)} windows are unlabelled: y holds nothing but {unlabelled!r}. Pass "
            "labelled windows of at least 2 classes among them."
        )
    found = labels[known]
    return _array_of(found.tolist()) if found.dtype == object else found, known


def _check_mark(unlabelled: Any, labels: np.ndarray) -> None:
    """Refuse a mark that no label could be equal to."""
    is_text, texts = isinstance(unlabelled, str), labels.dtype.kind == "U"
    if labels.dtype.kind in "Uiufb" and is_text != texts:
        raise ValueError(
            f"unlabelled={unlabelled!r} is {'text' if is_text else 'no text'}, and the labels in y "
            f"are {'text' if texts else 'numbers'} such as {labels.tolist()[0]!r}; expected a mark "
            "of their type. In a list with texts, numpy turns -1 into '-1'."
        )


def one_label_each(y: Any, n_windows: int | None, who: str) -> np.ndarray:
    """Return labels as a one-dimensional array, and check that none is missing.

    Parameters
    ----------
    y : array-like of shape (n_windows,), (n_windows, 1) or (1, n_windows)
        Strings, bytes, integers, booleans, or cells of these as MATLAB files hold them.
    n_windows : int or None
        Number of windows; None if unknown.
    who : str
        Name of the estimator, for messages.

    Raises
    ------
    ValueError
        If a label is missing, there are several for a window, or they are continuous numbers.
    TypeError
        If the labels are of types that cannot be sorted together.
    """
    return _encode(y, n_windows, who)[0]


def _encode(y: Any, n_windows: int | None, who: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Check labels as `one_label_each` does; return them, the sorted classes, and their indices."""
    labels = unwrap(y, "y", n_windows)
    if labels.ndim == 2 and labels.shape[1] > 1:
        raise _several_labels(labels.shape[1], who)
    labels = column_or_1d(labels, warn=True)
    remedy = "Leave the unlabelled windows out of X and y, or pass unlabelled=np.nan to"
    _refuse_missing(labels, "y", f"{remedy} CitrusClassifier.")
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise ValueError("Input y contains infinity. Pass integers or strings as labels.")
    try:
        if type_of_target(labels) == "continuous":
            raise ValueError(
                f"Unknown label type: continuous. y holds {len(np.unique(labels))} distinct "
                f"numbers such as {labels[0]:g}, which are not class labels. Use CitrusRegressor "
                "to predict numbers; convert y to int or str to predict classes."
            )
        check_classification_targets(labels)
        classes, codes = np.unique(labels, return_inverse=True)
    except TypeError as error:
        raise TypeError(_mixed_types("y", labels)) from error
    return labels, classes, codes


def check_values(y: Any, n_windows: int, who: str) -> np.ndarray:
    """Return target values as float64 of shape (n_windows,) or (n_windows, n_outputs)."""
    y = unwrap(y, "y", n_windows)
    if y.dtype.kind in "USOV":
        if y.ndim == 1:
            _refuse_missing(y, "y", "Leave the windows without a target value out of X and y.")
        try:
            y = np.asarray(y, np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"y holds {y.ravel()[:1].tolist()[0]!r}, which is not a number, and {who} predicts "
                "numbers. Labels are for CitrusClassifier."
            ) from error
    values = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y", ensure_min_samples=0)
    if values.ndim == 0:
        raise ValueError(
            f"y is a single number, {values:g}; expected a value for each of the {n_windows} "
            "windows."
        )
    if values.ndim == 2 and values.shape[1] == 1:
        values = column_or_1d(values, warn=True)
    check_number_of(values, n_windows)
    return values


def check_groups(groups: Any, n_windows: int | None = None) -> np.ndarray:
    """Return groups as a one-dimensional array, and check that none is missing."""
    values = unwrap(groups, "groups", n_windows)
    if values.ndim not in (1, 2) or values.size != len(values):
        raise ValueError(
            f"groups should be a 1d array, got an array of shape {values.shape} instead. Pass one "
            "person or recording for each window."
        )
    values = values.ravel()
    _refuse_missing(
        values,
        "groups",
        "Windows of unknown origin could be on both sides of a split: leave them out, or give "
        "each its own group.",
    )
    try:
        np.unique(values)
    except TypeError as error:
        raise TypeError(_mixed_types("groups", values)) from error
    if n_windows is not None:
        check_number_of(values, n_windows, "groups", "groups")
    return values


def check_weights(sample_weight: Any, n_windows: int) -> np.ndarray:
    """Return weights as float64, and check that none is negative; None becomes ones."""
    if sample_weight is None:
        return np.ones(n_windows)
    weights = check_array(
        unwrap(sample_weight, "sample_weight", n_windows),
        ensure_2d=False, dtype=np.float64, input_name="sample_weight",
    )  # fmt: skip
    if weights.shape != (n_windows,) or (weights < 0).any():
        raise ValueError(
            f"sample_weight has shape {weights.shape} and minimum {weights.min():g}; expected one "
            f"number of 0 or more for each of the {n_windows} windows."
        )
    return weights


def check_number_of(
    values: np.ndarray, n_windows: int, name: str = "y", noun: str = "labels"
) -> None:
    """Raise ValueError unless there is one value for each window."""
    if len(values) != n_windows:
        raise ValueError(
            f"X has {n_windows} windows, but {name} has {len(values)} {noun}: inconsistent numbers "
            "of samples. Pass one for each window."
        )


def unwrap(values: Any, name: str, n_windows: int | None = None) -> np.ndarray:
    """Return `values` as an array, without the wrappings of file formats.

    Bytes (HDF5) become strings, cells (MATLAB) become their content, and a row ``(1, n_windows)``
    (MATLAB) becomes one-dimensional.
    """
    refuse_masked(values, name)
    try:
        array = np.asarray(values)
    except ValueError as error:
        most = max(np.size(row) for row in values)
        raise ValueError(
            f"{name} has up to {most} values for a window (multilabel); expected one for each "
            "window."
        ) from error
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8")
    elif array.dtype == object and array.size:
        cells = [_unwrap_cell(cell) for cell in array.ravel()]
        if any(new is not old for new, old in zip(cells, array.ravel(), strict=True)):
            array = _array_of(cells).reshape(array.shape)
    is_row = array.ndim == 2 and array.shape[0] == 1 and array.shape[1] > 1
    return array[0] if is_row and n_windows in (None, array.shape[1]) else array


def refuse_masked(values: Any, name: str) -> None:
    """Raise ValueError if `values`, or one of its items, is an array with masked entries."""
    listed = values if isinstance(values, list | tuple) else [values]
    for i, item in enumerate(listed):
        if np.ma.isMaskedArray(item) and np.ma.is_masked(item):
            where = f"{name}[{i}]" if isinstance(values, list | tuple) else name
            first = tuple(int(each) for each in np.argwhere(np.ma.getmaskarray(item))[0])
            raise ValueError(
                f"{where} is a masked array with {np.ma.count_masked(item)} masked entries (first: "
                f"index {first}), and masked entries are missing values. Fill them with "
                "interpolated values, or leave these windows out."
            )


def _unwrap_cell(cell: Any) -> Any:
    """Return the content of a cell of an object array."""
    if isinstance(cell, bytes):
        return cell.decode("utf-8")
    if isinstance(cell, np.ndarray):
        if cell.size == 1:
            return _unwrap_cell(cell.item())
        return None if cell.size == 0 else cell  # MATLAB writes an empty cell as an empty array
    return cell


def _array_of(cells: list[Any]) -> np.ndarray:
    """Return the cells as a one-dimensional array, of dtype object if their types differ."""
    kinds = {type(cell) for cell in cells}
    if len(kinds) == 1 and not isinstance(cells[0], np.ndarray | None):
        return np.array(cells)
    array = np.empty(len(cells), object)
    array[:] = cells
    return array


def _refuse_missing(values: np.ndarray, name: str, remedy: str) -> None:
    if values.dtype.kind in "iub":
        return
    rows = np.flatnonzero(np.isnan(values)) if values.dtype.kind == "f" else missing_rows(values)
    if len(rows):
        found = sorted({repr(str(values[row])) for row in rows})
        raise ValueError(
            f"Input {name} contains NaN, None or another missing value "
            f"({', '.join(found)}) at {len(rows)} of {len(values)} places (first: {rows[0]}). "
            f"{remedy}"
        )


def _several_labels(n_columns: int, who: str) -> ValueError:
    return ValueError(
        f"y has {n_columns} columns (multilabel or multioutput), but {who} takes one label for "
        "each window. For one-hot rows, pass y.argmax(1). For several labels at once, "
        "sklearn.multioutput.MultiOutputClassifier fits one classifier for each column. For "
        "numbers, use CitrusRegressor."
    )


def _mixed_types(name: str, values: np.ndarray) -> str:
    kinds = sorted({type(value).__name__ for value in values})
    return f"{name} mixes values of types {kinds}; expected values of one type."
