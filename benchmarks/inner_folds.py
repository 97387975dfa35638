"""Scores of pre-trained networks, alone and beside random kernels, on inner folds.

    python benchmarks/inner_folds.py --sets FOLDER --checkpoints multi-freq mine.safetensors

Choices between checkpoints, and between settings of the probe, are made on these scores and never
on test folds. At most 500 windows are drawn from the training part of the first fold of each set;
three inner folds leave out people where they are known. All ridges are those of the default:

- ``kernels``: the random kernels, and nothing else;
- ``NAME alone``: one ridge on the read-out of the network;
- ``NAME``: the default, with the read-out, the band power and the kernels.

The features of the kernels are computed once for each set, so their thresholds are quantiles over
all of its windows. Prints means over sets, and differences from the kernels and from the first
checkpoint with intervals over sets and folds; ``--csv`` keeps every score.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from cells import Row, replace_all
from labelled_sets import all_splits, drawn, read_sets, splits
from lowdata import FEWEST_OF_A_CLASS, scores_of
from paired import gaps, interval, mean_of, values
from paired import scores_of as select
from parts import Part, PartHead, kernels_part

from citrus_sk import SignalAligner, load_checkpoint
from citrus_sk.checkpoints.registry import trunk_state
from citrus_sk.nn import CitrusNetwork
from citrus_sk.nn.encoder import normalise
from citrus_sk.nn.kernels import RandomKernels
from citrus_sk.nn.readout import N_BANDS, log_band_power
from citrus_sk.training.labelled import LabelledWindows, label_windows

MOST, N_INNER = 500, 3
FRACTIONS = (0.02, 0.05, 0.2, 1.0)
AT_ONCE = 16


def training_part(X, y, groups) -> tuple:
    """Aligned windows from the training part of the first fold."""
    labels, counts = np.unique(y, return_counts=True)
    kept = np.isin(y, labels[counts >= FEWEST_OF_A_CLASS])
    X, y = X[kept], y[kept]
    groups = None if groups is None else groups[kept]
    train, _ = splits(y, groups, 1)[0]
    if len(train) > MOST:
        train = drawn(y, train, MOST / len(train), 0)
    X = SignalAligner().fit_transform(X[train]).astype(np.float32)
    return X, y[train], None if groups is None else groups[train]


def inner_splits(y, groups) -> list[tuple]:
    return all_splits(y, groups, N_INNER, 1)


@torch.no_grad()
def kernel_features(X: np.ndarray) -> tuple[torch.Tensor, RandomKernels]:
    x = torch.from_numpy(X)
    z = normalise(x)[0]
    kernels = RandomKernels(*X.shape[1:])
    kernels.fit(x, z, 0)
    return kernels(x, z), kernels


@torch.no_grad()
def network_features(X: np.ndarray, name: str) -> tuple[torch.Tensor, list[int]]:
    """Read-out and band power, and the views of the read-out."""
    checkpoint = load_checkpoint(name)
    with torch.random.fork_rng(devices=[]):
        network = CitrusNetwork(checkpoint.network, X.shape[1], 1).eval()
    network.trunk.load_state_dict(trunk_state(checkpoint, "hybrid"))
    parts = []
    for x in torch.from_numpy(X).split(AT_ONCE):
        z, scalars = normalise(x)
        bands = log_band_power(z, scalars[..., 0]).flatten(1)
        parts.append(torch.cat([network.features(x), bands], 1))
    return torch.cat(parts), list(network.readout.views)


def parts_beside(kernels: RandomKernels, n_bands: int, views: list[int]) -> tuple[Part, Part]:
    """The read-out alone, and all features of the default."""
    n_network = sum(views)
    both = Part(
        slice(None), [*views, n_bands, *kernels.views],
        [*(1.0 for _ in views), float(len(views)), *(1.0 for _ in kernels.views)],
        [n_network, n_bands, *kernels.families],
    )  # fmt: skip
    return Part(slice(n_network), views, None, [n_network]), both


def rows_of_set(name: str, X, y, groups, checkpoints: list[str]) -> Iterator[Row]:
    X, y, groups = training_part(X, y, groups)
    of_kernels, kernels = kernel_features(X)
    models = {"kernels": (of_kernels, kernels_part(kernels))}
    for checkpoint in checkpoints:
        found, views = network_features(X, checkpoint)
        alone, both = parts_beside(kernels, X.shape[1] * N_BANDS, views)
        short = Path(checkpoint).stem
        models[f"{short} alone"] = (found, alone)
        models[short] = (torch.cat([found, of_kernels], 1), both)
    for case in cases(name, X, y, groups):
        for model, (features, part) in models.items():
            head = PartHead(part, features[case.rows], case.labelled, int(case.cell["fold"]))
            yield case.scored(model, head.predict_proba(features[case.test]))


@dataclass(frozen=True)
class Case:
    """Few labelled windows of an inner training fold, and the windows of its test fold."""

    cell: Row
    train: np.ndarray  # rows of the whole inner training fold
    rows: np.ndarray  # those of `labelled`
    test: np.ndarray
    labelled: LabelledWindows
    expected: np.ndarray
    classes: np.ndarray

    def scored(self, model: str, proba: np.ndarray) -> Row:
        return self.cell | {"model": model} | scores_of(self.expected, self.classes, proba)


def cases(name: str, X, y, groups) -> Iterator[Case]:
    classes, codes = np.unique(y, return_inverse=True)
    for fold, (train, test) in enumerate(inner_splits(y, groups)):
        for fraction in FRACTIONS:
            few = drawn(y, train, fraction, fold)
            labelled = label_windows(X[few], codes[few], classes)
            cell = {"set": name, "fold": str(fold), "fraction": str(fraction),
                    "n_train": str(len(few)), "n_test": str(len(test))}  # fmt: skip
            yield Case(cell, train, few[labelled.rows], test, labelled, y[test], classes)


def print_tables(rows: list[Row], baselines: list[str]) -> None:
    models = list(dict.fromkeys(row["model"] for row in rows))
    for metric in ("macro_f1", "log_loss"):
        print(f"\n{metric}, inner folds, at {', '.join(f'{f:.0%}' for f in FRACTIONS)}")
        for model in models:
            found = [select(rows, model, fraction, metric) for fraction in FRACTIONS]
            print(f"{model:28}", *(f"{mean_of(values(scores)):.3f}" for scores in found))
        for baseline in baselines:
            for model in models:
                if model != baseline:
                    print(f"{model} minus {baseline}:", *differences(rows, model, baseline, metric))


def differences(rows: list[Row], model: str, baseline: str, metric: str) -> Iterator[str]:
    for fraction in FRACTIONS:
        gap = gaps(*(select(rows, name, fraction, metric) for name in (model, baseline)))
        limits = interval(gap)
        shown = "" if limits is None else " [{:+.3f}, {:+.3f}]".format(*limits)
        yield f"{mean_of(gap):+.3f}{shown}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sets", type=Path, metavar="FOLDER")
    parser.add_argument("--only", nargs="+", metavar="SET", help="names of sets; default all")
    parser.add_argument("--checkpoints", nargs="+", default=["multi-freq"], metavar="NAME")
    parser.add_argument("--csv", type=Path)
    arguments = parser.parse_args()
    rows: list[Row] = []
    for name, (X, y, groups, _) in read_sets(arguments.sets).items():
        if arguments.only is None or name in arguments.only:
            rows += rows_of_set(name, X, y, groups, arguments.checkpoints)
            print(f"{name}: done", flush=True)
    if arguments.csv:
        replace_all(arguments.csv, rows)
    print_tables(rows, ["kernels", Path(arguments.checkpoints[0]).stem])


if __name__ == "__main__":
    main()
