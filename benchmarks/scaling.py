"""Seconds of `fraction_curve` over joblib's processes, Dask and Ray, beside fits one by one.

    OMP_NUM_THREADS=1 python benchmarks/scaling.py
    OMP_NUM_THREADS=1 python benchmarks/scaling.py --backends sequential dask ray --workers 2

Scores logistic regression on pre-trained features of smart-watch recordings, at 20, 50 and 100 % of
the labels in each of five folds of people. Every backend must give the scores of the first one to
the last bit, or the benchmark fails. Starting the workers is not counted; the first task of each
imports the package. Ray is measured where it is installed (``pip install ray``).
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec

import numpy as np
from joblib import parallel_config
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from citrus_sk import CitrusEmbedder, SignalAligner, fraction_curve
from citrus_sk.datasets import load_watch

METRICS = ("accuracy", "f1_macro", "neg_log_loss")


@contextmanager
def dask_workers(n: int):
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=n, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster),
        parallel_config("dask"),
    ):
        yield


@contextmanager
def ray_workers(n: int):
    import ray
    from ray.util.joblib import register_ray

    ray.init(num_cpus=n, include_dashboard=False, log_to_driver=False)
    register_ray()
    try:
        with parallel_config("ray"):
            yield
    finally:
        ray.shutdown()


BACKENDS = {
    "sequential": lambda n: nullcontext(),
    "joblib": lambda n: parallel_config("loky"),
    "dask": dask_workers,
    "ray": ray_workers,
}


def score(n_jobs: int, stride: int):
    watch = load_watch()
    model = make_pipeline(
        SignalAligner(256), CitrusEmbedder(), StandardScaler(), LogisticRegression(max_iter=1000)
    )
    rows = slice(None, None, stride)
    return fraction_curve(
        model, watch.X[rows], watch.y[rows], groups=watch.groups[rows], fractions=(0.2, 0.5, 1.0),
        cv=5, n_repeats=1, n_jobs=n_jobs, scoring=METRICS,
    )  # fmt: skip


def scores_of(curve) -> np.ndarray:
    return np.array([[row[metric] for metric in METRICS] for row in curve.rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--backends", nargs="+", choices=tuple(BACKENDS), default=list(BACKENDS))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--stride", type=int, default=6, help="use every so many windows")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning)  # windows overlap, as they do here
    first = None
    print(f"{options.workers} workers, load {os.getloadavg()[0]:.1f}\n")
    print("| backend | fits | seconds | speed-up |\n|---|---|---|---|")
    for name in options.backends:
        if name == "ray" and find_spec("ray") is None:
            print("| ray | not installed | | |")
            continue
        n_jobs = 1 if name == "sequential" else options.workers
        with BACKENDS[name](options.workers):
            begin = time.perf_counter()
            curve = score(n_jobs, options.stride)
            seconds = time.perf_counter() - begin
        found = scores_of(curve)
        first = (found, seconds) if first is None else first
        if not np.array_equal(found, first[0], equal_nan=True):
            raise SystemExit(f"{name}: the scores differ from those of {options.backends[0]}.")
        print(f"| {name} | {len(found)} | {seconds:.0f} | {first[1] / seconds:.2f} |", flush=True)


if __name__ == "__main__":
    main()
