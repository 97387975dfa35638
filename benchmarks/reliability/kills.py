"""``kill -9`` at random moments, in the commands that take long, and what is left behind.

Half of the moments are uniform over the time that the command takes. The other half lie right
before a file is opened for writing, renamed or removed. Each attempt kills the command one to three
times, runs it to its end, and compares the result with that of a run that was never killed:

    python benchmarks/reliability/kills.py --number 50
    python benchmarks/reliability/kills.py pretrain --only 17    # one attempt, with its output
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from commands import (
    COMMANDS,
    Child,
    Command,
    at_write,
    count_writes,
    files_of,
    make_data,
    run,
    scratch,
    whole,
)

HEAD = (
    "| killed command | tried | kills | nothing finished was lost | result is equal | "
    "files left | faults |\n|---|---|---|---|---|---|---|"
)


@dataclass
class Reference:
    """A run that was never killed."""

    result: Any
    files: set[str]
    seconds: float
    n_writes: int

    @classmethod
    def of(cls, command: Command, data: Path, folder: Path) -> Reference:
        for _ in range(2):  # the first time, some caches are filled
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            end, n_writes = count_writes(command.arguments(data, folder / "out"), folder)
            if end.code:
                raise RuntimeError(end.text)
        return cls(command.result(folder / "out"), left_in(folder), end.seconds, n_writes)


@dataclass
class Outcome:
    """What became of an attempt."""

    n_kills: int = 0
    lost: list[str] = field(default_factory=list)
    is_equal: bool = False
    left: set[str] = field(default_factory=set)
    text: str = ""

    @property
    def is_fault(self) -> bool:
        return bool(self.lost or self.left or not self.is_equal)


def attempt(
    command: Command, reference: Reference, data: Path, folder: Path, seed: list[int]
) -> Outcome:
    """Kill a command one to three times, run it to its end, and compare."""
    rng, outcome, out = np.random.default_rng(seed), Outcome(), folder / "out"
    folder.mkdir()
    arguments = command.arguments(data, out)
    for _ in range(rng.integers(1, 4)):
        before = command.progress(out)
        while not (killed := _kill(arguments, folder, reference, rng)) and not outcome.n_kills:
            shutil.rmtree(out)  # it had ended before
        outcome.n_kills += killed
        try:
            if (after := command.progress(out)) < before:
                outcome.lost.append(f"{before} steps became {after}")
            damaged = [
                name for name in files_of(out) & _written(reference) if not whole(out / name)
            ]
        except Exception as error:  # noqa: BLE001 - a file that cannot be read is the finding
            damaged = [f"{type(error).__name__}: {error}"]
        outcome.lost += damaged
    end = run(arguments, folder)
    outcome.text = end.text
    if end.code == 0:
        try:
            outcome.is_equal = command.result(out) == reference.result
        except Exception as error:  # noqa: BLE001 - such as a file that is missing
            outcome.text += f"{type(error).__name__}: {error}"
        outcome.left = left_in(folder) ^ reference.files
    return outcome


def _kill(
    arguments: list[str], folder: Path, reference: Reference, rng: np.random.Generator
) -> bool:
    """Run a command and kill it; False if it ended before."""
    if rng.random() < 0.5:
        child = Child(arguments, folder)
        if child.wait(rng.uniform(0, reference.seconds)) is not None:
            return False
        child.kill()
        return child.end().code == -signal.SIGKILL
    number = int(rng.integers(1, reference.n_writes + 1))
    die = at_write(folder, number, lambda: os.kill(os.getpid(), signal.SIGKILL))
    return Child(arguments, folder, die).end().code == -signal.SIGKILL


def _written(reference: Reference) -> set[str]:
    """Files of the output that are to be complete whenever they exist."""
    files = {name.removeprefix("out/") for name in reference.files if name.startswith("out/")}
    return {name for name in files if "/run/" not in name}


def left_in(folder: Path) -> set[str]:
    """Files of a command, with those in its folder for temporary files."""
    return {
        name
        for name in files_of(folder) - {"output.txt", "tmp"}
        if not name.startswith("tmp/torchinductor_")  # the cache of torch.compile
        and not _of_python(folder / name)
    }


def _of_python(path: Path) -> bool:
    """Whether `tempfile` wrote a file, to see whether it can write into a folder."""
    return path.is_file() and path.stat().st_size <= 4 and path.read_bytes() in (b"", b"blat")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commands", nargs="*", choices=[*COMMANDS, []], help="all by default")
    parser.add_argument("--number", type=int, default=50, help="attempts of each command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="make this attempt, and print how it ends")
    options = parser.parse_args()
    print(HEAD)
    any_fault = False
    with scratch() as folder:
        data = folder / "data"
        data.mkdir()
        make_data(data, with_model="predict" in (options.commands or COMMANDS))
        for name in options.commands or COMMANDS:
            any_fault |= _attack(name, data, folder / name, options)
    sys.exit(any_fault)


def _attack(name: str, data: Path, folder: Path, options: argparse.Namespace) -> bool:
    command = COMMANDS[name]
    folder.mkdir()
    reference = Reference.of(command, data, folder / "reference")
    counts, faults = Counter[str](), list[str]()
    for i in range(options.number) if options.only is None else [options.only]:
        where = folder / str(i)
        outcome = attempt(command, reference, data, where, [options.seed, i, *name.encode()])
        counts.update(
            kills=outcome.n_kills, kept=not outcome.lost, equal=outcome.is_equal,
            left=len(outcome.left), faults=outcome.is_fault, tried=1,
        )  # fmt: skip
        if outcome.is_fault:
            what = [*outcome.lost, *sorted(outcome.left)]
            text = outcome.text if not outcome.is_equal else ""
            faults.append(f"    attempt {i}: {what} {text[-2000:]}")
        if options.only is not None:
            print(outcome)
        shutil.rmtree(where)
    columns = ("tried", "kills", "kept", "equal", "left", "faults")
    print(f"| {name} | {' | '.join(str(counts[each]) for each in columns)} |")
    print("\n".join(faults), flush=True)
    return bool(faults)


if __name__ == "__main__":
    main()
