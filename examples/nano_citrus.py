"""
CiTrus in one page
==================

Recordings are cheap and labels are not. CiTrus first learns from recordings without labels: it
hides parts of a signal and predicts them from the rest. After that it needs fewer labels to become
a classifier. This page is the whole method in torch and numpy, to be read from top to bottom. It
runs in about two minutes. The method is that of Geenjaar and Lu (`arXiv:2412.11695
<https://arxiv.org/abs/2412.11695>`_), who publish no sizes and no learning rates: all numbers
below are our own choice.
"""

import copy

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from citrus_sk.datasets import load_watch

torch.manual_seed(0)
torch.set_num_threads(1)  # for a network as small as this one, more threads gain little
N_TIMES = 512  # samples in a window
STRIDE, PATCH = 32, 4  # samples and latent steps in a token

# %%
# People to learn from, and people to test on
# -------------------------------------------
# Ten people do seven exercises, and a smart watch records six channels of their movement. We learn
# from six people. The other four are for the test: a model looks better than it is when it is
# tested on people whom it has seen before. A network works best on windows of the length that it
# was trained on, so CiTrus resamples every window to that length. Here 256 samples become 512.

watch = load_watch(overlap=0)
X = F.interpolate(torch.from_numpy(watch.X), N_TIMES, mode="linear")
y, people = torch.from_numpy(np.unique(watch.y, return_inverse=True)[1]), watch.groups.astype(int)
known, new = np.flatnonzero(people <= 6), np.flatnonzero(people > 6)
print(f"{len(known)} windows of six people to learn from, {len(new)} of four people to test on")

# %%
# Step 1: a convolution finds local shapes
# ----------------------------------------
# Each channel goes through the network alone, so what was learned on one channel serves any number
# of them. Every channel of a window is brought to mean 0 and standard deviation 1. Then a
# convolution with residual blocks turns it into latents, one step for 8 samples.


def normalise(x):
    sd = x.std(-1, keepdim=True, correction=0).clamp_min(1e-12)
    return ((x - x.mean(-1, keepdim=True)) / sd).clamp(-10, 10)


class ResidualBlock(nn.Module):
    """Two convolutions whose output is added to their input. At the start they add nothing."""

    def __init__(self, n_in, n_out, kernel, stride):
        super().__init__()
        self.stride = stride
        self.conv1 = nn.Conv1d(n_in, n_out, kernel, stride, padding=kernel // 2, bias=False)
        self.norm1 = nn.GroupNorm(8, n_out)
        self.conv2 = nn.Conv1d(n_out, n_out, kernel, padding=kernel // 2, bias=False)
        self.norm2 = nn.GroupNorm(8, n_out)
        nn.init.zeros_(self.norm2.weight)
        self.skip = nn.Identity() if n_in == n_out else nn.Conv1d(n_in, n_out, 1, bias=False)

    def forward(self, x):
        out = self.norm2(self.conv2(F.gelu(self.norm1(self.conv1(x)))))
        return F.gelu(out + self.skip(F.avg_pool1d(x, self.stride)))


def make_encoder(stem, widths):
    first = nn.Conv1d(1, stem, 15, stride=2, padding=7, bias=False)
    sizes = zip((stem, *widths), widths, (7, 5, 3), (2, 2, 1), strict=False)
    blocks = [ResidualBlock(*size) for size in sizes]
    return nn.Sequential(first, nn.GroupNorm(8, stem), nn.GELU(), *blocks)


# %%
# Step 2: a transformer relates distant moments
# ---------------------------------------------
# Four latent steps make a token. Attention lets every token draw on all others. It ignores their
# order, so a learned vector for its position is added to each token. A token can be hidden: another
# learned vector, the mask token, then takes its place. CiTrus hides what comes out of the
# convolution; the signal itself stays as it is.


class Trunk(nn.Module):
    """Convolution and transformer: what pre-training trains and what we keep of it."""

    def __init__(self, stem=16, widths=(32, 64, 64), dim=64, depth=3, heads=4, n_times=N_TIMES):
        super().__init__()
        self.encoder = make_encoder(stem, widths)
        self.embed = nn.Linear(widths[-1] * PATCH, dim)
        self.positions = nn.Parameter(0.02 * torch.randn(n_times // STRIDE, dim))
        how = {"activation": F.gelu, "batch_first": True, "norm_first": True}
        layers = [nn.TransformerEncoderLayer(dim, heads, 2 * dim, **how) for _ in range(depth)]
        self.layers, self.norm = nn.Sequential(*layers), nn.LayerNorm(dim)

    def forward(self, z, mask=None, mask_token=None):
        """``(batch, n_times)`` to latents and tokens, ``(batch, n_steps, width)`` each."""
        latents = self.encoder(z[:, None]).mT
        tokens = self.embed(latents.unflatten(1, (-1, PATCH)).mT.flatten(2))
        if mask is not None:
            tokens = torch.where(mask[..., None], mask_token, tokens)
        return latents, self.norm(self.layers(tokens + self.positions))


# %%
# Step 3: hide half of the tokens and predict their spectrum
# ----------------------------------------------------------
# Tokens are hidden in runs of four. A single one would be too easy to guess, since the convolution
# has mixed some of it into its neighbours. The network does not predict the hidden samples but
# their spectrum: how strong each frequency is, on a logarithmic scale. A token is short, so its
# spectrum is taken from a frame of 128 samples around it. (To predict the samples is another form
# of CiTrus; the package has both.)


def draw_mask(n_windows, n_tokens, run=4):
    """True where hidden. Runs of hidden tokens and single visible ones, in random order."""
    n_runs = n_tokens // 2 // run
    order = torch.rand(n_windows, n_tokens - n_runs * (run - 1)).argsort(1)
    is_run = order.flatten() < n_runs
    return is_run.repeat_interleave(torch.where(is_run, run, 1)).view(n_windows, n_tokens)


def token_spectra(z, frame=128):
    """``(batch, n_times)`` to ``(batch, n_tokens, frame // 2 + 1)``."""
    edge = (frame - STRIDE) // 2
    frames = F.pad(z[:, None], (edge, edge), mode="reflect")[:, 0].unfold(1, frame, STRIDE)
    window = torch.hann_window(frame)
    return (torch.fft.rfft(frames * (window / window.norm())).abs() + 0.01).log()


class MaskedAutoencoder(nn.Module):
    """A trunk, the mask token, and a linear decoder from tokens to spectra."""

    def __init__(self, trunk, n_frequencies=65):
        super().__init__()
        self.trunk, dim = trunk, trunk.embed.out_features
        self.mask_token = nn.Parameter(0.02 * torch.randn(dim))
        self.decoder = nn.Linear(dim, n_frequencies)
        self.mean, self.sd = torch.zeros(n_frequencies), torch.ones(n_frequencies)

    def forward(self, z, mask):
        """The predicted spectrum of every token, and the true one, in sd from the average."""
        prediction = self.decoder(self.trunk(z, mask, self.mask_token)[1])
        return prediction, (token_spectra(z) - self.mean) / self.sd


def train(batch_loss, parameters, rates, n_steps):
    """AdamW. The learning rates rise for a tenth of the steps, then fall to zero."""
    groups = [{"params": list(each)} for each in parameters]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.05)
    how = {"pct_start": 0.1, "cycle_momentum": False}
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, n_steps, **how)
    for _ in range(n_steps):
        optimizer.zero_grad()
        batch_loss().backward()
        nn.utils.clip_grad_norm_([p for group in groups for p in group["params"]], 1.0)
        optimizer.step()
        schedule.step()


# %%
# The pre-training uses all windows of the six people and no label.

random_trunk = Trunk()
autoencoder = MaskedAutoencoder(copy.deepcopy(random_trunk))
unlabelled, unseen = normalise(X[known]).flatten(0, 1), normalise(X[new]).flatten(0, 1)
spectra, hidden = token_spectra(unlabelled), draw_mask(len(unseen), N_TIMES // STRIDE)
autoencoder.mean, autoencoder.sd = spectra.mean((0, 1)), spectra.std((0, 1))


def reconstruction_loss():
    z = unlabelled[torch.randint(len(unlabelled), (64,))]
    mask = draw_mask(len(z), N_TIMES // STRIDE)
    prediction, truth = autoencoder(z, mask)
    return F.smooth_l1_loss(prediction[mask], truth[mask])  # visible tokens do not count


train(reconstruction_loss, [autoencoder.parameters()], [1e-3], n_steps=300)
with torch.no_grad():
    guess, truth = autoencoder.eval()(unseen, hidden)
errors = [F.smooth_l1_loss(each[hidden], truth[hidden]) for each in (guess, 0 * guess)]
print("error at hidden tokens of new people: {:.3f} (average spectrum: {:.3f})".format(*errors))

# %%
# One channel of a new person. The bars mark the hidden tokens; below, their spectra are predicted.
# The network knows which frequencies are strong, but not the detail.

row, filled = 1203, torch.where(hidden[..., None], guess, truth)
edges = np.flatnonzero(np.diff(hidden[row].int(), prepend=0, append=0)) * STRIDE / 100
figure, axes = plt.subplots(2, sharex=True, figsize=(7, 4), layout="constrained")
for ax, title, panel in zip(axes, ("true", "predicted"), (truth, filled), strict=True):
    levels = (panel[row] * autoencoder.sd + autoencoder.mean).numpy()
    ax.imshow(levels.T[:24], origin="lower", aspect="auto", extent=(0, 5.12, 0, 18.75))
    ax.hlines([17.8] * (len(edges) // 2), edges[::2], edges[1::2], color="#D55E00", lw=6)
    ax.set(title=title, xlabel="time (s)", ylabel="frequency (Hz)")
    ax.label_outer()

# %%
# Step 4: a few labels
# --------------------
# The decoder goes. Each channel is summarised over time: the mean token in each of eight segments
# and over the whole window, the mean and the spread of the latents. A linear layer on these
# features scores the exercises. A *linear probe* trains only this layer. *Fine-tuning* goes on from
# there and trains everything; the trunk, which has learned something already, at a lower rate.


class Classifier(nn.Module):
    def __init__(self, trunk, n_chans, n_classes):
        super().__init__()
        self.trunk, dim, width = trunk, trunk.embed.out_features, trunk.embed.in_features // PATCH
        # All features of one kind together count as much as all of another kind.
        sizes = [n_chans * n for n in (8 * dim, dim, width, width)]
        self.weight = torch.cat([torch.full((n,), (n * len(sizes)) ** -0.5) for n in sizes])
        self.mean, self.sd = torch.zeros(sum(sizes)), torch.ones(sum(sizes))
        self.linear = nn.Linear(sum(sizes), n_classes)

    def features(self, x):
        latents, tokens = self.trunk(normalise(x).flatten(0, 1))
        segments = F.adaptive_avg_pool1d(tokens.mT, 8).mT
        spread = (latents.var(1, correction=0) + 1e-6).sqrt()
        parts = segments, segments.mean(1), latents.mean(1), spread
        return torch.cat([part.reshape(len(x), -1) for part in parts], dim=1)

    def standardise(self, features):
        return (features - self.mean) / self.sd * self.weight

    def forward(self, x):
        return self.linear(self.standardise(self.features(x)))


def linear_probe(model, rows):
    """Logistic regression on features of labelled windows; the trunk stays as it is."""
    with torch.no_grad():
        features = model.eval().features(X[rows])
        model.mean, model.sd = features.mean(0), features.std(0, correction=0).clamp_min(1e-6)
        features = model.standardise(features)
    weights = list(model.linear.parameters())
    optimizer = torch.optim.LBFGS(weights, max_iter=100, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        misfit = F.cross_entropy(model.linear(features), y[rows], reduction="sum")
        total = misfit + weights[0].square().sum() / 20
        total.backward()
        return total

    optimizer.step(loss)


def fine_tune(model, rows, n_steps):
    def loss():
        batch = rows[torch.randint(len(rows), (16,))]
        return F.cross_entropy(model(X[batch]), y[batch], label_smoothing=0.05)

    model.train()
    train(loss, [model.trunk.parameters(), model.linear.parameters()], [3e-4, 1e-3], n_steps)


def accuracies(model):
    with torch.no_grad():
        scores = torch.cat([model.eval()(part) for part in X[new].split(64)])
    right = (scores.argmax(1) == y[new]).numpy()
    return [right[people[new] == person].mean() for person in np.unique(people[new])]


# %%
# Step 5: does it help?
# ---------------------
# A trunk with random weights is the control: the same features, but nothing learned. We draw five
# labelled windows of each exercise, twice, and then use all labels of the six people.
#
# When we ran it, pre-training gained several points in every line. Fine-tuning the pre-trained
# trunk gained one more with many labels and lost one with few. Four people are few, and we saw
# their scores when we chose the sizes on this page, so do not read much into it. The results in
# the documentation come from ten data sets; there, the random convolutions that the package sets
# beside the network gain more than pre-training does.

results, rng = {}, np.random.default_rng(0)
for n_labels, n_draws, n_steps in ((5, 2, 20), (len(known), 1, 80)):
    for _ in range(n_draws):
        order = rng.permutation(known)
        rows = np.concatenate([order[y[order] == code][:n_labels] for code in range(7)])
        for weights, trunk in (("random", random_trunk), ("pre-trained", autoencoder.trunk)):
            model = Classifier(copy.deepcopy(trunk), n_chans=6, n_classes=7)
            linear_probe(model, rows)
            results.setdefault((len(rows), weights, "probe"), []).append(accuracies(model))
            fine_tune(model, rows, n_steps)
            results.setdefault((len(rows), weights, "fine-tuned"), []).append(accuracies(model))

print("labels, weights, training: mean accuracy on new people (worst to best; guessing: 14 %)")
for key, draws in results.items():
    each = np.mean(draws, axis=0)
    print(*key, f"{each.mean():.0%} ({each.min():.0%} to {each.max():.0%})", sep=", ")
plt.show()
