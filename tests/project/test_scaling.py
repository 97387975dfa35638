"""The arithmetic of the simulated plan for many GPUs."""

from types import SimpleNamespace

import pytest


def options(**changes):
    settings = {"gigabytes_s": 10, "latency_us": 0, "restart_minutes": 10, "save_minutes": 5}
    return SimpleNamespace(**(settings | {"failure_hours": 1e9} | changes))


def test_a_ring_sends_twice_the_gradients_but_for_one_part(load):
    exchange = load("simulate_scaling").exchange_seconds
    assert exchange(10**10, 1, options()) == 0
    assert exchange(10**10, 2, options()) == pytest.approx(1)
    assert exchange(10**10, 64, options()) == pytest.approx(2 * 63 / 64)
    assert exchange(0, 64, options(latency_us=10)) == pytest.approx(2 * 63 * 10e-6)


def test_failures_cost_restarts_and_what_was_not_saved(load):
    run_hours = load("simulate_scaling").run_hours
    assert run_hours(10, 64, options()) == (10, 0)
    hours, failures = run_hours(10, 64, options(failure_hours=64))
    # One in each hour of training. It costs the restart, and half of the time between two saves.
    assert failures == pytest.approx(10 / (1 - 2.5 / 60), rel=0.03)
    assert hours == pytest.approx(10 + failures * (10 + 2.5) / 60, rel=0.03)
