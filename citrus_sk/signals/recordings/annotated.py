"""Labelled windows from the annotations of recordings, or from BIDS tables of events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..._utils.validation import check_number, first_few
from ..missing import is_missing
from .folders import ARRAY_EXTENSIONS, search
from .formats import bad_samples, is_boundary, open_named, reading
from .origin import Origin, person_of
from .quality import marks_bad


def annotation_rows(
    path: Path, duration: float | None, events: Sequence[str] | None
) -> tuple[Path, list[dict[str, Any]], str]:
    """List the windows in the annotations of recordings, as a table of labels does.

    An annotation is cut into successive windows, and one without a duration gives the window that
    begins there. Windows that overlap bad stretches, and those beyond an end, are left out.

    Parameters
    ----------
    path : Path
        A recording, or a folder of recordings.
    duration : float or None
        Length of a window in seconds.
    events : sequence of str or None
        Descriptions of the annotations to take; None takes all that do not mark data as bad.

    Returns
    -------
    folder : Path
        Folder of the recordings.
    rows : list of dict
        As `read_label_table` returns them. The group is the subject of a BIDS data set, or the
        file.
    groups_from : str
        Description of the source of the groups.

    Raises
    ------
    ValueError
        If `duration` is missing or out of range, an event does not occur, or no window is found.
    """
    folder = path if path.is_dir() else path.parent
    files = [each for each in search(path).files if each.suffix.lower() not in ARRAY_EXTENSIONS]
    if not files:
        raise ValueError(f"there is no recording in {str(path)!r}.")
    rows: list[dict[str, Any]] = []
    seen: Counter[str] = Counter()
    lengths: list[float] = []
    for file in files:
        name = file.relative_to(folder).as_posix()
        raw, origin = open_named(file, name), Origin.of(file)
        found = _events_of(raw, origin)
        seen.update(label for *_, label in found)
        lengths += [length for _, length, label in found if events is None or label in events]
        if duration is not None:
            _check_duration(duration, float(raw.info["sfreq"]), name)
            chosen = [each for each in found if events is None or each[2] in events]
            common = {"file": name, "duration": duration, "group": person_of(file, name)}
            with reading(name):  # the times of its annotations may not be numbers
                rows += [common | each for each in _windows(raw, origin, chosen, duration)]
    _check(seen, lengths, duration, events, str(path))
    if not rows:
        raise ValueError(
            f"no annotation in {str(path)!r} has room for a window of {duration:g} s; they last "
            f"{min(lengths):g} to {max(lengths):g} s. Pass a shorter --duration."
        )
    for i, row in enumerate(rows):
        row["row"] = i + 1
    return folder, rows, "the subjects and files of the recordings"


def _check_duration(duration: float, sfreq: float, name: str) -> None:
    """Raise ValueError if a window has fewer than two samples of a recording."""
    try:
        check_number("--duration", duration, unit="seconds", low=2 / sfreq)
    except ValueError as error:
        raise ValueError(f"{name} has {sfreq:g} Hz: {error}") from error


def _events_of(raw: Any, origin: Origin) -> list[tuple[float, float, str]]:
    """Return onset, duration (s) and description, without those that mark data as bad."""
    found = origin.events()
    if found is None:
        found = [
            (float(note["onset"]) - raw.first_time, float(note["duration"]), note["description"])
            for note in raw.annotations
        ]
    return [
        (onset, length, label.strip())
        for onset, length, label in found
        if not (is_missing(label.strip()) or marks_bad(label) or is_boundary(label))
    ]


def _windows(
    raw: Any, origin: Origin, events: list[tuple[float, float, str]], duration: float
) -> list[dict[str, Any]]:
    """Cut events into windows without bad samples."""
    sfreq = float(raw.info["sfreq"])
    bad = bad_samples(raw, origin.bad_spans())
    rows = []
    for onset, length, label in events:
        # A damaged duration may be that of billions of windows. Of the sample after the end, a part
        # can belong to the last window by rounding.
        left = max(0.0, min(length, (raw.n_times + 1) / sfreq - onset))
        n_windows = int(left / duration + 1e-6) if length else 1
        for i in range(n_windows):
            start = onset + i * duration
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
            f"no recording in {where!r} has annotations. Pass --labels with a CSV file instead."
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
