"""From MNE's recordings to windows with labels.

`mne.Epochs` go into every estimator as they are, in volts (or what else MNE holds of a channel:
tesla, siemens), with the rate and the channels that their ``info`` tells. What is here cuts
recordings into Epochs, and gets labels and groups out of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ._containers import drop_reasons, labels_of, signal_picks
from ._parameters import check_number
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

    Returns
    -------
    mne.Epochs
        In memory, without the bad ones, neither baseline-corrected nor filtered.

    Raises
    ------
    TypeError
        If `raw` is no recording or a number is of a wrong type.
    ValueError
        If a number is out of its range, a channel is not there or named twice, the picked signals
        of an EDF file were sampled at unequal rates, or no window is left.

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
            f"raw is a {type(raw).__name__}; wanted an mne.io.Raw, as mne.io.read_raw gives it."
        )
    sfreq = float(raw.info["sfreq"])
    check_number("duration", duration, unit="seconds", low=2 / sfreq)
    check_number("tmin", tmin, unit="seconds", low=-np.inf)
    check_number("overlap", overlap, unit="seconds")
    chosen = _pick(raw, picks)
    for path in raw.filenames:
        if path is not None:
            remedy = "Name channels of one rate in picks."
            check_one_rate(Path(path), [raw.ch_names[pick] for pick in chosen], remedy)
    if events is None:
        if overlap >= duration:
            raise ValueError(f"overlap={overlap!r} is out of range; wanted less than duration.")
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
    epochs = mne.Epochs(
        raw, _check_events(events), event_id,
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
            f"events has shape {events.shape} and dtype {events.dtype}; wanted integers of shape "
            "(n_events, 3): sample, value before, code. mne.events_from_annotations and "
            "mne.find_events give them."
        )
    if not len(events):
        raise ValueError(
            "events is empty: the recording has none of these. Look at raw.annotations and its "
            "stimulus channel, or pass events=None for windows of fixed length."
        )
    return events


def _pick(raw: Any, picks: Any) -> list[int]:
    """Places of the picked channels, in their order."""
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
        raise TypeError(f"picks={picks!r} holds numbers; wanted names, which cannot be mistaken.")
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
