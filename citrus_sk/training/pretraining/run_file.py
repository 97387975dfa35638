"""The file in which a pre-training run is saved, so that it can be resumed."""

from __future__ import annotations

import hashlib
import json
import math
import time
import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
from torch import Tensor

from ..._utils.files import write_atomically
from ..._utils.interrupts import notice_interrupt
from ..._utils.optional import progress_bar
from ..._utils.sealed import seal, unseal
from ..._utils.version import __version__
from .run import PretrainRun

_KEY = "citrus_sk_run"
_VERSION = 2


class RunFile:
    """File in which a run is saved every few minutes, and from which it is resumed.

    Parameters
    ----------
    path : Path
        Path of the file, which is replaced atomically, so that it always holds a valid state.
    settings : mapping of str to Any
        Settings on which the result depends, in types that JSON can store. A run is only resumed
        with equal settings.
    minutes : float
        Minutes between two saves.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any], minutes: float) -> None:
        self.path, self.minutes = path, minutes
        self.settings = json.loads(json.dumps(settings, default=_plain))
        if path.is_dir():
            raise ValueError(f"run_file={str(path)!r} is a folder; expected a file.")
        self.saved_at = time.monotonic()
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def save(self, run: PretrainRun) -> None:
        """Save the state of a run, or raise OSError, as on a full disk."""
        tensors, progress = run.state()
        header = {"version": _VERSION, "package_version": __version__}
        header |= {"settings": self.settings, "progress": progress}
        header["digest"] = digest_of(tensors)
        data = safetensors.torch.save(tensors, {_KEY: seal(header)})
        write_atomically(self.path, data)
        self.saved_at = time.monotonic()

    def save_if_due(self, run: PretrainRun) -> None:
        """Save a run if the last save was at least `minutes` ago."""
        if time.monotonic() - self.saved_at >= 60 * self.minutes:
            self.try_to_save(run)

    def try_to_save(self, run: PretrainRun) -> None:
        """Save a run, or warn if that fails, so that training continues without a file."""
        try:
            self.save(run)
        except OSError as error:
            self.saved_at = time.monotonic()
            warnings.warn(
                f"The run could not be saved at step {run.step}: {error}. An earlier state in "
                f"{self.path} is unchanged. Free some disk space.",
                UserWarning,
                stacklevel=2,
            )

    def load_into(self, run: PretrainRun) -> None:
        """Restore the saved run."""
        header, tensors = _read(self.path)
        saved = header["settings"]
        differing = sorted(
            name for name in {*saved, *self.settings} if saved.get(name) != self.settings.get(name)
        )
        if differing:
            name = differing[0]
            raise ValueError(
                f"run_file={str(self.path)!r} is of a run with {name}={saved.get(name)!r}; this "
                f"one has {name}={self.settings.get(name)!r}"
                + (f" (and {', '.join(differing[1:])} differ as well)" if differing[1:] else "")
                + ". Use the same settings, or start a new run with resume=False or another file."
            )
        run.load(tensors, header["progress"])


def saved_seed(path: Path) -> int | None:
    """Seed of the run in a file; None if the file does not exist."""
    if not path.exists():
        return None
    return int(_read(path)[0]["settings"]["seed"])


def _plain(value: Any) -> Any:
    """Convert a NumPy number to a Python one, and other values that JSON cannot store to text."""
    return value.item() if isinstance(value, np.generic) else str(value)


def digest_of(tensors: Mapping[str, Tensor]) -> str:
    """Hash of all tensors, so that a run is not resumed from damaged data."""
    digest = hashlib.blake2b()
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].contiguous().numpy().tobytes())
    return digest.hexdigest()


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        if path.is_dir():
            raise ValueError("it is a folder")
        with safetensors.safe_open(path, "pt") as file:
            text = (file.metadata() or {})[_KEY]
            header = json.loads(text)
            if header["version"] == _VERSION:
                header = unseal(text)
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                if header["digest"] != digest_of(tensors):
                    raise ValueError("its tensors are damaged")
                return header, tensors
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(
            f"run_file={str(path)!r} is not the state of a pre-training run: {error!r}. "
            "Pass another file, or resume=False to start a new run, which replaces it."
        ) from error
    raise ValueError(
        f"run_file={str(path)!r} was written by another version of citrus_sk, "
        f"{header.get('package_version', 'unknown')}, in format {header['version']!r}; "
        f"{__version__} reads format {_VERSION}. Resume it with that version, or start a new run "
        "with resume=False."
    )


def run_to_end(run: PretrainRun, file: RunFile | None, *, resume: bool, verbose: int) -> None:
    """Train up to the end, with a progress bar and regular saves.

    Parameters
    ----------
    run : PretrainRun
        Run to train.
    file : RunFile or None
        File in which the run is saved every few minutes, on Ctrl-C and at the end.
    resume : bool
        Whether to resume the run in `file` if it exists.
    verbose : int
        Whether to show a progress bar.
    """
    if file is not None and resume and file.path.exists():
        file.load_into(run)
    else:
        run.prepare()
    leads = run.part[0] == 0
    interrupts = nullcontext(bool) if file is None else notice_interrupt(hold_back=True)
    bar = progress_bar(
        total=run.settings.n_steps, initial=run.step, description="pre-training", unit="batch",
        shown=bool(verbose and leads),
    )  # fmt: skip
    with bar, interrupts as interrupted:

        def after_step(run: PretrainRun) -> None:
            if not bar.disable:
                bar.total = math.ceil(run.expected_steps)  # which changes with a time limit
                bar.set_postfix_str(run.summary(), refresh=False)
                bar.update(1)
            if interrupted():
                raise KeyboardInterrupt
            if file is not None and leads:
                file.save_if_due(run)

        try:
            run.train(after_step)
        finally:
            # After the last step or a Ctrl-C, but not in the middle of a step.
            if file is not None and leads and not run.in_step:
                file.try_to_save(run)
