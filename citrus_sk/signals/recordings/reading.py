"""Files and folders read to a corpus."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import warnings
import weakref
from collections import Counter
from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from ..._utils.optional import progress_bar
from ..._utils.validation import check_choice, check_number, check_text
from ..container_kinds import first_of_mne
from ..modalities import ANY_SIGNAL, as_named
from ..resampling import GRID_SFREQ
from .arrays import (
    array_corpus,
)
from .cache import Recording, load_file
from .conversion import Settings
from .corpus import Corpus, CorpusReport
from .folders import EXTENSIONS, search
from .quality import FATES

__all__ = ["Corpus", "CorpusReport", "Recording", "array_corpus", "read_corpus"]

# Not a file's fault: no space, too many open files, a folder that cannot be written, a quota.
_ENVIRONMENT = {
    getattr(errno, name, None) for name in ("ENOSPC", "EMFILE", "ENFILE", "EROFS", "EDQUOT")
}
_N_NAMED = 10


def read_corpus(  # noqa: C901 - one check after the other
    source: str | Path | Sequence[str | Path],
    *,
    sfreq: float = 100.0,
    modality: str | None = None,
    cache: str | Path | None = None,
    on_error: str = "skip",
    min_stretch_s: float = 4.0,
    verbose: int = 0,
) -> Corpus:
    """Read recordings from files, bring them to one rate, and find what of them is usable.

    Parameters
    ----------
    source : path or list of paths
        Files, and folders that are searched to any depth. Links to folders are followed, and
        folders whose names begin with a dot are not searched.

        - ``.edf``, ``.bdf``, ``.rec``: EDF, EDF+, BDF, BDF+. An interrupted recording becomes
          several. One that was cut short, or is longer than its header says, is read up to its
          last whole data record.
        - ``.fif``, ``.fif.gz``: raw recordings of MNE. One in several parts is one recording.
        - ``.vhdr`` (BrainVision), ``.set`` (EEGLAB), ``.gdf``, ``.cnt``, ``.eeg`` (Nihon Kohden),
          ``.nedf``, ``.lay``: through MNE.
        - ``.hea``: WFDB records, through wfdb. One of several segments is one recording.
        - ``.npy``: real numbers of shape (n_chans, n_times) or (n_times,). Beside ``x.npy`` a file
          ``x.json`` may hold "sfreq", "ch_names", "modalities" (one, or one for each channel),
          "subject", "scale", "licence", "source" and "citation"; without it `modality` is
          required, and the rate is taken to be `sfreq`.
        - ``.npz``: many recordings in one file; see Notes.
    sfreq : float, default=100.0
        Sampling rate of the corpus in Hz. Channels sampled at less than half of it are left out.
    modality : str or None, default=None
        What all channels record that hold a signal. None finds it out from the channels' types
        and names; see Notes.
    cache : path or None, default=None
        Folder for the converted recordings, made if needed. Its content is used again
        unless file, rate or other settings have changed. None means a temporary folder that
        is removed with the corpus.
    on_error : {"skip", "raise"}, default="skip"
        What to do with a file that cannot be read: leave it out, with one warning in the end, or
        raise.
    min_stretch_s : float, default=4.0
        Length in seconds of the shortest stretch that counts as usable.
    verbose : int, default=0
        1 shows a progress bar over the files.

    Returns
    -------
    Corpus
        Recordings in the order of their paths.

    Raises
    ------
    FileNotFoundError
        If a path of `source` does not exist.
    ValueError
        If no file can be read or nothing in them is usable, if a parameter is out of range, or,
        with ``on_error="raise"``, for the first file that cannot be read.
    ModuleNotFoundError
        If there is a FIF file and MNE is not installed.
    TypeError
        If a parameter is of a wrong type.

    Warns
    -----
    UserWarning
        If files were left out or passed over, or not read as a whole; names them with the reason.

    Notes
    -----
    *Whose recordings.* Below a folder ``sub-XX`` the subject is that folder and the data set the
    one above it, by the name and with the licence in ``dataset_description.json`` (BIDS);
    the nearest ``channels.tsv`` that applies, beside the file or above it, gives types and bad
    channels, and the nearest ``events.tsv`` bad stretches. ``derivatives/`` and ``sourcedata/`` are
    copies and are passed over, as are recordings of phantoms and empty rooms; passed as `source`
    themselves, copies belong to the same people. Files of Sleep-EDF, such as
    ``SC4001E0-PSG.edf``, belong to the subject in the first five characters; their hypnograms are
    passed over. Any other file is a subject of its own, and its folder is the data set: where
    a person gave several files, say so by one of these layouts or the "subject" of a ``.json``,
    or the same person may be trained and tested on.

    *Modalities.* "EEG", "ECG", "EMG", "EOG", "PPG", "RESP", "ABP", "GSR", "ACC" and others are
    known by types and by names such as "EEG Fpz-Cz", "II", "PLETH" or "Resp oro-nasal". A bare
    electrode of the 10-05 system is EEG. Events, stages, temperature and the like are dropped;
    other unknown channels are left out and listed in the report.

    *Values.* Down to a lower rate the signal is anti-aliased, up to a higher one interpolated by
    a band-limited filter, and kept as int16, or float32 where that would be too coarse beside an
    offset or an outlier. int16 and float32 values at the right rate are kept as they are; if they
    are in a C-contiguous ``.npy``, that file is mapped itself.

    *Usable.* Left out is what is missing, flat for half a second or more, or clipped: at the
    lowest or highest value of its channel for five samples or more, with a quarter of a second
    on either side. ``Corpus.report`` counts every second. An annotation marks a stretch as bad, and
    so as missing, if its text, or a part of it after a comma, semicolon, bar or slash, begins with
    "bad", or if ``BAD_`` stands anywhere in it. No stretch extends over a joint: the boundaries of
    EEGLAB and of joined recordings of MNE, and new segments of BrainVision.

    *.npz.* Entries ``index`` and ``meta`` hold JSON as uint8, and every recording is an int16
    array of shape (n_chans, n_times). ``index`` is a list of objects with "key" (of the array),
    "subject", "recording", "sfreq", "ch_names", "ch_types" and "scale" (physical value = array *
    scale[channel]); ``meta`` has "source", "licence" and "citation", all of them optional.
    """
    check_number("sfreq", sfreq, unit="Hz", open_low=True)
    check_number("min_stretch_s", min_stretch_s, unit="seconds", open_low=True)
    check_choice("on_error", on_error, ("skip", "raise"))
    check_number("verbose", verbose, Integral)
    check_text("modality", modality, (None,))
    if not isinstance(cache, str | Path | None):
        raise TypeError(f"cache={cache!r} is a {type(cache).__name__}; expected a path or None.")
    settings = Settings(float(sfreq), modality and as_named(modality), float(min_stretch_s))
    found_files = search(source)
    files = found_files.files
    storage = _Folder(cache)
    report = CorpusReport(passed_over=found_files.passed_over)
    recordings: list[Recording] = []
    about: dict[str, dict[str, str]] = {}
    for path in progress_bar(files, description="recordings", unit="file", shown=bool(verbose)):
        try:
            found = load_file(path, settings, storage.path)
        except (ModuleNotFoundError, MemoryError):
            raise
        except Exception as error:  # Whatever a damaged file makes its reader raise.
            if isinstance(error, OSError) and error.errno and error.errno in _ENVIRONMENT:
                raise
            reason = str(error)
            if not isinstance(error, ValueError | OSError) or not reason:
                reason = f"{type(error).__name__}: {reason}"  # such as the key that is missing
            if on_error == "raise":
                raise ValueError(f"{path} cannot be read: {reason}.") from error
            report.skipped.append((str(path), reason))
            continue
        recordings += found.recordings
        report.skipped_channels += found.left_out
        report.notes += found.notes
        for key, seconds in found.seconds.items():
            report.seconds[key] = report.seconds.get(key, np.zeros(len(FATES))) + seconds
        for dataset, known in found.about.items():
            about[dataset] = known | about.get(dataset, {})
    corpus = Corpus(recordings, settings.sfreq, report, about, storage)
    if not recordings:
        raise ValueError(_nothing_usable(source, files, corpus))
    if text := _reservations(report, len(files)):
        warnings.warn(text, UserWarning, stacklevel=2)
    return corpus


class _Folder:
    """A folder for converted recordings; a temporary one goes with the last corpus that uses it."""

    def __init__(self, cache: str | Path | None) -> None:
        if cache is None:
            self.path = Path(tempfile.mkdtemp(prefix="citrus-sk-"))
            weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)
        else:
            self.path = Path(cache)
            self.path.mkdir(parents=True, exist_ok=True)


def is_corpus_source(X: Any) -> bool:
    """Whether this is a corpus, or files and folders to read one from, and not an array."""
    listed = isinstance(X, list | tuple) and X and all(map(_is_path, X))
    return isinstance(X, Corpus) or _is_path(X) or bool(listed)


def as_corpus(
    X: Any,
    *,
    modality: str | None,
    subjects: Any,
    verbose: int,
    estimator: BaseEstimator,
) -> Corpus:
    """Any input of `CitrusPretrainer` as a corpus; see `read_corpus` and `array_corpus`."""
    if isinstance(X, Corpus):
        return X
    if is_corpus_source(X):
        return read_corpus(X, sfreq=GRID_SFREQ, verbose=verbose)
    # array_corpus takes the types of the channels of Epochs where the modality is "unknown".
    other = ANY_SIGNAL if first_of_mne(X) is None else "unknown"
    return array_corpus(
        X, modality=other if modality is None else modality, subjects=subjects, estimator=estimator
    )


def _is_path(X: Any) -> bool:
    return isinstance(X, str | os.PathLike)


def _reservations(report: CorpusReport, n_files: int) -> str:
    """Text on files that were not read, or not as a whole; empty if there are none."""
    parts = []
    titles = {
        "skipped": f"{len(report.skipped)} of {n_files} files were left out:",
        "passed_over": _formats(report.passed_over),
        "notes": f"{len(report.notes)} file(s) not read as a whole, or not as their tables say:",
    }
    for name, title in titles.items():
        if listed := getattr(report, name):
            lines = [f"{file}: {reason}" for file, reason in listed[:_N_NAMED]]
            if len(listed) > _N_NAMED:
                lines.append(f"and {len(listed) - _N_NAMED} more, see report.{name} of the corpus")
            parts.append("\n  ".join([title, *lines]))
    return "\n".join(parts)


def _formats(passed_over: list[tuple[str, str]]) -> str:
    counts = Counter(Path(name).suffix.lower() or "no extension" for name, _ in passed_over)
    named = ", ".join(f"{suffix} ({n})" for suffix, n in counts.most_common())
    return f"{len(passed_over)} files or folders were passed over, by extension: {named}"


def _nothing_usable(source: Any, files: list[Path], corpus: Corpus) -> str:
    listed = [source] if isinstance(source, str | Path) else source
    searched = ", ".join(str(path) for path in listed[:_N_NAMED])
    rest = _reservations(corpus.report, len(files))
    if not files:
        return (
            f"source: there is no recording in {searched or 'an empty list'}; looked for files "
            f"that end in {', '.join(EXTENSIONS)}. {rest}".strip()
        )
    if len(corpus.report.skipped) == len(files):
        return f"source: no file in {searched} can be read. {rest}"
    return f"source: nothing in {searched} is usable.\n{corpus.summary()}"
