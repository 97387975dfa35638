"""The network, in torch alone: nothing here knows of scikit-learn, files or training."""

from ._config import PRESETS, NetworkConfig
from ._model import CitrusNetwork

__all__ = ["PRESETS", "CitrusNetwork", "NetworkConfig"]
