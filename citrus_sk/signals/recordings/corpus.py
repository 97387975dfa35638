"""The corpus of recordings that windows are drawn from, and the report on its data."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral
from typing import Any

import numpy as np

from ..._utils.validation import check_number, first_few
from .cache import Recording
from .conversion import Seconds
from .quality import OUTCOMES
from .split import hold_out

_N_NAMED = 10
_N_SAMPLED = 64


@dataclass
class CorpusReport:
    """Report on the data that were read: what was kept, what was left out, and why.

    Every second of a channel is counted once. Data with several flaws count as missing, else as
    flat, else as clipped; usable segments between flaws that are too short count as short.

    Attributes
    ----------
    seconds : dict
        Channel-seconds that were kept, flat, clipped, missing and short, as an array of five, by
        (data set, subject, modality). Samples instead of seconds if the rate is unknown.
    skipped : list of (str, str)
        Files that could not be read, and why.
    skipped_channels : list of (str, str)
        Channels left out as a whole, as "file: channel", and why. Events, stages and slow
        readings such as temperature are not listed.
    passed_over : list of (str, str)
        Files and folders that look like recordings and were not read, and why.
    notes : list of (str, str)
        Files that differ from their headers or tables, such as truncated ones, and how.
    """

    seconds: Seconds = field(default_factory=dict)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    skipped_channels: list[tuple[str, str]] = field(default_factory=list)
    passed_over: list[tuple[str, str]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)

    def by_modality(self) -> dict[tuple[str, str], dict[str, float]]:
        """Return seconds by outcome for each (data set, modality), sorted."""
        sums: dict[tuple[str, str], np.ndarray] = {}
        for (dataset, _, modality), seconds in self.seconds.items():
            sums[dataset, modality] = sums.get((dataset, modality), 0) + seconds
        return {key: dict(zip(OUTCOMES, sums[key].tolist(), strict=True)) for key in sorted(sums)}

    def _total(self, outcome: str) -> float:
        return float(sum(seconds[OUTCOMES.index(outcome)] for seconds in self.seconds.values()))

    @property
    def kept_s(self) -> float:
        """Channel-seconds that are kept, in usable segments."""
        return self._total("kept")

    @property
    def flat_s(self) -> float:
        """Channel-seconds without any change for at least half a second."""
        return self._total("flat")

    @property
    def clipped_s(self) -> float:
        """Channel-seconds at the lowest or highest value of a channel, and just around them."""
        return self._total("clipped")

    @property
    def missing_s(self) -> float:
        """Channel-seconds that are not finite, annotated as bad, or in a gap of a recording."""
        return self._total("missing")

    @property
    def short_s(self) -> float:
        """Channel-seconds in usable segments that are too short."""
        return self._total("short")


class Corpus:
    """Recordings at one rate, with their usable segments, as `read_corpus` returns them.

    Parameters
    ----------
    recordings : list of Recording
    sfreq : float or None
        Sampling rate in Hz; None if unknown.
    report : CorpusReport
        Report on the data that were read.
    about : dict, default={}
        For each data set: "licence", "source" and "citation", if known.
    storage : object, default=None
        Owner of the mapped files, which is kept alive as long as the corpus.

    Attributes
    ----------
    recordings, sfreq, report
        The parameters of these names.
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
        """Modalities of which anything is usable, sorted."""
        return sorted(self._subjects_by(lambda recording, channel: recording.modalities[channel]))

    @property
    def subjects(self) -> list[str]:
        """Subjects with usable data, sorted."""
        return sorted({recording.subject for recording in self.recordings})

    def hours(self, modality: str | None = None) -> float:
        """Return the usable channel-hours.

        Parameters
        ----------
        modality : str or None, default=None
            Modality to count; 0 hours if the corpus does not have it. None counts all.

        Returns
        -------
        float
            Usable channel-hours; NaN if the rate is unknown.
        """
        if self.sfreq is None:
            return float("nan")
        n_samples = sum(
            int(np.diff(segments, axis=1).sum())
            for recording in self.recordings
            for kind, segments in zip(recording.modalities, recording.good, strict=True)
            if modality in (None, kind)
        )
        return n_samples / self.sfreq / 3600

    @property
    def can_be_split(self) -> bool:
        """True if a data set or a modality has two subjects or more."""
        return any(
            len(subjects) > 1
            for each in (
                self._subjects_by(lambda recording, channel: recording.dataset),
                self._subjects_by(lambda recording, channel: recording.modalities[channel]),
            )
            for subjects in each.values()
        )

    def subjects_of(self, modalities: Collection[str]) -> set[str]:
        """Return the subjects with usable data of one of these modalities."""
        by_modality = self._subjects_by(lambda recording, channel: recording.modalities[channel])
        return set().union(*(by_modality.get(name, set()) for name in modalities))

    def split_by_subject(self, share: float, seed: int) -> tuple[Corpus, Corpus]:
        """Split the corpus in two, with no subject on both sides.

        Parameters
        ----------
        share : float
            Share of the subjects of each data set to hold out, in (0, 1). Of two subjects or more,
            at least one is held out and at least one is kept.
        seed : int
            Seed of the split, which depends on the names of the subjects but not on the order of
            files.

        Returns
        -------
        train, held_out : Corpus
            The two parts. Every modality of two subjects or more is on both sides, if a few
            exchanges of subjects can achieve that; otherwise as many modalities as they achieve.

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
                "No data set and no modality has two subjects (subjects: "
                f"{first_few(self.subjects, _N_NAMED)}), so none can be held out. Add recordings "
                "of other people, or name the subjects of the files (see read_corpus)."
            )
        return (
            self._where(lambda subject: subject not in held_out),
            self._where(lambda subject: subject in held_out),
        )

    def select(self, modalities: Sequence[str]) -> Corpus:
        """Return the corpus with only the channels of these modalities.

        Parameters
        ----------
        modalities : list of str
            Modalities to select.

        Returns
        -------
        Corpus
            Corpus that shares memory with this one. A recording whose selected channels are not
            adjacent becomes several of the same name.

        Raises
        ------
        ValueError
            If the corpus has no such modality.
        """
        known = self.modalities
        selected = [modalities] if isinstance(modalities, str) else modalities
        if unknown := [name for name in selected if name not in known]:
            raise ValueError(
                f"modalities={unknown!r} are not in the corpus; it has {', '.join(known)}."
            )
        recordings = [part for whole in self.recordings for part in _parts(whole, set(selected))]
        seconds = {key: value for key, value in self.report.seconds.items() if key[2] in selected}
        report = replace(self.report, seconds=seconds)
        return Corpus(recordings, self.sfreq, report, self._about, self._storage)

    def of_subjects(self, subjects: Collection[str]) -> Corpus:
        """Return the corpus with only the recordings of these subjects.

        Parameters
        ----------
        subjects : list of str
            Names of subjects, as in the attribute `subjects`.

        Returns
        -------
        Corpus
            Corpus that shares memory with this one.

        Raises
        ------
        ValueError
            If the corpus does not have one of these subjects.
        """
        if unknown := sorted(set(subjects) - set(self.subjects)):
            raise ValueError(
                f"subjects={unknown[:_N_NAMED]!r} are not in the corpus; it has "
                f"{first_few(self.subjects, _N_NAMED)}."
            )
        return self._where(lambda subject: subject in subjects)

    def fingerprint(self) -> str:
        """Return a SHA-256 of names, shapes, scales, usable segments and a sample of the values.

        Returns
        -------
        str
            Hash that is equal for the same recordings in the same order.
        """
        digest = hashlib.sha256(repr(self.sfreq).encode())
        for recording in self.recordings:
            data = recording.data
            names = (recording.name, recording.subject, recording.dataset)
            channels = (recording.ch_names, recording.modalities)
            digest.update(repr((names, channels, data.shape, data.dtype.str)).encode())
            digest.update(recording.scale.tobytes())
            for segments in recording.good:
                digest.update(repr(segments.shape).encode() + segments.tobytes())
            # Only a few samples: a corpus may be larger than memory and slow to read.
            for start in np.linspace(0, max(0, data.shape[1] - _N_SAMPLED), 8).astype(int):
                digest.update(data[:, start : start + _N_SAMPLED].tobytes())
        return digest.hexdigest()

    def summary(self) -> str:
        """Return a table of the data of the corpus and of those left out, for a terminal.

        Returns
        -------
        str
            Text of several lines.
        """
        unit = "hours" if self.sfreq is not None else "samples"
        head = ("data set", "modality", "subjects", "recordings", unit, "flat", "clipped")
        rows: list[tuple[str, ...]] = [(*head, "missing", "short")]
        for (dataset, modality), outcomes in self.report.by_modality().items():
            of_row = [
                recording
                for recording in self.recordings
                if recording.dataset == dataset and modality in recording.modalities
            ]
            total = max(sum(outcomes.values()), 1e-9)
            kept = outcomes["kept"] / 3600 if self.sfreq is not None else outcomes["kept"]
            rows.append(
                (
                    dataset,
                    modality,
                    str(len({recording.subject for recording in of_row})),
                    str(len(of_row)),
                    f"{kept:.2f}" if self.sfreq is not None else f"{kept:.0f}",
                    *(f"{100 * outcomes[outcome] / total:.1f} %" for outcome in OUTCOMES[1:]),
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
        """Return the data sets of the corpus, their sources and licences, for a model card.

        Returns
        -------
        list of dict
            One for each data set, with "name", "n_subjects", "hours" (a dict by modality), and
            "licence", "source" and "citation" (each a str or None).
        """
        result = []
        for dataset in sorted({recording.dataset for recording in self.recordings}):
            recordings = [each for each in self.recordings if each.dataset == dataset]
            of_dataset = Corpus(recordings, self.sfreq, CorpusReport())
            about = self._about.get(dataset, {})
            result.append(
                {
                    "name": dataset,
                    "n_subjects": len(of_dataset.subjects),
                    "hours": {name: of_dataset.hours(name) for name in of_dataset.modalities},
                    **{key: about.get(key) for key in ("licence", "source", "citation")},
                }
            )
        return result

    def _subjects_by(self, key: Callable[[Recording, int], str]) -> dict[str, set[str]]:
        """Return the subjects with usable data, by a property of their channels."""
        found: dict[str, set[str]] = {}
        for recording in self.recordings:
            for channel, segments in enumerate(recording.good):
                if len(segments):
                    found.setdefault(key(recording, channel), set()).add(recording.subject)
        return found

    def _where(self, selects: Callable[[str], bool]) -> Corpus:
        recordings = [each for each in self.recordings if selects(each.subject)]
        seconds = {key: value for key, value in self.report.seconds.items() if selects(key[1])}
        report = replace(self.report, seconds=seconds)
        return Corpus(recordings, self.sfreq, report, self._about, self._storage)


def _parts(recording: Recording, modalities: set[str]) -> Iterator[Recording]:
    """Yield views of adjacent channels of these modalities in which anything is usable."""
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
