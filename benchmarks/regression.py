"""CitrusRegressor beside what people would pick instead, on people who were not trained on.

Two targets that the signals themselves tell, so that nothing is missing but the model:

- how fast a wrist turns (log of the gyroscope's rms), from the accelerometer alone, in the watch
  recordings that come with the `demo` extra;
- heart rate (median interval of the ECG's R peaks) from ten seconds of finger PPG, in the BIDMC
  recordings of a pre-training corpus, where `--corpus` names its file.

Prints R2 on five folds of people, by the share of the training people's windows that is used.

    python benchmarks/regression.py --corpus bidmc.npz
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy.signal import butter, find_peaks, sosfiltfilt
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from citrus_sk import CitrusRegressor, SignalAligner
from citrus_sk.datasets import load_watch

FRACTIONS = (0.02, 0.1, 0.3, 1.0)
Task = tuple[np.ndarray, np.ndarray, np.ndarray]


def turning() -> Task:
    watch = load_watch()
    return watch.X[:, :3], np.log(watch.X[:, 3:].std(axis=(1, 2))), watch.groups


def heart_rate(path: str, n_times: int = 1024, sfreq: float = 100.0) -> Task:
    windows, rates, people = [], [], []
    with np.load(path) as corpus:
        for entry in json.loads(corpus["index"].tobytes()):
            recording = corpus[entry["key"]].astype(float)
            named = dict(zip(entry["ch_types"], recording, strict=True))
            band = butter(2, [5, 20], "band", fs=sfreq, output="sos")
            power = np.convolve(sosfiltfilt(band, named["ecg"]) ** 2, np.ones(10) / 10, "same")
            for start in range(0, len(power) - n_times, 2 * n_times):
                part = power[start : start + n_times]
                peaks, _ = find_peaks(part, distance=35, height=part.mean())
                if len(peaks) >= 5:
                    windows.append(named["ppg"][None, start : start + n_times])
                    rates.append(60 * sfreq / np.median(np.diff(peaks)))
                    people.append(entry["subject"])
    return np.array(windows, np.float32), np.array(rates), np.array(people)


def band_power(X: np.ndarray) -> np.ndarray:
    """Log power in 24 equal bands of each channel."""
    power = np.abs(np.fft.rfft(X - X.mean(-1, keepdims=True), axis=-1)[..., 1:]) ** 2
    bands = np.array_split(power, 24, axis=-1)
    means = np.stack([band.mean(-1) for band in bands], axis=-1)
    return np.log(means + 1e-12 * means.mean()).reshape(len(X), -1)


def models() -> dict[str, Callable[[], Any]]:
    from aeon.regression.convolution_based import MiniRocketRegressor

    return {
        "CitrusRegressor()": lambda: make_pipeline(
            SignalAligner(), CitrusRegressor(random_state=0)
        ),
        "  network alone": lambda: make_pipeline(
            SignalAligner(),
            CitrusRegressor(strategy="linear-probe", random_kernels=False, random_state=0),
        ),
        "MiniRocket": lambda: MiniRocketRegressor(random_state=0),
        "band power, ridge": lambda: make_pipeline(
            FunctionTransformer(band_power), StandardScaler(), RidgeCV(np.logspace(-2, 5, 15))
        ),
        "mean": DummyRegressor,
    }


def draws(people: np.ndarray, fraction: float, n_folds: int) -> Iterator[tuple]:
    """Rows of each fold's training part, thinned out, and of its test part."""
    rng = np.random.default_rng(0)
    for train, test in GroupKFold(5).split(people, groups=people):
        order = rng.permutation(train)
        if n_folds > 0:
            yield order[: max(10, round(fraction * len(order)))], test
        n_folds -= 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", help="file of the BIDMC recordings, for heart rate")
    parser.add_argument("--folds", type=int, default=5)
    options = parser.parse_args()
    tasks = {"turning of the wrist": turning}
    if options.corpus:
        tasks["heart rate"] = lambda: heart_rate(options.corpus)
    for title, load in tasks.items():
        X, y, people = load()
        print(f"{title}: {len(X)} windows {X.shape[1:]}, {len(np.unique(people))} people")
        print(f"  {'R2 with':22}" + "".join(f"{fraction:8.0%}" for fraction in FRACTIONS))
        for name, make in models().items():
            cells = []
            for fraction in FRACTIONS:
                scores = []
                for train, test in draws(people, fraction, options.folds):
                    model = make().fit(X[train], y[train])
                    scores.append(r2_score(y[test], model.predict(X[test])))
                cells.append(np.mean(scores))
            print(f"  {name:22}" + "".join(f"{cell:8.2f}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
