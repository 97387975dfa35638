"""Displays in the width of a column and of a page of a journal: nothing overlaps or is cut off."""

import mne
import numpy as np
import pytest
from legible import assert_legible
from matplotlib.figure import Figure

from citrus_sk import LearningRateDisplay
from citrus_sk.datasets import load_watch
from citrus_sk.inspection import BandOcclusionDisplay, EmbeddingDisplay
from citrus_sk.inspection.band_occlusion import BandOcclusion, octave_name
from citrus_sk.mne import RawPrediction, RawPredictionDisplay

CLASSES = np.unique(load_watch().y)  # seven, of up to 19 letters


def embedding(ax):
    rng = np.random.default_rng(0)
    EmbeddingDisplay(
        points=rng.standard_normal((140, 2)),
        axis_labels=[f"component {i} (17% of the variance)" for i in (1, 2)],
        y=np.tile(CLASSES, 20), groups=np.repeat(np.arange(10), 14),
        shares={"y": 0.3, "groups": 0.1},
    ).plot(ax)  # fmt: skip


def bands(ax):
    edges = 50 / 2.0 ** np.arange(8, 0, -1)
    pairs = zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    found = {octave_name(*pair): pair for pair in pairs}
    values = np.random.default_rng(0).random((70, 7))
    BandOcclusionDisplay(occlusion=BandOcclusion(
        values=values, by_class=values, bands=found, targets=np.tile(CLASSES, 10),
        scores=values[:, 0], score_unit="log-odds", sfreq=50.0, ch_names=[],
    )).plot(ax)  # fmt: skip


def learning_rate(ax):
    rates, losses = np.geomspace(1e-5, 1, 30), np.linspace(2, 1, 30)
    LearningRateDisplay(rates, losses, losses, 1e-3, False).plot(ax)


def recording(ax):
    watch = load_watch()
    info = mne.create_info(watch.ch_names, watch.sfreq, "misc")
    raw = mne.io.RawArray(np.concatenate(watch.X[::200], axis=1), info, verbose="error")
    n = len(watch.X[::200])
    prediction = RawPrediction(
        onset=5.12 * np.arange(n), duration=5.12, proba=np.eye(7)[np.arange(n) % 7], classes=CLASSES
    )
    return RawPredictionDisplay.from_prediction(prediction, raw, picks=watch.ch_names, ax=ax)


@pytest.mark.parametrize(("width", "more"), [(3.3, 1.0), (6.3, 0.0)])
@pytest.mark.parametrize(
    ("draw", "height"), [(embedding, 6.5), (bands, 4), (learning_rate, 3), (recording, 4.5)]
)
def test_everything_is_legible(draw, height, width, more):
    figure = Figure(figsize=(width, height + more), layout="constrained")
    draw(figure.add_subplot())
    assert_legible(figure)


def test_events_differ_in_grey():
    display = recording(Figure(figsize=(8, 5), layout="constrained").add_subplot())
    curves = display.axes_[1].patches
    lines = [(each.get_edgecolor(), each.get_linestyle()) for each in curves]
    assert len(set(lines)) == len(CLASSES)
    assert len({line for _, line in lines}) == 4
