"""The tables of the documentation: what is computed, and that the pages agree with the rows."""

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose


@pytest.fixture
def tables(load):
    return load("tables")


def rows_of(scores, fraction="0.2", weights=""):
    """Rows from macro-F1 by model and set, fold by fold."""
    return [
        {"set": name, "model": model, "fold": str(fold), "fraction": fraction, "weights": weights,
         **dict.fromkeys(("accuracy", "macro_f1", "log_loss", "calibration_error"), str(score))}
        for model, of_sets in scores.items()
        for name, of_folds in of_sets.items() for fold, score in enumerate(of_folds)
    ]  # fmt: skip


def lines_of(table):
    rows = [line[2:-2].split(" | ") for line in table.splitlines()]
    return {tuple(row[:-1]): row[-1] for row in rows[2:]}


def test_the_pages_agree_with_the_rows(tables):
    rows = tables.rows_of(tables.RESULTS)
    assert rows
    for page in tables.PAGES:
        text = page.read_text(encoding="utf-8")
        assert tables.filled(text, rows) == text, "run python benchmarks/tables.py"
    marked = tables.MARKED.findall(tables.PAGES[0].read_text(encoding="utf-8"))
    assert len(marked) > 5


def test_the_page_on_where_it_does_not_help_has_lines_of_the_printed_tables(tables):
    page = tables.ROOT / "docs" / "guide" / "when_it_does_not_help.md"
    lines = re.findall(r"^\| \w+, .*\|$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(lines) > 10
    rows = tables.read([tables.RESULTS / "lowdata.csv", tables.RESULTS / "hydra.csv"])
    assert set(lines) <= set(tables.each_set(rows, "macro_f1").splitlines())


def test_the_rows_are_whole_and_each_model_has_one_kind_of_weights(tables):
    weights = {}
    for row in tables.rows_of(tables.RESULTS):
        assert 0 <= float(row["macro_f1"]) <= 1
        assert float(row["log_loss"]) > 0
        assert int(row["n_train"]) <= 1000 + 4  # each of up to eight classes is rounded
        assert weights.setdefault(row["model"], row["weights"]) == row["weights"]


def test_a_table_is_written_between_its_marks_and_the_text_around_it_stays(tables):
    rows = rows_of({"kernels": {"a": [0.5]}})
    page = "Before.\n\n<!-- table: means-accuracy -->\nold\n<!-- end -->\n\nAfter.\n"
    once = tables.filled(page, rows)
    assert once.startswith("Before.\n\n<!-- table: means-accuracy -->\n\n| accuracy, mean")
    assert "| kernels | 0.500 |\n\n<!-- end -->\n\nAfter.\n" in once
    assert "old" not in once
    assert tables.filled(once, rows) == once
    with pytest.raises(ValueError, match="got 'nothing'"):
        tables.filled(page.replace("means-accuracy", "nothing"), rows)


def test_means_are_over_sets_of_means_over_folds(tables):
    rows = rows_of({
        "network": {"a": [0.2, 0.4], "b": [0.9]},
        "default": {"a": [0.5, 0.5], "b": [0.7]},
        "kernels": {"a": [0.5, 0.5]},
    })  # fmt: skip
    found = lines_of(tables.means(rows, "macro_f1", tables.SHOWN))
    assert found == {("network",): "0.600", ("kernels",): "", ("default",): "0.600"}


def test_differences_are_paired_by_set_and_fold(tables):
    rows = rows_of({
        "kernels": {"a": [0.2, 0.4], "b": [0.9, 0.1, 0.8], "c": [0.3, 0.3]},
        "default": {"a": [0.3, 0.5], "b": [0.8, 0.3], "c": [0.3, 0.3]},
        "minirocket": {"a": [0.1, 0.3]},
    })  # fmt: skip
    found = lines_of(tables.differences_by_sets(rows, "macro_f1"))
    assert found["all (3)", "default − kernels"].startswith("+5.0 [")  # noqa: RUF001
    assert found["all (3)", "default − minirocket (the best peer)"] == "+20.0 (1 set)"  # noqa: RUF001


def test_solved_sets_are_those_of_the_kernels_from_five_percent_on(tables):
    rows = rows_of({"kernels": {"a": [0.3], "b": [0.99], "c": [0.99]}}, "0.01")
    for fraction in ("0.05", "1.0"):
        low = 0.92 if fraction == "0.05" else 0.99
        scores = {"a": [0.9, 0.97], "b": [low, low], "c": [0.93, 0.95]}
        rows += rows_of({"kernels": scores, "default": scores}, fraction)
    assert tables.solved_sets(rows) == {"a", "c"}
    found = lines_of(tables.differences_by_sets(rows, "macro_f1"))
    groups = {key[0] for key in found}
    assert groups == {"all (3)", "not solved (1)", "solved (2)"}


def test_the_best_peer_is_the_best_on_the_sets_that_all_peers_have(tables):
    rows = rows_of({
        "minirocket": {"a": [0.6], "b": [0.6]},
        "multirocket-hydra": {"a": [0.5], "b": [0.5], "easy": [1.0]},
    })  # fmt: skip
    assert tables.best_peer(rows) == "minirocket"
    assert tables.best_peer(rows_of({"kernels": {"a": [0.5]}})) is None


def test_people_are_compared_on_the_sets_where_they_are_known(tables):
    rows = rows_of({
        "default": {"a": [0.5], "b": [0.9]}, "default, people known": {"a": [0.7]},
    })  # fmt: skip
    means = lines_of(tables.means_of_people(rows, "macro_f1"))
    assert means == {("default",): "0.500", ("default, people known",): "0.700"}
    gap = lines_of(tables.differences_of_people(rows, "macro_f1"))
    assert gap == {("default, people known − default",): "+20.0"}  # noqa: RUF001
    assert "no rows" in tables.means_of_people(rows_of({"default": {"b": [0.9]}}), "macro_f1")


def test_rows_of_other_weights_are_named_on_the_page(tables):
    present = tables.weights_of("default")
    fresh = rows_of({"default": {"a": [0.5]}}, weights=present) + rows_of({"kernels": {"a": [1]}})
    assert tables.stale_models(fresh) == []
    assert "earlier weights" not in tables.summary(fresh)
    stale = fresh + rows_of({"network": {"a": [0.5]}}, weights="0123abcd")
    assert "Rows of earlier weights: network." in tables.summary(stale)


def test_an_interval_holds_the_mean_and_is_as_wide_as_sets_and_folds_differ(load):
    interval = load("paired").interval
    rng = np.random.default_rng(0)
    sets = {str(i): each for i, each in enumerate(rng.normal(0.05, 0.04, (40, 1)))}
    low, high = interval(sets)
    values = np.concatenate(list(sets.values()))
    assert_allclose((low + high) / 2, values.mean(), atol=0.002)
    assert_allclose(high - low, 2 * 1.96 * values.std() / 40**0.5, rtol=0.1)
    # Folds that differ widen it, and a set of two folds counts as much as one of five.
    mixed = {"a": np.array([0.0, 0.2]), "b": np.full(5, 0.1), "c": np.full(5, 0.1)}
    low, high = interval(mixed)
    assert low < 0.1 < high
    assert interval({name: np.full(3, 0.1) for name in "abc"}) == pytest.approx((0.1, 0.1))
    assert interval({"a": np.ones(5), "b": np.ones(5)}) is None
