"""Suppression of warnings that is safe with several threads."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager


class _Filters:
    """The warning filters of the process, and the number of blocks that have changed them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.n_blocks = 0
        self.saved = ExitStack()


_FILTERS = _Filters()


@contextmanager
def ignored(category: type[Warning], message: str = "") -> Iterator[None]:
    """Ignore a category of warnings in the block, or those that begin with `message`.

    Filters are shared by the whole process, so `warnings.catch_warnings` in several threads at once
    may not restore all of them. Here the first block saves them, and the last one restores them.
    """
    with _FILTERS.lock:
        if _FILTERS.n_blocks == 0:
            _FILTERS.saved.enter_context(warnings.catch_warnings())
        _FILTERS.n_blocks += 1
        warnings.filterwarnings("ignore", message, category)
    try:
        yield
    finally:
        with _FILTERS.lock:
            _FILTERS.n_blocks -= 1
            if _FILTERS.n_blocks == 0:
                _FILTERS.saved.close()
