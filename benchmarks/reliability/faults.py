"""What goes wrong around a command: disk, folder, inputs, clock, signals, workers and memory.

Each attempt runs a command while one thing goes wrong at a random moment. It is to end well, or
with one plain line and the exit status of a shell. Then the command is started again where nothing
goes wrong: its result is to equal that of a run without any fault, and no file is to be left.

    python benchmarks/reliability/faults.py --number 20
    python benchmarks/reliability/faults.py memory --commands fit --only 17  # with its output

"disk" and "read-only" mount small file systems, for which they need root.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from commands import COMMANDS, Child, Command, End, at_open, at_write, make_data, run, scratch
from kills import Reference, left_in

from citrus_sk.cli.parser import INTERRUPTED, TERMINATED

HEAD = (
    "| attack | command | tried | ended well | ended with a plain line | finished work was lost | "
    "next result is equal | files left | faults |\n|---|---|---|---|---|---|---|---|---|"
)


@dataclass
class Scene:
    """A command in a folder of its own, before something goes wrong."""

    name: str
    command: Command
    reference: Reference
    data: Path
    folder: Path
    rng: np.random.Generator

    @property
    def arguments(self) -> list[str]:
        return self.command.arguments(self.data, self.folder / "out")

    def any_write(self) -> int:
        return int(self.rng.integers(1, self.reference.n_writes + 1))

    def any_time(self) -> float:
        return float(self.rng.uniform(0, 1.1 * self.reference.seconds))


Attack = Callable[[Scene], End]


# --- attacks -------------------------------------------------------------------------------------


def disk(scene: Scene) -> End:
    """A file system of random size, for the output or for temporary files."""
    where = scene.folder / ("out" if scene.rng.random() < 0.7 else "tmp")
    # Up to a bit more than is needed, with as many small sizes as large ones.
    kilobytes = int(np.exp(scene.rng.uniform(np.log(8), np.log(12_000))))
    with _mounted(where, f"size={kilobytes}k") as remount:
        end = run(scene.arguments, scene.folder)
        remount("size=1g")
        _copy_out(where)
    return end


def size_limit(scene: Scene) -> End:
    """A limit of the size of each file, as a quota; needs no root."""
    # What the command prints fits into the smallest.
    most = int(np.exp(scene.rng.uniform(np.log(4000), np.log(5e6))))
    return run(
        scene.arguments, scene.folder,
        lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
    )  # fmt: skip


def read_only(scene: Scene) -> End:
    """A file system of the output that becomes read-only, at the start or later."""
    where = scene.folder / "out"
    with _mounted(where, "size=1g") as remount:
        if scene.rng.random() < 0.3:
            remount("ro")
            end = run(scene.arguments, scene.folder)
        else:
            child = Child(scene.arguments, scene.folder)
            if (found := child.wait(scene.any_time())) is None:
                with contextlib.suppress(subprocess.CalledProcessError):  # a file is open
                    remount("ro")
                found = child.end()
            end = found
        remount("rw")
        _copy_out(where)
    return end


def inputs(scene: Scene) -> End:
    """An input that vanishes, shrinks, grows or is replaced when it is opened the n-th time."""
    data = scene.folder / "data"
    shutil.copytree(scene.data, data)
    files = [data / "model.joblib"] if scene.name == "predict" else []
    files += [data / "windows.npz"] if scene.name in ("fit", "evaluate") else []
    if scene.name in ("pretrain", "predict"):
        files += sorted((data / "recordings").iterdir())
    victim = files[scene.rng.integers(len(files))]
    how = scene.rng.choice(["vanish", "shrink", "grow", "replace"])
    act = at_open(victim, int(scene.rng.integers(1, 5)), lambda: _change(victim, how))
    changed, scene.data = scene.data, data
    end = run(scene.arguments, scene.folder, act)
    scene.data = changed
    shutil.rmtree(data)
    return end


def clock(scene: Scene) -> End:
    """A clock that jumps by up to a day, to and fro, each time it is read."""
    jumps = scene.rng.uniform(-86400, 86400, 1000).tolist()

    def before() -> None:
        real, each = time.time, itertools.cycle(jumps)
        time.time = lambda: real() + next(each)

    return run(scene.arguments, scene.folder, before)


def signals(scene: Scene) -> End:
    """SIGINT or SIGTERM, at a random time or right before a write."""
    number = int(scene.rng.choice([signal.SIGINT, signal.SIGTERM]))
    if scene.rng.random() < 0.5:
        send = at_write(scene.folder, scene.any_write(), lambda: os.kill(os.getpid(), number))
        return run(scene.arguments, scene.folder, send)
    child = Child(scene.arguments, scene.folder)
    if (end := child.wait(scene.any_time())) is None:
        child.kill(number)
        end = child.end()
    return end


def memory(scene: Scene) -> End:
    """A limit of memory, up to 300 MB above what the process has."""
    more = int(scene.rng.uniform(1, 300) * 2**20)

    def before() -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + more
        resource.setrlimit(resource.RLIMIT_AS, (most, most))

    return run(scene.arguments, scene.folder, before)


def gpu_memory(scene: Scene) -> End:
    """torch.OutOfMemoryError, as of a GPU, at a random convolution."""
    fails_at = int(scene.rng.integers(1, 15))

    def before() -> None:
        torch.nn.Conv1d.forward = _failing(torch.nn.Conv1d.forward, itertools.count(1), fails_at)

    return run(scene.arguments, scene.folder, before)


def _failing(call: Any, count: Any, fails_at: int) -> Any:
    def failing(self: Any, *args: Any, **kwargs: Any) -> Any:
        if next(count) == fails_at:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return call(self, *args, **kwargs)

    return failing


def worker(scene: Scene) -> End:
    """kill -9 of one of two worker processes, at a random time after both have started."""
    return _with_workers(scene, lambda child, workers: os.kill(workers[0], signal.SIGKILL))


def parent(scene: Scene) -> End:
    """kill -9 of a process that has two workers, which are to end by themselves."""
    return _with_workers(scene, lambda child, workers: child.kill())


def group(scene: Scene) -> End:
    """Ctrl-C in a terminal, which reaches the process and its two workers."""
    return _with_workers(scene, lambda child, workers: os.killpg(child.pid, signal.SIGINT))


def _with_workers(scene: Scene, kill: Callable[[Child, list[int]], None]) -> End:
    two = [*scene.arguments, "--jobs", "2"]
    child, workers, deadline = Child(two, scene.folder), list[int](), time.monotonic() + 120
    while len(workers) < 2 and time.monotonic() < deadline and child.wait(0.05) is None:
        workers = _workers_of(child.pid)
    time.sleep(scene.rng.uniform(0, scene.reference.seconds))
    workers = list(scene.rng.permutation(_workers_of(child.pid)).tolist())
    if workers:
        kill(child, workers)
    end = child.end()
    deadline = time.monotonic() + 20
    while (alive := [pid for pid in workers if _is_alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.1)
    if alive:
        end.text += f"\nTraceback: {len(alive)} workers go on"
        for pid in alive:
            os.kill(pid, signal.SIGKILL)
    return end


def _workers_of(pid: int) -> list[int]:
    """Workers of loky, without the process that tracks its files."""
    command = ["ps", "-o", "pid=,args=", "--ppid", str(pid)]
    listed = subprocess.run(command, check=False, capture_output=True, text=True).stdout
    return [int(line.split()[0]) for line in listed.splitlines() if "popen_loky" in line]


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state != "Z"


@contextlib.contextmanager
def _mounted(where: Path, options: str) -> Any:
    where.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", where], check=True)
    try:
        yield lambda other: subprocess.run(
            ["mount", "-o", f"remount,{other}", where], check=True, capture_output=True
        )
    finally:
        subprocess.run(["umount", "-l", where], check=True)
        if (kept := where.with_name("kept")).exists():
            shutil.copytree(kept, where, dirs_exist_ok=True)
            shutil.rmtree(kept)


def _copy_out(where: Path) -> None:
    """Keep what is on a file system that will be gone."""
    shutil.copytree(where, where.with_name("kept"))


def _change(path: Path, how: str) -> None:
    if how == "vanish":
        path.unlink(missing_ok=True)
    elif how == "shrink":
        os.truncate(path, path.stat().st_size // 2)
    elif how == "grow":
        with path.open("ab") as file:
            file.write(bytes(5000))
    else:
        path.unlink(missing_ok=True)
        path.write_bytes(b"something else")


ATTACKS: dict[str, Attack] = {
    "disk": disk, "size-limit": size_limit, "read-only": read_only, "inputs": inputs,
    "clock": clock, "signals": signals, "memory": memory, "gpu-memory": gpu_memory,
    "worker": worker, "parent": parent, "group": group,
}  # fmt: skip
_SIGNALS = (signals, group)
_WITH_WORKERS = (worker, parent, group)  # in `evaluate`, the command that has any


# --- attempts ------------------------------------------------------------------------------------


@dataclass
class Outcome:
    """What became of an attempt."""

    end: End | None = None
    faults: list[str] = field(default_factory=list)
    lost: bool = False
    is_equal: bool = False
    left: set[str] = field(default_factory=set)


def attempt(attack: Attack, scene: Scene) -> Outcome:
    """Run a command while something goes wrong, and then again."""
    scene.folder.mkdir()
    outcome, out = Outcome(attack(scene)), scene.folder / "out"
    end = outcome.end
    if (problem := _problem(end, attack)) is not None:
        outcome.faults.append(problem)
    if attack in _SIGNALS:  # what ends by itself leaves nothing temporary
        outcome.left = {
            name for name in left_in(scene.folder) if name.startswith("tmp/") or ".tmp" in name
        }
    if end.code == 0 and "warning:" in end.text.lower() and attack is inputs:
        outcome.is_equal = True  # it says that it went on without a file
        return outcome
    before = _progress(scene, outcome)
    again = run(scene.arguments, scene.folder)
    if again.code:
        outcome.faults.append(f"started again: {again.text[-300:]}")
        return outcome
    outcome.lost = _progress(scene, outcome) < before
    outcome.is_equal = _is_equal(scene, outcome, out)
    outcome.left |= left_in(scene.folder) ^ scene.reference.files
    return outcome


def _progress(scene: Scene, outcome: Outcome) -> int:
    try:
        return scene.command.progress(scene.folder / "out")
    except Exception as error:  # noqa: BLE001 - a state that cannot be read is the finding
        outcome.faults.append(f"{type(error).__name__}: {error}")
        return 0


def _is_equal(scene: Scene, outcome: Outcome, out: Path) -> bool:
    try:
        return bool(scene.command.result(out) == scene.reference.result)
    except Exception as error:  # noqa: BLE001 - such as a missing file
        outcome.faults.append(f"{type(error).__name__}: {error}")
        return False


def _problem(end: End, attack: Attack) -> str | None:
    """What is wrong with how a command ended, if anything."""
    if "Traceback" in end.text or "it hung" in end.text:
        return end.text[-1500:]
    if attack is parent:
        return None
    plain = {0, 1, INTERRUPTED, TERMINATED} if attack in _SIGNALS else {0, 1}
    if end.code not in plain:
        return f"exit status {end.code}: {end.text[-500:]}"
    if end.code and not any(line.startswith("citrus-sk ") for line in end.text.splitlines()):
        return f"no line of citrus-sk: {end.text[-500:]}"
    return None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("attacks", nargs="*", help=f"all, or some of {', '.join(ATTACKS)}")
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--number", type=int, default=20, help="attempts of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="make this attempt, and print its output")
    options = parser.parse_args()
    print(HEAD)
    any_fault = False
    with scratch() as folder:
        data = folder / "data"
        data.mkdir()
        make_data(data, with_model="predict" in (options.commands or COMMANDS))
        for name in options.commands:
            (folder / name).mkdir()
            reference = Reference.of(COMMANDS[name], data, folder / name / "reference")
            for kind in options.attacks or ATTACKS:
                if ATTACKS[kind] not in _WITH_WORKERS or name == "evaluate":
                    any_fault |= _series(kind, name, reference, folder, options)
    sys.exit(any_fault)


def _series(
    kind: str, name: str, reference: Reference, folder: Path, options: argparse.Namespace
) -> bool:
    counts, faults = Counter[str](), list[str]()
    for i in range(options.number) if options.only is None else [options.only]:
        where = folder / name / f"{kind}-{i}"
        rng = np.random.default_rng([options.seed, i, *kind.encode()])
        scene = Scene(name, COMMANDS[name], reference, folder / "data", where, rng)
        outcome = attempt(ATTACKS[kind], scene)
        is_fault = bool(outcome.faults or outcome.lost or outcome.left or not outcome.is_equal)
        ended_well = outcome.end is not None and outcome.end.code == 0
        counts.update(
            tried=1, well=ended_well, plain=not (ended_well or outcome.faults), lost=outcome.lost,
            equal=outcome.is_equal, left=len(outcome.left), faults=is_fault,
        )  # fmt: skip
        if is_fault:
            listed = [*outcome.faults, *sorted(outcome.left)] or ["another result"]
            faults.append(f"    attempt {i}: {' | '.join(listed)}")
        if options.only is not None:
            print(outcome, outcome.end and (outcome.end.code, outcome.end.text))
        shutil.rmtree(where)
    columns = ("tried", "well", "plain", "lost", "equal", "left", "faults")
    print(f"| {kind} | {name} | {' | '.join(str(counts[each]) for each in columns)} |", flush=True)
    if faults:
        print("\n".join(faults), flush=True)
    return bool(faults)


if __name__ == "__main__":
    main()
