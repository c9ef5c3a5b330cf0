"""The matrix S of a structure over the slots of its frame: the affinity behind the graph Laplacian, or distances."""

from __future__ import annotations

from typing import Literal

import torch

from cbldm.geometry.frames import frame
from cbldm.geometry.slots import chunks_by_size, padded_atoms

#: ``laplacian``: S is the affinity W_ij = exp(-d_ij²/τ); ``distance``: S is d_ij in units of `DISTANCE_UNIT`.
MatrixKind = Literal["laplacian", "distance"]
#: Unit of the distance matrix, in nearest-neighbour distances: entries of order one, like those of W.
DISTANCE_UNIT = 6.0


def matrix_of(squared: torch.Tensor, kind: MatrixKind, tau: float) -> torch.Tensor:
    """S from squared distances, any shape, in units of the nearest-neighbour distance."""
    if kind == "laplacian":
        return torch.exp(-squared / tau)
    return (squared + 1e-9).sqrt() / DISTANCE_UNIT


def matrix_features(
    frame_name: str, occupancy: torch.Tensor, displacement: torch.Tensor, kind: MatrixKind, tau: float
) -> torch.Tensor:
    """What the encoder reads of S beside its mask: the change of L 1 and of L X against the ideal sites.

    Returns:
        (batch, n_sites, 4): row sums of S - S_ideal, and (S - S_ideal) applied to the sites as a Laplacian.
    """
    home = frame(frame_name)
    sites = torch.as_tensor(home.sites, dtype=torch.float32, device=occupancy.device)
    features = torch.zeros(*occupancy.shape, 4, device=occupancy.device)
    for group in chunks_by_size(occupancy.sum(dim=1), 32):
        index, present, positions = padded_atoms(home, occupancy[group], displacement[group])
        ideal = sites[index]
        both = (present[:, :, None] & present[:, None, :]).float()
        change = matrix_of(torch.cdist(positions, positions) ** 2, kind, tau)
        change = (change - matrix_of(torch.cdist(ideal, ideal) ** 2, kind, tau)) * both
        degree = change.sum(dim=2, keepdim=True)
        laplacian = degree * ideal - change @ ideal
        rows = torch.cat([degree, laplacian], dim=2) * present[:, :, None]
        features[group] = torch.zeros_like(features[group]).scatter_(1, index[:, :, None].expand(-1, -1, 4), rows)
    return features
