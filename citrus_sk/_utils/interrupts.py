"""Ctrl-C: when to hold it back, and how to know it from a callback that ends a training."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def notice_interrupt(*, hold_back: bool = False) -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether there was a Ctrl-C in the block so far.

    Parameters
    ----------
    hold_back : bool, default=False
        Whether the first one raises nothing. A second one always raises.

    Notes
    -----
    Only the main thread receives a Ctrl-C; in others the answer is always no.
    """
    earlier = signal.getsignal(signal.SIGINT)
    here = threading.current_thread() is threading.main_thread()
    # None was set from C, and could not be put back.
    if not here or earlier is None or not (hold_back or callable(earlier)):
        yield lambda: False
        return
    heard = threading.Event()

    def note(number: int, frame: Any) -> None:
        again = heard.is_set()
        heard.set()
        if not hold_back and callable(earlier):
            earlier(number, frame)
        elif again:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, note)
    try:
        yield heard.is_set
    finally:
        signal.signal(signal.SIGINT, earlier)
