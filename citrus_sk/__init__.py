"""Pre-trained conv-transformers for small bio-signal data sets, as scikit-learn estimators."""

from ._aligner import SignalAligner
from ._classifier import CitrusClassifier
from ._embedder import CitrusEmbedder
from ._registry import list_pretrained
from .evaluation import StratifiedFractionKFold

__all__ = [
    "CitrusClassifier",
    "CitrusEmbedder",
    "SignalAligner",
    "StratifiedFractionKFold",
    "list_pretrained",
]

__version__ = "0.1.0"
