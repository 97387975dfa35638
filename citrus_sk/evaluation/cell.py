"""Fit of one estimator on one draw, and its scores: the work of a worker."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial, wraps
from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix
from threadpoolctl import threadpool_limits

from .._utils.files import without_home
from ..signals.containers import take_windows
from .best_epoch import BestEpoch
from .memory import clone_with_memory
from .routing import PREDICTIONS, Routed, route

BINS = 10  # bins of confidence in the reliability of a row
_WATCH, _LOKY = "citrus_sk watches its parent", "LokyProcess"


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
    groups: np.ndarray | None = None,
    memory: str | None = None,
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
    groups : ndarray of shape (n_windows,), default=None
        Person or recording of each window, for methods that request ``groups``.
    memory : str or None, default=None
        Folder for the features of frozen networks, see `clone_with_memory`.

    Returns
    -------
    dict
        Entries of the row that depend on the fit.
    """
    row = empty_row(scorers)
    with limited_threads(n_threads):
        try:
            start = time.perf_counter()
            routed = route(estimator, scorers, params, groups, train, test, len(y))
            model, held_out = clone_with_memory(estimator, memory), take_windows(X, test)
            if oracle:
                best_epoch = BestEpoch(scorers, held_out, y[test])
                row |= best_epoch.scores
                best_epoch.watch(model, np.unique(y[train]))
            model.fit(take_windows(X, train), y[train], **routed.fit)
            row["fit_time"] = time.perf_counter() - start
        except Exception as error:  # noqa: BLE001 - any exception of an estimator is a result
            return row | {"error": reason(error)}
        people = None if groups is None else groups[test]
        row |= score_model(model, held_out, y[test], np.unique(y), scorers, routed, people)
        if oracle:
            best_epoch.look_back(model)
            row |= best_epoch.scores
    return row


def empty_row(scorers: Mapping[str, Any]) -> dict[str, Any]:
    """Entries of a row without a fit."""
    row: dict[str, Any] = dict.fromkeys(scorers, np.nan)
    return row | {"fit_time": np.nan, "predict_time": np.nan, "error": ""}


def score_model(
    model: Any,
    X: Any,
    y: np.ndarray,
    labels: np.ndarray,
    scorers: Mapping[str, Callable[..., float]],
    routed: Routed,
    people: np.ndarray | None = None,
) -> dict[str, Any]:
    """Score a fitted model on test windows; an exception becomes the row's ``error``.

    Parameters
    ----------
    model : estimator
        Fitted classifier.
    X : array, list, data frame or mne.Epochs
        Test windows.
    y : ndarray of shape (n_test,)
        Their labels.
    labels : ndarray of shape (n_classes,)
        All labels, in the order of the confusion matrix.
    scorers : mapping of str to callable
        Functions of the model, the test windows and their labels.
    routed : Routed
        Metadata of the predictions and the scorers.
    people : ndarray of shape (n_test,), default=None
        Person of each test window, for the reliability by person.

    Returns
    -------
    dict
        Scores, ``predict_time``, ``error``, and where they are known the confusion matrix and the
        reliability.
    """
    row: dict[str, Any] = {}
    reasons: list[str] = []
    with _predicted_once(model, X, routed.predictions):
        try:
            start = time.perf_counter()
            predicted = model.predict(X)
            row["predict_time"] = time.perf_counter() - start
        except Exception as error:  # noqa: BLE001 - any exception of an estimator is a result
            return {"error": reason(error)}
        for name, scorer in scorers.items():
            try:
                row[name] = float(scorer(model, X, y, **routed.scorers.get(name, {})))
            except Exception as error:  # noqa: BLE001 - and any of a scorer
                reasons.append(f"{name}: {reason(error)}")
        row |= _outcomes(model, X, y, labels, predicted, people, reasons)
    return row | {"error": "; ".join(reasons)}


def end_with(parent: int) -> None:
    """End this worker process when its parent ends, even by ``kill -9``.

    Loky's workers would finish their task and then wait for minutes, and keep their memory, beside
    those of the run that is resumed.
    """
    if os.getppid() != parent:
        # Of loky, the parent ended before this task began. Those of Dask have another one.
        if multiprocessing.current_process().name.startswith(_LOKY):
            os._exit(1)
        return
    if _WATCH not in {thread.name for thread in threading.enumerate()}:
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


@contextmanager
def _predicted_once(
    model: Any, X: Any, metadata: Mapping[str, Mapping[str, Any]]
) -> Iterator[None]:
    """Let every metric share one prediction for `X`, which is made with its metadata."""
    replaced: dict[str, Callable[..., Any]] = {
        name: _once(getattr(model, name), X, metadata.get(name, {}))
        for name in PREDICTIONS
        if hasattr(model, name)
    }
    if metadata.get("score"):
        replaced["score"] = partial(_score, model.score, X, metadata["score"])
    own = {name: vars(model)[name] for name in replaced if name in vars(model)}
    vars(model).update(replaced)
    try:
        yield
    finally:
        for name in replaced:
            delattr(model, name)
        vars(model).update(own)


def _once(method: Callable[..., Any], X: Any, metadata: Mapping[str, Any]) -> Callable[..., Any]:
    """Cache the result of a method for the array `X` and its metadata.

    The array is compared by identity; any other one, even if equal, is computed.
    """
    results: list[Any] = []

    @wraps(method)
    def cached(data: Any, *args: Any, **kwargs: Any) -> Any:
        if data is not X or args or kwargs:
            return method(data, *args, **kwargs)
        if not results:
            results.append(method(X, **metadata))
        return results[0]

    return cached


def _score(
    method: Callable[..., float], X: Any, metadata: Mapping[str, Any], data: Any, *args: Any,
    **kwargs: Any,
) -> float:  # fmt: skip
    return method(data, *args, **({**metadata, **kwargs} if data is X else kwargs))


def _outcomes(
    model: Any,
    X: Any,
    y: np.ndarray,
    labels: np.ndarray,
    predicted: Any,
    people: np.ndarray | None,
    reasons: list[str],
) -> dict[str, Any]:
    """Confusion matrix, and confidence and accuracy in bins of confidence and by person."""
    found: dict[str, Any] = {}
    try:
        found["confusion"] = confusion_matrix(y, predicted, labels=labels).tolist()
        if hasattr(model, "predict_proba"):
            proba = np.asarray(model.predict_proba(X))
            unknown = ~np.isfinite(proba).all(axis=1)
            if unknown.any():
                raise ValueError(f"not finite for {unknown.sum()} of {len(proba)} windows")
            confidence, correct = proba.max(axis=1), np.asarray(predicted) == y
            found["reliability"] = reliability_bins(confidence, correct).tolist()
            if people is not None:
                found["reliability_by_person"] = _by_person(confidence, correct, people)
    except Exception as error:  # noqa: BLE001 - and any of its predictions
        stage = "predict_proba" if "confusion" in found else "predict"
        reasons.append(f"{stage}: {reason(error)}")
    return found


def reliability_bins(confidence: np.ndarray, correct: np.ndarray) -> np.ndarray:
    """Windows, sum of confidence and correct windows of each bin, of shape (BINS, 3)."""
    of_bin = np.clip((confidence * BINS).astype(int), 0, BINS - 1)
    return _counts(of_bin, BINS, confidence, correct)


def _by_person(
    confidence: np.ndarray, correct: np.ndarray, people: np.ndarray
) -> dict[str, list[float]]:
    """Windows, sum of confidence and correct windows of each person."""
    names, codes = np.unique(people, return_inverse=True)
    counts = _counts(codes, len(names), confidence, correct).tolist()
    return dict(zip(map(str, names.tolist()), counts, strict=True))


def _counts(
    codes: np.ndarray, n_codes: int, confidence: np.ndarray, correct: np.ndarray
) -> np.ndarray:
    weights = (None, confidence, correct.astype(float))
    return np.stack([np.bincount(codes, weight, n_codes) for weight in weights], axis=1)


def reason(error: Exception) -> str:
    """The class of an exception and the first line of its message."""
    return without_home(f"{type(error).__name__}: {error}".strip().splitlines()[0])
