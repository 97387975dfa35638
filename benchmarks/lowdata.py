"""Scores with few labels: the default, its parts, other settings, and what people pick instead.

    python benchmarks/lowdata.py --sets FOLDER --models default minirocket --csv scores.csv
    python benchmarks/lowdata.py --table scores.csv --models default minirocket
    python benchmarks/lowdata.py --table scores.csv --each macro_f1

A row is written for each set, model, fold and fraction as soon as it is known, and a row that is
there is not run again: a run that was stopped goes on. ``--list`` prints the models. Sets and draws
are those of ``labelled_sets.py``; classes with fewer than ten windows are left out. Several runs
side by side need a file each; --table takes them all, and --each prints a metric set by set.
"""

from __future__ import annotations

import argparse
import csv
import os
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from labelled_sets import draws, read_sets
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import RidgeClassifierCV
from sklearn.metrics import accuracy_score, f1_score, log_loss
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler

from citrus_sk import CitrusClassifier, SignalAligner
from citrus_sk.nn import kernels as _kernels
from citrus_sk.nn import network as _model
from citrus_sk.nn.encoder import normalise
from citrus_sk.nn.heads import LinearHead
from citrus_sk.nn.kernels import RandomKernels
from citrus_sk.nn.readout import N_BANDS
from citrus_sk.training import probes as _fused_probe
from citrus_sk.training.labelled import label_windows
from citrus_sk.training.probes import fit_fused_probe

FRACTIONS = (0.01, 0.05, 0.2, 1.0)
FEWEST_OF_A_CLASS, BINS = 10, 10
COLUMNS = ["set", "model", "fold", "fraction", "n_train", "n_test", "accuracy", "macro_f1",
           "log_loss", "calibration_error", "fit_s", "predict_s"]  # fmt: skip
METRICS = COLUMNS[6:11]


# --- models --------------------------------------------------------------------------------------


class KernelsAlone(ClassifierMixin, BaseEstimator):
    """The random kernels of `CitrusClassifier` and its averaged ridges, without its network."""

    def __init__(self, random_state: int = 0) -> None:
        self.random_state = random_state

    def fit(self, X, y):
        X = np.asarray(X, np.float32)
        self.classes_, codes = np.unique(y, return_inverse=True)
        labelled = label_windows(X, codes, self.classes_)
        self.kernels_ = RandomKernels(*X.shape[1:])
        x = torch.from_numpy(X[labelled.rows])
        self.kernels_.fit(x, normalise(x)[0], self.random_state)
        with torch.random.fork_rng(devices=[]):  # its first weights, which the fit replaces
            self.head_ = LinearHead(self.kernels_.views, len(self.classes_))
        features = self.kernels_(x, normalise(x)[0])
        self.head_.set_statistics(features, torch.tensor(labelled.weights))
        standard = self.head_.standardise(features).numpy()
        self.weights_ = fit_fused_probe(standard, self.kernels_.families, labelled).head
        return self

    def predict_proba(self, X):
        x = torch.from_numpy(np.asarray(X, np.float32))
        standard = self.head_.standardise(self.kernels_(x, normalise(x)[0])).numpy()
        return softmax(standard @ self.weights_[0].T + self.weights_[1], axis=1)


class Altered(ClassifierMixin, BaseEstimator):
    """The default with another constant or part: what each of them is worth."""

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
    """What does not vary in training has no say later."""
    return z.new_zeros(*z.shape[:-1], N_BANDS)


def citrus(seed: int, sfreq: float, align: str = "resample", **settings: Any):
    aligner = SignalAligner(method=align, sfreq=sfreq if align == "rate" else None)
    return make_pipeline(aligner, CitrusClassifier(random_state=seed, **settings))


def kernels_alone(seed: int, sfreq: float):
    return make_pipeline(SignalAligner(), KernelsAlone(seed))


class BareRidge(RidgeClassifierCV):
    """Without calibration: its classes are what counts, its probabilities are made up."""

    def predict_proba(self, X):
        decisions = self.decision_function(X)
        if decisions.ndim == 1:
            decisions = np.stack([-decisions, decisions], axis=1)
        return softmax(decisions, axis=1)


def on_rockets(seed: int, sfreq: float, names: tuple[str, ...], calibrated: bool = True):
    """A ridge on aeon's features; calibrated on two folds, which a careful user would do."""
    from aeon.transformations.collection import convolution_based

    views = [getattr(convolution_based, name)(random_state=seed) for name in names]
    views = [make_pipeline(view, StandardScaler(with_mean=False)) for view in views]
    ridge = (RidgeClassifierCV if calibrated else BareRidge)(alphas=np.logspace(-3, 3, 10))
    if calibrated:
        ridge = CalibratedClassifierCV(ridge, cv=2, ensemble=False)
    return make_pipeline(make_union(*views), ridge)


NETWORK = {"random_kernels": False, "strategy": "linear-probe"}
FINETUNED = {"random_kernels": False, "strategy": "probe-then-finetune", "max_epochs": 15}
MODELS: dict[str, Callable[[int, float], Any]] = {  # of a seed and the signals' Hz
    # The default and its parts.
    "default": citrus,
    "default, random weights": partial(citrus, pretrained=None),
    "default, people known": citrus,  # `fit` gets groups, where the set has them
    "kernels alone": kernels_alone,
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
    "default, no stretches": partial(altered, module=_kernels, name="_N_STRETCHES", value=0),
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
    "multirocket-hydra": partial(on_rockets, names=("MultiRocket", "HydraTransformer")),
    "minirocket, bare ridge": partial(on_rockets, names=("MiniRocket",), calibrated=False),
    "multirocket-hydra, bare ridge": partial(
        on_rockets, names=("MultiRocket", "HydraTransformer"), calibrated=False
    ),
}  # fmt: skip


# --- scores --------------------------------------------------------------------------------------


def calibration_error(proba: np.ndarray, right: np.ndarray) -> float:
    """Mean distance of confidence and accuracy over ten bins of confidence (Guo et al., 2017)."""
    confidence = proba.max(1)
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [abs(confidence[bins == b].mean() - right[bins == b].mean()) * np.mean(bins == b)
            for b in np.unique(bins)]  # fmt: skip
    return float(sum(gaps))


def score(model, X, y, train, test, **params: Any) -> list:
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classes with two windows, in scikit-learn's calibration
        model.fit(X[train], y[train], **params)
        fitted = time.perf_counter()
        proba = model.predict_proba(X[test])
    ended = time.perf_counter()
    classes = model.classes_
    guessed = classes[proba.argmax(1)]
    loss = log_loss(y[test], proba.clip(1e-9), labels=classes)
    numbers = [
        accuracy_score(y[test], guessed),
        f1_score(y[test], guessed, average="macro"),
        loss,
        calibration_error(proba, guessed == y[test]),
    ]
    times = [round(fitted - start, 3), round(ended - fitted, 3)]
    return [len(train), len(test), *(round(float(n), 4) for n in numbers), *times]


def run(path: Path, folder: Path | None, chosen, models, fractions, n_folds: int) -> None:
    done = {tuple(row[c] for c in COLUMNS[:4]) for row in read([path])} if path.exists() else set()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if not done and not path.stat().st_size:
            writer.writerow(COLUMNS)
        for name, (X, y, groups, sfreq) in read_sets(folder).items():
            if chosen and name not in chosen:
                continue
            labels, counts = np.unique(y, return_counts=True)
            kept = np.isin(y, labels[counts >= FEWEST_OF_A_CLASS])
            X, y, groups = X[kept], y[kept], None if groups is None else groups[kept]
            for fold, fraction, train, test in draws(y, groups, fractions, n_folds):
                for model in models:
                    key = (name, model, str(fold), str(fraction))
                    if key in done:
                        continue
                    params = {}
                    if model == "default, people known" and groups is not None:
                        params["citrusclassifier__groups"] = groups[train]
                    made = MODELS[model](fold, sfreq)
                    writer.writerow([*key, *score(made, X, y, train, test, **params)])
                    file.flush()
                    os.fsync(file.fileno())
            print(f"{name}: done", flush=True)


# --- tables --------------------------------------------------------------------------------------


def read(paths) -> list[dict[str, str]]:
    rows = []
    for path in paths:
        with Path(path).open(newline="") as file:
            rows += list(csv.DictReader(file))
    return rows


def by_set(rows, metric: str) -> dict[tuple[str, float], dict[str, dict[str, float]]]:
    """Mean over folds: model and fraction, then set."""
    found: dict = defaultdict(lambda: defaultdict(list))
    for row in rows:
        found[row["model"], float(row["fraction"])][row["set"]].append(float(row[metric]))
    return {key: {s: float(np.mean(v)) for s, v in sets.items()} for key, sets in found.items()}


def print_table(rows, metric: str) -> None:
    means = by_set(rows, metric)
    fractions = sorted({fraction for _, fraction in means})
    models = list(dict.fromkeys(row["model"] for row in rows))
    print_head(f"{metric}, mean over sets", fractions)
    for model in models:
        cells = []
        for fraction in fractions:
            values = means.get((model, fraction), {})
            # A mean over other sets than the neighbours' would mislead.
            whole = len(values) == max(len(means.get((m, fraction), {})) for m in models)
            cells.append(f"{np.mean(list(values.values())):.3f}" if values and whole else "")
        print(f"| {model} | " + " | ".join(cells) + " |")


def print_each(rows, metric: str) -> None:
    means = by_set(rows, metric)
    fractions = sorted({fraction for _, fraction in means})
    print_head(f"{metric}: set, model", fractions)
    for name in sorted({row["set"] for row in rows}):
        for model in dict.fromkeys(row["model"] for row in rows):
            values = [means.get((model, fraction), {}).get(name) for fraction in fractions]
            cells = ["" if value is None else f"{value:.3f}" for value in values]
            print(f"| {name}, {model} | " + " | ".join(cells) + " |")


def print_head(title: str, fractions) -> None:
    print(f"\n| {title} | " + " | ".join(f"{f:.0%}" for f in fractions) + " |")
    print("|---|" + "---|" * len(fractions))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sets", type=Path, metavar="FOLDER")
    parser.add_argument("--only", nargs="+", metavar="SET", help="names of sets; default all")
    parser.add_argument("--models", nargs="+", choices=MODELS, metavar="NAME")
    parser.add_argument("--fractions", type=float, nargs="+", default=FRACTIONS)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--csv", type=Path, default=Path("lowdata.csv"))
    parser.add_argument("--table", type=Path, nargs="+", metavar="CSV")
    parser.add_argument("--each", choices=METRICS, help="with --table: set by set")
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    if arguments.list:
        print(*MODELS, sep="\n")
    elif arguments.table:
        rows = read(arguments.table)
        rows = [row for row in rows if row["model"] in (arguments.models or MODELS)]
        for metric in [arguments.each] if arguments.each else METRICS:
            (print_each if arguments.each else print_table)(rows, metric)
    else:
        run(arguments.csv, arguments.sets, arguments.only, arguments.models or ["default"],
            arguments.fractions, arguments.folds)  # fmt: skip


if __name__ == "__main__":
    main()
