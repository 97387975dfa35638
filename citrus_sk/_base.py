"""What the estimators share: the network that they build, and how it is stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator

from ._parameters import check_choice
from ._registry import check_pretrained
from ._training import resolve_device
from .nn import PRESETS, CitrusNetwork, NetworkConfig

BACKBONES = ("hybrid", "conv")


class NetworkEstimator(BaseEstimator):
    """An estimator around networks: takes 3-D windows, and pickles arrays instead of modules.

    A subclass names the attributes that hold networks, and turns them into arrays and back.
    """

    _network_attributes: tuple[str, ...]
    device: Any

    def _pack_networks(self) -> Any:
        raise NotImplementedError

    def _unpack_networks(self, packed: Any, device: torch.device) -> None:
        raise NotImplementedError

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if self._network_attributes[0] in state:
            state["_packed"] = self._pack_networks()
        for name in self._network_attributes:
            state.pop(name, None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        packed = state.pop("_packed", None)
        super().__setstate__(state)
        if packed is not None:
            self._unpack_networks(packed, resolve_device(self.device, strict=False))


def network_config(pretrained: Any, preset: Any, backbone: Any) -> NetworkConfig:
    """The sizes that the parameters of an estimator ask for."""
    check_pretrained(pretrained)
    check_choice("preset", preset, tuple(PRESETS))
    check_choice("backbone", backbone, BACKBONES)
    return replace(PRESETS[preset], backbone=backbone)


def pack(module: torch.nn.Module) -> dict[str, np.ndarray]:
    """The state dict as plain CPU arrays, all that a pickle needs to hold of a network."""
    # A copy, since a view would pickle the whole storage behind it.
    return {name: np.array(value.cpu().numpy()) for name, value in module.state_dict().items()}


def unpack(
    build: Callable[[], CitrusNetwork], state: dict[str, np.ndarray], device: torch.device
) -> CitrusNetwork:
    """Build a network around a packed state, without a draw from any random state."""
    with torch.device("meta"):
        module = build()
    tensors = {name: torch.tensor(value) for name, value in state.items()}
    module.load_state_dict(tensors, strict=True, assign=True)
    return module.to(device).eval()
