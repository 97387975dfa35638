"""Few-label tasks: the ridges in them, the kernels beside them, and the gradient of the trunk."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch.testing import assert_close

from citrus_sk.nn import NetworkConfig, Trunk
from citrus_sk.nn.episodes import EpisodeLoss, _ridge, _standardise, task_shares

TINY = NetworkConfig(
    n_times=256, stem_width=8, widths=(16, 16, 16), dim=16, depth=1, heads=2, feedforward=32,
    modalities=("EEG",),
)  # fmt: skip


@pytest.fixture(autouse=True)
def own_seed(same_global_state):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def trunk():
    return Trunk(TINY)


def tasks(n_tasks=4, n_support=6, n_query=10, seed=0):
    """Slow and fast sines in noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n_support + n_query) % 2
    time = np.arange(256) / 256
    phase = rng.uniform(0, 6, (n_tasks, len(labels), 1))
    x = np.sin(2 * np.pi * np.array([5, 9])[labels, None] * time + phase)
    x = torch.tensor(x + 0.5 * rng.standard_normal(x.shape), dtype=torch.float32)
    return x, torch.zeros(n_tasks, dtype=torch.long), torch.from_numpy(labels), n_support


def test_the_ridge_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    features = torch.tensor(rng.standard_normal((3, 12, 40)), dtype=torch.float32)
    codes = 2.0 * torch.eye(3)[torch.tensor([0, 1, 2, 0, 1, 2, 0])] - 1
    decisions = _ridge(features, 7, codes, 0.2)
    for task, ours in zip(features.numpy(), decisions, strict=True):
        centred = task[:7] - task[:7].mean(0)
        unit = (centred**2).sum(1).mean()
        expected = Ridge(alpha=0.2 * unit).fit(task[:7], codes.numpy()).predict(task[7:])
        assert_close(ours, torch.tensor(expected, dtype=torch.float32), atol=1e-4, rtol=1e-4)


def test_features_are_standardised_by_the_labelled_windows_of_their_task():
    features = torch.randn(2, 9, 5, generator=generator()) * 3 + 1
    features[..., 4] = 7.0
    scaled = _standardise(features, 4)
    assert_close(scaled[:, :4].mean(1), torch.zeros(2, 5), atol=1e-5, rtol=0)
    assert_close(scaled[:, :4, :4].std(1, correction=0), torch.ones(2, 4))
    assert (scaled[..., 4] == 0).all()  # constant
    changed = features.clone()
    changed[:, 6] += 100
    changed[1] *= 2
    again = _standardise(changed, 4)
    assert torch.equal(again[0, [0, 1, 2, 3, 4, 5, 7, 8]], scaled[0, [0, 1, 2, 3, 4, 5, 7, 8]])


def test_shares_of_kernels_have_thresholds_of_the_labelled_windows():
    z = torch.randn(2, 9, 128, generator=generator())
    shares = task_shares(z, 4, generator(1))
    assert shares.shape[:2] == (2, 9)
    assert shares.min() >= 0
    assert shares.max() <= 1
    assert shares.std() > 0.05
    changed = z.clone()
    changed[0, 5] = 0
    changed[1] = 0
    again = task_shares(changed, 4, generator(1))
    others = [0, 1, 2, 3, 4, 6, 7, 8]
    assert torch.equal(again[0, others], shares[0, others])
    assert not torch.equal(again[0, 5], shares[0, 5])
    assert not torch.equal(task_shares(z, 4, generator(2)), shares)


def test_every_weight_of_the_trunk_has_a_gradient(trunk):
    for block in trunk.encoder.blocks:
        torch.nn.init.ones_(block.norm2.weight)  # zero at first, so that nothing passes it
    EpisodeLoss(TINY)(trunk, *tasks(), generator()).mean().backward()
    without = [name for name, p in trunk.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without


def test_one_task_has_no_effect_on_another(trunk):
    trunk.eval()
    x, modality, labels, n_support = tasks()
    loss = EpisodeLoss(TINY)
    before = loss(trunk, x, modality, labels, n_support, generator())
    x = x.clone()
    x[2] = torch.randn(x[2].shape, generator=generator(5))
    after = loss(trunk, x, modality, labels, n_support, generator())
    assert_close(after[[0, 1, 3]], before[[0, 1, 3]], atol=1e-5, rtol=1e-5)
    assert abs(after[2] - before[2]) > 1e-2


def test_training_on_tasks_lowers_the_loss_on_others(trunk):
    loss = EpisodeLoss(TINY)

    @torch.no_grad()
    def on_others():
        trunk.eval()
        return loss(trunk, *tasks(16, seed=99), generator()).mean().item()

    before = on_others()
    optimizer = torch.optim.AdamW(trunk.parameters(), lr=3e-3)
    for step in range(15):
        trunk.train()
        optimizer.zero_grad()
        loss(trunk, *tasks(8, seed=step), generator(step)).mean().backward()
        optimizer.step()
    assert on_others() < 0.8 * before


def test_half_precision_of_the_trunk_does_not_reach_the_ridges(trunk):
    trunk.eval()
    loss = EpisodeLoss(TINY)
    exact = loss(trunk, *tasks(), generator())
    with torch.autocast("cpu", torch.bfloat16):
        rough = loss(trunk, *tasks(), generator())
    assert rough.dtype == torch.float32
    assert_close(rough, exact, atol=0.1, rtol=0.1)


@pytest.mark.parametrize("n_support", [2, 30])
def test_a_task_may_have_few_or_many_labels(trunk, n_support):
    losses = EpisodeLoss(TINY)(trunk, *tasks(n_support=n_support), generator())
    assert losses.shape == (4,)
    assert losses.isfinite().all()
