"""Windows that are not in an array: in cells, in averages, in containers of other kinds."""

import io
import subprocess
import sys

import mne
import numpy as np
import pandas as pd
import pytest
import scipy.io
import torch
from mne.time_frequency import EpochsTFRArray
from numpy.testing import assert_array_equal
from torch.utils.data import DataLoader, TensorDataset

from citrus_sk import CitrusClassifier, CitrusEmbedder, SignalAligner
from citrus_sk.braindecode import CitrusModel  # noqa: F401 - its classes are then known

# The signals here are white noise, which loses power with every reduction of the rate.
pytestmark = pytest.mark.filterwarnings("ignore:method=.* of the power of X:UserWarning")

RNG = np.random.default_rng(0)
X = RNG.standard_normal((12, 2, 64))
Y = np.array(["a", "b"] * 6)
INFO = mne.create_info(["C3", "C4"], 64.0, "eeg")


def tiny():
    return CitrusClassifier(
        None, preset="tiny", strategy="linear-probe", random_kernels=False, random_state=0
    )


def aligned(given):
    return SignalAligner(32).fit_transform(given)


# --- cells ---------------------------------------------------------------------------------------

CELLS = {
    "frame of one column": pd.DataFrame({"signal": [each[0] for each in X]}),
    "series": pd.Series([each[0] for each in X], index=range(5, 17)),
    "frame of series": pd.DataFrame({"signal": [pd.Series(each[0]) for each in X]}),
    "frame of lists": pd.DataFrame({"signal": [each[0].tolist() for each in X]}),
}


@pytest.mark.parametrize("given", CELLS.values(), ids=CELLS)
def test_windows_of_one_channel_in_cells_are_taken(given):
    assert_array_equal(aligned(given), aligned(X[:, :1]))
    expected = tiny().fit(X[:, :1], Y).predict_proba(X[:, :1])
    assert_array_equal(tiny().fit(given, Y).predict_proba(given), expected)


def test_a_channel_in_each_column_and_windows_of_several_channels_are_taken():
    columns = pd.DataFrame({"C3": list(X[:, 0]), "C4": list(X[:, 1])})
    assert_array_equal(aligned(columns), aligned(X))
    assert_array_equal(aligned(columns.to_numpy()), aligned(X))
    assert_array_equal(aligned(pd.Series(list(X))), aligned(X))
    assert aligned(pd.DataFrame({"signal": [np.ones(40 + i) for i in range(3)]})).shape == (
        3,
        1,
        32,
    )


def test_a_cell_array_of_matlab_is_a_list_of_windows():
    cells = np.empty(12, object)
    cells[:] = list(X)
    file = io.BytesIO()
    scipy.io.savemat(file, {"row": cells, "column": cells[:, None]})
    loaded = scipy.io.loadmat(file)
    assert loaded["row"].shape == (1, 12)
    for given in (loaded["row"], loaded["column"], cells):
        assert_array_equal(aligned(given), aligned(X))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (pd.DataFrame({"a": [X[0, 0], None]}), "row 1, column 0 is missing"),
        (pd.DataFrame({"a": [X[0, 0], "rest"]}), "row 1, column 0 is 'rest', which is not an"),
        (pd.DataFrame({"a": [X[0, 0]], "b": [X[0, 0, :9]]}), r"row 0 have the shapes \(64,\), \(9"),
    ],
)
def test_a_cell_that_cannot_be_a_window_is_named(given, message):
    with pytest.raises(ValueError, match=message):
        SignalAligner(32).fit(given)


# --- missing values ------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [tiny, lambda: SignalAligner(32), lambda: CitrusEmbedder(None)])
@pytest.mark.parametrize("listed", [False, True])
def test_masked_samples_are_refused(make, listed):
    gap = np.ma.masked_array(X.copy(), mask=False)
    make().fit(list(gap) if listed else gap, Y)
    gap[3, 0, 50:60] = np.ma.masked
    where = r"X\[3\]" if listed else "X"
    with pytest.raises(ValueError, match=rf"{where} is a masked array with 10 masked entries"):
        make().fit(list(gap) if listed else gap, Y)


def test_missing_samples_among_objects_are_refused():
    for missing in (None, pd.NA, "n/a"):
        values = X[:, 0].astype(object)
        values[2, 5] = missing
        with pytest.raises(ValueError, match=r"X contains NaN: X\[2, 5\]"):
            tiny().fit(values, Y)
    with pytest.raises(ValueError, match="X contains NaN"):
        tiny().fit(pd.DataFrame(X[:, 0]).astype("Float64").mask(X[:, 0] > 2), Y)


# --- averages and other containers ---------------------------------------------------------------


def test_each_average_of_a_list_is_a_window():
    averages = [mne.EvokedArray(each, INFO, verbose="error") for each in X]
    model = tiny().fit(averages, Y)
    assert model.ch_names_ == ("C3", "C4")
    assert model.sfreq_ == 64
    assert_array_equal(model.predict_proba(averages), tiny().fit(X, Y).predict_proba(X))
    assert model.predict(averages[0]).shape == (1,)
    with pytest.raises(ValueError, match="y is None"):
        tiny().fit(averages)


def other_containers():
    epochs = mne.EpochsArray(X, INFO, verbose="error")
    tensors = TensorDataset(torch.tensor(X), torch.arange(12))
    tfr = EpochsTFRArray(INFO, X[:, :, None], np.arange(64) / 64, np.array([10.0]))
    return {
        "mne EpochsSpectrum": epochs.compute_psd(verbose="error"),
        "mne EpochsTFRArray": tfr,
        "mne RawArray": mne.io.RawArray(X[0], INFO, verbose="error"),
        "a list of mne RawArray": [mne.io.RawArray(X[0], INFO, verbose="error")] * 2,
        "torch TensorDataset": tensors,
        "torch Subset": torch.utils.data.Subset(tensors, [0, 1]),
        "torch DataLoader": DataLoader(tensors),
        "dict": {"signals": X, "labels": Y},
    }


@pytest.mark.parametrize("kind", other_containers())
def test_other_containers_are_refused_by_their_own_name(kind):
    given = other_containers()[kind]
    for make in (tiny, lambda: SignalAligner(32)):
        with pytest.raises(
            TypeError, match=rf"X is (of type )?{kind}.*expects windows.*(Pass|Cut)"
        ):
            make().fit(given, Y)


@pytest.mark.parametrize(
    "given",
    ["windows.npy", 3, iter(X), object()],
    ids=["name of a file", "number", "iterator", "object"],
)
def test_what_is_not_an_array_is_named(given):
    with pytest.raises(ValueError, match=rf"X is a {type(given).__name__}.*list of"):
        tiny().fit(given, Y)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([np.array(1.0), np.array(2.0)], r"Expected 2D array or 3D array, got X of shape \(2,\)"),
        ([np.ones((1, 40)), np.full((1, 50), "a")], r"X\[1\] has dtype <U1; expected numbers"),
        ([np.ones((1, 40)), np.ones((1, 50)) * 1j], r"Complex data not supported: X\[1\] has"),
    ],
)
def test_a_list_that_cannot_be_windows_is_named(given, message):
    with pytest.raises(ValueError, match=message):
        SignalAligner(32).fit(given)


def test_a_column_with_the_name_of_an_attribute_is_a_column():
    frame = pd.DataFrame(X[:, 0]).rename(columns={0: "description", 1: "info"}).rename(columns=str)
    assert_array_equal(tiny().fit(frame, Y).predict(frame), tiny().fit(X[:, 0], Y).predict(X[:, 0]))


def test_containers_are_recognised_without_importing_their_packages():
    code = (
        "import sys, numpy as np; from citrus_sk import SignalAligner;"
        "SignalAligner(8).fit_transform(np.ones((3, 2, 16)));"
        "assert not {'mne', 'braindecode'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
