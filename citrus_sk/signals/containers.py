"""Windows in the containers of MNE and braindecode: signals, channels, rates and labels."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._utils.validation import first_few
from .container_kinds import (
    epochs_in,
    is_epochs,
    is_evoked,
    is_window_set,
    list_of,
    refuse_other_containers,
)
from .missing import missing_rows

# A stimulus channel holds the event code, which is the label.
_NOT_SIGNALS = {"stim", "syst", "chpi", "exci", "ias"}
# What braindecode's windowers write where a recording has no target.
_NO_TARGET = -1


@dataclass(frozen=True)
class Windows:
    """Windows in the caller's own memory and dtype, with what their container knows of them.

    Attributes
    ----------
    data : ndarray of shape (n_windows, n_chans, n_times) or list of ndarray (n_chans, n_times_i)
        A list only where the lengths differ.
    sfreq : float or None
        Sampling rate in Hz, where the container knows it.
    chs : list of dict or None
        MNE's description of each channel, as in ``info["chs"]``.
    is_2d : bool
        Whether the caller passed ``(n_windows, n_times)``.
    """

    data: Any
    sfreq: float | None = None
    chs: list[dict[str, Any]] | None = None
    is_2d: bool = False

    def __len__(self) -> int:
        return len(self.data)

    @property
    def n_chans(self) -> int:
        return self.data[0].shape[0]

    @property
    def n_times(self) -> int | None:
        """Samples in a window; None where the lengths differ."""
        return None if isinstance(self.data, list) else self.data.shape[2]


def unpack_container(X: Any, who: str) -> Windows | None:
    """Windows of a container, or of a list that indexing one gives; None if `X` is neither.

    Raises
    ------
    TypeError
        If `X` is a container that does not hold windows of signals.
    """
    if (listed := list_of(X, is_epochs)) is not None:
        return _from_mne(listed, "Epochs", _epochs_data)
    if (listed := list_of(X, is_evoked)) is not None:
        return _from_mne(listed, "Evoked", _evoked_data)
    # Items of a data set, which scikit-learn has indexed.
    if isinstance(X, list | tuple) and X and all(map(_is_item, X)):
        return Windows(_together([[np.asarray(item[0]) for item in X]]))
    if is_window_set(X):
        return _from_window_set(X)
    refuse_other_containers(X, who)
    return None


def signal_picks(recording: Any) -> list[int]:
    """Indices of the signals among the channels of an MNE object.

    Marked-bad and stimulus channels are left out. Miscellaneous ones, which often hold what an
    experiment noted, are signals only where there is nothing else, as accelerometers have no type.
    """
    bads = set(recording.info["bads"])
    types = recording.get_channel_types()
    found = [
        i for i, (name, kind) in enumerate(zip(recording.ch_names, types, strict=True))
        if kind not in _NOT_SIGNALS and name not in bads
    ]  # fmt: skip
    return [i for i in found if types[i] != "misc"] or found


def ch_names(chs: list[dict[str, Any]] | None) -> tuple[str, ...] | None:
    """Names of described channels; None where nothing is described."""
    return None if chs is None else tuple(str(each["ch_name"]) for each in chs)


def drop_reasons(epochs: Any) -> str:
    """Why epochs were dropped, in words."""
    counts = Counter(reason for log in getattr(epochs, "drop_log", ()) for reason in log)
    return ", ".join(f"{reason}: {n}" for reason, n in counts.most_common()) or "no reason is noted"


# --- labels --------------------------------------------------------------------------------------


def labels_of(X: Any, column: str | None = None) -> np.ndarray:
    """Labels, groups or anything else that a container knows of each of its windows.

    Parameters
    ----------
    X : mne.Epochs, list of mne.Epochs, or data set of windows of braindecode
        Epochs whose bad ones were not dropped yet lose them here, as by ``epochs.get_data()``.
    column : str or None, default=None
        A column of the metadata; for a data set of braindecode also an entry of its
        recordings' ``description``, such as ``"subject"``. None means the events of Epochs (their
        names in ``event_id``, where these are more than the code), and the targets of a data set.

    Returns
    -------
    ndarray of shape (n_windows,)
        One for each window that the estimators see in `X`, in its order.

    Raises
    ------
    TypeError
        If `X` is no such container.
    ValueError
        If there is no such column, a value is missing, or all events have one code.
    """
    if (listed := epochs_in(X)) is not None:
        for epochs in listed:
            epochs.drop_bad()
        if column is None:
            values = _event_labels(listed)
        else:
            values = [_metadata_column(epochs.metadata, column, "Epochs") for epochs in listed]
    elif is_window_set(X):
        values = [_set_column(part, column) for part in getattr(X, "datasets", [X])]
        change = getattr(X, "target_transform", None)
        if column is None and change is not None:
            values = [np.array([change(each) for each in part]) for part in values]
    else:
        raise TypeError(
            f"X is a {type(X).__name__}, which holds no labels; expected mne.Epochs or a data "
            "set of windows of braindecode."
        )
    return _complete(np.concatenate(values), column)


def resolve_labels(X: Any, y: Any, name: str = "y") -> Any:
    """`y` as it is, or the values in X if `y` is the name of a column or, for y alone, None."""
    known = epochs_in(X) is not None or is_window_set(X)
    if isinstance(y, str):
        if not known:
            raise ValueError(
                f"{name}={y!r} names a column of metadata, and X is of type {type(X).__name__}, "
                "which has no metadata. Pass one value for each window; citrus_sk.mne.labels_of "
                "gives those of mne.Epochs."
            )
        return labels_of(X, y)
    return labels_of(X) if y is None and known and name == "y" else y


def _event_labels(listed: Sequence[Any]) -> list[np.ndarray]:
    labels = []
    for epochs in listed:
        named = {code: name for name, code in (epochs.event_id or {}).items()}
        codes = epochs.events[:, 2]
        informative = any(named.get(code, str(code)) != str(code) for code in codes)
        labels.append(np.array([named[code] for code in codes]) if informative else codes)
    distinct = np.unique(np.concatenate([epochs.events[:, 2] for epochs in listed]))
    if len(distinct) < 2:
        told = f"have one code only ({distinct[0]})" if len(distinct) else "are none"
        raise ValueError(
            f"The events of the Epochs {told}, so they tell no label. Pass y, one label for each "
            "epoch, or the name of a column of epochs.metadata."
        )
    return labels


def _set_column(part: Any, column: str | None) -> np.ndarray:
    """One value for each window of a recording's data set."""
    _check_windowed(part)
    if column is None:
        if part.targets_from != "metadata":
            raise ValueError(
                "X is a data set with targets_from='channels', whose targets are signals. Pass y, "
                "one label for each window."
            )
        values = np.asarray(part.y)
        if len(values) and (values == _NO_TARGET).all():
            raise ValueError(
                f"X is a data set whose windows have no target: all are {_NO_TARGET}, which "
                "braindecode writes where a recording was given no target_name. Call "
                "X.set_target(column), or pass y."
            )
        return values
    description = part.description
    if column not in part.metadata and description is not None and column in description:
        return np.full(len(part), description[column])
    beside = () if description is None else tuple(description.index)
    return _metadata_column(part.metadata, column, "data set", beside)


def _metadata_column(
    metadata: Any, column: str, kind: str, beside: tuple[Any, ...] = ()
) -> np.ndarray:
    columns = () if metadata is None else tuple(metadata.columns)
    if column not in columns:
        known = ", ".join(map(str, (*columns, *beside))) or "none"
        raise ValueError(
            f"X is a {kind} without a column {column!r} in its metadata (it has: {known}). Name "
            "one of these, or pass one value for each window."
        )
    return metadata[column].to_numpy()


def _complete(values: np.ndarray, column: str | None) -> np.ndarray:
    """Values of which none is missing."""
    if missing := missing_rows(values):
        what = "the target" if column is None else repr(column)
        remedy = "correct event_id or the targets" if column is None else "fill in their metadata"
        raise ValueError(
            f"{what} is missing in {len(missing)} of {len(values)} windows of X (first: window "
            f"{missing[0]} has {str(values[missing[0]])!r}). Leave these windows out, or {remedy}."
        )
    if values.dtype == object and all(isinstance(value, str) for value in values):
        return values.astype(str)
    return values


# --- signals -------------------------------------------------------------------------------------


def _from_mne(listed: Sequence[Any], kind: str, read: Callable[..., np.ndarray]) -> Windows:
    """Windows of Epochs or of averages, with equal channels and rates."""
    data: list[np.ndarray] = []
    names: tuple[str, ...] = ()
    chs: list[dict[str, Any]] | None = None
    for i, each in enumerate(listed):
        picks = signal_picks(each)
        if not picks:
            raise ValueError(
                f"X is an {kind} object without a usable signal channel: all "
                f"{len(each.ch_names)} channels are stimulus channels or marked bad."
            )
        found = tuple(each.ch_names[pick] for pick in picks)
        if not i:
            names, every = found, each.info.get("chs")
            chs = None if every is None else [every[pick] for pick in picks]
        _check_channels(f"list of {kind}", f"X[{i}]", "X[0]", found, names, "epochs.pick([...])")
        whole = len(picks) == len(each.ch_names)
        data.append(read(each, None if whole else picks))
    sfreq = _one_rate(f"list of {kind}", listed, "epochs.resample(sfreq)")
    if not sum(map(len, data)):
        reasons = "; ".join(sorted({drop_reasons(each) for each in listed}))
        raise ValueError(
            "Found array with 0 sample(s): X holds no window, all of its epochs were dropped "
            f"({reasons}). Mend what rejects them, such as reject= or BAD_ annotations."
        )
    return Windows(_together(data), sfreq, chs)


def _epochs_data(epochs: Any, picks: list[int] | None) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "epochs._get_data.. can't run|All epochs were dropped")
        return epochs.get_data(picks=picks, copy=False)


def _evoked_data(evoked: Any, picks: list[int] | None) -> np.ndarray:
    """An average is one window."""
    return evoked.get_data(picks=picks)[None]


def _from_window_set(X: Any) -> Windows:
    parts = getattr(X, "datasets", [X])
    for part in parts:
        _check_windowed(part)
    holders = [part.windows if hasattr(part, "windows") else part.raw for part in parts]
    sfreq = _one_rate("data set", holders, "braindecode's Preprocessor('resample', sfreq=...)")
    data: list[list[np.ndarray]] = []
    described: list[list[dict[str, Any]] | None] = []
    for part, holder in zip(parts, holders, strict=True):
        windows, chs = _read_part(part, holder)
        data.append(windows)
        described.append(chs)
    if not sum(map(len, data)):
        raise ValueError("Found array with 0 sample(s): X is a data set that holds no window.")
    if not all(described):
        return Windows(_together(data), sfreq)
    first = ch_names(described[0])
    for place, chs in enumerate(described):
        where, remedy = f"datasets[{place}]", "braindecode's Preprocessor('pick', picks=[...])"
        _check_channels("data set", where, "datasets[0]", ch_names(chs), first, remedy)
    return Windows(_together(data), sfreq, described[0])


def _read_part(part: Any, holder: Any) -> tuple[list[np.ndarray], list[dict[str, Any]] | None]:
    """Windows of a recording's data set, and their channels where no transform made others."""
    chs = holder.info["chs"]
    if part.targets_from == "channels":  # the targets' channels are not in the windows
        types = holder.get_channel_types()
        chs = [each for each, kind in zip(chs, types, strict=True) if kind != "misc"]
    windows = [np.asarray(part[i][0]) for i in range(len(part))]
    if any(len(window) != len(chs) for window in windows):
        return windows, None
    picked = {holder.ch_names[pick] for pick in signal_picks(holder)}
    kept = [i for i, each in enumerate(chs) if each["ch_name"] in picked]
    if len(kept) < len(chs):
        windows = [window[kept] for window in windows]
    return windows, [chs[i] for i in kept]


def _check_channels(
    kind: str, where: str, first_place: str, names: Any, first: Any, remedy: str
) -> None:
    if names != first:
        odd = sorted(set(names) ^ set(first))
        differ = f"differ in {first_few(map(repr, odd))}" if odd else "are in another order"
        raise ValueError(
            f"X is a {kind} of unequal channels: those of {where} and {first_place} {differ} "
            f"(marked-bad ones are left out). Interpolate bad ones, or pick common ones: {remedy}."
        )


def _one_rate(kind: str, holders: Sequence[Any], remedy: str) -> float:
    rates = sorted({float(holder.info["sfreq"]) for holder in holders})
    if len(rates) > 1:
        raise ValueError(
            f"X is a {kind} of unequal sampling rates ({rates[0]:g} to {rates[-1]:g} Hz). Bring "
            f"them to one with {remedy}."
        )
    return rates[0]


def _check_windowed(part: Any) -> None:
    if not hasattr(part, "crop_inds"):
        raise TypeError(
            f"X is a data set of whole recordings ({type(part).__name__}); expected windows. Cut "
            "them with braindecode.preprocessing.create_fixed_length_windows or "
            "create_windows_from_events."
        )


def _is_item(item: Any) -> bool:
    """Whether this is ``(window, target, place, ...)``, as data sets of braindecode give."""
    return isinstance(item, tuple) and 2 <= len(item) <= 4 and getattr(item[0], "ndim", 0) == 2


def _together(parts: Sequence[Any]) -> Any:
    """Windows of several parts in one array, or in a list where their shapes differ."""
    if len({np.shape(window) for part in parts for window in part}) > 1:
        return [window for part in parts for window in part]
    if len(parts) == 1 and isinstance(parts[0], np.ndarray):
        return parts[0]
    return np.concatenate([np.asarray(part) for part in parts if len(part)])


def take_windows(X: Any, rows: Sequence[int] | np.ndarray) -> Any:
    """Windows at `rows` of an array, a list, a data frame or Epochs, in the same container."""
    if isinstance(X, list | tuple):
        return [X[row] for row in rows]
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]
