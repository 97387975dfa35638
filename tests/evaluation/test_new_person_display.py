"""NewPersonDisplay: what is drawn is what was scored on new people."""

import io
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression

from citrus_sk.evaluation import NewPersonCurve, NewPersonDisplay, new_person_curve


@pytest.fixture(scope="module")
def curve():
    rng = np.random.default_rng(0)
    y, people = np.tile(["rest", "fist"], 60), np.repeat(np.arange(4), 30)
    X = rng.standard_normal((120, 3)) + (y == "fist")[:, None]
    models = {"logistic": LogisticRegression(), "prior": DummyClassifier()}
    return new_person_curve(models, X, y, people, n_calibration=(0, 1, 5))


def draw(curve, size=(5, 3.6), **settings):
    ax = Figure(figsize=size, layout="constrained").add_subplot()
    return NewPersonDisplay.from_curve(curve, ax=ax, **settings)


def test_lines_are_means_over_people(curve):
    display = draw(curve, metric="f1_macro")
    for name, line in display.lines_.items():
        assert line.get_xdata().tolist() == [0, 1, 2, 3]
        means = [curve.scores(name, "f1_macro", known=known).mean() for known in curve.known]
        assert line.get_ydata().tolist() == pytest.approx(means)
    assert display.ax_.get_ylabel() == "macro-F1"
    assert list(display.lines_) == curve.estimators


def test_the_axis_says_what_is_known(curve):
    ax = draw(curve).ax_
    texts = [text.get_text().replace("\n", " ") for text in ax.get_xticklabels()]
    assert texts == ["nothing known", "unlabelled windows", "1", "5"]
    assert ax.get_xlabel() == "labelled windows per class"
    middle = ax.xaxis.label.get_position()[0] * 4 - 0.5
    assert middle == 2.5  # below the two numbers


def test_without_labels_the_axis_has_no_number(curve):
    rows = [row for row in curve.rows if row["known"] != "labelled"]
    without = NewPersonCurve(rows, metrics=curve.metrics, settings=curve.settings)
    assert draw(without).ax_.get_xlabel() == ""


def test_bands_are_those_of_the_summary(curve):
    display = draw(curve, metric="accuracy", confidence=0.8)
    band = display.ax_.collections[0].get_paths()[0].vertices
    summary = curve.summary("accuracy", confidence=0.8)
    assert band[:, 1].max() == pytest.approx(summary["high"][:4].max())
    assert band[:, 1].min() == pytest.approx(summary["low"][:4].min())
    assert not draw(curve).plot(Figure().add_subplot(), band=False).ax_.collections


def test_each_person_is_a_point(curve):
    display = draw(curve)
    lines = set(display.lines_.values())
    points = [line for line in display.ax_.lines if line.get_linestyle() == "None"]
    shown = [line.get_ydata().tolist() for line in points if line not in lines]
    scores = [curve.scores(name, known=known) for name in curve.estimators for known in curve.known]
    assert shown == [each.tolist() for each in scores]
    without = display.plot(Figure().add_subplot(), people=False).ax_.lines
    assert len(without) == len(lines) + 1  # and the chance level


def test_more_than_three_estimators_have_error_bars_side_by_side(curve):
    rows = [row | {"estimator": row["estimator"] + end} for end in "ab" for row in curve.rows]
    four = NewPersonCurve(rows, metrics=curve.metrics, settings=curve.settings)
    display = draw(four)
    starts = [line.get_xdata()[0] for line in display.lines_.values()]
    assert starts == sorted(starts)
    assert sum(starts) == pytest.approx(0)
    assert np.ptp(starts) < 0.5
    assert len(display.ax_.containers) == 4


def test_chance_and_failures_are_in_the_legend(curve):
    rows = [dict(row) for row in curve.rows]
    rows[0]["accuracy"] = np.nan
    partly = NewPersonCurve(rows, metrics=curve.metrics, settings=curve.settings)
    texts = [text.get_text() for text in draw(partly).ax_.get_legend().get_texts()]
    assert texts == ["logistic, some fits failed", "prior", "commonest class, 0.50"]


@pytest.mark.parametrize("size", [(5, 3.6), (3.5, 3.4)])
def test_nothing_overlaps_or_leaves_the_figure(curve, size):
    display = draw(curve, size)
    figure, ax = display.figure_, display.ax_
    figure.savefig(io.BytesIO(), format="png")  # which lays it out
    box = figure.get_tightbbox()
    assert box.x0 >= -0.03
    assert box.y0 >= -0.03
    assert box.x1 <= size[0] + 0.03
    texts = [text.get_window_extent() for text in ax.get_xticklabels()]
    for left, right in pairwise(texts):
        assert left.x1 <= right.x0
    label = ax.xaxis.label.get_window_extent()
    assert ax.get_legend().get_window_extent().y1 <= label.y0 + 2  # pixels
