"""The search for recordings in files and folders, and the reasons why some are passed over."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

# Formats that MNE reads from one file, or from a file that names the others.
MNE_EXTENSIONS = (".vhdr", ".ahdr", ".set", ".gdf", ".cnt", ".eeg", ".nedf", ".lay", ".mefd")
EXTENSIONS = (
    ".edf", ".bdf", ".rec", ".fif", ".fif.gz", ".npz", ".npy", ".hea", *MNE_EXTENSIONS,
)  # fmt: skip
# Recordings in formats that are not read, and folders that are one recording.
_OTHER_RECORDINGS = (
    ".mat", ".h5", ".hdf5", ".nwb", ".xdf", ".xdfz", ".csv", ".parquet", ".feather", ".c3d", ".mff",
    ".ds", ".con", ".sqd", ".kdf", ".snirf", ".nirs", ".raw", ".smr", ".smrx", ".acq",
    ".trc", ".cdt", ".dap", ".abf", ".rhd", ".rhs", ".plx", ".nev", ".ns1", ".ns2", ".ns3", ".ns4",
    ".ns5", ".ns6", ".otb+", ".poly5",
)  # fmt: skip
# Texts that come with recordings, by the beginning of their names.
_DOCUMENTS = ("readme", "license", "licence", "changes", "copying", "notes", "citation", "records")
# Copies of recordings beside the originals, in a BIDS data set.
COPIES = ("derivatives", "sourcedata")
_NOBODY = re.compile(r"(^|[-_ ])(empty[-_ ]?room|phantom|task-noise)", re.IGNORECASE)
_STAGES = "hypnogram.edf"  # of Sleep-EDF, beside its recordings


@dataclass
class Search:
    """What was found.

    Attributes
    ----------
    files : list of Path
        Recordings, sorted, each once.
    passed_over : list of (str, str)
        Files, folders and links that look like recordings and are not read, and why.
    """

    files: list[Path] = field(default_factory=list)
    passed_over: list[tuple[str, str]] = field(default_factory=list)


def search(source: str | Path | Sequence[str | Path]) -> Search:
    """All recordings in files and folders.

    Links to folders are followed. A file that is reached by several ways is found once.

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
            f"source={source!r}; expected a path to a file or folder, or a list of them."
        )
    result = Search()
    found: dict[Path, Path] = {}
    for path in map(Path, listed):
        if not path.exists():
            raise FileNotFoundError(f"source: there is no file or folder {str(path)!r}.")
        if path.is_dir():
            for file in _files_in(path, result):
                found.setdefault(file.resolve(), file)
        elif path.name.lower().endswith(EXTENSIONS):
            found.setdefault(path.resolve(), path)
        else:
            raise ValueError(
                f"source: {str(path)!r} has an unknown extension; expected {', '.join(EXTENSIONS)}."
            )
    result.files = sorted(found.values())
    later = _later_parts(result.files)
    result.files = [file for file in result.files if file.resolve() not in later]
    return result


def _files_in(top: Path, result: Search) -> Iterator[Path]:
    """Recordings below a folder."""
    visited: set[str] = set()
    for folder, inside, names in os.walk(top, followlinks=True):
        here = Path(folder)
        if (real := os.path.realpath(folder)) in visited:
            inside.clear()  # a link to where we came from
            continue
        visited.add(real)
        for name in list(inside):
            if reason := _reason_against_folder(here, name):
                result.passed_over.append((str(here / name), reason))
                inside.remove(name)
        inside.sort()
        for name in sorted(names):
            yield from _recording(here / name, result)


def _reason_against_folder(parent: Path, name: str) -> str:
    if name in COPIES and is_data_set(parent):
        return "copies of the data set's recordings; pass this folder as a source of its own"
    if _NOBODY.search(name):
        return "recordings of an empty room or a phantom"
    if name.lower().endswith(_OTHER_RECORDINGS):
        return _not_read(Path(name).suffix)
    return ""


def is_data_set(folder: Path) -> bool:
    """Whether a folder is that of a BIDS data set, or has folders of people as one."""
    return (folder / "dataset_description.json").is_file() or any(folder.glob("sub-*"))


def _recording(path: Path, result: Search) -> Iterator[Path]:
    """The path if it is a recording; otherwise it is noted, if it looks like one."""
    name = path.name.lower()
    if name.startswith(".") or name.endswith(_STAGES):
        return
    if not name.endswith(EXTENSIONS):
        if name.endswith(_OTHER_RECORDINGS) and not _is_companion(path):
            result.passed_over.append((str(path), _not_read(path.suffix.lower())))
    elif not path.exists():
        result.passed_over.append((str(path), "a link to a file that is not there"))
    elif _NOBODY.search(path.name):
        reason = "a recording of an empty room or a phantom"
        result.passed_over.append((str(path), reason))
    elif not (name.endswith(".eeg") and path.with_suffix(".vhdr").exists()):
        yield path  # the .eeg beside a .vhdr is its data


def _not_read(suffix: str) -> str:
    return f"files of the format {suffix} are not read"


def _is_companion(path: Path) -> bool:
    """Whether a file goes with a recording of the same name, or is a text of the data set."""
    stem, name = path.name.partition(".")[0], path.name.lower()
    if name.startswith(_DOCUMENTS):
        return True
    return any(path.with_name(stem + extension).exists() for extension in EXTENSIONS)


def _later_parts(files: list[Path]) -> set[Path]:
    """Files that are a later part of a FIF recording, which MNE opens with the first part."""
    by_folder: dict[Path, list[Path]] = {}
    for file in files:
        if file.name.lower().endswith((".fif", ".fif.gz")):
            by_folder.setdefault(file.parent, []).append(file)
    return {
        part
        for siblings in by_folder.values()
        if len(siblings) > 1
        for file in siblings
        for part in _parts_after(file)
    }


def _parts_after(file: Path) -> list[Path]:
    """The files that a FIF file names as its continuation."""
    import mne

    try:
        raw = mne.io.read_raw_fif(file, preload=False, on_split_missing="ignore", verbose="error")
    except Exception:  # noqa: BLE001 - not a raw recording, or damaged: said when it is read
        return []
    return [Path(part).resolve() for part in raw.filenames[1:] if part is not None]
