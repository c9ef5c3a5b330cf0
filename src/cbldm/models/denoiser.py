"""The latent denoiser: mean and variance of the clean latent, as a correction of what the prior alone would say."""

from __future__ import annotations

import torch
from torch import nn

from cbldm.models.networks import Gaussian, ResidualMlp


class LatentDenoiser(nn.Module):
    """p(z | z_t, t, c): Gaussian, x0-prediction, with its own variance."""

    def __init__(self, n_latent: int, n_context: int, width: int, depth: int) -> None:
        super().__init__()
        self.network = ResidualMlp(3 * n_latent + n_context + 32, 2 * n_latent, width, depth)
        nn.init.zeros_(self.network.leave.weight)
        nn.init.zeros_(self.network.leave.bias)
        self.register_buffer("rates", torch.exp(torch.linspace(0.0, 4.0, 16)), persistent=False)
        self.rates: torch.Tensor

    def forward(self, z_t: torch.Tensor, angle: torch.Tensor, prior: Gaussian, context: torch.Tensor) -> Gaussian:
        """Denoise.

        Args:
            z_t: (batch, n_latent) at noise level ``angle``.
            angle: (batch,) in (0, π/2].
            prior: p(z|x); where it is Gaussian and right, the untrained network is already exact.
            context: (batch, n_context).

        Returns:
            Posterior of the clean latent.
        """
        base = gaussian_posterior(z_t, angle, prior)
        phase = angle[:, None] * self.rates
        inputs = torch.cat([z_t, prior.mean, base.mean, context, phase.sin(), phase.cos()], dim=1)
        shift, spread = self.network(inputs).float().chunk(2, dim=1)
        mean = base.mean + (0.5 * base.log_variance).exp() * shift
        return Gaussian(mean, base.log_variance + spread.clamp(-5.0, 5.0))


def gaussian_posterior(z_t: torch.Tensor, angle: torch.Tensor, prior: Gaussian) -> Gaussian:
    """Exact posterior of z given z_t = cos φ z + sin φ ε when z is Gaussian: precisions add."""
    cosine, sine = angle.cos()[:, None], angle.sin()[:, None]
    precision = 1 / prior.variance + (cosine / sine) ** 2
    mean = (prior.mean / prior.variance + cosine / sine**2 * z_t) / precision
    return Gaussian(mean, -precision.log())
