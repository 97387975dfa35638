"""Pre-trained conv-transformers for small bio-signal data sets, as scikit-learn estimators."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._aligner import SignalAligner
    from ._classifier import CitrusClassifier
    from ._corpus import read_corpus
    from ._embedder import CitrusEmbedder
    from ._learning_rate import LearningRateDisplay, find_learning_rate
    from ._onnx import to_onnx
    from ._pretrainer import CitrusPretrainer
    from ._reconstruction import ReconstructionDisplay
    from ._registry import from_pretrained, list_pretrained, load_pretrained, save_pretrained
    from ._regressor import CitrusRegressor
    from .evaluation import FractionCurveDisplay, StratifiedFractionKFold, fraction_curve
    from .inspection import AttributionDisplay, BandOcclusionDisplay, EmbeddingDisplay

__all__ = [
    "TRUSTED_TYPES",
    "AttributionDisplay",
    "BandOcclusionDisplay",
    "CitrusClassifier",
    "CitrusEmbedder",
    "CitrusPretrainer",
    "CitrusRegressor",
    "EmbeddingDisplay",
    "FractionCurveDisplay",
    "LearningRateDisplay",
    "ReconstructionDisplay",
    "SignalAligner",
    "StratifiedFractionKFold",
    "find_learning_rate",
    "fraction_curve",
    "from_pretrained",
    "list_pretrained",
    "load_pretrained",
    "read_corpus",
    "save_pretrained",
    "to_onnx",
]

__version__ = "0.1.0"

# Imported on first use: the aligner and the folds need no torch, and `citrus-sk --help` nothing.
_HOMES = {
    "AttributionDisplay": ".inspection",
    "BandOcclusionDisplay": ".inspection",
    "CitrusClassifier": "._classifier",
    "CitrusEmbedder": "._embedder",
    "CitrusPretrainer": "._pretrainer",
    "CitrusRegressor": "._regressor",
    "EmbeddingDisplay": ".inspection",
    "FractionCurveDisplay": ".evaluation",
    "LearningRateDisplay": "._learning_rate",
    "ReconstructionDisplay": "._reconstruction",
    "SignalAligner": "._aligner",
    "StratifiedFractionKFold": ".evaluation",
    "find_learning_rate": "._learning_rate",
    "fraction_curve": ".evaluation",
    "from_pretrained": "._registry",
    "list_pretrained": "._registry",
    "load_pretrained": "._registry",
    "read_corpus": "._corpus",
    "save_pretrained": "._registry",
    "to_onnx": "._onnx",
}

# For ``skops.io.load(file, trusted=TRUSTED_TYPES)``: the estimators, and nothing else is stored.
TRUSTED_TYPES = [
    f"{__name__}{_HOMES[name]}.{name}"
    for name in (
        "CitrusClassifier",
        "CitrusEmbedder",
        "CitrusPretrainer",
        "CitrusRegressor",
        "SignalAligner",
    )
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
