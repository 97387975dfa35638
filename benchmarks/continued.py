"""What continued pre-training on one's own recordings gives, beside pre-training from scratch.

    python benchmarks/continued.py --steps 50 200

The recordings are the acceleration in `load_watch`, at 50 Hz. Half of the people are pre-trained
on, and the other half is left out; then the halves change places. Prints a row for the weights
before the training, and rows for each number of batches, with a learning rate of 1e-3 from random
weights, and several from those of the checkpoint:

- the masked loss on the recordings of the people who are left out. All networks of a half have the
  same statistics of the targets, so their losses can be compared;
- macro-F1 of a ridge on the features of `CitrusEmbedder`, fitted to a few labelled windows of the
  people who were pre-trained on, and scored on the windows of those who are left out. It is the
  mean of several draws of the labelled windows.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.linear_model import RidgeClassifierCV
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tables import as_table

from citrus_sk import CitrusEmbedder, CitrusPretrainer, SignalAligner
from citrus_sk.datasets import load_watch

RECORDING_S = 18.9  # no longer than the shortest recording
N_DRAWS = 10
RANDOM = "random weights"
UNTRAINED = {"max_steps": 1, "learning_rate": 1e-12}


def halves(groups: np.ndarray) -> list[np.ndarray]:
    """Whether each window is of the people of one half, for both halves."""
    people = np.unique(groups)
    first = np.isin(groups, people[: len(people) // 2])
    return [first, ~first]


def variants(
    name: str, steps: list[int], rates: list[float]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The start of each run, and its parameters."""
    yield RANDOM, {"pretrained": None, **UNTRAINED}
    yield name, {"pretrained": name, **UNTRAINED}
    for n in steps:
        yield RANDOM, {"pretrained": None, "max_steps": n, "learning_rate": 1e-3}
        for rate in rates:
            yield name, {"pretrained": name, "max_steps": n, "learning_rate": rate}


def probe_scores(
    features: np.ndarray, y: np.ndarray, train: np.ndarray, shots: list[int]
) -> list[float]:
    """Macro-F1 on the other windows, with some labelled windows of each class."""
    scores = []
    for n in shots:
        found = []
        for draw in range(N_DRAWS):
            rng = np.random.default_rng(draw)
            rows = [
                rng.permutation(np.flatnonzero(train & (y == kind)))[:n] for kind in np.unique(y)
            ]
            few = np.concatenate(rows)
            probe = make_pipeline(StandardScaler(), RidgeClassifierCV(np.logspace(0, 5, 11)))
            predicted = probe.fit(features[few], y[few]).predict(features[~train])
            found.append(f1_score(y[~train], predicted, average="macro"))
        scores.append(float(np.mean(found)))
    return scores


def evaluate(
    parameters: dict[str, Any], half: int, shots: list[int], n_windows: int
) -> list[float]:
    """Masked loss and scores of a run that is trained on one half of the people."""
    whole, windows = (load_watch(window_s=s, overlap=0) for s in (RECORDING_S, 5.12))
    train, labelled = halves(whole.groups)[half], halves(windows.groups)[half]
    acceleration = whole.X[:, :3]
    pretrainer = CitrusPretrainer(
        **parameters, modality="ACC", batch_size=n_windows, validation_fraction=0, random_state=0
    )
    pretrainer.fit(acceleration[train], groups=whole.groups[train])
    embedder = make_pipeline(
        SignalAligner(), CitrusEmbedder(pretrained=pretrainer, modality="ACC", random_state=0)
    )
    features = embedder.fit_transform(windows.X[:, :3])
    loss = -pretrainer.score(acceleration[~train])
    return [loss, *probe_scores(features, windows.y, labelled, shots)]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", default="multi-freq", help="name or path")
    parser.add_argument("--steps", type=int, nargs="+", default=[50, 200], metavar="N")
    parser.add_argument(
        "--rates", type=float, nargs="+", default=[1e-3, 3e-4, 1e-4], metavar="RATE"
    )
    parser.add_argument("--shots", type=int, nargs="+", default=[2, 8], help="windows of a class")
    parser.add_argument("--batch-size", type=int, default=32)
    options = parser.parse_args(arguments)
    lines = []
    for start, parameters in variants(options.checkpoint, options.steps, options.rates):
        values = [evaluate(parameters, h, options.shots, options.batch_size) for h in (0, 1)]
        trained = parameters["learning_rate"] != UNTRAINED["learning_rate"]
        told = [f"{parameters['max_steps']}", f"{parameters['learning_rate']:g}"]
        loss, *scores = np.mean(values, axis=0)
        shown = [f"{loss:.3f}", *(f"{score:.3f}" for score in scores)]
        lines.append([start, *(told if trained else ["0", ""]), *shown])
        print(*lines[-1], sep=", ", flush=True)
    shots = [f"macro-F1, {n} windows a class" for n in options.shots]
    print(as_table(["start", "batches", "learning rate", "masked loss", *shots], lines))


if __name__ == "__main__":
    main()
