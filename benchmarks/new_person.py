"""Scores on new people, by the number of their windows, unlabelled and labelled.

    OMP_NUM_THREADS=1 python benchmarks/new_person.py --csv new_person.csv
    OMP_NUM_THREADS=1 python benchmarks/new_person.py --times

The data are the demo's smart-watch recordings, cut into windows that do not overlap: ten people,
five folds of two. Every model is trained on all windows of the other eight people. The first
command prints the tables of docs/guide/new_person.md:

- windows of a new person, drawn at random, are predicted together, about n at a time;
- groups are passed for windows of one exercise only, or of every second exercise;
- k windows of each exercise, drawn at random, are labelled, and the others are predicted;
- two windows of each exercise are labelled: one for each arm, or both for the same arm.

Scores are computed person by person. The intervals are those of Student's t over the ten people.
Rows are written to the file after each model and fold, and rows in the file are not computed again.
The second command prints the time of each step.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, log_loss
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from citrus_sk import CitrusClassifier, CitrusEmbedder, GroupRecenter, SignalAligner
from citrus_sk.datasets import load_watch

N_UNLABELLED, N_LABELLED, N_DRAWS = (1, 2, 5, 10, 20, 40), (1, 2, 5), 2
COLUMNS = ["model", "fold", "person", "case", "macro_f1", "log_loss"]
METRICS = {"macro_f1": "macro-F1", "log_loss": "log loss"}
ALIGNER = SignalAligner(256)  # the length of the windows: a quarter of the default, and quicker


# --- models --------------------------------------------------------------------------------------


class Citrus:
    """The default classifier."""

    def __init__(self, X: np.ndarray, y: np.ndarray, people: np.ndarray) -> None:
        self.X, self.y, self.people = ALIGNER.fit_transform(X), y, people

    def fit(self, train: np.ndarray) -> None:
        self.clf = CitrusClassifier(random_state=0)
        self.clf.fit(self.X[train], self.y[train], groups=self.people[train])

    def predict_proba(self, rows: np.ndarray, groups: np.ndarray | None = None) -> np.ndarray:
        return self.clf.predict_proba(self.X[rows], groups=groups)

    def calibrated(self, few: np.ndarray, rest: np.ndarray, alone: bool = False) -> np.ndarray:
        others = None if alone else self.X[rest]
        personal = self.clf.personalize(self.X[few], self.y[few], X_unlabelled=others)
        return personal.predict_proba(self.X[rest])


class Logistic:
    """A logistic regression on frozen features; labelled windows of a person join the others."""

    recentred = False

    def __init__(self, X: np.ndarray, y: np.ndarray, people: np.ndarray) -> None:
        embed = make_pipeline(ALIGNER, CitrusEmbedder())  # learns nothing
        self.features, self.y, self.people = embed.fit_transform(X), y, people

    def fit(self, train: np.ndarray) -> None:
        self.train = train
        self.recenter = GroupRecenter()
        self.recenter.fit(self.features[train], self.y[train], groups=self.people[train])
        self.model = self._fit_model(self._of(train, self.people[train]), self.y[train])

    def predict_proba(self, rows: np.ndarray, groups: np.ndarray | None = None) -> np.ndarray:
        return self.model.predict_proba(self._of(rows, groups))

    def calibrated(self, few: np.ndarray, rest: np.ndarray) -> np.ndarray:
        rows = np.concatenate([self.train, few, rest])
        features, known = self._of(rows, self.people[rows]), len(self.train) + len(few)
        model = self._fit_model(features[:known], self.y[rows[:known]])
        return model.predict_proba(features[known:])

    def _of(self, rows: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
        groups = groups if self.recentred else None
        return self.recenter.transform(self.features[rows], groups=groups)

    def _fit_model(self, features: np.ndarray, y: np.ndarray) -> Any:
        model = LogisticRegression(C=0.01, tol=1e-3, max_iter=2000)
        return make_pipeline(StandardScaler(), model).fit(features, y)


class RecentredLogistic(Logistic):
    """The same on features from `GroupRecenter`."""

    recentred = True


MODELS: dict[str, Callable[..., Any]] = {
    "CitrusClassifier": Citrus,
    "logistic regression": Logistic,
    "GroupRecenter, logistic regression": RecentredLogistic,
}


# --- scores --------------------------------------------------------------------------------------


def chunks(n_windows: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Number of a chunk for each window: chunks of about `size`, drawn at random."""
    order = rng.permutation(n_windows)
    parts = np.array_split(order, max(1, round(n_windows / size)))
    found = np.empty(n_windows, int)
    for number, part in enumerate(parts):
        found[part] = number
    return found


def calibration_windows(y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Indices of windows to label, of shape (n_classes, largest k): the first k are used."""
    drawn = [rng.permutation(np.flatnonzero(y == label)) for label in np.unique(y)]
    return np.array([each[: max(N_LABELLED)] for each in drawn])


def windows_of_arms(y: np.ndarray, recordings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of two windows of each exercise: one of each arm, and both of the same arm.

    A person has one recording of each exercise with either arm.
    """
    both, same = [], []
    for label in np.unique(y):
        one, other = (np.flatnonzero(recordings == r) for r in np.unique(recordings[y == label]))
        both += [one[0], other[0]]
        same += [one[0], one[1]]
    return np.array(both), np.array(same)


Case = tuple[str, np.ndarray, np.ndarray]  # name, tested windows and their probabilities


def unlabelled_cases(model: Any, y: np.ndarray, rows: np.ndarray, seed: int) -> Iterator[Case]:
    """Windows `rows` of one person, predicted in groups of several kinds."""
    rng, n_windows = np.random.default_rng(seed), len(rows)
    codes = np.unique(y[rows], return_inverse=True)[1]
    groups = {f"unlabelled {n}": chunks(n_windows, n, rng) for n in N_UNLABELLED}
    groups["all windows"] = np.zeros(n_windows, int)
    groups["every second exercise"] = codes % 2
    groups["one exercise"] = codes
    yield "without groups", rows, model.predict_proba(rows)
    for case, of_case in groups.items():
        yield case, rows, model.predict_proba(rows, of_case)


def labelled_cases(
    model: Any, y: np.ndarray, rows: np.ndarray, recordings: np.ndarray, seed: int
) -> Iterator[Case]:
    """The windows `rows` of one person that are not labelled, by those that are."""
    rng = np.random.default_rng(seed)
    for _ in range(N_DRAWS):
        few = calibration_windows(y[rows], rng)
        rest = np.delete(rows, few.ravel())
        yield "labelled none", rest, model.predict_proba(rest)
        yield "labelled 0", rest, model.predict_proba(rest, np.zeros(len(rest), int))
        for k in N_LABELLED:
            labelled = rows[few[:, :k].ravel()]
            yield f"labelled {k}", rest, model.calibrated(labelled, rest)
            if isinstance(model, Citrus):
                yield f"labelled {k} alone", rest, model.calibrated(labelled, rest, alone=True)
    both, same = windows_of_arms(y[rows], recordings[rows])
    rest = np.delete(rows, np.union1d(both, same))
    yield "arms none", rest, model.predict_proba(rest)
    yield "arms both", rest, model.calibrated(rows[both], rest)
    yield "arms same", rest, model.calibrated(rows[same], rest)


def run(path: Path) -> None:
    watch = load_watch(overlap=0)
    classes = np.unique(watch.y)
    done = {(row["model"], row["fold"]) for row in read(path)} if path.exists() else set()
    if not path.exists():
        path.write_text(",".join(COLUMNS) + "\n")
    for name, make in MODELS.items():
        if all((name, str(fold)) in done for fold in range(5)):
            continue
        model = make(watch.X, watch.y, watch.groups)
        for fold, (train, test) in enumerate(GroupKFold(5).split(watch.X, groups=watch.groups)):
            if (name, str(fold)) in done:
                continue
            model.fit(train)
            rows = []
            for person in np.unique(watch.groups[test]):
                of_person = test[watch.groups[test] == person]
                cases = chain(
                    unlabelled_cases(model, watch.y, of_person, int(person)),
                    labelled_cases(model, watch.y, of_person, watch.recordings, int(person)),
                )
                for case, tested, proba in cases:
                    guessed = classes[proba.argmax(1)]
                    f1 = f1_score(watch.y[tested], guessed, labels=classes, average="macro")
                    loss = log_loss(watch.y[tested], proba, labels=classes)
                    rows.append([name, fold, person, case, round(f1, 4), round(loss, 4)])
            with path.open("a", newline="") as file:  # at once, so that no fold is there in part
                csv.writer(file).writerows(rows)
            print(f"{name}, fold {fold}: done", flush=True)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


# --- tables --------------------------------------------------------------------------------------


def of_people(rows: list[dict[str, str]], model: str, case: str, metric: str) -> np.ndarray:
    """Score of each person, in the mean over the draws."""
    of_case = [row for row in rows if (row["model"], row["case"]) == (model, case)]
    people = sorted({row["person"] for row in of_case})
    return np.array(
        [np.mean([float(r[metric]) for r in of_case if r["person"] == p]) for p in people]
    )


def half_width(values: np.ndarray) -> float:
    """Half of the 95 % interval of a mean."""
    return float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))


def print_table(
    rows: list[dict[str, str]], title: str, cases: dict[str, str], base: str, models: list[str]
) -> None:
    """One line for each case: the means, and the changes from the case `base`."""
    heads = [f"{model}: {name}" for model in models for name in METRICS.values()]
    print(f"\n| {title} | " + " | ".join(heads) + " |")
    print("|---|" + "---|" * len(heads))
    for label, case in cases.items():
        cells = []
        for model in models:
            for metric in METRICS:
                values = of_people(rows, model, case, metric)
                change = values - of_people(rows, model, base, metric)
                cells.append(
                    f"{values.mean():.3f} ± {half_width(values):.3f}"
                    if case == base
                    else f"{values.mean():.3f} ({change.mean():+.3f} ± {half_width(change):.3f})"
                )
        print(f"| {label} | " + " | ".join(cells) + " |")


def print_tables(rows: list[dict[str, str]]) -> None:
    citrus, logistic, recentred = MODELS
    alone = {"each by itself": "without groups"}
    together = alone | {f"{n}": f"unlabelled {n}" for n in N_UNLABELLED} | {"all": "all windows"}
    print_table(rows, "windows together", together, "without groups", [citrus, recentred])
    print_table(rows, "without GroupRecenter", alone, "without groups", [logistic])
    covered = ["all windows", "every second exercise", "one exercise"]
    exercises = alone | {case: case for case in covered}
    print_table(rows, "passed as one person", exercises, "without groups", [citrus, recentred])
    labelled = {"nothing": "labelled none", "0": "labelled 0"}
    labelled |= {f"{k}": f"labelled {k}" for k in N_LABELLED}
    print_table(rows, "labels per exercise", labelled, "labelled none", list(MODELS))
    only = {"nothing": "labelled none"} | {f"{k}": f"labelled {k} alone" for k in N_LABELLED}
    print_table(rows, "labels, no other windows", only, "labelled none", [citrus])
    arms = {"nothing": "arms none", "one of each arm": "arms both", "both of one arm": "arms same"}
    print_table(rows, "two labels per exercise", arms, "arms none", list(MODELS))


# --- times ---------------------------------------------------------------------------------------


def print_times() -> None:
    watch = load_watch(overlap=0)
    X, y, people = ALIGNER.fit_transform(watch.X), watch.y, watch.groups
    train, new = people != "10", people == "10"
    few = np.concatenate([np.flatnonzero(new & (y == label))[:2] for label in np.unique(y)])
    clf = CitrusClassifier(random_state=0)

    def seconds(call: Callable[[], Any]) -> tuple[float, Any]:
        start = time.perf_counter()
        result = call()
        return time.perf_counter() - start, result

    print(f"{train.sum()} training windows, {new.sum()} windows of a new person")
    taken, _ = seconds(lambda: clf.fit(X[train], y[train]))
    print(f"fit without groups      {taken:6.1f} s")
    taken, _ = seconds(lambda: clf.fit(X[train], y[train], groups=people[train]))
    print(f"fit with groups         {taken:6.1f} s")
    taken, _ = seconds(lambda: clf.predict_proba(X[new]))
    print(f"predict without groups  {taken:6.1f} s")
    taken, _ = seconds(lambda: clf.predict_proba(X[new], groups=people[new]))
    print(f"predict with groups     {taken:6.1f} s")
    taken, adapted = seconds(lambda: clf.adapt(X[new]))
    print(f"adapt                   {taken:6.1f} s")
    taken, _ = seconds(lambda: adapted.predict_proba(X[new]))
    print(f"predict once adapted    {taken:6.1f} s")
    taken, _ = seconds(lambda: clf.personalize(X[few], y[few]))
    print(f"personalize, {len(few)} windows {taken:6.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--csv", type=Path, default=Path("new_person.csv"))
    parser.add_argument("--times", action="store_true", help="print the time of each step instead")
    arguments = parser.parse_args()
    if arguments.times:
        print_times()
    else:
        run(arguments.csv)
        print_tables(read(arguments.csv))


if __name__ == "__main__":
    main()
