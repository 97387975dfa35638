"""The benchmark of fine-tuning: what ships is its base, and people stay on one side."""

import numpy as np
import pytest

from citrus_sk import CitrusClassifier


@pytest.fixture
def benchmark(load):
    return load("fine_tuning")


@pytest.mark.parametrize("strategy", ["finetune", "probe-then-finetune"])
def test_the_variant_without_a_change_is_what_ships(strategy, benchmark, tones):
    _, y = tones
    model = benchmark.classifier(0, **benchmark.VARIANTS[strategy])
    shipped = CitrusClassifier(strategy=strategy, random_kernels=False)
    for each in (model, shipped):
        each.strategy_, each.n_chans_, each.n_times_ = strategy, 1, 128
    assert model._tuning_settings(y) == shipped._tuning_settings(y)


def test_every_variant_that_runs_first_exists_and_differs_from_its_base(benchmark):
    assert set(benchmark.SCREEN) <= set(benchmark.VARIANTS)
    chosen = [benchmark.VARIANTS[name] for name in benchmark.SCREEN]
    assert all(chosen.count(settings) == 1 for settings in chosen)


def test_the_people_of_an_inner_fold_are_on_one_side(benchmark):
    people = np.repeat(np.arange(9), 20)
    y = np.tile(["rest", "tone"], 90)
    for inner in range(3):
        train, test = benchmark.inner_split(y, people, inner, 0.5)
        assert not set(people[train]) & set(people[test])
        assert set(y[train]) == {"rest", "tone"}
