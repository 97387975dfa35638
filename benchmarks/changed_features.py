"""Windows and features of people, changed in the ways that ``adaptation.py`` compares."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from parts import default_network

from citrus_sk.nn import CitrusNetwork
from citrus_sk.nn.encoder import normalise
from citrus_sk.training.adaptation.people import mean_weight, rows_of_people
from citrus_sk.training.labelled import LabelledWindows, label_windows
from citrus_sk.training.probes import class_targets

JOINED = 8  # windows of a person that the person's own thresholds are taken from
BATCH = 32


# --- signals of a person -------------------------------------------------------------------------

# From windows, the person of each and a mask of the training windows, to windows.
Change = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def covariances(X: np.ndarray, people: np.ndarray) -> dict[str, np.ndarray]:
    """Mean covariance between the channels of each person's windows."""
    centred = X - X.mean(-1, keepdims=True, dtype=np.float64)
    found = centred @ centred.mT / X.shape[-1]
    found += 1e-6 * np.eye(X.shape[1]) * np.trace(found.mean(0)) / X.shape[1]
    return {person: found[people == person].mean(0) for person in np.unique(people)}


def power(matrix: np.ndarray, exponent: float) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * values**exponent) @ vectors.T


def whitened(
    X: np.ndarray, people: np.ndarray, train: np.ndarray, *, to_mean: bool = False
) -> np.ndarray:
    """Euclidean alignment (He and Wu, 2020): the mean covariance of each person is the identity.

    With `to_mean` it is the mean covariance of the training people, which keeps amplitude.
    """
    found, aligned = covariances(X, people), np.empty_like(X)
    target = power(np.mean([found[p] for p in np.unique(people[train])], axis=0), 0.5)
    for person, covariance in found.items():
        matrix = power(covariance, -0.5)
        aligned[people == person] = (target @ matrix if to_mean else matrix) @ X[people == person]
    return aligned


def aligned_to_mean(X: np.ndarray, people: np.ndarray, train: np.ndarray) -> np.ndarray:
    return whitened(X, people, train, to_mean=True)


def equal_amplitude(X: np.ndarray, people: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Geometric mean of each channel's sd over a person's windows brought to that of all people."""
    level = X.mean(-1, keepdims=True)
    logs = np.log(np.maximum(X.std(-1), 1e-12))
    own = {person: logs[people == person].mean(0) for person in np.unique(people)}
    usual = np.mean([own[person] for person in np.unique(people[train])], axis=0)
    gain = np.exp(usual - np.array([own[person] for person in people]))
    return level + gain[..., None].astype(X.dtype) * (X - level)


def unchanged(X: np.ndarray, people: np.ndarray, train: np.ndarray) -> np.ndarray:
    return X


# --- features ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """Standardised features of training and test windows, and what is known of them."""

    train: np.ndarray
    test: np.ndarray
    labelled: LabelledWindows
    people: np.ndarray  # of the test windows, in the order of the recording
    families: list[int]


def make_case(
    X: np.ndarray,
    y: np.ndarray,
    people: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    change: Change = unchanged,
    thresholds: str = "shared",
) -> Case:
    """Features as `CitrusClassifier` computes them, from aligned windows and rows of them.

    The thresholds of the kernels are ``"shared"`` by all people as in the classifier, ``"joined"``
    for quantiles over several training windows in place of one, ``"own"`` for quantiles over
    windows of each person, or ``"shrunk"`` for a mean of the own and the shared ones.
    """
    rows = np.concatenate([train, test])
    known = np.arange(len(rows)) < len(train)
    changed = change(X[rows], people[rows], known)
    classes, codes = np.unique(y, return_inverse=True)
    labelled = label_windows(changed[known], codes[train], classes, groups=people[train])
    x = torch.from_numpy(changed)
    network = default_network(*x.shape[1:], len(classes))
    with torch.inference_mode():
        network.fit_kernels(x[labelled.rows], 0)
        if thresholds == "joined":
            network = with_thresholds_of(network, x[labelled.rows])
        if thresholds in ("own", "shrunk"):
            features = torch.empty(len(x), network.n_features)
            for of_person, n in rows_of_people(people[rows]):
                share = 1.0 if thresholds == "own" else mean_weight(n)
                own = with_thresholds_of(network, x[of_person], share)
                features[of_person] = batched(own, x[of_person])
        else:
            features = batched(network, x)
        network.head.set_statistics(features[labelled.rows], torch.tensor(labelled.weights))
        standard = network.head.standardise(features).numpy()
    return Case(standard[labelled.rows], standard[~known], labelled, people[test],
                network.families)  # fmt: skip


def batched(network: CitrusNetwork, x: torch.Tensor) -> torch.Tensor:
    return torch.cat([network.features(part) for part in x.split(BATCH)])


def with_thresholds_of(
    network: CitrusNetwork, x: torch.Tensor, share: float = 1.0
) -> CitrusNetwork:
    """The same kernels with thresholds that are, to a share, quantiles over several of `x`."""
    own = copy.copy(network)
    own._modules = {**network._modules, "kernels": copy.deepcopy(network.kernels)}
    picked = x[np.linspace(0, len(x) - 1, min(JOINED, len(x))).round().astype(int)]
    z = normalise(picked)[0]
    # The draws of a seed do not depend on the windows, so the channels stay as they are.
    own.kernels.shape.fit(joined(z), 0)
    own.kernels.change.fit(joined(z.diff(dim=-1)), 1)
    own.kernels.amplitude.fit(joined(own.kernels._scale(picked)), 2)
    for name in ("shape", "change", "amplitude"):
        new, old = (getattr(each.kernels, name).thresholds for each in (own, network))
        new.mul_(share).add_((1 - share) * old)
    return own


def joined(x: torch.Tensor) -> torch.Tensor:
    """Windows ``(n, n_chans, n_times)`` one after another in one window."""
    return x.transpose(0, 1).flatten(1)[None]


def down_weighted(case: Case, strength: float, *, by_class: bool = False) -> Case:
    """Features in which the directions where training people differ have less weight.

    A direction whose variance between people is v times the mean variance of a direction within
    people is divided by ``sqrt(1 + strength * v)``. With `by_class` it is the variance of windows
    of one class, as in within-class covariance normalisation (Hatch et al., 2006).
    """
    codes = class_targets(case.labelled)[1]
    parts = []
    for train, test in zip(*(in_families(case, part) for part in (case.train, case.test)),
                           strict=True):  # fmt: skip
        means = np.array([train[codes == code].mean(0) for code in np.unique(codes)])
        residual = train - means[codes]
        between = np.zeros_like(residual)
        for rows, _ in rows_of_people(case.labelled.groups):
            between[rows] = residual[rows].mean(0)
        differing = residual if by_class else between
        within = residual if by_class else residual - between
        values, basis = np.linalg.eigh(differing @ differing.T)
        kept = values > 1e-9 * values[-1]
        directions = (basis[:, kept] / np.sqrt(values[kept])).T @ differing
        unit = (within**2).sum() / len(within)
        factors = 1 / np.sqrt(1 + strength * values[kept] / unit) - 1
        parts.append([x + (x @ directions.T * factors) @ directions for x in (train, test)])
    return replace(case, train=np.concatenate([train for train, _ in parts], axis=1),
                   test=np.concatenate([test for _, test in parts], axis=1))  # fmt: skip


def in_families(case: Case, features: np.ndarray) -> list[np.ndarray]:
    return np.split(features.astype(np.float64), np.cumsum(case.families)[:-1], axis=1)


def equal_spread(case: Case) -> Case:
    """Features whose deviations from the person's mean have the same sd for all people.

    A person's variance is shrunk towards that of the training people as means are.
    """
    usual = np.mean([variance for variance, _ in variances(case.train, case.labelled.groups)], 0)

    def scaled(features: np.ndarray, people: np.ndarray) -> np.ndarray:
        new = np.array(features, np.float64)
        for (variance, share), (rows, _) in zip(
            variances(features, people), rows_of_people(people), strict=True
        ):
            mean = features[rows].mean(0)
            ratio = usual / np.maximum(share * variance + (1 - share) * usual, 1e-30)
            new[rows] = mean + np.sqrt(ratio) * (features[rows] - mean)
        return new

    return replace(case, train=scaled(case.train, case.labelled.groups),
                   test=scaled(case.test, case.people))  # fmt: skip


def variances(features: np.ndarray, people: np.ndarray) -> list[tuple[np.ndarray, float]]:
    """Variance of each person's features, and the weight it deserves."""
    return [(features[rows].astype(np.float64).var(0), mean_weight(n))
            for rows, n in rows_of_people(people)]  # fmt: skip
