"""
Few labels, and many windows without one
========================================

Recording is cheap, and labelling takes time. This example labels a few windows of each training
person and passes the others without a label. It shows how well people who are left out are
predicted, with the unlabelled windows and without.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import log_loss

from citrus_sk import CitrusClassifier, SignalAligner
from citrus_sk.datasets import load_watch

# %%
# Seven training people and three new ones
# ----------------------------------------
# All people did seven exercises. Of each training person, 30 windows are used, in a random order,
# and the first of them have a label.

watch = load_watch(overlap=0)
X = SignalAligner(128).fit_transform(watch.X)
y, people = watch.y, watch.groups
rng = np.random.default_rng(0)
names = rng.permutation(np.unique(people))
test = np.flatnonzero(np.isin(people, names[:3]))[::3]
train = np.concatenate([rng.permutation(np.flatnonzero(people == name))[:30] for name in names[3:]])
rank = np.tile(np.arange(30), 7)

# %%
# Mark the windows without a label
# --------------------------------
# ``unlabelled`` is the value in ``y`` that marks them. Their labels are known here, and hidden.
# With ``groups``, the person of each window, they make the means of the training people more
# accurate, by which the classifier learns to recentre a new person.

ways = {"labelled windows alone": [], "with the others, unlabelled": []}
n_labelled = [4, 8, 16]
for n in n_labelled:
    few = train[rank < n]
    marked = np.where(rank < n, y[train], "unknown")
    alone = CitrusClassifier(random_state=0).fit(X[few], y[few], groups=people[few])
    clf = CitrusClassifier(unlabelled="unknown", random_state=0)
    clf.fit(X[train], marked, groups=people[train])
    for losses, model in zip(ways.values(), (alone, clf), strict=True):
        proba = model.predict_proba(X[test], groups=people[test])
        losses.append(log_loss(y[test], proba, labels=model.classes_))
    print(f"{n} labels of each person: {clf.adaptation_['reason']}")

# %%
# The curve
# ---------
# The fewer windows have a label, the less their mean says about the person. One split of ten people
# is little, and the gain is small here. The guide page on a new person has the mean over five sets.

figure, ax = plt.subplots(figsize=(5.5, 3.6), layout="constrained")
for (way, losses), marker in zip(ways.items(), "os", strict=True):
    ax.plot(n_labelled, losses, marker=marker, label=way)
    print(way, np.round(losses, 3))
ax.set_xscale("log", base=2)
ax.set_xticks(n_labelled, n_labelled)
ax.set_xlabel("labelled windows of each training person")
ax.set_ylabel("log loss of new people")
ax.legend()
plt.show()
