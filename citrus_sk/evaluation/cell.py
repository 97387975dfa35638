"""Fit of one estimator on one draw, and its scores: the work of a worker."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.base import clone
from sklearn.metrics import confusion_matrix
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from threadpoolctl import threadpool_limits

from ..signals.containers import take_windows
from .best_epoch import BestEpoch

BINS = 10  # bins of confidence in the reliability of a row
_WATCH = "citrus_sk watches its parent"
_PREDICTIONS = ("predict_proba", "decision_function", "predict")


def run_cell(
    estimator: Any,
    X: Any,
    y: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    scorers: Mapping[str, Callable[..., float]],
    params: Mapping[str, Any],
    n_threads: int | None,
    oracle: bool = False,
) -> dict[str, Any]:
    """Fit a clone and score it; an exception becomes the row's ``error``, with NaN as scores.

    Parameters
    ----------
    estimator : estimator
        Estimator to clone; it is not fitted itself.
    X : array, list, data frame or mne.Epochs
        All windows.
    y : ndarray of shape (n_windows,)
        All labels.
    train, test : ndarray of int
        Rows of the training and test windows.
    scorers : mapping of str to callable
        Functions of the fitted estimator, the test windows and their labels.
    params : mapping of str to object
        Parameters of ``fit``, or metadata to route where routing is enabled. Values with one entry
        per window are indexed with the windows.
    n_threads : int or None
        Threads of numpy and torch during the fit; None leaves them alone.
    oracle : bool, default=False
        Whether to add the best score over the epochs, measured on the test windows.

    Returns
    -------
    dict
        Entries of the row that depend on the fit.
    """
    row: dict[str, Any] = dict.fromkeys(scorers, np.nan)
    row |= {"fit_time": np.nan, "predict_time": np.nan, "error": ""}
    with limited_threads(n_threads):
        try:
            start = time.perf_counter()
            for_fit, for_score = _routed(estimator, scorers, params, train, test, len(y))
            model, held_out = clone(estimator), take_windows(X, test)
            if oracle:
                best_epoch = BestEpoch(scorers, held_out, y[test])
                row |= best_epoch.scores
                best_epoch.watch(model, np.unique(y[train]))
            model.fit(take_windows(X, train), y[train], **for_fit)
            row["fit_time"] = time.perf_counter() - start
            _predict_once(model, held_out)
            start = time.perf_counter()
            predicted = model.predict(held_out)
            row["predict_time"] = time.perf_counter() - start
        except Exception as error:  # noqa: BLE001 - any exception of an estimator is a result
            return row | {"error": _reason(error)}
        reasons = []
        for name, scorer in scorers.items():
            try:
                row[name] = float(scorer(model, held_out, y[test], **for_score[name]))
            except Exception as error:  # noqa: BLE001 - and any of a scorer
                reasons.append(f"{name}: {_reason(error)}")
        if oracle:
            best_epoch.look_back(model)
            row |= best_epoch.scores
        row |= _outcomes(model, held_out, y, test, predicted, reasons)
    return row | {"error": "; ".join(reasons)}


def end_with(parent: int) -> None:
    """End this worker process when its parent ends, even by ``kill -9``.

    Loky's workers would finish their task and then wait for minutes, and keep their memory, beside
    those of the run that is resumed.
    """
    if os.getppid() == parent and _WATCH not in {thread.name for thread in threading.enumerate()}:
        threading.Thread(target=_watch, args=(parent,), name=_WATCH, daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


@contextmanager
def limited_threads(n_threads: int | None) -> Iterator[None]:
    """Run numpy, OpenMP and torch on `n_threads` threads each, and restore their numbers."""
    if n_threads is None:
        yield
        return
    torch = sys.modules.get("torch")  # no need to import it in order to limit it
    before = torch.get_num_threads() if torch else None
    with threadpool_limits(n_threads):
        if torch:
            torch.set_num_threads(n_threads)
        try:
            yield
        finally:
            if torch:
                torch.set_num_threads(before)


def _once(method: Callable[..., Any], X: Any) -> Callable[..., Any]:
    """Cache the result of a method for the array `X`, which every metric needs.

    The array is compared by identity; any other one, even if equal, is computed.
    """
    results: list[Any] = []

    @wraps(method)
    def cached(data: Any, *args: Any, **kwargs: Any) -> Any:
        if data is not X or args or kwargs:
            return method(data, *args, **kwargs)
        if not results:
            results.append(method(X))
        return results[0]

    return cached


def _predict_once(model: Any, X: Any) -> None:
    for name in _PREDICTIONS:
        if hasattr(model, name):
            setattr(model, name, _once(getattr(model, name), X))


def _routed(
    estimator: Any,
    scorers: Mapping[str, Any],
    params: Mapping[str, Any],
    train: np.ndarray,
    test: np.ndarray,
    n_windows: int,
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Parameters of ``fit`` and of each scorer, for the windows that each is given."""
    for_fit = dict(params)
    for_score: dict[str, dict[str, Any]] = {name: {} for name in scorers}
    if get_config()["enable_metadata_routing"]:
        router = MetadataRouter(owner="fraction_curve")
        fits = MethodMapping().add(caller="fit", callee="fit")
        router.add(estimator=estimator, method_mapping=fits)
        tests = MethodMapping().add(caller="fit", callee="score")
        router.add(method_mapping=tests, **{f"scorer_{name}": s for name, s in scorers.items()})
        routed = process_routing(router, "fit", **params)
        for_fit = dict(routed.estimator.fit)
        for_score = {name: dict(routed[f"scorer_{name}"].score) for name in scorers}
    for_score = {
        name: _indexed(of_scorer, test, n_windows) for name, of_scorer in for_score.items()
    }
    return _indexed(for_fit, train, n_windows), for_score


def _indexed(params: Mapping[str, Any], rows: np.ndarray, n_windows: int) -> dict[str, Any]:
    """Parameters in which values with one entry per window are cut to `rows`."""

    def per_window(value: Any) -> bool:
        return not isinstance(value, str) and hasattr(value, "__len__") and len(value) == n_windows

    return {
        name: take_windows(value, rows) if per_window(value) else value
        for name, value in params.items()
    }


def _outcomes(
    model: Any, X: Any, y: np.ndarray, test: np.ndarray, predicted: Any, reasons: list[str]
) -> dict[str, Any]:
    """Confusion matrix, and confidence and accuracy in bins of confidence."""
    found: dict[str, Any] = {}
    try:
        labels = np.unique(y)
        found["confusion"] = confusion_matrix(y[test], predicted, labels=labels).tolist()
        if hasattr(model, "predict_proba"):
            proba = np.asarray(model.predict_proba(X))
            unknown = ~np.isfinite(proba).all(axis=1)
            if unknown.any():
                raise ValueError(f"not finite for {unknown.sum()} of {len(proba)} windows")
            correct = np.asarray(predicted) == y[test]
            found["reliability"] = reliability_bins(proba.max(axis=1), correct).tolist()
    except Exception as error:  # noqa: BLE001 - and any of its predictions
        stage = "predict_proba" if "confusion" in found else "predict"
        reasons.append(f"{stage}: {_reason(error)}")
    return found


def reliability_bins(confidence: np.ndarray, correct: np.ndarray) -> np.ndarray:
    """Windows, sum of confidence and correct windows of each bin, of shape (BINS, 3)."""
    of_bin = np.clip((confidence * BINS).astype(int), 0, BINS - 1)
    weights = (None, confidence, correct.astype(float))
    return np.stack([np.bincount(of_bin, weight, BINS) for weight in weights], axis=1)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".strip().splitlines()[0]
