"""Distribution of a run over several processes."""

from __future__ import annotations

import atexit
import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

_LAUNCHER_VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def distributed_part() -> tuple[int, int]:
    """Rank of this process, and number of processes of the run."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


def is_launched() -> bool:
    """Whether torchrun or Accelerate launched this process as one of several.

    Both of them set all of the variables; a cluster may set some of them for a single process.
    """
    launched = all(name in os.environ for name in _LAUNCHER_VARIABLES)
    return launched and os.environ["WORLD_SIZE"].strip() not in ("", "1")


def launched_together(device: Any) -> Any:
    """Join the group of launched processes, and return the device of this one.

    Nothing happens unless `is_launched`. The process leaves the group only when the interpreter
    ends. If it left after each fit, the next one could start while others are still in the group.
    """
    if not is_launched() or not torch.distributed.is_available():
        return device
    if device == "auto" and torch.cuda.is_available():
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    on_gpu = str(device).startswith("cuda")
    if not torch.distributed.is_initialized():
        if on_gpu:
            torch.cuda.set_device(torch.device(device))
        torch.distributed.init_process_group("nccl" if on_gpu else "gloo")
        atexit.register(torch.distributed.destroy_process_group)
    return device


def same_everywhere(number: int, device: torch.device) -> int:
    """Broadcast the number of the first process to all processes."""
    if distributed_part()[1] == 1:
        return number
    shared = torch.tensor([number], device=device)
    torch.distributed.broadcast(shared, 0)
    return int(shared.item())


def sum_of_all(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Sum tensors of one type over all processes, in one message instead of one per tensor."""
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    torch.distributed.all_reduce(flat)
    parts = flat.split([tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]
