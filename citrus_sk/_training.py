"""Training and inference: skorch nets, devices, seeds. The only place that trains."""

from __future__ import annotations

import math
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.utils import check_random_state
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback, GradientNormClipping, LRScheduler
from skorch.dataset import unpack_data
from skorch.helper import predefined_split
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import Dataset

from ._augmentation import Augment
from ._callbacks import explain_missing, prepare_callbacks, without_name
from ._labelled import LabelledWindows

# Samples times channels of one inference batch: about 0.5 GB of activations in "small".
_INFERENCE_SAMPLES = 2**18


@dataclass(frozen=True)
class Recipe:
    """How a network is trained; see `CitrusClassifier` for each entry."""

    max_epochs: int
    batch_size: int
    learning_rate: float
    trunk_factor: float
    weight_decay: float
    warmup: float
    label_smoothing: float
    mixup: float
    ema: bool
    patience: int

    def n_steps(self, n_windows: int) -> int:
        """Batches in a whole run over `n_windows`."""
        return self.max_epochs * math.ceil(n_windows / self.batch_size)


# --- the machine ---------------------------------------------------------------------------------


def resolve_device(device: str | torch.device, *, strict: bool = True) -> torch.device:
    """The torch device that `device` means on this machine.

    Parameters
    ----------
    device : str or torch.device
        ``"auto"`` is CUDA where there is one, else the CPU.
    strict : bool, default=True
        False falls back to the CPU, with a warning, where the device is not there: a model that
        was trained on a GPU can be loaded without one.
    """
    if isinstance(device, str) and device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
        torch.empty(0, device=resolved)
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        if not strict:
            warnings.warn(
                f"device={device!r} is not there; the model is loaded on the CPU.", stacklevel=2
            )
            return torch.device("cpu")
        raise ValueError(
            f"device={device!r} cannot be used on this machine. Pass 'auto', 'cpu', or a device "
            f"that torch knows here ({torch.cuda.device_count()} CUDA devices)."
        ) from error
    return resolved


@contextmanager
def isolated_seed(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch and numpy inside the block; both global states are put back after it."""
    numpy_state = np.random.get_state()  # noqa: NPY002 - skorch and its callbacks draw from it
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        try:
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002


def draw_seed(random_state: Any) -> int:
    """An integer seed. None draws a new one each time without touching numpy's global state."""
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0] >> 1)
    return int(check_random_state(random_state).randint(2**31 - 1))


@contextmanager
def out_of_memory_hint(batch_size: int) -> Iterator[None]:
    """Turn a GPU that ran out of memory into an error that says what to try."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        smaller = max(1, batch_size // 2)
        remedy = (
            f"Try batch_size={smaller}"
            if batch_size > 1
            else "Try shorter windows (SignalAligner(n_times=...)) or a smaller preset"
        )
        raise MemoryError(
            f"The device ran out of memory with batch_size={batch_size}. {remedy}, or device='cpu'."
        ) from error


# --- batches -------------------------------------------------------------------------------------


class WindowSet(Dataset):
    """A `LabelledWindows` as a torch data set that is indexed by whole batches."""

    def __init__(self, labelled: LabelledWindows) -> None:
        self.labelled = labelled
        self.weights = (labelled.weights / labelled.weights.mean()).astype(np.float32)

    def __len__(self) -> int:
        return len(self.labelled)

    def __getitem__(self, index: Any) -> tuple[dict[str, Any], Any]:
        X = self.labelled.X[self.labelled.rows[index]]
        return {"x": X, "weight": self.weights[index]}, self.labelled.codes[index]


class BatchLoader:
    """Whole batches by one indexing each; sizes differ by one at most, so none is a left-over."""

    def __init__(self, dataset: Any, batch_size: int, shuffle: bool = False) -> None:
        self.dataset, self.batch_size, self.shuffle = dataset, batch_size, shuffle

    def __len__(self) -> int:
        return math.ceil(len(self.dataset) / self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        n = len(self.dataset)
        order = torch.randperm(n).numpy() if self.shuffle else np.arange(n)
        for index in np.array_split(order, len(self)):
            yield torch.utils.data.default_convert(self.dataset[index])


# --- the net -------------------------------------------------------------------------------------


class Interrupted(Exception):
    """A real Ctrl-C, on its way past skorch, which takes any KeyboardInterrupt for a wish."""


class FineTuner(NeuralNetClassifier):
    """A skorch classifier with weighted, smoothed and mixed targets and averaged weights.

    Parameters
    ----------
    label_smoothing : float
        Share of a target that is spread over all classes.
    mixup : float
        Parameter of the Beta distribution that two windows are mixed by (Zhang et al., 2018);
        0 mixes nothing.
    augment : callable or None
        What `prepare_augmentation` gives, for training batches.
    frozen : bool
        Whether the net only predicts: torch's optimisers cost a second to import.
    """

    def __init__(
        self,
        *args: Any,
        label_smoothing: float = 0.0,
        mixup: float = 0.0,
        augment: Augment | None = None,
        frozen: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.label_smoothing = label_smoothing
        self.mixup = mixup
        self.augment = augment
        self.frozen = frozen

    averaging_: WeightAverage | None = None

    @property
    def _default_callbacks(self) -> list:
        # A vote on accuracy after every epoch costs a pass and decides nothing here.
        return [pair for pair in super()._default_callbacks if pair[0] != "valid_acc"]

    def initialize_optimizer(self, *args: Any, **kwargs: Any) -> Any:
        return self if self.frozen else super().initialize_optimizer(*args, **kwargs)

    def infer(self, x: Any, **fit_params: Any) -> Tensor:
        return super().infer(x["x"] if isinstance(x, dict) else x, **fit_params)

    def train_step_single(self, batch: Any, **fit_params: Any) -> dict[str, Tensor]:
        self._set_training(True)
        x, mass = self._unpack(batch, self.augment)
        mass = (1 - self.label_smoothing) * mass + self.label_smoothing * mass.mean(1, keepdim=True)
        if self.mixup > 0 and len(x) > 1:
            share = float(np.random.beta(self.mixup, self.mixup))  # noqa: NPY002 - seeded, put back
            other = torch.randperm(len(x)).to(x.device)
            # Windows are mixed in units of their own sd, or the louder one would win.
            x = _mix_windows(x, x[other], share)
            mass = share * mass + (1 - share) * mass[other]
        logits = self.infer(x, **fit_params)
        loss = _cross_entropy(logits, mass)
        loss.backward()
        return {"loss": loss, "y_pred": logits}

    def validation_step(self, batch: Any, **fit_params: Any) -> dict[str, Tensor]:
        self._set_training(False)
        x, mass = self._unpack(batch)
        with torch.no_grad():
            logits = kept_module(self)(x)
            return {"loss": _cross_entropy(logits, mass), "y_pred": logits}

    def _unpack(self, batch: Any, augment: Augment | None = None) -> tuple[Tensor, Tensor]:
        """Windows, and for each the weight that it puts on every class."""
        inputs, codes = unpack_data(batch)
        x, codes = inputs["x"].to(self.device), codes.to(self.device)
        if augment is None:
            shares = F.one_hot(codes, len(self.classes)).to(x.dtype)
        else:
            x, shares = augment(x, codes, len(self.classes))
        return x, shares * inputs["weight"].to(self.device)[:, None]

    def fit_loop(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().fit_loop(*args, **kwargs)
        except KeyboardInterrupt as stop:
            # Callbacks stop a training by raising one; anything else is the user's Ctrl-C.
            *_, (frame, _) = traceback.walk_tb(stop.__traceback__)
            if frame.f_code.co_name.startswith("on_"):
                return self
            raise Interrupted from stop


def _mix_windows(x: Tensor, other: Tensor, share: float) -> Tensor:
    """Mix centred windows by `share` in units of sd; level and sd are mixed beside the shape."""
    mean, sd = x.mean(-1, keepdim=True), x.std(-1, keepdim=True, correction=0)
    other_mean, other_sd = other.mean(-1, keepdim=True), other.std(-1, keepdim=True, correction=0)
    shape = share * _unit(x - mean, sd) + (1 - share) * _unit(other - other_mean, other_sd)
    size = share * sd + (1 - share) * other_sd
    return shape * size + share * mean + (1 - share) * other_mean


def _unit(centred: Tensor, sd: Tensor) -> Tensor:
    return torch.where(sd > 0, centred / torch.where(sd > 0, sd, 1.0), 0.0)


def _cross_entropy(logits: Tensor, mass: Tensor) -> Tensor:
    """Mean cross-entropy, each window counting as much as its mass."""
    return -(mass * logits.log_softmax(1)).sum() / mass.sum().clamp_min(1e-12)


class WeightAverage(Callback):
    """Exponential moving average over about a tenth of the run; validated, and kept at the end."""

    def __init__(self, n_steps: int) -> None:
        self.n_steps = n_steps

    def on_train_begin(self, net: FineTuner, **kwargs: Any) -> None:
        decay = 1 - 1 / max(2.0, 0.1 * self.n_steps)

        def update(averages: Any, currents: Any, n: Tensor | int) -> None:
            share = 1 - min(decay, (1.0 + float(n)) / (10.0 + float(n)))
            torch._foreach_lerp_(averages, currents, share)

        # skorch would take a module of its own for one more thing to train: it stays in here.
        self.model_ = AveragedModel(net.module_, multi_avg_fn=update).eval()
        net.averaging_ = self

    def on_batch_end(self, net: FineTuner, training: bool = False, **kwargs: Any) -> None:
        if training:
            self.model_.update_parameters(net.module_)

    def on_train_end(self, net: FineTuner, **kwargs: Any) -> None:
        net.module_.load_state_dict(self.model_.module.state_dict())
        del self.model_
        net.averaging_ = None


def kept_module(net: FineTuner) -> nn.Module:
    """The module whose weights would be kept if training ended now."""
    return net.averaging_.model_.module if net.averaging_ else net.module_


class KeepBest(Callback):
    """Stop after `patience` epochs without a lower validation loss; the best weights come back."""

    def __init__(self, patience: int) -> None:
        self.patience = patience

    def on_train_begin(self, net: FineTuner, **kwargs: Any) -> None:
        self.lowest_, self.waited_ = math.inf, 0
        self.best_: dict[str, Tensor] = {}

    def on_epoch_end(self, net: FineTuner, **kwargs: Any) -> None:
        loss = net.history[-1]["valid_loss"]
        if loss < self.lowest_:
            self.lowest_, self.waited_ = loss, 0
            state = kept_module(net).state_dict()
            self.best_ = {name: value.detach().clone() for name, value in state.items()}
            return
        self.waited_ += 1
        if self.waited_ >= self.patience:
            raise KeyboardInterrupt

    def on_train_end(self, net: FineTuner, **kwargs: Any) -> None:
        if self.best_:
            net.module_.load_state_dict(self.best_)
        self.best_ = {}


class RefuseNan(Callback):
    """A loss that is no number ends the fit instead of ending up in the predictions."""

    def on_batch_end(
        self, net: FineTuner, training: bool = False, loss: Any = None, **kwargs: Any
    ) -> None:
        loss = net.history[-1, "batches", -1, "train_loss"] if training else 0.0
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"The training loss became {loss} in epoch {len(net.history)}. Lower learning_rate "
                f"(it is {net.lr}) and look for extreme values in X."
            )


class Progress(Callback):
    """Moves a bar by one for each training batch."""

    def __init__(self, bar: Any) -> None:
        self.bar = bar

    def on_batch_end(self, net: FineTuner, training: bool = False, **kwargs: Any) -> None:
        if training:
            self.bar.update(1)


def make_net(module: nn.Module, n_classes: int, device: torch.device, **kwargs: Any) -> FineTuner:
    """An initialised skorch net around `module`, which only predicts unless `kwargs` say more."""
    settings: dict[str, Any] = {"iterator_train": BatchLoader, "iterator_valid": BatchLoader}
    settings |= {"train_split": None, "verbose": 0, "frozen": True, **kwargs}
    net = FineTuner(
        module, criterion=nn.CrossEntropyLoss, classes=np.arange(n_classes), device=device,
        **settings,
    )  # fmt: skip
    return net.initialize()


def fine_tune(
    module: nn.Module,
    train: LabelledWindows,
    valid: LabelledWindows | None,
    recipe: Recipe,
    *,
    device: torch.device,
    augment: Augment | None = None,
    callbacks: list | None = None,
    bar: Any = None,
    verbose: int = 0,
) -> FineTuner:
    """Train every parameter of `module`; returns the net that did it."""
    steps = recipe.n_steps(len(train))
    warmup = max(1, round(recipe.warmup * steps))

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))

    given = prepare_callbacks(callbacks)
    own: list[Any] = [GradientNormClipping(1.0), RefuseNan()]
    # A schedule of the caller's takes the place of ours, which would overrule it at every batch.
    if not any(isinstance(without_name(each), LRScheduler) for each in given):
        own.append(
            LRScheduler(torch.optim.lr_scheduler.LambdaLR, lr_lambda=factor, step_every="batch")
        )
    if recipe.ema:
        own.append(WeightAverage(steps))
    if bar is not None:
        own.append(Progress(bar))
    # Last of all: whoever looks at an epoch has done so before training stops after it.
    last = [] if valid is None else [KeepBest(recipe.patience)]
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
        train_split=predefined_split(WindowSet(valid)) if valid is not None else None,
        label_smoothing=recipe.label_smoothing,
        mixup=recipe.mixup,
        augment=augment,
        callbacks=[*own, *given, *last],
        verbose=verbose,
    )
    try:
        with explain_missing(held_out=valid is not None):
            return net.partial_fit(WindowSet(train), None)
    except Interrupted:
        raise KeyboardInterrupt from None


# --- inference -----------------------------------------------------------------------------------


def infer(
    module: nn.Module,
    X: np.ndarray,
    device: torch.device,
    batch_size: int,
    *,
    rows: np.ndarray | None = None,
    features: bool = False,
) -> Tensor:
    """Logits, or features, of the windows ``X[rows]`` in eval mode, on the CPU."""
    rows = np.arange(len(X)) if rows is None else rows
    # Without gradients four times a training batch fits, up to a bound on long windows.
    step = max(1, min(4 * batch_size, _INFERENCE_SAMPLES // (X.shape[1] * X.shape[2])))
    function: Any = module.features if features else module
    module.eval()
    with torch.inference_mode():
        parts = [
            function(torch.from_numpy(X[rows[start : start + step]]).to(device)).cpu()
            for start in range(0, len(rows), step)
        ]
    return torch.cat(parts)


def held_out_loss(
    module: nn.Module, valid: LabelledWindows, device: torch.device, batch_size: int
) -> float:
    """Cross-entropy of held-out windows, each counting as much as its weight."""
    logits = infer(module, valid.X, device, batch_size, rows=valid.rows)
    mass = F.one_hot(torch.from_numpy(valid.codes), valid.n_classes) * torch.tensor(
        valid.weights[:, None]
    )
    return float(_cross_entropy(logits, mass))
