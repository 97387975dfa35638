"""SIGReg is small for independent features, and its gradient makes features independent."""

import pytest
import torch
from effective_rank import effective_rank

from citrus_sk.nn.sigreg import sigreg


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed))


def test_it_is_small_for_independent_features_and_large_for_copies_of_one():
    independent = normal(2000, 32)
    copies = independent[:, :1] * torch.linspace(0.5, 2, 32)
    mixed = independent @ normal(32, 32, seed=1)
    small, between, large = (
        float(sigreg(features, generator())) for features in (independent, mixed, copies)
    )
    assert 0 < small < 0.002 < between < large / 10
    assert large == pytest.approx(0.17, abs=0.01)


def test_the_scale_and_the_mean_of_features_are_free():
    features = normal(500, 8)
    moved = features * torch.linspace(1, 100, 8) + torch.linspace(-5, 5, 8)
    torch.testing.assert_close(
        sigreg(features, generator()), sigreg(moved, generator()), rtol=1e-3, atol=1e-5
    )


def test_the_same_directions_give_the_same_bits_and_others_hardly_another_value():
    features = normal(500, 16) @ normal(16, 16, seed=1)
    first, again, other = (sigreg(features, generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert first != other
    torch.testing.assert_close(first, other, rtol=0.2, atol=0)


def test_gradient_descent_raises_the_effective_rank():
    basis = normal(3, 16, seed=1)
    weights = torch.eye(16, requires_grad=True)
    inputs = normal(400, 3, seed=3) @ basis + 0.3 * normal(400, 16, seed=4)
    before = effective_rank((inputs @ weights).detach().numpy())
    optimizer = torch.optim.Adam([weights], lr=0.003)
    for step in range(300):
        optimizer.zero_grad()
        sigreg(inputs @ weights, generator(step)).backward()
        optimizer.step()
    assert effective_rank((inputs @ weights).detach().numpy()) > before + 3


@pytest.mark.parametrize("features", [torch.ones(4, 8), normal(1, 8)])
def test_constant_features_and_a_single_window_have_finite_gradients(features):
    features = features.clone().requires_grad_()
    sigreg(features, generator()).backward()
    assert features.grad.isfinite().all()


def test_half_precision_is_computed_in_single_precision():
    features = normal(200, 8)
    half = sigreg(features.bfloat16(), generator())
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, sigreg(features, generator()), rtol=0.1, atol=1e-3)
