"""Checkpoints as folders in the layout of Hugging Face, on disk or from its hub."""

from __future__ import annotations

import hashlib
import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"


def is_repository(name: Any) -> bool:
    """Whether `name` can be that of a repository, ``"organisation/name"``."""
    if not isinstance(name, str) or name.endswith(".safetensors"):
        return False
    return re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", name) is not None


@lru_cache
def download(repository: str, revision: str | None) -> Path:
    """Local folder with the files of a repository; asked for once in the life of a process."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise ImportError(
            f"{repository!r} is no file or folder here. If it is a repository on Hugging Face, "
            "install what downloads it with: pip install huggingface_hub"
        ) from error
    patterns = [WEIGHTS, CONFIG, CARD]
    return Path(snapshot_download(repository, revision=revision, allow_patterns=patterns))


def read_folder(folder: Path) -> tuple[Path, str]:
    """The file of weights in a folder, and the SHA-256 that its configuration gives."""
    from ._checkpoint import CheckpointError, check_sha256
    from ._header import ANEW, parse_json

    for name in (WEIGHTS, CONFIG):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"{folder} holds no {name}; wanted a folder that save_pretrained wrote, or the "
                ".safetensors file itself."
            )
    config = folder / CONFIG
    sha256 = parse_json(f"{config} is damaged", config.read_bytes(), ANEW).get("sha256")
    try:
        check_sha256(sha256)
    except ValueError as error:
        raise CheckpointError(f"{config} does not say what to find: {error} {ANEW}") from error
    return folder / WEIGHTS, str(sha256)


def write_companions(folder: Path, card: bytes | None) -> str:
    """Write what goes with the file of weights in a folder, and return its SHA-256.

    The configuration is a copy of the file's header for people to read; what is read back of it
    is the SHA-256 alone.
    """
    from ._checkpoint import write_atomically
    from ._header import read_header

    sha256 = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    info = read_header(folder / WEIGHTS).info
    config = {"library_name": "citrus-sk", "sha256": sha256, "checkpoint": info}
    write_atomically(folder / CONFIG, (json.dumps(config, indent=2) + "\n").encode())
    if card is not None:
        write_atomically(folder / CARD, card)
    return sha256
