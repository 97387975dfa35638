"""The network, in torch alone: nothing here knows of scikit-learn, files or training."""

from ._autoencoder import MaskedAutoencoder
from ._config import PRESETS, NetworkConfig, TaskConfig
from ._masking import draw_mask
from ._model import CitrusNetwork, Trunk

__all__ = [
    "PRESETS",
    "CitrusNetwork",
    "MaskedAutoencoder",
    "NetworkConfig",
    "TaskConfig",
    "Trunk",
    "draw_mask",
]
