"""Seconds and memory of fitting the default to many windows, or of predicting them.

    OMP_NUM_THREADS=1 python benchmarks/many_windows.py 1000 10000 100000
    OMP_NUM_THREADS=1 python benchmarks/many_windows.py --predict 1000 10000 100000

The windows are synthetic: one channel of 256 samples, a tone of one of four frequencies in noise.
Each number of windows is fitted in a process of its own, whose peak of resident memory is printed
with the accuracy on 500 other windows. With --predict, the default is fitted to 200 windows, and
the others are predicted from a memory map, whose pages count as resident as well.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from citrus_sk import CitrusClassifier

N_TEST, N_TIMES, AT_ONCE, N_FITTED = 500, 256, 1000, 200


def tones(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y, X = rng.integers(4, size=n), np.empty((n, 1, N_TIMES), np.float32)
    for start in range(0, n, AT_ONCE):
        part = y[start : start + AT_ONCE, None]
        frequency = 0.05 + 0.02 * part + 0.01 * rng.standard_normal(part.shape)
        phase = rng.uniform(0, 6, part.shape)
        noise = 0.15 * rng.standard_normal((len(part), N_TIMES)).cumsum(axis=1)
        X[start : start + AT_ONCE, 0] = 0.7 * np.sin(frequency * np.arange(N_TIMES) + phase) + noise
    return X, y


def measure(n: int) -> tuple[float, float, float]:
    """Seconds of a fit, accuracy, and peak of memory in GB."""
    X, y = tones(n + N_TEST)
    start = time.perf_counter()
    fitted = CitrusClassifier(random_state=0).fit(X[N_TEST:], y[N_TEST:])
    seconds = time.perf_counter() - start
    return seconds, fitted.score(X[:N_TEST], y[:N_TEST]), peak()


def measure_prediction(n: int) -> tuple[float, float, float]:
    """Seconds of predicting a memory map, accuracy, and peak of memory in GB."""
    X, y = tones(N_FITTED)
    fitted = CitrusClassifier(random_state=0).fit(X, y)
    with tempfile.TemporaryDirectory() as folder:
        path, y = Path(folder) / "windows.npy", np.empty(n, int)
        X = np.lib.format.open_memmap(path, "w+", np.float32, (n, 1, N_TIMES))
        for start in range(0, n, AT_ONCE):
            part = slice(start, min(n, start + AT_ONCE))
            X[part], y[part] = tones(part.stop - start, seed=1 + start)
        X = np.load(path, mmap_mode="r")
        start = time.perf_counter()
        found = fitted.predict(X)
        seconds = time.perf_counter() - start
    return seconds, float(np.mean(found == y)), peak()


def peak() -> float:
    unit = 1 if sys.platform == "darwin" else 1024  # bytes of ru_maxrss
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("windows", type=int, nargs="*", default=[1000, 10_000, 100_000])
    parser.add_argument("--predict", action="store_true")
    options = parser.parse_args()
    timed = "predict" if options.predict else "fit"
    function = measure_prediction if options.predict else measure
    print(f"| windows | {timed}, s | peak, GB | accuracy |\n|---|---|---|---|")
    for n in options.windows:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            seconds, accuracy, gigabytes = pool.apply(function, (n,))
        print(f"| {n} | {seconds:.0f} | {gigabytes:.1f} | {accuracy:.3f} |", flush=True)


if __name__ == "__main__":
    main()
