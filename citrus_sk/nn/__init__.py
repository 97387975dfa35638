"""The network in pure torch, without scikit-learn, files or training.

Imports nothing from the other rooms, and no library but torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .config import PRESETS, NetworkConfig, TaskConfig, preset_of

if TYPE_CHECKING:
    from .autoencoder import MaskedAutoencoder, draw_mask
    from .network import CitrusNetwork, Trunk
    from .transformer import dropout_from

__all__ = [
    "PRESETS",
    "CitrusNetwork",
    "MaskedAutoencoder",
    "NetworkConfig",
    "TaskConfig",
    "Trunk",
    "draw_mask",
    "dropout_from",
    "preset_of",
]

# Imported on first use: the configurations need no torch.
_HOMES = {
    "CitrusNetwork": ".network",
    "MaskedAutoencoder": ".autoencoder",
    "Trunk": ".network",
    "draw_mask": ".autoencoder",
    "dropout_from": ".transformer",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name], __name__), name)
    globals()[name] = value
    return value
