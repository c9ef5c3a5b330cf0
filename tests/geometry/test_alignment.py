"""The right pose is found for any motion, mirror image, order and truncation, and found again on every call."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from cbldm.data.clusters import cubic, decahedron, hexagonal, icosahedron, octahedron
from cbldm.errors import InputError
from cbldm.geometry.alignment import align, distance_profiles, least_rmsd, match
from cbldm.geometry.frames import mackay_shell
from cbldm.geometry.poses import best_rotation, candidate_poses, nearest_neighbour_distance
from cbldm.types import FloatArray


def moved(positions: FloatArray, rng: np.random.Generator, mirror: bool = False) -> FloatArray:
    """Turned and shifted at random; mirrored on request."""
    turn = Rotation.from_quat(rng.normal(size=4)).as_matrix() * (-1.0 if mirror else 1.0)
    return positions @ turn.T + rng.normal(size=3)


def fcc_ball(n_atoms: int, centre: FloatArray) -> FloatArray:
    """The n_atoms sites of an fcc lattice nearest to a centre, in nearest-neighbour distances."""
    points = np.stack(np.meshgrid(*[np.arange(-9, 10)] * 3), -1).reshape(-1, 3)
    sites = points[points.sum(axis=1) % 2 == 0] / np.sqrt(2)
    return sites[np.argsort(np.linalg.norm(sites - centre, axis=1), kind="stable")[:n_atoms]]


CHIRAL = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1], [2, 1, 1], [0, 0, 1]])

SYMMETRIC = {
    "octahedron": octahedron(6, 1).positions,
    "icosahedron": icosahedron(4).positions,
    "decahedron": decahedron(4, 2, 1).positions,
    "hcp": hexagonal(3, 4, 5).positions,
    "bcc": cubic("bcc", 2, 3, 3).positions,
    "sc": cubic("sc", 4, 6, 8).positions,
    "plate": np.stack(np.meshgrid(np.arange(6), np.arange(6), 0), -1).reshape(-1, 3).astype(float),
    "line": np.arange(9)[:, None] * np.array([1.0, 0, 0]),
}


@pytest.mark.parametrize("name", SYMMETRIC)
@pytest.mark.parametrize("mirror", [False, True])
def test_a_moved_and_shuffled_copy_lies_on_its_original(name: str, mirror: bool) -> None:
    rng = np.random.default_rng(0)
    reference = SYMMETRIC[name]
    other = moved(reference, rng, mirror)[rng.permutation(len(reference))]
    found = align(reference, other)
    assert found.rmsd < 1e-6
    np.testing.assert_allclose(found.positions, reference, atol=1e-6)
    whole = match(reference, other, 0.1)
    assert whole.f1 == 1.0
    assert whole.rmsd < 1e-6


@pytest.mark.parametrize("name", ["octahedron", "icosahedron", "decahedron", "bcc"])
def test_what_is_returned_belongs_together(name: str) -> None:
    rng = np.random.default_rng(1)
    reference = SYMMETRIC[name]
    other = moved(reference + rng.normal(scale=0.03, size=reference.shape), rng)[rng.permutation(len(reference))]
    found = align(reference, other)
    np.testing.assert_allclose(found.rotation @ found.rotation.T, np.eye(3), atol=1e-10)
    assert np.linalg.det(found.rotation) == pytest.approx(-1.0 if found.reflected else 1.0)
    assert sorted(found.permutation) == list(range(len(reference)))
    turned = (other - other.mean(axis=0)) @ found.rotation.T + reference.mean(axis=0)
    np.testing.assert_allclose(found.positions, turned[found.permutation], atol=1e-10)
    gaps = np.linalg.norm(found.positions - reference, axis=1)
    assert found.rmsd == pytest.approx(np.sqrt(np.mean(gaps**2)))
    part = match(reference, other[5:], 0.25)
    gaps = np.linalg.norm(part.positions[part.pairs[:, 1]] - reference[part.pairs[:, 0]], axis=1)
    assert gaps.max() <= 0.25
    assert part.rmsd == pytest.approx(np.sqrt(np.mean(gaps**2)))
    assert part.f1 == pytest.approx(2 * len(gaps) / (2 * len(reference) - 5))
    for column in part.pairs.T:
        assert len(set(column)) == len(column)


def test_the_true_labels_are_found_among_all_equivalent_ones() -> None:
    rng = np.random.default_rng(2)
    reference = SYMMETRIC["icosahedron"] + rng.normal(scale=0.03, size=(147, 3))
    order = rng.permutation(147)
    found = align(reference, moved(reference + rng.normal(scale=0.005, size=(147, 3)), rng, mirror=True)[order])
    np.testing.assert_array_equal(order[found.permutation], np.arange(147))


def test_a_chiral_cluster_meets_its_mirror_image_only_by_reflection() -> None:
    rng = np.random.default_rng(3)
    assert not align(CHIRAL, moved(CHIRAL, rng)).reflected
    found = align(CHIRAL, moved(CHIRAL, rng, mirror=True))
    assert found.rmsd < 1e-6
    assert found.reflected
    assert match(CHIRAL, moved(CHIRAL, rng, mirror=True), 0.1).reflected


def test_an_achiral_cluster_is_turned_rather_than_reflected() -> None:
    reference = SYMMETRIC["octahedron"]
    assert not align(reference, moved(reference, np.random.default_rng(4))).reflected


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n_atoms=st.integers(1, 30))
def test_any_heap_of_atoms_is_recognised(seed: int, n_atoms: int) -> None:
    rng = np.random.default_rng(seed)
    heap = fcc_ball(200, np.zeros(3))[rng.permutation(200)[:n_atoms]] + rng.normal(scale=0.05, size=(n_atoms, 3))
    copy = moved(heap, rng, mirror=bool(seed % 2))[rng.permutation(n_atoms)]
    assert align(heap, copy).rmsd < 1e-5
    assert match(heap, copy, 0.1).f1 == 1.0


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n_atoms=st.integers(1, 60), rattle=st.floats(0.0, 0.5))
def test_no_alignment_is_better_than_the_bound_from_the_distances(seed: int, n_atoms: int, rattle: float) -> None:
    rng = np.random.default_rng(seed)
    heap = fcc_ball(n_atoms, rng.normal(size=3))
    shaken = heap + rattle * rng.normal(size=heap.shape)
    # The labels that shook are known, so the RMSD of this pose is an upper bound of the best one.
    gaps = (shaken - shaken.mean(axis=0)) - (heap - heap.mean(axis=0))
    other = moved(shaken, rng, mirror=bool(seed % 2))[rng.permutation(n_atoms)]
    least = least_rmsd(distance_profiles(heap), distance_profiles(other))
    assert least <= np.sqrt(np.mean(np.sum(gaps**2, axis=1))) + 1e-9


def test_the_bound_tells_unlike_shapes_of_one_count_apart() -> None:
    needle = hexagonal(1, 1, 19).positions
    ball = fcc_ball(len(needle), np.zeros(3))
    assert least_rmsd(distance_profiles(ball), distance_profiles(needle)) > 0.5


def test_the_answer_never_changes_between_calls() -> None:
    rng = np.random.default_rng(5)
    first, second = fcc_ball(60, rng.normal(size=3)), icosahedron(3).positions
    a, b = align(first[:55], second), align(first[:55], second)
    assert a.rmsd == b.rmsd
    np.testing.assert_array_equal(a.positions, b.positions)
    c, d = match(first, second, 0.25), match(first, second, 0.25)
    np.testing.assert_array_equal(c.pairs, d.pairs)


def test_align_stops_at_the_first_pose_that_is_good_enough() -> None:
    rng = np.random.default_rng(6)
    reference = SYMMETRIC["octahedron"]
    other = reference + rng.normal(scale=0.02, size=reference.shape)
    assert align(reference, other).rmsd <= align(reference, other, good_enough=0.1).rmsd <= 0.1


@pytest.mark.parametrize("seed", range(6))
def test_two_off_centre_cuts_of_one_lattice_overlap_as_much_as_the_lattice_allows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = fcc_ball(140, 0.6 * rng.normal(size=3)), fcc_ball(155, 0.6 * rng.normal(size=3))
    second = second + np.array([1.0, 1.0, 0.0]) * np.sqrt(0.5)
    axes = np.eye(3)[np.array(np.meshgrid(*[range(3)] * 3)).reshape(3, -1).T]
    axes = axes[np.abs(np.linalg.det(axes)) > 0.5]
    signs = np.array(np.meshgrid(*[[1.0, -1.0]] * 3)).reshape(3, -1).T
    most = 0
    for operation in (axes[:, None] * signs[None, :, None]).reshape(-1, 3, 3):
        steps = np.round((first[:, None] - second @ operation.T) * np.sqrt(2)).astype(np.int64) + 40
        most = max(most, int(np.bincount((steps @ [10000, 100, 1]).ravel()).max()))
    rattled = moved(second + rng.normal(scale=0.02, size=second.shape), rng, mirror=True)[rng.permutation(155)]
    assert len(match(first, rattled, 0.25).pairs) >= 0.98 * most


def test_a_small_fragment_is_found_in_the_corner_of_a_large_cluster() -> None:
    rng = np.random.default_rng(7)
    whole = cubic("bcc", 4, 5, 6).positions
    fragment = whole[np.argsort(np.linalg.norm(whole - whole[np.argmax(whole @ [1.0, 0.3, 0.2])], axis=1))[:25]]
    found = match(whole, moved(fragment, rng, mirror=True), 0.1)
    assert len(found.pairs) == 25


def test_best_rotation_brings_paired_points_back() -> None:
    rng = np.random.default_rng(8)
    points = rng.normal(size=(4, 10, 3))
    turns = Rotation.from_quat(rng.normal(size=(4, 4))).as_matrix()
    np.testing.assert_allclose(best_rotation(points @ np.swapaxes(turns, 1, 2), points), turns, atol=1e-10)


def test_candidate_poses_are_orthogonal_and_hold_the_true_one() -> None:
    rng = np.random.default_rng(9)
    reference = SYMMETRIC["decahedron"][:-3]
    reference = reference - reference.mean(axis=0)
    turn = Rotation.from_quat(rng.normal(size=4)).as_matrix()
    poses = candidate_poses(reference, reference @ turn, 1.0)
    np.testing.assert_allclose(poses @ np.swapaxes(poses, 1, 2), np.broadcast_to(np.eye(3), poses.shape), atol=1e-10)
    assert np.min(np.linalg.norm(poses - turn, axis=(1, 2))) < 1e-6


def test_the_nearest_neighbour_distance_is_the_median_one() -> None:
    reference = SYMMETRIC["octahedron"]
    assert nearest_neighbour_distance(2.5 * reference) == pytest.approx(2.5)
    with pytest.raises(InputError, match="coincide"):
        nearest_neighbour_distance(np.zeros((4, 3)))


def test_bad_input_is_refused() -> None:
    points = SYMMETRIC["line"]
    with pytest.raises(InputError, match="got 9 and 8 atoms"):
        align(points, points[1:])
    with pytest.raises(InputError, match=r"other: got shape \(3,\)"):
        align(points, np.zeros(3))
    with pytest.raises(InputError, match="reference: holds coordinates that are not finite"):
        match(np.full((2, 3), np.inf), points, 0.1)
    with pytest.raises(InputError, match="cutoff 0"):
        match(points, points, 0.0)


def test_opposite_bonds_make_no_pose():
    """Icosahedral pieces hold pairs of opposite bonds; none of them may become a pose of NaN."""
    rng = np.random.default_rng(0)
    whole = np.asarray(mackay_shell(2).tolist() + mackay_shell(1).tolist() + [[0.0, 0.0, 0.0]])
    for n in (30, 40, 47):
        part = whole[np.argsort(whole @ rng.normal(size=3))[:n]]
        other = whole[np.argsort(whole @ rng.normal(size=3))[: n - 3]]
        assert 0 < match(part, other, 0.25).f1 <= 1
        assert np.isfinite(align(part[: n - 3], other).rmsd)
