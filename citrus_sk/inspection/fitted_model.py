"""Adapter around a fitted estimator for attribution, with its steps and scores."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import logsumexp
from sklearn.base import is_classifier, is_regressor
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from .._utils.validation import check_choice
from ..estimators.base import NetworkEstimator
from ..signals.aligner import SignalAligner
from ..signals.offsets import offset_of, without_offset

OUTPUTS = ("log-odds", "probability")
_SMALLEST = 1e-12  # forests predict probabilities of 0, which have no logarithm


class FittedModel:
    """Steps and scores of an estimator or a pipeline.

    Parameters
    ----------
    estimator : estimator, Pipeline or fitted search over them
        Fitted model.
    output : {"log-odds", "probability"}
        Score of a classifier; that of a regressor is its prediction.

    Attributes
    ----------
    steps : list of estimator
        Steps without those that do nothing.
    last : estimator
        The last of them.
    offset : ndarray of float64, shape (n_chans, 1), or None
        Offset that `estimator` subtracts from windows, and that `steps` do not subtract.
    """

    def __init__(self, estimator: Any, output: str = "log-odds") -> None:
        check_choice("output", output, OUTPUTS)
        self.output = output
        estimator = getattr(estimator, "best_estimator_", estimator)
        if isinstance(estimator, type) or not hasattr(estimator, "fit"):
            raise TypeError(
                f"estimator={estimator!r} is not an estimator; expected a fitted classifier or "
                "regressor of windows, or a Pipeline that ends in one."
            )
        check_is_fitted(estimator)
        parts = (
            [step for _, step in estimator.steps]
            if isinstance(estimator, Pipeline)
            else [estimator]
        )
        self.steps = [step for step in parts if step not in (None, "passthrough")]
        # Windows are read once, and without the offset, which no step must subtract again.
        self.offset = offset_of(self.steps[0])
        if self.offset is not None:
            self.steps[0] = without_offset(self.steps[0])
        self.last = self.steps[-1]

    @property
    def is_network(self) -> bool:
        """Whether the last step is one of our estimators with trained networks."""
        return isinstance(self.last, NetworkEstimator) and hasattr(self.last, "members_")

    @property
    def n_aligned(self) -> int:
        """Number of steps up to the last aligner, whose output is windows."""
        aligners = [i for i, step in enumerate(self.steps) if isinstance(step, SignalAligner)]
        return 1 + aligners[-1] if aligners else 0

    def check_scores(self) -> None:
        """Raise TypeError unless the model has a score to explain."""
        if not (is_regressor(self.last) or hasattr(self.last, "predict_proba")):
            reason = "is not a classifier or regressor"
            if is_classifier(self.last):
                reason = "has no predict_proba"
            raise TypeError(
                f"{type(self.last).__name__} {reason}, so there is no score to explain; expected a "
                "last step with predict_proba, such as CitrusClassifier or "
                "CalibratedClassifierCV around another classifier, or a regressor."
            )

    def scores(self, data: Any, n_passed: int = 0) -> np.ndarray:
        """Score of each window for each class or output, ``(n_windows, n_outputs)``.

        `data` is the output of the first `n_passed` steps; for 0, raw windows.
        """
        for step in self.steps[n_passed:-1]:
            data = step.transform(as_called(step, data))
        data = as_called(self.last, data)
        if is_regressor(self.last):
            return np.asarray(self.last.predict(data), np.float64).reshape(len(data), -1)
        if self.is_network:
            logs = self.last.predict_log_proba(data)
        else:
            logs = np.log(np.clip(self.last.predict_proba(data), _SMALLEST, None))
        return np.exp(logs) if self.output == "probability" else log_odds(logs)

    def score_scale(self, columns: np.ndarray) -> np.ndarray | float:
        """Scale of a large change of score: 1, or the sd of the targets of our regressor."""
        scale = getattr(self.last, "target_scale_", None)
        return 1.0 if scale is None else np.asarray(scale)[columns]

    @property
    def unit(self) -> str:
        """Unit of the scores."""
        return "prediction" if is_regressor(self.last) else self.output

    def targets(self, target: Any, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Column of the scores to explain for each window, and its name."""
        n_windows, n_outputs = scores.shape
        if is_regressor(self.last):
            if target is None and n_outputs > 1:
                raise ValueError(
                    f"target=None, and the regressor has {n_outputs} outputs; expected the index "
                    f"of one of them, from 0 to {n_outputs - 1}."
                )
            names = np.arange(n_outputs)
            target = 0 if target is None else target
        else:
            names = self.last.classes_
        if target is None:
            columns = scores.argmax(1)
        else:
            labels = np.asarray(target)
            if labels.ndim > 1 or (labels.ndim == 1 and len(labels) != n_windows):
                raise ValueError(
                    f"target has shape {labels.shape}, and there are {n_windows} windows to "
                    "explain; expected one label for all, or one for each."
                )
            column_of = {name: column for column, name in enumerate(names.tolist())}
            for label in np.unique(labels).tolist():
                if label not in column_of:
                    known = ", ".join(map(repr, names.tolist()))
                    kind = "outputs" if is_regressor(self.last) else "classes_"
                    raise ValueError(
                        f"target={label!r} is not among the {kind} of "
                        f"{type(self.last).__name__} ({known})."
                    )
            chosen = [column_of[label] for label in np.atleast_1d(labels).tolist()]
            columns = np.full(n_windows, chosen)
        return columns, names[columns]


def log_odds(logs: np.ndarray) -> np.ndarray:
    """Log-odds of each class against all others from log-probabilities ``(n, n_classes)``."""
    rest = [logsumexp(np.delete(logs, column, 1), axis=1) for column in range(logs.shape[1])]
    return logs - np.stack(rest, axis=1)


def as_called(step: Any, data: Any) -> Any:
    """Convert windows to the shape that `step` was fitted on.

    For a step of another library, this may be without the axis of a single channel.
    """
    if isinstance(step, SignalAligner):
        return list(data)  # a list may have any length, an array only that of fit
    single = getattr(data, "ndim", 0) == 3 and data.shape[1] == 1
    if single and not isinstance(step, NetworkEstimator):
        return data[:, 0] if getattr(step, "n_features_in_", 1) == data.shape[2] else data
    return data
