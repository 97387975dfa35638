"""The benchmarks' own arithmetic, and that a run goes on where it stopped."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import ttest_1samp, wilcoxon

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def load(monkeypatch):
    """A benchmark as a module; they import each other as scripts do."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module
    for name in ("labelled_sets", "lowdata", "claims", "regression", "new_person"):
        sys.modules.pop(name, None)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    y = np.repeat(["rest", "tone", "rare"], [20, 20, 12])
    rate = np.select([y == "tone", y == "rare"], [0.2, 0.5], 0.05)
    X = np.sin(rate[:, None] * np.arange(128) + rng.uniform(0, 6, (52, 1)))
    X = (X + 0.2 * rng.standard_normal(X.shape))[:, None].astype(np.float32)
    for name in ("first", "second"):
        np.savez(tmp_path / f"{name}.npz", X=X, y=y, sfreq=100.0)
    return tmp_path


def test_a_stopped_run_goes_on_and_a_finished_one_runs_nothing(load, folder, monkeypatch):
    lowdata = load("lowdata")
    path = folder / "scores.csv"
    call = (path, folder, None, ["kernels alone", "probe, scratch, conv"], [0.2, 1.0], 1)
    lowdata.run(*call)
    whole = lowdata.read([path])
    assert len(whole) == 2 * 2 * 2
    assert all(float(row["macro_f1"]) > 0.4 for row in whole)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:4]))
    lowdata.run(*call)
    same = lowdata.COLUMNS[:10]
    assert [[row[c] for c in same] for row in lowdata.read([path])] == [
        [row[c] for c in same] for row in whole
    ]
    monkeypatch.setattr(lowdata, "score", None)
    lowdata.run(*call)


def test_draws_are_nested_and_nobody_is_on_both_sides(load):
    sets = load("labelled_sets")
    y, people = np.tile(np.repeat([0, 1], 5), 20), np.repeat(np.arange(20), 10)
    cases = sets.draws(y, people, (0.1, 0.5, 1.0), 5)
    assert len(cases) == 15
    for fold in range(5):
        shares = [set(train) for number, _, train, _ in cases if number == fold]
        assert shares[0] < shares[1] < shares[2]
    for _, _, train, test in cases:
        assert not set(people[train]) & set(people[test])
        assert np.bincount(y[train]).min() >= 2


@pytest.mark.parametrize("name", ["default", "probe, eeg-freq, conv", "default, rate"])
def test_every_name_builds_what_it_says(load, name):
    model = load("lowdata").MODELS[name](3, 50.0)
    assert model[-1].random_state == 3
    assert model[-1].random_kernels == name.startswith("default")
    assert model[0].method == ("rate" if name.endswith("rate") else "resample")
    assert model[0].sfreq == (50.0 if name.endswith("rate") else None)


def test_every_claim_compares_models_that_there_are(load):
    claims, lowdata = load("claims"), load("lowdata")
    pairs = [pair for of in claims.comparisons().values() for pair in of]
    assert len(pairs) == len(set(pairs)) > 20
    assert {name for pair in pairs for name in pair} <= set(lowdata.MODELS)


def test_pairs_are_tested_over_the_sets_that_both_have(load):
    paired = load("claims").paired
    rng = np.random.default_rng(0)
    gap = rng.normal(0.05, 0.04, 8)
    second = dict(zip("abcdefgh", rng.uniform(0.4, 0.8, 8), strict=True))
    first = {name: second[name] + g for name, g in zip("abcdefgh", gap, strict=True)} | {"z": 1.0}
    result = paired(first, second)
    assert result["n_sets"] == 8
    assert result["n_better"] == (gap > 0).sum()
    assert_allclose(result["mean"], gap.mean())
    assert_allclose(result["effect"], gap.mean() / gap.std(ddof=1))
    assert_allclose(result["p"], wilcoxon(gap).pvalue)
    assert paired(first, {"a": 0.1}) is None


def test_calibration_error_is_nought_for_the_calibrated_and_large_for_the_certain(load):
    error = load("lowdata").calibration_error
    right = np.arange(1000) % 10 < 7
    assert_allclose(error(np.tile([0.7, 0.3], (1000, 1)), right), 0.0, atol=1e-12)
    assert_allclose(error(np.tile([1.0, 0.0], (1000, 1)), right), 0.3)


def test_heart_rate_is_read_from_the_ecg_and_nobody_is_trained_and_tested_on(load, tmp_path):
    regression = load("regression")
    rng = np.random.default_rng(0)
    index, arrays = [], {}
    for person, rate in enumerate((50, 60, 75, 90, 110)):
        beats = np.zeros(9000)
        beats[(np.arange(0, 89, 60 / rate) * 100).round().astype(int)] = 900
        ecg = np.convolve(beats, np.hanning(9), "same") + rng.normal(0, 5, 9000)
        arrays[f"r{person}"] = np.stack([ecg, rng.normal(0, 9, 9000)]).astype(np.int16)
        entry = {"key": f"r{person}", "subject": f"p{person}", "ch_types": ["ecg", "ppg"]}
        index.append(entry)
    table = np.frombuffer(json.dumps(index).encode(), np.uint8)
    np.savez(tmp_path / "corpus.npz", index=table, **arrays)
    X, y, people = regression.heart_rate(str(tmp_path / "corpus.npz"))
    assert X.shape[1:] == (1, 1024)
    for person, rate in enumerate((50, 60, 75, 90, 110)):
        assert_allclose(y[people == f"p{person}"], rate, rtol=0.03)
    parts = list(regression.draws(people, 0.5, 3))
    assert len(parts) == 3
    for train, test in parts:
        assert not set(people[train]) & set(people[test])


def test_windows_of_a_new_person_are_drawn_in_chunks_of_about_one_size(load):
    chunks = load("new_person").chunks
    for n_windows, size in ((98, 10), (55, 40), (9, 20), (7, 1)):
        numbers = np.bincount(chunks(n_windows, size, np.random.default_rng(0)))
        assert numbers.sum() == n_windows
        assert numbers.max() - numbers.min() <= 1
        assert len(numbers) == max(1, round(n_windows / size))


def test_two_labels_are_of_both_arms_or_of_one(load):
    new_person = load("new_person")
    y, recordings = np.repeat([4, 7], 6), np.repeat([0, 1, 2, 3], 3)
    both, same = new_person.windows_of_arms(y, recordings)
    assert both.tolist() == [0, 3, 6, 9]
    assert same.tolist() == [0, 1, 6, 7]


def test_folds_of_new_people_that_are_done_are_not_computed_again(load, tmp_path, monkeypatch):
    new_person = load("new_person")

    class Shares:
        """The share of each exercise in training, which groups and labels do not change."""

        def __init__(self, X, y, people):
            self.codes = np.unique(y, return_inverse=True)[1]

        def fit(self, train):
            self.shares = np.bincount(self.codes[train]) / len(train)

        def predict_proba(self, rows, groups=None):
            return np.tile(self.shares, (len(rows), 1))

        def calibrated(self, few, rest):
            assert not set(few) & set(rest)
            return self.predict_proba(rest)

    monkeypatch.setattr(new_person, "MODELS", {"shares": Shares})
    path = tmp_path / "scores.csv"
    new_person.run(path)
    whole = new_person.read(path)
    assert len({row["person"] for row in whole}) == 10
    assert new_person.of_people(whole, "shares", "labelled 5", "log_loss").shape == (10,)
    kept = [row for row in whole if row["fold"] != "3"]
    lines = [",".join(row[c] for c in new_person.COLUMNS) for row in kept]
    path.write_text("\n".join([",".join(new_person.COLUMNS), *lines]) + "\n")
    new_person.run(path)
    assert sorted(map(str, new_person.read(path))) == sorted(map(str, whole))
    monkeypatch.setattr(new_person, "MODELS", {"shares": None})
    new_person.run(path)


def test_the_interval_of_a_mean_is_that_of_student(load):
    values = np.random.default_rng(0).normal(size=10)
    interval = ttest_1samp(values, 0).confidence_interval()
    half = load("new_person").half_width(values)
    assert_allclose([values.mean() - half, values.mean() + half], interval)
