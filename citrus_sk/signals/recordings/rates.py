"""Sampling rates of the signals of a file, which MNE resamples to the highest of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from ..modalities import bare_name
from .edf import EDF_EXTENSIONS, EdfFile

_FIXED_HEADER = 256  # bytes of a GDF file before those of its signals, 256 bytes each
_COUNTS_AT = 216  # bytes per signal before the numbers of samples in a data record


def gdf_rates(path: Path) -> dict[str, float]:
    """Return the sampling rate of each signal of a GDF file, in Hz.

    References
    ----------
    A. Schlögl: GDF, a general dataformat for biosignals. arXiv:cs/0608052.
    """
    with path.open("rb") as file:
        head = file.read(_FIXED_HEADER)
        if len(head) < _FIXED_HEADER or head[:3] != b"GDF":
            raise ValueError(f"not a GDF file: it begins with {head[:8]!r}")
        count_bytes = 4 if float(head[4:8]) < 1.9 else 2
        n_signals = int.from_bytes(head[252 : 252 + count_bytes], "little")
        rest = file.read(256 * n_signals)
    numerator, denominator = np.frombuffer(head, "<u4", 2, 244).tolist()
    if len(rest) < 256 * n_signals or not numerator or not denominator:
        raise ValueError("its header cannot be read")
    counts = np.frombuffer(rest, "<u4", n_signals, _COUNTS_AT * n_signals)
    labels = [rest[16 * i : 16 * (i + 1)].split(b"\0")[0] for i in range(n_signals)]
    return {
        label.decode("latin-1").strip(): n_times * denominator / numerator
        for label, n_times in zip(labels, counts.tolist(), strict=True)
    }


def check_one_rate(path: Path, names: Sequence[str], remedy: str) -> float | None:
    """Raise ValueError if MNE would change signals of a file: their rates, units or times.

    Parameters
    ----------
    path : Path
        File to check if it is EDF, BDF or GDF; other formats, and files that no longer exist, are
        not checked.
    names : sequence of str
        Names of channels in MNE, which appends ``-0``, ``-1``, ... to equal labels. They may lack
        the type, as with ``infer_types=True``.
    remedy : str
        Advice for signals of unequal rates, for the message.

    Returns
    -------
    float or None
        Rate of these signals in Hz if MNE interpolates them because others are faster; else None.
    """
    suffix = path.suffix.lower()
    if suffix not in (*EDF_EXTENSIONS, ".gdf"):
        return None
    try:
        if suffix == ".gdf":
            rates = list(gdf_rates(path).items())
        else:
            edf = EdfFile(path)
            _check_edf(edf, path.name, names)
            rates = [(signal.label, signal.sfreq) for signal in edf.signals]
    except OSError:
        return None
    except ValueError as error:
        raise ValueError(f"{path.name} cannot be read: {error}.") from error
    picked = _labels_of(names, [label for label, _ in rates])
    found = [(sfreq, label) for label, sfreq in rates if label in picked]
    if not found:
        return None
    (slowest, low), (fastest, high) = min(found), max(found)
    if slowest < fastest:
        raise ValueError(
            f"{path.name} has signals of unequal sampling rates, such as {low!r} at {slowest:g} Hz "
            f"and {high!r} at {fastest:g} Hz; MNE interpolates all to the highest. {remedy}"
        )
    return slowest if slowest < max(sfreq for _, sfreq in rates) else None


def _check_edf(edf: EdfFile, name: str, names: Sequence[str]) -> None:
    """Raise ValueError for flaws that the reader of MNE ignores."""
    picked = _labels_of(names, [signal.label for signal in edf.signals])
    for signal in edf.signals:
        if signal.flaw and signal.label in picked:
            raise ValueError(
                f"{signal.label!r} has no scale, as {signal.flaw}. Choose channels without it"
            )
    if len(edf.runs) > 1:
        after = edf.end_of(edf.runs[0])
        raise ValueError(
            f"it was interrupted {len(edf.runs) - 1} time(s), first after {after:g} s, and MNE "
            "joins its parts, so that later times do not match. Save its parts as files of their "
            "own"
        )


def _labels_of(names: Sequence[str], labels: Collection[str]) -> set[str]:
    """Return the labels in the file of the channels with these names in MNE."""
    found: set[str] = set()
    for name in names:
        unnumbered = re.sub(r"-\d+$", "", name)
        exact = {label for label in labels if label in (name, unnumbered)}
        found |= exact or {label for label in labels if bare_name(label) == bare_name(name)}
    return found
