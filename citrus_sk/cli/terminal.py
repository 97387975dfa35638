"""Output that cannot control the terminal."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

# All but tabs, line ends, and in progress bars the return to the start of the line.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_CONTROL_BUT_RETURN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


class _Printable:
    """Stream that writes control characters as escapes, such as the four characters of ESC.

    Names of files, channels, classes and people come from data, and a terminal would carry out
    what their control characters ask for.
    """

    def __init__(self, stream: Any, pattern: re.Pattern[str]) -> None:
        self._stream, self._pattern = stream, pattern

    def write(self, text: str) -> int:
        self._stream.write(self._pattern.sub(lambda found: repr(found[0])[1:-1], text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def printable_output() -> Iterator[None]:
    """Let nothing that the block prints control the terminal."""
    out, err = _Printable(sys.stdout, _CONTROL), _Printable(sys.stderr, _CONTROL_BUT_RETURN)
    with redirect_stdout(out), redirect_stderr(err):
        yield
