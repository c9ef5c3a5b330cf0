"""Neighbours and local order are those that nature fixes, and a cluster is seen as its picture shows it."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.cluster import Decahedron, Icosahedron, Octahedron
from scipy.spatial.transform import Rotation

from cbldm.report.sites import MOST_POSED, ORDERS, bonded_pairs, local_order, neighbour_counts, view
from cbldm.report.spheres import pose

OPEN, FCC, HCP, FIVEFOLD, BCC = range(len(ORDERS))


def counts(atoms: Atoms) -> list[int]:
    """How many atoms are of each order."""
    return np.bincount(local_order(bonded_pairs(atoms.positions)[1], len(atoms)), minlength=len(ORDERS)).tolist()


def ball(atoms: Atoms, radius: float) -> Atoms:
    """The atoms within a radius of the middle."""
    return atoms[np.linalg.norm(atoms.positions - atoms.positions.mean(axis=0), axis=1) < radius]


def test_neighbours_of_an_icosahedron():
    atoms = Icosahedron("Pt", 3)
    found = neighbour_counts(bonded_pairs(atoms.positions)[1], len(atoms))
    assert dict(zip(*np.unique(found, return_counts=True), strict=True)) == {6: 12, 8: 30, 12: 13}


def test_an_icosahedron_of_55_has_twelve_half_axes_and_no_cubic_layer():
    assert counts(Icosahedron("Pt", 3)) == [0, 0, 30, 25, 0]


def test_a_decahedron_has_one_axis_between_five_twin_planes():
    atoms = Decahedron("Pt", 3, 3, 0)
    order = local_order(bonded_pairs(atoms.positions)[1], len(atoms))
    on_axis = np.linalg.norm(atoms.positions[:, :2] - atoms.positions[:, :2].mean(axis=0), axis=1) < 0.1
    assert np.array_equal(order == FIVEFOLD, on_axis)
    assert np.count_nonzero(order == HCP) > 0
    assert np.count_nonzero(order == FCC) > 0
    assert np.count_nonzero(order == BCC) == 0


def test_lattices_have_their_own_order():
    assert counts(Octahedron("Pt", 7, 2)) == [0, 201, 0, 0, 0]
    hexagonal = counts(ball(bulk("Co", "hcp", a=2.5, c=2.5 * np.sqrt(8 / 3)).repeat(9), 7.0))
    assert hexagonal[HCP] > 20
    assert hexagonal[FIVEFOLD] == hexagonal[BCC] == 0
    cubic = counts(ball(bulk("W", "bcc", a=3.16, cubic=True).repeat(6), 8.0))
    assert sum(cubic) == cubic[OPEN] + cubic[BCC]


def test_order_does_not_depend_on_pose_or_sequence():
    atoms = Decahedron("Pt", 3, 3, 1)
    rng = np.random.default_rng(0)
    sequence = rng.permutation(len(atoms))
    turned = Rotation.random(rng=rng).apply(atoms.positions)[sequence]
    before = local_order(bonded_pairs(atoms.positions)[1], len(atoms))
    assert np.array_equal(local_order(bonded_pairs(turned)[1], len(atoms)), before[sequence])


@pytest.mark.parametrize("n", [5, 9])
def test_a_view_is_a_proper_rotation_and_that_of_the_picture(n):
    atoms = Octahedron("Pt", n)
    turn = view(atoms.positions)
    assert turn @ turn.T == pytest.approx(np.eye(3), abs=1e-9)
    assert np.linalg.det(turn) == pytest.approx(1.0)
    if len(atoms) <= MOST_POSED:
        seen = pose(atoms.positions)
        centred = atoms.positions - atoms.positions.mean(axis=0)
        np.testing.assert_allclose(centred @ turn, seen - seen.mean(axis=0), atol=1e-9)
