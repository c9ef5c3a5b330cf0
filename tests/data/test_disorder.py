"""Vacancies, adatoms, thermal displacement and EMT: what changes, what stays, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist, pdist, squareform

from cbldm.data.clusters import cubic, decahedron, hexagonal, icosahedron, octahedron
from cbldm.data.disorder import (
    OVERLAP,
    add_atoms,
    coordination,
    hollow_sites,
    remove_atoms,
    thermal_displacement,
)
from cbldm.data.relaxation import relax_emt
from cbldm.errors import InputError
from cbldm.geometry.frames import BOND_CUTOFF
from cbldm.types import Cluster

FAMILIES = [
    cubic("sc", 2, 4, 5),
    cubic("bcc", 3, 3, 6),
    cubic("fcc", 2, 3, 2),
    octahedron(6, 1),
    hexagonal(3, 3, 3),
    icosahedron(4),
    decahedron(3, 2, 1),
]
names = [c.family for c in FAMILIES]


def n_pieces(cluster: Cluster) -> int:
    return int(connected_components(squareform(pdist(cluster.positions)) < BOND_CUTOFF)[0])


def shared_with(before: Cluster, after: Cluster) -> int:
    """How many atoms of one are found in the other, up to the shift by which both are centred."""
    pairs = (after.positions[None] - before.positions[:, None]).reshape(-1, 3)
    _, counts = np.unique(np.round(pairs, 5) + 0.0, axis=0, return_counts=True)
    return int(counts.max())


@pytest.mark.parametrize("cluster", FAMILIES, ids=names)
@given(count=st.integers(0, 25), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=8, deadline=None)
def test_vacancies_take_that_many_atoms_and_leave_one_piece(cluster: Cluster, count: int, seed: int) -> None:
    defective = remove_atoms(cluster, count, np.random.default_rng(seed))
    assert defective.n_atoms == cluster.n_atoms - count
    assert shared_with(cluster, defective) == defective.n_atoms
    assert n_pieces(defective) == 1
    assert defective.parameters["vacancies"] == count
    np.testing.assert_allclose(defective.positions.mean(axis=0), 0, atol=1e-12)


@pytest.mark.parametrize("cluster", FAMILIES, ids=names)
def test_one_vacancy_lies_on_the_surface(cluster: Cluster) -> None:
    inner = coordination(cluster.positions) == coordination(cluster.positions).max()
    for seed in range(10):
        defective = remove_atoms(cluster, 1, np.random.default_rng(seed))
        assert np.sum(coordination(defective.positions)) >= np.sum(coordination(cluster.positions)) - 2 * 13
        # Undo the centring: the inner atoms are all still there.
        shift = cluster.positions.sum(axis=0) - defective.positions.sum(axis=0)
        offsets = (cluster.positions[:, None] - defective.positions[None] - shift).reshape(-1, 3)
        values, counts = np.unique(np.round(offsets, 5) + 0.0, axis=0, return_counts=True)
        moved = defective.positions + shift + values[np.argmax(counts)]
        assert np.all(cdist(cluster.positions[inner], moved).min(axis=1) < 1e-4)


def test_vacancies_never_cut_a_chain() -> None:
    chain = Cluster(np.arange(10.0)[:, None] * [1, 0, 0], "fcc", "chain")
    assert n_pieces(remove_atoms(chain, 5, np.random.default_rng(3))) == 1


@pytest.mark.parametrize("cluster", FAMILIES, ids=names)
@given(count=st.integers(0, 12), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=5, deadline=None)
def test_adatoms_touch_three_atoms_and_overlap_none(cluster: Cluster, count: int, seed: int) -> None:
    grown = add_atoms(cluster, count, np.random.default_rng(seed))
    assert grown.n_atoms == cluster.n_atoms + count
    assert shared_with(cluster, grown) >= cluster.n_atoms
    distances = squareform(pdist(grown.positions)) + 9 * np.eye(grown.n_atoms)
    assert distances.min() > OVERLAP
    assert np.all(np.sum(np.abs(distances[cluster.n_atoms :] - 1) < 1e-6, axis=1) >= 3)


def test_a_cube_face_has_one_hollow_per_square() -> None:
    # 3 x 3 x 3 simple cube: four squares on each of six faces.
    sites = hollow_sites(cubic("sc", 1, 2, 3).positions)
    assert len(sites) == 24
    np.testing.assert_allclose(np.abs(sites).max(axis=1), 1 + np.sqrt(1 / 2))


def test_the_icosahedron_has_a_hollow_over_each_face() -> None:
    assert len(hollow_sites(icosahedron(2).positions)) == 20


def test_fcc_hollows_include_the_lattice_sites_of_the_next_shell() -> None:
    small, large = octahedron(3, 0).positions, octahedron(5, 0).positions
    sites = hollow_sites(small)
    outside = large[
        (cdist(large, small).min(axis=1) > 0.5) & (np.sum(np.abs(cdist(large, small) - 1) < 1e-9, axis=1) >= 3)
    ]
    assert len(outside) > 0
    assert np.all(cdist(outside, sites).min(axis=1) < 1e-9)


def test_thermal_displacement_has_the_standard_deviation_asked_for() -> None:
    cluster = octahedron(7, 0)
    rng = np.random.default_rng(5)
    moves = np.stack([thermal_displacement(cluster, 0.03, rng).positions - cluster.positions for _ in range(40)])
    # The centring takes one part in N from the variance.
    expected = 0.03 * np.sqrt(1 - 1 / cluster.n_atoms)
    assert abs(moves.std() / expected - 1) < 4 / np.sqrt(2 * moves.size)
    assert abs(moves.mean()) < 1e-12


def test_disorder_repeats_with_its_seed() -> None:
    def disorder(seed: int) -> Cluster:
        rng = np.random.default_rng(seed)
        return thermal_displacement(add_atoms(remove_atoms(icosahedron(3), 5, rng), 3, rng), 0.02, rng)

    np.testing.assert_array_equal(disorder(1).positions, disorder(1).positions)
    assert not np.array_equal(disorder(1).positions, disorder(2).positions)
    assert disorder(1).parameters == {"shells": 3, "vacancies": 5, "adatoms": 3, "sigma": 0.02}


def test_impossible_disorder_is_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="13 vacancies in 13 atoms; allowed are 0 to 12"):
        remove_atoms(icosahedron(2), 13, rng)
    with pytest.raises(InputError, match="-1 adatoms"):
        add_atoms(icosahedron(2), -1, rng)
    with pytest.raises(InputError, match="no hollow for adatom 1 of 2 on 1 atoms"):
        add_atoms(icosahedron(1), 2, rng)
    with pytest.raises(InputError, match=r"sigma is -0\.1"):
        thermal_displacement(icosahedron(2), -0.1, rng)
    with pytest.raises(InputError, match="cannot relax 'Fe'; allowed are Ni, Cu"):
        relax_emt(icosahedron(2), "Fe")
    with pytest.raises(InputError, match="cannot relax a bcc cluster"):
        relax_emt(cubic("bcc", 2, 2, 2), "Pt")


@pytest.mark.parametrize("element", ["Ni", "Cu", "Pd", "Ag", "Pt", "Au", "Al"])
def test_emt_keeps_the_unit_and_the_family(element: str) -> None:
    ideal = octahedron(4, 1)
    relaxed = relax_emt(ideal, element)
    distances = squareform(pdist(relaxed.positions)) + 9 * np.eye(ideal.n_atoms)
    np.testing.assert_allclose(np.median(distances.min(axis=1)), 1.0, atol=1e-12)
    np.testing.assert_allclose(relaxed.positions.mean(axis=0), 0.0, atol=1e-12)
    assert (relaxed.family, relaxed.motif) == ("octahedron", "fcc")
    assert relaxed.parameters == {"length": 4, "cutoff": 1, "relaxed": element}
    assert 0.001 < np.abs(relaxed.positions - ideal.positions).max() < 0.2


@pytest.mark.parametrize("element", ["Ag", "Pt", "Au"])
def test_emt_shortens_the_bonds_of_the_surface(element: str) -> None:
    ideal = octahedron(5, 2)
    i, j = np.nonzero(np.triu(squareform(pdist(ideal.positions)) < BOND_CUTOFF, k=1))
    relaxed = relax_emt(ideal, element).positions
    length = np.linalg.norm(relaxed[i] - relaxed[j], axis=1)
    bonded = coordination(ideal.positions)
    inside = length[(bonded[i] == 12) & (bonded[j] == 12)].mean()
    surface = length[(bonded[i] < 12) & (bonded[j] < 12)].mean()
    assert 0.9 < surface / inside < 0.995


def test_emt_leaves_the_symmetry_of_the_icosahedron() -> None:
    radii = np.linalg.norm(relax_emt(icosahedron(3), "Ag").positions, axis=1)
    assert len(np.unique(np.round(radii, 4))) == 4  # centre, inner shell, edges and vertices of the outer shell
