"""The list of pre-trained checkpoints that ship with the package."""

from __future__ import annotations

from typing import Any

_SHIPPED: dict[str, str] = {}


def list_pretrained() -> list[str]:
    """Names of the pre-trained checkpoints that ship with this version.

    Returns
    -------
    list of str
        Each a value for ``pretrained=`` of the estimators.
    """
    return sorted(_SHIPPED)


def check_pretrained(pretrained: Any) -> None:
    """Raise where `pretrained` names nothing that can be had."""
    if pretrained is None:
        return
    shipped = ", ".join(map(repr, list_pretrained()))
    offer = f"one of {shipped}" if shipped else "none ships with this version"
    if not isinstance(pretrained, str):
        raise TypeError(
            f"pretrained has to be the name of a checkpoint ({offer}) or None, which trains from "
            f"scratch; got {pretrained!r}."
        )
    raise ValueError(
        f"pretrained={pretrained!r} is no checkpoint that can be had: {offer}. "
        "Pass pretrained=None to train from scratch."
    )
