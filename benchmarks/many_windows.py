"""Seconds and memory of fitting the default to many windows.

    OMP_NUM_THREADS=1 python benchmarks/many_windows.py 1000 10000 100000

The windows are synthetic: one channel of 256 samples, a tone of one of four frequencies in noise.
Each number of windows is fitted in a process of its own, whose peak of resident memory is printed
with the accuracy on 500 other windows.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import time

import numpy as np

from citrus_sk import CitrusClassifier

N_TEST, N_TIMES, AT_ONCE = 500, 256, 1000


def tones(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
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
    accuracy = fitted.score(X[:N_TEST], y[:N_TEST])
    unit = 1 if sys.platform == "darwin" else 1024  # bytes of ru_maxrss
    return seconds, accuracy, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("windows", type=int, nargs="*", default=[1000, 10_000, 100_000])
    options = parser.parse_args()
    print("| windows | fit, s | peak, GB | accuracy |\n|---|---|---|---|")
    for n in options.windows:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            seconds, accuracy, peak = pool.apply(measure, (n,))
        print(f"| {n} | {seconds:.0f} | {peak:.1f} | {accuracy:.3f} |", flush=True)


if __name__ == "__main__":
    main()
