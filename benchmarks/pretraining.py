"""What pre-training has taught a checkpoint, beside random weights of the same architecture.

    python benchmarks/pretraining.py --checkpoints eeg-freq multi-freq --corpus RECORDINGS \
        --sets FOLDER --folds 2

Prints, for each checkpoint and for random weights:

- the masked loss on the people whom the checkpoint has not seen (with --corpus, the recordings it
  was trained on). Random weights stand for a network that knows only the mean of the targets;
- the effective rank of its token means over those windows, the exponential of the entropy of the
  normalised singular values (Roy and Vetterli, 2007);
- macro-F1 of a linear probe at fractions of the labels, once on what the trunk alone tells and once
  on all of the read-out, whose scalars, waveform and covariance need no training.

--sets is a folder of ``.npz`` files with ``X`` (n_windows, n_chans, n_times), ``y`` and, where they
have them, ``groups`` and ``scale``, one factor a channel; without it, the demo's smart-watch
recordings. Of five folds, by group where every class has as many groups, --folds are used; at most
1000 windows are trained on and 500 tested on. Nothing is chosen by these numbers.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from labelled_sets import draws, read_sets
from sklearn.metrics import f1_score

from citrus_sk import SignalAligner, list_pretrained, load_checkpoint, read_corpus
from citrus_sk.checkpoints.registry import trunk_state
from citrus_sk.nn import CitrusNetwork, MaskedAutoencoder
from citrus_sk.nn.encoder import normalise
from citrus_sk.nn.heads import LinearHead
from citrus_sk.training.labelled import label_windows
from citrus_sk.training.logistic import fit_probe
from citrus_sk.training.nets import infer
from citrus_sk.training.pretraining.run import masked_loss
from citrus_sk.training.pretraining.sampler import CropSampler, Sampling

CPU = torch.device("cpu")
BATCH = 128  # of held-out windows, of which 8 give the loss and 16 the rank
# The views that the trunk's weights have a part in: segments, tokens, latent means and sds.
TRUNK_VIEWS = 4


# --- the objective itself ------------------------------------------------------------------------


def held_out_sampler(checkpoint, corpus) -> CropSampler:
    training = checkpoint.info["training"]
    held_out = corpus.select(checkpoint.network.modalities).of_subjects(
        training["held_out_subjects"]
    )
    network, task = checkpoint.network, checkpoint.task
    sampling = Sampling(
        network.n_times, network.n_tokens, BATCH, tuple(training["crop"]), False,
        task.mask_ratio, task.run_length, training["unknown"], 4 if task.cross_channel else 1,
    )  # fmt: skip
    return CropSampler(held_out, network.modalities, sampling, 0, CPU)


def autoencoder(checkpoint, seed: int | None) -> MaskedAutoencoder:
    """With the checkpoint's weights, or with random ones and its statistics of the targets."""
    torch.manual_seed(0 if seed is None else seed)
    model = MaskedAutoencoder(checkpoint.network, checkpoint.task)
    kept = ("target_mean", "target_sd") if seed is not None else tuple(checkpoint.tensors)
    model.load_state_dict({name: checkpoint.tensors[name] for name in kept}, strict=seed is None)
    return model.eval()


@torch.no_grad()
def effective_rank(model: MaskedAutoencoder, sampler: CropSampler) -> float:
    windows = torch.cat([sampler(2**41 + number).x for number in range(16)])
    features = torch.cat([model.trunk(normalise(part)[0])[1].mean(1) for part in windows.split(64)])
    singular = torch.linalg.svdvals((features - features.mean(0)).double())
    share = singular / singular.sum()
    return float(torch.exp(-(share * share.clamp_min(1e-12).log()).sum()))


# --- what it is good for -------------------------------------------------------------------------


def probe_scores(networks: dict, X, y, groups, fractions, n_folds: int) -> list[tuple]:
    """Rows of network, views, fraction, fold, macro-F1."""
    rows, cases = [], draws(y, groups, fractions, n_folds)
    used = np.unique(np.concatenate([np.r_[train, test] for *_, train, test in cases]))
    aligned = SignalAligner().fit_transform(X[used])
    classes, codes = np.unique(y[used], return_inverse=True)
    for name, make in networks.items():
        network = make(X.shape[1])
        features = infer(network, aligned, CPU, 16, features=True)
        sizes = network.readout.views
        for fold, fraction, train, test in cases:
            train, test = np.searchsorted(used, train), np.searchsorted(used, test)
            for views, chosen in (("trunk", sizes[:TRUNK_VIEWS]), ("all", sizes)):
                part = features[:, : sum(chosen)]
                labelled = label_windows(aligned[train], codes[train], classes)
                head = LinearHead(chosen, len(classes))
                own = part[train][labelled.rows]
                head.set_statistics(own, torch.tensor(labelled.weights))
                weight, bias = fit_probe(head.standardise(own).numpy(), labelled, 0)
                guessed = (head.standardise(part[test]).numpy() @ weight.T + bias).argmax(1)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    score = f1_score(codes[test], guessed, average="macro")
                rows.append((name, views, fraction, fold, score))
    return rows


def makers(checkpoints: dict, n_seeds: int) -> dict:
    """Functions that build a network for a number of channels, by name."""

    def make(config, weights, seed):
        def build(n_chans):
            torch.manual_seed(seed)
            network = CitrusNetwork(config, n_chans, 1)
            if weights is not None:
                network.trunk.load_state_dict(weights)
            return network

        return build

    some = next(iter(checkpoints.values())).network
    result = {f"random {seed}": make(some, None, seed) for seed in range(n_seeds)}
    for name, checkpoint in checkpoints.items():
        result[name] = make(checkpoint.network, trunk_state(checkpoint, "hybrid"), 0)
    return result


# --- the table -----------------------------------------------------------------------------------


def summary(rows: list[tuple], fractions) -> dict[tuple[str, str], list[float]]:
    """Mean over the sets of the mean over folds (and seeds), for each network and its views."""
    table: dict = {}
    for name, network, views, fraction, _, score in rows:
        key = network.split(" ")[0], views
        table.setdefault(key, {}).setdefault(fraction, {}).setdefault(name, []).append(score)
    return {
        key: [float(np.mean([np.mean(v) for v in by[f].values()])) for f in fractions]
        for key, by in table.items()
    }


def print_table(rows, fractions) -> None:
    print(f"\nmacro-F1 of the linear probe   {'  '.join(f'{f:>6.0%}' for f in fractions)}")
    for (network, views), means in summary(rows, fractions).items():
        numbers = "  ".join(f"{mean:6.3f}" for mean in means)
        print(f"{network[:20]:<20} {views:<9} {numbers}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--checkpoints", nargs="+", default=list_pretrained(), metavar="NAME")
    parser.add_argument("--corpus", type=Path, nargs="+", metavar="PATH")
    parser.add_argument("--sets", type=Path, metavar="FOLDER")
    parser.add_argument("--fractions", type=float, nargs="+", default=[0.01, 0.05, 0.2, 1.0])
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=2, help="random networks to average over")
    parser.add_argument("--cache", type=Path, help="folder for converted recordings")
    parser.add_argument("--csv", type=Path, help="where to write every single score")
    arguments = parser.parse_args()
    names = {Path(name).stem if "/" in name else name: name for name in arguments.checkpoints}
    checkpoints = {short: load_checkpoint(name) for short, name in names.items()}

    if arguments.corpus:
        corpus = read_corpus(arguments.corpus, cache=arguments.cache)
        print(f"{'':<20} masked loss, random   effective rank, random")
        for name, checkpoint in checkpoints.items():
            sampler = held_out_sampler(checkpoint, corpus)
            models = [autoencoder(checkpoint, seed) for seed in (None, 0)]
            loss, chance = (masked_loss(model, sampler, CPU)["all"] for model in models)
            rank, other = (effective_rank(model, sampler) for model in models)
            print(
                f"{name:<20} {loss:11.3f}  {chance:6.3f}   {rank:14.1f}  {other:6.1f}", flush=True
            )

    rows, networks = [], makers(checkpoints, arguments.seeds)
    for name, (X, y, groups, _) in read_sets(arguments.sets).items():
        start = time.time()
        found = probe_scores(networks, X, y, groups, arguments.fractions, arguments.folds)
        rows += [(name, *row) for row in found]
        print(f"{name}: {time.time() - start:.0f} s", file=sys.stderr)
    print_table(rows, arguments.fractions)
    if arguments.csv:
        with arguments.csv.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["set", "network", "views", "fraction", "fold", "macro_f1"])
            writer.writerows(rows)


if __name__ == "__main__":
    main()
