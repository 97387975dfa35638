"""The machine: devices, seeds, and memory that runs out."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state


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
