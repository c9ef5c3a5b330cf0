"""Gaussians against closed forms and integrals; a perceptron that starts near the identity of its parts."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Normal, kl_divergence

from cbldm.models.networks import CountCode, Gaussian, ResidualMlp, standard_normal_like

SHAPE = (6, 5)


def gaussian(seed: int, shape: tuple[int, int] = SHAPE) -> Gaussian:
    generator = torch.Generator().manual_seed(seed)
    mean, log_variance = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    return Gaussian(mean, log_variance)


def reference(value: Gaussian) -> Normal:
    return Normal(value.mean, (0.5 * value.log_variance).exp())


@given(st.integers(0, 10_000))
def test_divergence_is_the_closed_form(seed: int) -> None:
    first, second = gaussian(seed), gaussian(seed + 1)
    torch.testing.assert_close(
        first.divergence(second), kl_divergence(reference(first), reference(second)).sum(dim=1), rtol=1e-9, atol=1e-12
    )


def test_divergence_is_the_integral_of_its_definition() -> None:
    first, second = gaussian(1, (4, 1)), gaussian(2, (4, 1))
    x = torch.linspace(-60, 60, 240_001, dtype=torch.float64)
    p, q = reference(first).log_prob(x), reference(second).log_prob(x)
    integral = torch.trapezoid(p.exp() * (p - q), x, dim=1)
    torch.testing.assert_close(first.divergence(second), integral, rtol=1e-7, atol=1e-9)


def test_divergence_vanishes_for_equals_only() -> None:
    first = gaussian(3)
    assert not first.divergence(first).any()
    assert (first.divergence(gaussian(4)) > 0.1).all()
    unit = standard_normal_like(first.mean)
    torch.testing.assert_close(unit.divergence(unit), torch.zeros(6, dtype=torch.float64))
    assert unit.mean.dtype == first.mean.dtype


@given(st.integers(0, 10_000))
def test_log_loss_is_the_density(seed: int) -> None:
    value = gaussian(seed + 7).mean
    expected = -reference(gaussian(seed)).log_prob(value) - 0.5 * torch.log(torch.tensor(2 * torch.pi))
    torch.testing.assert_close(gaussian(seed).log_loss(value), expected, rtol=1e-6, atol=1e-6)


def test_log_loss_is_least_at_the_true_mean_and_variance() -> None:
    generator = torch.Generator().manual_seed(0)
    data = 0.7 + 0.3 * torch.randn(200_000, 1, generator=generator, dtype=torch.float64)
    parameters = torch.tensor([0.0, 0.0], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([parameters], max_iter=100)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = Gaussian(parameters[0].expand_as(data), parameters[1].expand_as(data)).log_loss(data).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert abs(parameters[0].item() - 0.7) < 4 * 0.3 / 200_000**0.5
    assert abs((0.5 * parameters[1]).exp().item() - 0.3) < 4 * 0.3 / 400_000**0.5


def test_samples_have_the_stated_moments() -> None:
    first = gaussian(5, (1, 4))
    wide = Gaussian(first.mean.expand(40_000, 4), first.log_variance.expand(40_000, 4))
    drawn = wide.sample(torch.Generator().manual_seed(0))
    sigma = first.variance[0].sqrt()
    assert ((drawn.mean(dim=0) - first.mean[0]).abs() < 4 * sigma / 200).all()
    assert ((drawn.std(dim=0) - sigma).abs() < 4 * sigma / 80_000**0.5).all()
    assert torch.equal(drawn, wide.sample(torch.Generator().manual_seed(0)))


def test_samples_carry_gradients_to_mean_and_variance() -> None:
    mean, log_variance = torch.zeros(3, 2, requires_grad=True), torch.zeros(3, 2, requires_grad=True)
    noise = torch.randn((3, 2), generator=torch.Generator().manual_seed(1))
    Gaussian(mean, log_variance).sample(torch.Generator().manual_seed(1)).sum().backward()
    torch.testing.assert_close(mean.grad, torch.ones(3, 2))
    torch.testing.assert_close(log_variance.grad, 0.5 * noise)


def test_output_allows_deviations_well_below_one() -> None:
    """The published code's softplus on a log-variance could not say σ < 1."""
    found = Gaussian.from_output(torch.tensor([[1.0, 2.0, -50.0, 50.0]], dtype=torch.bfloat16))
    assert found.mean.tolist() == [[1.0, 2.0]]
    assert found.mean.dtype == torch.float32
    assert found.variance.sqrt()[0, 0] < 0.02
    assert torch.isfinite(found.variance).all()


def test_count_code_tells_all_counts_apart() -> None:
    code = CountCode()(torch.arange(1, 257))
    assert code.shape == (256, 32)
    assert code.abs().max() <= 1
    assert torch.nn.functional.pdist(code.double()).min() > 1e-3


@pytest.mark.parametrize("depth", [0, 3])
def test_perceptron_maps_width_to_width(depth: int) -> None:
    network = ResidualMlp(7, 3, 16, depth)
    x = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
    assert network(x).shape == (5, 3)
    # Rows do not see each other.
    torch.testing.assert_close(network(x)[2:3], network(x[2:3]))
    for block in network.blocks:
        torch.nn.init.zeros_(block[-1].weight)
        torch.nn.init.zeros_(block[-1].bias)
    torch.testing.assert_close(network(x), network.leave(network.enter(x)))
