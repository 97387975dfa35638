"""Finished rows on disk, so that a long evaluation goes on where it was stopped."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import joblib
import numpy as np

_VERSION = 1
_ABOUT, _ROWS = "run.json", "rows.jsonl"


class RunDirectory:
    """Rows by key, appended one by one; whatever kills the process, complete lines stay.

    Parameters
    ----------
    path : Path
        Made if need be.
    data : str
        Fingerprint of the windows, the labels and the groups.

    Raises
    ------
    ValueError
        If `path` holds the run of other data, or is something else.
    OSError
        If it cannot be written into.
    """

    def __init__(self, path: Path, data: str) -> None:
        self.path = path
        if path.exists() and not path.is_dir():
            raise ValueError(f"run_dir={str(path)!r} is a file; wanted a folder.")
        path.mkdir(parents=True, exist_ok=True)
        about = path / _ABOUT
        if about.exists():
            self._check(about, data)
        elif any(not each.name.startswith(f"{_ABOUT}.") for each in path.iterdir()):
            raise ValueError(
                f"run_dir={str(path)!r} holds other files and no run; wanted an empty or a new "
                "folder, or that of an earlier run on the same data."
            )
        else:
            # Killed before it has its name, a file like this stays; it is in nobody's way.
            fresh = path / f"{_ABOUT}.{os.getpid()}"
            fresh.write_text(json.dumps({"version": _VERSION, "data": data}) + "\n")
            fresh.replace(about)
        self.rows = self._read()

    def _check(self, about: Path, data: str) -> None:
        try:
            found = json.loads(about.read_text())
            version, of_run = found["version"], found["data"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{str(about)!r} is damaged ({error}). Choose another folder, or delete this one."
            ) from error
        if version != _VERSION:
            raise ValueError(
                f"run_dir={str(self.path)!r} was written by another version of citrus_sk. "
                "Choose another folder."
            )
        if of_run != data:
            raise ValueError(
                f"run_dir={str(self.path)!r} holds the run of other data: its fingerprint is "
                f"{of_run}, that of X, y and groups is {data}. Choose another folder; nothing in "
                "this one was changed."
            )

    def _read(self) -> dict[str, dict[str, Any]]:
        rows = {}
        path = self.path / _ROWS
        for line in path.read_text().splitlines() if path.exists() else ():
            try:
                row = json.loads(line)
                key = row.pop("key")
                rows[key] = {k: math.nan if v is None else v for k, v in row.items()}
            except (ValueError, KeyError, AttributeError):
                continue  # the line that was being written when the process was killed
        return rows

    def add(self, key: str, row: Mapping[str, Any]) -> None:
        """Append a row and see it onto the disk."""
        plain = {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()}
        with (self.path / _ROWS).open("ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")
            file.write((json.dumps({"key": key, **plain}) + "\n").encode())
            file.flush()
            os.fsync(file.fileno())


def fingerprint(*parts: Any) -> str:
    """A hash of arrays, labels, estimators, scorers: equal contents, equal hash.

    Raises
    ------
    TypeError
        If something cannot be pickled, such as a lambda.
    """
    try:
        return str(joblib.hash([_contiguous(part) for part in parts]))
    except Exception as error:  # pickle raises whatever it likes
        raise TypeError(
            f"run_dir needs what it stores to be told apart, but this cannot be pickled: {error}. "
            "Use functions of a module in place of lambdas, or leave run_dir out."
        ) from error


def _contiguous(part: Any) -> Any:
    """Arrays as their bytes: joblib's hash would tell a view, or a memory map, from its copy."""
    if isinstance(part, np.ndarray) and part.dtype != object:
        digest = hashlib.blake2b(np.ascontiguousarray(part).data.cast("B")).hexdigest()
        return ("array", part.shape, part.dtype.str, digest)
    return part


def estimator_fingerprint(estimator: Any) -> str:
    """Of its parameters, the files they name, and the code of every class and function in them.

    Results of an estimator whose class was edited since, or whose weights were trained again into
    the same file, are stale though its parameters are the same.
    """
    values = list(estimator.get_params(deep=True).values())
    parts = [value for value in values if _has_code(value)]
    return fingerprint(estimator, sources([estimator, *parts]), _named_files(values))


def _has_code(value: Any) -> bool:
    return hasattr(value, "get_params") or inspect.isroutine(value) or inspect.isclass(value)


def _named_files(values: Iterable[Any]) -> list[tuple[str, str]]:
    """Paths among parameters, such as those of weights, with what is in them now."""
    found = {}
    for value in values:
        if isinstance(value, str | os.PathLike):
            with suppress(OSError, ValueError):  # no file, or nothing that could be one
                found[os.fspath(value)] = _digest(Path(value).read_bytes())
    return sorted(found.items())


def sources(values: Iterable[Any]) -> list[tuple[str, str, str]]:
    """Name, version and code of the classes and functions that `values` are, or are instances of.

    Of an installed package its version and the module count, of one in development all its
    modules, of a script the function alone: its other lines are the settings of an evaluation.
    """
    found = set()
    for value in values:
        code = value if inspect.isroutine(value) or inspect.isclass(value) else type(value)
        module = getattr(code, "__module__", None) or ""
        package = module.partition(".")[0]
        try:
            version = str(getattr(import_module(package), "__version__", ""))
        except (ImportError, ValueError):
            version = ""
        name = f"{module}.{getattr(code, '__qualname__', code)}"
        found.add((name, version, _code_digest(module, code)))
    return sorted(found)


def _code_digest(module: str, code: Any) -> str:
    path = getattr(sys.modules.get(module), "__file__", None)
    if module == "__main__" or path is None:
        try:
            return _digest(inspect.getsource(code).encode())
        except (OSError, TypeError):
            return ""  # typed into a shell
    top = getattr(sys.modules.get(module.partition(".")[0]), "__path__", None)
    if top and not {"site-packages", "dist-packages"} & set(Path(path).parts):
        return _tree_digest(next(iter(top)))
    try:
        return _digest(Path(path).read_bytes())
    except OSError:
        return ""  # within an archive


@lru_cache
def _tree_digest(folder: str) -> str:
    files = sorted(Path(folder).rglob("*.py"))
    return _digest(b"".join(path.read_bytes() for path in files))


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content).hexdigest()
