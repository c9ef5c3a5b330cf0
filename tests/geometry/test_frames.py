"""Frames: closed groups, the coordination that nature fixes, shells of icosahedra, one pose per cluster."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist, pdist
from scipy.spatial.transform import Rotation

from cbldm.data.clusters import cubic, decahedron, hexagonal, icosahedron, octahedron
from cbldm.data.cuts import draw
from cbldm.geometry.fingerprint import fingerprints, shape_hash
from cbldm.geometry.frames import (
    BOND_CUTOFF,
    EXCLUSION,
    FRAME_OF_MOTIF,
    FRAMES,
    anti_mackay_cover,
    decahedral_wedges,
    frame,
    icosahedron_faces,
    icosahedron_vertices,
    mackay_shell,
    stack_basis,
)
from cbldm.types import MOTIFS, Cluster, FloatArray

#: Order of each point group: O_h three times, D_3h, D_6h, D_5h, I_h.
GROUP_SIZE = {"fcc": 48, "bcc": 48, "sc": 48, "hcp": 12, "stack": 24, "decahedron": 20, "icosahedron": 120}
#: Bonds of the site at the origin by length.
MIDDLE = {
    "fcc": {1.0: 12},
    "bcc": {1.0: 8, 1.1547: 6},
    "sc": {1.0: 6},
    "hcp": {1.0: 12},
    "decahedron": {1.0: 12},
    "icosahedron": {1.0: 12},
}
WHOLE = [
    octahedron(4),
    octahedron(5, 1),
    cubic("fcc", 2, 4, 2),
    cubic("bcc", 3, 4, 4),
    cubic("sc", 3, 4, 5),
    hexagonal(3, 3, 2),
    hexagonal(2, 2, 12),
    hexagonal(6, 1, 5),
    icosahedron(3),
    icosahedron(4),
    decahedron(3, 2, 0),
    decahedron(2, 2, 1),
]


def name_of(cluster: Cluster) -> str:
    return f"{cluster.family}-{cluster.n_atoms}"


def disguised(positions: FloatArray, rng: np.random.Generator) -> FloatArray:
    """The mirror image, turned, moved and shuffled."""
    moved = positions * [1, 1, -1] @ Rotation.random(rng=rng).as_matrix().T + rng.normal(size=3)
    return moved[rng.permutation(len(moved))]


def turned(name: str, occupancy: torch.Tensor, operation: int) -> torch.Tensor:
    """The clusters (batch, n_sites) after a symmetry operation of their frame."""
    result = torch.zeros_like(occupancy)
    result[:, torch.as_tensor(frame(name).site_maps[operation])] = occupancy
    return result


def test_every_motif_has_a_frame() -> None:
    assert set(FRAME_OF_MOTIF) == set(MOTIFS)
    assert set(FRAME_OF_MOTIF.values()) == set(FRAMES) == set(GROUP_SIZE)


@pytest.mark.parametrize("name", FRAMES)
def test_operations_are_a_group_of_the_known_order(name: str) -> None:
    operations = frame(name).operations
    assert len(operations) == GROUP_SIZE[name]
    identity = np.broadcast_to(np.eye(3), operations.shape)
    np.testing.assert_allclose(operations @ operations.transpose(0, 2, 1), identity, atol=1e-12)
    elements = cKDTree(operations.reshape(-1, 9))
    assert len(elements.query_pairs(1e-6)) == 0
    products = np.einsum("axy,byz->abxz", operations, operations).reshape(-1, 9)
    assert elements.query(products)[0].max() < 1e-9
    assert np.isclose(np.linalg.det(operations), -1).sum() == len(operations) / 2


@pytest.mark.parametrize("name", FRAMES)
def test_operations_permute_the_sites(name: str) -> None:
    home = frame(name)
    assert len(cKDTree(home.sites).query_pairs(1e-3)) == 0
    for operation, target in zip(home.operations, home.site_maps, strict=True):
        assert len(np.unique(target)) == home.n_sites
        np.testing.assert_allclose(home.sites[target], home.sites @ operation.T, atol=1e-6)
    # Poses can be told apart only when no operation leaves the generic function as it is.
    assert len(np.unique(np.round(home.wyckoff, 9), axis=0)) == len(home.operations)


@pytest.mark.parametrize("name", FRAMES)
def test_bonds_are_all_pairs_within_the_cutoff(name: str) -> None:
    home = frame(name)
    distance = cdist(home.sites, home.sites)
    expected = (distance > EXCLUSION) & (distance <= BOND_CUTOFF)
    found = np.zeros((home.n_sites, home.n_sites + 1), dtype=bool)
    np.put_along_axis(found, home.neighbours, True, axis=1)
    np.testing.assert_array_equal(found[:, :-1], expected)


@pytest.mark.parametrize("name", sorted(MIDDLE))
def test_the_middle_has_the_coordination_of_its_lattice(name: str) -> None:
    home = frame(name)
    centre = int(np.linalg.norm(home.sites, axis=1).argmin())
    np.testing.assert_allclose(home.sites[centre], 0.0, atol=1e-12)
    ends = home.neighbours[centre]
    lengths = np.linalg.norm(home.sites[ends[ends < home.n_sites]], axis=1)
    counts = dict(zip(*np.unique(np.round(lengths, 4), return_counts=True), strict=True))
    assert counts == MIDDLE[name]


def test_hcp_looks_the_same_from_every_atom_near_the_origin_after_its_turn() -> None:
    home = frame("hcp")
    near = home.sites[np.linalg.norm(home.sites, axis=1) < 3]
    for shift, turn in zip(home.translations, home.turns, strict=True):
        seen = cKDTree((home.sites - shift) @ turn.T)
        assert seen.query(near)[0].max() < 1e-6
    assert len({tuple(np.diag(turn)) for turn in home.turns}) == 2


@pytest.mark.parametrize("above", [1, 2])
@pytest.mark.parametrize("below", [1, 2])
def test_every_stacking_of_the_stack_frame_is_close_packed(above: int, below: int) -> None:
    home = frame("stack")
    layer = np.round(home.sites[:, 2] / stack_basis()[2, 2]).astype(int)
    lattice = np.round(home.sites @ np.linalg.inv(stack_basis())).astype(int)
    letter = (lattice[:, 0] - lattice[:, 1]) % 3
    chosen = np.select([layer == 0, layer == 1, layer == -1], [letter == 0, letter == above, letter == below], False)
    distance = np.linalg.norm(home.sites[chosen], axis=1)
    near = distance[(distance > 1e-9) & (distance < 1.4)]
    np.testing.assert_allclose(near, np.ones(12), atol=1e-9)
    assert pdist(home.sites[chosen]).min() > 1 - 1e-9


def test_mackay_shells_have_ten_n_squared_plus_two_sites() -> None:
    whole = [mackay_shell(0)]
    assert icosahedron_vertices().shape == (12, 3)
    assert icosahedron_faces().shape == (20, 3)
    for n in range(1, 6):
        shell = mackay_shell(n)
        assert len(shell) == 10 * n**2 + 2
        np.testing.assert_allclose(cdist(shell, whole[-1]).min(), 1.0, atol=1e-6)
        np.testing.assert_allclose(cKDTree(shell).query(shell, k=2)[0][:, 1], 1.05146, atol=1e-5)
        whole.append(shell)
        assert len(np.concatenate(whole)) == [13, 55, 147, 309, 561][n - 1]


@pytest.mark.parametrize(("n", "cover_only", "with_vertices"), [(1, 33, 45), (2, 115, 127), (3, 267, 279)])
def test_anti_mackay_covers_have_the_known_sizes(n: int, cover_only: int, with_vertices: int) -> None:
    core = np.concatenate([mackay_shell(k) for k in range(n + 1)])
    cover = anti_mackay_cover(n)
    vertices = (n + 1) * icosahedron_vertices()
    assert len(core) + len(cover) == cover_only
    assert len(core) + len(cover) + len(vertices) == with_vertices
    # Each atom of the cover sits in a hollow of three atoms at one bond, and is the mirror image of one below them.
    to_core = np.sort(cdist(cover, core), axis=1)
    np.testing.assert_allclose(to_core[:, :3], 1.0, atol=1e-5)
    assert to_core[:, 3].min() > 1.3
    assert pdist(np.concatenate([cover, vertices])).min() > EXCLUSION
    # The two stackings of a face exclude each other.
    faces = mackay_shell(n + 1)
    inner = np.linalg.norm(faces[:, None] - vertices[None], axis=-1).min(axis=1) > 1.1
    if inner.any():
        assert cdist(faces[inner], cover).min(axis=1).max() < EXCLUSION


def test_icosahedral_frame_holds_shells_and_covers() -> None:
    tree = cKDTree(frame("icosahedron").sites)
    for points in [*(mackay_shell(n) for n in range(6)), *(anti_mackay_cover(n) for n in (1, 2, 3))]:
        assert tree.query(points)[0].max() < 1e-5


def test_decahedral_columns_fill_five_triangles() -> None:
    for rings in range(1, 8):
        points, labels = decahedral_wedges(rings)
        assert len(points) == len(labels) == 1 + 5 * rings * (rings + 1) // 2
        # Along the axis a bond is 1; across, columns are half a bond up and sqrt(3)/2 away: 1 again (1.018 round it).
        assert abs(pdist(points).min() - np.sqrt(3) / 2) < 1e-9


def tied_poses(name: str, occupied: torch.Tensor) -> int:
    """How many different poses of a cluster (n_sites,) the generic function does not tell apart."""
    home = frame(name)
    values = occupied.double().numpy() @ home.wyckoff.T
    best = np.flatnonzero(values > values.max() - 1e-4)
    return len(torch.cat([turned(name, occupied[None], int(k)) for k in best]).unique(dim=0))


@pytest.mark.parametrize("name", FRAMES)
def test_canonical_pose_is_one_for_all_symmetric_copies(name: str) -> None:
    cuts = draw(name, 60, torch.Generator().manual_seed(3), (5, 150))
    home = frame(name)
    unique = torch.tensor([tied_poses(name, occupied) == 1 for occupied in cuts.occupancy])
    # Some stacks of high symmetry have two poses that tie; either is then as good.
    assert unique.all() if name != "stack" else unique.float().mean() > 0.9
    assert torch.equal(home.canonical(cuts.occupancy), cuts.occupancy)
    for operation in range(0, len(home.operations), max(1, len(home.operations) // 10)):
        moved = turned(name, cuts.occupancy, operation)
        assert torch.equal(moved.sum(dim=1), cuts.occupancy.sum(dim=1))
        assert torch.equal(home.canonical(moved)[unique], cuts.occupancy[unique])


@given(
    name=st.sampled_from(FRAMES),
    sites=st.sets(st.integers(0, 150), min_size=1, max_size=40),
    operation=st.integers(0, 119),
)
@settings(max_examples=150)
def test_canonical_pose_of_any_occupancy(name: str, sites: set[int], operation: int) -> None:
    home = frame(name)
    occupancy = torch.zeros(1, home.n_sites, dtype=torch.bool)
    occupancy[0, sorted(sites)] = True
    canonical = home.canonical(occupancy)
    moved = home.canonical(turned(name, occupancy, operation % len(home.operations)))
    assert torch.equal(canonical, moved) or tied_poses(name, occupancy[0]) > 1
    first, second = (np.sort(pdist(home.sites[pose[0].numpy()])) for pose in (occupancy, canonical))
    np.testing.assert_allclose(first, second, atol=1e-6)


@pytest.mark.parametrize("cluster", WHOLE, ids=name_of)
def test_occupy_finds_a_disguised_cluster(cluster: Cluster) -> None:
    home = frame(FRAME_OF_MOTIF[cluster.motif])
    rng = np.random.default_rng(cluster.n_atoms)
    expected = home.canonical(torch.as_tensor(home.occupy(cluster.positions))[None])
    for rattle in (0.0, 0.01):
        moved = disguised(cluster.positions, rng)
        occupied = home.occupy(moved + rattle * rng.normal(size=moved.shape))
        assert occupied is not None
        assert occupied.sum() == cluster.n_atoms
        found = torch.as_tensor(occupied)[None]
        assert int(fingerprints(home, found)[0]) == shape_hash(cluster.positions)
        assert np.linalg.norm(home.sites[occupied].mean(axis=0)) < 1.1
        if len(home.translations) == 1:
            assert torch.equal(home.canonical(found), expected)


def test_occupy_refuses_what_the_frame_does_not_hold() -> None:
    assert frame("fcc").occupy(icosahedron(3).positions) is None
    assert frame("bcc").occupy(octahedron(4).positions) is None
    assert frame("icosahedron").occupy(octahedron(5).positions) is None
    # A row of atoms has no two bonds that are not parallel; a long one leaves the frame.
    assert frame("fcc").occupy(np.arange(5.0)[:, None] * [1.0, 0.0, 0.0]) is None
    assert frame("sc").occupy(cubic("sc", 20, 39, 39).positions[:4000]) is None
