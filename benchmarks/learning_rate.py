"""Whether a learning-rate range test chooses better than the default of 1e-3.

    OMP_NUM_THREADS=1 python benchmarks/learning_rate.py --sets FOLDER --only uwave roshambo

For each set, training and test windows are drawn from the training people of the first fold alone:
nothing is chosen on a test fold. Prints log loss and macro-F1 of fine-tuning at each rate of a
grid, what two rules suggest (where the running mean falls steepest; a tenth of where it is lowest),
and, over all cases, the scores at the default, at the rate of the grid that is nearest to each
suggestion, and at the best one of the grid, which nobody knows beforehand.

--sets is a folder of ``.npz`` files as in pretraining.py, beside which the demo's smart-watch
recordings always are one.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from pathlib import Path

import numpy as np
from labelled_sets import read_sets, splits
from sklearn.metrics import f1_score, log_loss

from citrus_sk import CitrusClassifier, SignalAligner
from citrus_sk.inspection.learning_rate import find_learning_rate

GRID = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
DEFAULT = 1e-3
STRATEGIES = ("finetune", "probe-then-finetune")


def inner_windows(X, y, groups, n_train: int, n_test: int, seed: int):
    """Training and test windows out of the training part of the first fold, by person."""
    outer = splits(y, groups, 1)[0][0]
    train, test = splits(y[outer], None if groups is None else groups[outer], 1 + seed)[seed]
    return outer[drawn(y[outer], train, n_train, seed)], outer[drawn(y[outer], test, n_test, seed)]


def drawn(y, rows, number: int, seed: int):
    """About `number` of `rows`, the same of each class, as far as there are."""
    rng, classes = np.random.default_rng(seed), np.unique(y[rows])
    each = max(2, number // len(classes))
    return np.concatenate([rng.permutation(rows[y[rows] == label])[:each] for label in classes])


def nearest(rate: float) -> float:
    return min(GRID, key=lambda each: abs(np.log(each / rate)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=Path)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--windows", type=int, default=60)
    parser.add_argument("--epochs", type=int, help="the classifier's own choice without it")
    parser.add_argument("--n-times", type=int, default=128)
    parser.add_argument("--strategies", nargs="+", default=STRATEGIES, choices=STRATEGIES)
    parser.add_argument("--csv", type=Path)
    args = parser.parse_args()
    sets = read_sets(None) | (read_sets(args.sets) if args.sets else {})
    if args.only:
        sets = {name: sets[name] for name in args.only}
    rows = []
    for name, (X, y, groups, _) in sets.items():
        for seed in range(args.seeds):
            train, test = inner_windows(X, y, groups, args.windows, 150, seed)
            aligned = {
                "train": SignalAligner(args.n_times).fit_transform(X[train]),
                "test": SignalAligner(args.n_times).fit_transform(X[test]),
            }
            for strategy in args.strategies:
                epochs = args.epochs or "auto"
                rows.append(case(name, seed, strategy, aligned, y[train], y[test], epochs))
                print_case(rows[-1])
    print_means(rows)
    if args.csv:
        with args.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def case(name, seed, strategy, aligned, y_train, y_test, epochs) -> dict:
    """Scores at every rate of the grid, and what the rules suggest."""
    begin = time.perf_counter()
    clf = CitrusClassifier(
        strategy=strategy, random_kernels=False, max_epochs=epochs, early_stopping=False,
        random_state=seed,
    )  # fmt: skip
    shown = find_learning_rate(clf, aligned["train"], y_train)
    row = {"set": name, "seed": seed, "strategy": strategy, "n": len(y_train)}
    row |= {"steepest": shown.suggestion, "lowest/10": shown.rates[shown.smoothed.argmin()] / 10}
    for rate in GRID:
        clf.set_params(learning_rate=rate).fit(aligned["train"], y_train)
        proba = clf.predict_proba(aligned["test"])
        row[f"log loss {rate:g}"] = log_loss(y_test, proba, labels=clf.classes_)
        best = clf.classes_[proba.argmax(1)]
        row[f"F1 {rate:g}"] = f1_score(y_test, best, average="macro")
    return row | {"seconds": time.perf_counter() - begin}


def print_case(row: dict) -> None:
    losses = "  ".join(f"{rate:g}: {row[f'log loss {rate:g}']:.2f}" for rate in GRID)
    print(
        f"{row['set']:<16} {row['strategy']:<20} n {row['n']:<4} steepest {row['steepest']:.1e}  "
        f"lowest/10 {row['lowest/10']:.1e}  log loss at {losses}  ({row['seconds']:.0f} s)",
        flush=True,
    )


def print_means(rows: list[dict]) -> None:
    print(f"\n{'strategy':<20} {'rate':<18} {'log loss':>8} {'macro-F1':>9}  beside the default")
    for strategy in sorted({row["strategy"] for row in rows}):
        own = [row for row in rows if row["strategy"] == strategy]
        choices = {f"{rate:g}": [rate] * len(own) for rate in GRID}
        choices |= {k: [nearest(row[k]) for row in own] for k in ("steepest", "lowest/10")}
        choices["best of the grid"] = [
            min(GRID, key=lambda rate, row=row: row[f"log loss {rate:g}"]) for row in own
        ]
        before = np.array([row[f"log loss {DEFAULT:g}"] for row in own])
        for label, rates in choices.items():
            pairs = list(zip(own, rates, strict=True))
            losses = np.array([row[f"log loss {rate:g}"] for row, rate in pairs])
            scores = np.array([row[f"F1 {rate:g}"] for row, rate in pairs])
            print(
                f"{strategy:<20} {label:<18} {losses.mean():>8.3f} {scores.mean():>9.3f}  better "
                f"in {(losses < before).sum()}, worse in {(losses > before).sum()} of {len(own)}"
            )


if __name__ == "__main__":
    sys.exit(main())
