"""The masked auto-encoder: what it may see, what it has to predict, and which windows it is given.

A leak would make the task trivial without anything failing, so most tests ask for exact zeros.
"""

from dataclasses import fields, replace

import numpy as np
import pytest
import scipy.signal
import scipy.stats
import torch
from torch import nn
from torch.testing import assert_close

from citrus_sk.datasets import load_watch
from citrus_sk.nn import PRESETS, MaskedAutoencoder, NetworkConfig, TaskConfig, Trunk, draw_mask
from citrus_sk.nn.autoencoder import token_samples, token_spectra
from citrus_sk.nn.encoder import normalise
from citrus_sk.signals.recordings.arrays import array_corpus
from citrus_sk.signals.recordings.reading import Corpus
from citrus_sk.training.pretraining.sampler import (
    Crops,
    CropSampler,
    ResidentStore,
    Sampling,
    StreamingStore,
    resample_crops,
)

CPU = torch.device("cpu")
# Tokens of 16 samples, 16 of them to a window; trains in seconds.
SMALL = NetworkConfig(
    n_times=256,
    stem_width=8,
    stem_kernel=7,
    widths=(16,),
    kernels=(5,),
    strides=(2,),
    patch=4,
    dim=32,
    depth=2,
    heads=4,
    feedforward=64,
    dropout=0.0,
    modalities=("ACC", "GYR"),
)
FRAME = 64


def autoencoder(network=SMALL, **task):
    torch.manual_seed(0)
    return MaskedAutoencoder(network, TaskConfig(**({"frame": FRAME} | task))).eval()


def same_kind(n, kind=0):
    return torch.full((n,), kind)


@pytest.fixture(autouse=True)
def own_seed(same_global_state):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture(scope="module")
def recordings():
    """Whole real recordings, ``(n, 6, 896)``: acceleration and angular velocity."""
    X = load_watch(window_s=17.92, overlap=0).X
    X.flags.writeable = False
    return X


# --- what a prediction may see -------------------------------------------------------------------


class FrozenNorm(nn.Module):
    """GroupNorm with statistics that do not depend on the window."""

    def __init__(self, n_channels):
        super().__init__()
        self.weight = nn.Parameter(0.5 + torch.rand(n_channels, 1))
        self.bias = nn.Parameter(0.1 * torch.randn(n_channels, 1))

    def forward(self, x):
        return x * self.weight + self.bias


def freeze_norms(model):
    """The statistics of GroupNorm are the one path beside the receptive field.

    Also, blocks no longer begin as their skip, which would hide most of the receptive field.
    """
    for parent in list(model.trunk.encoder.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.GroupNorm):
                setattr(parent, name, FrozenNorm(child.num_channels))
    assert not any(isinstance(module, nn.GroupNorm) for module in model.modules())
    return model.double()


def latent_reach(model, z):
    """Samples before and behind its own first that a latent depends on, measured."""
    z = z.clone().requires_grad_()
    latent = model.trunk.encoder(z)
    step = latent.shape[-1] // 2
    (latent[0, :, step] @ torch.randn(latent.shape[1]).double()).backward()
    seen = z.grad[0].nonzero()[:, 0]
    own = step * model.network.latent_stride
    return own - int(seen.min()), int(seen.max()) - own


def gradient_at(model, z, mask, token):
    """Of one token's prediction with respect to the samples of the window."""
    z = z.clone().requires_grad_()
    prediction = model(z, mask, same_kind(1))[0, token]
    (prediction @ torch.randn(len(prediction)).to(prediction)).backward()
    return z.grad[0]


@pytest.fixture(scope="module")
def real_window(recordings):
    return normalise(torch.from_numpy(recordings[0, :1].copy()))[0].double()


@pytest.mark.parametrize("run", range(4, 9))
@pytest.mark.parametrize("preset", ["tiny", "small"])
def test_the_middle_of_a_hidden_run_has_no_influence_at_all_on_its_prediction(
    preset, run, real_window
):
    network = replace(PRESETS[preset], n_times=896, modalities=("ACC",))
    model = freeze_norms(autoencoder(network))
    before, behind = latent_reach(model, real_window)
    stride, first = network.token_stride, 10
    mask = torch.zeros(1, network.n_tokens, dtype=torch.bool)
    mask[0, first : first + run] = True
    gradient = gradient_at(model, real_window, mask, first + run // 2)
    # Beyond the last latent before the run and the first one behind it.
    start = first * stride - network.latent_stride + behind + 1
    stop = (first + run) * stride - before
    assert stop - start >= (run - 4) * stride + 1
    assert not gradient[start:stop].any()
    # No more is hidden than that, and nothing of what is visible.
    assert gradient[start - 1] != 0
    assert gradient[stop] != 0
    assert (gradient[: first * stride] != 0).all()
    assert (gradient[(first + run) * stride :] != 0).all()
    # The same samples matter as soon as they are shown.
    shown = gradient_at(model, real_window, torch.zeros_like(mask), first + run // 2)
    assert (shown[start:stop] != 0).all()


@pytest.mark.parametrize("preset", ["tiny", "small"])
def test_a_latent_sees_65_samples_to_each_side(preset, real_window):
    # `CitrusPretrainer` tells this to users, and runs of 4 tokens rest on it.
    model = freeze_norms(autoencoder(replace(PRESETS[preset], modalities=("ACC",))))
    assert max(latent_reach(model, real_window)) == 65


@pytest.mark.parametrize("run", [1, 2, 4, 8])
def test_with_samples_hidden_no_hidden_sample_has_any_influence(run, real_window):
    # Normalisation included: it sees zeros there.
    network = replace(PRESETS["tiny"], n_times=896, modalities=("ACC",))
    mask = draw_mask(1, network.n_tokens, 0.5, (run, run))
    under = mask.repeat_interleave(network.token_stride, 1)[0]
    token = int(mask[0].nonzero()[0])
    model = autoencoder(network, masking="input").double()
    gradient = gradient_at(model, real_window, mask, token)
    assert not gradient[under].any()
    assert (gradient[~under] != 0).all()
    shown = gradient_at(model, real_window, torch.zeros_like(mask), token)
    assert (shown[under] != 0).all()


@pytest.mark.parametrize("masking", ["latent", "input"])
def test_what_is_shown_of_other_windows_has_no_influence(masking):
    model = autoencoder(masking=masking)
    z = torch.randn(2, 256, requires_grad=True)
    mask = draw_mask(2, SMALL.n_tokens, 0.5, (2, 4))
    model(z, mask, torch.tensor([0, 1]))[0].sum().backward()
    assert z.grad[0].any()
    assert not z.grad[1].any()


# --- targets -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_times", "stride", "frame"),
    [(896, 32, 128), (896, 32, 64), (880, 32, 128), (896, 64, 128), (896, 16, 256), (896, 64, 16)],
)
def test_the_spectrum_of_a_token_is_that_of_scipy(n_times, stride, frame, real_window):
    z = real_window[:, :n_times]
    n_tokens = -(-n_times // stride)
    window = scipy.signal.get_window("hann", frame)
    transform = scipy.signal.ShortTimeFFT(window / np.linalg.norm(window), stride, fs=1)
    # Frames around the middles of the tokens, of the signal continued by its mirror image.
    ahead = -(-frame // stride)
    mirrored = np.pad(z[0].numpy(), ahead * stride, mode="reflect")[stride // 2 :]
    reference = np.abs(transform.stft(mirrored, ahead, ahead + n_tokens)).T
    found = token_spectra(z, n_tokens, stride, frame)[0]
    assert_close(found, torch.from_numpy(np.log(reference + 0.01)), atol=1e-9, rtol=0)


def test_noise_has_a_magnitude_of_one_and_silence_of_a_hundredth():
    z = torch.randn(200, 1024)
    power = token_spectra(z, 32, 32, 128).exp().square()[..., 1:-1].mean((0, 1))
    assert_close(power, torch.ones(63), atol=0.1, rtol=0)
    assert_close(token_spectra(0 * z, 32, 32, 128).exp(), torch.full((200, 32, 65), 0.01))


def test_the_samples_of_a_token_are_those_that_it_covers(real_window):
    z = real_window[:, :880]
    samples = token_samples(z, 28, 32).flatten(1)
    assert torch.equal(samples[:, :880], z)
    assert torch.equal(samples[:, 880:], z[:, 863:879].flip(1))


@pytest.mark.parametrize("objective", ["time", "freq", "both"])
def test_targets_are_standard_within_each_modality(objective, watch):
    model = autoencoder(replace(SMALL, n_times=128), objective=objective, frame=32)
    z = normalise(torch.from_numpy(watch.X.copy()))[0].flatten(0, 1)
    modality = torch.tensor([0, 0, 0, 1, 1, 1]).repeat(len(watch.X))
    z[modality == 1] = 3 * z[modality == 1] + 1
    model.set_target_statistics(z, modality)
    for kind in (0, 1):
        own = modality == kind
        targets = model.targets(z[own], modality[own])
        # Those of the other modality would not have done.
        assert (targets - model.targets(z[own], 1 - modality[own])).abs().max() > 0.01
        if objective != "freq":
            # All samples of a token alike: a sample's place in its token means nothing.
            time, targets = targets[..., :16], targets[..., 16:]
            assert time.mean().item() == pytest.approx(0, abs=1e-4)
            assert time.std().item() == pytest.approx(1, abs=1e-3)
        if objective != "time":
            assert targets.shape[2] == 17
            assert_close(targets.mean((0, 1)), torch.zeros(17), atol=1e-4, rtol=0)
            assert_close(targets.std((0, 1)), torch.ones(17), atol=1e-3, rtol=0)

    other = autoencoder(replace(SMALL, n_times=128), objective=objective, frame=32)
    assert not torch.equal(other.targets(z, modality), model.targets(z, modality))
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.targets(z, modality), model.targets(z, modality))


def test_statistics_of_a_modality_that_is_not_there_stay_as_they_were():
    model = autoencoder()
    model.set_target_statistics(3 * torch.randn(50, 256), same_kind(50, 1))
    assert not model.target_mean[0].any()
    assert (model.target_sd[0] == 1).all()
    assert model.target_mean[1].all()


# --- which tokens are hidden ---------------------------------------------------------------------


def runs(row):
    """Lengths of the runs of hidden tokens."""
    edges = torch.cat([torch.zeros(1), row.float(), torch.zeros(1)]).diff()
    return ((edges == -1).nonzero() - (edges == 1).nonzero())[:, 0].tolist()


def many_masks(n_tokens, ratio, run_length, n_draws=100):
    return torch.cat([draw_mask(20, n_tokens, ratio, run_length) for _ in range(n_draws)])


@pytest.mark.parametrize("n_tokens", [28, 32, 47])
@pytest.mark.parametrize("ratio", [0.15, 0.3, 0.5, 0.75, 0.95])
def test_every_window_hides_the_share_that_was_asked_for(n_tokens, ratio):
    masks = many_masks(n_tokens, ratio, (4, 8), 10)
    assert (masks.sum(1) == round(ratio * n_tokens)).all()
    assert masks.float().mean().item() == pytest.approx(ratio, abs=0.5 / n_tokens)


@pytest.mark.parametrize("n_tokens", [32, 47])
@pytest.mark.parametrize("ratio", [0.3, 0.5, 0.75])
@pytest.mark.parametrize("run_length", [(4, 8), (2, 4), (1, 3)])
def test_runs_are_as_long_as_was_asked_for_and_vary(n_tokens, ratio, run_length):
    masks = many_masks(n_tokens, ratio, run_length)
    lengths = [length for row in masks for length in runs(row)]
    assert min(lengths) >= run_length[0]
    assert max(lengths) <= run_length[1]
    if ratio * n_tokens > sum(run_length):  # so that a longest and a shortest run fit
        assert set(lengths) == set(range(run_length[0], run_length[1] + 1))


def test_every_token_is_hidden_at_times_and_shown_at_others():
    masks = many_masks(32, 0.5, (4, 8))
    assert (masks.float().mean(0) > 0.1).all()
    assert (masks.float().mean(0) < 0.9).all()
    assert len(masks.unique(dim=0)) > 0.5 * len(masks)


@pytest.mark.parametrize(
    ("n_tokens", "ratio", "run_length", "expected"),
    [
        (32, 0.1, (4, 8), {3}),  # less than the shortest run: one run, shorter
        (32, 0.95, (4, 8), {10}),  # two visible tokens part three runs, longer
        (10, 0.9, (1, 1), {4, 5}),  # one visible token parts two runs
        (26, 0.5, (10, 11), {6, 7}),  # neither one run nor two: two that are too short
    ],
)
def test_where_runs_do_not_fit_there_are_as_few_as_fit(n_tokens, ratio, run_length, expected):
    masks = many_masks(n_tokens, ratio, run_length, 10)
    assert (masks.sum(1) == round(ratio * n_tokens)).all()
    assert {length for row in masks for length in runs(row)} == expected


@pytest.mark.parametrize("n_tokens", [2, 3, 5, 32])
@pytest.mark.parametrize("ratio", [1e-6, 0.02, 0.5, 0.95, 1.0])
@pytest.mark.parametrize("run_length", [(1, 1), (4, 8), (100, 200)])
def test_never_all_and_never_none(n_tokens, ratio, run_length):
    masks = many_masks(n_tokens, ratio, run_length, 10)
    assert masks.any(1).all()
    assert not masks.all(1).any()


def test_masks_are_those_of_the_generator():
    def draw(seed):
        generator = torch.Generator().manual_seed(seed)
        return torch.cat([draw_mask(8, 32, 0.5, (4, 8), generator) for _ in range(3)])

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))


# --- the loss ------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", ["time", "freq", "both"])
def test_the_loss_counts_hidden_tokens_only(objective):
    model = autoencoder(objective=objective)
    mask = draw_mask(3, 16, 0.5, (2, 4))
    targets = torch.randn(3, 16, model.target_mean.shape[1])
    prediction = torch.randn_like(targets, requires_grad=True)
    loss = model.loss(prediction, targets, mask)
    loss.sum().backward()
    assert not prediction.grad[~mask].any()
    assert prediction.grad[mask].all()

    change = 5 * torch.randn_like(targets)
    at_visible, at_hidden = change * ~mask[..., None], change * mask[..., None]
    assert torch.equal(model.loss(prediction + at_visible, targets, mask), loss)
    assert torch.equal(model.loss(prediction, targets + at_visible, mask), loss)
    assert (model.loss(prediction + at_hidden, targets, mask) != loss).all()
    assert (model.loss(prediction, targets + at_hidden, mask) != loss).all()


def test_a_window_counts_alike_however_much_of_it_is_hidden():
    model = autoencoder()
    mask = torch.arange(16) < torch.tensor([[1], [7], [15]])
    targets = torch.zeros(3, 16, model.task.n_bins)
    # Smooth L1 at a distance of 3 is 2.5.
    assert_close(model.loss(targets + 3, targets, mask), torch.full((3,), 2.5))


def test_each_of_two_objectives_has_half_the_say():
    # Although a token has 16 samples and 33 bins.
    model = autoencoder(objective="both")
    mask = draw_mask(3, 16, 0.5, (2, 4))
    targets = torch.randn(3, 16, 16 + 33)
    in_time, in_freq = targets.clone(), targets.clone()
    in_time[..., :16] += 3
    in_freq[..., 16:] -= 3
    for prediction in (in_time, in_freq):
        assert_close(model.loss(prediction, targets, mask), torch.full((3,), 1.25))


def test_both_targets_are_those_of_either_side_by_side(watch):
    z = normalise(torch.from_numpy(watch.X[:4, 0].copy()))[0]
    network = replace(SMALL, n_times=128)
    time, freq, both = (
        autoencoder(network, objective=name).raw_targets(z) for name in ("time", "freq", "both")
    )
    assert torch.equal(torch.cat([time, freq], 2), both)


# --- something is learned, and from the context --------------------------------------------------


def tones(n, low, high):
    """Random frequency (cycles a sample) and phase, with a little noise."""
    frequency = torch.empty(n, 1).uniform_(low, high)
    phase = 2 * torch.pi * torch.rand(n, 1)
    x = torch.sin(2 * torch.pi * frequency * torch.arange(SMALL.n_times) + phase)
    return normalise(x + 0.02 * torch.randn_like(x))[0], frequency[:, 0]


class Trained:
    """A small auto-encoder after some seconds of training on tones, and what it makes of others."""

    def __init__(self, objective, masking, low, high, n_steps):
        with torch.random.fork_rng():
            model = autoencoder(objective=objective, masking=masking).train()
            model.set_target_statistics(tones(512, low, high)[0], same_kind(512))
            optimizer = torch.optim.AdamW(model.parameters(), 1e-2, weight_decay=0.01)
            schedule = torch.optim.lr_scheduler.OneCycleLR(
                optimizer, 1e-2, n_steps, pct_start=0.1, cycle_momentum=False
            )
            for _ in range(n_steps):
                z, kind = tones(32, low, high)[0], same_kind(32)
                mask = draw_mask(32, SMALL.n_tokens, 0.5, (2, 4))
                loss = model.loss(model(z, mask, kind), model.targets(z, kind), mask).mean()
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
            self.model = model.eval()
            self.z, self.frequency = tones(256, low, high)
            self.mask = draw_mask(256, SMALL.n_tokens, 0.5, (2, 4))
        self.targets = model.targets(self.z, same_kind(256))

    @torch.no_grad()
    def predict(self, context):
        return self.model(context, self.mask, same_kind(256))

    def loss(self, prediction):
        return self.model.loss(prediction, self.targets, self.mask).mean().item()


@pytest.fixture(scope="module")
def spectral():
    return Trained("freq", "latent", 2 / FRAME, 28 / FRAME, 200)


@pytest.fixture(scope="module")
def temporal():
    return Trained("time", "input", 1 / 128, 1 / 64, 400)


def test_the_frequency_of_a_new_tone_is_recovered_where_it_is_hidden(spectral):
    model = spectral.model
    found = spectral.predict(spectral.z) * model.target_sd[0] + model.target_mean[0]
    away = (found.argmax(2) - FRAME * spectral.frequency[:, None]).abs()[spectral.mask]
    assert (away <= 1).float().mean() > 0.9
    # The spectrum itself, not its peak alone: two fifths of what knowing no tone would cost.
    assert spectral.loss(spectral.predict(spectral.z)) < 0.4 * spectral.loss(
        torch.zeros_like(spectral.targets)
    )


def test_the_hidden_samples_of_a_new_slow_tone_are_recovered(temporal):
    error = (temporal.predict(temporal.z) - temporal.targets)[temporal.mask]
    assert error.square().mean() < 0.5 * temporal.targets[temporal.mask].square().mean()


@pytest.mark.parametrize("trained", ["spectral", "temporal"])
def test_another_tone_as_context_is_of_no_use(trained, request):
    trained = request.getfixturevalue(trained)
    hidden = trained.mask.repeat_interleave(SMALL.token_stride, 1)
    # Hidden samples of the window itself between visible ones of another.
    mixed = torch.where(hidden, trained.z, trained.z.roll(1, 0))
    true = trained.loss(trained.predict(trained.z))
    assert trained.loss(trained.predict(mixed)) > 2 * true
    assert trained.loss(trained.predict(trained.z.roll(1, 0))) > 2 * true


# --- modalities ----------------------------------------------------------------------------------


def masked_loss(model, n, kind, known=None):
    z, mask = torch.randn(n, 256), draw_mask(n, SMALL.n_tokens, 0.5, (2, 4))
    modality = same_kind(n, kind)
    known = None if known is None else torch.full((n,), known)
    return model.loss(model(z, mask, modality, known), model.targets(z, modality), mask).mean()


@pytest.mark.parametrize("kind", [0, 1])
def test_each_modality_has_a_decoder_of_its_own(kind):
    model = autoencoder()
    masked_loss(model, 4, kind).backward()
    for parameter in (model.decoder_weight, model.decoder_bias):
        assert parameter.grad[kind].any()
        assert not parameter.grad[1 - kind].any()


@pytest.mark.parametrize("kind", [0, 1])
@pytest.mark.parametrize("known", [True, False, None])
def test_only_the_embedding_that_was_told_learns(kind, known):
    model = autoencoder()
    masked_loss(model, 4, kind, known).backward()
    learned = model.trunk.transformer.modalities.grad.any(1)
    assert learned.nonzero()[:, 0].tolist() == [kind + 1 if known else 0]


def test_the_modality_is_told_window_by_window():
    model = autoencoder()
    z, mask = torch.randn(4, 256), draw_mask(4, SMALL.n_tokens, 0.5, (2, 4))
    modality, known = torch.tensor([0, 1, 0, 1]), torch.tensor([True, True, False, False])
    prediction = model(z, mask, modality, known)
    for row in range(4):
        one = slice(row, row + 1)
        assert_close(model(z[one], mask[one], modality[one], known[one]), prediction[one])


def test_a_trunk_that_is_not_told_takes_the_unknown_embedding():
    torch.manual_seed(0)
    trunk, z = Trunk(SMALL).eval(), torch.randn(3, 256)
    nn.init.normal_(trunk.transformer.modalities)
    _, untold = trunk(z)
    assert_close(untold, trunk(z, torch.zeros(3, dtype=torch.long))[1])
    assert not torch.allclose(untold, trunk(z, torch.ones(3, dtype=torch.long))[1], atol=0.01)
    untold.sum().backward()
    assert trunk.transformer.modalities.grad.any(1).tolist() == [True, False, False]


# --- simultaneous channels -----------------------------------------------------------------------


def seen_by(model, row, windows):
    """The rows of a batch on which the prediction of one depends."""
    z = torch.randn(len(windows), 256, requires_grad=True)
    mask = draw_mask(len(windows), SMALL.n_tokens, 0.5, (2, 4))
    told = None if windows[0] is None else torch.tensor(windows)
    prediction = model(z, mask, same_kind(len(windows)), window=told)[row]
    (prediction * torch.randn_like(prediction)).sum().backward()
    return z.grad.any(1).nonzero()[:, 0].tolist()


@pytest.mark.parametrize("masking", ["latent", "input"])
def test_channels_attend_to_those_of_their_own_window_alone(masking):
    model = autoencoder(cross_channel=True, masking=masking)
    windows = [7, 3, 7, 7, 3, 0]
    assert seen_by(model, 0, windows) == [0, 2, 3]
    assert seen_by(model, 4, windows) == [1, 4]
    assert seen_by(model, 5, windows) == [5]
    # Not told what was recorded together, and without that layer, every channel is alone.
    assert seen_by(model, 0, [None] * 6) == [0]
    assert seen_by(autoencoder(masking=masking), 0, windows) == [0]


def test_channels_attend_to_one_another_at_the_same_time():
    layer = autoencoder(cross_channel=True).cross_channel
    sequence, window = torch.randn(3, 16, 32), torch.tensor([0, 0, 1])
    before = layer(sequence, window)
    changed = sequence.clone()
    changed[1, 5] += 1 + torch.randn(32)
    moved = (layer(changed, window) - before).abs().amax(2) > 1e-5
    assert moved.nonzero().tolist() == [[0, 5], [1, 5]]


# --- the sampler ---------------------------------------------------------------------------------


def sampler(corpus, seed=0, **settings):
    usual = {
        "n_times": 256,
        "n_tokens": 16,
        "batch_size": 64,
        "crop": (0.5, 1.5),
        "flip": False,
        "mask_ratio": 0.5,
        "run_length": (2, 4),
        "unknown": 0.5,
        "simultaneous": 1,
    }
    modalities = tuple(corpus.modalities)
    return CropSampler(corpus, modalities, Sampling(**(usual | settings)), seed, CPU)


def joined(*corpora):
    recordings = [recording for corpus in corpora for recording in corpus.recordings]
    return Corpus(recordings, corpora[0].sfreq, corpora[0].report)


@pytest.fixture(scope="module")
def uneven(recordings):
    """Forty recordings of acceleration, and two of angular velocity."""
    return joined(
        array_corpus(recordings[:40, :3], modality="ACC", sfreq=50.0),
        array_corpus(recordings[:2, 3:], modality="GYR", sfreq=50.0),
    )


def ramp(*shape):
    """A channel whose value tells the sample, so that a crop tells where it is from."""
    return np.broadcast_to(np.arange(shape[-1], dtype=np.float32), shape).copy()


def crop_lengths(x):
    """Of crops of a ramp, by their slope; the ends of a crop may be held."""
    return (x[:, 200] - x[:, 50]) / 150 * x.shape[1]


def same_batch(one, other):
    return all(
        torch.equal(getattr(one, field.name), getattr(other, field.name)) for field in fields(one)
    )


def test_a_batch_is_a_function_of_seed_and_step_alone(uneven):
    settings = {"flip": True, "simultaneous": 2}
    first = sampler(uneven, 5, **settings)
    forwards = [first(step) for step in range(4)]
    torch.manual_seed(99)
    again = sampler(uneven, 5, **settings)
    for step in (3, 1, 2, 0, 2):
        assert same_batch(again(step), forwards[step])
    assert not torch.equal(forwards[0].x, forwards[1].x)
    assert not torch.equal(forwards[0].mask, forwards[1].mask)
    assert not torch.equal(sampler(uneven, 6, **settings)(0).x, forwards[0].x)
    # Nor are the batches of the next seed those of the next step.
    assert not torch.equal(sampler(uneven, 6, **settings)(0).x, forwards[1].x)


@pytest.mark.parametrize("n_parts", [2, 3])
@pytest.mark.parametrize("simultaneous", [1, 2])
def test_the_parts_of_several_processes_are_the_whole_batch(uneven, n_parts, simultaneous):
    draw = sampler(uneven, flip=True, simultaneous=simultaneous)
    whole = draw(3)
    parts = [draw(3, (rank, n_parts)) for rank in range(n_parts)]
    assert max(len(part.x) for part in parts) < len(whole.x)
    order = torch.cat([part.window for part in parts]).argsort(stable=True)
    for field in fields(whole):
        together = torch.cat([getattr(part, field.name) for part in parts])[order]
        assert torch.equal(together, getattr(whole, field.name)), field.name
    # Channels that attend to one another are never apart.
    assert not set(parts[0].window.tolist()) & set(parts[1].window.tolist())


@pytest.mark.parametrize("batch_size", [1, 2, 63, 64])
def test_modalities_have_the_same_weight_whatever_their_hours(uneven, batch_size):
    draw = sampler(uneven, batch_size=batch_size)
    counts = np.zeros(2)
    for step in range(40):
        batch = draw(step)
        assert batch.weight.sum().item() == pytest.approx(1, abs=1e-5)
        counts += np.bincount(batch.modality, minlength=2)
        if batch_size > 1:
            for kind in (0, 1):
                own = batch.weight[batch.modality == kind]
                assert own.sum().item() == pytest.approx(0.5, abs=1e-5)
                assert len(own) in (batch_size // 2, -(-batch_size // 2))
    # Which of them gets the odd window is left to chance.
    assert counts.min() / counts.sum() > (0.25 if batch_size == 1 else 0.49)


def test_a_data_set_counts_by_the_square_root_of_its_hours():
    high, low = array_corpus(500 + 0.01 * ramp(1, 1, 2000)), array_corpus(-ramp(9, 1, 2000) - 1)
    named = [replace(recording, dataset="another") for recording in low.recordings]
    draw = sampler(joined(high, Corpus(named, None, low.report)), n_times=64)
    share = torch.cat([draw(step).x.mean(1) > 0 for step in range(40)]).float().mean()
    assert share.item() == pytest.approx(0.25, abs=0.04)


@pytest.mark.parametrize("simultaneous", [1, 2])
def test_crops_stay_inside_of_what_is_usable(simultaneous):
    rng = np.random.default_rng(0)
    X = 20 + rng.standard_normal((3, 2, 4000)).astype(np.float32)
    X[:, :, 2000:] *= -1
    X[:, 0, 1800:2100] = X[:, 1, 1900:2200] = 1e6  # stuck
    corpus = array_corpus(X)

    def extremes(corpus):
        draw = sampler(corpus, simultaneous=simultaneous)
        x = torch.cat([draw(step).x for step in range(20)])
        return x.min().item(), x.max().item()

    low, high = extremes(corpus)
    assert -30 < low < -20  # both sides of the gap are drawn from
    assert 20 < high < 30
    everything = (np.array([[0, 4000]]),) * 2
    careless = [replace(recording, good=everything) for recording in corpus.recordings]
    assert extremes(Corpus(careless, None, corpus.report))[1] == 1e6


@pytest.mark.parametrize("crop", [(0.5, 1.5), (0.1, 1.0), (0.8, 1.2), (1.0, 1.0)])
def test_crops_are_as_long_as_was_asked_for(crop):
    draw = sampler(array_corpus([ramp(1, 20_000)]), crop=crop)
    lengths = torch.cat([crop_lengths(draw(step).x) for step in range(20)])
    shortest, longest = (round(share * 256) for share in crop)
    assert lengths.min() > shortest - 0.1
    assert lengths.max() < longest + 0.1
    assert_close(lengths, lengths.round(), atol=0.1, rtol=0)
    if shortest < longest:
        uniform = scipy.stats.uniform(np.log(shortest), np.log(longest / shortest))
        assert scipy.stats.kstest(lengths.log().numpy(), uniform.cdf).pvalue > 0.001


def test_recordings_shorter_than_a_crop_are_cropped_as_well():
    draw = sampler(array_corpus([ramp(1, 100)]))
    lengths = torch.cat([crop_lengths(draw(step).x) for step in range(10)])
    assert lengths.min() == pytest.approx(50, abs=1)
    assert lengths.max() == pytest.approx(100, abs=1)


def test_flipping_turns_half_of_the_windows_and_changes_nothing_else(uneven):
    plain, flipped = sampler(uneven), sampler(uneven, flip=True)
    turned = []
    for step in range(20):
        x, other = plain(step).x, flipped(step).x
        sign = torch.where((x == other).all(1), 1.0, -1.0)[:, None]
        assert torch.equal(sign * x, other)
        turned += (sign < 0).flatten().tolist()
    assert np.mean(turned) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("unknown", [0.0, 0.3, 1.0])
def test_the_modality_is_kept_back_as_often_as_was_asked_for(uneven, unknown):
    draw = sampler(uneven, unknown=unknown)
    known = torch.cat([draw(step).known for step in range(20)])
    assert known.float().mean().item() == pytest.approx(1 - unknown, abs=0.05 * (0 < unknown < 1))


def test_channels_drawn_together_are_of_one_time_and_one_modality(recordings):
    X = ramp(4, 5, 3000) * np.array([1, 2, 3, 4, 5], np.float32)[:, None]
    corpus = array_corpus(X, modality="ACC")
    kinds = ("ACC", "ACC", "GYR", "ACC", "ACC")
    corpus = Corpus(
        [replace(recording, modalities=kinds) for recording in corpus.recordings],
        None,
        corpus.report,
    )
    batch = sampler(corpus, simultaneous=3)(0)
    assert len(batch.x) > 30
    for window in batch.window.unique():
        own = batch.window == window
        x, kind = batch.x[own], batch.modality[own]
        assert len(kind.unique()) == 1
        assert len(x) == (1 if kind[0] else 3)
        # The same ramp, once the channel's factor is out.
        factor = x[:, -1] - x[:, 0]
        factor = (factor / factor.min())[:, None]
        assert_close(x / factor, (x / factor)[:1].expand_as(x), rtol=1e-4, atol=1e-2)
        assert len(factor.unique()) == len(x)


def test_a_message_tells_where_windows_are_from():
    draw = sampler(array_corpus([ramp(1, 3000), ramp(1, 5000)]))
    batch, messages = draw(4), draw.describe(4)
    assert len(messages) == len(batch.x)
    for x, message in zip(batch.x, messages, strict=True):
        assert f"from sample {round(x[0].item() - 0.2)} to" in message


# --- where the samples lie -----------------------------------------------------------------------


def unequal(dtype):
    """Recordings of unequal lengths and numbers of channels, each with a scale of its own."""
    rng = np.random.default_rng(0)
    shapes = [(1, 500), (3, 900), (2, 300)]
    found = []
    for number, shape in enumerate(shapes):
        corpus = array_corpus(rng.integers(-3000, 3000, (1, *shape)).astype(dtype))
        scale = rng.uniform(0.001, 2, shape[0]).astype(np.float32)
        found.append(replace(corpus.recordings[0], scale=scale, name=f"array {number}"))
    return found, array_corpus(rng.standard_normal((1, 1, 500))).report


@pytest.mark.parametrize("dtype", ["int16", "int32", "float32", "float64", ">f4"])
def test_resident_and_streamed_recordings_are_the_same(dtype):
    found, report = unequal(dtype)
    draw = sampler(Corpus(found, None, report), simultaneous=2)
    streamed = draw(0)
    draw.store = ResidentStore(found, CPU)
    resident = draw(0)
    assert resident.x.dtype == torch.float32
    assert same_batch(streamed, resident)


@pytest.mark.parametrize("make", [StreamingStore, lambda found: ResidentStore(found, CPU)])
def test_a_store_gives_the_samples_of_crops_in_physical_units(make):
    found, _ = unequal("int16")
    columns = [[0, 1, 2, 1], [0, 2, 1, 1], [490, 0, 7, 3], [10, 900, 2, 5], [0] * 4, range(4)]
    crops = Crops(*(np.array(column, np.int64) for column in columns))
    padded = make(found)(crops)
    assert padded.shape == (4, 901)
    for row, number, channel, first, length in zip(padded, *columns[:4], strict=True):
        physical = found[number].data[channel] * found[number].scale[channel]
        assert_close(row[:length].numpy(), physical[first : first + length])
        assert (row[length:] == row[length - 1]).all()


# --- bringing crops to one length ----------------------------------------------------------------


def stretched(signals, n_times):
    lengths = np.array([len(signal) for signal in signals])
    rows = [np.pad(signal, (0, lengths.max() + 1 - len(signal)), "edge") for signal in signals]
    return resample_crops(
        torch.from_numpy(np.stack(rows).astype(np.float32)), lengths, n_times
    ).numpy()


def interpolated(signal, n_times):
    n = len(signal)
    return np.interp(np.arange(n_times) * n / n_times, np.arange(n), signal)


def slow_sine(n, phase):
    return np.sin(2 * np.pi * np.arange(n) / 100 + phase)


def test_crops_that_grow_are_interpolated_linearly():
    rng = np.random.default_rng(0)
    signals = [rng.standard_normal(n) for n in (2, 3, 100, 200, 255, 256)]
    expected = np.stack([interpolated(signal, 256) for signal in signals])
    np.testing.assert_allclose(stretched(signals, 256), expected, atol=1e-4)


def test_a_slow_sine_keeps_its_values_whatever_else_is_in_the_batch():
    lengths = [26, 100, 256, 257, 300, 384]
    signals = [slow_sine(n, phase) for phase, n in enumerate(lengths)]
    expected = np.stack([interpolated(signal, 256) for signal in signals])
    found = stretched(signals, 256)
    # Crops that shrink are averaged over two points: 3e-4 of a sine with a period of 100 samples,
    # and an eighth of a step at the ends, where one of the points is missing.
    np.testing.assert_allclose(found[:, 1:-1], expected[:, 1:-1], atol=1e-3)
    np.testing.assert_allclose(found, expected, atol=0.02)
    for signal, row in zip(signals, found, strict=True):
        np.testing.assert_allclose(stretched([signal], 256)[0], row, atol=1e-6)


def test_what_the_new_grid_cannot_show_is_dampened():
    fast = np.sin(0.9 * np.pi * np.arange(384))
    # Two neighbouring points are averaged, and interpolation itself takes something.
    assert np.std(stretched([fast], 256)[0]) < 0.5 * np.std(interpolated(fast, 256))
