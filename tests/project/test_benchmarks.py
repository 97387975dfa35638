"""The benchmarks' own arithmetic, and that a run goes on where it stopped."""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import ttest_1samp, wilcoxon

from citrus_sk import CitrusClassifier, CitrusEmbedder
from citrus_sk.datasets import load_watch

ROOT = Path(__file__).parents[2]


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


SCORES = slice(5, 11)  # of the columns: all but the key, the weights and the seconds


def contents(path):
    """Scores of each cell."""
    from cells import COLUMNS, key_of, read

    return {key_of(row): [row[column] for column in COLUMNS[SCORES]] for row in read([path])}


def test_a_stopped_run_goes_on_and_a_finished_one_runs_nothing(load, folder, monkeypatch):
    lowdata = load("lowdata")
    path = folder / "scores.csv"
    call = (path, folder, None, ["kernels", "probe, scratch, conv"], [0.1, 0.2], 1)
    lowdata.run(*call)
    whole, lines = contents(path), path.read_text().splitlines(keepends=True)
    assert len(whole) == 2 * 2 * 2
    assert all(float(scores[3]) > 0.4 for scores in whole.values())
    path.write_text("".join(lines[:4]) + lines[4][:-9])  # killed in the middle of a line
    lowdata.run(*call)
    assert contents(path) == whole
    monkeypatch.setattr(lowdata, "run_task", None)
    lowdata.run(*call)


def test_two_processes_write_the_rows_that_one_writes(load, folder):
    lowdata = load("lowdata")
    alone, together = folder / "alone.csv", folder / "together.csv"
    lowdata.run(alone, folder, ["first"], ["network", "default"], [0.1, 0.2], 1)
    lowdata.run(together, folder, ["first"], ["network", "default"], [0.1, 0.2], 1, 2)
    assert len(contents(alone)) == 2 * 2
    assert contents(together) == contents(alone)
    assert together.read_text() == alone.read_text()


def test_a_cell_that_fails_is_named_and_the_others_are_written(load, folder, monkeypatch):
    lowdata = load("lowdata")
    run_task = lowdata.run_task
    monkeypatch.setattr(
        lowdata, "run_task", lambda *task: 1 / 0 if task[1].set == "first" else run_task(*task)
    )
    with pytest.raises(SystemExit, match=r"set='first'.*ZeroDivisionError"):
        lowdata.run(folder / "scores.csv", folder, None, ["kernels"], [0.2], 1)
    assert {key[0] for key in contents(folder / "scores.csv")} == {"second"}


def test_rows_of_other_weights_are_scored_again_and_those_without_weights_stay(
    load, folder, monkeypatch, capsys
):
    lowdata, cells = load("lowdata"), load("cells")
    path = folder / "scores.csv"
    present = load("lowdata_models").weights_of("default")
    row = dict.fromkeys(cells.COLUMNS, "0.5") | {"set": "first", "fold": "0", "fraction": "0.2"}
    rows = [row | {"model": "kernels", "weights": ""}]
    rows += [row | {"model": model, "weights": "0123abcd"} for model in ("default", "network")]
    cells.replace_all(path, rows)
    monkeypatch.setattr(lowdata, "run_task", lambda folder, task: [
        row | {"model": model, "weights": present, "accuracy": "0.9"} for model in task.models
    ])  # fmt: skip
    lowdata.run(path, folder, ["first"], ["kernels", "default"], [0.2], 1)
    found = {each["model"]: (each["weights"], each["accuracy"]) for each in cells.read([path])}
    assert found == {
        "kernels": ("", "0.5"), "default": (present, "0.9"), "network": ("0123abcd", "0.5"),
    }  # fmt: skip
    assert "1 rows of other weights" in capsys.readouterr().out


def test_rows_of_another_file_are_added_and_take_the_place_of_the_same_cells(load, tmp_path):
    lowdata, cells = load("lowdata"), load("cells")
    row = dict.fromkeys(cells.COLUMNS, "0.5") | {"model": "minirocket", "fraction": "0.2"}
    here, there = tmp_path / "here.csv", tmp_path / "there.csv"
    cells.replace_all(here, [row | {"set": "a", "fold": "0"}])
    there.write_text(
        "set,model,fold,fraction,macro_f1\na,minirocket,0,0.20,0.7\na,minirocket,1,0.2,0.6\n"
    )
    lowdata.import_rows(here, [there])
    assert [(each["fold"], each["macro_f1"]) for each in cells.read([here])] == [
        ("0", "0.7"), ("1", "0.6"),
    ]  # fmt: skip


def test_weights_are_those_of_the_checkpoint_that_a_model_starts_from(load):
    weights_of = load("lowdata_models").weights_of
    index = json.loads((ROOT / "citrus_sk" / "checkpoints" / "index.json").read_text())
    for name in (
        "default",
        "network, people known",
        "default, no band power",
    ):
        assert weights_of(name) == index["multi-freq"]["sha256"][:8]
    assert weights_of("finetuned, eeg-freq, conv") == index["eeg-freq"]["sha256"][:8]
    assert weights_of("probe, multi-time, hybrid") == index["multi-time"]["sha256"][:8]
    for name in (
        "kernels",
        "minirocket, bare ridge",
        "default, random weights",
        "probe, scratch, conv",
    ):
        assert weights_of(name) == ""


def test_equal_draws_are_run_once_and_the_longest_task_comes_first(load, folder):
    lowdata = load("lowdata")
    tasks = lowdata.plan(folder, ["first"], ["kernels", "minirocket", "finetuned, scratch, conv"],
                         (0.01, 0.02, 1.0), 2, {("first", "kernels", 1, 1.0)})  # fmt: skip
    assert [task.cost for task in tasks] == sorted((task.cost for task in tasks), reverse=True)
    assert tasks[0].models == ("finetuned, scratch, conv",)
    kernels = {(task.fold, task.fractions) for task in tasks if task.models == ("kernels",)}
    assert kernels == {(0, (1.0,)), (0, (0.01, 0.02)), (1, (0.01, 0.02))}


def test_people_are_known_only_on_sets_of_several_people_with_several_classes(load, tmp_path):
    lowdata, sets = load("lowdata"), load("labelled_sets")
    y, people = np.tile([0, 1], 60), np.repeat(np.arange(6), 20)
    assert sets.has_people(y, people)
    assert not sets.has_people(np.repeat([0, 1], 60), people)  # recordings
    assert not sets.has_people(y, np.zeros(120))
    assert not sets.has_people(y, None)
    for name, groups in {"people": people, "recordings": np.arange(120)}.items():
        np.savez(tmp_path / f"{name}.npz", X=np.zeros((120, 1, 8)), y=y, groups=groups)
    tasks = lowdata.plan(tmp_path, None, ["kernels", "kernels, people known"], [1.0], 1, set())
    assert {task.set: task.models for task in tasks} == {
        "people": ("kernels", "kernels, people known"), "recordings": ("kernels",),
    }  # fmt: skip


@pytest.fixture(scope="module")
def watch_cases(watch):
    train = np.flatnonzero(~np.isin(watch.groups, ["1", "2"]))[::8]
    test = np.flatnonzero(np.isin(watch.groups, ["1", "2"]))[::8]
    return train, test


@pytest.mark.parametrize("known", ["", ", people known"])
@pytest.mark.parametrize("part", ["network", "kernels", "default"])
def test_shared_features_give_the_scores_of_the_separate_estimators(
    load, watch, watch_cases, part, known
):
    lowdata = load("lowdata")
    train, test = watch_cases
    separate = lowdata.score_alone(
        lowdata.MODELS[part](3, np.nan), watch.X, watch.y, train, test,
        watch.groups if known else None,
    )  # fmt: skip
    (shared,) = lowdata.score_shared([part + known], watch.X, watch.y, train, test, watch.groups, 3)
    assert float(separate["macro_f1"]) > 0.3
    for metric in lowdata.METRICS:
        assert_allclose(float(shared[metric]), float(separate[metric]), atol=1.01e-4)


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


def test_an_altered_default_differs_and_leaves_the_package_as_it_was(load, watch):
    models, test = load("lowdata").MODELS, np.arange(0, 12, 2)
    train = np.delete(np.arange(12, len(watch.y), 2), slice(0, 8, 2))  # uneven classes
    X = watch.X[:, :2]
    shuffled = np.random.default_rng(0).permutation(watch.y)  # for the largest penalties

    def probabilities(name):
        fits = [models[name](0, 50.0).fit(X[train], y[train]) for y in (watch.y, shuffled)]
        return np.array([fit.predict_proba(X[test]) for fit in fits])

    default = probabilities("default")
    altered = [name for name, make in models.items() if "module" in getattr(make, "keywords", {})]
    assert len(altered) == 6
    for name in altered:
        assert np.abs(probabilities(name) - default).max() > 1e-4, name
    assert_array_equal(probabilities("default"), default)


def test_every_claim_compares_models_that_there_are(load):
    claims, lowdata = load("claims"), load("lowdata")
    pairs = [pair for of in claims.comparisons().values() for pair in of]
    assert len(pairs) == len(set(pairs)) > 20
    assert {name for pair in pairs for name in pair} <= set(lowdata.MODELS)


def test_pairs_are_tested_over_the_sets_that_both_have(load):
    paired = load("claims").paired
    rng = np.random.default_rng(0)
    gap, base = rng.normal(0.05, 0.04, (8, 2)), rng.uniform(0.4, 0.8, (8, 2))
    second = {name: dict(enumerate(each)) for name, each in zip("abcdefgh", base, strict=True)}
    first = {name: dict(enumerate(each)) for name, each in zip("abcdefgh", base + gap, strict=True)}
    first["a"][2], first["z"] = 1.0, {0: 1.0}  # what the second one lacks
    result = paired(first, second)
    of_sets = gap.mean(1)
    assert result["n_sets"] == 8
    assert result["n_better"] == (of_sets > 0).sum()
    assert_allclose(result["mean"], of_sets.mean())
    assert_allclose(result["effect"], of_sets.mean() / of_sets.std(ddof=1))
    assert_allclose(result["p"], wilcoxon(of_sets).pvalue)
    assert result["low"] < result["mean"] < result["high"]
    assert paired(first, {"a": {0: 0.1}}) is None


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


# --- adaptation.py --------------------------------------------------------------------------------


@pytest.fixture
def few(load, watch):
    """A case of real windows: six people, of whom the last two are tested on."""
    features = load("changed_features")
    train = np.flatnonzero(np.isin(watch.groups, np.unique(watch.groups)[:4]))
    test = np.setdiff1d(np.arange(len(watch.y)), train)
    return features.make_case(watch.X[..., :64].copy(), watch.y, watch.groups, train, test)


def test_each_variant_is_scored_on_each_left_out_person_and_a_stopped_run_goes_on(
    load, tmp_path, monkeypatch, capsys
):
    adaptation = load("adaptation")
    path = tmp_path / "people.csv"
    options = argparse.Namespace(
        data=None, only=None, folds=[0], shares=[0.5], windows=80, n_times=32,
        variants=[adaptation.NONE, adaptation.ALL, "amplitude brought to the mean, all"],
    )  # fmt: skip
    adaptation.run(path, options)
    rows = adaptation.read([path])
    assert len(rows) == 8 * 3  # the people of the training part of the outer fold, by variant
    assert np.mean([float(row["macro_f1"]) for row in rows]) > 0.4
    assert {row["variant"] for row in rows} == set(options.variants)
    lines = path.read_text().splitlines(keepends=True)
    last = [row for row in rows if (row["inner"], row["variant"]) == ("2", options.variants[-1])]
    path.write_text("".join(lines[: -len(last)]))
    adaptation.run(path, options)
    assert path.read_text().splitlines(keepends=True) == lines
    monkeypatch.setattr(adaptation, "scored", lambda *given: [] if not given[-1] else 1 / 0)
    adaptation.run(path, options)
    capsys.readouterr()
    adaptation.print_tables(rows)
    printed = capsys.readouterr().out
    assert printed.startswith("1 sets, 8 people\n")
    assert all(f"| {variant} |" in printed for variant in options.variants)


def test_every_variant_gives_finite_outputs_and_most_change_them(load, few):
    adaptation = load("adaptation")
    found = {name: values for name, _, values in
             adaptation.of_plain_signals(few, list(adaptation.PLAIN))}  # fmt: skip
    assert list(found) == list(adaptation.PLAIN)
    assert all(np.isfinite(values).all() for values in found.values())
    shipped = found.pop(adaptation.ALL)
    # Each person has 12 windows, so that more neighbours than those are all windows.
    same = [name for name, values in found.items() if np.allclose(values, shipped)]
    assert same == ["all, means over 21 neighbours", "all, means over 41 neighbours"]


def test_people_are_left_out_of_the_training_part_alone(load):
    adaptation = load("adaptation")
    y, people = np.tile(np.repeat([0, 1, 2], 4), 12), np.repeat(np.arange(12), 12)
    outer = adaptation.splits(y, people, 2)[1]
    cases = list(adaptation.inner_cases(y, people, 1, [0.2, 1.0], 60))
    assert [case[:2] for case in cases] == [(i, share) for i in range(3) for share in (0.2, 1.0)]
    for _, _, train, test in cases:
        assert not set(people[train]) & set(people[test])
        assert set(train) | set(test) <= set(outer[0])
    tested = np.concatenate([test for _, share, _, test in cases if share == 1.0])
    assert len(tested) == len(set(tested))
    assert set(people[tested]) == set(people[outer[0]])
    assert 50 <= len(tested) <= 70


def test_signals_of_each_person_get_the_covariance_and_the_amplitude_of_the_others(load):
    features = load("changed_features")
    rng = np.random.default_rng(0)
    people = np.repeat(["a", "b", "c"], 20)
    mixing = {person: rng.normal(size=(3, 3)) + 2 * np.eye(3) for person in "abc"}
    X = np.stack([mixing[person] @ rng.normal(size=(3, 200)) for person in people])
    train = people != "c"
    found = features.covariances(X, people)
    white = features.covariances(features.whitened(X, people, train), people)
    mean = features.covariances(features.aligned_to_mean(X, people, train), people)
    for person in "abc":
        assert_allclose(white[person], np.eye(3), atol=1e-3)
        assert_allclose(mean[person], (found["a"] + found["b"]) / 2, rtol=1e-3)
    same = features.equal_amplitude(X, people, train)
    logs = {person: np.log(same[people == person].std(-1)).mean(0) for person in "abc"}
    before = [np.log(X[people == person].std(-1)).mean(0) for person in "ab"]
    for person in "abc":
        assert_allclose(logs[person], np.mean(before, axis=0))


def test_own_thresholds_undo_a_gain_of_the_person_and_keep_the_kernels(load):
    features = load("changed_features")
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(12, 3, 64)).astype(np.float32))
    network = features.default_network(3, 64, 2)
    network.fit_kernels(x, 0)

    def amplitudes(of, windows):
        with torch.inference_mode():
            return of.features(windows)[:, -network.kernels.families[1] :]

    own, louder = (features.with_thresholds_of(network, windows) for windows in (x, 4 * x))
    for bank in ("shape", "change", "amplitude"):
        channels = getattr(network.kernels, bank).channels
        assert torch.equal(getattr(own.kernels, bank).channels, channels)
    assert (amplitudes(own, 4 * x) - amplitudes(own, x)).abs().mean() > 0.1
    assert (amplitudes(louder, 4 * x) - amplitudes(own, x)).abs().mean() < 0.01
    half = features.with_thresholds_of(network, 4 * x, 0.5).kernels.amplitude.thresholds
    bounds = network.kernels.amplitude.thresholds, louder.kernels.amplitude.thresholds
    assert_allclose(half, (bounds[0] + bounds[1]) / 2, atol=1e-6)


def test_directions_in_which_people_differ_lose_weight_and_others_do_not(load, few):
    features = load("changed_features")

    def between_and_within(case):
        groups = case.labelled.groups
        means = np.array([case.train[groups == g].mean(0) for g in np.unique(groups)])
        return means.var(0).sum(), (case.train - means[groups]).var(0).sum()

    plain = between_and_within(few)
    changed = between_and_within(features.down_weighted(few, 10))
    assert changed[0] < 0.7 * plain[0]
    assert changed[1] > 0.7 * plain[1]
    assert_allclose(features.down_weighted(few, 0).test, few.test, atol=1e-6)


def test_the_spread_of_each_person_comes_closer_to_that_of_all(load, few):
    features = load("changed_features")

    def spreads(case):
        return np.log([case.test[case.people == person].std(0).mean() for person in
                       np.unique(case.people)])  # fmt: skip

    wide = few.people == few.people[0]
    test = np.where(wide[:, None], 3 * few.test, few.test)
    wider = replace(few, test=test)
    assert np.ptp(spreads(features.equal_spread(wider))) < 0.5 * np.ptp(spreads(wider))


def test_a_drift_is_removed_by_neighbours_and_the_mean_of_the_person_stays(load, few):
    adaptation = load("adaptation")
    _, adaptive = adaptation.fitted(few)
    adaptive = replace(adaptive, decision=replace(adaptive.decision, kind="recenter"))
    steps = np.zeros(len(few.people))
    for person in np.unique(few.people):
        steps[few.people == person] = np.arange((few.people == person).sum())
    values = np.stack([steps, -steps], axis=1)
    moved = adaptation.drifting(few, values, adaptive, 5)
    assert moved.std(0).max() < 0.7 * values.std(0).min()
    assert_allclose(moved.mean(0), values.mean(0), atol=1e-9)


def test_another_shrinkage_is_put_back(load):
    adaptation = load("adaptation")
    assert adaptation.mean_weight(6) == 0.5
    with adaptation.shrinkage(10.0):
        assert_allclose(adaptation.mean_weight(6), 5 / 15)
    assert adaptation.mean_weight(6) == 0.5


def test_differences_are_paired_by_person_and_averaged_over_people_and_sets(load):
    adaptation = load("adaptation")
    second = {
        "large": {("0.1", "0", str(i)): 0.5 for i in range(40)},
        "small": {("0.1", "0", "a"): 0.2, ("0.1", "1", "a"): 0.4, ("0.5", "0", "b"): 0.4},
    }
    first = {
        "large": dict.fromkeys(second["large"], 0.6),
        "small": {("0.1", "0", "a"): 0.3, ("0.5", "0", "b"): 0.7},  # without fold 1
        "other": {("0.1", "0", "a"): 1.0},
    }
    of_sets = adaptation.gaps(first, second)
    assert set(of_sets) == {"large", "small"}
    assert_allclose(of_sets["small"], [0.1, 0.3])
    assert_allclose(adaptation.gaps(first, second, "0.1")["small"], [0.1])
    mean, low, high = adaptation.interval(of_sets)
    assert_allclose(mean, 0.15)
    assert 0.09 < low < 0.15 < high < 0.31
    assert_allclose(adaptation.interval({"large": of_sets["large"]}), 0.1)  # all are equal


def test_tables_leave_out_means_of_fewer_people_and_name_the_worst_set(load, capsys):
    adaptation = load("adaptation")
    new = "all, shrinkage 2"
    rows = [
        {"set": name, "fold": "0", "share": "0.1", "variant": variant, "person": person,
         "macro_f1": str(f1), "log_loss": "0.5", "kind": "recenter" if person == "a" else "None"}
        for variant, name, person, f1 in (
            (adaptation.NONE, "first", "a", 0.2), (adaptation.NONE, "second", "b", 0.3),
            (adaptation.ALL, "first", "a", 0.5), (adaptation.ALL, "second", "b", 0.7),
            (new, "second", "b", 0.6),
        )
    ]  # fmt: skip
    adaptation.print_tables(rows)
    means, beside_none, beside_all = capsys.readouterr().out.split("\n\n")[1:]
    assert f"| {adaptation.ALL} | 0.600 | 0.500 | 50% |" in means
    assert new not in means
    assert "| +35.0 | +30.0 (first, 10%) | +0.000" in beside_none
    assert f"| {new} | -10.0 [-10.0, -10.0] | -10.0 | -10.0 (second, 10%)" in beside_all


def test_windows_without_a_label_are_compared_with_the_labels_alone(load, capsys):
    unlabelled = load("unlabelled")
    scores = {unlabelled.ALONE: 0.5, unlabelled.CENTRES: 0.6, unlabelled.SCALES: 0.4}
    rows = [
        {"set": name, "fold": fold, "fraction": str(share), "model": way, "macro_f1": str(f1),
         "log_loss": "1", "weights": str(int(way == unlabelled.CENTRES and fold == "0"))}
        for name in ("first", "second", "third", "alone") for fold in ("0", "1")
        for share in unlabelled.SHARES for way, f1 in scores.items()
        if name != "alone" or way != unlabelled.CENTRES
    ]  # fmt: skip
    unlabelled.print_tables(rows)
    known, alone = capsys.readouterr().out.strip().split("\n\n")
    assert known.startswith("people known, 3 sets")
    gaps = "+0.100 [+0.100, +0.100] | -0.100 [-0.100, -0.100]"
    assert f"| macro-F1 | 1% | 0.500 | {gaps} | 50% |" in known
    assert "| macro-F1 | 1% | 0.500 | -0.100 |" in alone


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


def test_inner_folds_score_the_features_of_the_default(load):
    inner = load("inner_folds")
    X = load_watch().X[::200, :2].astype(np.float32)
    of_kernels, kernels = inner.kernel_features(X)
    found, views = inner.network_features(X, "eeg-freq")
    alone, both = inner.parts_beside(kernels, 2 * 24, views)
    clf = CitrusClassifier("eeg-freq", device="cpu", random_state=0)
    network = clf.fit(X, np.arange(len(X)) % 2).net_.module_
    assert both.views == network.head.views
    assert both.shares == network.head.shares
    assert both.families == network.families
    assert alone.columns == slice(network.readout.n_features)
    with torch.no_grad():
        expected = network.features(torch.from_numpy(X))
    n = found.shape[1]
    torch.testing.assert_close(found, expected[:, :n], atol=1e-4, rtol=1e-4)
    assert of_kernels.shape[1] == expected.shape[1] - n


def test_inner_folds_are_of_the_training_part_and_keep_people_apart(load):
    inner = load("inner_folds")
    X, y, groups = (each[::8] for each in (load_watch().X, load_watch().y, load_watch().groups))
    windows, labels, people = inner.training_part(X, y, groups)
    assert len(windows) == len(labels) == len(people)
    assert len(set(people)) < len(set(groups))
    for train, test in inner.inner_splits(labels, people):
        assert not set(people[train]) & set(people[test])


def test_the_network_among_other_reads_is_the_default(load):
    reads, inner = load("other_reads"), load("inner_folds")
    watch = load_watch()
    case = ("watch", watch.X[::6, :2].astype(np.float32), watch.y[::6], watch.groups[::6])

    def scores(rows):
        return {
            (row["model"].removeprefix("default: "), row["fold"], row["fraction"]): [
                float(row[metric]) for metric in ("macro_f1", "log_loss")
            ]
            for row in rows
        }

    found = scores(reads.rows_of_set(*case, "multi-freq", "multi-time"))
    expected = scores(inner.rows_of_set(*case, ["multi-freq"]))
    for model, same in (("kernels", "kernels"), ("network", "multi-freq")):
        for fold, fraction in {key[1:] for key in found}:
            assert_allclose(found[model, fold, fraction], expected[same, fold, fraction], atol=2e-4)
    models = {key[0] for key in found}
    assert len(models) == 17
    means = {name: np.mean([v for k, v in found.items() if k[0] == name], 0) for name in models}
    assert all(np.abs(means[name] - means["network"]).max() > 1e-4 for name in models - {"network"})


def test_other_reads_are_printed_from_their_file(load, tmp_path, capsys, monkeypatch):
    reads = load("other_reads")
    from cells import replace_all

    rows = [
        {"set": name, "model": model, "fold": str(fold), "fraction": str(fraction),
         "macro_f1": f"{0.5 + 0.1 * (model == 'default: network') + 0.01 * fold}"}
        for name in "abc" for fold in range(3) for fraction in reads.inner.FRACTIONS
        for model in ("kernels", "network, alone", "default: network", "convolution only, alone",
                      "default: convolution only")
    ]  # fmt: skip
    replace_all(tmp_path / "reads.csv", rows)
    monkeypatch.setattr(sys, "argv", ["other_reads.py", "--table", str(tmp_path / "reads.csv")])
    reads.main()
    lines = capsys.readouterr().out.splitlines()
    assert "| network | 0.510 | 0.510 | 0.510 | 0.510 | 0.610 | 0.610 | 0.610 | 0.610 |" in lines
    assert lines[-2].startswith("| kernels | -10.0 [-10.0, -10.0] |")


def test_continued_training_is_compared_on_people_who_are_left_out(load, capsys, monkeypatch):
    continued = load("continued")
    people = np.repeat(["1", "10", "2", "3"], 2)
    first, second = continued.halves(people)
    assert set(people[first]) == {"1", "10"}
    assert_array_equal(first, ~second)
    found = {}

    def evaluate(parameters, half, shots, n_windows):
        found.setdefault((parameters["pretrained"], parameters["max_steps"]), []).append(half)
        return [half, *(0.5 for _ in shots)]

    monkeypatch.setattr(continued, "evaluate", evaluate)
    continued.main(["--steps", "7", "--rates", "1e-4", "--shots", "2"])
    assert found == {(s, n): [0, 1] for s in (None, "multi-freq") for n in (1, 7)}
    assert "| multi-freq | 7 | 0.0001 | 0.500 | 0.500 |" in capsys.readouterr().out


def test_people_do_fewer_classes_in_the_designs_of_recentring(load):
    partial = load("partial_recentring")
    watch = load_watch()
    y, people = watch.y[::5], watch.groups[::5]
    designs = list(partial.designs(y, people))
    fewer = [design for _ in range(partial.N_CHANGED) for design in partial.DESIGNS[1:]]
    assert [name for name, _ in designs] == [partial.DESIGNS[0], *fewer]
    n_classes = dict(zip(partial.DESIGNS, (7, 3, 1), strict=True))
    for name, kept in designs:
        done = [len(np.unique(y[kept][people[kept] == person])) for person in np.unique(people)]
        assert set(done) == {n_classes[name]}
    assert len({kept.tobytes() for _, kept in designs}) == len(designs)  # each draw is another
    assert [name for name, _ in partial.designs(people, people)] == ["one class"]
    two = np.where(y == y[0], "a", "b")
    expected = ["all classes", *["one class"] * partial.N_CHANGED]
    assert [name for name, _ in partial.designs(two, people)] == expected


def test_recentring_of_few_labels_is_scored_in_three_ways(load, monkeypatch, capsys):
    partial, watch = load("partial_recentring"), load_watch()
    monkeypatch.setattr(partial, "SHARES", {0.05: 1})
    sets = {"watch": (watch.X[::5], watch.y[::5], watch.groups[::5], watch.sfreq)}
    monkeypatch.setattr(partial, "read_sets", lambda folder: sets)
    monkeypatch.setattr(sys, "argv", ["partial_recentring.py"])
    partial.main()
    lines = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines()[3:]]
    table = {cells[0].strip(): [float(cell) for cell in cells[3:-1]] for cells in lines}
    assert tuple(table) == partial.DESIGNS
    never, auto, always = table["all classes"][:3]
    assert never < auto <= always + 0.02
    assert table["one class"][-1] == 0
    assert table["one class"][0] == table["one class"][1]


def test_the_time_and_the_memory_of_many_windows_are_measured(load):
    many = load("many_windows")
    X, y = many.tones(1200)
    assert X.shape == (1200, 1, 256)
    assert np.isfinite(X).all()
    assert set(y) == {0, 1, 2, 3}
    for measure in (many.measure, many.measure_prediction):
        seconds, accuracy, peak = measure(100)
        assert seconds > 0
        assert 0.3 < accuracy < 1
        assert 0.1 < peak < 20


def test_a_fault_changes_its_channels_alone_and_keeps_their_strength(load):
    unlike, rng = load("unlike"), np.random.default_rng(0)
    X = load_watch(overlap=0).X[:20]
    for name, fault in unlike.faults(50.0).items():
        faulty = fault(X.copy(), rng)
        touched = [1, 4] if "swapped" in name else [1]
        same = np.setdiff1d(np.arange(6), touched)
        assert_array_equal(faulty[:, same], X[:, same])
        if "swapped" in name:
            assert_array_equal(faulty[:, touched], X[:, touched[::-1]])
            continue
        assert_allclose(faulty[:, 1].mean(1), X[:, 1].mean(1), atol=0.3)
        sd = 0 if "flat" in name else X[:, 1].std(1)
        assert_allclose(faulty[:, 1].std(1), sd, rtol=0.2, atol=1e-6)


def test_detectors_on_features_find_a_flat_channel_of_new_people(load):
    unlike, watch = load("unlike"), load_watch(overlap=0)
    X, new = watch.X[::4], np.isin(watch.groups[::4], ["1", "2"])
    embedder = CitrusEmbedder(random_state=0).fit(X)
    features = {"unchanged": embedder.transform(X)}
    features["flat"] = embedder.transform(unlike.flat(X.copy(), np.random.default_rng(0)))
    scores = unlike.scores_of_fold(features, np.flatnonzero(~new), np.flatnonzero(new))
    for name in ("IsolationForest", "LocalOutlierFactor"):
        assert float(unlike.summary([scores[name]], "flat").split()[0]) > 0.95


def test_missing_channels_differ_between_draws_and_the_others_stay(load):
    benchmark, X = load("missing_channels"), load_watch(overlap=0).X[:5]
    draws = [tuple(each) for each in benchmark.missing(6, 0)]
    assert [len(each) for each in draws] == [1, 1, 3, 3]
    assert len(set(draws)) == 4
    found = benchmark.filled(X, np.array([0, 4]), "mean of others")
    assert_array_equal(found[:, [1, 2, 3, 5]], X[:, [1, 2, 3, 5]])
    assert_allclose(found[:, 4], X[:, [1, 2, 3, 5]].mean(1), rtol=1e-6)
    assert_array_equal(benchmark.filled(X, np.array([0, 4]), "zeros")[:, 0], 0)


def test_the_expected_error_of_the_simulated_people_is_that_of_many(load):
    rejection = load("rejection")
    _, wrong, _ = rejection.draw(np.random.default_rng(0), 3000, 2, 1.5)
    assert rejection.population(2, 1.5)[1].mean() == pytest.approx(wrong.mean(), abs=0.01)
