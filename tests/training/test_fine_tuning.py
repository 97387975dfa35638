"""Learning rates of the parts of a network."""

import pytest
import torch

from citrus_sk.nn import PRESETS, CitrusNetwork
from citrus_sk.training.fine_tuning import TuningSettings, rates


def settings(**changes):
    plain = {
        "max_epochs": 1, "batch_size": 4, "learning_rate": 1e-3, "trunk_factor": 0.3,
        "head_step": 100.0, "weight_decay": 0.0, "warmup": 0.0, "mixup": 0.0, "ema": 0.0,
        "patience": 1,
    }  # fmt: skip
    return TuningSettings(**plain | changes)


@pytest.mark.parametrize("kernel_times", [None, 64])
@pytest.mark.parametrize("n_chans", [1, 8, 40])
def test_a_step_of_the_head_changes_outputs_as_much_for_any_number_of_channels(
    n_chans, kernel_times
):
    with torch.random.fork_rng():
        head = CitrusNetwork(PRESETS["tiny"], n_chans, 2, kernel_times=kernel_times).head
    features = torch.randn(200, sum(head.views), generator=torch.Generator().manual_seed(0))
    head.set_statistics(features, torch.ones(200))
    window = head.standardise(features[:1])
    optimiser = torch.optim.AdamW(head.parameters(), lr=_rate(head), weight_decay=0)
    head.linear(window)[0, 1].backward()  # the loss is the output
    optimiser.step()
    # Learning rate times step times the mean absolute value of a standard normal number.
    moved = -head.linear(window)[0, 1].item()
    assert moved == pytest.approx(0.1 * (2 / torch.pi) ** 0.5, rel=0.1)


def _rate(head):
    module = torch.nn.Module()
    module.head = head
    return dict(rates(module, settings()))["head.*"]["lr"]


def test_the_trunk_has_its_share_of_the_rate_and_a_plain_head_the_common_one():
    found = dict(rates(torch.nn.Module(), settings(head_step=None)))
    assert found == {"trunk.*": {"lr": pytest.approx(3e-4)}}
