"""One estimator and one new person: a fit on the others, and scores by what is known."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from sklearn import config_context
from sklearn.base import TransformerMixin, clone
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import MetadataRequest

from ..signals.containers import take_windows
from .cell import empty_row, limited_threads, reason, score_model
from .memory import clone_with_memory
from .new_person_result import NOTHING, UNLABELLED
from .routing import PREDICTIONS, Routed, requested

_METHODS = ("fit", "transform", *PREDICTIONS, "score")


@dataclass(frozen=True)
class LeftOut:
    """Windows of one person and of the others."""

    person: Any
    train: np.ndarray  # all windows of the others
    test: np.ndarray
    calibration: Mapping[int, np.ndarray]  # by number of windows per class


def run_person(
    estimator: Any,
    X: Any,
    y: np.ndarray,
    groups: np.ndarray,
    left_out: LeftOut,
    scorers: Mapping[str, Callable[..., float]],
    known: list[str | int],
    n_threads: int | None,
    memory: str | None = None,
) -> dict[str, Any]:
    """Fit a clone on the other people and score it for each state of knowledge.

    Returns
    -------
    dict
        ``rows``, with the entries of each row that depend on a fit, in the order of `known`, and
        ``predict_time``, their sum, which is NaN if one failed.
    """
    rows = [empty_row(scorers) for _ in known]
    people = groups[left_out.test]
    with limited_threads(n_threads), config_context(enable_metadata_routing=True):
        try:
            estimator = clone_with_memory(estimator, memory)
            fitted = _FittedOnOthers(estimator, X, y, groups, left_out)
        except Exception as error:  # noqa: BLE001 - any exception of an estimator is a result
            rows = [row | {"error": reason(error)} for row in rows]
            return {"rows": rows, "predict_time": np.nan}
        for value, row in zip(known, rows, strict=True):
            try:
                ready = fitted.ready(value)
            except Exception as error:  # noqa: BLE001
                row["error"] = reason(error)
                continue
            routed = Routed(
                fit={},
                scorers={
                    name: requested(each, "score", {"groups": people})
                    for name, each in scorers.items()
                },
                predictions=ready.metadata,
            )
            row["fit_time"] = ready.fit_time
            row |= score_model(
                ready.model, ready.X, y[left_out.test], np.unique(y), scorers, routed
            )
    return {"rows": rows, "predict_time": sum(row["predict_time"] for row in rows)}


@dataclass(frozen=True)
class _Ready:
    """A fitted classifier and what it predicts from."""

    model: Any
    X: Any
    metadata: Mapping[str, Mapping[str, Any]]  # of each method that predicts
    fit_time: float


class _FittedOnOthers:
    """An estimator fitted on all but one person.

    The steps of a pipeline before its last one stay as they were fitted. They transform the
    windows of the person together, labelled or not, because a step may use them as a whole.
    """

    def __init__(
        self, estimator: Any, X: Any, y: np.ndarray, groups: np.ndarray, left_out: LeftOut
    ) -> None:
        self.X, self.y, self.groups, self.left_out = X, y, groups, left_out
        start = time.perf_counter()
        model = request_people(clone(estimator))
        is_pipeline = isinstance(model, Pipeline) and len(model.steps) > 1
        self.last = model[-1] if is_pipeline else model
        self.steps = [step for _, step in model.steps[:-1] if _is_step(step)] if is_pipeline else []
        train = left_out.train
        features, people = take_windows(X, train), {"groups": groups[train]}
        for step in self.steps:
            features = _fit_transform(step, features, y[train], people)
        self.train_features = features
        self._fit_last(self.last, features, train)
        self.fit_time = time.perf_counter() - start

    def ready(self, known: str | int) -> _Ready:
        """The classifier for a state of knowledge, and the features of the test windows."""
        test = self.left_out.test
        if known == NOTHING:
            return _Ready(self.last, self._features(test, people=False), {}, self.fit_time)
        if known == UNLABELLED:
            return self._with_unlabelled(self._features(test))
        return self._with_labelled(self.left_out.calibration[int(known)])

    def _with_unlabelled(self, features: Any) -> _Ready:
        metadata = self._metadata(self.last)
        if any(metadata.values()) or not hasattr(self.last, "adapt"):
            return _Ready(self.last, features, metadata, self.fit_time)
        start = time.perf_counter()
        adapted = self.last.adapt(features)
        return _Ready(adapted, features, {}, self.fit_time + time.perf_counter() - start)

    def _with_labelled(self, calibration: np.ndarray) -> _Ready:
        if not len(calibration):
            raise ValueError(
                "no window of this person is reserved for calibration, because no class has two"
            )
        features = self._features(np.concatenate([calibration, self.left_out.test]))
        n = len(calibration)
        few = take_windows(features, np.arange(n))
        rest = take_windows(features, np.arange(n, n + len(self.left_out.test)))
        start = time.perf_counter()
        if hasattr(self.last, "personalize"):
            model = self.last.personalize(few, self.y[calibration], X_unlabelled=rest)
            return _Ready(model, rest, {}, time.perf_counter() - start)
        model = clone(self.last)
        rows = np.concatenate([self.left_out.train, calibration])
        # Windows can be in a container of any kind, features in a few only.
        both = joined(self.train_features, few) if self.steps else take_windows(self.X, rows)
        self._fit_last(model, both, rows)
        return _Ready(model, rest, self._metadata(model), time.perf_counter() - start)

    def _fit_last(self, model: Any, features: Any, rows: np.ndarray) -> None:
        routed = requested(model, "fit", {"groups": self.groups[rows]})
        model.fit(features, self.y[rows], **routed)

    def _features(self, rows: np.ndarray, *, people: bool = True) -> Any:
        features = take_windows(self.X, rows)
        known = {"groups": self.groups[rows]} if people else {}
        for step in self.steps:
            features = step.transform(features, **requested(step, "transform", known))
        return features

    def _metadata(self, model: Any) -> dict[str, dict[str, Any]]:
        people = {"groups": self.groups[self.left_out.test]}
        return {method: requested(model, method, people) for method in (*PREDICTIONS, "score")}


def _is_step(step: Any) -> bool:
    return step is not None and not isinstance(step, str)


def _fit_transform(step: Any, X: Any, y: np.ndarray, people: Mapping[str, np.ndarray]) -> Any:
    """Fit a step, and transform what it was fitted to.

    Scikit-learn's own ``fit_transform`` does not pass people on to ``transform``.
    """
    own = getattr(type(step), "fit_transform", None)
    if own is None or own is TransformerMixin.fit_transform:
        step.fit(X, y, **requested(step, "fit", people))
        return step.transform(X, **requested(step, "transform", people))
    return step.fit_transform(X, y, **requested(step, "fit_transform", people))


def request_people(estimator: Any) -> Any:
    """Let people reach every part of an estimator that takes ``groups`` and does not decline them.

    Returns the estimator, which is changed.
    """
    for part in (estimator, *estimator.get_params(deep=True).values()):
        if isinstance(part, type) or not hasattr(part, "get_metadata_routing"):
            continue
        try:
            request = part.get_metadata_routing()
        except NotImplementedError:  # a meta-estimator that does not support metadata routing
            continue
        if not isinstance(request, MetadataRequest):
            continue
        for method in _METHODS:
            requests = getattr(request, method).requests
            if "groups" in requests and requests["groups"] is None:
                getattr(part, f"set_{method}_request")(groups=True)
    return estimator


def joined(first: Any, second: Any) -> Any:
    """Rows of two arrays, sparse matrices, data frames or lists of the same kind."""
    if isinstance(first, list | tuple):
        return [*first, *second]
    if sparse.issparse(first):
        return sparse.vstack([first, second]).tocsr()
    if hasattr(first, "iloc"):
        import pandas as pd

        return pd.concat([first, second], ignore_index=True)
    return np.concatenate([first, second])
