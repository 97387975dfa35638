"""Additions of users to a training: callbacks and augmentations."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from skorch.callbacks import Callback
from skorch.exceptions import SkorchException
from torch import Tensor

_REMEDY = (
    "Pass a function that makes it, which is called once for each training: callbacks=[make], with "
    "`def make(): return TensorBoard(SummaryWriter(...))`."
)


def check_callbacks(callbacks: Any) -> None:
    """Raise TypeError unless `callbacks` is None or a list of what skorch can call back."""
    if callbacks is None:
        return
    if not isinstance(callbacks, list | tuple):
        raise TypeError(
            f"callbacks={callbacks!r} is a {type(callbacks).__name__}; expected a list, such as "
            "[skorch.callbacks.EarlyStopping()], or None."
        )
    for each in callbacks:
        _, callback = _with_name(each)
        if not (isinstance(callback, Callback) or callable(callback)):
            raise TypeError(
                f"callbacks holds {each!r}; expected callbacks of skorch, functions that make one, "
                "or pairs of a name and one of these."
            )


def prepare_callbacks(callbacks: Any) -> list[Any]:
    """New callbacks for one training.

    Functions and classes are called. Objects are copied: skorch writes into them, and a fit must
    leave parameters as they are. One that cannot be copied, such as a writer on an open
    file, is used as it is.
    """
    check_callbacks(callbacks)
    prepared: list[Any] = []
    for each in callbacks or ():
        name, callback = _with_name(each)
        new = _copied(callback) if isinstance(callback, Callback) else callback()
        if not isinstance(new, Callback):
            raise TypeError(
                f"callbacks holds {callback!r}, which made {new!r}; expected a callback of skorch."
            )
        prepared.append(new if name is None else (name, new))
    return prepared


def without_name(prepared: Any) -> Any:
    """The callback itself, whether it came with a name or not."""
    return _with_name(prepared)[1]


def _with_name(each: Any) -> tuple[str | None, Any]:
    if isinstance(each, tuple) and len(each) == 2 and isinstance(each[0], str):
        return each
    return None, each


def _copied(callback: Callback) -> Callback:
    try:
        return copy.deepcopy(callback)
    except (TypeError, pickle.PicklingError):
        return callback


@contextmanager
def clone_or_explain(callbacks: Any) -> Iterator[None]:
    """Name the callback that keeps an estimator from being cloned."""
    try:
        yield
    except (TypeError, pickle.PicklingError) as error:
        for each in callbacks if isinstance(callbacks, list | tuple) else ():
            callback = without_name(each)
            if isinstance(callback, Callback) and _copied(callback) is callback:
                raise TypeError(
                    f"callbacks holds a {type(callback).__name__} that cannot be copied ({error}), "
                    f"and cross-validation needs copies. {_REMEDY}"
                ) from error
        raise


@contextmanager
def explain_missing(*, held_out: bool) -> Iterator[None]:
    """Say why a callback does not find the validation loss, where nothing was held out."""
    try:
        yield
    except (KeyError, ValueError, SkorchException) as error:
        # skorch's callbacks raise all three of them.
        text = str(error.args[0]) if error.args else ""
        if held_out or not (text.startswith("valid") or "not found in history" in text):
            raise
        raise ValueError(
            f"A callback looked for what is not recorded ({text.split('.')[0]}). No windows were "
            "held out, so there is no validation loss: early_stopping='auto' holds some out only "
            "where they are many enough to be trusted. Pass early_stopping=True, or let the "
            "callback monitor 'train_loss'."
        ) from error


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
