"""Attacks on what the package stores for itself: damaged files, and processes that are killed.

A result has to be that of an undamaged file, or an error has to name the file.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from attempts import READ, SAME, Attempt, Fault
from mutations import mutated
from readers import SFREQ, signals

PATIENCE = 60  # seconds for a process that is not killed


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _damaged(
    folder: Path, use: Callable[[], bytes], is_chosen: Callable[[str], bool] = bool
) -> Attempt:
    """Attempts that damage a file in a folder, whose use has to give the same result."""
    files, expected = _contents(folder), use()
    names = [name for name in files if is_chosen(name)]

    def run(rng: np.random.Generator, i: int) -> str:
        shutil.rmtree(folder)
        folder.mkdir()
        damaged = names[rng.integers(len(names))]
        for name, content in files.items():
            (folder / name).write_bytes(mutated(rng, content) if name == damaged else content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            if use() != expected:
                raise Fault("the result is another one")
        return SAME

    return Attempt(run, [str(folder)])


# --- files ---------------------------------------------------------------------------------------


def _recording(folder: Path, seconds: int = 20) -> Path:
    path = folder / "walk.npy"
    np.save(path, np.tile(signals(), (1, seconds // 20)).astype(np.int16))
    path.with_suffix(".json").write_text(json.dumps({"sfreq": SFREQ, "modalities": "ACC"}))
    return path


def _corpus_of(path: Path, cache: Path | None) -> bytes:
    from citrus_sk import read_corpus

    corpus = read_corpus(path, sfreq=SFREQ / 2, cache=cache, on_error="raise")
    parts = [repr((each.name, each.scale, each.good, each.data)) for each in corpus.recordings]
    return "".join([*parts, corpus.summary()]).encode()


def conversion(folder: Path) -> Attempt:
    """The descriptions of converted recordings; their values are not hashed."""
    path, cache = _recording(folder), folder / "cache"
    _corpus_of(path, cache)
    return _damaged(cache, lambda: _corpus_of(path, cache), lambda name: name.endswith(".json"))


def features(folder: Path) -> Attempt:
    from citrus_sk import CitrusEmbedder

    cache, X = folder / "features", signals().reshape(3, 20, -1).transpose(1, 0, 2)

    def use() -> bytes:
        embedder = CitrusEmbedder(pretrained=None, preset="tiny", memory=cache, random_state=0)
        return np.asarray(embedder.fit(X).transform(X)).tobytes()

    use()
    return _damaged(cache, use, lambda name: name.endswith("sqlite3"))


def training_state(folder: Path) -> Attempt:
    from citrus_sk import CitrusPretrainer
    from citrus_sk.training.pretraining import run_file

    state = folder / "state"
    state.mkdir()
    pretrainer = CitrusPretrainer(
        preset="tiny", max_steps=3, batch_size=4, random_state=0, run_file=state / "state.run"
    )
    pretrainer.fit(signals().reshape(3, 20, -1).transpose(1, 0, 2))

    def use() -> bytes:
        header, tensors = run_file._read(state / "state.run")
        return json.dumps(header).encode() + run_file.digest_of(tensors).encode()

    return _damaged(state, use)


def _rows(n_rows: int = 20) -> Mapping[str, dict]:
    rng = np.random.default_rng(0)
    return {
        f"{i:032x}": {"estimator": "a", "accuracy": float(rng.random()), "predict_time": 0.1,
                      "error": "", "confusion": rng.integers(9, size=(9, 9)).tolist()}
        for i in range(n_rows)
    }  # fmt: skip


def evaluation_run(folder: Path) -> Attempt:
    """Stored scores: each has to be as it was, or is computed again."""
    from citrus_sk.evaluation.run_directory import RunDirectory

    run, rows = folder / "run", _rows()
    store = RunDirectory(run, "data")
    for key, row in rows.items():
        store.add(key, row)

    def use() -> bytes:
        found = RunDirectory(run, "data").rows
        if any(rows.get(key) != row for key, row in found.items()):
            raise Fault("a changed score was read")
        return b""

    return _damaged(run, use)


def curve(folder: Path) -> Attempt:
    """Curves in JSON, which may be edited: an error, or a curve that can be used."""
    from sklearn.dummy import DummyClassifier

    from citrus_sk import fraction_curve
    from citrus_sk.evaluation.result import FractionCurve

    X, y = signals().reshape(3, 20, -1).transpose(1, 0, 2).reshape(20, -1), np.arange(20) % 2
    path = folder / "curve.json"
    fraction_curve(DummyClassifier(), X, y, fractions=(0.5, 1.0)).to_json(path)
    content = path.read_bytes()

    def use() -> None:
        found = FractionCurve.read_json(path)
        found.summary()
        found.to_csv(folder / "curve.csv")

    def run(rng: np.random.Generator, i: int) -> str:
        path.write_bytes(mutated(rng, content))
        use()
        return READ

    use()

    return Attempt(run, [path.name])


# --- processes -----------------------------------------------------------------------------------


def _one_killed(rng: np.random.Generator, work: Callable[[int], None], seconds: float) -> None:
    """Run `work` in two processes at once, and kill the first at a random time."""
    processes = []
    for number in range(2):
        if not (process := os.fork()):
            try:
                work(number)
            finally:
                os._exit(0)
        processes.append(process)
    time.sleep(seconds * rng.random())
    os.kill(processes[0], signal.SIGKILL)
    end = time.monotonic() + PATIENCE
    for process in processes:
        while os.waitpid(process, os.WNOHANG) == (0, 0):
            if time.monotonic() > end:
                os.kill(process, signal.SIGKILL)
                raise Fault("the other process does not come to its end")
            time.sleep(0.001)


def _two(
    folder: Path, work: Callable[[Path, int], None], use: Callable[[Path], str], seconds: float
) -> Attempt:
    def run(rng: np.random.Generator, i: int) -> str:
        store = folder / "store"
        shutil.rmtree(store, ignore_errors=True)
        store.mkdir()
        _one_killed(rng, lambda number: work(store, number), seconds)
        return use(store)

    return Attempt(run, [str(folder)])


def two_convert(folder: Path) -> Attempt:
    path = _recording(folder, 20_000)
    begun = time.perf_counter()
    expected = _corpus_of(path, None)
    seconds = time.perf_counter() - begun

    def use(cache: Path) -> str:
        if _corpus_of(path, cache) != expected:
            raise Fault("the corpus is another one")
        if left := list(cache.glob("unfinished-*")):
            raise Fault(f"{left[0].name} of the process that was killed was left")
        return SAME

    return _two(folder, lambda cache, _: _corpus_of(path, cache) and None, use, 1.5 * seconds)


def two_store_features(folder: Path) -> Attempt:
    from citrus_sk._utils.row_store import RowStore

    keys = [i.to_bytes(16, "big") for i in range(600)]

    def row(key: bytes) -> np.ndarray:
        return np.random.default_rng(list(key)).standard_normal(500).astype(np.float32)

    rows = {key: row(key) for key in keys}

    def work(store: Path, number: int) -> None:
        file = RowStore(store / "rows.sqlite3")
        for i in range(0, 400, 20):
            some = keys[200 * number :][i : i + 20]
            file.write({key: rows[key] for key in some})
            file.read(some)
        file.close()

    def use(store: Path) -> str:
        file = RowStore(store / "rows.sqlite3")
        found = file.read(keys)
        file.close()
        if any(not np.array_equal(value, rows[key]) for key, value in found.items()):
            raise Fault("a row is another one")
        if not set(keys[200:]) <= set(found):
            raise Fault("a row of the process that was not killed is missing")
        return SAME

    return _two(folder, work, use, 0.2)


def two_store_scores(folder: Path) -> Attempt:
    from citrus_sk.evaluation.run_directory import RunDirectory

    rows = _rows(60)
    keys = list(rows)

    def work(store: Path, number: int) -> None:
        directory = RunDirectory(store, "data")
        for key in keys[20 * number :][:40]:
            directory.add(key, rows[key])

    def use(store: Path) -> str:
        found = RunDirectory(store, "data").rows
        if any(rows.get(key) != row for key, row in found.items()):
            raise Fault("a score is another one")
        if not set(keys[20:]) <= set(found):
            raise Fault("a score of the process that was not killed is missing")
        return SAME

    return _two(folder, work, use, 0.1)


ATTACKS = {
    "conversion cache": conversion,
    "feature cache": features,
    "training state": training_state,
    "evaluation run": evaluation_run,
    "curve": curve,
    "two processes convert": two_convert,
    "two processes store features": two_store_features,
    "two processes store scores": two_store_scores,
}
