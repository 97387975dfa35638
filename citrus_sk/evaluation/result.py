"""Scores of a learning curve as a tidy table, with summaries and comparisons."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from .._utils.optional import require
from .best_epoch import PREFIX
from .statistics import compare_on_folds, correct_holm

KEYS = ("estimator", "fraction", "shots", "repeat", "fold", "n_train", "n_test", "n_available")
TIMES = ("fit_time", "predict_time")
_FORMAT = 1
_BOUNDED = ("accuracy", "balanced_accuracy", "f1", "jaccard", "precision", "recall", "roc_auc")


class FractionCurve:
    """Scores by estimator, amount of data, repeat and fold, as `fraction_curve` returns them.

    Attributes
    ----------
    rows : list of dict
        One for each fit, ordered by estimator, amount, repeat and fold. Keys are the columns of
        `table` and, where they are known, ``confusion`` (windows by true and predicted class) and
        ``reliability`` (windows, sum of confidence and correct windows, in ten bins of confidence).
    metrics : list of str
        Names of the scorers.
    settings : dict
        Settings for the report: windows of each class, shape and fingerprint of the data, folds,
        seed, estimators with their parameters, versions of packages.
    """

    def __init__(
        self,
        rows: Sequence[Mapping[str, Any]],
        *,
        metrics: Sequence[str],
        settings: Mapping[str, Any],
    ) -> None:
        self.rows = [dict(row) for row in rows]
        self.metrics = list(metrics)
        self.settings = dict(settings)

    def __repr__(self) -> str:
        amounts = len({_amount(row) for row in self.rows})
        return (
            f"<FractionCurve: {len(self.estimators)} estimators, {amounts} amounts of data, "
            f"{len(self.rows)} fits, {', '.join(self.metrics)}>"
        )

    @property
    def estimators(self) -> list[str]:
        """Names of the estimators."""
        return list(dict.fromkeys(row["estimator"] for row in self.rows))

    @property
    def fractions(self) -> list[float]:
        """Fractions of the training fold, in increasing order."""
        return sorted({row["fraction"] for row in self.rows if not math.isnan(row["fraction"])})

    @property
    def shots(self) -> list[int]:
        """Numbers of windows per class, in increasing order."""
        return sorted({int(row["shots"]) for row in self.rows if not math.isnan(row["shots"])})

    @property
    def classes(self) -> list[str]:
        """Class labels, in the order of rows and columns of the confusion matrices."""
        return list(self.settings.get("classes", {}))

    @property
    def columns(self) -> list[str]:
        """Names of the columns of `table`."""
        optimistic = [name for name in self.rows[0] if name.startswith(PREFIX)]
        return [*KEYS, *self.metrics, *optimistic, *TIMES, "error"]

    @property
    def table(self) -> Any:
        """Scores of each fit in a row: `pandas.DataFrame`, or structured array without pandas."""
        return as_table([{name: row[name] for name in self.columns} for row in self.rows])

    @property
    def failures(self) -> list[dict[str, Any]]:
        """Rows of fits that failed in whole or in part, with the reason in ``error``."""
        return [row for row in self.rows if row["error"]]

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
        if estimator not in self.estimators:
            raise ValueError(
                f"estimator={estimator!r} is not in this curve; expected one of {self.estimators}."
            )
        amount = self._check_amount(fraction, shots)
        return [r for r in self.rows if r["estimator"] == estimator and _amount(r) == amount]

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
        metrics = self.metrics if metric is None else [self._check_metric(metric)]
        found = []
        for name in self.estimators:
            for kind in ("fraction", "shots"):
                columns = [self.bands(name, m, kind, confidence) for m in metrics]
                for of_amount in zip(*columns, strict=True):
                    found += [band for _, band in of_amount]
        return as_table(found)

    def bands(
        self, estimator: str, metric: str, amount: str, confidence: float = 0.95
    ) -> list[tuple[float, dict[str, Any]]]:
        """Pairs of an amount and its row of `summary`, for one estimator."""
        if not 0 < confidence < 1:
            raise ValueError(f"confidence={confidence!r}; expected a number between 0 and 1.")
        metric = self._check_metric(metric)
        found: list[tuple[float, dict[str, Any]]] = []
        for value in self.fractions if amount == "fraction" else self.shots:
            of_amount: dict[str, Any] = {amount: value}
            rows = self.select(estimator, **of_amount)
            about = {key: rows[0][key] for key in KEYS[:3]}
            about["n_train"] = float(np.mean([row["n_train"] for row in rows]))
            found.append((value, about | _band(rows, metric, confidence)))
        return found

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
        metric = self._check_metric(metric)
        found = []
        for kind, value in dict.fromkeys(map(_amount, self.rows)):
            of_amount: dict[str, Any] = {kind: value}
            pair = [self.select(name, **of_amount) for name in (first, second)]
            scores = np.array([[row[metric] for row in rows] for rows in pair], float)
            both = np.isfinite(scores).all(axis=0)
            about = {"fraction": math.nan, "shots": math.nan, kind: value}
            if both.sum() < 2:
                empty = dict.fromkeys(("difference", "low", "high", "p_value"), math.nan)
                found.append(about | empty | {"effect_size": math.nan, "n_folds": int(both.sum())})
                continue
            sizes = np.array([[r["n_available"], r["n_test"]] for r in pair[0]])[both].T
            result = compare_on_folds(
                *scores[:, both], n_train=sizes[0], n_test=sizes[1], confidence=confidence
            )
            found.append(about | {k: v for k, v in asdict(result).items() if k != "t"})
        known = [row for row in found if not math.isnan(row["p_value"])]
        corrected = correct_holm([row["p_value"] for row in known])
        for row, p in zip(known, corrected, strict=True):
            row["p_holm"] = float(p)
        order = ("fraction", "shots", "difference", "low", "high", "p_value", "p_holm")
        names = (*order, "effect_size", "n_folds")
        return as_table([{name: row.get(name, math.nan) for name in names} for row in found])

    def to_csv(self, path: str | PathLike[str], *, times: bool = True) -> None:
        """Write `table` as CSV, with empty cells for missing values.

        Parameters
        ----------
        path : path-like
            File to write.
        times : bool, default=True
            Whether to write the times. Without them, the same evaluation gives the same bytes
            every time, if its estimators are reproducible.
        """
        names = [name for name in self.columns if times or name not in TIMES]
        with writable(path).open("w", newline="") as file:
            writer = csv.DictWriter(file, names, extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            for row in self.rows:
                writer.writerow({k: "" if _missing(v) else v for k, v in row.items()})

    def to_parquet(self, path: str | PathLike[str]) -> None:
        """Write `table` as Parquet, with pandas and pyarrow.

        Parameters
        ----------
        path : path-like
            File to write.

        Raises
        ------
        ModuleNotFoundError
            If one of them is not installed. `to_csv` and `to_json` need neither.
        """
        for package in ("pandas", "pyarrow"):
            require(package, "to_parquet (unlike to_csv and to_json)")
        import pandas as pd

        frame = self.table
        frame["shots"] = frame["shots"].astype(pd.Int64Dtype())
        frame.to_parquet(writable(path), index=False)

    def to_json(self, path: str | PathLike[str]) -> None:
        """Write the whole curve, with confusion matrices and settings, for `read_json`.

        Parameters
        ----------
        path : path-like
            File to write.
        """
        rows = [{k: None if _missing(v) else v for k, v in row.items()} for row in self.rows]
        whole = {"format": _FORMAT, "metrics": self.metrics, "settings": self.settings}
        writable(path).write_text(json.dumps(whole | {"rows": rows}, indent=1) + "\n")

    @classmethod
    def read_json(cls, path: str | PathLike[str]) -> FractionCurve:
        """Read a curve that `to_json` wrote.

        Parameters
        ----------
        path : path-like
            File to read.

        Returns
        -------
        FractionCurve

        Raises
        ------
        ValueError
            If the file is not a curve.
        """
        try:
            whole = json.loads(Path(path).read_text())
            if whole["format"] != _FORMAT:
                raise ValueError(f"format {whole['format']!r}")
            rows = [{k: math.nan if v is None else v for k, v in r.items()} for r in whole["rows"]]
            return cls(rows, metrics=whole["metrics"], settings=whole["settings"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{str(path)!r} is not a curve ({error!r}); expected a file that to_json wrote."
            ) from error

    def _check_metric(self, metric: str | None) -> str:
        if metric is None:
            return self.metrics[0]
        if metric not in (*self.metrics, *TIMES):
            raise ValueError(
                f"metric={metric!r} is not in this curve; expected one of {self.metrics}, "
                "'fit_time' or 'predict_time'."
            )
        return metric

    def _check_amount(self, fraction: float | None, shots: int | None) -> tuple[str, float]:
        if (fraction is None) == (shots is None):
            raise ValueError(
                f"fraction={fraction!r} and shots={shots!r}; expected one of the two: fractions "
                f"are {self.fractions}, shots are {self.shots}."
            )
        amount = ("shots", float(shots)) if fraction is None else ("fraction", float(fraction))  # type: ignore[arg-type]
        if amount not in map(_amount, self.rows):
            raise ValueError(
                f"{amount[0]}={amount[1]:g} is not in this curve; fractions are {self.fractions}, "
                f"shots are {self.shots}."
            )
        return amount


def _amount(row: Mapping[str, Any]) -> tuple[str, float]:
    kind = "shots" if math.isnan(row["fraction"]) else "fraction"
    return kind, float(row[kind])


def _band(rows: Sequence[Mapping[str, Any]], metric: str, confidence: float) -> dict[str, Any]:
    values = np.array([row[metric] for row in rows], float)
    values = values[np.isfinite(values)]
    n = len(values)
    mean = float(values.mean()) if n else math.nan
    spread = math.nan
    if n > 1:
        ratio = np.mean([row["n_test"] / row["n_available"] for row in rows])
        spread = stats.t.ppf((1 + confidence) / 2, n - 1) * math.sqrt(1 / n + ratio)
        spread *= values.std(ddof=1)
    low, high = mean - spread, mean + spread
    if metric.startswith(_BOUNDED):
        low, high = np.clip([low, high], 0.0, 1.0).tolist()
    elif metric.startswith(("neg_", *TIMES)):  # negated losses, and seconds
        ends = (-math.inf, 0.0) if metric.startswith("neg_") else (0.0, math.inf)
        low, high = np.clip([low, high], *ends).tolist()
    counts = {"n_scores": n, "n_fits": len(rows)}
    return {"metric": metric} | counts | {"mean": mean, "low": low, "high": high}


def as_table(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Rows as a `pandas.DataFrame`, or as a structured array if pandas is not installed."""
    names = list(rows[0]) if rows else []
    columns = [[row[name] for row in rows] for name in names]
    try:
        import pandas as pd
    except ModuleNotFoundError:
        arrays = [np.array(column) for column in columns]
        table = np.empty(len(rows), [(n, a.dtype) for n, a in zip(names, arrays, strict=True)])
        for name, array in zip(names, arrays, strict=True):
            table[name] = array
        return table
    return pd.DataFrame(dict(zip(names, columns, strict=True)))


def writable(path: str | PathLike[str]) -> Path:
    """The path, if a file can be written there."""
    """The path of a file to write; raises OSError if there cannot be one."""
    path = Path(path)
    if not path.parent.is_dir():
        raise OSError(
            f"cannot write {str(path)!r}: its folder {str(path.parent)!r} does not exist."
        )
    if path.is_dir():
        raise OSError(f"cannot write {str(path)!r}: it is a folder.")
    return path


def _missing(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
