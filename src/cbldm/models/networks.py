"""Building blocks that the parts of the model share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import nn


class ResidualMlp(nn.Module):
    """A residual multilayer perceptron with layer norms in front of each block."""

    def __init__(self, n_in: int, n_out: int, width: int, depth: int) -> None:
        super().__init__()
        self.enter = nn.Linear(n_in, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))
            for _ in range(depth)
        )
        self.leave = nn.Linear(width, n_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, n_in) to (batch, n_out)."""
        x = self.enter(x)
        for block in self.blocks:
            x = x + block(x)
        return cast(torch.Tensor, self.leave(x))


@dataclass(frozen=True)
class Gaussian:
    """A Gaussian without correlations.

    Attributes:
        mean: (batch, n).
        log_variance: (batch, n); unbounded below, so that σ can be well under one.
    """

    mean: torch.Tensor
    log_variance: torch.Tensor

    @classmethod
    def from_output(cls, output: torch.Tensor) -> Gaussian:
        """Split a network's output (batch, 2 n) into mean and a log-variance kept in a sane range."""
        mean, log_variance = output.float().chunk(2, dim=1)
        return cls(mean, log_variance.clamp(-9.0, 4.0))

    @property
    def variance(self) -> torch.Tensor:
        """(batch, n)."""
        return self.log_variance.exp()

    def sample(self, generator: torch.Generator | None = None) -> torch.Tensor:
        """One draw per row (batch, n), differentiable in mean and variance."""
        noise = torch.randn(self.mean.shape, generator=generator, device=self.mean.device)
        return self.mean + (0.5 * self.log_variance).exp() * noise

    def log_loss(self, value: torch.Tensor) -> torch.Tensor:
        """Negative log-likelihood (batch, n) in nats, without the constant ½ log 2π."""
        return 0.5 * ((value - self.mean) ** 2 / self.variance + self.log_variance)

    def divergence(self, other: Gaussian) -> torch.Tensor:
        """Kullback-Leibler divergence KL(self ‖ other) (batch,) in nats."""
        ratio = (self.variance + (self.mean - other.mean) ** 2) / other.variance
        return 0.5 * (ratio - 1 + other.log_variance - self.log_variance).sum(dim=1)


def standard_normal_like(value: torch.Tensor) -> Gaussian:
    """Zero mean and unit variance in the shape of a tensor."""
    return Gaussian(torch.zeros_like(value), torch.zeros_like(value))


class CountCode(nn.Module):
    """Turns atom counts into smooth features, like the positions of a transformer (Vaswani et al. 2017)."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.register_buffer("rates", torch.exp(torch.linspace(0.0, 4.5, width // 2)), persistent=False)
        self.rates: torch.Tensor

    def forward(self, n_atoms: torch.Tensor) -> torch.Tensor:
        """(batch,) counts to (batch, width)."""
        phase = (n_atoms.float() / 256).pow(1 / 3)[:, None] * self.rates
        return torch.cat([phase.sin(), phase.cos()], dim=1)
