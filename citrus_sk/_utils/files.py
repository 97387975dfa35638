"""Folders and files: places to write to, and writing that is whole or not at all."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile


def make_folder(out: Path) -> None:
    """Make `out`, and see that it can be written into, before long work depends on it.

    Raises
    ------
    OSError
        If that fails.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise OSError(f"cannot write into the folder {out}: {error.strerror}") from error


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file beside its place and move it there, so that nobody ever sees half of it."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; expected the name of a file to write.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"The folder {path.parent} is not there; make it first.")
    beside = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with beside.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        message = f"{path} could not be written and is as it was: {error.strerror}"
        raise OSError(error.errno, message) from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
