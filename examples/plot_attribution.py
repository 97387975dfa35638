"""
Attribute predictions to time, channel and frequency
====================================================

A classifier that is correct for the wrong reason fails on the next person. This example shows
which segment of which channel a prediction depends on, and which frequencies. Occlusion works
for any model. Integrated gradients require a differentiable model and have a finer resolution.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.pipeline import make_pipeline

from citrus_sk import AttributionDisplay, BandOcclusionDisplay, CitrusClassifier, SignalAligner
from citrus_sk.datasets import load_watch
from citrus_sk.inspection import attribution

watch = load_watch(window_s=2.56, overlap=0)
four = np.isin(watch.y, ["external rotation", "internal rotation", "pendulum", "row"])
new = four & np.isin(watch.groups, ["9", "10"])
old = four & ~new
X, y = watch.X[old][::6], watch.y[old][::6]
print(len(X), "windows to train on;", new.sum(), "of two other people")

# %%
# Occlusion
# ---------
# The default classifier counts samples above thresholds and has no gradient. Occlusion replaces one
# segment of one channel at a time with a straight line and records the change in log-odds. The
# curve below the signal is positive where a segment supports the class, and negative where it
# contradicts it.

model = make_pipeline(
    SignalAligner(128), CitrusClassifier(pretrained=None, preset="tiny", random_state=0)
).fit(X, y)
print(f"accuracy on the other people: {model.score(watch.X[new], watch.y[new]):.2f}")

rows = np.flatnonzero(new & (watch.y == "external rotation"))
windows = watch.X[rows]
column = list(model.classes_).index("external rotation")
sure = int(model.predict_proba(windows)[:, column].argmax())  # highest probability
settings = {"sfreq": watch.sfreq, "ch_names": watch.ch_names}
AttributionDisplay.from_estimator(
    model, windows, window=sure, target="external rotation", **settings
)

# %%
# Integrated gradients
# --------------------
# Without random kernels, the model is a network and is differentiable. Integrated gradients
# distribute the difference in score between a window and reference windows, here the training
# windows, over the samples. The attributions should sum to this difference. The gap is the
# deviation from it.

network = make_pipeline(
    SignalAligner(128),
    CitrusClassifier(
        pretrained=None,
        preset="tiny",
        random_kernels=False,
        max_epochs=12,
        early_stopping=False,
        random_state=0,
    ),
).fit(X, y)
display = AttributionDisplay.from_estimator(
    network, windows, window=sure, target="external rotation", references=X,
    method="integrated-gradients", **settings,
)  # fmt: skip
found = display.attribution
print(f"score {found.scores[0]:.2f}, of the references {found.reference_scores[0]:.2f}")
print(f"sum of the attributions {found.values.sum():.2f}, gap {found.gap[0]:.3f}")

# %%
# Average over windows
# --------------------
# The mean size of the attributions over several windows shows which channels the model relies on
# for each class.

some = np.concatenate([np.flatnonzero(new & (watch.y == name))[:3] for name in model.classes_])
many = attribution(model, watch.X[some], target=watch.y[some], stretch=1 / 8, **settings)
strength = np.abs(many.values).mean(2)
table = np.stack([strength[many.targets == name].mean(0) for name in model.classes_])

figure, axes = plt.subplots(figsize=(5.6, 2.8), layout="constrained")
image = axes.imshow(table / table.sum(1, keepdims=True), cmap="Greys", vmin=0, aspect="auto")
axes.set_xticks(range(6), watch.ch_names)
axes.set_yticks(range(len(table)), model.classes_)
axes.set_xlabel("channel")
figure.colorbar(image, label="share of the attribution")

# %%
# Frequencies
# -----------
# Band occlusion removes one frequency band from all channels at a time. The default bands are
# octaves. ``bands="eeg"`` uses delta to gamma, and a dictionary defines other bands in Hz.

chosen = np.isin(watch.y[some], ["row", "pendulum"])
BandOcclusionDisplay.from_estimator(
    model, watch.X[some][chosen], sfreq=watch.sfreq, target=watch.y[some][chosen]
)
plt.show()
