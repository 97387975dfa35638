"""A folder for the features of frozen networks, for the time of an evaluation."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sklearn.base import clone

from .._utils.temporary import OwnedFolder, remove_abandoned


@contextmanager
def temporary_memory(enabled: bool) -> Iterator[str | None]:
    """Make a folder that is removed after the block, whatever happens in it.

    Yields None if `enabled` is False, or if no folder can be made.
    """
    if not enabled:
        yield None
        return
    try:
        remove_abandoned()
        folder = OwnedFolder()
    except OSError as error:
        warnings.warn(
            f"No folder for temporary files can be made ({error}), so every fit computes all "
            "features; results are the same. Set the environment variable TMPDIR to a folder.",
            UserWarning,
            stacklevel=4,
        )
        yield None
        return
    with folder:
        yield str(folder.path)


def clone_with_memory(estimator: Any, folder: str | None) -> Any:
    """Clone an estimator, and set ``memory`` of the estimators of this package that have none.

    Parameters
    ----------
    estimator : estimator
        One of this package, or one that may contain some, as a pipeline does.
    folder : str or None
        A folder that does not exist, as on another machine of a cluster, is not used.
    """
    model = clone(estimator)
    networks = sys.modules.get("citrus_sk.estimators.base")
    if networks is None or folder is None or not Path(folder).is_dir():
        return model
    deep = model.get_params(deep=True).items()
    parts = {"memory": model} | {f"{name}__memory": part for name, part in deep}
    for name, part in parts.items():
        if isinstance(part, networks.NetworkEstimator) and getattr(part, "memory", "") is None:
            model.set_params(**{name: folder})
    return model
