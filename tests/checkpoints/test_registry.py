"""From a name, a path or an estimator to weights."""

import hashlib
import json
import shutil
import subprocess
import sys
import types
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
import torch
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from test_checkpoint import INFO, NETWORK, TASK, leftovers, make_tensors

from citrus_sk import list_pretrained
from citrus_sk.checkpoints import hub as _hub
from citrus_sk.checkpoints import registry as _registry
from citrus_sk.checkpoints.checkpoint import (
    Checkpoint,
    CheckpointError,
    read_checkpoint,
    write_checkpoint,
)
from citrus_sk.checkpoints.registry import (
    describe_checkpoint,
    load_checkpoint,
    load_pretrained,
    resolve_pretrained,
    save_checkpoint,
    trunk_state,
)
from citrus_sk.nn import PRESETS, Trunk


@pytest.fixture(autouse=True)
def nothing_remembered():
    _registry._read_once.cache_clear()
    _hub.download.cache_clear()


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A registry of two checkpoints."""
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    index = {}
    for seed, name in enumerate(["multi-freq", "eeg-freq"]):
        path = folder / f"{name}.safetensors"
        sha256 = write_checkpoint(path, NETWORK, TASK, make_tensors(seed=seed), INFO, half=True)
        index[name] = {"sha256": sha256, "file": path.name}
    (folder / "eeg-freq.md").write_text("# A card")
    (folder / "index.json").write_text(json.dumps(index))
    monkeypatch.setattr(_registry, "SHIPPED", folder)
    return folder


@pytest.fixture
def nothing_shipped(tmp_path, monkeypatch):
    monkeypatch.setattr(_registry, "SHIPPED", tmp_path / "nowhere")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "own.safetensors"
    write_checkpoint(path, NETWORK, TASK, make_tensors(seed=2), INFO)
    return path


class Pretrainer(BaseEstimator):
    """As much of a fitted pretrainer as the registry asks for."""

    def __init__(self, path=None):
        self.path = path

    def to_checkpoint(self):
        if self.path is None:
            raise NotFittedError("This Pretrainer instance is not fitted yet.")
        return read_checkpoint(self.path)


def same(checkpoint, seed):
    expected = make_tensors(seed=seed)
    return set(expected) == set(checkpoint.tensors) and all(
        torch.allclose(checkpoint.tensors[name], value, rtol=1e-3)
        for name, value in expected.items()
    )


# --- what ships ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list_pretrained())
def test_every_checkpoint_that_ships_is_whole_and_described(name):
    trunk = load_pretrained(name)
    latent, sequence = trunk(torch.zeros(1, 1024))
    assert latent.isfinite().all()
    assert sequence.isfinite().all()
    info = describe_checkpoint(name)
    assert info["n_parameters"] == sum(value.numel() for value in trunk.parameters())
    for entry in info["info"]["corpus"]:
        assert all(entry[key] for key in ("name", "licence", "attribution", "hours", "people"))
    assert (_registry.SHIPPED / f"{name}.md").is_file()


def test_nothing_lies_about_that_does_not_ship():
    found = {path.name for path in _registry.SHIPPED.glob("*.safetensors")}
    assert found == {entry["file"] for entry in _registry._index().values()}


def test_names_are_listed_in_order(shipped):
    assert list_pretrained() == ["eeg-freq", "multi-freq"]


def test_listing_names_needs_no_torch():
    code = "import sys, citrus_sk; citrus_sk.list_pretrained(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


def test_a_shipped_name_is_resolved(shipped):
    assert same(resolve_pretrained("eeg-freq"), seed=1)
    assert same(resolve_pretrained("multi-freq"), seed=0)


def test_a_shipped_file_that_was_exchanged_is_refused(shipped):
    write_checkpoint(shipped / "eeg-freq.safetensors", NETWORK, TASK, make_tensors(), INFO)
    with pytest.raises(CheckpointError, match=r"eeg-freq\.safetensors is not the published file"):
        resolve_pretrained("eeg-freq")


def test_a_shipped_file_that_is_missing_is_named(shipped):
    (shipped / "eeg-freq.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"eeg-freq\.safetensors does not exist"):
        resolve_pretrained("eeg-freq")


def test_a_shipped_name_wins_over_a_folder_of_that_name(shipped, file, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    save_checkpoint(file, "eeg-freq")
    assert same(resolve_pretrained("eeg-freq"), seed=1)
    assert same(resolve_pretrained("./eeg-freq"), seed=2)


# --- what else can be given ----------------------------------------------------------------------


def test_none_is_from_scratch():
    assert resolve_pretrained(None) is None


def test_a_file_may_be_a_path_or_a_string(file, monkeypatch):
    assert same(resolve_pretrained(file), seed=2)
    assert same(resolve_pretrained(str(file)), seed=2)
    monkeypatch.chdir(file.parent)
    assert same(resolve_pretrained("own.safetensors"), seed=2)
    assert same(resolve_pretrained("./own.safetensors"), seed=2)


def test_a_file_may_lie_at_home_and_have_any_name(file, monkeypatch):
    monkeypatch.setenv("HOME", str(file.parent))
    monkeypatch.setenv("USERPROFILE", str(file.parent))
    file.rename(file.with_name("weights"))
    assert same(resolve_pretrained("~/weights"), seed=2)
    assert same(resolve_pretrained(file.with_name("weights")), seed=2)


def test_a_folder_may_be_a_path_or_a_string(file, monkeypatch, tmp_path):
    save_checkpoint(file, tmp_path / "folder")
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path / "folder", str(tmp_path / "folder"), "./folder", "folder"):
        assert same(resolve_pretrained(folder), seed=2)


def test_a_fitted_pretrainer_gives_its_own(file):
    assert same(resolve_pretrained(Pretrainer(file)), seed=2)
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        resolve_pretrained(Pretrainer())


def test_a_checkpoint_stays_what_it_is(file):
    checkpoint = read_checkpoint(file)
    assert resolve_pretrained(checkpoint) is checkpoint


class Pretender:
    def to_checkpoint(self):
        return {"mask_token": torch.ones(3)}


@pytest.mark.parametrize("given", [3, b"eeg-freq", True, Pretrainer, Pretender(), [], object])
def test_anything_else_is_refused(given):
    with pytest.raises(TypeError, match=r"Expected pretrained to be .*, got"):
        resolve_pretrained(given)


# --- what is not there ---------------------------------------------------------------------------


@pytest.mark.parametrize("typo", ["eeg-frq", "eegfreq", "eeg_freq"])
def test_an_unknown_name_is_answered_with_the_nearest(typo, shipped):
    message = (
        f"pretrained='{typo}' .*'eeg-freq', 'multi-freq'. Did you mean 'eeg-freq'[?] .*'./{typo}'"
    )
    with pytest.raises(ValueError, match=message):
        resolve_pretrained(typo)


@pytest.mark.parametrize("name", ["resnet", ""])
def test_a_name_like_no_other_is_answered_with_all(name, shipped):
    with pytest.raises(ValueError, match=r"one of 'eeg-freq', 'multi-freq'\. Pass a file .*=None"):
        resolve_pretrained(name)


def test_where_nothing_ships_it_says_so(nothing_shipped):
    assert list_pretrained() == []
    with pytest.raises(ValueError, match=r"pretrained='eeg-freq' .*none ships.*pretrained=None"):
        resolve_pretrained("eeg-freq")


@pytest.mark.parametrize(
    "path",
    [
        "none.safetensors",
        "a/none.safetensors",
        "a/b/c",
        "/none",
        "./a",
        "~nobody-here/a.safetensors",
    ],
)
def test_a_path_of_nothing_is_not_found(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="does not exist; expected a checkpoint"):
        resolve_pretrained(path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        describe_checkpoint(Path(path))


def test_a_folder_without_weights_says_what_is_wanted(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"does not contain model\.safetensors; expected"):
        resolve_pretrained(tmp_path)


# --- read once, and nobody's to damage -----------------------------------------------------------


@pytest.fixture
def reads(monkeypatch):
    found = []

    def counted(path, **parameters):
        found.append(path)
        return read_checkpoint(path, **parameters)

    monkeypatch.setattr("citrus_sk.checkpoints.checkpoint.read_checkpoint", counted)
    return found


def test_a_file_is_read_once_however_often_it_is_asked_for(shipped, reads):
    for _ in range(35):
        resolve_pretrained("eeg-freq")
    assert len(reads) == 1


def test_a_file_that_changes_is_read_again(file, reads):
    assert same(resolve_pretrained(file), seed=2)
    write_checkpoint(file, NETWORK, TASK, make_tensors(seed=3), INFO)
    assert same(resolve_pretrained(file), seed=3)
    assert len(reads) == 2


def test_a_file_that_disappears_is_missed(file):
    resolve_pretrained(file)
    file.unlink()
    with pytest.raises(FileNotFoundError):
        resolve_pretrained(file)


def test_what_is_done_to_one_copy_is_not_done_to_the_next(file):
    first = resolve_pretrained(file)
    for value in first.tensors.values():
        value.zero_()
    first.tensors.clear()
    first.info["metrics"].clear()
    trunk = load_pretrained(file)
    for parameter in trunk.parameters():
        parameter.data.zero_()
    second = resolve_pretrained(file)
    assert same(second, seed=2)
    assert second.info["metrics"] == INFO["metrics"]


# --- the torch module ----------------------------------------------------------------------------


def test_the_trunk_has_the_weights_and_is_ready_to_train_or_to_use(file):
    trunk = load_pretrained(file)
    assert isinstance(trunk, Trunk)
    assert not trunk.training
    assert all(parameter.requires_grad for parameter in trunk.parameters())
    expected = make_tensors(seed=2)
    for name, value in trunk.state_dict().items():
        assert torch.equal(value, expected[f"trunk.{name}"])
    latent, sequence = trunk(torch.zeros(3, 64))
    assert latent.shape == (3, 8, 16)
    assert sequence.shape == (3, 4, 8)
    sequence.sum().backward()


def test_the_convolution_alone_is_the_same_convolution(file):
    x = torch.randn(2, 64, generator=torch.Generator().manual_seed(0))
    whole, conv = load_pretrained(file), load_pretrained(file, backbone="conv")
    assert conv.transformer is None
    latent, sequence = conv(x)
    assert torch.equal(latent, whole(x)[0])
    assert torch.equal(sequence, latent.transpose(1, 2))
    assert set(trunk_state(read_checkpoint(file), "conv")) == set(conv.state_dict())


def test_loading_moves_no_random_state(file):
    before = torch.get_rng_state()
    load_pretrained(file)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_convolution_alone_has_no_transformer_to_give(file):
    checkpoint = read_checkpoint(file)
    checkpoint = replace(checkpoint, network=replace(NETWORK, backbone="conv"))
    with pytest.raises(ValueError, match="this checkpoint has only a convolution"):
        load_pretrained(checkpoint)
    assert load_pretrained(checkpoint, backbone="conv").transformer is None


@pytest.mark.parametrize("backbone", ["rnn", None, ["conv"]])
def test_an_unknown_backbone_is_refused(backbone, file):
    with pytest.raises(ValueError, match="is unknown; expected one of 'hybrid', 'conv'"):
        load_pretrained(file, backbone=backbone)


def test_a_trunk_of_nothing_is_refused():
    with pytest.raises(TypeError, match="Expected pretrained to be"):
        load_pretrained(None)


# --- what is known about it ----------------------------------------------------------------------


def test_a_description_tells_what_a_table_needs(shipped):
    info = describe_checkpoint("eeg-freq")
    whole = info.pop("info")
    n_parameters = sum(v.numel() for k, v in make_tensors().items() if k.startswith("trunk."))
    assert info == {
        "name": "eeg-freq",
        "objective": "freq",
        "preset": None,
        "n_parameters": n_parameters,
        "modalities": ["EEG", "ECG"],
        "n_times": 64,
        "sfreq": 100.0,
        "hours": 3.0,
        "people": 3,
        "n_bytes": (shipped / "eeg-freq.safetensors").stat().st_size,
        "metrics": INFO["metrics"],
    }
    assert whole["corpus"] == INFO["corpus"]


@pytest.mark.parametrize("preset", ["tiny", "small"])
def test_a_preset_is_recognised_whatever_its_modalities(preset, tmp_path):
    network = replace(PRESETS[preset], modalities=("EEG",))
    info = INFO | {"grid": {"n_times": network.n_times, "sfreq": None}, "corpus": []}
    write_checkpoint(tmp_path / "a", network, TASK, make_tensors(network), info)
    described = describe_checkpoint(tmp_path / "a")
    assert described["preset"] == preset
    assert (described["hours"], described["people"], described["sfreq"]) == (None, None, None)


def test_a_description_reads_no_weights(file, reads):
    before = describe_checkpoint(file)
    data = bytearray(file.read_bytes())
    data[-1] ^= 1  # which reading the weights would find
    file.write_bytes(data)
    assert describe_checkpoint(file) == before
    assert not reads


def test_a_description_of_a_file_with_other_tensors_is_refused(file):
    data = file.read_bytes()
    file.write_bytes(data.replace(b"trunk.", b"crust."))
    with pytest.raises(CheckpointError, match=r"own\.safetensors: .*it lacks .* write it again"):
        describe_checkpoint(file)


# --- folders and repositories --------------------------------------------------------------------


def test_a_folder_holds_the_file_a_readable_copy_of_its_header_and_the_card(shipped, tmp_path):
    folder = tmp_path / "new" / "folder"
    returned = save_checkpoint("eeg-freq", folder)
    assert leftovers(folder) == ["README.md", "config.json", "model.safetensors"]
    data = (folder / "model.safetensors").read_bytes()
    assert data == (shipped / "eeg-freq.safetensors").read_bytes()
    assert (folder / "README.md").read_text() == "# A card"
    config = json.loads((folder / "config.json").read_text())
    assert config["sha256"] == returned == hashlib.sha256(data).hexdigest()
    assert config["checkpoint"] == read_checkpoint(folder / "model.safetensors").info
    assert same(load_checkpoint(folder, sha256=returned), seed=1)


def test_a_folder_can_be_saved_again_even_onto_itself(shipped, tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    save_checkpoint("eeg-freq", one)
    for target in (one, other):
        save_checkpoint(str(one), target)
        assert leftovers(target) == ["README.md", "config.json", "model.safetensors"]
        assert same(load_checkpoint(target), seed=1)


@pytest.mark.parametrize("half", [False, True])
def test_a_checkpoint_in_memory_is_saved_in_its_own_precision(half, file, tmp_path):
    write_checkpoint(file, NETWORK, TASK, make_tensors(), INFO, half=half)
    sources = [read_checkpoint(file), Pretrainer(file), file]
    for number, source in enumerate(sources):
        save_checkpoint(source, tmp_path / str(number))
        saved = tmp_path / str(number) / "model.safetensors"
        assert saved.read_bytes() == file.read_bytes()
        assert leftovers(saved.parent) == ["config.json", "model.safetensors"]


def test_weights_that_are_not_those_of_the_folder_are_refused(file, tmp_path):
    folder = tmp_path / "folder"
    returned = save_checkpoint(file, folder)
    write_checkpoint(folder / "model.safetensors", NETWORK, TASK, make_tensors(seed=3), INFO)
    with pytest.raises(CheckpointError, match="is not the published file"):
        load_checkpoint(folder)
    save_checkpoint(folder / "model.safetensors", folder)  # as someone would who changes both
    load_checkpoint(folder)
    with pytest.raises(CheckpointError, match="is not the published file"):
        load_checkpoint(folder, sha256=returned)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "is damaged: its JSON cannot be read"),
        ("[]", "its JSON is a list; expected an object"),
        ("{}", "is damaged: sha256=None is not a SHA-256"),
        ('{"sha256": "abc"}', "sha256='abc' is not a SHA-256"),
    ],
)
def test_a_configuration_that_names_no_hash_is_refused(config, message, file, tmp_path):
    save_checkpoint(file, tmp_path / "folder")
    (tmp_path / "folder" / "config.json").write_text(config)
    with pytest.raises(CheckpointError, match=rf"config\.json .*{message}"):
        load_checkpoint(tmp_path / "folder")


def test_a_huge_configuration_is_refused_before_it_is_read(file, tmp_path):
    save_checkpoint(file, tmp_path / "folder")
    with (tmp_path / "folder" / "config.json").open("wb") as config:
        config.truncate(10**11)  # of holes, which take no space
    with pytest.raises(
        CheckpointError, match=r"config\.json is damaged: it has 100000000000 bytes"
    ):
        load_checkpoint(tmp_path / "folder")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_folder_that_lacks_something_says_what(name, file, tmp_path):
    save_checkpoint(file, tmp_path / "folder")
    (tmp_path / "folder" / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"does not contain {name}"):
        load_checkpoint(tmp_path / "folder")


def test_nothing_is_written_where_the_source_is_of_no_use(file, tmp_path):
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="is cut short"):
        save_checkpoint(file, tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


@pytest.fixture
def hub(file, monkeypatch, tmp_path):
    """A hub of one repository, ``citrus/eeg``, that keeps count of the requests."""
    save_checkpoint(file, tmp_path / "remote")
    (tmp_path / "remote" / "harmful.py").write_text("raise SystemExit")
    module = types.ModuleType("huggingface_hub")
    module.__spec__ = ModuleSpec("huggingface_hub", None)
    module.requests = []

    def snapshot_download(repo_id, *, revision=None, allow_patterns=None):
        module.requests.append((repo_id, revision))
        if repo_id != "citrus/eeg":
            raise OSError(f"no repository {repo_id}")
        folder = tmp_path / f"cache-{revision}"
        folder.mkdir(exist_ok=True)
        for name in allow_patterns:
            if (tmp_path / "remote" / name).exists():
                shutil.copy(tmp_path / "remote" / name, folder)
        return str(folder)

    module.snapshot_download = snapshot_download
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    return module


def test_a_repository_is_downloaded_once_and_no_more_of_it_than_needed(hub, tmp_path):
    for _ in range(3):
        assert same(resolve_pretrained("citrus/eeg"), seed=2)
    assert hub.requests == [("citrus/eeg", None)]
    assert leftovers(tmp_path / "cache-None") == ["config.json", "model.safetensors"]
    assert describe_checkpoint("citrus/eeg")["name"] == "citrus/eeg"


def test_a_revision_is_passed_on(hub):
    assert same(load_checkpoint("citrus/eeg", revision="v1"), seed=2)
    load_pretrained("citrus/eeg", revision="v2")
    assert hub.requests == [("citrus/eeg", "v1"), ("citrus/eeg", "v2")]


def test_a_download_that_is_damaged_is_refused(hub, tmp_path):
    weights = tmp_path / "remote" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\0")
    with pytest.raises(CheckpointError, match="is not the published file"):
        load_checkpoint("citrus/eeg")


def test_what_the_hub_says_is_what_the_user_sees(hub):
    message = "does not exist.* could not be downloaded .*no repository citrus/ecg"
    with pytest.raises(FileNotFoundError, match=message):
        load_checkpoint("citrus/ecg")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("my-weights/eeg-frq", "there is a folder 'my-weights'"),
        ("my-weight/eeg-freq", "there is a folder 'my-weights'"),
        ("My-Weights/eeg-freq", "there is a folder 'my-weights'"),
        ("models/eeg", "'models' is the name of a folder"),
        ("citrus/eeg.safetensor", r"ends in '\.safetensor' like a file"),
        ("citrus/eeg.pt", r"ends in '\.pt' like a file"),
    ],
)
def test_what_looks_like_a_path_is_not_looked_for_on_the_hub(
    name, reason, hub, tmp_path, monkeypatch
):
    (tmp_path / "here" / "my-weights" / "eeg-freq").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    message = rf"does not exist in .*not searched for on Hugging Face, because .*{reason}"
    for use in (resolve_pretrained, load_pretrained, load_checkpoint, describe_checkpoint):
        with pytest.raises(FileNotFoundError, match=message):
            use(name)
    assert not hub.requests


def test_with_a_revision_a_repository_is_meant_whatever_lies_here(hub, tmp_path, monkeypatch):
    (tmp_path / "here" / "citrus").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    assert same(load_checkpoint("citrus/eeg", revision="main"), seed=2)
    with pytest.raises(
        FileNotFoundError, match=r"load_checkpoint\('citrus/eeg', revision='main'\)"
    ):
        load_checkpoint("citrus/eeg")


def test_a_version_in_a_name_is_not_the_ending_of_a_file(hub):
    with pytest.raises(FileNotFoundError, match="could not be downloaded"):
        load_checkpoint("citrus/eeg-v1.5")
    assert hub.requests == [("citrus/eeg-v1.5", None)]


def test_an_existing_path_wins_over_a_repository(hub, file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_checkpoint(file, "citrus/eeg")
    resolve_pretrained("citrus/eeg")
    assert not hub.requests


@pytest.mark.parametrize("name", ["eeg-freq", "./eeg", "a/b/c", "citrus/eeg.safetensors", "../eeg"])
def test_a_revision_is_of_a_repository(name, hub):
    with pytest.raises(ValueError, match="revision='v1' needs a repository on Hugging Face"):
        load_checkpoint(name, revision="v1")
    with pytest.raises(ValueError, match="revision='v1' needs a repository on Hugging Face"):
        load_pretrained(Pretrainer(), revision="v1")


def test_without_huggingface_hub_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    message = "'citrus/eeg' is not a file or folder here.*pip install huggingface_hub"
    with pytest.raises(ImportError, match=message):
        load_checkpoint("citrus/eeg")
    with pytest.raises(ImportError, match=message):
        resolve_pretrained("citrus/eeg")


def test_a_checkpoint_is_a_parameter_that_can_be_cloned(file):
    from sklearn.base import clone

    from citrus_sk import CitrusClassifier

    copied = clone(CitrusClassifier(pretrained=read_checkpoint(file))).pretrained
    assert isinstance(copied, Checkpoint)
    assert same(copied, seed=2)
