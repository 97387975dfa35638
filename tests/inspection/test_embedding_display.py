"""Windows in the plane: features that are the model's, axes that say what they show."""

import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from citrus_sk import CitrusEmbedder, EmbeddingDisplay, ModuleClassifier, SignalAligner
from citrus_sk.inspection.embedding_display import share_between


@pytest.fixture(scope="module")
def embedder(watch):
    tiny = CitrusEmbedder(None, preset="tiny", random_state=0)
    return make_pipeline(SignalAligner(64), tiny).fit(watch.X)


@pytest.fixture(autouse=True)
def no_figure_left():
    yield
    plt.close("all")


def test_points_are_the_principal_components_of_the_features(embedder, watch):
    display = EmbeddingDisplay.from_estimator(embedder, watch.X, watch.y)
    features = StandardScaler().fit_transform(embedder.transform(watch.X).astype(float))
    pca = PCA(2, random_state=0).fit(features)
    np.testing.assert_allclose(display.points, pca.transform(features), atol=1e-4)
    share = f"{pca.explained_variance_ratio_[0]:.0%}"
    assert display.ax_.get_xlabel() == f"component 1 ({share} of the variance)"
    assert len(display.ax_.collections) == len(np.unique(watch.y))


def test_classes_and_people_have_a_panel_each(embedder, watch):
    display = EmbeddingDisplay.from_estimator(embedder, watch.X, watch.y, watch.groups)
    assert len(display.axes_) == 2
    assert display.ax_ is display.axes_[0]
    assert display.axes_[0].get_title().startswith("by class: ")
    assert display.axes_[1].get_title().startswith("by person: ")
    drawn = [text.get_text() for text in display.axes_[1].get_legend().get_texts()]
    assert drawn == sorted(np.unique(watch.groups), key=int)
    figure, axes = plt.subplots(1, 3)
    assert display.plot(axes[:2]).figure_ is figure
    with pytest.raises(ValueError, match="Expected ax to be one Axes or 2 of them, got 3"):
        display.plot(ax=axes)
    display.plot(axes[2])
    figure.draw_without_rendering()
    assert all(panel.get_position().x0 > axes[1].get_position().x1 for panel in display.axes_)


def test_a_classifier_shows_what_its_head_is_given(watch, quick):
    for parameters in ({}, {"random_kernels": True}):
        clf = quick(**parameters).fit(watch.X, watch.y)
        display = EmbeddingDisplay.from_estimator(clf, watch.X, watch.y)
        assert display.shares["y"] > 2 / (len(watch.X) - 1)
        assert len(display.points) == len(watch.X)


def test_a_column_of_epochs_tells_people(embedder, watch):
    import mne
    import pandas as pd

    info = mne.create_info(watch.ch_names, 50.0, "misc")
    people = pd.DataFrame({"person": watch.groups})
    epochs = mne.EpochsArray(watch.X, info, metadata=people, verbose="error")
    display = EmbeddingDisplay.from_estimator(embedder, epochs, watch.y, "person")
    np.testing.assert_array_equal(display.groups, watch.groups)


def test_the_share_between_groups_is_that_of_an_analysis_of_variance():
    rng = np.random.default_rng(0)
    value = np.repeat([0, 1], 500)
    features = rng.standard_normal((1000, 3)) + 2 * value[:, None]  # between: 1, within: 1
    assert share_between(features, value) == pytest.approx(0.5, abs=0.03)
    assert share_between(features, rng.permutation(value)) < 0.01


def test_umap_keeps_two_tones_apart(tones):
    X, y = tones
    embedder = CitrusEmbedder(None, preset="tiny", random_state=0).fit(X)
    display = EmbeddingDisplay.from_estimator(embedder, X, y, method="umap")
    assert display.points.shape == (len(X), 2)
    assert display.ax_.get_xlabel() == "UMAP 1"
    distance = np.linalg.norm(display.points[:, None] - display.points[None], axis=-1)
    np.fill_diagonal(distance, np.inf)
    assert (y[distance.argmin(1)] == y).mean() > 0.9


def test_without_umap_the_remedy_is_told(embedder, watch, monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(
        ModuleNotFoundError, match=r"unlike method='pca'\) .* pip install umap-learn"
    ):
        EmbeddingDisplay.from_estimator(embedder, watch.X, method="umap")


def test_bad_input_is_refused(embedder, watch, quick):
    with pytest.raises(ValueError, match="method='tsne' is unknown"):
        EmbeddingDisplay.from_estimator(embedder, watch.X, method="tsne")
    with pytest.raises(ValueError, match=r"y has shape \(3,\), and X has \d+ windows"):
        EmbeddingDisplay.from_estimator(embedder, watch.X, watch.y[:3])
    with pytest.raises(ValueError, match="at least 3"):
        EmbeddingDisplay.from_estimator(embedder, watch.X[:2])
    with pytest.raises(NotFittedError):
        EmbeddingDisplay.from_estimator(quick(), watch.X)
    flat = watch.X.reshape(len(watch.X), -1)
    with pytest.raises(TypeError, match="LogisticRegression has no features"):
        EmbeddingDisplay.from_estimator(
            LogisticRegression(max_iter=100, tol=1).fit(flat, watch.y), flat
        )
    eegnet = ModuleClassifier("EEGNet", max_epochs=1).fit(watch.X, watch.y)
    with pytest.raises(TypeError, match="fits a network of another library, EEGNet"):
        EmbeddingDisplay.from_estimator(eegnet, watch.X)
