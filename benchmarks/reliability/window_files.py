"""Attacks on files of windows, which are read for a training and for predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from attempts import Attempt
from readers import SFREQ, Sample, attempt_on, signals


def _windows() -> np.ndarray:
    """Twenty windows of one second, (20, 3, 50), in thousandths of g."""
    return signals().reshape(3, 20, -1).transpose(1, 0, 2)


def _describe(path: Path) -> None:
    """Read labelled windows and describe them, as the commands do."""
    from citrus_sk.cli.arguments import DataSource
    from citrus_sk.cli.data import about, load_labelled

    about(load_labelled(DataSource(data=path)))


def _predict_with_model(folder: Path) -> Callable[[Path], None]:
    """Make a function that predicts the windows in a file with a small model."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    from citrus_sk import SignalAligner
    from citrus_sk.cli.predict_windows import predict_windows
    from citrus_sk.mne import RecordingModel

    highest = FunctionTransformer(np.max, kw_args={"axis": 2})
    pipeline = make_pipeline(SignalAligner(SFREQ), highest, LogisticRegression())
    model = RecordingModel(
        estimator=pipeline.fit(_windows(), ["a", "b"] * 10), duration=1.0, sfreq=SFREQ,
        ch_names=("x", "y", "z"),
    )  # fmt: skip

    def predict(path: Path) -> None:
        predict_windows(model, [path], folder / "out", adapt=False, sfreq=None)

    return predict


def window_tables(folder: Path) -> Attempt:
    """A row for each sample, or for each window."""
    X, labels = _windows()[:6].astype(int), ["walk", "rest"] * 3
    long = "window;time;label;group;x;y;z\n" + "".join(
        f"{i};{i + j / SFREQ:.2f};{label};p{i // 2};{';'.join(map(str, sample))}\n"
        for i, label in enumerate(labels) for j, sample in enumerate(X[i].T)
    )  # fmt: skip
    wide = f"label,group,{','.join(f's{j}' for j in range(SFREQ))}\n" + "".join(
        f"{label},p{i // 2},{','.join(map(str, X[i, 0]))}\n" for i, label in enumerate(labels)
    )
    readers = [_describe, _predict_with_model(folder)]
    return attempt_on(folder, [
        Sample({"long.csv": long.replace(".", ",").encode()}, readers),
        Sample({"tabs.csv": long.replace(";", "\t").encode("utf-16")}, readers),
        Sample({"wide.csv": wide.encode()}, [_describe]),
    ])  # fmt: skip


def window_arrays(folder: Path) -> Attempt:
    """Damaged files, and whole ones in which an array is another one."""
    steps = {
        "X": _windows().astype(np.int16), "y": np.array(["a", "b"] * 10), "groups": np.arange(20),
        "sfreq": np.array(50.0), "ch_names": np.array(["x", "y", "z"]), "scale": np.full(3, 0.001),
    }  # fmt: skip
    floats = {name: array for name, array in steps.items() if name != "scale"}
    floats["X"] = _windows() / 1000
    readers = [_describe, _predict_with_model(folder)]
    return attempt_on(folder, [
        Sample({"floats.npz": _saved(floats)}, readers),
        Sample({"steps.npz": _saved(steps)}, readers),
        Sample({"lies.npz": _saved(steps)}, readers,
               damage=lambda rng, _: _saved(_exchanged(rng, steps))),
    ])  # fmt: skip


def _saved(content: Mapping[str, np.ndarray]) -> bytes:
    file = BytesIO()
    np.savez(file, **content)
    return file.getvalue()


_NUMBERS = (0, -1, 0.5, np.nan, np.inf, -np.inf, 1e300, 5e-324, 2**63, 10**6)
_DTYPES = (
    "?",
    "u1",
    "i8",
    "u8",
    "f2",
    "f8",
    "g",
    "c8",
    "U3",
    "S3",
    "M8[s]",
    "m8[s]",
    "i4,f4",
    "V5",
)


def _exchanged(rng: np.random.Generator, content: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Give an array another type or shape, or give some of its values other numbers."""
    name = list(content)[rng.integers(len(content))]
    array = content[name]
    with np.errstate(all="ignore"):
        kind = rng.integers(4)
        if kind == 0:
            try:
                array = array.astype(_DTYPES[rng.integers(len(_DTYPES))])
            except (ValueError, TypeError):
                array = np.zeros(array.shape, _DTYPES[rng.integers(len(_DTYPES))])
        elif kind == 1:
            sizes = [0, 1, 2, 3, 20, 50, 51]
            array = np.resize(array, rng.choice(sizes, rng.integers(5)))
        elif kind == 2:
            number = np.array(_NUMBERS[rng.integers(len(_NUMBERS))])
            array = np.where(rng.random(array.shape) < rng.random(), number, array)
        else:
            return {each: array for each, array in content.items() if each != name}
    return {**content, name: array}


ATTACKS = {"window tables": window_tables, "window arrays": window_arrays}
