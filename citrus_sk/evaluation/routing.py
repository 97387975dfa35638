"""Metadata of an evaluation, such as people: who requests it, and the windows it is cut to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    get_routing_for_object,
    process_routing,
)

from ..signals.containers import at_rows

PREDICTIONS = ("predict_proba", "predict_log_proba", "decision_function", "predict")
_OWNER = "fraction_curve"


@dataclass(frozen=True)
class Routed:
    """Keyword arguments of ``fit``, of each scorer, and of each method that predicts."""

    fit: Mapping[str, Any]
    scorers: Mapping[str, Mapping[str, Any]]
    predictions: Mapping[str, Mapping[str, Any]]


def route(
    estimator: Any,
    scorers: Mapping[str, Any],
    params: Mapping[str, Any],
    groups: np.ndarray | None,
    train: np.ndarray,
    test: np.ndarray,
    n_windows: int,
) -> Routed:
    """Metadata of a fit, its scorers and its predictions, for the windows that each is given.

    Without metadata routing, `params` go to ``fit`` and nothing goes anywhere else. With it,
    `params` go where they are requested, and `groups` go where ``groups`` is requested.

    Raises
    ------
    TypeError, sklearn.exceptions.UnsetMetadataPassedError
        If nothing requests an entry of `params`, or a method that takes it neither requests nor
        declines it.
    """
    for_fit, for_predictions = dict(params), {}
    for_scorers: dict[str, dict[str, Any]] = {name: {} for name in scorers}
    if get_config()["enable_metadata_routing"]:
        people = {} if groups is None or "groups" in params else {"groups": groups}
        for method in (*PREDICTIONS, "score"):
            for_predictions[method] = requested(estimator, method, people | for_fit)
        for_fit, for_scorers = _route_params(estimator, scorers, params)
        for_fit |= requested(estimator, "fit", people)
        for name, scorer in scorers.items():
            for_scorers[name] |= requested(scorer, "score", people)
    return Routed(
        fit=at_rows(for_fit, train, n_windows),
        scorers={name: at_rows(each, test, n_windows) for name, each in for_scorers.items()},
        predictions={
            name: at_rows(each, test, n_windows) for name, each in for_predictions.items()
        },
    )


def requested(consumer: Any, method: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Entries of `metadata` that a method of an estimator or a scorer requests."""
    if not metadata:
        return {}
    try:
        names = get_routing_for_object(consumer).consumes(method, metadata)
    except NotImplementedError:  # a meta-estimator that does not support metadata routing
        return {}
    if not names:
        return {}
    router = MetadataRouter(owner=_OWNER)
    router.add(consumer=consumer, method_mapping=MethodMapping().add(caller="fit", callee=method))
    routed = process_routing(router, "fit", **{name: metadata[name] for name in names})
    return dict(routed.consumer[method])


def _route_params(
    estimator: Any, scorers: Mapping[str, Any], params: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """`params` of ``fit`` and of each scorer; what nothing requests is an error."""
    router = MetadataRouter(owner=_OWNER)
    fits = MethodMapping().add(caller="fit", callee="fit")
    router.add(estimator=estimator, method_mapping=fits)
    tests = MethodMapping().add(caller="fit", callee="score")
    router.add(method_mapping=tests, **{f"scorer_{name}": s for name, s in scorers.items()})
    # Metadata of predictions alone has a consumer, of which this router knows nothing.
    routing = get_routing_for_object(estimator)
    predicted = set().union(*(routing.consumes(m, params) for m in (*PREDICTIONS, "score")))
    predicted -= router.consumes("fit", params)
    strict = {name: value for name, value in params.items() if name not in predicted}
    routed = process_routing(router, "fit", **strict)
    found = {name: dict(routed[f"scorer_{name}"].score) for name in scorers}
    return dict(routed.estimator.fit), found
