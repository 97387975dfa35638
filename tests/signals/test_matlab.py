"""MAT files of EEGLAB: what SciPy can read passes, and what would crash it is refused."""

import io
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from scipy.sparse import csc_array

from citrus_sk import read_corpus
from citrus_sk.signals.recordings.matlab import check_mat
from citrus_sk.signals.recordings.structure import check_structure

BY_MATLAB = Path(scipy.io.__file__).parent / "matlab" / "tests" / "data"
CONTENT = {
    "data": np.zeros((2, 50), "f4"), "text": "walk", "texts": np.array(["ab", "c"]), "flag": True,
    "cells": np.array([1.0, "a", np.array([1j, 2])], object), "none": [],
    "events": np.array([("a", 1.0)] * 3, [("type", object), ("latency", object)]),
    "sparse": csc_array(np.array([[0, 2, 0], [1, 0, 3]])),
}  # fmt: skip


def saved(compressed=False, **content):
    file = io.BytesIO()
    scipy.io.savemat(file, content, do_compression=compressed)
    return file.getvalue()


def check(content):
    check_mat(io.BytesIO(content), len(content))


@pytest.mark.parametrize("compressed", [False, True])
def test_whole_files_pass_and_those_cut_short_do_not(compressed):
    check(saved(compressed, **CONTENT))
    content = saved(compressed, EEG=CONTENT)
    check(content)
    for size in range(136, len(content) - 8, 7):  # there is a checksum at the end
        with pytest.raises(ValueError, match="it is damaged or cut short, at"):
            check(content[:size])


@pytest.mark.skipif(not BY_MATLAB.is_dir(), reason="SciPy is installed without its tests")
def test_files_of_matlab_that_scipy_reads_pass():
    n_read = 0
    for path in sorted(BY_MATLAB.glob("*.mat")):
        try:
            with warnings.catch_warnings(action="ignore"):
                scipy.io.loadmat(path)
        except Exception:  # noqa: BLE001 - some are broken, for the tests of SciPy
            continue
        check(path.read_bytes())
        n_read += 1
    assert n_read > 90


def test_big_endian_files_are_checked_too():
    head = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack(">H", 0x0100) + b"MI"
    with pytest.raises(ValueError, match="it is damaged or cut short, at"):
        check(head + struct.pack(">II", 14, 100))


def changed(content, old, new):
    """Content with one part changed, which it holds once."""
    assert content.count(old) == 1
    return content.replace(old, new)


EEG = saved(EEG=CONTENT)
DATA = struct.pack("<II", 7, 400)  # type and bytes of the values
ROWS = struct.pack("<III", 5, 12, 1)
WALK = struct.pack("<4I", 5, 8, 1, 4)  # shape of a text
FIELDS = b"type\0\0\0\0"


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        (DATA, struct.pack("<II", 8, 400), "the type of an element"),
        (DATA, struct.pack("<II", 2**16 - 1, 400), "the type of an element"),
        (DATA, struct.pack("<II", 7, 2**31), "the length of an element"),
        (DATA, struct.pack("<II", 7, 392), "the shape of an array"),
        (ROWS, struct.pack("<III", 5, 12, 2), "a sparse array"),
        (ROWS, struct.pack("<III", 5, 12, 2**32 - 1), "a sparse array"),
        (FIELDS, b"typeabcd", "the names of fields"),
        (WALK, struct.pack("<4I", 5, 0, 1, 4), "the shape of an array"),
        (struct.pack("<ii", 2, 50), struct.pack("<ii", -2, -50), "the shape of an array"),
    ],
)
def test_what_scipy_takes_for_granted_is_checked(tmp_path, old, new, place):
    path = tmp_path / "p1.set"
    path.write_bytes(changed(EEG, old, new))
    with pytest.raises(ValueError, match=place):  # without it, SciPy may end the process below
        check_structure(path)
    with pytest.raises(ValueError, match=rf"p1\.set cannot be read: it is damaged.*{place}"):
        read_corpus(path, on_error="raise")


def nested(depth):
    """Cells in cells, of which each states the bytes of those in it."""
    head = (
        struct.pack("<4I", 6, 8, 1, 0) + struct.pack("<4I", 5, 8, 1, 1) + struct.pack("<2I", 1, 0)
    )
    tags = (struct.pack("<2I", 14, 8 + 48 * i) + head for i in range(depth, 0, -1))
    return EEG[:128] + b"".join(tags) + struct.pack("<2I", 14, 0)


def test_cells_in_cells_are_limited():
    check(nested(100))
    scipy.io.loadmat(io.BytesIO(nested(100)))
    with pytest.raises(ValueError, match="an array in more than 100 others"):
        check(nested(50_000))  # which overflow the stack


def test_cells_that_are_not_there_take_no_memory():
    content = changed(
        saved(c=CONTENT["cells"]), struct.pack("<2i", 1, 3), struct.pack("<2i", 1, 2**30)
    )
    with pytest.raises(ValueError, match="the number of arrays in another"):
        check(content)
