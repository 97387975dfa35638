"""``citrus-sk predict``: a saved model applied to recordings."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from .._utils.files import make_folder, write_atomically
from .._utils.optional import progress_bar, require
from .._utils.validation import check_number, first_few
from .._utils.version import __version__
from ..mne import RawPrediction, RecordingModel
from ..mne.channels import find_channels
from ..mne.prediction import WindowPlan, plan_windows, predict_plans
from ..mne.result import probability_columns
from ..signals.recordings.folders import ARRAY_EXTENSIONS, EXTENSIONS, Search, search
from ..signals.recordings.label_tables import read_people
from ..signals.recordings.labelled import only_channels, open_described
from ..signals.recordings.origin import Origin, person_of
from ..signals.recordings.window_files import is_window_file
from .event_files import ENDINGS, event_file, warn_of_letters
from .output import check_new_file, collected_warnings
from .predict_windows import check_window_files, predict_windows, summary


@dataclass(frozen=True)
class EventSettings:
    """Arguments of `RawPrediction.to_annotations`, and the format of the files.

    Attributes
    ----------
    high, low : float
        Thresholds of the probability.
    min_duration : float
        Length of the shortest event in seconds.
    classes : list of str or None
        Classes of the events, as they are printed; None for all.
    form : {"txt", "edf"}
        Format of the files.
    """

    high: float = 0.6
    low: float = 0.5
    min_duration: float = 0.0
    classes: list[str] | None = None
    form: str = "txt"

    def check(self, model: RecordingModel) -> None:
        """Raise ValueError, before anything is predicted, if a value is out of range."""
        check_number("--high", self.high, high=1.0)
        check_number("--low", self.low, high=self.high)
        check_number("--min-duration", self.min_duration, unit="seconds")
        if self.form == "edf":
            require("edfio", "--annotations-format edf")
        known = [str(each) for each in model.classes_.tolist()]
        if unknown := [each for each in self.classes or () if each not in known]:
            raise ValueError(
                f"--classes has {unknown[0]!r}, which is not a class of the model; expected "
                f"classes among {first_few(known, 20)}."
            )

    def events(self, prediction: RawPrediction) -> Any:
        """Merge probabilities into events."""
        known = prediction.classes.tolist()
        chosen = [each for each in known if self.classes is None or str(each) in self.classes]
        return prediction.to_annotations(
            high=self.high, low=self.low, min_duration=self.min_duration, classes=chosen
        )


def run_predict(
    model_file: Path,
    recordings: Sequence[Path],
    out: Path,
    *,
    annotations: Path | None = None,
    overwrite: bool = False,
    step: float | None = None,
    missing_channels: str = "raise",
    adapt: bool = False,
    people: Path | None = None,
    events: EventSettings = EventSettings(),
    skip: bool = False,
    sfreq: float | None = None,
    progress: bool = True,
) -> None:
    """Predict recordings or files of windows, and write a table and annotations; see ``--help``.

    Everything is checked before anything is predicted, and files are written at the end.

    Raises
    ------
    ValueError
        If the model or a recording cannot be used.
    OSError
        If a file cannot be read, exists and is not to be replaced, or cannot be written.
    """
    check_new_file(out, overwrite=overwrite)
    if people is not None and not adapt:
        raise ValueError("--people is for --adapt. Add --adapt, or omit --people.")
    if events.form != "txt" and annotations is None:
        raise ValueError(
            "--annotations-format is for --annotations FOLDER. Add a FOLDER, or omit the format."
        )
    if any(map(is_window_file, recordings)):
        only_recordings = {
            "--annotations": annotations, "--step": step, "--people": people,
            "--on-error skip": skip or None,
            "--missing-channels": None if missing_channels == "raise" else missing_channels,
        }  # fmt: skip
        check_window_files(recordings, only_recordings)
        with collected_warnings():
            model = load_model(model_file)
            print(predict_windows(model, recordings, out, adapt=adapt, sfreq=sfreq))
        return
    if sfreq is not None:
        raise ValueError("--sfreq is for files of windows; recordings know their rate. Omit it.")
    with collected_warnings():
        model = load_model(model_file)
        events.check(model)
        _check_step(step, model)
        files, base = _find(recordings)
        plan = partial(_plan, model, step=step, missing_channels=missing_channels)
        files = _check_all(plan, files, skip)
        person = _people(files, base, people) if adapt else {name: name for name in files}
        targets = _annotation_files(annotations, files, ENDINGS[events.form], overwrite)
        if targets and events.form == "txt":
            warn_of_letters([str(label) for label in model.classes_.tolist()])
        predicted = _predict(plan, files, person, adapt, skip, progress)
        _write(predicted, out, events, targets)
    print(_summary(predicted, out, annotations))


def load_model(path: Path) -> RecordingModel:
    """Load a file of ``citrus-sk fit``. This runs code in the file.

    Raises
    ------
    ValueError
        If the file holds no `RecordingModel`.
    OSError
        If the file cannot be read.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no file {str(path)!r}; expected a model that citrus-sk fit wrote."
        )
    try:
        model = joblib.load(path)
    except OSError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        raise ValueError(
            f"{path} cannot be loaded: {error or type(error).__name__}. Expected a complete file "
            "of citrus-sk fit, and the versions of citrus_sk and scikit-learn that wrote it."
        ) from error
    if not isinstance(model, RecordingModel):
        raise ValueError(
            f"{path} holds a {type(model).__name__}; expected a file of citrus-sk fit. To apply "
            "another classifier, save citrus_sk.mne.RecordingModel(estimator=...) with joblib."
        )
    if model.version != __version__:
        print(
            f"warning: {path} was made by citrus_sk {model.version}, and {__version__} is "
            "installed; predictions may differ.",
            file=sys.stderr,
        )
    return model


def _check_step(step: float | None, model: RecordingModel) -> None:
    check_number(
        "--step", step, unit="seconds", low=1 / model.sfreq, high=model.duration,
        alternatives=(None,),
    )  # fmt: skip


def _find(recordings: Sequence[Path]) -> tuple[dict[str, Path], Path]:
    """Return the recordings by a name that differs for each, and the folder of these names."""
    found = search(list(recordings), "RECORDING")
    files = [file for file in found.files if file.suffix.lower() not in ARRAY_EXTENSIONS]
    if not files:
        raise ValueError(_no_recording(recordings, found))
    folders = [str(file.absolute().parent) for file in files]
    folders += [str(each.absolute()) for each in recordings if each.is_dir()]
    base = Path(os.path.commonpath(folders))
    return {file.absolute().relative_to(base).as_posix(): file for file in files}, base


def _no_recording(recordings: Sequence[Path], found: Search) -> str:
    listed = ", ".join(str(each) for each in recordings)
    if found.files:
        return (
            f"{listed} holds arrays and no recording. To predict windows, name the .npz files "
            "themselves."
        )
    known = ", ".join(each for each in EXTENSIONS if each not in ARRAY_EXTENSIONS)
    others = "".join(f" {name} was passed over: {why}." for name, why in found.passed_over[:3])
    return f"there is no recording in {listed}; looked for files that end in {known}.{others}"


def _annotation_files(
    folder: Path | None, files: dict[str, Path], ending: str, overwrite: bool
) -> dict[str, Path]:
    """Return the file of the events of each recording; raise OSError if one exists."""
    if folder is None:
        return {}
    make_folder(folder)
    targets = {name: folder / f"{name}{ending}" for name in files}
    for target in targets.values():
        if target.exists():
            check_new_file(target, overwrite=overwrite)
    return targets


def _check_all(
    plan: Callable[[str, Path], WindowPlan], files: dict[str, Path], skip: bool
) -> dict[str, Path]:
    """Return the recordings that can be predicted; without `skip` raise for the first other."""
    good = {}
    for name, file in files.items():
        try:
            plan(name, file)
        except (OSError, ValueError) as error:
            if not skip:
                hint = " Or pass --on-error skip, to predict the others." if len(files) > 1 else ""
                raise ValueError(f"{error}{hint}") from error
            print(f"warning: skipped: {error}", file=sys.stderr)
        else:
            good[name] = file
    if not good:
        raise ValueError(f"none of the {len(files)} recordings can be predicted.")
    return good


def _plan(
    model: RecordingModel, name: str, file: Path, step: float | None, missing_channels: str
) -> WindowPlan:
    raw = open_described(file, name)
    channels = find_channels(
        model.estimator, model.ch_names, raw, where=name, missing_channels=missing_channels
    )
    chosen = [raw.ch_names.index(each) for each in channels.names]
    raw = only_channels(raw, file, chosen, "Leave the recording out.")
    overlap = None if step is None else model.duration - step
    bad_spans = Origin.of(file).bad_spans()
    return plan_windows(
        model, raw, overlap=overlap, channels=channels, where=name, bad_spans=bad_spans
    )


def _people(files: dict[str, Path], base: Path, table: Path | None) -> dict[str, str]:
    """Return the person of each recording."""
    if table is None:
        return {name: person_of(file, name) for name, file in files.items()}
    return read_people(table, base, list(files))


def _predict(
    plan: Callable[[str, Path], WindowPlan],
    files: dict[str, Path],
    person: dict[str, str],
    adapt: bool,
    skip: bool,
    progress: bool,
) -> dict[str, RawPrediction]:
    """Predict the recordings person by person; the result is in the order of `files`.

    With `skip`, those of a person whose files vanished or changed since the check are left out.
    """
    by_person: dict[str, list[str]] = {}
    for name in files:
        by_person.setdefault(person[name], []).append(name)
    predicted: dict[str, RawPrediction] = {}
    with progress_bar(total=len(files), unit="recording", shown=progress) as bar:
        for names in by_person.values():
            try:
                plans = [plan(name, files[name]) for name in names]
                predicted |= zip(names, predict_plans(plans, adapt=adapt), strict=True)
            except (OSError, ValueError) as error:
                if not skip:
                    raise
                print(f"warning: skipped {', '.join(names)}: {error}", file=sys.stderr)
            bar.update(len(names))
    if not predicted:
        raise ValueError(f"none of the {len(files)} recordings can be predicted.")
    return {name: predicted[name] for name in files if name in predicted}


def _write(
    predicted: dict[str, RawPrediction],
    out: Path,
    events: EventSettings,
    targets: dict[str, Path],
) -> None:
    for name, prediction in predicted.items():
        if name in targets:
            targets[name].parent.mkdir(parents=True, exist_ok=True)
            found = events.events(prediction)
            write_atomically(targets[name], event_file(found, prediction.event_shift, events.form))
    write_atomically(out, _table(predicted))  # last, so that all is complete if it exists


def _table(predicted: dict[str, RawPrediction]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    classes = next(iter(predicted.values())).classes
    writer.writerow(["recording", "start", "end", "label", *probability_columns(classes)])
    for name, each in predicted.items():
        for onset, label, proba in zip(each.onset, each.labels, each.proba, strict=True):
            times = (f"{time:.9g}" for time in (onset, onset + each.duration))
            writer.writerow([name, *times, label, *(f"{p:.6f}" for p in proba)])
    return text.getvalue().encode()


def _summary(predicted: dict[str, RawPrediction], out: Path, annotations: Path | None) -> str:
    labels = np.concatenate([each.labels for each in predicted.values()])
    first = next(iter(predicted.values()))
    lines = summary(f"{len(predicted)} recording(s)", labels, first.duration, out)
    return "\n".join(lines + ([f"Events:      {annotations}"] if annotations else []))
