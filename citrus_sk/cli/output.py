"""Files that commands write, and warnings that they print."""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import joblib
from sklearn.exceptions import InconsistentVersionWarning

from .._utils.files import make_folder, write_atomically


def check_new_file(path: Path, *, overwrite: bool) -> None:
    """Check, before any work, that a file can be written.

    Raises
    ------
    OSError
        If the file exists and `overwrite` is False, it is a folder, or its folder does not exist
        or cannot be written into.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; expected the name of a file to write.")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists already. Choose another name, or add --overwrite.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"the folder {path.parent} does not exist; create it first.")
    make_folder(path.parent)


@contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """Collect the warnings of the block in the list that is returned, and print them after it."""
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always", UserWarning)
        yield notes
    # Only warnings about the data and the model: joblib also warns that a worker stopped.
    shown = (UserWarning, InconsistentVersionWarning)
    texts = [str(each.message) for each in raised if each.category in shown]
    notes += dict.fromkeys(text for text in texts if not text.startswith("A worker stopped"))
    for note in notes:
        print(f"warning: {note}", file=sys.stderr)


def write_model(model: Any, path: Path) -> int:
    """Write a file of joblib as a whole, and return its size in bytes."""
    buffer = io.BytesIO()
    joblib.dump(model, buffer)
    write_atomically(path, buffer.getvalue())
    return len(buffer.getvalue())


def write_picture(figure: Any, path: Path, *, dpi: int) -> None:
    """Write a figure of matplotlib as a whole."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=dpi, format=path.suffix[1:])
    write_atomically(path, buffer.getvalue())
