"""Resolution of names, paths and estimators to checkpoints, and the list of shipped ones.

Modules that need torch are imported inside functions, so that `list_pretrained` is fast.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._utils.validation import check_choice, did_you_mean
from . import hub

if TYPE_CHECKING:
    from torch import Tensor

    from ..nn import Trunk
    from .checkpoint import Checkpoint

# Folder with a file and a model card for each name, and the SHA-256 of each file in index.json.
SHIPPED = Path(__file__).parent
_TRUNK, _TRANSFORMER = "trunk.", "transformer."


def list_pretrained() -> list[str]:
    """List the pre-trained checkpoints that ship with this version.

    Returns
    -------
    list of str
        Names that the estimators accept as ``pretrained=``.
    """
    return sorted(_index())


def describe_checkpoint(name_or_path: str | os.PathLike[str]) -> dict[str, Any]:
    """Describe a checkpoint without reading its weights.

    Parameters
    ----------
    name_or_path : str or os.PathLike
        Name or path of a checkpoint, as in `load_pretrained`.

    Returns
    -------
    dict of str to Any
        ``name``, ``objective``, ``preset`` (None if it has the sizes of none of them),
        ``n_parameters`` of the trunk, ``modalities``, ``n_times``, ``sfreq`` (Hz or None),
        ``hours`` and ``people`` of the corpus (None if not known), ``n_bytes`` on disk,
        ``metrics``, and ``info`` (the whole JSON of the header).
    """
    from ..nn import preset_of
    from .format import read_header

    path, _ = _locate(name_or_path)
    header = read_header(path)
    if path.parent != SHIPPED:  # shipped files are of this version, and the check needs torch
        from .layout import check_header

        check_header(str(path), header)
    info = header.info
    n_parameters = sum(
        math.prod(shape) for name, (_, shape) in header.layout.items() if name.startswith(_TRUNK)
    )
    return {
        "name": os.fspath(name_or_path),
        "objective": info["objective"],
        "preset": preset_of(header.network),
        "n_parameters": n_parameters,
        "modalities": info["modalities"],
        "n_times": info["grid"]["n_times"],
        "sfreq": info["grid"]["sfreq"],
        "hours": _total(entry["hours"] for entry in info["corpus"]),
        "people": _total(entry["people"] for entry in info["corpus"]),
        "n_bytes": path.stat().st_size,
        "metrics": info["metrics"],
        "info": info,
    }


def load_pretrained(
    name_or_path: Any, *, backbone: str = "hybrid", revision: str | None = None
) -> Trunk:
    """Load a pre-trained trunk as a torch module.

    Parameters
    ----------
    name_or_path : str, os.PathLike or fitted CitrusPretrainer
        Name in `list_pretrained`, ``.safetensors`` file, folder that `save_checkpoint` wrote, or
        repository on Hugging Face, ``"organisation/name"``, unless it looks like a path, such as
        ``"models/eeg"``.
    backbone : {"hybrid", "conv"}, default="hybrid"
        Convolution and transformer, or the convolution alone.
    revision : str or None, default=None
        Branch, tag or commit of a repository on Hugging Face. With a revision, the name is never
        taken for a path.

    Returns
    -------
    Trunk
        The trunk, in evaluation mode and on the CPU. Its input is single channels, a tensor of
        shape (batch, n_times) with mean 0 and sd 1. Its outputs are latents of shape (batch,
        latent_width, n_latent) and a sequence of shape (batch, n_steps, width).

    Raises
    ------
    ValueError
        If no checkpoint has that name, or if the file is not a valid checkpoint.
    FileNotFoundError
        If the file or the repository does not exist.

    Examples
    --------
    >>> import torch
    >>> from citrus_sk import load_pretrained  # doctest: +SKIP
    >>> trunk = load_pretrained("eeg-freq")  # doctest: +SKIP
    >>> latent, sequence = trunk(torch.randn(2, 1024))  # doctest: +SKIP
    >>> latent.shape, sequence.shape  # doctest: +SKIP
    (torch.Size([2, 128, 128]), torch.Size([2, 32, 128]))
    """
    import torch

    from .._utils.devices import usual_modes
    from ..nn import Trunk

    with usual_modes():
        checkpoint = _resolve(name_or_path, revision)
        weights = trunk_state(checkpoint, backbone)
        with torch.device("meta"):  # no random numbers are drawn
            trunk = Trunk(replace(checkpoint.network, backbone=backbone))
        trunk.load_state_dict(weights, strict=True, assign=True)
    return trunk.eval()


def trunk_state(checkpoint: Checkpoint, backbone: str) -> dict[str, Tensor]:
    """State dict of the checkpoint's `Trunk` with a given backbone."""
    check_choice("backbone", backbone, ("hybrid", "conv"))
    if backbone == "hybrid" and checkpoint.network.backbone == "conv":
        raise ValueError(
            "backbone='hybrid' needs a transformer, and this checkpoint has only a convolution. "
            "Pass backbone='conv', or another checkpoint."
        )
    state = {
        name.removeprefix(_TRUNK): value
        for name, value in checkpoint.tensors.items()
        if name.startswith(_TRUNK)
    }
    if backbone == "hybrid":
        return state
    return {name: value for name, value in state.items() if not name.startswith(_TRANSFORMER)}


def resolve_pretrained(pretrained: Any) -> Checkpoint | None:
    """Resolve a value of ``pretrained=`` to a checkpoint.

    Parameters
    ----------
    pretrained : str, os.PathLike, Checkpoint, fitted CitrusPretrainer or None
        Name in `list_pretrained`, path of a file or folder, or repository on Hugging Face. Any
        object with a method ``to_checkpoint`` is accepted as a pre-trainer.

    Returns
    -------
    Checkpoint or None
        The checkpoint; a new copy if it is read from a file, which is read once until it changes.

    Raises
    ------
    TypeError
        If `pretrained` has another type.
    ValueError
        If no checkpoint has that name, or if the file is not a valid checkpoint.
    FileNotFoundError
        If the file or the repository does not exist.
    """
    return None if pretrained is None else _resolve(pretrained)


def file_sha256(name_or_path: str | os.PathLike[str]) -> str:
    """SHA-256 of the file with a given name or path."""
    path, _ = _locate(name_or_path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def find_again(name_or_path: str, sha256: str) -> Checkpoint:
    """Find the checkpoint that a stored estimator refers to.

    Parameters
    ----------
    name_or_path : str
        Value of ``pretrained=`` when the estimator was fitted.
    sha256 : str
        SHA-256 of the file at that time.

    Raises
    ------
    CheckpointError
        If the checkpoint is not found, or if it is another one now.
    """
    from .checkpoint import CheckpointError

    try:
        return _read(_locate(name_or_path)[0], sha256)
    except (OSError, ValueError, ImportError) as error:
        raise CheckpointError(
            "This estimator was stored with store_weights='reference', so it needs the checkpoint "
            f"{name_or_path!r} with the SHA-256 {sha256}, which was not found: {error} Restore "
            "that file (relative paths start in the working directory), connect to the hub, or "
            "fit and store the estimator with store_weights='full' on a machine that has the "
            "checkpoint."
        ) from error


def save_checkpoint(checkpoint: Any, folder: str | os.PathLike[str]) -> str:
    """Write a checkpoint as a folder that is ready to be uploaded to Hugging Face.

    Parameters
    ----------
    checkpoint : str, os.PathLike, Checkpoint or fitted CitrusPretrainer
        Checkpoint to write; any value that the estimators accept as ``pretrained=``. A file is
        copied unchanged.
    folder : str or os.PathLike
        Folder for ``model.safetensors``, ``config.json`` and, if there is a model card,
        ``README.md``. It is created if needed.

    Returns
    -------
    str
        SHA-256 of ``model.safetensors``, for `load_checkpoint`.
    """
    from .._utils.files import write_atomically
    from .checkpoint import write_checkpoint

    content = _resolve(checkpoint)
    folder, card = Path(folder), None
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / hub.WEIGHTS
    if isinstance(checkpoint, str | os.PathLike):
        path, _ = _locate(checkpoint)
        write_atomically(file, path.read_bytes())
        beside = path.with_name(hub.CARD) if path.name == hub.WEIGHTS else path.with_suffix(".md")
        card = beside.read_bytes() if beside.is_file() else None
    else:
        half = content.info.get("dtype") == "float16"
        write_checkpoint(
            file, content.network, content.task, content.tensors, content.info, half=half
        )
    return hub.write_companions(folder, card)


def load_checkpoint(
    name_or_folder: str | os.PathLike[str],
    *,
    revision: str | None = None,
    sha256: str | None = None,
) -> Checkpoint:
    """Read a checkpoint from a folder or from Hugging Face.

    Parameters
    ----------
    name_or_folder : str or os.PathLike
        Folder that `save_checkpoint` wrote; repository, ``"organisation/name"``, which needs
        huggingface_hub; or another name or path that `load_pretrained` accepts.
    revision : str or None, default=None
        Branch, tag or commit of the repository.
    sha256 : str or None, default=None
        Expected SHA-256 of the weights. The one in ``config.json`` is checked in any case and
        detects damage; this one also detects that both files were replaced.

    Returns
    -------
    Checkpoint
        A checkpoint that the estimators accept as ``pretrained=``.
    """
    path, known = _locate(name_or_folder, revision)
    checkpoint = _read(path, known)
    return checkpoint if sha256 is None else _read(path, sha256)


# --- from a name to a file -----------------------------------------------------------------------


def _index() -> dict[str, dict[str, str]]:
    path = SHIPPED / "index.json"
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}


def _resolve(source: Any, revision: str | None = None) -> Checkpoint:
    from .checkpoint import Checkpoint

    if isinstance(source, str | os.PathLike) or revision is not None:
        return _read(*_locate(source, revision))
    if isinstance(source, Checkpoint):
        return source
    make = getattr(source, "to_checkpoint", None)
    checkpoint = make() if callable(make) and not isinstance(source, type) else None
    if not isinstance(checkpoint, Checkpoint):
        raise TypeError(
            f"Expected pretrained to be the name of a checkpoint ({_offer()}), a path, a fitted "
            f"CitrusPretrainer, or None to train from scratch, got {source!r}."
        )
    return checkpoint


def _locate(source: str | os.PathLike[str], revision: str | None = None) -> tuple[Path, str | None]:
    """Path of the file with a given name or path, and its expected SHA-256."""
    index = _index()
    if revision is not None:
        if not hub.is_repository(source):
            raise ValueError(
                f"revision={revision!r} needs a repository on Hugging Face; expected "
                f"'organisation/name', got {source!r}."
            )
    elif isinstance(source, str) and source in index:
        return SHIPPED / index[source]["file"], index[source]["sha256"]
    else:
        path = _expanded(source)
        if path.is_dir() and (_is_path(source) or (path / hub.WEIGHTS).is_file()):
            return hub.read_folder(path)
        if _is_path(source) and (path.exists() or not hub.is_repository(source)):
            return path, None
    if hub.is_repository(source):
        return hub.read_folder(hub.fetch(str(source), revision))
    raise ValueError(_unknown(os.fspath(source)))


def _expanded(source: str | os.PathLike[str]) -> Path:
    """Path with ``~`` expanded, or unchanged if that user does not exist."""
    with suppress(RuntimeError):
        return Path(source).expanduser()
    return Path(source)


def _is_path(source: Any) -> bool:
    """Whether `source` has the form of a path; a single word is a name."""
    if not isinstance(source, str):
        return True
    return source.endswith(".safetensors") or "/" in source or os.sep in source


def _offer() -> str:
    shipped = ", ".join(map(repr, list_pretrained()))
    return f"one of {shipped}" if shipped else "a path, since none ships with this version"


def _unknown(name: str) -> str:
    path = f"./{name or 'weights.safetensors'}"
    return (
        f"pretrained={name!r} is not a known checkpoint; expected {_offer()}."
        f"{did_you_mean(name, list_pretrained())} Pass a file or folder as a path, such as "
        f"{path!r}, and pretrained=None to train from scratch."
    )


def _read(path: Path, sha256: str | None) -> Checkpoint:
    """Read a file, or copy the result if it was read before, as for other folds of the data."""
    from .checkpoint import read_checkpoint

    if not path.is_file():
        return read_checkpoint(path, sha256=sha256)  # raises an error with the reason
    stat = path.stat()
    state = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
    kept = _read_once(path.absolute(), state, sha256)
    tensors = {name: value.clone() for name, value in kept.tensors.items()}
    return replace(kept, tensors=tensors, info=copy.deepcopy(kept.info))


@lru_cache(maxsize=4)
def _read_once(path: Path, state: tuple[int, ...], sha256: str | None) -> Checkpoint:
    from .checkpoint import read_checkpoint

    return read_checkpoint(path, sha256=sha256)


def _total(numbers: Iterable[Any]) -> Any:
    """Sum of the numbers that are not None; None if all are."""
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None
