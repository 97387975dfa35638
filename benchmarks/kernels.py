"""Time of the random kernels: with numba, with torch alone, and of MiniRocket in aeon.

    OMP_NUM_THREADS=1 python benchmarks/kernels.py

Milliseconds for one window, the median of alternating runs, and ratios to MiniRocket in the same
runs. MiniRocket pools 10,000 features of one bank; `RandomKernels` pools 12,936 of three banks.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from aeon.transformations.collection.convolution_based import MiniRocket

from citrus_sk.nn import kernels
from citrus_sk.nn.encoder import normalise

SHAPES = ((100, 1, 256), (100, 3, 1024), (100, 8, 1024))


def methods(x: torch.Tensor) -> dict[str, Callable[[], object]]:
    z = normalise(x)[0]
    bank = kernels.RandomKernels(*x.shape[1:])
    bank.fit(x, z, 0)
    rocket = MiniRocket(random_state=0, n_jobs=torch.get_num_threads()).fit(x.numpy())
    compiled = kernels._compiled

    def without_numba() -> None:
        kernels._compiled = lambda: None
        try:
            bank(x, z)
        finally:
            kernels._compiled = compiled

    found = {"MiniRocket (aeon)": lambda: rocket.transform(x.numpy()), "torch": without_numba}
    return found | ({"numba": lambda: bank(x, z)} if compiled() else {})


def milliseconds(found: dict[str, Callable[[], object]], n_windows: int, runs: int) -> dict:
    times: dict[str, list[float]] = {name: [] for name in found}
    for run in range(runs + 1):  # the first one compiles
        for name, method in found.items():
            start = time.perf_counter()
            method()
            if run:
                times[name].append(1000 * (time.perf_counter() - start) / n_windows)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    print(f"{torch.get_num_threads()} threads of torch\n")
    print("| windows, channels, samples | method | ms a window | ratio to MiniRocket |")
    print("|---|---|---|---|")
    for shape in SHAPES:
        x = torch.from_numpy(rng.standard_normal(shape).cumsum(-1).astype(np.float32))
        times = milliseconds(methods(x), len(x), options.runs)
        peer = np.array(times["MiniRocket (aeon)"])
        for name, found in times.items():
            ratio = np.median(np.array(found) / peer)
            print(f"| {shape} | {name} | {np.median(found):.2f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
