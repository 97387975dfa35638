"""Runs of many fits: in parallel, stored as they finish, and resumed."""

from __future__ import annotations

import os
import platform
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager, suppress
from importlib import metadata
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from sklearn.utils.parallel import Parallel, delayed

from .._utils.files import without_home
from .._utils.optional import progress_bar
from .cell import end_with
from .run_directory import RunDirectory, estimator_fingerprint, fingerprint, sources
from .score_table import ScoreTable

_PACKAGES = ("citrus_sk", "scikit-learn", "numpy", "scipy", "torch", "braindecode", "aeon")


class Run:
    """Outcomes of fits, from a folder where they are stored, and otherwise computed.

    Parameters
    ----------
    folder : path-like or None
        Folder of the run; None stores nothing.
    data : str
        Fingerprint of the windows, the labels and the groups.
    """

    def __init__(self, folder: str | PathLike[str] | None, data: str) -> None:
        self.store = None if folder is None else RunDirectory(Path(folder), data)

    def keys(
        self,
        names: Sequence[str],
        splits: Sequence[tuple[np.ndarray, ...]],
        models: Mapping[str, Any],
        scorers: Mapping[str, Any],
        others: Any,
    ) -> list[str]:
        """Key of each outcome: a hash of all that it depends on.

        Parameters
        ----------
        names : sequence of str
            Name of the estimator of each fit.
        splits : sequence of tuple of ndarray
            Rows of the windows of each fit: one tuple, which fits may share.
        models, scorers : mapping of str
            Estimators and scorers by name.
        others : object
            Whatever else an outcome depends on.
        """
        if self.store is None:
            return [""] * len(names)
        prints = {name: estimator_fingerprint(model) for name, model in models.items()}
        # A scorer of scikit-learn holds its function in an attribute.
        functions = [
            part
            for each in scorers.values()
            for part in (each, *getattr(each, "__dict__", {}).values())
        ]
        shared = fingerprint(scorers, sources(functions), others, versions())
        windows = {id(split): fingerprint(*split) for split in splits}
        return [
            fingerprint(prints[name], shared, windows[id(split)])
            for name, split in zip(names, splits, strict=True)
        ]

    def outcomes(
        self,
        work: Callable[..., dict[str, Any]],
        tasks: Sequence[Sequence[Any]],
        keys: Sequence[str],
        *,
        n_jobs: int | None,
        verbose: int,
    ) -> list[dict[str, Any]]:
        """Outcome of ``work(*task)`` for each task.

        Each is on disk as soon as it is computed. A stored outcome is used if it has a finite
        ``predict_time``: a fit that failed because memory or a package was missing may succeed now.

        Raises
        ------
        ChildProcessError
            If a worker process dies.
        """
        kept = self.store.rows if self.store else {}
        done = {
            key: row for key, row in kept.items() if np.isfinite(row.get("predict_time", np.nan))
        }
        found = {i: done[key] for i, key in enumerate(keys) if key in done}
        cells = (
            delayed(_numbered)(os.getpid(), i, work, task)
            for i, task in enumerate(tasks)
            if i not in found
        )
        bar = progress_bar(total=len(tasks), initial=len(found), unit="fit", shown=bool(verbose))
        with bar, self._worker_death_explained(found, len(tasks)):
            for i, outcome in _as_completed(cells, n_jobs):
                found[i] = outcome
                if self.store:
                    self.store.add(keys[i], outcome)
                bar.update()
        return [found[i] for i in range(len(tasks))]

    @contextmanager
    def _worker_death_explained(self, found: Mapping[int, Any], n_tasks: int) -> Iterator[None]:
        try:
            yield
        except BrokenExecutor as error:
            kept = "Pass run_dir= to keep finished fits"
            if self.store:
                kept = f"{len(found)} of {n_tasks} fits are in {self.store.path} and are kept"
            raise ChildProcessError(
                "A worker process died, as it does if the system kills it because memory ran out. "
                f"{kept}. Start the evaluation again, with fewer processes (n_jobs, --jobs) if "
                "memory is short."
            ) from error


def _as_completed(cells: Iterable[Any], n_jobs: int | None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Results of delayed calls, each as soon as possible, so that it can be stored."""
    try:
        parallel = Parallel(n_jobs=n_jobs, return_as="generator_unordered", pre_dispatch="2*n_jobs")
    except ValueError:
        # Multiprocessing and Ray return nothing before the last call has ended. Four calls for each
        # worker are a compromise between workers that wait and fits that an interruption loses.
        with Parallel(n_jobs=n_jobs) as parallel:
            size = 4 * effective_n_jobs(n_jobs)
            remaining = iter(cells)
            while block := list(islice(remaining, size)):
                yield from parallel(block)
        return
    yield from parallel(cells)


def _numbered(
    parent: int, i: int, work: Callable[..., dict[str, Any]], task: Sequence[Any]
) -> tuple[int, dict[str, Any]]:
    end_with(parent)
    return i, work(*task)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that scores depend on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def settings_of(
    models: Mapping[str, Any], X: Any, y: np.ndarray, groups: np.ndarray | None, data: str
) -> dict[str, Any]:
    """Description of the data and the estimators of a curve, for JSON."""
    labels, counts = np.unique(y, return_counts=True)
    return {
        "classes": {str(label): int(n) for label, n in zip(labels, counts, strict=True)},
        "shape": list(getattr(X, "shape", [len(y)])),
        "n_groups": None if groups is None else len(np.unique(groups)),
        "estimators": {
            name: without_home(" ".join(repr(model).split())) for name, model in models.items()
        },
        "data": data,
        "versions": versions(),
    }


def warn_failed(curve: ScoreTable) -> None:
    """Warn of fits that failed, with the first reason."""
    failed = curve.failures
    if failed:
        first = failed[0]
        warnings.warn(
            f"{len(failed)} of {len(curve.rows)} fits failed in whole or in part: missing scores "
            "are NaN, with the reason in the column 'error'. The first failure, of "
            f"{first['estimator']!r}: {first['error']}",
            UserWarning,
            stacklevel=3,
        )
