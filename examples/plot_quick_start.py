"""
Quick start
===========

A smart watch measures acceleration and angular velocity while its wearer does shoulder
exercises. We train a small conv-transformer to tell the exercises apart, ask it about people
whom it has never seen, and store it in a file. All of it is ordinary scikit-learn.
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
# Real recordings
# ---------------
# Ten people, seven exercises, six channels at 50 Hz, cut into windows of 5.12 s. The recordings
# come with the seglearn package (``pip install "citrus-sk[demo]"``), so nothing is downloaded.

watch = load_watch(overlap=0)
print("windows, channels, samples:", watch.X.shape)
print("exercises:", ", ".join(np.unique(watch.y)))

# %%
# Windows of one person resemble each other, so an honest test asks about other people: a third
# of the windows, with all that these people recorded, is set aside. Of the rest we pretend to
# have labelled only three windows in ten.

cv = StratifiedFractionKFold(3, train_fraction=0.3)
train, test = next(cv.split(watch.X, watch.y, groups=watch.groups))
print(len(train), "windows to train on, of people", *np.unique(watch.groups[train]))
print(len(test), "windows to test on, of people", *np.unique(watch.groups[test]))

# %%
# Align and train
# ---------------
# :class:`~citrus_sk.SignalAligner` resamples every window to the grid of the network, whatever
# its length and rate were before. The ``"tiny"`` network is chosen here because it trains on a
# laptop in seconds.

pipeline = make_pipeline(
    SignalAligner(256), CitrusClassifier(pretrained=None, preset="tiny", random_state=0)
)
pipeline.fit(watch.X[train], watch.y[train])
print(f"accuracy on unseen people: {pipeline.score(watch.X[test], watch.y[test]):.2f}")

# %%
# Which exercises are mistaken for which?
# ---------------------------------------
# A row of the matrix is the exercise that was done, a column what the model took it for.

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
axes.set(xlabel="predicted exercise", ylabel="exercise", title="Unseen people, share of each row")

# %%
# Save and load
# -------------
# The fitted pipeline is a file like that of any scikit-learn model, and says the same
# after it was loaded back, to the last bit.

with TemporaryDirectory() as folder:
    path = Path(folder) / "watch.joblib"
    joblib.dump(pipeline, path)
    print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")
    loaded = joblib.load(path)

before = pipeline.predict_proba(watch.X[test])
assert np.array_equal(loaded.predict_proba(watch.X[test]), before)

plt.show()
