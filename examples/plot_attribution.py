"""
What did the model look at?
===========================

A classifier that is right for a wrong reason fails on the next person. This page asks a fitted
model which stretch of which channel decided, and which frequencies: by covering parts of
a window, which works for any model, and by following the gradient, which is finer.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.pipeline import make_pipeline

from citrus_sk import (
    AttributionDisplay,
    BandOcclusionDisplay,
    CitrusClassifier,
    SignalAligner,
)
from citrus_sk.datasets import load_watch
from citrus_sk.inspection import attribution

watch = load_watch(window_s=2.56, overlap=0)
four = np.isin(watch.y, ["external rotation", "internal rotation", "pendulum", "row"])
new = four & np.isin(watch.groups, ["9", "10"])
old = four & ~new
X, y = watch.X[old][::6], watch.y[old][::6]
print(len(X), "windows to train on;", new.sum(), "of two other people")

# %%
# Occlusion: cover a stretch, and see what is lost
# ------------------------------------------------
# The default classifier counts samples above thresholds and has no gradient. So one stretch of
# one channel after another is replaced by a straight line, and the loss of log-odds is noted.
# Where a stretch counts for the class the curve below the signal goes up, where it counts
# against it, down.

model = make_pipeline(
    SignalAligner(128), CitrusClassifier(pretrained=None, preset="tiny", random_state=0)
).fit(X, y)
print(f"accuracy on the other people: {model.score(watch.X[new], watch.y[new]):.2f}")

rows = np.flatnonzero(new & (watch.y == "external rotation"))
windows = watch.X[rows]
column = list(model.classes_).index("external rotation")
sure = int(model.predict_proba(windows)[:, column].argmax())  # the window it is surest of
settings = {"sfreq": watch.sfreq, "ch_names": watch.ch_names}
AttributionDisplay.from_estimator(
    model, windows, window=sure, target="external rotation", **settings
)

# %%
# Integrated gradients: share out the score
# -----------------------------------------
# Without random kernels the model is a network, every part of which has a gradient. Integrated
# gradients start from reference windows, here those that the model was trained on, and share out
# the difference in score sample by sample. The sum of all shares is that difference: the gap says
# by how much it is missed.

network = make_pipeline(
    SignalAligner(128),
    CitrusClassifier(
        pretrained=None, preset="tiny", random_kernels=False, max_epochs=12, random_state=0
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
# One window is an anecdote
# -------------------------
# Over several windows, the size of the attributions says which channels the model relies on for
# each class.

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
# Which frequencies?
# ------------------
# Here a band of frequencies is taken out of all channels. Octaves are the default; for EEG there
# are delta to gamma, and a dictionary of bands in Hz will do for anything else.

chosen = np.isin(watch.y[some], ["row", "pendulum"])
BandOcclusionDisplay.from_estimator(
    model, watch.X[some][chosen], sfreq=watch.sfreq, target=watch.y[some][chosen]
)
plt.show()
