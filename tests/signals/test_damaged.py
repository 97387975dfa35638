"""Damaged recordings: an error that names the file, without a long wait or much memory."""

import gzip
import io
import struct
import zipfile
from pathlib import Path

import mne
import numpy as np
import pytest
from edf_files import write_edf
from test_edf import write_gdf

from citrus_sk import read_corpus
from citrus_sk.mne import predict_raw
from citrus_sk.signals.recordings.edf import EdfFile
from citrus_sk.signals.recordings.labelled import read_labelled
from citrus_sk.signals.recordings.structure import check_structure

RNG = np.random.default_rng(0)
POINTER = 52  # position of the pointer to the directory of a FIF file


def noise(n=1000):
    return RNG.integers(-900, 900, n)


@pytest.fixture
def fif(tmp_path):
    """Twenty seconds of one channel, with two annotations."""
    raw = mne.io.RawArray(1e-5 * RNG.standard_normal((1, 2000)), mne.create_info(1, 100, "eeg"),
                          verbose="error")  # fmt: skip
    raw.set_annotations(mne.Annotations([1, 8], [2, 2], ["rest", "walk"]))
    raw.save(tmp_path / "p1_raw.fif", verbose="error")
    return tmp_path / "p1_raw.fif"


def patch(path, *changes):
    """Overwrite bytes at some positions."""
    content = bytearray(path.read_bytes())
    for position, new in changes:
        content[position : position + len(new)] = new
    path.write_bytes(content)
    return path


def windows_of(path, duration=1.0):
    return read_labelled(path, Path("annotations"), duration=duration)


@pytest.mark.parametrize(
    ("position", "text", "message"),
    [(252, b"-1  ", "it holds no signal"), (256 + 216, b"-100    ", "has -100 samples")],
)
def test_an_edf_header_with_negative_numbers_is_refused(tmp_path, position, text, message):
    path = write_edf(tmp_path / "n.edf", {"EEG Cz": (noise(), 100)})
    with pytest.raises(ValueError, match=message):
        EdfFile(patch(path, (position, text)))
