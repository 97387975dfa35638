"""Score of the best epoch on the test windows: optimistic, to compare with published tables only.

Much published code trains for a fixed number of epochs, scores the test set after each, and reports
the best score. That is impossible in practice, where test labels are unknown. The curve's proper
scores do not use anything from here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.pipeline import Pipeline

from .._utils.validation import last_step

PREFIX = "optimistic_best_test_epoch_"


class _Epoch(ClassifierMixin, BaseEstimator):
    """Probabilities after one epoch, as a classifier that scorers accept."""

    def __init__(self, classes: np.ndarray, proba: np.ndarray) -> None:
        self.classes_, self.proba = classes, proba

    def fit(self, X: Any, y: Any) -> _Epoch:
        return self

    def predict(self, X: Any) -> np.ndarray:
        return self.classes_[self.proba.argmax(axis=1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        return self.proba


class BestEpoch:
    """Highest score of each scorer over the epochs of a fit.

    Parameters
    ----------
    scorers : mapping of str to callable
        Functions of a classifier, windows and labels.
    X : windows
        Test windows.
    y : ndarray of shape (n_windows,)
        Test labels.

    Attributes
    ----------
    scores : dict of str to float
        Highest score so far by name of the column; NaN where there is none.
    """

    def __init__(self, scorers: Mapping[str, Callable[..., float]], X: Any, y: np.ndarray) -> None:
        self.scorers, self.X, self.y = scorers, X, y
        self.scores = {PREFIX + name: math.nan for name in scorers}

    def add(self, classes: np.ndarray, proba: np.ndarray) -> None:
        """Score the probabilities after an epoch; a scorer that fails is passed over."""
        for name, scorer in self.scorers.items():
            try:
                score = float(scorer(_Epoch(classes, proba), self.X, self.y))
            except Exception:  # noqa: BLE001, S112 - the row has the reason
                continue
            self.scores[PREFIX + name] = float(np.fmax(self.scores[PREFIX + name], score))

    def watch(self, model: Any, classes: np.ndarray) -> None:
        """Score each epoch of the fit to come, if `model` trains by skorch with ``callbacks``."""
        last = last_step(model)
        if "callbacks" in last.get_params(deep=False) and _trains(last):
            callbacks = [*(last.callbacks or []), _skorch_watcher(self, model, classes)]
            last.set_params(callbacks=callbacks)

    def look_back(self, model: Any) -> None:
        """Score the stages of a fitted model that keeps them, as boosting does."""
        if hasattr(model, "staged_predict_proba"):
            for proba in model.staged_predict_proba(self.X):
                self.add(model.classes_, proba)


def _trains(estimator: Any) -> bool:
    """Whether the estimator has epochs; our linear probe has none, and refuses callbacks."""
    choose = getattr(estimator, "_choose_strategy", None)
    return choose is None or choose() != "linear-probe"


def _unchanged(X: np.ndarray) -> np.ndarray:
    return X


def _skorch_watcher(best_epoch: BestEpoch, model: Any, classes: np.ndarray) -> Any:
    from scipy.special import softmax
    from skorch.callbacks import Callback

    from ..training.nets import FineTuner, infer

    class Watcher(Callback):
        def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
            # A pipeline stores its fitted steps before it fits the last one.
            X = model[:-1].transform(best_epoch.X) if isinstance(model, Pipeline) else best_epoch.X
            X = np.asarray(X, np.float32)
            if isinstance(net, FineTuner):
                X = X if X.ndim == 3 else X[:, None]
                X = getattr(last_step(model), "_standard", _unchanged)(X)
                logits = infer(net.kept_module, X, net.device, net.batch_size)
                best_epoch.add(classes, softmax(logits.numpy().astype(float), axis=1))
            else:
                best_epoch.add(np.asarray(net.classes_), net.predict_proba(X))

    return Watcher()
