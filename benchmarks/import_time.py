"""Start-up time: imports of citrus_sk beside what it stands on, and quick commands.

    python benchmarks/import_time.py

Starts fresh interpreters by turns. Prints the median and lowest seconds of each import, and of the
whole process of each command, beside an interpreter that does nothing. Ratios are medians of those
to torch, scikit-learn and skorch in the same turn.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from statistics import median

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


def seconds_of_statement(statement: str) -> float:
    code = (
        f"import time; start = time.perf_counter(); {statement}; print(time.perf_counter() - start)"
    )
    return float(run("-c", code))


def seconds_of_command(arguments: tuple[str, ...]) -> float:
    start = time.perf_counter()
    run(*arguments)
    return time.perf_counter() - start


def run(*arguments: str) -> str:
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def by_turns(methods: dict[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in methods}
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
    imports = {name: partial(seconds_of_statement, code) for name, code in STATEMENTS.items()}
    commands = {name: partial(seconds_of_command, code) for name, code in COMMANDS.items()}
    times = by_turns(imports | commands, repeats)
    for name, found in times.items():
        line = f"{name:<24} {median(found):.2f} s  (lowest {min(found):.2f} s)"
        if name in STATEMENTS:
            ratios = [ours / base for ours, base in zip(found, times[BASE], strict=True)]
            line += f"  ratio {median(ratios):.2f}"
        print(line)


if __name__ == "__main__":
    main()
