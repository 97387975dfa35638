"""Learning curves of several classifiers over fractions of the labelled data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
from sklearn import get_config

from .._utils.validation import as_flag
from .arguments import SCORING, check_data, check_estimators, check_scorers
from .cell import run_cell
from .leakage import warn_of_leaks
from .memory import temporary_memory
from .plan import Draw, check_amounts, check_repeats, plan_draws
from .result import FractionCurve
from .run_directory import fingerprint
from .runs import Run, settings_of, warn_failed
from .splitters import as_seed


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
    cache_features: bool = True,
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
        default is ``("accuracy", "f1_macro", "neg_log_loss")``. The last one also scores test
        windows that lack a class.
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
    cache_features : bool, default=True
        Whether the features of frozen networks are computed once for each window and shared by
        all fits, on the CPU. This changes no result. They are kept in a temporary folder of 1 GB
        at most, which is the ``memory`` of each estimator of this package that has none.
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
    amounts = check_amounts(fractions, shots)
    check_repeats(n_repeats)
    cache_features = as_flag("cache_features", cache_features)
    params = dict(params or {})
    y, groups = check_data(X, y, groups)
    scorers = check_scorers(scoring, y)
    seed = as_seed(random_state)
    draws = plan_draws(X, y, groups, amounts=amounts, cv=cv, n_repeats=n_repeats, seed=seed)
    warn_of_leaks(X, groups)
    data = fingerprint(X, y, groups)
    run = Run(run_dir, data)
    # Ordered by fold, and not by amount, so that the remaining time is not underestimated.
    tasks = [(name, draw) for draw in draws for name in models]
    windows = [each for draw in draws for each in [(draw.train, draw.test)] * len(models)]
    others = [params, report_oracle_epoch]
    if get_config()["enable_metadata_routing"]:  # which decides who is given the people
        others.append("metadata routing")
    keys = run.keys([name for name, _ in tasks], windows, models, scorers, others)
    with temporary_memory(cache_features) as memory:
        cells = [
            (models[name], X, y, draw.train, draw.test, scorers, params, n_threads,
             report_oracle_epoch, groups, memory)
            for name, draw in tasks
        ]  # fmt: skip
        outcomes = run.outcomes(run_cell, cells, keys, n_jobs=n_jobs, verbose=verbose)
    # By estimator and amount; the sort is stable, and tasks are ordered by repeat and fold already.
    order = {key: i for i, key in enumerate((n, a) for n in models for a in amounts)}
    by_estimator = sorted(range(len(tasks)), key=lambda i: order[tasks[i][0], tasks[i][1].amount])
    rows = [_row(*tasks[i], outcomes[i]) for i in by_estimator]
    protocol = {"cv": repr(cv), "n_repeats": n_repeats, "random_state": repr(seed)}
    settings = settings_of(models, X, y, groups, data) | protocol
    curve = FractionCurve(rows, metrics=list(scorers), settings=settings)
    warn_failed(curve)
    return curve


def _row(name: str, draw: Draw, outcome: Mapping[str, Any]) -> dict[str, Any]:
    amounts = {"fraction": np.nan, "shots": np.nan, draw.amount.kind: draw.amount.value}
    return {
        "estimator": name, **amounts, "repeat": draw.repeat, "fold": draw.fold,
        "n_train": len(draw.train), "n_test": len(draw.test), "n_available": draw.n_available,
        **outcome,
    }  # fmt: skip
