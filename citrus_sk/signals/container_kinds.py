"""Recognition of the containers of other packages, without importing these packages."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from .._utils.validation import first_few

# Containers that do not hold windows, subclasses before their bases, and what to pass instead.
_NOT_WINDOWS = (
    ("mne.io", "BaseRaw", "Cut windows with citrus_sk.mne.make_epochs."),
    (
        "torch.utils.data",
        "TensorDataset",
        "Pass its tensors: fit(dataset.tensors[0], dataset.tensors[1]).",
    ),
    (
        "torch.utils.data",
        "Dataset",
        "Pass arrays: X = np.stack([item[0] for item in dataset]), and y likewise.",
    ),
    ("torch.utils.data", "DataLoader", "Pass the arrays that its data set holds."),
    ("collections.abc", "Mapping", "Pass one of its arrays."),
)


def is_epochs(X: Any) -> bool:
    """Return True if `X` is an `mne.Epochs` of any kind."""
    return is_a(X, "mne", "BaseEpochs")


def is_window_set(X: Any) -> bool:
    """Return True if `X` is a data set of braindecode, of one recording or several."""
    if not is_a(X, "torch.utils.data", "Dataset"):
        return False
    parts = getattr(X, "datasets", [X])
    return isinstance(parts, list) and all(
        hasattr(part, "description") and hasattr(part, "transform") for part in parts
    )


def refuse_other_containers(X: Any, who: str) -> None:
    """Raise TypeError if `X` is a container that does not hold windows."""
    for item in X[:1] if isinstance(X, list | tuple) else [X]:
        for module, name, remedy in _NOT_WINDOWS:
            if is_a(item, module, name):
                keys = (
                    f" with the keys {first_few(map(repr, map(str, item)))}"
                    if name == "Mapping"
                    else ""
                )
                raise TypeError(
                    f"X is {_kind_of(X, item)}{keys}, and {who} expects windows. {remedy}"
                )
        if type(item).__module__.partition(".")[0] == "mne":
            raise TypeError(
                f"X is {_kind_of(X, item)}, and {who} expects windows of signals. Pass the "
                "mne.Epochs or mne.Evoked that it was computed from."
            )


def _kind_of(X: Any, item: Any) -> str:
    """Describe the type of a container, with its package."""
    package = type(item).__module__.partition(".")[0]
    kind = type(item).__name__ if package == "builtins" else f"{package} {type(item).__name__}"
    return f"a list of {kind}" if item is not X else f"of type {kind}"


def is_a(X: Any, module: str, name: str) -> bool:
    """Return True if `X` is an instance of a class, without importing its module.

    If the module has not been imported yet, no instance can exist.
    """
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(X, kind)


def is_evoked(X: Any) -> bool:
    """Return True if `X` is an `mne.Evoked`, an average of Epochs."""
    return is_a(X, "mne", "Evoked")


def list_of(X: Any, is_kind: Callable[[Any], bool]) -> Sequence[Any] | None:
    """Return `X` as a list of containers of one kind; None if it is anything else."""
    if is_kind(X):
        return [X]
    return X if isinstance(X, list | tuple) and X and all(map(is_kind, X)) else None


def epochs_in(X: Any) -> Sequence[Any] | None:
    """Return `X` as a list of Epochs; None if it is anything else."""
    return list_of(X, is_epochs)


def first_of_mne(X: Any) -> Any:
    """Return the first Epochs or Evoked in `X`; None if `X` is anything else."""
    listed = list_of(X, is_epochs) or list_of(X, is_evoked)
    return None if listed is None else listed[0]
