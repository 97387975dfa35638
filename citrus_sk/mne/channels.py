"""Channels of a recording by the names that a model knows, and values of those that it lacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .._utils.validation import check_choice, first_few, last_step
from ..signals.container_kinds import is_epochs
from ..signals.modalities import bare_name
from ..signals.picks import channel_kinds, pick_channels
from .recording_model import RecordingModel, first_step

if TYPE_CHECKING:
    from mne import Epochs
    from mne.io import BaseRaw

MISSING_CHANNELS = ("raise", "interpolate", "ignore")
# Templates of electrodes by name; the first one has another name in older versions of MNE.
_TEMPLATES = ("colin27_1005", "standard_1005")
_UNNAMED = (
    "The model does not know the names of its channels. Fit it on mne.Epochs, or make a "
    "citrus_sk.mne.RecordingModel with ch_names."
)
_FEWEST_ELECTRODES = 4  # to which MNE fits a sphere


@dataclass(frozen=True, eq=False)
class Channels:
    """Source of the channels of a model in a recording.

    Attributes
    ----------
    names : list of str
        Channels to read from the recording.
    weights : ndarray of shape (n_chans, len(names)) or None
        Weights of the channels read in each channel of the model. None means that they are the
        channels of the model, in its order.
    ignored : tuple of int
        Channels of the model without values.
    """

    names: list[str]
    weights: np.ndarray | None = None
    ignored: tuple[int, ...] = ()

    def arranged(self, values: np.ndarray) -> np.ndarray:
        """Return values ``(len(names), n_times)`` as the channels of the model."""
        return values if self.weights is None else self.weights @ values


def match_channels(epochs: Epochs, model: Any, *, missing_channels: str = "raise") -> Epochs:
    """Give Epochs the channels that a model was trained on, in the same order.

    Channels are found by name, which may differ in type and reference ("Fp1" for "EEG Fp1-REF") if
    this is unambiguous. Channels that the model does not know are left out.

    Parameters
    ----------
    epochs : mne.Epochs
        Windows of a recording, in the units of the training windows. They are not changed.
    model : RecordingModel, fitted estimator or Pipeline
        Model that knows the names of its channels, because it was fitted on Epochs.
    missing_channels : {"raise", "interpolate"}, default="raise"
        Handling of channels that are missing or marked bad: raise an error that names them, or
        compute them from the good EEG channels by spherical splines, as
        `mne.Epochs.interpolate_bads`. Positions are those in `epochs`, or those of the 10-05 system
        by name.

    Returns
    -------
    mne.Epochs
        Windows with the names of the model for the channels. If channels were interpolated, the
        windows are in memory, and all channels have the type EEG.

    Raises
    ------
    TypeError
        If `epochs` are not Epochs.
    ValueError
        If the model does not know names, or if a channel is missing or marked bad and is not
        interpolated.

    Examples
    --------
    >>> import mne
    >>> import numpy as np
    >>> from citrus_sk import CitrusClassifier
    >>> from citrus_sk.mne import match_channels
    >>> rng = np.random.default_rng(0)
    >>> def record(names):
    ...     signals = 1e-5 * rng.standard_normal((20, len(names), 100))
    ...     return mne.EpochsArray(signals, mne.create_info(names, 100, "eeg"), verbose="error")
    >>> clf = CitrusClassifier(pretrained=None, preset="tiny", random_state=0)
    >>> clf = clf.fit(record(["C3", "Cz", "C4"]), np.repeat(["left", "right"], 10))
    >>> new = record(["EEG C4", "EEG C3", "EEG Fz", "EEG Pz"])
    >>> match_channels(new, clf, missing_channels="interpolate").ch_names
    ['C3', 'Cz', 'C4']
    """
    import mne

    if not is_epochs(epochs):
        raise TypeError(f"epochs is a {type(epochs).__name__}; expected mne.Epochs.")
    check_choice("missing_channels", missing_channels, MISSING_CHANNELS[:2])
    known = isinstance(model, RecordingModel)
    estimator = model.estimator if known else model
    names = model.ch_names if known else getattr(first_step(model), "ch_names_", None)
    if names is None:
        raise ValueError(_UNNAMED)
    channels = find_channels(
        estimator, names, epochs, where="epochs", missing_channels=missing_channels
    )
    if channels.weights is None:
        renamed = dict(zip(channels.names, names, strict=True))
        return epochs.copy().reorder_channels(channels.names).rename_channels(renamed)
    values = epochs.get_data([epochs.ch_names.index(name) for name in channels.names])
    info = mne.create_info(list(names), epochs.info["sfreq"], "eeg")
    return mne.EpochsArray(
        channels.arranged(values), info, epochs.events, tmin=epochs.tmin,
        event_id=epochs.event_id, metadata=epochs.metadata, verbose="error",
    )  # fmt: skip


def find_channels(
    estimator: Any,
    ch_names: Sequence[str] | None,
    raw: BaseRaw,
    picks: str | Sequence[str] | None = None,
    where: str = "the recording",
    missing_channels: str = "raise",
) -> Channels:
    """Find the channels of the training windows in a recording.

    Parameters
    ----------
    estimator : fitted estimator or Pipeline
    ch_names : sequence of str or None
        Names of the channels of the training windows; None if they are unknown.
    raw : mne.io.Raw or mne.Epochs
    picks : str, sequence of str or None, default=None
        Names or kinds of channels; None means those of the model by name, or all signals if it
        does not know names.
    where : str, default="the recording"
        Name of the recording, for messages.
    missing_channels : {"raise", "interpolate", "ignore"}, default="raise"
        Handling of channels that are missing or marked bad, see `predict_raw`.

    Returns
    -------
    Channels

    Raises
    ------
    ValueError
        If a channel is missing or marked bad and cannot be handled as asked, or if the number of
        channels is not that of the training windows.
    """
    check_choice("missing_channels", missing_channels, MISSING_CHANNELS)
    if picks is not None or ch_names is None:
        if missing_channels != "raise":
            raise ValueError(
                f"missing_channels={missing_channels!r} needs channels that are found by name. "
                + (_UNNAMED if picks is None else "Omit picks.")
            )
        names = [raw.ch_names[i] for i in pick_channels(raw, picks, where=where)]
        return _checked(estimator, Channels(names), where)
    lookup = _Lookup(raw, where, ch_names, [_find(raw, name, where) for name in ch_names])
    if not lookup.missing:
        channels = Channels(lookup.present)
    elif missing_channels == "interpolate":
        channels = _interpolated(lookup)
    elif missing_channels == "ignore":
        channels = _ignoring(lookup, last_step(estimator))
    else:
        raise _missing(lookup)
    return _checked(estimator, channels, where)


@dataclass(frozen=True, eq=False)
class _Lookup:
    """Channels of a model, and what was found of them in a recording.

    Attributes
    ----------
    raw : mne.io.Raw or mne.Epochs
    where : str
        Name of the recording, for messages.
    ch_names : sequence of str
        Names that the model knows.
    found : list of str or None
        Name of each of these channels in the recording; None if it has none.
    """

    raw: Any
    where: str
    ch_names: Sequence[str]
    found: list[str | None]

    @cached_property
    def missing(self) -> list[int]:
        """Indices of channels that are missing or marked bad."""
        bads = self.raw.info["bads"]
        return [i for i, each in enumerate(self.found) if each is None or each in bads]

    @property
    def present(self) -> list[str]:
        """Names of the other channels, in the order of the model."""
        return [str(each) for i, each in enumerate(self.found) if i not in self.missing]

    @property
    def absent(self) -> list[str]:
        """Names of the missing channels; those of bad ones are as in the recording."""
        return [self.found[i] or self.ch_names[i] for i in self.missing]

    def copied(self, names: list[str]) -> np.ndarray:
        """Weights of the channels `names` that copy the present ones; 0 for missing ones."""
        weights = np.zeros((len(self.found), len(names)))
        places = [i for i in range(len(self.found)) if i not in self.missing]
        weights[places, [names.index(each) for each in self.present]] = 1
        return weights


def _find(raw: BaseRaw, name: str, where: str) -> str | None:
    """Return the channel of this name, which may differ in type and reference."""
    try:
        found = pick_channels(raw, [name], argument="ch_names", where=where)
    except ValueError:
        return None
    return raw.ch_names[found[0]] if len(found) == 1 else None


def _missing(lookup: _Lookup) -> ValueError:
    remedy = (
        "To predict without it, use missing_channels='ignore' or 'interpolate' (--missing-channels "
        "in citrus-sk predict)."
    )
    if absent := [lookup.ch_names[i] for i in lookup.missing if lookup.found[i] is None]:
        return ValueError(
            f"{lookup.where} has no channel {absent[0]!r}, which the model was trained on. It has "
            f"{first_few(lookup.raw.ch_names, 20)}. Rename its channels, or leave the recording "
            f"out. {remedy}"
        )
    return ValueError(
        f"{lookup.where} marks {first_few(lookup.absent)} as bad, and the model was trained on it. "
        f"Interpolate bad channels, or leave the recording out. {remedy}"
    )


def _checked(estimator: Any, channels: Channels, where: str) -> Channels:
    """Raise ValueError unless the number of channels is that of the training windows."""
    names = channels.names
    n_chans = len(set(names)) if channels.weights is None else len(channels.weights)
    expected = getattr(first_step(estimator), "n_chans_", len(names))
    if n_chans != expected:
        raise ValueError(
            f"{where} has {n_chans} channel(s) for the model ({first_few(names)}), and it was "
            f"trained on {expected}. Expected the same channels, in the order of the training "
            "windows: choose them with raw.pick or picks, or train on windows with the names of "
            "their channels, which are then found by name."
        )
    return channels


def _ignoring(lookup: _Lookup, last: Any) -> Channels:
    if not lookup.present:
        raise ValueError(f"{lookup.where} has none of the channels that the model was trained on.")
    if not hasattr(last, "without_channels"):
        raise ValueError(
            f"{lookup.where} lacks {first_few(lookup.absent)}, and missing_channels='ignore' needs "
            "a CitrusClassifier as the model or as its last step, which is a "
            f"{type(last).__name__}. Use 'interpolate', or leave the recording out."
        )
    last.without_channels(lookup.missing)  # raises here, before anything is predicted
    return Channels(lookup.present, lookup.copied(lookup.present), tuple(lookup.missing))


# --- interpolation -------------------------------------------------------------------------------


def _interpolated(lookup: _Lookup) -> Channels:
    """Channels of which the missing ones are spherical splines of all good EEG channels."""
    import mne

    info, good = _electrodes(lookup)
    # Splines are linear, so unit signals give their weights.
    units = np.vstack([np.eye(len(good)), np.zeros((len(lookup.absent), len(good)))])
    evoked = mne.EvokedArray(units, info)
    evoked.info["bads"] = evoked.ch_names[len(good) :]
    splines = evoked.interpolate_bads(verbose="error").data[len(good) :]
    names = [*good, *(each for each in lookup.present if each not in good)]
    weights = lookup.copied(names)
    weights[lookup.missing, : len(good)] = splines
    return Channels(names, weights)


def _electrodes(lookup: _Lookup) -> tuple[Any, list[str]]:
    """Info with positions of the good EEG channels, then of the missing ones; and the good ones.

    Positions are those of the recording, if it has them for all missing channels. Otherwise they
    are those of a template, by name.
    """
    import mne

    raw = lookup.raw
    good = [
        name for name, kind in zip(raw.ch_names, channel_kinds(raw), strict=True)
        if kind == "EEG" and name not in raw.info["bads"]
    ]  # fmt: skip
    own = {each["ch_name"] for each in raw.info["chs"] if _has_position(each)}
    if not own.issuperset(lookup.absent):
        return _by_template(lookup, good)
    good = [name for name in good if name in own]
    _check_number(lookup, good)
    picks = [raw.ch_names.index(name) for name in [*good, *lookup.absent]]
    info = mne.pick_info(raw.info, picks, verbose="error")
    evoked = mne.EvokedArray(np.zeros((len(picks), 1)), info)
    kinds = dict.fromkeys(info["ch_names"], "eeg")
    evoked.set_channel_types(kinds, on_unit_change="ignore", verbose="error")
    return evoked.info, good


def _has_position(channel: dict[str, Any]) -> bool:
    place = channel["loc"][:3]
    return bool(np.isfinite(place).all() and place.any())


def _by_template(lookup: _Lookup, good: list[str]) -> tuple[Any, list[str]]:
    import mne

    template = _template()
    places = {bare_name(name): name for name in template.ch_names}
    if unknown := [name for name in lookup.absent if bare_name(name) not in places]:
        raise ValueError(
            f"{lookup.where} lacks {first_few(unknown)}, whose position is not known, so it cannot "
            "be interpolated. Only EEG channels with names of the 10-05 system can, and bad "
            "channels of a recording with a montage. Use missing_channels='ignore', or leave the "
            "recording out."
        )
    to_fill = [places[bare_name(name)] for name in lookup.absent]
    known = {places[bare_name(name)]: name for name in good if bare_name(name) in places}
    known = {place: name for place, name in known.items() if place not in to_fill}
    _check_number(lookup, [*known.values()])
    info = mne.create_info([*known, *to_fill], lookup.raw.info["sfreq"], "eeg")
    return info.set_montage(template), [*known.values()]


def _template() -> Any:
    """Montage of the 10-05 system."""
    import mne

    builtin = mne.channels.get_builtin_montages()
    return mne.channels.make_standard_montage(next(each for each in _TEMPLATES if each in builtin))


def _check_number(lookup: _Lookup, good: list[str]) -> None:
    if len(good) + len(lookup.absent) < _FEWEST_ELECTRODES:
        raise ValueError(
            f"{lookup.where} has {len(good)} good EEG channel(s) with a known position "
            f"({first_few(good) or 'none'}), too few to interpolate {first_few(lookup.absent)}; "
            f"expected {_FEWEST_ELECTRODES} electrodes or more in all. Use "
            "missing_channels='ignore', or leave the recording out."
        )
