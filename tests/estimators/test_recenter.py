"""GroupRecenter: the features of each person moved to the mean of the population."""

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline

from citrus_sk import CitrusEmbedder, GroupRecenter, SignalAligner

N_PEOPLE, N_WINDOWS = 8, 12
GROUPS = np.repeat([f"p{i}" for i in range(N_PEOPLE)], N_WINDOWS)
Y = np.tile(["rest", "fist", "wave"], len(GROUPS) // 3)
OFFSETS = np.repeat(np.random.default_rng(1).normal(scale=2, size=(N_PEOPLE, 4)), N_WINDOWS, axis=0)
CENTRES = np.unique(Y, return_inverse=True)[1][:, None] * np.array([1.0, -1, 0.5, 0])
X = CENTRES + OFFSETS + np.random.default_rng(0).normal(scale=0.2, size=OFFSETS.shape)
KNOWN = GROUPS < "p6"


def mean_of(features, person):
    return features[person == GROUPS].mean(0)


@pytest.mark.parametrize("shrinkage", [0.0, 5.0])
def test_means_of_people_move_by_the_shrunk_distance(shrinkage):
    recenter = GroupRecenter(shrinkage).fit(X[KNOWN], Y[KNOWN], groups=GROUPS[KNOWN])
    moved = recenter.transform(X, groups=GROUPS)
    weight = 11 / (11 + shrinkage)
    for person in ("p0", "p7"):  # a training person and a new one
        expected = weight * recenter.mean_ + (1 - weight) * mean_of(X, person)
        assert_allclose(mean_of(moved, person), expected)
        rows = person == GROUPS
        assert_allclose(np.diff(moved[rows], axis=0), np.diff(X[rows], axis=0), atol=1e-12)


def test_new_people_are_predicted_better():
    recenter, clf = GroupRecenter(), LogisticRegression()
    clf.fit(recenter.fit_transform(X[KNOWN], Y[KNOWN], groups=GROUPS[KNOWN]), Y[KNOWN])
    adapted = clf.score(recenter.transform(X[~KNOWN], groups=GROUPS[~KNOWN]), Y[~KNOWN])
    plain = LogisticRegression().fit(X[KNOWN], Y[KNOWN]).score(X[~KNOWN], Y[~KNOWN])
    assert adapted > plain + 0.2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_without_groups_rows_keep_their_bits_and_dtype(dtype):
    features = X.astype(dtype)
    recenter = GroupRecenter().fit(features, Y, groups=GROUPS)
    unchanged = recenter.transform(features)
    assert unchanged.dtype == dtype
    assert_array_equal(unchanged, features)
    assert not np.shares_memory(unchanged, features)
    assert_array_equal(GroupRecenter().fit_transform(features, Y), features)


def test_float32_stays_float32_and_integers_become_float64():
    moved = GroupRecenter().fit_transform(X.astype(np.float32), groups=GROUPS)
    assert moved.dtype == np.float32
    assert_allclose(moved, GroupRecenter().fit_transform(X, groups=GROUPS), atol=1e-5)
    assert GroupRecenter().fit_transform(np.eye(4, dtype=int)).dtype == np.float64


def test_a_person_with_one_window_keeps_its_bits():
    recenter = GroupRecenter(0).fit(X, groups=GROUPS)
    assert_array_equal(recenter.transform(X[:3], groups=["a", "b", "c"]), X[:3])


def test_order_and_other_people_change_no_bit():
    order = np.random.default_rng(0).permutation(len(X))
    recenter = GroupRecenter().fit(X, Y, groups=GROUPS)
    shuffled = GroupRecenter().fit(X[order], Y[order], groups=GROUPS[order])
    assert_array_equal(shuffled.mean_, recenter.mean_)
    moved = recenter.transform(X, groups=GROUPS)
    assert_array_equal(shuffled.transform(X[order], groups=GROUPS[order]), moved[order])
    rows = GROUPS == "p3"
    assert_array_equal(recenter.transform(X[rows], groups=GROUPS[rows]), moved[rows])


def test_the_population_mean_lies_between_that_over_people_and_that_over_windows():
    values = np.array([[0.0], [0.0], [0.0], [4.0]])
    groups = [1, 1, 1, 2]

    def mean(shrinkage):
        return GroupRecenter(shrinkage).fit(values, groups=groups).mean_[0]

    assert mean(0) == 2
    assert mean(5) == pytest.approx(4 * (1 / 6) / (1 / 6 + 3 / 8))
    assert mean(1e9) == pytest.approx(1)
    assert GroupRecenter().fit(values).mean_[0] == 1


def one_class_each(rng):
    return np.repeat(rng.permutation(np.arange(N_PEOPLE) % 3), N_WINDOWS)


def two_of_three_classes(rng):
    return np.concatenate([np.repeat(rng.permutation(3)[:2], 6) for _ in range(N_PEOPLE)])


@pytest.mark.parametrize("labels", [one_class_each, two_of_three_classes])
def test_rows_stay_unchanged_where_people_have_different_classes(labels):
    y = labels(np.random.default_rng(0))
    recenter = GroupRecenter()
    assert_array_equal(recenter.fit_transform(X, y, groups=GROUPS), X)
    assert recenter.adaptation_["kind"] is None
    assert "different classes" in recenter.adaptation_["reason"]
    assert recenter.adaptation_["probability"] < 0.01
    assert recenter.adaptation_["consistency"] > 0.2
    assert GroupRecenter(when="always").fit(X, y, groups=GROUPS).adaptation_["kind"] == "recenter"


def test_rows_stay_unchanged_where_the_evidence_is_too_small():
    recenter = GroupRecenter().fit(X[:24], Y[:24], groups=GROUPS[:24])
    assert recenter.adaptation_["kind"] is None
    assert recenter.adaptation_["reason"] == "There are fewer than three people."
    recenter.fit(X, Y, groups=np.arange(len(X)))  # one window each
    assert recenter.adaptation_["kind"] is None
    assert recenter.adaptation_["probability"] == pytest.approx(0.5)


def test_evidence_is_recorded_where_people_have_the_same_classes():
    recenter = GroupRecenter().fit(X, Y, groups=GROUPS)
    assert recenter.adaptation_["kind"] == "recenter"
    assert recenter.adaptation_["probability"] > 0.9
    assert recenter.adaptation_["consistency"] < 0.05


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_numbers_are_compared_by_their_distribution(n_outputs):
    rng = np.random.default_rng(0)
    varying = rng.normal(size=(len(X), n_outputs)).squeeze()
    recenter = GroupRecenter().fit(X, varying, groups=GROUPS)
    assert recenter.adaptation_["kind"] == "recenter"
    assert "same distribution" in recenter.adaptation_["reason"]
    age = np.repeat(rng.normal(40, 10, size=(N_PEOPLE, n_outputs)), N_WINDOWS, axis=0).squeeze()
    assert GroupRecenter().fit(X, age, groups=GROUPS).adaptation_["kind"] is None


def test_labels_without_groups_in_fit_are_an_error_only_where_groups_follow():
    recenter = GroupRecenter().fit(X, Y)
    assert_array_equal(recenter.transform(X), X)
    with pytest.raises(ValueError, match=r"groups were passed to transform, but.*when='always'"):
        recenter.transform(X, groups=GROUPS)
    assert (GroupRecenter(when="always").fit(X, Y).transform(X, groups=GROUPS) != X).any()
    assert (GroupRecenter().fit(X).transform(X, groups=GROUPS) != X).any()


def test_a_pipeline_passes_groups_without_a_request():
    pipe = make_pipeline(GroupRecenter(), LogisticRegression())
    recenter = GroupRecenter()
    clf = LogisticRegression().fit(recenter.fit_transform(X, Y, groups=GROUPS), Y)
    with sklearn.config_context(enable_metadata_routing=True):
        pipe.fit(X, Y, groups=GROUPS)
        found = pipe.predict_proba(X, groups=GROUPS)
        assert_array_equal(pipe.predict_proba(X), clf.predict_proba(X))
    assert_array_equal(found, clf.predict_proba(recenter.transform(X, groups=GROUPS)))


def test_a_cross_validation_passes_groups_to_folds_and_pipeline():
    pipe = make_pipeline(GroupRecenter(), LogisticRegression())
    plain = cross_val_score(LogisticRegression(), X, Y, groups=GROUPS, cv=GroupKFold(4))
    with sklearn.config_context(enable_metadata_routing=True):
        scores = cross_val_score(pipe, X, Y, params={"groups": GROUPS}, cv=GroupKFold(4))
    assert scores.mean() > plain.mean() + 0.2


def test_requests_can_be_set_and_withdrawn():
    with sklearn.config_context(enable_metadata_routing=True):
        asked = GroupRecenter().set_fit_request(groups=True).set_transform_request(groups=True)
        pipe = make_pipeline(asked, LogisticRegression()).fit(X, Y, groups=GROUPS)
        assert pipe[0].adaptation_["kind"] == "recenter"
        refused = GroupRecenter().set_fit_request(groups=False).set_transform_request(groups=False)
        with pytest.raises(TypeError, match="groups"):
            make_pipeline(refused, LogisticRegression()).fit(X, Y, groups=GROUPS)


def test_without_routing_a_pipeline_takes_groups_for_fit():
    pipe = make_pipeline(GroupRecenter(), LogisticRegression())
    pipe.fit(X, Y, grouprecenter__groups=GROUPS)
    assert pipe[0].adaptation_["kind"] == "recenter"


def test_embedded_recordings_of_people_get_a_common_mean(watch):
    embedder = CitrusEmbedder(pretrained=None, preset="tiny", random_state=0)
    features = make_pipeline(SignalAligner(96), embedder).fit_transform(watch.X)
    recenter = GroupRecenter(0).fit(features, watch.y, groups=watch.groups)
    assert recenter.adaptation_["kind"] == "recenter"
    moved = recenter.transform(features, groups=watch.groups)
    for person in np.unique(watch.groups):
        assert_allclose(moved[watch.groups == person].mean(0), recenter.mean_, rtol=1e-3, atol=1e-3)


def test_data_frames_and_series():
    frame = pd.DataFrame(X, columns=list("abcd"), index=np.arange(len(X)) + 100)
    recenter = GroupRecenter().set_output(transform="pandas")
    moved = recenter.fit_transform(frame, pd.Series(Y), groups=pd.Series(GROUPS, index=frame.index))
    assert list(moved.columns) == list(recenter.get_feature_names_out()) == list("abcd")
    assert_array_equal(moved.index, frame.index)
    assert_array_equal(moved, GroupRecenter().fit_transform(X, Y, groups=GROUPS))


def test_a_pickle_and_a_clone():
    recenter = GroupRecenter(2.0, when="always").fit(X, Y, groups=GROUPS)
    loaded = pickle.loads(pickle.dumps(recenter))
    moved = recenter.transform(X, groups=GROUPS)
    assert_array_equal(loaded.transform(X, groups=GROUPS), moved)
    assert loaded.adaptation_ == recenter.adaptation_
    assert clone(recenter).get_params() == {"shrinkage": 2.0, "when": "always"}


def test_a_failed_fit_leaves_the_earlier_one():
    recenter = GroupRecenter().fit(X, Y, groups=GROUPS)
    before = recenter.transform(X, groups=GROUPS)
    with pytest.raises(ValueError, match="labels"):
        recenter.fit(X[:, :2], Y[:5], groups=GROUPS)
    assert_array_equal(recenter.transform(X, groups=GROUPS), before)


NAN_X = np.where(np.arange(4) == 2, np.nan, X)
BAD = {
    "NaN": ({}, NAN_X, GROUPS, ValueError, "X contains NaN"),
    "windows": ({}, X[:, None], GROUPS, ValueError, "dim <= 2 is required by GroupRecenter"),
    "length": ({}, X, GROUPS[:5], ValueError, r"X has 96 windows, but groups has 5 groups"),
    "missing": ({}, X, np.r_[[None], GROUPS[1:]], ValueError, "groups contains NaN, None"),
    "columns": ({}, X, np.c_[GROUPS, GROUPS], ValueError, r"1d array.*\(96, 2\)"),
    "mixed": (
        {},
        X,
        np.array([1, *GROUPS[1:]], object),
        TypeError,
        r"groups mixes values of types",
    ),
    "negative": ({"shrinkage": -1}, X, GROUPS, ValueError, "shrinkage=-1 is out of range"),
    "text": ({"shrinkage": "5"}, X, GROUPS, TypeError, "shrinkage='5' is a str; expected a number"),
    "when": ({"when": "never"}, X, GROUPS, ValueError, "when='never' is unknown; expected.*'auto'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused(case):
    settings, features, groups, error, message = BAD[case]
    with pytest.raises(error, match=message):
        GroupRecenter(**settings).fit(features, Y, groups=groups)
    if not settings:
        recenter = GroupRecenter().fit(X, Y, groups=GROUPS)
        with pytest.raises(error, match=message):
            recenter.transform(features, groups=groups)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (Y[:5], "X has 96 windows, but y has 5 labels"),
        (np.r_[[None], Y[1:]], "y contains NaN, None"),
        (np.full(len(X), np.nan), "Input y contains NaN"),
        (np.c_[Y, Y], "GroupRecenter takes one label for each window"),
    ],
)
def test_bad_labels_are_refused(y, message):
    with pytest.raises(ValueError, match=message):
        GroupRecenter().fit(X, y, groups=GROUPS)


def test_transform_needs_fit():
    with pytest.raises(NotFittedError):
        GroupRecenter().transform(X)
