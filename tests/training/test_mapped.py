"""Training on recordings that are mapped from disk."""

import re
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from citrus_sk import CitrusPretrainer, read_corpus
from citrus_sk.training.pretraining import mapped
from citrus_sk.training.pretraining.sampler import Crops, StreamingStore


@pytest.fixture
def corpus(tmp_path):
    """Two people of 16 MB each, whose files are mapped."""
    noise = np.random.default_rng(0).normal(0, 1000, (4, 2_000_000)).astype(np.int16)
    for name in ("a", "b"):
        np.save(tmp_path / f"{name}.npy", noise)
    return read_corpus(tmp_path, modality="EEG")


def test_training_takes_no_memory_for_the_recordings(corpus):
    size = sum(recording.data.nbytes for recording in corpus.recordings)
    pretrainer = CitrusPretrainer(preset="tiny", max_steps=2, batch_size=8, random_state=0)
    pretrainer.fit(np.diff(corpus.recordings[0].data[None, :, :3000], axis=2))  # imports modules
    tracemalloc.start()
    try:
        pretrainer.fit(corpus)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size == 32e6
    assert peak < size / 10


def flags(data):
    """Flags of the memory that an array is in, as the system prints them."""
    address, here = data.__array_interface__["data"][0], False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if found := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            here = int(found[1], 16) <= address < int(found[2], 16)
        elif here and line.startswith("VmFlags"):
            return line.split()[1:]
    raise AssertionError("the array is in no memory")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux prints the flags of memory")
@pytest.mark.parametrize("memory", [10**7, 10**12])
def test_the_system_reads_ahead_unless_a_corpus_is_larger_than_memory(corpus, memory, monkeypatch):
    monkeypatch.setattr(mapped, "_memory", lambda: memory)
    data = corpus.recordings[0].data
    before = flags(data)
    store = StreamingStore(corpus.recordings)
    assert ("rr" in flags(data)) == (memory == 10**7)  # "random read advise provided"
    crops = Crops(*np.array([[1, 3, 1_999_900, 100, 0, 0], [0, 0, 0, 60, 0, 1]]).T)  # at the ends
    samples = store(crops).numpy()
    assert_array_equal(samples[0, :100], corpus.recordings[1].data[3, -100:])
    assert_array_equal(samples[1, :60], data[0, :60])
    del store
    assert flags(data) == before
    assert "rr" not in before
