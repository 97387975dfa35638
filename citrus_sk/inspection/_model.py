"""A fitted model as these pages need it: steps that are passed once, and scores of what follows."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import logsumexp
from sklearn.base import is_classifier, is_regressor
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from .._aligner import SignalAligner
from .._base import NetworkEstimator
from .._parameters import check_choice

OUTPUTS = ("log-odds", "probability")
_SMALLEST = 1e-12  # a probability of 0, which forests give, has no logarithm


class FittedModel:
    """An estimator or a pipeline, taken apart.

    Parameters
    ----------
    estimator : estimator, Pipeline or fitted search over them
    output : {"log-odds", "probability"}
        What is asked of a classifier; a regressor tells its prediction.

    Attributes
    ----------
    steps : list of estimator
        Those that do something.
    """

    def __init__(self, estimator: Any, output: str = "log-odds") -> None:
        check_choice("output", output, OUTPUTS)
        self.output = output
        estimator = getattr(estimator, "best_estimator_", estimator)
        if isinstance(estimator, type) or not hasattr(estimator, "fit"):
            raise TypeError(
                f"estimator={estimator!r} is no estimator; wanted a fitted classifier or regressor "
                "of windows, or a Pipeline that ends in one."
            )
        check_is_fitted(estimator)
        parts = (
            [step for _, step in estimator.steps]
            if isinstance(estimator, Pipeline)
            else [estimator]
        )
        self.steps = [step for step in parts if step not in (None, "passthrough")]
        self.last = self.steps[-1]

    @property
    def is_network(self) -> bool:
        """Whether the last step is one of our estimators with trained networks."""
        return isinstance(self.last, NetworkEstimator) and hasattr(self.last, "members_")

    @property
    def n_aligned(self) -> int:
        """Number of steps up to the last aligner: what comes out of them are windows."""
        places = [i for i, step in enumerate(self.steps) if isinstance(step, SignalAligner)]
        return 1 + places[-1] if places else 0

    def check_scores(self) -> None:
        """Raise TypeError unless there is a number to explain."""
        if not (is_regressor(self.last) or hasattr(self.last, "predict_proba")):
            known = "is no classifier or regressor"
            if is_classifier(self.last):
                known = "gives no probabilities"
            raise TypeError(
                f"{type(self.last).__name__} {known}, so there is no score to explain; wanted a "
                "last step with predict_proba, such as CitrusClassifier or "
                "CalibratedClassifierCV around another, or a regressor."
            )

    def scores(self, data: Any, n_passed: int = 0) -> np.ndarray:
        """Score of each window for each class or output, ``(n_windows, n_outputs)``.

        `data` is what the first `n_passed` steps give, or for 0 raw windows.
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
        """What is a large change of score: 1, or the sd of what our regressor was fitted to."""
        scale = getattr(self.last, "target_scale_", None)
        return 1.0 if scale is None else np.asarray(scale)[columns]

    @property
    def unit(self) -> str:
        """What scores are, in words."""
        return "prediction" if is_regressor(self.last) else self.output

    def targets(self, target: Any, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Column of the scores that each window is asked about, and its name."""
        n_windows, n_outputs = scores.shape
        if is_regressor(self.last):
            if target is None and n_outputs > 1:
                raise ValueError(
                    f"target=None, and the regressor has {n_outputs} outputs; wanted the number of "
                    f"one of them, from 0 to {n_outputs - 1}."
                )
            names = np.arange(n_outputs)
            target = 0 if target is None else target
        else:
            names = self.last.classes_
        if target is None:
            columns = scores.argmax(1)
        else:
            asked = np.asarray(target)
            if asked.ndim > 1 or (asked.ndim == 1 and len(asked) != n_windows):
                raise ValueError(
                    f"target has shape {asked.shape}, and there are {n_windows} windows to "
                    "explain; wanted one label for all, or one for each."
                )
            place = {name: column for column, name in enumerate(names.tolist())}
            for each in np.unique(asked).tolist():
                if each not in place:
                    known = ", ".join(map(repr, names.tolist()))
                    what = "outputs" if is_regressor(self.last) else "classes_"
                    raise ValueError(
                        f"target={each!r} is not among the {what} of "
                        f"{type(self.last).__name__} ({known})."
                    )
            columns = np.full(n_windows, [place[each] for each in np.atleast_1d(asked).tolist()])
        return columns, names[columns]


def log_odds(logs: np.ndarray) -> np.ndarray:
    """Log-probabilities ``(n, n_classes)`` to log-odds of each class against all the others."""
    rest = [logsumexp(np.delete(logs, column, 1), axis=1) for column in range(logs.shape[1])]
    return logs - np.stack(rest, axis=1)


def as_called(step: Any, data: Any) -> Any:
    """Windows as `step` has seen them in its fit: of one channel perhaps without that axis.

    Our own steps take three dimensions in any case.
    """
    if isinstance(step, SignalAligner):
        return list(data)  # of any length, where an array has to have the one of fit
    single = getattr(data, "ndim", 0) == 3 and data.shape[1] == 1
    if single and not isinstance(step, NetworkEstimator):
        return data[:, 0] if getattr(step, "n_features_in_", 1) == data.shape[2] else data
    return data
