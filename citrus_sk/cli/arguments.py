"""Arguments that several commands share, and types of arguments. Nothing heavy is imported."""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DATA = (
    "DATA is an .npz file with X, y, and optionally groups, sfreq and ch_names, a CSV file of "
    "windows, or a folder of EDF, BDF, FIF, WFDB or other recordings with --labels."
)


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """Arguments that name labelled data.

    Attributes
    ----------
    data, labels, people : Path or None
        File or folder, table of labels, and table of the person of each recording.
    dataset : str or None
        Name of an installed data set.
    picks, events : list of str or None
        Channels and annotations.
    duration, tmin : float or None
        Length of the windows of annotations in seconds, and their start after an annotation that
        has no duration.
    sfreq : float or None
        Sampling rate in Hz, if the data do not hold it.
    """

    data: Path | None = None
    labels: Path | None = None
    people: Path | None = None
    dataset: str | None = None
    picks: list[str] | None = None
    events: list[str] | None = None
    duration: float | None = None
    tmin: float | None = None
    sfreq: float | None = None


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a `DataSource`."""
    parser.add_argument(
        "data", type=Path, nargs="?", metavar="DATA", help=".npz or CSV file, or folder"
    )
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="CSV",
        help="table of windows: columns file, onset, duration (s), label, and optionally group; "
        "or the word annotations, for the annotations of the recordings or the events of BIDS",
    )
    parser.add_argument(
        "--duration",
        type=float,
        metavar="S",
        help="length of the windows to cut from annotations, in seconds",
    )
    parser.add_argument(
        "--tmin",
        type=float,
        metavar="S",
        help="start of the window of an annotation without duration, such as a beat or a cue, in "
        "seconds after it; negative for before; default: 0",
    )
    parser.add_argument(
        "--events",
        type=names,
        metavar="LIST",
        help="annotations to use, by description; default: all but those that mark data as bad",
    )
    parser.add_argument(
        "--people",
        type=Path,
        metavar="CSV",
        help="for annotations: table with the columns file and group, the person of each "
        "recording; default: subjects of BIDS and of Sleep-EDF, or else a person for each file",
    )
    parser.add_argument(
        "--picks",
        type=names,
        metavar="LIST",
        help="channels of the recordings, by name or kind, such as EEG,EOG; default: all signals",
    )
    parser.add_argument("--dataset", choices=("watch",), help="installed data, instead of DATA")
    parser.add_argument("--sfreq", type=float, metavar="HZ", help="rate, if not in DATA")


def data_source(arguments: argparse.Namespace) -> DataSource:
    """Return the parsed arguments of `add_data`."""
    return DataSource(**{name: getattr(arguments, name) for name in DataSource.__annotations__})


def names(text: str) -> list[str]:
    """Return the names in a list that is separated by commas; quotes are for names with commas."""
    found = [name for each in next(csv.reader([text]), []) if (name := each.strip())]
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list such as EEG,EOG")
    return found


def listed(found: list[str]) -> str:
    """Return names as a list that `names` reads."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(found)
    return text.getvalue()


def numbers(kind: type) -> Callable[[str], list[Any]]:
    """Return a type for argparse, for a list of numbers that is separated by commas."""

    def parsed(text: str) -> list[Any]:
        try:
            return [kind(each) for each in text.split(",") if each.strip()]
        except ValueError:
            example = "0.05,0.2" if kind is float else "1,5"
            raise argparse.ArgumentTypeError(f"{text!r} is not a list such as {example}") from None

    return parsed


def repeats(text: str) -> int | str:
    """Return a number of repeats, or auto."""
    if text != "auto" and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor auto")
    return text if text == "auto" else int(text)


def integer_between(low: int, high: int) -> Callable[[str], int]:
    """Return a type for argparse; its name, integer, is in the error for other values."""

    def integer(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{value} is not between {low} and {high}")
        return value

    return integer
