"""The networks of an estimator: a head on frozen features, and the training of all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from .._utils.threads import one_thread_each
from ..nn import CitrusNetwork
from .adaptation.heads import AdaptiveHead, Linear
from .draws import Draws, own_draws
from .feature_cache import FeatureCache, remembered
from .fine_tuning import TuningSettings, fine_tune
from .foreign import ForeignModule, settle_batch_norm
from .hooks import prepare_augmentation
from .labelled import LabelledWindows
from .many_windows import BLOCK, AllWindows, some_windows
from .nets import FineTuner, infer, make_net
from .selection import Selection, left_out_folds, select, without_evidence
from .unlabelled import means_of_people

_KERNEL_WINDOWS = 512  # for the scales of the kernels; in the order of hashes, so not by class

# From standardised features, their network, their windows, a seed, and all windows if these are
# only some, to weight and bias of a head and to a function that makes its adaptation to people.
# The function takes `unlabelled`, the means of people, if there are windows without a label.
MakeAdaptive = Callable[..., AdaptiveHead | None]
FitHead = Callable[
    [np.ndarray, CitrusNetwork, LabelledWindows, int, AllWindows | None],
    tuple[Linear, MakeAdaptive],
]
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
        See `FitHead`.
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
    leaves_out : bool
        Whether windows may be left out to choose between the trained network and the probe.
    in_blocks : bool
        Whether `fit_head` can fit the head to some of many windows, and then to all in blocks.
    cache : FeatureCache or None
        Cache of the features of the network, for ``strategy="linear-probe"`` alone.
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
    leaves_out: bool = True
    in_blocks: bool = False
    cache: FeatureCache | None = None

    @property
    def selects(self) -> bool:
        """Whether there is a choice between a trained network and a probe."""
        trains = self.strategy != "linear-probe" and self.foreign is None
        return trains and self.leaves_out

    @property
    def runs_foreign_code(self) -> bool:
        """Whether foreign code, which may draw random numbers, runs in the training."""
        return bool(self.foreign is not None or self.augmentation is not None or self.callbacks)


NO_SELECTION = without_evidence("finetuned", "No windows were left out.")


class Member(NamedTuple):
    """A network, and its adaptation to people, None if it is not adapted."""

    net: FineTuner
    adaptive: AdaptiveHead | None


# Seed, windows to train on, and windows to choose the epoch by, if there are any.
Split = tuple[int, LabelledWindows, LabelledWindows | None]


def fit_members(
    plan: MemberPlan, labelled: LabelledWindows, splits: list[Split], bar: Any = None
) -> tuple[list[Member], list[Selection]]:
    """Train a network for each split, and choose between it and the linear probe.

    Parameters
    ----------
    plan : MemberPlan
    labelled : LabelledWindows
        All windows.
    splits : list of tuple
        See `Split`.
    bar : tqdm or None
        Progress bar, advanced at each batch.

    Returns
    -------
    members : list of Member
        One for each split.
    selections : list of Selection
        One for each split.
    """
    members: list[Member] = []
    selections, validated = [], None
    # The modules of other libraries are trained by torch's own threads.
    with nullcontext() if plan.foreign is not None else one_thread_each(blas=True):
        for seed, train, valid in splits:
            if valid is None and validated is None:
                # Once for all seeds, because it takes several trainings.
                validated = _cross_validated(plan, labelled, seed, bar)
            found, selection = _fit_split(plan, labelled, (seed, train, valid), validated, bar)
            members.append(found)
            selections.append(selection)
    return members, selections


def n_steps(plan: MemberPlan, labelled: LabelledWindows, splits: list[Split]) -> int:
    """Largest number of steps of the optimiser that `fit_members` takes."""
    sizes = [len(train) for _, train, _ in splits]
    first = next((seed for seed, _, valid in splits if valid is None), None)
    if plan.selects and first is not None:
        sizes += [len(train) for train, _ in left_out_folds(labelled, first % 2**31)]
    return sum(map(plan.tuning.n_steps, sizes))


def _fit_split(
    plan: MemberPlan, labelled: LabelledWindows, split: Split, known: Selection | None, bar: Any
) -> tuple[Member, Selection]:
    """Make the network for one split; windows that are held out overrule what is `known`."""
    seed, train, valid = split
    if plan.strategy == "linear-probe":
        return _probe(plan, labelled, seed), known or NO_SELECTION
    held_out = valid if plan.selects else None
    trained, probe_outputs = _trained(plan, train, valid, seed, held_out, bar)
    if held_out is not None and probe_outputs is not None:
        outputs = _outputs(plan, trained.module_, held_out)
        known = select(outputs, probe_outputs, held_out, how="that were held out")
    selection = known or NO_SELECTION
    if selection.kind == "finetuned":
        return Member(trained, _adapt_trained(plan, trained.module_, train)), selection
    member = _probe(plan, labelled, seed)
    # The epochs of the training can be seen even if its network was not kept.
    member.net.history, member.net.callbacks_ = trained.history, trained.callbacks_
    return member, selection


def _probe(plan: MemberPlan, labelled: LabelledWindows, seed: int) -> Member:
    with own_draws(seed, plan.device) as draws:
        module, adaptive = _probed(plan, labelled, seed, draws)
        means = {}
        if labelled.unlabelled is not None:
            standard = partial(_standard_features, plan, module, labelled.X)
            means["unlabelled"] = means_of_people(labelled.unlabelled, standard)
        return Member(make_net(module, labelled.n_classes, plan.device), adaptive(**means))


def _cross_validated(plan: MemberPlan, labelled: LabelledWindows, seed: int, bar: Any) -> Selection:
    """Choose between the trained network and the probe by windows that folds leave out."""
    if plan.strategy == "linear-probe":
        return without_evidence("probe", "strategy='linear-probe' trains no network.")
    if not plan.selects:
        return NO_SELECTION
    folds = left_out_folds(labelled, seed % 2**31)
    if not folds:
        return without_evidence("probe", "There are too few windows to leave some out.")
    quiet = replace(plan, callbacks=None, verbose=0)
    outputs: list[Any] = []
    probe_outputs: list[Any] = []
    for train, test in folds:
        left_out = labelled.take(test)
        net, of_probe = _trained(quiet, labelled.take(train), None, seed, left_out, bar)
        outputs.append(_outputs(plan, net.module_, left_out))
        probe_outputs.append(of_probe)
    rows = np.concatenate([test for _, test in folds])
    return select(np.concatenate(outputs), np.concatenate(probe_outputs), labelled.take(rows),
                  how=f"in {len(folds)} folds")  # fmt: skip


def _trained(
    plan: MemberPlan,
    train: LabelledWindows,
    valid: LabelledWindows | None,
    seed: int,
    left_out: LabelledWindows | None,
    bar: Any,
) -> tuple[FineTuner, np.ndarray | None]:
    """Train a network; also gives what the probe that it could have been predicts for `left_out`.

    The epoch is chosen by `valid`. The head must not be fitted on these windows.
    """
    device, batch_size, probe_outputs = plan.device, plan.tuning.batch_size, None
    with own_draws(seed, device, shared=plan.runs_foreign_code) as draws:
        needs_probe = left_out is not None or plan.strategy != "finetune"
        module: Any
        module, _ = _probed(plan, train, seed, draws, with_head=needs_probe)
        if left_out is not None:
            probe_outputs = _outputs(plan, module, left_out)
        if plan.strategy == "finetune" and plan.foreign is None:
            module.head.reset()
        net = fine_tune(
            module, train, valid, plan.tuning,
            device=device, draws=draws, augment=prepare_augmentation(plan.augmentation, seed),
            callbacks=plan.callbacks, bar=bar, verbose=plan.verbose,
        )  # fmt: skip
        if plan.foreign is not None:
            settle_batch_norm(net.module_, train, device, batch_size)
    return net, probe_outputs


def _outputs(plan: MemberPlan, module: nn.Module, windows: LabelledWindows) -> np.ndarray:
    found = infer(module, windows.X, plan.device, plan.tuning.batch_size, rows=windows.rows)
    return found.double().numpy()


def _adapt_trained(plan: MemberPlan, module: Any, labelled: LabelledWindows) -> AdaptiveHead | None:
    if plan.adapt_trained is None:
        return None
    standard = _standard_features(plan, module, labelled.X, labelled.rows)
    return plan.adapt_trained(standard, module, labelled)


def _probed(
    plan: MemberPlan, labelled: LabelledWindows, seed: int, draws: Draws, *, with_head: bool = True
) -> tuple[nn.Module, MakeAdaptive]:
    """Make a network with the head of the probe, and a function that adapts the head.

    Without a head, its weights are zero.
    """
    if plan.foreign is not None:
        foreign = plan.foreign.build_or_refuse()
        foreign.set_statistics(labelled)
        return foreign.to(plan.device), lambda: None
    module = draws.make(plan.build).to(plan.device)
    if plan.weights is not None:
        module.trunk.load_state_dict(plan.weights)
    return module, _start_head(plan, module, labelled, seed, with_head=with_head)


def _start_head(
    plan: MemberPlan,
    module: CitrusNetwork,
    labelled: LabelledWindows,
    seed: int,
    *,
    with_head: bool,
) -> MakeAdaptive:
    """Standardise the features by the training windows, and copy the probe into the head."""
    with torch.inference_mode():
        picked = labelled.rows[:_KERNEL_WINDOWS]
        module.fit_kernels(torch.from_numpy(labelled.X[picked]).to(plan.device), seed % 2**31)
    some = some_windows(labelled) if plan.in_blocks else labelled
    features = _features(plan, module, some.X, some.rows)
    head = module.head
    head.cpu()
    head.set_statistics(features, torch.tensor(some.weights))
    adaptive: MakeAdaptive = lambda: None  # noqa: E731
    if with_head:
        standard = head.standardise(features).numpy()
        everything = None
        if len(some) < len(labelled):
            everything = AllWindows(labelled, lambda: _blocks(plan, module, labelled))
        (weight, bias), adaptive = plan.fit_head(standard, module, some, seed % 2**31, everything)
        with torch.no_grad():
            head.linear.weight.copy_(torch.tensor(weight))
            head.linear.bias.copy_(torch.tensor(bias))
    head.to(plan.device)
    return adaptive


def _features(plan: MemberPlan, module: Any, X: np.ndarray, rows: np.ndarray) -> Tensor:
    device, batch_size = plan.device, plan.tuning.batch_size
    with remembered(module, plan.cache, (len(rows), *X.shape[1:])) as network:
        return infer(network, X, device, batch_size, rows=rows, features=True)


def _standard_features(
    plan: MemberPlan, module: Any, X: np.ndarray, rows: np.ndarray
) -> np.ndarray:
    features = _features(plan, module, X, rows).to(plan.device)
    return np.asarray(module.head.standardise(features).cpu().numpy())


def _blocks(
    plan: MemberPlan, module: CitrusNetwork, labelled: LabelledWindows
) -> Iterator[tuple[slice, np.ndarray]]:
    """Standardised features of all windows, see `AllWindows`."""
    for start in range(0, len(labelled), BLOCK):
        rows = slice(start, min(start + BLOCK, len(labelled)))
        features = _features(plan, module, labelled.X, labelled.rows[rows])
        yield rows, module.head.standardise(features).numpy()
