"""Augmentations of training batches, by objects such as braindecode's transforms."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from torch import Tensor

Encode = Callable[[Tensor], Tensor]
Augment = Callable[[Tensor, Tensor, Encode], tuple[Tensor, Tensor]]


def check_augmentation(augmentation: Any) -> list[Any]:
    """The steps of an augmentation, or TypeError."""
    steps = list(augmentation) if isinstance(augmentation, list | tuple) else [augmentation]
    for step in steps:
        if not callable(step) or isinstance(step, type):
            raise TypeError(
                f"augmentation holds {step!r}; expected objects that take a batch and its labels, "
                "such as braindecode.augmentation.FTSurrogate(probability=0.5), or a list of them."
            )
    return steps


def prepare_augmentation(augmentation: Any, seed: int) -> Augment | None:
    """A function of windows, targets and what makes rows of targets; to windows and rows.

    The caller's objects are copied: they draw from random states of their own, which a fit must
    not move, and which are seeded here, or no fit could be repeated.
    """
    if augmentation is None:
        return None
    steps = copy.deepcopy(check_augmentation(augmentation))
    draw = np.random.RandomState(seed % 2**32)
    for part in _parts(steps):
        if isinstance(getattr(part, "rng", None), np.random.RandomState):
            part.rng = np.random.RandomState(draw.randint(2**31 - 1))

    def augment(x: Tensor, targets: Tensor, encode: Encode) -> tuple[Tensor, Tensor]:
        shape, dtype, rows = x.shape, x.dtype, None
        for place, step in enumerate(steps):
            x, y = step(x, targets)
            if isinstance(y, tuple):  # of two labels and the first one's share
                if place < len(steps) - 1:
                    raise ValueError(
                        f"augmentation mixes labels in step {place} of {len(steps)}, and only the "
                        "last one can: put Mixup at the end, or use the parameter mixup."
                    )
                first, second, share = y
                share = share.to(dtype)[:, None]
                rows = share * encode(first) + (1 - share) * encode(second)
            else:
                targets = y
        if x.shape != shape:
            raise ValueError(
                f"augmentation made windows of shape {tuple(x.shape)} out of {tuple(shape)}; "
                "expected transforms that keep it."
            )
        return x.to(dtype), (encode(targets) if rows is None else rows).to(dtype)

    return augment


def _parts(steps: list[Any]) -> Iterator[Any]:
    """Every transform, and those that it is composed of."""
    for step in steps:
        yield step
        yield from _parts(list(getattr(step, "transforms", ())))
