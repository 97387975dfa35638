"""Recordings as a corpus that windows are drawn from, and what became of every second."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral
from typing import Any

import numpy as np

from ..._utils.validation import check_number
from .cache import Recording
from .conversion import Seconds
from .quality import FATES
from .split import hold_out

_N_NAMED = 10
_N_SAMPLED = 64


@dataclass
class CorpusReport:
    """Account of every second that was read.

    Every second of a channel is counted once: what is missing as that alone, what is flat not as
    clipped, and what is left between these and too short to use as short.

    Attributes
    ----------
    seconds : dict
        For (data set, subject, modality) an array of five: channel-seconds kept, flat, clipped,
        missing, short. Samples instead of seconds where the rate is unknown.
    skipped : list of (str, str)
        Files that could not be read, and why.
    skipped_channels : list of (str, str)
        Channels left out as a whole, as "file: channel", and why. Events, stages and slow
        readings such as temperature are not listed.
    passed_over : list of (str, str)
        Files and folders that look like recordings and were not read, and why.
    notes : list of (str, str)
        Files that were not read as a whole, or not as their tables say, and what differs.
    """

    seconds: Seconds = field(default_factory=dict)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    skipped_channels: list[tuple[str, str]] = field(default_factory=list)
    passed_over: list[tuple[str, str]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)

    def by_modality(self) -> dict[tuple[str, str], dict[str, float]]:
        """For each (data set, modality), sorted, its seconds by fate."""
        sums: dict[tuple[str, str], np.ndarray] = {}
        for (dataset, _, modality), seconds in self.seconds.items():
            sums[dataset, modality] = sums.get((dataset, modality), 0) + seconds
        return {key: dict(zip(FATES, sums[key].tolist(), strict=True)) for key in sorted(sums)}

    def _total(self, fate: str) -> float:
        return float(sum(seconds[FATES.index(fate)] for seconds in self.seconds.values()))

    @property
    def kept_s(self) -> float:
        """Channel-seconds that are usable."""
        return self._total("kept")

    @property
    def flat_s(self) -> float:
        """Channel-seconds without any change for at least half a second."""
        return self._total("flat")

    @property
    def clipped_s(self) -> float:
        """Channel-seconds at a channel's lowest or highest value, and close to these."""
        return self._total("clipped")

    @property
    def missing_s(self) -> float:
        """Channel-seconds not finite, annotated as bad, or lost in a gap of a recording."""
        return self._total("missing")

    @property
    def short_s(self) -> float:
        """Channel-seconds in stretches that are too short."""
        return self._total("short")


class Corpus:
    """Recordings at one rate, with the stretches of them that are usable.

    Made by `read_corpus` or `array_corpus`.

    Parameters
    ----------
    recordings : list of Recording
    sfreq : float or None
        Hz; None if unknown.
    report : CorpusReport
    about : dict, default={}
        For a data set: "licence", "source" and "citation", as far as they are known.
    storage : object, default=None
        Kept alive as long as the corpus, as the files that are mapped go with it.

    Attributes
    ----------
    recordings, sfreq, report
        As above.
    """

    def __init__(
        self,
        recordings: list[Recording],
        sfreq: float | None,
        report: CorpusReport,
        about: dict[str, dict[str, str]] | None = None,
        storage: object = None,
    ) -> None:
        self.recordings = recordings
        self.sfreq = sfreq
        self.report = report
        self._about = about or {}
        self._storage = storage

    def __repr__(self) -> str:
        return (
            f"<Corpus: {len(self.recordings)} recordings of {len(self.subjects)} subjects, "
            f"{', '.join(self.modalities)}>"
        )

    @property
    def modalities(self) -> list[str]:
        """Modalities of which something is usable, sorted."""
        return sorted(self._subjects_by(lambda recording, channel: recording.modalities[channel]))

    @property
    def subjects(self) -> list[str]:
        """Subjects of whom something is usable, sorted."""
        return sorted({recording.subject for recording in self.recordings})

    def hours(self, modality: str | None = None) -> float:
        """Usable channel-hours.

        Parameters
        ----------
        modality : str or None, default=None
            Of this modality alone; 0 if there is none.

        Returns
        -------
        float
            NaN if the rate is unknown.
        """
        if self.sfreq is None:
            return float("nan")
        n_samples = sum(
            int(np.diff(stretches, axis=1).sum())
            for recording in self.recordings
            for kind, stretches in zip(recording.modalities, recording.good, strict=True)
            if modality in (None, kind)
        )
        return n_samples / self.sfreq / 3600

    @property
    def can_be_split(self) -> bool:
        """Whether some data set or modality has two subjects."""
        return any(
            len(subjects) > 1
            for each in (
                self._subjects_by(lambda recording, channel: recording.dataset),
                self._subjects_by(lambda recording, channel: recording.modalities[channel]),
            )
            for subjects in each.values()
        )

    def subjects_of(self, modalities: Collection[str]) -> set[str]:
        """Subjects who give something usable of one of these modalities."""
        by_modality = self._subjects_by(lambda recording, channel: recording.modalities[channel])
        return set().union(*(by_modality.get(name, set()) for name in modalities))

    def split_by_subject(self, share: float, seed: int) -> tuple[Corpus, Corpus]:
        """Hold out whole people.

        Parameters
        ----------
        share : float
            Share of the subjects to hold out of each data set, in (0, 1). A data set of two
            subjects or more gives at least one and keeps at least one.
        seed : int
            Who is held out depends on this and on who there is, not on the order of files.

        Returns
        -------
        train, held_out : Corpus
            Every modality of two subjects or more is on both sides. Where no split grants this to
            all of them at once, it is granted to as many as a few exchanges can reach.

        Raises
        ------
        ValueError
            If no data set and no modality has two subjects.
        """
        check_number("share", share, open_low=True, high=1.0)
        check_number("seed", seed, Integral)
        datasets = self._subjects_by(lambda recording, channel: recording.dataset)
        modalities = self._subjects_by(lambda recording, channel: recording.modalities[channel])
        held_out = hold_out(datasets, modalities, share, seed)
        if not held_out:
            raise ValueError(
                f"No data set and no modality has two subjects (subjects: "
                f"{', '.join(self.subjects[:_N_NAMED])}), so none can be held out. Add recordings "
                "of other people, or say whose they are (see read_corpus)."
            )
        return (
            self._where(lambda subject: subject not in held_out),
            self._where(lambda subject: subject in held_out),
        )

    def select(self, modalities: Sequence[str]) -> Corpus:
        """Only channels of these modalities.

        Parameters
        ----------
        modalities : list of str

        Returns
        -------
        Corpus
            Values are not copied, so a recording whose chosen channels do not lie side by side
            becomes several of the same name.

        Raises
        ------
        ValueError
            If the corpus has no such modality.
        """
        known, expected = (
            self.modalities,
            [modalities] if isinstance(modalities, str) else modalities,
        )
        if unknown := [name for name in expected if name not in known]:
            raise ValueError(
                f"modalities={unknown!r}: the corpus has no such; it has {', '.join(known)}."
            )
        recordings = [part for whole in self.recordings for part in _parts(whole, set(expected))]
        seconds = {key: value for key, value in self.report.seconds.items() if key[2] in expected}
        report = replace(self.report, seconds=seconds)
        return Corpus(recordings, self.sfreq, report, self._about, self._storage)

    def of_subjects(self, subjects: Collection[str]) -> Corpus:
        """Only recordings of these people.

        Parameters
        ----------
        subjects : list of str
            As `subjects` names them.

        Returns
        -------
        Corpus

        Raises
        ------
        ValueError
            If the corpus has nobody of one of these names.
        """
        if unknown := sorted(set(subjects) - set(self.subjects)):
            raise ValueError(
                f"subjects={unknown[:_N_NAMED]!r}: the corpus has no such; it has "
                f"{', '.join(self.subjects[:_N_NAMED])}, ..."
            )
        return self._where(lambda subject: subject in subjects)

    def fingerprint(self) -> str:
        """SHA-256 over names, shapes, scales, usable stretches and a sample of the values.

        Returns
        -------
        str
            Equal for the same recordings in the same order.
        """
        digest = hashlib.sha256(repr(self.sfreq).encode())
        for recording in self.recordings:
            data = recording.data
            names = (recording.name, recording.subject, recording.dataset)
            channels = (recording.ch_names, recording.modalities)
            digest.update(repr((names, channels, data.shape, data.dtype.str)).encode())
            digest.update(recording.scale.tobytes())
            for stretches in recording.good:
                digest.update(repr(stretches.shape).encode() + stretches.tobytes())
            # A few places: a corpus may be larger than memory, and slow to read.
            for start in np.linspace(0, max(0, data.shape[1] - _N_SAMPLED), 8).astype(int):
                digest.update(data[:, start : start + _N_SAMPLED].tobytes())
        return digest.hexdigest()

    def summary(self) -> str:
        """A table for a terminal: what there is, what was left out, and which files.

        Returns
        -------
        str
            Several lines.
        """
        unit = "hours" if self.sfreq is not None else "samples"
        head = ("data set", "modality", "subjects", "recordings", unit, "flat", "clipped")
        rows: list[tuple[str, ...]] = [(*head, "missing", "short")]
        for (dataset, modality), fates in self.report.by_modality().items():
            own = [
                recording
                for recording in self.recordings
                if recording.dataset == dataset and modality in recording.modalities
            ]
            total = max(sum(fates.values()), 1e-9)
            kept = fates["kept"] / 3600 if self.sfreq is not None else fates["kept"]
            rows.append(
                (
                    dataset,
                    modality,
                    str(len({recording.subject for recording in own})),
                    str(len(own)),
                    f"{kept:.2f}" if self.sfreq is not None else f"{kept:.0f}",
                    *(f"{100 * fates[fate] / total:.1f} %" for fate in FATES[1:]),
                )
            )
        lines = _table(rows)
        if self.report.skipped_channels:
            lines += ["", f"channels left out: {_reasons(self.report.skipped_channels)}"]
        for title, listed in (
            ("files left out:", self.report.skipped),
            ("passed over:", self.report.passed_over),
            ("notes:", self.report.notes),
        ):
            if listed:
                lines += ["", title, *(f"  {name}: {reason}" for name, reason in listed)]
        return "\n".join(lines)

    def provenance(self) -> list[dict[str, Any]]:
        """Where the recordings are from, for a model card.

        Returns
        -------
        list of dict
            For each data set its "name", "n_subjects", "hours" (a dict by modality), and
            "licence", "source" and "citation", each a str or None.
        """
        result = []
        for dataset in sorted({recording.dataset for recording in self.recordings}):
            recordings = [each for each in self.recordings if each.dataset == dataset]
            own = Corpus(recordings, self.sfreq, CorpusReport())
            about = self._about.get(dataset, {})
            result.append(
                {
                    "name": dataset,
                    "n_subjects": len(own.subjects),
                    "hours": {modality: own.hours(modality) for modality in own.modalities},
                    **{key: about.get(key) for key in ("licence", "source", "citation")},
                }
            )
        return result

    def _subjects_by(self, key: Callable[[Recording, int], str]) -> dict[str, set[str]]:
        """Subjects of whom something is usable, by a property of their channels."""
        found: dict[str, set[str]] = {}
        for recording in self.recordings:
            for channel, stretches in enumerate(recording.good):
                if len(stretches):
                    found.setdefault(key(recording, channel), set()).add(recording.subject)
        return found

    def _where(self, expected: Callable[[str], bool]) -> Corpus:
        recordings = [each for each in self.recordings if expected(each.subject)]
        seconds = {key: value for key, value in self.report.seconds.items() if expected(key[1])}
        report = replace(self.report, seconds=seconds)
        return Corpus(recordings, self.sfreq, report, self._about, self._storage)


def _parts(recording: Recording, modalities: set[str]) -> Iterator[Recording]:
    """Views of the neighbouring channels of these modalities, where any of it is usable."""
    chosen = [modality in modalities for modality in recording.modalities]
    start = 0
    while start < len(chosen):
        stop = start
        while stop < len(chosen) and chosen[stop]:
            stop += 1
        if any(map(len, recording.good[start:stop])):
            yield replace(
                recording,
                ch_names=recording.ch_names[start:stop],
                modalities=recording.modalities[start:stop],
                data=recording.data[start:stop],
                scale=recording.scale[start:stop],
                good=recording.good[start:stop],
            )
        start = stop + 1


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def _reasons(left_out: list[tuple[str, str]]) -> str:
    counts = Counter(reason for _, reason in left_out)
    return "; ".join(f"{count} {reason}" for reason, count in counts.most_common())
