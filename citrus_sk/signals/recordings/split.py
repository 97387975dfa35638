"""Whom to hold out, so that a score is one on people who were never seen."""

from __future__ import annotations

import hashlib

import numpy as np

# Exchanges that are compared where a modality is on one side only.
_N_TRIED = 10


def hold_out(
    datasets: dict[str, set[str]], modalities: dict[str, set[str]], share: float, seed: int
) -> set[str]:
    """Subjects to hold out: a share of every data set, and then as few exchanges as it takes.

    Parameters
    ----------
    datasets, modalities : dict
        The subjects of each.
    share : float
        In (0, 1).
    seed : int

    Returns
    -------
    set of str
        Of every data set of two subjects or more at least one, but not all; the same of every
        modality, as far as that can be had. Empty if none has two.
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
        best = min((held_out ^ {who} for who in candidates), key=lambda s: len(one_sided(s)))
        if len(one_sided(best)) >= len(wrong):
            break
        held_out = best
    return held_out


def _shuffled(subjects: set[str], name: str, seed: int) -> list[str]:
    """In an order of chance that does not depend on what else there is in the corpus."""
    entropy = hashlib.sha256(name.encode()).digest()
    rng = np.random.default_rng([int(seed), int.from_bytes(entropy[:8], "big")])
    ordered = sorted(subjects)
    return [ordered[i] for i in rng.permutation(len(ordered))]
