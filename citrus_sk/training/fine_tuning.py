"""Training of every parameter of a network on labelled windows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from skorch.callbacks import GradientNormClipping, LRScheduler
from skorch.helper import predefined_split
from torch import nn

from .callbacks import KeepBest, Progress, RefuseNan, WeightAverage
from .draws import Draws
from .hooks import Augment, explain_missing, prepare_callbacks, without_name
from .labelled import LabelledWindows
from .nets import (
    FineTuner,
    Interrupted,
    WindowSet,
    make_net,
)
from .schedule import warmup_cosine


@dataclass(frozen=True)
class TuningSettings:
    """Settings of a training; see the parameters of `CitrusClassifier`.

    Attributes
    ----------
    trunk_factor : float
        Learning rate of the trunk, as a share of `learning_rate`.
    head_step : float or None
        Largest change of an output in one step of the head, in units of `learning_rate`. The
        learning rate of the head follows from it and from the number of features. None means
        that the head has `learning_rate` itself.
    """

    max_epochs: int
    batch_size: int
    learning_rate: float
    trunk_factor: float
    head_step: float | None
    weight_decay: float
    warmup: float
    mixup: float
    ema: float
    patience: int
    label_smoothing: float = 0.0

    def n_steps(self, n_windows: int) -> int:
        """Number of batches of a whole training on `n_windows`."""
        return self.max_epochs * math.ceil(n_windows / self.batch_size)


def rates(module: Any, settings: TuningSettings) -> list[tuple[str, dict[str, float]]]:
    """Learning rates of the parts of the network that have one of their own."""
    found = {"trunk.*": settings.trunk_factor * settings.learning_rate}
    if settings.head_step is not None:
        found["head.*"] = settings.head_step * settings.learning_rate / module.head.reach
    return [(pattern, {"lr": rate}) for pattern, rate in found.items()]


def fine_tune(
    module: nn.Module,
    train: LabelledWindows,
    valid: LabelledWindows | None,
    settings: TuningSettings,
    *,
    device: torch.device,
    draws: Draws,
    augment: Augment | None = None,
    callbacks: list[Any] | None = None,
    bar: Any = None,
    verbose: int = 0,
) -> FineTuner:
    """Train every parameter of `module`, and return its skorch net."""
    steps = settings.n_steps(len(train))
    factor = partial(warmup_cosine, n_steps=steps, warmup=settings.warmup)
    given = prepare_callbacks(callbacks)
    first: list[Any] = [GradientNormClipping(1.0), RefuseNan()]
    # A schedule of the user replaces ours, which would otherwise override it at every batch.
    if not any(isinstance(without_name(callback), LRScheduler) for callback in given):
        first.append(
            LRScheduler(torch.optim.lr_scheduler.LambdaLR, lr_lambda=factor, step_every="batch")
        )
    if settings.ema:
        first.append(WeightAverage(steps, settings.ema))
    if bar is not None:
        first.append(Progress(bar))
    # Last, because it may stop the training, and the others should see the epoch before that.
    last = [] if valid is None else [KeepBest(settings.patience)]
    smoothing = {} if train.n_classes is None else {"label_smoothing": settings.label_smoothing}
    net = make_net(
        module,
        train.n_classes,
        device,
        frozen=False,
        optimizer=torch.optim.AdamW,
        optimizer__weight_decay=settings.weight_decay,
        optimizer__param_groups=rates(module, settings),
        optimizer__fused=device.type in ("cpu", "cuda"),
        lr=settings.learning_rate,
        max_epochs=settings.max_epochs,
        batch_size=settings.batch_size,
        iterator_train__shuffle=True,
        iterator_train__generator=draws.generator,
        train_split=predefined_split(WindowSet(valid)) if valid is not None else None,
        mixup=settings.mixup,
        augment=augment,
        draws=draws,
        callbacks=[*first, *given, *last],
        verbose=verbose,
        **smoothing,
    )
    try:
        with explain_missing(held_out=valid is not None):
            return net.partial_fit(WindowSet(train), None)
    except Interrupted:
        raise KeyboardInterrupt from None
