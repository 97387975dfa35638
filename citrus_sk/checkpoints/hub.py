"""Checkpoints as folders in the layout of Hugging Face, on disk or from its hub."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
# Folders that weights lie in rather than organisations that publish them.
_FOLDERS = {
    "checkpoint", "checkpoints", "data", "model", "models", "output", "outputs", "results", "runs",
    "weights",
}  # fmt: skip


def is_repository(name: Any) -> bool:
    """Whether `name` can be that of a repository, ``"organisation/name"``."""
    if not isinstance(name, str) or name.endswith(".safetensors"):
        return False
    return re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", name) is not None


def fetch(name: str, revision: str | None) -> Path:
    """Local folder with the files of a repository, which is not asked for where a path was meant.

    Parameters
    ----------
    name : str
        ``"organisation/name"``, and not an existing path.
    revision : str or None
        Branch, tag or commit. With one, a repository is meant.

    Raises
    ------
    FileNotFoundError
        If a path was meant, or the hub does not have the repository or is out of reach.
    """
    reason = _why_a_path(name) if revision is None else None
    if reason is not None:
        raise FileNotFoundError(
            f"pretrained={name!r}: no file or folder has this path, seen from {Path.cwd()}. "
            f"Hugging Face was not asked for a repository of this name, because {reason}. Correct "
            f"the path, or pass load_checkpoint({name!r}, revision='main') for the repository."
        )
    try:
        return download(name, revision)
    except ImportError:
        raise
    except Exception as error:
        raise FileNotFoundError(
            f"pretrained={name!r}: no file or folder has this path, seen from {Path.cwd()}, and "
            f"Hugging Face did not give a repository of this name ({error}). Correct the path or "
            "the name."
        ) from error


def _why_a_path(name: str) -> str | None:
    """Why a name that could be a repository's is more likely a path; None if it is not."""
    parent, last = name.split("/")
    if Path(parent).is_dir():
        return f"there is a folder {parent!r}"
    if parent.lower() in _FOLDERS:
        return f"{parent!r} is the name of a folder rather than of an organisation"
    folders = [each.name for each in Path().iterdir() if each.is_dir()]
    if near := difflib.get_close_matches(parent, folders, 1, cutoff=0.9):
        return f"there is a folder {near[0]!r}"
    suffix = Path(last).suffix
    if re.fullmatch(r"\.[A-Za-z]\w*", suffix):  # a version, as in "eeg-v1.5", is not an extension
        return f"it ends in {suffix!r} like a file"
    return None


@lru_cache
def download(repository: str, revision: str | None) -> Path:
    """Local folder with the files of a repository; asked for once in the life of a process."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise ImportError(
            f"{repository!r} is not a file or folder here. If it is a repository on Hugging Face, "
            "huggingface_hub downloads it: pip install huggingface_hub"
        ) from error
    patterns = [WEIGHTS, CONFIG, CARD]
    return Path(snapshot_download(repository, revision=revision, allow_patterns=patterns))


def read_folder(folder: Path) -> tuple[Path, str]:
    """The file of weights in a folder, and the SHA-256 that its configuration gives."""
    from .checkpoint import CheckpointError, check_sha256
    from .format import COPY_HINT, parse_json

    for name in (WEIGHTS, CONFIG):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"{folder} holds no {name}; expected a folder that save_checkpoint wrote, or the "
                ".safetensors file itself."
            )
    config = folder / CONFIG
    sha256 = parse_json(f"{config} is damaged", config.read_bytes(), COPY_HINT).get("sha256")
    try:
        check_sha256(sha256)
    except ValueError as error:
        raise CheckpointError(f"{config} does not say what to find: {error} {COPY_HINT}") from error
    return folder / WEIGHTS, str(sha256)


def write_companions(folder: Path, card: bytes | None) -> str:
    """Write what goes with the file of weights in a folder, and return its SHA-256.

    The configuration is a copy of the file's header for people to read; what is read back of it
    is the SHA-256 alone.
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
