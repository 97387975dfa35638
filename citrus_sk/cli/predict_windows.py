"""``citrus-sk predict`` for files of windows: .npz and CSV."""

from __future__ import annotations

import csv
import io
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from .._utils.files import write_atomically
from .._utils.validation import check_number, first_few
from ..mne import RawPrediction, RecordingModel
from ..mne.prediction import WindowPlan, plan_windows, predict_plans
from ..mne.recording_model import first_step
from ..mne.result import probability_columns
from ..signals.offsets import to_single
from ..signals.recordings.window_files import is_window_file, read_window_file


def check_window_files(files: Sequence[Path], only_recordings: Mapping[str, Any]) -> None:
    """Raise ValueError if recordings are among the files, or an option is for recordings only."""
    if others := [each for each in files if not is_window_file(each)]:
        windows = next(filter(is_window_file, files))
        raise ValueError(
            f"{windows} holds windows, and {others[0]} does not. Predict recordings and windows in "
            "two calls."
        )
    if passed := [name for name, value in only_recordings.items() if value is not None]:
        raise ValueError(f"{passed[0]} is for recordings; omit it for files of windows.")


def predict_windows(
    model: RecordingModel, files: Sequence[Path], out: Path, *, adapt: bool, sfreq: float | None
) -> str:
    """Predict the windows in files, and write a table with a row for each of them.

    Windows with missing values, or values that are too large for float32, have no row. With
    `adapt`, the groups in the files are people.

    Returns
    -------
    str
        Summary to print.

    Raises
    ------
    ValueError
        If a file cannot be used.
    OSError
        If a file cannot be read or written.
    """
    check_number("--sfreq", sfreq, unit="Hz", open_low=True, alternatives=(None,))
    names = [file.as_posix() for file in files]
    bunches = [read_window_file(file, labelled=False) for file in files]
    people: dict[str, list[_Part]] = {}
    for name, bunch in zip(names, bunches, strict=True):
        for person, part in _parts(model, name, bunch, adapt, sfreq):
            people.setdefault(person, []).append(part)
    rows: dict[tuple[str, int], Any] = {}
    for parts in people.values():
        found = predict_plans([part.plan for part in parts], adapt=adapt)
        for part, prediction in zip(parts, found, strict=True):
            rows |= part.rows(prediction)
    for name, bunch in zip(names, bunches, strict=True):
        n_left_out = sum((name, i) not in rows for i in range(len(bunch.X)))
        if n_left_out:
            warnings.warn(
                f"{n_left_out} of the {len(bunch.X)} windows of {name} have missing values, or "
                "values that are too large for float32, and are not predicted.",
                UserWarning,
                stacklevel=2,
            )
    write_atomically(out, _table(model, dict(zip(names, bunches, strict=True)), rows))
    labels = np.array([label for label, _ in rows.values()])
    return "\n".join(summary(f"{len(files)} file(s)", labels, model.duration, out))


def summary(what: str, labels: np.ndarray, duration: float, out: Path) -> list[str]:
    """Return lines about predicted windows and the table of them."""
    counts = Counter(labels.tolist()).most_common()
    return [
        f"{what}, {len(labels)} windows of {duration:g} s: "
        + ", ".join(f"{label} {n}" for label, n in counts)
        + ".",
        f"Predictions: {out}",
    ]


@dataclass(frozen=True, eq=False)
class _Part:
    """Windows of one person in a file."""

    name: str
    indices: np.ndarray
    plan: WindowPlan

    def rows(self, prediction: RawPrediction) -> dict[tuple[str, int], Any]:
        """Return label and probabilities by file and index of the window."""
        found = zip(self.indices.tolist(), prediction.labels, prediction.proba, strict=True)
        return {(self.name, i): (label, proba) for i, label, proba in found}


def _parts(
    model: RecordingModel, name: str, bunch: Bunch, adapt: bool, sfreq: float | None
) -> list[tuple[str, _Part]]:
    """Return the windows of each person; without `adapt` all windows are in one part."""
    if adapt and bunch.groups is None:
        raise ValueError(
            f"{name} has no groups, and --adapt adapts to each person. Add a column 'group' (in an "
            ".npz file the array 'groups') with the person of each window."
        )
    X = bunch.X if bunch.X.ndim == 3 else bunch.X[:, None]
    if not len(X):
        raise ValueError(f"{name} has no windows.")
    rate = _rate(model, name, bunch.sfreq if sfreq is None else sfreq, X.shape[2])
    ch_names = _channels(model, name, bunch.ch_names, X.shape[1])
    groups = np.asarray(bunch.groups).astype(str) if adapt else np.full(len(X), "")
    complete = np.isfinite(to_single(X)).all(axis=(1, 2))
    if not complete.any():
        raise ValueError(
            f"all {len(X)} windows of {name} have missing values, or values that are too large for "
            "float32."
        )
    found = []
    for person in dict.fromkeys(groups[complete].tolist()):
        indices = np.flatnonzero(complete & (groups == person))
        plan = _plan(model, name, X[indices], rate, ch_names)
        found.append((person, _Part(name, indices, plan)))
    return found


def _rate(model: RecordingModel, name: str, sfreq: float | None, n_times: int) -> float:
    """Return the rate in Hz, by which the windows are as long as those of the training."""
    expected = f"those of the training have {model.duration:g} s, sampled at {model.sfreq:g} Hz"
    if sfreq is None:
        raise ValueError(
            f"{name} has no sampling rate, so the length of its windows is unknown; {expected}. "
            "Pass --sfreq, in Hz."
        )
    if abs(n_times - model.duration * sfreq) > 1:
        raise ValueError(
            f"{name} has windows of {n_times} samples, that is {n_times / sfreq:g} s at {sfreq:g} "
            f"Hz; {expected}. Cut windows of that length."
        )
    return sfreq


def _channels(
    model: RecordingModel, name: str, ch_names: Sequence[str] | None, n_chans: int
) -> list[str]:
    """Return the names of the channels; those of the model if the order cannot differ."""
    if ch_names is not None and model.ch_names is not None:
        return list(ch_names)
    expected = getattr(first_step(model.estimator), "n_chans_", n_chans)
    if n_chans != expected:
        raise ValueError(
            f"{name} has windows of {n_chans} channel(s), and the model was trained on {expected}."
        )
    if model.ch_names is None:
        return [f"channel {i}" for i in range(n_chans)]
    if n_chans > 1:
        raise ValueError(
            f"{name} does not name its {n_chans} channels, so their order is unknown; the model "
            f"was trained on {first_few(model.ch_names, 20)}. Add their names: ch_names in an "
            ".npz file, or the head of a CSV file."
        )
    return list(model.ch_names)


def _plan(
    model: RecordingModel, name: str, X: np.ndarray, sfreq: float, ch_names: list[str]
) -> WindowPlan:
    """Lay windows one after the other, as a recording that is cut at their limits."""
    import mne

    signals = np.concatenate(X, axis=1)
    raw = mne.io.RawArray(signals, mne.create_info(ch_names, sfreq, "misc"), verbose="error")
    return plan_windows(model, raw, duration=X.shape[2] / sfreq, overlap=0.0, where=name)


def _table(
    model: RecordingModel, bunches: Mapping[str, Bunch], rows: Mapping[tuple[str, int], Any]
) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    timed = all(bunch.onset is not None for bunch in bunches.values())
    head = ["recording", "window", *(("start", "end") if timed else ())]
    writer.writerow([*head, "label", *probability_columns(model.classes_)])
    for name, bunch in bunches.items():
        for i, window in enumerate(bunch.window.tolist()):
            if (name, i) in rows:
                label, proba = rows[name, i]
                start = bunch.onset[i] if timed else 0.0
                times = [f"{time:.9g}" for time in (start, start + model.duration) if timed]
                writer.writerow([name, window, *times, label, *(f"{p:.6f}" for p in proba)])
    return text.getvalue().encode()
