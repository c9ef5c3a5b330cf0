"""The textbook families: ASE's shapes without ASE, the counts nature fixes, and every shape once."""

from __future__ import annotations

import re
from collections import Counter
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.cluster import (
    BodyCenteredCubic,
    Decahedron,
    FaceCenteredCubic,
    Icosahedron,
    Octahedron,
    SimpleCubic,
)
from ase.lattice.hexagonal import HexagonalClosedPacked
from scipy.spatial.distance import pdist

from cbldm.data.clusters import cubic, decahedron, hexagonal, icosahedron, octahedron, textbook_clusters
from cbldm.data.disorder import coordination
from cbldm.errors import InputError
from cbldm.geometry.fingerprint import fingerprint
from cbldm.types import MOTIFS, Cluster, FloatArray

SIMULATED = Path(__file__).resolve().parents[3] / "shared" / "data" / "simulated"
SURFACES = [(1, 0, 0), (1, 1, 0), (1, 1, 1)]
CUBIC = {"sc": SimpleCubic, "bcc": BodyCenteredCubic, "fcc": FaceCenteredCubic}
#: Atom counts of complete clusters: Mackay icosahedra and cuboctahedra, octahedra, pentagonal bipyramids.
MAGIC = [1, 13, 55, 147, 309]


def scaled_distances(positions: FloatArray) -> FloatArray:
    """Sorted distances in units of the shortest."""
    distances = np.sort(pdist(positions))
    return distances / distances[0]


def assert_same_shape(cluster: Cluster, expected: FloatArray, tolerance: float = 1e-9) -> None:
    assert cluster.n_atoms == len(expected)
    np.testing.assert_allclose(pdist(cluster.positions).min(), 1.0, atol=1e-12)
    np.testing.assert_allclose(cluster.positions.mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(scaled_distances(cluster.positions), scaled_distances(expected), atol=tolerance)


@pytest.mark.parametrize("lattice", ["sc", "bcc", "fcc"])
@pytest.mark.parametrize(
    "layers", [(2, 2, 3), (2, 3, 3), (2, 3, 4), (3, 3, 3), (3, 6, 7), (4, 4, 5), (4, 5, 2), (1, 9, 9)]
)
def test_cubic_is_the_cluster_of_ase(lattice: str, layers: tuple[int, int, int]) -> None:
    expected = CUBIC[lattice]("Au", SURFACES, layers, latticeconstant=4.0)
    assert_same_shape(cubic(lattice, *layers), expected.positions)  # type: ignore[arg-type]


@pytest.mark.parametrize("lattice", ["sc", "bcc", "fcc"])
def test_cubic_has_the_atoms_of_ase_for_any_layers(lattice: str) -> None:
    for layers in product((1, 2, 3), (1, 2, 3, 5), (1, 2, 3, 4, 7)):
        expected = CUBIC[lattice]("Au", SURFACES, layers, latticeconstant=4.0)
        assert cubic(lattice, *layers).n_atoms == len(expected), layers  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("length", "cutoff"), [(length, cutoff) for length in range(2, 9) for cutoff in range((length + 1) // 2)]
)
def test_octahedron_is_the_cluster_of_ase(length: int, cutoff: int) -> None:
    assert_same_shape(octahedron(length, cutoff), Octahedron("Au", length, cutoff, 4.0).positions)


@pytest.mark.parametrize("parameters", [p for p in product((1, 2, 3, 5), (1, 2, 4), (0, 1, 2)) if sum(p) < 8][1:])
def test_decahedron_is_the_cluster_of_ase(parameters: tuple[int, int, int]) -> None:
    assert_same_shape(decahedron(*parameters), Decahedron("Au", *parameters, 4.0).positions)


@pytest.mark.parametrize("shells", [2, 3, 4, 5])
def test_icosahedron_is_the_cluster_of_ase(shells: int) -> None:
    assert_same_shape(icosahedron(shells), Icosahedron("Au", shells, 4.0).positions)


@pytest.mark.parametrize("size", [(1, 1, 3), (1, 3, 2), (2, 2, 2), (3, 1, 4), (2, 4, 6), (4, 4, 4)])
def test_hexagonal_is_the_lattice_of_ase(size: tuple[int, int, int]) -> None:
    expected = HexagonalClosedPacked("Os", latticeconstant=(2.7, 2.7 * np.sqrt(8 / 3)), size=size)
    assert_same_shape(hexagonal(*size), expected.positions)


@pytest.mark.parametrize(
    ("name", "cluster"),
    [
        ("BCC_h_4_k_7_l_8_Cr", cubic("bcc", 4, 7, 8)),
        ("SC_h_4_k_4_l_5_V", cubic("sc", 4, 4, 5)),
        ("FCC_h_3_k_6_l_7_Zn", cubic("fcc", 3, 6, 7)),
        ("HCP_Size1_4_Size2_4_Size3_4_Os", hexagonal(4, 4, 4)),
        ("Decahedron_p_5_q_1_r_0_Re", decahedron(5, 1, 0)),
        ("Icosahedron_shell_3_V", icosahedron(3)),
    ],
)
def test_generators_give_the_published_structures(name: str, cluster: Cluster) -> None:
    file = SIMULATED / f"{name}.xyz"
    if not file.exists():
        pytest.skip(f"needs {file.name} of the shared test data")
    truth = np.loadtxt(file, skiprows=2, usecols=(1, 2, 3))
    assert_same_shape(cluster, truth, tolerance=1e-4)  # printed distances, and c/a 1.633 instead of sqrt(8/3)
    assert fingerprint(cluster.positions) in {fingerprint(c.positions) for c in textbook_clusters()}


def test_counts_that_nature_fixes() -> None:
    assert [icosahedron(n).n_atoms for n in range(1, 6)] == MAGIC
    assert [octahedron(2 * n - 1, n - 1).n_atoms for n in range(1, 6)] == MAGIC
    assert [octahedron(n).n_atoms for n in range(2, 8)] == [6, 19, 44, 85, 146, 231]
    assert [octahedron(3 * n + 1, n).n_atoms for n in (1, 2)] == [38, 201]
    assert [decahedron(n, 1, 0).n_atoms for n in range(2, 7)] == [7, 23, 54, 105, 181]
    assert decahedron(2, 2, 1).n_atoms == 75
    assert [cubic("bcc", n, n, 3 * n).n_atoms for n in (1, 2)] == [9, 35]
    assert [cubic("sc", n, 2 * n, 3 * n).n_atoms for n in (1, 2)] == [27, 125]


@pytest.mark.parametrize(
    ("cluster", "bonds", "n_inner"),
    [
        (octahedron(7, 3), 12, 55),
        (icosahedron(4), 12, 55),
        (hexagonal(5, 5, 5), 12, 72),
        (decahedron(4, 1, 0), 12, 7),
        (cubic("bcc", 4, 4, 12), 8, 91),
        (cubic("sc", 3, 6, 9), 6, 125),
    ],
)
def test_inner_atoms_have_the_coordination_of_the_bulk(cluster: Cluster, bonds: int, n_inner: int) -> None:
    bonded = coordination(cluster.positions, cutoff=1.1)
    assert bonded.max() == bonds
    assert np.sum(bonded == bonds) == n_inner


def test_textbook_holds_each_shape_once() -> None:
    clusters = textbook_clusters()
    assert len(clusters) == 338
    assert Counter(c.family for c in clusters) == {
        "hcp": 189,
        "decahedron": 70,
        "bcc": 31,
        "sc": 22,
        "octahedron": 15,
        "fcc": 8,
        "icosahedron": 3,
    }
    assert len({fingerprint(c.positions) for c in clusters}) == len(clusters)
    distances = {(c.n_atoms, *np.round(scaled_distances(c.positions), 6)) for c in clusters}
    assert len(distances) == len(clusters)
    assert all(5 <= c.n_atoms <= 256 and c.motif in MOTIFS for c in clusters)
    assert [c.n_atoms for c in clusters] == sorted(c.n_atoms for c in clusters)


@pytest.mark.parametrize("lattice", ["sc", "bcc", "fcc"])
def test_textbook_misses_no_cubic_shape(lattice: str) -> None:
    known = {fingerprint(c.positions) for c in textbook_clusters(120)}
    for layers in product(range(1, 8), range(1, 9), range(1, 13)):
        cluster = cubic(lattice, *layers)  # type: ignore[arg-type]
        if 5 <= cluster.n_atoms <= 120:
            assert fingerprint(cluster.positions) in known, layers


def test_a_smaller_library_is_part_of_a_larger_one() -> None:
    small = [(c.family, dict(c.parameters)) for c in textbook_clusters(100)]
    assert small == [(c.family, dict(c.parameters)) for c in textbook_clusters() if c.n_atoms <= 100]


@pytest.mark.parametrize("cluster", textbook_clusters()[::23])
def test_parameters_rebuild_the_cluster(cluster: Cluster) -> None:
    makers = {"octahedron": octahedron, "icosahedron": icosahedron, "decahedron": decahedron, "hcp": hexagonal}
    if cluster.family in makers:
        again = makers[cluster.family](**cluster.parameters)
    else:
        again = cubic(cluster.family, **cluster.parameters)  # type: ignore[arg-type]
    np.testing.assert_array_equal(again.positions, cluster.positions)


def test_the_cuboctahedron_is_a_cube_cut_of_fcc() -> None:
    assert_same_shape(octahedron(5, 2), cubic("fcc", 2, 4, 2).positions)


def test_wrong_parameters_are_refused_by_name() -> None:
    with pytest.raises(InputError, match="k is 0; allowed are whole numbers from 1"):
        cubic("fcc", 1, 0, 1)
    with pytest.raises(InputError, match=re.escape("lattice 'hcp' is unknown; allowed are sc, bcc, fcc")):
        cubic("hcp", 1, 1, 1)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="cutoff is 2; allowed are 0 to 1 at length 4"):
        octahedron(4, 2)
    with pytest.raises(InputError, match="r is -1"):
        decahedron(2, 1, -1)


def test_one_atom_is_a_cluster_at_the_origin() -> None:
    assert icosahedron(1).positions.tolist() == Atoms("Au").positions.tolist()
