"""Adaptation of a fitted head to new people, learned from the people of the training set."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .._utils.threads import in_threads
from .adaptation.decision import (
    Decision,
    decide,
    decide_values,
    farthest_shift,
    pooled,
    recentred,
    within_people,
)
from .adaptation.heads import AdaptiveHead, Linear, outputs_of
from .adaptation.people import PeopleMeans, overall_mean
from .adaptation.personal import guess_scale
from .labelled import LabelledWindows
from .probes import (
    FusedProbe,
    Ridge,
    class_targets,
    family_shares,
    fit_fused_probe,
    fit_fused_values,
    fit_ridge,
    fit_sharpness,
    fuse,
)

NO_GROUPS = Decision(None, np.nan, np.nan, np.nan, "fit was called without groups.", 0.0)


def adapt_probe(
    probe: FusedProbe,
    features: np.ndarray,
    families: list[int],
    labelled: LabelledWindows,
    *,
    always: bool,
    unlabelled: PeopleMeans | None = None,
) -> AdaptiveHead:
    """Choose how a probe is adapted to a new person, and fit what that takes.

    Parameters
    ----------
    probe : FusedProbe
        Fitted on the same windows.
    features : ndarray of shape (n, n_features)
        Standardised features of ``labelled``.
    families : list of int
        Number of columns of each family.
    labelled : LabelledWindows
        Without groups nothing is adapted to windows without labels.
    always : bool
        Whether people are recentred whatever their labels are.
    unlabelled : PeopleMeans, optional
        Mean standardised features over windows of the same people that have no label.
    """
    weights, groups = labelled.weights, labelled.groups
    of_unlabelled = None
    if unlabelled is not None and groups is not None:
        of_unlabelled = _decisions(fuse(probe.fits, probe.shares), unlabelled, features, groups)
    decision = _decide(probe, labelled, always, of_unlabelled)
    if not decision.n_unlabelled:
        unlabelled = of_unlabelled = None
    adaptive = _unadapted(
        decision, families, probe.outputs, probe.left_out, probe.sharpness, labelled
    )
    if not adaptive.of_classes:
        return adaptive
    adaptive = replace(adaptive, shares=probe.shares)
    if groups is None:
        return adaptive
    codes = class_targets(labelled)[1]
    if adaptive.decision.kind == "pool":
        together = pooled(probe.left_out, groups, weights)
        return replace(adaptive, adapted_sharpness=fit_sharpness(together, codes, weights))
    if adaptive.decision.kind is None:
        return adaptive
    if of_unlabelled is not None:
        adaptive = replace(adaptive, reference=overall_mean(probe.left_out, weights, of_unlabelled))
    head, reference, left_out = _recentred_head(probe, features, families, labelled, unlabelled)
    sharpness = fit_sharpness(left_out, codes, weights)
    return replace(
        adaptive,
        adapted_sharpness=sharpness,
        farthest=farthest_shift(probe.left_out, groups, adaptive.reference, weights, of_unlabelled),
        recentred=head,
        recentred_reference=reference,
        usual_scale=guess_scale(left_out, sharpness),
    )


def adapt_trained_head(
    head: Linear,
    features: np.ndarray,
    families: list[int],
    labelled: LabelledWindows,
    *,
    always: bool,
) -> AdaptiveHead:
    """Choose how the head of a trained network is adapted to a new person.

    A network cannot be trained again without each person. Ridges on its features take the place of
    the head in the decision; the head itself is recentred only.

    Parameters
    ----------
    head : tuple of ndarray
        Weight and bias of the head.
    features, families, labelled, always
        As in `adapt_probe`.
    """
    if labelled.n_classes is None:
        present, targets = np.arange(labelled.n_outputs), labelled.targets
    else:
        present, _, targets, _ = class_targets(labelled)
    outputs = outputs_of(head, features)[:, present]
    if labelled.groups is None:  # ridges take too long where there is nothing to decide
        decision, usual = NO_GROUPS, targets
    else:
        fit = fit_fused_values if labelled.n_classes is None else fit_fused_probe
        probe = fit(features, families, labelled)
        decision, usual = _decide(probe, labelled, always), probe.left_out
    sharpness = 1.0 if labelled.n_classes is None else _slope(usual, outputs)
    return _unadapted(decision, families, present, outputs / sharpness, sharpness, labelled)


def _slope(decisions: np.ndarray, outputs: np.ndarray) -> float:
    """Outputs per decision, by least squares."""
    centred = decisions - decisions.mean(axis=0)
    size = max(float((centred**2).sum()), 1e-12)
    return max(float((centred * (outputs - outputs.mean(axis=0))).sum()) / size, 1e-3)


def _unadapted(
    decision: Decision,
    families: list[int],
    outputs: np.ndarray,
    decisions: np.ndarray,
    sharpness: float,
    labelled: LabelledWindows,
) -> AdaptiveHead:
    """The statistics that each kind of adaptation needs."""
    class_means = None
    if labelled.n_classes is not None:
        codes = class_targets(labelled)[1]
        class_means = np.array([decisions[codes == code].mean(axis=0) for code in np.unique(codes)])
    return AdaptiveHead(
        decision, families, outputs,
        of_classes=labelled.n_classes is not None,
        sharpness=sharpness, adapted_sharpness=sharpness,
        reference=np.average(decisions, axis=0, weights=labelled.weights),
        class_means=class_means,
    )  # fmt: skip


def _decisions(
    ridge: Ridge, unlabelled: PeopleMeans, features: np.ndarray, groups: np.ndarray
) -> PeopleMeans:
    """Mean decisions for the windows without a label, from a ridge without their person."""
    found = ridge.without_each_at(unlabelled.means, unlabelled.people, features, groups)
    return replace(unlabelled, means=found)


def _decide(
    probe: FusedProbe,
    labelled: LabelledWindows,
    always: bool,
    unlabelled: PeopleMeans | None = None,
) -> Decision:
    weights, groups = labelled.weights, labelled.groups
    if groups is None:
        return NO_GROUPS
    if labelled.n_classes is None:
        decision = decide_values(probe.left_out, labelled.targets, weights, groups)
    else:
        codes = class_targets(labelled)[1]
        decision = decide(probe.left_out, codes, weights, groups, fit_sharpness, unlabelled)
    if always:
        reason = "adaptation='recenter' was passed."
        decision = replace(decision, kind="recenter", reason=reason, share=1.0)
    if unlabelled is not None:
        used = decision.n_unlabelled if decision.kind == "recenter" else 0
        verb = "lower the log loss of left-out people further" if used else "are not used"
        reason = f"{decision.reason} Unlabelled windows {verb}."
        decision = replace(decision, n_unlabelled=used, reason=reason)
    return decision


def _recentred_head(
    probe: FusedProbe,
    features: np.ndarray,
    families: list[int],
    labelled: LabelledWindows,
    unlabelled: PeopleMeans | None = None,
) -> tuple[Linear, np.ndarray, np.ndarray]:
    """Mean of the ridges of the probe and of ridges on differences within people.

    Unlike in the probe, the weights of the network and the band power are not reduced for few
    windows, because recentring removes differences between people that make them worse there. On
    inner folds of five sets, this gained half a point of macro-F1.

    Returns
    -------
    head : tuple of ndarray
        Weight and bias, in units of decisions.
    reference : ndarray of shape (n_outputs,)
        Mean decision over the training people.
    left_out : ndarray of shape (n, n_outputs)
        Recentred left-out decisions.
    """
    _, _, targets, ridge_weights = class_targets(labelled)
    weights, groups = labelled.weights, labelled.groups
    assert groups is not None

    features = np.asarray(features, np.float64)
    centred, centred_targets = within_people(features, targets, weights, groups, unlabelled)
    parts = np.split(centred, np.cumsum(families)[:-1], axis=1)
    fits = in_threads(lambda part: fit_ridge(part, centred_targets, ridge_weights, groups), parts)
    shares = family_shares(probe.fits, targets, ridge_weights, network=False)
    plain, within = fuse(probe.fits, shares), fuse(fits, shares)
    of_plain, within_level = None, np.average(within.left_out, axis=0, weights=weights)
    if unlabelled is not None:
        of_plain = _decisions(plain, unlabelled, features, groups)
        within_level = within.intercept  # the mean of each person's features is 0
    level = overall_mean(plain.left_out, weights, of_plain)
    moved = recentred(plain.left_out, groups, level, weights, unlabelled=of_plain)
    left_out = (moved + within.left_out) / 2
    # Single precision, as the head itself: this is most of what a pickle grows by.
    weight = ((plain.coef + within.coef) / 2).T.astype(np.float32)
    reference = (level + within_level) / 2
    return (weight, (plain.intercept + within.intercept) / 2), reference, left_out
