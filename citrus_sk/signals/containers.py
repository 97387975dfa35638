"""Windows in the containers of MNE and braindecode: signals, channels, rates and labels."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
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

# Channel types without a signal; a stimulus channel holds the event code, which is the label.
_NOT_SIGNALS = {"stim", "syst", "chpi", "exci", "ias"}
# Target that braindecode's windowers write for recordings without one.
_NO_TARGET = -1


@dataclass(frozen=True)
class Windows:
    """Windows in the memory and dtype of the caller, with the metadata of their container.

    Attributes
    ----------
    data : ndarray of shape (n_windows, n_chans, n_times) or list of ndarray (n_chans, n_times_i)
        The windows; a list only if their lengths differ.
    sfreq : float or None
        Sampling rate in Hz; None if the container has none.
    chs : list of dict or None
        MNE's description of each channel, as in ``info["chs"]``; None if there is none.
    is_2d : bool
        Whether the caller passed ``(n_windows, n_times)``.
    offset : ndarray of float64, shape (n_chans, 1), or None
        Offset to subtract from each channel before the windows become float32, see `with_offset`.
    """

    data: Any
    sfreq: float | None = None
    chs: list[dict[str, Any]] | None = None
    is_2d: bool = False
    offset: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.data)

    @property
    def n_chans(self) -> int:
        return self.data[0].shape[0]

    @property
    def n_times(self) -> int | None:
        """Samples of a window; None if the lengths differ."""
        return None if isinstance(self.data, list) else self.data.shape[2]


def unpack_container(X: Any, who: str) -> Windows | None:
    """Return the windows of a container, or of its items in a list; None if `X` is neither.

    Raises
    ------
    TypeError
        If `X` is a container that does not hold windows of signals.
    """
    if (listed := list_of(X, is_epochs)) is not None:
        return _from_mne(listed, "Epochs", _epochs_data)
    if (listed := list_of(X, is_evoked)) is not None:
        return _from_mne(listed, "Evoked", _evoked_data)
    # A list of items of a data set, which results if scikit-learn indexes it.
    if isinstance(X, list | tuple) and X and all(map(_is_item, X)):
        return Windows(_together([[np.asarray(item[0]) for item in X]]))
    if is_window_set(X):
        return _from_window_set(X)
    refuse_other_containers(X, who)
    return None


def signal_picks(recording: Any) -> list[int]:
    """Return the indices of the channels of an MNE object that are signals.

    Bad channels and stimulus channels are not. Miscellaneous channels often hold notes of an
    experiment, but also accelerometers, for which MNE has no type. They are signals only if the
    recording has no others.
    """
    bads = set(recording.info["bads"])
    types = recording.get_channel_types()
    found = [
        i for i, (name, kind) in enumerate(zip(recording.ch_names, types, strict=True))
        if kind not in _NOT_SIGNALS and name not in bads
    ]  # fmt: skip
    return [i for i in found if types[i] != "misc"] or found


def ch_names(chs: list[dict[str, Any]] | None) -> tuple[str, ...] | None:
    """Return the names of channels by their descriptions; None if there are none."""
    return None if chs is None else tuple(str(each["ch_name"]) for each in chs)


def drop_reasons(epochs: Any) -> str:
    """Return the reasons for which epochs were dropped, with their counts."""
    counts = Counter(reason for log in getattr(epochs, "drop_log", ()) for reason in log)
    return ", ".join(f"{reason}: {n}" for reason, n in counts.most_common()) or "no reason given"


# --- labels --------------------------------------------------------------------------------------


def labels_of(X: Any, column: str | None = None) -> np.ndarray:
    """Return labels, groups or other metadata of the windows in a container.

    Parameters
    ----------
    X : mne.Epochs, list of mne.Epochs, or data set of windows of braindecode
        Container of windows. Bad epochs that were not dropped yet are dropped from it, as by
        ``epochs.get_data()``.
    column : str or None, default=None
        Column of the metadata; for a data set of braindecode also an entry of the ``description``
        of its recordings, such as ``"subject"``. None means the events of Epochs (their names in
        ``event_id``, if these say more than the codes), and the targets of a data set.

    Returns
    -------
    ndarray of shape (n_windows,)
        One value for each window, in the order in which estimators see the windows of `X`.

    Raises
    ------
    TypeError
        If `X` is neither Epochs nor a data set of windows.
    ValueError
        If the column does not exist, a value is missing, or all events have one code.
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
    """Return `y`, or the values in `X` if `y` is the name of a column or None.

    If it is None, only ``name="y"`` is taken from `X`; other arguments stay None.
    """
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
        problem = f"have one code only ({distinct[0]})" if len(distinct) else "are missing"
        raise ValueError(
            f"The events of the Epochs {problem}, so they cannot serve as labels. Pass y, one "
            "label for each epoch, or the name of a column of epochs.metadata."
        )
    return labels


def _set_column(part: Any, column: str | None) -> np.ndarray:
    """Return one value for each window of one recording's data set."""
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
                "braindecode writes for a recording without a target_name. Call "
                "X.set_target(column), or pass y."
            )
        return values
    description = part.description
    if column not in part.metadata and description is not None and column in description:
        return np.full(len(part), description[column])
    entries = () if description is None else tuple(description.index)
    return _metadata_column(part.metadata, column, "data set", entries)


def _metadata_column(
    metadata: Any, column: str, kind: str, entries: tuple[Any, ...] = ()
) -> np.ndarray:
    columns = () if metadata is None else tuple(metadata.columns)
    if column not in columns:
        known = ", ".join(map(str, (*columns, *entries))) or "none"
        raise ValueError(
            f"X is a {kind} without a column {column!r} in its metadata (it has: {known}). Name "
            "one of these, or pass one value for each window."
        )
    return metadata[column].to_numpy()


def _complete(values: np.ndarray, column: str | None) -> np.ndarray:
    """Raise ValueError if a value is missing; objects that are strings become strings."""
    if missing := missing_rows(values):
        subject = "The target" if column is None else repr(column)
        remedy = "correct event_id or the targets" if column is None else "fill in their metadata"
        raise ValueError(
            f"{subject} is missing in {len(missing)} of {len(values)} windows of X (first: window "
            f"{missing[0]} has {str(values[missing[0]])!r}). Leave these windows out, or {remedy}."
        )
    if values.dtype == object and all(isinstance(value, str) for value in values):
        return values.astype(str)
    return values


# --- signals -------------------------------------------------------------------------------------


def _from_mne(listed: Sequence[Any], kind: str, read: Callable[..., np.ndarray]) -> Windows:
    """Return the windows of Epochs or Evoked, and check that channels and rates are equal."""
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
            "Found array with 0 sample(s): X holds no windows, because all of its epochs were "
            f"dropped ({reasons}). Check what rejects them, such as reject= or BAD_ annotations."
        )
    return Windows(_together(data), sfreq, chs)


def _epochs_data(epochs: Any, picks: list[int] | None) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "epochs._get_data.. can't run|All epochs were dropped")
        return epochs.get_data(picks=picks, copy=False)


def _evoked_data(evoked: Any, picks: list[int] | None) -> np.ndarray:
    """Return an average as one window."""
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
        raise ValueError("Found array with 0 sample(s): X is a data set that holds no windows.")
    if not all(described):
        return Windows(_together(data), sfreq)
    first = ch_names(described[0])
    for i, chs in enumerate(described):
        where, remedy = f"datasets[{i}]", "braindecode's Preprocessor('pick', picks=[...])"
        _check_channels("data set", where, "datasets[0]", ch_names(chs), first, remedy)
    return Windows(_together(data), sfreq, described[0])


def _read_part(part: Any, holder: Any) -> tuple[list[np.ndarray], list[dict[str, Any]] | None]:
    """Return the windows of one recording's data set, and descriptions of their channels.

    The descriptions are None if a transform changed the number of channels.
    """
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
            f"X is a {kind} with unequal channels: those of {where} and {first_place} {differ} "
            f"(marked-bad ones are left out). Interpolate bad ones, or pick common ones: {remedy}."
        )


def _one_rate(kind: str, holders: Sequence[Any], remedy: str) -> float:
    rates = sorted({float(holder.info["sfreq"]) for holder in holders})
    if len(rates) > 1:
        raise ValueError(
            f"X is a {kind} with unequal sampling rates ({rates[0]:g} to {rates[-1]:g} Hz). "
            f"Resample to one rate with {remedy}."
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
    """Return True if `item` is ``(window, target, ...)`` of a data set of braindecode."""
    return isinstance(item, tuple) and 2 <= len(item) <= 4 and getattr(item[0], "ndim", 0) == 2


def _together(parts: Sequence[Any]) -> Any:
    """Join the windows of several parts in an array, or in a list if their shapes differ."""
    if len({np.shape(window) for part in parts for window in part}) > 1:
        return [window for part in parts for window in part]
    if len(parts) == 1 and isinstance(parts[0], np.ndarray):
        return parts[0]
    return np.concatenate([np.asarray(part) for part in parts if len(part)])


def take_windows(X: Any, rows: Sequence[int] | np.ndarray) -> Any:
    """Take windows from an array, a list, a data frame or Epochs; the container is kept."""
    if isinstance(X, list | tuple):
        return [X[row] for row in rows]
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]


def count_windows(X: Any) -> int:
    """Number of windows of an array, a list or a container."""
    return X.shape[0] if hasattr(X, "shape") else len(X)


def at_rows(params: Mapping[str, Any], rows: np.ndarray, n_windows: int) -> dict[str, Any]:
    """Parameters in which values with one entry per window are cut to `rows`."""

    def per_window(value: Any) -> bool:
        return not isinstance(value, str) and hasattr(value, "__len__") and len(value) == n_windows

    return {
        name: take_windows(value, rows) if per_window(value) else value
        for name, value in params.items()
    }
