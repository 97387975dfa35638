"""Time of a learning curve with and without the cache of features, and whether scores are equal.

    OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 python benchmarks/cached_curve.py

Five folds and seven fractions of the watch recordings, aligned to 1024 samples, with the default
classifier on one thread. The parts are those of a fit or a prediction: the network, the random
kernels, the ridges, and the rest, such as scores, and reading and writing the cache. Seconds are
those of the process, which depend less on other programs than those of a clock.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from citrus_sk import CitrusClassifier, SignalAligner
from citrus_sk.datasets import load_watch
from citrus_sk.evaluation import FractionCurve, fraction_curve
from citrus_sk.nn import CitrusNetwork
from citrus_sk.nn.kernels import RandomKernels

PARTS = {
    "network": [(CitrusNetwork, "_read_out")],
    "kernels": [(RandomKernels, "fit"), (RandomKernels, "forward")],
    "ridges": [(CitrusClassifier, "_fit_head")],
}
TIMES = ("fit_time", "predict_time")


@contextmanager
def timed(seconds: dict[str, float]) -> Iterator[None]:
    """Add the time in each part to `seconds`."""
    with ExitStack() as stack:
        for part, methods in PARTS.items():
            for owner, name in methods:
                method = _timed(getattr(owner, name), part, seconds)
                stack.enter_context(patch.object(owner, name, method))
        yield


def _timed(method: Callable[..., Any], part: str, seconds: dict[str, float]) -> Callable[..., Any]:
    running = False

    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal running
        if running:  # a method that calls itself
            return method(*args, **kwargs)
        start, running = time.process_time(), True
        try:
            return method(*args, **kwargs)
        finally:
            running = False
            seconds[part] += time.process_time() - start

    return call


def curve_of(X: Any, y: Any, groups: Any, cached: bool) -> tuple[FractionCurve, dict[str, float]]:
    """The curve, and the seconds of all parts."""
    seconds = dict.fromkeys(PARTS, 0.0)
    start = time.process_time()
    with timed(seconds):
        curve = fraction_curve(
            CitrusClassifier(device="cpu", random_state=0), X, y, groups=groups, cv=5, n_repeats=1,
            cache_features=cached,
        )  # fmt: skip
    total = time.process_time() - start
    return curve, {**seconds, "rest": total - sum(seconds.values()), "all": total}


def without_times(curve: FractionCurve) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k not in TIMES} for row in curve.rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--every", type=int, default=1, help="take every n-th window; default: 1")
    every = parser.parse_args().every
    watch = load_watch()
    X, y, groups = SignalAligner().fit_transform(watch.X)[::every], watch.y[::every], watch.groups
    CitrusClassifier(device="cpu").fit(X[:20], y[:20])  # loads and compiles
    (plain, slow), (cached, fast) = (
        curve_of(X, y, groups[::every], is_cached) for is_cached in (False, True)
    )
    print(f"{X.shape[0]} windows of {X.shape[1]} channels and {X.shape[2]} samples, "
          f"{len(plain.rows)} fits\n")  # fmt: skip
    print("| part | without, s | with the cache, s | ratio |")
    print("|---|---|---|---|")
    for part in slow:
        print(f"| {part} | {slow[part]:.1f} | {fast[part]:.1f} | {slow[part] / fast[part]:.1f} |")
    bound = slow["all"] / (slow["all"] - slow["network"])
    print(f"\nlargest possible ratio, with the network in no time: {bound:.1f}")
    print(f"same bits: {without_times(plain) == without_times(cached)}")


if __name__ == "__main__":
    main()
