"""JSON objects with a checksum, so that a changed or incomplete one is not used."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

_KEY = "checksum"


def seal(content: Mapping[str, Any]) -> str:
    """Serialise an object as JSON on one line, with its checksum."""
    plain = json.loads(json.dumps(content))
    return json.dumps({**plain, _KEY: _checksum(plain)})


def unseal(text: str) -> dict[str, Any]:
    """Parse the result of `seal`.

    Raises
    ------
    ValueError
        If the text is not JSON, or does not fit its checksum.
    """
    try:
        content = json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(content, dict):
        raise ValueError(f"it is a {type(content).__name__}; expected an object")
    if content.pop(_KEY, None) != _checksum(content):
        raise ValueError("its content does not match its checksum")
    return content


def _checksum(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
