"""From occupied sites to atoms: nothing is lost, padding is marked, bonds point inward."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cbldm.data.cuts import draw
from cbldm.geometry.frames import BOND_CUTOFF, FRAMES
from cbldm.geometry.slots import chunks_by_size, inward_field, padded_atoms


@given(sizes=st.lists(st.integers(1, 300), min_size=1, max_size=60), chunk=st.integers(1, 20))
def test_chunks_hold_each_cluster_once_and_similar_sizes(sizes: list[int], chunk: int) -> None:
    groups = chunks_by_size(torch.tensor(sizes), chunk)
    together = torch.cat(groups)
    assert sorted(together.tolist()) == list(range(len(sizes)))
    assert max(map(len, groups)) <= chunk
    assert (torch.tensor(sizes)[together].diff() >= 0).all()


@pytest.mark.parametrize("name", FRAMES)
def test_padded_atoms_are_the_displaced_sites(name: str) -> None:
    cuts = draw(name, 30, torch.Generator().manual_seed(2), (5, 80))
    displacement = torch.randn(*cuts.occupancy.shape, 3, generator=torch.Generator().manual_seed(3))
    index, present, positions = padded_atoms(cuts.frame, cuts.occupancy, displacement)
    sites = torch.as_tensor(cuts.frame.sites, dtype=torch.float32)
    assert index.shape == present.shape == positions.shape[:2]
    assert torch.equal(present.sum(dim=1), cuts.occupancy.sum(dim=1))
    for row, occupied in enumerate(cuts.occupancy):
        own = occupied.nonzero()[:, 0]
        assert torch.equal(index[row][present[row]], own)
        assert torch.equal(positions[row][present[row]], (sites + displacement[row])[own])


@pytest.mark.parametrize("name", FRAMES)
def test_inward_field_is_the_sum_of_bond_vectors(name: str) -> None:
    cuts = draw(name, 12, torch.Generator().manual_seed(4), (20, 80))
    field = inward_field(cuts.frame, cuts.occupancy).numpy()
    assert not field[~cuts.occupancy.numpy()].any()
    for occupied, found in zip(cuts.occupancy.numpy(), field, strict=True):
        points = cuts.frame.sites[occupied]
        arms = points[None] - points[:, None]
        length = np.linalg.norm(arms, axis=-1)
        bonded = (length > 0) & (length <= BOND_CUTOFF)
        np.testing.assert_allclose(found[occupied], (arms * bonded[..., None]).sum(axis=1), atol=1e-5)
        # Bond vectors cancel in pairs, and over the whole cluster they point inward.
        np.testing.assert_allclose(found.sum(axis=0), 0.0, atol=1e-4)
        assert ((points - points.mean(axis=0)) * found[occupied]).sum() < 0
