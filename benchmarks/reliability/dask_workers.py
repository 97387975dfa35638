"""``kill -9`` of a Dask worker at a random time in `fraction_curve`.

The scheduler gives the fits of a lost worker to another one. The result is compared with that of a
run without Dask, and the stored rows are counted:

    python benchmarks/reliability/dask_workers.py --number 10
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from joblib import parallel_config
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier

from citrus_sk.datasets import load_watch
from citrus_sk.evaluation import fraction_curve

SETTINGS = {"fractions": (0.1, 0.5, 1.0), "cv": 3, "n_repeats": 2, "random_state": 0}
N_FITS = 18
SECONDS = 0.5  # of a fit
HEAD = "| attack | tried | result is equal | fits that are kept | faults |\n|---|---|---|---|---|"


class Slow(ClassifierMixin, BaseEstimator):
    """Takes a while, and then guesses."""

    def fit(self, X: Any, y: Any) -> Slow:
        time.sleep(SECONDS)
        self.model_ = DummyClassifier(strategy="stratified", random_state=len(X)).fit(X, y)
        self.classes_ = self.model_.classes_
        return self

    def predict(self, X: Any) -> Any:
        return self.model_.predict(X)


def rows_of(curve: Any) -> list[tuple[Any, ...]]:
    return [(r["repeat"], r["fold"], r["n_train"], r["f1_macro"]) for r in curve.rows]


def main() -> None:
    from distributed import Client, LocalCluster

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    watch = load_watch(overlap=0.0)
    kept = np.flatnonzero(np.isin(watch.groups, np.unique(watch.groups)[:6]))[::3]
    data = {"X": watch.X[kept], "y": watch.y[kept], "groups": watch.groups[kept]}
    reference = rows_of(fraction_curve(Slow(), **data, **SETTINGS, scoring="f1_macro"))
    print(HEAD, flush=True)
    folder = Path(tempfile.mkdtemp())
    rng = np.random.default_rng(options.seed)
    tried, equal, stored, faults = 0, 0, 0, []
    try:
        with (
            LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
            Client(cluster),
        ):
            for i in range(options.number):
                timer = threading.Timer(rng.uniform(0, N_FITS * SECONDS / 2), _kill_one, (cluster,))
                timer.start()
                with parallel_config("dask"):
                    curve = fraction_curve(
                        Slow(), **data, **SETTINGS, scoring="f1_macro", run_dir=folder / str(i)
                    )
                timer.join()
                same = rows_of(curve) == reference
                n_rows = (folder / str(i) / "rows.jsonl").read_text().count("\n")
                tried, equal, stored = tried + 1, equal + same, stored + n_rows
                if not same or n_rows != N_FITS:
                    faults.append(f"    attempt {i}: {n_rows} rows, equal: {same}")
        kept_rows = f"{stored} of {tried * N_FITS}"
        print(f"| a lost worker | {tried} | {equal} | {kept_rows} | {len(faults)} |")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print("\n".join(faults))
    sys.exit(bool(faults))


def _kill_one(cluster: Any) -> None:
    pids = [nanny.process.pid for nanny in cluster.workers.values() if nanny.process]
    if pids:
        os.kill(pids[0], signal.SIGKILL)


if __name__ == "__main__":
    main()
