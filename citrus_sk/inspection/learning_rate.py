"""The learning-rate range test: the rates that a network learns at, before it is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from skorch.callbacks import Callback, LRScheduler

from .._utils.plotting import Display
from .._utils.validation import check_number
from ..estimators.predictor import NetworkPredictor

_DIVERGED = 4.0  # times the lowest loss; what comes after tells nothing of learning
_MEMORY = 0.9  # of the running mean of the losses
_SETTLED = 10  # steps before the running mean is one of more than a few batches
_FEWEST = _SETTLED + 2  # steps; a slope takes two points


@dataclass
class LearningRateDisplay(Display):
    """Training losses over learning rates.

    Made by `find_learning_rate`; `plot` draws it.

    Parameters
    ----------
    rates : ndarray of shape (n_steps,)
        Learning rate of each step, in increasing order.
    losses : ndarray of shape (n_steps,)
        Training loss of each step's batch.
    smoothed : ndarray of shape (n_steps,)
        Running mean of the losses.
    suggestion : float
        Rate at which the running mean falls steepest.
    diverged : bool
        Whether the test stopped early because the loss diverged.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes with the curve, once `plot` was called.
    figure_ : matplotlib.figure.Figure
        Figure of these axes.
    """

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    suggestion: float
    diverged: bool

    def _size(self) -> tuple[float, float]:
        return 6.0, 4.0

    def _draw(self, ax: Any) -> None:
        ax.plot(self.rates, self.losses, ".", color="0.7", label="batch")
        ax.plot(self.rates, self.smoothed, color="C0", label="running mean")
        ax.axvline(self.suggestion, color="C1", ls="--", label=f"suggestion: {self.suggestion:.1e}")
        finite = self.losses[np.isfinite(self.losses)]
        ax.set(xscale="log", xlabel="learning rate", ylabel="training loss")
        ax.set_ylim(0, 1.1 * max(finite[: _SETTLED + 1].max(), self.smoothed.max()))
        ax.legend()


class _RangeTest(Callback):
    """Notes the loss of each step, and ends the training when the loss has exploded."""

    def __init__(self, n_steps: int) -> None:
        self.n_steps = n_steps

    def initialize(self) -> _RangeTest:
        self.losses_: list[float] = []
        return self

    def on_batch_end(self, net: Any, training: bool = False, **kwargs: Any) -> None:
        self.losses_.append(net.history[-1, "batches", -1, "train_loss"])
        self.diverged_ = exploded(self.losses_)
        if self.diverged_ or len(self.losses_) >= self.n_steps:
            raise KeyboardInterrupt


def running_mean(losses: Any) -> np.ndarray:
    """Exponential mean of the losses so far, unbiased at the start."""
    mean, result = 0.0, []
    for number, loss in enumerate(losses, start=1):
        mean = _MEMORY * mean + (1 - _MEMORY) * loss
        result.append(mean / (1 - _MEMORY**number))
    return np.array(result)


def exploded(losses: list[float]) -> bool:
    """Whether the running mean is far above its lowest value."""
    smoothed = running_mean(losses)
    return len(losses) > _SETTLED and bool(smoothed[-1] > _DIVERGED * smoothed[_SETTLED:].min())


def steepest(rates: np.ndarray, smoothed: np.ndarray) -> float:
    """Rate at which the running mean falls fastest, before it is at its lowest."""
    end = max(_SETTLED + 2, int(np.argmin(smoothed[_SETTLED:])) + _SETTLED + 1)
    slope = np.gradient(smoothed[_SETTLED:end], np.log(rates[_SETTLED:end]))
    return float(rates[_SETTLED + int(np.argmin(slope))])


def _last_step(estimator: Any) -> Any:
    return estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator


def find_learning_rate(
    estimator: Any,
    X: Any,
    y: Any = None,
    *,
    low: float = 1e-5,
    high: float = 1.0,
    n_steps: int = 100,
    **fit_params: Any,
) -> LearningRateDisplay:
    """Train a copy with a rising learning rate, and see where it learns and where it breaks.

    The range test of Smith (2017). The estimator is left as it is, and so is every global state.

    Parameters
    ----------
    estimator : CitrusClassifier, CitrusRegressor or Pipeline that ends in one
        Its strategy has to be one that trains: ``"finetune"`` or ``"probe-then-finetune"``.
    X : array-like of shape (n_windows, n_channels, n_times), mne.Epochs, or windows of braindecode
        Training windows, of which none are held out. Leave test windows out.
    y : array-like of shape (n_windows,), str or None, default=None
        Labels, as for ``fit``.
    low, high : float, default=1e-5 and 1.0
        First and last learning rate; they rise by the same factor at every step.
    n_steps : int, default=100
        Batches. Fewer where the running mean of the loss comes to four times its lowest.
    **fit_params
        For ``fit`` of `estimator`, such as ``groups``.

    Returns
    -------
    LearningRateDisplay
        Rates, losses and a suggestion, with a method ``plot``.

    Raises
    ------
    ValueError
        If the strategy trains nothing, `low` is not below `high`, or the loss becomes NaN in the
        first steps.

    Notes
    -----
    The suggestion is a look at the first steps of a training, not a choice to rely on: over the
    sets of docs/guide/track.md, a grid of three rates would have found better ones.

    References
    ----------
    Smith, L. N. (2017). Cyclical Learning Rates for Training Neural Networks. WACV.
    arXiv:1506.01186.
    """
    check_number("low", low, open_low=True)
    check_number("high", high, open_low=True)
    check_number("n_steps", n_steps, Integral, low=2 * _SETTLED)
    if low >= high:
        raise ValueError(f"low={low!r} is not below high={high!r}.")
    last = _last_step(estimator)
    if not isinstance(last, NetworkPredictor):
        raise TypeError(
            f"{type(last).__name__} is not trained by steps; expected a CitrusClassifier, a "
            "CitrusRegressor, or a Pipeline that ends in one."
        )
    if last._choose_strategy() == "linear-probe":
        raise ValueError(
            f"strategy={last.strategy!r} fits a linear probe, which has no learning rate. Use "
            "'finetune' or 'probe-then-finetune'."
        )
    model = clone(estimator)
    factor = (high / low) ** (1 / (n_steps - 1))
    rising = LRScheduler(
        torch.optim.lr_scheduler.LambdaLR, lr_lambda=partial(pow, factor), step_every="batch"
    )
    watch = _RangeTest(n_steps)
    _last_step(model).set_params(
        learning_rate=low, max_epochs=n_steps, early_stopping=False, ema=0, n_estimators=1,
        callbacks=[rising, lambda: watch], verbose=0,
    )  # fmt: skip
    try:
        model.fit(X, y, **fit_params)
    except FloatingPointError:  # as good a sign as any that the rate is too high
        watch.diverged_ = True
    losses = np.array([loss for loss in watch.losses_ if math.isfinite(loss)])
    if len(losses) < _FEWEST:
        raise ValueError(
            f"The training loss became NaN or infinite after {len(losses)} of {n_steps} steps, at "
            f"a learning rate of {low * factor ** len(losses):.1e}, too early to see where it "
            f"falls: that takes {_FEWEST} steps. Lower low (it is {low:g}), or look for extreme "
            "values in X."
        )
    rates = low * factor ** np.arange(len(losses))
    smoothed = running_mean(losses)
    return LearningRateDisplay(rates, losses, smoothed, steepest(rates, smoothed), watch.diverged_)
