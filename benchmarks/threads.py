"""Time of fit and predict by the number of threads, on free and on busy cores.

    python benchmarks/threads.py

Prints the seconds with 1 thread and with as many threads as there are cores, their ratio, and
whether the outputs have the same bits. Then, another process keeps one core busy, and the same is
measured again. The windows are smart-watch recordings. The numbers of threads are measured by
turns; a ratio is the median of the ratios of successive turns.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch

from citrus_sk import CitrusClassifier, SignalAligner
from citrus_sk.datasets import load_watch

FINE_TUNED = {"strategy": "finetune", "max_epochs": 2, "early_stopping": False}


def fit(X: Any, y: Any, **parameters: Any) -> np.ndarray:
    model = CitrusClassifier(device="cpu", random_state=0, **parameters).fit(X, y)
    return np.asarray(model.net_.module_.head.linear.weight.detach())


def tasks(n_windows: int) -> dict[str, Callable[[], np.ndarray]]:
    """What is timed: functions without parameters that return what they computed."""
    watch = load_watch()
    picked = np.random.default_rng(0).permutation(len(watch.y))[:n_windows]
    X, y = SignalAligner().fit_transform(watch.X[picked, :3]), watch.y[picked]
    model = CitrusClassifier(device="cpu", random_state=0).fit(X, y)
    few = slice(n_windows // 4)
    return {
        f"fit of {n_windows} windows": partial(fit, X, y),
        f"fine-tuning, {n_windows // 4} windows, 2 epochs": partial(
            fit, X[few], y[few], **FINE_TUNED
        ),
        f"predict of {n_windows} windows": partial(model.predict_proba, X),
        "predict of 1 window": partial(model.predict_proba, X[:1]),
    }


def timed(task: Callable[[], np.ndarray], n_threads: int) -> tuple[float, np.ndarray]:
    torch.set_num_threads(n_threads)
    start = time.perf_counter()
    found = task()
    return time.perf_counter() - start, found


def row(name: str, task: Callable[[], np.ndarray], n_cores: int, repeats: int) -> str:
    """A row of the table: seconds with one thread and with several, and their ratio."""
    task()
    turns = [(timed(task, 1), timed(task, n_cores)) for _ in range(repeats)]
    one, several = (median(turn[i][0] for turn in turns) for i in (0, 1))
    ratio = median(first[0] / second[0] for first, second in turns)
    same = all(np.array_equal(first[1], second[1]) for first, second in turns)
    return f"{name} | {one:.3f} | {several:.3f} | {ratio:.2f} | {'yes' if same else 'no'}"


def keep_busy() -> None:
    while True:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--windows", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    n_cores = os.cpu_count() or 1
    measured = tasks(arguments.windows)
    print(f"| busy cores | | 1 thread, s | {n_cores} threads, s | ratio | same bits |")
    print("|---|---|---|---|---|---|")
    for n_busy in (0, 1):
        others = [multiprocessing.Process(target=keep_busy, daemon=True) for _ in range(n_busy)]
        for other in others:
            other.start()
        for name, task in measured.items():
            print(f"| {n_busy} | {row(name, task, n_cores, arguments.repeats)} |", flush=True)
        for other in others:
            other.kill()


if __name__ == "__main__":
    main()
