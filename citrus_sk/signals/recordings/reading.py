"""Reading of files and folders into a corpus."""

from __future__ import annotations

import errno
import os
import warnings
from collections import Counter
from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from ..._utils.optional import progress_bar
from ..._utils.temporary import OwnedFolder, remove_abandoned
from ..._utils.validation import check_choice, check_number, check_text
from ..container_kinds import first_of_mne
from ..modalities import ANY_SIGNAL, as_named
from ..resampling import GRID_SFREQ
from .arrays import array_corpus
from .cache import UNFINISHED, Recording, load_file
from .conversion import Settings
from .corpus import Corpus, CorpusReport
from .folders import EXTENSIONS, search
from .formats import reason_of
from .quality import OUTCOMES

__all__ = ["Corpus", "CorpusReport", "Recording", "array_corpus", "read_corpus"]

# Errors that are not the fault of a file: full disk, too many open files, read-only disk, quota,
# limit of the size of a file, memory.
_ENVIRONMENT = {
    getattr(errno, name, None)
    for name in ("ENOSPC", "EMFILE", "ENFILE", "EROFS", "EDQUOT", "EFBIG", "ENOMEM")
}
# Bytes of a file that can need more memory than there is although it is whole.
_LARGE = 10**8
_N_NAMED = 10


def read_corpus(
    source: str | Path | Sequence[str | Path],
    *,
    sfreq: float = 100.0,
    modality: str | None = None,
    cache: str | Path | None = None,
    on_error: str = "skip",
    min_duration_s: float = 4.0,
    verbose: int = 0,
) -> Corpus:
    """Read recordings from files, bring them to one rate, and find their usable segments.

    Parameters
    ----------
    source : path or list of paths
        Files, and folders that are searched to any depth. Links to folders are followed, and
        folders whose names begin with a dot are not searched.

        - ``.edf``, ``.bdf``, ``.rec``: EDF, EDF+, BDF, BDF+. An interrupted recording becomes
          several. One that is shorter or longer than its header states is read up to its last
          complete data record.
        - ``.fif``, ``.fif.gz``: raw recordings of MNE. Several parts are read as one recording.
        - ``.vhdr`` (BrainVision), ``.set`` (EEGLAB), ``.gdf``, ``.cnt``, ``.eeg`` (Nihon Kohden),
          ``.nedf``, ``.lay``: read with MNE.
        - ``.hea``: WFDB records, read with wfdb. Several segments are read as one recording.
        - ``.npy``: real numbers of shape (n_chans, n_times) or (n_times,). Beside ``x.npy`` a file
          ``x.json`` may hold "sfreq", "ch_names", "modalities" (one, or one for each channel),
          "subject", "scale", "licence", "source" and "citation". Without it `modality` is
          required, and the rate is assumed to be `sfreq`.
        - ``.npz``: many recordings in one file, as described in the Notes.
    sfreq : float, default=100.0
        Sampling rate of the corpus in Hz. Channels sampled at less than half of it are left out.
    modality : str or None, default=None
        Modality of all channels that hold a signal. None infers the modality of each channel from
        its type and name, as described in the Notes.
    cache : path or None, default=None
        Folder for the converted recordings, created if needed. They are reused until the file,
        the rate or another setting changes. None means a temporary folder that is removed with
        the corpus.
    on_error : {"skip", "raise"}, default="skip"
        Handling of a file that cannot be read: leave it out, with one warning at the end, or
        raise an error.
    min_duration_s : float, default=4.0
        Duration in seconds of the shortest segment that counts as usable.
    verbose : int, default=0
        Verbosity: 1 shows a progress bar over the files.

    Returns
    -------
    Corpus
        Corpus of the recordings, in the order of their paths.

    Raises
    ------
    FileNotFoundError
        If a path of `source` does not exist.
    ValueError
        If no file can be read or nothing in them is usable, if a parameter is out of range, or,
        with ``on_error="raise"``, for the first file that cannot be read.
    ModuleNotFoundError
        If MNE or wfdb is needed and not installed.
    TypeError
        If a parameter is of a wrong type.

    Warns
    -----
    UserWarning
        If files were left out, passed over or not read completely. It names them, with reasons.

    Notes
    -----
    *Subjects.* A folder ``sub-XX`` is the subject of the files below it, and the folder above it is
    their data set, with the name and licence in ``dataset_description.json`` (BIDS). The nearest
    ``channels.tsv`` that applies, beside the file or above it, gives types and bad channels, and
    the nearest ``events.tsv`` gives bad segments. ``derivatives/`` and ``sourcedata/`` hold copies
    and are passed over, as are recordings of phantoms and empty rooms. If such a folder is itself
    the `source`, its recordings belong to the subjects of the data set. Files of Sleep-EDF, such
    as ``SC4001E0-PSG.edf``, belong to the subject in the first five characters; their hypnograms
    are passed over. Any other file counts as a subject of its own, in the data set of its folder.
    If a subject has several files, use one of these layouts or the "subject" of a ``.json``;
    otherwise the same person may be in both training and test data.

    *Modalities.* "EEG", "ECG", "EMG", "EOG", "PPG", "RESP", "ABP", "GSR", "ACC" and others are
    recognised by types and by names such as "EEG Fpz-Cz", "II", "PLETH" or "Resp oro-nasal". The
    bare name of an electrode of the 10-05 system is EEG. Events, stages, temperature and similar
    channels are dropped; unknown channels are left out and listed in the report.

    *Values.* Signals are anti-aliased when resampled to a lower rate, and interpolated by a
    band-limited filter when resampled to a higher one. They are stored as int16, or as float32 if
    int16 would be too coarse because of an offset or an outlier. int16 and float32 values at the
    rate of the corpus are not changed; a C-contiguous ``.npy`` of such values is itself mapped.

    *Usable segments.* Segments are left out if they are missing, flat for half a second or more,
    or clipped: at the lowest or highest value of their channel for five samples or more, with a
    quarter of a second on either side. ``Corpus.report`` counts every second. An annotation
    marks data as bad, which counts as missing, if its text, or a part of it after a comma,
    semicolon, bar or slash, begins with "bad", or if it contains ``BAD_``. No segment crosses a
    boundary between parts of a recording: a boundary of EEGLAB or of joined recordings of MNE, or
    a "New Segment" of BrainVision.

    *.npz.* Entries ``index`` and ``meta`` hold JSON as uint8, and every recording is an int16
    array of shape (n_chans, n_times). ``index`` is a list of objects with "key" (of the array),
    "subject", "recording", "sfreq", "ch_names", "ch_types" and "scale" (physical value = array *
    scale[channel]); ``meta`` has "source", "licence" and "citation", all of them optional.
    """
    check_number("sfreq", sfreq, unit="Hz", open_low=True)
    check_number("min_duration_s", min_duration_s, unit="seconds", open_low=True)
    check_choice("on_error", on_error, ("skip", "raise"))
    check_number("verbose", verbose, Integral)
    check_text("modality", modality, (None,))
    if not isinstance(cache, str | Path | None):
        raise TypeError(f"cache={cache!r} is a {type(cache).__name__}; expected a path or None.")
    settings = Settings(float(sfreq), modality and as_named(modality), float(min_duration_s))
    found_files = search(source)
    files = found_files.files
    storage = _Folder(cache)
    report = CorpusReport(passed_over=found_files.passed_over)
    recordings: list[Recording] = []
    about: dict[str, dict[str, str]] = {}
    for path in progress_bar(files, description="recordings", unit="file", shown=bool(verbose)):
        try:
            with np.errstate(all="ignore"):  # of numbers that are damaged
                found = load_file(path, settings, storage.path)
        except Exception as error:  # A reader may raise anything for a damaged file.
            _raise_if_of_machine(error, path, storage.path)
            reason = reason_of(error)
            if on_error == "raise":
                raise ValueError(f"{path} cannot be read: {reason}.") from error
            report.skipped.append((str(path), reason))
            continue
        recordings += found.recordings
        report.skipped_channels += found.left_out
        report.notes += found.notes
        for key, seconds in found.seconds.items():
            report.seconds[key] = report.seconds.get(key, np.zeros(len(OUTCOMES))) + seconds
        for dataset, known in found.about.items():
            about[dataset] = known | about.get(dataset, {})
    corpus = Corpus(recordings, settings.sfreq, report, about, storage)
    if not recordings:
        raise ValueError(_nothing_usable(source, files, corpus))
    if text := _warning_text(report, len(files)):
        warnings.warn(text, UserWarning, stacklevel=2)
    return corpus


def _raise_if_of_machine(error: Exception, path: Path, cache: Path) -> None:
    """Raise an error that is not the fault of a file."""
    if isinstance(error, OSError) and error.errno and error.errno in _ENVIRONMENT:
        if error.filename is not None:
            raise error
        text = f"{path} could not be converted in {cache}: {error.strerror}"
        raise OSError(error.errno, text) from error
    no_memory = isinstance(error, MemoryError) and path.stat().st_size > _LARGE
    if no_memory or isinstance(error, ModuleNotFoundError):
        raise error


class _Folder:
    """Folder of converted recordings; a temporary one is removed with the last corpus in it."""

    def __init__(self, cache: str | Path | None) -> None:
        if cache is None:
            remove_abandoned()
            self._owned = OwnedFolder()
            self.path = self._owned.path
        else:
            self.path = Path(cache)
            self.path.mkdir(parents=True, exist_ok=True)
            remove_abandoned(UNFINISHED, self.path)


def is_corpus_source(X: Any) -> bool:
    """Return True if `X` is a corpus, or paths to read one from."""
    listed = isinstance(X, list | tuple) and X and all(map(_is_path_like, X))
    return isinstance(X, Corpus) or _is_path_like(X) or bool(listed)


def as_corpus(
    X: Any,
    *,
    modality: str | None,
    subjects: Any,
    verbose: int,
    estimator: BaseEstimator,
) -> Corpus:
    """Convert any input of `CitrusPretrainer` with `read_corpus` or `array_corpus`."""
    if isinstance(X, Corpus):
        return X
    if is_corpus_source(X):
        return read_corpus(X, sfreq=GRID_SFREQ, verbose=verbose)
    # With "unknown", array_corpus uses the channel types of Epochs.
    other = ANY_SIGNAL if first_of_mne(X) is None else "unknown"
    return array_corpus(
        X, modality=other if modality is None else modality, subjects=subjects, estimator=estimator
    )


def _is_path_like(X: Any) -> bool:
    return isinstance(X, str | os.PathLike)


def _warning_text(report: CorpusReport, n_files: int) -> str:
    """Describe files that were not read, or not completely; empty if there are none."""
    parts = []
    titles = {
        "skipped": f"{len(report.skipped)} of {n_files} files were left out:",
        "passed_over": _formats(report.passed_over),
        "notes": f"{len(report.notes)} file(s) differ from their headers or tables:",
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
    rest = _warning_text(corpus.report, len(files))
    if not files:
        return (
            f"source: there is no recording in {searched or 'an empty list'}; looked for files "
            f"that end in {', '.join(EXTENSIONS)}. {rest}".strip()
        )
    if len(corpus.report.skipped) == len(files):
        return f"source: no file in {searched} can be read. {rest}"
    return f"source: nothing in {searched} is usable.\n{corpus.summary()}"
