"""The models of ``lowdata.py``: the default, its parts, other settings, and common alternatives."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from parts import KNOWN, SHARED, KernelsAlone
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import RidgeClassifierCV
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler

from citrus_sk import CitrusClassifier, SignalAligner
from citrus_sk.checkpoints.registry import file_sha256
from citrus_sk.evaluation import make_peer
from citrus_sk.nn import kernels as _kernels
from citrus_sk.nn import network as _model
from citrus_sk.nn.readout import N_BANDS
from citrus_sk.training import probes as _fused_probe


class Altered(ClassifierMixin, BaseEstimator):
    """The default with another constant or part."""

    def __init__(self, estimator: Any, module: Any, name: str, value: Any) -> None:
        self.estimator, self.module = estimator, module
        self.name, self.value = name, value

    def fit(self, X, y):
        before = getattr(self.module, self.name)
        setattr(self.module, self.name, self.value)
        try:
            self.classes_ = self.estimator.fit(X, y).classes_
        finally:
            setattr(self.module, self.name, before)
        return self

    def predict_proba(self, X):
        return self.estimator.predict_proba(X)


def altered(seed: int, sfreq: float, module: Any, name: str, value: Any):
    return Altered(citrus(seed, sfreq), module, name, value)


def no_bands(z: torch.Tensor, log_sd: torch.Tensor) -> torch.Tensor:
    """Zeros in place of the band power; a feature that does not vary in training is not used."""
    return z.new_zeros(*z.shape[:-1], N_BANDS)


def citrus(seed: int, sfreq: float, align: str = "resample", **settings: Any):
    aligner = SignalAligner(method=align, sfreq=sfreq if align == "rate" else None)
    return make_pipeline(aligner, CitrusClassifier(random_state=seed, **settings))


def kernels_alone(seed: int, sfreq: float):
    return make_pipeline(SignalAligner(), KernelsAlone(seed))


class BareRidge(RidgeClassifierCV):
    """A ridge without calibration, whose probabilities are not meaningful."""

    def predict_proba(self, X):
        decisions = self.decision_function(X)
        if decisions.ndim == 1:
            decisions = np.stack([-decisions, decisions], axis=1)
        return softmax(decisions, axis=1)


def on_rockets(seed: int, sfreq: float, names: tuple[str, ...], calibrated: bool = True):
    """A ridge on aeon's features, calibrated on two folds unless `calibrated` is False."""
    from aeon.transformations.collection import convolution_based

    views = [getattr(convolution_based, name)(random_state=seed) for name in names]
    views = [make_pipeline(view, StandardScaler(with_mean=False)) for view in views]
    ridge = (RidgeClassifierCV if calibrated else BareRidge)(alphas=np.logspace(-3, 3, 10))
    if calibrated:
        ridge = CalibratedClassifierCV(ridge, cv=2, ensemble=False)
    return make_pipeline(make_union(*views), ridge)


def peer(seed: int, sfreq: float, name: str):
    return make_peer(name, sfreq=sfreq, random_state=seed)


PEERS = (
    "minirocket", "minirocket, preval", "multirocket-hydra",
    "minirocket, bare ridge", "multirocket-hydra, bare ridge",
)  # fmt: skip
NETWORK = {"random_kernels": False, "strategy": "linear-probe"}
FINETUNED = {"random_kernels": False, "strategy": "probe-then-finetune", "max_epochs": 15}
MODELS: dict[str, Callable[[int, float], Any]] = {  # of a seed and the signals' Hz
    # The default and its parts; see also PEOPLE_KNOWN.
    "network": partial(citrus, **NETWORK),
    "kernels": kernels_alone,
    "default": citrus,
    "default, random weights": partial(citrus, pretrained=None),
    # The probe's decisions, one at a time as they were before.
    "default, penalties without bound": partial(
        altered, module=_fused_probe, name="PENALTIES", value=np.logspace(-4, 3, 15)
    ),
    "default, every window counts alike": partial(
        altered, module=_fused_probe, name="_RARITY", value=0.0
    ),
    "default, certainty without doubt": partial(
        altered, module=_fused_probe, name="_DOUBT", value=0.02
    ),
    "default, nothing is usual": partial(
        altered, module=_fused_probe, name="_USUAL", value=(0.5, 1e6)
    ),
    "default, no band power": partial(
        altered, module=_model, name="log_band_power", value=no_bands
    ),
    "default, no longest runs": partial(altered, module=_kernels, name="_N_RUNS", value=0),
    # The network alone: a linear probe, by checkpoint and by backbone.
    **{
        f"probe, {name or 'scratch'}, {backbone}": partial(
            citrus, pretrained=name, backbone=backbone, **NETWORK
        )
        for name in (None, "eeg-time", "eeg-freq", "multi-time", "multi-freq")
        for backbone in ("hybrid", "conv")
    },
    # The whole network trained.
    **{
        f"finetuned, {name or 'scratch'}, {backbone}": partial(
            citrus, pretrained=name, backbone=backbone, **FINETUNED
        )
        for name in (None, "eeg-time", "eeg-freq", "multi-time", "multi-freq")
        for backbone in ("hybrid", "conv")
    },
    # Other alignments, with a linear probe on the network and with all of the default.
    **{f"probe, {method}": partial(citrus, align=method, **NETWORK)
       for method in ("crop", "pad", "native", "rate")},
    **{f"default, {method}": partial(citrus, align=method)
       for method in ("crop", "pad", "native", "rate")},
    # What people pick instead.
    "minirocket": partial(on_rockets, names=("MiniRocket",)),
    "minirocket, preval": partial(peer, name="minirocket-preval"),
    "multirocket-hydra": partial(on_rockets, names=("MultiRocket", "HydraTransformer")),
    "minirocket, bare ridge": partial(on_rockets, names=("MiniRocket",), calibrated=False),
    "multirocket-hydra, bare ridge": partial(
        on_rockets, names=("MultiRocket", "HydraTransformer"), calibrated=False
    ),
}  # fmt: skip

# The same models, with the person of each window passed to `fit` and to `predict_proba`.
MODELS |= {name: MODELS[name.removesuffix(KNOWN)] for name in SHARED if name.endswith(KNOWN)}


@cache
def weights_of(model: str) -> str:
    """The first 8 digits of the SHA-256 of the pre-trained weights; "" for a model without."""
    make = MODELS.get(model, kernels_alone)
    if getattr(make, "func", make) in (kernels_alone, on_rockets, peer):
        return ""
    settings = getattr(make, "keywords", {})
    pretrained = settings.get("pretrained", CitrusClassifier().pretrained)
    return "" if pretrained is None else file_sha256(pretrained)[:8]
