"""Scores of an evaluation as a tidy table, with summaries, comparisons and files."""

from __future__ import annotations

import csv
import io
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict
from numbers import Real
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from scipy import stats

from .._utils.files import write_atomically
from .._utils.optional import require
from .._utils.version import __version__
from .best_epoch import PREFIX
from .statistics import compare_on_folds, correct_holm

TIMES = ("fit_time", "predict_time")
_BOUNDED = ("accuracy", "balanced_accuracy", "f1", "jaccard", "precision", "recall", "roc_auc")


class ScoreTable(ABC):
    """Scores by estimator, point of a curve, and fold.

    A subclass defines the columns that identify a row, and what a point is.

    Attributes
    ----------
    rows : list of dict
        One for each fit.
    metrics : list of str
        Names of the scorers.
    settings : dict
        Settings for the report.
    """

    _keys: ClassVar[tuple[str, ...]]
    _format: ClassVar[Any]  # of the JSON file, and different for each subclass
    _sparse_integers: ClassVar[tuple[str, ...]] = ()  # columns that are NaN in some rows

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

    @abstractmethod
    def _point(self, row: Mapping[str, Any]) -> Hashable:
        """Point of the curve that a row belongs to."""

    @abstractmethod
    def _about(self, point: Any) -> dict[str, Any]:
        """Columns that state a point in the tables of `summary` and `compare`."""

    @property
    def estimators(self) -> list[str]:
        """Names of the estimators."""
        return list(dict.fromkeys(row["estimator"] for row in self.rows))

    @property
    def classes(self) -> list[str]:
        """Class labels, in the order of rows and columns of the confusion matrices."""
        return list(self.settings.get("classes", {}))

    @property
    def columns(self) -> list[str]:
        """Names of the columns of `table`."""
        optimistic = [name for name in self.rows[0] if name.startswith(PREFIX)]
        return [*self._keys, *self.metrics, *optimistic, *TIMES, "error"]

    @property
    def table(self) -> Any:
        """Scores of each fit in a row: `pandas.DataFrame`, or structured array without pandas."""
        return as_table([{name: row[name] for name in self.columns} for row in self.rows])

    @property
    def failures(self) -> list[dict[str, Any]]:
        """Rows of fits that failed in whole or in part, with the reason in ``error``."""
        return [row for row in self.rows if row["error"]]

    def _points(self) -> list[Any]:
        return list(dict.fromkeys(map(self._point, self.rows)))

    def _check_estimator(self, estimator: str) -> None:
        if estimator not in self.estimators:
            raise ValueError(
                f"estimator={estimator!r} is not in this curve; expected one of {self.estimators}."
            )

    def _select(self, estimator: str, point: Any) -> list[dict[str, Any]]:
        self._check_estimator(estimator)
        rows = (row for row in self.rows if row["estimator"] == estimator)
        return [row for row in rows if self._point(row) == point]

    def _band(
        self, estimator: str, point: Any, metric: str | None, confidence: float
    ) -> dict[str, Any]:
        """Row of `summary` for one estimator and point."""
        if not 0 < confidence < 1:
            raise ValueError(f"confidence={confidence!r}; expected a number between 0 and 1.")
        metric = self._check_metric(metric)
        rows = self._select(estimator, point)
        about = {"estimator": estimator, **self._about(point)}
        about["n_train"] = float(np.mean([row["n_train"] for row in rows]))
        return about | _interval(rows, metric, confidence)

    def _summary(self, metric: str | None, confidence: float) -> Any:
        metrics = self.metrics if metric is None else [metric]
        return as_table(
            [
                self._band(name, point, each, confidence)
                for name in self.estimators
                for point in self._points()
                for each in metrics
            ]
        )

    def _compare(self, first: str, second: str, metric: str | None, confidence: float) -> Any:
        metric = self._check_metric(metric)
        found = []
        for point in self._points():
            pair = [self._select(name, point) for name in (first, second)]
            scores = np.array([[row[metric] for row in rows] for rows in pair], float)
            both = np.isfinite(scores).all(axis=0)
            row: dict[str, Any] = dict.fromkeys(
                ("difference", "low", "high", "p_value", "p_holm", "effect_size"), math.nan
            )
            row["n_folds"] = int(both.sum())
            if both.sum() > 1:
                sizes = np.array([[r["n_available"], r["n_test"]] for r in pair[0]])[both].T
                result = compare_on_folds(
                    *scores[:, both], n_train=sizes[0], n_test=sizes[1], confidence=confidence
                )
                row |= {key: value for key, value in asdict(result).items() if key in row}
            found.append(self._about(point) | row)
        known = [row for row in found if not math.isnan(row["p_value"])]
        corrected = correct_holm([row["p_value"] for row in known])
        for row, p in zip(known, corrected, strict=True):
            row["p_holm"] = float(p)
        return as_table(found)

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
        write_csv(path, names, self.rows)

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
        for name in self._sparse_integers:
            frame[name] = frame[name].astype(pd.Int64Dtype())
        frame.to_parquet(writable(path), index=False)

    def to_json(self, path: str | PathLike[str]) -> None:
        """Write the whole curve, with confusion matrices and settings, for `read_json`.

        Parameters
        ----------
        path : path-like
            File to write.
        """
        rows = [{k: None if _missing(v) else v for k, v in row.items()} for row in self.rows]
        whole = {"format": self._format, "metrics": self.metrics, "settings": self.settings}
        text = json.dumps(whole | {"rows": rows}, indent=1) + "\n"
        write_atomically(writable(path), text.encode())

    @classmethod
    def read_json(cls, path: str | PathLike[str]) -> Self:
        """Read a curve that `to_json` wrote.

        Parameters
        ----------
        path : path-like
            File to read.

        Returns
        -------
        curve : instance of this class

        Raises
        ------
        ValueError
            If the file is not a curve.
        """
        try:
            whole = json.loads(Path(path).read_text())
            if whole["format"] != cls._format:
                raise ValueError(_other_format(whole, cls.__name__, cls._format))
            rows = [{k: math.nan if v is None else v for k, v in r.items()} for r in whole["rows"]]
            curve = cls(rows, metrics=whole["metrics"], settings=whole["settings"])
            curve._check_rows()
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            reason = str(error) if isinstance(error, ValueError) else repr(error)
            raise ValueError(
                f"{str(path)!r} is not a curve ({reason}); expected a file that to_json wrote."
            ) from error
        return curve

    def _check_rows(self) -> None:
        """Raise an error unless each row has its columns, with numbers where there should be."""
        if not self.rows:
            raise ValueError("it has no rows")
        numbers = dict.fromkeys((*self.metrics, *TIMES, "n_train", "n_test", "n_available"), Real)
        kinds = dict.fromkeys(self.columns, object) | numbers | {"estimator": str, "error": str}
        for row in self.rows:
            for name, kind in kinds.items():
                if not isinstance(row[name], kind):
                    raise TypeError(f"{name} is {row[name]!r}")
            if row["n_available"] <= 0 or row["n_test"] <= 0:
                raise ValueError("a fit without windows")
        found = {(row["estimator"], self._point(row)) for row in self.rows}
        if len(found) != len(self.estimators) * len(self._points()):
            raise ValueError("an estimator lacks scores at a point of the curve")

    def _check_metric(self, metric: str | None) -> str:
        if metric is None:
            return self.metrics[0]
        if metric not in (*self.metrics, *TIMES):
            raise ValueError(
                f"metric={metric!r} is not in this curve; expected one of {self.metrics}, "
                "'fit_time' or 'predict_time'."
            )
        return metric


def _interval(rows: Sequence[Mapping[str, Any]], metric: str, confidence: float) -> dict[str, Any]:
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


def write_csv(
    path: str | PathLike[str], names: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> None:
    """Write columns of rows as CSV, with empty cells for missing values."""
    text = io.StringIO()
    writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: "" if _missing(v) else v for k, v in row.items()})
    write_atomically(writable(path), text.getvalue().encode())


def writable(path: str | PathLike[str]) -> Path:
    """The path of a file to write; raises OSError if there cannot be one."""
    path = Path(path)
    if not path.parent.is_dir():
        raise OSError(
            f"cannot write {str(path)!r}: its folder {str(path.parent)!r} does not exist."
        )
    if path.is_dir():
        raise OSError(f"cannot write {str(path)!r}: it is a folder.")
    return path


def _other_format(whole: Mapping[str, Any], name: str, expected: Any) -> str:
    """Describe a file that another class or another version of the package wrote."""
    versions = whole.get("settings", {}).get("versions", {})
    return (
        f"of format {whole['format']!r}, written by citrus_sk {versions.get('citrus_sk')}; "
        f"{name} of citrus_sk {__version__} reads format {expected!r}"
    )


def _missing(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
