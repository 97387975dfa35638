"""Networks of other libraries, braindecode's above all, built for the windows at hand."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .._utils.devices import isolated_seed
from .._utils.warnings import ignored
from ..signals.windows import channel_statistics
from .labelled import LabelledWindows

# Properties of a signal, in braindecode's words, that an array lacks, and how to pass them.
_REMEDIES = {
    "sfreq": "the sampling rate: module=functools.partial({name}, sfreq=250)",
    "chs_info": "the channels: module=functools.partial({name}, chs_info=epochs.info['chs'])",
}
# They lose their channel axis where there is one channel only.
_TWO_CHANS = ("ShallowFBCSPNet", "Deep4Net")
_LONGEST_TRIED = 4096  # samples, in the search for the shortest window that a network takes
# As many steps of the optimiser as a fit aims at, and the epochs that it takes them in.
_STEPS, _FEWEST_EPOCHS, _MOST_EPOCHS = 1500, 10, 100


@dataclass(frozen=True)
class ForeignModule:
    """A class of networks, and the properties of the signal that it is built for.

    Attributes
    ----------
    make : callable
        The class, or a `functools.partial` of it.
    n_chans, n_times, n_outputs : int
    sfreq : float or None
    chs : list of dict or None
        MNE's description of the channels.
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
        """A new network, for windows of `n_times` samples where it is given."""
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
        """A new network that takes these windows, or ValueError."""
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
                f"the shortest that it takes here is {shortest} samples. Cut longer windows, or "
                "resample them with SignalAligner(n_times)"
                if shortest
                else f"{reason}. Change it with functools.partial({self.name}, ...), or take "
                "another class"
            )
            raise ValueError(
                f"module={self.name} cannot be built for windows of {self.n_times} samples and "
                f"{self.n_chans} channel(s): {expected}."
            ) from error

    def rebuild(self, state: dict[str, np.ndarray], device: torch.device) -> Standardised:
        """The network around packed weights, with no global random state moved."""
        resolve_module(self.make)  # of a file from anywhere, nothing but a network is called
        # Not on the meta device: braindecode runs its networks while it builds them.
        with isolated_seed(0, torch.device("cpu")):
            module = try_network(self.build, self.n_chans, self.n_times, self.n_outputs)
        module.load_state_dict({name: torch.tensor(value) for name, value in state.items()})
        return module.to(device).eval()

    def _lacks(self, name: str) -> bool:
        have = {"sfreq": self.sfreq, "chs_info": self.chs}[name]
        return have is None and name not in getattr(self.make, "keywords", {})

    def _missing(self) -> str | None:
        """A property that the class needs and that is not known."""
        from braindecode.models.util import models_mandatory_parameters

        needs = {name: required for name, required, _ in models_mandatory_parameters}
        lacking = [each for each in _REMEDIES if each in needs.get(self.name, ())]
        return next((each for each in lacking if self._lacks(each)), None)

    def _needs(self, what: str) -> str:
        return (
            f"module={self.name} needs {what}, and X does not tell it. Pass mne.Epochs as X, "
            f"without a step before that makes arrays of them, or tell "
            f"{_REMEDIES[what].format(name=self.name)}."
        )


def resolve_module(module: Any) -> Callable[..., nn.Module]:
    """The class that `module` means, or a `functools.partial` of it."""
    if isinstance(module, str):
        with ignored(Warning):
            from braindecode import models
        known = [name for name in models.__all__ if inspect.isclass(getattr(models, name))]
        if module not in known:
            near = difflib.get_close_matches(module, known, 1)
            meant = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known[:5])}, ..."
            raise ValueError(
                f"module={module!r} is not a model of the installed braindecode; {meant}"
            )
        return getattr(models, module)
    kind = _class_of(module)
    if not (inspect.isclass(kind) and issubclass(kind, nn.Module)):
        instance = " instance" if isinstance(kind, nn.Module) else ""
        raise TypeError(
            f"module is a {type(kind).__name__}{instance}; expected a class such as "
            "braindecode.models.EEGNet, its name, or functools.partial(EEGNet, drop_prob=0.25): a "
            "network is built for the windows of each fit."
        )
    return module


def _class_of(module: Any) -> Any:
    return module.func if isinstance(module, partial) else module


def auto_epochs(n_windows: int, batch_size: int) -> int:
    """Passes over the windows that give a network without pre-training enough steps."""
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
        """Take mean and sd of each channel over the training windows."""
        mean, scale = channel_statistics(labelled.X[labelled.rows])
        self.mean.copy_(torch.from_numpy(mean))
        self.scale.copy_(torch.from_numpy(scale))


class Doubled(nn.Module):
    """A network of two channels that gets a single one twice: the same family of functions."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x.repeat(1, 2, 1))


def try_network(build: Callable[[int], Any], n_chans: int, n_times: int, n_outputs: int) -> Any:
    """Build a network and pass zeros through it once; whatever goes wrong is raised."""
    # Of their own defaults, of windows shorter than theirs, of torch's way with their kernels.
    with torch.no_grad(), ignored(Warning):
        module = build(n_times).eval()
        logits = module(torch.zeros(2, n_chans, n_times))
    shape = tuple(getattr(logits, "shape", ()))
    if shape != (2, n_outputs):
        raise ValueError(f"its output has shape {shape}, and (2, {n_outputs}) is expected")
    if not torch.isfinite(logits).all():
        raise ValueError("its output is not finite; it may want electrode positions in chs_info")
    return module


def shortest_window(
    build: Callable[[int], Any], n_chans: int, n_times: int, n_outputs: int
) -> int | None:
    """Fewest samples above `n_times` with which the network can be built, or None."""

    def works(length: int) -> bool:
        try:
            try_network(build, n_chans, length, n_outputs)
        except Exception:  # noqa: BLE001 - networks refuse a length in every way
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
    """Take the statistics of batch normalisation as means over all training windows.

    Over the few steps of a small set its running averages lag behind the weights.
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
