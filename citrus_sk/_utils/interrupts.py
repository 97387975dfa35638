"""Delay Ctrl-C, distinguish it from a callback that stops the training, and treat SIGTERM alike."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def notice_interrupt(*, hold_back: bool = False) -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether a Ctrl-C has arrived in the block so far.

    Parameters
    ----------
    hold_back : bool, default=False
        Whether the first Ctrl-C is only recorded and raises nothing. A second one always raises.

    Notes
    -----
    Only the main thread receives a Ctrl-C; in other threads the function always returns False.
    """
    earlier = signal.getsignal(signal.SIGINT)
    is_main = threading.current_thread() is threading.main_thread()
    # A handler of None was set from C and could not be restored.
    if not is_main or earlier is None or not (hold_back or callable(earlier)):
        yield lambda: False
        return
    received = threading.Event()

    def handle(signal_number: int, frame: Any) -> None:
        is_second = received.is_set()
        received.set()
        if not hold_back and callable(earlier):
            earlier(signal_number, frame)
        elif is_second:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, handle)
    try:
        yield received.is_set
    finally:
        signal.signal(signal.SIGINT, earlier)


@contextmanager
def terminate_like_interrupt() -> Iterator[Callable[[], bool]]:
    """Let a SIGTERM do what a Ctrl-C does, and yield a function that returns whether one arrived.

    Schedulers and services send a SIGTERM to what is to stop. By default it ends the process at
    once, and nothing is saved or removed.
    """
    earlier = signal.getsignal(signal.SIGTERM)
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or earlier != signal.SIG_DFL:  # the handler of a caller stays
        yield lambda: False
        return
    received = threading.Event()

    def handle(signal_number: int, frame: Any) -> None:
        received.set()
        of_interrupt = signal.getsignal(signal.SIGINT)
        if not callable(of_interrupt):  # ignored, as in the background of a script
            raise KeyboardInterrupt
        of_interrupt(signal.SIGINT, frame)

    signal.signal(signal.SIGTERM, handle)
    try:
        yield received.is_set
    finally:
        signal.signal(signal.SIGTERM, earlier)
