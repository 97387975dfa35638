"""Memory of pre-training on a corpus that grows, which is mapped from disk.

    OMP_NUM_THREADS=1 python benchmarks/corpus_memory.py
    OMP_NUM_THREADS=1 python benchmarks/corpus_memory.py --megabytes 200 --sfreq 125

Writes synthetic recordings of 8 channels of int16 (10 MB each) to a temporary folder, and reads and
trains on them in a process of its own, for each size. Prints the peak of its memory without the
pages of files, which the system frees when another program needs memory, beside the peak with
them; both above the memory of the imports. At 100 Hz, the rate of the corpus, the files themselves
are mapped; at another rate, they are converted first. Needs Linux.

    OMP_NUM_THREADS=1 python benchmarks/corpus_memory.py --cold --megabytes 2000

reads random crops of files that are not in memory, as the system reads them, and with the advice
that `CitrusPretrainer` gives for a corpus larger than half of the memory: not to read ahead, and
which parts come next.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Self

import numpy as np

from citrus_sk import CitrusPretrainer, read_corpus
from citrus_sk.signals.recordings.cache import Recording
from citrus_sk.training.pretraining import mapped
from citrus_sk.training.pretraining.sampler import Crops, StreamingStore

N_CHANS, FILE_MB, STEPS = 8, 10, 20
N_BATCHES, BATCH = 10, 64  # of crops that are read from disk


def write_recordings(folder: Path, megabytes: int, sfreq: float) -> None:
    rng = np.random.default_rng(0)
    n_times = FILE_MB * 10**6 // (2 * N_CHANS)
    about = {"sfreq": sfreq, "ch_names": [f"EEG {i}" for i in range(N_CHANS)], "modalities": "EEG"}
    noise = rng.normal(0, 1000, (N_CHANS, n_times)).astype(np.int16)
    for number in range(max(2, megabytes // FILE_MB)):
        # Other values for each file, at the speed of copying.
        np.save(folder / f"{number}.npy", np.roll(noise, int(rng.integers(n_times)), axis=1))
        (folder / f"{number}.json").write_text(json.dumps(about | {"subject": f"{number}"}))


class Peak:
    """Peak of this process's memory in MB while the block runs, without and with pages of files."""

    def __enter__(self) -> Self:
        self.own = self.all = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *error) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self):
        while not self._over.wait(0.01):
            own, every = now()
            self.own, self.all = max(self.own, own), max(self.all, every)


def now() -> tuple[float, float]:
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    own, every = (int(lines[name].split()[0]) / 1000 for name in ("RssAnon", "VmRSS"))
    return own, every


def measure(folder: str) -> dict[str, float]:
    start = now()
    begin = time.perf_counter()
    with Peak() as reading:
        corpus = read_corpus(folder)
    seconds = time.perf_counter() - begin
    pretrainer = CitrusPretrainer(preset="tiny", max_steps=STEPS, random_state=0)
    with Peak() as training:
        pretrainer.fit(corpus)
    return {
        "hours": corpus.hours(), "seconds": seconds,
        "reading": reading.own - start[0], "training": training.own - start[0],
        "pages": training.all - start[1],
    }  # fmt: skip


def read_cold(folder: Path, advised: bool) -> tuple[float, float]:
    """Crops a second, and kB that are read from disk for each of them."""
    for path in folder.glob("*.npy"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    recordings = read_mapped(folder)
    mapped._CACHED_SHARE = 0.0 if advised else np.inf
    store = StreamingStore(recordings)
    rng, bytes_before, begin = np.random.default_rng(0), bytes_read(), time.perf_counter()
    for _ in range(N_BATCHES):
        length = np.exp(rng.uniform(np.log(102), np.log(1536), BATCH)).astype(int)
        recording = rng.integers(len(recordings), size=BATCH)
        first = rng.integers(recordings[0].data.shape[1] - length)
        zero = np.zeros(BATCH, int)
        store(Crops(recording, rng.integers(N_CHANS, size=BATCH), first, length, zero, zero))
    n_crops = N_BATCHES * BATCH
    seconds = time.perf_counter() - begin
    return n_crops / seconds, (bytes_read() - bytes_before) / n_crops / 1000


def read_mapped(folder: Path) -> list[Recording]:
    """The recordings, without reading them."""
    names = tuple(f"EEG {i}" for i in range(N_CHANS))
    return [
        Recording(path.stem, path.stem, "", names, ("EEG",) * N_CHANS,
                  np.load(path, mmap_mode="r"), np.ones(N_CHANS, np.float32), ())
        for path in folder.glob("*.npy")
    ]  # fmt: skip


def bytes_read() -> int:
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(":") for line in lines)["read_bytes"])


def read_ahead_kb(folder: str) -> str:
    """What the system reads ahead on the disk of a folder at most, if it tells."""
    device = Path(folder).stat().st_dev
    disk = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve()
    for place in (disk, disk.parent):  # a partition has no queue of its own
        if (found := place / "queue" / "read_ahead_kb").exists():
            return found.read_text().strip()
    return "unknown"


def print_cold(sizes: list[int]) -> None:
    print(f"the system reads ahead up to {read_ahead_kb(tempfile.gettempdir())} kB\n")
    print("| corpus, MB | advised | crops/s | kB read for a crop |\n|---|---|---|---|")
    for megabytes in sizes:
        with tempfile.TemporaryDirectory() as folder:
            write_recordings(Path(folder), megabytes, 100.0)
            for advised in (False, True):
                rate, kilobytes = read_cold(Path(folder), advised)
                print(f"| {megabytes} | {'yes' if advised else 'no'} | {rate:.0f} | "
                      f"{kilobytes:.0f} |", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--megabytes", type=int, nargs="+", default=[200, 2000])
    parser.add_argument("--sfreq", type=float, default=100.0, help="of the files, in Hz")
    parser.add_argument("--cold", action="store_true", help="read random crops from disk")
    options = parser.parse_args()
    if options.cold:
        print_cold(options.megabytes)
        return
    print("| corpus, MB | channel-hours | read in, s | reading, MB | training, MB | with pages |")
    print("|---|---|---|---|---|---|")
    for megabytes in options.megabytes:
        with tempfile.TemporaryDirectory() as folder:
            write_recordings(Path(folder), megabytes, options.sfreq)
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                found = pool.apply(measure, (folder,))
                pool.close()
                pool.join()
        print(f"| {megabytes} | {found['hours']:.0f} | {found['seconds']:.0f} | "
              f"{found['reading']:.0f} | {found['training']:.0f} | {found['pages']:.0f} |",
              flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
