"""The four long commands on a few real recordings, each run in a forked child.

A fork starts in milliseconds, because torch and the rest are imported once, before it. It runs
`main` of the command line in a session, a folder and a temporary folder of its own.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # a process with threads of OpenMP cannot be forked
os.environ["NUMBA_NUM_THREADS"] = "1"

import joblib
import mne
import numpy as np
import safetensors

from citrus_sk.checkpoints.checkpoint import read_checkpoint
from citrus_sk.cli import main
from citrus_sk.datasets import load_watch

PATIENCE = 300.0  # seconds without an end that count as hanging
N_PEOPLE = 3
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


# --- data ----------------------------------------------------------------------------------------


def make_data(folder: Path, *, with_model: bool = True) -> None:
    """Write windows.npz, the recordings of three people, and a fitted model into a folder."""
    watch = load_watch(overlap=0.0)
    people = np.unique(watch.groups)[:N_PEOPLE]
    exercises = np.unique(watch.y)[:3]
    kept = np.isin(watch.groups, people) & np.isin(watch.y, exercises)
    windows = np.flatnonzero(kept)[::2]
    np.savez(
        folder / "windows.npz", X=watch.X[windows], y=watch.y[windows],
        groups=watch.groups[windows], sfreq=watch.sfreq, ch_names=watch.ch_names,
    )  # fmt: skip
    (folder / "recordings").mkdir()
    info = mne.create_info(list(watch.ch_names), watch.sfreq, "misc")
    for person in people:
        signal_ = np.concatenate(watch.X[kept & (watch.groups == person)][:12], axis=1)
        raw = mne.io.RawArray(signal_.astype(float), info, verbose="error")
        raw.save(folder / "recordings" / f"{person}_raw.fif", fmt="double", verbose="error")
    (folder / "recipe.toml").write_text("batch_size = 8\nvalidation_fraction = 0.4\n")
    if not with_model:
        return
    end = run(COMMANDS["fit"].arguments(folder, folder / "out"), folder, new=True)
    assert end.code == 0, end.text
    (folder / "out" / "model.joblib").rename(folder / "model.joblib")


# --- commands ------------------------------------------------------------------------------------


class Command:
    """A command whose result is compared, and whose unfinished work is looked at.

    Parameters
    ----------
    arguments : callable
        Function of the folder of the data and that of the output: the arguments.
    result : callable
        Function of the folder of the output: what is equal in every run.
    progress : callable, default=None
        Function of the folder of the output: the number of steps or fits that are stored.
    """

    def __init__(
        self,
        arguments: Callable[[Path, Path], list[Any]],
        result: Callable[[Path], Any],
        progress: Callable[[Path], int] | None = None,
    ) -> None:
        self._arguments, self.result = arguments, result
        self.progress = progress or (lambda out: 0)

    def arguments(self, data: Path, out: Path) -> list[str]:
        return [str(each) for each in self._arguments(data, out)]


def _pretrain(data: Path, out: Path) -> list[Any]:
    return ["pretrain", data / "recordings", "--out", out / "weights.safetensors", "--resume",
            "--config", data / "recipe.toml", "--preset", "tiny", "--modality", "ACC",
            "--max-steps", 12, "--seed", 0, "--save-minutes", 0, "--quiet"]  # fmt: skip


def _weights(out: Path) -> tuple[Any, ...]:
    checkpoint = read_checkpoint(out / "weights.safetensors")
    tensors = {name: value.numpy().tobytes() for name, value in checkpoint.tensors.items()}
    history = [row | {"seconds": 0} for row in checkpoint.info["training"]["history"]]
    return tensors, json.dumps(history), whole(out / "weights.png")


def _step(out: Path) -> int:
    if (out / "weights.safetensors").exists():
        return 10**9
    if not (out / "weights.run").exists():
        return 0
    with safetensors.safe_open(out / "weights.run", "np") as file:
        header = json.loads(file.metadata()["citrus_sk_run"])
    return json.loads(header["progress"])["step"]


def _fit(data: Path, out: Path) -> list[Any]:
    return ["fit", data / "windows.npz", "--out", out / "model.joblib", "--overwrite"]


def _model(out: Path) -> str:
    return str(joblib.hash((out / "model.joblib").read_bytes()))


def _predict(data: Path, out: Path) -> list[Any]:
    return ["predict", data / "model.joblib", data / "recordings", "--out", out / "table.csv",
            "--annotations", out / "events", "--overwrite", "--quiet"]  # fmt: skip


def _tables(out: Path) -> list[Any]:
    files = [out / "table.csv", *sorted((out / "events").iterdir())]
    return [(file.name, file.read_bytes()) for file in files]


def _evaluate(data: Path, out: Path) -> list[Any]:
    return ["evaluate", data / "windows.npz", "--out", out / "report", "--estimators",
            "citrus,bandpower", "--fractions", "0.5,1.0", "--folds", 2, "--jobs", 1,
            "--quiet"]  # fmt: skip


def _scores(out: Path) -> Any:
    report = out / "report"
    written = [whole(report / name) for name in ("times.csv", "curve.json", "report.html")]
    return (report / "scores.csv").read_bytes(), written


def _rows(out: Path) -> int:
    rows = out / "report" / "run" / "rows.jsonl"
    return rows.read_bytes().count(b"}\n") if rows.exists() else 0


COMMANDS = {
    "pretrain": Command(_pretrain, _weights, _step),
    "evaluate": Command(_evaluate, _scores, _rows),
    "fit": Command(_fit, _model),
    "predict": Command(_predict, _tables),
}

# A file that is not complete lacks its end.
_ENDS = {
    ".png": b"IEND\xaeB`\x82", ".html": b"</html>\n", ".csv": b"\n", ".txt": b"\n",
    ".json": b"}\n",
}  # fmt: skip


def whole(path: Path) -> bool:
    """Whether a file that a command wrote is complete."""
    if path.suffix == ".safetensors":
        read_checkpoint(path)
        return True
    if path.suffix == ".joblib":
        joblib.load(path)
        return True
    return path.read_bytes().endswith(_ENDS[path.suffix])


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A temporary folder, which is not removed by the children that end before it."""
    folder = Path(tempfile.mkdtemp())
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def files_of(folder: Path) -> set[str]:
    """Files and empty folders."""
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() or not any(path.iterdir())
    }


# --- children ------------------------------------------------------------------------------------


class End:
    """How a child ended: its exit status, or the negative number of a signal, and its output."""

    def __init__(self, status: int, text: str, seconds: float) -> None:
        self.code = os.waitstatus_to_exitcode(status)
        self.text, self.seconds = text, seconds


class Child:
    """A command in a forked process.

    Parameters
    ----------
    arguments : list of str
        Arguments of ``citrus-sk``.
    folder : Path
        Folder that gets ``out``, ``tmp`` and ``output.txt``.
    before : callable, default=None
        Function to call in the child first.
    """

    def __init__(
        self, arguments: list[str], folder: Path, before: Callable[[], None] | None = None
    ) -> None:
        for name in ("out", "tmp"):
            (folder / name).mkdir(exist_ok=True)
        self._output, self._begun = folder / "output.txt", time.monotonic()
        self._end: End | None = None
        sys.stdout.flush()
        self.pid = os.fork()
        if not self.pid:
            _be_child(arguments, folder, self._output, before)

    def wait(self, seconds: float = PATIENCE) -> End | None:
        """How it ended, or None if it has not within so many seconds."""
        end = time.monotonic() + seconds
        while self._end is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                text = self._output.read_text(errors="replace")
                self._end = End(status, text, time.monotonic() - self._begun)
            elif time.monotonic() >= end:
                break
            else:
                time.sleep(0.002)
        return self._end

    def kill(self, number: int = signal.SIGKILL) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def end(self) -> End:
        """Wait; kill it if it hangs."""
        found = self.wait()
        if found is None:
            self.kill()
            found = self.wait()
            assert found is not None
            found.text += "\nit hung"
        return found


def run(
    arguments: list[str], folder: Path, before: Callable[[], None] | None = None, *,
    new: bool = False,
) -> End:  # fmt: skip
    """Run a command to its end."""
    if new:
        (folder / "out").mkdir(parents=True)
    return Child(arguments, folder, before).end()


def _be_child(
    arguments: list[str], folder: Path, output: Path, before: Callable[[], None] | None
) -> None:
    code = 70
    try:
        os.setsid()
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.chdir(folder)
        os.environ["TMPDIR"] = str(folder / "tmp")
        tempfile.tempdir = None
        if before is not None:
            before()
        code = main(arguments)
        atexit._run_exitfuncs()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 70
    except BaseException:  # noqa: BLE001 - as the interpreter would
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:  # without the rest of the parent
            os._exit(code)


# Calls of the system that change a folder, apart from opening a file.
_CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "sqlite3.connect")


def _writes(event: str, args: tuple[Any, ...], folder: Path) -> bool:
    """Whether an event of `sys.addaudithook` changes a folder."""
    changes = event in _CHANGES
    if event == "open":
        changes = isinstance(args[2], int) and bool(args[2] & _WRITES)
    return changes and str(args[0]).startswith(str(folder))


def _at(
    number: int, act: Callable[[], None], fits: Callable[[str, tuple[Any, ...]], bool]
) -> Callable[[], None]:
    """A function for `Child` that calls `act` right before an event, the n-th that fits."""
    seen = 0

    def listen(event: str, args: tuple[Any, ...]) -> None:
        nonlocal seen
        if seen < number and fits(event, args):
            seen += 1
            if seen == number:
                act()

    return lambda: sys.addaudithook(listen)


def at_write(folder: Path, number: int, act: Callable[[], None]) -> Callable[[], None]:
    """Call `act` right before a file in a folder is opened to write, renamed or removed."""
    return _at(number, act, lambda event, args: _writes(event, args, folder))


def at_open(path: Path, number: int, act: Callable[[], None]) -> Callable[[], None]:
    """Call `act` right before a file is opened the n-th time."""
    return _at(number, act, lambda event, args: event == "open" and str(args[0]) == str(path))


def count_writes(arguments: list[str], folder: Path) -> tuple[End, int]:
    """Run a command to its end, and count its writes."""
    count = folder.parent / f"{folder.name}.writes"

    def before() -> None:
        seen = 0

        def listen(event: str, args: tuple[Any, ...]) -> None:
            nonlocal seen
            seen += _writes(event, args, folder)

        sys.addaudithook(listen)
        atexit.register(lambda: count.write_text(str(seen)))

    end = run(arguments, folder, before)
    return end, int(count.read_text())
