"""How well outlier detectors on features find faulty windows of people outside the training set.

    python benchmarks/unlike.py

The windows are smart-watch recordings. Each of five folds fits the detectors, and a classifier, on
the unchanged windows of eight people, and scores unchanged and faulty windows of the two others.
Prints the AUROC, which is the probability that a faulty window has a higher score than an unchanged
one of the same people, and the share of faulty windows among the scores above those of 95 % of the
unchanged ones. Both are means over the folds.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.covariance import EllipticEnvelope
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from citrus_sk import CitrusClassifier, CitrusEmbedder
from citrus_sk.datasets import load_watch

CHANNEL = 1  # of the accelerometer
N_COMPONENTS = 32
STEP = 2  # every other left-out window is scored
Fault = Callable[[np.ndarray, np.random.Generator], np.ndarray]


# --- faults of one channel: they change the windows that they are given -------------------------


def flat(X: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    X[:, CHANNEL] = X[:, CHANNEL].mean(axis=1, keepdims=True)
    return X


def tone(X: np.ndarray, rng: np.random.Generator, hertz: float, sfreq: float) -> np.ndarray:
    """A sine of the channel's own sd, as sampled at `sfreq` without a filter before."""
    time = np.arange(X.shape[2]) / sfreq
    wave = np.sin(2 * np.pi * (hertz * time + rng.random((len(X), 1))))
    channel = X[:, CHANNEL]
    scale = np.sqrt(2) * channel.std(axis=1, keepdims=True)
    X[:, CHANNEL] = channel.mean(axis=1, keepdims=True) + scale * wave
    return X


def noise(X: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    channel = X[:, CHANNEL]
    drawn = rng.standard_normal(channel.shape) * channel.std(axis=1, keepdims=True)
    X[:, CHANNEL] = channel.mean(axis=1, keepdims=True) + drawn
    return X


def swapped(X: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An axis of the accelerometer and one of the gyroscope."""
    X[:, [CHANNEL, CHANNEL + 3]] = X[:, [CHANNEL + 3, CHANNEL]]
    return X


def faults(sfreq: float) -> dict[str, Fault]:
    # Hum of 50.2 Hz, which is within what grids allow, is a wave of 0.2 Hz at a rate of 50 Hz. At
    # higher rates, hum is a tone of a high frequency.
    return {
        "flat channel": flat,
        "tone of 20 Hz": partial(tone, hertz=20.0, sfreq=sfreq),
        "mains hum, aliased to 0.2 Hz": partial(tone, hertz=50.2, sfreq=sfreq),
        "white noise": noise,
        "two channels swapped": swapped,
    }


# --- scores ---------------------------------------------------------------------------------------


def detectors() -> dict[str, BaseEstimator]:
    return {
        "IsolationForest": IsolationForest(random_state=0),
        "EllipticEnvelope": EllipticEnvelope(random_state=0),
        "LocalOutlierFactor": LocalOutlierFactor(novelty=True),
    }


def scores_of_fold(
    features: dict[str, np.ndarray], train: np.ndarray, test: np.ndarray
) -> dict[str, dict[str, np.ndarray]]:
    """Score of each left-out window, by detector and by fault."""
    reduce = make_pipeline(StandardScaler(), PCA(N_COMPONENTS, whiten=True, random_state=0))
    known = reduce.fit_transform(features["unchanged"][train])
    found = {}
    for name, detector in detectors().items():
        detector.fit(known)
        found[name] = {
            fault: -detector.score_samples(reduce.transform(each[test]))
            for fault, each in features.items()
        }
    return found


def summary(scores: list[dict[str, np.ndarray]], fault: str) -> str:
    """AUROC and share of faults found, for the folds of one detector."""
    areas, shares = [], []
    for fold in scores:
        good, bad = fold["unchanged"], fold[fault]
        areas.append(roc_auc_score(np.r_[good * 0, bad * 0 + 1], np.r_[good, bad]))
        shares.append((bad > np.quantile(good, 0.95)).mean())
    return f"{np.mean(areas):.2f} ({100 * np.mean(shares):.0f} %)"


def main() -> None:
    watch = load_watch(overlap=0)
    windows = {"unchanged": watch.X} | {
        name: fault(watch.X.copy(), np.random.default_rng(0))
        for name, fault in faults(watch.sfreq).items()
    }
    embedder = CitrusEmbedder(random_state=0).fit(watch.X)
    features = {name: embedder.transform(X) for name, X in windows.items()}
    folds: list[dict[str, dict[str, np.ndarray]]] = []
    for train, test in GroupKFold(5).split(watch.X, groups=watch.groups):
        test = test[::STEP]
        classifier = CitrusClassifier(random_state=0)
        classifier.fit(watch.X[train], watch.y[train], groups=watch.groups[train])
        doubt = {name: 1 - classifier.predict_proba(X[test]).max(1) for name, X in windows.items()}
        folds.append({"1 - largest probability": doubt} | scores_of_fold(features, train, test))
    names = list(windows)[1:]
    print("| score | " + " | ".join(names) + " |")
    print("|---" * (1 + len(names)) + "|")
    for score in folds[0]:
        cells = [summary([fold[score] for fold in folds], name) for name in names]
        print(f"| {score} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
