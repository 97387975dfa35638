"""Learning-rate range test, which finds a suitable learning rate before a training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from skorch.callbacks import Callback, LRScheduler

from .._utils.plotting import STYLES, Display, legend_below
from .._utils.validation import check_number, last_step
from ..estimators.predictor import NetworkPredictor

_DIVERGED = 4.0  # ratio of the running mean to its lowest value at which the test stops
_MEMORY = 0.9  # decay of the running mean of the losses
_SETTLED = 10  # steps after which the running mean is one of more than a few batches
_FEWEST = _SETTLED + 2  # steps, because a slope needs two points


@dataclass
class LearningRateDisplay(Display):
    """Training losses over learning rates.

    It is the result of `find_learning_rate`; call `plot` to draw it.

    Parameters
    ----------
    rates : ndarray of shape (n_steps,)
        Learning rate of each step, in increasing order.
    losses : ndarray of shape (n_steps,)
        Training loss of each step's batch.
    smoothed : ndarray of shape (n_steps,)
        Running mean of the losses.
    suggestion : float
        Learning rate at which the running mean falls fastest.
    diverged : bool
        Whether the test stopped early because the loss diverged.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes with the curve; set by `plot`.
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
        ax.plot(self.rates, self.smoothed, color=STYLES[0][0], label="running mean")
        label = f"suggestion: {self.suggestion:.1e}"
        ax.axvline(self.suggestion, color=STYLES[1][0], ls="--", label=label)
        finite = self.losses[np.isfinite(self.losses)]
        ax.set(xscale="log", xlabel="learning rate", ylabel="training loss")
        ax.set_ylim(0, 1.1 * max(finite[: _SETTLED + 1].max(), self.smoothed.max()))
        ax.spines[["top", "right"]].set_visible(False)
        legend_below(ax, columns=3)


class _RangeTest(Callback):
    """Record the loss of each step, and stop the training when the loss diverges."""

    def __init__(self, n_steps: int) -> None:
        self.n_steps = n_steps

    def initialize(self) -> _RangeTest:
        self.losses_: list[float] = []
        return self

    def on_batch_end(self, net: Any, training: bool = False, **kwargs: Any) -> None:
        self.losses_.append(net.history[-1, "batches", -1, "train_loss"])
        self.diverged_ = has_diverged(self.losses_)
        if self.diverged_ or len(self.losses_) >= self.n_steps:
            raise KeyboardInterrupt


def running_mean(losses: Any) -> np.ndarray:
    """Exponential running mean of the losses, without bias at the start."""
    mean, result = 0.0, []
    for i, loss in enumerate(losses, start=1):
        mean = _MEMORY * mean + (1 - _MEMORY) * loss
        result.append(mean / (1 - _MEMORY**i))
    return np.array(result)


def has_diverged(losses: list[float]) -> bool:
    """Whether the running mean is far above its lowest value."""
    smoothed = running_mean(losses)
    return len(losses) > _SETTLED and bool(smoothed[-1] > _DIVERGED * smoothed[_SETTLED:].min())


def steepest(rates: np.ndarray, smoothed: np.ndarray) -> float:
    """Learning rate at which the running mean falls fastest, before its lowest value."""
    end = max(_SETTLED + 2, int(np.argmin(smoothed[_SETTLED:])) + _SETTLED + 1)
    slope = np.gradient(smoothed[_SETTLED:end], np.log(rates[_SETTLED:end]))
    return float(rates[_SETTLED + int(np.argmin(slope))])


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
    """Train a copy of an estimator with an increasing learning rate, and record the loss.

    This is the range test of Smith (2017). The estimator and all global states do not change.

    Parameters
    ----------
    estimator : CitrusClassifier, CitrusRegressor or Pipeline that ends in one
        Estimator whose strategy trains the network: ``"finetune"`` or ``"probe-then-finetune"``.
    X : array-like of shape (n_windows, n_channels, n_times), mne.Epochs, or windows of braindecode
        Training windows, without test windows. None of them are held out.
    y : array-like of shape (n_windows,), str or None, default=None
        Labels, as for ``fit``.
    low, high : float, default=1e-5 and 1.0
        First and last learning rate, between which it increases by the same factor at every step.
    n_steps : int, default=100
        Number of batches. The test stops earlier if the running mean of the loss exceeds four
        times its lowest value.
    **fit_params
        Parameters for ``fit`` of `estimator`, such as ``groups``.

    Returns
    -------
    LearningRateDisplay
        Learning rates, losses and a suggestion, with a method ``plot``.

    Raises
    ------
    TypeError
        If `estimator` has another type.
    ValueError
        If the strategy does not train the network, if `low` is not below `high`, or if the loss
        becomes NaN in the first steps.

    Notes
    -----
    The suggestion only depends on the first steps of a training, so do not rely on it: for the
    data sets of docs/guide/track.md, a search over three learning rates found better ones.

    References
    ----------
    Smith, L. N. (2017). Cyclical Learning Rates for Training Neural Networks. WACV.
    arXiv:1506.01186.
    """
    check_number("low", low, open_low=True)
    check_number("high", high, open_low=True)
    check_number("n_steps", n_steps, Integral, low=2 * _SETTLED)
    if low >= high:
        raise ValueError(f"Expected low to be below high, got low={low!r} and high={high!r}.")
    last = last_step(estimator)
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
    last_step(model).set_params(
        learning_rate=low, max_epochs=n_steps, early_stopping=False, ema=0, n_estimators=1,
        callbacks=[rising, lambda: watch], verbose=0,
    )  # fmt: skip
    try:
        model.fit(X, y, **fit_params)
    except FloatingPointError:  # the learning rate is too high
        watch.diverged_ = True
    losses = np.array([loss for loss in watch.losses_ if math.isfinite(loss)])
    if len(losses) < _FEWEST:
        raise ValueError(
            f"The training loss became NaN or infinite after {len(losses)} of {n_steps} steps, at "
            f"a learning rate of {low * factor ** len(losses):.1e}; expected at least {_FEWEST} "
            f"steps, to find where it falls. Lower low (it is {low:g}), or look for extreme values "
            "in X."
        )
    rates = low * factor ** np.arange(len(losses))
    smoothed = running_mean(losses)
    return LearningRateDisplay(rates, losses, smoothed, steepest(rates, smoothed), watch.diverged_)
