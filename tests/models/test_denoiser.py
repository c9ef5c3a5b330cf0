"""The denoiser starts as the exact posterior of a Gaussian prior, and learns corrections of it."""

from __future__ import annotations

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cbldm.models.denoiser import LatentDenoiser, gaussian_posterior
from cbldm.models.networks import Gaussian

BATCH, N_LATENT, N_CONTEXT = 9, 6, 5


def problem(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, Gaussian, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    z, mean, log_variance = (torch.randn(BATCH, N_LATENT, generator=generator) for _ in range(3))
    angle = 0.05 + 1.4 * torch.rand(BATCH, generator=generator)
    return z, angle, Gaussian(mean, log_variance), torch.randn(BATCH, N_CONTEXT, generator=generator)


def test_untrained_network_is_the_posterior_of_the_prior() -> None:
    z, angle, prior, context = problem()
    found = LatentDenoiser(N_LATENT, N_CONTEXT, 32, 2)(z, angle, prior, context)
    exact = gaussian_posterior(z, angle, prior)
    assert torch.equal(found.mean, exact.mean)
    assert torch.equal(found.log_variance, exact.log_variance)


@given(z=st.floats(-3, 3), angle=st.floats(0.1, math.pi / 2), mean=st.floats(-2, 2), log_variance=st.floats(-2.5, 1.5))
@settings(max_examples=40)
def test_posterior_is_bayes_rule(z: float, angle: float, mean: float, log_variance: float) -> None:
    """Prior times likelihood, integrated."""
    x = torch.linspace(-25, 25, 8_001, dtype=torch.float64)
    log_density = -0.5 * (x - mean) ** 2 / math.exp(log_variance)
    log_density = log_density - 0.5 * (z - math.cos(angle) * x) ** 2 / math.sin(angle) ** 2
    density = (log_density - log_density.max()).exp()
    density = density / torch.trapezoid(density, x)
    expected = torch.trapezoid(density * x, x)
    variance = torch.trapezoid(density * (x - expected) ** 2, x)
    double = torch.float64
    found = gaussian_posterior(
        torch.tensor([[z]], dtype=double),
        torch.tensor([angle], dtype=double),
        Gaussian(torch.tensor([[mean]], dtype=double), torch.tensor([[log_variance]], dtype=double)),
    )
    torch.testing.assert_close(found.mean[0, 0], expected, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(found.variance[0, 0], variance, atol=1e-6, rtol=1e-5)


def test_without_noise_the_posterior_is_the_latent() -> None:
    z, _, prior, _ = problem(1)
    angle = torch.full((BATCH,), 1e-3)
    found = gaussian_posterior(z, angle, prior)
    torch.testing.assert_close(found.mean, z, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.variance, torch.full_like(z, 1e-6), atol=0.0, rtol=1e-3)


def test_without_signal_the_posterior_is_the_prior() -> None:
    z, _, prior, _ = problem(2)
    found = gaussian_posterior(z, torch.full((BATCH,), math.pi / 2), prior)
    torch.testing.assert_close(found.mean, prior.mean, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.log_variance, prior.log_variance, atol=1e-5, rtol=1e-5)


def test_training_reaches_what_the_prior_does_not_know() -> None:
    """Data from a context-dependent mean: a few steps beat the posterior of a prior that ignores the context."""
    torch.manual_seed(0)
    network = LatentDenoiser(2, 1, 32, 1)
    generator = torch.Generator().manual_seed(1)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    losses, floor = [], []
    for _ in range(80):
        context = torch.randn(128, 1, generator=generator)
        clean = context.expand(-1, 2) + 0.3 * torch.randn(128, 2, generator=generator)
        angle = 0.2 + 1.3 * torch.rand(128, generator=generator)
        noise = torch.randn(128, 2, generator=generator)
        z = angle.cos()[:, None] * clean + angle.sin()[:, None] * noise
        prior = Gaussian(torch.zeros(128, 2), torch.full((128, 2), math.log(1.09)))
        loss = network(z, angle, prior, context).log_loss(clean).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        floor.append(gaussian_posterior(z, angle, prior).log_loss(clean).mean().item())
    assert abs(losses[0] - floor[0]) < 1e-6
    assert sum(losses[-20:]) / 20 < sum(floor[-20:]) / 20 - 0.15
    for parameter in network.parameters():
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()
