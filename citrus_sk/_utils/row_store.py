"""Rows of numbers on disk, by key: of bounded size, and shared by threads and processes."""

from __future__ import annotations

import sqlite3
import threading
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

MOST_BYTES = 2**30
# Rows that were used more recently are not dropped. Otherwise, a pass over more rows than there is
# room for would drop each row just before its next use.
_RECENT = 3600  # seconds
_RENEWED = 600  # seconds after which a use of a row is noted again
_DROPPED = 0.1  # share of the rows that make room at once
_PATIENCE = 30  # seconds to wait for another process that writes

_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS row (
    key BLOB PRIMARY KEY, used INTEGER NOT NULL, sum INTEGER NOT NULL, data BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS row_by_use ON row (used);
"""

# A column of SQLite can hold a value of any type, as after damage.
_SELECT = """
SELECT used, sum, data FROM row
WHERE key = ? AND typeof(used) = 'integer' AND typeof(data) = 'blob'
"""


class RowStore:
    """Rows of float32 in one SQLite file.

    A row that does not fit its checksum counts as absent. Any method can raise `sqlite3.Error`.

    Parameters
    ----------
    path : Path
        File, made if needed; its folder must exist.
    most_bytes : int, default=MOST_BYTES
        Largest size. Rows that were not used for an hour then make room for new ones. If there are
        none, new rows are not stored.
    """

    def __init__(self, path: Path, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._file = sqlite3.connect(
            path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False
        )
        try:
            self._file.executescript(_SCHEMA)
        except sqlite3.Error:
            self._file.close()
            raise

    def close(self) -> None:
        self._file.close()

    def read(self, keys: Iterable[bytes]) -> dict[bytes, np.ndarray]:
        """The rows that are stored, by their keys."""
        found, old, now = {}, [], int(time.time())
        with self._lock:
            for key in keys:
                row = self._file.execute(_SELECT, (key,))
                for used, checksum, data in row:
                    if checksum == _checksum(key, data):
                        found[key] = np.frombuffer(data, np.float32)
                        old += [(now, key)] if not 0 <= now - used <= _RENEWED else []
            if old:
                with self._transaction():
                    self._file.executemany("UPDATE row SET used = ? WHERE key = ?", old)
        return found

    def write(self, rows: Mapping[bytes, np.ndarray]) -> None:
        """Store rows, as far as there is room for them."""
        now, data = int(time.time()), {key: row.tobytes() for key, row in rows.items()}
        new = [(key, now, _checksum(key, each), each) for key, each in data.items()]
        with self._lock, self._transaction():
            if self._has_room(sum(map(len, data.values())), now):
                self._file.executemany("INSERT OR REPLACE INTO row VALUES (?, ?, ?, ?)", new)

    def _has_room(self, n_bytes: int, now: int) -> bool:
        if self._size() + n_bytes > self._most_bytes:
            (n_rows,) = self._file.execute("SELECT COUNT(*) FROM row").fetchone()
            self._file.execute(
                "DELETE FROM row WHERE key IN "
                "(SELECT key FROM row WHERE used NOT BETWEEN ? AND ? ORDER BY used LIMIT ?)",
                # A use in the future is one before the clock was set back.
                (now - _RECENT, now, int(_DROPPED * n_rows) + 1),
            )
        return self._size() + n_bytes <= self._most_bytes

    def _size(self) -> int:
        """Bytes in use; the file also holds pages that are free for new rows."""
        pages, free, size = (
            self._file.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._file.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._file.execute("ROLLBACK")
            raise
        self._file.execute("COMMIT")


def _checksum(key: bytes, data: bytes) -> int:
    return zlib.crc32(data, zlib.crc32(key))
