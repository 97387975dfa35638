"""Training loop of a pre-training run, with averaged weights, held-out loss and saved state."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...nn import MaskedAutoencoder
from ...nn.encoder import normalise
from ...nn.episodes import EpisodeLoss
from ...nn.sigreg import sigreg
from ..draws import own_draws
from ..schedule import average_share, warmup_cosine
from .clock import Clock
from .episodes import Episodes, EpisodeSampler
from .processes import distributed_part, sum_of_all
from .sampler import Batch, CropSampler

# Batches for the statistics of the targets and for the held-out loss, with steps that are too large
# to occur in training.
_STATISTICS_BATCHES, _HELD_OUT_BATCHES = 16, 8
_STATISTICS_FROM, _HELD_OUT_FROM = 2**40, 2**41
_CLIP = 1.0  # largest norm of a gradient
N_ROWS, FEWEST_STEPS = 50, 10  # rows of the history, and steps between two of them


@dataclass(frozen=True)
class PretrainSettings:
    """Settings of a run; see the parameters of `CitrusPretrainer`.

    Attributes
    ----------
    n_steps : int
        Number of batches, unless the time limit ends the run before.
    learning_rate, weight_decay, warmup, ema : float
        Parameters of the same names.
    evaluate_every : int
        Number of steps between two rows of the history.
    seed : int
        Seed of dropout.
    episode_weight, sigreg_weight : float
        Weights of the losses of few-label tasks and of `sigreg` beside the masked loss.
    bf16 : bool
        Whether the forward pass has bfloat16 precision.
    compiled : bool
        Whether to use `torch.compile`.
    limit_s : float or None
        Time limit in seconds, if any.
    """

    n_steps: int
    learning_rate: float
    weight_decay: float
    warmup: float
    ema: float
    evaluate_every: int
    seed: int
    episode_weight: float = 0.0
    sigreg_weight: float = 0.0
    bf16: bool = False
    compiled: bool = False
    limit_s: float | None = None


class PretrainRun:
    """A run, whose state after a step depends on the corpus, the settings and the seed alone.

    With a time limit, the state also depends on the speed: learning rate and moving average follow
    the share of the time or of the steps that is used, whichever is larger.

    Parameters
    ----------
    autoencoder : MaskedAutoencoder
        Network to train, which is moved to `device`.
    sampler : CropSampler
        Sampler of training windows.
    held_out : CropSampler or None
        Sampler of windows of people who are held out.
    settings : PretrainSettings
        Length, optimiser and precision of the run.
    device : torch.device
        Device of the training.
    episodes : EpisodeSampler or None, default=None
        Sampler of few-label tasks, whose mean loss is added to the masked loss.
    """

    def __init__(
        self,
        autoencoder: MaskedAutoencoder,
        sampler: CropSampler,
        held_out: CropSampler | None,
        settings: PretrainSettings,
        device: torch.device,
        episodes: EpisodeSampler | None = None,
    ) -> None:
        self.model, self.sampler, self.held_out = autoencoder.to(device), sampler, held_out
        self.episodes, self._episode_loss = episodes, EpisodeLoss(autoencoder.network)
        self.settings, self.device = settings, device
        self.part = distributed_part()
        decayed = [p for p in autoencoder.parameters() if p.ndim > 1]
        others = [p for p in autoencoder.parameters() if p.ndim <= 1]
        self.parameters = decayed + others
        self.optimizer = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": settings.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=settings.learning_rate,
            betas=(0.9, 0.98),
            fused=device.type in ("cpu", "cuda"),
        )
        self.average = {k: v.detach().clone() for k, v in autoencoder.state_dict().items()}
        self.step, self.in_step, self.clock = 0, False, Clock(settings.limit_s)
        self.history: list[dict[str, Any]] = []
        self._weights: dict[str, float] = {}  # of the losses beside the masked one
        if episodes is not None:
            self._weights["episode_loss"] = settings.episode_weight
        if settings.sigreg_weight:
            self._weights["sigreg_loss"] = settings.sigreg_weight
        self._sums = self._no_sums()
        self._loss_count = 0
        self._pool = ThreadPoolExecutor(1)  # without a thread until the first task
        self._ahead: tuple[int, Future[tuple[Batch, Episodes | None]]] | None = None
        self._forward: Any = torch.compile(autoencoder) if settings.compiled else autoencoder

    # --- training --------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Set the statistics of the targets by training windows, before the first step."""
        batches = [self.sampler(_STATISTICS_FROM + i) for i in range(_STATISTICS_BATCHES)]
        z = normalise(torch.cat([batch.x for batch in batches]))[0]
        modality = torch.cat([batch.modality for batch in batches])
        self.model.set_target_statistics(z.to(self.device), modality.to(self.device))
        for name in ("target_mean", "target_sd"):
            self.average[name].copy_(getattr(self.model, name))

    def train(self, after_step: Callable[[PretrainRun], Any] | None = None) -> None:
        """Train up to the last step, and call `after_step` with the run after each step."""
        self.clock.start()
        while self.ended_by is None:
            self.in_step = True
            self.train_step()
            if self._row_is_due():
                self._record()
            self.clock.read()
            self.in_step = False
            if after_step is not None:
                after_step(self)

    @property
    def ended_by(self) -> str | None:
        """What ended the run, "steps" or "time"; None before its end."""
        if self.step >= self.settings.n_steps:
            return "steps"
        return "time" if self.clock.share >= 1 else None

    @property
    def expected_steps(self) -> float:
        """Number of steps of the whole run, at the speed so far if its time is limited."""
        n_steps = self.settings.n_steps
        return min(n_steps, self.step / self.clock.share) if self.clock.share else n_steps

    def _row_is_due(self) -> bool:
        if self.ended_by is not None:
            return True
        if self.settings.limit_s is None:
            return self.step % self.settings.evaluate_every == 0
        share = self.step / self.expected_steps
        return self._loss_count >= FEWEST_STEPS and share >= (len(self.history) + 1) / N_ROWS

    def train_step(self) -> float:
        """Train on one batch, and return its masked loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * self._schedule()
        batch, tasks = self._draw_ahead()
        self.model.train()
        # Each step has its own seed, so that a resumed run drops the same units. With several
        # processes, each of them drops other units.
        key = (self.settings.seed, self.step, *([self.part[0]] if self.part[1] > 1 else []))
        seed = int(np.random.SeedSequence(key).generate_state(1)[0])
        # Kernels of a compiled network can only draw from the global state.
        shared = self.settings.compiled
        with own_draws(seed, self.device, shared=shared) as draws, draws.dropout():
            losses = self._losses(batch, tasks, seed)
        self.optimizer.zero_grad(set_to_none=True)
        total = losses["loss"]
        for name, weight in self._weights.items():
            total = total + weight * losses[name]
        total.backward()
        values = self._share(losses)
        value = values["loss"]
        if not math.isfinite(sum(values.values())):
            drawn = "; ".join(self.sampler.describe(self.step)[:4])
            raise FloatingPointError(
                f"The pre-training loss became {value} at step {self.step}, in the batch of "
                f"{drawn}; ... Lower learning_rate (it is {self.settings.learning_rate}), or look "
                "for extreme values in these recordings."
            )
        nn.utils.clip_grad_norm_(self.parameters, _CLIP)
        self.optimizer.step()
        self.step += 1
        self._update_average()
        self._sums = {name: total + values[name] for name, total in self._sums.items()}
        self._loss_count += 1
        return value

    def _draw(self, step: int) -> tuple[Batch, Episodes | None]:
        batch = self.sampler(step, self.part)
        return batch, None if self.episodes is None else self.episodes(step, self.part)

    def _draw_ahead(self) -> tuple[Batch, Episodes | None]:
        """Draw the batch of this step; with a GPU, a thread draws the next one meanwhile."""
        if self.device.type != "cuda":
            return self._draw(self.step)
        if self._ahead is None or self._ahead[0] != self.step:
            self._ahead = self.step, self._pool.submit(self._draw, self.step)
        drawn = self._ahead[1].result()
        self._ahead = self.step + 1, self._pool.submit(self._draw, self.step + 1)
        return drawn

    def summary(self) -> str:
        """Text for the progress bar, with the current losses."""
        held_out = next(
            (r["held_out_loss"] for r in self.history[::-1] if "held_out_loss" in r), None
        )
        known = self._loss_count > 0
        loss = self._sums["loss"] / self._loss_count if known else self.history[-1]["loss"]
        text = f"masked loss {loss:.4f}"
        return text if held_out is None else f"{text}, held out {held_out:.4f}"

    def _schedule(self) -> float:
        return warmup_cosine(self.step, self.expected_steps, self.settings.warmup)

    def _precision(self) -> Any:
        if self.settings.bf16:
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()

    def _losses(self, batch: Batch, tasks: Episodes | None, seed: int) -> dict[str, Tensor]:
        """The losses of a step, with the names of `history`."""
        means: list[Tensor] = []

        def forward(*inputs: Tensor) -> Tensor:
            prediction, *found = self._forward(*inputs, with_means=True)
            means.extend(found)
            return prediction

        regularised = bool(self.settings.sigreg_weight)
        with self._precision():
            by_window = window_losses(
                self.model, batch, self.device, forward if regularised else self._forward
            )
        losses = {"loss": (by_window * batch.weight.to(self.device)).sum()}
        if tasks is not None:
            losses["episode_loss"] = self._loss_of_episodes(tasks)
        if regularised:
            generator = torch.Generator().manual_seed(seed)
            # Each process has a part of the batch, and the gradients of all are summed.
            both = torch.stack([sigreg(each, generator) for each in means])
            losses["sigreg_loss"] = both.sum() / self.part[1]
        return losses

    def _loss_of_episodes(self, tasks: Episodes) -> Tensor:
        x, modality, labels = (
            tensor.to(self.device) for tensor in (tasks.x, tasks.modality, tasks.labels)
        )
        generator = torch.Generator().manual_seed(tasks.seed)
        with self._precision():
            losses = self._episode_loss(
                self.model.trunk, x, modality, labels, tasks.n_support, generator
            )
        return losses.sum() * tasks.weight

    def _share(self, losses: dict[str, Tensor]) -> dict[str, float]:
        """Sum the losses and their gradient over all processes, and return the losses."""
        values = torch.stack(list(losses.values())).detach()
        if self.part[1] == 1:
            shared = values.tolist()
            self.clock.share = self.clock.used()
            return dict(zip(losses, shared, strict=True))
        # All processes go by the clock of the first one.
        used = values.new_tensor([self.clock.used() if self.part[0] == 0 else 0.0])
        own = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters]
        *gradients, values, used = sum_of_all([*own, values, used])
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        self.clock.share = used.item()
        return dict(zip(losses, values.tolist(), strict=True))

    def _update_average(self) -> None:
        share = average_share(self.step, self.expected_steps, self.settings.ema)
        state = self.model.state_dict()
        names = [name for name, value in self.average.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.average[k] for k in names], [state[k] for k in names], share)

    # --- losses ----------------------------------------------------------------------------------

    def _record(self) -> None:
        n = max(1, self._loss_count)
        row: dict[str, Any] = {"step": self.step}
        row |= {name: total / n for name, total in self._sums.items()}
        self._sums, self._loss_count = self._no_sums(), 0
        if self.held_out is not None:
            row |= self.evaluate(self.held_out)
        self.history.append(row | {"seconds": round(self.clock.read(), 1)})

    def _no_sums(self) -> dict[str, float]:
        return dict.fromkeys(("loss", *self._weights), 0.0)

    @torch.no_grad()
    def evaluate(self, sampler: CropSampler) -> dict[str, Any]:
        """Masked loss of the averaged weights, on the same windows in every call."""
        current = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.model.load_state_dict(self.average)
        self.model.eval()
        result = masked_loss(self.model, sampler, self.device, self.part)
        self.model.load_state_dict(current)
        return {"held_out_loss": result.pop("all"), "held_out_by_modality": result}

    # --- the state on disk -----------------------------------------------------------------------

    def state(self) -> tuple[dict[str, Tensor], str]:
        """State that is needed to resume the run: tensors, and the rest as JSON."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.items()}
        for i, parameter in enumerate(self.parameters):
            for name, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{i}.{name}"] = value
        rest = {
            "step": self.step,
            **self.clock.state(),
            "history": self.history,
            "loss_sums": self._sums,
            "loss_count": self._loss_count,
        }
        return {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, json.dumps(
            rest
        )

    def load(self, tensors: dict[str, Tensor], rest: str) -> None:
        """Restore the result of `state`."""
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "average": {}, "optimizer": {}}
        for key, value in tensors.items():
            part, name = key.split(".", 1)
            parts[part][name] = value
        self.model.load_state_dict(parts["model"])
        self.average = {k: v.to(self.device) for k, v in parts["average"].items()}
        for key, value in parts["optimizer"].items():
            index, name = key.split(".")
            state = self.optimizer.state[self.parameters[int(index)]]
            state[name] = value.to(self.device)  # also "step", which fused AdamW keeps there
        loaded = json.loads(rest)
        self.step, self.history = loaded["step"], loaded["history"]
        self.clock.load(loaded)
        self._sums, self._loss_count = loaded["loss_sums"], loaded["loss_count"]


def window_losses(
    model: MaskedAutoencoder, batch: Batch, device: torch.device, forward: Any = None
) -> Tensor:
    """Masked loss of each window of a batch, ``(batch,)``."""
    z = normalise(batch.x.to(device))[0]
    mask, modality = batch.mask.to(device), batch.modality.to(device)
    predict = model if forward is None else forward  # a compiled module has no truth value
    prediction = predict(z, mask, modality, batch.known.to(device), batch.window.to(device))
    return model.loss(prediction, model.targets(z, modality), mask)


@torch.no_grad()
def masked_loss(
    model: MaskedAutoencoder,
    sampler: CropSampler,
    device: torch.device,
    part: tuple[int, int] = (0, 1),
) -> dict[str, float]:
    """Masked loss on fixed windows of a sampler for each modality, and their mean as ``"all"``.

    If `part` has several processes, each of them computes the loss of some of the batches.
    """
    by_modality: dict[str, list[float]] = {name: [] for name in sampler.modalities}
    for i in range(part[0], _HELD_OUT_BATCHES, part[1]):
        batch = sampler(_HELD_OUT_FROM + i)
        losses = window_losses(model, batch, device)
        for index, loss in zip(batch.modality.tolist(), losses.tolist(), strict=True):
            by_modality[sampler.modalities[index]].append(loss)
    sums = [(sum(values), len(values)) for values in by_modality.values()]
    if part[1] > 1:
        (total,) = sum_of_all([torch.tensor(sums, dtype=torch.float64, device=device)])
        sums = total.tolist()
    means = {name: loss / n for name, (loss, n) in zip(by_modality, sums, strict=True) if n}
    return means | {"all": sum(means.values()) / len(means)}
