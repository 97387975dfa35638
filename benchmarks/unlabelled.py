"""What windows without a label give beside few that have one, on people who are left out.

    python benchmarks/unlabelled.py --sets FOLDER

The windows are those of ``inner_folds.py``: from the training part of the first fold, with three
inner folds that leave out people where they are known. A share of the inner training windows is
labelled, several times where it is small, and the others have no label:

- ``labels alone``: the default without them;
- ``centres``: they count in the means of the people that the default recentres;
- ``scales``: they count in the thresholds of the random kernels and in the scales of the features;
- ``both``.

On sets with people, the people of the test windows are known. Prints macro-F1 and log loss, and
differences from the labels alone with 95 % intervals over sets and folds; ``--csv`` keeps every
score.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from cells import Row, replace_all
from inner_folds import inner_splits, training_part
from labelled_sets import drawn, has_people, read_sets
from lowdata import scores_of
from paired import gaps, interval, mean_of, values
from paired import scores_of as select
from parts import Part, PartHead, default_network, features_of, parts_of
from tables import as_table

from citrus_sk.training.labelled import NO_LABEL, label_windows
from citrus_sk.training.members import _KERNEL_WINDOWS

SHARES = {0.01: 2, 0.05: 2, 0.2: 2}  # of the labels, and how often each is drawn
ALONE, CENTRES, SCALES, BOTH = WAYS = ("labels alone", "centres", "scales", "both")
KINDS = {"people known": True, "no people": False}
USED = "used"  # share of the fits in which the means of people have unlabelled windows
METRICS = {"macro_f1": "macro-F1", "log_loss": "log loss"}


def all_features(X: np.ndarray, thresholds: np.ndarray, seed: int) -> tuple[torch.Tensor, Part]:
    """Features of all windows, with kernels whose thresholds are those of some."""
    network = default_network(*X.shape[1:], 1)
    picked = np.random.default_rng(seed).permutation(thresholds)[:_KERNEL_WINDOWS]
    with torch.inference_mode():
        network.fit_kernels(torch.from_numpy(X[picked]), seed)
    return features_of(network, X), parts_of(network)["default"]


def rows_of_set(name: str, X, y, people) -> Iterator[Row]:
    known = has_people(y, people)
    X, y, people = training_part(X, y, people)
    for fold, (train, test) in enumerate(inner_splits(y, people)):
        of_all = all_features(X, train, fold)
        for share, n_draws in SHARES.items():
            for draw in range(n_draws):
                few = drawn(y, train, share, fold + 10 * draw)
                cell = {"set": name, "fold": str(fold + 10 * draw), "fraction": str(share),
                        "n_train": str(len(few)), "n_test": str(len(test))}  # fmt: skip
                features = {False: all_features(X, few, fold), True: of_all}
                rows = (train, few, test)
                for way, used, scores in ways(features, X, y, people if known else None, rows):
                    yield cell | {"model": way, "weights": used} | scores


def ways(features: dict, X, y, people, rows) -> Iterator[tuple[str, str, dict]]:
    """Each way with its scores, and 1 if the means of people have unlabelled windows, else 0."""
    train, few, test = rows
    classes, codes = np.unique(y, return_inverse=True)
    codes = np.where(np.isin(np.arange(len(y)), few), codes, NO_LABEL)
    of_train, of_test = (None, None) if people is None else (people[train], people[test])
    labelled = label_windows(X[train], codes[train], classes, groups=of_train)
    for way in (ALONE, SCALES) if people is None else WAYS:
        found, part = features[way in (SCALES, BOTH)]
        known = found[train]
        others = known[labelled.unlabelled.rows] if way in (CENTRES, BOTH) else None
        scaled = known if way in (SCALES, BOTH) else None
        head = PartHead(part, known[labelled.rows], labelled, 0, others=others, scaled=scaled)
        used = "" if head.adaptive is None else str(int(head.adaptive.decision.n_unlabelled > 0))
        proba = head.predict_proba(found[test], of_test)
        yield way, used, scores_of(y[test], classes, proba)


def print_tables(rows: list[Row]) -> None:
    """For each share of the labels, scores of the labels alone, and differences from them."""
    with_people = {row["set"] for row in rows if row["model"] == CENTRES}
    for kind, is_kind in KINDS.items():
        of_kind = [row for row in rows if (row["set"] in with_people) == is_kind]
        if not of_kind:
            continue
        found = [way for way in WAYS if any(row["model"] == way for row in of_kind)]
        lines = [line(of_kind, metric, share, found) for metric in METRICS for share in SHARES]
        n_sets = len({row["set"] for row in of_kind})
        print(f"\n{kind}, {n_sets} sets")
        print(as_table(["score", "labels", *found, *([USED] if CENTRES in found else [])], lines))


def line(rows: list[Row], metric: str, share: float, ways_found: list[str]) -> list[str]:
    alone = select(rows, ALONE, share, metric)
    cells = [METRICS[metric], f"{share:.0%}", f"{mean_of(values(alone)):.3f}"]
    for way in ways_found[1:]:
        gap = gaps(select(rows, way, share, metric), alone)
        limits = interval(gap)
        cells.append(f"{mean_of(gap):+.3f}")
        cells[-1] += "" if limits is None else " [{:+.3f}, {:+.3f}]".format(*limits)
    used = [row["weights"] == "1" for row in rows
            if row["model"] == CENTRES and float(row["fraction"]) == share]  # fmt: skip
    return [*cells, f"{np.mean(used):.0%}"] if used else cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sets", type=Path, metavar="FOLDER")
    parser.add_argument("--only", nargs="+", metavar="SET", help="names of sets; default all")
    parser.add_argument("--csv", type=Path)
    arguments = parser.parse_args()
    rows: list[Row] = []
    for name, (X, y, groups, _) in read_sets(arguments.sets).items():
        if arguments.only is None or name in arguments.only:
            rows += rows_of_set(name, X, y, groups)
            print(f"{name}: done", flush=True)
            if arguments.csv:
                replace_all(arguments.csv, rows)
    print_tables(rows)


if __name__ == "__main__":
    main()
