"""Check of MAT files of MATLAB, as which EEGLAB stores recordings.

SciPy reads them in compiled code, which crashes on unknown types and on deeply nested cells.
"""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Container
from typing import BinaryIO

import numpy as np

_HEAD = 128  # bytes before the first variable
# Bytes of a value, by the number of its type. SciPy crashes on other numbers.
_BYTES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8, 16: 1, 17: 2, 18: 4}
_INTEGERS = {5: "i", 6: "I"}
_TEXTS = (1, 16)
_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCT, _OBJECT, _CHAR, _SPARSE, _FUNCTION, _OPAQUE = 1, 2, 3, 4, 5, 16, 17
_NUMERIC = range(6, 16)
_MAX_DIMS, _MAX_DEPTH = 32, 100


def check_mat(file: BinaryIO, size: int) -> None:
    """Raise ValueError if a MAT file of version 5 is not one that SciPy can read.

    Files of versions 4 and 7.3 have another structure, and are not checked.

    Parameters
    ----------
    file : binary file
    size : int
        Its bytes.
    """
    head = file.read(_HEAD)
    if len(head) < _HEAD or 0 in head[:4] or head[125 if head[126:127] == b"I" else 124] != 1:
        return
    order = "<" if head[126:128] == b"IM" else ">"
    position = _HEAD
    while position < size:
        file.seek(position)
        variable = _Variable(file, size, order)
        kind, n_bytes = variable.tag()
        position += 8 + n_bytes
        if kind == _COMPRESSED:
            variable = _unpacked(file.read(n_bytes), order)
            kind, n_bytes = variable.tag()
        _require(kind == _MATRIX and n_bytes > 0, "a variable")
        variable.check_matrix()


def _unpacked(packed: bytes, order: str) -> _Variable:
    """Unpack a variable, and no more than it states to have."""
    unpacker = zlib.decompressobj()
    try:
        tag = unpacker.decompress(packed, 8)
        stated = int.from_bytes(tag[4:], "little" if order == "<" else "big")
        content = tag + unpacker.decompress(unpacker.unconsumed_tail, max(1, stated))
    except zlib.error as error:
        raise ValueError(f"it is damaged: {error}. Copy or export it again") from error
    return _Variable(io.BytesIO(content), len(content), order)


def _require(fits: bool, place: str) -> None:
    if not fits:
        raise ValueError(f"it is damaged or cut short, at {place}. Copy or export it again")


class _Variable:
    """Variable of a MAT file, whose elements are checked in the order in which SciPy reads them.

    Parameters
    ----------
    file : binary file
        At the start of the variable.
    size : int
        Bytes of the file.
    order : {"<", ">"}
        Order of the bytes.
    """

    def __init__(self, file: BinaryIO, size: int, order: str) -> None:
        self._file, self._size, self._order = file, size, order
        self._pair = struct.Struct(f"{order}II")

    def tag(self) -> tuple[int, int]:
        """Read the type of an element and its bytes."""
        content = self._file.read(8)
        _require(len(content) == 8, "the length of an element")
        kind, n_bytes = self._pair.unpack(content)
        return kind, n_bytes

    def check_matrix(self, depth: int = 0) -> None:
        """Check an array behind its tag, with the arrays in it."""
        self._file.seek(8, io.SEEK_CUR)  # a tag which is the same in all files
        flags, _ = self.tag()
        kind, is_complex = flags & 0xFF, flags >> 11 & 1
        if kind == _OPAQUE:
            for _ in range(3):
                self._element(_TEXTS)
            self._check_nested(1, depth)
            return
        dims = self._integers()
        _require(len(dims) <= _MAX_DIMS and min(dims, default=-1) >= 0, "the shape of an array")
        count = math.prod(dims)
        self._element(_TEXTS)  # the name
        if kind in _NUMERIC or kind == _CHAR:
            for _ in range(1 + is_complex if kind in _NUMERIC else 1):
                number, n_bytes, _ = self._element(_BYTES)
                # A text may have a shape and no bytes.
                n_values = n_bytes // _BYTES[number]
                fits = count <= self._size if kind == _CHAR else count == n_values
                _require(fits, "the shape of an array")
        elif kind == _SPARSE:
            self._check_sparse(dims, 1 + is_complex)
        elif kind in (_STRUCT, _OBJECT):
            if kind == _OBJECT:
                self._element(_TEXTS)
            self._check_nested(count * self._n_fields(), depth)
            _require(count <= self._size, "the shape of a structure")
        else:
            _require(kind in (_CELL, _FUNCTION), "the type of an array")
            self._check_nested(count if kind == _CELL else 1, depth)

    def _element(self, kinds: Container[int], *, keep: bool = False) -> tuple[int, int, bytes]:
        """Read the type of an element, its bytes and, if they are to be kept, its content."""
        kind, n_bytes = self.tag()
        padded = n_bytes + -n_bytes % 8
        if kind >> 16:  # up to four bytes, which are in the tag
            kind, n_bytes, padded = kind & 0xFFFF, kind >> 16, 4
            self._file.seek(-4, io.SEEK_CUR)
        _require(kind in kinds, "the type of an element")
        _require(n_bytes <= min(padded, self._left()), "the length of an element")
        content = self._file.read(n_bytes) if keep else b""
        self._file.seek(padded - len(content), io.SEEK_CUR)
        return kind, n_bytes, content

    def _left(self) -> int:
        return self._size - self._file.tell()

    def _integers(self) -> list[int]:
        kind, n_bytes, content = self._element(_INTEGERS, keep=True)
        _require(n_bytes % 4 == 0, "the length of an element")
        return list(struct.unpack(f"{self._order}{n_bytes // 4}{_INTEGERS[kind]}", content))

    def _check_nested(self, count: int, depth: int) -> None:
        """Check some arrays that follow each other."""
        _require(depth < _MAX_DEPTH, f"an array in more than {_MAX_DEPTH} others")
        _require(8 * count <= self._left(), "the number of arrays in another")
        for _ in range(count):
            kind, n_bytes = self.tag()
            _require(kind == _MATRIX, "an array in another")
            if n_bytes:
                self.check_matrix(depth + 1)

    def _n_fields(self) -> int:
        """Read the names of the fields of a structure, each in as many bytes, and count them."""
        length = self._integers()
        _, n_bytes, names = self._element(_TEXTS, keep=True)
        _require(len(length) == 1 and length[0] > 0, "the names of fields")
        starts = range(0, n_bytes - n_bytes % length[0], length[0])
        # SciPy reads a name up to a zero.
        _require(all(0 in names[i : i + length[0]] for i in starts), "the names of fields")
        return len(starts)

    def _check_sparse(self, dims: list[int], n_parts: int) -> None:
        rows, ends = np.array(self._integers()), np.array(self._integers())
        for _ in range(n_parts):
            self._element(_BYTES)
        _require(len(dims) == 2 and len(ends) > dims[1], "the shape of a sparse array")
        ends = ends[: dims[1] + 1]
        rows = rows[: ends[-1]]
        fits = ends[0] == 0 and (np.diff(ends) >= 0).all() and ends[-1] == len(rows)
        _require(bool(fits and (rows >= 0).all() and (rows < dims[0]).all()), "a sparse array")
