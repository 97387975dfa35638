"""One fit of one estimator on one draw, scored: what a worker runs."""

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

from ._oracle import BestEpoch

BINS = 10  # of confidence, in the reliability of a row
_WATCH = "citrus_sk watches its parent"
_ANSWERS = ("predict_proba", "decision_function", "predict")


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
    """Fit a clone and score it; what goes wrong becomes the row's ``error`` and NaN.

    Parameters
    ----------
    estimator : estimator
        Cloned, never fitted itself.
    X, y : windows and labels
    train, test : ndarray of int
    scorers : mapping of str to callable
        Called with the fitted estimator, the windows tested on and their labels.
    params : mapping of str to object
        Passed to ``fit``, or routed where metadata routing is on; what has a value for each window
        is thinned out with them.
    n_threads : int or None
        Threads of numpy and torch while this runs; None leaves them alone.
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
            model, held_out = clone(estimator), take(X, test)
            if oracle:
                seen = BestEpoch(scorers, held_out, y[test])
                row |= seen.best
                seen.watch(model, np.unique(y[train]))
            model.fit(take(X, train), y[train], **for_fit)
            row["fit_time"] = time.perf_counter() - start
            _answer_once(model, held_out)
            start = time.perf_counter()
            predicted = model.predict(held_out)
            row["predict_time"] = time.perf_counter() - start
        except Exception as error:  # noqa: BLE001 - what an estimator raises is a result too
            return row | {"error": _reason(error)}
        reasons = []
        for name, scorer in scorers.items():
            try:
                row[name] = float(scorer(model, held_out, y[test], **for_score[name]))
            except Exception as error:  # noqa: BLE001 - and what a scorer raises
                reasons.append(f"{name}: {_reason(error)}")
        if oracle:
            seen.look_back(model)
            row |= seen.best
        row |= _outcomes(model, held_out, y, test, predicted, reasons)
    return row | {"error": "; ".join(reasons)}


def end_with(parent: int) -> None:
    """In a worker of that process: end when it ends, even by ``kill -9``.

    Loky's workers would finish what they are at and then wait for minutes, with all their memory,
    beside those of the run that goes on.
    """
    if os.getppid() == parent and _WATCH not in {thread.name for thread in threading.enumerate()}:
        threading.Thread(target=_watch, args=(parent,), name=_WATCH, daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


@contextmanager
def limited_threads(n_threads: int | None) -> Iterator[None]:
    """Run numpy, OpenMP and torch on `n_threads` each, and put their numbers back."""
    if n_threads is None:
        yield
        return
    torch = sys.modules.get("torch")  # one that is not imported yet has no threads to limit
    before = torch.get_num_threads() if torch else None
    with threadpool_limits(n_threads):
        if torch:
            torch.set_num_threads(n_threads)
        try:
            yield
        finally:
            if torch:
                torch.set_num_threads(before)


def take(X: Any, rows: np.ndarray) -> Any:
    """The windows at `rows`: of an array, a data frame, a list of arrays, or MNE's epochs."""
    if hasattr(X, "iloc"):
        return X.iloc[rows]
    if isinstance(X, list | tuple):
        return [X[row] for row in rows]
    return X[rows]


def _once(method: Callable[..., Any], X: Any) -> Callable[..., Any]:
    """A method that remembers its answer about one array, so that each metric need not ask again.

    It is known by identity: another array, even an equal one, is passed on.
    """
    answers: list[Any] = []

    @wraps(method)
    def answer(asked: Any, *args: Any, **kwargs: Any) -> Any:
        if asked is not X or args or kwargs:
            return method(asked, *args, **kwargs)
        if not answers:
            answers.append(method(X))
        return answers[0]

    return answer


def _answer_once(model: Any, X: Any) -> None:
    for name in _ANSWERS:
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
    """What of `params` goes to ``fit`` and to each scorer, for their windows."""
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
    for_score = {n: _thinned(some, test, n_windows) for n, some in for_score.items()}
    return _thinned(for_fit, train, n_windows), for_score


def _thinned(params: Mapping[str, Any], rows: np.ndarray, n_windows: int) -> dict[str, Any]:
    def per_window(value: Any) -> bool:
        return not isinstance(value, str) and hasattr(value, "__len__") and len(value) == n_windows

    return {n: take(value, rows) if per_window(value) else value for n, value in params.items()}


def _outcomes(
    model: Any, X: Any, y: np.ndarray, test: np.ndarray, predicted: Any, reasons: list[str]
) -> dict[str, Any]:
    """Confusion matrix, and how sure the model was and how right, in bins of confidence."""
    found: dict[str, Any] = {}
    try:
        labels = np.unique(y)
        found["confusion"] = confusion_matrix(y[test], predicted, labels=labels).tolist()
        if hasattr(model, "predict_proba"):
            proba = np.asarray(model.predict_proba(X))
            unsure = ~np.isfinite(proba).all(axis=1)
            if unsure.any():
                raise ValueError(f"not finite for {unsure.sum()} of {len(proba)} windows")
            right = np.asarray(predicted) == y[test]
            found["reliability"] = reliability_bins(proba.max(axis=1), right).tolist()
    except Exception as error:  # noqa: BLE001 - and what its predictions raise
        stage = "predict_proba" if "confusion" in found else "predict"
        reasons.append(f"{stage}: {_reason(error)}")
    return found


def reliability_bins(confidence: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Windows, sum of confidence and number right, of shape (BINS, 3)."""
    of_bin = np.clip((confidence * BINS).astype(int), 0, BINS - 1)
    weights = (None, confidence, right.astype(float))
    return np.stack([np.bincount(of_bin, weight, BINS) for weight in weights], axis=1)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".strip().splitlines()[0]
