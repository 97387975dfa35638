"""Write the frozen outputs that ``tests/estimators/test_reference.py`` compares with.

    python tests/reference/make_reference.py NAME...     # entries whose output should change
    python tests/reference/make_reference.py --all

For each entry the largest change against the file that it replaces is printed. Regenerate only
what a change is meant to alter, and say in the commit message why it does.

Everything goes through public names, so that modules may move. The signals come from formulas and
integer arithmetic, not from a random generator whose stream a new release could change.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from citrus_sk import (
    CitrusClassifier,
    CitrusEmbedder,
    CitrusPretrainer,
    CitrusRegressor,
    ReconstructionDisplay,
    SignalAligner,
)

FOLDER = Path(__file__).parent
CHECKPOINTS = ("eeg-freq", "eeg-time", "multi-freq", "multi-time")
MODALITIES = ["ABP", "ECG", "EEG", "EMG", "PPG", "RESP"]


# --- signals -------------------------------------------------------------------------------------


def noise(*shape, key=0):
    """White noise of mean 0 and sd 1: uniform numbers from a hash of their position."""
    z = np.arange(np.prod(shape), dtype=np.uint64) + np.uint64(1_000_003 * key + 1)
    z *= np.uint64(0x9E3779B97F4A7C15)  # SplitMix64; products wrap around
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    uniform = ((z ^ (z >> np.uint64(31))) >> np.uint64(11)) / 2**53
    return ((2 * uniform - 1) * 3**0.5).reshape(shape)


def windows(n_windows, n_chans, n_times):
    """Bursts of a rhythm in noise; every channel has an amplitude and an offset of its own.

    Returns
    -------
    X : ndarray of shape (n_windows, n_chans, n_times), float32
    cycles : ndarray of shape (n_windows,)
        Cycles of the rhythm in a window, one of three rates with a jitter.
    """
    number, channel = np.arange(n_windows)[:, None, None], np.arange(n_chans)[:, None]
    time = np.arange(n_times) / n_times
    cycles = (6 + 3 * (number % 3) + 1.5 * noise(n_windows, 1, 1, key=1)).round(6)
    centre = 0.5 + 0.15 * noise(n_windows, 1, 1, key=2)
    burst = np.exp(-(((time - centre) / 0.25) ** 2))
    phase = 0.7 * channel + 2.4 * number
    signal = burst * np.sin(2 * np.pi * cycles * time + phase)
    signal = signal + 0.9 * noise(n_windows, n_chans, n_times, key=3)
    # Rounded, so that the last digits of a sine do not depend on the machine.
    X = (10 * (1 + 0.5 * (channel % 5)) * signal + 5 * (channel % 7)).round(4)
    return X.astype(np.float32), cycles.ravel()


def labelled():
    """Training windows, their labels, numbers and people, and windows to predict.

    They go in without the aligner: training orders windows by a hash of their bits, so the last
    digit of a sample decides which windows share a fold or a batch.
    """
    X, cycles = windows(36, 3, 256)
    y = np.array(["slow", "middle", "fast"])[np.arange(36) % 3]
    people = np.arange(36) // 6
    return {"X": X[:24], "y": y[:24], "cycles": cycles[:24], "people": people[:24], "new": X[24:]}


# --- entries -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """How an output is made, and how near to the stored one it has to be.

    Other processors and other numbers of threads add up in another order. The tolerances leave
    room for that: the plain, AVX2 and AVX-512 code of torch, oneDNN, MKL and OpenBLAS, and one and
    two threads, differ by an eighth of them at most.
    """

    make: Callable[[], dict[str, np.ndarray]]
    rtol: float = 1e-4
    atol: float = 1e-5


def embedding(pretrained, shape=(2, 2, 1024), every=1, **parameters):
    """Features of a few windows.

    `every` thins long vectors out. It is odd, so that over several segments it meets every unit.
    """
    X, _ = windows(*shape)
    embedder = CitrusEmbedder(pretrained, device="cpu", random_state=0, **parameters)
    return {"features": embedder.fit_transform(X)[:, ::every]}


def classified(with_people=False, **parameters):
    data = labelled()
    clf = CitrusClassifier(device="cpu", random_state=0, **parameters)
    clf.fit(data["X"], data["y"], groups=data["people"] if with_people else None)
    return {"proba": clf.predict_proba(data["new"])}


def measured(**parameters):
    data = labelled()
    reg = CitrusRegressor(device="cpu", random_state=0, **parameters)
    return {"values": reg.fit(data["X"], data["cycles"]).predict(data["new"])}


def aligned(n_times_in, n_times, **parameters):
    X, _ = windows(2, 2, n_times_in)
    return {"aligned": SignalAligner(n_times, **parameters).fit_transform(X)}


def reconstructed(pretrained):
    import matplotlib.pyplot as plt

    X, _ = windows(1, 1, 1024)
    display = ReconstructionDisplay.from_estimator(pretrained, X, modality="EEG")
    plt.close(display.figure_)
    parts = {f"predicted_{name}": values for name, values in display.prediction.items()}
    return {"mask": display.mask, "losses": display.losses, **parts}


def pretrained(objective, **parameters):
    """Four steps from scratch: the losses, and what the network then makes of new windows."""
    X, _ = windows(12, 2, 1024)
    pretrainer = CitrusPretrainer(
        objective, preset="tiny", max_steps=4, batch_size=8, device="cpu", random_state=0,
        precision="float32", **parameters,
    )  # fmt: skip
    features = pretrainer.fit(X[:10]).transform(X[10:])
    names = ("loss", "held_out_loss")
    losses = {name: np.array([row[name] for row in pretrainer.history_]) for name in names}
    return losses | {"features": features[:, ::3]}


PROBE = {"rtol": 1e-4, "atol": 1e-4}  # penalties are chosen, and decisions meet a softmax
TRAINED = {"rtol": 1e-3, "atol": 2e-3}  # each step of the optimiser passes rounding on
TUNED = {"strategy": "finetune", "random_kernels": False, "early_stopping": False, "max_epochs": 6}
SCRATCH = {"pretrained": None, "preset": "tiny", "max_epochs": 2}

ENTRIES = {
    **{f"embedding_{name}": Entry(partial(embedding, name)) for name in CHECKPOINTS},
    **{
        f"embedding_conv_{name}": Entry(partial(embedding, name, every=3, backbone="conv"))
        for name in CHECKPOINTS
    },
    **{
        f"embedding_modality_{name}": Entry(
            partial(embedding, name, (1, 6, 1024), every=3, modality=MODALITIES)
        )
        for name in ("multi-freq", "multi-time")
    },
    "embedding_short_windows": Entry(partial(embedding, "eeg-freq", (1, 1, 20))),
    "embedding_long_windows": Entry(partial(embedding, "eeg-freq", (1, 1, 1500))),
    "embedding_many_channels": Entry(partial(embedding, "eeg-freq", (1, 34, 128), every=7)),
    **{
        f"embedding_scratch_{preset}": Entry(partial(embedding, None, every=5, preset=preset))
        for preset in ("tiny", "small", "base")
    },
    "classifier_default": Entry(classified, **PROBE),
    "classifier_default_with_groups": Entry(partial(classified, with_people=True), **PROBE),
    "classifier_default_multi-time": Entry(partial(classified, pretrained="multi-time"), **PROBE),
    "classifier_default_scratch": Entry(
        partial(classified, pretrained=None, preset="tiny"), **PROBE
    ),
    "classifier_probe_without_kernels": Entry(
        partial(classified, strategy="linear-probe", random_kernels=False), **PROBE
    ),
    "classifier_finetune": Entry(partial(classified, **TUNED), **TRAINED),
    "classifier_probe_then_finetune": Entry(
        partial(classified, **(TUNED | {"strategy": "probe-then-finetune"})), **TRAINED
    ),
    "classifier_scratch": Entry(partial(classified, **(TUNED | SCRATCH)), **TRAINED),
    "regressor_default": Entry(measured, **PROBE),
    "regressor_probe_without_kernels": Entry(
        partial(measured, strategy="linear-probe", random_kernels=False), **PROBE
    ),
    "regressor_finetune": Entry(partial(measured, **TUNED), **TRAINED),
    "aligner_resample_up": Entry(partial(aligned, 150, 256)),
    "aligner_resample_down": Entry(partial(aligned, 600, 256)),
    "aligner_rate": Entry(partial(aligned, 300, 128, method="rate", sfreq=160, target_sfreq=100)),
    "aligner_crop": Entry(partial(aligned, 150, 128, method="crop")),
    "aligner_crop_short": Entry(partial(aligned, 100, 128, method="crop")),
    "aligner_pad": Entry(partial(aligned, 100, 128, method="pad")),
    "aligner_native": Entry(partial(aligned, 100, None, method="native")),
    **{f"reconstruction_{name}": Entry(partial(reconstructed, name)) for name in CHECKPOINTS},
    "pretraining_freq": Entry(partial(pretrained, "freq"), **TRAINED),
    "pretraining_time": Entry(partial(pretrained, "time", masking="input"), **TRAINED),
}


def path_of(name):
    return FOLDER / f"{name}.npz"


def load(name):
    with np.load(path_of(name)) as stored:
        return dict(stored)


def write(name):
    """Store an entry; gives the largest change of a number, or None where it is new."""
    made = ENTRIES[name].make()
    before = load(name) if path_of(name).exists() else None
    kept = {k: v.astype(np.float32) if v.dtype.kind == "f" else v for k, v in made.items()}
    np.savez_compressed(path_of(name), **kept)
    if before is None or {k: v.shape for k, v in before.items()} != {
        k: v.shape for k, v in kept.items()
    }:
        return None
    return max(float(np.abs(kept[k].astype(float) - before[k]).max()) for k in kept)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(ENTRIES))
    parser.add_argument("--all", action="store_true", help="every entry")
    arguments = parser.parse_args()
    if arguments.all == bool(arguments.names):
        parser.error("name the entries to write, or pass --all")
    unknown = set(arguments.names) - set(ENTRIES)
    if unknown:
        parser.error(f"no such entry: {', '.join(sorted(unknown))}")
    for name in ENTRIES if arguments.all else arguments.names:
        change = write(name)
        print(f"{name}: {'new' if change is None else f'largest change {change:.1e}'}")  # noqa: T201


if __name__ == "__main__":
    main()
