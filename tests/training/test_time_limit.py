"""A time limit of pre-training: the run is planned by the share of the time that is used."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from citrus_sk import CitrusPretrainer
from citrus_sk.checkpoints.registry import describe_checkpoint
from citrus_sk.cli import main
from citrus_sk.training.pretraining.clock import Clock
from citrus_sk.training.pretraining.run import PretrainRun

LIMIT_S = 30
RNG = np.random.default_rng(0)
X = np.cumsum(RNG.standard_normal((6, 2, 500)), axis=2).astype(np.float32)


def pretrainer(**parameters):
    settings = {"preset": "tiny", "max_steps": 10**6, "batch_size": 4, "random_state": 0}
    settings |= {"max_minutes": LIMIT_S / 60, "validation_fraction": 0.2}
    return CitrusPretrainer(**(settings | parameters))


@pytest.fixture
def watch_hand(monkeypatch):
    """A clock on which every step takes a second, and the learning rate of each step."""
    hand = SimpleNamespace(now=0.0, rates=[], stop_at=None)
    train_step = PretrainRun.train_step

    def timed_step(run):
        hand.now += 1
        value = train_step(run)
        hand.rates.append(run.optimizer.param_groups[0]["lr"])
        if run.step == hand.stop_at:
            raise KeyboardInterrupt
        return value

    monkeypatch.setattr(PretrainRun, "train_step", timed_step)
    clock = SimpleNamespace(perf_counter=lambda: hand.now)
    monkeypatch.setattr("citrus_sk.training.pretraining.clock.time", clock)
    return hand


def weights(fitted):
    return torch.cat([value.flatten() for value in fitted.autoencoder_.state_dict().values()])


def test_the_learning_rate_reaches_its_end_at_the_limit(watch_hand):
    fitted = pretrainer(warmup=0.2).fit(X)
    assert fitted.n_steps_ == LIMIT_S
    assert fitted.ended_by_ == "time"
    assert [row["step"] for row in fitted.history_] == [10, 20, LIMIT_S]
    rates = np.array(watch_hand.rates)
    assert rates[0] < 1e-7  # nothing is known of the speed yet
    top = int(rates.argmax())
    assert 4 <= top <= 7  # a fifth of the time
    assert rates[top] > 0.9e-3
    assert np.all(np.diff(rates[: top + 1]) > 0)
    assert np.all(np.diff(rates[top + 1 :]) < 0)
    assert rates[-1] < 0.01e-3


def test_steps_that_end_first_give_the_bits_of_a_run_without_a_limit(watch_hand):
    limited = pretrainer(max_steps=12, max_minutes=60).fit(X)
    free = pretrainer(max_steps=12, max_minutes=None).fit(X)
    assert limited.ended_by_ == free.ended_by_ == "steps"
    assert limited.n_steps_ == 12
    assert torch.equal(weights(limited), weights(free))


def test_a_run_whose_time_is_short_for_its_steps_ends_with_a_rate_of_zero(watch_hand):
    pretrainer(max_steps=40).fit(X)
    assert len(watch_hand.rates) == LIMIT_S
    assert watch_hand.rates[-1] < 0.01e-3


def test_a_resumed_run_has_the_time_that_is_left(watch_hand, tmp_path):
    whole = pretrainer().fit(X)
    file = {"run_file": tmp_path / "state.run", "save_minutes": 0, "resume": True}
    watch_hand.stop_at = 14
    with pytest.raises(KeyboardInterrupt):
        pretrainer(**file).fit(X)
    watch_hand.stop_at, watch_hand.now = None, 5000.0  # a later day
    resumed = pretrainer(**file).fit(X)
    assert resumed.n_steps_ == LIMIT_S
    assert torch.equal(weights(resumed), weights(whole))
    before = len(watch_hand.rates)
    again = pretrainer(**file).fit(X)
    assert len(watch_hand.rates) == before  # nothing is left to train
    assert (again.n_steps_, again.ended_by_) == (LIMIT_S, "time")
    with pytest.raises(ValueError, match=r"max_minutes=0\.5; this one has max_minutes=1"):
        pretrainer(**file | {"max_minutes": 1}).fit(X)


def test_a_slow_start_takes_no_part_of_the_schedule(monkeypatch):
    readings = iter([0.0, 20.0, 25.0, 30.0])  # started, compiled, and two quick steps
    clock = SimpleNamespace(perf_counter=lambda: next(readings))
    monkeypatch.setattr("citrus_sk.training.pretraining.clock.time", clock)
    limited = Clock(limit_s=30.0)
    limited.start()
    assert [limited.used() for _ in range(3)] == [0.0, 0.5, 1.0]


def test_a_first_step_longer_than_the_limit_is_the_only_one(watch_hand):
    fitted = pretrainer(max_minutes=0.5 / 60).fit(X)
    assert (fitted.n_steps_, fitted.ended_by_) == (1, "time")
    assert np.isfinite(fitted.history_[-1]["held_out_loss"])


def test_a_checkpoint_says_that_the_clock_set_its_steps(watch_hand, tmp_path, capsys):
    np.save(tmp_path / "a.npy", RNG.standard_normal((2, 3000)).cumsum(axis=1))
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('preset = "tiny"\nbatch_size = 4\nmax_steps = 1000\nmax_minutes = 0.5\n')
    out = tmp_path / "a.safetensors"
    options = f"--out {out} --config {recipe} --modality EEG --seed 0 --quiet"
    assert main(["pretrain", str(tmp_path / "a.npy"), *options.split()]) == 0
    assert "30 batches in 0.5 min, the time limit" in capsys.readouterr().out
    training = describe_checkpoint(out)["info"]["training"]
    assert training["max_minutes"] == 0.5
    assert training["ended_by"] == "time"
    assert training["n_steps"] == LIMIT_S
