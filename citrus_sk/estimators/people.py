"""Adaptation of a fitted predictor to people whom it was not trained on."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from .._utils.devices import out_of_memory_hint, usual_modes
from .._utils.validation import check_choice
from ..nn import CitrusNetwork
from ..signals.consistency import warn_of_other_amplitude
from ..signals.containers import resolve_labels
from ..signals.targets import check_groups
from ..signals.windows import read_windows, to_float32
from ..training.adaptation.heads import AdaptiveHead, Linear, personal_head
from ..training.adaptive_probes import NO_GROUPS, adapt_trained_head
from ..training.feature_cache import FeatureCache, remembered
from ..training.labelled import LabelledWindows
from ..training.nets import FineTuner, infer, make_net
from .predictor import NetworkPredictor

ADAPTATIONS = ("auto", "recenter")


class PeoplePredictor(NetworkPredictor):
    """A predictor whose head can be adapted to one person."""

    adaptation: str | None  # a parameter

    _adaptive: list[AdaptiveHead | None]

    @property
    def adaptation_(self) -> dict[str, Any]:
        """How windows of a person are predicted together, and why."""
        check_is_fitted(self)
        if self.adaptation is None:
            return asdict(replace(NO_GROUPS, reason="adaptation=None was passed."))
        first = self._adaptive[0]
        return asdict(NO_GROUPS if first is None else first.decision)

    def adapt(self, X: Any) -> Self:
        """Adapt to one person from windows without labels.

        Parameters
        ----------
        X : array-like of shape (n_windows, n_channels, n_times) or (n_windows, n_times), \
or mne.Epochs
            Windows of one person. They should cover the classes as the training windows do: a
            person at rest all the time would be recentred on rest.

        Returns
        -------
        Self
            A new fitted estimator for this person. It predicts each window by itself, with the
            bits that predicting `X` with one group gives.

        Raises
        ------
        ValueError
            If ``fit`` was called without `groups`, so that nothing is known of how people differ,
            or ``adaptation=None``.
        """
        self._check_adaptable("adapt")
        return self._for_person(self._read_for_person(X))

    def personalize(self, X: Any, y: Any, X_unlabelled: Any = None) -> Self:
        """Adapt to one person from a few labelled windows.

        Ridge regression on the person's windows, with the head for all people as its prior mean.
        Its penalty is chosen by leaving out each labelled window. The network is not trained.

        Parameters
        ----------
        X : array-like of shape (n_windows, n_channels, n_times) or (n_windows, n_times), \
or mne.Epochs
            Labelled windows of one person: one, two or five of each class, say.
        y : array-like of shape (n_windows,) or str
            Their labels, or the name of a column of the metadata of `X`.
        X_unlabelled : array-like of shape (n_windows, n_channels, n_times), mne.Epochs or None, \
default=None
            Further windows of this person.

        Returns
        -------
        Self
            A new fitted estimator for this person, which predicts each window by itself.

        Raises
        ------
        ValueError
            If `y` holds a label that ``fit`` has not seen.
        """
        check_is_fitted(self)
        self._refuse_personal("personalize")
        values, found = self._read_for_person(X), resolve_labels(X, y)
        if found is None:
            raise ValueError(
                f"{type(self).__name__}.personalize needs y, one value for each window, but y is "
                "None. For windows without labels, use adapt."
            )
        targets = self._person_targets(found, len(values))
        if X_unlabelled is not None:
            more = self._read_for_person(X_unlabelled)
            values = np.concatenate([values, more])
            targets = np.vstack([targets, np.full((len(more), targets.shape[1]), np.nan)])
        return self._for_person(values, targets)

    # --- prediction ------------------------------------------------------------------------------

    def _outputs(self, X: Any, groups: Any = None) -> Tensor:
        if groups is None:
            return super()._outputs(X)
        check_is_fitted(self)
        self._refuse_personal("predict with groups")
        if self.adaptation is not None:
            self._check_adaptable("predict with groups")
        values = self._read_for_person(X)
        warn_of_other_amplitude(self, values)
        groups = check_groups(resolve_labels(X, groups, "groups"), len(values))
        cache = self._feature_cache()
        with usual_modes(), out_of_memory_hint(self.batch_size):
            return torch.stack(
                [
                    self._outputs_of_people(net, adaptive, values, groups, cache)
                    for net, adaptive in zip(self.members_, self._adaptive, strict=True)
                ]
            )

    def _outputs_of_people(
        self,
        net: FineTuner,
        adaptive: AdaptiveHead | None,
        values: np.ndarray,
        groups: np.ndarray,
        cache: FeatureCache | None,
    ) -> Tensor:
        outputs = torch.empty(len(values), self._n_outputs, dtype=torch.float64)
        people = [np.flatnonzero(groups == person) for person in np.unique(groups)]
        for rows, features in zip(people, _features(net, values, people, cache), strict=True):
            module = net.module_
            if adaptive is not None and self.adaptation is not None:
                head = personal_head(adaptive, _head(net.module_), _standard(net, features))
                module = _with_head(net, head)
            with torch.inference_mode():
                # One by one, as an estimator for this person predicts.
                found = [module.head(row[None].to(net.device)).cpu() for row in features]
            outputs[rows] = torch.cat(found).double()
        return outputs

    def _infer(self, net: FineTuner, values: np.ndarray, cache: FeatureCache | None) -> Tensor:
        device = torch.device(net.device)
        with remembered(net.module_, cache, values.shape) as network:
            return infer(network, values, device, self.batch_size, one_by_one=self._is_personal)

    # --- an estimator for one person -------------------------------------------------------------

    def _for_person(self, values: np.ndarray, targets: np.ndarray | None = None) -> Self:
        new = copy.copy(self)
        cache = self._feature_cache()
        with usual_modes(), out_of_memory_hint(self.batch_size):
            new.members_ = [
                self._personal_net(net, adaptive, values, targets, cache)
                for net, adaptive in zip(self.members_, self._adaptive, strict=True)
            ]
        new.net_ = new.members_[0]
        new._is_personal = True
        return new

    def _personal_net(
        self,
        net: FineTuner,
        adaptive: AdaptiveHead | None,
        values: np.ndarray,
        targets: np.ndarray | None,
        cache: FeatureCache | None,
    ) -> FineTuner:
        assert adaptive is not None  # of every network that is not foreign
        (features,) = _features(net, values, [np.arange(len(values))], cache)
        standard = _standard(net, features)
        known = None if targets is None else targets[:, adaptive.outputs]
        head = personal_head(adaptive, _head(net.module_), standard, known)
        personal = make_net(_with_head(net, head), self._n_classes, torch.device(net.device))
        personal.history = net.history
        return personal

    def _read_for_person(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return to_float32(read_windows(self, X, reset=False))

    def _check_adaptable(self, doing: str) -> None:
        check_is_fitted(self)
        self._refuse_personal(doing)
        if self.adaptation is None:
            raise ValueError(
                f"{type(self).__name__} cannot {doing}, because adaptation=None. Fit it with "
                "adaptation='auto'."
            )
        if not self._fitted_on_groups:
            raise ValueError(
                f"{type(self).__name__} cannot {doing}, because fit was called without groups, and "
                "how people differ is not known. Pass groups, the person of each window, to fit "
                "as well, or no groups to predict."
            )

    def _refuse_personal(self, doing: str) -> None:
        if self._is_personal:
            raise ValueError(
                f"This {type(self).__name__} is adapted to one person, so it cannot {doing}. Use "
                "the estimator that adapt or personalize was called on."
            )

    # --- fit -------------------------------------------------------------------------------------

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.adaptation is not None:
            check_choice("adaptation", self.adaptation, ADAPTATIONS)

    def _fit_members(self, X: Any, y: Any, sample_weight: Any, groups: Any) -> None:
        super()._fit_members(X, y, sample_weight, groups)
        if self.verbose and self._fitted_on_groups:
            print(f"{type(self).__name__}: {_summary(self.adaptation_)}")  # noqa: T201

    @property
    def _always(self) -> bool:
        return self.adaptation == "recenter"

    def _without_people(self, labelled: LabelledWindows) -> LabelledWindows:
        """Without groups where they are not adapted to, which saves the work."""
        return labelled if self.adaptation is not None else labelled.without_groups()

    def _adapt_trained(
        self, features: np.ndarray, module: CitrusNetwork, labelled: LabelledWindows
    ) -> AdaptiveHead:
        return adapt_trained_head(
            _head(module), features, module.families, self._without_people(labelled),
            always=self._always,
        )  # fmt: skip


def _summary(adaptation: dict[str, Any]) -> str:
    """One line about the choice of an adaptation."""
    action = {
        "recenter": "recenters each person",
        "pool": "pools the windows of each person",
        None: "predicts each window by itself",
    }[adaptation["kind"]]
    if 0 < adaptation["share"] < 1:
        action += f", with a weight of {adaptation['share']:.2f}"
    losses = f"{adaptation['loss']:.3f} without adaptation, {adaptation['adapted_loss']:.3f} with"
    return f"{action}. {adaptation['reason']} Loss of left-out people: {losses}."


def _features(
    net: FineTuner, values: np.ndarray, people: list[np.ndarray], cache: FeatureCache | None
) -> Iterator[Tensor]:
    """Yield the features of each person, with the same bits for a window alone and among others."""
    device = torch.device(net.device)
    with remembered(net.module_, cache, values.shape) as network:
        for rows in people:
            yield infer(network, values, device, 1, rows=rows, features=True, one_by_one=True)


def _standard(net: FineTuner, features: Tensor) -> np.ndarray:
    with torch.inference_mode():
        return net.module_.head.standardise(features.to(net.device)).cpu().numpy()


def _head(module: Any) -> Linear:
    linear = module.head.linear
    return linear.weight.detach().cpu().numpy(), linear.bias.detach().cpu().numpy()


def _with_head(net: FineTuner, head: Linear) -> CitrusNetwork:
    return net.module_.with_head(*map(torch.from_numpy, head)).eval()
