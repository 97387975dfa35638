"""Other ways to read a pre-trained network, beside the default's, on inner folds.

    python benchmarks/other_reads.py --sets FOLDER --csv reads.csv
    python benchmarks/other_reads.py --table reads.csv

The windows, folds and draws are those of ``inner_folds.py``: the training part of the first fold of
each set, and three inner folds that leave out people where they are known. Each row takes the place
of the network in the default, whose other ridges (band power, kernels) stay; ``alone`` is a single
ridge on it. Statistics of unlabelled windows are those of the whole inner training fold, so they
are closer to the test windows than statistics of any corpus of other people could be.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import inner_folds as inner
import numpy as np
import torch
from cells import Row, read, replace_all
from labelled_sets import read_sets
from paired import gaps, mean_of, values
from paired import scores_of as select
from parts import CPU
from scipy.special import softmax
from tables import FORMS, as_table, cell, percents
from torch import Tensor

from citrus_sk.nn import PRESETS, CitrusNetwork
from citrus_sk.nn.heads import LinearHead
from citrus_sk.nn.readout import N_BANDS
from citrus_sk.training.adaptation.heads import outputs_of
from citrus_sk.training.nets import infer
from citrus_sk.training.probes import fit_fused_probe

# Views of the read-out that depend on the trunk: of the transformer, then of the convolution.
N_TRUNK_VIEWS, N_TRANSFORMER_VIEWS = 4, 2
POWER, FLOOR = 0.5, 1e-4  # of the variances along principal axes, by which features are divided


@dataclass(frozen=True)
class Family:
    """Features of all windows with a ridge of their own, and how they are standardised."""

    features: Tensor
    views: list[int]
    unlabelled: bool = False  # mean and sd of all inner training windows, not of the labelled ones
    axes: bool = False  # divided by the square root of the sd along the principal axes

    def standardised(self, labelled: np.ndarray, unlabelled: np.ndarray) -> np.ndarray:
        with torch.random.fork_rng(devices=[]):
            scaler = LinearHead(self.views, 1)
        reference = self.features[unlabelled if self.unlabelled else labelled]
        scaler.set_statistics(reference, torch.ones(len(reference)))
        standard = scaler.standardise(self.features).detach().numpy()
        return along_axes(standard, unlabelled) if self.axes else standard


def along_axes(standard: np.ndarray, rows: np.ndarray) -> np.ndarray:
    centre = standard[rows].mean(axis=0)
    _, singular, axes = np.linalg.svd(standard[rows] - centre, full_matrices=False)
    kept = singular > 1e-6 * singular[0]
    variances = (singular[kept] / singular[0]) ** 2 + FLOOR
    return (standard - centre) @ axes[kept].T / variances ** (POWER / 2)


def random_features(X: np.ndarray) -> Tensor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = CitrusNetwork(PRESETS["small"], X.shape[1], 1)
    return infer(network, X, CPU, 16, features=True)


def reads(X: np.ndarray, readout: Tensor, views: list[int], other: str) -> dict[str, Family]:
    """Families that take the place of the network, whose read-out of `X` is given."""
    second, _ = inner.network_features(X, other)
    pieces = readout.split(views, dim=1)

    def of(chosen: slice, *more: slice) -> Family:
        kept = [i for part in (chosen, *more) for i in range(len(views))[part]]
        return Family(torch.cat([pieces[i] for i in kept], dim=1), [views[i] for i in kept])

    everything, rest = of(slice(None)), slice(N_TRUNK_VIEWS, None)
    of_second = second[:, : sum(views[:N_TRUNK_VIEWS])]
    return {
        "network": everything,
        "random weights": Family(random_features(X), views),
        f"with the trunk of {other}": Family(
            torch.cat([everything.features, of_second], dim=1), [*views, *views[:N_TRUNK_VIEWS]]
        ),
        "convolution only": of(slice(N_TRANSFORMER_VIEWS, None)),
        "transformer only": of(slice(N_TRANSFORMER_VIEWS), rest),
        "no trunk": of(rest),
        "scaled by unlabelled windows": Family(everything.features, views, unlabelled=True),
        "axes of unlabelled windows": Family(everything.features, views, axes=True),
    }


def rows_of_set(name: str, X, y, groups, checkpoint: str, other: str) -> Iterator[Row]:
    X, y, groups = inner.training_part(X, y, groups)
    n_bands = X.shape[1] * N_BANDS
    found, views = inner.network_features(X, checkpoint)
    bands = Family(found[:, -n_bands:], [n_bands])
    of_kernels, kernels = inner.kernel_features(X)
    n_shape = kernels.families[0]
    shape = Family(of_kernels[:, :n_shape], kernels.views[:3])
    amplitude = Family(of_kernels[:, n_shape:], kernels.views[3:])
    models = {"kernels": [shape, amplitude]}
    for way, family in reads(X, found[:, :-n_bands], views, other).items():
        models[f"{way}, alone"] = [family]
        models[f"default: {way}"] = [family, bands, shape, amplitude]
    for case in inner.cases(name, X, y, groups):
        for model, families in models.items():
            parts = [family.standardised(case.rows, case.train) for family in families]
            sizes, features = [part.shape[1] for part in parts], np.concatenate(parts, axis=1)
            probe = fit_fused_probe(
                features[case.rows], sizes, case.labelled, network=len(parts) > 2
            )
            proba = softmax(outputs_of(probe.head, features[case.test]), axis=1)
            yield case.scored(model, proba)


def print_tables(rows: list[Row]) -> None:
    """Macro-F1 of each read alone and in the default, and differences from the default."""
    shares, (_, form, points) = percents(rows), FORMS["macro_f1"]
    names = [row["model"].removeprefix("default: ") for row in rows]
    names = [n for n in dict.fromkeys(names) if n != "kernels" and not n.endswith(", alone")]
    names.sort(key=lambda name: name != "network")  # which is the default

    def means(model: str) -> list[str]:
        found = [select(rows, model, fraction, "macro_f1") for fraction in inner.FRACTIONS]
        return [form(mean_of(values(scores))) for scores in found]

    lines = [["kernels alone", *means("kernels"), *[""] * len(shares)]]
    lines += [[name, *means(f"{name}, alone"), *means(f"default: {name}")] for name in names]
    print(as_table(["macro-F1", *(f"alone, {share}" for share in shares), *shares], lines))
    lines = []
    for model in ("kernels", *(f"default: {name}" for name in names[1:])):
        pairs = [
            [select(rows, each, fraction, "macro_f1") for each in (model, f"default: {names[0]}")]
            for fraction in inner.FRACTIONS
        ]
        lines.append(
            [model.removeprefix("default: "), *(cell(gaps(*pair), points) for pair in pairs)]
        )
    print("\n" + as_table(["points beside the default", *shares], lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sets", type=Path, metavar="FOLDER")
    parser.add_argument("--only", nargs="+", metavar="SET", help="names of sets; default all")
    parser.add_argument("--checkpoint", default="multi-freq", metavar="NAME")
    parser.add_argument("--other", default="multi-time", metavar="NAME")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--table", type=Path, nargs="+", metavar="CSV")
    options = parser.parse_args()
    if options.table:
        print_tables(read(options.table))
        return
    rows: list[Row] = []
    for name, (X, y, groups, _) in read_sets(options.sets).items():
        if options.only is None or name in options.only:
            rows += rows_of_set(name, X, y, groups, options.checkpoint, options.other)
            print(f"{name}: done", flush=True)
    if options.csv:
        replace_all(options.csv, rows)
    print_tables(rows)


if __name__ == "__main__":
    main()
