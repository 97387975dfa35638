"""Pre-trained conv-transformers for small bio-signal data sets, as scikit-learn estimators."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._utils.version import __version__ as __version__

if TYPE_CHECKING:
    from .checkpoints.checkpoint import Checkpoint
    from .checkpoints.format import CheckpointError
    from .checkpoints.registry import (
        describe_checkpoint,
        list_pretrained,
        load_checkpoint,
        load_pretrained,
        save_checkpoint,
    )
    from .estimators.classifier import CitrusClassifier
    from .estimators.embedder import CitrusEmbedder
    from .estimators.module_classifier import ModuleClassifier
    from .estimators.module_regressor import ModuleRegressor
    from .estimators.onnx import to_onnx
    from .estimators.pretrainer import CitrusPretrainer
    from .estimators.recenter import GroupRecenter
    from .estimators.regressor import CitrusRegressor
    from .estimators.rejecting import RejectingClassifier
    from .evaluation import (
        FractionCurveDisplay,
        LeaveOnePersonOut,
        StratifiedFractionKFold,
        fraction_curve,
    )
    from .inspection import AttributionDisplay, BandOcclusionDisplay, EmbeddingDisplay
    from .inspection.learning_rate import LearningRateDisplay, find_learning_rate
    from .inspection.reconstruction import ReconstructionDisplay
    from .nn import NetworkConfig
    from .signals.aligner import SignalAligner
    from .signals.recordings.corpus import Corpus
    from .signals.recordings.reading import read_corpus

__all__ = [
    "TRUSTED_TYPES",
    "AttributionDisplay",
    "BandOcclusionDisplay",
    "Checkpoint",
    "CheckpointError",
    "CitrusClassifier",
    "CitrusEmbedder",
    "CitrusPretrainer",
    "CitrusRegressor",
    "Corpus",
    "EmbeddingDisplay",
    "FractionCurveDisplay",
    "GroupRecenter",
    "LearningRateDisplay",
    "LeaveOnePersonOut",
    "ModuleClassifier",
    "ModuleRegressor",
    "NetworkConfig",
    "ReconstructionDisplay",
    "RejectingClassifier",
    "SignalAligner",
    "StratifiedFractionKFold",
    "describe_checkpoint",
    "find_learning_rate",
    "fraction_curve",
    "list_pretrained",
    "load_checkpoint",
    "load_pretrained",
    "read_corpus",
    "save_checkpoint",
    "to_onnx",
]

# Imported on first use: the transformers of arrays and the folds need no torch, and
# `citrus-sk --help` nothing.
_HOMES = {
    "AttributionDisplay": ".inspection",
    "BandOcclusionDisplay": ".inspection",
    "Checkpoint": ".checkpoints.checkpoint",
    "CheckpointError": ".checkpoints.format",
    "CitrusClassifier": ".estimators.classifier",
    "CitrusEmbedder": ".estimators.embedder",
    "CitrusPretrainer": ".estimators.pretrainer",
    "CitrusRegressor": ".estimators.regressor",
    "Corpus": ".signals.recordings.corpus",
    "EmbeddingDisplay": ".inspection",
    "FractionCurveDisplay": ".evaluation",
    "GroupRecenter": ".estimators.recenter",
    "LearningRateDisplay": ".inspection.learning_rate",
    "LeaveOnePersonOut": ".evaluation",
    "ModuleClassifier": ".estimators.module_classifier",
    "ModuleRegressor": ".estimators.module_regressor",
    "NetworkConfig": ".nn",
    "ReconstructionDisplay": ".inspection.reconstruction",
    "RejectingClassifier": ".estimators.rejecting",
    "SignalAligner": ".signals.aligner",
    "StratifiedFractionKFold": ".evaluation",
    "describe_checkpoint": ".checkpoints.registry",
    "find_learning_rate": ".inspection.learning_rate",
    "fraction_curve": ".evaluation",
    "list_pretrained": ".checkpoints.registry",
    "load_checkpoint": ".checkpoints.registry",
    "load_pretrained": ".checkpoints.registry",
    "read_corpus": ".signals.recordings.reading",
    "save_checkpoint": ".checkpoints.registry",
    "to_onnx": ".estimators.onnx",
}

# For ``skops.io.load(file, trusted=TRUSTED_TYPES)``: the estimators, and nothing else is stored.
TRUSTED_TYPES = [
    f"{__name__}.{name}"
    for name in (
        "CitrusClassifier",
        "CitrusEmbedder",
        "CitrusPretrainer",
        "CitrusRegressor",
        "GroupRecenter",
        "ModuleClassifier",
        "ModuleRegressor",
        "RejectingClassifier",
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
