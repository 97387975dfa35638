"""The benchmark of time and memory: its arithmetic, and that all of its parts run."""

import json
from types import SimpleNamespace

import pytest


@pytest.fixture
def performance(load):
    return load("performance")


def results_of(performance, cases, times):
    """Results in which a prediction takes twice as many milliseconds as a fit takes seconds."""
    rows = [
        {"turn": turn, **case._asdict(), "fit_s": fit, "predict_ms": 2 * fit, "single_ms": 3 * fit,
         "warm_gb": 0.5, "peak_gb": 1.0}
        for case in cases for turn, fit in enumerate(times[case.model])
    ]  # fmt: skip
    known = {"processor": "a processor", "threads": 1, "python": "3.11"}
    known |= dict.fromkeys(("torch", "numba", "aeon", "scikit-learn"), "1.0")
    return {"machine": known, "repeats": 3, "rows": rows}


def test_ratios_are_medians_of_those_in_the_same_turn(performance):
    cases = performance.CASES["channels"]
    times = {"default": [9.0, 2.0, 4.0], "network alone": [1.0] * 3, "minirocket": [3.0, 4.0, 1.0]}
    results = results_of(performance, cases, times)
    lines = performance.table(results, "channels").splitlines()
    assert len(lines) == 2 + len(cases)
    # The ratio of the medians is 1.3.
    assert lines[2] == ("| default | (200, 1, 1024) | 4.00 | 3.0 | 8.0 | 3.0 | 12.0 | 3.0 | 1.00 |")
    assert performance.summary(results).startswith("Measured on 1 thread of a processor, with")
    with pytest.raises(ValueError, match=r"no row of .*'eeg-freq'.*run benchmarks/performance\.py"):
        performance.table(results, "settings")


def test_tables_of_pages_are_of_the_stored_results(performance, load, tmp_path, monkeypatch):
    tables = load("tables")
    monkeypatch.setattr(performance, "RESULTS", tmp_path / "performance.json")
    page = "<!-- table: performance-length -->\nold\n<!-- end -->"
    assert "no results for this table yet" in tables.filled(page, [])
    cases = performance.CASES["length"]
    times = {model: [1.0, 2.0, 3.0] for model in performance.FEW}
    results = results_of(performance, cases, times)
    performance.RESULTS.write_text(json.dumps(results))
    assert "| minirocket | (200, 3, 4096) | 2.00 | 1.0 |" in tables.filled(page, [])


def test_every_model_is_made_and_one_is_measured(performance):
    for model in (*performance.SETTINGS, *performance.PEERS):
        assert hasattr(performance.make(model), "fit")
    case = performance.Case("network alone, tiny", 20, 7, 300)
    X, y = performance.real_windows(case)
    assert X.shape == (20 + performance.N_TEST, 7, 300)
    assert len(set(y[:20])) > 3
    found = performance.measure(case)
    assert case._asdict().items() <= found.items()
    assert min(found["fit_s"], found["predict_ms"], found["single_ms"]) > 0
    assert 0.1 < found["warm_gb"] <= found["peak_gb"] < 20


def test_the_parts_of_a_profile_are_shown_and_the_functions_are_themselves_again(load, performance):
    profiled = load("profiled")
    paths = [path for paths in profiled.PARTS.values() for path in paths]
    before = [profiled.resolve_name(path) for path in paths]
    text = profiled.describe(performance.Case("default", 20, 1, 64))
    assert [profiled.resolve_name(path) for path in paths] == before
    fit, predict, _ = text.split("  predict ")
    for part in ("random kernels", "trunk: convolution", "ridge or", "checks of X", "read-out"):
        assert part in fit
    assert "ridge" not in predict


def test_the_time_of_a_part_is_without_that_of_the_parts_that_it_calls(load, monkeypatch):
    profiled = load("profiled")
    ticks = iter([0, 1, 5, 7])
    monkeypatch.setattr(profiled, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    clock = profiled.Clock()
    clock.timed("outer", clock.timed("inner", int))()
    assert clock.seconds == {"inner": 4, "outer": 3}
