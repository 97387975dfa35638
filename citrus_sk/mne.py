"""From MNE's recordings to windows with labels.

Every estimator takes `mne.Epochs` as they are, in MNE's units (volts, tesla, siemens), with the
rate and the channels of their ``info``. The functions of this module cut recordings into Epochs
and extract labels and groups.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ._containers import drop_reasons, labels_of, signal_picks
from ._parameters import check_choice, check_number
from ._recordings.edf import check_one_rate

if TYPE_CHECKING:
    from mne import Epochs
    from mne.io import BaseRaw

__all__ = ["labels_of", "make_epochs"]


def make_epochs(
    raw: BaseRaw,
    events: Any = None,
    event_id: dict[str, int] | None = None,
    *,
    duration: float,
    tmin: float = 0.0,
    overlap: float = 0.0,
    picks: str | Sequence[str] | None = None,
    reject_by_annotation: bool = True,
    on_missing: str = "warn",
    event_repeated: str = "error",
) -> Epochs:
    """Cut a recording into windows: after its events, or end to end.

    Parameters
    ----------
    raw : mne.io.Raw
        Not changed. In volts, as MNE holds recordings.
    events : array-like of shape (n_events, 3) or None, default=None
        As `mne.find_events` and `mne.events_from_annotations` give them. None cuts windows of
        fixed length from the whole recording.
    event_id : dict of str to int, or None, default=None
        Names of the events' codes, which become the labels; events of other codes are left out.
    duration : float
        Length of a window in seconds. It has ``round(duration * sfreq)`` samples: the sample at
        its end belongs to the next one.
    tmin : float, default=0.0
        Start of a window in seconds after its event.
    overlap : float, default=0.0
        Seconds that a window of fixed length shares with the one before it, below `duration`.
    picks : str, sequence of str or None, default=None
        Names of channels, or a kind of them such as ``"eeg"``. None takes every signal: not
        the stimulus and marked-bad channels, and miscellaneous ones only where there are no others.
    reject_by_annotation : bool, default=True
        Whether windows that an annotation touches whose description begins with "bad" are left
        out.
    on_missing : {"warn", "raise", "ignore"}, default="warn"
        What to do about a code in `event_id` that has no event, such as a sleep stage that a
        person did not reach: the others are cut, with a warning or without, or an error is raised.
    event_repeated : {"error", "drop"}, default="error"
        What to do where several events with codes in `event_id` are at one sample: raise an
        error, or keep the first. The same event twice is always cut once.

    Returns
    -------
    mne.Epochs
        In memory, without the bad ones, neither baseline-corrected nor filtered.

    Raises
    ------
    TypeError
        If `raw` is not a recording or a parameter is of a wrong type.
    ValueError
        If a number is out of its range, a channel is missing or named twice, the picked signals of
        an EDF file were sampled at unequal rates, events have no code in `event_id` or share a
        sample, or no window is left.

    Warns
    -----
    UserWarning
        If a code in `event_id` has no event.

    Examples
    --------
    >>> import mne
    >>> import numpy as np
    >>> from citrus_sk.mne import labels_of, make_epochs
    >>> signals = 1e-5 * np.random.default_rng(0).standard_normal((2, 6000))
    >>> raw = mne.io.RawArray(signals, mne.create_info(["C3", "C4"], 100, "eeg"), verbose="error")
    >>> make_epochs(raw, duration=2).get_data(copy=False).shape
    (30, 2, 200)
    >>> events = np.array([[500, 0, 1], [1500, 0, 2], [2500, 0, 1]])
    >>> labels_of(make_epochs(raw, events, {"left": 1, "right": 2}, duration=1.5)).tolist()
    ['left', 'right', 'left']
    """
    import mne

    if not isinstance(raw, mne.io.BaseRaw):
        raise TypeError(
            f"raw is a {type(raw).__name__}; expected an mne.io.Raw, as mne.io.read_raw gives it."
        )
    sfreq = float(raw.info["sfreq"])
    check_number("duration", duration, unit="seconds", low=2 / sfreq)
    check_number("tmin", tmin, unit="seconds", low=-np.inf)
    check_number("overlap", overlap, unit="seconds")
    check_choice("on_missing", on_missing, ("warn", "raise", "ignore"))
    check_choice("event_repeated", event_repeated, ("error", "drop"))
    chosen = pick_channels(raw, picks)
    for path in raw.filenames:
        if path is not None:
            remedy = "Name channels of one rate in picks."
            check_one_rate(Path(path), [raw.ch_names[pick] for pick in chosen], remedy)
    if events is None:
        if overlap >= duration:
            raise ValueError(f"overlap={overlap!r} is out of range; expected less than duration.")
        if event_id is not None:
            raise ValueError("event_id names codes of events, and events is None. Pass both.")
        if round(duration * sfreq) > raw.n_times:
            raise ValueError(
                f"No window of duration={duration:g} s fits into the {raw.n_times / sfreq:g} s of "
                "the recording. Ask for shorter windows."
            )
        events = mne.make_fixed_length_events(raw, duration=duration, overlap=overlap)
    elif overlap:
        raise ValueError(f"overlap={overlap!r} is for windows of fixed length; events have starts.")
    else:
        events = _check_events(events)
        event_id = _present_codes(events, event_id, on_missing)
        codes = np.unique(events[:, 2]) if event_id is None else [*event_id.values()]
        events = _distinct_events(events, codes, sfreq, event_repeated)
    epochs = mne.Epochs(
        raw, events, event_id,
        tmin=tmin, tmax=tmin + (round(duration * sfreq) - 1) / sfreq,
        baseline=None, picks=chosen, preload=True, reject_by_annotation=reject_by_annotation,
        verbose="error",
    )  # fmt: skip
    if not len(epochs):
        raise ValueError(
            f"No window of duration={duration:g} s is left of {len(epochs.drop_log)} "
            f"({drop_reasons(epochs)}). Look at the annotations whose description begins with BAD, "
            "and whether windows fit between the events and the end of the recording."
        )
    return epochs


def _check_events(events: Any) -> np.ndarray:
    events = np.asarray(events)
    if events.ndim != 2 or events.shape[1] != 3 or events.dtype.kind not in "iu":
        raise ValueError(
            f"events has shape {events.shape} and dtype {events.dtype}; expected integers of shape "
            "(n_events, 3): sample, value before, code. mne.events_from_annotations and "
            "mne.find_events give them."
        )
    if not len(events):
        raise ValueError(
            "events is empty: the recording has none of these. Look at raw.annotations and its "
            "stimulus channel, or pass events=None for windows of fixed length."
        )
    return events


def _present_codes(
    events: np.ndarray, event_id: dict[str, int] | None, on_missing: str
) -> dict[str, int] | None:
    """The codes in `event_id` that have an event, by their names."""
    if event_id is None:
        return None
    if not isinstance(event_id, dict):
        raise TypeError(
            f"event_id={event_id!r} is a {type(event_id).__name__}; expected a dict from names to "
            "codes, such as {'left': 1, 'right': 2}."
        )
    known = set(events[:, 2].tolist())
    present = {name: code for name, code in event_id.items() if code in known}
    missing = {name: code for name, code in event_id.items() if code not in known}
    if not missing or (present and on_missing == "ignore"):
        return present
    named = ", ".join(f"{name} ({code})" for name, code in missing.items())
    text = (
        f"event_id: no event has the code of {named}; the recording has the codes "
        f"{', '.join(map(str, sorted(known)))}."
    )
    if not present or on_missing == "raise":
        raise ValueError(
            f"{text} Correct event_id, or pass on_missing='warn' to cut those that are there."
        )
    warnings.warn(f"{text} Windows of the others are cut.", UserWarning, stacklevel=3)
    return present


def _distinct_events(
    events: np.ndarray, codes: Sequence[int] | np.ndarray, sfreq: float, event_repeated: str
) -> np.ndarray:
    """Events of these codes in their order, at most one at a sample."""
    events = events[np.isin(events[:, 2], codes)]
    _, first = np.unique(events[:, [0, 2]], axis=0, return_index=True)
    events = events[np.sort(first)]
    samples, first, counts = np.unique(events[:, 0], return_index=True, return_counts=True)
    if (counts > 1).any() and event_repeated == "error":
        sample = samples[counts > 1][0]
        shared = ", ".join(map(str, events[events[:, 0] == sample, 2]))
        raise ValueError(
            f"events has {np.sum(counts > 1)} sample(s) with several events, first at sample "
            f"{sample} ({sample / sfreq:g} s): codes {shared}. Name the codes to cut in event_id, "
            "or pass event_repeated='drop' to keep the first event of each sample."
        )
    return events[np.sort(first)]


def pick_channels(raw: Any, picks: Any) -> list[int]:
    """Indices of the picked channels of a recording, in their order."""
    if picks is None:
        chosen = signal_picks(raw)
        if not chosen:
            raise ValueError(
                f"raw has no signal: all of its {len(raw.ch_names)} channels are stimulus channels "
                "or marked bad. Name some in picks."
            )
        return chosen
    named = [picks] if isinstance(picks, str) else list(picks)
    if len(named) == 1 and named[0] in set(raw.get_channel_types()) - set(raw.ch_names):
        return [pick for pick in signal_picks(raw) if raw.get_channel_types()[pick] == named[0]]
    if any(isinstance(each, Integral) for each in named):
        raise TypeError(f"picks={picks!r} holds numbers; expected names, which are unambiguous.")
    if twice := sorted({name for name in named if named.count(name) > 1}):
        raise ValueError(f"picks names {', '.join(map(repr, twice))} more than once.")
    if missing := [name for name in named if name not in raw.ch_names]:
        raise ValueError(
            f"picks names {missing[0]!r}, and the recording has {', '.join(raw.ch_names)}. "
            f"{_numbered(missing[0], raw.ch_names)}"
        )
    return [raw.ch_names.index(name) for name in named]


def _numbered(name: str, known: list[str]) -> str:
    alike = [each for each in known if each.rpartition("-")[0] == name]
    if not alike:
        return "Name channels that it has, or a kind such as 'eeg'."
    return (
        f"Its file gives that name to {len(alike)} channels, which MNE tells apart by a number: "
        f"pick one of {', '.join(alike)}, or rename them with raw.rename_channels."
    )
