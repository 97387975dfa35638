"""Format of a checkpoint file: its header, and the checks of it, without torch.

`layout` compares a header with the model that it describes.
"""

from __future__ import annotations

import json
import os
import reprlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from numbers import Real
from pathlib import Path
from typing import Any, BinaryIO, get_args, get_origin, get_type_hints

import numpy as np

from .._utils.validation import first_few
from .._utils.version import __version__
from ..nn import NetworkConfig, TaskConfig

FORMAT_VERSION = 1
KEY = "citrus_sk"  # of our JSON in the metadata of safetensors
HEADER_LIMIT = 10_000_000  # bytes; ours have a few thousand
COPY_HINT = "Copy or download it again."
_FIELDS: dict[str, Any] = {
    "format_version": int,
    "package_version": str,
    "created": str,
    "network": dict,
    "task": dict,
    "grid": dict,
    "modalities": list,
    "objective": str,
    "corpus": list,
    "training": dict,
    "metrics": dict,
    "dtype": str,
    "sha256": str,
}
_CORPUS: dict[str, Any] = {
    "name": str,
    "licence": str,
    "attribution": str,
    "hours": Real,
    "people": int,
}
_CHOICES = {
    "backbone": ("hybrid", "conv"),
    "objective": ("time", "freq", "both"),
    "masking": ("latent", "input"),
    "dtype": ("float32", "float16"),
}
# Upper limits for the values of a configuration, so that no file can make us build a huge network.
_MOST, _MOST_LAYERS, _LONGEST = 1_000_000, 256, 64


class CheckpointError(ValueError):
    """A file is not a valid checkpoint, or weights cannot be stored as one.

    It is raised by `load_pretrained` and the other functions that read or write weights, and when a
    pickle with another layout is loaded. The message names the file and a remedy.
    """


@dataclass(frozen=True)
class Header:
    """Content of a file before its tensors.

    Attributes
    ----------
    network, task, info
        Same as in `Checkpoint`.
    layout : dict of str to (str, tuple of int)
        Type on disk and shape of each tensor.
    raw : bytes
        Bytes of the file before the first tensor.
    """

    network: NetworkConfig
    task: TaskConfig
    info: dict[str, Any]
    layout: dict[str, tuple[str, tuple[int, ...]]]
    raw: bytes


def read_header(path: str | os.PathLike[str]) -> Header:
    """Read the header of a file without its tensors; they are not compared with the model."""
    path = Path(path)
    with open_file(path) as file:
        return parse_header(file, str(path))


def open_file(path: Path) -> BinaryIO:
    """Open a file for reading, or raise if the path is not a file."""
    if path.is_dir():
        raise CheckpointError(
            f"{path} is a folder; expected a file. Pass the .safetensors file in it, or read a "
            "folder that save_checkpoint wrote with load_checkpoint."
        )
    if not path.exists():
        raise FileNotFoundError(
            f"{path} does not exist; expected a checkpoint, a .safetensors file."
        )
    if not path.is_file():
        raise CheckpointError(f"{path} is a device or a pipe; expected a .safetensors file.")
    return path.open("rb")


def parse_header(file: BinaryIO, where: str) -> Header:
    """Read the header from an open file, and check that it fits the size of the file."""
    size = os.fstat(file.fileno()).st_size
    raw = _read_to_first_tensor(file, size, where)
    header = parse_json(f"{where} is damaged", raw[8:], COPY_HINT)
    layout, n_bytes = _layout(header, where)
    _check_size(where, len(raw) + n_bytes, size)
    info = _info(header, where)
    if raw[8:] != header_bytes(header, len(raw) - 8):
        raise CheckpointError(
            f"{where} is damaged: its header was changed after it was written. {COPY_HINT}"
        )
    with remedy_of_readers():
        network, task = check_info(where, info)
    return Header(network, task, info, layout, raw)


@contextmanager
def remedy_of_readers() -> Iterator[None]:
    """Add to a message what can be done about a file that does not fit this version."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(
            f"{error} {COPY_HINT} Or write it again with this version."
        ) from error


def header_bytes(header: dict[str, Any], length: int) -> bytes:
    """Serialise the header of safetensors in a unique way, padded with spaces."""
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass").ljust(length)


def _read_to_first_tensor(file: BinaryIO, size: int, where: str) -> bytes:
    start = file.read(9)
    if not start:
        raise CheckpointError(f"{where} is empty. {COPY_HINT}")
    if len(start) < 9:
        raise CheckpointError(
            f"{where} is cut short: it has {len(start)} bytes, fewer than any checkpoint. "
            f"{COPY_HINT}"
        )
    if start[8:] != b"{":
        raise CheckpointError(
            f"{where} is not a safetensors file: it begins with {start[:8]!r}{_guess(start)}. "
            "Expected a file that CitrusPretrainer.save wrote. Pickles are not loaded, because "
            "unpickling a file can run any code that is in it."
        )
    length = int.from_bytes(start[:8], "little")
    if length > HEADER_LIMIT:
        raise CheckpointError(
            f"{where} is damaged or not a checkpoint: its header has a size of {length} bytes, and "
            f"at most {HEADER_LIMIT} are read. {COPY_HINT}"
        )
    _check_size(where, 8 + length, size, at_least=True)
    return start + file.read(length - 1)


def _guess(start: bytes) -> str:
    if start.startswith(b"PK"):
        return ", as archives of torch.save do"
    if start[0] == 0x80:
        return ", as pickles do"
    if start.startswith(b"version"):
        return ", as pointers of Git LFS do ('git lfs pull' downloads the file itself)"
    return ""


def _check_size(where: str, expected: int, size: int, at_least: bool = False) -> None:
    sizes = f"it has {size} bytes, and {expected}{' or more' if at_least else ''} by its header"
    if size < expected:
        raise CheckpointError(f"{where} is cut short: {sizes}. {COPY_HINT}")
    if size > expected and not at_least:
        raise CheckpointError(f"{where} is damaged: {sizes}. {COPY_HINT}")


def _layout(header: dict[str, Any], where: str) -> tuple[dict[str, Any], int]:
    """Type and shape of each tensor, and the number of bytes of all tensors."""
    entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
    try:
        layout = {name: (entry["dtype"], tuple(entry["shape"])) for name, entry in entries.items()}
        return layout, max([0, *(entry["data_offsets"][1] for entry in entries.values())])
    except (TypeError, KeyError, IndexError) as error:
        raise CheckpointError(
            f"{where} is damaged: its header lacks the type, the shape or the offsets of a tensor. "
            f"{COPY_HINT}"
        ) from error


def _info(header: dict[str, Any], where: str) -> dict[str, Any]:
    """The JSON description in the header, in a format that this version can read."""
    metadata = header.get("__metadata__")
    if not (isinstance(metadata, dict) and isinstance(metadata.get(KEY), str)):
        raise CheckpointError(
            f"{where} is a safetensors file, but not a checkpoint of citrus_sk: its header has no "
            f"{KEY!r}. Expected a file that CitrusPretrainer.save wrote; weights of other models "
            "do not fit."
        )
    info = parse_json(f"{where} is damaged", metadata[KEY], COPY_HINT)
    version = info.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise CheckpointError(
            f"{where} was written by citrus_sk {info.get('package_version')!r} in format "
            f"{version}; this is {__version__}, which reads format {FORMAT_VERSION}. Upgrade with: "
            "pip install --upgrade citrus-sk"
        )
    if version != FORMAT_VERSION or isinstance(version, bool):
        raise CheckpointError(
            f"{where}: its format_version is {version!r}; expected {FORMAT_VERSION}. {COPY_HINT}"
        )
    if metadata != {"format": "pt", KEY: canonical(where, info)}:
        raise CheckpointError(
            f"{where} is damaged: its JSON was changed after it was written. {COPY_HINT}"
        )
    return info


# --- the JSON ------------------------------------------------------------------------------------


def parse_json(where: str, text: bytes | str, remedy: str = "") -> dict[str, Any]:
    """Parse a JSON object with finite numbers only."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not valid JSON")

    try:
        text = text.decode() if isinstance(text, bytes) else text
        value = json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{where}: its JSON cannot be read ({error}). {remedy}") from error
    if not isinstance(value, dict):
        raise CheckpointError(
            f"{where}: its JSON is a {type(value).__name__}; expected an object. {remedy}"
        )
    return value


def canonical(where: str, info: dict[str, Any]) -> str:
    """Serialise `info` as JSON in a unique way."""

    def plain(value: Any) -> Any:
        if isinstance(value, np.generic):
            return value.item()
        raise TypeError(f"{value!r} is a {type(value).__name__}")

    try:
        return json.dumps(info, sort_keys=True, allow_nan=False, default=plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{where}: its info holds a value that JSON cannot store ({error}); expected dict, "
            "list, str, finite numbers, bool and None."
        ) from error


def check_info(where: str, info: dict[str, Any]) -> tuple[NetworkConfig, TaskConfig]:
    """Return the two configurations, or raise if the JSON is incomplete or contradicts itself."""
    _check_fields(where, "its info", info, _FIELDS)
    _check_choice(where, "dtype", info["dtype"])
    network = _config(where, "network", NetworkConfig, info["network"])
    task = _config(where, "task", TaskConfig, info["task"])
    if not len(network.widths) == len(network.kernels) == len(network.strides) >= 1:
        raise CheckpointError(
            f"{where}: network.widths, network.kernels and network.strides have "
            f"{len(network.widths)}, {len(network.kernels)} and {len(network.strides)} entries; "
            "expected one entry of each for every block."
        )
    _check_fields(where, "grid", info["grid"], {"n_times": int, "sfreq": Real | None})
    for i, entry in enumerate(info["corpus"]):
        optional = {name: kind | None for name, kind in _CORPUS.items()}
        _check_fields(where, f"corpus[{i}]", entry, optional)
    for name, found, expected in (
        ("grid.n_times", info["grid"]["n_times"], network.n_times),
        ("modalities", info["modalities"], list(network.modalities)),
        ("objective", info["objective"], task.objective),
    ):
        if found != expected:
            raise CheckpointError(
                f"{where}: {name} is {found!r}; expected {expected!r} as in the configuration."
            )
    return network, task


def _check_fields(where: str, label: str, values: Any, expected: dict[str, Any]) -> None:
    if not isinstance(values, dict):
        raise CheckpointError(
            f"{where}: {label} is a {type(values).__name__}; expected a dict of "
            f"{', '.join(expected)}."
        )
    missing = [name for name in expected if name not in values]
    if missing:
        raise CheckpointError(
            f"{where}: {label} lacks {first_few(map(repr, missing))}; expected "
            f"{', '.join(expected)}."
        )
    for name, kind in expected.items():
        value = values[name]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            noun = " or ".join(one.__name__ for one in get_args(kind) or (kind,))
            raise CheckpointError(
                f"{where}: {name!r} of {label} is a {type(value).__name__}; expected {noun}."
            )


def _config(where: str, label: str, kind: Any, values: dict[str, Any]) -> Any:
    """Make a configuration from `values`, which must have exactly the fields of this version."""
    names = [field.name for field in fields(kind)]
    missing = [name for name in names if name not in values]
    unknown = [name for name in values if name not in names]
    if missing or unknown:
        found = [f"lacks {first_few(map(repr, missing))}"] if missing else []
        found += (
            [f"has {first_few(map(repr, unknown))}, which is unknown to this version"]
            if unknown
            else []
        )
        raise CheckpointError(
            f"{where}: {label} {' and '.join(found)}; expected {', '.join(names)}."
        )
    for name, hint in get_type_hints(kind).items():
        _check_value(where, f"{label}.{name}", values[name], hint)
    return kind(**values)


def _check_value(where: str, label: str, value: Any, hint: Any) -> None:
    if get_origin(hint) is tuple:
        is_valid, expected = _has_length(value, get_args(hint))
    elif hint is int:
        most = _MOST_LAYERS if label == "network.depth" else _MOST
        is_valid = type(value) is int and 1 <= value <= most
        expected = f"an integer from 1 to {most}"
    elif hint is float:
        is_valid = type(value) in (int, float) and 0 <= value <= _MOST
        expected = f"a number from 0 to {_MOST}"
    else:
        is_valid, expected = type(value) is hint, f"a {hint.__name__}"
    if not is_valid:
        raise CheckpointError(f"{where}: {label} is {reprlib.repr(value)}; expected {expected}.")
    _check_choice(where, label, value)
    if get_origin(hint) is tuple:
        for i, entry in enumerate(value):
            _check_value(where, f"{label}[{i}]", entry, get_args(hint)[0])


def _has_length(value: Any, kinds: tuple[Any, ...]) -> tuple[bool, str]:
    """Whether `value` is a list with the length of a tuple of `kinds`, and a text that says so."""
    length = len(value) if isinstance(value, list) else -1
    if kinds[1:] == (...,):
        return 0 <= length <= _LONGEST, f"a list of at most {_LONGEST} entries"
    return length == len(kinds), f"a list of {len(kinds)} entries"


def _check_choice(where: str, label: str, value: Any) -> None:
    known = _CHOICES.get(label.rsplit(".", maxsplit=1)[-1])
    if known and value not in known:
        raise CheckpointError(
            f"{where}: {label} is {value!r}; expected one of {', '.join(map(repr, known))}."
        )
