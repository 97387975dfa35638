"""
Pre-train on your own recordings
================================

Most laboratories have hours of unlabelled recordings but few labelled windows. Masked
auto-encoding learns from unlabelled recordings: parts of a signal are masked, and the network
predicts them. This example pre-trains a very small network in a minute. The page on pre-training
in the user guide describes the full procedure.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline

from citrus_sk import CitrusClassifier, CitrusPretrainer, ReconstructionDisplay, SignalAligner
from citrus_sk.datasets import load_watch

# %%
# Split the people
# ----------------
# The first five people serve for pre-training without labels, the next two for training with
# labels, and the last three for the test.

watch = load_watch(overlap=0)
unlabelled = np.isin(watch.groups, ["1", "2", "3", "4", "5"])
labelled = np.isin(watch.groups, ["6", "7"])
test = np.isin(watch.groups, ["8", "9", "10"])
grid = SignalAligner(256).fit(watch.X)
print(unlabelled.sum(), "windows without labels,", labelled.sum(), "with,", test.sum(), "to test")

# %%
# Pre-train
# ---------
# The network processes each channel separately, so a window of six channels provides six training
# signals. ``objective="freq"`` predicts the spectrum around each masked position, ``"time"``
# predicts the samples.

pretrainer = CitrusPretrainer(
    objective="freq", preset="tiny", max_steps=80, batch_size=32, random_state=0
)
pretrainer.fit(grid.transform(watch.X[unlabelled]))

# %%
# Inspect the predictions
# -----------------------
# The figure shows windows of people outside the training data. Grey segments were masked. The
# lowest row shows the network's prediction of the masked part of the spectrum. After so few steps,
# it is little more than an average spectrum.

ReconstructionDisplay.from_estimator(
    pretrainer, grid.transform(watch.X[test])[[0, 90]], n_windows=2, channel=3
)

# %%
# Use the weights
# ---------------
# ``pretrained=`` takes the fitted pre-trainer, or the file that it saves. With
# ``random_kernels=False``, only the network is used, so the models differ only in its weights.

rows = np.flatnonzero(labelled)
some = np.concatenate([rows[watch.y[rows] == name][:3] for name in np.unique(watch.y)])
with TemporaryDirectory() as folder:
    path = Path(folder) / "mine.safetensors"
    pretrainer.save(path)
    print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")
    scores = {}
    for name, weights in {"random weights": None, "pre-trained here": path}.items():
        clf = CitrusClassifier(
            weights, strategy="linear-probe", random_kernels=False, random_state=0
        )
        pipe = make_pipeline(SignalAligner(256), clf).fit(watch.X[some], watch.y[some])
        predicted = pipe.predict(watch.X[test])
        scores[name] = f1_score(watch.y[test], predicted, average=None, labels=pipe.classes_)
        print(f"{name}: macro-F1 {scores[name].mean():.2f}")

# %%
# A minute of pre-training on half an hour of signal cannot achieve much, and a single draw of
# labels is not conclusive. The example on comparing with MiniRocket shows how to test a difference.

figure, axes = plt.subplots(figsize=(5.6, 3.4), layout="constrained")
for (name, each), colour, marker in zip(scores.items(), ["0.6", "#D55E00"], "os", strict=True):
    axes.plot(each, range(len(each)), marker, color=colour, markersize=8, label=name)
axes.hlines(range(len(each)), *scores.values(), color="0.8", zorder=0)
axes.set_yticks(range(len(each)), pipe.classes_)
axes.set(xlabel="F1 on unseen people", xlim=(0, 1))
figure.legend(loc="outside upper center", frameon=False, ncols=2)
axes.spines[["top", "right"]].set_visible(False)
plt.show()
