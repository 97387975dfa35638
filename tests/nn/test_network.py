"""The network: properties of its parts, in torch alone."""

import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from citrus_sk.nn import PRESETS, CitrusNetwork
from citrus_sk.nn.encoder import normalise
from citrus_sk.nn.heads import LinearHead
from citrus_sk.nn.readout import log_band_power, log_covariance, segment_means


def network(n_chans=2, preset="tiny", **sizes):
    torch.manual_seed(0)
    return CitrusNetwork(replace(PRESETS[preset], **sizes), n_chans, 3).eval()


@pytest.fixture(autouse=True)
def own_seed(same_global_state):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def test_nn_needs_torch_alone():
    code = (
        "import sys, types; package = types.ModuleType('citrus_sk'); "
        "package.__path__ = [sys.argv[1]]; sys.modules['citrus_sk'] = package; "
        "import citrus_sk.nn; print(sorted({'sklearn', 'skorch', 'scipy'} & set(sys.modules)))"
    )
    import citrus_sk

    done = subprocess.run(
        [sys.executable, "-c", code, citrus_sk.__path__[0]], capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("backbone", ["hybrid", "conv"])
@pytest.mark.parametrize("n_times", [2, 31, 32, 33, 47, 1000, 1024, 3000])
def test_any_length_goes_through(backbone, n_times):
    out = network(backbone=backbone)(torch.randn(2, 2, n_times))
    assert out.shape == (2, 3)
    assert torch.isfinite(out).all()


def test_a_hundred_thousand_samples_go_through():
    with torch.no_grad():
        assert network(n_chans=1).features(torch.randn(1, 1, 100_000)).isfinite().all()


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_reads_its_own_grid_without_interpolating_positions(preset):
    model = network(preset=preset)
    transformer = model.trunk.transformer
    n_times = model.config.n_times
    latent = model.trunk.encoder(torch.randn(1, n_times))
    assert transformer.patches(latent).shape[1] == len(transformer.positions)


def test_positions_of_another_length_keep_the_ends_and_the_order():
    transformer = network().trunk.transformer
    ramp = torch.linspace(0, 1, len(transformer.positions))[:, None]
    with torch.no_grad():
        transformer.positions.copy_(ramp.expand_as(transformer.positions))
    longer = transformer.positions_for(100)[:, 0]
    assert (longer.diff() >= 0).all()
    assert_close(longer[[0, -1]], torch.tensor([0.0, 1.0]))


# --- normalisation -------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_windows_of_any_scale_are_normalised_and_the_scale_is_kept_aside(scale):
    x = torch.randn(4, 2, 500) * 3 * scale
    z, scalars = normalise(x)
    assert_close(z.mean(-1), torch.zeros(4, 2), atol=1e-5, rtol=0)
    assert_close(z.std(-1, correction=0), torch.ones(4, 2), atol=1e-4, rtol=0)
    assert_close(scalars[..., 3], x.mean(-1))
    assert_close(scalars[..., 0], (x / scale).std(-1, correction=0).log() + np.log(scale))


def test_roughness_tells_fast_from_slow_whatever_the_amplitude():
    time = torch.arange(1000.0)
    x = torch.stack([torch.sin(0.05 * time), 100 * torch.sin(0.5 * time)])
    roughness = normalise(x)[1][:, 1]
    assert roughness[1] - roughness[0] == pytest.approx(np.log(10), abs=0.05)


@pytest.mark.parametrize("level", [0.0, 0.1, -1e12, 1e-12, 3.3e5])
def test_a_constant_channel_is_zeros_and_finite_scalars(level):
    z, scalars = normalise(torch.full((1, 1, 777), level))
    assert not z.any()
    assert scalars.isfinite().all()


def test_a_weak_signal_on_a_large_offset_is_no_constant():
    x = 1000 + 0.1 * torch.sin(torch.arange(500.0))
    assert normalise(x)[0].std() == pytest.approx(1, abs=0.05)


# --- read-out ------------------------------------------------------------------------------------


def test_the_features_tell_when_something_happens():
    model = network(n_chans=1, backbone="conv")
    x = 0.01 * torch.randn(2, 1, 1024)
    burst = torch.hann_window(128) * torch.sin(torch.arange(128.0))
    x[0, 0, 100:228] += burst
    x[1, 0, 800:928] += burst
    with torch.no_grad():
        segments = model.features(x)[:, : model.readout.views[0]].reshape(2, 8, -1)
        moved = (segments[0] - segments[1]).norm(dim=1)
    # The segments of the two bursts differ far more than those where both are at rest.
    assert min(moved[1], moved[6]) > 3 * moved[[3, 4]].max()


@pytest.mark.parametrize("n_times", [2, 5, 64, 1024, 3000])
def test_band_power_has_a_band_for_each_rhythm_whatever_the_length(n_times):
    cycles = max(1, n_times // 8)
    z = 2**0.5 * torch.cos(2 * torch.pi * cycles * torch.arange(n_times) / n_times)
    power = log_band_power(z, torch.tensor(0.0))
    assert power.shape == (24,)
    assert power.isfinite().all()
    edges = (n_times // 2 + 1) ** (torch.arange(25) / 24)
    place = torch.searchsorted(edges, torch.tensor(cycles + 0.5)) - 1
    assert power[place] > power.max() - 0.5
    if n_times >= 64:
        assert power[place] > power[:12].max() + 4
    louder = log_band_power(z, torch.tensor(10.0).log())
    assert_close(louder - power, torch.full((24,), 2 * math.log(10)), atol=1e-4, rtol=0)


def test_band_power_has_as_much_say_as_all_of_the_read_out():
    model = CitrusNetwork(PRESETS["tiny"], 3, 2, kernel_times=128).eval()
    x = torch.randn(200, 3, 128)
    model.fit_kernels(x, 0)
    with torch.no_grad():
        features = model.features(x)
        model.head.set_statistics(features, torch.ones(200))
        parts = model.head.standardise(features).split(model.head.views, dim=1)
    sizes = [float(part.square().sum(1).mean()) for part in parts]
    n = len(model.readout.views)
    assert sizes[n] == pytest.approx(sum(sizes[:n]), rel=0.1)
    assert sum(sizes) == pytest.approx(1, abs=0.1)


def test_segments_are_means_of_equal_stretches():
    sequence = torch.arange(16.0)[None, :, None]
    assert_close(segment_means(sequence, 4)[0, :, 0], torch.tensor([1.5, 5.5, 9.5, 13.5]))


def test_log_covariance_is_the_matrix_logarithm():
    x = torch.randn(1, 4, 300, dtype=torch.float64)
    x[:, 1] += 0.8 * x[:, 0]
    centred = x[0] - x[0].mean(-1, keepdim=True)
    covariance = centred @ centred.T / 300
    covariance /= covariance.diagonal().max()
    logarithm = torch.zeros(4, 4, dtype=x.dtype)
    row, column = torch.triu_indices(4, 4)
    logarithm[row, column] = log_covariance(x)[0] / torch.where(row == column, 1.0, 2**0.5)
    logarithm[column, row] = logarithm[row, column]
    assert_close(torch.matrix_exp(logarithm), covariance + 1e-3 * torch.eye(4, dtype=x.dtype))


def test_log_covariance_tells_channels_in_phase_from_channels_out_of_phase():
    signal = torch.randn(1, 500)
    together, against = torch.cat([signal, signal]), torch.cat([signal, -signal])
    values = log_covariance(torch.stack([together, against]))
    assert_close(values[0, 1], -values[1, 1])
    assert values[0, 1].abs() > 1


def test_log_covariance_of_silent_channels_is_finite():
    assert log_covariance(torch.zeros(2, 3, 100)).isfinite().all()


def test_the_mixer_changes_nothing_until_it_is_trained_and_then_mixes_channels():
    model = network(n_chans=2)
    segments = torch.randn(3, 2, 8, model.config.sequence_width)
    assert_close(model.readout.mixer(segments), segments)
    torch.nn.init.normal_(model.readout.mixer.project.weight)
    changed = segments.clone()
    changed[:, 1] += torch.randn_like(changed[:, 1])
    difference = model.readout.mixer(changed)[:, 0] - model.readout.mixer(segments)[:, 0]
    assert difference.abs().max() > 1e-3


def test_the_mixer_is_computed_only_where_it_has_an_effect(monkeypatch):
    model = network(n_chans=2)
    x, calls = torch.randn(3, 2, 256), []
    mixer = model.readout.mixer
    forward = mixer.forward
    monkeypatch.setattr(mixer, "forward", lambda segments: calls.append(1) or forward(segments))
    model.features(x).sum().backward()
    assert len(calls) == 1  # it is trained with the rest
    with torch.inference_mode():
        skipped = model.features(x)
        assert len(calls) == 1
        with monkeypatch.context() as patch:
            patch.setattr(model.readout, "_mixes", lambda: True)
            assert model.features(x).equal(skipped)
        assert len(calls) == 2
        mixer.project.bias[0] = 1.0
        assert not model.features(x).equal(skipped)
    assert len(calls) == 3


def test_the_sd_of_latents_is_that_of_torch():
    model = network(n_chans=1)
    z, scalars = normalise(torch.randn(4, 1, 256))
    latent = (
        3 + torch.randn(4, model.config.latent_width, 20) * torch.logspace(-2, 2, 4)[:, None, None]
    )
    sequence = torch.zeros(4, 8, model.config.sequence_width)
    features = model.readout(z, z, latent, sequence, scalars)
    sizes = model.readout.views
    found = features.split(sizes, dim=1)[3]
    assert_close(found, (latent.var(-1, correction=0) + 1e-6).sqrt())


def test_every_view_has_the_same_weight_in_the_head():
    head = LinearHead([300, 3], 2)
    features = torch.randn(5000, 303) * torch.logspace(-3, 3, 303)
    head.set_statistics(features, torch.ones(5000))
    standard = head.standardise(features)
    assert_close(standard[:, :300].square().sum(1).mean(), torch.tensor(0.5), atol=0.02, rtol=0)
    assert_close(standard[:, 300:].square().sum(1).mean(), torch.tensor(0.5), atol=0.02, rtol=0)


def test_a_feature_that_never_varied_in_training_cannot_explode():
    head = LinearHead([2], 2)
    head.set_statistics(torch.tensor([[1.0, 5.0], [2.0, 5.0]]), torch.ones(2))
    assert head.standardise(torch.tensor([[1.5, 1e9]]))[0, 1] == 0


@pytest.mark.parametrize("n_chans", [1, 2, 40, 64])
def test_the_declared_sizes_of_the_views_are_those_of_the_features(n_chans):
    model = network(n_chans=n_chans)
    with torch.no_grad():
        assert model.features(torch.randn(2, n_chans, 64)).shape == (2, model.n_features)


def test_channels_do_not_see_each_other_in_the_trunk():
    model = network(n_chans=3)
    x = torch.randn(2, 3, 256, requires_grad=True)
    z, _ = normalise(x)
    _, sequence = model.trunk(z.flatten(0, 1))
    sequence.reshape(2, 3, -1)[:, 0].sum().backward()
    assert x.grad[:, 0].abs().sum() > 0
    assert not x.grad[:, 1:].any()


def test_gradients_reach_every_parameter():
    model = network(n_chans=2).train()
    for module in (model.head.linear, model.readout.mixer.project):
        torch.nn.init.normal_(module.weight, std=0.1)
    model(torch.randn(4, 2, 256)).square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
