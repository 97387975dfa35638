"""The base of classifiers and regressors: from labelled windows to trained networks."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from .._utils.devices import draw_seed, out_of_memory_hint, resolve_device, usual_modes
from .._utils.optional import progress_bar
from .._utils.validation import all_or_nothing, as_flag, check_number
from ..nn import CitrusNetwork
from ..signals.consistency import amplitude_range, warn_of_other_amplitude
from ..signals.containers import Windows, resolve_labels
from ..signals.targets import unwrap
from ..signals.windows import finite, read_windows
from ..training.adaptation.heads import AdaptiveHead, Linear
from ..training.feature_cache import FeatureCache
from ..training.fine_tuning import TuningSettings
from ..training.foreign import ForeignModule
from ..training.holdout import hold_out
from ..training.hooks import check_augmentation, check_callbacks
from ..training.labelled import LabelledWindows
from ..training.many_windows import AllWindows
from ..training.members import MakeAdaptive, MemberPlan, fit_members, n_steps
from ..training.nets import FineTuner, infer, make_net
from .base import NetworkEstimator, Reference, pack


class NetworkPredictor(NetworkEstimator):
    """An estimator that trains networks on labelled windows.

    One subclass defines the targets (classes or numbers), and one the networks (those of this
    package, or of another one). A public class inherits from one of each.
    """

    # Parameters that all have; each public class spells them out, where scikit-learn reads them.
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
    device: Any
    random_state: Any
    verbose: int

    # --- defined by the targets ------------------------------------------------------------------

    def _label(self, y: Any, windows: Windows, sample_weight: Any, groups: Any) -> LabelledWindows:
        """Check `y`, note what prediction needs of it, and join it to the windows."""
        raise NotImplementedError

    def _fit_head(
        self, features: np.ndarray, module: CitrusNetwork, labelled: LabelledWindows, seed: int,
        everything: AllWindows | None,
    ) -> tuple[Linear, MakeAdaptive]:  # fmt: skip
        """Weight ``(n_outputs, n_features)`` and bias of a head, and how it is adapted."""
        raise NotImplementedError

    @property
    def _in_blocks(self) -> bool:
        """Whether `_fit_head` can fit the head to all windows in blocks."""
        return False

    def _person_targets(self, y: Any, n_windows: int) -> np.ndarray:
        """Targets of labelled windows of one person, float ``(n_windows, n_outputs)``."""
        raise NotImplementedError

    @property
    def _n_classes(self) -> int | None:
        raise NotImplementedError

    @property
    def _n_outputs(self) -> int:
        raise NotImplementedError

    # --- defined by the networks -----------------------------------------------------------------

    # Fewest windows in a batch: batch normalisation, which most networks have, needs two.
    _smallest_batch: ClassVar[int]
    # What to do where memory runs out, besides smaller batches.
    _memory_hint: ClassVar[str] = ""
    _is_personal: bool = False  # whether the head is that of one person
    _adapt_trained: Any = None  # a method where networks can be adapted to people
    _foreign: ForeignModule | None = None
    _reference: Reference | None = None
    _selections: list[dict[str, Any]]

    def _find_origin(self) -> Any:
        """Find the weights, or the class of networks, that the parameters name."""
        raise NotImplementedError

    def _set_network(
        self, origin: Any, windows: Windows, labelled: LabelledWindows
    ) -> dict[str, Tensor] | None:
        """Note what building a network for these windows needs, and return the trunk's weights."""
        raise NotImplementedError

    def _build(self) -> Any:
        """Make a network, with weights drawn at random."""
        raise NotImplementedError

    def _rebuild_module(self, weights: dict[str, Any], device: torch.device) -> nn.Module:
        """Make the network that packed weights belong to."""
        raise NotImplementedError

    def _choose_strategy(self) -> str:
        raise NotImplementedError

    def _auto_epochs(self, n_windows: int) -> int:
        """Number of epochs for ``max_epochs="auto"``."""
        raise NotImplementedError

    def _can_hold_out(self, asked: Any) -> bool:
        """Whether windows may be held out, where ``early_stopping`` is `asked`."""
        raise NotImplementedError

    def _feature_cache(self, *, fitting: bool = False) -> FeatureCache | None:
        """Cache for one call; None where features are not cached."""
        return None

    @property
    def _trunk_factor(self) -> float:
        """Learning rate of the trunk, as a share of that of the head."""
        return 1.0

    @property
    def _head_step(self) -> float | None:
        """See `TuningSettings`."""
        return None

    # --- fit and predict -------------------------------------------------------------------------

    def _fit(self, X: Any, y: Any, sample_weight: Any, groups: Any) -> None:
        with (
            all_or_nothing(self),
            usual_modes(),
            out_of_memory_hint(self.batch_size, self._memory_hint),
        ):
            self._check_parameters()
            self._fit_members(X, y, sample_weight, groups)

    def _fit_members(self, X: Any, y: Any, sample_weight: Any, groups: Any) -> None:
        origin = self._find_origin()
        device = resolve_device(self.device)
        self._target_column = y if isinstance(y, str) else None
        self._targets_passed = y is not None and self._target_column is None
        y, groups = resolve_labels(X, y), resolve_labels(X, groups, "groups")
        windows = read_windows(self, X, reset=True)
        labelled = self._label(y, windows, sample_weight, groups)
        self._amplitude = amplitude_range(labelled.X)
        self._fitted_on_groups = labelled.groups is not None
        self.strategy_ = self._choose_strategy()
        weights = self._set_network(origin, windows, labelled)
        seeds = np.random.SeedSequence(draw_seed(self.random_state)).generate_state(
            self.n_estimators
        )
        plan = MemberPlan(
            self.strategy_, self._build, weights, self._fit_head, self._adapt_trained,
            self._foreign,
            self._tuning_settings(labelled), device, self.augmentation, self.callbacks,
            verbose=max(0, self.verbose - 1), leaves_out=self._leaves_out,
            in_blocks=self._in_blocks, cache=self._feature_cache(fitting=True),
        )  # fmt: skip
        splits = [(int(seed), *self._hold_out(labelled, int(seed))) for seed in seeds]
        with self._progress(n_steps(plan, labelled, splits)) as bar:
            fitted, selections = fit_members(plan, labelled, splits, bar)
        self.members_ = [net for net, _ in fitted]
        self._adaptive = [adaptive for _, adaptive in fitted]
        self._selections = [asdict(selection) for selection in selections]
        self.net_ = self.members_[0]
        self._is_personal = False

    def _outputs(self, X: Any, groups: Any = None) -> torch.Tensor:
        """Output of each network, float64 ``(n_estimators, n_windows, n_outputs)``."""
        if groups is not None:
            raise ValueError(
                f"{type(self).__name__} does not adapt to people, so it takes no groups when it "
                "predicts. Leave them out."
            )
        check_is_fitted(self)
        with usual_modes(), out_of_memory_hint(self.batch_size):
            values = finite(read_windows(self, X, reset=False))
            warn_of_other_amplitude(self, values)
            cache = self._feature_cache()
            outputs = [self._infer(net, values, cache) for net in self.members_]
            return torch.stack([each.double() for each in outputs])

    def _infer(
        self, net: FineTuner, values: np.ndarray, cache: FeatureCache | None
    ) -> torch.Tensor:
        return infer(net.module_, values, torch.device(net.device), self.batch_size)

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
        """A row for each epoch of the first training; empty for ``strategy="linear-probe"``."""
        check_is_fitted(self)
        return _epochs(self.net_)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "members_")

    def get_metadata_routing(self) -> Any:
        """Requests of metadata; unless set, ``score`` requests groups where ``predict`` does.

        Returns
        -------
        sklearn.utils.metadata_routing.MetadataRequest
        """
        requests = super().get_metadata_routing()
        if requests.score.requests.get("groups") is None:
            asked = requests.predict.requests.get("groups")
            requests.score.add_request(param="groups", alias=asked is True)
        return requests

    # --- storage ---------------------------------------------------------------------------------

    _network_attributes = ("members_", "net_", "_adaptive")
    _target_column: str | None = None
    _targets_passed: bool = True

    def _pack_networks(self) -> list[tuple[Any, ...]]:
        return [
            (
                pack(net.module_, self._reference),
                _epochs(net),
                None if adaptive is None else adaptive.to_dict(),
            )
            for net, adaptive in zip(self.members_, self._adaptive, strict=True)
        ]

    def _unpack_networks(self, packed: list[tuple[Any, ...]], device: torch.device) -> None:
        if any(len(stored) != 3 for stored in packed):
            raise LookupError("its networks are stored without an adaptation")
        self.members_ = [self._rebuild(weights, rows, device) for weights, rows, _ in packed]
        self._adaptive = [
            None if stored is None else AdaptiveHead.from_dict(stored) for _, _, stored in packed
        ]
        self.net_ = self.members_[0]

    def _rebuild(
        self, weights: dict[str, Any], epochs: list[dict[str, Any]], device: torch.device
    ) -> FineTuner:
        module = self._rebuild_module(weights, device)
        net = make_net(module, self._n_classes, device)
        for row in epochs:
            net.history.new_epoch()
            for name, value in row.items():
                net.history.record(name, value)
        return net

    # --- training --------------------------------------------------------------------------------

    @property
    def _leaves_out(self) -> bool:
        return bool(as_flag("early_stopping", self.early_stopping, alternatives=("auto",)))

    def _hold_out(
        self, labelled: LabelledWindows, seed: int
    ) -> tuple[LabelledWindows, LabelledWindows | None]:
        """Training and validation part; no validation part where it could not be trusted."""
        asked = as_flag("early_stopping", self.early_stopping, alternatives=("auto",))
        if not asked or not self._can_hold_out(asked):
            return labelled, None
        forced = asked is True
        return hold_out(labelled, self.validation_fraction, seed % 2**31, forced=forced)

    def _tuning_settings(self, labelled: LabelledWindows) -> TuningSettings:
        max_epochs: Any = self.max_epochs
        if max_epochs == "auto":
            max_epochs = self._auto_epochs(len(labelled))
        patience: Any = max(3, max_epochs // 4) if self.patience == "auto" else self.patience
        return TuningSettings(
            max_epochs=max_epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            trunk_factor=self._trunk_factor,
            head_step=self._head_step,
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

    def _check_parameters(self) -> None:
        as_flag("early_stopping", self.early_stopping, alternatives=("auto",))
        if self.augmentation is not None:
            check_augmentation(self.augmentation)
        check_number("max_epochs", self.max_epochs, Integral, low=1, alternatives=("auto",))
        check_number("batch_size", self.batch_size, Integral, low=self._smallest_batch)
        check_number("learning_rate", self.learning_rate, open_low=True)
        check_number("weight_decay", self.weight_decay)
        check_number("warmup", self.warmup, high=1.0)
        check_number("ema", self.ema, high=1.0)
        check_number("mixup", self.mixup)
        check_number("validation_fraction", self.validation_fraction, high=0.5, open_low=True)
        check_number("patience", self.patience, Integral, low=1, alternatives=("auto",))
        check_number("n_estimators", self.n_estimators, Integral, low=1)
        if not isinstance(self.verbose, bool):
            check_number("verbose", self.verbose, Integral)
        check_callbacks(self.callbacks)


def _epochs(net: FineTuner) -> list[dict[str, Any]]:
    """The history by epoch; its thousands of batches stay out of a pickle."""
    return [{k: v for k, v in row.items() if k != "batches"} for row in net.history]
