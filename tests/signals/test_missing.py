import numpy as np
import pandas as pd
import pytest

from citrus_sk.signals.missing import MISSING_TEXTS, is_missing, missing_rows


@pytest.mark.parametrize(
    "value",
    [
        None, np.nan, float("nan"), np.float32("nan"), pd.NA, pd.NaT, np.datetime64("NaT"),
        np.ma.masked, "n/a", " NaN ", "", "<NA>", np.str_("nan"), b"n/a",
    ],
    ids=repr,
)  # fmt: skip
def test_a_missing_value_is_recognised_by_any_of_its_names(value):
    assert is_missing(value)


@pytest.mark.parametrize(
    "value",
    [0, False, "none", "None", "null", "Nan", "rest", b"rest", b"\xff", np.inf, [np.nan, 1], {}],
)
def test_values_and_names_of_classes_are_not_missing(value):
    assert not is_missing(value)


def test_the_texts_are_those_of_pandas_less_two_names_of_classes():
    from pandas._libs.parsers import STR_NA_VALUES

    assert STR_NA_VALUES - {"None", "null", "NULL"} | {"NaT"} == MISSING_TEXTS


def test_missing_rows_are_counted_from_zero():
    assert missing_rows(["a", None, "b", "n/a"]) == [1, 3]
