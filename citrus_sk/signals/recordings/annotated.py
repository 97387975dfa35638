"""Labelled windows from the annotations of recordings, or from BIDS tables of events."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..._utils.validation import check_number, first_few
from ..missing import is_missing
from .folders import ARRAY_EXTENSIONS, search
from .formats import bad_samples, is_boundary, open_named, reading
from .label_tables import read_people
from .origin import Origin, hypnogram_of, is_sleep_edf, person_of
from .quality import marks_bad

# Descriptions in the hypnograms of Sleep-EDF that are no stages.
_NOT_SCORED = ("Sleep stage ?", "Movement time")
# Share of a window by which annotations may overlap, as their times are rounded.
_ROUNDED = 0.01


def annotation_rows(
    path: Path,
    duration: float | None,
    events: Sequence[str] | None,
    tmin: float = 0.0,
    people: Path | None = None,
) -> tuple[Path, list[dict[str, Any]], str]:
    """List the windows in the annotations of recordings, as a table of labels does.

    An annotation is cut into successive windows, and one without a duration gives the window that
    begins there. Windows that overlap bad stretches, and those beyond an end, are left out. The
    annotations of a recording of Sleep-EDF are those of its hypnogram.

    Parameters
    ----------
    path : Path
        A recording, or a folder of recordings.
    duration : float or None
        Length of a window in seconds.
    events : sequence of str or None
        Descriptions of the annotations to take; None takes all that do not mark data as bad.
    tmin : float, default=0.0
        Start in seconds of the window of an annotation without duration, after the annotation.
    people : Path or None, default=None
        Table of the person of each recording; None takes those that the files name.

    Returns
    -------
    folder : Path
        Folder of the recordings.
    rows : list of dict
        As `read_label_table` returns them. The group is the person: that of the table, the
        subject that the file names, or else the file.
    groups_from : str
        Description of the source of the groups.

    Raises
    ------
    ValueError
        If `duration` is missing or out of range, an event does not occur, no window is found, or
        windows with different labels overlap.
    """
    folder = path if path.is_dir() else path.parent
    files = [each for each in search(path).files if each.suffix.lower() not in ARRAY_EXTENSIONS]
    if not files:
        raise ValueError(f"there is no recording in {str(path)!r}.")
    events = None if events is None else [_plain(each) for each in events]
    rows: list[dict[str, Any]] = []
    seen: Counter[str] = Counter()
    chosen: dict[str, list[tuple[float, float, str]]] = {}
    check_number("--tmin", tmin, unit="seconds", low=-np.inf)
    for file in files:
        name = file.relative_to(folder).as_posix()
        raw, origin = open_named(file, name), Origin.of(file)
        found = _events_of(raw, origin, file, name)
        seen.update(label for *_, label in found)
        chosen[name] = [each for each in found if events is None or each[2] in events]
        if duration is not None:
            _check_duration(duration, float(raw.info["sfreq"]), name)
            common = {"file": name, "duration": duration, "group": person_of(file, name)}
            with reading(name):  # the times of its annotations may not be numbers
                windows = _windows(raw, origin, chosen[name], duration, tmin)
            rows += [common | each for each in windows]
    lengths = [length for each in chosen.values() for _, length, _ in each]
    _check(seen, lengths, duration, events, str(path))
    assert duration is not None
    _refuse_two_labels(chosen, duration)
    if not rows:
        raise ValueError(
            f"no annotation in {str(path)!r} has room for a window of {duration:g} s; they last "
            f"{min(lengths):g} to {max(lengths):g} s. Pass a shorter --duration."
        )
    groups_from = "the subjects and files of the recordings"
    if people is not None:
        person = read_people(people, folder, list(chosen))
        rows = [row | {"group": person[row["file"]]} for row in rows]
        groups_from = f"column 'group' of {people.name}"
    return folder, [row | {"row": i} for i, row in enumerate(rows, 1)], groups_from


def _check_duration(duration: float, sfreq: float, name: str) -> None:
    """Raise ValueError if a window has fewer than two samples of a recording."""
    try:
        check_number("--duration", duration, unit="seconds", low=2 / sfreq)
    except ValueError as error:
        raise ValueError(f"{name} has {sfreq:g} Hz: {error}") from error


def _events_of(raw: Any, origin: Origin, file: Path, name: str) -> list[tuple[float, float, str]]:
    """Return onset, duration (s) and description, without those that mark data as bad."""
    found = origin.events()
    if found is None:
        notes, start = raw.annotations, raw.first_time
        if is_sleep_edf(file) and not len(notes):
            notes, start = _stages(file, name), 0.0
        found = [
            (float(note["onset"]) - start, float(note["duration"]), note["description"])
            for note in notes
        ]
    return [
        (onset, length, _plain(label))
        for onset, length, label in found
        if not (is_missing(label.strip()) or marks_bad(label) or is_boundary(label))
    ]


def _plain(text: str) -> str:
    """Return a description without spaces around it; composed and decomposed accents are equal."""
    return unicodedata.normalize("NFC", text.strip())


def _stages(file: Path, name: str) -> Any:
    """Read the sleep stages of a recording, without the epochs that were not scored."""
    import mne

    hypnogram = hypnogram_of(file)
    if hypnogram is None:
        raise ValueError(
            f"{name} has no hypnogram beside it; expected a file such as "
            f"{file.name[:7]}C-Hypnogram.edf. Add it, or move the recording out of the folder."
        )
    try:
        notes = mne.read_annotations(hypnogram)
    except Exception as error:  # as of any other reader
        raise ValueError(f"{hypnogram.name} cannot be read: {error}") from error
    return notes[[text not in _NOT_SCORED for text in notes.description]]


def _refuse_two_labels(chosen: dict[str, list[tuple[float, float, str]]], duration: float) -> None:
    """Raise ValueError if a window of an annotation that lasts would have a second label.

    Windows of annotations without duration may overlap, as after successive stimuli.
    """
    for name, events in chosen.items():
        begin = end = -np.inf
        known = ""
        for onset, length, label in sorted(events, key=lambda each: (each[0], -each[1])):
            n_windows = _n_windows(length, duration)
            if n_windows and label != known and onset < end - _ROUNDED * duration:
                lasting = (text for each in chosen.values() for _, n, text in each if n)
                others = ",".join(text for text in dict.fromkeys(lasting) if text != label)
                raise ValueError(
                    f"{name}: the annotation {label!r} at {onset:g} s is within {known!r}, from "
                    f"{begin:g} to {end:g} s, so that windows would have two labels. Choose "
                    f"annotations that do not overlap, such as --events {others!r}."
                )
            if length and onset + n_windows * duration > end:
                begin, end, known = onset, onset + n_windows * duration, label


def _n_windows(length: float, duration: float) -> int:
    return int(length / duration + 1e-6) if length else 1


def _windows(
    raw: Any,
    origin: Origin,
    events: list[tuple[float, float, str]],
    duration: float,
    tmin: float,
) -> list[dict[str, Any]]:
    """Cut events into windows without bad samples."""
    sfreq = float(raw.info["sfreq"])
    bad = bad_samples(raw, origin.bad_spans())
    rows = []
    for onset, length, label in events:
        # A damaged duration may be that of billions of windows.
        room = max(0.0, raw.n_times / sfreq - onset)
        for i in range(min(_n_windows(length, duration), int(room / duration) + 1)):
            start = onset + (i * duration if length else tmin)
            first = round(start * sfreq)
            stop = first + round(duration * sfreq)
            is_bad = any(first < last and stop > begin for begin, last in bad)
            if first >= 0 and stop <= raw.n_times and not is_bad:
                rows.append({"onset": start, "label": label})
    return rows


def _check(
    seen: Counter[str],
    lengths: list[float],
    duration: float | None,
    events: Sequence[str] | None,
    where: str,
) -> None:
    if not seen:
        raise ValueError(
            f"no recording in {where!r} has annotations. Pass --labels with a CSV file instead. "
            "Annotations that mark data as bad are no labels."
        )
    listed = first_few((f"{label} ({n})" for label, n in seen.most_common()), 10)
    if unknown := [each for each in events or () if each not in seen]:
        raise ValueError(
            f"--events has {unknown[0]!r}, and no annotation in {where!r} has that description. "
            f"They are: {listed}."
        )
    if duration is None:
        raise ValueError(
            f"--labels annotations needs --duration, the length of a window in seconds. The "
            f"annotations are {listed}, of {min(lengths):g} to {max(lengths):g} s."
        )
