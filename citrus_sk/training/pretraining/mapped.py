"""Reading of small parts of mapped files, at random."""

from __future__ import annotations

import mmap
import os
import weakref
from collections.abc import Iterable
from typing import Any

import numpy as np

# Share of the memory up to which mapped files are expected to stay there once they are read.
_CACHED_SHARE = 0.5


def read_at_random(arrays: Iterable[np.ndarray], reader: object) -> None:
    """Stop the system from reading ahead in mapped files that do not fit into memory.

    The system reads a large block around each part of a mapped file that is used, which is a waste
    if the block is gone before another part of it is used. Files that fit into memory are read
    sooner in large blocks.

    Parameters
    ----------
    arrays : iterable of ndarray
        Arrays, of which some may be mapped.
    reader : object
        Object that reads the arrays. When it is deleted, the system reads ahead again.
    """
    if not hasattr(mmap, "MADV_RANDOM"):  # on Windows
        return
    maps = {id(found): found for array in arrays if (found := _map_of(array)) is not None}
    if sum(map(len, maps.values())) > _CACHED_SHARE * _memory():
        _advise(maps.values(), mmap.MADV_RANDOM)
        weakref.finalize(reader, _advise, maps.values(), mmap.MADV_NORMAL)


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
