"""Folders that can be written into, and files that are written atomically."""

from __future__ import annotations

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile


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
    """Write a temporary file and rename it, so that `path` never holds a part of `data`."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; expected the name of a file to write.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"The folder {path.parent} does not exist; create it first.")
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        message = f"{path} could not be written and is unchanged: {error.strerror}"
        raise OSError(error.errno, message) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def without_home(text: str) -> str:
    """Text with the working folder and the home folder written as ``.`` and ``~``.

    For files that are shared: both folders often hold the name of a user or a study.
    """
    with suppress(OSError, RuntimeError):  # a deleted folder, a user without a home
        for folder, short in ((Path.cwd(), "."), (Path.home(), "~")):
            if folder != Path(folder.anchor):
                text = re.sub(rf"{re.escape(str(folder))}(?![\w.-])", short, text)
    return text
