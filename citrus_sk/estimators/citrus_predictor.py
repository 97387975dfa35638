"""Predictors with the network of this package: pre-trained or not, probed, fine-tuned or both."""

from __future__ import annotations

import copy
import inspect
import math
import warnings
from collections.abc import Iterable
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from .._utils.validation import as_flag, check_choice, check_folder, first_few
from ..nn import PRESETS, CitrusNetwork, NetworkConfig
from ..signals.containers import Windows
from ..training.feature_cache import FeatureCache
from ..training.labelled import LabelledWindows
from ..training.nets import make_net
from ..training.selection import Selection, summary
from .base import (
    STORE_WEIGHTS,
    Reference,
    make_reference,
    modality_rows,
    starting_point,
    unpack,
)
from .people import PeoplePredictor

DEFAULT_PRESET = "small"
STRATEGIES = ("auto", "linear-probe", "finetune", "probe-then-finetune")
# Channel-windows of 1024 samples that "small" gets through in about 40 s on two cores.
_EPOCH_BUDGET = 7500
# Parameters that have an effect only where a network is trained.
_OF_TRAINING = (
    "max_epochs", "learning_rate", "weight_decay", "warmup", "label_smoothing", "mixup",
    "ema", "early_stopping", "validation_fraction", "patience",
)  # fmt: skip


class CitrusPredictor(PeoplePredictor):
    """The part of `CitrusClassifier` and `CitrusRegressor` that is about their network."""

    # Parameters; each public class spells them out, where scikit-learn reads them.
    pretrained: Any
    modality: Any
    strategy: str
    backbone: str
    random_kernels: bool
    preset: str
    store_weights: str
    memory: Any

    _fewest_steps = 150  # of the optimiser, however few windows there are
    _smallest_batch = 1
    _memory_hint = ", or random_kernels=False"
    _records: ClassVar = {"_config": NetworkConfig, "_reference": Reference}

    def _find_origin(self) -> tuple[NetworkConfig, dict[str, Tensor] | None]:
        return starting_point(self.pretrained, self.preset, self.backbone)

    def _set_network(
        self, origin: Any, windows: Windows, labelled: LabelledWindows
    ) -> dict[str, Tensor] | None:
        self._warn_of_unused_parameters()
        frozen = self.strategy_ == "linear-probe"
        self._reference = make_reference(self.store_weights, self.pretrained, frozen)
        self._config, weights = origin
        self._with_kernels = bool(self.random_kernels)  # as fitted, whatever is set later
        self._modality_rows = modality_rows(self.modality, self._config, windows.n_chans)
        return weights

    def _build(self) -> CitrusNetwork:
        kernel_times = self.n_times_ if self._with_kernels else None
        return CitrusNetwork(
            self._config, self.n_chans_, self._n_outputs, self._modality_rows, kernel_times
        )

    def _rebuild_module(self, weights: dict[str, Any], device: torch.device) -> CitrusNetwork:
        return unpack(self._build, weights, device, self._reference)

    def _feature_cache(self, *, fitting: bool = False) -> FeatureCache | None:
        if self.strategy_ != "linear-probe":
            return None
        return (FeatureCache.for_fit if fitting else FeatureCache.for_prediction)(self.memory)

    @property
    def selection_(self) -> dict[str, Any]:
        """Whether the first trained network or its linear probe was kept, and why."""
        check_is_fitted(self)
        return dict(self._selections[0])

    # --- fewer channels --------------------------------------------------------------------------

    _ignored_chans: tuple[int, ...] = ()  # indices

    def without_channels(self, channels: Any) -> Self:
        """Ignore channels, such as those that a recording lacks, without another fit.

        Every feature of an ignored channel has its mean over the training windows. Random kernels
        on several channels are computed on those that are left.

        Parameters
        ----------
        channels : sequence of str or of int
            Channels to ignore: their names in ``ch_names_``, or their indices. At least one channel
            has to be left.

        Returns
        -------
        Self
            A new fitted estimator. Arrays still have all channels, and values of the ignored ones
            have no effect. Epochs may lack them.

        Raises
        ------
        TypeError
            If a channel is neither a name nor an index.
        ValueError
            If a channel is not known or no channel is left; if this estimator ignores channels
            already; or if its network was fine-tuned on several channels, which the channel mixer
            combines.
        """
        check_is_fitted(self)
        ignored = self._find_channels(channels)
        if self._ignored_chans:
            raise ValueError(
                f"This {type(self).__name__} ignores channels already. Call without_channels on "
                "the estimator that it was made from, with all channels to ignore."
            )
        modules: list[Any] = [net.module_ for net in self.members_]
        if any(module.readout.mixes_channels for module in modules):
            raise ValueError(
                f"This {type(self).__name__} was fine-tuned, and every feature of its network "
                "depends on all channels, so none can be ignored. Fit it with "
                "strategy='linear-probe', or without these channels."
            )
        new = copy.copy(self)
        new._ignored_chans = ignored
        new.members_ = [
            make_net(module.without_channels(ignored).eval(), self._n_classes, net.device)
            for net, module in zip(self.members_, modules, strict=True)
        ]
        for made, net in zip(new.members_, self.members_, strict=True):
            made.history = net.history
        new.net_ = new.members_[0]
        return new

    def _find_channels(self, channels: Any) -> tuple[int, ...]:
        """Indices of channels, without repetitions and in increasing order."""
        one = isinstance(channels, str) or not isinstance(channels, Iterable)
        known = list(getattr(self, "ch_names_", ()))
        found = set()
        for each in [channels] if one else channels:
            if not isinstance(each, str | Integral) or isinstance(each, bool):
                raise TypeError(
                    f"channels holds {each!r}, a {type(each).__name__}; expected names or indices."
                )
            if each in known:
                found.add(known.index(each))
            elif not isinstance(each, str) and 0 <= int(each) < self.n_chans_:
                found.add(int(each))
            else:
                names = f"names among {first_few(known, 20)}, or " if known else ""
                raise ValueError(
                    f"channels holds {each!r}; expected {names}indices from 0 to "
                    f"{self.n_chans_ - 1}."
                )
        if not 0 < len(found) < self.n_chans_:
            raise ValueError(
                f"channels has {len(found)} of {self.n_chans_} channels; expected at least one, "
                "and fewer than all."
            )
        return tuple(sorted(found))

    # --- training --------------------------------------------------------------------------------

    def _fit_members(self, X: Any, y: Any, sample_weight: Any, groups: Any) -> None:
        super()._fit_members(X, y, sample_weight, groups)
        if self.verbose and self.strategy_ != "linear-probe":
            print(f"{type(self).__name__}: {summary(Selection(**self.selection_))}")  # noqa: T201

    def _choose_strategy(self) -> str:
        if self.strategy != "auto":
            return self.strategy
        probe = self.random_kernels and self.augmentation is None
        return "linear-probe" if probe else "probe-then-finetune"

    def _can_hold_out(self, asked: Any) -> bool:
        return self.strategy_ != "linear-probe"

    def _auto_epochs(self, n_windows: int) -> int:
        work = n_windows * self.n_chans_ * max(self.n_times_, 128) / 1024
        n_epochs = int(np.clip(round(_EPOCH_BUDGET / work), 6, 40))
        return max(n_epochs, math.ceil(self._fewest_steps / math.ceil(n_windows / self.batch_size)))

    @property
    def _trunk_factor(self) -> float:
        # On training folds, losses of "finetune" fell up to this rate and were level beyond it.
        # Behind a probe's head, any larger rate undoes what the probe has learned.
        return 10.0 if self.strategy_ == "finetune" else 0.1

    @property
    def _head_step(self) -> float:
        # A head of zeros has to get far in few steps: at the default rate, a step may change an
        # output by 1. The head of a probe is near its optimum.
        return 1000.0 if self.strategy_ == "finetune" else 10.0

    # --- parameters ------------------------------------------------------------------------------

    def _check_parameters(self) -> None:
        check_choice("strategy", self.strategy, STRATEGIES)
        check_choice("preset", self.preset, tuple(PRESETS))
        if self.preset != DEFAULT_PRESET and self.pretrained is not None:
            raise ValueError(
                f"preset={self.preset!r} is the size of a network that is trained from scratch, "
                f"but pretrained={self.pretrained!r} has a size of its own. Pass pretrained=None, "
                f"or leave preset={DEFAULT_PRESET!r}."
            )
        as_flag("random_kernels", self.random_kernels)
        check_choice("store_weights", self.store_weights, STORE_WEIGHTS)
        check_folder("memory", self.memory)
        super()._check_parameters()
        if self.augmentation is not None and self.strategy == "linear-probe":
            raise ValueError(
                "augmentation changes training batches, and strategy='linear-probe' has none. "
                "Use 'auto', 'finetune' or 'probe-then-finetune'."
            )
        if self.callbacks and self._choose_strategy() == "linear-probe":
            # Fine-tuning instead would let a logger change what it looks at.
            raise ValueError(
                f"callbacks follow a training, and strategy={self.strategy!r} has none here: it "
                "fits a linear probe. Use 'probe-then-finetune' or 'finetune', or callbacks=None."
            )

    def _warn_of_unused_parameters(self) -> None:
        """Warn of parameters that were changed and have no effect on this fit."""
        if self.strategy_ != "linear-probe":
            return
        defaults = inspect.signature(type(self).__init__).parameters
        unused = [
            f"{name}={getattr(self, name)!r}"
            for name in _OF_TRAINING
            if name in defaults and not _is_default(getattr(self, name), defaults[name].default)
        ]
        if unused:
            warnings.warn(
                f"{', '.join(unused)}: without effect on a linear probe, which trains nothing by "
                f"steps (strategy={self.strategy!r}). Use strategy='finetune' or "
                "'probe-then-finetune', or leave the default.",
                UserWarning,
                stacklevel=6,
            )


def _is_default(value: Any, default: Any) -> bool:
    return value is default or bool(value == default)
