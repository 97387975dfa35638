"""skorch nets: batches, losses and inference."""

from __future__ import annotations

import math
import traceback
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from skorch import NeuralNet, NeuralNetClassifier, NeuralNetRegressor
from skorch.dataset import unpack_data
from torch import Tensor, nn
from torch.utils.data import Dataset

from .._utils.devices import fast_kernels
from .._utils.interrupts import notice_interrupt
from .._utils.threads import in_threads, one_thread_each
from ..nn import dropout_from
from .callbacks import WeightAverage
from .draws import Draws
from .hooks import Augment
from .labelled import LabelledWindows

# Samples times channels of one inference batch. On a GPU: about 0.5 GB of activations for
# preset="small". On a CPU: most activations of a layer stay in the cache of a core.
_INFERENCE_SAMPLES = {"gpu": 2**18, "cpu": 2**15}
# Parts of a training batch on a CPU: their largest number, and the smallest number of samples times
# channels, with which the operations take longer than the calls of Python between them.
_MOST_PARTS, _PART_SAMPLES = 8, 2**14


# --- batches -------------------------------------------------------------------------------------


class WindowSet(Dataset[Any]):
    """`LabelledWindows` as a torch data set that is indexed by whole batches."""

    def __init__(self, labelled: LabelledWindows) -> None:
        self.labelled = labelled
        self.weights = (labelled.weights / labelled.weights.mean()).astype(np.float32)

    def __len__(self) -> int:
        return len(self.labelled)

    def __getitem__(self, index: Any) -> tuple[dict[str, Any], Any]:
        X = self.labelled.X[self.labelled.rows[index]]
        return {"x": X, "weight": self.weights[index]}, self.labelled.targets[index]


class BatchLoader:
    """Iterator over batches of nearly equal size, each of which is one indexing operation."""

    def __init__(
        self,
        dataset: Any,
        batch_size: int,
        shuffle: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        self.dataset, self.batch_size = dataset, batch_size
        self.shuffle, self.generator = shuffle, generator

    def __len__(self) -> int:
        return math.ceil(len(self.dataset) / self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        n = len(self.dataset)
        order = np.arange(n)
        if self.shuffle:
            order = torch.randperm(n, generator=self.generator).numpy()
        for index in np.array_split(order, len(self)):
            yield torch.utils.data.default_convert(self.dataset[index])


# --- the nets ------------------------------------------------------------------------------------


class Interrupted(Exception):  # noqa: N818 - not an error
    """A user's Ctrl-C. For skorch, KeyboardInterrupt only means to stop the training."""


class FineTuner(NeuralNet):
    """A skorch net with weighted windows, mixup, augmentation and averaged weights.

    Parameters
    ----------
    mixup : float
        Parameter of the Beta distribution of the share by which two windows are mixed (Zhang et
        al., 2018). 0 means no mixup.
    augment : callable or None
        Function for training batches that `prepare_augmentation` made.
    draws : Draws or None
        Random numbers of mixup and dropout. A net that only predicts needs none.
    frozen : bool
        Whether the net only predicts and gets no optimiser. Torch's optimisers take a second to
        import.
    """

    def __init__(
        self,
        *args: Any,
        mixup: float = 0.0,
        augment: Augment | None = None,
        draws: Draws | None = None,
        frozen: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.mixup = mixup
        self.augment = augment
        self.draws = draws
        self.frozen = frozen

    averaging_: WeightAverage | None = None

    @property
    def kept_module(self) -> nn.Module:
        """The module with the averaged weights, if they are averaged, or the trained module."""
        return self.averaging_.model_.module if self.averaging_ else self.module_

    def _encode(self, targets: Tensor) -> Tensor:
        """Turn the targets of a batch into rows that can be mixed."""
        raise NotImplementedError

    def _weigh(self, rows: Tensor, weight: Tensor, training: bool) -> tuple[Tensor, ...]:
        """Make the arguments of `_loss` after the first one, all of which can be mixed."""
        raise NotImplementedError

    def _loss(self, outputs: Tensor, *expected: Tensor) -> Tensor:
        raise NotImplementedError

    @property
    def _default_callbacks(self) -> list[Any]:
        # The accuracy after every epoch costs a pass over the data and is not used.
        return [pair for pair in super()._default_callbacks if pair[0] != "valid_acc"]

    def initialize_optimizer(self, *args: Any, **kwargs: Any) -> Any:
        return self if self.frozen else super().initialize_optimizer(*args, **kwargs)

    def infer(self, x: Any, **fit_params: Any) -> Tensor:
        return super().infer(x["x"] if isinstance(x, dict) else x, **fit_params)

    def train_step_single(self, batch: Any, **fit_params: Any) -> dict[str, Tensor]:
        self.module_.train()
        x, expected = self._unpack(batch, training=True)
        assert self.draws is not None
        if self.mixup > 0 and len(x) > 1:
            share = float(self.draws.numpy.beta(self.mixup, self.mixup))
            other = torch.randperm(len(x), generator=self.draws.generator).to(x.device)
            x = _mix_windows(x, x[other], share)
            expected = tuple(share * part + (1 - share) * part[other] for part in expected)
        n_parts = self._n_parts(x)
        if n_parts > 1:
            return self._step_in_parts(x, expected, n_parts)
        with self.draws.dropout():
            outputs = self.infer(x, **fit_params)
        loss = self._loss(outputs, *expected)
        loss.backward()
        return {"loss": loss, "y_pred": outputs}

    def _n_parts(self, x: Tensor) -> int:
        """Number of parts of a batch, which does not depend on the number of threads."""
        if x.device.type != "cpu" or not _independent_windows(self.module_):
            return 1
        return min(len(x), _MOST_PARTS, max(1, x.numel() // _PART_SAMPLES))

    def _step_in_parts(
        self, x: Tensor, expected: tuple[Tensor, ...], n_parts: int
    ) -> dict[str, Tensor]:
        """Compute the gradients of a batch in parts, each of them in one thread.

        Each part draws its dropout from its own generator. The gradients are added in the order of
        the parts.
        """
        assert self.draws is not None
        seeds = torch.randint(2**62, (n_parts,), generator=self.draws.generator).tolist()
        weights = [weight for weight in self.module_.parameters() if weight.requires_grad]

        def forward(part: tuple[Tensor, int]) -> Tensor:
            with dropout_from(torch.Generator().manual_seed(part[1])):
                return self.infer(part[0])

        def backward(part: tuple[Tensor, Tensor]) -> tuple[Tensor | None, ...]:
            return torch.autograd.grad(part[0], weights, part[1], allow_unused=True)

        parts = in_threads(forward, zip(x.tensor_split(n_parts), seeds, strict=True))
        outputs = torch.cat([part.detach() for part in parts]).requires_grad_()
        loss = self._loss(outputs, *expected)
        (slopes,) = torch.autograd.grad(loss, outputs)
        gradients = in_threads(backward, zip(parts, slopes.tensor_split(n_parts), strict=True))
        for weight, *of_parts in zip(weights, *gradients, strict=True):
            used = [gradient for gradient in of_parts if gradient is not None]
            weight.grad = torch.stack(used).sum(0) if used else None
        return {"loss": loss, "y_pred": outputs}

    def validation_step(self, batch: Any, **fit_params: Any) -> dict[str, Tensor]:
        self.module_.eval()
        x, expected = self._unpack(batch, training=False)

        def forward(part: Tensor) -> Tensor:
            with torch.no_grad(), fast_kernels():
                return self.kept_module(part)

        outputs = torch.cat(in_threads(forward, x.tensor_split(self._n_parts(x))))
        return {"loss": self._loss(outputs, *expected), "y_pred": outputs}

    def _unpack(self, batch: Any, *, training: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
        inputs, targets = unpack_data(batch)
        x, targets = inputs["x"].to(self.device), targets.to(self.device)
        if training and self.augment is not None:
            x, rows = self.augment(x, targets, self._encode)
        else:
            rows = self._encode(targets).to(x.dtype)
        return x, self._weigh(rows, inputs["weight"].to(self.device)[:, None], training)

    def fit_loop(self, *args: Any, **kwargs: Any) -> Any:
        with notice_interrupt() as interrupted:
            try:
                return super().fit_loop(*args, **kwargs)
            except KeyboardInterrupt as stop:
                # Callbacks raise KeyboardInterrupt to stop the training. Any other one is a Ctrl-C
                # of the user, which can also arrive inside a callback.
                *_, (frame, _) = traceback.walk_tb(stop.__traceback__)
                if frame.f_code.co_name.startswith("on_") and not interrupted():
                    return self
                raise Interrupted from stop


class ClassTuner(FineTuner, NeuralNetClassifier):
    """A skorch classifier whose targets are weights of the classes for each window.

    Parameters
    ----------
    label_smoothing : float
        Share of each target that is spread over all classes.
    """

    def __init__(self, *args: Any, label_smoothing: float = 0.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_smoothing = label_smoothing

    def _encode(self, targets: Tensor) -> Tensor:
        return F.one_hot(targets.long(), len(self.classes))

    def _weigh(self, rows: Tensor, weight: Tensor, training: bool) -> tuple[Tensor, ...]:
        mass = rows * weight
        if training:
            uniform = mass.mean(1, keepdim=True)
            mass = (1 - self.label_smoothing) * mass + self.label_smoothing * uniform
        return (mass,)

    def _loss(self, outputs: Tensor, *expected: Tensor) -> Tensor:
        return _cross_entropy(outputs, *expected)


class ValueTuner(FineTuner, NeuralNetRegressor):
    """A skorch regressor with a squared loss."""

    def _encode(self, targets: Tensor) -> Tensor:
        return targets

    def _weigh(self, rows: Tensor, weight: Tensor, training: bool) -> tuple[Tensor, ...]:
        return rows, weight

    def _loss(self, outputs: Tensor, *expected: Tensor) -> Tensor:
        return _squared_error(outputs, *expected)


def _mix_windows(x: Tensor, other: Tensor, share: float) -> Tensor:
    """Mix the shapes, the means and the sds of windows separately.

    Otherwise, the window with the larger amplitude would dominate the mixture.
    """
    mean, sd = x.mean(-1, keepdim=True), x.std(-1, keepdim=True, correction=0)
    other_mean, other_sd = other.mean(-1, keepdim=True), other.std(-1, keepdim=True, correction=0)
    shape = share * _unit(x - mean, sd) + (1 - share) * _unit(other - other_mean, other_sd)
    size = share * sd + (1 - share) * other_sd
    return shape * size + share * mean + (1 - share) * other_mean


def _unit(centred: Tensor, sd: Tensor) -> Tensor:
    return torch.where(sd > 0, centred / torch.where(sd > 0, sd, 1.0), 0.0)


def _cross_entropy(logits: Tensor, mass: Tensor) -> Tensor:
    """Mean cross-entropy of windows, weighted by their mass."""
    return -(mass * logits.log_softmax(1)).sum() / mass.sum().clamp_min(1e-12)


def _squared_error(outputs: Tensor, values: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean squared error of windows."""
    total = (weight * (outputs - values).square()).sum()
    return total / (weight.sum() * values.shape[1]).clamp_min(1e-12)


def make_net(
    module: nn.Module, n_classes: int | None, device: torch.device, **kwargs: Any
) -> FineTuner:
    """Make an initialised skorch net around `module`.

    It is a regressor if `n_classes` is None, and can only predict unless ``frozen=False`` and an
    optimiser are in `kwargs`.
    """
    settings: dict[str, Any] = {"iterator_train": BatchLoader, "iterator_valid": BatchLoader}
    settings |= {"train_split": None, "verbose": 0, "frozen": True, "device": device, **kwargs}
    net: FineTuner
    if n_classes is None:
        net = ValueTuner(module, criterion=nn.MSELoss, **settings)
    else:
        settings["classes"] = np.arange(n_classes)
        net = ClassTuner(module, criterion=nn.CrossEntropyLoss, **settings)
    return net.initialize()


def _independent_windows(module: Any) -> bool:
    """Whether batches can be divided between threads; not known of other people's modules."""
    return getattr(module, "independent_windows", False)


# --- inference -----------------------------------------------------------------------------------


def infer(
    module: nn.Module,
    X: np.ndarray,
    device: torch.device,
    batch_size: int,
    *,
    rows: np.ndarray | None = None,
    features: bool = False,
    one_by_one: bool = False,
) -> Tensor:
    """Compute the logits, or the features, of the windows ``X[rows]`` in evaluation mode.

    Windows of another type are converted to float32 batch by batch. The result is on the CPU. With
    `one_by_one`, each batch is a single window, so that no window has an effect on the rounding of
    another one.

    On a CPU, the batches of our own networks are computed in parallel by as many threads as torch
    has. The bits do not depend on their number.
    """
    rows = np.arange(len(X)) if rows is None else rows
    on_cpu = device.type == "cpu"
    # Without gradients, four times a training batch fits into memory, unless windows are long.
    most = _INFERENCE_SAMPLES["cpu" if on_cpu else "gpu"] // (X.shape[1] * X.shape[2])
    step = 1 if one_by_one else max(1, min(4 * batch_size, most))
    function: Any = module.features if features else module
    if any(part.training for part in module.modules()):  # eval() is slow for a single window
        module.eval()

    def compute(start: int) -> np.ndarray:
        x = np.ascontiguousarray(X[rows[start : start + step]], np.float32)
        with torch.inference_mode(), fast_kernels():
            return function(torch.from_numpy(x).to(device)).cpu().numpy()

    def keep(start: int) -> None:
        # One array for all batches: a small result for each of them, between the large values
        # that the batch takes, would fragment the memory.
        found[start : start + step] = compute(start)

    parallel = on_cpu and _independent_windows(module)
    with one_thread_each() if parallel else nullcontext():
        first = compute(0)
        found = np.empty((len(rows), *first.shape[1:]), first.dtype)
        found[:step] = first
        list((in_threads if parallel else map)(keep, range(step, len(rows), step)))
    return torch.from_numpy(found)
