"""Fits and predictions again under other conditions, compared with the first ones bit by bit.

    python benchmarks/reliability/determinism.py --number 5

Each model is fitted to windows of a smart watch and predicts others. Then the same is done with
shuffled rows, other numbers of threads, in other processes, and so on. Prints, for each condition,
how many were tried, how many outputs had the same bits, and the largest difference, as a share of
the largest output.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import joblib
import numpy as np
import torch
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from citrus_sk import CitrusClassifier, CitrusEmbedder, CitrusRegressor, SignalAligner
from citrus_sk.datasets import load_watch

FINE_TUNED = {"strategy": "finetune", "max_epochs": 2, "early_stopping": False, "mixup": 0.3}
MODELS: dict[str, Callable[[], Any]] = {
    "classifier": lambda: CitrusClassifier(device="cpu", random_state=0),
    "aligned classifier": lambda: make_pipeline(
        SignalAligner(200), CitrusClassifier(device="cpu", random_state=0)
    ),
    "fine-tuned classifier": lambda: CitrusClassifier(
        pretrained=None, preset="tiny", device="cpu", random_state=0, batch_size=16, **FINE_TUNED
    ),
    "regressor": lambda: CitrusRegressor(device="cpu", random_state=0),
    "embedder": lambda: CitrusEmbedder(device="cpu", random_state=0),
}


class Case:
    """A model with windows to fit and to predict.

    Parameters
    ----------
    name : str
        Name in `MODELS`.
    n_windows : int
        Number of windows to fit, and of others to predict.
    """

    def __init__(self, name: str, n_windows: int) -> None:
        watch = load_watch(window_s=2.56)
        rows = np.random.default_rng(0).permutation(len(watch.y))[: 2 * n_windows]
        X, y = watch.X[rows, :3], watch.y[rows]
        if name == "regressor":
            y = np.unique(y, return_inverse=True)[1].astype(float)
        self.name, self.n_windows = name, n_windows
        self.X, self.y, self.X_new = X[:n_windows], y[:n_windows], X[n_windows:]

    def fit(self, rows: Any = slice(None)) -> Any:
        return MODELS[self.name]().fit(self.X[rows], self.y[rows])

    def predict(self, model: Any, X: Any = None) -> np.ndarray:
        names = ("predict_proba", "transform", "predict")
        method = next(name for name in names if hasattr(model, name))
        return np.asarray(getattr(model, method)(self.X_new if X is None else X))

    def run(self, _: Any = None) -> np.ndarray:
        return self.predict(self.fit())


# --- conditions: functions of a case, its fitted model and a generator of random numbers ---------


def again(case: Case, model: Any, rng: np.random.Generator) -> np.ndarray:
    return case.predict(clone(model).fit(case.X, case.y))


def shuffled_rows(case: Case, model: Any, rng: np.random.Generator) -> np.ndarray:
    order = rng.permutation(len(case.X_new))
    found = np.empty_like(case.predict(model))
    found[order] = case.predict(case.fit(rng.permutation(case.n_windows)), case.X_new[order])
    return found


def other_batches(case: Case, model: Any, rng: np.random.Generator) -> np.ndarray:
    """The same model predicts in other batches; training in other batches is another training."""
    n_parts = int(rng.integers(1, len(case.X_new)))
    last = model[-1] if hasattr(model, "steps") else model
    before = last.batch_size
    last.batch_size = int(rng.integers(2, 100))
    try:
        parts = np.array_split(case.X_new, n_parts)
        return np.concatenate([case.predict(model, part) for part in parts])
    finally:
        last.batch_size = before


def torch_threads(case: Case, model: Any, rng: np.random.Generator) -> np.ndarray:
    before = torch.get_num_threads()
    torch.set_num_threads(int(rng.choice([1, 2, 3, 5])))
    try:
        return case.run()
    finally:
        torch.set_num_threads(before)


def python_threads(case: Case, model: Any, rng: np.random.Generator) -> list[np.ndarray]:
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(case.run, range(4)))


def other_draws(case: Case, model: Any, rng: np.random.Generator) -> np.ndarray:
    with drawing_meanwhile(int(rng.integers(2**31))):
        return case.run()


@contextmanager
def drawing_meanwhile(seed: int) -> Iterator[None]:
    """Seed the global generators, and draw from them in another thread inside the block."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    stop = threading.Event()

    def draw() -> None:
        while not stop.wait(1e-4):
            random.random()
            np.random.standard_normal(3)  # noqa: NPY002
            torch.rand(3)

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)
    thread = threading.Thread(target=draw)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])


def joblib_processes(case: Case, model: Any, rng: np.random.Generator) -> list[np.ndarray]:
    run = joblib.delayed(_in_process)
    return joblib.Parallel(n_jobs=2)(run(case.name, case.n_windows) for _ in range(2))


def _in_process(name: str, n_windows: int) -> np.ndarray:
    return Case(name, n_windows).run()


def hash_seeds(case: Case, model: Any, rng: np.random.Generator) -> np.ndarray:
    return _in_new_process(case, PYTHONHASHSEED=str(rng.integers(2**32)))


def openmp_threads(case: Case, model: Any, rng: np.random.Generator) -> np.ndarray:
    """Environment with other numbers of threads, which BLAS and numba take at their import."""
    numbers = {name: str(rng.integers(1, 4)) for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
    return _in_new_process(case, **{f"{key}_NUM_THREADS": n for key, n in numbers.items()})


def _in_new_process(case: Case, **environment: str) -> np.ndarray:
    command = [sys.executable, __file__, "--child", case.name, "--windows", str(case.n_windows)]
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    shape, text = json.loads(done.stdout)
    return np.frombuffer(
        bytes.fromhex(text), np.float32 if case.name == "embedder" else np.float64
    ).reshape(shape)


CONDITIONS = {
    "again": again,
    "rows in another order": shuffled_rows,
    "other batches in predict": other_batches,
    "torch threads 1, 2, 3, 5": torch_threads,
    "four threads of Python at once": python_threads,
    "global generators drawn from": other_draws,
    "two processes of joblib": joblib_processes,
    "PYTHONHASHSEED": hash_seeds,
    "threads of BLAS and numba": openmp_threads,
}


def tried(condition: Callable[..., Any], number: int, cases: list[Case]) -> tuple[int, int, float]:
    """Number of outputs, number of those with the same bits, and the largest difference."""
    n_outputs, n_same, largest = 0, 0, 0.0
    for case in cases:
        model = case.fit()
        expected = case.predict(model)
        for i in range(number):
            found = condition(case, model, np.random.default_rng(i))
            for output in found if isinstance(found, list) else [found]:
                n_outputs += 1
                n_same += np.array_equal(output, expected)
                difference = np.abs(output - expected).max() / np.abs(expected).max()
                largest = max(largest, float(difference))
    return n_outputs, n_same, largest


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--number", type=int, default=3, help="repetitions for each model")
    parser.add_argument("--windows", type=int, default=60, help="windows to fit (default: 60)")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        found = Case(arguments.child, arguments.windows).run()
        print(json.dumps([found.shape, found.tobytes().hex()]))
        return
    cases = [Case(name, arguments.windows) for name in MODELS]
    print("| condition | outputs | same bits | largest difference |\n|---|---|---|---|")
    for name, condition in CONDITIONS.items():
        n_outputs, n_same, largest = tried(condition, arguments.number, cases)
        print(f"| {name} | {n_outputs} | {n_same} | {largest:.1e} |", flush=True)


if __name__ == "__main__":
    main()
