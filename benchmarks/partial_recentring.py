"""How much to recentre people where few labels say whether they have the same classes.

    python benchmarks/partial_recentring.py --sets FOLDER

Every set with groups is scored as it is, and where people have several classes also with half of
the classes of each person (at least two) and with one, drawn several times. The windows are those
of ``inner_folds.py``, three inner folds leave out people, and few labels are drawn several times.
Prints macro-F1 and log loss without recentring, with ``adaptation="auto"`` and with
``adaptation="recenter"``, the mean weight of ``"auto"``, and the set whose macro-F1 it lowers most.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from inner_folds import inner_splits, training_part
from labelled_sets import drawn, has_people, read_sets
from parts import PartHead, default_network, features_of, parts_of
from sklearn.metrics import f1_score, log_loss
from tables import as_table

from citrus_sk.nn import CitrusNetwork
from citrus_sk.training.labelled import label_windows
from citrus_sk.training.members import _KERNEL_WINDOWS

SHARES = {0.01: 3, 0.05: 3, 0.2: 1}  # of the labels, and how often each is drawn
WAYS = ("never", "auto", "always")
DESIGNS = ("all classes", "half of the classes", "one class")
N_CHANGED = 4  # draws of the classes that each person keeps
ROUNDING = 1e-9


def designs(y: np.ndarray, people: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Rows of the whole set, and of the same people with fewer classes each."""
    everyone, several = np.arange(len(y)), has_people(y, people)
    yield DESIGNS[0] if several else DESIGNS[2], everyone
    if several:
        rng, classes = np.random.default_rng(5), np.unique(y)
        half = max(2, len(classes) // 2)
        for name, n in N_CHANGED * [(DESIGNS[1], half), (DESIGNS[2], 1)]:
            if n < len(classes):
                kept = [(people == person) & np.isin(y, rng.permutation(classes)[:n])
                        for person in np.unique(people)]  # fmt: skip
                yield name, np.flatnonzero(np.any(kept, axis=0))


def all_features(X: np.ndarray) -> tuple[torch.Tensor, CitrusNetwork]:
    network = default_network(*X.shape[1:], 1)
    with torch.inference_mode():
        network.fit_kernels(torch.from_numpy(X[:_KERNEL_WINDOWS]), 0)
    return features_of(network, X), network


def scored(features, network, X, y, people) -> Iterator[tuple[float, dict[str, tuple], float]]:
    """Share of the labels, scores of each way, and the weight of ``"auto"``."""
    classes, codes = np.unique(y, return_inverse=True)
    part = parts_of(network)["default"]
    for fold, (train, test) in enumerate(inner_splits(y, people)):
        for share, n_draws in SHARES.items():
            for draw in range(n_draws):
                few = drawn(y, train, share, fold + 10 * draw)
                labelled = label_windows(X[few], codes[few], classes, groups=people[few])
                auto, always = (
                    PartHead(part, features[few][labelled.rows], labelled, fold, always=each)
                    for each in (False, True)
                )
                weight, found = auto.adaptive.decision.share, {}
                ways = ((auto, None), (auto, people[test]), (always, people[test]))
                for way, (head, known) in zip(WAYS, ways, strict=True):
                    proba = head.predict_proba(features[test], known).clip(ROUNDING)
                    found[way] = (
                        f1_score(codes[test], proba.argmax(1), average="macro"),
                        log_loss(codes[test], proba, labels=np.arange(len(classes))),
                    )
                yield share, found, weight


def print_table(rows: list[tuple]) -> None:
    """Means over sets for each design and share, and the set that loses most by ``"auto"``."""
    columns = [f"{metric}, {way}" for metric in ("macro-F1", "log loss") for way in WAYS]
    titles = ["each person has", "labels", "sets", *columns, "weight", "worst set"]
    lines = []
    for design in DESIGNS:
        for share in SHARES:
            found: dict[str, list] = {}
            for name, *key, scores, weight in rows:
                if key == [design, share]:
                    of_ways = np.array([scores[way] for way in WAYS]).T.ravel()
                    found.setdefault(name, []).append([*of_ways, weight])
            of_sets = {name: np.mean(each, axis=0) for name, each in found.items()}
            gaps = {name: 100 * (means[1] - means[0]) for name, means in of_sets.items()}
            worst = min(gaps, key=gaps.__getitem__)
            *scores, weight = np.mean(list(of_sets.values()), axis=0)
            cells = [design, f"{share:.0%}", str(len(of_sets)), *(f"{each:.3f}" for each in scores)]
            lines.append([*cells, f"{weight:.2f}", f"{gaps[worst]:+.1f} ({worst})"])
    print(as_table(titles, lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sets", type=Path, metavar="FOLDER")
    parser.add_argument("--only", nargs="+", metavar="SET", help="names of sets; default all")
    options = parser.parse_args()
    rows = []
    for name, (X, y, people, _) in read_sets(options.sets).items():
        if people is None or (options.only and name not in options.only):
            continue
        X, y, people = training_part(X, y, people)
        features, network = all_features(X)
        for design, kept in designs(y, people):
            part = (features[kept], network, X[kept], y[kept], people[kept])
            rows += [(name, design, *each) for each in scored(*part)]
        print(f"{name}: done", flush=True)
    print_table(rows)


if __name__ == "__main__":
    main()
