"""Fingerprints: the same for every scale, pose, mirror image and numbering, different for every other shape."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from cbldm.data.clusters import cubic, decahedron, hexagonal, icosahedron, octahedron, textbook_clusters
from cbldm.data.cuts import draw
from cbldm.geometry.fingerprint import fingerprint, fingerprints, shape_hash
from cbldm.geometry.frames import BOND_CUTOFF, EXCLUSION, FRAMES, frame
from cbldm.types import Cluster

SHAPES = [
    octahedron(4),
    cubic("fcc", 2, 4, 2),
    cubic("bcc", 2, 4, 3),
    cubic("sc", 3, 4, 4),
    hexagonal(3, 3, 2),
    icosahedron(3),
    decahedron(3, 2, 0),
]


@pytest.mark.parametrize("name", FRAMES)
def test_sites_and_positions_give_the_same_hash(name: str) -> None:
    cuts = draw(name, 50, torch.Generator().manual_seed(7), (5, 120))
    hashes = fingerprints(cuts.frame, cuts.occupancy)
    for occupied, value in zip(cuts.occupancy.numpy(), hashes.tolist(), strict=True):
        assert shape_hash(2.77 * cuts.frame.sites[occupied]) == value


@given(
    cluster=st.sampled_from(SHAPES),
    seed=st.integers(0, 2**32 - 1),
    scale=st.floats(1e-2, 1e2),
    mirror=st.booleans(),
)
@settings(max_examples=60)
def test_hash_ignores_all_that_is_not_shape(cluster: Cluster, seed: int, scale: float, mirror: bool) -> None:
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=(cluster.n_atoms, 3))
    # Each atom by up to 3 % of a bond, in any direction.
    rattle = 0.03 * rng.uniform(size=(cluster.n_atoms, 1)) * direction / np.linalg.norm(direction, axis=1)[:, None]
    moved = (cluster.positions + rattle) @ Rotation.random(rng=rng).as_matrix().T * (-1 if mirror else 1)
    moved = scale * (moved[rng.permutation(len(moved))] + rng.normal(size=3))
    assert fingerprint(moved) == fingerprint(cluster.positions)


@pytest.mark.parametrize("name", FRAMES)
def test_hash_changes_when_one_atom_moves_to_another_site(name: str) -> None:
    cuts = draw(name, 120, torch.Generator().manual_seed(11), (20, 90))
    home = cuts.frame
    clash = torch.as_tensor(cKDTree(home.sites).sparse_distance_matrix(cKDTree(home.sites), EXCLUSION).toarray() > 1e-3)
    bonds = torch.zeros(home.n_sites, home.n_sites + 1)
    bonds.scatter_(1, torch.as_tensor(home.neighbours), 1.0)
    generator = torch.Generator().manual_seed(0)
    moved, kept = [], []
    for occupied in cuts.occupancy:
        contacts = bonds[:, :-1] @ occupied.float()
        free = ((contacts >= 3) & ~occupied & ~(clash & occupied).any(dim=1)).nonzero()[:, 0]
        surface = (occupied & (contacts <= 8)).nonzero()[:, 0]
        if not len(free):
            continue
        other = occupied.clone()
        source = surface[torch.randint(len(surface), (1,), generator=generator)]
        target = free[torch.randint(len(free), (1,), generator=generator)]
        other[source], other[target] = False, True
        if int(bonds[target, source]) == 0:
            moved.append(other)
            kept.append(occupied)
    before, after = (torch.stack(rows) for rows in (kept, moved))
    same = fingerprints(home, before) == fingerprints(home, after)
    # A move to an equivalent place gives the same shape again, and rightly the same hash.
    for index in same.nonzero()[:, 0].tolist():
        first, second = (np.sort(distances(home.sites[rows[index].numpy()])) for rows in (before, after))
        np.testing.assert_allclose(first, second, atol=1e-6)
    assert len(same) > 25
    assert same.float().mean() < 0.2


def distances(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points[:, None] - points[None], axis=-1)[np.triu_indices(len(points), 1)]


def test_no_two_textbook_shapes_share_a_hash() -> None:
    """The library is made distinct by this hash; distances that nothing has hashed tell its shapes apart as well."""
    clusters = textbook_clusters(256)
    assert len({shape_hash(c.positions) for c in clusters}) == len(clusters)
    curves = {(c.n_atoms, tuple(np.histogram(distances(c.positions), bins=np.arange(0.005, 30, 0.01))[0]))
              for c in clusters if c.n_atoms <= 120}  # fmt: skip
    assert len(curves) == sum(c.n_atoms <= 120 for c in clusters)


def test_distinct_distances_never_share_a_hash() -> None:
    """Among thousands of random cuts a hash stands for one set of distances."""
    for name in ("fcc", "sc"):
        cuts = draw(name, 300, torch.Generator().manual_seed(13), (5, 40))
        seen: dict[int, np.ndarray] = {}
        for occupied, value in zip(
            cuts.occupancy.numpy(), fingerprints(cuts.frame, cuts.occupancy).tolist(), strict=True
        ):
            lengths = np.sort(distances(cuts.frame.sites[occupied]))
            known = seen.setdefault(value, lengths)
            assert len(known) == len(lengths)
            np.testing.assert_allclose(known, lengths, atol=1e-6)


def test_hash_is_a_constant_of_nature() -> None:
    """Splits must not move between versions and machines: the bond graph of two atoms always hashes alike."""
    pair = np.array([[0.0, 0, 0], [0, 0, 2.5]])
    chain = np.arange(6.0)[:, None] * [0.0, 0.0, 1.0]
    assert fingerprint(pair).startswith("2-")
    assert fingerprint(pair) == PINNED[0]
    assert fingerprint(octahedron(4).positions) == PINNED[1]
    assert BOND_CUTOFF == 1.28
    assert shape_hash(chain) != shape_hash(pair)


#: Of a pair of atoms and of the octahedron of 44.
PINNED = ("2-ee6d406b83da510d", "44-079177fb9f5e1f59")


def test_one_atom_has_no_shape() -> None:
    with pytest.raises(ValueError, match="at least 2 atoms, got 1"):
        shape_hash(np.zeros((1, 3)))


def test_hash_of_a_batch_does_not_depend_on_its_company() -> None:
    cuts = draw("fcc", 20, torch.Generator().manual_seed(1), (5, 60))
    together = fingerprints(cuts.frame, cuts.occupancy)
    alone = torch.cat([fingerprints(cuts.frame, row[None]) for row in cuts.occupancy])
    assert torch.equal(together, alone)
    assert frame("fcc") is cuts.frame
