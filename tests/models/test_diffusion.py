"""The sampler with an exact score gives exact samples, in any number of steps, from either start."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cbldm.models.denoiser import gaussian_posterior
from cbldm.models.diffusion import MIDDLE, Denoiser, Start, ancestral_step, diffuse, jump, sample
from cbldm.models.networks import Gaussian

#: Data N(m, s²), a pair per kind of dimension.
MEANS = torch.tensor([0.0, 1.5, -0.7, 3.0, 0.2, -2.0, 0.0, 1.0])
SPREADS = torch.tensor([0.1, 0.2, 0.4, 0.7, 1.0, 1.3, 1.7, 2.0])
N_SAMPLES = 20_000


def marginal(batch: int) -> Gaussian:
    """Independent dimensions stand in for samples: (batch, n) whose rows and columns together hold `N_SAMPLES` each."""
    repeats = N_SAMPLES // batch
    mean, spread = (values.repeat(repeats).expand(batch, -1) for values in (MEANS, SPREADS))
    return Gaussian(mean, 2 * spread.log())


def exact(prior: Gaussian) -> Denoiser:
    return lambda z, angle: gaussian_posterior(z, angle, prior)


def by_kind(z: torch.Tensor) -> torch.Tensor:
    """(samples, kinds)."""
    return z.double().reshape(-1, len(MEANS))


def assert_recovered(z: torch.Tensor) -> None:
    found = by_kind(z)
    assert len(found) == N_SAMPLES
    assert ((found.mean(dim=0) - MEANS).abs() < 4 * SPREADS / math.sqrt(N_SAMPLES)).all()
    assert ((found.std(dim=0) - SPREADS).abs() < 4 * SPREADS / math.sqrt(2 * N_SAMPLES)).all()


@pytest.mark.parametrize("start", ["noise", "prior"])
@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize("steps", [1, 4, 20, 100])
def test_gaussian_data_come_out_with_their_mean_and_deviation(steps: int, batch: int, start: Start) -> None:
    prior = marginal(batch)
    z = sample(exact(prior), prior, steps, torch.Generator().manual_seed(steps + batch), start=start)
    assert z.shape == prior.mean.shape
    assert_recovered(z)


def test_samples_are_gaussian_and_not_only_of_the_right_width() -> None:
    prior = marginal(1)
    z = by_kind(sample(exact(prior), prior, 4, torch.Generator().manual_seed(0), start="noise"))
    unit = ((z - MEANS) / SPREADS).flatten().sort().values
    cumulative = 0.5 * (1 + torch.erf(unit / math.sqrt(2)))
    expected = (torch.arange(len(unit)) + 0.5) / len(unit)
    # Kolmogorov-Smirnov at 1 %.
    assert (cumulative - expected).abs().max() < 1.63 / math.sqrt(len(unit))


def test_white_noise_start_ignores_a_wrong_prior() -> None:
    truth = marginal(8)
    wrong = Gaussian(truth.mean + 5, truth.log_variance - 3)
    z = sample(exact(truth), wrong, 20, torch.Generator().manual_seed(1), start="noise")
    assert_recovered(z)


def test_deterministic_steps_converge_at_first_order() -> None:
    """With η = 0 each sample is a linear map of its noise, whose slope tends to s as the steps go to zero."""
    prior = Gaussian(MEANS.expand(2, -1), 2 * SPREADS.log().expand(2, -1))
    noise = torch.randn(prior.mean.shape, generator=torch.Generator().manual_seed(2))
    errors = []
    for steps in (25, 50, 100, 200):
        z = sample(exact(prior), prior, steps, torch.Generator().manual_seed(2), start="noise", deterministic=True)
        slope = (z[0] - z[1]) / (noise[0] - noise[1])
        errors.append((slope / SPREADS - 1).abs())
    assert errors[-1].max() < 0.04
    for coarse, fine in pairwise(errors):
        ratio = (coarse / fine)[SPREADS != 1]
        assert ((ratio > 1.6) & (ratio < 2.4)).all()


@given(low=st.floats(0.0, 1.4), gap=st.floats(0.01, 1.5), z0=st.floats(-3, 3), z1=st.floats(-3, 3))
def test_jump_is_the_step_of_the_paper(low: float, gap: float, z0: float, z1: float) -> None:
    """z_t2 = a z0 + u z_t1 with a and u written in ᾱ."""
    high = min(low + gap, math.pi / 2)
    alpha1, alpha2 = math.cos(high) ** 2, math.cos(low) ** 2
    u = math.sqrt(1 - alpha2) / math.sqrt(1 - alpha1)
    a = math.sqrt(alpha2) - u * math.sqrt(alpha1)
    found = jump(torch.tensor([[z0]]), torch.tensor([[z1]]), high, low)
    assert found.item() == pytest.approx(a * z0 + u * z1, abs=1e-5)


@given(low=st.floats(0.0, 1.4), gap=st.floats(0.01, 1.5), z0=st.floats(-3, 3), noise=st.floats(-3, 3))
def test_jump_with_the_true_clean_latent_keeps_the_noise(low: float, gap: float, z0: float, noise: float) -> None:
    high = min(low + gap, math.pi / 2)
    clean, white = torch.tensor([[z0]]), torch.tensor([[noise]])
    above, below = (diffuse(clean, torch.tensor(angle), white) for angle in (high, low))
    torch.testing.assert_close(jump(clean, above, high, low), below, atol=1e-4, rtol=1e-4)


def test_the_jump_from_white_noise_enters_at_the_marginal() -> None:
    """a = cos φ, u = sin φ: with an exact prior the entering latents have the diffused data's mean and variance."""
    prior = marginal(1)
    seen: list[tuple[torch.Tensor, float]] = []

    def watch(z: torch.Tensor, angle: torch.Tensor) -> Gaussian:
        seen.append((z, float(angle[0])))
        return gaussian_posterior(z, angle, prior)

    sample(watch, prior, 4, torch.Generator().manual_seed(3), start="prior")
    z, angle = seen[0]
    assert len(seen) == 4
    assert angle == pytest.approx(MIDDLE)
    assert [a for _, a in seen] == pytest.approx([MIDDLE * (1 - k / 4) for k in range(4)])
    found, variance = by_kind(z), (math.cos(angle) * SPREADS) ** 2 + math.sin(angle) ** 2
    assert ((found.mean(dim=0) - math.cos(angle) * MEANS).abs() < 4 * (variance / N_SAMPLES).sqrt()).all()
    assert ((found.var(dim=0) / variance - 1).abs() < 4 * math.sqrt(2 / N_SAMPLES)).all()


def test_one_reverse_step_leads_from_marginal_to_marginal() -> None:
    prior = marginal(1)
    generator = torch.Generator().manual_seed(4)

    def white() -> torch.Tensor:
        return torch.randn(prior.mean.shape, generator=generator)

    high, low = 1.1, 0.4
    z = diffuse(prior.sample(generator), torch.tensor(high), white())
    clean = gaussian_posterior(z, torch.full((1,), high), prior)
    found = by_kind(ancestral_step(z, clean, high, low, white()))
    variance = (math.cos(low) * SPREADS) ** 2 + math.sin(low) ** 2
    assert ((found.mean(dim=0) - math.cos(low) * MEANS).abs() < 4 * (variance / N_SAMPLES).sqrt()).all()
    assert ((found.var(dim=0) / variance - 1).abs() < 4 * math.sqrt(2 / N_SAMPLES)).all()


def test_diffuse_takes_an_angle_per_row() -> None:
    z, noise = torch.ones(3, 2), 2 * torch.ones(3, 2)
    found = diffuse(z, torch.tensor([0.0, math.pi / 4, math.pi / 2]), noise)
    expected = torch.tensor([1.0, 3 / math.sqrt(2), 2.0])[:, None].expand(3, 2)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("start", ["noise", "prior"])
@pytest.mark.parametrize("deterministic", [False, True])
def test_same_generator_same_samples(start: Start, deterministic: bool) -> None:
    prior = marginal(8)
    first, again, other = (
        sample(exact(prior), prior, 4, torch.Generator().manual_seed(seed), start=start, deterministic=deterministic)
        for seed in (5, 5, 6)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(("steps", "start", "least"), [(-3, "prior", 0), (0, "noise", 1), (-1, "noise", 1)])
def test_too_few_steps(steps: int, start: Start, least: int) -> None:
    prior = marginal(8)
    with pytest.raises(ValueError, match=f"at least {least} steps from {start}, got {steps}"):
        sample(exact(prior), prior, steps, start=start)


def test_no_steps_give_the_prior_itself() -> None:
    prior = marginal(8)
    drawn = sample(exact(prior), prior, 0, torch.Generator().manual_seed(1))
    assert torch.equal(drawn, prior.sample(torch.Generator().manual_seed(1)))
