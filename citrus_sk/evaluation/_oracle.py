"""The best epoch on the test windows: an optimistic figure, for tables of the literature alone.

Much published code trains for a fixed number of epochs, scores the test set after each, and reports
the best. Nobody who has to predict can do that. Nothing here reaches the scores proper.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.pipeline import Pipeline

PREFIX = "optimistic_best_test_epoch_"


class _Epoch(ClassifierMixin, BaseEstimator):
    """What a model answered after one epoch, in the shape that scorers ask."""

    def __init__(self, classes: np.ndarray, proba: np.ndarray) -> None:
        self.classes_, self.proba = classes, proba

    def fit(self, X: Any, y: Any) -> _Epoch:
        return self

    def predict(self, X: Any) -> np.ndarray:
        return self.classes_[self.proba.argmax(axis=1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        return self.proba


class BestEpoch:
    """The highest score of each scorer over the epochs of a fit.

    Parameters
    ----------
    scorers : mapping of str to callable
    X, y : windows and labels tested on
    """

    def __init__(self, scorers: Mapping[str, Callable[..., float]], X: Any, y: np.ndarray) -> None:
        self.scorers, self.X, self.y = scorers, X, y
        self.best = {PREFIX + name: math.nan for name in scorers}

    def see(self, classes: np.ndarray, proba: np.ndarray) -> None:
        """Score what a model says after an epoch; a scorer that fails gives nothing."""
        for name, scorer in self.scorers.items():
            try:
                score = float(scorer(_Epoch(classes, proba), self.X, self.y))
            except Exception:  # noqa: BLE001, S112 - the row says why this scorer fails
                continue
            self.best[PREFIX + name] = float(np.fmax(self.best[PREFIX + name], score))

    def watch(self, model: Any, classes: np.ndarray) -> None:
        """Look on while `model` is fitted, where it trains by skorch and takes ``callbacks``."""
        last = _last_step(model)
        if "callbacks" in last.get_params(deep=False) and _trains(last):
            callbacks = [*(last.callbacks or []), _skorch_watcher(self, model, classes)]
            last.set_params(callbacks=callbacks)

    def look_back(self, model: Any) -> None:
        """Look at the stages of a fitted model that keeps them, as boosting does."""
        if hasattr(model, "staged_predict_proba"):
            for proba in model.staged_predict_proba(self.X):
                self.see(model.classes_, proba)


def _last_step(model: Any) -> Any:
    return model.steps[-1][1] if isinstance(model, Pipeline) else model


def _trains(estimator: Any) -> bool:
    """Whether there are epochs; our linear probe has none, and refuses callbacks."""
    choose = getattr(estimator, "_choose_strategy", None)
    return choose is None or choose() != "linear-probe"


def _as_it_is(X: np.ndarray) -> np.ndarray:
    return X


def _skorch_watcher(seen: BestEpoch, model: Any, classes: np.ndarray) -> Any:
    from scipy.special import softmax
    from skorch.callbacks import Callback

    from .._callbacks import kept_module
    from .._training import FineTuner, infer

    class Watcher(Callback):
        def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
            # A pipeline puts each fitted step in its place before it fits the last one.
            X = model[:-1].transform(seen.X) if isinstance(model, Pipeline) else seen.X
            X = np.asarray(X, np.float32)
            if isinstance(net, FineTuner):
                X = X if X.ndim == 3 else X[:, None]
                X = getattr(_last_step(model), "_standard", _as_it_is)(X)
                logits = infer(kept_module(net), X, net.device, net.batch_size)
                seen.see(classes, softmax(logits.numpy().astype(float), axis=1))
            else:
                seen.see(np.asarray(net.classes_), net.predict_proba(X))

    return Watcher()
