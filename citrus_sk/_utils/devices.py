"""The machine: devices, seeds, and memory that runs out."""

from __future__ import annotations

import os
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state


def resolve_device(device: str | torch.device, *, strict: bool = True) -> torch.device:
    """The torch device that `device` means on this machine.

    Parameters
    ----------
    device : str or torch.device
        ``"auto"`` is a CUDA device where there is one, else Apple's GPU (MPS) where it has all
        operations that the networks need, else the CPU.
    strict : bool, default=True
        False falls back to the CPU, with a warning, where the device is not there: a model that
        was trained on a GPU can be loaded without one.
    """
    if isinstance(device, str) and device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if _mps_is_usable() else "cpu")
    try:
        resolved = torch.device(device)
        torch.empty(0, device=resolved)
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        if not strict:
            warnings.warn(
                f"device={device!r} is not available; loading on the CPU instead.", stacklevel=2
            )
            return torch.device("cpu")
        raise ValueError(
            f"device={device!r} cannot be used on this machine. Pass 'auto', 'cpu', or a device "
            f"that torch knows here ({torch.cuda.device_count()} CUDA devices)."
        ) from error
    return resolved


@lru_cache(maxsize=1)
def _mps_is_usable() -> bool:
    """Whether there is an MPS device that has the operations of the read-out."""
    if not torch.backends.mps.is_available():
        return False
    try:
        x = torch.eye(3, device="mps").expand(2, 3, 3).contiguous()
        torch.linalg.eigh(x)
        torch.fft.rfft(x).abs()
        torch.zeros(3, device="mps").scatter_reduce_(
            0, torch.arange(3, device="mps"), x[0, 0], "amax"
        )
    except (RuntimeError, NotImplementedError, TypeError):
        return False
    return True


class ForkSafeLock:
    """A lock that is open in a forked process, whichever thread held it at the fork."""

    def __init__(self) -> None:
        self.renew()
        if hasattr(os, "register_at_fork"):  # not on Windows
            os.register_at_fork(after_in_child=self.renew)

    def renew(self) -> None:
        self.lock = threading.RLock()


_BORROWED = ForkSafeLock()


@contextmanager
def isolated_seed(seed: int, device: torch.device) -> Iterator[None]:
    """Borrow the global random states: seed them for the block, and put them back after it.

    For code that draws from nothing else. Blocks in other threads wait until the states are free,
    or they would draw from each other's seed. Torch's default dtype, which such code takes as well,
    is float32 inside.
    """
    cuda = [device] if device.type == "cuda" else []
    with _BORROWED.lock:
        numpy_state = np.random.get_state()  # noqa: NPY002
        dtype = torch.get_default_dtype()
        with torch.random.fork_rng(devices=cuda):
            try:
                torch.manual_seed(seed)
                np.random.seed(seed % 2**32)  # noqa: NPY002
                torch.set_default_dtype(torch.float32)
                yield
            finally:
                torch.set_default_dtype(dtype)
                np.random.set_state(numpy_state)  # noqa: NPY002


@contextmanager
def usual_modes() -> Iterator[None]:
    """Undo what a caller has switched on around the block: a fit in it is like any other.

    Torch's inference mode, no_grad and autocast, another default device, and NumPy's errors for
    what is usual in floating point. All of them belong to the thread. The default dtype, which
    belongs to the process, is left alone: the networks here do not ask for it.
    """
    with ExitStack() as stack:
        stack.enter_context(np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        yield


@contextmanager
def fast_kernels() -> Iterator[None]:
    """Let layers take torch's fast kernels in evaluation, whose rounding is the usual one.

    They do not where a mode, such as that of a default device, looks at each of torch's functions.
    """
    if torch.overrides.has_torch_function((torch.empty(0),)):
        with torch._C.DisableTorchFunction():
            yield
    else:
        yield


def draw_seed(random_state: Any) -> int:
    """An integer seed. None draws a new one each time without touching numpy's global state."""
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0] >> 1)
    try:
        return int(check_random_state(random_state).randint(2**31 - 1))
    except ValueError as error:
        raise ValueError(
            "Expected random_state to be an int from 0 to 2**32 - 1, a numpy.random.RandomState or "
            f"None, got {random_state!r}."
        ) from error


class OutOfMemoryError(MemoryError):
    """Memory ran out, and the message says what to do."""


@contextmanager
def out_of_memory_hint(batch_size: int, fewer: str = "") -> Iterator[None]:
    """Explain that memory ran out, on a GPU or on the machine, and say what to try.

    Parameters
    ----------
    batch_size : int
    fewer : str, default=""
        A remedy of the caller's for the machine's own memory.
    """
    try:
        yield
    except OutOfMemoryError:  # explained further in
        raise
    except torch.OutOfMemoryError as error:
        remedy = f"{_smaller_batch(batch_size)}, or device='cpu'"
        raise OutOfMemoryError(
            f"The device ran out of memory with batch_size={batch_size}. {remedy}."
        ) from error
    except (MemoryError, RuntimeError) as error:
        if not (isinstance(error, MemoryError) or _CPU_MEMORY.search(str(error))):
            raise
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise OutOfMemoryError(
            f"This machine ran out of memory with batch_size={batch_size} ({reason}). "
            f"{_smaller_batch(batch_size)}, or pass fewer windows at once{fewer}."
        ) from error


# Messages of torch's allocators on Linux, macOS and Windows.
_CPU_MEMORY = re.compile(
    "not enough memory|DefaultCPUAllocator|can't allocate memory", re.IGNORECASE
)


def _smaller_batch(batch_size: int) -> str:
    if batch_size > 1:
        return f"Try batch_size={max(1, batch_size // 2)}"
    return "Try shorter windows (SignalAligner(n_times=...)) or a smaller preset"
