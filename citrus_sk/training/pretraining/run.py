"""The loop of a pre-training run: steps, averages, held-out loss, and a state that can be saved."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...nn import MaskedAutoencoder
from ...nn.encoder import normalise
from ..draws import own_draws
from ..schedule import average_share, warmup_cosine
from .processes import distributed_part
from .sampler import Batch, CropSampler

# Steps below zero never occur in training: batches for statistics and for the held-out loss.
_STATISTICS_BATCHES, _HELD_OUT_BATCHES = 16, 8
_STATISTICS_FROM, _HELD_OUT_FROM = 2**40, 2**41
_CLIP = 1.0  # norm of a step's gradient


@dataclass(frozen=True)
class PretrainRecipe:
    """How long and how fast; see `CitrusPretrainer` for each entry."""

    n_steps: int
    learning_rate: float
    weight_decay: float
    warmup: float
    ema: float
    evaluate_every: int
    seed: int
    bf16: bool = False
    compiled: bool = False


class PretrainRun:
    """One run. Its state after a step is a function of corpus, recipe and seed alone.

    Parameters
    ----------
    autoencoder : MaskedAutoencoder
        On its device.
    sampler : CropSampler
        Of training windows.
    held_out : CropSampler or None
        Of windows of people that are not trained on.
    recipe : PretrainRecipe
    device : torch.device
    """

    def __init__(
        self,
        autoencoder: MaskedAutoencoder,
        sampler: CropSampler,
        held_out: CropSampler | None,
        recipe: PretrainRecipe,
        device: torch.device,
    ) -> None:
        self.model, self.sampler, self.held_out = autoencoder.to(device), sampler, held_out
        self.recipe, self.device = recipe, device
        self.part = distributed_part()
        decayed = [p for p in autoencoder.parameters() if p.ndim > 1]
        others = [p for p in autoencoder.parameters() if p.ndim <= 1]
        self.parameters = decayed + others
        self.optimizer = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": recipe.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=recipe.learning_rate,
            betas=(0.9, 0.98),
            fused=device.type in ("cpu", "cuda"),
        )
        self.average = {k: v.detach().clone() for k, v in autoencoder.state_dict().items()}
        self.step, self.seconds, self.in_step = 0, 0.0, False
        self.history: list[dict[str, Any]] = []
        self._loss_sum, self._loss_count = 0.0, 0
        self._forward: Any = torch.compile(autoencoder) if recipe.compiled else autoencoder

    # --- training --------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Take the statistics of the targets from training windows; before the first step."""
        batches = [self.sampler(_STATISTICS_FROM + number) for number in range(_STATISTICS_BATCHES)]
        z = normalise(torch.cat([batch.x for batch in batches]))[0]
        modality = torch.cat([batch.modality for batch in batches])
        self.model.set_target_statistics(z.to(self.device), modality.to(self.device))
        for name in ("target_mean", "target_sd"):
            self.average[name].copy_(getattr(self.model, name))

    def train(self, after_step: Callable[[PretrainRun], Any] | None = None) -> None:
        """Go on to the last step; `after_step` sees the run after each."""
        while self.step < self.recipe.n_steps:
            begin = time.perf_counter()
            self.in_step = True
            self.train_step()
            due = self.step % self.recipe.evaluate_every == 0 or self.step == self.recipe.n_steps
            if due:
                self._record()
            self.seconds += time.perf_counter() - begin
            if due:
                self.history[-1]["seconds"] = round(self.seconds, 1)
            self.in_step = False
            if after_step is not None:
                after_step(self)

    def train_step(self) -> float:
        """One batch; returns its loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate * self._schedule()
        batch = self.sampler(self.step, self.part)
        self.model.train()
        # A seed for each step: a run that is taken up again drops out the same units.
        # Processes of a group drop others each; a lone one has the seed without its number.
        key = (self.recipe.seed, self.step, *([self.part[0]] if self.part[1] > 1 else []))
        seed = int(np.random.SeedSequence(key).generate_state(1)[0])
        # A compiled network draws in kernels that know the global state alone.
        draws = own_draws(seed, self.device, shared=self.recipe.compiled)
        with draws as own, own.dropout(self.model):
            loss = self._loss(batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        value = self._share(loss)
        if not math.isfinite(value):
            drawn = "; ".join(self.sampler.describe(self.step)[:4])
            raise FloatingPointError(
                f"The pre-training loss became {value} at step {self.step}, in the batch of "
                f"{drawn}; ... Lower learning_rate (it is {self.recipe.learning_rate}) and look "
                "for extreme values there."
            )
        nn.utils.clip_grad_norm_(self.parameters, _CLIP)
        self.optimizer.step()
        self.step += 1
        self._update_average()
        self._loss_sum, self._loss_count = self._loss_sum + value, self._loss_count + 1
        return value

    def news(self) -> str:
        """Text of the progress bar."""
        held_out = next((row["held_out_loss"] for row in self.history[::-1] if len(row) > 3), None)
        own = self._loss_sum / self._loss_count if self._loss_count else self.history[-1]["loss"]
        return f"masked loss {own:.4f}" + ("" if held_out is None else f", held out {held_out:.4f}")

    def _schedule(self) -> float:
        return warmup_cosine(self.step, self.recipe.n_steps, self.recipe.warmup)

    def _loss(self, batch: Batch) -> Tensor:
        amp: Any = nullcontext()
        if self.recipe.bf16:
            amp = torch.autocast(self.device.type, torch.bfloat16)
        with amp:
            losses = window_losses(self.model, batch, self.device, self._forward)
        return (losses * batch.weight.to(self.device)).sum()

    def _share(self, loss: Tensor) -> float:
        """The loss of the whole batch, and its gradient, where several processes share it."""
        if self.part[1] > 1:
            for parameter in self.parameters:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                torch.distributed.all_reduce(parameter.grad)
            loss = loss.detach().clone()
            torch.distributed.all_reduce(loss)
        return loss.item()

    def _update_average(self) -> None:
        share = average_share(self.step, self.recipe.n_steps, self.recipe.ema)
        state = self.model.state_dict()
        names = [name for name, value in self.average.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.average[k] for k in names], [state[k] for k in names], share)

    # --- what is known of it ---------------------------------------------------------------------

    def _record(self) -> None:
        loss = self._loss_sum / max(1, self._loss_count)
        self._loss_sum, self._loss_count = 0.0, 0
        row: dict[str, Any] = {"step": self.step, "loss": loss}
        if self.held_out is not None:
            row |= self.evaluate(self.held_out)
        self.history.append(row)

    @torch.no_grad()
    def evaluate(self, sampler: CropSampler) -> dict[str, Any]:
        """Masked loss of the averaged weights on windows that are the same every time."""
        current = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.model.load_state_dict(self.average)
        self.model.eval()
        result = masked_loss(self.model, sampler, self.device)
        self.model.load_state_dict(current)
        return {"held_out_loss": result.pop("all"), "held_out_by_modality": result}

    # --- the state on disk -----------------------------------------------------------------------

    def state(self) -> tuple[dict[str, Tensor], str]:
        """All that is needed to resume the run: tensors, and the rest as JSON."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.items()}
        for number, parameter in enumerate(self.parameters):
            for name, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{number}.{name}"] = value
        rest = {
            "step": self.step,
            "seconds": self.seconds,
            "history": self.history,
            "loss_sum": self._loss_sum,
            "loss_count": self._loss_count,
        }
        return {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, json.dumps(
            rest
        )

    def load(self, tensors: dict[str, Tensor], rest: str) -> None:
        """Take up what `state` gave."""
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "average": {}, "optimizer": {}}
        for key, value in tensors.items():
            part, name = key.split(".", 1)
            parts[part][name] = value
        self.model.load_state_dict(parts["model"])
        self.average = {k: v.to(self.device) for k, v in parts["average"].items()}
        for key, value in parts["optimizer"].items():
            number, name = key.split(".")
            state = self.optimizer.state[self.parameters[int(number)]]
            state[name] = value.to(self.device)  # "step" too, as fused AdamW keeps it there
        loaded = json.loads(rest)
        self.step, self.seconds, self.history = (
            loaded["step"], loaded["seconds"], loaded["history"],
        )  # fmt: skip
        self._loss_sum, self._loss_count = loaded["loss_sum"], loaded["loss_count"]


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
    model: MaskedAutoencoder, sampler: CropSampler, device: torch.device
) -> dict[str, float]:
    """Masked loss over fixed windows of `sampler`, of each modality and, as ``"all"``, overall."""
    sums: dict[str, list[float]] = {name: [] for name in sampler.modalities}
    for number in range(_HELD_OUT_BATCHES):
        batch = sampler(_HELD_OUT_FROM + number)
        losses = window_losses(model, batch, device)
        for kind, loss in zip(batch.modality.tolist(), losses.tolist(), strict=True):
            sums[sampler.modalities[kind]].append(loss)
    means = {name: sum(values) / len(values) for name, values in sums.items() if values}
    return means | {"all": sum(means.values()) / len(means)}
