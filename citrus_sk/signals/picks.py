"""Selection of channels of an MNE recording, by name or by kind."""

from __future__ import annotations

import re
from numbers import Number
from typing import Any

from .._utils.validation import first_few
from .containers import signal_picks
from .modalities import as_named, bare_name, modality_of

# MNE's readers give these types to channels of files that do not state any.
_DEFAULT_TYPES = ("eeg", "misc")


def pick_channels(
    raw: Any, picks: Any = None, *, argument: str = "picks", where: str = "the recording"
) -> list[int]:
    """Return the indices of the picked channels of a recording.

    Parameters
    ----------
    raw : mne.io.Raw
    picks : str, sequence of str or None, default=None
        Names of channels, or kinds of signal such as "EEG" in upper or lower case. A kind picks
        the channels of that kind that are not marked bad. A name may omit its type and reference
        ("Fp1" for "EEG Fp1-REF") if this is unambiguous. None picks all signals.
    argument : str, default="picks"
        Name of the argument, for messages.
    where : str, default="the recording"
        Name of the recording, for messages.

    Returns
    -------
    list of int
        Indices in the order of `picks`; those of one kind in the order of the recording.

    Raises
    ------
    TypeError
        If a pick is not a string.
    ValueError
        If a pick matches no channel or is repeated, or the recording has no signal.
    """
    if picks is not None:
        chosen: list[int] = []
        for pick in _check_picks(picks, argument):
            found = _find(raw, pick, argument, where)
            chosen += [index for index in found if index not in chosen]
        return chosen
    if not (signals := signal_picks(raw)):
        named = first_few(raw.ch_names, 4)
        raise ValueError(
            f"{where} has no signal: all of its {len(raw.ch_names)} channels ({named}) are "
            f"stimulus channels or marked bad. Name channels in {argument}."
        )
    return signals


def _check_picks(picks: Any, argument: str) -> list[str]:
    named: list[Any] = [picks] if isinstance(picks, str | Number) else list(picks)
    if odd := [pick for pick in named if not isinstance(pick, str)]:
        raise TypeError(
            f"{argument} holds {odd[0]!r}, a {type(odd[0]).__name__}; expected names of channels, "
            "or kinds such as 'eeg'."
        )
    if not named:
        raise ValueError(
            f"{argument} is empty; expected names of channels, or kinds such as 'eeg'."
        )
    if twice := sorted({pick for pick in named if named.count(pick) > 1}):
        raise ValueError(f"{argument} has {', '.join(map(repr, twice))} more than once.")
    return named


def _find(raw: Any, pick: str, argument: str, where: str) -> list[int]:
    """Find the channel of this name, else those of this kind, else the only one of like name."""
    names = raw.ch_names
    if pick in names:
        return [names.index(pick)]
    if numbered := [each for each in names if re.fullmatch(re.escape(pick) + r"-\d+", each)]:
        raise ValueError(
            f"{argument} has {pick!r}, and {where} has {len(numbered)} channels of that name, to "
            f"which MNE appends a number. Pick one of {', '.join(numbered)}."
        )
    kinds = channel_kinds(raw)
    bads = set(raw.info["bads"])
    of_kind = [i for i, each in enumerate(kinds) if each.casefold() == as_named(pick).casefold()]
    if found := [i for i in of_kind if names[i] not in bads]:
        return found
    if of_kind:
        raise ValueError(
            f"{argument} has {pick!r}, and all channels of that kind in {where} are marked bad "
            f"({', '.join(names[i] for i in of_kind)}). Name them to use them, or pick others."
        )
    alike = [i for i, each in enumerate(names) if bare_name(each) == bare_name(pick)]
    if len(alike) == 1:
        return alike
    listed = (f"{name} ({kind})" if kind else name for name, kind in zip(names, kinds, strict=True))
    raise ValueError(
        f"{argument} has {pick!r}, which is neither the name nor the kind of a channel of {where}. "
        f"It has {', '.join(listed)}."
    )


def channel_kinds(raw: Any) -> list[str]:
    """Return the kind of signal in each channel; empty for events and slow readings.

    The name of a channel overrides a type that MNE's readers give by default.
    """
    kinds = []
    for channel, given in zip(raw.ch_names, raw.get_channel_types(), strict=True):
        by_name = modality_of(channel) if given in _DEFAULT_TYPES else None
        by_type = modality_of(channel, given)
        kinds.append(next((each for each in (by_name, by_type) if each is not None), given))
    return kinds
