"""Predictors with a network of another library, trained from scratch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import nn

from ..signals.containers import Windows
from ..training.foreign import ForeignModule, auto_epochs, resolve_module
from ..training.labelled import LabelledWindows
from .predictor import NetworkPredictor


class ModulePredictor(NetworkPredictor):
    """The part of `ModuleClassifier` and `ModuleRegressor` that is about their network."""

    module: Any  # a parameter

    _smallest_batch = 2
    _records: ClassVar = {"_foreign": ForeignModule}

    def _find_origin(self) -> Callable[..., nn.Module]:
        return resolve_module(self.module)

    def _set_network(self, origin: Any, windows: Windows, labelled: LabelledWindows) -> None:
        shape = (windows.n_chans, labelled.X.shape[2], labelled.n_outputs)
        self._foreign = ForeignModule(origin, *shape, windows.sfreq, windows.chs)

    def _rebuild_module(self, weights: dict[str, Any], device: torch.device) -> nn.Module:
        assert self._foreign is not None  # stored with the weights
        return self._foreign.rebuild(weights, device)

    def _choose_strategy(self) -> str:
        return "finetune"

    def _can_hold_out(self, asked: Any) -> bool:
        return asked is True  # "auto" lets the schedule run to its end

    def _auto_epochs(self, n_windows: int) -> int:
        return auto_epochs(n_windows, self.batch_size)
