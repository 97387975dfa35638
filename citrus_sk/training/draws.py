"""Random numbers that do not depend on other threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from .._utils.devices import ForkSafeLock, isolated_seed
from ..nn import dropout_from

_Made = TypeVar("_Made")
_MAKING = ForkSafeLock()


@dataclass(frozen=True)
class Draws:
    """Sources of random numbers for one block; made by `own_draws`.

    Attributes
    ----------
    generator : torch.Generator
        Torch's generator, on the CPU.
    numpy : numpy.random.RandomState
        NumPy's generator.
    borrowed : bool
        Whether `generator` is torch's global one, which is seeded for the duration of the block.
    """

    generator: torch.Generator
    numpy: np.random.RandomState
    borrowed: bool

    def make(self, build: Callable[[], _Made]) -> _Made:
        """Build a module whose weights are drawn from `generator`."""
        if self.borrowed:
            return build()
        # One thread at a time: whether any mode is active is a global state of torch.
        with _MAKING.lock, _DrawsFrom(self.generator):
            return build()

    def dropout(self) -> AbstractContextManager[None]:
        """Make a context in which dropout in our networks draws from `generator`."""
        return nullcontext() if self.borrowed else dropout_from(self.generator)


@contextmanager
def own_draws(seed: int, device: torch.device, *, shared: bool = False) -> Iterator[Draws]:
    """Provide random numbers for one block, independent of those in other threads.

    Parameters
    ----------
    seed : int
        Seed of all sources.
    device : torch.device
        Device of the training. On a CPU, no global state is used. Dropout on a GPU can only draw
        from the global state, which is seeded and restored, see `isolated_seed`.
    shared : bool, default=False
        Whether code of other libraries runs in the block. It may draw from any global state, so
        all of them are seeded and restored.

    Yields
    ------
    Draws
        Sources that give the same numbers as a global state with this seed.
    """
    numpy = np.random.RandomState(seed % 2**32)
    if device.type == "cpu" and not shared:
        yield Draws(torch.Generator("cpu").manual_seed(seed), numpy, borrowed=False)
        return
    with isolated_seed(seed, device):
        yield Draws(torch.default_generator, numpy, borrowed=True)


class _DrawsFrom(TorchDispatchMode):
    """Mode in which torch draws from one generator, in the thread that enters it.

    The constructors of layers draw their weights by functions without a generator argument. Here,
    it is passed to the kernels that these functions call.
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
    """The overload of `func` that takes a generator in addition to the same arguments."""
    types = _types(func)
    for name in (func._overloadname, *func.overloadpacket.overloads()):
        overload = getattr(func.overloadpacket, name)
        takes_one = any(argument.name == "generator" for argument in overload._schema.arguments)
        if takes_one and _types(overload) == types:
            return overload
    raise NotImplementedError(f"torch has no overload of {func} that takes a generator")


def _types(func: Any) -> list[str]:
    """Types of the arguments of a function, without a generator."""
    arguments = func._schema.arguments
    return [str(argument.type) for argument in arguments if argument.name != "generator"]
