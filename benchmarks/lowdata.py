"""Scores with few labels: the default, its parts, other settings, and common alternatives.

    python benchmarks/lowdata.py --sets FOLDER --jobs 2 --csv benchmarks/results/lowdata.csv
    python benchmarks/lowdata.py --sets FOLDER --jobs 2 --models minirocket --csv peers.csv
    python benchmarks/lowdata.py --import peers.csv --csv benchmarks/results/lowdata.csv
    python benchmarks/tables.py

A row is written for each set, model, fold and fraction. Rows that are in the file are not run
again, so a run that was stopped goes on when the command is repeated. A row of other pre-trained
weights than the present ones is stale: a run removes it and scores its cell again. --list prints
the models, and --plan what would be run.

--jobs N runs N processes of one thread each, the longest cells first. One process writes the file,
and a run that is killed loses the cells that it was working on. Only one run at a time may write to
a file; --import takes the rows of another one.

The models of `parts.SHARED` share the features of a cell. --alone fits each of them by itself
instead, with the same scores, and then the columns of seconds are filled for them too. "People
known" models get the person of each training and test window, and are run on the sets of several
people with several classes each.

Sets and draws are those of ``labelled_sets.py``; classes with fewer than ten windows are left out.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
from cells import METRICS, Row, append, key_of, read, replace_all
from labelled_sets import N_FOLDS, draws, has_people, read_set, read_sets, splits_by_group
from lowdata_models import MODELS, weights_of
from parts import KNOWN, SHARED, SharedFeatures
from sklearn.metrics import accuracy_score, f1_score, log_loss

FRACTIONS = (0.01, 0.02, 0.05, 0.2, 1.0)
FEWEST_OF_A_CLASS, BINS = 10, 10
THREADS = ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "NUMBA")


# --- scores --------------------------------------------------------------------------------------


def calibration_error(proba: np.ndarray, right: np.ndarray) -> float:
    """Mean distance of confidence and accuracy over ten bins of confidence (Guo et al., 2017)."""
    confidence = proba.max(1)
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [abs(confidence[bins == b].mean() - right[bins == b].mean()) * np.mean(bins == b)
            for b in np.unique(bins)]  # fmt: skip
    return float(sum(gaps))


def scores_of(y: np.ndarray, classes: np.ndarray, proba: np.ndarray) -> dict[str, str]:
    guessed = classes[proba.argmax(1)]
    numbers = (
        accuracy_score(y, guessed),
        f1_score(y, guessed, average="macro"),
        log_loss(y, proba.clip(1e-9), labels=classes),
        calibration_error(proba, guessed == y),
    )
    return dict(zip(METRICS, map(rounded, numbers), strict=True))


def rounded(number: float) -> str:
    """Four decimals, or one digit of a positive number that they would make zero."""
    return f"{number:.4f}" if not 0 < number < 5e-5 else f"{number:.0e}"


def score_alone(model: Any, X, y, train, test, people=None) -> dict[str, str]:
    """Scores and seconds of an estimator."""
    to_fit = to_predict = {}
    X_train, X_test = X[train], X[test]
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classes with two windows, in scikit-learn's calibration
        if people is not None:  # a pipeline takes no groups to predict
            to_fit, to_predict = {"groups": people[train]}, {"groups": people[test]}
            aligner, model = model[:-1].fit(X_train), model[-1]
            X_train, X_test = aligner.transform(X_train), aligner.transform(X_test)
        model.fit(X_train, y[train], **to_fit)
        fitted = time.perf_counter()
        proba = model.predict_proba(X_test, **to_predict)
    seconds = {"fit_s": fitted - start, "predict_s": time.perf_counter() - fitted}
    scores = scores_of(y[test], model.classes_, proba)
    return scores | {name: f"{value:.3f}" for name, value in seconds.items()}


def score_shared(models, X, y, train, test, people, seed: int) -> Iterator[dict[str, str]]:
    """Scores of the default and its parts, from features that are computed once."""
    features = SharedFeatures(X[train], y[train], X[test], seed)
    for model in models:
        known = (people[train], people[test]) if model.endswith(KNOWN) else None
        proba = features.predict_proba(model.removesuffix(KNOWN), known)
        yield scores_of(y[test], features.classes, proba) | {"fit_s": "", "predict_s": ""}


# --- tasks ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """Training windows of a set and a fold, and the models that are run on them together.

    `fractions` are all those at which the training windows are these: small sets have as few
    windows at 1 % as at 2 %, and large ones reach the most that are trained on before 100 %.
    """

    set: str
    fold: int
    fractions: tuple[float, ...]
    models: tuple[str, ...]
    cost: float


@cache
def usable(folder: Path | None, name: str) -> tuple:
    """A set without its rarest classes."""
    X, y, groups, sfreq = (
        read_sets(None)[name] if folder is None else read_set(folder / f"{name}.npz")
    )
    labels, counts = np.unique(y, return_counts=True)
    kept = np.isin(y, labels[counts >= FEWEST_OF_A_CLASS])
    return X[kept], y[kept], None if groups is None else groups[kept], sfreq


def plan(folder, chosen, models, fractions, n_folds: int, done: set, *, alone=False) -> list[Task]:
    """Tasks with a cell that is not done, the longest first."""
    names = read_sets(None) if folder is None else [path.stem for path in folder.glob("*.npz")]
    tasks = []
    for name in sorted(chosen or names):
        X, y, groups, _ = usable(folder, name)
        with_people = has_people(y, groups) and splits_by_group(y, groups)
        possible = [model for model in models if with_people or not model.endswith(KNOWN)]
        for (fold, *_), cases in same_draws(draws(y, groups, fractions, n_folds)).items():
            n_windows = len(cases[0][2]) + len(cases[0][3])
            for together in bundles(possible, alone=alone):
                missing = [(f, m) for _, f, _, _ in cases for m in together
                           if (name, m, fold, f) not in done]  # fmt: skip
                if missing:
                    found, wanted = (
                        tuple(dict.fromkeys(each)) for each in zip(*missing, strict=True)
                    )
                    cost = n_windows * (1 + X.shape[1] / 4) * max(map(relative_cost, wanted))
                    tasks.append(Task(name, fold, found, wanted, cost))
    return sorted(tasks, key=lambda task: -task.cost)


def same_draws(cases: list[tuple]) -> dict[tuple, list[tuple]]:
    found: dict[tuple, list[tuple]] = {}
    for case in cases:
        fold, _, train, _ = case
        found.setdefault((fold, train.tobytes()), []).append(case)
    return found


def bundles(models: list[str], *, alone: bool) -> list[list[str]]:
    """Models that share the features of a cell, and each of the others by itself."""
    shared = [] if alone else [model for model in models if model in SHARED]
    return ([shared] if shared else []) + [[model] for model in models if model not in shared]


def relative_cost(model: str) -> float:
    """Rough time of a model in units of the default's, for the order of the tasks alone."""
    if model.startswith("finetuned"):
        return 40.0
    return 0.2 if model.startswith("minirocket") else 1.0


def run_task(folder: Path | None, task: Task) -> list[Row]:
    X, y, groups, sfreq = usable(folder, task.set)
    cases = draws(y, groups, task.fractions[:1], task.fold + 1)
    (train, test) = next((train, test) for fold, _, train, test in cases if fold == task.fold)
    if task.models[0] in SHARED and len(task.models) > 1:
        found = list(score_shared(task.models, X, y, train, test, groups, task.fold))
    else:
        found = [
            score_alone(MODELS[model](task.fold, sfreq), X, y, train, test,
                        groups if model.endswith(KNOWN) else None)
            for model in task.models
        ]  # fmt: skip
    return [
        {"set": task.set, "model": model, "fold": str(task.fold), "fraction": str(fraction),
         "weights": weights_of(model), "n_train": str(len(train)), "n_test": str(len(test)),
         **scores}
        for model, scores in zip(task.models, found, strict=True) for fraction in task.fractions
    ]  # fmt: skip


# --- runs ----------------------------------------------------------------------------------------


def is_stale(row: Row) -> bool:
    return row["model"] in MODELS and row["weights"] != weights_of(row["model"])


def kept_rows(path: Path, models) -> list[Row]:
    """Rows of the file but for stale ones of the models that are run."""
    rows = read([path]) if path.exists() else []
    kept = [row for row in rows if row["model"] not in models or not is_stale(row)]
    if len(kept) < len(rows):
        print(f"{len(rows) - len(kept)} rows of other weights are scored again")
    return kept


def run(
    path: Path, folder: Path | None, chosen, models, fractions=FRACTIONS, n_folds: int = N_FOLDS,
    n_jobs: int = 1, *, alone: bool = False,
) -> None:  # fmt: skip
    rows = kept_rows(path, models)
    tasks = plan(folder, chosen, models, fractions, n_folds, set(map(key_of, rows)), alone=alone)
    replace_all(path, rows)
    failed = []
    start, total, ran = time.perf_counter(), sum(task.cost for task in tasks), 0.0
    for number, (task, found) in enumerate(results(folder, tasks, n_jobs), 1):
        ran += task.cost
        seconds = time.perf_counter() - start
        if isinstance(found, BaseException):
            failed.append(f"{task}: {found!r}")
        else:
            append(path, found)
        print(f"{number} of {len(tasks)}: {task.set}, fold {task.fold}, {task.fractions[0]:.0%}, "
              f"{task.models[0]}; {seconds:.0f} s, about {seconds * (total / ran - 1):.0f} s left",
              flush=True)  # fmt: skip
    replace_all(path, read([path]))
    if failed:
        raise SystemExit("These cells failed; the others are written:\n" + "\n".join(failed))


def attempt(folder: Path | None, task: Task) -> list[Row] | Exception:
    try:
        return run_task(folder, task)
    except Exception as error:  # noqa: BLE001  whatever it is, the other cells can be run
        return error


def results(folder, tasks: list[Task], n_jobs: int) -> Iterator[tuple[Task, Any]]:
    """Each task with its rows, or with its exception, as soon as it is done."""
    if n_jobs == 1:
        for task in tasks:
            yield task, attempt(folder, task)
        return
    processes = multiprocessing.get_context("spawn")
    with one_thread(), ProcessPoolExecutor(n_jobs, processes, end_with_parent) as pool:
        waiting: dict[Future, Task] = {pool.submit(attempt, folder, t): t for t in tasks}
        try:
            while waiting:
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    task = waiting.pop(future)
                    yield task, future.exception() or future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def end_with_parent() -> None:
    """End this process when the one that started it is killed."""

    def watch() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    Thread(target=watch, daemon=True).start()


@contextmanager
def one_thread() -> Iterator[None]:
    """An environment in which a new process has one thread, so that N processes need N cores."""
    before = dict(os.environ)
    os.environ.update({f"{name}_NUM_THREADS": "1" for name in THREADS})
    try:
        yield
    finally:
        for name in THREADS:
            os.environ.pop(f"{name}_NUM_THREADS")
        os.environ.update(before)


def import_rows(path: Path, others: list[Path]) -> None:
    """Add rows of other files; a row of a cell that is there already takes its place."""
    before = read([path]) if path.exists() else []
    new = read(others)
    replace_all(path, list({key_of(row): row for row in before + new}.values()))
    print(f"{len(new)} rows read, {len(read([path])) - len(before)} of them of further cells")


def print_plan(tasks: list[Task]) -> None:
    total = sum(task.cost for task in tasks)
    for task in tasks:
        print(f"{task.cost / total:.2%} {task.set}, fold {task.fold}, {task.fractions}: "
              + "; ".join(task.models))  # fmt: skip
    print(f"{sum(len(task.models) * len(task.fractions) for task in tasks)} cells")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sets", type=Path, metavar="FOLDER")
    parser.add_argument("--only", nargs="+", metavar="SET", help="names of sets; default all")
    parser.add_argument("--models", nargs="+", choices=MODELS, metavar="NAME", default=SHARED)
    parser.add_argument("--fractions", type=float, nargs="+", default=FRACTIONS)
    parser.add_argument("--folds", type=int, default=N_FOLDS)
    parser.add_argument("--jobs", type=int, default=1, metavar="N")
    parser.add_argument("--alone", action="store_true", help="share no features between models")
    parser.add_argument("--csv", type=Path, default=Path("lowdata.csv"))
    parser.add_argument("--import", type=Path, nargs="+", dest="others", metavar="CSV")
    parser.add_argument("--plan", action="store_true")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    call = (options.sets, options.only, options.models, options.fractions, options.folds)
    if options.list:
        print(*MODELS, sep="\n")
    elif options.others:
        import_rows(options.csv, options.others)
    elif options.plan:
        done = set(map(key_of, kept_rows(options.csv, options.models)))
        print_plan(plan(*call, done, alone=options.alone))
    else:
        run(options.csv, *call, options.jobs, alone=options.alone)


if __name__ == "__main__":
    main()
