"""Choice of the subjects to hold out."""

from __future__ import annotations

import hashlib

import numpy as np

# Number of exchanges to compare if a modality is on one side only.
_N_TRIED = 10


def hold_out(
    datasets: dict[str, set[str]], modalities: dict[str, set[str]], share: float, seed: int
) -> set[str]:
    """Choose a share of every data set, and exchange subjects until each modality is divided.

    Parameters
    ----------
    datasets, modalities : dict
        Subjects of each data set and of each modality.
    share : float
        Share of the subjects of each data set, in (0, 1).
    seed : int
        Random seed.

    Returns
    -------
    set of str
        Subjects to hold out: at least one of every data set of two subjects or more, but not all;
        and likewise of every modality, if a few exchanges can achieve that. Empty if neither a
        data set nor a modality has two.
    """
    held_out: set[str] = set()
    for name, subjects in sorted(datasets.items()):
        if len(subjects) > 1:
            n_held_out = min(max(1, round(share * len(subjects))), len(subjects) - 1)
            held_out.update(_shuffled(subjects, name, seed)[:n_held_out])
    groups = [*sorted(modalities.items()), *sorted(datasets.items())]
    groups = [(name, subjects) for name, subjects in groups if len(subjects) > 1]

    def one_sided(held_out: set[str]) -> list[tuple[str, set[str]]]:
        return [
            (name, subjects)
            for name, subjects in groups
            if subjects <= held_out or subjects.isdisjoint(held_out)
        ]

    while wrong := one_sided(held_out):
        name, subjects = wrong[0]
        candidates = _shuffled(subjects, name, seed)[:_N_TRIED]
        best = min(
            (held_out ^ {subject} for subject in candidates), key=lambda s: len(one_sided(s))
        )
        if len(one_sided(best)) >= len(wrong):
            break
        held_out = best
    return held_out


def _shuffled(subjects: set[str], name: str, seed: int) -> list[str]:
    """Shuffle the subjects, independently of any others in the corpus."""
    entropy = hashlib.sha256(name.encode()).digest()
    rng = np.random.default_rng([int(seed), int.from_bytes(entropy[:8], "big")])
    ordered = sorted(subjects)
    return [ordered[i] for i in rng.permutation(len(ordered))]
