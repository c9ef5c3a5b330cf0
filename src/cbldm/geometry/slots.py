"""From occupied sites of a frame to atoms, in batches."""

from __future__ import annotations

from functools import cache

import torch

from cbldm.geometry.frames import Frame, frame


def chunks_by_size(sizes: torch.Tensor, chunk: int) -> list[torch.Tensor]:
    """Indices of clusters in groups of similar size, so that padding wastes little.

    Args:
        sizes: (batch,) atom counts.
        chunk: Largest group; a GPU, which wants few large calls, gets groups sixteen times as large.

    Returns:
        Index tensors that together hold each cluster once.
    """
    return list(sizes.argsort(stable=True).split(16 * chunk if sizes.is_cuda else chunk))


@cache
def _frame_on(name: str, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Sites (n_sites, 3), neighbours (n_sites, n_max) and bond vectors (n_sites, n_max, 3) of a frame on a device."""
    home = frame(name)
    table = torch.as_tensor(home.neighbours, device=device)
    sites = torch.as_tensor(home.sites, dtype=torch.float32, device=device)
    return sites, table, torch.cat([sites, sites[:1]])[table] - sites[:, None]


def inward_field(home: Frame, occupancy: torch.Tensor) -> torch.Tensor:
    """Sum of the bond vectors of each atom (batch, n_sites, 3): it points inward where neighbours are missing."""
    owner, site = occupancy.nonzero(as_tuple=True)
    _, table, arms = _frame_on(home.name, occupancy.device)
    padded = torch.cat([occupancy, torch.zeros_like(occupancy[:, :1])], dim=1)
    field = torch.zeros(*occupancy.shape, 3, device=occupancy.device)
    present = padded[owner[:, None], table[site]].float()
    field[owner, site] = torch.einsum("ak,akx->ax", present, arms[site])
    return field


def padded_atoms(home: Frame, occupancy: torch.Tensor, displacement: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Atoms of clusters of similar size.

    Returns:
        (batch, n_max) site of each atom, (batch, n_max) bool presence, (batch, n_max, 3) positions.
    """
    sites, _, _ = _frame_on(home.name, occupancy.device)
    n_max = int(occupancy.sum(dim=1).max())
    index = occupancy.to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, :n_max]
    present = occupancy.gather(1, index)
    moved = displacement.gather(1, index[:, :, None].expand(-1, -1, 3))
    return index, present, sites[index] + moved
