"""Callbacks for weight averaging, the best epoch, losses that are not finite, and progress."""

from __future__ import annotations

import math
from typing import Any

import torch
from skorch.callbacks import Callback
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from .schedule import average_share


class WeightAverage(Callback):
    """Exponential moving average of the weights, which is validated and kept at the end.

    Parameters
    ----------
    n_steps : int
        Number of steps of the whole run.
    span : float
        Span of the average, as a share of the run.
    """

    def __init__(self, n_steps: int, span: float) -> None:
        self.n_steps = n_steps
        self.span = span

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        def update(averages: Any, currents: Any, n: Tensor | int) -> None:
            share = average_share(float(n), self.n_steps, self.span)
            torch._foreach_lerp_(averages, currents, share)

        # Not an attribute of the net, because skorch would train such a module as well.
        self.model_ = AveragedModel(net.module_, multi_avg_fn=update).eval()
        net.averaging_ = self

    def on_batch_end(self, net: Any, training: bool = False, **kwargs: Any) -> None:
        if training:
            self.model_.update_parameters(net.module_)

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        net.module_.load_state_dict(self.model_.module.state_dict())
        del self.model_
        net.averaging_ = None


class KeepBest(Callback):
    """Stop after `patience` epochs without a lower validation loss; restore the best weights."""

    def __init__(self, patience: int) -> None:
        self.patience = patience

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        self.lowest_, self.waited_ = math.inf, 0
        self.best_: dict[str, Tensor] = {}

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        loss = net.history[-1]["valid_loss"]
        if loss < self.lowest_:
            self.lowest_, self.waited_ = loss, 0
            state = net.kept_module.state_dict()
            self.best_ = {name: value.detach().clone() for name, value in state.items()}
            return
        self.waited_ += 1
        if self.waited_ >= self.patience:
            raise KeyboardInterrupt

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        if self.best_:
            net.module_.load_state_dict(self.best_)
        self.best_ = {}


class RefuseNan(Callback):
    """Abort the fit if the loss is NaN or infinite."""

    def on_batch_end(
        self, net: Any, training: bool = False, loss: Any = None, **kwargs: Any
    ) -> None:
        loss = net.history[-1, "batches", -1, "train_loss"] if training else 0.0
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"The training loss became {loss} in epoch {len(net.history)}. Lower learning_rate "
                f"(it is {net.lr}) and look for extreme values in X."
            )


class Progress(Callback):
    """Advance a progress bar by one for each training batch."""

    def __init__(self, bar: Any) -> None:
        self.bar = bar

    def on_batch_end(self, net: Any, training: bool = False, **kwargs: Any) -> None:
        if training:
            self.bar.update(1)
