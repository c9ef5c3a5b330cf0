"""The conditional prior p(z|x), and the two discrete heads p(motif|x) and p(N|x)."""

from __future__ import annotations

from typing import Literal, cast

import torch
from torch import nn

from cbldm.models.networks import CountCode, Gaussian, ResidualMlp

#: Whether the prior and the denoiser are told the atom count.
Counting = Literal["explicit", "implicit"]


class ConditionalPrior(nn.Module):
    """p(z | x, frame, N): the fog that already has the shape (CbLDM, part 1 and 4); without N where it is implicit."""

    def __init__(
        self, n_code: int, n_frames: int, n_latent: int, width: int, depth: int, counting: Counting = "explicit"
    ) -> None:
        super().__init__()
        self.counting = counting
        self.count_code = CountCode()
        self.frame_code = nn.Embedding(n_frames, 32)
        self.network = ResidualMlp(n_code + 64, 2 * n_latent, width, depth)

    def context(self, code: torch.Tensor, frame: torch.Tensor, n_atoms: torch.Tensor) -> torch.Tensor:
        """Join the condition (batch, n_code) with frame (batch,) and atom count (batch,), none where it is implicit."""
        told = n_atoms if self.counting == "explicit" else torch.zeros_like(n_atoms)
        return torch.cat([code, self.frame_code(frame), self.count_code(told)], dim=1)

    def forward(self, code: torch.Tensor, frame: torch.Tensor, n_atoms: torch.Tensor) -> Gaussian:
        """The prior of the latent."""
        return Gaussian.from_output(self.network(self.context(code, frame, n_atoms)))


class Heads(nn.Module):
    """p(motif | x) and p(N | x, frame) as logits."""

    def __init__(self, n_code: int, n_frames: int, n_motifs: int, n_max: int, width: int) -> None:
        super().__init__()
        self.frame_code = nn.Embedding(n_frames, 32)
        self.motif = ResidualMlp(n_code, n_motifs, width, 1)
        self.count = ResidualMlp(n_code + 32, n_max + 1, width, 1)

    def motif_logits(self, code: torch.Tensor) -> torch.Tensor:
        """(batch, n_motifs)."""
        return cast(torch.Tensor, self.motif(code)).float()

    def count_logits(self, code: torch.Tensor, frame: torch.Tensor) -> torch.Tensor:
        """(batch, n_max + 1), entry N for N atoms."""
        return cast(torch.Tensor, self.count(torch.cat([code, self.frame_code(frame)], dim=1))).float()
