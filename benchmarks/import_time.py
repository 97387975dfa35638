"""Start-up time: imports of citrus_sk beside what it stands on, and quick commands.

    python benchmarks/import_time.py

Starts fresh interpreters by turns. Prints the median and lowest seconds of each import, and of the
whole process of each command, beside an interpreter that does nothing. Ratios are medians of those
to torch, scikit-learn and skorch in the same turn, in seconds of the processor, on which other
programs of the machine have less effect.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import NamedTuple

BASE = "torch, sklearn, skorch"
STATEMENTS = {
    BASE: "import torch, sklearn, skorch",
    "CitrusClassifier": "from citrus_sk import CitrusClassifier",
    "citrus_sk, all of it": "from citrus_sk import *",
}
COMMANDS = {
    "python -c pass": ("-c", "pass"),
    "citrus-sk --help": ("-m", "citrus_sk", "--help"),
    "citrus-sk models": ("-m", "citrus_sk", "models"),
}


class Seconds(NamedTuple):
    """Time of a clock on the wall, and of the processor where it is known."""

    wall: float
    processor: float = 0.0


def of_statement(statement: str) -> Seconds:
    code = (
        "import time; start, before = time.perf_counter(), time.process_time(); "
        f"{statement}; print(time.perf_counter() - start, time.process_time() - before)"
    )
    return Seconds(*map(float, run("-c", code).split()))


def of_command(arguments: tuple[str, ...]) -> Seconds:
    start = time.perf_counter()
    run(*arguments)
    return Seconds(time.perf_counter() - start)


def run(*arguments: str) -> str:
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def by_turns(methods: dict[str, Callable[[], Seconds]], repeats: int) -> dict[str, list[Seconds]]:
    times: dict[str, list[Seconds]] = {name: [] for name in methods}
    for repeat in range(repeats + 1):  # the first one fills the disk cache
        for name, method in methods.items():
            found = method()
            if repeat:
                times[name].append(found)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=11)
    repeats = parser.parse_args().repeats
    imports = {name: partial(of_statement, code) for name, code in STATEMENTS.items()}
    commands = {name: partial(of_command, code) for name, code in COMMANDS.items()}
    times = by_turns(imports | commands, repeats)
    for name, found in times.items():
        walls = [each.wall for each in found]
        line = f"{name:<24} {median(walls):.2f} s  (lowest {min(walls):.2f} s)"
        if name in STATEMENTS:
            pairs = zip(found, times[BASE], strict=True)
            ratios = [ours.processor / base.processor for ours, base in pairs]
            line += f"  ratio {median(ratios):.2f}"
        print(line)


if __name__ == "__main__":
    main()
