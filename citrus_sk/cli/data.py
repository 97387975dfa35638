"""Labelled data of the commands, and their description."""

from __future__ import annotations

import numpy as np
from sklearn.utils import Bunch

from .._utils.validation import check_number
from ..signals.recordings.labelled import read_labelled
from .arguments import DataSource


def load_labelled(source: DataSource, *, labels_needed: bool = True) -> Bunch:
    """Load labelled windows.

    Parameters
    ----------
    source : DataSource
    labels_needed : bool, default=True
        Whether a file of windows must have labels; ``y`` is None without them.

    Returns
    -------
    Bunch
        As `read_labelled`, with ``name``, a name of the data. ``sfreq`` is that of the arguments
        if they have one.

    Raises
    ------
    ValueError
        If the arguments name no data or contradict each other, or the data are not valid.
    OSError
        If a file cannot be read.
    """
    if (source.data is None) == (source.dataset is None):
        raise ValueError("expected either DATA (a file or folder) or --dataset, but not both.")
    check_number("--sfreq", source.sfreq, unit="Hz", open_low=True, alternatives=(None,))
    if source.data is not None:
        bunch = read_labelled(
            source.data, source.labels, picks=source.picks, duration=source.duration,
            events=source.events, tmin=source.tmin, people=source.people,
            labels_needed=labels_needed,
        )  # fmt: skip
        bunch.name = source.data.name
    else:
        bunch = _load_installed(source)
    if source.sfreq is not None:
        bunch.sfreq = source.sfreq
    return bunch


def _load_installed(source: DataSource) -> Bunch:
    for option in ("labels", "picks", "duration", "events", "tmin", "people"):
        if getattr(source, option) is not None:
            raise ValueError(f"--{option} is for a folder of recordings; omit it with --dataset.")
    from ..datasets import load_watch

    watch = load_watch()
    return Bunch(
        X=watch.X, y=watch.y, groups=watch.groups, sfreq=watch.sfreq, ch_names=watch.ch_names,
        ch_kinds=None, groups_from="people", name=source.dataset,
    )  # fmt: skip


def about(bunch: Bunch) -> str:
    """Describe windows in a sentence."""
    shape = np.shape(bunch.X)
    n_chans = shape[1] if len(shape) == 3 else 1
    channels = f"{n_chans} channel{'s' if n_chans > 1 else ''}"
    if bunch.ch_names is not None:
        channels += f" ({', '.join(bunch.ch_names)})"
    length = f"{shape[-1]} samples" + (f" ({shape[-1] / bunch.sfreq:g} s)" if bunch.sfreq else "")
    text = f"{shape[0]} windows of {length}, {channels}"
    if bunch.y is None:
        return f"{text}, without labels."
    text += f", {len(np.unique(bunch.y))} classes"
    if bunch.groups is None:
        text += "; no groups: scores are too high if windows of one person or recording are similar"
    else:
        text += f", {len(np.unique(bunch.groups))} groups ({bunch.groups_from})"
    return f"{text}."
