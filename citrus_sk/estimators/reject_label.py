"""The label that stands for a window without an answer."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

from .._utils.validation import first_few

_NUMBER, _STRING = -1, "rejected"


def check_reject_label(value: Any, classes: np.ndarray) -> Any:
    """Return the label of rejected windows, which fits the classes and is none of them.

    Parameters
    ----------
    value : int, float, str or "auto"
        Parameter of the estimator.
    classes : ndarray of shape (n_classes,)
        The labels.

    Raises
    ------
    ValueError
        If the label is one of the classes or of another kind, or if labels are booleans.
    """
    if classes.dtype.kind == "b":
        raise ValueError(
            "Labels are booleans, which have no third value for a rejected window; expected "
            "numbers or strings. Convert them: y.astype(int) or y.astype(str)."
        )
    are_strings = isinstance(classes[0], str)
    label = value
    if isinstance(value, str) and value == "auto":
        label = _STRING if are_strings else _NUMBER
    kind = "a string" if are_strings else "a number"
    known = first_few(map(repr, classes.tolist()))
    is_number = isinstance(label, Real) and not isinstance(label, bool | np.bool_)
    if not (isinstance(label, str) if are_strings else is_number):
        raise ValueError(
            f"reject_label={value!r} is a {type(value).__name__}; expected {kind} or 'auto', as "
            f"the classes are {known}."
        )
    if label in classes.tolist():
        raise ValueError(
            f"reject_label={label!r} is one of the classes; expected {kind} that is not among "
            f"{known}. Pass another reject_label."
        )
    return label
