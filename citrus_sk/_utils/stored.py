"""The version of the package in stored estimators, and its check when they are loaded."""

from __future__ import annotations

import inspect
import textwrap
import warnings
from typing import Any, ClassVar

from .version import __version__

_VERSION = "_citrus_sk_version"


class Stored:
    """Mixin of estimators whose pickles contain the version of the package.

    An estimator that another version stored is loaded if its layout fits, with a warning unless
    both versions have the same major and minor number.
    """

    _layout_error: ClassVar[type[ValueError]] = ValueError
    _other_errors: ClassVar[tuple[type[Exception], ...]] = ()  # that do not mean another layout

    def __getstate__(self) -> dict[str, Any]:
        return {_VERSION: __version__, **super().__getstate__()}  # type: ignore[dict-item]

    def __setstate__(self, state: dict[str, Any]) -> None:
        stored_by = state.get(_VERSION)
        name = type(self).__name__
        try:
            self._set_state({k: v for k, v in state.items() if k != _VERSION})
        except self._other_errors:
            raise
        except (RuntimeError, LookupError, AttributeError) as error:
            raise self._layout_error(_other_layout(name, stored_by, error)) from error
        if _series(stored_by) != _series(__version__):
            warnings.warn(
                f"This {name} was stored by {_origin(stored_by)}, and {__version__} is installed: "
                f"its predictions may differ. {_remedy(stored_by)}",
                UserWarning,
                stacklevel=2,
            )

    def _set_state(self, state: dict[str, Any]) -> None:
        """Set the attributes; LookupError, AttributeError or RuntimeError if they do not fit."""
        for name in inspect.signature(type(self)).parameters:
            if name not in state:
                raise LookupError(f"the parameter {name} is missing")
        super().__setstate__(state)  # type: ignore[misc]


def _other_layout(name: str, stored_by: str | None, error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # The first line of torch names the class, the second one the missing parts.
    reason = lines[min(1, len(lines) - 1)].rstrip(".") if lines else type(error).__name__
    reason = textwrap.shorten(reason, 100, placeholder=" ...")
    if stored_by == __version__:
        return (
            f"This {name} does not fit its network ({reason}), although it was stored by the "
            f"same version of citrus_sk, {stored_by}. The file was changed, or another version of "
            "torch or braindecode is installed. Fit the estimator again."
        )
    return (
        f"This {name} was stored by {_origin(stored_by)}, whose layout differs from that of the "
        f"installed version {__version__} ({reason}). {_remedy(stored_by)}"
    )


def _origin(stored_by: str | None) -> str:
    return "an unknown version of citrus_sk" if stored_by is None else f"citrus_sk {stored_by}"


def _remedy(stored_by: str | None) -> str:
    if stored_by is None:
        return "Fit it again."
    return f"Load it with pip install citrus-sk=={stored_by}, or fit it again."


def _series(version: str | None) -> list[str]:
    """Major and minor number: versions that differ in neither give the same predictions."""
    return str(version).split(".")[:2]
