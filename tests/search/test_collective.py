"""Collective moves: whole facets, orbits and layers, and nothing that clashes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist

from cbldm.data.clusters import octahedron
from cbldm.data.cuts import draw
from cbldm.geometry.frames import EXCLUSION, FRAMES, frame, stack_basis
from cbldm.search.collective import collective_moves, layer_shifts


@pytest.mark.parametrize("name", FRAMES)
def test_moves_give_other_sound_structures(name: str) -> None:
    cut = draw(name, 40, torch.Generator().manual_seed(2), (40, 120)).occupancy[0].numpy()
    sites = np.flatnonzero(cut)
    made = collective_moves(name, sites)
    assert len(made) > 10
    assert len({option.tobytes() for option in made}) == len(made)
    for option in made:
        assert (np.diff(option) > 0).all()
        assert pdist(frame(name).sites[option]).min() >= EXCLUSION - 1e-9
        assert not np.array_equal(option, sites)


def test_a_vertex_orbit_and_a_facet_of_an_octahedron() -> None:
    """The truncated octahedron of 79 atoms: with its six vertices it has 85; a {111} facet has 12 atoms, {100} 4."""
    home = frame("fcc")
    whole, cut = (np.flatnonzero(home.occupy(octahedron(5, k).positions)) for k in (0, 1))
    made = {option.tobytes() for option in collective_moves("fcc", cut)}
    assert whole.tobytes() in made
    counts = {len(option) for option in collective_moves("fcc", cut)}
    assert {79 - 4, 79 - 12} <= counts


def test_only_stacks_have_layers_to_shift() -> None:
    for name in FRAMES:
        assert (len(layer_shifts(name)) > 0) == (name == "stack")


def test_a_shift_keeps_layers_whole() -> None:
    home = frame("stack")
    layer = np.round(home.sites[:, 2] / stack_basis()[2, 2]).astype(int)
    middle = np.linalg.norm(home.sites, axis=1) < 2.5
    for shift in layer_shifts("stack")[::7].astype(int):
        assert (shift[middle] >= 0).mean() > 0.9
        kept = np.flatnonzero(middle & (shift >= 0))
        assert (layer[shift[kept]] == layer[kept]).all()
        for height in np.unique(layer[kept]):
            mine = kept[layer[kept] == height]
            np.testing.assert_allclose(pdist(home.sites[shift[mine]]), pdist(home.sites[mine]), atol=1e-6)
