"""Reading and writing of pre-trained weights: safetensors, with a JSON description in the header.

Loading such a file cannot run code. The file is checked as a whole, and any change of it is an
error.
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
    COPY_HINT,
    FORMAT_VERSION,
    HEADER_LIMIT,
    KEY,
    CheckpointError,
    Header,
    canonical,
    check_info,
    header_bytes,
    open_file,
    parse_header,
    parse_json,
)
from .layout import CODES, check_header, check_layout, expected_tensors

__all__ = ["Checkpoint", "CheckpointError", "read_checkpoint", "write_checkpoint"]


@dataclass(frozen=True)
class Checkpoint:
    """Pre-trained weights and their description.

    Attributes
    ----------
    network : NetworkConfig
        Sizes of the trunk.
    task : TaskConfig
        Task of the pre-training.
    tensors : dict of str to Tensor
        State dict of a `MaskedAutoencoder` of this network and task; the names of the trunk begin
        with ``trunk.``. Floating-point tensors are float32, whatever the precision on disk.
    info : dict of str to Any
        The whole JSON of the header, with the origin of the weights and their metrics.
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
    """Write weights and their description to one file.

    The file is written atomically: if writing fails, an earlier file stays unchanged.

    Parameters
    ----------
    path : str or os.PathLike
        Path of the file, usually with the extension ``.safetensors``.
    network : NetworkConfig
        Sizes of the trunk.
    task : TaskConfig
        Task of the pre-training.
    tensors : mapping of str to Tensor
        State dict of a `MaskedAutoencoder` of this network and task.
    info : mapping of str to Any
        Description, in types that JSON can store. Required are ``grid`` (``n_times``, ``sfreq`` in
        Hz or None), ``corpus`` (a list of ``name``, ``licence``, ``attribution``, ``hours``,
        ``people``, each None if not known), ``training`` and ``metrics``. Other keys are stored as
        well. The default of ``created`` is the current time. Keys that follow from the other
        arguments, such as ``objective``, are replaced.
    half : bool, default=False
        Whether to store floating-point tensors as float16, with half the size and three decimal
        places.

    Returns
    -------
    str
        SHA-256 of the file.

    Raises
    ------
    CheckpointError
        If `tensors` are not those of the model, are not finite or overflow, or if a required key
        of `info` is missing.
    OSError
        If the file cannot be written.
    """
    path = Path(path)
    where = f"{path} is not written"
    fixed = {
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
    content = parse_json(where, canonical(where, {"created": created, **info, **fixed}))
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
        Path of the file.
    sha256 : str, default=None
        Expected SHA-256 of the file, 64 hexadecimal digits. Damage is detected without it, but the
        exchange of one valid checkpoint for another is not.

    Returns
    -------
    Checkpoint
        The weights, on the CPU, and their description.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    CheckpointError
        If the file is not a complete checkpoint in a format that this version can read.
    """
    path = Path(path)
    if sha256 is not None:
        check_sha256(sha256)
    with open_file(path) as file:
        header = parse_header(file, str(path))
        check_header(str(path), header)
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
    """Raise ValueError unless `sha256` consists of 64 hexadecimal digits."""
    if not (isinstance(sha256, str) and re.fullmatch(r"[0-9a-fA-F]{64}", sha256)):
        raise ValueError(f"sha256={sha256!r} is not a SHA-256; expected 64 hexadecimal digits.")


def _serialise(where: str, tensors: dict[str, Tensor], text: str) -> bytes:
    data = safetensors.torch.save(tensors, {"format": "pt", KEY: text})
    length = int.from_bytes(data[:8], "little")
    if length > HEADER_LIMIT:
        raise CheckpointError(
            f"{where}: its header has {length} bytes, and at most {HEADER_LIMIT} are read. "
            "Shorten info."
        )
    # safetensors writes its metadata in random order; equal content should give equal files.
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    return data[:8] + header_bytes(header, length) + data[8 + length :]


# --- tensors -------------------------------------------------------------------------------------


def _to_disk(
    where: str, tensors: Mapping[str, Tensor], expected: dict[str, Tensor], half: bool
) -> dict[str, Tensor]:
    """Copy the tensors in the type in which they are stored, and check them against the model."""
    dtype = torch.float16 if half else torch.float32
    stored = {}
    for name, value in tensors.items():
        _check_finite(where, name, value, "Train again, or use an earlier state.")
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
    """SHA-256 of the JSON without this hash, and of the name, type, shape and bytes of tensors."""
    rest = {key: value for key, value in info.items() if key != "sha256"}
    digest = hashlib.sha256(canonical(where, rest).encode())
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"\n{name} {CODES[value.dtype]} {list(value.shape)}\n".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()


def _tensors(data: bytes, header: Header, where: str) -> dict[str, Tensor]:
    """Check the tensors of a file with a valid header, and return them as float32."""
    try:
        stored = safetensors.torch.load(data)
    except (safetensors.SafetensorError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{where} is damaged: {error}. {COPY_HINT}") from error
    if _content_hash(where, header.info, stored) != header.info["sha256"]:
        raise CheckpointError(
            f"{where} is damaged: its content does not match the SHA-256 in its header. {COPY_HINT}"
        )
    for name, value in stored.items():
        _check_finite(where, name, value, "Use another checkpoint.")
    return {
        name: value.to(torch.float32 if value.is_floating_point() else value.dtype, copy=True)
        for name, value in stored.items()
    }
