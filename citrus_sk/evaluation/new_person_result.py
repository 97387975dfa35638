"""Scores on new people by what is known of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from .score_table import ScoreTable

NOTHING, UNLABELLED, LABELLED = "nothing", "unlabelled", "labelled"


class NewPersonCurve(ScoreTable):
    """Scores by estimator, what is known of a person, and person, as `new_person_curve` returns.

    Attributes
    ----------
    rows : list of dict
        One for each estimator, state of knowledge and person, in this order. Keys are the columns
        of `table` and, where they are known, ``confusion`` (windows by true and predicted class)
        and ``reliability`` (windows, sum of confidence and correct windows, in ten bins of
        confidence). ``known`` is ``"nothing"``, ``"unlabelled"`` or ``"labelled"``, and
        ``n_calibration`` the number of labelled windows per class. ``n_train`` counts the windows
        of the other people and the calibration windows, ``n_available`` those of the others alone.
        ``fit_time`` is that of the fit on the other people, or with labelled windows that of
        ``personalize`` or of the second fit of the last step. ``predict_time`` is that of the last
        step.
    metrics : list of str
        Names of the scorers.
    settings : dict
        Settings for the report: windows of each class, shape and fingerprint of the data, seed,
        estimators with their parameters, versions of packages.
    """

    _keys: ClassVar[tuple[str, ...]] = (
        "estimator", "known", "n_calibration", "person", "n_train", "n_test", "n_available",
    )  # fmt: skip
    _format: ClassVar[Any] = "new person 1"

    def __repr__(self) -> str:
        return (
            f"<NewPersonCurve: {len(self.estimators)} estimators, {len(self.people)} people, known "
            f"of them: {', '.join(map(str, self.known))}; {', '.join(self.metrics)}>"
        )

    @property
    def known(self) -> list[str | int]:
        """States of knowledge: ``"nothing"``, ``"unlabelled"``, and labelled windows per class."""
        return self._points()

    @property
    def people(self) -> list[str]:
        """Names of the people, who were left out one at a time."""
        return list(dict.fromkeys(row["person"] for row in self.rows))

    def scores(self, estimator: str, metric: str | None = None, *, known: str | int) -> np.ndarray:
        """Scores of one estimator on each person.

        Parameters
        ----------
        estimator : str
            Name of the estimator.
        metric : str, default=None
            One of `metrics`, ``"fit_time"`` or ``"predict_time"``; None is the first of `metrics`.
        known : {"nothing", "unlabelled"} or int
            What is known of the person; an int is a number of labelled windows per class.

        Returns
        -------
        ndarray of shape (n_people,)
            Scores in the order of `people`. NaN where a fit failed.
        """
        metric = self._check_metric(metric)
        return np.array([row[metric] for row in self.select(estimator, known)], float)

    def select(self, estimator: str, known: str | int) -> list[dict[str, Any]]:
        """Rows of one estimator for one state of knowledge, in the order of `people`."""
        self._check_estimator(estimator)
        if known not in self.known:
            raise ValueError(f"known={known!r} is not in this curve; expected one of {self.known}.")
        return self._select(estimator, known)

    def summary(self, metric: str | None = None, *, confidence: float = 0.95) -> Any:
        """Compute means over people with confidence intervals.

        Parameters
        ----------
        metric : str, default=None
            Metric to summarise; all of `metrics` if None.
        confidence : float, default=0.95
            Confidence level of the interval, in (0, 1).

        Returns
        -------
        pandas.DataFrame or structured ndarray
            Columns ``estimator``, ``known``, ``n_calibration``, ``n_train`` (mean), ``metric``,
            ``n_scores`` (people with a score), ``n_fits`` (people), ``mean``, ``low`` and ``high``.
            Every person has the same weight.

        Notes
        -----
        The interval is that of the corrected resampled t-test, because the people left out share
        training windows; see `FractionCurve.summary`.
        """
        return self._summary(metric, confidence)

    def bands(
        self, estimator: str, metric: str, confidence: float = 0.95
    ) -> list[tuple[str | int, dict[str, Any]]]:
        """Pairs of what is known and its row of `summary`, for one estimator."""
        return [(known, self._band(estimator, known, metric, confidence)) for known in self.known]

    def compare(
        self, first: str, second: str, metric: str | None = None, *, confidence: float = 0.95
    ) -> Any:
        """Compare two estimators person by person for each state of knowledge.

        Parameters
        ----------
        first, second : str
            Names of estimators.
        metric : str, default=None
            Metric to compare; the first of `metrics` if None.
        confidence : float, default=0.95
            Confidence level of the interval, in (0, 1).

        Returns
        -------
        pandas.DataFrame or structured ndarray
            Columns ``known``, ``n_calibration``, ``difference``, ``low``, ``high``, ``p_value``
            (corrected resampled t-test, see `compare_on_folds`), ``p_holm`` (corrected for the
            number of rows), ``effect_size`` and ``n_folds`` (people). People on whom either
            estimator failed are left out; NaN where fewer than two remain.
        """
        return self._compare(first, second, metric, confidence)

    def _point(self, row: Mapping[str, Any]) -> str | int:
        return int(row["n_calibration"]) if row["known"] == LABELLED else str(row["known"])

    def _about(self, point: str | int) -> dict[str, Any]:
        return about(point)


def about(known: str | int) -> dict[str, Any]:
    """The two columns that state what is known of a person."""
    if isinstance(known, str):
        return {"known": known, "n_calibration": 0}
    return {"known": LABELLED, "n_calibration": known}
