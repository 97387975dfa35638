"""Modalities of channels by their names and types, and the channels that a corpus takes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

ANY_SIGNAL = "signal"  # the kind of an array whose modality is not given
# What containers, BIDS tables and people call the modalities, in lower case.
_MODALITIES = {
    "eeg": "EEG", "ecg": "ECG", "ekg": "ECG", "emg": "EMG", "eog": "EOG", "veog": "EOG",
    "heog": "EOG", "ppg": "PPG", "pleth": "PPG", "bvp": "PPG", "resp": "RESP", "abp": "ABP",
    "gsr": "GSR", "eda": "GSR", "acc": "ACC", "accel": "ACC", "gyro": "GYRO", "meg": "MEG",
    "mag": "MEG", "grad": "MEG", "megmag": "MEG", "meggradaxial": "MEG", "meggradplanar": "MEG",
    "seeg": "SEEG", "ecog": "ECOG", "dbs": "DBS",
}  # fmt: skip
_NO_SIGNAL_TYPES = {
    "stim", "trig", "syst", "sysclock", "chpi", "exci", "ias", "ref", "refgradaxial", "ref_meg",
    "temp", "temperature", "audio", "eyegaze", "pupil", "fitgof",
}  # fmt: skip
# Words in the names of channels that hold events or slow readings instead of a signal.
_NO_SIGNAL_WORDS = {
    "EVENT", "EVENTS", "MARKER", "STATUS", "TRIGGER", "TRIG", "STI", "ANNOTATIONS", "TEMP",
    "TEMPERATURE", "RATE", "PULSE", "HR", "SPO", "SAO", "BATTERY",
}  # fmt: skip
_WORDS = (
    (re.compile(r"E[CK]G|MCL"), "ECG"),
    (re.compile(r"EMG|CHIN"), "EMG"),
    (re.compile(r"[HV]?EOG|LOC|ROC"), "EOG"),
    (re.compile(r"PPG|PLETH?|BVP"), "PPG"),
    (re.compile(r"RESP\w*|THOR\w*|ABDO\w*|(AIR)?FLOW|NASAL"), "RESP"),
    (re.compile(r"I?[AB]BP|BP|ART"), "ABP"),
    (re.compile(r"GSR|EDA"), "GSR"),
    (re.compile(r"ACC\w*"), "ACC"),
    (re.compile(r"EEG"), "EEG"),
)
_ECG_LEAD = re.compile(r"(ML)?I{1,3}|M?AV[RLF]|(ML?)?V[1-9]?")
_ELECTRODE = re.compile(
    r"(NZ|(FP|AFP?|AFF|F|FFT|FFC|FT|FTT|FC|FCC|T|TTP|C|CCP|TP|TPP|CP|CPP|P|PPO|PO|POO|O|OI|I)"
    r"(Z|10|[1-9])H?|[AM][12])"
)
_REFERENCE = re.compile(r"REF|LE|AR|AVG|AV|CLE|LER|M|A")


def as_named(modality: str) -> str:
    """The package's name of a known modality ("ekg" is "ECG"); any other name as it stands."""
    return _MODALITIES.get(modality.lower(), modality)


def known_modalities() -> list[str]:
    """The package's names of all kinds of signal that it knows."""
    return sorted(set(_MODALITIES.values()))


def modality_of_type(kind: str) -> str:
    """The same for a type that a person gave a channel; empty for "stim" and the like."""
    return "" if kind.lower() in _NO_SIGNAL_TYPES else as_named(kind)


def modality_of(name: str, kind: str = "") -> str | None:
    """Modality of a channel, by its type and its name.

    Parameters
    ----------
    name : str
        Such as "EEG Fpz-Cz", "Fc5.", "II", "Resp oro-nasal".
    kind : str, default=""
        Type that the container or a table gives it. Trusted where it is a known one.

    Returns
    -------
    str or None
        The modality; empty for events and other channels without a signal; None if unknown.
    """
    if kind.lower() in _MODALITIES:
        return _MODALITIES[kind.lower()]
    words = re.findall(r"[A-Z]+", name.upper())
    if kind.lower() in _NO_SIGNAL_TYPES or _NO_SIGNAL_WORDS.intersection(words):
        return ""
    # "EEG EKG1-REF" is an ECG: that a name begins with EEG counts last.
    for pattern, modality in _WORDS:
        if any(pattern.fullmatch(word) for word in words):
            return modality
    parts = [part.strip(".") for part in re.split(r"[-_:/ ]+", name.upper().strip(". "))]
    if len(parts) == 1 and _ECG_LEAD.fullmatch(parts[0]):
        return "ECG"
    if _ELECTRODE.fullmatch(parts[0]) and all(
        _ELECTRODE.fullmatch(part) or _REFERENCE.fullmatch(part) for part in parts[1:]
    ):
        return "EEG"
    return None


_TYPE_BEFORE = re.compile(r"(E[EK]G|ECG|EMG|EOG|MEG|SEEG|ECOG|PPG|RESP|POL)[ _:-]+")
_REFERENCE_AFTER = re.compile(
    rf"\s*-\s*({_REFERENCE.pattern}|[AM][12]|A1A2|M1M2)|[ _:/]+(REF|LE|AVG|AVERAGE)"
)


def bare_name(name: str) -> str:
    """The name of a channel without its type and its reference: "EEG Fp1-REF" is "FP1"."""
    text = _TYPE_BEFORE.sub("", name.upper().strip(". "), count=1)
    while match := re.search(rf"(?<=.)(?:{_REFERENCE_AFTER.pattern})$", text.strip(". ")):
        text = text[: match.start()]
    return text.strip(". ")


class ChannelTable:
    """A BIDS table of channels, by their names with or without type and reference.

    Parameters
    ----------
    file : str
        Its name.
    rows : list of dict
        By the names of its columns.
    """

    def __init__(self, file: str, rows: list[dict[str, str]]) -> None:
        if rows and "name" not in rows[0]:
            raise ValueError(f"{file} has no column 'name'")
        self._file = file
        self._rows = {row["name"].strip(): row for row in rows if row["name"]}
        self._bare: dict[str, list[str]] = {}
        for name in self._rows:
            self._bare.setdefault(bare_name(name), []).append(name)

    def _row_name(self, name: str) -> str | None:
        """The name in the table of a channel of the file; of several, one where all are bad."""
        if name in self._rows:
            return name
        alike = self._bare.get(bare_name(name), [])
        clear = len(alike) == 1 or all(map(self.is_bad, alike))
        return alike[0] if alike and clear else None

    def _value(self, name: str, column: str) -> str:
        row = self._rows.get(self._row_name(name) or "", {})
        return (row.get(column) or "").strip()

    def is_bad(self, name: str) -> bool:
        """Whether the table marks a channel of the file as bad."""
        return self._value(name, "status").lower() == "bad"

    def type_of(self, name: str) -> str:
        """The type that the table gives a channel of the file; empty where it gives none."""
        return self._value(name, "type")

    def note_unknown(self, names: Sequence[str], choose: Choice) -> None:
        """Note the channels that the table marks as bad and the file does not have."""
        known = {self._row_name(name) for name in names}
        for name in self._rows:
            if name not in known and self.is_bad(name):
                choose.note(f"{self._file} marks {name!r} as bad, and no channel has that name")


@dataclass
class Choice:
    """The channels of a file that a corpus takes, and those left out, with the reasons."""

    sfreq: float
    modality: str | None
    file: str
    left_out: list[tuple[str, str]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Note something about the whole file that its user should know."""
        self.notes.append((self.file, text))

    def __call__(self, name: str, modality: str | None, sfreq: float, flaw: str = "") -> str:
        """The modality of a channel that is used, else an empty string.

        `flaw` is the reason why it cannot be used, whatever it records.
        """
        if modality == "":
            return ""
        modality = self.modality or modality
        if flaw:
            reason = flaw
        elif sfreq < self.sfreq / 2:
            reason = f"sampled at {sfreq:g} Hz, less than half of {self.sfreq:g} Hz"
        elif modality is None:
            reason = "unknown kind of channel (pass modality= to give it)"
        else:
            return modality
        self.left_out.append((f"{self.file}: {name}", reason))
        return ""

    def pick(
        self,
        names: Sequence[str],
        modalities: Sequence[str | None],
        sfreq: float | Sequence[float],
        bads: Any = (),
    ) -> tuple[list[int], tuple[str, ...], tuple[str, ...]]:
        """Rows, names and modalities of the channels that are taken."""
        rates = [sfreq] * len(names) if isinstance(sfreq, int | float) else sfreq
        found = [
            self(name, modality, rate, "marked bad" if name in bads else "")
            for name, modality, rate in zip(names, modalities, rates, strict=True)
        ]
        rows = [row for row, modality in enumerate(found) if modality]
        return rows, tuple(str(names[row]) for row in rows), tuple(found[row] for row in rows)
