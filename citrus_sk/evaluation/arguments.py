"""Checks of estimators, scorers and data that are to be evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.metrics import get_scorer, get_scorer_names, log_loss, make_scorer

from .._utils.validation import did_you_mean, last_step
from ..signals.containers import count_windows
from ..signals.targets import check_groups
from .splitters import check_labels

LOG_LOSS = "neg_log_loss"
SCORING = ("accuracy", "f1_macro", LOG_LOSS)


def check_estimators(estimators: Any) -> dict[str, Any]:
    """Estimators by name. Those without a name are named after their class."""
    if isinstance(estimators, Mapping):
        named = list(estimators.items())
    elif isinstance(estimators, list | tuple):
        named = [item if isinstance(item, tuple) else (None, item) for item in estimators]
    else:
        named = [(None, estimators)]
    if not named:
        raise ValueError("estimators is empty; expected at least one classifier.")
    models: dict[str, Any] = {}
    for name, model in named:
        if isinstance(model, type) or not hasattr(model, "fit") or not hasattr(model, "get_params"):
            raise TypeError(
                f"estimators holds {model!r}, which is not a scikit-learn estimator; expected an "
                "instance with fit, predict and get_params."
            )
        if not is_classifier(model):
            raise TypeError(
                f"estimators holds {type(model).__name__}, which is not a classifier; expected one "
                "that predicts class labels."
            )
        if name is not None and not isinstance(name, str):
            raise TypeError(f"estimators has the name {name!r}; expected names that are strings.")
        if name is None:
            name = _name_of(model, models)
        if name in models:
            raise ValueError(f"estimators has {name!r} twice; expected each name once.")
        models[name] = model
    return models


def _name_of(model: Any, taken: Mapping[str, Any]) -> str:
    name = base = type(last_step(model)).__name__
    number = 2
    while name in taken:
        name, number = f"{base}-{number}", number + 1
    return name


def check_scorers(scoring: Any, y: np.ndarray) -> dict[str, Any]:
    """Scorers by name.

    The one named "neg_log_loss" is given the classes of `y`: scikit-learn's takes them from the
    test windows, and fails where these lack a class, as those of one person often do.

    Raises
    ------
    TypeError, ValueError
        If one is unknown.
    """
    if isinstance(scoring, str):
        scoring = {scoring: scoring}
    elif callable(scoring):
        scoring = {"score": scoring}
    elif not isinstance(scoring, Mapping):
        scoring = {name: name for name in scoring}
    if not scoring:
        raise ValueError("scoring is empty; expected at least one scorer, such as 'accuracy'.")
    known = get_scorer_names()
    found = {}
    for name, scorer in scoring.items():
        if isinstance(scorer, str) and scorer not in known:
            raise ValueError(
                f"scoring holds {scorer!r}, which is unknown.{did_you_mean(scorer, known)} "
                "Expected names of sklearn.metrics.get_scorer_names(), such as "
                "'balanced_accuracy', or callables in a dict."
            )
        if not isinstance(scorer, str) and not callable(scorer):
            raise TypeError(
                f"scoring holds {scorer!r}; expected the name of a scorer, or a callable of "
                "(estimator, X, y)."
            )
        found[str(name)] = _log_loss_of(y) if scorer == LOG_LOSS else get_scorer(scorer)
    return found


def _log_loss_of(y: np.ndarray) -> Any:
    labels = np.unique(y).tolist()
    return make_scorer(
        log_loss, greater_is_better=False, response_method="predict_proba", labels=labels
    )


def check_data(X: Any, y: Any, groups: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Labels of at least two classes and groups, one for each window.

    Raises
    ------
    TypeError, ValueError
        If their number differs from that of the windows, or one is missing.
    """
    n_windows = count_windows(X)
    y = check_labels(y, n_windows)
    if n_windows != len(y):
        raise ValueError(
            f"X has {n_windows} windows and y has {len(y)} labels; expected one label for each "
            "window."
        )
    if len(labels := np.unique(y)) < 2:
        raise ValueError(f"y holds a single class, {labels[0]}; expected two or more.")
    return y, None if groups is None else check_groups(groups, n_windows)
