import io

import numpy as np
import pandas as pd
import pytest
import scipy.io
from numpy.testing import assert_array_equal

from citrus_sk import CitrusClassifier, CitrusRegressor, StratifiedFractionKFold
from citrus_sk.signals.targets import check_groups, check_labels, check_values, check_weights

Y = np.array(["a", "b", "b", "a", "b", "a"])


def labels(y):
    classes, codes = check_labels(y, 6, "CitrusClassifier")
    return classes[codes]


def from_matlab(**variables):
    file = io.BytesIO()
    scipy.io.savemat(file, variables)
    return scipy.io.loadmat(file)


MISSING = {
    "pd.NA in strings": pd.Series(["a", "b", pd.NA, "b", "a", "a"], dtype="string"),
    "pd.NA in objects": pd.Series(["a", "b", pd.NA, "b", "a", "a"], dtype=object),
    "pd.NA in integers": pd.Series([1, 2, pd.NA, 2, 1, 1], dtype="Int64"),
    "a category": pd.Series(["a", "b", None, "b", "a", "a"], dtype="category"),
    "None": ["a", "b", None, "b", "a", "a"],
    "NaN beside strings": ["a", "b", np.nan, "b", "a", "a"],
    "NaN beside numbers": [1.0, 2.0, np.nan, 2.0, 1.0, 1.0],
    "n/a": ["a", "b", "n/a", "b", "a", "a"],
    "NaN as a text": np.array(["a", "b", "NaN", "b", "a", "a"]),
    "an empty text": ["a", "b", "", "b", "a", "a"],
    "bytes": np.array([b"a", b"b", b"n/a", b"b", b"a", b"a"]),
    "an empty cell": from_matlab(y=np.array(["a", "b", [], "b", "a", "a"], object))["y"],
}


@pytest.mark.parametrize("y", MISSING.values(), ids=MISSING)
def test_a_missing_label_is_refused_by_estimator_and_splitter_alike(y):
    X = np.zeros((6, 1, 4))
    with pytest.raises(ValueError, match=r"y contains NaN.* at 1 of 6 places \(first: 2\)"):
        CitrusClassifier(None, preset="tiny").fit(X, y)
    with pytest.raises(ValueError, match=r"y contains NaN.* at 1 of 6 places \(first: 2\)"):
        next(StratifiedFractionKFold(2).split(X, y))


@pytest.mark.parametrize("groups", MISSING.values(), ids=MISSING)
def test_a_missing_group_is_refused_by_estimator_and_splitter_alike(groups):
    X = np.random.default_rng(0).standard_normal((6, 1, 40))
    with pytest.raises(ValueError, match=r"groups contains NaN.* at 1 of 6 places \(first: 2\)"):
        CitrusClassifier(None, preset="tiny").fit(X, Y, groups=groups)
    with pytest.raises(ValueError, match=r"groups contains NaN.* at 1 of 6 places \(first: 2\)"):
        next(StratifiedFractionKFold(2).split(X, Y, groups))


@pytest.mark.parametrize(
    "y",
    [
        pd.Series([1.0, pd.NA, 2.0, 3.0, 4.0, 5.0], dtype="Float64"),
        [1.0, None, 2.0, 3.0, 4.0, 5.0],
        np.array([1.0, "n/a", 2.0, 3.0, 4.0, 5.0], object),
        [1.0, np.nan, 2.0, 3.0, 4.0, 5.0],
    ],
    ids=["pd.NA", "None", "n/a", "NaN"],
)
def test_a_missing_number_is_refused(y):
    with pytest.raises(ValueError, match="y contains NaN"):
        CitrusRegressor(None, preset="tiny").fit(np.zeros((6, 1, 40)), y)


@pytest.mark.parametrize("name", ["y", "groups", "sample_weight"])
def test_masked_entries_are_missing_and_not_their_fill_values(name):
    masked = np.ma.masked_array([1, 2, 1, 2, 1, 2], mask=[0, 0, 0, 1, 0, 0])
    given = {"y": Y, name: masked}
    X = np.random.default_rng(0).standard_normal((6, 1, 40))
    with pytest.raises(ValueError, match=rf"{name} is a masked array with 1 masked.*index \(3,\)"):
        CitrusClassifier(None, preset="tiny").fit(X, **given)
    whole = np.ma.masked_array([1, 2, 1, 2, 1, 2], mask=False)
    assert_array_equal(labels(whole), [1, 2, 1, 2, 1, 2])


def test_bytes_of_hdf5_are_strings():
    assert_array_equal(labels(Y.astype("S")), Y)
    assert_array_equal(labels(np.array([each.encode() for each in Y], object)), Y)
    accented = np.array(["é".encode(), b"b"] * 3, object)
    assert_array_equal(labels(accented), ["é", "b"] * 3)
    assert_array_equal(check_groups(Y.astype("S"), 6), Y)


def test_rows_and_cells_of_matlab_are_unwrapped():
    loaded = from_matlab(
        row=np.arange(6.0) % 2 + 1, cells=Y.astype(object), column=np.arange(6.0)[:, None] % 2
    )
    assert loaded["row"].shape == loaded["cells"].shape == (1, 6)
    assert_array_equal(labels(loaded["row"]), [1, 2] * 3)
    assert_array_equal(labels(loaded["cells"]), Y)
    assert_array_equal(labels(loaded["cells"].ravel()), Y)
    with pytest.warns(match="A column-vector y was passed"):
        assert_array_equal(labels(loaded["column"]), [0, 1] * 3)
    with pytest.warns(match="A column-vector y was passed"):
        values = check_values(loaded["column"], 6, "CitrusRegressor")
    assert_array_equal(values, [0, 1] * 3)
    assert_array_equal(check_groups(loaded["cells"], 6), Y)
    assert_array_equal(check_values(loaded["row"], 6, "CitrusRegressor"), [1, 2] * 3)
    assert_array_equal(check_weights(loaded["row"], 6), [1, 2] * 3)


def test_a_row_that_is_not_one_label_a_window_stays_refused():
    with pytest.raises(ValueError, match="y has 6 columns"):
        check_labels(np.ones((1, 6)), 1, "CitrusClassifier")


def test_a_classifier_learns_from_labels_in_a_wrapping():
    rng = np.random.default_rng(0)
    y = np.array(["fast", "slow"] * 10)
    rate = np.where(y == "fast", 20, 3)[:, None]
    X = np.sin(2 * np.pi * (rate * np.arange(64) / 64 + rng.random((20, 1))))
    clf = CitrusClassifier(None, preset="tiny", random_kernels=False, strategy="linear-probe")
    clf.fit(X, y.astype("S"))
    assert clf.classes_.tolist() == ["fast", "slow"]
    assert clf.score(X, y) == 1


def test_groups_of_unlike_types_are_named():
    with pytest.raises(TypeError, match=r"groups mixes values of types \['int', 'str'\]"):
        check_groups(np.array([1, "b", 1, "b", 1, "b"], object), 6)


def test_an_infinite_label_is_refused():
    with pytest.raises(ValueError, match="y contains infinity"):
        labels(np.array([0.0, 1.0, np.inf, 1.0, 0.0, 1.0]))


def test_unequal_numbers_of_groups_are_named():
    with pytest.raises(ValueError, match="X has 6 windows, but groups has 5 groups"):
        check_groups(np.arange(5), 6)
