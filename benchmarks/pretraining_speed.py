"""Speed of pre-training: the training step, the loader, and two processes beside one.

    OMP_NUM_THREADS=1 python benchmarks/pretraining_speed.py
    OMP_NUM_THREADS=1 python benchmarks/pretraining_speed.py --processes 2
    python benchmarks/pretraining_speed.py --device cuda --batch-size 2048

The recordings are those of `load_watch`, joined to one of six channels for each person and mapped
from disk. The first command prints, for each preset, windows a second of the training step, of
the step without the loader, and of the loader alone; and the share of the arithmetic limit that the
step reaches. The limit is measured in the same run, by products of large matrices. Operations are
counted by torch.utils.flop_counter, in matrix products and convolutions alone. On one thread of a
CPU, seconds are those of the CPU, so that other programs on the machine matter less.

With --processes N, whole runs with their evaluations are trained in one process and in N processes
(gloo or NCCL), by turns, with the same number of windows in a batch. The quickest of each is
printed. Other programs on the cores make a run longer, so the CPU seconds of the process that used
most of them are printed as well. Their ratio is the speed-up on idle cores without waiting.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import socket
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from citrus_sk import CitrusPretrainer
from citrus_sk.datasets import load_watch
from citrus_sk.estimators.pretrain_plan import make_run, split_corpus, task_config, with_rate
from citrus_sk.nn import PRESETS, MaskedAutoencoder
from citrus_sk.signals.recordings.arrays import array_corpus
from citrus_sk.training.pretraining.processes import launched_together

SECONDS = 5.0  # of each measurement
MATRIX = {"cpu": 1024, "cuda": 8192}


def write_recordings(folder: Path) -> None:
    """One recording of six channels for each of ten people."""
    watch = load_watch(window_s=18.9, overlap=0)
    for person in np.unique(watch.groups):
        windows = watch.X[watch.groups == person]
        np.save(folder / f"{person}.npy", np.concatenate(list(windows), axis=1))


def map_recordings(folder: Path):
    """The corpus of these recordings, which stay on disk."""
    paths = sorted(folder.glob("*.npy"))
    mapped = [np.load(path, mmap_mode="r") for path in paths]
    return array_corpus(mapped, modality="ACC", subjects=[path.stem for path in paths], sfreq=100.0)


def make_training(folder: Path, preset: str, device, n_steps: int = 10**6, **parameters):
    """A run of the default settings, before its first step."""
    params = with_rate(CitrusPretrainer(preset=preset, **parameters).get_params())
    train, held_out = split_corpus(params, map_recordings(folder), seed=0)
    torch.manual_seed(0)
    network = replace(PRESETS[preset], modalities=("ACC",))
    autoencoder = MaskedAutoencoder(network, task_config(params))
    run = make_run(params, autoencoder, train, held_out, n_steps, 0, torch.device(device))
    run.prepare()
    return run


def rate(function, device, seconds: float = SECONDS) -> float:
    """Calls a second of a function, by the median of its times."""
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter
    times, begin = [], clock()
    while len(times) < 3 or clock() - begin < seconds:
        start = clock()
        function()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(clock() - start)
    return 1 / float(np.median(times))


def arithmetic_limit(device) -> float:
    """Operations a second in products of large matrices, in the precision of the training."""
    n = MATRIX.get(device.type, 1024)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    a, b = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
    torch.mm(a, b)
    return 2 * n**3 * rate(lambda: torch.mm(a, b), device, 2.0)


def print_steps(presets: list[str], device, batch_size: int, folder: Path) -> None:
    limit = arithmetic_limit(device)
    print(f"{torch.get_num_threads()} thread(s), load {os.getloadavg()[0]:.1f}, batches of "
          f"{batch_size}; large matrices: {limit / 1e9:.0f} GFLOP/s\n")  # fmt: skip
    print("| preset | step, windows/s | without loader | loader alone | MFLOP/window | of limit |")
    print("|---|---|---|---|---|---|")
    for preset in presets:
        run = make_training(folder, preset, device, batch_size=batch_size)
        run.train_step()
        with FlopCounterMode(display=False) as counter:
            run.train_step()
        flop = counter.get_total_flops() / batch_size
        steps = batch_size * rate(run.train_step, device)
        draw = run._draw
        counted = iter(range(10**9))
        loader = batch_size * rate(lambda: draw(next(counted)), device, SECONDS / 5)  # noqa: B023
        batch = draw(0)
        run._draw_ahead = lambda: batch  # noqa: B023
        alone = batch_size * rate(run.train_step, device)
        print(f"| {preset} | {steps:.0f} | {alone:.0f} | {loader:.0f} | {flop / 1e6:.0f} | "
              f"{steps * flop / limit:.0%} |", flush=True)  # fmt: skip


# --- several processes ---------------------------------------------------------------------------


def train_part(rank, world, port, folder, preset, device, batch_size, n_steps, queue):
    """Train in one of several processes, and put its seconds, its CPU seconds and its loss."""
    if device == "cpu":
        torch.set_num_threads(1)
    if world > 1:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world),
                       "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}  # fmt: skip
    device = launched_together("auto" if device == "cuda" and world > 1 else device)
    run = make_training(Path(folder), preset, device, 2 + n_steps, batch_size=batch_size)
    for _ in range(2):
        run.train_step()
    begin, cpu = time.perf_counter(), time.process_time()
    run.train()
    seconds = time.perf_counter() - begin
    queue.put((seconds, time.process_time() - cpu, run.history[-1]["held_out_loss"]))


def time_together(world: int, *settings):
    """Seconds and CPU seconds of the slowest of several processes, and the final loss."""
    context = multiprocessing.get_context("spawn")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    queue = context.Queue()
    processes = [
        context.Process(target=train_part, args=(rank, world, port, *settings, queue))
        for rank in range(world)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise SystemExit("A process of the run failed; see above.")
    return tuple(np.max([queue.get() for _ in processes], axis=0))


def print_processes(preset, device, batch_size, n_steps, world, repeats, folder) -> None:
    settings = (str(folder), preset, device.type, batch_size, n_steps)
    found = {n: [] for n in (1, world)}
    for _ in range(repeats):
        for n, results in found.items():
            results.append(time_together(n, *settings))
    print(f"{preset}, {n_steps} batches of {batch_size}, best of {repeats}, "
          f"load {os.getloadavg()[0]:.1f}\n")  # fmt: skip
    print("| processes | seconds | windows/s | speed-up | CPU seconds | ratio | held-out loss |")
    print("|---|---|---|---|---|---|---|")
    best = {n: np.min(results, axis=0) for n, results in found.items()}
    for n, (seconds, cpu, loss) in best.items():
        print(f"| {n} | {seconds:.1f} | {n_steps * batch_size / seconds:.0f} | "
              f"{best[1][0] / seconds:.2f} | {cpu:.1f} | {best[1][1] / cpu:.2f} | {loss:.4f} |",
              flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--presets", nargs="+", choices=tuple(PRESETS), default=list(PRESETS))
    parser.add_argument("--device", default="cpu", type=torch.device)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--processes", type=int, metavar="N", help="compare N processes with one")
    parser.add_argument("--steps", type=int, default=40, help="of each run with --processes")
    parser.add_argument("--repeats", type=int, default=3, help="of each run with --processes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_recordings(Path(folder))
        if options.processes is None:
            print_steps(options.presets, options.device, options.batch_size, Path(folder))
            return
        for preset in options.presets:
            print_processes(preset, options.device, options.batch_size, options.steps,
                            options.processes, options.repeats, Path(folder))  # fmt: skip


if __name__ == "__main__":
    main()
