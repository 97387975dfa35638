"""The default and its two parts, from features that are computed once for all of them.

The network, the kernels and both together, each with the people known and not known, take the same
features of the same windows. A head on some of their columns gives the probabilities of
`CitrusClassifier`, or of `KernelsAlone`, up to rounding.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np
import torch
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from torch import Tensor

from citrus_sk import CitrusClassifier, SignalAligner
from citrus_sk._utils.devices import draw_seed
from citrus_sk.estimators.base import starting_point
from citrus_sk.nn import CitrusNetwork
from citrus_sk.nn.encoder import normalise
from citrus_sk.nn.heads import LinearHead
from citrus_sk.nn.kernels import RandomKernels
from citrus_sk.nn.readout import N_BANDS, log_band_power
from citrus_sk.training.adaptation.heads import outputs_of, personal_head
from citrus_sk.training.adaptation.people import PeopleMeans, rows_of_people
from citrus_sk.training.adaptive_probes import adapt_probe, adapt_trained_head
from citrus_sk.training.labelled import LabelledWindows, label_windows
from citrus_sk.training.logistic import fit_probe
from citrus_sk.training.members import _KERNEL_WINDOWS
from citrus_sk.training.nets import infer
from citrus_sk.training.probes import fit_fused_probe
from citrus_sk.training.unlabelled import means_of_people

CPU = torch.device("cpu")
KNOWN = ", people known"
PARTS = ("network", "kernels", "default")
SHARED = (*PARTS, *(part + KNOWN for part in PARTS))


def member_seed(random_state: int) -> int:
    """Seed of the first network of a `CitrusClassifier`."""
    return int(np.random.SeedSequence(draw_seed(random_state)).generate_state(1)[0])


@dataclass(frozen=True)
class Part:
    """Columns of the features, and how a head standardises and weighs them.

    `views`, `shares` and `families` are those of `CitrusNetwork`. A head that is not fused is the
    logistic regression of a network without kernels.
    """

    columns: slice
    views: list[int]
    shares: list[float] | None
    families: list[int]
    is_fused: bool = True


def kernels_part(kernels: RandomKernels, start: int = 0) -> Part:
    return Part(slice(start, None), kernels.views, None, kernels.families)


def parts_of(network: CitrusNetwork) -> dict[str, Part]:
    n_network, n_bands = network.readout.n_features, network.n_chans * N_BANDS
    return {
        "network": Part(slice(n_network), network.readout.views, None, [n_network], is_fused=False),
        "kernels": kernels_part(network.kernels, n_network + n_bands),
        "default": Part(slice(None), network.head.views, network.head.shares, network.families),
    }


class PartHead:
    """A head on a part of the features, fitted and adapted to people as the classifier does it.

    `others` are the features of ``labelled.unlabelled``, and `scaled` those of the windows that the
    scales of the features are taken from, if not the labelled ones.
    """

    def __init__(
        self, part: Part, features: Tensor, labelled: LabelledWindows, seed: int, *,
        always=False, others: Tensor | None = None, scaled: Tensor | None = None,
    ) -> None:  # fmt: skip
        self.part = part
        with torch.random.fork_rng(devices=[]):  # its first weights, which are not used
            self.scaler = LinearHead(part.views, labelled.n_outputs, part.shares)
        weights = labelled.weights if scaled is None else np.ones(len(scaled))
        scaled = features if scaled is None else scaled
        self.scaler.set_statistics(scaled[:, part.columns], torch.tensor(weights))
        standard = self._standardise(features)
        if part.is_fused:
            fitted = fit_fused_probe(
                standard, part.families, labelled, network=len(part.families) > 2
            )
            self.head, adapt = fitted.head, adapt_probe
        else:
            fitted = self.head = fit_probe(standard, labelled, seed % 2**31)
            adapt = adapt_trained_head
        self.adaptive = None
        if labelled.groups is not None:
            means = {} if others is None else {"unlabelled": self._means(labelled, others)}
            self.adaptive = adapt(fitted, standard, part.families, labelled, always=always, **means)

    def _means(self, labelled: LabelledWindows, others: Tensor) -> PeopleMeans:
        unlabelled = replace(labelled.unlabelled, rows=np.arange(len(others)))
        return means_of_people(unlabelled, lambda rows: self._standardise(others[rows]))

    def predict_proba(self, features: Tensor, people: np.ndarray | None = None) -> np.ndarray:
        """Probabilities of the windows, by themselves or each person's together."""
        standard = self._standardise(features)
        if people is None:
            return softmax(outputs_of(self.head, standard), axis=1)
        outputs = np.empty((len(standard), len(self.head[1])))
        for rows, _ in rows_of_people(people):
            head = personal_head(self.adaptive, self.head, standard[rows])
            outputs[rows] = outputs_of(head, standard[rows])
        return softmax(outputs, axis=1)

    def _standardise(self, features: Tensor) -> np.ndarray:
        return self.scaler.standardise(features[:, self.part.columns]).detach().numpy()


class KernelsAlone(ClassifierMixin, BaseEstimator):
    """The random kernels of `CitrusClassifier` and its averaged ridges, without its network."""

    def __init__(self, random_state: int = 0) -> None:
        self.random_state = random_state

    def fit(self, X, y, groups=None):
        X, seed = np.asarray(X, np.float32), member_seed(self.random_state)
        self.classes_, codes = np.unique(y, return_inverse=True)
        labelled = label_windows(X, codes, self.classes_, groups=groups)
        self.kernels_ = RandomKernels(*X.shape[1:])
        x = torch.from_numpy(X[labelled.rows])
        first = x[:_KERNEL_WINDOWS]
        self.kernels_.fit(first, normalise(first)[0], seed % 2**31)
        self.head_ = PartHead(kernels_part(self.kernels_), self._features(x), labelled, seed)
        return self

    def predict_proba(self, X, groups=None):
        features = self._features(torch.from_numpy(np.asarray(X, np.float32)))
        return self.head_.predict_proba(features, groups)

    def _features(self, x: Tensor) -> Tensor:
        return torch.cat([self.kernels_(part, normalise(part)[0]) for part in x.split(64)])


def default_network(n_chans: int, n_times: int, n_classes: int) -> CitrusNetwork:
    """The network of `CitrusClassifier` before its kernels and its head are fitted."""
    config, weights = starting_point(CitrusClassifier().pretrained, "small", "hybrid")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = CitrusNetwork(config, n_chans, n_classes, None, n_times)
    network.trunk.load_state_dict(weights)
    return network.eval()


READOUTS: dict[bytes, Tensor] = {}  # of windows; they depend on no other window


def features_of(network: CitrusNetwork, X: np.ndarray) -> Tensor:
    """Features of windows; the read-out of a window is computed once in a process."""
    trunk = copy.copy(network)
    trunk._modules = {**network._modules, "kernels": None}
    keys = [sha256(window.tobytes()).digest() for window in X]
    new = [row for row, key in enumerate(keys) if key not in READOUTS]
    if new:
        found = infer(trunk, X, CPU, 16, rows=np.array(new), features=True)
        READOUTS.update(zip([keys[row] for row in new], found, strict=True))
    others = []
    with torch.inference_mode():
        for x in torch.from_numpy(X).split(64):
            z, scalars = normalise(x)
            bands = log_band_power(z, scalars[..., 0]).flatten(1)
            others.append(torch.cat([bands, network.kernels(x, z)], dim=1))
    return torch.cat([torch.stack([READOUTS[key] for key in keys]), torch.cat(others)], dim=1)


class SharedFeatures:
    """Features of training and test windows, as a `CitrusClassifier` computes them.

    Parameters
    ----------
    X, y : ndarray
        Training windows before they are aligned, and their labels.
    X_test : ndarray
    random_state : int
        That of the classifier.
    """

    def __init__(self, X, y, X_test, random_state: int) -> None:
        aligner = SignalAligner()
        self.X = np.asarray(aligner.fit_transform(X), np.float32)
        self.classes, self.codes = np.unique(y, return_inverse=True)
        self.seed = member_seed(random_state)
        network = default_network(*self.X.shape[1:], len(self.classes))
        first = self.X[self._labelled(None).rows[:_KERNEL_WINDOWS]]
        with torch.inference_mode():
            network.fit_kernels(torch.from_numpy(first), self.seed % 2**31)
        self.parts = parts_of(network)
        self.train = features_of(network, self.X)
        self.test = features_of(network, np.asarray(aligner.transform(X_test), np.float32))

    def predict_proba(self, part: str, people: tuple | None = None) -> np.ndarray:
        """Probabilities of a part; `people` are those of training and test windows."""
        known, new = (None, None) if people is None else people
        labelled = self._labelled(known)
        with torch.inference_mode():
            features = self.train[labelled.rows]
            return PartHead(self.parts[part], features, labelled, self.seed).predict_proba(
                self.test, new
            )

    def _labelled(self, groups) -> LabelledWindows:
        return label_windows(self.X, self.codes, self.classes, groups=groups)
