"""load_watch: windows of real recordings, cut honestly."""

import sys

import numpy as np
import pytest

from citrus_sk import datasets
from citrus_sk.datasets import load_watch


@pytest.fixture(scope="module")
def watch():
    return load_watch()


def test_windows_are_float32_windows_by_channels_by_times(watch):
    assert watch.X.shape == (1693, 6, 256)
    assert watch.X.dtype == np.float32
    assert watch.X.flags.c_contiguous
    assert np.isfinite(watch.X).all()


def test_all_attributes_belong_to_the_same_windows(watch):
    assert len(watch.y) == len(watch.groups) == len(watch.recordings) == len(watch.X)
    assert len(np.unique(watch.y)) == 7
    assert set(watch.groups) == {str(person) for person in range(1, 11)}
    assert np.array_equal(np.unique(watch.recordings), np.arange(140))
    assert watch.sfreq == 50
    assert watch.ch_names == ["ax", "ay", "az", "wx", "wy", "wz"]


def test_a_recording_is_one_person_doing_one_exercise(watch):
    for recording in range(140):
        of_recording = watch.recordings == recording
        assert len(np.unique(watch.y[of_recording])) == 1
        assert len(np.unique(watch.groups[of_recording])) == 1


def test_every_person_does_every_exercise(watch):
    assert len({*zip(watch.groups, watch.y, strict=True)}) == 10 * 7


def test_description_names_licence_and_citation(watch):
    assert "BSD-3" in watch.DESCR
    assert "arXiv:1802.01489" in watch.DESCR


def test_neighbouring_windows_overlap_by_the_share_asked_for(watch):
    first, second = watch.X[watch.recordings == 0][:2]
    assert np.array_equal(first[:, 128:], second[:, :128])


def test_without_overlap_windows_lie_end_to_end_and_span_no_two_recordings():
    seconds = load_watch(window_s=1.0, overlap=0)
    raw = np.load(datasets._watch_path(), allow_pickle=True).item()["X"]
    assert len(seconds.X) == sum(len(signal) // 50 for signal in raw)
    for recording in (0, 77, 139):
        windows = seconds.X[seconds.recordings == recording]
        rejoined = np.concatenate(windows, axis=1)
        whole = raw[recording].T[:, : rejoined.shape[1]]
        assert np.array_equal(rejoined, whole.astype(np.float32))


def test_longest_window_keeps_every_recording():
    longest = load_watch(window_s=18.94, overlap=0.9)
    assert longest.X.shape[2] == 947
    assert len(np.unique(longest.recordings)) == 140


def test_return_X_y_gives_the_arrays_of_the_bunch(watch):
    X, y = load_watch(return_X_y=True)
    assert np.array_equal(X, watch.X)
    assert np.array_equal(y, watch.y)


@pytest.mark.parametrize("window_s", [0, -1, 0.01, 18.95, np.nan, np.inf])
def test_window_of_impossible_length_is_an_error(window_s):
    with pytest.raises(
        ValueError,
        match=r"window_s=.* expected a number in seconds of 0.04 or more and at most 18.94",
    ):
        load_watch(window_s=window_s)


@pytest.mark.parametrize("overlap", [1, 1.5, -0.1, np.nan])
def test_overlap_out_of_range_is_an_error(overlap):
    with pytest.raises(
        ValueError, match=r"overlap=.* is out of range; expected a (number|fraction)"
    ):
        load_watch(overlap=overlap)


@pytest.mark.parametrize("name", ["window_s", "overlap"])
@pytest.mark.parametrize("value", ["0.5", None, True])
def test_arguments_that_are_no_numbers_are_errors(name, value):
    with pytest.raises(TypeError, match=f"{name}={value!r} is a"):
        load_watch(**{name: value})


def test_missing_seglearn_is_an_error_with_the_command_that_helps(monkeypatch):
    monkeypatch.setitem(sys.modules, "seglearn", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "citrus-sk\[demo\]"') as caught:
        load_watch()
    assert caught.value.name == "seglearn"


def test_seglearn_is_never_imported(watch):
    assert "seglearn" not in sys.modules
