"""One file for pre-trained weights: safetensors, with everything about them as JSON in its header.

Nothing in such a file can run code, and nothing in it is taken on trust: a file is read whole and
as it was written, or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from .._utils.files import write_atomically
from .._utils.version import __version__
from ..nn import NetworkConfig, TaskConfig
from .format import (
    CODES,
    COPY_HINT,
    FORMAT_VERSION,
    HEADER_LIMIT,
    KEY,
    CheckpointError,
    Header,
    canonical,
    check_info,
    check_layout,
    expected_tensors,
    header_bytes,
    open_file,
    parse_header,
    parse_json,
)

__all__ = ["Checkpoint", "CheckpointError", "read_checkpoint", "write_checkpoint"]


@dataclass(frozen=True)
class Checkpoint:
    """Pre-trained weights and what is known about them.

    Attributes
    ----------
    network : NetworkConfig
        Sizes of the trunk.
    task : TaskConfig
        What it was pre-trained on.
    tensors : dict of str to Tensor
        State dict of the `MaskedAutoencoder` of the two; the trunk's names begin with ``trunk.``.
        Numbers with a fraction are float32, whatever the precision on disk.
    info : dict of str to Any
        The whole JSON of the header: where the weights come from and what was measured.
    """

    network: NetworkConfig
    task: TaskConfig
    tensors: dict[str, Tensor]
    info: dict[str, Any]


def write_checkpoint(
    path: str | os.PathLike[str],
    network: NetworkConfig,
    task: TaskConfig,
    tensors: Mapping[str, Tensor],
    info: Mapping[str, Any],
    *,
    half: bool = False,
) -> str:
    """Write weights and what is known about them to one file.

    The file appears whole or not at all: where writing fails, an earlier file stays as it was.

    Parameters
    ----------
    path : str or os.PathLike
        The file, by custom ``*.safetensors``.
    network : NetworkConfig
        Sizes of the trunk.
    task : TaskConfig
        What it was pre-trained on.
    tensors : mapping of str to Tensor
        State dict of a `MaskedAutoencoder` of the two.
    info : mapping of str to Any
        What JSON can hold. ``grid`` (``n_times``, ``sfreq`` in Hz or None), ``corpus`` (a list of
        ``name``, ``licence``, ``attribution``, ``hours``, ``people``, each None if not known),
        ``training`` and ``metrics`` are expected, anything else is kept; ``created`` is now if not
        given. What the function knows for itself replaces what is given.
    half : bool, default=False
        Whether numbers are stored as float16: half the size, three decimal places.

    Returns
    -------
    str
        SHA-256 of the file.

    Raises
    ------
    CheckpointError
        If `tensors` are not those of the model, are not finite or overflow; or if `info` lacks
        something.
    OSError
        If the file cannot be written.
    """
    path = Path(path)
    where = f"{path} is not written"
    known = {
        "format_version": FORMAT_VERSION,
        "package_version": __version__,
        "network": asdict(network),
        "task": asdict(task),
        "objective": task.objective,
        "modalities": network.modalities,
        "dtype": "float16" if half else "float32",
        "sha256": "0" * 64,
    }
    created = datetime.now(UTC).isoformat(timespec="seconds")
    content = parse_json(where, canonical(where, {"created": created, **info, **known}))
    check_info(where, content)
    stored = _to_disk(where, tensors, expected_tensors(where, network, task), half)
    content["sha256"] = _content_hash(where, content, stored)
    data = _serialise(where, stored, canonical(where, content))
    write_atomically(path, data)
    return hashlib.sha256(data).hexdigest()


def read_checkpoint(path: str | os.PathLike[str], *, sha256: str | None = None) -> Checkpoint:
    """Read a file that `write_checkpoint` wrote.

    Parameters
    ----------
    path : str or os.PathLike
        The file.
    sha256 : str, default=None
        SHA-256 that the file has to have, 64 hexadecimal digits. Without it damage is found all
        the same, but not that somebody has put another checkpoint there.

    Returns
    -------
    Checkpoint
        On the CPU.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    CheckpointError
        If the file is anything but a whole checkpoint that this version can read.
    """
    path = Path(path)
    if sha256 is not None:
        check_sha256(sha256)
    with open_file(path) as file:
        header = parse_header(file, str(path))
        data = header.raw + file.read()
    found = hashlib.sha256(data).hexdigest()
    if sha256 is not None and found != sha256.lower():
        raise CheckpointError(
            f"{path} is not the published file: its SHA-256 is {found}; expected {sha256.lower()}. "
            f"{COPY_HINT}"
        )
    tensors = _tensors(data, header, str(path))
    return Checkpoint(header.network, header.task, tensors, header.info)


def check_sha256(sha256: Any) -> None:
    """Raise ValueError unless `sha256` looks like one."""
    if not (isinstance(sha256, str) and re.fullmatch(r"[0-9a-fA-F]{64}", sha256)):
        raise ValueError(f"sha256={sha256!r} is not a SHA-256; expected 64 hexadecimal digits.")


def _serialise(where: str, tensors: dict[str, Tensor], text: str) -> bytes:
    data = safetensors.torch.save(tensors, {"format": "pt", KEY: text})
    length = int.from_bytes(data[:8], "little")
    if length > HEADER_LIMIT:
        raise CheckpointError(
            f"{where}: its info takes {length} bytes of JSON; at most {HEADER_LIMIT} are read. "
            "Shorten it."
        )
    # safetensors writes its metadata in random order; the same content is to be the same file.
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    return data[:8] + header_bytes(header, length) + data[8 + length :]


# --- tensors -------------------------------------------------------------------------------------


def _to_disk(
    where: str, tensors: Mapping[str, Tensor], expected: dict[str, Tensor], half: bool
) -> dict[str, Tensor]:
    """Copies as they are stored, checked against the model."""
    dtype = torch.float16 if half else torch.float32
    stored = {}
    for name, value in tensors.items():
        _check_finite(where, name, value, "Train again, or take an earlier state.")
        kind = dtype if value.is_floating_point() else value.dtype
        value = value.detach()
        stored[name] = value.to("cpu", kind, copy=True).contiguous()
        if not stored[name].isfinite().all():
            raise CheckpointError(
                f"{where}: the tensor {name!r} reaches {value.abs().max():.4g}, and "
                f"{str(kind).removeprefix('torch.')} holds at most {torch.finfo(kind).max:.4g}."
                + (" Write it with half=False." if half else "")
            )
    layout = {
        name: (CODES.get(value.dtype, str(value.dtype)), tuple(value.shape))
        for name, value in stored.items()
    }
    check_layout(where, layout, expected, dtype)
    return stored


def _check_finite(where: str, name: str, value: Tensor, remedy: str) -> None:
    if not value.isfinite().all():
        raise CheckpointError(f"{where}: the tensor {name!r} holds NaN or infinity. {remedy}")


def _content_hash(where: str, info: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    """SHA-256 of the JSON without this hash, and of names, types, shapes and bytes by name."""
    rest = {key: value for key, value in info.items() if key != "sha256"}
    digest = hashlib.sha256(canonical(where, rest).encode())
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"\n{name} {CODES[value.dtype]} {list(value.shape)}\n".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()


def _tensors(data: bytes, header: Header, where: str) -> dict[str, Tensor]:
    """The tensors of a file whose header is in order, checked and in float32."""
    try:
        stored = safetensors.torch.load(data)
    except (safetensors.SafetensorError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{where} is damaged: {error}. {COPY_HINT}") from error
    if _content_hash(where, header.info, stored) != header.info["sha256"]:
        raise CheckpointError(
            f"{where} is damaged: its content does not have the SHA-256 that was written with "
            f"it. {COPY_HINT}"
        )
    for name, value in stored.items():
        _check_finite(where, name, value, "Such weights are of no use; take another checkpoint.")
    return {
        name: value.to(torch.float32 if value.is_floating_point() else value.dtype, copy=True)
        for name, value in stored.items()
    }
