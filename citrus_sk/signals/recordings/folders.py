"""Search for recordings in files and folders."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

# Formats that MNE reads from one file, or from a file that names the others.
MNE_EXTENSIONS = (".vhdr", ".ahdr", ".set", ".gdf", ".cnt", ".eeg", ".nedf", ".lay")
ARRAY_EXTENSIONS = (".npz", ".npy")
EXTENSIONS = (
    ".edf", ".bdf", ".rec", ".fif", ".fif.gz", *ARRAY_EXTENSIONS, ".hea", *MNE_EXTENSIONS,
)  # fmt: skip
# Formats of recordings, and of folders that are one recording, that are not read.
_OTHER_RECORDINGS = (
    ".mat", ".h5", ".hdf5", ".nwb", ".xdf", ".xdfz", ".csv", ".parquet", ".feather", ".c3d", ".mff",
    ".mefd", ".ds", ".con", ".sqd", ".kdf", ".snirf", ".nirs", ".raw", ".smr", ".smrx", ".acq",
    ".dat", ".bin", ".asc", ".tdms", ".adicht", ".e", ".wav", ".xls", ".xlsx", ".pkl", ".pickle",
    ".trc", ".cdt", ".dap", ".abf", ".rhd", ".rhs", ".plx", ".nev", ".ns1", ".ns2", ".ns3", ".ns4",
    ".ns5", ".ns6", ".otb+", ".poly5", ".zip", ".gz", ".bz2", ".xz", ".zst", ".tar", ".tgz", ".7z",
    ".rar",
)  # fmt: skip
# Beginnings of the names of texts that come with recordings.
_DOCUMENTS = ("readme", "license", "licence", "changes", "copying", "notes", "citation", "records")
BIDS_SUBJECT = re.compile(r"sub-[A-Za-z0-9]+")
# Folders of copies in a BIDS data set, which are beside the originals or beside their folder.
COPIES, ORIGINALS = ("derivatives", "sourcedata"), "rawdata"
_NO_SUBJECT = re.compile(
    r"(^|[-_ ])(empty[-_ ]?room|ernoise|phantom(?![-_ ]?limb)|task-noise)", re.IGNORECASE
)
# Extensions of files of the same name that belong to a recording.
_BESIDE = {
    ".set": (".fdt",), ".lay": (".dat",), ".cnt": (".evt", ".trg"),
    ".eeg": (".pnt", ".log", ".21e", ".cn2"),
}  # fmt: skip
_CACHED = re.compile(r"[0-9a-f]{32}\.bin")  # a converted recording in the cache of a corpus
# First bytes of files of Nihon Kohden, which share an extension with the data of BrainVision.
_NIHON_KOHDEN = (b"EEG-", b"QI-", b"DAE-")
EVENTS = "_annot.edf"  # events that citrus-sk predict wrote, without signals
STAGES = "hypnogram.edf"  # stages of Sleep-EDF, which are beside its recordings


@dataclass
class Search:
    """Result of a search.

    Attributes
    ----------
    files : list of Path
        Recordings, sorted and without duplicates.
    passed_over : list of (str, str)
        Files, folders and links that look like recordings and are not read, and why.
    """

    files: list[Path] = field(default_factory=list)
    passed_over: list[tuple[str, str]] = field(default_factory=list)


def search(source: str | Path | Sequence[str | Path], argument: str = "source") -> Search:
    """Find all recordings in files and folders.

    Links to folders are followed. A file with several paths is found once. `argument` is the name
    of the argument, for messages.

    Raises
    ------
    FileNotFoundError
        If a path does not exist.
    TypeError, ValueError
        If `source` is neither a path nor a list of paths, or a file has an unknown extension.
    """
    listed = [source] if isinstance(source, str | Path) else source
    if not isinstance(listed, list | tuple) or not all(isinstance(p, str | Path) for p in listed):
        raise TypeError(
            f"{argument}={source!r}; expected a path to a file or folder, or a list of them."
        )
    result = Search()
    found: dict[tuple[int, int], Path] = {}

    def add(file: Path) -> None:
        stat = file.stat()  # the same for all links to a file
        known = found.setdefault((stat.st_dev, stat.st_ino), file)
        if _names_person(file) and not _names_person(known):
            found[stat.st_dev, stat.st_ino] = file

    for path in map(Path, listed):
        if not path.exists():
            raise FileNotFoundError(f"{argument}: there is no file or folder {str(path)!r}.")
        if path.is_dir():
            for file in _files_in(path, result):
                add(file)
        elif path.name.lower().endswith(EXTENSIONS):
            add(path)
        else:
            raise ValueError(
                f"{argument}: {str(path)!r} has an unknown extension; expected "
                f"{', '.join(EXTENSIONS)}."
            )
    result.files = sorted(found.values())
    later = _later_parts(result.files)
    result.files = [file for file in result.files if file.resolve() not in later]
    return result


def _names_person(path: Path) -> bool:
    return any(BIDS_SUBJECT.match(part) for part in path.parts)


def _files_in(top: Path, result: Search) -> Iterator[Path]:
    """Yield the recordings below a folder."""
    for here, names in _folders_in(top, result):
        named = {part for name in names for part in named_files(here / name)}
        for name in names:
            yield from _recording(here / name, name in named, result)


def _folders_in(top: Path, result: Search) -> Iterator[tuple[Path, list[str]]]:
    """Yield every folder below a folder once, with its files; folders behind links come last."""

    def note(error: OSError) -> None:
        reason = f"a folder that cannot be opened: {error.strerror}"
        result.passed_over.append((str(error.filename), reason))

    visited: set[str] = set()
    pending = [top]
    for start in pending:
        for folder, inside, names in os.walk(start, onerror=note):
            here = Path(folder)
            if (real := os.path.realpath(folder)) in visited:
                inside.clear()
                continue
            visited.add(real)
            for name in sorted(inside):
                if reason := _reason_against_folder(here, name):
                    result.passed_over.append((str(here / name), reason))
                elif not name.startswith(".") and (here / name).is_symlink():
                    pending.append(here / name)
            inside[:] = sorted(
                name
                for name in inside
                if not name.startswith(".") and not _reason_against_folder(here, name)
            )
            yield here, sorted(names)


def _reason_against_folder(parent: Path, name: str) -> str:
    if name in COPIES and is_data_set(parent):
        return "copies of the data set's recordings; pass this folder as a source to read them"
    if _NO_SUBJECT.search(name):
        return "recordings of an empty room or a phantom"
    if name.lower().endswith(_OTHER_RECORDINGS):
        return _not_read(Path(name).suffix)
    return ""


def is_data_set(folder: Path) -> bool:
    """Return True if a folder is a BIDS data set, or has folders of subjects like one."""
    described = (folder / "dataset_description.json").is_file() or (folder / ORIGINALS).is_dir()
    return described or any(folder.glob("sub-*"))


def _recording(path: Path, named: bool, result: Search) -> Iterator[Path]:
    """Yield the path if it is a recording; add it to `passed_over` if it only looks like one.

    `named` is True if a header beside the file names it as a part of its recording.
    """
    name = path.name.lower()
    reason = ""
    if name.startswith(".") or name.endswith((STAGES, EVENTS)) or named:
        return
    if not path.exists():
        reason = "a broken link"
    elif not name.endswith(EXTENSIONS):
        if name.endswith(_OTHER_RECORDINGS) and not _is_companion(path):
            reason = _not_read(path.suffix.lower())
    elif _NO_SUBJECT.search(path.name):
        reason = "a recording of an empty room or a phantom"
    elif name.endswith(".eeg") and not _is_nihon_kohden(path):
        reason = "neither a file of Nihon Kohden nor named by a BrainVision header beside it"
    else:
        yield path
    if reason:
        result.passed_over.append((str(path), reason))


def _is_nihon_kohden(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4).startswith(_NIHON_KOHDEN)


def named_files(path: Path) -> set[str]:
    """Return the names of the files beside a recording that belong to it.

    For a WFDB record of several segments these are the headers of the segments.
    """
    suffix = path.suffix.lower()
    if suffix in (".set", ".lay", ".cnt", ".eeg"):
        others = path.parent.glob(f"{glob.escape(path.stem)}.*") if path.is_file() else ()
        return {each.name for each in others if each.suffix.lower() in _BESIDE[suffix]}
    if suffix not in (".vhdr", ".ahdr", ".hea") or not path.is_file():
        return set()
    lines = path.read_text("utf-8", "replace").splitlines()
    if suffix != ".hea":
        found = (re.fullmatch(r"\s*(?:DataFile|MarkerFile)\s*=(.*)", line) for line in lines)
        return {match[1].strip().replace("$b", path.stem) for match in found if match}
    words = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    several = bool(words) and "/" in words[0][0]
    return {f"{each[0]}.hea" if several else each[0] for each in words[1:]} - {"~.hea"}


def _not_read(suffix: str) -> str:
    return f"files of the format {suffix} are not read"


def _is_companion(path: Path) -> bool:
    """Return True if a file belongs to a recording of the same name, or is a document."""
    stem, name = path.name.partition(".")[0], path.name.lower()
    if name.startswith(_DOCUMENTS) or _CACHED.fullmatch(name):
        return True
    return any(path.with_name(stem + extension).exists() for extension in EXTENSIONS)


def _later_parts(files: list[Path]) -> set[Path]:
    """Find later parts of FIF recordings, and segments of WFDB records, among the files."""
    by_folder: dict[Path, list[Path]] = {}
    of_wfdb: set[Path] = set()
    for file in files:
        if file.name.lower().endswith((".fif", ".fif.gz")):
            by_folder.setdefault(file.parent, []).append(file)
        elif file.name.lower().endswith(".hea"):
            # A name with a folder is reported when the recording is read.
            names = {name for name in named_files(file) if Path(name).name == name}
            of_wfdb |= {file.with_name(name).resolve() for name in names if name.endswith(".hea")}
    return of_wfdb | {
        part
        for siblings in by_folder.values()
        if len(siblings) > 1
        for file in siblings
        for part in _parts_after(file)
    }


def _parts_after(file: Path) -> list[Path]:
    """Return the files that a FIF file names as its continuation."""
    import mne

    try:
        raw = mne.io.read_raw_fif(file, preload=False, on_split_missing="ignore", verbose="error")
    except Exception:  # noqa: BLE001 - not a raw recording, or damaged: reported when it is read
        return []
    return [Path(part).resolve() for part in raw.filenames[1:] if part is not None]
