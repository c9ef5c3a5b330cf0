"""Templates up to 3000 atoms: the counts nature fixes, sound clusters of the motif they claim, no gap in sizes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from cbldm.data.clusters import decahedron, octahedron
from cbldm.data.large_templates import large_templates
from cbldm.data.nests import BOND, FEWEST, FINE_TO, LEAST_BONDS, MOST, USUAL_BONDS, Nest
from cbldm.geometry.fingerprint import fingerprint
from cbldm.geometry.motif import name_motif
from cbldm.types import MOTIFS

#: Atom counts of complete Mackay icosahedra and of cuboctahedra.
MAGIC = {147, 309, 561, 923, 1415, 2057, 2869}


@pytest.fixture(scope="module")
def nests() -> list[Nest]:
    return list(large_templates())


def sizes(nests: list[Nest], motif: str) -> set[int]:
    return {int(end) for nest in nests if nest.motif == motif for end in nest.ends}


def prints(nests: list[Nest], family: str, n_atoms: int) -> set[str]:
    """Fingerprints of the clusters of a family with so many atoms."""
    return {
        fingerprint(nest.sites[:n_atoms]) for nest in nests if family in nest.family and n_atoms in nest.ends.tolist()
    }


def test_icosahedra_of_all_shells_are_there(nests: list[Nest]) -> None:
    complete = next(nest for nest in nests if nest.parameters["form"] == "complete shells")
    assert set(complete.ends.tolist()) == MAGIC | {55}


@pytest.mark.parametrize("shells", range(4, 12))
def test_cuboctahedra_are_there(nests: list[Nest], shells: int) -> None:
    cluster = octahedron(2 * shells - 1, shells - 1)
    if cluster.n_atoms <= MOST:
        assert cluster.n_atoms in MAGIC
        assert fingerprint(cluster.positions) in prints(nests, "octahedron", cluster.n_atoms)


@pytest.mark.parametrize(
    ("length", "cutoff"), [(6, 0), (10, 0), (16, 0), (7, 2), (10, 3), (13, 4), (12, 2), (15, 7), (16, 5)]
)
def test_truncated_octahedra_are_there(nests: list[Nest], length: int, cutoff: int) -> None:
    cluster = octahedron(length, cutoff)
    assert fingerprint(cluster.positions) in prints(nests, "octahedron", cluster.n_atoms)


@pytest.mark.parametrize(
    "pqr", [(5, 1, 0), (2, 2, 1), (2, 3, 2), (3, 2, 2), (4, 4, 2), (8, 3, 0), (6, 5, 1), (4, 5, 3)]
)
def test_decahedra_are_there(nests: list[Nest], pqr: tuple[int, int, int]) -> None:
    cluster = decahedron(*pqr)
    assert fingerprint(cluster.positions) in prints(nests, "decahedron", cluster.n_atoms)


def test_counts_of_marks_decahedra(nests: list[Nest]) -> None:
    assert {75, 101, 146, 192, 238} <= sizes(nests, "decahedron")


@pytest.mark.parametrize("part", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_clusters_are_sound(nests: list[Nest], part: int) -> None:
    for nest in nests[::part]:
        assert nest.ends.size > 0
        assert np.all(np.diff(nest.ends) > 0)
        assert nest.ends[0] >= FEWEST
        assert len(nest.sites) == nest.ends[-1] <= MOST
        tree = cKDTree(nest.sites)
        nearest = tree.query(nest.sites, k=2)[0][:, 1]
        assert nearest.min() == pytest.approx(1.0, abs=1e-9), nest.parameters
        bonds = tree.query_pairs(BOND, output_type="ndarray")
        for end in nest.ends:
            inside = bonds[bonds.max(axis=1) < end]
            graph = coo_array((np.ones(len(inside)), inside.T), shape=(end, end))
            assert connected_components(graph, directed=False)[0] == 1, (nest.parameters, end)
            least = LEAST_BONDS.get(nest.motif, USUAL_BONDS)
            assert np.bincount(inside.ravel(), minlength=end).min() >= least, (nest.parameters, end)


def test_orbits_cover_every_cluster(nests: list[Nest]) -> None:
    for nest in nests:
        assert np.cumsum(nest.orbits)[nest.ends - 1].tolist() == nest.ends.tolist()
        # The first atom of a set of equal ones stands for all, so none may wait for a later cluster.
        for start, end in zip([0, *nest.ends], nest.ends, strict=False):
            assert nest.orbits[start:end].sum() == end - start


def test_clusters_have_the_motif_they_claim(nests: list[Nest]) -> None:
    """Of a sample, and from 200 atoms on: a small cut of a twin can lie on one side of the twin plane."""
    wrong = []
    for nest in nests[::5]:
        for end in nest.ends[nest.ends >= 200][::9]:
            if (found := name_motif(nest.sites[:end])) != nest.motif:
                wrong.append((nest.motif, found, end, nest.parameters))
    assert wrong == []


@pytest.mark.parametrize("motif", MOTIFS)
def test_no_size_is_far_from_a_template(nests: list[Nest], motif: str) -> None:
    known = np.array(sorted(sizes(nests, motif)))
    for n_atoms in range(100, MOST + 1, 7):
        error = np.abs(known - n_atoms).min() / n_atoms
        assert error <= (0.05 if n_atoms <= FINE_TO else 0.06), (n_atoms, error)


def test_templates_are_the_same_every_time(nests: list[Nest]) -> None:
    for first, again in zip(nests, large_templates(), strict=True):
        assert (first.motif, first.family, first.parameters) == (again.motif, again.family, again.parameters)
        np.testing.assert_array_equal(first.ends, again.ends)
        np.testing.assert_array_equal(first.sites, again.sites)
