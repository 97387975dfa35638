"""Pre-trained weights: what ships, and how a name, a path or an estimator is turned into them.

Whatever needs torch is imported where it is needed: the list of names is to come at once.
"""

from __future__ import annotations

import copy
import difflib
import hashlib
import json
import math
import os
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._utils.validation import check_choice
from . import hub

if TYPE_CHECKING:
    from torch import Tensor

    from ..nn import Trunk
    from .checkpoint import Checkpoint

# One file a name, a model card beside it, and the SHA-256 of each in index.json.
SHIPPED = Path(__file__).parent
_TRUNK, _TRANSFORMER = "trunk.", "transformer."


def list_pretrained() -> list[str]:
    """Names of the pre-trained checkpoints that ship with this version.

    Returns
    -------
    list of str
        Each a value for ``pretrained=`` of the estimators.
    """
    return sorted(_index())


def describe_checkpoint(name_or_path: str | os.PathLike[str]) -> dict[str, Any]:
    """Description of a checkpoint; its weights are not read.

    Parameters
    ----------
    name_or_path : str or os.PathLike
        As in `load_pretrained`.

    Returns
    -------
    dict of str to Any
        ``name``, ``objective``, ``preset`` (None if its sizes are none of the presets'),
        ``n_parameters`` of the trunk, ``modalities``, ``n_times``, ``sfreq`` (Hz or None),
        ``hours`` and ``people`` of the corpus (None if not known), ``n_bytes`` on disk,
        ``metrics``, and ``info``, the whole JSON of the header.
    """
    from ..nn import PRESETS
    from .format import read_header

    path, _ = _locate(name_or_path)
    header = read_header(path)
    info, plain = header.info, replace(header.network, modalities=())
    n_parameters = sum(
        math.prod(shape) for name, (_, shape) in header.layout.items() if name.startswith(_TRUNK)
    )
    presets = [name for name, config in PRESETS.items() if replace(config, modalities=()) == plain]
    return {
        "name": os.fspath(name_or_path),
        "objective": info["objective"],
        "preset": presets[0] if presets else None,
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
    """Pre-trained trunk as a torch module.

    Parameters
    ----------
    name_or_path : str, os.PathLike or fitted CitrusPretrainer
        A name of `list_pretrained`; a ``.safetensors`` file; a folder that `save_checkpoint`
        wrote; or a repository on Hugging Face, ``"organisation/name"``, unless it looks like a
        path, such as ``"models/eeg"``.
    backbone : {"hybrid", "conv"}, default="hybrid"
        Convolution and transformer, or the convolution alone.
    revision : str or None, default=None
        Branch, tag or commit of a repository on Hugging Face; with one, the name is never taken
        for a path.

    Returns
    -------
    Trunk
        In evaluation mode, on the CPU. It takes single channels, a tensor of shape (batch,
        n_times) of mean 0 and sd 1, and gives latents of shape (batch, latent_width, n_latent)
        and the sequence that is read out, of shape (batch, n_steps, width).

    Raises
    ------
    ValueError
        If no checkpoint has that name, or the file is none that can be read.
    FileNotFoundError
        If nothing is there.

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
        with torch.device("meta"):  # no draw from any random state
            trunk = Trunk(replace(checkpoint.network, backbone=backbone))
        trunk.load_state_dict(weights, strict=True, assign=True)
    return trunk.eval()


def trunk_state(checkpoint: Checkpoint, backbone: str) -> dict[str, Tensor]:
    """State dict of a `Trunk` of the checkpoint's sizes and of `backbone`."""
    check_choice("backbone", backbone, ("hybrid", "conv"))
    if backbone == "hybrid" and checkpoint.network.backbone == "conv":
        raise ValueError(
            "backbone='hybrid' needs a transformer, and this checkpoint is of a convolution "
            "alone. Pass backbone='conv', or another checkpoint."
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
    """Turn a value of ``pretrained=`` into a checkpoint.

    Parameters
    ----------
    pretrained : str, os.PathLike, Checkpoint, fitted CitrusPretrainer or None
        A name of `list_pretrained`, a path of a file or folder, a repository on Hugging Face.
        Anything that has a method ``to_checkpoint`` counts as a pretrainer.

    Returns
    -------
    Checkpoint or None
        The caller's own: files are read once for as long as they do not change, and copied.

    Raises
    ------
    TypeError
        If `pretrained` is nothing of that.
    ValueError
        If no checkpoint has that name, or the file is none that can be read.
    FileNotFoundError
        If nothing is there.
    """
    return None if pretrained is None else _resolve(pretrained)


def file_sha256(name_or_path: str | os.PathLike[str]) -> str:
    """SHA-256 of the file that a name or a path stands for."""
    path, _ = _locate(name_or_path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def find_again(name_or_path: str, sha256: str) -> Checkpoint:
    """The checkpoint that a stored estimator refers to, or CheckpointError.

    Parameters
    ----------
    name_or_path : str
        What was given as ``pretrained=`` when the estimator was fitted.
    sha256 : str
        SHA-256 that its file had then.
    """
    from .checkpoint import CheckpointError

    try:
        return _read(_locate(name_or_path)[0], sha256)
    except (OSError, ValueError, ImportError) as error:
        raise CheckpointError(
            "This estimator was stored with store_weights='reference', so it needs the checkpoint "
            f"{name_or_path!r} with the SHA-256 {sha256}, which cannot be had here: {error} Bring "
            "back that very checkpoint (a hub has to be reached or to have been before, a relative "
            "path starts in the working directory), or store the estimator again, on a machine "
            "that has it, with store_weights='full'."
        ) from error


def save_checkpoint(checkpoint: Any, folder: str | os.PathLike[str]) -> str:
    """Write a checkpoint as a folder that can be uploaded to Hugging Face as it is.

    Parameters
    ----------
    checkpoint : str, os.PathLike, Checkpoint or fitted CitrusPretrainer
        Any value of ``pretrained=`` of the estimators. A file is copied unchanged.
    folder : str or os.PathLike
        Folder for ``model.safetensors``, ``config.json`` and, if there is a model card,
        ``README.md``. It is made if needed.

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
    """Read a checkpoint, from a folder or from Hugging Face.

    Parameters
    ----------
    name_or_folder : str or os.PathLike
        A folder that `save_checkpoint` wrote, or a repository, ``"organisation/name"``, which
        needs huggingface_hub; also what else `load_pretrained` takes.
    revision : str or None, default=None
        Branch, tag or commit of the repository.
    sha256 : str or None, default=None
        SHA-256 that the weights have to have. The one in ``config.json`` is checked in any case;
        it finds damage, while this one also finds that somebody changed both.

    Returns
    -------
    Checkpoint
        A value for ``pretrained=`` of the estimators.
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
            f"pretrained has to be the name of a checkpoint ({_offer()}), a path, a fitted "
            f"CitrusPretrainer, or None, which trains from scratch; got {source!r}."
        )
    return checkpoint


def _locate(source: str | os.PathLike[str], revision: str | None = None) -> tuple[Path, str | None]:
    """The file that a name or a path stands for, and the SHA-256 that it has to have."""
    index = _index()
    if revision is not None:
        if not hub.is_repository(source):
            raise ValueError(
                f"revision={revision!r} is for a repository on Hugging Face, "
                f"'organisation/name'; {source!r} is none."
            )
    elif isinstance(source, str) and source in index:
        return SHIPPED / index[source]["file"], index[source]["sha256"]
    else:
        path = Path(source).expanduser()
        if path.is_dir() and (_is_path(source) or (path / hub.WEIGHTS).is_file()):
            return hub.read_folder(path)
        if _is_path(source) and (path.exists() or not hub.is_repository(source)):
            return path, None
    if hub.is_repository(source):
        return hub.read_folder(hub.fetch(str(source), revision))
    raise ValueError(_unknown(os.fspath(source)))


def _is_path(source: Any) -> bool:
    """Whether this is a path whatever stands there; a bare word is a name."""
    if not isinstance(source, str):
        return True
    return source.endswith(".safetensors") or "/" in source or os.sep in source


def _offer() -> str:
    shipped = ", ".join(map(repr, list_pretrained()))
    return f"one of {shipped}" if shipped else "none ships with this version"


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, list_pretrained(), 1)
    meant = f"; did you mean {near[0]!r}?" if near else "."
    return (
        f"pretrained={name!r} is not a known checkpoint: {_offer()}{meant} A file or folder "
        f"is given as a path, such as {'./' + (name or 'weights.safetensors')!r}. Pass "
        "pretrained=None to train from scratch."
    )


def _read(path: Path, sha256: str | None) -> Checkpoint:
    """Read a file, or take what was read of it before: a cross-validation asks for each fold."""
    from .checkpoint import read_checkpoint

    if not path.is_file():
        return read_checkpoint(path, sha256=sha256)  # which says what is there instead
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
    """Their sum; None if not even one is known."""
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None
