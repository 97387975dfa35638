"""
From EDF files to a saved model
===============================

Many laboratories store recordings as EDF files with annotations. This example reads such files
with MNE, cuts them into windows, trains a model, tests it on another person, and saves and loads
it.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import joblib
import matplotlib.pyplot as plt
import mne
import numpy as np
from sklearn.pipeline import make_pipeline

from citrus_sk import CitrusClassifier, SignalAligner
from citrus_sk.datasets import load_watch
from citrus_sk.mne import labels_of, make_epochs

mne.set_log_level("error")

# %%
# A folder of recordings
# ----------------------
# In practice, the files already exist. Here we write smart-watch recordings of three people as EDF
# files, one per person, with an annotation at the start of each exercise. (MNE writes EDF files
# with ``edfio``.)

folder = TemporaryDirectory()
watch = load_watch(overlap=0)
for person in ("1", "2", "3"):
    signal, annotations = [], mne.Annotations([], [], [])
    for exercise in ("row", "abduction", "pendulum", "internal rotation"):
        windows = watch.X[(watch.groups == person) & (watch.y == exercise)]
        annotations.append(len(signal) * 5.12, len(windows) * 5.12, exercise)
        signal.extend(windows)
    info = mne.create_info(watch.ch_names, watch.sfreq, "misc")
    raw = mne.io.RawArray(np.concatenate(signal, axis=1), info).set_annotations(annotations)
    mne.export.export_raw(f"{folder.name}/person{person}.edf", raw, physical_range="channelwise")
files = sorted(Path(folder.name).glob("*.edf"))
print([path.name for path in files])

# %%
# Cut into windows
# ----------------
# :func:`~citrus_sk.mne.make_epochs` cuts a window at each event. An annotation can contain many
# windows: ``chunk_duration`` creates one event for every 5.12 s. The event names are the labels.

epochs, people = [], []
for path in files:
    raw = mne.io.read_raw_edf(path)
    events, event_id = mne.events_from_annotations(raw, chunk_duration=5.12)
    epochs.append(make_epochs(raw, events, event_id, duration=5.12))
    people += [path.stem] * len(epochs[-1])
epochs, people = mne.concatenate_epochs(epochs), np.array(people)
names, counts = np.unique(labels_of(epochs), return_counts=True)
per_label = [f"{n} of {name}" for name, n in zip(names, counts, strict=True)]
print(len(epochs), "windows:", ", ".join(per_label))

# %%
# Train on two people, test on the third
# --------------------------------------
# Pass the epochs directly. They contain the labels and the channel names. The fitted model rejects
# epochs whose channels are in a different order.

train, test = np.flatnonzero(people != "person3"), np.flatnonzero(people == "person3")
pipe = make_pipeline(
    SignalAligner(256), CitrusClassifier(pretrained=None, preset="tiny", random_state=0)
)
pipe.fit(epochs[train], labels_of(epochs[train]))
print(f"accuracy on person3: {pipe.score(epochs[test], labels_of(epochs[test])):.2f}")

# %%
# Save and load
# -------------

path = Path(folder.name) / "exercises.joblib"
joblib.dump(pipe, path)
loaded = joblib.load(path)
print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB; channels {loaded[-1].n_chans_}")
probability = loaded.predict_proba(epochs[test])
folder.cleanup()

# %%
# Predictions for the new recording
# ---------------------------------
# The figure shows the predicted probability of each exercise for every window of the file, in
# order. Vertical lines mark changes of the exercise.

order = np.argsort(epochs[test].events[:, 0], kind="stable")
truth = labels_of(epochs[test])[order]
figure, axes = plt.subplots(figsize=(7, 2.8), layout="constrained")
image = axes.imshow(
    probability[order].T, cmap="Greys", vmin=0, vmax=1, aspect="auto", interpolation="nearest"
)
changes = np.flatnonzero(truth[1:] != truth[:-1]) + 0.5
axes.vlines(changes, -0.5, 3.5, color="#D55E00", linewidth=2)
for start, stop in zip([-0.5, *changes], [*changes, len(truth) - 0.5], strict=True):
    axes.text((start + stop) / 2, -0.7, truth[int(stop)], ha="center", fontsize="small")
axes.set_yticks(range(4), loaded.classes_)
axes.set_xlabel("window of person3; the true exercise is shown above")
figure.colorbar(image, label="probability")
plt.show()
