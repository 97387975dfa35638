"""Checkpoints as folders in the layout of Hugging Face, on disk or from its hub."""

from __future__ import annotations

import hashlib
import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from .._utils.optional import require
from .._utils.validation import closest

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
# Usual names of folders for weights, rather than of organisations that publish them.
_FOLDERS = {
    "checkpoint", "checkpoints", "data", "model", "models", "output", "outputs", "results", "runs",
    "weights",
}  # fmt: skip


def is_repository(name: Any) -> bool:
    """Whether `name` has the form of a repository, ``"organisation/name"``."""
    if not isinstance(name, str) or name.endswith(".safetensors"):
        return False
    return re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", name) is not None


def fetch(name: str, revision: str | None) -> Path:
    """Download a repository, unless its name is more likely a mistyped path.

    Parameters
    ----------
    name : str
        Name of the repository, ``"organisation/name"``, which is not an existing path.
    revision : str or None
        Branch, tag or commit. With a revision, the name is always taken for a repository.

    Returns
    -------
    Path
        Local folder with the files.

    Raises
    ------
    FileNotFoundError
        If the name is more likely a path, or if the download fails.
    """
    reason = _why_a_path(name) if revision is None else None
    if reason is not None:
        raise FileNotFoundError(
            f"pretrained={name!r} does not exist in {Path.cwd()}. It was not searched for on "
            f"Hugging Face, because {reason}. Correct the path, or pass "
            f"load_checkpoint({name!r}, revision='main') for a repository of this name."
        )
    try:
        return download(name, revision)
    except ImportError:
        raise
    except Exception as error:
        raise FileNotFoundError(
            f"pretrained={name!r} does not exist in {Path.cwd()}, and a repository of this name "
            f"could not be downloaded from Hugging Face ({error}). Correct the path or the name."
        ) from error


def _why_a_path(name: str) -> str | None:
    """The reason why a name is more likely a path than a repository, or None."""
    parent, last = name.split("/")
    if Path(parent).is_dir():
        return f"there is a folder {parent!r}"
    if parent.lower() in _FOLDERS:
        return f"{parent!r} is the name of a folder rather than of an organisation"
    folders = [path.name for path in Path().iterdir() if path.is_dir()]
    if similar := closest(parent, folders, likeness=0.9):
        return f"there is a folder {similar!r}"
    suffix = Path(last).suffix
    if re.fullmatch(r"\.[A-Za-z]\w*", suffix):  # a version, as in "eeg-v1.5", is not an extension
        return f"it ends in {suffix!r} like a file"
    return None


@lru_cache
def download(repository: str, revision: str | None) -> Path:
    """Download a repository once per process, and return the local folder with its files."""
    purpose = f"{repository!r} is not a file or folder here. A repository on Hugging Face"
    require("huggingface_hub", purpose)
    from huggingface_hub import snapshot_download

    patterns = [WEIGHTS, CONFIG, CARD]
    return Path(snapshot_download(repository, revision=revision, allow_patterns=patterns))


def read_folder(folder: Path) -> tuple[Path, str]:
    """Path of the weights in a folder, and their SHA-256 in its configuration."""
    from .checkpoint import CheckpointError, check_sha256
    from .format import COPY_HINT, HEADER_LIMIT, parse_json

    for name in (WEIGHTS, CONFIG):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"{folder} does not contain {name}; expected a folder that save_checkpoint wrote, "
                "or the .safetensors file itself."
            )
    config = folder / CONFIG
    if (size := config.stat().st_size) > HEADER_LIMIT:
        raise CheckpointError(
            f"{config} is damaged: it has {size} bytes; expected at most {HEADER_LIMIT}. "
            f"{COPY_HINT}"
        )
    sha256 = parse_json(f"{config} is damaged", config.read_bytes(), COPY_HINT).get("sha256")
    try:
        check_sha256(sha256)
    except ValueError as error:
        raise CheckpointError(f"{config} is damaged: {error} {COPY_HINT}") from error
    return folder / WEIGHTS, str(sha256)


def write_companions(folder: Path, card: bytes | None) -> str:
    """Write the configuration and the card of a folder, and return the SHA-256 of its weights.

    The configuration is a readable copy of the header of the weights. Only the SHA-256 is read back
    from it.
    """
    from .._utils.files import write_atomically
    from .format import read_header

    sha256 = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    info = read_header(folder / WEIGHTS).info
    config = {"library_name": "citrus-sk", "sha256": sha256, "checkpoint": info}
    write_atomically(folder / CONFIG, (json.dumps(config, indent=2) + "\n").encode())
    if card is not None:
        write_atomically(folder / CARD, card)
    return sha256
