"""Folders that results are written into."""

from __future__ import annotations

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
