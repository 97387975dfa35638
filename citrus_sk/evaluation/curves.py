"""Learning curves of several classifiers over fractions of the labelled data."""

from __future__ import annotations

import os
import platform
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import metadata
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.base import is_classifier
from sklearn.metrics import get_scorer, get_scorer_names
from sklearn.utils.parallel import Parallel, delayed

from .._utils.optional import progress_bar
from .._utils.validation import did_you_mean, last_step
from ..signals.targets import check_groups
from .cell import end_with, run_cell
from .leakage import warn_of_leaks
from .plan import Draw, check_amounts, check_repeats, plan_draws
from .result import FractionCurve
from .run_directory import RunDirectory, estimator_fingerprint, fingerprint, sources
from .splitters import as_seed, check_labels, count_windows

SCORING = ("accuracy", "f1_macro", "neg_log_loss")
_PACKAGES = ("citrus_sk", "scikit-learn", "numpy", "scipy", "torch", "braindecode", "aeon")


def fraction_curve(
    estimators: Any,
    X: Any,
    y: Any,
    *,
    groups: Any = None,
    fractions: Sequence[float] | None = None,
    shots: Sequence[int] | None = None,
    cv: Any = 5,
    n_repeats: int | str = "auto",
    scoring: str
    | Callable[..., Any]
    | Sequence[str]
    | Mapping[str, str | Callable[..., Any]] = SCORING,
    params: Mapping[str, Any] | None = None,
    random_state: int | np.random.RandomState | None = 0,
    n_jobs: int | None = None,
    n_threads: int | None = 1,
    run_dir: str | PathLike[str] | None = None,
    report_oracle_epoch: bool = False,
    verbose: int = 0,
) -> FractionCurve:
    """Score classifiers trained on fractions of each training fold.

    Every classifier is trained on the same windows and tested on the same windows: folds by
    group, nested and stratified draws, as in `StratifiedFractionKFold`. A fit that fails becomes a
    row with the reason, and the other fits continue.

    Parameters
    ----------
    estimators : estimator, dict of str to estimator, or list of estimators or (name, estimator)
        Scikit-learn classifiers. They are cloned.
    X : array-like of shape (n_windows, n_chans, n_times), or whatever the estimators take
        Windows: an array, a list of arrays, a data frame or `mne.Epochs`.
    y : array-like of shape (n_windows,)
        Class labels.
    groups : array-like of shape (n_windows,), default=None
        Person or recording of each window; no group is both trained and tested on. Pass them
        whenever windows of one person resemble each other or overlap. With metadata routing
        enabled, they also reach each ``fit``, each method that predicts and each scorer that
        requests ``groups``, such as those of an estimator that adapts to people.
    fractions : sequence of float, default=None
        Fractions of the training fold in (0, 1], in increasing order. None is (0.01, 0.02, 0.05,
        0.1, 0.2, 0.5, 1.0), or no fraction if `shots` is passed.
    shots : sequence of int, default=None
        Numbers of windows per class in increasing order, such as (1, 5, 10).
    cv : int, splitter or list of (train, test), default=5
        Number of folds, or folds of your own, from which the same amounts are drawn.
    n_repeats : int or "auto", default="auto"
        Number of draws of each amount. ``"auto"`` repeats small amounts, whose scores depend most
        on the draw: 5 times at 1 % and 2 %, twice at 5 %, once from 10 % on; 5 times for one shot,
        twice for five. If `cv` is a number, each repeat makes new folds.
    scoring : str, callable, sequence of str, or dict
        Scikit-learn's scorers by name, or as a dict of names and scorers; larger is better. The
        default is ``("accuracy", "f1_macro", "neg_log_loss")``.
    params : dict of str to object, default=None
        Parameters of each ``fit``, such as ``{"groups": people}`` or
        ``{"citrusclassifier__groups": people}``. Values with one entry per window are indexed with
        the windows. With metadata routing enabled, they are routed to the fits, predictions and
        scorers that request them.
    random_state : int, RandomState instance or None, default=0
        Seed of the folds and draws; None takes a new one at each call. Repeat ``r`` has the folds
        of ``StratifiedFractionKFold(cv, train_fraction=..., random_state=random_state + r)`` if
        `cv` is a number. Estimators are seeded by their own ``random_state``.
    n_jobs : int or None, default=None
        Number of fits at the same time, through joblib: `joblib.parallel_config` chooses
        processes, Dask or Ray. Avoid threads: estimators that seed torch or numpy would disturb
        each other.
    n_threads : int or None, default=1
        Threads of numpy and torch in each fit. With one, workers do not compete for cores, and
        scores are the same bits for any `n_jobs`. None leaves the libraries alone.
    run_dir : path-like, default=None
        Folder in which each row is stored as soon as it is computed. The same call resumes a run
        that was stopped. A stored row is used only if the data, the windows drawn, the scorers, the
        versions of packages, and the estimator's parameters, files and code are the same. Code in
        development counts with all modules of its package. Failed fits are repeated.
    report_oracle_epoch : bool, default=False
        Whether to add columns ``optimistic_best_test_epoch_...``: the best score over the epochs of
        a fit, *chosen on the test windows*, as in many published tables. It does not estimate any
        performance that can be reached; use it only to compare with such tables. Computed for
        estimators, or pipelines that end in one, with skorch's ``callbacks`` or with
        ``staged_predict_proba``; NaN for others. Fits take longer.
    verbose : int, default=0
        1 shows a progress bar with the remaining time.

    Returns
    -------
    FractionCurve
        Scores as a tidy table, with means, confidence bands and comparisons.

    Raises
    ------
    TypeError, ValueError
        If an argument is not valid; no fit has run then.

    Warns
    -----
    UserWarning
        If windows that are identical or overlap can be on both sides of a fold, if folds of `cv`
        share groups, if a class has fewer than 2 windows or is missing from a fold, or if fits
        failed.

    See Also
    --------
    FractionCurveDisplay : Plots the curve.
    StratifiedFractionKFold : The same draws for `sklearn.model_selection.cross_validate`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.dummy import DummyClassifier
    >>> from sklearn.linear_model import LogisticRegression
    >>> from citrus_sk.evaluation import fraction_curve
    >>> rng = np.random.default_rng(0)
    >>> y = np.tile(["rest", "fist"], 60)
    >>> X = rng.standard_normal((120, 20)) + (y == "fist")[:, None]
    >>> curve = fraction_curve(
    ...     {"logistic": LogisticRegression(), "prior": DummyClassifier()},
    ...     X, y, groups=np.repeat(np.arange(10), 12), fractions=(0.1, 1.0), scoring="accuracy",
    ... )
    >>> for name, fraction in [("logistic", 0.1), ("logistic", 1.0), ("prior", 1.0)]:
    ...     scores = curve.scores(name, fraction=fraction)
    ...     print(f"{name} at {fraction:.0%}: {scores.mean():.2f} over {len(scores)} folds")
    logistic at 10%: 0.94 over 5 folds
    logistic at 100%: 0.97 over 5 folds
    prior at 100%: 0.50 over 5 folds
    """
    models = check_estimators(estimators)
    scorers = check_scorers(scoring)
    amounts = check_amounts(fractions, shots)
    check_repeats(n_repeats)
    params = dict(params or {})
    y, groups = _check_lengths(X, y, groups, params)
    seed = as_seed(random_state)
    draws = plan_draws(X, y, groups, amounts=amounts, cv=cv, n_repeats=n_repeats, seed=seed)
    warn_of_leaks(X, groups)
    data = fingerprint(X, y, groups) if run_dir is not None else None
    store = None if run_dir is None else RunDirectory(Path(run_dir), str(data))
    tasks = [(name, draw) for draw in draws for name in models]
    others = [params, report_oracle_epoch]
    if get_config()["enable_metadata_routing"]:  # which decides who is given the people
        others.append("metadata routing")
    keys = _keys(tasks, models, scorers, others) if store else [""] * len(tasks)
    kept = store.rows if store else {}
    # A fit that failed because memory or a package was missing may succeed now.
    done = {key: row for key, row in kept.items() if np.isfinite(row.get("predict_time", np.nan))}

    cells = (
        delayed(_indexed_cell)(
            os.getpid(), i, models[name], X, y, draw.train, draw.test, scorers, params, n_threads,
            report_oracle_epoch, groups,
        )
        for i, (name, draw) in enumerate(tasks)
        if keys[i] not in done
    )  # fmt: skip
    outcomes = {i: done[key] for i, key in enumerate(keys) if key in done}
    bar = progress_bar(total=len(tasks), initial=len(outcomes), unit="fit", shown=bool(verbose))
    # Unordered, so that a row is on disk as soon as it is computed. Tasks are ordered by fold, and
    # not by amount, so that the remaining time is not underestimated.
    parallel = Parallel(n_jobs=n_jobs, return_as="generator_unordered", pre_dispatch="2*n_jobs")
    with bar:
        for i, outcome in parallel(cells):
            outcomes[i] = outcome
            if store:
                store.add(keys[i], outcome)
            bar.update()
    # By estimator and amount; the sort is stable, and tasks are ordered by repeat and fold already.
    order = {key: i for i, key in enumerate((n, a) for n in models for a in amounts)}
    by_estimator = sorted(range(len(tasks)), key=lambda i: order[tasks[i][0], tasks[i][1].amount])
    rows = [_row(*tasks[i], outcomes[i]) for i in by_estimator]
    settings = _settings(models, X, y, groups, cv, seed, n_repeats, data)
    curve = FractionCurve(rows, metrics=list(scorers), settings=settings)
    _warn_failed(curve)
    return curve


def _indexed_cell(
    parent: int, i: int, estimator: Any, X: Any, y: np.ndarray, train: np.ndarray,
    test: np.ndarray, scorers: Mapping[str, Any], params: Mapping[str, Any],
    n_threads: int | None, oracle: bool, groups: np.ndarray | None,
) -> tuple[int, dict[str, Any]]:  # fmt: skip
    end_with(parent)
    return i, run_cell(estimator, X, y, train, test, scorers, params, n_threads, oracle, groups)


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


def check_scorers(scoring: Any) -> dict[str, Any]:
    """Scorers by name.

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
        found[str(name)] = get_scorer(scorer)
    return found


def _check_lengths(
    X: Any, y: Any, groups: Any, params: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray | None]:
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


def _keys(
    tasks: Sequence[tuple[str, Draw]],
    models: Mapping[str, Any],
    scorers: Mapping[str, Any],
    others: Any,
) -> list[str]:
    """Cache key of each row: a hash of all that it depends on."""
    prints = {name: estimator_fingerprint(model) for name, model in models.items()}
    functions = [getattr(scorer, "_score_func", scorer) for scorer in scorers.values()]
    shared = fingerprint(scorers, sources(functions), others, _versions())
    windows = {id(draw): fingerprint(draw.train, draw.test) for _, draw in tasks}
    return [fingerprint(prints[name], shared, windows[id(draw)]) for name, draw in tasks]


def _row(name: str, draw: Draw, outcome: Mapping[str, Any]) -> dict[str, Any]:
    amounts = {"fraction": np.nan, "shots": np.nan, draw.amount.kind: draw.amount.value}
    return {
        "estimator": name, **amounts, "repeat": draw.repeat, "fold": draw.fold,
        "n_train": len(draw.train), "n_test": len(draw.test), "n_available": draw.n_available,
        **outcome,
    }  # fmt: skip


def _settings(
    models: Mapping[str, Any],
    X: Any,
    y: np.ndarray,
    groups: np.ndarray | None,
    cv: Any,
    seed: int,
    n_repeats: Any,
    data: str | None,
) -> dict[str, Any]:
    """Settings that repeat the curve, for JSON."""
    labels, counts = np.unique(y, return_counts=True)
    return {
        "classes": {str(label): int(n) for label, n in zip(labels, counts, strict=True)},
        "shape": list(getattr(X, "shape", [len(y)])),
        "n_groups": None if groups is None else len(np.unique(groups)),
        "cv": repr(cv),
        "n_repeats": n_repeats,
        "random_state": repr(seed),
        "estimators": {name: " ".join(repr(model).split()) for name, model in models.items()},
        "data": data or fingerprint(X, y, groups),
        "versions": _versions(),
    }


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return versions


def _warn_failed(curve: FractionCurve) -> None:
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
