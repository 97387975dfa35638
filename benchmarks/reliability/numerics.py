"""Single precision and bfloat16 beside a reference in double precision.

    python benchmarks/reliability/numerics.py

Prints, for each shipped checkpoint, the errors of the trunk's output in float32 and under bfloat16
autocast, which pre-training can use, as shares of the sd of the output, and the errors of features,
in sds of a feature over windows. Then, the errors of probabilities and of ridges, and the features
of signals on offsets of 1e5 to 1e9 sd beside those without an offset. The signals are windows of a
smart watch, and pink noise of 10 microvolts in volts.
"""

from __future__ import annotations

import copy
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from citrus_sk import CitrusClassifier, CitrusEmbedder, SignalAligner, list_pretrained
from citrus_sk.datasets import load_watch
from citrus_sk.nn import kernels
from citrus_sk.nn.encoder import normalise
from citrus_sk.training.probes import fit_ridge

N_WINDOWS = 40


def signals(n_windows: int = N_WINDOWS) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Windows on the grid of the weights, ``(n_windows, 3, 1024)``, and two labels."""
    watch = load_watch(window_s=2.56)
    rows = np.random.default_rng(0).permutation(len(watch.y))[:n_windows]
    motion = SignalAligner().fit_transform(watch.X[rows, :3])
    labels = watch.y[rows] == np.unique(watch.y)[0]
    return {"watch": (motion, labels), "noise": (pink_noise(n_windows), np.arange(n_windows) % 2)}


def pink_noise(n_windows: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    real, imaginary = rng.normal(size=(2, n_windows, 3, 513))
    spectrum = (real + 1j * imaginary) / np.sqrt(np.maximum(1, np.arange(513)))
    noise = np.fft.irfft(spectrum, 1024)
    return (1e-5 * noise / noise.std()).astype(np.float32)


def in_double(module: Any) -> Any:
    return copy.deepcopy(module).double()


def relative(found: Tensor, reference: Tensor) -> float:
    """Root of the mean squared error, as a share of the sd of the reference."""
    return float((found.double() - reference).square().mean().sqrt() / reference.std())


def largest_in_sds(found: Tensor, reference: Tensor) -> float:
    """Largest error of a feature, in sds of this feature over windows."""
    sd = reference.std(0)
    sd = sd.clamp_min(1e-3 * sd.median())
    return float(((found.double() - reference).abs() / sd).max())


def errors_of_network(name: str, X: np.ndarray) -> dict[str, float]:
    """Errors of the trunk and of the features with the weights of a checkpoint."""
    module = CitrusEmbedder(pretrained=name, device="cpu").fit(X).module_
    reference, x = in_double(module), torch.from_numpy(X)
    z = normalise(x)[0].flatten(0, 1)
    with torch.inference_mode():
        _, expected = reference.trunk(z.double())
        with torch.autocast("cpu", torch.bfloat16):
            _, half = module.trunk(z)
        return {
            "float32": relative(module.trunk(z)[1], expected),
            "bfloat16": relative(half, expected),
            "features": largest_in_sds(module.features(x), reference.features(x.double())),
        }


def error_of_probabilities(X: np.ndarray, y: np.ndarray) -> float:
    """Largest error of a probability of the default classifier, with all of its features."""
    module = CitrusClassifier(device="cpu", random_state=0).fit(X, y).net_.module_
    x = torch.from_numpy(X)
    with torch.inference_mode():
        found = module(x).double().softmax(1)
        with patch.object(kernels, "_compiled", lambda: None):  # numba's are in float32
            expected = in_double(module)(x.double()).softmax(1)
    return float((found - expected).abs().max())


def error_of_ridge(X: np.ndarray, y: np.ndarray) -> float:
    """Largest error of a decision of the ridge on other windows, beside a long double solution."""
    module = CitrusEmbedder(device="cpu").fit(X).module_
    with torch.inference_mode():
        raw = module.features(torch.from_numpy(X))
        module.head.set_statistics(raw, torch.ones(len(raw)))
        features = module.head.standardise(raw).double().numpy()
    fitted, others = features[::2], features[1::2]
    targets, weights = 2.0 * y[::2, None] - 1, np.linspace(0.5, 1.5, len(fitted))
    ridge = fit_ridge(fitted, targets, weights, None)
    expected = ridge_in_long_double(fitted, targets, weights, ridge.penalty, others)
    return float(np.abs(others @ ridge.coef + ridge.intercept - expected).max())


def ridge_in_long_double(
    features: np.ndarray, targets: np.ndarray, weights: np.ndarray, penalty: float, new: np.ndarray
) -> np.ndarray:
    """Decisions for new windows, by elimination in the extended precision of the processor."""
    wide = [np.asarray(each, np.longdouble) for each in (features, targets, weights, new)]
    features, targets, weights, new = wide
    weights = weights / weights.mean()
    centre, level = (weights @ each / weights.sum() for each in (features, targets))
    root = np.sqrt(weights)[:, None]
    rows, expected = root * (features - centre), root * (targets - level)
    system = np.hstack([rows @ rows.T + penalty * np.eye(len(rows)), expected])
    for i in range(len(rows)):  # positive definite, so no pivots are needed
        system[i] /= system[i, i]
        others = np.arange(len(rows)) != i
        system[others] -= system[others, i, None] * system[i]
    return level + (new - centre) @ (rows.T @ system[:, len(rows) :])


def error_with_offset(X: np.ndarray, size: float) -> float:
    """Largest error of a feature on an offset of `size` sd, in sds of this feature."""
    X = X.astype(np.float64)
    X -= np.median(X.mean(-1), axis=0)[:, None]
    shifted = X + size * np.median(X.std(-1), axis=0)[:, None]
    expected = CitrusEmbedder(device="cpu").fit_transform(X)
    found = CitrusEmbedder(device="cpu").fit_transform(shifted)
    return largest_in_sds(torch.from_numpy(found), torch.from_numpy(expected).double())


def main() -> None:
    found = signals()
    print("| weights | windows | float32 | bfloat16 | features |\n|---|---|---|---|---|")
    for name in list_pretrained():
        for kind, (X, _) in found.items():
            errors = errors_of_network(name, X)
            print(f"| {name} | {kind} | " + " | ".join(f"{e:.0e}" for e in errors.values()) + " |")
    for kind, (X, y) in found.items():
        print(f"probabilities, {kind}: {error_of_probabilities(X, y):.0e}")
        print(f"decisions of the ridge in double precision, {kind}: {error_of_ridge(X, y):.0e}")
    for size in (1e5, 1e7, 1e9):
        error = error_with_offset(found["watch"][0], size)
        print(f"features on an offset of {size:.0e} sd: {error:.0e}")


if __name__ == "__main__":
    main()
