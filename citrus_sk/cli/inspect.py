"""``citrus-sk inspect``: what is in the data, before anything is trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from .._utils.optional import progress_bar, require
from .._utils.validation import first_few
from ..evaluation.leakage import alike_windows
from ..signals.recordings.folders import search
from ..signals.recordings.spectra import Spectra
from ..signals.recordings.survey import (
    ChannelSurvey,
    RecordingSurvey,
    survey_file,
    survey_windows,
    unit_of,
)
from ..signals.recordings.window_files import is_window_file
from .arguments import DataSource
from .data import about, load_labelled
from .inspect_page import Inspection, write_inspection
from .output import check_new_file, collected_warnings

_MOST_CHANNELS, _MOST_PEOPLE = 60, 30  # rows of a table
_NO_LABELS = "With --labels, the windows of each person and class are counted as well."
_NO_LABELS_IN_FILE = (
    "The file has no labels. With y in an .npz file, or a column label in a CSV file, the windows "
    "of each class are counted as well."
)
_OTHER_UNIT = 300.0  # ratio of two standard deviations that suggests another unit
# Least share of people with several classes for which adaptation can be recommended.
_MOST_HAVE_SEVERAL = 0.5


def run_inspect(
    source: DataSource,
    *,
    html: Path | None = None,
    overwrite: bool = False,
    progress: bool = True,
    command: str | None = None,
) -> None:
    """Print what recordings, or windows, hold.

    Parameters
    ----------
    source : DataSource
        Data; labels are not needed.
    html : Path or None, default=None
        Page to write as well, with pictures.
    overwrite : bool, default=False
        Whether to replace `html` if it exists.
    progress : bool, default=True
        Whether to show a progress bar.
    command : str or None, default=None
        Command line, to show on the page.

    Raises
    ------
    ValueError
        If the arguments are not valid, or nothing can be read.
    OSError
        If a file cannot be read or written.
    ModuleNotFoundError
        If a page is to be written, and matplotlib is not installed.
    """
    if html is not None:
        check_new_file(html, overwrite=overwrite)
        require("matplotlib", "A page")
    found = Inspection(spectra=None if html is None else Spectra())
    with collected_warnings() as notes:
        if source.dataset is not None or (source.data and is_window_file(source.data)):
            _survey_array(source, found)
        elif source.data is None:
            raise ValueError("expected DATA (a file or folder) or --dataset.")
        else:
            _survey_recordings(source.data, progress, found)
        if found.bunch is None and source.labels is not None:
            found.bunch = load_labelled(source)
        if found.bunch is not None:
            print(f"\n{_describe_labels(found)}")
        else:
            print(f"\n{_NO_LABELS if found.in_files else _NO_LABELS_IN_FILE}")
    if html is not None:
        write_inspection(html, found, notes=notes, command=command)
        print(f"\nPage: {html}")


# --- recordings ----------------------------------------------------------------------------------


def _survey_array(source: DataSource, found: Inspection) -> None:
    bunch = load_labelled(source, labels_needed=False)
    found.name, found.in_files = bunch.name, False
    if bunch.y is None:
        found.remarks = [about(bunch), ""]
    else:
        found.bunch = bunch
    found.recordings = [
        survey_windows(np.asarray(bunch.X), bunch.sfreq, bunch.ch_names, found.spectra)
    ]
    found.channels = _channel_rows(found.recordings)
    remarks = _channel_remarks(found.channels, found.recordings)
    if bunch.sfreq is None:
        remarks.append("The sampling rate is unknown; a rate of 100 Hz is assumed. Pass --sfreq.")
    found.channel_remarks = remarks
    print("\n".join([*found.remarks, *_channel_table(found.channels), *remarks]))


def _survey_recordings(path: Path, progress: bool, found: Inspection) -> None:
    files = search(path, "DATA")
    folder = path if path.is_dir() else path.parent
    found.name = path.resolve().name
    failures: list[str] = []
    for file in progress_bar(files.files, unit="file", shown=progress):
        name = file.relative_to(folder).as_posix()
        try:
            found.recordings += survey_file(file, name, found.spectra)
        except ModuleNotFoundError:
            raise
        except Exception as error:  # noqa: BLE001 - a reader may raise anything for a damaged file
            failures.append(f"{name} cannot be read: {error}")
    if not found.recordings:
        raise ValueError(f"no recording in {path} can be read. {first_few(failures, 3)}".strip())
    failures += [f"{name} was passed over: {reason}." for name, reason in files.passed_over]
    found.channels = _channel_rows(found.recordings)
    found.channel_remarks = _channel_remarks(found.channels, found.recordings)
    length, copies = _length(found.recordings), _copies(found.recordings)
    found.remarks = [length, *copies, *failures]
    lines = [
        length,
        "",
        *_channel_table(found.channels),
        *found.channel_remarks,
        *copies,
        *failures,
    ]
    print("\n".join(lines), flush=True)


def _length(recordings: Sequence[RecordingSurvey]) -> str:
    seconds = np.array([each.seconds for each in recordings])
    people = Counter(each.person for each in recordings)
    several = max(people.values())
    text = (
        f"{len(recordings)} recordings of {len(people)} people (as the files name them, or one for "
        f"each file), {seconds.sum() / 3600:.2f} h in total. {_lasting(seconds)}"
    )
    return text + (f" A person has up to {several} recordings." if several > 1 else "")


def _lasting(seconds: np.ndarray) -> str:
    low, middle, high = (f"{each:.4g}" for each in np.quantile(seconds, [0, 0.5, 1]))
    if low == high:
        return f"A recording lasts {low} s."
    return f"A recording lasts {low} to {high} s, {middle} s in the median."


def _copies(recordings: Sequence[RecordingSurvey]) -> list[str]:
    by_digest: dict[bytes, list[str]] = {}
    for each in recordings:
        by_digest.setdefault(each.digest, []).append(each.name)
    return [f"Equal signals: {', '.join(names)}." for names in by_digest.values() if len(names) > 1]


def _channel_rows(recordings: Sequence[RecordingSurvey]) -> list[list[str]]:
    """Return the head of a table, and a row for each name of a channel."""
    by_name: dict[tuple[str, str], list[ChannelSurvey]] = {}
    for recording in recordings:
        for channel in recording.channels:
            by_name.setdefault((channel.name, channel.kind), []).append(channel)
    head = ["channel", "kind", "recordings", "rate (Hz)", "typical sd", "unit", "flat", "clipped",
            "missing", "mains hum"]  # fmt: skip
    return [head, *([*key, *_channel_row(found)] for key, found in by_name.items())]


def _channel_table(rows: Sequence[Sequence[str]]) -> list[str]:
    lines = _aligned(rows[: _MOST_CHANNELS + 1])
    if len(rows) > _MOST_CHANNELS + 1:
        lines.append(f"and {len(rows) - _MOST_CHANNELS - 1} more channels")
    return lines


def _channel_remarks(
    rows: Sequence[Sequence[str]], recordings: Sequence[RecordingSurvey]
) -> list[str]:
    remarks = []
    if any(int(row[2]) < len(recordings) for row in rows[1:]):
        remarks.append(
            "Not all recordings have the same channels. Choose shared ones with --picks of "
            "citrus-sk fit and evaluate."
        )
    if any(row[5] for row in rows[1:]):
        remarks.append("unit: a guess, the one in which the sd is usual for the kind of signal")
    return remarks


def _channel_row(found: Sequence[ChannelSurvey]) -> list[str]:
    weights = [each.seconds for each in found]
    rates = sorted({each.sfreq for each in found})
    sds = np.array([each.typical for each in found])
    hums = [f"{f:g} Hz in {n}" for f, n in sorted(Counter(f for e in found for f in e.hum).items())]
    return [
        str(len(found)),
        first_few((f"{rate:g}" for rate in rates), 3),
        f"{np.median(sds):.3g}",
        _unit(found[0].kind, sds),
        *(
            _percent(np.average([getattr(each, name) for each in found], weights=weights))
            for name in ("flat", "clipped", "missing")
        ),
        ", ".join(hums) or "no",
    ]


def _unit(kind: str, sds: np.ndarray) -> str:
    """Return the unit that the scale suggests, or "mixed" if recordings seem to differ in it."""
    sds = sds[sds > 0]
    if not len(sds):
        return ""
    return "mixed" if sds.max() > _OTHER_UNIT * sds.min() else unit_of(kind, float(np.median(sds)))


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share else "0"


# --- labels --------------------------------------------------------------------------------------


def _describe_labels(found: Inspection) -> str:
    """Return the text on the labels, and keep its sentences for the page."""
    bunch: Bunch = found.bunch
    y = np.asarray(bunch.y).astype(str)
    if bunch.groups is None:
        table = _aligned([["class", "windows"], *([k, str(n)] for k, n in Counter(y).items())])
        remarks = [
            "There are no groups, so the person of each window is unknown. Add groups for scores "
            "on new people."
        ]
    else:
        people = np.asarray(bunch.groups).astype(str)
        table, remarks = _person_table(people, y), _advice(people, y)
    remarks += _alike(bunch)
    found.label_remarks = [about(bunch), *remarks]
    return "\n".join([about(bunch), "", *table, *remarks])


def _person_table(people: np.ndarray, y: np.ndarray) -> list[str]:
    classes = np.unique(y)
    names = list(dict.fromkeys(people))
    rows = [
        [name, *(str(np.sum((people == name) & (y == each))) for each in classes)]
        for name in names[:_MOST_PEOPLE]
    ]
    total = ["all", *(str(np.sum(y == each)) for each in classes)]
    more = [f"and {len(names) - _MOST_PEOPLE} more people"] if len(names) > _MOST_PEOPLE else []
    return [*_aligned([["windows of", *classes], *rows, total]), *more]


def _advice(people: np.ndarray, y: np.ndarray) -> list[str]:
    """Say whether people can be left out, and whether adaptation may help."""
    by_person = {name: set(y[people == name]) for name in np.unique(people)}
    n_people = {each: sum(each in own for own in by_person.values()) for each in np.unique(y)}
    n_classes = [len(own) for own in by_person.values()]
    lines = [f"\nA person has {np.median(n_classes):g} of {len(n_people)} classes in the median."]
    if len(by_person) < 2:
        lines.append("There is one person, so no score on new people can be estimated.")
    elif alone := [each for each, n in n_people.items() if n < 2]:
        lines.append(
            f"Of {first_few(alone)} there is one person only: if this person is left out, the "
            "class is unknown, so scores on new people are too low."
        )
    else:
        lines.append(
            f"People can be left out: each class has at least {min(n_people.values())} people."
        )
    if np.mean([n > 1 for n in n_classes]) > _MOST_HAVE_SEVERAL:
        lines.append(
            "Most people have several classes, so that adapting to a new person may help: "
            "citrus-sk evaluate --adapt measures it."
        )
    else:
        lines.append(
            "Most people have a single class, so that adapting to a person would remove the label: "
            "do not use --adapt."
        )
    return lines


def _alike(bunch: Bunch) -> list[str]:
    lines = []
    for kind, first, second in alike_windows(np.asarray(bunch.X)):
        if len(first):
            apart = ""
            if bunch.groups is not None:
                groups = np.asarray(bunch.groups)
                apart = f", {np.sum(groups[first] != groups[second])} of them of two people"
            lines.append(
                f"{len(first)} pairs of windows {kind} each other{apart}, such as windows "
                f"{first[0]} and {second[0]}.".replace("identical to each other", "identical")
            )
    return lines


def _aligned(rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the rows of a table with columns of equal width; the first one is on the left."""
    listed = [list(map(str, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*listed, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in listed
    ]
