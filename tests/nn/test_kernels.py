"""Random kernels beside the network: what they answer to, and what they may not depend on."""

import builtins
import itertools
import pickle

import joblib
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from torch.testing import assert_close

from citrus_sk import CitrusClassifier
from citrus_sk.nn import kernels
from citrus_sk.nn.kernels import KernelBank, RandomKernels, kernel_shapes, longest_run_share


def signal(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def probe():
    def make(**parameters):
        settings = {"pretrained": None, "preset": "tiny", "random_state": 0}
        return CitrusClassifier(**(settings | parameters))

    return make


def test_84_kernels_of_9_taps_that_sum_to_zero():
    kernels = kernel_shapes()
    assert kernels.shape == (84, 9)
    assert len({tuple(kernel) for kernel in kernels.tolist()}) == 84
    assert_close(kernels.sum(1), torch.zeros(84))


def test_a_feature_is_the_share_of_samples_above_a_threshold():
    x = signal(6, 1, 200)
    bank = KernelBank(1, 200)
    bank.fit(x, seed=0)
    features = bank(x).reshape(6, len(bank.dilations), -1, 84)
    for i, dilation in enumerate(bank.dilations):
        answers = F.conv1d(x, kernel_shapes()[:, None], dilation=dilation, padding=4 * dilation)
        for j in range(features.shape[2]):
            share = (answers > bank.thresholds[i, :, j, None]).float().mean(-1)
            assert_close(features[:, i, j], share, atol=0.03, rtol=0)


def test_thresholds_split_the_training_windows():
    x = signal(10, 2, 128)
    bank = KernelBank(2, 128)
    bank.fit(x, seed=0)
    shares = bank(x).mean(0)
    assert 0.4 < shares.mean() < 0.6
    assert shares.min() < 0.2
    assert shares.max() > 0.8


@pytest.mark.parametrize("n_chans", [1, 4])
def test_thresholds_of_a_kernel_are_responses_to_one_training_window(n_chans):
    x = signal(6, n_chans, 100)
    bank = KernelBank(n_chans, 100)
    bank.fit(x, seed=0)
    chosen = set()
    for i, dilation in enumerate(bank.dilations):
        shapes = kernel_shapes()[:, None] * bank.channels[i, :, :, None]
        responses = F.conv1d(x, shapes, dilation=dilation, padding=4 * dilation)
        distances = (responses[:, :, None] - bank.thresholds[i, :, :, None]).abs().amin(-1)
        windows = (distances.amax(-1) < 1e-5).nonzero()
        assert sorted(windows[:, 1].tolist()) == list(range(84))  # one window for each kernel
        chosen |= set(windows[:, 0].tolist())
    assert chosen == set(range(6))


@pytest.mark.parametrize("n_times", [2, 8, 9, 10, 1000])
@pytest.mark.parametrize("n_chans", [1, 3, 20])
def test_any_shape_is_taken(n_chans, n_times):
    x = signal(3, n_chans, n_times)
    kernels = RandomKernels(n_chans, n_times)
    kernels.fit(x, x, seed=0)
    features = kernels(x, x)
    assert features.shape == (3, sum(kernels.views))
    assert ((features >= 0) & (features <= 1)).all()


def test_every_kernel_listens_to_a_channel_and_some_to_several():
    bank = KernelBank(4, 100)
    bank.fit(signal(5, 4, 100), seed=0)
    n_heard = bank.channels.sum(-1)
    assert n_heard.min() == 1
    assert n_heard.max() == 4


def test_kernels_on_fewer_channels_keep_their_shares():
    x = signal(8, 4, 400)
    bank = KernelBank(4, 400, runs=True)
    bank.fit(x, seed=0)
    before, alone = bank(x), bank.channels.sum(-1) == 1
    alone &= bank.channels[..., 2] == 1
    left = bank.leave_out([2])
    after = bank(x)
    assert_close(left.split(bank.views)[1].bool(), ~alone.flatten())
    several = left.bool() & (before != after).any(0)
    assert several.sum() > 0.2 * len(left)
    assert (before - after)[:, several].mean(0).abs().mean() < 0.015
    x[:, 2] = 100
    assert_close(bank(x), after)


def test_amplitude_is_seen_by_the_level_bank_alone():
    x = signal(5, 1, 100)
    kernels = RandomKernels(1, 100)
    kernels.fit(x, x, seed=0)
    one = kernels(x, x).split(kernels.views, dim=1)
    two = kernels(3 * x, x).split(kernels.views, dim=1)
    of_shape, of_change = len(kernels.shape.views), len(kernels.change.views)
    for place, (before, after) in enumerate(zip(one, two, strict=True)):
        if place < of_shape + of_change:
            assert_close(before, after)
        else:
            assert (before - after).abs().max() > 0.1


def runs_by_hand(row):
    return max((len(list(run)) for on, run in itertools.groupby(row) if on), default=0)


@pytest.mark.parametrize("n_times", [1, 2, 50])
@pytest.mark.parametrize("often", [0.0, 0.2, 0.9, 1.0])
def test_the_longest_run_of_each_row_is_found(n_times, often):
    above = torch.rand(4, 3, n_times, generator=torch.Generator().manual_seed(0)) < often
    expected = [[runs_by_hand(row.tolist()) / n_times for row in window] for window in above]
    assert_close(longest_run_share(above), torch.tensor(expected))


def test_longest_runs_distinguish_one_long_event_from_many_short_ones():
    # Both are above their mean for half of the time: the shares are alike, the runs are not.
    x = torch.sin(2 * torch.pi * torch.tensor([1.0, 16.0])[:, None] * torch.arange(512) / 512)
    bank = KernelBank(1, 512, runs=True)
    bank.fit(x[:, None], seed=0)
    shares, runs = bank(x[:, None]).split(bank.views, dim=1)
    assert runs[0].mean() > 2 * runs[1].mean()
    assert shares[0].mean() < 1.5 * shares[1].mean()


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_units_do_not_matter(tones, probe, factor):
    X, y = tones
    one = probe().fit(X[::2], y[::2]).predict_proba(X[1::2])
    other = probe().fit(factor * X[::2], y[::2]).predict_proba(factor * X[1::2])
    assert_allclose(one, other, atol=5e-3)


def test_a_window_does_not_know_of_those_beside_it(tones, probe):
    X, y = tones
    clf = probe().fit(X, y)
    together = clf.predict_proba(X)
    alone = np.concatenate([clf.predict_proba(X[[i]]) for i in range(len(X))])
    assert_allclose(together, alone, atol=1e-4)


def test_a_dead_channel_and_a_flat_window_are_harmless(tones, probe):
    X, y = tones
    X = np.stack([X.reshape(len(X), -1), np.full((len(X), X.shape[-1]), 7.0)], axis=1)
    clf = probe().fit(X[::2], y[::2])
    assert clf.score(X[1::2], y[1::2]) == 1
    assert np.isfinite(clf.predict_proba(np.zeros_like(X[:2]))).all()


def test_the_default_probes_and_a_copy_has_the_same_bits(tones, probe, tmp_path):
    X, y = tones
    clf = probe().fit(X[::2], y[::2])
    assert clf.strategy_ == "linear-probe"
    assert clf.score(X[1::2], y[1::2]) == 1
    joblib.dump(clf, tmp_path / "clf.joblib")
    again = joblib.load(tmp_path / "clf.joblib")
    assert_array_equal(clf.predict_proba(X), again.predict_proba(X))
    assert_array_equal(clone(clf).fit(X[::2], y[::2]).predict_proba(X), clf.predict_proba(X))


def test_fine_tuning_starts_from_the_fused_head(tones, probe):
    X, y = tones
    clf = probe(strategy="probe-then-finetune", max_epochs=1, learning_rate=1e-9, mixup=0.0)
    tuned = clf.fit(X[::2], y[::2]).predict_proba(X)
    probed = probe(strategy="linear-probe").fit(X[::2], y[::2]).predict_proba(X)
    assert_allclose(tuned, probed, atol=1e-3)


def test_a_parameter_set_after_the_fit_does_not_break_the_copy(tones, probe):
    X, y = tones
    clf = probe().fit(X, y).set_params(random_kernels=False)
    copy = pickle.loads(pickle.dumps(clf))
    assert_array_equal(copy.predict_proba(X), clf.predict_proba(X))


@pytest.mark.parametrize("wrong", ["yes", None, 2.5])
def test_random_kernels_is_a_bool(tones, probe, wrong):
    with pytest.raises(TypeError, match="Expected random_kernels to be True or False"):
        probe(random_kernels=wrong).fit(*tones)


# --- compiled by numba ---------------------------------------------------------------------------


@pytest.mark.parametrize("runs", [False, True])
@pytest.mark.parametrize("n_times", [1, 2, 9, 100, 1000])
@pytest.mark.parametrize("n_chans", [1, 3, 12])
def test_compiled_features_are_those_of_torch(monkeypatch, n_chans, n_times, runs):
    x = signal(5, n_chans, n_times).cumsum(-1) / n_times**0.5
    bank = KernelBank(n_chans, n_times, runs=runs)
    bank.fit(x, seed=0)
    compiled = bank(x)
    monkeypatch.setattr(kernels, "_compiled", lambda: None)
    by_torch = bank(x)
    shares, n = bank.views[0], x.shape[-1]
    # A rounding error of a response is 50 times as large on the ramp, which has a length of 0.02.
    tolerance = 5e-6 + 4e-5 / n
    assert_close(compiled[:, :shares], by_torch[:, :shares], atol=tolerance, rtol=0)
    # A response that is equal to a threshold up to rounding may divide a run.
    moved = ((compiled - by_torch)[:, shares:].abs() > 0.5 / n).float()
    assert moved.sum() <= 1e-3 * moved.numel()


def test_compiled_features_have_the_same_bits_with_any_number_of_threads_and_windows():
    x = signal(7, 2, 300)
    bank = KernelBank(2, 300, runs=True)
    bank.fit(x, seed=0)
    before, features = torch.get_num_threads(), []
    try:
        for n_threads in (1, 2, 3):
            torch.set_num_threads(n_threads)
            features.append(bank(x))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(features[0], other) for other in features[1:])
    assert torch.equal(features[0], torch.cat([bank(window[None]) for window in x]))
    assert torch.equal(features[0], bank(x.mT.contiguous().mT))  # not contiguous


@pytest.mark.parametrize("error", [ImportError, RuntimeError])  # RuntimeError: nowhere to cache
def test_without_numba_torch_computes_the_features(monkeypatch, error):
    def fail(name, *args):
        if name == "compiled":
            raise error
        return real(name, *args)

    real = builtins.__import__
    kernels._compiled.cache_clear()
    monkeypatch.setattr(builtins, "__import__", fail)
    try:
        assert kernels._compiled() is None
    finally:
        kernels._compiled.cache_clear()
