"""Start of a pre-training run: random weights, or those of a checkpoint.

The argument ``params`` of each function is a namespace of ``get_params()``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..checkpoints.registry import file_sha256, resolve_pretrained
from ..nn import PRESETS, NetworkConfig, preset_of

if TYPE_CHECKING:
    from ..checkpoints.checkpoint import Checkpoint

# Parameters that determine the shapes and the targets of the auto-encoder.
_SAME = ("objective", "frame", "cross_channel", "preset")
_EMBEDDINGS = "trunk.transformer.modalities"
_DECODERS = ("decoder_weight", "decoder_bias", "target_mean", "target_sd")


@dataclass(frozen=True)
class Start:
    """Start of a run.

    Attributes
    ----------
    network : NetworkConfig
        Sizes of the network and its modalities: those of a checkpoint, then new ones.
    weights : dict of str to Tensor or None
        State dict of the `MaskedAutoencoder`; None for random weights.
    origin : dict of str to Any or None
        ``name`` and ``sha256`` of the file of the checkpoint, each None if it has none, and the
        ``corpus`` that it was trained on; None for random weights.
    """

    network: NetworkConfig
    weights: dict[str, Tensor] | None = None
    origin: dict[str, Any] | None = None


def read_checkpoint_to_continue(params: SimpleNamespace) -> Checkpoint | None:
    """Read the checkpoint in ``pretrained``, or return None without one.

    Raises
    ------
    ValueError
        If the parameters differ from those of the checkpoint.
    """
    checkpoint = resolve_pretrained(params.pretrained)
    if checkpoint is None:
        return None
    found = {**vars(checkpoint.task), "preset": preset_of(checkpoint.network)}
    differing = [name for name in _SAME if found[name] != getattr(params, name)]
    if not differing:
        return checkpoint
    named = _named(params.pretrained)
    if found["preset"] is None:
        raise ValueError(
            f"The network of pretrained={named} has the sizes of no preset; expected those of one "
            f"of {', '.join(map(repr, PRESETS))}. Pass another checkpoint, or pretrained=None to "
            "start from random weights."
        )
    expected = ", ".join(f"{name}={found[name]!r}" for name in differing)
    got = ", ".join(f"{name}={getattr(params, name)!r}" for name in differing)
    raise ValueError(
        f"Expected {expected} as in pretrained={named}, got {got}. Pass {expected}, or "
        "pretrained=None to start from random weights."
    )


def make_start(
    params: SimpleNamespace, checkpoint: Checkpoint | None, modalities: Sequence[str]
) -> Start:
    """Make the start of a run on recordings of some modalities."""
    if checkpoint is None:
        return Start(replace(PRESETS[params.preset], modalities=tuple(modalities)))
    known = checkpoint.network.modalities
    new = tuple(name for name in modalities if name not in known)
    network = replace(checkpoint.network, modalities=(*known, *new))
    origin = {**_file(params.pretrained), "corpus": checkpoint.info.get("corpus", [])}
    return Start(network, _extended(checkpoint.tensors, len(new)), origin)


def _extended(tensors: dict[str, Tensor], n_new: int) -> dict[str, Tensor]:
    """Add rows for new modalities.

    The embedding is that of an unknown modality, which the network has learned to use for any
    signal. The decoder is the mean of the others, because their targets are standardised alike.
    """
    rows = {_EMBEDDINGS: tensors[_EMBEDDINGS][:1]}
    rows |= {name: tensors[name].mean(0, keepdim=True) for name in _DECODERS}
    added = {
        name: torch.cat([tensors[name], row.expand(n_new, *row.shape[1:])])
        for name, row in rows.items()
    }
    return {**tensors, **added}


def _file(pretrained: Any) -> dict[str, str | None]:
    """Name and SHA-256 of the file of a checkpoint, without a path on this machine."""
    if not isinstance(pretrained, str | os.PathLike):
        return {"name": None, "sha256": None}
    path = Path(pretrained)
    name = path.name if path.expanduser().exists() else os.fspath(pretrained)
    return {"name": name, "sha256": file_sha256(pretrained)}


def _named(pretrained: Any) -> str:
    if isinstance(pretrained, str | os.PathLike):
        return repr(os.fspath(pretrained))
    return f"<{type(pretrained).__name__}>"
