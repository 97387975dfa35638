"""Write the outputs that `test_reference.py` compares with.

    python tests/reference/make_reference.py            # all of them
    python tests/reference/make_reference.py embedding  # those whose names begin so

The signals are made by a formula, so that no random generator can change them. Run it only where a
change of the results is intended, and say in the changelog what changed.
"""

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np

from citrus_sk import (
    CitrusClassifier,
    CitrusEmbedder,
    CitrusPretrainer,
    CitrusRegressor,
    ReconstructionDisplay,
    SignalAligner,
    list_pretrained,
)

mpl.use("agg")

FILE = Path(__file__).with_name("reference.npz")
N_WINDOWS, N_CHANS, N_TIMES = 24, 2, 300


def signals():
    """Windows ``(24, 2, 300)`` of two classes: tones, a drift and a burst, different in each."""
    window = np.arange(N_WINDOWS)[:, None, None]
    channel = np.arange(N_CHANS)[:, None]
    time = np.arange(N_TIMES) / 100
    kind = window % 2
    tone = np.sin(2 * np.pi * ((6 + 5 * kind) * time + 0.37 * window + 0.2 * channel))
    noise = np.sin(1e4 * np.sin(12.9898 * (window + 7 * channel) + 78.233 * time))
    burst = np.exp(-(((time - 0.5 - 0.08 * window) / 0.1) ** 2)) * np.sin(2 * np.pi * 21 * time)
    return (1 + 0.1 * channel) * (tone + 0.8 * noise + burst) + 0.1 * window * time


X = signals()
Y = np.array(["slow", "fast"])[np.arange(N_WINDOWS) % 2]
VALUES = np.arange(N_WINDOWS, dtype=float)
ALIGNERS = {
    "resample": {}, "crop": {}, "pad": {}, "native": {},
    "rate": {"sfreq": 100, "target_sfreq": 64},
}  # fmt: skip


def embedding(name, backbone):
    embedder = CitrusEmbedder(name, backbone=backbone)
    return embedder.fit_transform(SignalAligner().fit_transform(X[:2]))[:, ::4]


def classified(**settings):
    clf = CitrusClassifier(random_state=0, **settings)
    return clf.fit(X[:16], Y[:16]).predict_proba(X[16:])


def regressed():
    return CitrusRegressor(random_state=0).fit(X[:16], VALUES[:16]).predict(X[16:])


def aligned(method):
    settings = ALIGNERS[method]
    return SignalAligner(128, method=method, **settings).fit_transform(X[:2])


def reconstructed(name):
    display = ReconstructionDisplay.from_estimator(name, X[:2], modality="EEG")
    return np.asarray(display.losses)


def pretrained():
    model = CitrusPretrainer(preset="tiny", max_steps=3, batch_size=8, random_state=0).fit(X)
    return model.transform(X[:2])


TRAINED = {"pretrained": None, "preset": "tiny", "strategy": "finetune", "max_epochs": 3}
ENTRIES = {
    **{
        f"embedding {name} {backbone}": lambda name=name, backbone=backbone: embedding(
            name, backbone
        )
        for name in list_pretrained()
        for backbone in ("hybrid", "conv")
    },
    **{
        f"probe {name}": lambda name=name: classified(pretrained=name)
        for name in ("eeg-freq", "multi-time")
    },
    "probe network": lambda: classified(random_kernels=False, strategy="linear-probe"),
    "probe scratch": lambda: classified(pretrained=None, preset="tiny"),
    "finetune": lambda: classified(random_kernels=False, **TRAINED),
    "regressor": regressed,
    **{f"aligner {method}": lambda method=method: aligned(method) for method in ALIGNERS},
    **{
        f"reconstruction {name}": lambda name=name: reconstructed(name)
        for name in list_pretrained()
    },
    "pretrainer": pretrained,
}


def main(*prefixes):
    stored = dict(np.load(FILE)) if FILE.exists() else {}
    for name, compute in ENTRIES.items():
        if not prefixes or name.startswith(prefixes):
            stored[name] = np.asarray(compute(), np.float32)
            print(name, stored[name].shape)  # noqa: T201
    np.savez_compressed(FILE, **{name: stored[name] for name in ENTRIES})


if __name__ == "__main__":
    main(*sys.argv[1:])
