"""CitrusEmbedder: frozen features for scikit-learn models."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from citrus_sk import CitrusEmbedder, SignalAligner


@pytest.fixture
def embedder():
    return CitrusEmbedder(pretrained=None, preset="tiny", random_state=0)


def test_features_are_finite_float32_of_two_dimensions(watch, embedder):
    features = embedder.fit_transform(watch.X)
    assert features.dtype == np.float32
    assert features.shape == (len(watch.X), len(embedder.get_feature_names_out()))
    assert np.isfinite(features).all()


def test_set_output_gives_a_frame_with_the_feature_names(watch, embedder):
    frame = embedder.set_output(transform="pandas").fit_transform(watch.X[:4])
    assert list(frame.columns) == list(embedder.get_feature_names_out())
    assert frame.columns[0] == "citrusembedder0"


def test_a_linear_model_on_the_features_knows_unseen_people(watch, embedder):
    known = np.isin(watch.groups, np.unique(watch.groups)[:4])
    model = make_pipeline(
        SignalAligner(256), embedder, StandardScaler(), LogisticRegression(max_iter=1000)
    )
    model.fit(watch.X[known], watch.y[known])
    assert model.score(watch.X[~known], watch.y[~known]) > 0.6  # chance is 0.33


def test_a_window_is_embedded_alike_whatever_stands_beside_it(watch, embedder):
    together = embedder.fit(watch.X).transform(watch.X)
    alone = np.concatenate([embedder.transform(window[None]) for window in watch.X[:5]])
    assert_allclose(alone, together[:5], rtol=1e-4, atol=1e-5)


def test_the_seed_gives_the_weights_and_the_data_do_not(watch, embedder):
    first = embedder.fit(watch.X[:5]).transform(watch.X)
    second = embedder.fit(watch.X[5:]).transform(watch.X)
    assert_array_equal(first, second)
    other = embedder.set_params(random_state=1).fit_transform(watch.X)
    assert not np.allclose(first, other)


def test_the_convolution_alone_gives_features_of_its_own(watch, embedder):
    conv = embedder.set_params(backbone="conv").fit(watch.X)
    assert conv.module_.trunk.transformer is None
    assert np.isfinite(conv.transform(watch.X)).all()


def test_a_pickle_holds_arrays_and_gives_the_same_bits(watch, embedder):
    embedder.fit(watch.X)
    data = pickle.dumps(embedder)
    weights = sum(value.nbytes for value in embedder.__getstate__()["_packed"].values())
    assert len(data) < 1.1 * weights
    assert b"torch" not in data
    assert_array_equal(pickle.loads(data).transform(watch.X), embedder.transform(watch.X))


def test_transform_before_fit_says_so(watch, embedder):
    with pytest.raises(NotFittedError, match="CitrusEmbedder instance is not fitted"):
        embedder.transform(watch.X)


def test_a_checkpoint_that_does_not_ship_is_named(watch):
    with pytest.raises(ValueError, match=r"pretrained='ecg-freq' .*'eeg-freq'.*pretrained=None"):
        CitrusEmbedder("ecg-freq").fit(watch.X)
