"""The network, in torch alone: nothing here knows of scikit-learn, files or training."""

from ._autoencoder import MaskedAutoencoder
from ._config import PRESETS, NetworkConfig, TaskConfig
from ._masking import draw_mask
from ._model import CitrusNetwork, Trunk
from ._transformer import dropout_from

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
