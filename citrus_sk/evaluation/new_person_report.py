"""The part of a report about new people."""

from __future__ import annotations

from .._utils.html_page import html_figure, new_figure
from .new_person_display import NewPersonDisplay
from .new_person_result import LABELLED, NOTHING, UNLABELLED, NewPersonCurve
from .peers import is_recentred
from .report_parts import scores_table
from .score_lines import curve_size

_TEXTS = {
    NOTHING: "<strong>Nothing known</strong>: each window is classified by itself.",
    UNLABELLED: "<strong>Unlabelled windows</strong>: all test windows of the person are "
    "classified together, and a classifier may use what they have in common. This is the case of a "
    "person whose windows are all recorded before the first is classified, and who does each class "
    "about as often as the others do.",
}
_ABOUT_RECENTRED = (
    "<p>A classifier that is marked as <strong>recentred</strong> is the one of that name with one "
    "step more: the mean of each person is removed from its features, in training and, from "
    "unlabelled windows on, for the new person. Compare a classifier that adapts with these, so "
    "that the gain of recentring is not taken for a gain of the model.</p>"
)


def new_person_block(curve: NewPersonCurve) -> list[str]:
    """Tables and plots in HTML, with an explanation of what is known of a person."""
    known = {row["known"] for row in curve.rows}
    parts = [
        "<h2>A new person</h2>",
        f"<p>{_protocol(curve)}</p>",
        "<ul>",
        *(f"<li>{text}</li>" for each, text in _TEXTS.items() if each in known),
        *([f"<li>{_labelled(curve)}</li>"] if LABELLED in known else []),
        "</ul>",
        *([_ABOUT_RECENTRED] if any(map(is_recentred, curve.estimators)) else []),
        "<p>Means over people, with the 95&nbsp;% interval of the corrected resampled t-test in "
        "small print. It is wide where people differ, so intervals can overlap although one "
        "classifier is better on every person.</p>",
    ]
    head = [_heading(each) for each in curve.known]
    for metric in curve.metrics:
        bands = {name: [band for _, band in curve.bands(name, metric)] for name in curve.estimators}
        parts.append(scores_table(metric, head, bands))
        figure, ax = new_figure(curve_size(len(curve.estimators)))
        # Without the chance level, which is far below and in the plots above.
        NewPersonDisplay(curve=curve, metric=metric).plot(ax, chance=False)
        text = f"{metric} on a new person, with 95\u00a0% intervals over people"
        parts.append(html_figure(figure, text))
    return parts


def _protocol(curve: NewPersonCurve) -> str:
    n_people = len(curve.people)
    return (
        f"Each of the {n_people} people is left out once. The classifiers are trained on all "
        f"windows of the other {n_people - 1}, and tested on the same windows of the one left out, "
        "whatever is known of this person:"
    )


def _labelled(curve: NewPersonCurve) -> str:
    shuffled = curve.settings.get("shuffle", True)
    which = "drawn at random" if shuffled else "the first ones in the order of the data"
    return (
        "<strong>Labelled windows</strong>: as many windows of each class of the person as the "
        f"column states are labelled, {which}. They are not tested on. A classifier that can be "
        "personalised is; any other is trained again with these windows added."
    )


def _heading(known: str | int) -> str:
    return known if isinstance(known, str) else f"{known} per class"
