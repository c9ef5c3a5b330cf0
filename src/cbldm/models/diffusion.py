"""Noise schedule and sampler of the latent diffusion; the sampler takes any callable as denoiser.

z_t = sqrt(ᾱ) z + sqrt(1-ᾱ) ε with sqrt(ᾱ) = cos φ, so the noise level is one angle φ from 0 (data) to π/2 (noise).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import torch

from cbldm.models.networks import Gaussian

#: Posterior of the clean latent given the noisy latent (batch, n) and the angle of its noise level.
Denoiser = Callable[[torch.Tensor, torch.Tensor], Gaussian]
Start = Literal["prior", "noise"]

#: Where the paper's head start enters: half signal, half noise.
MIDDLE = math.pi / 4


def diffuse(z: torch.Tensor, angle: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Noisy latent at angles (batch,) or a scalar angle: cos φ z + sin φ ε."""
    angle = angle.reshape(-1, 1)
    return angle.cos() * z + angle.sin() * noise


def jump(z0: torch.Tensor, z_t1: torch.Tensor, angle1: float, angle2: float) -> torch.Tensor:
    """Jump ahead from level t1 to t2 with a draw z0 ~ p(z|x): z_t2 = a z0 + u z_t1 (CbLDM, the conditional head start).

    u = sqrt(1-ᾱ_t2)/sqrt(1-ᾱ_t1) and a = sqrt(ᾱ_t2) - u sqrt(ᾱ_t1): a DDIM step without noise whose x̂0 is z0.
    """
    u = math.sin(angle2) / math.sin(angle1)
    return (math.cos(angle2) - u * math.cos(angle1)) * z0 + u * z_t1


def ancestral_step(z: torch.Tensor, clean: Gaussian, angle1: float, angle2: float, noise: torch.Tensor) -> torch.Tensor:
    """One draw of p(z_t2 | z_t1) with the clean latent integrated out (Bao et al. 2022, optimal reverse variance).

    The variance of the clean latent is carried along, so a Gaussian score gives exact samples in any number of steps.
    """
    alpha1, alpha2, sigma1, sigma2 = math.cos(angle1), math.cos(angle2), math.sin(angle1), math.sin(angle2)
    between = sigma1**2 - (alpha1 / alpha2) ** 2 * sigma2**2
    weight = alpha2 * between / sigma1**2
    mean = (alpha1 / alpha2) * (sigma2 / sigma1) ** 2 * z + weight * clean.mean
    variance = between * (sigma2 / sigma1) ** 2 + weight**2 * clean.variance
    return mean + variance.sqrt() * noise


def sample(
    denoise: Denoiser,
    prior: Gaussian,
    steps: int,
    generator: torch.Generator | None = None,
    *,
    start: Start = "prior",
    enter: float = MIDDLE,
    deterministic: bool = False,
) -> torch.Tensor:
    """Draw clean latents, one per row of the prior.

    Args:
        denoise: Returns mean and variance of the clean latent, given noisy latents (batch, n) and angles (batch,).
        prior: p(z|x); only its shape is used when ``start`` is ``noise``.
        steps: Number of calls of the denoiser; 0 gives the draw of the prior itself, which ``start`` must then be.
        generator: Source of randomness.
        start: ``prior`` jumps from white noise to the level ``enter`` with a draw of the prior; ``noise`` walks all
            the way.
        enter: Angle at which the walk begins after the jump.
        deterministic: Use the paper's DDIM step (η = 0) with the denoiser's mean.

    Returns:
        (batch, n).

    Raises:
        ValueError: ``steps`` is too small.
    """
    if steps < (0 if start == "prior" else 1):
        raise ValueError(f"the sampler needs at least {0 if start == 'prior' else 1} steps from {start}, got {steps}")
    if steps == 0:
        return prior.sample(generator)

    def noise() -> torch.Tensor:
        return torch.randn(prior.mean.shape, generator=generator, device=prior.mean.device)

    z, top = noise(), math.pi / 2
    if start == "prior":
        z, top = jump(prior.sample(generator), z, top, enter), enter
    angles = [top * (1 - k / steps) for k in range(steps)] + [0.0]
    for angle1, angle2 in pairwise(angles):
        clean = denoise(z, torch.full((len(z),), angle1, device=z.device))
        z = jump(clean.mean, z, angle1, angle2) if deterministic else ancestral_step(z, clean, angle1, angle2, noise())
    return z
