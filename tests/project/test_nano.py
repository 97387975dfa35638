"""The page that shows the whole method in one file: its network is the package's own."""

import ast
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.testing import assert_close

from citrus_sk import (
    CitrusClassifier,
    CitrusEmbedder,
    SignalAligner,
    load_checkpoint,
    load_pretrained,
)
from citrus_sk.nn import MaskedAutoencoder

PAGE = Path(__file__).parents[2] / "examples" / "nano_citrus.py"
NAMES = {"encoder.0": "encoder.stem", "encoder.1": "encoder.norm"}
NAMES |= {f"encoder.{i + 3}": f"encoder.blocks.{i}" for i in range(3)}
NAMES |= {name: f"transformer.{name}" for name in ("embed", "positions", "layers", "norm")}


def is_constant(node):
    try:
        ast.literal_eval(node.value)
    except (AttributeError, ValueError):
        return False
    return isinstance(node, ast.Assign)


@pytest.fixture(scope="module")
def nano():
    """What the page defines; nothing of it is run."""
    kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
    tree = ast.parse(PAGE.read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if isinstance(node, kinds) or is_constant(node)]
    names = {}
    exec(compile(tree, PAGE.name, "exec"), names)
    return SimpleNamespace(**names)


@pytest.fixture(scope="module")
def windows(watch):
    """Real windows on the grid of the shipped weights, of six people."""
    return SignalAligner().fit_transform(watch.X)


@pytest.fixture(autouse=True)
def own_seed(same_global_state):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def load_trunk(nano, name):
    """The page's trunk with the weights of a checkpoint."""
    trunk = nano.Trunk(stem=32, widths=(64, 128, 128), dim=128, depth=4, heads=8, n_times=1024)
    theirs = load_pretrained(name).state_dict()
    # The page has no table of modalities: a signal of unknown kind is what its positions are for.
    theirs["transformer.positions"] += theirs.pop("transformer.modalities")[0]
    ours = {}
    for key in trunk.state_dict():
        short = max((name for name in NAMES if f"{key}.".startswith(f"{name}.")), key=len)
        ours[key] = theirs.pop(NAMES[short] + key.removeprefix(short))
    assert not theirs  # every weight of the checkpoint has its place on the page
    trunk.load_state_dict(ours)
    return trunk.eval()


@pytest.mark.parametrize("name", ["eeg-freq", "multi-time"])
def test_the_features_are_those_of_the_package(nano, windows, name):
    model = nano.Classifier(load_trunk(nano, name), n_chans=6, n_classes=3)
    with torch.no_grad():
        features = model.features(torch.from_numpy(windows[::6]))
    # The package reads out more: amplitudes, the waveform and the covariance come behind these.
    expected = CitrusEmbedder(name, device="cpu").fit_transform(windows[::6])
    expected = torch.from_numpy(expected[:, : features.shape[1]])
    assert features.shape[1] == 6 * (8 * 128 + 3 * 128)
    assert_close(features, expected, atol=1e-5, rtol=1e-5)


def test_the_logits_are_those_of_the_package(nano, windows, watch):
    clf = CitrusClassifier(
        "eeg-freq", strategy="linear-probe", random_kernels=False, device="cpu", random_state=0
    )
    module = clf.fit(windows[::3], watch.y[::3]).net_.module_
    model = nano.Classifier(load_trunk(nano, "eeg-freq"), n_chans=6, n_classes=3)
    n, head = len(model.mean), module.head
    x = torch.from_numpy(windows[1::6])
    with torch.no_grad():
        head.linear.weight[:, n:] = 0.0  # the views that the page leaves out
        model.mean, model.sd = head.mean[:n], 1 / head.scale[:n]
        share = (len(head.views) / 4) ** 0.5  # four views are left to share the variance
        model.linear.weight.copy_(head.linear.weight[:, :n] / share)
        model.linear.bias.copy_(head.linear.bias)
        logits = model(x)
        assert logits.std() > 0.1
        assert_close(logits, module(x), atol=1e-4, rtol=1e-4)


def test_the_auto_encoder_is_that_of_the_package(nano, windows):
    checkpoint = load_checkpoint("eeg-freq")
    theirs = MaskedAutoencoder(checkpoint.network, checkpoint.task).eval()
    theirs.load_state_dict(checkpoint.tensors)
    ours = nano.MaskedAutoencoder(load_trunk(nano, "eeg-freq")).eval()
    z = nano.normalise(torch.from_numpy(windows[::6])).flatten(0, 1)
    mask = nano.draw_mask(len(z), 32)
    kind = torch.zeros(len(z), dtype=torch.long)
    with torch.no_grad():
        ours.mask_token.copy_(theirs.mask_token)
        ours.decoder.weight.copy_(theirs.decoder_weight[0].T)
        ours.decoder.bias.copy_(theirs.decoder_bias[0])
        ours.mean, ours.sd = theirs.target_mean[0], theirs.target_sd[0]
        prediction, truth = ours(z, mask)
        expected, targets = theirs(z, mask, kind), theirs.targets(z, kind)
        loss = theirs.loss(expected, targets, mask).mean()
    assert_close(prediction, expected, atol=1e-5, rtol=1e-5)
    assert_close(truth, targets, atol=1e-5, rtol=1e-5)
    assert_close(nano.F.smooth_l1_loss(prediction[mask], truth[mask]), loss)


@pytest.mark.parametrize("n_tokens", [16, 32])
def test_half_of_the_tokens_are_hidden_in_runs_of_four_or_several_fours(nano, n_tokens):
    mask = nano.draw_mask(500, n_tokens)
    assert (mask.sum(1) == n_tokens // 2).all()
    edges = torch.nn.functional.pad(mask.int(), (1, 1)).diff(dim=1)
    begin, end = (edges == 1).nonzero(), (edges == -1).nonzero()
    assert ((end - begin)[:, 1] % 4 == 0).all()
    assert (mask.float().mean(0) > 0.1).all()  # no place is never hidden
    assert (mask.float().mean(0) < 0.9).all()


def test_the_page_is_short_and_needs_little():
    text = PAGE.read_text(encoding="utf-8")
    assert text.count("\n") < 300
    imported = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            imported |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module)
    allowed = {"copy", "matplotlib.pyplot", "numpy", "torch", "torch.nn.functional"}
    assert imported <= allowed | {"citrus_sk.datasets"}
