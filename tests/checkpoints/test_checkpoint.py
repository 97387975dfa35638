"""The file of weights: what is written comes back, and nothing else is ever read."""

import builtins
import errno
import hashlib
import inspect
import io
import json
import os
import pickle
import re
import subprocess
import sys
import threading
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from citrus_sk.checkpoints import (
    checkpoint as _checkpoint,
)
from citrus_sk.checkpoints import (
    format as _header,
)
from citrus_sk.checkpoints import (
    hub as _hub,
)
from citrus_sk.checkpoints import (
    layout as _layout,
)
from citrus_sk.checkpoints import (
    registry as _registry,
)
from citrus_sk.checkpoints.checkpoint import CheckpointError, read_checkpoint, write_checkpoint
from citrus_sk.nn import MaskedAutoencoder, NetworkConfig, TaskConfig

NETWORK = NetworkConfig(
    n_times=64,
    stem_width=8,
    stem_kernel=3,
    widths=(8,),
    kernels=(3,),
    strides=(2,),
    dim=8,
    depth=1,
    heads=2,
    feedforward=8,
    modalities=("EEG", "ECG"),
)
TASK = TaskConfig(frame=16)
CORPUS = {"licence": "CC0", "attribution": "Nobody & Söhne", "hours": 1.5, "people": 3}
INFO = {
    "grid": {"n_times": 64, "sfreq": 100.0},
    "corpus": [{"name": "rest", **CORPUS}, {"name": "task", **CORPUS, "people": None}],
    "training": {"steps": 10, "passes": 0.5, "seconds": 1.0, "seed": 0},
    "metrics": {"held_out": 0.123456789012345},
}


def make_tensors(network=NETWORK, task=TASK, seed=0):
    """Weights of no global random state: as `MaskedAutoencoder` names and shapes them."""
    with torch.device("meta"):
        model = MaskedAutoencoder(network, task)
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(value.shape, generator=generator)
        for name, value in model.state_dict().items()
    }


def split(path):
    """Header and bytes of the tensors of a file."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def join(path, header, tensors):
    """Write a file that is in order as safetensors goes."""
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + tensors)


def edit_info(path, edit):
    """Change the JSON and keep it canonical; `edit` changes it in place."""
    header, tensors = split(path)
    info = json.loads(header["__metadata__"]["citrus_sk"])
    edit(info)
    header["__metadata__"]["citrus_sk"] = json.dumps(info, sort_keys=True)
    join(path, header, tensors)


def forge(path, tensors, edit=lambda info: None):
    """Write any tensors below a valid header with a valid hash, as only a forger would."""
    info = json.loads(split(path)[0]["__metadata__"]["citrus_sk"])
    edit(info)
    stored = {name: value.contiguous() for name, value in tensors.items()}
    info["sha256"] = _checkpoint._content_hash("", info, stored)
    path.write_bytes(_checkpoint._serialise("", stored, json.dumps(info, sort_keys=True)))


def leftovers(folder):
    return sorted(entry.name for entry in folder.iterdir())


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "weights.safetensors"
    write_checkpoint(path, NETWORK, TASK, make_tensors(), INFO)
    return path


# --- what is written comes back ------------------------------------------------------------------


def test_weights_configuration_and_provenance_come_back_exactly(file):
    checkpoint = read_checkpoint(file)
    assert (checkpoint.network, checkpoint.task) == (NETWORK, TASK)
    tensors = make_tensors()
    assert set(checkpoint.tensors) == set(tensors)
    for name, value in tensors.items():
        assert torch.equal(checkpoint.tensors[name], value)
    info = checkpoint.info
    assert {name: info[name] for name in INFO} == INFO
    assert info["network"] == json.loads(json.dumps(asdict(NETWORK)))
    assert (info["objective"], info["modalities"]) == ("freq", ["EEG", "ECG"])
    assert (info["format_version"], info["dtype"]) == (1, "float32")
    assert info["created"].endswith("+00:00")


def test_half_precision_is_half_the_size_and_close(file):
    other = file.with_name("half.safetensors")
    write_checkpoint(other, NETWORK, TASK, make_tensors(), INFO, half=True)
    checkpoint = read_checkpoint(other)
    assert checkpoint.info["dtype"] == "float16"
    assert len(split(other)[1]) == len(split(file)[1]) / 2
    for name, value in make_tensors().items():
        assert checkpoint.tensors[name].dtype == torch.float32
        torch.testing.assert_close(checkpoint.tensors[name], value, rtol=1e-3, atol=1e-6)


def test_the_hash_that_is_returned_is_the_files(tmp_path):
    path = tmp_path / "a.safetensors"
    returned = write_checkpoint(path, NETWORK, TASK, make_tensors(), INFO)
    assert returned == hashlib.sha256(path.read_bytes()).hexdigest()
    read_checkpoint(path, sha256=returned.upper())


def test_the_same_content_is_the_same_file_in_any_process(tmp_path):
    info = INFO | {"created": "2025-01-01"}
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from test_checkpoint import *; "
        "print(write_checkpoint(sys.argv[2], NETWORK, TASK, make_tensors(), "
        "INFO | {'created': '2025-01-01'}))"
    )
    own = {
        write_checkpoint(tmp_path / f"{n}.safetensors", NETWORK, TASK, make_tensors(), info)
        for n in range(10)
    }
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path / "other")],
        capture_output=True,
        text=True,
    )
    assert own == {done.stdout.strip()}, done.stderr


def test_the_model_takes_what_was_read(file):
    with torch.device("meta"):
        model = MaskedAutoencoder(NETWORK, TASK)
    model.load_state_dict(read_checkpoint(file).tensors, strict=True, assign=True)
    assert torch.equal(model.mask_token, make_tensors()["mask_token"])


@pytest.mark.parametrize("objective", ["time", "freq", "both"])
@pytest.mark.parametrize("cross_channel", [False, True])
def test_every_task_can_be_stored(objective, cross_channel, tmp_path):
    task = replace(TASK, objective=objective, cross_channel=cross_channel)
    path = tmp_path / "a.safetensors"
    write_checkpoint(path, NETWORK, task, make_tensors(task=task), INFO)
    assert read_checkpoint(path).task == task


def test_views_doubles_and_parameters_are_stored_as_their_values(tmp_path):
    whole = {name: torch.stack([value, value], -1) for name, value in make_tensors().items()}
    tensors = {name: value[..., 0] for name, value in whole.items()}
    tensors["mask_token"] = torch.nn.Parameter(tensors["mask_token"].double())
    path = tmp_path / "a.safetensors"
    write_checkpoint(path, NETWORK, TASK, tensors, INFO)
    read = read_checkpoint(path).tensors
    assert all(torch.equal(read[name], value) for name, value in make_tensors().items())
    assert not read["mask_token"].requires_grad


def test_numbers_of_numpy_may_stand_in_the_info(tmp_path):
    path = tmp_path / "a.safetensors"
    info = INFO | {"metrics": {"a": np.float32(0.5), "b": np.int64(3)}, "note": ("x", None)}
    write_checkpoint(path, NETWORK, TASK, make_tensors(), info)
    read = read_checkpoint(path).info
    assert (read["metrics"], read["note"]) == ({"a": 0.5, "b": 3}, ["x", None])


def test_whoever_owns_the_umask_decides_who_may_read(file):
    plain = file.with_name("plain")
    plain.write_text("")
    assert file.stat().st_mode == plain.stat().st_mode


def test_ten_readers_and_a_writer_disturb_no_one(file):
    tensors, faults = make_tensors(seed=1), []
    known = [make_tensors()["mask_token"], tensors["mask_token"]]

    def read():
        try:
            for _ in range(5):
                found = read_checkpoint(file).tensors["mask_token"]
                assert any(torch.equal(found, value) for value in known)
        except BaseException as error:  # noqa: BLE001 - a thread tells what it met
            faults.append(error)

    readers = [threading.Thread(target=read) for _ in range(10)]
    for reader in readers:
        reader.start()
    for _ in range(5):
        write_checkpoint(file, NETWORK, TASK, tensors, INFO)
    for reader in readers:
        reader.join()
    assert not faults


# --- what is not written -------------------------------------------------------------------------


def without(name):
    return {key: value for key, value in INFO.items() if key != name}


@pytest.mark.parametrize(
    ("info", "message"),
    [
        (without("corpus"), "its info lacks 'corpus'"),
        (INFO | {"grid": {"n_times": 64}}, "grid lacks 'sfreq'"),
        (INFO | {"grid": {"n_times": 65, "sfreq": 100}}, r"grid\.n_times is 65; expected 64"),
        (INFO | {"grid": 64}, "'grid' of its info is a int; expected dict"),
        (INFO | {"corpus": ["rest"]}, r"corpus\[0\] is a str; expected a dict of name, licence"),
        (INFO | {"corpus": [{"name": "rest"}]}, r"corpus\[0\] lacks 'licence', 'attribution', "),
        (
            INFO | {"corpus": [{"name": 3, **CORPUS}]},
            "'name' of corpus.* is a int; expected str or",
        ),
        (INFO | {"metrics": {"loss": float("nan")}}, "a value that JSON cannot store"),
        (INFO | {"metrics": {"loss": torch.ones(())}}, "is a Tensor"),
        (INFO | {"metrics": None}, "'metrics' of its info is a NoneType; expected dict"),
        (INFO | {"note": "x" * 10_000_000}, "bytes, and at most 10000000 are read"),
    ],
)
def test_incomplete_info_is_not_written(info, message, tmp_path):
    path = tmp_path / "a.safetensors"
    with pytest.raises(CheckpointError, match=rf"a\.safetensors is not written: .*{message}"):
        write_checkpoint(path, NETWORK, TASK, make_tensors(), info)
    assert leftovers(tmp_path) == []


def with_tensor(name, value):
    return make_tensors() | {name: value}


def drop(tensors, name):
    return {key: value for key, value in tensors.items() if key != name}


@pytest.mark.parametrize(
    ("tensors", "half", "message"),
    [
        (drop(make_tensors(), "mask_token"), False, "lacks 'mask_token'"),
        (with_tensor("head", torch.ones(2)), False, "has the surplus 'head'"),
        (with_tensor("mask_token", torch.ones(9)), False, r"shape \(9,\); expected \(8,\)"),
        (with_tensor("mask_token", torch.ones(8).long()), False, "type I64; expected F32"),
        (with_tensor("mask_token", torch.full((8,), torch.nan)), False, "NaN or infinity"),
        (with_tensor("mask_token", torch.full((8,), torch.inf)), True, "NaN or infinity"),
        (
            with_tensor("mask_token", torch.full((8,), -1e5)),
            True,
            r"1e\+05.*6\.55e\+04.*half=False",
        ),
        (with_tensor("mask_token", torch.ones(8).double() * 1e300), False, "float32 holds at most"),
    ],
)
def test_weights_of_no_use_are_not_written(tensors, half, message, tmp_path):
    with pytest.raises(CheckpointError, match=f"is not written: .*{message}"):
        write_checkpoint(tmp_path / "a.safetensors", NETWORK, TASK, tensors, INFO, half=half)
    assert leftovers(tmp_path) == []


def test_a_network_that_cannot_be_built_is_not_written(tmp_path):
    with pytest.raises(CheckpointError, match="no model can be built"):
        write_checkpoint(tmp_path / "a", replace(NETWORK, heads=3), TASK, make_tensors(), INFO)


def test_a_folder_that_is_not_there_and_one_in_the_way_are_named(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"folder .*nowhere does not exist; create it first"
    ):
        write_checkpoint(tmp_path / "nowhere" / "a", NETWORK, TASK, make_tensors(), INFO)
    with pytest.raises(IsADirectoryError, match="is a folder; expected the name of a file"):
        write_checkpoint(tmp_path, NETWORK, TASK, make_tensors(), INFO)


class FullDisk(io.FileIO):
    def write(self, data):
        super().write(bytes(data)[:100])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def raise_no_space(*args):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("step", ["open", "write", "fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(step, file, monkeypatch):
    before = file.read_bytes()
    with monkeypatch.context() as patch:
        if step == "open":
            patch.setattr(Path, "open", raise_no_space)
        elif step == "write":
            patch.setattr(Path, "open", lambda path, mode: FullDisk(path, mode.strip("b")))
        else:
            patch.setattr(os, step, raise_no_space)
        with pytest.raises(OSError, match="is unchanged: No space left on device") as raised:
            write_checkpoint(file, NETWORK, TASK, make_tensors(seed=1), INFO)
    assert raised.value.errno == errno.ENOSPC
    assert file.read_bytes() == before
    assert leftovers(file.parent) == [file.name]


def test_ctrl_c_while_writing_leaves_the_old_file_and_nothing_else(file, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    before = file.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write_checkpoint(file, NETWORK, TASK, make_tensors(seed=1), INFO)
    assert file.read_bytes() == before
    assert leftovers(file.parent) == [file.name]


# --- files that are no checkpoints ---------------------------------------------------------------


def test_a_file_that_is_not_there_is_not_found(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors does not exist; expected a"):
        read_checkpoint(tmp_path / "none.safetensors")


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(CheckpointError, match=r"is a folder; expected a file.*load_checkpoint"):
        read_checkpoint(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_no_file_and_nobody_waits_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="is a device or a pipe"):
        read_checkpoint(tmp_path / "pipe")


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return builtins.open, (self.path, "w")


def zipped(bomb):
    buffer = io.BytesIO()
    torch.save({"weights": bomb}, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_not_run(protocol, tmp_path):
    mark, path = tmp_path / "it ran", tmp_path / "a.safetensors"
    path.write_bytes(pickle.dumps(Bomb(str(mark)), protocol))
    with pytest.raises(
        CheckpointError, match=r"not a safetensors file: .*Expected a file.*unpickling"
    ):
        read_checkpoint(path)
    assert not mark.exists()
    pickle.loads(path.read_bytes()).close()
    assert mark.exists()  # it was a real one


def test_an_archive_of_torch_is_not_run(tmp_path):
    mark, path = tmp_path / "it ran", tmp_path / "a.pt"
    path.write_bytes(zipped(Bomb(str(mark))))
    with pytest.raises(CheckpointError, match=r"as archives of torch\.save do.*can run any code"):
        read_checkpoint(path)
    assert not mark.exists()


def test_a_pickle_behind_a_plausible_length_is_not_run(tmp_path):
    mark, path = tmp_path / "it ran", tmp_path / "a.safetensors"
    bomb = b"{" + pickle.dumps(Bomb(str(mark)))
    path.write_bytes(len(bomb).to_bytes(8, "little") + bomb)
    with pytest.raises(CheckpointError, match="its JSON cannot be read"):
        read_checkpoint(path)
    assert not mark.exists()


@pytest.mark.parametrize("module", [_checkpoint, _header, _hub, _layout, _registry])
def test_nothing_here_can_unpickle(module):
    source = inspect.getsource(module)
    assert not re.search(r"import (pickle|joblib|dill)|(?<!safetensors\.)torch\.load\(", source)
    assert not re.search(r"\b(eval|exec)\((?!\))", source)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"\x10\0\0", "is cut short: it has 3 bytes"),
        (b"version https://git-lfs.github.com/spec/v1\n", "pointers of Git LFS do.*git lfs pull"),
        (b"hello, world", "is not a safetensors file: it begins with b'hello, w'"),
        ((10**12).to_bytes(8, "little") + b"{}", "has a size of 1000000000000 bytes"),
        ((100).to_bytes(8, "little") + b"{}", "is cut short: it has 10 bytes.* 108 or more"),
        ((2).to_bytes(8, "little") + b"{]", "its JSON cannot be read"),
        ((3).to_bytes(8, "little") + b'{"\xff', "its JSON cannot be read"),
        ((8).to_bytes(8, "little") + b'{"a": 1}', "lacks the type, the shape or the offsets"),
        ((9).to_bytes(8, "little") + b'{"a":NaN}', "NaN is not valid JSON"),
        ((2).to_bytes(8, "little") + b"{}", "not a checkpoint of citrus_sk"),
        (
            (10**6).to_bytes(8, "little") + b'{"a":'.ljust(10**6, b"["),
            "its JSON cannot be read",
        ),
    ],
)
def test_what_is_no_checkpoint_is_told_apart(data, message, tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=rf"a\.safetensors .*{message}"):
        read_checkpoint(path)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"citrus_sk_version": "1"}])
def test_weights_of_another_model_are_named_as_such(metadata, tmp_path):
    path = tmp_path / "bert.safetensors"
    safetensors.torch.save_file({"embedding": torch.ones(3)}, path, metadata)
    with pytest.raises(CheckpointError, match="is a safetensors file, but not a checkpoint"):
        read_checkpoint(path)


def test_a_file_from_the_future_says_who_wrote_it_and_to_upgrade(file):
    def edit(info):
        info.clear()  # whatever else is there then
        info.update(format_version=2, package_version="9.1.0")

    edit_info(file, edit)
    with pytest.raises(CheckpointError, match=r"'9\.1\.0' in format 2; .*pip install --upgrade"):
        read_checkpoint(file)


# --- files that were changed ---------------------------------------------------------------------


def test_every_truncation_is_found(file):
    data = file.read_bytes()
    lengths = np.unique(np.linspace(0, len(data) - 1, 50).astype(int))
    for length in [*lengths, 7, 8, 9, len(data) - len(split(file)[1])]:
        file.write_bytes(data[:length])
        with pytest.raises(CheckpointError, match=r"is empty|is cut short"):
            read_checkpoint(file)


def test_a_byte_too_many_is_found(file):
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(CheckpointError, match=r"is damaged: it has .* bytes"):
        read_checkpoint(file)


@pytest.mark.parametrize("half", [False, True])
def test_every_damaged_byte_is_found(half, file):
    write_checkpoint(file, NETWORK, TASK, make_tensors(), INFO, half=half)
    data = file.read_bytes()
    n_header = len(data) - len(split(file)[1])
    rng = np.random.default_rng(0)
    anywhere = rng.integers(len(data), size=100)
    places = [*anywhere, *rng.integers(n_header, size=100), *range(8), n_header - 1]
    for place in places:
        damaged = bytearray(data)
        damaged[place] ^= rng.integers(1, 256)
        file.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"weights\.safetensors"):
            read_checkpoint(file)


def test_every_bit_of_the_padding_and_of_the_format_counts(file):
    header, tensors = split(file)
    header["__metadata__"]["format"] = "np"
    join(file, header, tensors)
    with pytest.raises(CheckpointError, match="was changed after it was written"):
        read_checkpoint(file)
    header["__metadata__"]["format"] = "pt"
    text = json.dumps(header, separators=(",", ":")).encode() + b"\n"
    file.write_bytes(len(text).to_bytes(8, "little") + text + tensors)
    with pytest.raises(CheckpointError, match="header was changed after it was written"):
        read_checkpoint(file)


def test_a_name_that_stands_twice_is_found(file):
    header, tensors = split(file)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False)
    text = text[:-1] + ',"mask_token":' + json.dumps(header["mask_token"]) + "}"
    file.write_bytes(len(text.encode()).to_bytes(8, "little") + text.encode() + tensors)
    with pytest.raises(CheckpointError, match="header was changed after it was written"):
        read_checkpoint(file)


def test_changed_provenance_is_found(file):
    edit_info(file, lambda info: info["metrics"].update(held_out=0.1))
    with pytest.raises(CheckpointError, match="does not match the SHA-256 in its header"):
        read_checkpoint(file)


def test_swapped_tensors_are_found(file):
    header, tensors = split(file)
    one, other = "trunk.transformer.norm.weight", "trunk.transformer.norm.bias"
    header[one], header[other] = header[other], header[one]
    join(file, header, tensors)
    with pytest.raises(CheckpointError, match="does not match the SHA-256 in its header"):
        read_checkpoint(file)


def test_tensors_that_overlap_are_found(file):
    header, tensors = split(file)
    header["trunk.transformer.norm.weight"] = header["trunk.transformer.norm.bias"]
    join(file, header, tensors)
    with pytest.raises(CheckpointError, match="is damaged: "):
        read_checkpoint(file)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"dtype": "F32", "shape": [8]}, "lacks the type, the shape or the offsets"),
        (
            {"dtype": "F32", "shape": 8, "data_offsets": [0, 1]},
            "lacks the type, the shape or the offsets",
        ),
        ({"dtype": "F32", "shape": [8], "data_offsets": ["a", "b"]}, "lacks the type, the shape"),
        ({"dtype": "F32", "shape": [8], "data_offsets": [0, 10**15]}, "is cut short"),
        ({"dtype": "F64", "shape": [8], "data_offsets": [0, 32]}, "type F64; expected F32"),
        ({"dtype": ["F32"], "shape": [8], "data_offsets": [0, 32]}, "expected F32"),
        ({"dtype": "F32", "shape": [10**12], "data_offsets": [0, 32]}, r"expected \(8,\)"),
        ({"dtype": "F32", "shape": [[8]], "data_offsets": [0, 32]}, r"expected \(8,\)"),
    ],
)
def test_a_tensor_that_lies_about_itself_is_found(entry, message, file):
    header, tensors = split(file)
    header["mask_token"] = entry
    join(file, header, tensors)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(file)


def test_the_wrong_file_is_not_the_published_one(file):
    published = hashlib.sha256(file.read_bytes()).hexdigest()
    write_checkpoint(file, NETWORK, TASK, make_tensors(seed=1), INFO)
    read_checkpoint(file)
    with pytest.raises(CheckpointError, match=f"is not the published file: .*expected {published}"):
        read_checkpoint(file, sha256=published)


@pytest.mark.parametrize("sha256", ["", "abc", "g" * 64, 3])
def test_a_hash_that_is_none_is_refused(sha256, file):
    with pytest.raises(ValueError, match="is not a SHA-256; expected 64 hexadecimal digits"):
        read_checkpoint(file, sha256=sha256)


# --- files that a forger wrote -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (
            drop(make_tensors(), "mask_token"),
            r"the \d+ tensors of the model, but it lacks 'mask_token'",
        ),
        (with_tensor("x", torch.ones(2)), "has the surplus 'x'"),
        ({"x": torch.ones(2)}, r"lacks .* and \d+ more and has the surplus 'x'"),
        (with_tensor("mask_token", torch.ones(4, 2)), r"shape \(4, 2\); expected \(8,\)"),
        (with_tensor("mask_token", torch.ones(8).int()), "type I32; expected F32"),
        (with_tensor("mask_token", torch.ones(8).half()), "type F16; expected F32"),
        (with_tensor("mask_token", torch.full((8,), torch.nan)), "'mask_token' holds NaN or inf"),
        (with_tensor("target_sd", torch.full((2, 9), torch.inf)), "'target_sd' holds NaN or inf"),
    ],
)
def test_other_tensors_than_the_models_are_refused(tensors, message, file):
    forge(file, tensors)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(file)


def setter(*keys, value):
    def edit(info):
        for key in keys[:-1]:
            info = info[key]
        info[keys[-1]] = value

    edit.__name__ = ".".join(map(str, keys)) + f"={str(value)[:20]}"
    return edit


def popper(*keys):
    def edit(info):
        for key in keys[:-1]:
            info = info[key]
        del info[keys[-1]]

    edit.__name__ = "no " + ".".join(map(str, keys))
    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (popper("metrics"), "its info lacks 'metrics'; expected format_version, "),
        (popper("network", "dim"), "network lacks 'dim'; expected n_times, backbone, "),
        (
            setter("network", "rope", value=True),
            "network has 'rope', which is unknown",
        ),
        (popper("task", "frame"), "task lacks 'frame'"),
        (setter("task", "x", value=1), "task has 'x', which is unknown to this version"),
        (setter("network", value=[]), "'network' of its info is a list; expected dict"),
        (setter("format_version", value="1"), "format_version is '1'; expected 1"),
        (setter("format_version", value=0), "format_version is 0; expected 1"),
        (setter("format_version", value=True), "format_version is True; expected 1"),
        (setter("dtype", value="float64"), "dtype is 'float64'; expected one of 'float32', "),
        (setter("objective", value="time"), "objective is 'time'; expected 'freq'"),
        (setter("modalities", value=["EEG"]), "modalities is"),
        (setter("network", "backbone", value="rnn"), "'rnn'; expected one of 'hybrid', 'conv'"),
        (setter("network", "dim", value=10**9), "dim is 1000000000; expected an integer from 1"),
        (setter("network", "dim", value=10**6), "no model can be built|shape"),
        (setter("network", "dim", value=0), r"network\.dim is 0"),
        (setter("network", "dim", value=-8), r"network\.dim is -8"),
        (setter("network", "dim", value=8.0), r"network\.dim is 8\.0"),
        (setter("network", "dim", value=True), r"network\.dim is True"),
        (setter("network", "dim", value="8"), r"network\.dim is '8'; expected an integer"),
        (setter("network", "dim", value=None), r"network\.dim is None"),
        (setter("network", "depth", value=10**6), "expected an integer from 1 to 256"),
        (setter("network", "widths", value=[8] * 1000), "expected a list of at most 64 entries"),
        (setter("network", "widths", value=8), "expected a list of at most 64 entries"),
        (setter("network", "widths", value=[]), "expected one entry of each"),
        (setter("network", "widths", value=["8"]), r"network\.widths\[0\] is '8'"),
        (setter("network", "kernels", value=[3, 3]), "expected one entry of each"),
        (setter("network", "modalities", value=["EEG", 3]), r"network\.modalities\[1\] is 3"),
        (setter("network", "dropout", value=1e999), "Infinity is not valid JSON"),
        (setter("network", "dropout", value=10**400), r"network\.dropout is "),
        (setter("network", "dropout", value=2), "no model can be built"),
        (setter("network", "heads", value=3), "no model can be built"),
        (setter("network", "widths", value=[10**6]), "lacks 'trunk.encoder.blocks.0.skip"),
        (setter("task", "run_length", value=[4]), "expected a list of 2 entries"),
        (setter("task", "cross_channel", value=1), "cross_channel is 1; expected a bool"),
        (setter("task", "masking", value="x"), "masking is 'x'; expected one of 'latent', 'input'"),
        (setter("task", "frame", value=10**6), "shape"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_configuration_that_makes_no_sense_is_refused(edit, message, file):
    edit_info(file, edit)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(file)


def test_a_lie_about_sizes_is_found_before_a_tensor_is_read(file):
    header, _ = split(file)
    info = json.loads(header["__metadata__"]["citrus_sk"])
    info["network"]["n_times"] = info["grid"]["n_times"] = 10**6
    header["__metadata__"]["citrus_sk"] = json.dumps(info, sort_keys=True)
    header["mask_token"]["data_offsets"][1] = 2**36
    join(file, header, b"")
    try:
        os.truncate(file, file.stat().st_size + 2**36)  # 64 GB that take no room on most disks
    except OSError:
        pytest.skip("needs a disk with sparse files")
    with pytest.raises(CheckpointError, match="shape"):
        read_checkpoint(file)
