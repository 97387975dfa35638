"""Reading of small parts of mapped files, at random."""

from __future__ import annotations

import mmap
import os
import weakref
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

# Share of the memory up to which mapped files are expected to stay there once they are read.
_CACHED_SHARE = 0.5


class MappedReads:
    """Advice to the system on how mapped recordings are read, if they do not fit into memory.

    The system reads a large block around each part of a mapped file that is used, which is a waste
    if the block is gone before another part of it is used. It also waits for one part after
    another, unless it knows of the next ones. Files that fit into memory are read sooner in large
    blocks, so that nothing is advised for them.

    Parameters
    ----------
    arrays : sequence of ndarray of shape (n_chans, n_times)
        Recordings, of which some may be mapped. When the object is deleted, the system reads ahead
        in their files again.
    """

    def __init__(self, arrays: Sequence[np.ndarray]) -> None:
        self.arrays = arrays
        self.maps = [_map_of(array) for array in arrays] if hasattr(mmap, "MADV_RANDOM") else []
        distinct = list({id(each): each for each in self.maps if each is not None}.values())
        self.advised = sum(map(len, distinct)) > _CACHED_SHARE * _memory() if distinct else False
        if self.advised:
            starts = {id(each): np.frombuffer(each, np.uint8).ctypes.data for each in distinct}
            self.offsets = [
                0 if found is None else array.ctypes.data - starts[id(found)]
                for array, found in zip(arrays, self.maps, strict=True)
            ]
            _advise(distinct, mmap.MADV_RANDOM)
            weakref.finalize(self, _advise, distinct, mmap.MADV_NORMAL)

    def announce(self, parts: Iterable[tuple[int, int, int, int]]) -> None:
        """Let the system begin to read parts: array, channel, first sample, number of samples."""
        if not self.advised:
            return
        for index, channel, first, length in parts:
            found, strides = self.maps[index], self.arrays[index].strides
            if found is None or min(strides) < 0:
                continue
            offset = self.offsets[index] + channel * strides[0] + first * strides[1]
            start = offset // mmap.PAGESIZE * mmap.PAGESIZE
            found.madvise(mmap.MADV_WILLNEED, start, offset + length * strides[1] - start)


def _map_of(array: Any) -> mmap.mmap | None:
    while array is not None and not isinstance(array, mmap.mmap):
        array = getattr(array, "base", None)
    return array


def _memory() -> int:
    """Bytes of memory of this machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _advise(maps: Iterable[mmap.mmap], advice: int) -> None:
    for each in maps:
        if not each.closed:
            each.madvise(advice)
