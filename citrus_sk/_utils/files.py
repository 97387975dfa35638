"""Folders that can be written into, and files that are written atomically."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile

from .temporary import release, reserve_beside


def make_folder(out: Path) -> None:
    """Create the folder `out` if needed, and check that files can be written into it.

    Raises
    ------
    OSError
        If the folder cannot be created or written into.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise OSError(f"cannot write into the folder {out}: {error.strerror}") from error


def write_atomically(path: Path, data: bytes) -> None:
    """Write a temporary file and rename it, so that `path` never holds a part of `data`.

    The target of a link is written, and the link stays. What cannot be renamed over, such as
    ``/dev/stdout``, is written directly.
    """
    path = Path(os.path.realpath(path)) if path.is_symlink() else path
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; expected the name of a file to write.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"The folder {path.parent} does not exist; create it first.")
    if path.exists() and not path.is_file():
        path.write_bytes(data)
        return
    temporary, lock = reserve_beside(path)
    try:
        with temporary.open("xb" if lock is None else "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            message = f"{path} could not be written and is unchanged: {error.strerror}"
            raise OSError(error.errno, message) from error
        raise
    finally:
        release(lock)


def without_home(text: str) -> str:
    """Text with the working folder and the home folder written as ``.`` and ``~``.

    For files that are shared: both folders often hold the name of a user or a study.
    """
    with suppress(OSError, RuntimeError):  # a deleted folder, a user without a home
        for folder, short in ((Path.cwd(), "."), (Path.home(), "~")):
            if folder != Path(folder.anchor):
                text = re.sub(rf"{re.escape(str(folder))}(?![\w.-])", short, text)
    return text
