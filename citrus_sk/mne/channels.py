"""Channels of a recording by the names that a model knows, and values of those that it lacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .._utils.validation import check_choice, first_few, last_step
from ..signals.modalities import bare_name
from ..signals.picks import channel_kinds, pick_channels
from .recording_model import RecordingModel, first_step

if TYPE_CHECKING:
    from mne.io import BaseRaw

MISSING_CHANNELS = ("raise", "interpolate", "ignore")
# Templates of electrodes by name; the first one has another name in older versions of MNE.
_TEMPLATES = ("colin27_1005", "standard_1005")
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


def find_channels(
    model: RecordingModel,
    raw: BaseRaw,
    picks: str | Sequence[str] | None = None,
    where: str = "the recording",
    missing_channels: str = "raise",
) -> Channels:
    """Find the channels of the training windows in a recording.

    Parameters
    ----------
    model : RecordingModel
    raw : mne.io.Raw
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
    by_name = picks is None and model.ch_names is not None
    if missing_channels != "raise" and not by_name:
        raise ValueError(
            f"missing_channels={missing_channels!r} needs channels that are found by name, but "
            + ("picks was passed. Omit it." if picks is not None else
               "the model does not know the names of its channels. Fit it on mne.Epochs, or make "
               "a RecordingModel with ch_names.")
        )  # fmt: skip
    if not by_name:
        names = [raw.ch_names[i] for i in pick_channels(raw, picks, where=where)]
        return _checked(model, Channels(names), where)
    found = [_find(raw, name, where) for name in model.ch_names or ()]
    bads = set(raw.info["bads"])
    missing = [i for i, each in enumerate(found) if each is None or each in bads]
    if not missing:
        return _checked(model, Channels([str(each) for each in found]), where)
    if missing_channels == "interpolate":
        return _checked(model, _interpolated(model, raw, found, missing, where), where)
    if missing_channels == "ignore":
        return _checked(model, _ignoring(model, found, missing, where), where)
    raise _missing(model, raw, found, missing, where)


def _find(raw: BaseRaw, name: str, where: str) -> str | None:
    """Return the channel of this name, which may differ in type and reference."""
    try:
        found = pick_channels(raw, [name], argument="ch_names", where=where)
    except ValueError:
        return None
    return raw.ch_names[found[0]] if len(found) == 1 else None


def _missing(
    model: RecordingModel, raw: BaseRaw, found: list[str | None], missing: list[int], where: str
) -> ValueError:
    remedy = "Or fill it: missing_channels='interpolate' or 'ignore'."
    absent = [i for i in missing if found[i] is None]
    if absent:
        name = (model.ch_names or ())[absent[0]]
        return ValueError(
            f"{where} has no channel {name!r}, which the model was trained on. It has "
            f"{first_few(raw.ch_names, 20)}. Rename its channels, or leave the recording out. "
            f"{remedy}"
        )
    return ValueError(
        f"{where} marks {first_few(found[i] for i in missing)} as bad, and the model was trained "
        f"on it. Interpolate bad channels, or leave the recording out. {remedy}"
    )


def _checked(model: RecordingModel, channels: Channels, where: str) -> Channels:
    """Raise ValueError unless the number of channels is that of the training windows."""
    names = channels.names
    n_chans = len(set(names)) if channels.weights is None else len(channels.weights)
    expected = getattr(first_step(model.estimator), "n_chans_", len(names))
    if n_chans != expected:
        raise ValueError(
            f"{where} has {n_chans} channel(s) for the model ({first_few(names)}), and it was "
            f"trained on {expected}. Name these in picks, in the order of the training windows."
        )
    return channels


def _ignoring(
    model: RecordingModel, found: list[str | None], missing: list[int], where: str
) -> Channels:
    last = last_step(model.estimator)
    names = [str(each) for i, each in enumerate(found) if i not in missing]
    if not names:
        raise ValueError(f"{where} has none of the channels that the model was trained on.")
    if not hasattr(last, "without_channels"):
        raise ValueError(
            f"{where} lacks {first_few((model.ch_names or ())[i] for i in missing)}, and "
            "missing_channels='ignore' needs a CitrusClassifier as the model or as its last step, "
            f"which is a {type(last).__name__}. Use 'interpolate', or leave the recording out."
        )
    last.without_channels(missing)  # raises here, before anything is predicted
    weights = np.zeros((len(found), len(names)), np.float32)
    weights[[i for i in range(len(found)) if i not in missing], range(len(names))] = 1
    return Channels(names, weights, tuple(missing))


# --- interpolation -------------------------------------------------------------------------------


def _interpolated(
    model: RecordingModel, raw: BaseRaw, found: list[str | None], missing: list[int], where: str
) -> Channels:
    """Channels of which the missing ones are spherical splines of all good EEG channels."""
    import mne

    wanted = [found[i] or (model.ch_names or ())[i] for i in missing]
    good = [
        name for name, kind in zip(raw.ch_names, channel_kinds(raw), strict=True)
        if kind == "EEG" and name not in raw.info["bads"]
    ]  # fmt: skip
    info, good = _with_positions(raw, good, wanted, where)
    # Splines are linear, so unit signals give their weights.
    units = np.vstack([np.eye(len(good)), np.zeros((len(wanted), len(good)))])
    evoked = mne.EvokedArray(units, info)
    evoked.info["bads"] = evoked.ch_names[len(good) :]
    splines = evoked.interpolate_bads(verbose="error").data[len(good) :]
    others = [str(each) for i, each in enumerate(found) if i not in missing]
    names = [*good, *(each for each in others if each not in good)]
    weights = np.zeros((len(found), len(names)), np.float32)
    weights[missing, : len(good)] = splines
    for i, each in enumerate(found):
        if i not in missing:
            weights[i, names.index(str(each))] = 1
    return Channels(names, weights)


def _with_positions(
    raw: BaseRaw, good: list[str], wanted: list[str], where: str
) -> tuple[Any, list[str]]:
    """Info with positions of good channels, then of those to interpolate; and the good ones.

    Positions are those of the recording, if it has them for all channels to interpolate. Otherwise
    they are those of a template, by name.
    """
    import mne

    own = {
        each["ch_name"]: each["loc"][:3] for each in raw.info["chs"]
        if np.isfinite(each["loc"][:3]).all() and each["loc"][:3].any()
    }  # fmt: skip
    if all(name in own for name in wanted):
        good = [name for name in good if name in own]
        _check_electrodes(good, wanted, where)
        picks = [raw.ch_names.index(name) for name in [*good, *wanted]]
        info = mne.pick_info(raw.info, picks, verbose="error")
        kinds = dict.fromkeys(info["ch_names"], "eeg")
        return mne.EvokedArray(np.zeros((len(picks), 1)), info).set_channel_types(
            kinds, on_unit_change="ignore", verbose="error"
        ).info, good  # fmt: skip
    template = _template()
    places = {bare_name(name): name for name in template.ch_names}
    if unknown := [name for name in wanted if bare_name(name) not in places]:
        raise ValueError(
            f"{where} lacks {first_few(unknown)}, whose position is not known, so it cannot be "
            "interpolated: only EEG channels with names of the 10-05 system, and bad channels of "
            "a recording with a montage can. Use missing_channels='ignore', or leave the recording "
            "out."
        )
    known = {places[bare_name(name)]: name for name in good if bare_name(name) in places}
    for name in wanted:  # a bad channel of the same electrode
        known.pop(places[bare_name(name)], None)
    _check_electrodes([*known.values()], wanted, where)
    names = [*known, *(places[bare_name(name)] for name in wanted)]
    info = mne.create_info(names, raw.info["sfreq"], "eeg")
    return info.set_montage(template), [*known.values()]


def _template() -> Any:
    """Montage of the 10-05 system."""
    import mne

    builtin = mne.channels.get_builtin_montages()
    return mne.channels.make_standard_montage(next(each for each in _TEMPLATES if each in builtin))


def _check_electrodes(good: list[str], wanted: list[str], where: str) -> None:
    if len(good) + len(wanted) < _FEWEST_ELECTRODES:
        raise ValueError(
            f"{where} has {len(good)} good EEG channel(s) with a known position "
            f"({first_few(good) or 'none'}), too few to interpolate {first_few(wanted)}; expected "
            f"{_FEWEST_ELECTRODES} electrodes or more in all. Use missing_channels='ignore', or "
            "leave the recording out."
        )
