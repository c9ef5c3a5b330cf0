"""The PDF encoder: turns G(r) and the settings of the measurement into the condition of all other parts."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from cbldm.models.networks import ResidualMlp


class PdfEncoder(nn.Module):
    """Condition c(x) of the conditional prior, the denoiser and the heads."""

    def __init__(self, n_r: int, n_conditions: int, n_code: int, width: int, depth: int) -> None:
        super().__init__()
        self.network = ResidualMlp(n_r + n_conditions, n_code, width, depth)

    def forward(self, pdf: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """(batch, n_r) and (batch, n_conditions) to (batch, n_code)."""
        return cast(torch.Tensor, self.network(torch.cat([pdf, conditions], dim=1)))
