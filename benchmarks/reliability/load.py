"""A model under load: threads at once, many fits in one process, and minutes of mixed calls.

    python benchmarks/reliability/load.py --threads 8 --fits 200 --minutes 30

Prints what was tried, how many outputs had the bits of calls in turn, and the memory of the process
(resident set) after the tenth fit and after the last one. The windows are smart-watch recordings.
"""

from __future__ import annotations

import argparse
import gc
import pickle
import resource
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.pipeline import make_pipeline

from citrus_sk import CitrusClassifier, CitrusEmbedder, CitrusRegressor, SignalAligner
from citrus_sk.datasets import load_watch

PAGE_MB = resource.getpagesize() / 2**20
WARM = 10  # fits after which caches of torch, BLAS and numba are filled


class Windows:
    """Windows of a smart watch: some to fit, and others to predict."""

    def __init__(self, n_windows: int = 60) -> None:
        watch = load_watch(window_s=2.56)
        rows = np.random.default_rng(0).permutation(len(watch.y))[: 2 * n_windows]
        X, y, people = watch.X[rows, :3], watch.y[rows], watch.groups[rows]
        self.X, self.y, self.people = X[:n_windows], y[:n_windows], people[:n_windows]
        self.new, self.new_people = X[n_windows:], people[n_windows:]


def resident_mb() -> float:
    """Resident memory of this process, from Linux's /proc."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_MB


def in_threads(n_threads: int, n_rounds: int, windows: Windows) -> tuple[int, int]:
    """Calls from several threads on one model: their number, and of those with the same bits."""
    pipe = make_pipeline(SignalAligner(200), CitrusClassifier(device="cpu", random_state=0))
    pipe.fit(windows.X, windows.y, citrusclassifier__groups=windows.people)
    calls: list[Callable[[], np.ndarray]] = [
        lambda: pipe.predict_proba(windows.new),
        lambda: pipe.predict_proba(windows.new[:1]),
        lambda: pipe.predict_proba(windows.new[::-1][:17]),
        lambda: pipe.predict_proba(windows.new, groups=windows.new_people),
    ]
    expected = [call() for call in calls]
    order = np.random.default_rng(0).integers(len(calls), size=n_threads * n_rounds).tolist()
    with ThreadPoolExecutor(n_threads) as pool:
        found = list(pool.map(lambda i: calls[i](), order))
    return len(order), sum(
        np.array_equal(output, expected[i]) for output, i in zip(found, order, strict=True)
    )


def memory_of_fits(n_fits: int, windows: Windows) -> tuple[float, float, float]:
    """Memory after ten fits, the largest one after that, and the last one, in MB."""
    after = []
    for _ in range(n_fits):
        model = CitrusClassifier(device="cpu", random_state=0).fit(windows.X, windows.y)
        model.predict_proba(windows.new)
        del model
        after.append(resident_mb())
    return after[min(WARM, n_fits) - 1], max(after[min(WARM, n_fits) - 1 :]), after[-1]


def mixed_calls(seconds: float, windows: Windows) -> dict[str, Any]:
    """Calls of all kinds in a random order, each of which has to repeat its first output."""

    def classifier(**parameters: Any) -> CitrusClassifier:
        return CitrusClassifier(device="cpu", random_state=0, **parameters)

    fitted = classifier().fit(windows.X, windows.y, groups=windows.people)
    tuned = {"preset": "tiny", "pretrained": None, "strategy": "finetune", "max_epochs": 1}
    numbers = np.unique(windows.y, return_inverse=True)[1].astype(float)
    calls: dict[str, Callable[[], Any]] = {
        "fit": lambda: classifier().fit(windows.X, windows.y).predict_proba(windows.new),
        "fine-tune": lambda: (
            classifier(**tuned).fit(windows.X[:20], windows.y[:20]).predict_proba(windows.new)
        ),
        "regression": lambda: (
            CitrusRegressor(device="cpu", random_state=0)
            .fit(windows.X, numbers)
            .predict(windows.new)
        ),
        "predict": lambda: fitted.predict_proba(windows.new),
        "predict people": lambda: fitted.predict_proba(windows.new, groups=windows.new_people),
        "adapt": lambda: fitted.adapt(windows.new).predict_proba(windows.new),
        "embed": lambda: CitrusEmbedder(device="cpu").fit_transform(windows.X),
        "align": lambda: SignalAligner(1024).fit_transform(windows.X),
        "pickle": lambda: pickle.loads(pickle.dumps(fitted)).predict_proba(windows.new),
    }
    expected = {name: call() for name, call in calls.items()}
    rng, names, start = np.random.default_rng(0), list(calls), time.monotonic()
    counts, n_same, memory = dict.fromkeys(names, 0), 0, []
    while time.monotonic() - start < seconds:
        name = str(rng.choice(names))
        n_same += np.array_equal(calls[name](), expected[name])
        counts[name] += 1
        memory.append(resident_mb())
    warm = memory[min(len(memory) - 1, 10 * WARM)]
    return {
        "counts": counts,
        "same": n_same,
        "warm": warm,
        "largest": max(memory),
        "last": memory[-1],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=25, help="calls of each thread")
    parser.add_argument("--fits", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=30.0)
    arguments = parser.parse_args()
    windows = Windows()
    if arguments.threads:
        n_calls, n_same = in_threads(arguments.threads, arguments.rounds, windows)
        print(f"{arguments.threads} threads at once: {n_same} of {n_calls} calls had the same bits")
    if arguments.fits:
        warm, largest, last = memory_of_fits(arguments.fits, windows)
        print(
            f"{arguments.fits} fits: {warm:.0f} MB after the tenth, {largest:.0f} MB at most, "
            f"{last:.0f} MB at the end ({last / warm - 1:+.1%})",
            flush=True,
        )
    if arguments.minutes:
        found = mixed_calls(60 * arguments.minutes, windows)
        n_calls = sum(found["counts"].values())
        print(
            f"{arguments.minutes:g} minutes of mixed calls: {found['same']} of {n_calls} had the "
            f"same bits; {found['warm']:.0f} MB after the hundredth, {found['largest']:.0f} MB at "
            f"most, {found['last']:.0f} MB at the end; {found['counts']}"
        )


if __name__ == "__main__":
    main()
