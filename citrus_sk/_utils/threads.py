"""Threads that compute one task each, so that results do not depend on their number.

Torch and BLAS divide every operation between threads, which wait for each other. A core that is
busy with another program then delays all of them, up to ten times, and the number of threads has an
effect on the rounding. Here, each task is computed by one thread from start to end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits

from .devices import ForkSafeLock

_Value = TypeVar("_Value")
_Found = TypeVar("_Found")


class _Limits:
    """Limits of torch and BLAS, which are global: shared by the blocks of all threads."""

    def __init__(self) -> None:
        self.guard = ForkSafeLock()
        self.n_blocks = self.n_blas_blocks = 0
        self.n_threads = 1
        self.blas: threadpool_limits | None = None
        self.keeper: ThreadPoolExecutor | None = None

    def enter(self, *, blas: bool) -> None:
        with self.guard.lock:
            if self.n_blocks == 0:
                self.n_threads = torch.get_num_threads()
            if blas and self.n_blas_blocks == 0:
                # In a thread of its own: limits can only be lifted by the thread that set them,
                # and the first block to begin need not be the last one to end.
                self.keeper = ThreadPoolExecutor(1)
                self.keeper.submit(self._limit_blas).result()
            self.n_blocks += 1
            self.n_blas_blocks += blas
            torch.set_num_threads(1)

    def leave(self, *, blas: bool) -> None:
        with self.guard.lock:
            self.n_blocks -= 1
            self.n_blas_blocks -= blas
            if blas and self.n_blas_blocks == 0:
                assert self.keeper is not None
                self.keeper.submit(self._free_blas).result()
                self.keeper.shutdown()
            torch.set_num_threads(self.n_threads)

    def _limit_blas(self) -> None:
        self.blas = threadpool_limits(1, user_api="blas")
        self.blas.__enter__()

    def _free_blas(self) -> None:
        assert self.blas is not None
        self.blas.__exit__(None, None, None)


class _Thread(threading.local):
    """Whether this thread is in a block, and whether it is a worker of `in_threads`."""

    inside = False
    is_worker = False


_LIMITS = _Limits()
_THREAD = _Thread()


@contextmanager
def one_thread_each(*, blas: bool = False) -> Iterator[None]:
    """Run torch in one thread inside the block, and restore its number of threads after it.

    Parameters
    ----------
    blas : bool, default=False
        Whether BLAS runs in one thread as well. Its libraries are searched for, which takes some
        milliseconds.
    """
    if _THREAD.inside:
        yield
        return
    _LIMITS.enter(blas=blas)
    _THREAD.inside = True
    try:
        yield
    finally:
        _THREAD.inside = False
        _LIMITS.leave(blas=blas)


def in_threads(function: Callable[[_Value], _Found], values: Iterable[_Value]) -> list[_Found]:
    """Call a function for each value, in as many threads as torch had outside of the block.

    Outside of blocks of `one_thread_each`, it is `map`. The results are in the order of the values.
    """
    if _THREAD.is_worker or _LIMITS.n_threads == 1:
        return list(map(function, values))
    with ThreadPoolExecutor(_LIMITS.n_threads, initializer=_start_worker) as pool:
        try:
            return list(pool.map(function, values))
        finally:
            pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    torch.set_num_threads(1)
    _THREAD.inside = _THREAD.is_worker = True
