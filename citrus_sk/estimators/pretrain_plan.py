"""Conversion of a pre-trainer's parameters to settings, sampler and run file.

The argument ``params`` of each function is a namespace of ``get_params()``.
"""

from __future__ import annotations

import math
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from .._utils.devices import draw_seed
from .._utils.validation import check_choice, check_number, check_pair, first_few
from ..nn import PRESETS, MaskedAutoencoder, NetworkConfig, TaskConfig
from ..signals.recordings.corpus import Corpus
from ..training.draws import own_draws
from ..training.pretraining.episodes import EpisodeSampler
from ..training.pretraining.processes import distributed_part, same_everywhere
from ..training.pretraining.run import FEWEST_STEPS, N_ROWS, PretrainRun, PretrainSettings
from ..training.pretraining.run_file import RunFile, digest_of, run_to_end, saved_seed
from ..training.pretraining.sampler import CropSampler, Sampling
from .pretrain_info import settings_of
from .pretrain_start import Start

OBJECTIVES = ("time", "freq", "both")
_SIMULTANEOUS = 4  # channels of a recording that are drawn together for cross-channel attention
_RATE, _RATE_CONTINUED = 1e-3, 3e-4  # of learning_rate="auto"


def with_rate(parameters: Mapping[str, Any]) -> SimpleNamespace:
    """Make the namespace of the parameters, with the number for ``learning_rate="auto"``."""
    params = SimpleNamespace(**parameters)
    if isinstance(params.learning_rate, str) and params.learning_rate == "auto":
        params.learning_rate = _RATE if params.pretrained is None else _RATE_CONTINUED
    return params


def check_parameters(params: SimpleNamespace) -> None:
    """Raise TypeError or ValueError if a constructor parameter is not valid."""
    check_choice("objective", params.objective, OBJECTIVES)
    check_choice("preset", params.preset, tuple(PRESETS))
    check_choice("masking", params.masking, ("latent", "input"))
    check_choice("precision", params.precision, ("auto", "float32", "bfloat16"))
    for name in ("flip", "cross_channel", "compile", "resume"):
        if not isinstance(getattr(params, name), bool | np.bool_):
            raise TypeError(f"Expected {name} to be True or False, got {getattr(params, name)!r}.")
    _check_modalities(params.modalities)
    if not isinstance(params.run_file, str | os.PathLike | None):
        raise TypeError(f"Expected run_file to be a path or None, got {params.run_file!r}.")
    check_number("verbose", params.verbose, Integral)
    check_number("n_passes", params.n_passes, open_low=True)
    check_number("max_steps", params.max_steps, Integral, low=1, alternatives=(None,))
    check_number("max_minutes", params.max_minutes, open_low=True, alternatives=(None,))
    check_number("batch_size", params.batch_size, Integral, low=1)
    check_number("learning_rate", params.learning_rate, open_low=True, alternatives=("auto",))
    check_number("weight_decay", params.weight_decay)
    check_number("sigreg_weight", params.sigreg_weight)
    for name in ("warmup", "ema", "unknown"):
        check_number(name, getattr(params, name), high=1.0)
    _check_episodes(params)
    check_number("mask_ratio", params.mask_ratio, high=0.95, open_low=True)
    check_number("validation_fraction", params.validation_fraction, high=0.5)
    check_number("save_minutes", params.save_minutes)
    check_number("frame", params.frame, Integral, low=4, high=1024)
    if params.frame % 2:
        raise ValueError(f"frame={params.frame} is odd; expected an even number of samples.")
    # Shrinking crops by more than 2 would alias, because the sampler averages two points only.
    check_pair("crop", params.crop, open_low=True, high=2.0)
    check_pair("run_length", params.run_length, Integral, low=1)
    if params.resume and params.run_file is None:
        raise ValueError("resume=True needs run_file, the file of the run to resume.")
    n_parts, n_groups = distributed_part()[1], -(-n_masked(params) // simultaneous(params))
    if n_parts > n_groups:
        raise ValueError(
            f"batch_size={params.batch_size} is too small for {n_parts} processes; expected at "
            f"least {n_parts * simultaneous(params)}."
        )


def _check_episodes(params: SimpleNamespace) -> None:
    check_number("episodes", params.episodes, high=1.0)
    check_number("episode_weight", params.episode_weight, open_low=True)
    if params.episodes and not 8 <= params.batch_size - n_masked(params) < params.batch_size:
        raise ValueError(
            f"episodes={params.episodes} of batch_size={params.batch_size} are "
            f"{params.batch_size - n_masked(params)} windows; expected at least 8 for a few-label "
            "task, and at least one that is left for the masked task."
        )
    if params.episode_classes is None:
        return
    if not isinstance(params.episode_classes, Mapping):
        raise TypeError(
            "Expected episode_classes to be a dict of regular expressions by data set, or None, "
            f"got {params.episode_classes!r}."
        )
    for dataset, pattern in params.episode_classes.items():
        try:
            n_groups = re.compile(pattern).groups
        except (re.error, TypeError) as error:
            raise ValueError(
                f"episode_classes[{dataset!r}]={pattern!r} is not a regular expression: {error}."
            ) from error
        if n_groups < 1:
            raise ValueError(
                f"episode_classes[{dataset!r}]={pattern!r} has no group; expected one, such as "
                "'_(walk|sit)_', that matches the class in the name of a recording."
            )


def _check_modalities(modalities: Any) -> None:
    if modalities is None:
        return
    listed = [modalities] if isinstance(modalities, str) else modalities
    if not isinstance(listed, Sequence) or not all(isinstance(name, str) for name in listed):
        raise TypeError(
            "Expected modalities to be names such as ['EEG', 'ECG'], or None for all, got "
            f"{modalities!r}."
        )
    if not listed:
        raise ValueError(f"Expected modalities to be names, or None for all, got {modalities!r}.")


def simultaneous(params: SimpleNamespace) -> int:
    """Number of channels of a recording that are drawn together."""
    return _SIMULTANEOUS if params.cross_channel else 1


def split_corpus(
    params: SimpleNamespace, corpus: Corpus, seed: int
) -> tuple[Corpus, Corpus | None]:
    """Split a corpus into recordings to train on and those of held-out people, if there are any."""
    if params.validation_fraction == 0 or not corpus.can_be_split:
        return corpus, None
    train, held_out = corpus.split_by_subject(params.validation_fraction, seed)
    # People with the only recordings of a modality are needed for training.
    needed = held_out.subjects_of(set(corpus.modalities) - set(train.modalities))
    if not needed:
        return train, held_out
    others = [name for name in held_out.subjects if name not in needed]
    train = corpus.of_subjects([*train.subjects, *needed])
    return train, corpus.of_subjects(others) if others else None


def make_sampler(
    params: SimpleNamespace,
    network: NetworkConfig,
    corpus: Corpus,
    seed: int,
    device: torch.device,
) -> CropSampler:
    """Make the sampler of a corpus."""
    sampling = Sampling(
        network.n_times,
        network.n_tokens,
        n_masked(params),
        (params.crop[0], params.crop[1]),
        params.flip,
        params.mask_ratio,
        (params.run_length[0], params.run_length[1]),
        params.unknown,
        simultaneous(params),
    )
    return CropSampler(corpus, network.modalities, sampling, seed, device)


def n_masked(params: SimpleNamespace) -> int:
    """Number of windows of a batch in the masked task."""
    return params.batch_size - round(params.episodes * params.batch_size)


def make_episodes(params: SimpleNamespace, sampler: CropSampler) -> EpisodeSampler | None:
    """Make the sampler of few-label tasks, or return None without them."""
    n_windows = params.batch_size - n_masked(params)
    if not n_windows:
        return None
    known = sorted({recording.dataset for recording in sampler.recordings})
    unknown = sorted(set(params.episode_classes or {}) - set(known))
    if unknown:
        warnings.warn(
            f"episode_classes names the data sets {first_few(unknown, 5)}, which are not among the "
            f"recordings; these have {first_few(known, 5)}.",
            UserWarning,
            stacklevel=2,
        )
    return EpisodeSampler(sampler, n_windows, params.episode_classes)


def task_config(params: SimpleNamespace) -> TaskConfig:
    """Make the configuration of the task."""
    return TaskConfig(
        params.objective,
        params.masking,
        params.mask_ratio,
        (params.run_length[0], params.run_length[1]),
        params.frame,
        params.cross_channel,
    )


def count_steps(params: SimpleNamespace, network: NetworkConfig, corpus: Corpus) -> int:
    """Number of batches of the run."""
    if params.max_steps is not None:
        return params.max_steps
    rows = [np.diff(stretches, axis=1)[:, 0] for r in corpus.recordings for stretches in r.good]
    lengths = np.concatenate(rows).astype(float)
    low, high = (np.full_like(lengths, share * network.n_times) for share in params.crop)
    # The same limits as in the sampler, if a stretch is shorter than the longest crop.
    high = np.minimum(high, lengths)
    low = np.where(low < high, low, np.where(high < lengths, low, high / 2))
    # The mean of log-uniform lengths is their range divided by its log ratio.
    ratio = np.log(np.maximum(high / low, 1 + 1e-9))
    windows = (lengths * ratio / np.maximum(high - low, 1e-9 * low)).sum()
    return max(1, math.ceil(params.n_passes * windows / n_masked(params)))


def pretrain(
    params: SimpleNamespace,
    start: Start,
    corpus: Corpus,
    seed: int,
    device: torch.device,
) -> tuple[PretrainRun, list[str]]:
    """Train on a corpus to the end, and return the run and the names of the held-out people."""
    train, held_out = split_corpus(params, corpus, seed)
    n_steps = count_steps(params, start.network, train)
    with own_draws(seed, torch.device("cpu")) as draws:
        autoencoder = draws.make(lambda: MaskedAutoencoder(start.network, task_config(params)))
    if start.weights is not None:
        autoencoder.load_state_dict(start.weights)
    run = make_run(params, autoencoder, train, held_out, n_steps, seed, device)
    file = make_run_file(params, start, n_steps, corpus, seed)
    run_to_end(run, file, resume=params.resume, verbose=params.verbose)
    return run, [] if held_out is None else held_out.subjects


def make_settings(
    params: SimpleNamespace, n_steps: int, seed: int, device: torch.device
) -> PretrainSettings:
    """Make the settings of the run."""
    bf16 = params.precision == "bfloat16"
    if params.precision == "auto" and device.type == "cuda":
        bf16 = torch.cuda.is_bf16_supported()
    return PretrainSettings(
        n_steps=n_steps,
        learning_rate=params.learning_rate,
        weight_decay=params.weight_decay,
        warmup=params.warmup,
        ema=params.ema,
        evaluate_every=max(FEWEST_STEPS, n_steps // N_ROWS),
        seed=seed,
        episode_weight=params.episode_weight,
        sigreg_weight=params.sigreg_weight,
        bf16=bf16,
        compiled=params.compile,
        limit_s=None if params.max_minutes is None else 60.0 * params.max_minutes,
    )


def make_run(
    params: SimpleNamespace,
    autoencoder: MaskedAutoencoder,
    train: Corpus,
    held_out: Corpus | None,
    n_steps: int,
    seed: int,
    device: torch.device,
) -> PretrainRun:
    """Make the run, before its first step."""
    network = autoencoder.network
    sampler = make_sampler(params, network, train, seed, device)
    watched = None
    if held_out is not None:
        watched = make_sampler(params, network, held_out, seed + 1, device)
    settings = make_settings(params, n_steps, seed, device)
    return PretrainRun(
        autoencoder, sampler, watched, settings, device, make_episodes(params, sampler)
    )


def make_run_file(
    params: SimpleNamespace, start: Start, n_steps: int, corpus: Corpus, seed: int
) -> RunFile | None:
    """Make the run file, or return None if the run is not saved."""
    if params.run_file is None:
        return None
    settings = settings_of(params)
    settings |= {"n_steps": n_steps, "corpus": corpus.fingerprint(), "seed": seed}
    # Of the weights, which may be those of another file of the same name.
    settings["pretrained"] = None if start.weights is None else digest_of(start.weights)
    return RunFile(Path(params.run_file), settings, params.save_minutes)


def choose_seed(params: SimpleNamespace, device: torch.device) -> int:
    """Choose the seed of the run, or read it from the file of a resumed run."""
    saved = None
    if params.random_state is None and params.run_file is not None and params.resume:
        saved = saved_seed(Path(params.run_file))
    # The file may exist for the first process only.
    return same_everywhere(draw_seed(params.random_state) if saved is None else saved, device)


def check_known_modalities(corpus: Corpus, known: Sequence[str]) -> None:
    """Raise ValueError if a corpus contains modalities that the network was not trained on."""
    unknown = [name for name in corpus.modalities if name not in known]
    if unknown:
        raise ValueError(
            f"X contains the modalities {', '.join(map(repr, unknown))}; expected those in "
            f"fit, {', '.join(map(repr, known))}. Set modality to the kind of "
            "signal of X, or select modalities with modalities=."
        )
