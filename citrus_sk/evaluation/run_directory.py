"""Finished rows on disk, from which a long evaluation is resumed."""

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

from .._utils.files import write_atomically
from .._utils.sealed import seal, unseal
from .._utils.temporary import is_temporary

_VERSION = 1
_ABOUT, _ROWS = "run.json", "rows.jsonl"


class RunDirectory:
    """Rows by key, appended one by one. Complete lines survive a killed process.

    Parameters
    ----------
    path : Path
        Folder, made if needed.
    data : str
        Fingerprint of the windows, the labels and the groups.

    Attributes
    ----------
    rows : dict of str to dict
        Rows that are on disk.

    Raises
    ------
    ValueError
        If `path` holds the run of other data, or is not a folder of a run.
    OSError
        If it cannot be written to.
    """

    def __init__(self, path: Path, data: str) -> None:
        self.path = path
        if path.exists() and not path.is_dir():
            raise ValueError(f"run_dir={str(path)!r} is a file; expected a folder.")
        path.mkdir(parents=True, exist_ok=True)
        about = path / _ABOUT
        if about.exists():
            self._check(about, data)
        elif not all(
            is_temporary(file) or file.name.startswith(f"{_ABOUT}.") for file in path.iterdir()
        ):
            raise ValueError(
                f"run_dir={str(path)!r} holds other files and no run; expected an empty or new "
                "folder, or that of an earlier run on the same data."
            )
        else:
            text = json.dumps({"version": _VERSION, "data": data}) + "\n"
            write_atomically(about, text.encode())
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
                f"run_dir={str(self.path)!r} was written by another version of citrus_sk, in "
                f"format {version!r}; this version reads format {_VERSION}. Choose another folder."
            )
        if of_run != data:
            raise ValueError(
                f"run_dir={str(self.path)!r} holds the run of other data: its fingerprint is "
                f"{of_run}, that of X, y and groups is {data}. Choose another folder; this one was "
                "not changed."
            )

    def _read(self) -> dict[str, dict[str, Any]]:
        rows = {}
        path = self.path / _ROWS
        for line in path.read_bytes().splitlines() if path.exists() else ():
            # A line that is incomplete, as after a killed process, or damaged is computed again.
            with suppress(ValueError, KeyError):
                row = unseal(line.decode())
                key = row.pop("key")
                rows[key] = {k: math.nan if v is None else v for k, v in row.items()}
        return rows

    def add(self, key: str, row: Mapping[str, Any]) -> None:
        """Append a row, and return when it is on disk.

        Raises
        ------
        OSError
            If it cannot be written, as on a full disk. Earlier rows remain.
        """
        plain = {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()}
        rows = self.path / _ROWS
        try:
            with rows.open("ab+") as file:
                if file.tell():  # a row that was cut short may end the file
                    file.seek(-1, os.SEEK_END)
                    if file.read(1) != b"\n":
                        file.write(b"\n")
                file.write((seal({"key": key, **plain}) + "\n").encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise OSError(
                error.errno,
                f"A score could not be added to {rows}: {error.strerror}. Those before it are kept "
                "and used when the evaluation is started again",
            ) from error


def fingerprint(*parts: Any) -> str:
    """Hash of arrays, labels, estimators or scorers; equal contents have equal hashes.

    Raises
    ------
    TypeError
        If a part cannot be pickled, such as a lambda.
    """
    try:
        return str(joblib.hash([_contiguous(part) for part in parts]))
    except Exception as error:  # pickle lets any exception of an object through
        raise TypeError(
            f"run_dir needs estimators and scorers that can be pickled, to identify stored rows: "
            f"{error}. Use functions of a module instead of lambdas, or omit run_dir."
        ) from error


def _contiguous(part: Any) -> Any:
    """Digest of an array's bytes: joblib's hash differs for a view or memory map and its copy."""
    if isinstance(part, np.ndarray) and part.dtype != object:
        digest = hashlib.blake2b(np.ascontiguousarray(part).data.cast("B")).hexdigest()
        return ("array", part.shape, part.dtype.str, digest)
    return part


def estimator_fingerprint(estimator: Any) -> str:
    """Hash of an estimator's parameters, the files they name, and the code of their classes.

    Results are stale if the class was edited since, or the weights in the same file were trained
    again, although the parameters are equal.
    """
    values = list(estimator.get_params(deep=True).values())
    parts = [value for value in values if _has_code(value)]
    return fingerprint(estimator, sources([estimator, *parts]), _named_files(values))


def _has_code(value: Any) -> bool:
    return hasattr(value, "get_params") or inspect.isroutine(value) or inspect.isclass(value)


def _named_files(values: Iterable[Any]) -> list[tuple[str, str]]:
    """Paths among parameters, such as those of weights, with a hash of their present content."""
    found = {}
    for value in values:
        if isinstance(value, str | os.PathLike):
            with suppress(OSError, ValueError):  # not a file
                found[os.fspath(value)] = _digest(Path(value).read_bytes())
    return sorted(found.items())


def sources(values: Iterable[Any]) -> list[tuple[str, str, str]]:
    """Name, version and code of the classes and functions in `values`, and of their classes.

    Code of an installed package counts by version and module; in a package in development, all
    modules count. In a script only the function counts, because its other lines are the settings
    of an evaluation.
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
