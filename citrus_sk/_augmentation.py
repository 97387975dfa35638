"""Augmentations of training batches, by objects such as braindecode's transforms."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from torch import Tensor
from torch.nn import functional as F

Augment = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]


def check_augmentation(augmentation: Any) -> list[Any]:
    """The steps of an augmentation, or TypeError."""
    steps = list(augmentation) if isinstance(augmentation, list | tuple) else [augmentation]
    for step in steps:
        if not callable(step) or isinstance(step, type):
            raise TypeError(
                f"augmentation holds {step!r}; wanted objects that take a batch and its labels, "
                "such as braindecode.augmentation.FTSurrogate(probability=0.5), or a list of them."
            )
    return steps


def prepare_augmentation(augmentation: Any, seed: int) -> Augment | None:
    """A function of windows, classes and their number; to augmented windows and class shares.

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

    def augment(x: Tensor, codes: Tensor, n_classes: int) -> tuple[Tensor, Tensor]:
        shape, shares = x.shape, F.one_hot(codes, n_classes).to(x.dtype)
        for place, step in enumerate(steps):
            x, y = step(x, codes)
            if isinstance(y, tuple):  # of two labels and the first one's share
                first, second, share = y
                shares = _mixed(first, second, share.to(x.dtype), n_classes)
                if place < len(steps) - 1:
                    raise ValueError(
                        f"augmentation mixes labels in step {place} of {len(steps)}, and only the "
                        "last one can: put Mixup at the end, or use the parameter mixup."
                    )
            else:
                codes = y
                shares = F.one_hot(codes.long(), n_classes).to(x.dtype)
        if x.shape != shape:
            raise ValueError(
                f"augmentation made windows of shape {tuple(x.shape)} out of {tuple(shape)}; "
                "wanted transforms that keep it."
            )
        return x.to(shares.dtype), shares

    return augment


def _mixed(first: Tensor, second: Tensor, share: Tensor, n_classes: int) -> Tensor:
    one, other = F.one_hot(first.long(), n_classes), F.one_hot(second.long(), n_classes)
    return share[:, None] * one + (1 - share[:, None]) * other


def _parts(steps: list[Any]) -> Iterator[Any]:
    """Every transform, and those that it is composed of."""
    for step in steps:
        yield step
        yield from _parts(list(getattr(step, "transforms", ())))
