"""Page of ``citrus-sk inspect``: what it prints, with pictures, as self-contained HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from .._utils.files import without_home
from .._utils.html_page import html_table, write_page
from ..evaluation.splitters import draw_fraction
from ..signals.recordings.spectra import Spectra
from ..signals.recordings.survey import RecordingSurvey
from . import inspect_figures as figures

_FRACTIONS = (0.01, 0.05, 0.2)
_MOST_PEOPLE = 100  # rows of the table
_ABOUT_CHANNELS = (
    "<p>Typical sd: median of the standard deviations within seconds. Flat, clipped and missing: "
    "shares of the samples. Mains hum: recordings with a peak at 50 or 60&nbsp;Hz of at least ten "
    "times the power beside it, in their first five minutes.</p>"
)
_ABOUT_SPECTRA = (
    "<p>Power spectral density of the channels of each kind, relative to the total power of each "
    "channel, in the first five minutes of each recording. Lines: means over channels. Shades: "
    "their range. Dotted lines: 50 and 60&nbsp;Hz.</p>"
)
_ABOUT_SHARES = (
    "<p>A stratified share is that part of the windows of each class, rounded, and at least one "
    "window of each. The people are those of whom a window is drawn; another draw can have more or "
    "fewer.</p>"
)
_ABOUT_EXAMPLES = (
    "<p>One window of each class, of the same person where this person has the class. A channel "
    "has the same scale in all pictures.</p>"
)


@dataclass(kw_only=True)
class Inspection:
    """Results of `run_inspect`.

    Attributes
    ----------
    name : str
        Name of the data.
    recordings : list of RecordingSurvey
        Recordings; windows of an array count as one.
    in_files : bool
        Whether the recordings are files, and not windows of an array.
    spectra : Spectra or None
        Spectra; None if no page is written.
    channels : list of list of str
        Rows of the table of channels, the first of which is its head.
    remarks, channel_remarks, label_remarks : list of str
        Sentences on the recordings, the channels and the labels.
    bunch : Bunch or None
        Labelled windows.
    """

    name: str = ""
    recordings: list[RecordingSurvey] = field(default_factory=list)
    in_files: bool = True
    spectra: Spectra | None = None
    channels: list[list[str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    channel_remarks: list[str] = field(default_factory=list)
    label_remarks: list[str] = field(default_factory=list)
    bunch: Bunch | None = None


def write_inspection(
    path: Path, found: Inspection, *, notes: Sequence[str] = (), command: str | None = None
) -> None:
    """Write the page.

    Parameters
    ----------
    path : Path
        File to write.
    found : Inspection
    notes : sequence of str, default=()
        Warnings to show at the top.
    command : str, default=None
        Command line, to show on the page.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    title = f"What is in {found.name}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        *([f"<p>Made by <code>{escape(without_home(command))}</code></p>"] if command else []),
        *(f'<p class="note">{escape(without_home(note))}</p>' for note in notes),
        *_recordings(found),
        *_channels(found),
        *(_labels(found.bunch, found.label_remarks) if found.bunch is not None else []),
    ]
    write_page(path, title, parts)


def _paragraphs(sentences: Sequence[str]) -> list[str]:
    return [f"<p>{escape(text.strip())}</p>" for text in sentences if text.strip()]


def _recordings(found: Inspection) -> list[str]:
    if not found.in_files:
        return _paragraphs(found.remarks)
    return ["<h2>Recordings</h2>", *_paragraphs(found.remarks), figures.lengths(found.recordings)]


def _channels(found: Inspection) -> list[str]:
    head, *rows = found.channels
    parts = [
        "<h2>Channels</h2>",
        html_table("channels", head, [list(map(escape, row)) for row in rows]),
        _ABOUT_CHANNELS,
        *_paragraphs(found.channel_remarks),
    ]
    channels = [channel for each in found.recordings for channel in each.channels]
    if any(each.flat or each.clipped or each.missing for each in channels):
        parts.append(figures.flaws(found.recordings))
    if found.spectra is not None and (spectra := found.spectra.found()):
        parts += ["<h2>Spectra</h2>", _ABOUT_SPECTRA, figures.spectra(spectra)]
    return parts


def _labels(bunch: Bunch, remarks: Sequence[str]) -> list[str]:
    y = np.asarray(bunch.y).astype(str)
    people = None if bunch.groups is None else np.asarray(bunch.groups).astype(str)
    parts = ["<h2>Labels</h2>", *_paragraphs(remarks[:1]), _classes(y, people), _ABOUT_SHARES]
    if people is not None:
        parts.append(_people(y, people))
    parts += _paragraphs(remarks[1:])
    return [*parts, "<h2>Examples</h2>", _ABOUT_EXAMPLES, figures.examples(bunch)]


def _classes(y: np.ndarray, people: np.ndarray | None) -> str:
    """Table of the windows of each class, of all and of stratified shares."""
    everything = np.arange(len(y))
    draws = [draw_fraction(everything, y, share, (0, 0))[0] for share in _FRACTIONS]
    rows = [
        [escape(label), *(str(np.sum(y[drawn] == label)) for drawn in [everything, *draws])]
        for label in np.unique(y)
    ]
    rows.append(["all", *(str(len(drawn)) for drawn in [everything, *draws])])
    if people is not None:
        n_people = [len(np.unique(people[drawn])) for drawn in [everything, *draws]]
        rows.append(["people", *map(str, n_people)])
    head = ["", "all", *(f"{100 * share:g}\u00a0%" for share in _FRACTIONS)]
    return html_table("windows of each class, in all and in stratified shares", head, rows)


def _people(y: np.ndarray, people: np.ndarray) -> str:
    """Table of the windows of each person and class, shaded by their number."""
    classes, names = np.unique(y), list(dict.fromkeys(people))
    counts = np.array([[np.sum((people == name) & (y == each)) for each in classes]
                       for name in names[:_MOST_PEOPLE]])  # fmt: skip
    top = max(1, counts.max())
    rows = [
        [escape(name), *(_shaded(n, n / top) for n in row)]
        for name, row in zip(names, counts.tolist(), strict=False)
    ]
    caption = "windows of each person and class"
    if len(names) > _MOST_PEOPLE:
        caption += f", the first {_MOST_PEOPLE} of {len(names)} people"
    return html_table(caption, ["", *classes], rows)


def _shaded(count: int, share: float) -> str:
    """Cell with a background that is legible under light and dark letters."""
    if not count:
        return '<td class="none">0</td>'
    return f'<td style="background: rgb(86 180 233 / {0.6 * share:.2f})">{count}</td>'
