"""Scores of predictions for windows that lack channels, with several ways to fill them.

    python benchmarks/missing_channels.py --sets FOLDER --only roshambo ucihar innopolis_eeg

At most 400 windows are drawn from the training part of the first fold of each set, with several
channels and people; test folds are not used. Three inner folds leave out people. Channels are drawn
twice for each fold, one of them and half of them, and the windows of left-out people lack them:

- ``all channels``: nothing is missing;
- ``fitted without``: another classifier, fitted without these channels;
- ``ignored``: `CitrusClassifier.without_channels`;
- ``mean of others``: the missing channels are the mean of the others;
- ``zeros``: the missing channels are zero.

Windows keep their lengths, without an aligner, which makes it faster. Prints means over folds and
draws. Without ``--sets``, the set is the smart-watch recordings.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from inner_folds import inner_splits
from labelled_sets import drawn, has_people, read_sets, splits
from lowdata import scores_of

from citrus_sk import CitrusClassifier

MOST = 400
WAYS = ("all channels", "fitted without", "ignored", "mean of others", "zeros")


def training_part(X, y, groups) -> tuple:
    train, _ = splits(y, groups, 1)[0]
    if len(train) > MOST:
        train = drawn(y, train, MOST / len(train), 0)
    return X[train], y[train], groups[train]


def missing(n_chans: int, fold: int) -> Iterator[np.ndarray]:
    """Draws of one channel and of half of them, of which no two are equal."""
    rng = np.random.default_rng(fold)
    for n in sorted({1, n_chans // 2}):
        order = rng.permutation(n_chans)
        yield from (np.sort(order[:n]), np.sort(order[-n:]))


def filled(X: np.ndarray, absent: np.ndarray, way: str) -> np.ndarray:
    X, others = X.copy(), np.setdiff1d(np.arange(X.shape[1]), absent)
    X[:, absent] = X[:, others].mean(1, keepdims=True) if way == "mean of others" else 0
    return X


def probabilities(clf, absent, X, y, groups, train, test) -> Iterator[tuple[str, np.ndarray]]:
    others = np.setdiff1d(np.arange(X.shape[1]), absent)
    few = CitrusClassifier(random_state=0).fit(X[train][:, others], y[train], groups=groups[train])
    yield "fitted without", few.predict_proba(X[test][:, others])
    yield "ignored", clf.without_channels(absent).predict_proba(X[test])
    for way in WAYS[3:]:
        yield way, clf.predict_proba(filled(X[test], absent, way))


def scores_of_set(X, y, groups) -> dict[tuple[int, str], list[dict[str, str]]]:
    """Scores of each fold and draw, by the number of missing channels and the way."""
    X, y, groups = training_part(X, y, groups)
    found = defaultdict(list)
    for fold, (train, test) in enumerate(inner_splits(y, groups)):
        clf = CitrusClassifier(random_state=0).fit(X[train], y[train], groups=groups[train])
        complete = scores_of(y[test], clf.classes_, clf.predict_proba(X[test]))
        for absent in missing(X.shape[1], fold):
            found[len(absent), WAYS[0]].append(complete)
            for way, proba in probabilities(clf, absent, X, y, groups, train, test):
                found[len(absent), way].append(scores_of(y[test], clf.classes_, proba))
    return found


def row(name: str, n_missing: str, scores: dict[str, list[dict[str, str]]]) -> str:
    cells = []
    for way in WAYS:
        f1, loss = (
            np.mean([float(each[key]) for each in scores[way]]) for key in ("macro_f1", "log_loss")
        )
        cells.append(f"{f1:.3f} / {loss:.2f}")
    return f"| {' | '.join([name, n_missing, *cells])} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sets", type=Path, metavar="FOLDER")
    parser.add_argument("--only", nargs="+", metavar="SET", help="names of sets; default all")
    arguments = parser.parse_args()
    print("macro-F1 / log loss\n")
    print(f"| {' | '.join(['set', 'missing', *WAYS])} |\n" + "|---" * (2 + len(WAYS)) + "|")
    for name, (X, y, groups, _) in read_sets(arguments.sets).items():
        chosen = arguments.only is None or name in arguments.only
        if not chosen or X.shape[1] < 2 or not has_people(y, groups):
            continue
        found = scores_of_set(X, y, groups)
        for n in sorted({n for n, _ in found}):
            scores = {way: found[n, way] for way in WAYS}
            print(row(name, f"{n} of {X.shape[1]}", scores), flush=True)


if __name__ == "__main__":
    main()
