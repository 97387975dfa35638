"""Scores of a learning curve as a tidy table, with summaries and comparisons."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from .score_table import ScoreTable

KEYS = ("estimator", "fraction", "shots", "repeat", "fold", "n_train", "n_test", "n_available")


class FractionCurve(ScoreTable):
    """Scores by estimator, amount of data, repeat and fold, as `fraction_curve` returns them.

    Attributes
    ----------
    rows : list of dict
        One for each fit, ordered by estimator, amount, repeat and fold. Keys are the columns of
        `table` and, where they are known, ``confusion`` (windows by true and predicted class) and
        ``reliability`` (windows, sum of confidence and correct windows, in ten bins of confidence)
        and ``reliability_by_person`` (the same of each person in the test fold).
    metrics : list of str
        Names of the scorers.
    settings : dict
        Settings for the report: windows of each class, shape and fingerprint of the data, folds,
        seed, estimators with their parameters, versions of packages.
    """

    _keys: ClassVar[tuple[str, ...]] = KEYS
    _format: ClassVar[Any] = 1
    _sparse_integers: ClassVar[tuple[str, ...]] = ("shots",)

    def __repr__(self) -> str:
        return (
            f"<FractionCurve: {len(self.estimators)} estimators, {len(self._points())} amounts of "
            "data, "
            f"{len(self.rows)} fits, {', '.join(self.metrics)}>"
        )

    @property
    def fractions(self) -> list[float]:
        """Fractions of the training fold, in increasing order."""
        return sorted({row["fraction"] for row in self.rows if not math.isnan(row["fraction"])})

    @property
    def shots(self) -> list[int]:
        """Numbers of windows per class, in increasing order."""
        return sorted({int(row["shots"]) for row in self.rows if not math.isnan(row["shots"])})

    def scores(
        self,
        estimator: str,
        metric: str | None = None,
        *,
        fraction: float | None = None,
        shots: int | None = None,
    ) -> np.ndarray:
        """Scores of one estimator at one amount of data.

        Parameters
        ----------
        estimator : str
            Name of the estimator.
        metric : str, default=None
            One of `metrics`, ``"fit_time"`` or ``"predict_time"``; None is the first of `metrics`.
        fraction, shots : float or int
            Amount of data; pass one of the two.

        Returns
        -------
        ndarray of shape (n_repeats * n_folds,)
            Scores ordered by repeat and fold, which are the same for every estimator. NaN where a
            fit failed.
        """
        metric = self._check_metric(metric)
        return np.array([row[metric] for row in self.select(estimator, fraction, shots)], float)

    def select(
        self, estimator: str, fraction: float | None = None, shots: int | None = None
    ) -> list[dict[str, Any]]:
        """Rows of one estimator at one amount of data, ordered by repeat and fold."""
        self._check_estimator(estimator)
        return self._select(estimator, self._check_amount(fraction, shots))

    def summary(self, metric: str | None = None, *, confidence: float = 0.95) -> Any:
        """Compute means with confidence bands.

        Parameters
        ----------
        metric : str, default=None
            Metric to summarise; all of `metrics` if None.
        confidence : float, default=0.95
            Confidence level of the band, in (0, 1).

        Returns
        -------
        pandas.DataFrame or structured ndarray
            Columns ``estimator``, ``fraction``, ``shots``, ``n_train`` (mean), ``metric``,
            ``n_scores`` (fits with a score), ``n_fits``, ``mean``, ``low`` and ``high``.

        Notes
        -----
        Folds share training windows, so their scores are not independent. The band is that of the
        corrected resampled t-test [1]_: for `k` scores the variance of the mean is ``(1/k +
        n_test/n_available) * var``, where `n_available` counts the whole training fold. It is
        clipped to [0, 1] for scores such as accuracy, and at 0 for losses and times.

        References
        ----------
        .. [1] Nadeau and Bengio (2003). Inference for the generalization error. Machine Learning
           52, 239-281.
        """
        return self._summary(metric, confidence)

    def bands(
        self, estimator: str, metric: str, amount: str, confidence: float = 0.95
    ) -> list[tuple[float, dict[str, Any]]]:
        """Pairs of an amount and its row of `summary`, for one estimator."""
        values = self.fractions if amount == "fraction" else self.shots
        return [
            (value, self._band(estimator, (amount, float(value)), metric, confidence))
            for value in values
        ]

    def compare(
        self, first: str, second: str, metric: str | None = None, *, confidence: float = 0.95
    ) -> Any:
        """Compare two estimators fold by fold at each amount of data.

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
            Columns ``fraction``, ``shots``, ``difference``, ``low``, ``high``, ``p_value``
            (corrected resampled t-test, see `compare_on_folds`), ``p_holm`` (corrected for the
            number of amounts), ``effect_size`` and ``n_folds``. Folds on which either estimator
            failed are left out; NaN where fewer than two remain.
        """
        return self._compare(first, second, metric, confidence)

    def _point(self, row: Mapping[str, Any]) -> tuple[str, float]:
        kind = "shots" if math.isnan(row["fraction"]) else "fraction"
        return kind, float(row[kind])

    def _about(self, point: tuple[str, float]) -> dict[str, Any]:
        return {"fraction": math.nan, "shots": math.nan} | dict([point])

    def _points(self) -> list[tuple[str, float]]:
        fractions = [("fraction", float(value)) for value in self.fractions]
        return fractions + [("shots", float(value)) for value in self.shots]

    def _check_amount(self, fraction: float | None, shots: int | None) -> tuple[str, float]:
        if (fraction is None) == (shots is None):
            raise ValueError(
                f"fraction={fraction!r} and shots={shots!r}; expected one of the two: fractions "
                f"are {self.fractions}, shots are {self.shots}."
            )
        amount = ("shots", float(shots)) if fraction is None else ("fraction", float(fraction))  # type: ignore[arg-type]
        if amount not in self._points():
            raise ValueError(
                f"{amount[0]}={amount[1]:g} is not in this curve; fractions are {self.fractions}, "
                f"shots are {self.shots}."
            )
        return amount
