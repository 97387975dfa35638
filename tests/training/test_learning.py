"""Pre-training learns features of real recordings that a classifier with few labels can use."""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from citrus_sk import CitrusEmbedder, CitrusPretrainer, SignalAligner
from citrus_sk.datasets import load_watch
from citrus_sk.nn import PRESETS
from citrus_sk.nn.readout import ReadOut

TINY = PRESETS["tiny"]
LABELS, DRAWS = 3, 4  # of each exercise; in each fold


def of_the_trunk(pretrained, X):
    """Features that depend on the trunk's weights: the first four views of the read-out."""
    embedder = CitrusEmbedder(pretrained=pretrained, preset="tiny", random_state=0)
    with torch.random.fork_rng(devices=[]):
        views = ReadOut(TINY, X.shape[1]).views
    return embedder.fit_transform(X)[:, : sum(views[:4])]


def probe(features, y, people):
    """Mean macro-F1 on people who are left out."""
    rng, scores = np.random.default_rng(0), []
    for train, test in GroupKFold(5).split(features, y, people):
        for _ in range(DRAWS):
            few = np.concatenate(
                [rng.choice(train[y[train] == label], LABELS, False) for label in np.unique(y)]
            )
            model = make_pipeline(
                StandardScaler(), LogisticRegression(C=0.01, max_iter=500, random_state=0)
            )
            model.fit(features[few], y[few])
            scores.append(f1_score(y[test], model.predict(features[test]), average="macro"))
    return np.mean(scores)


def test_a_probe_of_the_trained_trunk_is_better_than_one_of_random_weights():
    watch = load_watch(overlap=0)
    acceleration = watch.X[:, :3]
    pretrainer = CitrusPretrainer(
        preset="tiny", max_steps=200, batch_size=16, learning_rate=2e-3, modality="ACC",
        random_state=1,
    )  # fmt: skip
    pretrainer.fit(acceleration, groups=watch.groups)  # no labels
    losses = [row["held_out_loss"] for row in pretrainer.history_ if "held_out_loss" in row]
    assert losses[-1] < 0.8 * losses[0]
    X = SignalAligner(256).fit_transform(acceleration)
    trained, random = (
        probe(of_the_trunk(start, X), watch.y, watch.groups) for start in (pretrainer, None)
    )
    assert trained > random + 0.03
