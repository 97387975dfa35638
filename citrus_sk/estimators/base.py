"""Base class of the estimators with networks: construction and storage of the networks."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from .._utils.devices import resolve_device, usual_modes
from .._utils.stored import Stored
from .._utils.validation import Documented, check_choice
from ..checkpoints.format import CheckpointError
from ..checkpoints.registry import file_sha256, find_again, resolve_pretrained, trunk_state
from ..nn import PRESETS, NetworkConfig
from ..signals.modalities import ANY_SIGNAL, as_named, known_modalities
from ..training.hooks import clone_or_explain

BACKBONES = ("hybrid", "conv")
STORE_WEIGHTS = ("full", "reference")
_TRUNK = "trunk."


@dataclass(frozen=True)
class Reference:
    """Reference to a checkpoint, which a pickle holds instead of its weights.

    Attributes
    ----------
    name : str
        Value of ``pretrained=``.
    sha256 : str
        SHA-256 of the file.
    """

    name: str
    sha256: str


class NetworkEstimator(Stored, Documented, BaseEstimator):
    """Base of estimators with networks, whose input is 3-D windows.

    A pickle holds arrays instead of torch modules. A subclass names the attributes with networks
    in `_network_attributes` and defines how they are packed and unpacked. The dataclasses that it
    names in `_records` are stored as dictionaries.
    """

    _network_attributes: tuple[str, ...]
    _records: ClassVar[Mapping[str, type]] = {}
    _reference: Reference | None = None
    _layout_error = CheckpointError
    _other_errors = (torch.OutOfMemoryError,)
    device: Any

    def _pack_networks(self) -> Any:
        raise NotImplementedError

    def _unpack_networks(self, packed: Any, device: torch.device) -> None:
        raise NotImplementedError

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def __sklearn_clone__(self) -> Any:
        with clone_or_explain(getattr(self, "callbacks", None)):
            twin = super().__sklearn_clone__()
        # A fitted pre-trainer is a source of weights. Its clone would have none.
        if _has_weights(getattr(self, "pretrained", None)):
            twin.pretrained = self.pretrained
        return twin

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        if self._network_attributes[0] in state:
            state["_packed"] = self._pack_networks()
        for name in self._network_attributes:
            state.pop(name, None)
        for name in self._records:
            if state.get(name) is not None:
                state[name] = dict(vars(state[name]))
        return state

    def _set_state(self, state: dict[str, Any]) -> None:
        packed = state.pop("_packed", None)
        for name, kind in self._records.items():
            if isinstance(state.get(name), dict):
                try:
                    state[name] = kind(**state[name])
                except TypeError as error:  # from other fields
                    raise LookupError(str(error)) from error
        super()._set_state(state)
        if packed is not None:
            with usual_modes():
                self._unpack_networks(packed, resolve_device(self.device, strict=False))


def _has_weights(pretrained: Any) -> bool:
    """Whether a value of ``pretrained=`` is a fitted estimator."""
    if not isinstance(pretrained, BaseEstimator):
        return False
    try:
        check_is_fitted(pretrained)
    except NotFittedError:
        return False
    return True


def starting_point(
    pretrained: Any, preset: Any, backbone: Any
) -> tuple[NetworkConfig, dict[str, Tensor] | None]:
    """Configuration of the network, and initial weights of its trunk; None if they are random."""
    check_choice("preset", preset, tuple(PRESETS))
    check_choice("backbone", backbone, BACKBONES)
    checkpoint = resolve_pretrained(pretrained)
    if checkpoint is None:
        return replace(PRESETS[preset], backbone=backbone), None
    weights = trunk_state(checkpoint, backbone)
    return replace(checkpoint.network, backbone=backbone), weights


def modality_rows(modality: Any, config: NetworkConfig, n_chans: int) -> list[int]:
    """Row of each channel in the network's table of modalities; 0 for an unknown one."""
    if modality is None or isinstance(modality, str):
        named = [modality] * n_chans
    elif isinstance(modality, Sequence | np.ndarray):
        named = list(modality)
    else:
        raise TypeError(
            f"modality={modality!r} is a {type(modality).__name__}; expected a kind of signal, "
            "such as 'EEG', a list with one for each channel, or None."
        )
    if len(named) != n_chans:
        raise ValueError(
            f"modality has {len(named)} entries, and X has {n_chans} channels; expected one entry "
            "for each channel (None for an unknown kind), or a single string for all."
        )
    return [_modality_row(name, config) for name in named]


def _modality_row(modality: Any, config: NetworkConfig) -> int:
    if modality is None:
        return 0
    if not isinstance(modality, str):
        raise TypeError(
            f"Expected modality to hold names such as 'EEG', or None, got {modality!r}."
        )
    if not config.modalities:  # random weights have no embeddings of modalities
        _check_known(as_named(modality))
        return 0
    if as_named(modality) not in config.modalities:
        known = ", ".join(map(repr, config.modalities))
        raise ValueError(
            f"modality={modality!r} is not one of the modalities of this checkpoint ({known}). Use "
            "modality=None, which stands for any other kind of signal."
        )
    return 1 + config.modalities.index(as_named(modality))


def _check_known(modality: str) -> None:
    """Raise ValueError for a mistyped modality, if no checkpoint defines the valid ones."""
    known = known_modalities()
    if modality not in (*known, ANY_SIGNAL):
        raise ValueError(
            f"modality={modality!r} is not a known kind of signal. Expected one of "
            f"{', '.join(map(repr, known))}, or None for any other."
        )


def make_reference(store_weights: Any, pretrained: Any, frozen: bool) -> Reference | None:
    """Make the reference for a pickle, or return None if it holds the weights of the trunk.

    Parameters
    ----------
    store_weights, pretrained
        Parameters of the estimator.
    frozen : bool
        Whether the trunk has the weights of the checkpoint after the fit.
    """
    check_choice("store_weights", store_weights, STORE_WEIGHTS)
    if store_weights == "full":
        return None
    remedy = "or store_weights='full', which keeps the weights in the pickle"
    if not frozen:
        raise ValueError(
            "store_weights='reference' needs a trunk with the weights of its checkpoint, and this "
            f"fit trains the trunk. Use strategy='linear-probe', {remedy}."
        )
    if not isinstance(pretrained, str | os.PathLike):
        found = "is None" if pretrained is None else f"is a {type(pretrained).__name__}"
        raise ValueError(
            "store_weights='reference' needs a checkpoint that can be found by its name, and "
            f"pretrained {found}. Pass the name or the path of a checkpoint, {remedy}."
        )
    return Reference(str(os.fspath(pretrained)), file_sha256(pretrained))


def pack(module: torch.nn.Module, reference: Reference | None = None) -> dict[str, np.ndarray]:
    """Convert a state dict to NumPy arrays, without the trunk if there is a reference to it."""
    # Copies, because a pickle of a view contains the whole storage behind it.
    return {
        name: np.array(value.cpu().numpy())
        for name, value in module.state_dict().items()
        if reference is None or not name.startswith(_TRUNK)
    }


def unpack(
    build: Callable[[], Any],
    state: dict[str, np.ndarray],
    device: torch.device,
    reference: Reference | None = None,
) -> Any:
    """Build a network from a packed state, without drawing random numbers."""
    with torch.device("meta"):
        module = build()
    tensors = {name: torch.tensor(value) for name, value in state.items()}
    if reference is not None:
        checkpoint = find_again(reference.name, reference.sha256)
        trunk = trunk_state(checkpoint, module.config.backbone)
        tensors |= {f"{_TRUNK}{name}": value for name, value in trunk.items()}
    module.load_state_dict(tensors, strict=True, assign=True)
    return module.to(device).eval()
