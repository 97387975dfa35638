"""Attacks on checkpoints: each of those that ship, damaged or made to lie.

A changed file has to be refused with an error that names it, and nothing in it may run.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from attempts import DOCUMENTED, MARK, SAME, Attacks, Attempt, Fault, Payload, failure
from mutations import flipped, mutated

_NAME = "weights.safetensors"
Change = Callable[[np.random.Generator, int, bytes], bytes]


def _shipped(name: str) -> bytes:
    from citrus_sk.checkpoints import registry

    return (registry.SHIPPED / f"{name}.safetensors").read_bytes()


def _names() -> list[str]:
    from citrus_sk import list_pretrained

    return list_pretrained()


def _read(path: Path, i: int) -> None:
    """Read a file, and for some of the attempts describe it as well."""
    from citrus_sk.checkpoints.checkpoint import read_checkpoint
    from citrus_sk.checkpoints.registry import describe_checkpoint

    if i % 20 == 0:  # it reads the header alone, so it accepts damage to a tensor
        described = failure(partial(describe_checkpoint, path))
        if described is not None and not isinstance(described, DOCUMENTED):
            raise described
    read_checkpoint(path)


def _damage(change: Change, checkpoint: str, folder: Path, n_cases: int | None = None) -> Attempt:
    """Attempts that change the bytes of a shipped file."""
    data, path = _shipped(checkpoint), folder / _NAME

    def run(rng: np.random.Generator, i: int) -> str:
        changed = change(rng, i, data)
        path.write_bytes(changed)
        _read(path, i)
        if changed == data:
            return SAME
        raise Fault("a changed file was accepted")

    return Attempt(run, {_NAME}, n_cases=n_cases)


def _flip(rng: np.random.Generator, i: int, data: bytes) -> bytes:
    return flipped(rng, data)


def _cut(rng: np.random.Generator, i: int, data: bytes) -> bytes:
    """The first of 500 lengths are short; the others are spread over the file."""
    return data[: i if i < 100 else int(rng.integers(len(data)))]


def _mutate(rng: np.random.Generator, i: int, data: bytes) -> bytes:
    return mutated(rng, data)


# --- headers that lie ----------------------------------------------------------------------------


def _parts(data: bytes) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    return header, json.loads(header["__metadata__"]["citrus_sk"]), data[8 + length :]


def _joined(header: dict[str, Any], info: dict[str, Any], tensors: bytes) -> bytes:
    """A file whose own hash fits its content, as its author would write it."""
    rest = {key: value for key, value in info.items() if key != "sha256"}
    digest = hashlib.sha256(json.dumps(rest, sort_keys=True).encode())
    for name in sorted(set(header) - {"__metadata__"}):
        entry = header[name]
        first, last = entry["data_offsets"]
        digest.update(f"\n{name} {entry['dtype']} {list(entry['shape'])}\n".encode())
        digest.update(tensors[first:last])
    info = {**rest, "sha256": digest.hexdigest()}
    header["__metadata__"]["citrus_sk"] = json.dumps(info, sort_keys=True)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text = text.ljust(-(-len(text) // 8) * 8)
    return len(text).to_bytes(8, "little") + text + tensors


_LIES: tuple[Any, ...] = (
    0, -1, 1, 2, 3, 2**16, 10**6, 10**9, 10**15, 0.5, 1e300, True, None, "", "x", "../../x", [], {},
    [10**6] * 64, [1] * 10_000, {"a": {}}, "9" * 1000,
)  # fmt: skip


def _lies(checkpoint: str, folder: Path) -> Attempt:
    """Another value for one entry of the description, or of the header, with a hash that fits.

    A description may say anything about the origin of the weights; what it says about their
    sizes has to be that of the tensors.
    """
    data, path = _shipped(checkpoint), folder / _NAME

    def run(rng: np.random.Generator, i: int) -> str:
        header, info, tensors = _parts(data)
        tree = info if rng.random() < 0.7 else header
        *way, last = _leaves(tree)[rng.integers(len(_leaves(tree)))]
        for key in way:
            tree = tree[key]
        tree[last] = _LIES[rng.integers(len(_LIES))]
        try:
            changed = _joined(header, info, tensors)
        except (TypeError, ValueError, KeyError):  # no header that could be written
            changed = data[:8] + b"{" * (len(data) - 8)
        path.write_bytes(changed)
        _read(path, i)
        return SAME

    return Attempt(run, {_NAME})


def _leaves(tree: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    entries = tree.items() if isinstance(tree, dict) else enumerate(tree)
    found: list[tuple[Any, ...]] = []
    for key, value in entries:
        found.append((*way, key))
        if isinstance(value, dict | list):
            found += _leaves(value, (*way, key))
    return found


# --- files that are no checkpoints, and names that are no names ----------------------------------


def _files(data: bytes, folder: Path) -> Iterator[bytes]:
    """Files that claim or hide something."""
    for length in (10**11, 2**63, 2**64 - 1, 10**7, len(data)):  # a header of 100 GB, and others
        yield length.to_bytes(8, "little") + data[8:]
    header, info, tensors = _parts(data)
    first = next(name for name in header if name != "__metadata__")
    for size in (10**11, 2**62, -1):  # a tensor of 100 GB
        big = {**header, first: {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}
        yield _joined(big, info, tensors)
    for version in (2, 10**30, 0, "2", None, True):
        yield _joined({**header}, {**info, "format_version": version}, tensors)
    for name in ("../../evil", "/etc/passwd", "a\0b", "", "x" * 10**6):
        yield _joined({**header, name: header[first]}, info, tensors)
    yield _swapped(data)
    payload = Payload(folder / MARK)
    for protocol in range(6):
        yield pickle.dumps(payload, protocol)
        yield (8).to_bytes(8, "little") + b"{" + pickle.dumps(payload, protocol)
    archive = folder / "archive"
    with zipfile.ZipFile(archive, "w") as file:  # as torch.save writes it
        file.writestr("archive/data.pkl", pickle.dumps(payload, 2))
    yield archive.read_bytes()
    nested = b'{"__metadata__":' + b"[" * 10**6
    yield len(nested).to_bytes(8, "little") + nested


def _swapped(data: bytes) -> bytes:
    """Two tensors of one shape have changed places."""
    header, _, tensors = _parts(data)
    by_shape: dict[tuple[Any, ...], tuple[int, int]] = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        (a, b), shape = entry["data_offsets"], (entry["dtype"], *entry["shape"])
        if shape in by_shape and tensors[a:b] != tensors[slice(*by_shape[shape])]:
            c, d = by_shape[shape]
            first, second = sorted([(a, b), (c, d)])
            content = bytearray(tensors)
            content[slice(*first)], content[slice(*second)] = (
                tensors[slice(*second)], tensors[slice(*first)],
            )  # fmt: skip
            return data[: len(data) - len(tensors)] + bytes(content)
        by_shape[shape] = (a, b)
    raise RuntimeError("no two tensors have one shape")


def _impostors(checkpoint: str, folder: Path) -> Attempt:
    data = _shipped(checkpoint)
    files = list(_files(data, folder))

    def change(rng: np.random.Generator, i: int, data: bytes) -> bytes:
        return files[i]

    attempt = _damage(change, checkpoint, folder, len(files))

    def run(rng: np.random.Generator, i: int) -> str:
        try:
            return attempt.run(rng, i)
        finally:
            if (folder / MARK).exists():
                raise Fault("code in a file was run")

    return Attempt(run, {_NAME}, n_cases=len(files))


def names(folder: Path) -> Attempt:
    """Names and paths for ``load_pretrained`` that are none, or that lead elsewhere."""
    from citrus_sk import load_checkpoint, load_pretrained

    (folder / "pipe.safetensors").unlink(missing_ok=True)
    os.mkfifo(folder / "pipe.safetensors")
    (folder / "circle.safetensors").symlink_to(folder / "circle.safetensors")
    (folder / "zeros.safetensors").symlink_to("/dev/zero")
    (folder / "both").mkdir()
    (folder / "both" / "model.safetensors").write_bytes(_shipped(_names()[0]))
    (folder / "both" / "config.json").write_text('{"sha256": "../../../../etc/passwd"}')
    (folder / "huge").mkdir()
    (folder / "huge" / "model.safetensors").write_bytes(b"x")
    with (folder / "huge" / "config.json").open("wb") as file:
        file.truncate(10**11)  # of holes
    tricks = [
        "../../eeg-freq", "../eeg-freq.safetensors", "/etc/passwd", "./../../../etc/passwd",
        "eeg-freq\0", "eeg-freq/../eeg-time", "~nobody-of-this-name/x.safetensors", "", ".", "..",
        "/dev/zero", "/dev/stdin", "file:///etc/passwd", "https://example.org/x.safetensors",
        "EEG-FREQ", "eeg-freq ", "x" * 10_000, "a/" * 2000, "%2e%2e/x", "\ud800/x", "models/x",
        *map(str, sorted(folder.iterdir())),
    ]  # fmt: skip

    def run(rng: np.random.Generator, i: int) -> str:
        load = (load_pretrained, load_checkpoint)[i % 2]
        load(tricks[i // 2])
        raise Fault("a name that is none was accepted")

    shown = {repr(trick)[1:-1][:40] for trick in tricks} | {str(folder), "pretrained="}
    return Attempt(run, shown, n_cases=2 * len(tricks))


def _attacks() -> Attacks:
    found: Attacks = {}
    for name in ("eeg-freq", "eeg-time", "multi-freq", "multi-time"):
        found |= {
            f"flips {name}": partial(_damage, _flip, name),
            f"cuts {name}": partial(_damage, _cut, name),
            f"mutations {name}": partial(_damage, _mutate, name),
            f"lies {name}": partial(_lies, name),
            f"impostors {name}": partial(_impostors, name),
        }
    return found | {"names": names}


ATTACKS = _attacks()
