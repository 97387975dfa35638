"""Displays of the evaluation: what is drawn is what was scored."""

import io
import math
import sys

import matplotlib as mpl
import numpy as np
import pytest
from legible import assert_legible
from matplotlib.figure import Figure
from numpy.testing import assert_allclose
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from citrus_sk._utils.plotting import style
from citrus_sk.evaluation import (
    ConfusionCurveDisplay,
    CriticalDifferenceDisplay,
    FractionCurveDisplay,
    PairedDifferenceDisplay,
    ReliabilityDisplay,
    fraction_curve,
)


@pytest.fixture(autouse=True)
def no_windows():
    """Draw without a screen, and leave no figure open."""
    import matplotlib.pyplot as plt

    with mpl.rc_context():
        plt.switch_backend("Agg")
        yield
        plt.close("all")


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    y = np.repeat(["fist", "pinch", "rest"], [60, 40, 20])
    X = rng.standard_normal((120, 5)) + 0.7 * np.unique(y, return_inverse=True)[1][:, None]
    return X, y, np.tile(np.arange(12), 10)


@pytest.fixture(scope="module")
def curve(data):
    X, y, groups = data
    models = {"logistic": LogisticRegression(), "prior": DummyClassifier(), "svc": LinearSVC()}
    models["svc"].set_params(random_state=0)
    with pytest.warns(
        UserWarning, match="fits failed in whole or in part"
    ):  # without probabilities
        return fraction_curve(
            models, X, y, groups=groups, fractions=(0.1, 0.5, 1.0), shots=(2,), n_repeats=1
        )


def test_no_two_of_many_look_alike():
    found = [style(i) for i in range(24)]
    assert len({(line, marker) for _, line, marker in found[:8]}) == 8
    assert len(set(found)) == 24
    for colour in {colour for colour, *_ in found}:
        assert len({marker for each, _, marker in found if each == colour}) == 3


def axes():
    return Figure().add_subplot()


def test_the_curve_shows_means_over_fractions(curve):
    display = FractionCurveDisplay.from_curve(curve, metric="f1_macro", ax=axes())
    for name in curve.estimators:
        line = display.lines_[name]
        assert line.get_xdata().tolist() == [0.1, 0.5, 1.0]
        means = [curve.scores(name, "f1_macro", fraction=f).mean() for f in curve.fractions]
        assert line.get_ydata().tolist() == pytest.approx(means)
    styles = [(line.get_linestyle(), line.get_marker()) for line in display.lines_.values()]
    assert len(set(styles)) == 3  # told apart in print
    below, above = display.figure_.axes
    assert [text.get_text() for text in below.get_xticklabels()] == ["10 %", "50 %", "100 %"]
    sizes = [np.mean([r["n_train"] for r in curve.select("prior", f)]) for f in curve.fractions]
    assert [text.get_text() for text in above.get_xticklabels()] == [f"{n:.0f}" for n in sizes]
    assert display.ax_.get_ylabel() == "macro-F1"


def test_bands_are_those_of_the_summary(curve):
    display = FractionCurveDisplay.from_curve(curve, metric="accuracy", ax=axes())
    bands = [b for b in display.ax_.collections if len(b.get_paths())]
    summary = curve.summary("accuracy")
    for name, band in zip(curve.estimators, bands, strict=True):
        rows = summary[(summary["estimator"] == name) & summary["fraction"].notna()]
        corners = band.get_paths()[0].vertices[:, 1]
        assert corners.min() == pytest.approx(rows["low"].min())
        assert corners.max() == pytest.approx(rows["high"].max())
    bare = FractionCurveDisplay.from_curve(curve, ax=axes()).plot(axes(), band=False)
    assert not bare.ax_.collections


def test_many_estimators_get_bars_that_stand_apart(data):
    X, y, groups = data
    models = {f"C={c}": LogisticRegression(C=c) for c in (0.01, 0.1, 1, 10)}
    display = FractionCurveDisplay.from_estimators(
        models, X, y, groups=groups, fractions=(0.5, 1.0), ax=axes()
    )
    assert len({line.get_xdata()[0] for line in display.lines_.values()}) == 4
    assert len(display.ax_.containers) == 4


@pytest.mark.parametrize(
    ("metric", "level"),
    [
        ("accuracy", 0.5),
        ("balanced_accuracy", 1 / 3),
        ("f1_macro", 2 * 0.5 / 1.5 / 3),
        ("neg_log_loss", 0.5 * math.log(0.5) + math.log(1 / 3) / 3 + math.log(1 / 6) / 6),
    ],
)
def test_the_chance_line_is_what_a_blind_model_reaches(data, metric, level):
    X, y, groups = data
    strategy = "prior" if metric == "neg_log_loss" else "most_frequent"
    display = FractionCurveDisplay.from_estimator(
        DummyClassifier(strategy=strategy), X, y, groups=groups, fractions=(1.0,), cv=4,
        scoring=metric, ax=axes(),
    )  # fmt: skip
    (chance,) = [
        line for line in display.ax_.lines if not line.get_label().startswith(("_", "Dum"))
    ]
    assert chance.get_ydata()[0] == pytest.approx(level)
    assert display.lines_["DummyClassifier"].get_ydata()[0] == pytest.approx(level, abs=0.01)


def test_what_nobody_knows_the_chance_of_has_no_such_line(curve):
    display = FractionCurveDisplay.from_curve(curve, metric="fit_time", ax=axes())
    assert len(display.ax_.lines) == 3
    assert display.ax_.get_yscale() == "log"
    assert display.ax_.get_ylabel() == "fit time (s)"


def test_amounts_without_a_score_are_left_out(curve):
    display = FractionCurveDisplay.from_curve(curve, metric="neg_log_loss", ax=axes())
    assert display.lines_["svc"].get_xdata().size == 0
    assert display.lines_["prior"].get_xdata().size == 3


def test_shots_are_windows_a_class(curve):
    display = FractionCurveDisplay.from_curve(curve, amount="shots", ax=axes())
    assert display.lines_["prior"].get_xdata().tolist() == [2]
    assert display.ax_.get_xlabel() == "labelled windows per class"
    with pytest.raises(ValueError, match="amount='hours' has no points"):
        FractionCurveDisplay.from_curve(curve, amount="hours")


def test_a_new_figure_is_made_without_axes(curve):
    assert FractionCurveDisplay.from_curve(curve).figure_.get_size_inches()[0] > 3
    assert ReliabilityDisplay.from_curve(curve).figure_.axes
    assert ConfusionCurveDisplay.from_curve(curve, "svc").figure_.axes


def test_reliability_counts_windows_and_its_error(curve):
    display = ReliabilityDisplay.from_curve(curve, fraction=1.0, ax=axes())
    assert list(display.bins) == ["logistic", "prior"]  # svc has no probabilities
    assert display.bins["prior"][:, 0].sum() == 120
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    # The prior says 0.5 of the commonest class, and is right in half of all cases.
    assert any(text.startswith("prior, error 0.0") for text in texts)


def test_reliability_by_person_has_a_point_for_each_of_them(curve, data):
    display = ReliabilityDisplay.from_curve(curve, fraction=1.0, by="person", ax=axes())
    of_logistic = display.bins["logistic"]
    assert len(of_logistic) == len(np.unique(data[2]))
    assert of_logistic[:, 0].sum() == 120  # each person is in one test fold
    rows = curve.select("logistic", fraction=1.0)
    n_correct = sum(row["accuracy"] * row["n_test"] for row in rows)
    assert of_logistic[:, 2].sum() == pytest.approx(n_correct)
    points = display.ax_.lines[1]
    assert_allclose(points.get_ydata(), of_logistic[:, 2] / of_logistic[:, 0])
    assert display.ax_.get_xlabel() == "confidence, mean of a person"
    with pytest.raises(ValueError, match="by='window' is unknown"):
        ReliabilityDisplay.from_curve(curve, by="window")


def test_reliability_by_person_needs_people(data):
    X, y, _ = data
    curve = fraction_curve(DummyClassifier(), X, y, fractions=(1.0,), scoring="accuracy")
    with pytest.raises(ValueError, match="Pass groups to fraction_curve"):
        ReliabilityDisplay.from_curve(curve, by="person")


def test_reliability_without_probabilities_is_refused(data):
    X, y, groups = data
    model = LinearSVC(random_state=0)
    curve = fraction_curve(model, X, y, groups=groups, fractions=(1.0,), scoring="accuracy")
    with pytest.raises(ValueError, match="gave probabilities"):
        ReliabilityDisplay.from_curve(curve)


def test_confusions_are_summed_over_folds(curve):
    display = ConfusionCurveDisplay.from_curve(curve, "prior")
    assert list(display.matrices) == ["10 %", "50 %", "100 %"]
    assert display.matrices["100 %"].tolist() == [[60, 0, 0], [40, 0, 0], [20, 0, 0]]
    assert [t.get_text() for t in display.axes_[0].get_yticklabels()] == ["fist", "pinch", "rest"]
    shots = ConfusionCurveDisplay.from_curve(curve, "prior", amount="shots")
    assert list(shots.matrices) == ["2 per class"]


def test_matrices_take_the_place_of_the_axes_that_were_given(curve):
    figure = Figure(figsize=(14, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    display = ConfusionCurveDisplay.from_curve(curve, "svc", ax=right)
    assert display.figure_ is figure
    assert display.axes_.shape == (3,)
    assert not right.axison
    figure.draw_without_rendering()
    for ax in display.axes_:
        assert ax.get_position().x0 > left.get_position().x1
        assert ax.get_xlabel() == "predicted"
    again = display.plot(Figure().subplots(3, 1))
    assert [ax.get_title() for ax in again.axes_] == ["10 %", "50 %", "100 %"]


@pytest.mark.parametrize("n_fractions", [1, 5])
def test_names_of_classes_are_below_each_column_of_matrices(data, n_fractions):
    X, y, groups = data
    fractions = np.linspace(0.2, 1, n_fractions).tolist()
    curve = fraction_curve(DummyClassifier(), X, y, groups=groups, fractions=fractions, n_repeats=1)
    display = ConfusionCurveDisplay.from_curve(curve, "DummyClassifier")
    display.figure_.draw_without_rendering()
    lowest = {ax.get_subplotspec().colspan.start: ax for ax in display.axes_}
    for ax in lowest.values():
        assert ax.get_xlabel() == "predicted"
        assert ax.xaxis.get_majorticklabels()[0].get_visible()


def test_critical_differences_name_every_model_and_join_cliques():
    rng = np.random.default_rng(0)
    scores = rng.normal([0.5, 0.51, 0.9], 0.01, (12, 3))
    display = CriticalDifferenceDisplay.from_scores(scores, ["a", "b", "c"], ax=axes())
    texts = [text.get_text() for text in display.ax_.texts]
    assert [t for t in texts if t.startswith("critical difference 0.9")]
    assert [t for t in texts if t == "c  (1.00)"]
    thick = [line for line in display.ax_.lines if line.get_linewidth() == 4]
    assert len(thick) == len(display.ranks.cliques()) == 1
    by_pairs = CriticalDifferenceDisplay.from_scores(
        scores, ["a", "b", "c"], method="holm", ax=axes()
    )
    assert not [t for t in by_pairs.ax_.texts if "critical" in t.get_text()]


def test_paired_differences_are_sorted_and_counted():
    display = PairedDifferenceDisplay.from_scores(
        [0.5, 0.9, np.nan, 0.6], [0.6, 0.6, 0.1, 0.6], labels=["p", "q", "r", "s"],
        names=("ours", "theirs"), metric="macro-F1", ax=axes(),
    )  # fmt: skip
    labels = [text.get_text() for text in display.ax_.get_yticklabels()]
    assert labels == ["mean, 95 %", "p", "s", "q"]
    assert display.ax_.get_title() == "ours better on 1 of 3, 1 equal"
    assert display.ax_.get_xlabel() == "macro-F1: ours minus theirs"
    with pytest.raises(ValueError, match="first has 2 scores, second 3, labels None"):
        PairedDifferenceDisplay.from_scores([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="have no pair of finite scores"):
        PairedDifferenceDisplay.from_scores([np.nan], [1])


def test_without_matplotlib_the_error_says_how_to_get_it(curve, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ModuleNotFoundError, match=r"A plot needs .* pip install matplotlib"):
        FractionCurveDisplay.from_curve(curve)


NAMES = ["citrus", "multirocket-hydra", "minirocket", "quant", "bandpower"]


def narrow(height):
    return Figure(figsize=(3.5, height), layout="constrained")


def differences(curve, ax):
    first, second = np.random.default_rng(0).normal([[0.8], [0.7]], 0.05, (2, 9))
    return PairedDifferenceDisplay.from_scores(
        first, second, names=("citrus", "multirocket-hydra"), ax=ax
    )


def ranks(curve, ax):
    scores = np.random.default_rng(0).normal([0.8, 0.78, 0.7, 0.6, 0.5], 0.05, (12, 5))
    return CriticalDifferenceDisplay.from_scores(scores, NAMES, ax=ax)


@pytest.mark.parametrize(
    ("draw", "height"),
    [
        (lambda curve, ax: FractionCurveDisplay.from_curve(curve, metric="f1_macro", ax=ax), 3.2),
        (lambda curve, ax: ReliabilityDisplay.from_curve(curve, ax=ax), 4),
        (lambda curve, ax: ConfusionCurveDisplay.from_curve(curve, "svc", ax=ax), 6),
        (differences, 3),
        (ranks, 2),
    ],
    ids=["curve", "reliability", "confusion", "differences", "ranks"],
)
def test_everything_is_within_a_figure_as_wide_as_a_column(curve, draw, height):
    figure = narrow(height)
    draw(curve, figure.add_subplot())
    figure.savefig(io.BytesIO(), format="png")  # which lays it out
    box = figure.get_tightbbox()
    assert box.x0 >= -0.03
    assert box.y0 >= -0.03
    assert box.x1 <= 3.53
    assert box.y1 <= height + 0.03
    for ax in figure.axes[:1]:  # and what is drawn has room beside what is written
        assert ax.get_position().width * 3.5 > 1
    if legends := [ax.get_legend() for ax in figure.axes if ax.get_legend()]:
        under = figure.axes[0].xaxis.label.get_window_extent().y0
        assert legends[0].get_window_extent().y1 <= under + 2  # pixels


def test_matrices_stand_below_each_other_where_there_is_no_room(curve):
    narrow_ones = ConfusionCurveDisplay.from_curve(curve, "svc", ax=narrow(6).add_subplot()).axes_
    assert len({ax.get_subplotspec().colspan.start for ax in narrow_ones}) == 1
    wide_ones = ConfusionCurveDisplay.from_curve(curve, "svc").axes_
    assert len({ax.get_subplotspec().colspan.start for ax in wide_ones}) == 3


def test_bands_end_where_scores_do(curve):
    ends = {"neg_log_loss": (-math.inf, 0), "accuracy": (0, 1), "fit_time": (0, math.inf)}
    for metric, (lowest, highest) in ends.items():
        for _, band in curve.bands("logistic", metric, "shots"):
            assert lowest <= band["low"] <= band["mean"] <= band["high"] <= highest


@pytest.mark.parametrize("width", [3.3, 6.3])
def test_long_names_and_close_fractions_are_legible(data, width):
    X, y, groups = data
    names = ("logistic regression", "nearest neighbours", "gradient boosting", "MultiRocket-Hydra")
    classes = np.array(["external rotation", "forward elevation", "trapezius extension"])
    long = classes[np.unique(y, return_inverse=True)[1]]
    curve = fraction_curve(
        {name: DummyClassifier() for name in names}, X, long, groups=groups, n_repeats=1, cv=2,
        fractions=(0.02, 0.05, 0.1, 0.2, 0.5, 1.0),
    )  # fmt: skip
    draws = [
        (FractionCurveDisplay.from_curve, {}, 3.4),
        (ReliabilityDisplay.from_curve, {}, 4.6),
        (ConfusionCurveDisplay.from_curve, {"estimator": names[0]}, 9 if width < 4 else 6),
    ]
    for draw, settings, height in draws:
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(curve, ax=figure.add_subplot(), **settings)
        assert_legible(figure)
    if width > 4:  # and in the size of its own
        assert_legible(ConfusionCurveDisplay.from_curve(curve, names[0]).figure_)
