"""
Pre-train on your own recordings
================================

A laboratory has hours of recordings without labels and few windows with them. Masked
auto-encoding learns from the former: parts of a signal are hidden and the network predicts what
they were. This page does it in a minute, on a very small network; docs/pretraining.md tells how
it is done in earnest.
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
# People without labels, people with them, people to test on
# -----------------------------------------------------------

watch = load_watch(overlap=0)
unlabelled = np.isin(watch.groups, ["1", "2", "3", "4", "5"])
labelled = np.isin(watch.groups, ["6", "7"])
test = np.isin(watch.groups, ["8", "9", "10"])
grid = SignalAligner(256).fit(watch.X)
print(unlabelled.sum(), "windows without labels,", labelled.sum(), "with,", test.sum(), "to test")

# %%
# Hide and predict
# ----------------
# Six channels of every window are six signals to learn from: the network reads channels one by
# one. ``objective="freq"`` predicts the spectrum around each hidden place, ``"time"`` the samples.

pretrainer = CitrusPretrainer(
    objective="freq", preset="tiny", max_steps=80, batch_size=32, random_state=0
)
pretrainer.fit(grid.transform(watch.X[unlabelled]))

# %%
# What it has learned
# -------------------
# Of people whom it has never seen. Grey stretches were hidden; in the lowest row the hidden part
# of the spectrum is what the network says it was. After so few steps that is little more than
# the shape that spectra have on average.

ReconstructionDisplay.from_estimator(
    pretrainer, grid.transform(watch.X[test])[[0, 90]], n_windows=2, channel=3
)

# %%
# Use the weights
# ---------------
# ``pretrained=`` takes the fitted pre-trainer, or the file that it saves. ``random_kernels=False``
# leaves the network alone, so that its weights are what differs.

rows = np.flatnonzero(labelled)
some = np.concatenate([rows[watch.y[rows] == name][:3] for name in np.unique(watch.y)])
with TemporaryDirectory() as folder:
    path = Path(folder) / "mine.safetensors"
    pretrainer.save(path)
    print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")
    scores = {}
    for name, weights in {"random weights": None, "pre-trained here": path}.items():
        clf = CitrusClassifier(
            weights, preset="tiny", strategy="linear-probe", random_kernels=False, random_state=0
        )
        pipe = make_pipeline(SignalAligner(256), clf).fit(watch.X[some], watch.y[some])
        predicted = pipe.predict(watch.X[test])
        scores[name] = f1_score(watch.y[test], predicted, average=None, labels=pipe.classes_)
        print(f"{name}: macro-F1 {scores[name].mean():.2f}")

# %%
# A minute of pre-training on half an hour of signal promises little, and one draw of labels
# proves nothing: the page on comparing classifiers tells how
# to find out whether it helps.

figure, axes = plt.subplots(figsize=(5.6, 3.4), layout="constrained")
for (name, each), colour, marker in zip(scores.items(), ["0.6", "#D55E00"], "os", strict=True):
    axes.plot(each, range(len(each)), marker, color=colour, markersize=8, label=name)
axes.hlines(range(len(each)), *scores.values(), color="0.8", zorder=0)
axes.set_yticks(range(len(each)), pipe.classes_)
axes.set(xlabel="F1 on unseen people", xlim=(0, 1))
figure.legend(loc="outside upper center", frameon=False, ncols=2)
axes.spines[["top", "right"]].set_visible(False)
plt.show()
