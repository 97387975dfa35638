"""What the estimators share: the network that they build, and how it is stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ._parameters import check_choice
from ._registry import check_pretrained
from .nn import PRESETS, CitrusNetwork, NetworkConfig

BACKBONES = ("hybrid", "conv")


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
