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
class Recipe:
    """How a network is trained; see `CitrusClassifier` for each entry."""

    max_epochs: int
    batch_size: int
    learning_rate: float
    trunk_factor: float
    weight_decay: float
    warmup: float
    mixup: float
    ema: float
    patience: int
    label_smoothing: float = 0.0

    def n_steps(self, n_windows: int) -> int:
        """Batches in a whole run over `n_windows`."""
        return self.max_epochs * math.ceil(n_windows / self.batch_size)


def fine_tune(
    module: nn.Module,
    train: LabelledWindows,
    valid: LabelledWindows | None,
    recipe: Recipe,
    *,
    device: torch.device,
    draws: Draws,
    augment: Augment | None = None,
    callbacks: list[Any] | None = None,
    bar: Any = None,
    verbose: int = 0,
) -> FineTuner:
    """Train every parameter of `module`; returns the net that did it."""
    steps = recipe.n_steps(len(train))
    factor = partial(warmup_cosine, n_steps=steps, warmup=recipe.warmup)
    given = prepare_callbacks(callbacks)
    own: list[Any] = [GradientNormClipping(1.0), RefuseNan()]
    # A schedule of the caller's takes the place of ours, which would overrule it at every batch.
    if not any(isinstance(without_name(each), LRScheduler) for each in given):
        own.append(
            LRScheduler(torch.optim.lr_scheduler.LambdaLR, lr_lambda=factor, step_every="batch")
        )
    if recipe.ema:
        own.append(WeightAverage(steps, recipe.ema))
    if bar is not None:
        own.append(Progress(bar))
    # Last of all: whoever looks at an epoch has done so before training stops after it.
    last = [] if valid is None else [KeepBest(recipe.patience)]
    smoothing = {} if train.n_classes is None else {"label_smoothing": recipe.label_smoothing}
    net = make_net(
        module,
        train.n_classes,
        device,
        frozen=False,
        optimizer=torch.optim.AdamW,
        optimizer__weight_decay=recipe.weight_decay,
        optimizer__param_groups=[("trunk.*", {"lr": recipe.trunk_factor * recipe.learning_rate})],
        optimizer__fused=device.type in ("cpu", "cuda"),
        lr=recipe.learning_rate,
        max_epochs=recipe.max_epochs,
        batch_size=recipe.batch_size,
        iterator_train__shuffle=True,
        iterator_train__generator=draws.generator,
        train_split=predefined_split(WindowSet(valid)) if valid is not None else None,
        mixup=recipe.mixup,
        augment=augment,
        draws=draws,
        callbacks=[*own, *given, *last],
        verbose=verbose,
        **smoothing,
    )
    try:
        with explain_missing(held_out=valid is not None):
            return net.partial_fit(WindowSet(train), None)
    except Interrupted:
        raise KeyboardInterrupt from None
