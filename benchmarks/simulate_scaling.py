"""Plan of pre-training on many GPUs, simulated from measured numbers and stated assumptions.

    OMP_NUM_THREADS=1 python benchmarks/simulate_scaling.py
    OMP_NUM_THREADS=1 python benchmarks/simulate_scaling.py --gpus 8 64 --speed 8

Measured: the windows a second of one GPU, which the shipped multi-freq checkpoint has stored from
its own training (an NVIDIA H200 that eight runs shared; --speed 8 assumes that one run has all of
it); the number of weights; and, in this run on one core, the seconds that the loader of a process
takes for its part of a batch. It draws the crops and masks of the whole batch in every process, so
that the batch does not depend on the number of processes, and reads and resamples its own windows.
Reading from a local disk, of files that are not in memory, is measured as `corpus_memory.py --cold`
does, and added to these seconds.
The index of usable segments, with two for each channel, is measured as well.

Assumed, and set by options: recordings, their channels and length; bandwidth and latency between
GPUs; random reads a second of the storage that all share, one for each crop; how often a GPU fails
and how long a restart takes. A step takes the longest of computing, loading and the storage, since
a thread draws one batch ahead, and then the exchange of gradients. Failures are drawn at random.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
import tracemalloc
from pathlib import Path

import corpus_memory
import numpy as np
import torch
from pretraining_speed import map_recordings, write_recordings

from citrus_sk.checkpoints.registry import describe_checkpoint
from citrus_sk.nn import PRESETS
from citrus_sk.signals.recordings.cache import Recording
from citrus_sk.signals.recordings.corpus import Corpus, CorpusReport
from citrus_sk.training.pretraining.sampler import CropSampler, Sampling

CROP, SFREQ, VALUE_BYTES = (0.1, 1.5), 100.0, 2  # of CitrusPretrainer, and int16 on disk
N_RUNS = 2000  # simulated for the failures
N_INDEXED, COLD_MB = 500, 500  # recordings whose index is measured; files that are read


def shared_gpu() -> tuple[float, int, int]:
    """Windows a second and windows in a batch of the GPU that trained multi-freq, and weights."""
    about = describe_checkpoint("multi-freq")
    training = about["info"]["training"]
    windows = training["n_steps"] * training["batch_size"]
    return windows / training["seconds"], training["batch_size"], about["n_parameters"]


def loader_seconds(folder: Path, batch: int, n_gpus: int) -> float:
    """CPU seconds of the loader of one of several processes, for one step."""
    network = PRESETS["small"]
    sampling = Sampling(
        network.n_times, network.n_tokens, batch * n_gpus, CROP, False, 0.5, (4, 8), 0.5, 1
    )
    sampler = CropSampler(map_recordings(folder), ("ACC",), sampling, 0, torch.device("cpu"))
    times = []
    for step in range(6):
        start = time.process_time()
        sampler(step, (0, n_gpus))
        times.append(time.process_time() - start)
    return float(np.median(times[1:]))


def cold_crops_s() -> float:
    """Crops a second that one process reads from files that are not in memory."""
    with tempfile.TemporaryDirectory() as folder:
        corpus_memory.write_recordings(Path(folder), COLD_MB, SFREQ)
        return corpus_memory.read_cold(Path(folder), advised=True)[0]


def index_cost(n_chans: int) -> tuple[float, float]:
    """CPU seconds and bytes to read the index of a recording and to draw from it."""
    names, data = tuple(map(str, range(n_chans))), np.zeros((n_chans, 10), np.int16)
    scale, kinds = np.ones(n_chans, np.float32), ("EEG",) * n_chans
    network = PRESETS["small"]
    sampling = Sampling(network.n_times, network.n_tokens, 8, CROP, False, 0.5, (4, 8), 0.5, 1)
    tracemalloc.start()
    start = time.process_time()
    recordings = [
        Recording(str(i), str(i), "", names, kinds, data, scale,
                  tuple(np.array([[0, 5], [6, 9]]) for _ in names))
        for i in range(N_INDEXED)
    ]  # fmt: skip
    corpus = Corpus(recordings, SFREQ, CorpusReport())
    CropSampler(corpus, ("EEG",), sampling, 0, torch.device("cpu"))
    seconds = time.process_time() - start
    n_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return seconds / N_INDEXED, n_bytes / N_INDEXED


def exchange_seconds(n_bytes: int, n_gpus: int, options) -> float:
    """Seconds of a ring all-reduce, which the step waits for."""
    if n_gpus == 1:
        return 0.0
    share = 2 * (n_gpus - 1) / n_gpus
    return (
        share * n_bytes / (options.gigabytes_s * 1e9) + 2 * (n_gpus - 1) * options.latency_us / 1e6
    )


def run_hours(hours: float, n_gpus: int, options) -> tuple[float, float]:
    """Median hours of a run with failures and restarts, and the mean number of failures."""
    rng = np.random.default_rng(0)
    between = options.failure_hours / n_gpus
    restart, save = options.restart_minutes / 60, options.save_minutes / 60
    totals, counts = [], []
    for _ in range(N_RUNS):
        done = total = 0.0
        n_failures = -1
        while done < hours:
            n_failures += 1
            runs = rng.exponential(between)
            total += min(runs, hours - done) + (restart if runs < hours - done else 0)
            # What was trained since the last save is lost.
            done = hours if runs >= hours - done else done + math.floor(runs / save) * save
        totals.append(total)
        counts.append(n_failures)
    return float(np.median(totals)), float(np.mean(counts))


def print_corpus(options) -> float:
    """Print the size of the corpus, and return the windows of a pass over it."""
    n_samples = options.hours * options.channels * 3600 * SFREQ
    low, high = (share * PRESETS["small"].n_times for share in CROP)
    windows = n_samples * math.log(high / low) / (high - low)
    n_files = options.hours / options.hours_per_file
    print(f"{options.hours:,.0f} hours of {options.channels} channels at {SFREQ:g} Hz: "
          f"{n_samples * VALUE_BYTES / 1e12:.2f} TB of int16 in {n_files:,.0f} files, "
          f"{windows / 1e9:.2f} billion windows a pass")  # fmt: skip
    convert = n_samples * VALUE_BYTES / 1e6 / options.convert_mb_s / 3600
    print(f"Reading and checking once at {options.convert_mb_s:g} MB/s a process: {convert:.1f} "
          f"hours in one process, {convert / options.gpus[-1]:.2f} in "
          f"{options.gpus[-1]}")  # fmt: skip
    seconds, n_bytes = index_cost(options.channels)
    print(f"Index of the recordings in every process: {n_files * seconds / 60:.1f} minutes, "
          f"{n_files * n_bytes / 1e9:.1f} GB")  # fmt: skip
    return windows


def print_plan(windows: float, options) -> None:
    rate, batch, n_weights = shared_gpu()
    rate *= options.speed
    n_bytes, crops_s = 4 * n_weights, cold_crops_s()
    print(
        f"One GPU: {rate:,.0f} windows/s, {batch} windows a step; gradients of "
        f"{n_bytes / 1e6:.1f} MB; a process reads {crops_s:,.0f} crops/s from a local disk\n"
    )
    print("| GPUs | compute, s | load, s | storage, s | exchange, ms | windows/s | efficiency | "
          "hours | failures | slowest |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        write_recordings(Path(folder))
        for n in options.gpus:
            load = loader_seconds(Path(folder), batch, n) + batch / crops_s
            # All GPUs share the file system.
            parts = {"compute": batch / rate, "load": load, "storage": batch * n / options.reads_s}
            exchange = exchange_seconds(n_bytes, n, options)
            total = batch * n / (max(parts.values()) + exchange)
            hours, failures = run_hours(options.passes * windows / total / 3600, n, options)
            seconds = " | ".join(f"{part:.3f}" for part in parts.values())
            print(f"| {n} | {seconds} | {exchange * 1e3:.1f} | {total:,.0f} | "
                  f"{total / n / rate:.0%} | {hours:.1f} | {failures:.2f} | "
                  f"{max(parts, key=parts.get)} |", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    numbers = {
        "hours": (100_000, "of recordings"),
        "channels": (20, "of a recording"),
        "hours-per-file": (1, "of a recording"),
        "passes": (10, "over the recordings"),
        "speed": (1, "factor of the speed of the measured GPU"),
        "gigabytes-s": (10, "bandwidth between GPUs, GB/s"),
        "latency-us": (20, "of a message between GPUs, microseconds"),
        "reads-s": (200_000, "random reads a second of the file system"),
        "convert-mb-s": (40, "of reading and checking recordings, MB/s"),
        "failure-hours": (50_000, "between failures of one GPU"),
        "restart-minutes": (10, "of a restart"),
        "save-minutes": (5, "between saves"),
    }
    for name, (default, text) in numbers.items():
        parser.add_argument(f"--{name}", type=type(default), default=default, help=text)
    parser.add_argument("--gpus", type=int, nargs="+", default=[1, 8, 16, 32, 64])
    options = parser.parse_args()
    print_plan(print_corpus(options), options)


if __name__ == "__main__":
    main()
