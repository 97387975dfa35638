"""Random damage to the bytes of a file."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

HEAD = 2048  # bytes at the start of a file, where half of the damage is done
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
_NUMBERS = (
    b"0", b"-1", b"1", b"2", b"255", b"65536", b"2147483647", b"-2147483648", b"99999999",
    b"1e9", b"1e300", b"-1e300", b"1e-300", b"inf", b"-inf", b"nan", b"1_000", b"", b"0x10", b"1,5",
    b"9" * 30, b"../../etc/passwd", b"/etc/passwd", b"\0", b"\xff",
)  # fmt: skip
_INTEGERS = (0, 1, 2, 127, 128, 255, 256, 32767, 65535, 2**31 - 1, 2**32 - 1, 2**40, 2**63 - 1)


def mutated(rng: np.random.Generator, data: bytes) -> bytes:
    """A copy with one to four kinds of damage, different from `data`."""
    content = bytearray(data)
    while bytes(content) == data:
        for _ in range(rng.integers(1, 5)):
            change = _CHANGES[rng.integers(len(_CHANGES))]
            change(rng, content)
    return bytes(content)


def flipped(rng: np.random.Generator, data: bytes) -> bytes:
    """A copy with one bit flipped."""
    content = bytearray(data)
    _flip(rng, content, len(data))
    return bytes(content)


def _place(rng: np.random.Generator, content: bytearray) -> int:
    end = min(HEAD, len(content)) if rng.random() < 0.5 else len(content)
    return int(rng.integers(max(1, end)))


def _flip(rng: np.random.Generator, content: bytearray, end: int = 0) -> None:
    place = int(rng.integers(end)) if end else _place(rng, content)
    if place < len(content):
        content[place] ^= 1 << int(rng.integers(8))


def _overwrite(rng: np.random.Generator, content: bytearray) -> None:
    size = int(rng.choice([1, 2, 4, 8]))
    value = _INTEGERS[rng.integers(len(_INTEGERS))] % 2 ** (8 * size)
    place = _place(rng, content)
    content[place : place + size] = value.to_bytes(size, str(rng.choice(["little", "big"])))


def _renumber(rng: np.random.Generator, content: bytearray) -> None:
    """Exchange a number in a text for another, often without a change of the length."""
    head = bytes(content[:HEAD])
    found = list(_NUMBER.finditer(head))
    if not found:
        return
    start, stop = found[rng.integers(len(found))].span()
    value = _NUMBERS[rng.integers(len(_NUMBERS))]
    if rng.random() < 0.7:  # over the padding of a field of fixed width
        while stop < len(head) and head[stop : stop + 1] == b" " and stop - start < len(value):
            stop += 1
        value = value[: stop - start].ljust(stop - start)
    content[start:stop] = value


def _delete(rng: np.random.Generator, content: bytearray) -> None:
    place = _place(rng, content)
    del content[place : place + int(rng.integers(1, 300))]


def _repeat(rng: np.random.Generator, content: bytearray) -> None:
    place, other = _place(rng, content), _place(rng, content)
    content[other:other] = content[place : place + int(rng.integers(1, 300))]


def _fill(rng: np.random.Generator, content: bytearray) -> None:
    place, n_bytes = _place(rng, content), int(rng.integers(1, 300))
    value = rng.choice([0, 0x20, 0xFF])
    content[place : place + n_bytes] = bytes([value]) * n_bytes


def _noise(rng: np.random.Generator, content: bytearray) -> None:
    place, n_bytes = _place(rng, content), int(rng.integers(1, 100))
    content[place : place + n_bytes] = rng.bytes(n_bytes)


def _cut(rng: np.random.Generator, content: bytearray) -> None:
    del content[_place(rng, content) :]


_CHANGES: Sequence[Callable[[np.random.Generator, bytearray], None]] = (
    _flip, _flip, _overwrite, _overwrite, _renumber, _renumber, _delete, _repeat, _fill, _noise,
    _cut,
)  # fmt: skip
