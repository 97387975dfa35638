"""Many attempts to break something, in a child process with limits of memory and time.

A script lists its attacks and calls `main`. An attack is a function of a folder that returns an
`Attempt`; the parent asks the child for one attempt after the other and counts how they end. A
child that crashes, hangs or reports a fault of memory is replaced, and the attempt is a fault.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import re
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

SAME, READ, ERROR, FAULT = "same result", "read", "error", "FAULT"
DOCUMENTED = (ValueError, OSError)  # the errors that the readers document
MARK = "executed"  # name of the file that a pickle leaves when it is run
MEGABYTES, START_SECONDS = 1024, 120.0
# Of the processor, and on the clock, which other programs on the machine may hold up.
CPU_SECONDS, SECONDS = 10.0, 60.0


class Fault(Exception):  # noqa: N818 - it is counted, and no caller gets it
    """What an attempt was not to do: to accept damage, or to run code."""


class Payload:
    """Pickles as a call that leaves a mark, which tells that the pickle was run."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


def failure(call: Callable[[], object]) -> Exception | None:
    """The error that a call raises, if it does."""
    try:
        call()
    except Exception as error:  # noqa: BLE001 - is looked at by the caller
        return error
    return None


@dataclass
class Attempt:
    """One kind of attempt.

    Attributes
    ----------
    run : callable
        Function of a generator of random numbers and the number of the attempt. It returns SAME,
        or READ if the result may differ, and raises what the library raises.
    names : collection of str
        Parts of names of files, one of which an error has to name.
    n_cases : int or None
        Number of different attempts if there are only so many.
    """

    run: Callable[[np.random.Generator, int], str]
    names: Iterable[str]
    n_cases: int | None = None


# Warnings of arithmetic, which a user cannot act on.
_OF_NUMPY = re.compile("(overflow|underflow|invalid value|divide by zero) encountered")

Attacks = dict[str, Callable[[Path], Attempt]]


# --- in the child --------------------------------------------------------------------------------


def judge(attempt: Attempt, name: str, seed: int, i: int) -> tuple[str, str]:
    """Make attempt `i`: how it ended, and the text of an error."""
    rng = np.random.default_rng([seed, i, *name.encode()])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            outcome, text = attempt.run(rng, i), ""
        except DOCUMENTED as error:
            text = f"{type(error).__name__}: {error}"
            named = any(each in str(error) for each in attempt.names)
            outcome = ERROR if named else FAULT
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is to be counted
            outcome, text = FAULT, f"{type(error).__name__}: {error}"
    others = [w for w in caught if _OF_NUMPY.match(str(w.message))]
    if others and outcome != FAULT:
        outcome, text = FAULT, f"{others[0].category.__name__}: {others[0].message}"
    return outcome, text


def serve(attacks: Attacks, megabytes: int) -> None:
    """Answer each line of the standard input, ``[name, seed, number]``."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # libraries print
    made: dict[str, Attempt] = {}
    with tempfile.TemporaryDirectory() as folder:
        for line in sys.stdin:
            name, seed, i = json.loads(line)
            if name not in made:
                _limit(None)
                own = Path(folder, name.replace(" ", "-").replace("/", "-"))
                own.mkdir()
                made[name] = attacks[name](own)
                judge(made[name], name, seed, 0)  # which imports what is imported where it is used
                answer = {"n_cases": made[name].n_cases}
            else:
                _limit(megabytes)
                begun = time.process_time()
                outcome, text = judge(made[name], name, seed, i)
                seconds = time.process_time() - begun
                if seconds > CPU_SECONDS:
                    outcome, text = FAULT, f"{seconds:.0f} s of the processor"
                answer = {"outcome": outcome, "text": text, "seconds": seconds, "peak": _peak()}
            answers.write(json.dumps(answer) + "\n")
            answers.flush()


def _limit(megabytes: int | None) -> None:
    """Let the process have so much more memory than it has now; None ends the limit."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    soft = hard if megabytes is None else used + megabytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _peak() -> float:
    """Largest memory in use so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# --- in the parent -------------------------------------------------------------------------------


class Child:
    """Process that makes attempts."""

    def __init__(self, script: str, megabytes: int) -> None:
        command = [sys.executable, script, "--child", "--megabytes", str(megabytes)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, question: list, seconds: float) -> dict:
        """The answer, or what became of the process."""
        process = self._process
        process.stdin.write(json.dumps(question).encode() + b"\n")
        process.stdin.flush()
        if not select.select([process.stdout], [], [], seconds)[0]:
            self.close()
            return {"outcome": FAULT, "text": f"no end within {seconds:g} s", "died": True}
        if not (line := process.stdout.readline()):
            code = process.wait()
            self.close()
            name = signal.Signals(-code).name if code < 0 else f"exit status {code}"
            return {"outcome": FAULT, "text": f"the process died: {name}", "died": True}
        return json.loads(line)

    def close(self) -> None:
        self._process.kill()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


@dataclass
class Tally:
    """How the attempts of an attack ended."""

    name: str
    counts: Counter = field(default_factory=Counter)
    faults: dict[str, list[int]] = field(default_factory=dict)
    slowest: float = 0.0
    growth: float = 0.0

    def add(self, i: int, answer: dict, first_peak: float) -> None:
        self.counts[answer["outcome"]] += 1
        if answer["outcome"] == FAULT:
            kind = re.sub(r"[\d.]+|/tmp/\S+", "#", answer["text"])[:150]
            self.faults.setdefault(kind, []).append(i)
        self.slowest = max(self.slowest, answer.get("seconds", 0.0))
        self.growth = max(self.growth, answer.get("peak", 0.0) - first_peak)

    def row(self) -> str:
        counts = [f"{self.counts[each]:,}" for each in (SAME, READ, ERROR, FAULT)]
        cells = [self.name, f"{self.counts.total():,}", *counts, f"{self.slowest:.1f}",
                 f"{max(0.0, self.growth):.0f}"]  # fmt: skip
        return f"| {' | '.join(cells)} |"


HEAD = (
    "| attack | tried | same result | read | error that names the file | faults | longest, CPU s | "
    "growth of memory, MB |\n|---|---|---|---|---|---|---|---|"
)


def run(
    script: str, names: Iterable[str], *, number: int, seconds: float, seed: int = 0,
    megabytes: int = MEGABYTES,
) -> Iterable[Tally]:  # fmt: skip
    """Make up to `number` attempts of each attack, for up to `seconds` each."""
    child = None
    try:
        for name in names:
            tally, first, i, n_cases, end, is_new = Tally(name), None, 0, None, math.inf, True
            while i < min(number, n_cases or number) and time.monotonic() < end:
                child = child or Child(script, megabytes)
                if is_new:
                    answer = child.ask([name, seed, 0], START_SECONDS)
                    if "died" in answer:
                        raise RuntimeError(f"{name}: {answer['text']}")
                    n_cases, is_new = answer["n_cases"], False
                    end = min(end, time.monotonic() + seconds)
                answer = child.ask([name, seed, i], SECONDS)
                first = answer.get("peak", 0.0) if first is None else first
                tally.add(i, answer, first)
                i += 1
                if "died" in answer:
                    child, is_new, first = None, True, None
            yield tally
    finally:
        if child is not None:
            child.close()


def main(script: str, attacks: Attacks) -> None:
    """Command line of a script with attacks."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("attacks", nargs="*", help="attacks whose names begin with this; all")
    parser.add_argument("--number", type=int, default=10**9, help="attempts of each attack")
    parser.add_argument("--seconds", type=float, default=60.0, help="time for each attack")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--megabytes", type=int, default=MEGABYTES, help="of memory that may be added"
    )
    parser.add_argument("--only", type=int, help="make this attempt here, and print how it ends")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        serve(attacks, arguments.megabytes)
        return
    chosen = [
        name for name in attacks
        if not arguments.attacks or any(map(name.startswith, arguments.attacks))
    ]  # fmt: skip
    if arguments.only is not None:
        for name in chosen:
            _one(attacks[name], name, arguments.seed, arguments.only)
        return
    print(HEAD)
    results = run(
        script, chosen, number=arguments.number, seconds=arguments.seconds, seed=arguments.seed,
        megabytes=arguments.megabytes,
    )  # fmt: skip
    faulty = False
    for tally in results:
        print(tally.row(), flush=True)
        for kind, numbers in tally.faults.items():
            faulty = True
            print(f"    {len(numbers)} x {kind} (attempts {numbers[:5]})", flush=True)
    sys.exit(faulty)


def _one(make: Callable[[Path], Attempt], name: str, seed: int, i: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        attempt = make(Path(folder))
        rng = np.random.default_rng([seed, i, *name.encode()])
        print(name, i, attempt.run(rng, i))
