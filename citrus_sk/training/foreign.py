"""Networks of other libraries, such as braindecode, built for the windows of a fit."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .._utils.devices import isolated_seed
from .._utils.optional import explained_braindecode
from .._utils.validation import did_you_mean, first_few
from .._utils.warnings import ignored
from ..signals.windows import channel_statistics
from .labelled import LabelledWindows

# Properties of a signal, by braindecode's names, that an array does not hold, and how to pass them.
_REMEDIES = {
    "sfreq": "the sampling rate: module=functools.partial({name}, sfreq=250)",
    "chs_info": "the channels: module=functools.partial({name}, chs_info=epochs.info['chs'])",
}
# Their first layer drops the channel axis if there is a single channel.
_TWO_CHANS = ("ShallowFBCSPNet", "Deep4Net")
_LONGEST_TRIED = 4096  # samples, in the search for the shortest window that a network accepts
# Number of steps of the optimiser in a fit, and limits to the number of epochs.
_STEPS, _FEWEST_EPOCHS, _MOST_EPOCHS = 1500, 10, 100


@dataclass(frozen=True)
class ForeignModule:
    """A class of networks, with the properties of the signal that one is built for.

    Attributes
    ----------
    make : callable
        The class, or a `functools.partial` of it.
    n_chans, n_times, n_outputs : int
        Number of channels and samples of a window, and of outputs.
    sfreq : float or None
        Sampling rate in Hz, if it is known.
    chs : list of dict or None
        MNE's description of the channels, if there is one.
    """

    make: Callable[..., nn.Module]
    n_chans: int
    n_times: int
    n_outputs: int
    sfreq: float | None = None
    chs: list[dict[str, Any]] | None = None

    @property
    def name(self) -> str:
        return _class_of(self.make).__name__

    def build(self, n_times: int | None = None) -> Standardised:
        """Make a network, for windows of `n_times` samples if it is given."""
        known = {
            "n_chans": self.n_chans, "n_outputs": self.n_outputs,
            "n_times": n_times or self.n_times, "sfreq": self.sfreq, "chs_info": self.chs,
        }  # fmt: skip
        taken = inspect.signature(_class_of(self.make).__init__).parameters
        given = getattr(self.make, "keywords", {})
        settings = {
            name: value
            for name, value in known.items()
            if value is not None and name in taken and name not in given
        }
        doubled = self.n_chans == 1 and self.name in _TWO_CHANS
        if doubled:
            settings = {**settings, "n_chans": 2}
            settings.pop("chs_info", None)
        network = self.make(**settings)
        return Standardised(Doubled(network) if doubled else network, self.n_chans)

    def build_or_refuse(self) -> Standardised:
        """Make a network and check that it accepts these windows; raise ValueError if not."""
        if missing := self._missing():
            raise ValueError(self._needs(missing))
        try:
            return try_network(self.build, self.n_chans, self.n_times, self.n_outputs)
        except Exception as error:
            for name in ("chs_info", "sfreq"):
                if name in str(error) and self._lacks(name):
                    raise ValueError(self._needs(name)) from error
            shortest = shortest_window(self.build, self.n_chans, self.n_times, self.n_outputs)
            reason = next(iter(str(error).splitlines()), "") or type(error).__name__
            expected = (
                f"the shortest window that it accepts is {shortest} samples. Cut longer windows, "
                "or resample them with SignalAligner(n_times)"
                if shortest
                else f"{reason}. Change it with functools.partial({self.name}, ...), or use "
                "another class"
            )
            raise ValueError(
                f"module={self.name} cannot be built for windows of {self.n_times} samples and "
                f"{self.n_chans} channel(s): {expected}."
            ) from error

    def rebuild(self, state: dict[str, np.ndarray], device: torch.device) -> Standardised:
        """Make the network of packed weights; global random states stay as they are."""
        resolve_module(self.make)  # a file of unknown origin must not call anything but a network
        # Not on the meta device: braindecode runs its networks while it builds them.
        with isolated_seed(0, torch.device("cpu")):
            module = try_network(self.build, self.n_chans, self.n_times, self.n_outputs)
        module.load_state_dict({name: torch.tensor(value) for name, value in state.items()})
        return module.to(device).eval()

    def _lacks(self, name: str) -> bool:
        have = {"sfreq": self.sfreq, "chs_info": self.chs}[name]
        return have is None and name not in getattr(self.make, "keywords", {})

    def _missing(self) -> str | None:
        """Name of a property that the class needs and that is not known."""
        if not _class_of(self.make).__module__.startswith("braindecode"):
            return None
        with ignored(Warning):
            from braindecode.models import models_mandatory_parameters

        needs = {name: required for name, required, _ in models_mandatory_parameters}
        lacking = [each for each in _REMEDIES if each in needs.get(self.name, ())]
        return next((each for each in lacking if self._lacks(each)), None)

    def _needs(self, what: str) -> str:
        return (
            f"module={self.name} needs {what}, which X does not hold. Pass mne.Epochs as X, "
            f"without an earlier step that turns them into arrays, or set "
            f"{_REMEDIES[what].format(name=self.name)}."
        )


def resolve_module(module: Any) -> Callable[..., nn.Module]:
    """Find the class that `module` names, or return it, or a `functools.partial` of it."""
    if isinstance(module, str):
        with ignored(Warning), explained_braindecode():
            from braindecode import models
        known = [name for name in models.__all__ if inspect.isclass(getattr(models, name))]
        if module not in known:
            raise ValueError(
                f"module={module!r} is not a model of the installed braindecode."
                f"{did_you_mean(module, known)} Expected one of {first_few(known)}."
            )
        return getattr(models, module)
    kind = _class_of(module)
    if not (inspect.isclass(kind) and issubclass(kind, nn.Module)):
        instance = " instance" if isinstance(kind, nn.Module) else ""
        raise TypeError(
            f"Expected module to be a class such as braindecode.models.EEGNet, its name, or "
            f"functools.partial(EEGNet, drop_prob=0.25), got a {type(kind).__name__}{instance}. A "
            "network is built for the windows of each fit."
        )
    return module


def _class_of(module: Any) -> Any:
    return module.func if isinstance(module, partial) else module


def auto_epochs(n_windows: int, batch_size: int) -> int:
    """Number of epochs that give a network without pre-training enough steps."""
    per_epoch = -(-n_windows // batch_size)
    return int(np.clip(_STEPS // per_epoch, _FEWEST_EPOCHS, _MOST_EPOCHS))


# --- networks ------------------------------------------------------------------------------------


class Standardised(nn.Module):
    """A network behind channels with mean 0 and sd 1 over the training windows.

    Published recipes expect volts, microvolts or unit variance.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, network: nn.Module, n_chans: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_chans, 1))
        self.register_buffer("scale", torch.ones(n_chans, 1))
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network((x - self.mean) / self.scale)

    def set_statistics(self, labelled: LabelledWindows) -> None:
        """Set mean and sd of each channel over the training windows."""
        mean, scale = channel_statistics(labelled.X[labelled.rows])
        self.mean.copy_(torch.from_numpy(mean))
        self.scale.copy_(torch.from_numpy(scale))


class Doubled(nn.Module):
    """A network of two channels whose input is a single channel twice."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x.repeat(1, 2, 1))


def try_network(build: Callable[[int], Any], n_chans: int, n_times: int, n_outputs: int) -> Any:
    """Build a network and pass zeros through it once; any error is raised."""
    # Networks warn of their defaults, of short windows and of torch's choice of kernels.
    with torch.no_grad(), ignored(Warning):
        module = build(n_times).eval()
        logits = module(torch.zeros(2, n_chans, n_times))
    shape = tuple(getattr(logits, "shape", ()))
    if shape != (2, n_outputs):
        raise ValueError(f"expected an output of shape (2, {n_outputs}), got {shape}")
    if not torch.isfinite(logits).all():
        raise ValueError("its output is not finite; it may need electrode positions in chs_info")
    return module


def shortest_window(
    build: Callable[[int], Any], n_chans: int, n_times: int, n_outputs: int
) -> int | None:
    """Smallest number of samples above `n_times` for which the network can be built, or None."""

    def works(length: int) -> bool:
        try:
            try_network(build, n_chans, length, n_outputs)
        except Exception:  # noqa: BLE001 - networks raise any error for a length
            return False
        return True

    low, high = n_times, 2 * n_times
    while not works(high):
        low, high = high, 2 * high
        if high > max(_LONGEST_TRIED, 2 * n_times):
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if works(middle) else (middle, high)
    return high


@torch.no_grad()
def settle_batch_norm(
    module: nn.Module, train: LabelledWindows, device: torch.device, batch_size: int
) -> None:
    """Set the statistics of batch normalisation to means over all training windows.

    Over the few steps on a small data set, running averages lag behind the weights.
    """
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    norms = [part for part in module.modules() if isinstance(part, kinds)]
    module.eval()  # dropout stays off
    for norm in norms:
        norm.reset_running_stats()
        norm.train()
        norm.momentum = None  # a plain mean over batches
    for rows in np.array_split(train.rows, -(-len(train) // batch_size)) if norms else []:
        module(torch.from_numpy(train.X[rows]).to(device))
    module.eval()
