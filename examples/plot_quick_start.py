"""
Quick start
===========

A smart watch records acceleration and angular velocity during shoulder exercises. This example
trains a small conv-transformer to classify the exercises, tests it on people outside the training
set, and saves it to a file. Every step uses the scikit-learn API.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import joblib
import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.pipeline import make_pipeline

from citrus_sk import CitrusClassifier, SignalAligner
from citrus_sk.datasets import load_watch
from citrus_sk.evaluation import StratifiedFractionKFold

# %%
# Load the recordings
# -------------------
# The data set has ten people, seven exercises and six channels at 50 Hz, cut into windows of
# 5.12 s. It comes with the seglearn package (``pip install "citrus-sk[demo]"``), so nothing is
# downloaded.

watch = load_watch(overlap=0)
print("windows, channels, samples:", watch.X.shape)
print("exercises:", ", ".join(np.unique(watch.y)))

# %%
# Windows of the same person are similar, so a realistic test uses other people. We set aside all
# recordings of some people, about a third of the windows, for the test. Of the remaining windows,
# we use the labels of three in ten.

cv = StratifiedFractionKFold(3, train_fraction=0.3)
train, test = next(cv.split(watch.X, watch.y, groups=watch.groups))
print(len(train), "windows to train on, of people", *np.unique(watch.groups[train]))
print(len(test), "windows to test on, of people", *np.unique(watch.groups[test]))

# %%
# Align and train
# ---------------
# :class:`~citrus_sk.SignalAligner` resamples windows of any length and sampling rate to the length
# that the network expects. We choose the ``"tiny"`` network here because it trains on a laptop in
# seconds.

pipeline = make_pipeline(
    SignalAligner(256), CitrusClassifier(pretrained=None, preset="tiny", random_state=0)
)
pipeline.fit(watch.X[train], watch.y[train])
print(f"accuracy on unseen people: {pipeline.score(watch.X[test], watch.y[test]):.2f}")

# %%
# Confusion matrix
# ----------------
# Rows are the true exercises, and columns are the predicted exercises.

figure, axes = plt.subplots(figsize=(7.5, 6), layout="constrained")
ConfusionMatrixDisplay.from_predictions(
    watch.y[test],
    pipeline.predict(watch.X[test]),
    normalize="true",
    values_format=".0%",
    cmap="Greys",
    colorbar=False,
    ax=axes,
)
axes.tick_params("x", rotation=35)
plt.setp(axes.get_xticklabels(), ha="right", rotation_mode="anchor")
_ = axes.set(
    xlabel="predicted exercise", ylabel="exercise", title="Unseen people, share of each row"
)

# %%
# Save and load
# -------------
# Save the fitted pipeline with joblib, as for any scikit-learn model. The loaded pipeline gives
# bit-identical predictions.

with TemporaryDirectory() as folder:
    path = Path(folder) / "watch.joblib"
    joblib.dump(pipeline, path)
    print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")
    loaded = joblib.load(path)

before = pipeline.predict_proba(watch.X[test])
assert np.array_equal(loaded.predict_proba(watch.X[test]), before)

plt.show()
