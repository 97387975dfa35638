"""What is in recordings: channels, rates, lengths, and the flaws of their values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np

from ..modalities import Choice, modality_of
from .conversion import Conversion
from .origin import Origin
from .quality import Segments
from .readers import Block, read_file
from .spectra import Spectra

# Range of the typical standard deviation, within a second, of signals in volts.
_VOLTS = {
    "EEG": (2e-6, 4e-4), "EOG": (5e-6, 4e-3), "ECG": (2e-5, 4e-3), "EMG": (2e-6, 4e-3),
}  # fmt: skip
_UNITS = {"V": 1.0, "mV": 1e3, "uV": 1e6, "nV": 1e9}
MAINS = (50.0, 60.0)  # frequencies in Hz
# Power at the frequency of the mains, relative to that beside it, which counts as hum.
_HUM_FROM = 10.0
_HUM_SECONDS = 300.0  # part of a recording in which hum is searched for
_ASSUMED_SFREQ = 100.0


@dataclass(frozen=True)
class ChannelSurvey:
    """A channel of a recording.

    Attributes
    ----------
    name, kind : str
        Name and modality; the modality is "unknown" if the name and the type do not tell it.
    sfreq : float
        Sampling rate in Hz.
    seconds : float
        Length.
    typical : float
        Median of the standard deviations within seconds, in the unit of the file.
    flat, clipped, missing : float
        Shares of the samples, in [0, 1].
    hum : dict of float to float
        Power at 50 and at 60 Hz relative to that beside it, where that is at least 10.
    """

    name: str
    kind: str
    sfreq: float
    seconds: float
    typical: float
    flat: float
    clipped: float
    missing: float
    hum: dict[float, float]


def unit_of(kind: str, typical: float) -> str:
    """Return the unit in which a standard deviation is usual for a kind of signal.

    Parameters
    ----------
    kind : str
        Modality.
    typical : float
        Standard deviation within a second.

    Returns
    -------
    str
        Unit; empty if none, or more than one, fits.
    """
    low, high = _VOLTS.get(kind, (np.inf, 0.0))
    fitting = [name for name, per_volt in _UNITS.items() if low <= typical / per_volt <= high]
    return fitting[0] if len(fitting) == 1 else ""


@dataclass(frozen=True)
class RecordingSurvey:
    """A recording.

    Attributes
    ----------
    name, person : str
        Name of the recording and of the person.
    channels : list of ChannelSurvey
    digest : bytes
        Hash of the values, which is equal for copies.
    """

    name: str
    person: str
    channels: list[ChannelSurvey]
    digest: bytes

    @property
    def seconds(self) -> float:
        """Length of the longest channel in seconds."""
        return max(channel.seconds for channel in self.channels)


class _AllSignals(Choice):
    """Choice of all channels that are signals, at any rate and of any kind."""

    def __call__(self, name: str, modality: str | None, sfreq: float, flaw: str = "") -> str:
        if flaw and flaw != "marked bad":
            self.left_out.append((f"{self.file}: {name}", flaw))
            return ""
        return "unknown" if modality is None else modality


def survey_file(path: Path, name: str, spectra: Spectra | None = None) -> list[RecordingSurvey]:
    """Survey the recordings of a file.

    Parameters
    ----------
    path : Path
    name : str
        Name of the file.
    spectra : Spectra or None, default=None
        Means to which the spectra of the channels are added.

    Returns
    -------
    list of RecordingSurvey

    Raises
    ------
    ValueError, OSError and other errors of the libraries that read the formats
        If the file cannot be read.
    """
    choose = _AllSignals(_ASSUMED_SFREQ, None, name)
    sources = list(read_file(path, Origin.of(path), choose))
    found = []
    for i, source in enumerate(sources):
        here = name if len(sources) == 1 else f"{name}:{i + 1}"
        blocks = [block for block in source.blocks if block.n_times]
        if blocks:
            found.append(_survey(here, source.subject, blocks, spectra))
    return found


def survey_windows(
    X: np.ndarray,
    sfreq: float | None,
    ch_names: Sequence[str] | None,
    spectra: Spectra | None = None,
) -> RecordingSurvey:
    """Survey windows in an array as if they were one recording.

    Parameters
    ----------
    X : ndarray of shape (n_windows, n_chans, n_times) or (n_windows, n_times)
    sfreq : float or None
        Sampling rate in Hz; None if unknown.
    ch_names : sequence of str or None
    spectra : Spectra or None, default=None
        Means to which the spectra of the channels are added if the sampling rate is known.

    Returns
    -------
    RecordingSurvey
    """
    windows = X[:, None] if X.ndim == 2 else X
    values = np.ascontiguousarray(windows.swapaxes(0, 1)).reshape(windows.shape[1], -1)
    names = tuple(ch_names or (f"channel {i}" for i in range(len(values))))
    kinds = tuple(modality_of(name) or "unknown" for name in names)
    block = Block(
        sfreq or _ASSUMED_SFREQ, values.shape[1], names, kinds,
        lambda start, stop: values[:, start:stop], np.ones(len(names)),
    )  # fmt: skip
    return _survey("windows", "", [block], spectra if sfreq else None)


def _survey(
    name: str, person: str, blocks: list[Block], spectra: Spectra | None
) -> RecordingSurvey:
    digest = blake2b()
    channels = [each for block in blocks for each in _survey_block(block, digest, spectra)]
    return RecordingSurvey(name, person, channels, digest.digest())


def _survey_block(block: Block, digest: blake2b, spectra: Spectra | None) -> list[ChannelSurvey]:
    """Survey the channels of a block, and add their values to a hash and their spectra to means."""
    conversion = Conversion(block, block.sfreq)
    segments = Segments(len(block.ch_names))
    beginning: list[np.ndarray] = []
    n_hum = round(_HUM_SECONDS * block.sfreq)
    for start, codes, _, values in conversion.convert():
        segments.add(codes, start)
        digest.update(np.ascontiguousarray(values, np.float32).tobytes())
        if start < n_hum:
            beginning.append(values[:, : n_hum - start])
    frequencies, power = _power(np.concatenate(beginning, axis=1), block.sfreq)
    hum = _hum(frequencies, power, block.sfreq)
    shares = (segments.counts / block.n_times).tolist()
    typical = (conversion.statistics.typical * block.scale).tolist()
    seconds = block.n_times / block.sfreq
    if spectra is not None and len(frequencies):
        for kind, row in zip(block.modalities, power, strict=True):
            spectra.add(kind, block.sfreq, frequencies, row)
    found = []
    for i, (name, kind) in enumerate(zip(block.ch_names, block.modalities, strict=True)):
        _, flat, clipped, missing = shares[i]
        found.append(
            ChannelSurvey(
                name, kind, block.sfreq, seconds, typical[i], flat, clipped, missing, hum[i]
            )
        )
    return found


def _power(values: np.ndarray, sfreq: float) -> tuple[np.ndarray, np.ndarray]:
    """Return frequencies in Hz and the power density; none for less than a second."""
    from scipy.signal import welch

    n_times = min(values.shape[1], round(4 * sfreq))
    if n_times < sfreq:
        return np.empty(0), np.empty((len(values), 0))
    return welch(values.astype(np.float64), sfreq, nperseg=n_times, axis=1)


def _hum(frequencies: np.ndarray, power: np.ndarray, sfreq: float) -> list[dict[float, float]]:
    """Return the relative power at the frequencies of the mains, for each channel."""
    found: list[dict[float, float]] = [{} for _ in power]
    if not len(frequencies):
        return found
    for mains in MAINS:
        distance = np.abs(frequencies - mains)
        beside = (distance > 2) & (distance < 6)
        if mains + 6 > sfreq / 2:
            continue
        level = np.median(power[:, beside], axis=1)
        peak = power[:, distance <= 1].max(axis=1)
        for channel, (high, low) in enumerate(zip(peak, level, strict=True)):
            if low > 0 and high / low >= _HUM_FROM:
                found[channel][mains] = float(high / low)
    return found
