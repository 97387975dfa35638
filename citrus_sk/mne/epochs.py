"""Windows from recordings of MNE."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._utils.validation import check_choice, check_number
from ..signals.containers import drop_reasons
from ..signals.picks import pick_channels
from ..signals.recordings.rates import check_one_rate

if TYPE_CHECKING:
    from mne import Epochs
    from mne.io import BaseRaw


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
    """Cut a recording into windows, around its events or of fixed length.

    Parameters
    ----------
    raw : mne.io.Raw
        Recording, in the units of MNE. It is not changed.
    events : array-like of shape (n_events, 3) or None, default=None
        Events as `mne.find_events` and `mne.events_from_annotations` return them. None cuts
        windows of fixed length from the whole recording.
    event_id : dict of str to int, or None, default=None
        Codes of the events by name. Names become the labels, and events with other codes are left
        out.
    duration : float
        Length of a window in seconds. It has ``round(duration * sfreq)`` samples, without the
        sample at its end.
    tmin : float, default=0.0
        Start of a window in seconds after its event.
    overlap : float, default=0.0
        Overlap of successive windows of fixed length in seconds, at least one sample less than
        `duration`.
    picks : str, sequence of str or None, default=None
        Names of channels, or kinds such as ``"eeg"``, which select the channels of that kind that
        are not marked bad. If a channel has MNE's default type, as in EDF files, its kind is
        inferred from its name. None takes all signals: no stimulus channels or bad channels, and
        miscellaneous channels only if the recording has no other signals.
    reject_by_annotation : bool, default=True
        Whether to drop windows that overlap an annotation whose description begins with "bad".
    on_missing : {"warn", "raise", "ignore"}, default="warn"
        Handling of a code in `event_id` that has no event, such as a sleep stage that a person
        did not reach: cut the other windows, with or without a warning, or raise an error.
    event_repeated : {"error", "drop"}, default="error"
        Handling of several events with codes in `event_id` at one sample: raise an error, or keep
        the first one. Of identical events only one is cut in any case.

    Returns
    -------
    mne.Epochs
        Windows in memory, without rejected ones, baseline correction or filtering.

    Raises
    ------
    TypeError
        If `raw` is not a recording or a parameter is of a wrong type.
    ValueError
        If a number is out of range; if a channel is missing or picked twice; if the picked signals
        of an EDF or GDF file were sampled at unequal rates; if an EDF file has gaps, or no scale
        for a picked signal; if `event_id` has two names for one code, or no code of an event; if
        several events are at one sample; or if no window is left.

    Warns
    -----
    UserWarning
        If a code in `event_id` has no event, or MNE interpolated the picked signals of an EDF file.

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
            f"raw is a {type(raw).__name__}; expected an mne.io.Raw, as mne.io.read_raw returns it."
        )
    sfreq = float(raw.info["sfreq"])
    check_number("duration", duration, unit="seconds", low=2 / sfreq)
    check_number("tmin", tmin, unit="seconds", low=-np.inf)
    check_number("overlap", overlap, unit="seconds")
    check_choice("on_missing", on_missing, ("warn", "raise", "ignore"))
    check_choice("event_repeated", event_repeated, ("error", "drop"))
    chosen = pick_channels(raw, picks)
    check_rates(raw, chosen)
    if events is None:
        if (duration - overlap) * sfreq < 1 - 1e-6:
            raise ValueError(
                f"overlap={overlap!r} is out of range; expected at least one sample "
                f"({1 / sfreq:g} s) less than duration={duration!r}."
            )
        if event_id is not None:
            raise ValueError("event_id is for codes of events, but events is None. Pass both.")
        if round(duration * sfreq) > raw.n_times:
            raise ValueError(
                f"No window of duration={duration:g} s fits into the {raw.n_times / sfreq:g} s of "
                "the recording. Use a shorter duration."
            )
        starts = mne.make_fixed_length_events(raw, duration=duration, overlap=overlap)
        events = np.unique(starts, axis=0)
    elif overlap:
        raise ValueError(
            f"overlap={overlap!r} is for windows of fixed length. Omit it if you pass events."
        )
    else:
        events = _check_events(events)
        _check_event_id(event_id)
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
            f"({drop_reasons(epochs)}). Check the annotations whose description begins with BAD, "
            "and that windows fit between the events and the end of the recording."
        )
    return epochs


def check_rates(raw: BaseRaw, chosen: Sequence[int], stacklevel: int = 3) -> None:
    """Raise or warn if signals of a file were not sampled at the rate of `raw`."""
    names = [raw.ch_names[pick] for pick in chosen]
    for path in raw.filenames:
        if path is None:
            continue
        slower = check_one_rate(Path(path), names, "Name channels of one rate in picks.")
        if slower is not None and slower < raw.info["sfreq"]:
            warnings.warn(
                f"picks has signals that were sampled at {slower:g} Hz. MNE interpolated them to "
                f"{raw.info['sfreq']:g} Hz, because {Path(path).name} has faster ones. To keep "
                f"their rate, read only these: mne.io.read_raw_edf(path, include={names}).",
                UserWarning,
                stacklevel=stacklevel,
            )


def _check_events(events: Any) -> np.ndarray:
    if isinstance(events, tuple) and len(events) == 2 and isinstance(events[1], dict):
        raise TypeError(
            "events is the pair that mne.events_from_annotations returns. Unpack it: events, "
            "event_id = mne.events_from_annotations(raw), and pass both."
        )
    events = np.asarray(events)
    if events.ndim != 2 or events.shape[1] != 3 or events.dtype.kind not in "iu":
        raise ValueError(
            f"events has shape {events.shape} and dtype {events.dtype}; expected integers of shape "
            "(n_events, 3): sample, previous value, code. mne.events_from_annotations and "
            "mne.find_events return them."
        )
    if not len(events):
        raise ValueError(
            "events is empty. Check raw.annotations and the stimulus channel, or pass events=None "
            "for windows of fixed length."
        )
    return events


def _check_event_id(event_id: Any) -> None:
    if event_id is None:
        return
    example = "expected a dict from names to codes, such as {'left': 1, 'right': 2}."
    if not isinstance(event_id, dict):
        raise TypeError(f"event_id={event_id!r} is a {type(event_id).__name__}; {example}")
    if not event_id:
        raise ValueError(f"event_id is empty; {example[:-1]}, or None for all codes.")
    names: dict[Any, str] = {}
    for name, code in event_id.items():
        if not isinstance(name, str) or not isinstance(code, Integral):
            raise TypeError(
                f"event_id has the entry {name!r}: {code!r}, of types {type(name).__name__} and "
                f"{type(code).__name__}; {example}"
            )
        if code in names:
            raise ValueError(
                f"event_id has two names for the code {code}, {names[code]!r} and {name!r}, so its "
                "events would have two labels. Keep one of them."
            )
        names[code] = name


def _present_codes(
    events: np.ndarray, event_id: dict[str, int] | None, on_missing: str
) -> dict[str, int] | None:
    """Return the entries of `event_id` whose codes have an event."""
    if event_id is None:
        return None
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
        remedy = ", or pass on_missing='warn' to cut the others" if present else ""
        raise ValueError(f"{text} Correct event_id{remedy}.")
    warnings.warn(f"{text} Only windows of the others are cut.", UserWarning, stacklevel=3)
    return present


def _distinct_events(
    events: np.ndarray, codes: Sequence[int] | np.ndarray, sfreq: float, event_repeated: str
) -> np.ndarray:
    """Return the events of these codes in their order, at most one at each sample."""
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
