"""Files of events that ``citrus-sk predict`` writes."""

from __future__ import annotations

import warnings
from typing import Any

from ..signals.recordings.folders import EVENTS

# Ending of the name of the file, by format.
ENDINGS = {"txt": "_annot.txt", "edf": EVENTS}


def event_file(annotations: Any, shift: float, form: str) -> bytes:
    """Return the content of a file of events.

    Parameters
    ----------
    annotations : mne.Annotations
    shift : float
        Seconds to subtract from the onsets, for seconds after the start of the recording.
    form : {"txt", "edf"}
        Text of MNE; or EDF+ without signals, which has labels of any letters.

    Returns
    -------
    bytes
    """
    rows = [
        (each["onset"] - shift, each["duration"], " ".join(each["description"].split()))
        for each in annotations
    ]
    return _text(rows) if form == "txt" else _edf(rows)


def _text(rows: list[tuple[float, float, str]]) -> bytes:
    """Return MNE's text format in UTF-8.

    That of `mne.Annotations.save` has another encoding, which programs that expect UTF-8 reject if
    a label is not ASCII.
    """
    lines = ["# MNE-Annotations", "# onset, duration, description"]
    for onset, duration, label in rows:
        # A comma would end the last column.
        lines.append(f"{onset:.9g},{duration:.9g},{label.replace(',', ';')}")
    return ("\n".join(lines) + "\n").encode()


def _edf(rows: list[tuple[float, float, str]]) -> bytes:
    from edfio import Edf, EdfAnnotation

    # A file needs an annotation; an empty one is the time of the first record, and no event.
    found = [EdfAnnotation(*row) for row in rows] or [EdfAnnotation(0, None, "")]
    return Edf([], annotations=found).to_bytes()


def warn_of_letters(labels: list[str]) -> None:
    """Warn if MNE cannot read a label from a text file."""
    for label in labels:
        if not label.isascii():
            warnings.warn(
                f"The label {label!r} has letters that mne.read_annotations cannot read from text "
                "files; EDFbrowser can. Add --annotations-format edf for files that both can read.",
                UserWarning,
                stacklevel=2,
            )
            return
