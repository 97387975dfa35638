"""Few-label tasks drawn from recordings, and classes made by changing windows."""

from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from citrus_sk.datasets import load_watch
from citrus_sk.nn.episodes import _ridge, _standardise, task_shares
from citrus_sk.signals.recordings.arrays import array_corpus
from citrus_sk.signals.recordings.reading import Corpus
from citrus_sk.training.pretraining.episodes import EpisodeSampler, _Shape
from citrus_sk.training.pretraining.sampler import CropSampler, Sampling
from citrus_sk.training.pretraining.synthesis import synthetic_classes

SETTINGS = Sampling(
    n_times=256, n_tokens=16, batch_size=8, crop=(0.5, 1.5), flip=False, mask_ratio=0.5,
    run_length=(2, 4), unknown=0.5, simultaneous=1,
)  # fmt: skip
ACTIVITY = {"walks": r"_(\w+)$"}
SHAPE = _Shape(n_classes=2, n_support=3, n_query=4)


@pytest.fixture(scope="module")
def corpus():
    """Two recordings of each of six people, one of each activity, with two channels."""
    rng = np.random.default_rng(0)
    made = array_corpus(list(rng.standard_normal((12, 2, 2000))), modality="ACC", sfreq=50.0)
    recordings = [
        replace(
            recording, name=f"person{i // 2}_{('walk', 'sit')[i % 2]}", subject=f"person{i // 2}",
            dataset="walks", ch_names=("x", "y"),
        )
        for i, recording in enumerate(made.recordings)
    ]  # fmt: skip
    return Corpus(recordings, 50.0, made.report)


def episodes(corpus, n_windows=64, seed=0, annotations=ACTIVITY, **settings):
    modalities = tuple(corpus.modalities)
    crops = CropSampler(
        corpus, modalities, replace(SETTINGS, **settings), seed, torch.device("cpu")
    )
    return EpisodeSampler(crops, n_windows, annotations)


def natural(sampler, key, monkeypatch, n=30):
    """Tasks with one kind of classes, as columns with a row for each window."""
    monkeypatch.setattr("citrus_sk.training.pretraining.episodes._KEYS", (key,))
    rng = np.random.default_rng(0)
    drawn = [sampler._natural(rng, SHAPE) for _ in range(n)]
    return [crops for crops in drawn if crops is not None]


def same(one, other):
    pairs = [(getattr(one, f.name), getattr(other, f.name)) for f in fields(one)]
    return all(torch.equal(a, b) if torch.is_tensor(a) else a == b for a, b in pairs)


def test_tasks_are_a_function_of_seed_and_step_alone(corpus):
    first = episodes(corpus, seed=5)
    forwards = [first(step) for step in range(4)]
    again = episodes(corpus, seed=5)
    for step in (3, 1, 0, 2):
        assert same(again(step), forwards[step])
    assert any(not same(one, other) for one, other in pairwise(forwards))
    assert not same(episodes(corpus, seed=6)(0), forwards[0])


@pytest.mark.parametrize("n_windows", [8, 64, 300])
def test_tasks_fit_into_the_batch(corpus, n_windows):
    sampler = episodes(corpus, n_windows)
    for step in range(20):
        drawn = sampler(step)
        n_tasks, n, n_times = drawn.x.shape
        assert n_times == 256
        assert n == len(drawn.labels)
        assert n_tasks * n <= n_windows
        assert drawn.weight == 1 / n_tasks
        counts = drawn.labels[: drawn.n_support].bincount()
        assert counts.min() == counts.max() >= 2
        assert drawn.x.isfinite().all()


def test_the_parts_of_several_processes_are_all_of_the_tasks(corpus):
    sampler = episodes(corpus, 2000)
    whole = sampler(0)
    parts = [sampler(0, (rank, 3)) for rank in range(3)]
    assert sum(len(part.x) for part in parts) == len(whole.x)
    assert all(part.weight == whole.weight for part in parts)
    assert all(torch.equal(part.labels, whole.labels) for part in parts)


@pytest.mark.parametrize("key", ["annotation", "channel"])
def test_classes_of_several_people_are_tested_on_other_people(corpus, key, monkeypatch):
    found = natural(episodes(corpus), key, monkeypatch)
    assert len(found) > 20
    labelled = np.arange(SHAPE.n_classes * (3 + 4)) < 6
    for crops in found:
        people = np.array([corpus.recordings[i].subject for i in crops.recording])
        assert not set(people[labelled]) & set(people[~labelled])


def test_classes_by_annotation_are_those_of_the_names(corpus, monkeypatch):
    for crops in natural(episodes(corpus), "annotation", monkeypatch):
        names = [corpus.recordings[i].name.split("_")[1] for i in crops.recording]
        for label in range(2):
            assert len({n for n, c in zip(names, SHAPE.labels, strict=True) if c == label}) == 1
        assert len(set(names)) == 2


def test_people_are_tested_on_other_recordings(corpus, monkeypatch):
    labelled = np.arange(14) < 6
    for crops in natural(episodes(corpus), "person", monkeypatch):
        assert not set(crops.recording[labelled]) & set(crops.recording[~labelled])


def test_recordings_are_tested_at_other_times(corpus, monkeypatch):
    labelled = np.arange(14) < 6
    for crops in natural(episodes(corpus), "recording", monkeypatch):
        for recording in set(crops.recording):
            one, other = ((crops.recording == recording) & each for each in (labelled, ~labelled))
            end = crops.first + crops.length
            assert (
                end[one].max() <= crops.first[other].min()
                or end[other].max() <= crops.first[one].min()
            )


def test_without_annotations_there_are_other_classes(corpus, monkeypatch):
    assert not natural(episodes(corpus, annotations={}), "annotation", monkeypatch)
    assert natural(episodes(corpus, annotations={}), "person", monkeypatch)
    # Without two of anything, all classes are synthetic.
    lonely = array_corpus([np.random.default_rng(0).standard_normal((1, 900))])
    assert episodes(lonely, annotations={})(0).x.isfinite().all()


def test_modalities_are_unknown_as_often_as_asked_for(corpus):
    rows = torch.cat([episodes(corpus, 300, unknown=0.5)(step).modality for step in range(40)])
    assert 0.3 < (rows == 0).float().mean() < 0.7
    assert set(rows.tolist()) == {0, 1}
    assert (episodes(corpus, 64, unknown=1.0)(0).modality == 0).all()
    assert (episodes(corpus, 64, unknown=0.0)(0).modality == 1).all()


def test_synthetic_classes_can_be_told_apart():
    """Ridges on random kernels are better than chance in most tasks, and never always right."""
    generator = torch.Generator().manual_seed(0)
    n_tasks, n_classes, labels = 40, 2, torch.arange(48) % 2
    channel = torch.from_numpy(np.float32(load_watch().X[:, :1]))
    x = torch.nn.functional.interpolate(channel, 512, mode="linear")[:, 0]
    index = torch.randint(len(x), (n_tasks, 48 + 2 * n_classes), generator=generator)
    windows = x[index]
    made = synthetic_classes(windows[:, :48], windows[:, 48:], labels, generator)
    assert made.shape == (n_tasks, 48, 512)
    assert made.isfinite().all()
    shares = _standardise(task_shares(made, 24, torch.Generator().manual_seed(1)), 24)
    codes = 2.0 * torch.eye(2)[labels[:24]] - 1
    right = (_ridge(shares, 24, codes, 0.03).argmax(-1) == labels[24:]).float().mean(1)
    assert 0.6 < right.mean() < 0.97
    assert right.min() < 0.7
    # Windows alone, without changes, have no classes.
    shares = _standardise(task_shares(windows[:, :48], 24, torch.Generator().manual_seed(1)), 24)
    chance = (_ridge(shares, 24, codes, 0.03).argmax(-1) == labels[24:]).float().mean()
    assert chance < right.mean() - 0.08


def test_synthetic_classes_draw_from_their_generator_alone():
    windows = torch.randn(3, 12, 300, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(8) % 2
    made = [
        synthetic_classes(
            windows[:, :8], windows[:, 8:], labels, torch.Generator().manual_seed(seed)
        )
        for seed in (0, 0, 1)
    ]
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])
