"""Random numbers of one's own: fits in threads draw what they would draw alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from .._utils.devices import ForkSafeLock, isolated_seed
from ..nn import dropout_from

_Made = TypeVar("_Made")
_MAKING = ForkSafeLock()


@dataclass(frozen=True)
class Draws:
    """Where one block takes its random numbers from; made by `own_draws`.

    Attributes
    ----------
    generator : torch.Generator
        Of the CPU.
    numpy : numpy.random.RandomState
    borrowed : bool
        Whether `generator` is torch's global one, for the time of the block.
    """

    generator: torch.Generator
    numpy: np.random.RandomState
    borrowed: bool

    def make(self, build: Callable[[], _Made]) -> _Made:
        """Build a module whose weights are drawn from `generator`."""
        if self.borrowed:
            return build()
        # One at a time: torch notes for the whole process whether any mode is on.
        with _MAKING.lock, _DrawsFrom(self.generator):
            return build()

    def dropout(self, module: nn.Module) -> AbstractContextManager[None]:
        """Block in which dropout in a network of ours draws from `generator`."""
        return nullcontext() if self.borrowed else dropout_from(module, self.generator)


@contextmanager
def own_draws(seed: int, device: torch.device, *, shared: bool = False) -> Iterator[Draws]:
    """Random numbers for one block, the same whatever other threads draw.

    Parameters
    ----------
    seed : int
    device : torch.device
        On a CPU no global state is touched. Dropout on a GPU draws from its global state, which
        is borrowed, see `isolated_seed`.
    shared : bool, default=False
        Whether code of others runs in the block. It may draw from any global state, so these are
        borrowed as well.

    Yields
    ------
    Draws
        The numbers are those that a global state with this seed would give.
    """
    numpy = np.random.RandomState(seed % 2**32)
    if device.type == "cpu" and not shared:
        yield Draws(torch.Generator("cpu").manual_seed(seed), numpy, borrowed=False)
        return
    with isolated_seed(seed, device):
        yield Draws(torch.default_generator, numpy, borrowed=True)


class _DrawsFrom(TorchDispatchMode):
    """Makes torch draw from one generator, in the thread that enters it.

    The constructors of layers draw their weights by functions that pass no generator on to the
    kernels below, which would take one.
    """

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self._generator = generator

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded in func.tags:
            func, kwargs = _taking_generator(func), {**kwargs, "generator": self._generator}
        return func(*args, **kwargs)


def _taking_generator(func: Any) -> Any:
    """The overload of `func` that takes a generator beside the same arguments."""
    same = _types(func)
    for name in (func._overloadname, *func.overloadpacket.overloads()):
        overload = getattr(func.overloadpacket, name)
        takes_one = any(argument.name == "generator" for argument in overload._schema.arguments)
        if takes_one and _types(overload) == same:
            return overload
    raise NotImplementedError(f"torch has no {func} that takes a generator")


def _types(func: Any) -> list[str]:
    """Types of a function's arguments, leaving out a generator."""
    arguments = func._schema.arguments
    return [str(argument.type) for argument in arguments if argument.name != "generator"]
