"""Callbacks and augmentations that users pass to a training."""

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
    "Pass a function that makes one for each training: callbacks=[make], with "
    "`def make(): return TensorBoard(SummaryWriter(...))`."
)


def check_callbacks(callbacks: Any) -> None:
    """Raise TypeError unless `callbacks` is None or a list of callbacks or functions."""
    if callbacks is None:
        return
    if not isinstance(callbacks, list | tuple):
        raise TypeError(
            f"callbacks={callbacks!r} is a {type(callbacks).__name__}; expected a list, such as "
            "[skorch.callbacks.EarlyStopping()], or None."
        )
    for entry in callbacks:
        _, callback = _with_name(entry)
        if not (isinstance(callback, Callback) or callable(callback)):
            raise TypeError(
                f"callbacks holds {entry!r}; expected skorch callbacks, functions that make one, "
                "or pairs of a name and one of these."
            )


def prepare_callbacks(callbacks: Any) -> list[Any]:
    """Make new callbacks for one training.

    Functions and classes are called. Objects are copied, because skorch changes them, and a fit
    must not change parameters. An object that cannot be copied, such as a writer to an open file,
    is used itself.
    """
    check_callbacks(callbacks)
    prepared: list[Any] = []
    for entry in callbacks or ():
        name, callback = _with_name(entry)
        new = _copied(callback) if isinstance(callback, Callback) else callback()
        if not isinstance(new, Callback):
            raise TypeError(
                f"callbacks holds {callback!r}, which returned {new!r}; expected a function that "
                "returns a skorch callback."
            )
        prepared.append(new if name is None else (name, new))
    return prepared


def without_name(prepared: Any) -> Any:
    """The callback of an entry that is a callback or a pair of a name and a callback."""
    return _with_name(prepared)[1]


def _with_name(entry: Any) -> tuple[str | None, Any]:
    if isinstance(entry, tuple) and len(entry) == 2 and isinstance(entry[0], str):
        return entry
    return None, entry


def _copied(callback: Callback) -> Callback:
    try:
        return copy.deepcopy(callback)
    except (TypeError, pickle.PicklingError):
        return callback


@contextmanager
def clone_or_explain(callbacks: Any) -> Iterator[None]:
    """Name the callback because of which an estimator cannot be cloned."""
    try:
        yield
    except (TypeError, pickle.PicklingError) as error:
        for entry in callbacks if isinstance(callbacks, list | tuple) else ():
            callback = without_name(entry)
            if isinstance(callback, Callback) and _copied(callback) is callback:
                raise TypeError(
                    f"callbacks holds a {type(callback).__name__} that cannot be copied ({error}), "
                    f"and cross-validation needs copies. {_REMEDY}"
                ) from error
        raise


@contextmanager
def explain_missing(*, held_out: bool) -> Iterator[None]:
    """Explain why a callback does not find the validation loss if no windows were held out."""
    try:
        yield
    except (KeyError, ValueError, SkorchException) as error:  # all raised by skorch's callbacks
        text = str(error.args[0]) if error.args else ""
        if held_out or not (text.startswith("valid") or "not found in history" in text):
            raise
        raise ValueError(
            f"A callback needs a value that is not recorded ({text.split('.')[0]}). No windows "
            "were held out, so there is no validation loss: early_stopping='auto' holds windows "
            "out only if there are enough of them. Pass early_stopping=True, or let the callback "
            "monitor 'train_loss'."
        ) from error


Encode = Callable[[Tensor], Tensor]
Augment = Callable[[Tensor, Tensor, Encode], tuple[Tensor, Tensor]]


def check_augmentation(augmentation: Any) -> list[Any]:
    """Return the steps of an augmentation, or raise TypeError."""
    steps = list(augmentation) if isinstance(augmentation, list | tuple) else [augmentation]
    for step in steps:
        if not callable(step) or isinstance(step, type):
            raise TypeError(
                f"augmentation holds {step!r}; expected objects that take a batch and its labels, "
                "such as braindecode.augmentation.FTSurrogate(probability=0.5), or a list of them."
            )
    return steps


def prepare_augmentation(augmentation: Any, seed: int) -> Augment | None:
    """Make a function that augments a batch.

    Its arguments are windows, targets and a function that turns targets into rows; it returns
    windows and rows. The transforms are copied and their random states are seeded, so that a fit
    does not change the caller's objects and can be repeated.
    """
    if augmentation is None:
        return None
    steps = copy.deepcopy(check_augmentation(augmentation))
    seeds = np.random.RandomState(seed % 2**32)
    for transform in _all_transforms(steps):
        if isinstance(getattr(transform, "rng", None), np.random.RandomState):
            transform.rng = np.random.RandomState(seeds.randint(2**31 - 1))

    def augment(x: Tensor, targets: Tensor, encode: Encode) -> tuple[Tensor, Tensor]:
        shape, dtype, rows = x.shape, x.dtype, None
        for i, step in enumerate(steps, start=1):
            x, y = step(x, targets)
            if isinstance(y, tuple):  # two labels and the share of the first one
                if i < len(steps):
                    raise ValueError(
                        f"augmentation mixes labels in step {i} of {len(steps)}; expected this in "
                        "the last step only. Put Mixup at the end, or use the parameter mixup."
                    )
                first, second, share = y
                share = share.to(dtype)[:, None]
                rows = share * encode(first) + (1 - share) * encode(second)
            else:
                targets = y
        if x.shape != shape:
            raise ValueError(
                f"augmentation changed the shape of windows from {tuple(shape)} to "
                f"{tuple(x.shape)}; expected transforms that keep it."
            )
        return x.to(dtype), (encode(targets) if rows is None else rows).to(dtype)

    return augment


def _all_transforms(steps: list[Any]) -> Iterator[Any]:
    """Every transform, and those that it is composed of."""
    for step in steps:
        yield step
        yield from _all_transforms(list(getattr(step, "transforms", ())))
