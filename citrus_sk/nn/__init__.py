"""The network in pure torch, without scikit-learn, files or training.

Imports nothing from the other rooms, and no library but torch.
"""

from .autoencoder import MaskedAutoencoder, draw_mask
from .config import PRESETS, NetworkConfig, TaskConfig
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
]
