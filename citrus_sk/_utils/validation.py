"""Checks of parameters, texts for messages, and the state of an estimator after a failed fit."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from itertools import islice
from numbers import Integral, Real
from typing import Any

import numpy as np

_LONGEST_NAME = 100  # characters; longer names are cut in messages


@contextmanager
def all_or_nothing(estimator: Any) -> Iterator[None]:
    """Restore the attributes of `estimator` if the block fails, so that it stays usable."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


def check_choice(name: str, value: Any, known: tuple[str, ...]) -> None:
    """Raise ValueError unless `value` is one of the strings `known`."""
    if not (isinstance(value, str) and value in known):
        raise ValueError(
            f"{name}={value!r} is unknown; expected one of {', '.join(map(repr, known))}."
        )


def as_flag(name: str, value: Any, *, alternatives: tuple[str, ...] = ()) -> Any:
    """Return `value` as a bool, or unchanged if it is one of the words in `alternatives`.

    NumPy's bools and the numbers 0 and 1 are accepted as False and True. Another word raises
    ValueError, anything else TypeError.
    """
    if isinstance(value, str) and value in alternatives:
        return value
    if isinstance(value, bool | np.bool_) or (isinstance(value, Integral) and value in (0, 1)):
        return bool(value)
    expected = " or ".join(["True", "False", *map(repr, alternatives)])
    kind = ValueError if isinstance(value, str) and alternatives else TypeError
    raise kind(f"Expected {name} to be {expected}, got {value!r}.")


def check_number(
    name: str,
    value: Any,
    kind: Any = Real,
    *,
    low: float = 0.0,
    high: float = math.inf,
    open_low: bool = False,
    unit: str = "",
    alternatives: tuple[Any, ...] = (),
) -> None:
    """Raise TypeError or ValueError unless `value` is a finite number of `kind` in a range."""
    if any(type(value) is type(other) and value == other for other in alternatives):
        return
    noun = "an integer" if kind is Integral else "a number"
    noun += f" in {unit}" if unit else ""
    edge = f"above {low:g}" if open_low else f"of {low:g} or more"
    also = "".join(f" or {other!r}" for other in alternatives)
    expected = (
        f"expected {noun} {edge}" + (f" and at most {high:g}" if high < math.inf else "") + also
    )
    if isinstance(value, bool | np.bool_) or not isinstance(value, kind):
        raise TypeError(f"{name}={value!r} is a {type(value).__name__}; {expected}.")
    if not math.isfinite(value) or value < low or value > high or (open_low and value == low):
        raise ValueError(f"{name}={value!r} is out of range; {expected}.")


def check_pair(name: str, value: Any, kind: Any = Real, **limits: Any) -> None:
    """Raise TypeError or ValueError unless `value` is a pair of numbers in increasing order."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise TypeError(f"{name}={value!r} is not a pair; expected (lowest, highest).")
    for i, number in enumerate(value):
        check_number(f"{name}[{i}]", number, kind, **limits)
    if value[0] > value[1]:
        raise ValueError(f"{name}={value!r} must be ordered; expected (lowest, highest).")


def first_few(names: Iterable[Any], most: int = 5) -> str:
    """List the first names for a message, and count the rest: ``a, b and 3 more``."""
    names = iter(names)
    listed = [_shortened(str(name)) for name in islice(names, most)]
    n_more = sum(1 for _ in names)
    return ", ".join(listed) + (f" and {n_more} more" if n_more else "")


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 3] + "..."


def closest(name: str, known: Iterable[str], likeness: float = 0.6) -> str | None:
    """The known name that is most like `name`, whatever its case; None if all are less alike."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    close = get_close_matches(name.lower(), by_lower, 1, likeness)
    return by_lower[close[0]] if close else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Suggest the closest known name in a sentence with a leading space; empty if none is close."""
    suggestion = closest(name, known)
    return "" if suggestion is None else f" Did you mean {suggestion!r}?"


def last_step(estimator: Any) -> Any:
    """The last step of a pipeline, or the estimator itself if it is not a pipeline."""
    from sklearn.pipeline import Pipeline  # late, because `citrus-sk models` needs the checks alone

    return estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator


def check_text(name: str, value: Any, alternatives: tuple[Any, ...] = ()) -> None:
    """Raise TypeError unless `value` is a non-empty string."""
    if value not in alternatives and not (isinstance(value, str) and value):
        raise TypeError(f"{name}={value!r}; expected a name such as 'EEG'.")


def check_folder(name: str, value: Any) -> None:
    """Raise TypeError unless `value` is a path or None."""
    if value is not None and not isinstance(value, str | os.PathLike):
        raise TypeError(
            f"{name}={value!r} is a {type(value).__name__}; expected a folder, as a str or a path, "
            "or None."
        )


class Documented:
    """Mixin that links scikit-learn's HTML representation to the documentation."""

    _doc_link_module = "citrus_sk"
    _doc_link_template = (
        "https://citrus-sk.readthedocs.io/en/stable/"
        "api/generated/{estimator_module}.{estimator_name}.html"
    )
