"""Optional packages, and the progress bar."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from typing import Any


def require(package: str, purpose: str, *, install: str | None = None) -> ModuleSpec:
    """Find a package without importing it, or raise ModuleNotFoundError.

    Parameters
    ----------
    package : str
        Import name of the package.
    purpose : str
        Subject of the message, such as ``"The peer 'quant'"``.
    install : str, default=None
        Argument of ``pip install``, such as ``"citrus-sk[peers]"``. None means `package`.

    Returns
    -------
    ModuleSpec
        Location and metadata of the package.
    """
    spec = find_spec(package)
    if spec is not None:
        return spec
    name = package if install is None else install
    quoted = f'"{name}"' if "[" in name else name  # a bracket means something to a shell
    raise ModuleNotFoundError(
        f"{purpose} needs {package}, which is not installed. Install it with: pip install {quoted}",
        name=package,
    )


def progress_bar(
    iterable: Iterable[Any] | None = None,
    *,
    total: int | None = None,
    initial: int = 0,
    description: str | None = None,
    unit: str = "it",
    shown: bool = True,
) -> Any:
    """Make a tqdm bar around `iterable`, or for a ``with`` block; hidden unless `shown`."""
    from tqdm.auto import tqdm

    return tqdm(
        iterable, total=total, initial=initial, desc=description, unit=unit, disable=not shown,
        dynamic_ncols=True,
    )  # fmt: skip
