"""Time and error of SignalAligner beside MNE and SciPy: 1000 windows of 3000 samples to 1024.

The reference is exact: sums of sinusoids below 0.8 of the new Nyquist frequency, evaluated at the
new sample times. "Interior" leaves out 40 output samples at each end. MNE's default method rounds
the length of the padded signal, so its samples drift from their nominal times; this is the
larger part of its error here, and `npad=0` would be without it.

    python benchmarks/resampling.py --repeats 5 --threads 1
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import mne
import numpy as np
import scipy.signal
from threadpoolctl import threadpool_limits

from citrus_sk.signals.aligner import SignalAligner

N_WINDOWS, N_CHANS, N_IN, N_OUT = 1000, 8, 3000, 1024
MARGIN = 40


def sinusoids(n_rows: int, n_terms: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Rows at the old sample times, and exactly at the new ones."""
    rng = np.random.default_rng(0)
    old, new = np.arange(N_IN), np.arange(N_OUT) * N_IN / N_OUT
    rows, reference = np.zeros((n_rows, N_IN)), np.zeros((n_rows, N_OUT))
    for _ in range(n_terms):
        omega = rng.uniform(0, 0.8 * np.pi * N_OUT / N_IN, (n_rows, 1))
        phase = rng.uniform(0, 2 * np.pi, (n_rows, 1))
        amplitude = rng.normal(size=(n_rows, 1))
        rows += amplitude * np.sin(omega * old + phase)
        reference += amplitude * np.sin(omega * new + phase)
    return rows, reference


def methods(n_jobs: int) -> dict[str, tuple[type, Callable[[np.ndarray], np.ndarray]]]:
    """Name -> the dtype each is fastest with, and the call."""
    aligner = SignalAligner(N_OUT)
    quiet = {"n_jobs": n_jobs, "verbose": "error"}
    return {
        "SignalAligner (float32 in)": (np.float32, aligner.fit_transform),
        "SignalAligner (float64 in)": (np.float64, aligner.fit_transform),
        "mne.filter.resample": (
            np.float64,
            lambda x: mne.filter.resample(x, N_OUT, N_IN, **quiet),
        ),
        "  npad='auto'": (
            np.float64,
            lambda x: mne.filter.resample(x, N_OUT, N_IN, npad="auto", **quiet),
        ),
        "  method='polyphase'": (
            np.float64,
            lambda x: mne.filter.resample(x, N_OUT, N_IN, method="polyphase", **quiet),
        ),
        "scipy.signal.resample_poly": (
            np.float32,
            lambda x: scipy.signal.resample_poly(x, N_OUT, N_IN, axis=-1),
        ),
        "scipy.signal.resample": (
            np.float32,
            lambda x: scipy.signal.resample(x, N_OUT, axis=-1),
        ),
    }


def errors(values: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """Relative root-mean-square and largest error, both over the RMS of the reference."""
    rms = np.sqrt(np.mean(reference**2))
    error = values - reference
    return float(np.sqrt(np.mean(error**2)) / rms), float(np.abs(error).max() / rms)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3, help="the best of so many runs counts")
    parser.add_argument("--threads", type=int, default=1, help="for BLAS and for MNE's n_jobs")
    args = parser.parse_args()

    rows, reference = sinusoids(N_WINDOWS * N_CHANS)
    X = rows.reshape(N_WINDOWS, N_CHANS, N_IN)
    reference = reference.reshape(N_WINDOWS, N_CHANS, N_OUT)
    middle = (..., slice(MARGIN, -MARGIN))

    print(f"{X.shape} -> {N_OUT}, best of {args.repeats}, threads: {args.threads}")
    print(f"{'':28}{'seconds':>9}{'ratio':>8}   {'whole window':^19}{'interior':^19}")
    print(f"{'':28}{'':9}{'':8}   {'rms':^9} {'max':^9}{'rms':^9} {'max':^9}")
    ours = None
    with threadpool_limits(args.threads):
        for name, (dtype, call) in methods(args.threads).items():
            x = X.astype(dtype)
            seconds = np.inf
            for _ in range(args.repeats):
                start = time.perf_counter()
                values = call(x)
                seconds = min(seconds, time.perf_counter() - start)
            ours = seconds if ours is None else ours
            whole = errors(values, reference)
            inside = errors(values[middle], reference[middle])
            figures = "".join(f"{figure:9.1e} " for figure in (*whole, *inside))
            print(f"{name:28}{seconds:9.3f}{seconds / ours:8.1f}   {figures}", flush=True)


if __name__ == "__main__":
    main()
