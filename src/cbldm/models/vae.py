"""The translator: a conditional VAE between a structure's matrix and a compact latent.

The matrix is over the slots of a frame, absent slots masked. The encoder q(z | S, x) reads which slots are present and
how S departs from the frame's ideal matrix. The decoder p(S | z) gives the presence of each slot and an embedding per
slot whose kernel is S: symmetric and with a fixed diagonal by construction.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from cbldm.geometry.frames import FRAMES, frame
from cbldm.geometry.matrices import MatrixKind, matrix_of
from cbldm.geometry.slots import inward_field
from cbldm.models.networks import Gaussian, ResidualMlp

#: Dimensions of an embedding beyond the three of space: room for what the PDF leaves open.
EXTRA = 5
#: Smooth fields that a latent can combine into displacements and extra dimensions.
FIELDS = 16


@dataclass(frozen=True)
class Decoded:
    """What a latent says of a structure.

    Attributes:
        logits: (batch, n_sites) log-odds that a slot is present.
        relaxation: (batch, 1) how far atoms with missing neighbours move inward.
        fields: (batch, FIELDS, 3 + EXTRA) weights of the smooth fields.
    """

    logits: torch.Tensor
    relaxation: torch.Tensor
    fields: torch.Tensor

    def row(self, index: int) -> Decoded:
        """One structure of the batch, with its batch dimension."""
        return Decoded(*(part[index : index + 1] for part in (self.logits, self.relaxation, self.fields)))


class ConditionalVae(nn.Module):
    """Encoder and decoder for all frames: two tables of site vectors per frame, trunks shared by all."""

    def __init__(
        self, n_r: int, n_conditions: int, n_latent: int, n_read: int, n_write: int, width: int, depth: int
    ) -> None:
        super().__init__()
        counts = [frame(f).n_sites for f in FRAMES]
        self.sites_read = nn.ParameterList(nn.Parameter(0.05 * torch.randn(n, n_read)) for n in counts)
        self.sites_write = nn.ParameterList(nn.Parameter(0.05 * torch.randn(n, n_write)) for n in counts)
        self.bias = nn.ParameterList(nn.Parameter(torch.zeros(frame(f).n_sites)) for f in FRAMES)
        self.frame_code = nn.Embedding(len(FRAMES), 32)
        self.feature_scale = nn.Parameter(torch.cat([torch.ones(1, n_read), 0.1 * torch.randn(4, n_read)]))
        self.read_pdf = nn.Linear(n_r + n_conditions, 64)
        self.encoder = ResidualMlp(n_read + 64 + 32, 2 * n_latent, width, depth)
        self.decoder = ResidualMlp(n_latent + 32, n_write, width, depth)
        self.smooth = nn.Linear(n_write, FIELDS, bias=False)
        self.shape_of_matrix = nn.Linear(n_write, 1 + FIELDS * (3 + EXTRA))
        nn.init.zeros_(self.shape_of_matrix.weight)
        nn.init.normal_(self.shape_of_matrix.bias, std=0.01)

    def encode(
        self,
        frame_index: int,
        occupancy: torch.Tensor,
        features: torch.Tensor,
        pdf: torch.Tensor,
        conditions: torch.Tensor,
    ) -> Gaussian:
        """q(z | S, x): occupancy (batch, n_sites) bool and features (batch, n_sites, 4) stand for S."""
        table = self.sites_read[frame_index]
        summed = self.feature_scale[0] * (occupancy.to(table.dtype) @ table)
        for k in range(4):
            summed = summed + self.feature_scale[k + 1] * (features[:, :, k] @ table)
        code = self.frame_code.weight[frame_index].expand(len(occupancy), -1)
        seen = self.read_pdf(torch.cat([pdf, conditions], dim=1))
        return Gaussian.from_output(self.encoder(torch.cat([summed, seen, code], dim=1)))

    def decode(self, frame_index: int, z: torch.Tensor) -> Decoded:
        """p(S | z)."""
        code = self.frame_code.weight[frame_index].expand(len(z), -1)
        hidden = self.decoder(torch.cat([z, code], dim=1))
        logits = (hidden @ self.sites_write[frame_index].T).float() + self.bias[frame_index]
        shape = self.shape_of_matrix(hidden).float()
        return Decoded(logits, 0.01 * shape[:, :1], shape[:, 1:].reshape(len(z), FIELDS, 3 + EXTRA))

    def embeddings(
        self, frame_index: int, decoded: Decoded, occupancy: torch.Tensor, index: torch.Tensor
    ) -> torch.Tensor:
        """Vectors whose kernel is S.

        Args:
            frame_index: Index into `FRAMES`.
            decoded: Output of `decode`.
            occupancy: (batch, n_sites) bool, the present slots.
            index: (batch, n) slots to embed.

        Returns:
            (batch, n, 3 + EXTRA) in units of the nearest-neighbour distance.
        """
        home = frame(FRAMES[frame_index])
        sites = torch.as_tensor(home.sites, dtype=torch.float32, device=index.device)
        inward = inward_field(home, occupancy).gather(1, index[:, :, None].expand(-1, -1, 3))
        smooth = self.smooth(self.sites_write[frame_index]).float()[index]
        moved = torch.einsum("bnf,bfk->bnk", smooth, decoded.fields)
        space = sites[index] + moved[:, :, :3] + decoded.relaxation[:, :, None] * inward
        return torch.cat([space, moved[:, :, 3:]], dim=2)


def kernel_matrix(embeddings: torch.Tensor, kind: MatrixKind, tau: float) -> torch.Tensor:
    """S (batch, n, n) of embeddings (batch, n, k)."""
    gaps = embeddings[:, :, None] - embeddings[:, None]
    return matrix_of((gaps**2).sum(dim=3), kind, tau)
