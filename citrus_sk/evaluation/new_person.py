"""Scores on new people: with nothing known of them, unlabelled windows, and a few labels."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from os import PathLike
from typing import Any

import numpy as np

from .._utils.validation import as_flag, check_number
from .arguments import SCORING, check_data, check_estimators, check_scorers
from .leakage import warn_of_calibration_leaks
from .memory import temporary_memory
from .new_person_cell import LeftOut, run_person
from .new_person_result import NOTHING, UNLABELLED, NewPersonCurve, about
from .person_splitter import FEWEST_RESERVED, LeaveOnePersonOut
from .plan import as_list
from .run_directory import fingerprint
from .runs import Run, settings_of, warn_failed
from .splitters import as_seed

N_CALIBRATION = (0, 1, 2, 5, 10)


def new_person_curve(
    estimators: Any,
    X: Any,
    y: Any,
    groups: Any,
    *,
    n_calibration: Sequence[int] = N_CALIBRATION,
    n_reserved: int | None = None,
    shuffle: bool = True,
    scoring: str
    | Callable[..., Any]
    | Sequence[str]
    | Mapping[str, str | Callable[..., Any]] = SCORING,
    random_state: int | np.random.RandomState | None = 0,
    n_jobs: int | None = None,
    n_threads: int | None = 1,
    run_dir: str | PathLike[str] | None = None,
    cache_features: bool = True,
    verbose: int = 0,
) -> NewPersonCurve:
    """Score classifiers on people who are not in the training windows, by what is known of them.

    One person at a time is left out, and each classifier is fitted on all windows of the others.
    It is then scored on the same test windows of the person left out

    - with nothing known of the person (``"nothing"``),
    - with all test windows of the person at once, without labels (``"unlabelled"``),
    - with 1, 2, 5 and 10 labelled windows per class of the person, which are not tested on.

    The last two show what adaptation to a person is worth. They measure different things than a
    curve over fractions of the training people, in which test people stay unknown.

    Parameters
    ----------
    estimators : estimator, dict of str to estimator, or list of estimators or (name, estimator)
        Scikit-learn classifiers. They are cloned. See the Notes for how each adapts.
    X : array-like of shape (n_windows, n_chans, n_times), or whatever the estimators take
        Windows: an array, a list of arrays, a data frame or `mne.Epochs`.
    y : array-like of shape (n_windows,)
        Class labels.
    groups : array-like of shape (n_windows,)
        Person of each window.
    n_calibration : sequence of int, default=(0, 1, 2, 5, 10)
        Numbers of labelled windows per class of the person left out, in increasing order. 0 stands
        for both ``"nothing"`` and ``"unlabelled"``.
    n_reserved : int or None, default=None
        Number of windows of each class that are reserved for calibration, and never tested on; at
        most half of them are. None is the larger of 10 and the largest `n_calibration`. See
        `LeaveOnePersonOut`.
    shuffle : bool, default=True
        Whether calibration windows are drawn at random. False takes the first ones of each class
        in the order of `X`, as a calibration at the beginning of a recording does. Use False if
        windows overlap.
    scoring : str, callable, sequence of str, or dict
        Scikit-learn's scorers by name, or as a dict of names and scorers; larger is better. The
        default is ``("accuracy", "f1_macro", "neg_log_loss")``. The last one also scores people
        who lack a class. For a pipeline, a scorer is called with its last step and the features
        that this step predicts from.
    random_state : int, RandomState instance or None, default=0
        Seed of the draws; None takes a new one at each call. Estimators are seeded by their own
        ``random_state``.
    n_jobs : int or None, default=None
        Number of fits at the same time, as in `fraction_curve`.
    n_threads : int or None, default=1
        Threads of numpy and torch in each fit, as in `fraction_curve`.
    run_dir : path-like, default=None
        Folder in which the scores of each estimator on each person are stored as soon as they are
        computed, and from which the same call resumes, as in `fraction_curve`. Use another folder
        than for `fraction_curve`.
    cache_features : bool, default=True
        Whether the features of frozen networks are computed once for each window, as in
        `fraction_curve`.
    verbose : int, default=0
        1 shows a progress bar with the remaining time.

    Returns
    -------
    NewPersonCurve
        Scores as a tidy table, with means and intervals over people, and comparisons.

    Raises
    ------
    TypeError, ValueError
        If an argument is not valid; no fit has run then.

    Warns
    -----
    UserWarning
        If a calibration window is identical to a test window or overlaps with it, if windows of
        two people do, if a class of a person has fewer reserved windows than the largest
        `n_calibration`, if a class occurs in one person only, or if fits failed.

    See Also
    --------
    NewPersonDisplay : Plots the scores.
    LeaveOnePersonOut : The same splits for `sklearn.model_selection.cross_validate`.
    fraction_curve : Scores over the amount of training data, on people of whom nothing is known.

    Notes
    -----
    People are passed, as ``groups``, to every part of an estimator that takes them in ``fit``,
    ``transform``, or a method that predicts, unless it declines them by a metadata request such as
    ``set_predict_request(groups=False)``. Metadata routing need not be enabled. A part that takes
    no people is fitted and applied as usual.

    With ``"nothing"``, no people are passed for the test windows. With ``"unlabelled"`` they are,
    and an estimator that takes none but has a method ``adapt`` predicts with
    ``adapt(X_test)``. Scores then describe a person whose windows are all recorded before the first
    is classified, and who does every class about as often as the training people do.

    With labelled windows, an estimator with a method ``personalize`` predicts with
    ``personalize(X_few, y_few, X_unlabelled=X_test)``. Any other is fitted again on the windows of
    the other people and the labelled windows together, all with the same weight.

    Of a pipeline, all of this concerns the last step. The steps before it are fitted once, on the
    other people, and transform the calibration and the test windows of the person together.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from citrus_sk import GroupRecenter
    >>> from citrus_sk.evaluation import new_person_curve
    >>> rng = np.random.default_rng(0)
    >>> y, people = np.tile(["rest", "fist"], 120), np.repeat(np.arange(6), 40)
    >>> X = rng.standard_normal((240, 2)) + 2 * (y == "fist")[:, None]
    >>> X += 2 * rng.standard_normal((6, 2))[people]  # people differ
    >>> curve = new_person_curve(
    ...     make_pipeline(GroupRecenter(), LogisticRegression()), X, y, people,
    ...     n_calibration=(0, 10), scoring="accuracy",
    ... )
    >>> for known in curve.known:
    ...     print(f"{known}: {curve.scores('LogisticRegression', known=known).mean():.2f}")
    nothing: 0.70
    unlabelled: 0.91
    10: 0.90
    """
    models = check_estimators(estimators)
    counts = check_n_calibration(n_calibration)
    check_number("n_reserved", n_reserved, Integral, alternatives=(None,))
    shuffle = as_flag("shuffle", shuffle)
    cache_features = as_flag("cache_features", cache_features)
    if groups is None:
        raise ValueError(
            "groups is None; expected the person of each window, because one person is left out at "
            "a time."
        )
    y, groups = check_data(X, y, groups)
    scorers = check_scorers(scoring, y)
    assert groups is not None
    seed = as_seed(random_state)
    splits = _plan_people(X, y, groups, counts, n_reserved, shuffle, seed)
    calibrated, tested = _calibrated_and_tested(splits, len(y))
    warn_of_calibration_leaks(X, groups, calibrated, tested, shuffled=shuffle)
    known: list[str | int] = [NOTHING, UNLABELLED] if counts[0] == 0 else []
    known += [count for count in counts if count]
    data = fingerprint(X, y, groups)
    run = Run(run_dir, data)
    tasks = [(name, split) for split in splits for name in models]
    windows = [
        each
        for split in splits
        for each in [(split.train, split.test, *split.calibration.values())] * len(models)
    ]
    keys = run.keys([name for name, _ in tasks], windows, models, scorers, ["new person", known])
    with temporary_memory(cache_features) as memory:
        cells = [
            (models[name], X, y, groups, split, scorers, known, n_threads, memory)
            for name, split in tasks
        ]
        outcomes = run.outcomes(run_person, cells, keys, n_jobs=n_jobs, verbose=verbose)
    by_fit = {
        (name, id(split)): outcome["rows"]
        for (name, split), outcome in zip(tasks, outcomes, strict=True)
    }
    rows = [
        _row(name, value, split, by_fit[name, id(split)][i])
        for name in models
        for i, value in enumerate(known)
        for split in splits
    ]
    protocol = {
        "n_calibration": counts, "n_reserved": n_reserved, "shuffle": shuffle,
        "random_state": repr(seed),
    }  # fmt: skip
    settings = settings_of(models, X, y, groups, data) | protocol
    curve = NewPersonCurve(rows, metrics=list(scorers), settings=settings)
    warn_failed(curve)
    return curve


def check_n_calibration(n_calibration: Any) -> list[int]:
    """Numbers of windows per class in increasing order, each once.

    Raises
    ------
    TypeError, ValueError
        If there is none, or one is out of range, listed twice or out of order.
    """
    counts = as_list("n_calibration", n_calibration, "(0, 1, 5), windows per class")
    for count in counts:
        check_number("n_calibration", count, Integral)
    if not counts:
        raise ValueError("n_calibration is empty; expected at least one number, such as (0, 5).")
    if twice := [count for count, n in Counter(counts).items() if n > 1]:
        raise ValueError(
            f"n_calibration holds {twice[0]!r} more than once; expected each number once."
        )
    if counts != sorted(counts):
        raise ValueError(
            f"n_calibration={tuple(counts)} is not sorted; expected increasing numbers, "
            f"{tuple(sorted(counts))}."
        )
    return [int(count) for count in counts]


def _plan_people(
    X: Any,
    y: np.ndarray,
    groups: np.ndarray,
    counts: Sequence[int],
    n_reserved: int | None,
    shuffle: bool,
    seed: int,
) -> list[LeftOut]:
    """Windows of each person left out, with the calibration windows for each number of them."""
    reserved = max(FEWEST_RESERVED, counts[-1]) if n_reserved is None else n_reserved
    folds: dict[int, Any] = {}
    for count in reversed(counts):
        cv = LeaveOnePersonOut(count, n_reserved=reserved, shuffle=shuffle, random_state=seed)
        with warnings.catch_warnings():
            if folds:  # the largest number has warned already
                warnings.simplefilter("ignore", UserWarning)
            folds[count] = list(cv.split_calibration(X, y, groups))
    return [
        LeftOut(
            person=groups[test[0]], train=train, test=test,
            calibration={count: folds[count][i][1] for count in counts if count},
        )
        for i, (train, _, test) in enumerate(folds[counts[0]])
    ]  # fmt: skip


def _calibrated_and_tested(splits: Sequence[LeftOut], n_windows: int) -> tuple[np.ndarray, ...]:
    """Whether each window is ever used to calibrate, and whether it is tested on."""
    calibrated, tested = np.zeros((2, n_windows), bool)
    for split in splits:
        tested[split.test] = True
        for rows in split.calibration.values():
            calibrated[rows] = True
    return calibrated, tested


def _row(name: str, known: str | int, split: LeftOut, outcome: Mapping[str, Any]) -> dict[str, Any]:
    n_calibrated = 0 if isinstance(known, str) else len(split.calibration[known])
    n_available = len(split.train)
    return {
        "estimator": name, **about(known), "person": str(split.person),
        "n_train": n_available + n_calibrated, "n_test": len(split.test),
        "n_available": n_available, **outcome,
    }  # fmt: skip
