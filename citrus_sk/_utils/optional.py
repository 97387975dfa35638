"""Optional packages, and the progress bar."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
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


@contextmanager
def explained_braindecode() -> Iterator[None]:
    """Turn the error of an import of braindecode, if its torchaudio cannot be loaded, into advice.

    Such a torchaudio is of another build than torch, usually for CUDA beside a CPU-only torch.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise ImportError(
            "braindecode cannot be imported, because its torchaudio does not fit torch "
            f"({reason}). Expected both from the same index. For a CPU-only torch, install "
            "it with: pip install --force-reinstall --no-deps torchaudio --index-url "
            "https://download.pytorch.org/whl/cpu",
            name="braindecode",
        ) from error


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
