"""Detection of missing values in labels, groups and tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

# The texts that `pandas.read_csv` reads as missing, without "None" and "null", which are in use as
# names of classes, such as the null class of activity recognition.
MISSING_TEXTS = frozenset(
    {
        "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
        "<NA>", "N/A", "NA", "NaN", "NaT", "n/a", "nan",
    }
)  # fmt: skip


def is_missing(value: Any) -> bool:
    """Return True if a value is None, NaN, NaT, pd.NA, a masked entry or a missing text."""
    if value is None or value is np.ma.masked:
        return True
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        return value.strip() in MISSING_TEXTS
    if type(value).__name__ == "NAType":  # pd.NA, without importing pandas
        return True
    try:
        return bool(value != value)  # NaN and NaT differ from themselves
    except (TypeError, ValueError):  # arrays and the like, which are not single values
        return False


def missing_rows(values: Iterable[Any]) -> list[int]:
    """Return the indices of the missing entries of a one-dimensional sequence."""
    return [i for i, value in enumerate(values) if is_missing(value)]
