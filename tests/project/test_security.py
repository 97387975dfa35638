"""No connection without a hub name, no code from files, and nothing in files that is not meant."""

import getpass
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import skops.io
from edf_files import write_edf
from numpy.testing import assert_array_equal
from sklearn.pipeline import make_pipeline

import citrus_sk
from citrus_sk import (
    CitrusClassifier,
    CitrusEmbedder,
    CitrusPretrainer,
    SignalAligner,
    list_pretrained,
    load_checkpoint,
    load_pretrained,
    read_corpus,
    save_checkpoint,
    to_onnx,
)
from citrus_sk.checkpoints.hub import read_folder
from citrus_sk.evaluation import FractionCurve, NewPersonCurve
from citrus_sk.mne import RecordingModel
from citrus_sk.signals.recordings.labelled import read_labelled

PACKAGE = Path(citrus_sk.__file__).parent
# Of Python itself: nothing that opens a socket or looks a name up can leave them out.
NETWORK = ("socket.", "urllib.", "http.client.", "ftplib.", "smtplib.")
CODE = ("pickle.find_class", "os.system", "subprocess.Popen", "os.exec", "os.posix_spawn")


class Watch:
    """Audit hook, which cannot be removed, that refuses events while `refused` is not empty."""

    def __init__(self):
        self.refused = ()
        sys.addaudithook(self)

    def __call__(self, event, arguments):
        if self.refused and event.startswith(self.refused):
            raise AssertionError(f"{event} {arguments!r}")


WATCH = Watch()


@pytest.fixture
def offline():
    WATCH.refused = NETWORK
    yield
    WATCH.refused = ()


@pytest.fixture
def no_code():
    WATCH.refused = (*NETWORK, *CODE)
    yield
    WATCH.refused = ()


# --- connections ---------------------------------------------------------------------------------


def test_the_watch_sees_a_connection_and_a_pickle(no_code):
    import socket

    with pytest.raises(AssertionError, match=r"socket\."):
        socket.create_connection(("127.0.0.1", 9))
    with pytest.raises(AssertionError, match=r"socket\.getaddrinfo"):
        socket.getaddrinfo("huggingface.co", 443)
    with pytest.raises(AssertionError, match=r"pickle\.find_class"):
        pickle.loads(b"cos\nsystem\n.")


def test_estimators_and_checkpoints_open_no_connection(offline, watch, tmp_path):
    assert "eeg-freq" in list_pretrained()
    load_pretrained("eeg-freq")
    clf = CitrusClassifier(random_state=0, backbone="conv").fit(watch.X[::4], watch.y[::4])
    clf.predict(watch.X[:4])
    CitrusPretrainer(preset="tiny", max_steps=1).fit(watch.X[:8]).save(tmp_path / "a.safetensors")
    load_pretrained(tmp_path / "a.safetensors")
    save_checkpoint("eeg-freq", tmp_path / "folder")
    load_checkpoint(tmp_path / "folder")
    for mistyped in ("eeg-frek", tmp_path / "none.safetensors", "./none", "models/eeg"):
        with pytest.raises((ValueError, FileNotFoundError)):
            load_pretrained(mistyped)


COMMANDS = """
import sys

# While requests is imported, by braindecode, urllib3 binds a local socket to see if there is IPv6.
allowed = {"socket.__new__", "socket.bind"}

def refuse(event, arguments):
    if event.startswith("socket.") and event not in allowed:
        print(event, arguments, file=sys.stderr)
        raise SystemExit(event)

sys.addaudithook(refuse)
import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import braindecode

import citrus_sk.braindecode
from citrus_sk import *
from citrus_sk.cli.parser import main

allowed.clear()
for line in (
    "models", "inspect data.npz",
    "evaluate data.npz --estimators bandpower --fractions 1 --folds 2 --jobs 1 --quiet --out out",
    "fit data.npz --pretrained none --out m.joblib", "predict m.joblib a.edf --out p.csv --quiet",
    "pretrain a.edf --out w.safetensors --preset tiny --max-steps 1 --quiet --modality EEG",
):
    assert main(line.split()) == 0, line
"""


def test_commands_and_imports_open_no_connection(tmp_path):
    rng = np.random.default_rng(0)
    y = np.tile(["rest", "fist"], 12)
    X = rng.standard_normal((24, 2, 100)) * np.where(y == "fist", 2, 1)[:, None, None]
    np.savez(tmp_path / "data.npz", X=X, y=y, groups=np.arange(24) // 6, sfreq=100.0,
             ch_names=["C3", "C4"])  # fmt: skip
    write_edf(tmp_path / "a.edf", {"C3": (X[:, 0].ravel(), 100), "C4": (X[:, 1].ravel(), 100)})
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "p.csv").exists()


# --- code in files -------------------------------------------------------------------------------


class Bomb:
    def __reduce__(self):
        return open, ("it ran", "w")


def object_array(path):
    """A file of NumPy with a pickle in it."""
    array = np.array([Bomb()], object)
    saves = np.savez if path.suffix == ".npz" else np.save
    saves(path, **({"X": array, "y": array, "index": array, "meta": array}
                   if path.suffix == ".npz" else {"arr": array}))  # fmt: skip


BOMBS = {
    "npz of objects": (".npz", object_array),
    "npy of objects": (".npy", object_array),
    **{f"pickle as {end}": (end, lambda path: path.write_bytes(pickle.dumps(Bomb())))
       for end in (".safetensors", ".npz", ".npy", ".json", ".csv", ".edf", ".fif", ".run")},
}  # fmt: skip
READERS = {
    "load_pretrained": load_pretrained,
    "load_checkpoint": load_checkpoint,
    "read_folder": lambda path: read_folder(path.parent),
    "read_labelled": read_labelled,
    "read_labelled of a table": lambda path: read_labelled(path.parent, path),
    "read_corpus": lambda path: read_corpus([path], on_error="raise"),
    "read_json": FractionCurve.read_json,
    "read_json of people": NewPersonCurve.read_json,
    "resume": lambda path: CitrusPretrainer(
        preset="tiny", max_steps=1, run_file=path, resume=True
    ).fit(np.zeros((4, 1, 64)) + np.arange(64) % 7),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_no_reader_runs_a_pickle(bomb, tmp_path, monkeypatch, no_code):
    monkeypatch.chdir(tmp_path)
    end, write = BOMBS[bomb]
    path = tmp_path / f"bomb{end}"
    WATCH.refused = ()
    write(path)
    WATCH.refused = (*NETWORK, *CODE)
    for name, read in READERS.items():
        with pytest.raises((ValueError, OSError, TypeError), match=r"\w"):
            read(path)
        assert not Path("it ran").exists(), name


def test_only_listed_modules_can_unpickle():
    """`citrus-sk predict` says that it does; the recordings of seglearn are part of a package."""
    words = (
        "allow_pickle=True",
        "joblib.load(",
        "pickle.load",
        "weights_only=False",
        "cloudpickle",
    )
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if any(word in path.read_text("utf-8") for word in words)
    }
    # The demo loads the file that it has just written; `fit` and `predict` name the call in texts.
    assert found == {"cli/demo.py", "cli/predict.py", "datasets.py"}


# --- what files hold -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared(watch, tmp_path_factory):
    """Files of each kind, from recordings and in a folder with telling names."""
    folder = tmp_path_factory.mktemp("home-of-alice") / "recordings"
    folder.mkdir()
    X, y, people = watch.X, watch.y, np.array([f"patient {name}" for name in watch.groups])
    for i in range(3):
        np.save(folder / f"bob-{i}.npy", X[20 * i : 20 * i + 20].transpose(1, 0, 2).reshape(6, -1))
    corpus = read_corpus([folder], modality="EEG", sfreq=100.0)
    pretrainer = CitrusPretrainer(
        preset="tiny", max_steps=1, random_state=0, run_file=folder.parent / "state.run",
        validation_fraction=0,
    ).fit(corpus)  # fmt: skip
    pretrainer.save(folder.parent / "a.safetensors")
    clf = CitrusClassifier(pretrainer, strategy="linear-probe", random_state=0)
    pipe = make_pipeline(SignalAligner(40), clf).fit(X, y, citrusclassifier__groups=people)
    clf.set_params(pretrained="eeg-freq")  # a pre-trainer holds the path of its run, a parameter
    embedder = CitrusEmbedder("eeg-freq", backbone="conv", memory=None).fit(X)
    to_onnx(pipe, folder.parent / "a.onnx")
    skops.io.dump(embedder, folder.parent / "a.skops")
    with zipfile.ZipFile(folder.parent / "a.skops") as archive:
        of_skops = b"".join(archive.read(name) for name in archive.namelist())
    model = RecordingModel(estimator=pipe, duration=2.56, sfreq=50.0)
    return folder, {
        "pipeline": pickle.dumps(pipe),
        "model of citrus-sk fit": pickle.dumps(model),
        "embedder": pickle.dumps(embedder),
        "skops": of_skops,
        "checkpoint": (folder.parent / "a.safetensors").read_bytes(),
        "run": (folder.parent / "state.run").read_bytes(),
        "onnx": (folder.parent / "a.onnx").read_bytes(),
    }


def test_no_file_names_a_user_a_folder_or_a_person(shared):
    folder, files = shared
    words = {str(folder), str(folder.parent), str(Path.home()), str(PACKAGE.parent), sys.prefix,
             "alice", "bob-", "patient ", "site-packages"}  # fmt: skip
    words |= {getpass.getuser()} - {"root", "user"}  # which are parts of other words
    for name, content in files.items():
        for word in words - {"/", ""}:
            assert word.encode() not in content, (name, word)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_file_holds_training_data(shared, watch, dtype):
    _, files = shared
    pieces = [
        piece.tobytes()
        for window in watch.X
        for channel in window.astype(dtype)
        for piece in (channel[:4], channel[60:64], np.diff(channel[:5]))
    ]
    for name, content in files.items():
        assert not any(piece in content for piece in pieces), name
    assert_array_equal(np.frombuffer(pieces[0], dtype), watch.X[0, 0, :4].astype(dtype))
