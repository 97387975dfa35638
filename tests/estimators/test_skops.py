"""Fitted estimators in files of skops, which load nothing that their reader has not named."""

import numpy as np
import pytest
import skops.io
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import citrus_sk
from citrus_sk import (
    TRUSTED_TYPES,
    CitrusEmbedder,
    CitrusPretrainer,
    CitrusRegressor,
    GroupRecenter,
    ModuleClassifier,
    RejectingClassifier,
    SignalAligner,
)

EEGNET = "braindecode.models.eegnet.EEGNet"


def through_skops(estimator, tmp_path, also=()):
    """The estimator as it comes back, after a look at what its file asks to be trusted."""
    skops.io.dump(estimator, tmp_path / "model.skops")
    untrusted = skops.io.get_untrusted_types(file=tmp_path / "model.skops")
    assert set(untrusted) <= {*TRUSTED_TYPES, *also}
    return skops.io.load(tmp_path / "model.skops", trusted=[*TRUSTED_TYPES, *also])


@pytest.mark.parametrize(
    "settings",
    [
        {"random_kernels": True, "pretrained": "eeg-freq"},
        {"random_kernels": True, "pretrained": "eeg-freq", "store_weights": "reference"},
        {"strategy": "finetune", "n_estimators": 2},
    ],
    ids=["default", "reference", "finetuned-ensemble"],
)
def test_a_pipeline_gives_the_same_bits(settings, quick, watch, tmp_path):
    pipe = make_pipeline(SignalAligner(96), quick(**settings)).fit(watch.X, watch.y)
    loaded = through_skops(pipe, tmp_path)
    assert_array_equal(loaded.predict_proba(watch.X), pipe.predict_proba(watch.X))
    assert_array_equal(loaded.classes_, pipe.classes_)
    assert loaded[-1].strategy_ == pipe[-1].strategy_
    for mine, theirs in zip(loaded[-1].members_, pipe[-1].members_, strict=True):
        assert [row["epoch"] for row in mine.history] == [row["epoch"] for row in theirs.history]
    assert loaded[-1].get_params() == pipe[-1].get_params()


def test_features_before_a_model_of_scikit_learn_give_the_same_bits(watch, tmp_path):
    embedder = CitrusEmbedder(pretrained=None, preset="tiny", random_state=0)
    pipe = make_pipeline(SignalAligner(96), embedder, LogisticRegression(max_iter=20))
    pipe.set_params(logisticregression__tol=1e3).fit(watch.X, watch.y)
    loaded = through_skops(pipe, tmp_path)
    assert_array_equal(loaded.predict_proba(watch.X), pipe.predict_proba(watch.X))


def test_recentred_features_have_the_same_bits(watch, tmp_path):
    X = watch.X[:, :, :8].reshape(len(watch.X), -1)
    recenter = GroupRecenter().fit(X, watch.y, groups=watch.groups)
    loaded = through_skops(recenter, tmp_path)
    moved = recenter.transform(X, groups=watch.groups)
    assert_array_equal(loaded.transform(X, groups=watch.groups), moved)
    assert loaded.adaptation_ == recenter.adaptation_
    assert recenter.adaptation_["kind"] == "recenter"


def test_a_rejecting_classifier_rejects_the_same_windows(watch, tmp_path):
    X = watch.X.std(2)
    clf = RejectingClassifier(LogisticRegression(), max_error=0.2, confidence=None)
    clf.fit(X, watch.y, groups=watch.groups)
    loaded = through_skops(clf, tmp_path)
    assert_array_equal(loaded.predict(X), clf.predict(X))
    assert 0 < clf.rejects(X).sum() < len(X)


def test_a_regressor_gives_the_same_bits(watch, tmp_path):
    y = watch.X[:, 0].mean(1)
    reg = CitrusRegressor(
        pretrained="eeg-freq", random_kernels=False, strategy="linear-probe",
        store_weights="reference",
    ).fit(watch.X, y)  # fmt: skip
    assert_array_equal(through_skops(reg, tmp_path).predict(watch.X), reg.predict(watch.X))


def test_a_pretrainer_gives_the_same_bits_and_the_same_weights_to_others(watch, tmp_path):
    pretrainer = CitrusPretrainer(preset="tiny", max_steps=1, random_state=0).fit(watch.X)
    loaded = through_skops(pretrainer, tmp_path)
    assert_array_equal(loaded.transform(watch.X), pretrainer.transform(watch.X))
    mine = loaded.to_checkpoint()
    assert (mine.network, mine.task) == (loaded._network, loaded._task)


def test_a_network_of_braindecode_asks_for_its_own_class_and_nothing_else(tones, tmp_path):
    X, y = tones
    clf = ModuleClassifier(module="EEGNet", max_epochs=1, random_state=0).fit(X, y)
    loaded = through_skops(clf, tmp_path, also=[EEGNET])
    assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X))
    with pytest.raises(skops.io.exceptions.UntrustedTypesFoundException, match="EEGNet"):
        skops.io.load(tmp_path / "model.skops", trusted=TRUSTED_TYPES)


def test_of_a_file_from_anywhere_nothing_but_a_network_is_called(tones):
    clf = ModuleClassifier(module="EEGNet", max_epochs=1, random_state=0).fit(*tones)
    state = clf.__getstate__()
    state["_foreign"]["make"] = np.savetxt
    with pytest.raises(TypeError, match=r"Expected module to be a class"):
        ModuleClassifier().__setstate__(state)


def test_the_list_of_trusted_types_holds_every_estimator_and_no_other_class():
    public = [getattr(citrus_sk, name) for name in citrus_sk.__all__]
    estimators = [
        each for each in public if isinstance(each, type) and issubclass(each, BaseEstimator)
    ]
    assert sorted(TRUSTED_TYPES) == sorted(f"{e.__module__}.{e.__name__}" for e in estimators)
