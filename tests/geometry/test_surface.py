"""Surface atoms are those that are counted by the formulae of magic numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbldm.data.clusters import decahedron, icosahedron, octahedron
from cbldm.geometry.surface import on_surface


@pytest.mark.parametrize("shells", [1, 2, 3, 4])
def test_an_icosahedron_has_the_atoms_of_its_last_shell(shells: int) -> None:
    assert on_surface(icosahedron(shells + 1).positions).sum() == 10 * shells**2 + 2


@pytest.mark.parametrize("edge", [3, 4, 5, 6])
def test_an_octahedron_has_those_of_its_faces(edge: int) -> None:
    assert on_surface(octahedron(edge, 0).positions).sum() == 4 * (edge - 1) ** 2 + 2


@pytest.mark.parametrize("edge", [3, 4, 5])
def test_a_block_of_bcc_has_its_faces_and_the_centres_of_its_eight_corner_cells(edge: int) -> None:
    corners = np.stack(np.meshgrid(*[np.arange(edge + 1.0)] * 3), axis=-1).reshape(-1, 3)
    centres = corners[(corners < edge).all(axis=1)] + 0.5
    faces = ((corners == 0) | (corners == edge)).any(axis=1)
    cornered = ((centres == 0.5) | (centres == edge - 0.5)).all(axis=1)  # 11 of 14 neighbours
    found = on_surface(np.concatenate([corners, centres]))
    assert faces.sum() == (edge + 1) ** 3 - (edge - 1) ** 3
    assert np.array_equal(found, np.concatenate([faces, cornered]))


@given(st.integers(0, 2**31), st.floats(0.5, 5.0))
def test_motion_relabelling_size_and_a_little_heat_do_not_matter(seed: int, size: float) -> None:
    rng = np.random.default_rng(seed)
    positions = decahedron(3, 2, 0).positions
    order, turn = rng.permutation(len(positions)), np.linalg.qr(rng.normal(size=(3, 3)))[0]
    moved = size * (positions + 0.02 * rng.uniform(-1, 1, positions.shape))[order] @ turn.T + rng.normal(size=3)
    assert np.array_equal(on_surface(moved), on_surface(positions)[order])


@pytest.mark.parametrize("n_atoms", [1, 2])
def test_where_all_atoms_are_alike_none_is_on_the_surface(n_atoms: int) -> None:
    assert not on_surface(np.eye(3)[:n_atoms]).any()
