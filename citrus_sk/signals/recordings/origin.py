"""Data set and subject of a file, and the tables that describe its channels and events."""

from __future__ import annotations

import csv
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..missing import is_missing
from ..modalities import ChannelTable
from .folders import BIDS_SUBJECT, COPIES, ORIGINALS, STAGES, is_data_set, named_files
from .label_tables import is_of_kind
from .quality import marks_bad

_SLEEP_EDF = re.compile(r"((SC4|ST7)\d\d)\d\w\w-PSG\.edf", re.IGNORECASE)
_LICENCE_FILES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "LICENCE.txt")


@dataclass(frozen=True)
class Origin:
    """Data set and subject of a file.

    Attributes
    ----------
    dataset, subject : str
        Names of the data set and of the subject.
    about : dict
        "licence", "source" and "citation" of the data set, if known.
    companions : tuple of Path
        Other files on which the recording depends: tables, descriptions, and its further files.
    """

    dataset: str
    subject: str
    about: dict[str, str]
    companions: tuple[Path, ...] = ()

    @classmethod
    def of(cls, path: Path) -> Origin:
        """Find the origin of a file by a BIDS-like path, else by the names of file and folder."""
        path = path.absolute()
        folder, subject = _data_set_and_subject(path)
        dataset, about = folder.name or "recordings", {}
        description = folder / "dataset_description.json"
        companions = [description, *(folder / name for name in _LICENCE_FILES)]
        companions += [*_table(path, folder, "channels"), *_table(path, folder, "events")]
        named = sorted(named_files(path))
        # A WFDB header that names a file in another folder is refused.
        is_wfdb = path.suffix.lower() == ".hea"
        companions += [path.with_name(each) if is_wfdb else path.parent / each for each in named]
        if path.suffix == ".npy":
            companions.append(path.with_suffix(".json"))
        companions = [
            each for each in companions if is_of_kind(Path.is_file, each) and each != path
        ]
        if description in companions:
            content = json_object(description.read_bytes(), description.name)
            dataset = str(content.get("Name") or dataset)
            about = _about_bids(content)
        for companion in companions:
            if companion.name in _LICENCE_FILES and "licence" not in about:
                lines = companion.read_text(errors="replace").strip().splitlines()
                about |= {"licence": lines[0].strip()} if lines else {}
        return cls(dataset, subject, about, tuple(companions))

    def channel_table(self) -> ChannelTable:
        """Read the BIDS table of channels; it is empty if there is none."""
        return ChannelTable(*self._rows("channels.tsv"))

    def events(self) -> list[tuple[float, float, str]] | None:
        """Read onset and duration, in seconds, and the ``trial_type`` of BIDS events.

        None if there is no table of events.
        """
        name, rows = self._rows("events.tsv")
        if not name:
            return None
        return [(*_span(name, row, "has an event"), row.get("trial_type") or "") for row in rows]

    def bad_spans(self) -> list[tuple[float, float]]:
        """Read onset and end, in seconds, of the events that a BIDS table marks as bad."""
        name, rows = self._rows("events.tsv")
        bad = [row for row in rows if marks_bad(row.get("trial_type") or "")]
        spans = [_span(name, row, "marks data as bad") for row in bad]
        return [(onset, onset + duration) for onset, duration in spans]

    def _rows(self, ending: str) -> tuple[str, list[dict[str, str]]]:
        """Read the name and rows of a table among the companions; empty if there is none."""
        for path in self.companions:
            if path.name.endswith(ending):
                with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
                    return path.name, list(csv.DictReader(file, delimiter="\t"))
        return "", []


def person_of(path: Path, name: str) -> str:
    """Return the subject that a BIDS path, or a file of Sleep-EDF, names; `name` if none."""
    _, subject = _data_set_and_subject(path.absolute())
    return name if subject == _stem(path) else subject


def is_sleep_edf(path: Path) -> bool:
    """Return True if a file is named like the recordings of Sleep-EDF."""
    return _SLEEP_EDF.fullmatch(path.name) is not None


def hypnogram_of(path: Path) -> Path | None:
    """Return the file with the sleep stages of a recording of Sleep-EDF; None if there is none.

    It is beside the recording, and the names of both begin with the same seven characters.
    """
    beginning = path.name[:7].lower()
    names = {each.name.lower(): each for each in path.parent.iterdir()}
    found = [name for name in names if name.startswith(beginning) and name.endswith(STAGES)]
    return names[min(found)] if found else None


def _span(name: str, row: dict[str, str], problem: str) -> tuple[float, float]:
    """Return onset and duration of an event in seconds; `name` is that of its table."""
    try:
        onset, duration = float(row["onset"]), _seconds(row.get("duration"))
        if not (math.isfinite(onset) and math.isfinite(duration)):
            raise ValueError("not finite")
    except (KeyError, ValueError, TypeError) as error:
        raise ValueError(f"{name} {problem} without a valid onset or duration: {row}") from error
    return onset, duration


def _seconds(text: str | None) -> float:
    """Return a duration in seconds; 0 if it is missing."""
    return 0.0 if is_missing(text) else float(text or 0)


def _data_set_and_subject(path: Path) -> tuple[Path, str]:
    """Return the folder of the data set of a file, and the subject."""
    folder, subject = path.parent, _stem(path)
    if match := BIDS_SUBJECT.match(path.name):
        subject = match[0]
    elif match := _SLEEP_EDF.fullmatch(path.name):
        subject = match[1].upper()
    for parent in path.parents[:3]:  # sub-XX/ses-YY/eeg: no folder further up is a subject
        if BIDS_SUBJECT.fullmatch(parent.name):
            folder, subject = parent.parent, parent.name
            break
    # Copies below a data set have the subjects of that data set.
    for parent in (folder, *folder.parents[:2]):
        if parent.name in COPIES and is_data_set(parent.parent):
            originals = parent.parent / ORIGINALS
            folder = originals if originals.is_dir() else parent.parent
    return folder, subject


def _about_bids(content: dict[str, Any]) -> dict[str, str]:
    authors = content.get("Authors")
    authors = authors if isinstance(authors, list) else []
    known = {
        "licence": content.get("License"),
        "source": content.get("DatasetDOI"),
        "citation": content.get("HowToAcknowledge") or ", ".join(map(str, authors)),
    }
    return {key: str(value) for key, value in known.items() if value}


def _stem(path: Path) -> str:
    name = path.name[:-3] if path.name.lower().endswith(".gz") else path.name
    return Path(name).stem


def _table(path: Path, top: Path, kind: str) -> list[Path]:
    """Find the nearest BIDS table of "channels" or "events" that applies, not above `top`.

    By the inheritance principle a table applies to all recordings beside and below it whose names
    contain all parts of the name of the table.
    """
    parts = set(_stem(path).split("_"))
    for folder in path.parents:
        tables = [*folder.glob(f"*_{kind}.tsv"), folder / f"{kind}.tsv"]
        found = [
            (names, table)
            for table in tables
            if (names := set(table.stem.split("_")[:-1])) <= parts and table.is_file()
        ]
        if found:
            return [max(found, key=lambda each: len(each[0]))[1]]
        if folder == top:
            break
    return []


def json_object(content: bytes, name: str, kind: type = dict) -> Any:
    """Return the object, or the list, in a JSON file."""
    try:
        result = json.loads(content.decode())
    except ValueError as error:
        raise ValueError(f"{name} is not valid JSON: {error}") from error
    if not isinstance(result, kind):
        raise ValueError(f"{name} holds a {type(result).__name__}; expected a {kind.__name__}")
    return result
