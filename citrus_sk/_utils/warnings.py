"""Warnings that a user can do nothing about, ignored without a trace in threads as well."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager


class _Filters:
    """The filters of the process, and how many blocks have changed them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.n_blocks = 0
        self.noted = ExitStack()


_FILTERS = _Filters()


@contextmanager
def ignored(category: type[Warning]) -> Iterator[None]:
    """Ignore a category of warnings in the block.

    Filters belong to the process, and `warnings.catch_warnings` in several threads at once may
    leave some of them behind. Here the first block notes them, and the last one puts them back.
    """
    with _FILTERS.lock:
        if _FILTERS.n_blocks == 0:
            _FILTERS.noted.enter_context(warnings.catch_warnings())
        _FILTERS.n_blocks += 1
        warnings.simplefilter("ignore", category)
    try:
        yield
    finally:
        with _FILTERS.lock:
            _FILTERS.n_blocks -= 1
            if _FILTERS.n_blocks == 0:
                _FILTERS.noted.close()
