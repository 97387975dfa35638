"""Pre-trained conv-transformers for small bio-signal data sets, as scikit-learn estimators."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

# Imported on first use: the aligner and the folds need no torch, and `citrus-sk --help` nothing.
_HOMES = {
    "CitrusClassifier": "._classifier",
    "CitrusEmbedder": "._embedder",
    "SignalAligner": "._aligner",
    "StratifiedFractionKFold": ".evaluation",
    "list_pretrained": "._registry",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
