"""Temporary folders and files that are removed even if the process is killed.

The owner of one holds a lock on it. The system releases the lock when the process ends, also by
``kill -9``. So a folder of this host whose lock is free was left behind, and the next process
removes it. Windows has no such locks, so only folders of processes that end normally are removed
there.
"""

from __future__ import annotations

import hashlib
import os
import platform
import secrets
import shutil
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

try:
    import fcntl
except ModuleNotFoundError:  # on Windows
    fcntl = None  # type: ignore[assignment]

PREFIX = "citrus-sk-"
# Some network file systems do not share locks between hosts.
_HOST = hashlib.blake2b(platform.node().encode(), digest_size=4).hexdigest()


class OwnedFolder:
    """Temporary folder, removed by `close`, with the object, or when the process ends.

    Parameters
    ----------
    prefix : str, default=PREFIX
        First letters of its name.
    parent : Path or None, default=None
        Folder in which it is made; None means the one for temporary files.

    Attributes
    ----------
    path : Path
    close : callable
        Function that removes it.
    """

    def __init__(self, prefix: str = PREFIX, parent: Path | None = None) -> None:
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=f"{prefix}{_HOST}-", dir=parent))
            lock = _lock(self.path)
            if self.path.exists():
                break
            release(lock)  # `remove_abandoned` was faster
        self.close = weakref.finalize(self, _remove, self.path, lock, os.getpid())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()


def remove_abandoned(prefix: str = PREFIX, parent: Path | None = None) -> None:
    """Remove the folders of `OwnedFolder` whose processes were killed.

    Parameters
    ----------
    prefix, parent
        Those of `OwnedFolder`.
    """
    with suppress(OSError):
        parent = Path(tempfile.gettempdir()) if parent is None else parent
        for path in parent.glob(f"{prefix}{_HOST}-*"):
            if path.is_symlink() or not path.is_dir() or path.stat().st_uid != _user():
                continue
            lock = _lock(path)
            if lock is not None:
                _remove(path, lock, os.getpid())


def reserve_beside(path: Path) -> tuple[Path, int | None]:
    """Name of a temporary file beside `path`, and a lock on it to pass to `release`.

    The name is the same every time, so that a file that a killed process left is written again
    and renamed. Without a lock, as while another process writes `path`, the name is a new one.
    """
    known = f"{path.name}/{_HOST}/{_user()}".encode()
    temporary = path.with_name(f".{hashlib.blake2b(known, digest_size=8).hexdigest()}.tmp")
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    lock = None if fcntl is None else _lock(temporary, flags)
    if lock is not None:
        of_lock = os.fstat(lock)
        with suppress(OSError):
            alone = (of_lock.st_nlink, of_lock.st_uid) == (1, _user())
            if alone and os.path.samestat(of_lock, temporary.lstat()):
                return temporary, lock
        release(lock)
    return path.with_name(f".{secrets.token_hex(8)}.tmp"), None


def is_temporary(path: Path) -> bool:
    """Whether a file has the name of one of `reserve_beside`."""
    return path.name.startswith(".") and path.suffix == ".tmp"


def release(lock: int | None) -> None:
    """Release a lock, such as that of `reserve_beside` after its file was renamed or removed."""
    if lock is not None:
        os.close(lock)


def _lock(path: Path, flags: int = os.O_RDONLY) -> int | None:
    """Open and lock a file or folder; None if another process has locked it, or none can."""
    if fcntl is None:
        return None
    try:
        opened = os.open(path, flags, 0o666)
    except OSError:
        return None
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(opened)
        return None
    return opened


def _remove(path: Path, lock: int | None, owner: int) -> None:
    if os.getpid() == owner:  # and not a forked child
        shutil.rmtree(path, ignore_errors=True)
    release(lock)


def _user() -> int:
    return os.geteuid() if hasattr(os, "geteuid") else 0
