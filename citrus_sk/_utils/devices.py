"""Devices, seeds and modes of torch, and messages for when memory runs out."""

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
    """Resolve a ``device`` parameter to a torch device of this machine.

    Parameters
    ----------
    device : str or torch.device
        ``"auto"`` is a CUDA device if there is one, else Apple's GPU (MPS) if it has all
        operations that the networks need, else the CPU.
    strict : bool, default=True
        Whether to raise ValueError if the device is not available. False warns and falls back to
        the CPU, so that a model that was trained on a GPU can be loaded without one.
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
            f"that torch finds here ({torch.cuda.device_count()} CUDA devices)."
        ) from error
    return resolved


@lru_cache(maxsize=1)
def _mps_is_usable() -> bool:
    """Whether there is an MPS device with all operations of the read-out."""
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
    """A lock that is free in a forked process, whichever thread held it at the fork."""

    def __init__(self) -> None:
        self.renew()
        if hasattr(os, "register_at_fork"):  # not on Windows
            os.register_at_fork(after_in_child=self.renew)

    def renew(self) -> None:
        self.lock = threading.RLock()


_BORROWED = ForkSafeLock()


@contextmanager
def isolated_seed(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the global random states for the block, and restore them after it.

    For code that can only draw from the global states. Blocks in other threads wait for each other;
    otherwise they would draw from each other's seed. Torch's default dtype, which is global as
    well, is float32 inside the block.
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
    """Switch off, inside the block, the modes that a caller may have set for its thread.

    These are torch's inference mode, no_grad, autocast and default device, and NumPy's floating
    point errors. A fit then gives the same result in any of them. The default dtype is left alone:
    it is shared by the whole process, and the networks do not use it.
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
    """Let layers use torch's fast kernels in evaluation, so that rounding is always the same.

    Torch does not use them while a mode, such as that of a default device, intercepts its
    functions.
    """
    if torch.overrides.has_torch_function((torch.empty(0),)):
        with torch._C.DisableTorchFunction():
            yield
    else:
        yield


def draw_seed(random_state: Any) -> int:
    """Draw an integer seed. None gives another one each time, without numpy's global state."""
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
    """Memory ran out; the message suggests a remedy."""


@contextmanager
def out_of_memory_hint(batch_size: int, fewer: str = "") -> Iterator[None]:
    """Turn errors about memory, of a GPU or of the machine, into one that suggests a remedy.

    Parameters
    ----------
    batch_size : int
        Value of the parameter, for the message.
    fewer : str, default=""
        Further remedy if the memory of the machine ran out, to be appended to the message.
    """
    try:
        yield
    except OutOfMemoryError:  # explained by an inner block
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


# Messages of torch's allocators on Linux, macOS and Windows, and of oneDNN.
_CPU_MEMORY = re.compile(
    "not enough memory|DefaultCPUAllocator|can't allocate memory|cannot allocate memory|bad_alloc|"
    r"could not create a primitive(?! descriptor)",
    re.IGNORECASE,
)


def _smaller_batch(batch_size: int) -> str:
    if batch_size > 1:
        return f"Try batch_size={max(1, batch_size // 2)}"
    return "Try shorter windows (SignalAligner(n_times=...)) or a smaller preset"
