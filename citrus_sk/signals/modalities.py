"""Modalities of channels by their names and types, and the choice of channels for a corpus."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

ANY_SIGNAL = "signal"  # modality of an array if none is given
# Names of the modalities in containers, BIDS tables and common use, in lower case.
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
    """Return the name of a modality in this package ("ECG" for "ekg"); other names are kept."""
    return _MODALITIES.get(modality.lower(), modality)


def known_modalities() -> list[str]:
    """Return the names of all modalities in this package, sorted."""
    return sorted(set(_MODALITIES.values()))


def modality_of_type(kind: str) -> str:
    """Return the modality for a type of channel; empty for types without a signal, as "stim"."""
    return "" if kind.lower() in _NO_SIGNAL_TYPES else as_named(kind)


def modality_of(name: str, kind: str = "") -> str | None:
    """Return the modality of a channel, by its type and its name.

    Parameters
    ----------
    name : str
        Name of the channel, such as "EEG Fpz-Cz", "Fc5.", "II", "Resp oro-nasal".
    kind : str, default=""
        Type of the channel in the container or a table. A known type overrides the name.

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
    # "EEG EKG1-REF" is an ECG, so the pattern of EEG comes last.
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
    """Return a name without its type and its reference: "FP1" for "EEG Fp1-REF"."""
    text = _TYPE_BEFORE.sub("", name.upper().strip(". "), count=1)
    while match := re.search(rf"(?<=.)(?:{_REFERENCE_AFTER.pattern})$", text.strip(". ")):
        text = text[: match.start()]
    return text.strip(". ")


class ChannelTable:
    """BIDS table of channels, searched by name with or without type and reference.

    Parameters
    ----------
    file : str
        Name of the table, for messages.
    rows : list of dict
        Rows of the table, as dicts from the names of its columns.
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
        """Return the name of a channel in the table; None if it is missing or ambiguous.

        Of several alike names, all of which are bad, the first is returned.
        """
        if name in self._rows:
            return name
        alike = self._bare.get(bare_name(name), [])
        unambiguous = len(alike) == 1 or all(map(self.is_bad, alike))
        return alike[0] if alike and unambiguous else None

    def _value(self, name: str, column: str) -> str:
        row = self._rows.get(self._row_name(name) or "", {})
        return (row.get(column) or "").strip()

    def is_bad(self, name: str) -> bool:
        """Return True if the table marks a channel of the file as bad."""
        return self._value(name, "status").lower() == "bad"

    def type_of(self, name: str) -> str:
        """Return the type of a channel of the file in the table; empty if it has none."""
        return self._value(name, "type")

    def note_unknown(self, names: Sequence[str], choose: Choice) -> None:
        """Add a note for each bad channel of the table that is not in the file."""
        known = {self._row_name(name) for name in names}
        for name in self._rows:
            if name not in known and self.is_bad(name):
                choose.note(f"{self._file} marks {name!r} as bad, and no channel has that name")


# Largest ratio of two rates. The filter that resamples has some 50 times as many values, and rates
# beyond it come from damaged headers.
_FASTEST = 100_000


@dataclass
class Choice:
    """Choice of channels of a file for a corpus, with the reasons for those left out."""

    sfreq: float
    modality: str | None
    file: str
    left_out: list[tuple[str, str]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Add a note on the whole file, for the report of the corpus."""
        self.notes.append((self.file, text))

    def __call__(self, name: str, modality: str | None, sfreq: float, flaw: str = "") -> str:
        """Return the modality of a channel that is used, else an empty string.

        `flaw` is the reason why its values cannot be used; empty if they can.
        """
        if modality == "":
            return ""
        modality = self.modality or modality
        if flaw:
            reason = flaw
        elif sfreq < self.sfreq / 2:
            reason = f"sampled at {sfreq:g} Hz, less than half of {self.sfreq:g} Hz"
        elif not sfreq <= _FASTEST * self.sfreq:  # also if it is not a number
            reason = f"sampled at {sfreq:g} Hz, more than {_FASTEST:,} times {self.sfreq:g} Hz"
        elif modality is None:
            reason = "unknown kind of channel (specify it with modality=)"
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
        """Return the rows, names and modalities of the channels that are used."""
        rates = [sfreq] * len(names) if isinstance(sfreq, int | float) else sfreq
        found = [
            self(name, modality, rate, "marked bad" if name in bads else "")
            for name, modality, rate in zip(names, modalities, rates, strict=True)
        ]
        rows = [row for row, modality in enumerate(found) if modality]
        return rows, tuple(str(names[row]) for row in rows), tuple(found[row] for row in rows)
