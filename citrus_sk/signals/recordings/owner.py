"""The data set and the person that a file belongs to, and the files that say more about it."""

from __future__ import annotations

import csv
import glob
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..modalities import ChannelTable
from .folders import COPIES, is_data_set
from .formats import SEVERAL_FILES

_BIDS_SUBJECT = re.compile(r"sub-[A-Za-z0-9]+")
_SLEEP_EDF = re.compile(r"((SC4|ST7)\d\d)\d\w\w-PSG\.edf", re.IGNORECASE)
_LICENCE_FILES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "LICENCE.txt")


@dataclass(frozen=True)
class Owner:
    """Whose recordings a file holds.

    Attributes
    ----------
    dataset, subject : str
        The subject without the data set before it.
    about : dict
        "licence", "source" and "citation" of the data set, as far as they are known.
    companions : tuple of Path
        Files beside it that say more about it.
    """

    dataset: str
    subject: str
    about: dict[str, str]
    companions: tuple[Path, ...] = ()

    @classmethod
    def of(cls, path: Path) -> Owner:
        """By a BIDS-like path, by the names of Sleep-EDF, else by folder and file name."""
        path = path.absolute()
        folder, subject = _data_set_and_subject(path)
        dataset, about = folder.name or "recordings", {}
        description = folder / "dataset_description.json"
        companions = [description, *(folder / name for name in _LICENCE_FILES)]
        companions += _channels_table(path, folder)
        if path.suffix == ".npy":
            companions.append(path.with_suffix(".json"))
        elif path.suffix.lower() in SEVERAL_FILES:
            companions += sorted(path.parent.glob(f"{glob.escape(_stem(path))}.*"))
        companions = [each for each in companions if each.is_file() and each != path]
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
        """The BIDS table of the channels; empty where there is none."""
        for path in self.companions:
            if path.name.endswith("channels.tsv"):
                with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
                    return ChannelTable(path.name, list(csv.DictReader(file, delimiter="\t")))
        return ChannelTable("", [])


def _data_set_and_subject(path: Path) -> tuple[Path, str]:
    """The folder of the data set that a file belongs to, and the person."""
    folder, subject = path.parent, _stem(path)
    if match := _BIDS_SUBJECT.match(path.name):
        subject = match[0]
    elif match := _SLEEP_EDF.fullmatch(path.name):
        subject = match[1].upper()
    for level in path.parents[:3]:  # sub-XX/ses-YY/eeg: what is further up is no subject
        if _BIDS_SUBJECT.fullmatch(level.name):
            folder, subject = level.parent, level.name
            break
    # Copies below a data set are of the people of that data set.
    for level in (folder, *folder.parents[:2]):
        if level.name in COPIES and is_data_set(level.parent):
            folder = level.parent
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


def _channels_table(path: Path, top: Path) -> list[Path]:
    """The BIDS table of the channels: the nearest one that applies, at most as high as `top`.

    By the inheritance principle a table applies to all recordings beside and below it whose names
    have all parts of its own.
    """
    parts = set(_stem(path).split("_")[:-1])
    for folder in path.parents:
        tables = [*folder.glob("*_channels.tsv"), folder / "channels.tsv"]
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
    """The object, or the list, that a JSON file holds."""
    try:
        result = json.loads(content.decode())
    except ValueError as error:
        raise ValueError(f"{name} is not valid JSON: {error}") from error
    if not isinstance(result, kind):
        raise ValueError(f"{name} holds a {type(result).__name__}; expected a {kind.__name__}")
    return result
