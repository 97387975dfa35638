"""One network of an estimator: a head on frozen features, and the training of all of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..nn import CitrusNetwork
from .adaptation.heads import AdaptiveHead, Linear
from .draws import Draws, own_draws
from .fine_tuning import TuningSettings, fine_tune
from .foreign import ForeignModule, settle_batch_norm
from .hooks import prepare_augmentation
from .labelled import LabelledWindows
from .nets import FineTuner, held_out_loss, infer, make_net

_KERNEL_WINDOWS = 512  # for the scales of the kernels; in the order of hashes, so not by class

# From standardised features, their network, their windows and a seed to weight and bias of a head,
# and to a function that makes its adaptation to new people.
MakeAdaptive = Callable[[], AdaptiveHead | None]
FitHead = Callable[[np.ndarray, CitrusNetwork, LabelledWindows, int], tuple[Linear, MakeAdaptive]]
# The adaptation of a network that was trained, from its features of the windows.
AdaptTrained = Callable[[np.ndarray, CitrusNetwork, LabelledWindows], AdaptiveHead | None]


@dataclass(frozen=True)
class MemberPlan:
    """Settings by which each network of an estimator is made and trained.

    Attributes
    ----------
    strategy : {"linear-probe", "finetune", "probe-then-finetune"}
    build : callable
        Function that makes a network.
    weights : dict of str to Tensor, or None
        Weights of the trunk; None leaves them at random.
    fit_head : callable
        See `FitHead`. Not called for ``"finetune"``, which begins with a head of zeros.
    adapt_trained : callable or None
        See `AdaptTrained`. None if networks are not adapted to people.
    foreign : ForeignModule or None
        Network of another library, which has neither weights nor a probe.
    tuning : TuningSettings
    device : torch.device
    augmentation, callbacks
        Parameters of the estimator.
    verbose : int
        Parameter of skorch's nets.
    """

    strategy: str
    build: Callable[[], CitrusNetwork]
    weights: dict[str, Tensor] | None
    fit_head: FitHead
    adapt_trained: AdaptTrained | None
    foreign: ForeignModule | None
    tuning: TuningSettings
    device: torch.device
    augmentation: Any = None
    callbacks: list[Any] | None = None
    verbose: int = 0

    @property
    def runs_foreign_code(self) -> bool:
        """Whether foreign code, which may draw random numbers, runs in the training."""
        return bool(self.foreign is not None or self.augmentation is not None or self.callbacks)


def fit_member(
    plan: MemberPlan,
    labelled: LabelledWindows,
    train: LabelledWindows,
    valid: LabelledWindows | None,
    seed: int,
    bar: Any = None,
) -> tuple[FineTuner, AdaptiveHead | None]:
    """Train one network, and learn how its head is adapted to new people.

    Parameters
    ----------
    plan : MemberPlan
    labelled : LabelledWindows
        All windows.
    train, valid : LabelledWindows
        Windows to train on, and windows to choose the epoch by; `valid` may be None.
    seed : int
        Seed of all random draws.
    bar : tqdm or None
        Progress bar, advanced at each batch.

    Returns
    -------
    net : FineTuner
    adaptive : AdaptiveHead or None
        None if the network is not adapted to people.
    """
    device, batch_size = plan.device, plan.tuning.batch_size
    # The head must not be fitted on the windows that the epoch is chosen by.
    with own_draws(seed, device, shared=plan.runs_foreign_code) as draws:
        module, adaptive = _probed(plan, train, seed, draws)
        if plan.strategy == "linear-probe":
            return make_net(module, labelled.n_classes, device), adaptive()
        probe_loss = np.inf
        if valid is not None and plan.strategy == "probe-then-finetune":
            probe_loss = held_out_loss(module, valid, device, batch_size)
        net = fine_tune(
            module, train, valid, plan.tuning,
            device=device, draws=draws, augment=prepare_augmentation(plan.augmentation, seed),
            callbacks=plan.callbacks, bar=bar, verbose=plan.verbose,
        )  # fmt: skip
        if plan.foreign is not None:
            settle_batch_norm(net.module_, train, device, batch_size)
    if np.isinf(probe_loss) or min(net.history[:, "valid_loss"]) < probe_loss:
        return net, _adapt_trained(plan, net.module_, train)
    # Fine-tuning did not beat the probe: keep the probe, fitted on all windows.
    with own_draws(seed, device) as draws:
        module, adaptive = _probed(plan, labelled, seed, draws)
        return make_net(module, labelled.n_classes, device), adaptive()


def _adapt_trained(plan: MemberPlan, module: Any, labelled: LabelledWindows) -> AdaptiveHead | None:
    if plan.adapt_trained is None:
        return None
    device, batch_size = plan.device, plan.tuning.batch_size
    features = infer(module, labelled.X, device, batch_size, rows=labelled.rows, features=True)
    standard = module.head.standardise(features.to(device)).cpu().numpy()
    return plan.adapt_trained(standard, module, labelled)


def _probed(
    plan: MemberPlan, labelled: LabelledWindows, seed: int, draws: Draws
) -> tuple[nn.Module, MakeAdaptive]:
    """Make a network with the head that it starts from, and a function that adapts the head."""
    if plan.foreign is not None:
        foreign = plan.foreign.build_or_refuse()
        foreign.set_statistics(labelled)
        return foreign.to(plan.device), lambda: None
    module = draws.make(plan.build).to(plan.device)
    if plan.weights is not None:
        module.trunk.load_state_dict(plan.weights)
    return module, _start_head(plan, module, labelled, seed)


def _start_head(
    plan: MemberPlan, module: CitrusNetwork, labelled: LabelledWindows, seed: int
) -> MakeAdaptive:
    """Standardise the features by the training windows, and copy the probe into the head."""
    with torch.inference_mode():
        picked = labelled.rows[:_KERNEL_WINDOWS]
        module.fit_kernels(torch.from_numpy(labelled.X[picked]).to(plan.device), seed % 2**31)
    features = infer(
        module, labelled.X, plan.device, plan.tuning.batch_size, rows=labelled.rows, features=True
    )
    head = module.head
    head.cpu()
    head.set_statistics(features, torch.tensor(labelled.weights))
    adaptive: MakeAdaptive = lambda: None  # noqa: E731
    if plan.strategy != "finetune":
        standard = head.standardise(features).numpy()
        (weight, bias), adaptive = plan.fit_head(standard, module, labelled, seed % 2**31)
        with torch.no_grad():
            head.linear.weight.copy_(torch.tensor(weight))
            head.linear.bias.copy_(torch.tensor(bias))
    head.to(plan.device)
    return adaptive
