"""The base of classifier and regressor: from labelled windows to trained networks."""

from __future__ import annotations

import inspect
import warnings
from contextlib import nullcontext
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from .._utils.devices import draw_seed, out_of_memory_hint, resolve_device, usual_modes
from .._utils.optional import progress_bar
from .._utils.validation import all_or_nothing, as_flag, check_choice, check_number
from ..nn import PRESETS, CitrusNetwork, NetworkConfig
from ..signals.consistency import amplitude_range, warn_of_other_amplitude
from ..signals.containers import Windows, resolve_labels
from ..signals.targets import unwrap
from ..signals.windows import read_windows, to_float32
from ..training.fine_tuning import Recipe
from ..training.foreign import ForeignModule, auto_epochs, resolve_module
from ..training.holdout import hold_out
from ..training.hooks import check_augmentation, check_callbacks
from ..training.labelled import LabelledWindows
from ..training.members import MemberPlan, fit_member
from ..training.nets import FineTuner, infer, make_net
from .base import (
    STORE_WEIGHTS,
    NetworkEstimator,
    Reference,
    make_reference,
    modality_rows,
    pack,
    starting_point,
    unpack,
)

DEFAULT_PRESET = "small"
STRATEGIES = ("auto", "linear-probe", "finetune", "probe-then-finetune")
# Channel-windows of 1024 samples that "small" gets through in about 40 s on two cores.
_EPOCH_BUDGET = 7500


# Parameters that have an effect only where a network is trained.
_OF_TRAINING = (
    "max_epochs", "learning_rate", "weight_decay", "warmup", "label_smoothing", "mixup",
    "ema", "early_stopping", "validation_fraction", "patience",
)  # fmt: skip


class NetworkPredictor(NetworkEstimator):
    """An estimator that trains networks on labelled windows; see `CitrusClassifier`.

    A subclass defines the targets, and how a head is fitted to frozen features.
    """

    # Parameters; each public class spells them out, as scikit-learn reads them from there.
    pretrained: Any
    modality: Any
    strategy: str
    backbone: str
    random_kernels: bool
    preset: str
    module: Any
    max_epochs: int | str
    batch_size: int
    learning_rate: float
    weight_decay: float
    warmup: float
    mixup: float
    augmentation: Any
    ema: float
    early_stopping: bool | str
    validation_fraction: float
    patience: int | str
    n_estimators: int
    callbacks: list[Any] | None
    store_weights: str
    device: Any
    random_state: Any
    verbose: int

    # --- defined by subclasses -------------------------------------------------------------------

    def _label(self, y: Any, windows: Windows, sample_weight: Any, groups: Any) -> LabelledWindows:
        """Check `y`, note what prediction needs of it, and join it to the windows."""
        raise NotImplementedError

    def _fit_head(
        self, features: np.ndarray, module: CitrusNetwork, labelled: LabelledWindows, seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Weight ``(n_outputs, n_features)`` and bias of a head on standardised features."""
        raise NotImplementedError

    @property
    def _n_classes(self) -> int | None:
        raise NotImplementedError

    @property
    def _n_outputs(self) -> int:
        raise NotImplementedError

    # --- fit and predict -------------------------------------------------------------------------

    def _fit(self, X: Any, y: Any, sample_weight: Any, groups: Any) -> None:
        with (
            all_or_nothing(self),
            usual_modes(),
            out_of_memory_hint(self.batch_size, ", or random_kernels=False"),
        ):
            self._check_parameters()
            self._fit_members(X, y, sample_weight, groups)

    def _fit_members(self, X: Any, y: Any, sample_weight: Any, groups: Any) -> None:
        make = None if self.module is None else resolve_module(self.module)
        if make is None:
            config, weights = starting_point(self.pretrained, self.preset, self.backbone)
        device = resolve_device(self.device)
        self._target_column = y if isinstance(y, str) else None
        self._targets_passed = y is not None and self._target_column is None
        y, groups = resolve_labels(X, y), resolve_labels(X, groups, "groups")
        windows = read_windows(self, X, reset=True)
        labelled = self._label(y, windows, sample_weight, groups)
        self._amplitude = amplitude_range(labelled.X)
        self.strategy_ = self._choose_strategy()
        self._warn_of_unused_parameters()
        if make is None:
            frozen = self.strategy_ == "linear-probe"
            self._reference = make_reference(self.store_weights, self.pretrained, frozen)
            self._foreign, self._config = None, config
            self._with_kernels = bool(self.random_kernels)  # as fitted, whatever is set later
            self._modality_rows = modality_rows(self.modality, config, windows.n_chans)
        else:
            shape = (windows.n_chans, labelled.X.shape[2], labelled.n_outputs)
            self._foreign = ForeignModule(make, *shape, windows.sfreq, windows.chs)
            self._reference = weights = None
        seeds = np.random.SeedSequence(draw_seed(self.random_state)).generate_state(
            self.n_estimators
        )
        plan = MemberPlan(
            self.strategy_, self._build, weights, self._fit_head, self._foreign,
            self._recipe(labelled), device, self.augmentation, self.callbacks,
            verbose=max(0, self.verbose - 1),
        )  # fmt: skip
        splits = [(int(seed), *self._hold_out(labelled, int(seed))) for seed in seeds]
        n_steps = sum(plan.recipe.n_steps(len(train)) for _, train, _ in splits)
        with self._progress(n_steps) as bar:
            self.members_ = [
                fit_member(plan, labelled, train, valid, seed, bar) for seed, train, valid in splits
            ]
        self.net_ = self.members_[0]

    def _outputs(self, X: Any) -> torch.Tensor:
        """Output of each network, float64 ``(n_estimators, n_windows, n_outputs)``."""
        check_is_fitted(self)
        with usual_modes(), out_of_memory_hint(self.batch_size):
            values = to_float32(read_windows(self, X, reset=False))
            warn_of_other_amplitude(self, values)
            return torch.stack(
                [
                    infer(net.module_, values, torch.device(net.device), self.batch_size).double()
                    for net in self.members_
                ]
            )

    def _targets_to_score(self, X: Any, y: Any) -> Any:
        """`y` of ``score`` as values: None means the column, or the events, that ``fit`` used.

        Where ``fit`` got values, the events of X may be something else, so None is refused.
        """
        check_is_fitted(self)
        needs = f"{type(self).__name__}.score needs y, one value for each window, but y is None"
        if y is None and self._targets_passed:
            raise ValueError(f"{needs}, and fit got y as values, which X does not hold. Pass y.")
        column = self._target_column if y is None else y
        try:
            found = resolve_labels(X, column)
        except ValueError as error:
            if y is not None or column is None:
                raise
            raise ValueError(
                f"{needs}, and fit used the column {column!r} of X. {error}"
            ) from error
        if found is None:
            raise ValueError(
                f"{needs}, and fit used the labels that X held, while this X, of type "
                f"{type(X).__name__}, holds none. Pass y, or mne.Epochs, or a data set of "
                "braindecode."
            )
        return unwrap(found, "y", len(found))

    @property
    def history_(self) -> list[dict[str, Any]]:
        """A row for each epoch of the first network; empty for a linear probe."""
        check_is_fitted(self)
        return _epochs(self.net_)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "members_")

    # --- storage ---------------------------------------------------------------------------------

    _network_attributes = ("members_", "net_")
    _records: ClassVar = {
        "_config": NetworkConfig,
        "_foreign": ForeignModule,
        "_reference": Reference,
    }
    _foreign: ForeignModule | None = None
    _target_column: str | None = None
    _targets_passed: bool = True

    def _pack_networks(self) -> list[tuple[Any, ...]]:
        return [(pack(net.module_, self._reference), _epochs(net)) for net in self.members_]

    def _unpack_networks(self, packed: list[tuple[Any, ...]], device: torch.device) -> None:
        self.members_ = [self._rebuild(weights, rows, device) for weights, rows in packed]
        self.net_ = self.members_[0]

    def _rebuild(
        self, weights: dict[str, Any], epochs: list[dict[str, Any]], device: torch.device
    ) -> FineTuner:
        if self._foreign is None:
            module = unpack(self._build, weights, device, self._reference)
        else:
            module = self._foreign.rebuild(weights, device)
        net = make_net(module, self._n_classes, device)
        for row in epochs:
            net.history.new_epoch()
            for name, value in row.items():
                net.history.record(name, value)
        return net

    # --- training --------------------------------------------------------------------------------

    def _build(self) -> CitrusNetwork:
        kernel_times = self.n_times_ if self._with_kernels else None
        return CitrusNetwork(
            self._config, self.n_chans_, self._n_outputs, self._modality_rows, kernel_times
        )

    def _choose_strategy(self) -> str:
        if self.module is not None:
            return "finetune"
        if self.strategy != "auto":
            return self.strategy
        probe = self.random_kernels and self.augmentation is None
        return "linear-probe" if probe else "probe-then-finetune"

    def _hold_out(
        self, labelled: LabelledWindows, seed: int
    ) -> tuple[LabelledWindows, LabelledWindows | None]:
        """Training and validation part; no validation part where it could not be trusted."""
        asked = as_flag("early_stopping", self.early_stopping, alternatives=("auto",))
        by_schedule = asked == "auto" and self._foreign is not None
        if not asked or by_schedule or self.strategy_ == "linear-probe":
            return labelled, None
        forced = asked is True
        return hold_out(labelled, self.validation_fraction, seed % 2**31, forced=forced)

    def _recipe(self, labelled: LabelledWindows) -> Recipe:
        max_epochs: Any = self.max_epochs
        if max_epochs == "auto" and self._foreign is not None:
            max_epochs = auto_epochs(len(labelled), self.batch_size)
        elif max_epochs == "auto":
            work = len(labelled) * self.n_chans_ * max(self.n_times_, 128) / 1024
            max_epochs = int(np.clip(round(_EPOCH_BUDGET / work), 6, 40))
        patience: Any = max(3, max_epochs // 4) if self.patience == "auto" else self.patience
        return Recipe(
            max_epochs=max_epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            # A probe's head multiplies whatever moves below it: the first epochs of a trunk at
            # the full rate undo it. 0.3 had the lowest log loss on training folds of six sets.
            trunk_factor=1.0 if self.strategy_ == "finetune" else 0.3,
            weight_decay=self.weight_decay,
            warmup=self.warmup,
            mixup=self.mixup,
            ema=self.ema,
            patience=patience,
        )

    def _progress(self, n_steps: int) -> Any:
        if not self.verbose or self.strategy_ == "linear-probe":
            return nullcontext()
        return progress_bar(total=n_steps, description=type(self).__name__, unit="batch")

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
                stacklevel=5,
            )

    def _check_module(self) -> None:
        if self.module is None:
            return
        if self.strategy not in ("auto", "finetune"):
            raise ValueError(
                f"strategy={self.strategy!r} needs pre-trained features, and module= has none. Use "
                "'auto' or 'finetune'."
            )
        if self.store_weights == "reference":
            raise ValueError(
                "store_weights='reference' names a pre-trained checkpoint, and module= has none. "
                "Use store_weights='full'."
            )

    def _check_parameters(self) -> None:
        check_choice("strategy", self.strategy, STRATEGIES)
        check_choice("preset", self.preset, tuple(PRESETS))
        if self.preset != DEFAULT_PRESET and self.pretrained is not None and self.module is None:
            raise ValueError(
                f"preset={self.preset!r} is the size of a network that is trained from scratch, "
                f"but pretrained={self.pretrained!r} has a size of its own. Pass pretrained=None, "
                f"or leave preset={DEFAULT_PRESET!r}."
            )
        as_flag("random_kernels", self.random_kernels)
        as_flag("early_stopping", self.early_stopping, alternatives=("auto",))
        self._check_module()
        if self.augmentation is not None:
            check_augmentation(self.augmentation)
            if self.strategy == "linear-probe" and self.module is None:
                raise ValueError(
                    "augmentation changes training batches, and strategy='linear-probe' has none. "
                    "Use 'auto', 'finetune' or 'probe-then-finetune'."
                )
        check_number("max_epochs", self.max_epochs, Integral, low=1, alternatives=("auto",))
        # Batch normalisation, which most others have, knows no batch of one.
        fewest = 1 if self.module is None else 2
        check_number("batch_size", self.batch_size, Integral, low=fewest)
        check_number("learning_rate", self.learning_rate, open_low=True)
        check_number("weight_decay", self.weight_decay)
        check_number("warmup", self.warmup, high=1.0)
        check_number("ema", self.ema, high=1.0)
        check_number("mixup", self.mixup)
        check_number("validation_fraction", self.validation_fraction, high=0.5, open_low=True)
        check_number("patience", self.patience, Integral, low=1, alternatives=("auto",))
        check_number("n_estimators", self.n_estimators, Integral, low=1)
        check_choice("store_weights", self.store_weights, STORE_WEIGHTS)
        if not isinstance(self.verbose, bool):
            check_number("verbose", self.verbose, Integral)
        check_callbacks(self.callbacks)
        if self.callbacks and self._choose_strategy() == "linear-probe":
            # Fine-tuning instead would let a logger change what it looks at.
            raise ValueError(
                f"callbacks follow a training, and strategy={self.strategy!r} has none here: it "
                "fits a linear probe. Use 'probe-then-finetune' or 'finetune', or callbacks=None."
            )


def _is_default(value: Any, default: Any) -> bool:
    return value is default or bool(value == default)


def _epochs(net: FineTuner) -> list[dict[str, Any]]:
    """The history by epoch; its thousands of batches stay out of a pickle."""
    return [{k: v for k, v in row.items() if k != "batches"} for row in net.history]
