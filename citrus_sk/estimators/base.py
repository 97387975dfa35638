"""The base of all estimators: the network that they build, and how it is stored."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor

from .._utils.devices import resolve_device, usual_modes
from .._utils.validation import Documented, check_choice
from ..checkpoints.format import CheckpointError
from ..checkpoints.registry import file_sha256, find_again, resolve_pretrained, trunk_state
from ..nn import PRESETS, NetworkConfig
from ..signals.modalities import ANY_SIGNAL, as_named, known_modalities
from ..training.hooks import clone_or_explain

BACKBONES = ("hybrid", "conv")
STORE_WEIGHTS = ("full", "reference")
_TRUNK = "trunk."
_VERSION = "_citrus_sk_version"


@dataclass(frozen=True)
class Reference:
    """A checkpoint that a stored estimator names instead of holding its weights.

    Attributes
    ----------
    name : str
        What was given as ``pretrained=``.
    sha256 : str
        Of its file.
    """

    name: str
    sha256: str


class NetworkEstimator(Documented, BaseEstimator):
    """An estimator around networks: takes 3-D windows, and pickles arrays instead of modules.

    A subclass names the attributes that hold networks, and turns them into arrays and back; and
    those that hold records, which are stored as plain dictionaries.
    """

    _network_attributes: tuple[str, ...]
    _records: ClassVar[Mapping[str, type]] = {}
    _reference: Reference | None = None
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
            return super().__sklearn_clone__()

    def __getstate__(self) -> dict[str, Any]:
        state = {_VERSION: _version(), **super().__getstate__()}
        if self._network_attributes[0] in state:
            state["_packed"] = self._pack_networks()
        for name in self._network_attributes:
            state.pop(name, None)
        for name in self._records:
            if state.get(name) is not None:
                state[name] = dict(vars(state[name]))
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        stored_by = state.get(_VERSION)
        try:
            with usual_modes():
                self._set_state({k: v for k, v in state.items() if k != _VERSION})
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, LookupError, AttributeError) as error:
            raise CheckpointError(_other_layout(type(self).__name__, stored_by, error)) from error

    def _set_state(self, state: dict[str, Any]) -> None:
        for name in self._get_param_names():
            if name not in state:
                raise LookupError(f"it has no parameter {name}")
        packed = state.pop("_packed", None)
        for name, kind in self._records.items():
            if isinstance(state.get(name), dict):
                try:
                    state[name] = kind(**state[name])
                except TypeError as error:  # a field more or less
                    raise LookupError(str(error)) from error
        super().__setstate__(state)
        if packed is not None:
            self._unpack_networks(packed, resolve_device(self.device, strict=False))


def _version() -> str:
    from .._utils.version import __version__

    return __version__


def _other_layout(who: str, stored_by: str | None, error: Exception) -> str:
    """Say which version wrote a stored estimator that this one cannot take up."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # Torch names the class first and what is missing after it.
    reason = lines[min(1, len(lines) - 1)].rstrip(".") if lines else type(error).__name__
    reason = textwrap.shorten(reason, 100, placeholder=" ...")
    if stored_by == _version():
        return (
            f"This {who} does not fit the network that it was stored with ({reason}), although "
            f"citrus_sk {stored_by} stored it and loads it. The file was changed, or another "
            "version of torch or braindecode is installed. Fit the estimator again."
        )
    origin = "a version that left no number" if stored_by is None else f"version {stored_by}"
    install = "that version" if stored_by is None else f"pip install citrus-sk=={stored_by}"
    return (
        f"This {who} was stored by citrus_sk of {origin}, and version {_version()}, which loads "
        f"it, has another layout ({reason}). Load it with {install}, or fit it again with this one."
    )


def starting_point(
    pretrained: Any, preset: Any, backbone: Any
) -> tuple[NetworkConfig, dict[str, Tensor] | None]:
    """Sizes of the network that parameters ask for, and the weights that its trunk begins with."""
    check_choice("preset", preset, tuple(PRESETS))
    check_choice("backbone", backbone, BACKBONES)
    checkpoint = resolve_pretrained(pretrained)
    if checkpoint is None:
        return replace(PRESETS[preset], backbone=backbone), None
    weights = trunk_state(checkpoint, backbone)
    return replace(checkpoint.network, backbone=backbone), weights


def modality_rows(modality: Any, config: NetworkConfig, n_chans: int) -> list[int]:
    """Each channel's row in the network's table of modalities; 0 where it is not known."""
    if modality is None or isinstance(modality, str):
        named = [modality] * n_chans
    elif isinstance(modality, Sequence | np.ndarray):
        named = list(modality)
    else:
        raise TypeError(
            f"modality={modality!r} is a {type(modality).__name__}; expected the kind of signal, "
            "such as 'EEG', one for each channel, or None."
        )
    if len(named) != n_chans:
        raise ValueError(
            f"modality names {len(named)} channels, and X has {n_chans}; expected one for each "
            "(None for those that are of no known kind), or a single one for all."
        )
    return [_modality_row(each, config) for each in named]


def _modality_row(modality: Any, config: NetworkConfig) -> int:
    if modality is None:
        return 0
    if not isinstance(modality, str):
        raise TypeError(
            f"Expected modality to hold names such as 'EEG', or None, got {modality!r}."
        )
    if not config.modalities:  # random weights have no embedding of any
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
    """Refuse a slip of the pen where no checkpoint says which names it has."""
    known = known_modalities()
    if modality not in (*known, ANY_SIGNAL):
        raise ValueError(
            f"modality={modality!r} is not a known kind of signal. Expected one of "
            f"{', '.join(map(repr, known))}, or None for any other."
        )


def make_reference(store_weights: Any, pretrained: Any, frozen: bool) -> Reference | None:
    """The reference that a pickle holds instead of the trunk's weights; None if it holds them.

    Parameters
    ----------
    store_weights, pretrained
        As the caller gave them.
    frozen : bool
        Whether the trunk stays as the checkpoint has it.
    """
    check_choice("store_weights", store_weights, STORE_WEIGHTS)
    if store_weights == "full":
        return None
    remedy = "or store_weights='full', which keeps the weights in the pickle"
    if not frozen:
        raise ValueError(
            "store_weights='reference' needs a trunk that stays as its checkpoint has it, and this "
            f"fit trains it. Use strategy='linear-probe', {remedy}."
        )
    if not isinstance(pretrained, str | os.PathLike):
        what = "is None" if pretrained is None else f"is a {type(pretrained).__name__}"
        raise ValueError(
            f"store_weights='reference' needs a checkpoint that can be found by its name, and "
            f"pretrained {what}. Pass the name or the path of a checkpoint, {remedy}."
        )
    return Reference(str(os.fspath(pretrained)), file_sha256(pretrained))


def pack(module: torch.nn.Module, reference: Reference | None = None) -> dict[str, np.ndarray]:
    """The state dict as plain CPU arrays, all that a pickle needs to hold of a network."""
    # A copy, since a view would pickle the whole storage behind it.
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
    """Build a network around a packed state, without a draw from any random state."""
    with torch.device("meta"):
        module = build()
    tensors = {name: torch.tensor(value) for name, value in state.items()}
    if reference is not None:
        checkpoint = find_again(reference.name, reference.sha256)
        trunk = trunk_state(checkpoint, module.config.backbone)
        tensors |= {f"{_TRUNK}{name}": value for name, value in trunk.items()}
    module.load_state_dict(tensors, strict=True, assign=True)
    return module.to(device).eval()
