"""Laying one cluster onto another: the smallest RMSD for equal counts, the most matched atoms for unequal ones.

Both allow rigid motion, reflection and relabelling. Starts come from `cbldm.geometry.poses` (local frames, principal
axes); each good one is polished by iterative closest points (Besl and McKay 1992) with one-to-one assignment.
Nothing here is random: the same input gives the same answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from cbldm.errors import InputError
from cbldm.geometry.poses import best_rotation, candidate_poses, nearest_neighbour_distance
from cbldm.types import FloatArray

IntArray = NDArray[np.int64]

#: Atoms used to judge a pose at first sight, poses that are then improved together, and poses polished to the end.
SCREENING_ATOMS, N_IMPROVED, N_POLISHED = 60, 64, 8
#: So many poses are polished as they are, which is all that a copy needs.
N_FIRST = 2
#: An RMSD below this (nearest-neighbour distances) means that the clusters are alike; if they are not, closest points
#: mislead, and this many poses in all are also polished as they are.
ALIKE, N_UNALIKE = 0.2, 6
#: Distance (nearest-neighbour distances) beyond which an atom counts as unmatched while poses are judged.
SCREENING_REACH = 0.6
#: An RMSD below this (nearest-neighbour distances) is a perfect fit and ends the search.
PERFECT = 1e-6
#: Width of the cells in which translations are voted for, in nearest-neighbour distances.
VOTING_CELL = 0.3
#: Most rounds of matching and turning.
MAX_ROUNDS = 30
#: Numbers that tell how far the others are from an atom.
N_PROFILE = 32


@dataclass(frozen=True)
class Alignment:
    """One cluster laid onto another one of equal count.

    Attributes:
        rmsd: Root mean square distance of partners, in the unit of the positions.
        positions: (n_atoms, 3) the other cluster moved onto the reference and put in its order.
        permutation: (n_atoms,) ``other[permutation[i]]`` is the partner of ``reference[i]``.
        rotation: (3, 3) orthogonal; determinant -1 where the other cluster had to be reflected.
        reflected: Whether it had to be.
    """

    rmsd: float
    positions: FloatArray
    permutation: IntArray
    rotation: FloatArray
    reflected: bool


@dataclass(frozen=True)
class Match:
    """The largest one-to-one overlap found between two clusters.

    Attributes:
        pairs: (n_pairs, 2) indices into the reference and into the other cluster.
        rmsd: Root mean square distance of the pairs, in the unit of the positions; nan without a pair.
        f1: 2 n_pairs / (n_atoms + m_atoms).
        positions: (m_atoms, 3) the other cluster moved onto the reference, in its own order.
        rotation: (3, 3) orthogonal; determinant -1 where the other cluster had to be reflected.
        reflected: Whether it had to be.
    """

    pairs: IntArray
    rmsd: float
    f1: float
    positions: FloatArray
    rotation: FloatArray
    reflected: bool


def align(reference: FloatArray, other: FloatArray, *, good_enough: float = 0.0) -> Alignment:
    """Smallest RMSD between two clusters of equal count up to rigid motion, reflection and relabelling.

    The centroids are laid onto each other, which is optimal for any labelling. For near copies of a cluster, however
    symmetric, the pose found is the right one; for clusters of unlike shape the RMSD is an upper bound.

    Args:
        reference: (n_atoms, 3).
        other: (n_atoms, 3) in the same unit.
        good_enough: The search ends at the first pose with at most this RMSD.

    Returns:
        The best alignment found.

    Raises:
        InputError: If the shapes are not (n_atoms, 3) with equal counts, or a coordinate is not finite.

    >>> square = np.array([[0.0, 0, 0], [2, 0, 0], [2, 2, 0], [0, 2, 0]])
    >>> found = align(square, square[::-1, [2, 0, 1]] + 5.0)
    >>> round(found.rmsd, 6)
    0.0
    """
    reference, other = _positions(reference, "reference"), _positions(other, "other")
    if len(reference) != len(other):
        raise InputError(f"align: got {len(reference)} and {len(other)} atoms; counts must be equal, or use match")
    centre = reference.mean(axis=0)
    home, away = reference - centre, other - other.mean(axis=0)
    dnn = nearest_neighbour_distance(home)
    tree = cKDTree(home)
    enough = max(good_enough, PERFECT * dnn)
    poses = _screened(tree, away, candidate_poses(home, away, dnn), dnn)
    best_rmsd, best_pose, best_order = np.inf, np.eye(3), np.arange(len(home))

    def trials() -> Iterator[FloatArray]:
        yield from poses[:N_FIRST]
        yield from _improved(tree, home, away, poses, np.zeros((len(poses), 3)), dnn)[0]
        if best_rmsd >= ALIKE * dnn:
            yield from poses[N_FIRST:N_UNALIKE]

    for pose in trials():
        turned, order = _polish(tree, home, away, pose, ALIKE * dnn)
        rmsd = float(np.sqrt(np.mean(np.sum(np.square(away[order] @ turned.T - home), axis=1))))
        if rmsd < best_rmsd - PERFECT * dnn:
            best_rmsd, best_pose, best_order = rmsd, turned, order
        if best_rmsd <= enough:
            break
    moved = away[best_order] @ best_pose.T + centre
    return Alignment(best_rmsd, moved, best_order, best_pose, bool(np.linalg.det(best_pose) < 0))


def distance_profiles(positions: FloatArray) -> FloatArray:
    """How far all others are from each atom, for `least_rmsd`.

    Args:
        positions: (n_atoms, 3).

    Returns:
        (n_atoms, n) means of at most `N_PROFILE` blocks of the sorted distances, times the root of a block's length.
    """
    edges = np.unique(np.linspace(0, len(positions), N_PROFILE + 1).round().astype(np.int64))
    sums = np.add.reduceat(np.sort(cdist(positions, positions), axis=1), edges[:-1], axis=1)
    return np.asarray(sums / np.sqrt(np.diff(edges)))


def least_rmsd(profiles: FloatArray, others: FloatArray) -> float:
    """A bound that the RMSD of `align` cannot fall below, in a hundredth of its time.

    Atoms displaced by e_i change their distances by at most |e_i - e_j|, whose squares sum to 2 n² RMSD² where the
    centroids agree. Sorting, means of blocks and the most alike partner for each atom can only make the sum smaller.

    Args:
        profiles: (n_atoms, n) of one cluster, as `distance_profiles` returns them.
        others: (n_atoms, n) of the other one.

    Returns:
        The bound in the unit of the positions.

    >>> square = np.array([[0.0, 0, 0], [2, 0, 0], [2, 2, 0], [0, 2, 0]])
    >>> least_rmsd(distance_profiles(square), distance_profiles(1.1 * square)) <= align(square, 1.1 * square).rmsd
    True
    """
    squared = cdist(profiles, others, "sqeuclidean")
    least = max(float(squared.min(axis=axis).sum()) for axis in (0, 1))
    return float(np.sqrt(least / 2)) / len(profiles)


def match(reference: FloatArray, other: FloatArray, cutoff: float) -> Match:
    """Most one-to-one pairs within a cutoff over rigid motions and reflections, for equal or unequal counts.

    For every candidate pose the translation is the one that lays most atoms onto atoms (a vote of all difference
    vectors), so fragments and shifted cuts of one lattice are found as well as concentric ones.

    Args:
        reference: (n_atoms, 3).
        other: (m_atoms, 3) in the same unit.
        cutoff: Largest distance of a pair.

    Returns:
        The largest overlap found; of equal ones the one with the smaller RMSD.

    Raises:
        InputError: If a shape is not (n_atoms, 3), a coordinate is not finite or the cutoff is not positive.

    >>> chain = np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [2, 1, 0], [2, 1, 1]])
    >>> match(chain, chain[1:] + 3.0, cutoff=0.25).f1
    0.8888888888888888
    """
    reference, other = _positions(reference, "reference"), _positions(other, "other")
    if not np.isfinite(cutoff) or cutoff <= 0:
        raise InputError(f"match: got cutoff {cutoff}; must be a positive length")
    centre, middle = reference.mean(axis=0), other.mean(axis=0)
    home, away = reference - centre, other - middle
    dnn = nearest_neighbour_distance(home)
    tree = cKDTree(home)
    best: tuple[int, float] = (-1, 0.0)
    best_pose, best_shift, best_pairs = np.eye(3), np.zeros(3), np.zeros((0, 2), dtype=np.int64)
    voted = _voted(home, away, candidate_poses(home, away, dnn), dnn)
    for pose, shift in zip(*_improved(tree, home, away, *voted, dnn), strict=True):
        turned, moved, pairs = _polish_overlap(tree, home, away, pose, shift, cutoff, 0.5 * dnn)
        gaps = away[pairs[:, 1]] @ turned.T + moved - home[pairs[:, 0]]
        score = (len(pairs), -float(np.sum(np.square(gaps))))
        if score[0] > best[0] or (score[0] == best[0] and score[1] > best[1] + PERFECT * dnn**2):
            best, best_pose, best_shift, best_pairs = score, turned, moved, pairs
    n_pairs = len(best_pairs)
    return Match(
        pairs=best_pairs,
        rmsd=float(np.sqrt(-best[1] / n_pairs)) if n_pairs else float("nan"),
        f1=2 * n_pairs / (len(home) + len(away)),
        positions=away @ best_pose.T + best_shift + centre,
        rotation=best_pose,
        reflected=bool(np.linalg.det(best_pose) < 0),
    )


def _screened(tree: cKDTree, away: FloatArray, poses: FloatArray, dnn: float) -> FloatArray:
    """The poses that lay a sample of the atoms nearest to atoms of the reference, best first."""
    gaps = _gaps(tree, away[_sample(len(away))], poses, np.zeros((len(poses), 3)))[0]
    return poses[_ranked(gaps, poses, dnn)[:N_IMPROVED]]


def _improved(
    tree: cKDTree, home: FloatArray, away: FloatArray, poses: FloatArray, shifts: FloatArray, dnn: float
) -> tuple[FloatArray, FloatArray]:
    """The best poses and translations after two rounds of closest points on all of them at once, best first."""
    for _ in range(2):
        gaps, nearest = _gaps(tree, away, poses, shifts)
        trust = (gaps < SCREENING_REACH * dnn)[..., None] + 1e-9
        weight = trust.sum(axis=1, keepdims=True)
        partners = home[nearest]
        centres, middles = (trust * partners).sum(axis=1, keepdims=True), (trust * away).sum(axis=1, keepdims=True)
        centres, middles = centres / weight, middles / weight
        poses = best_rotation(trust * (partners - centres), away - middles)
        shifts = (centres - middles @ np.swapaxes(poses, 1, 2))[:, 0]
    order = _ranked(_gaps(tree, away, poses, shifts)[0], poses, dnn)[:N_POLISHED]
    return poses[order], shifts[order]


def _gaps(tree: cKDTree, away: FloatArray, poses: FloatArray, shifts: FloatArray) -> tuple[FloatArray, IntArray]:
    """(n_poses, m_atoms) distances to the closest atoms of the reference, and which atoms these are."""
    moved = away @ np.swapaxes(poses, 1, 2) + shifts[:, None]
    gaps, nearest = tree.query(moved.reshape(-1, 3))
    return gaps.reshape(moved.shape[:2]), nearest.reshape(moved.shape[:2])


def _ranked(gaps: FloatArray, poses: FloatArray, dnn: float) -> IntArray:
    """Indices of the poses by their truncated mean square gap; a rotation goes before a reflection that is as good."""
    misfit = np.mean(np.square(np.minimum(gaps / dnn, SCREENING_REACH)), axis=1)
    return np.lexsort([np.linalg.det(poses) < 0, misfit.round(9)])


def _sample(n_atoms: int) -> IntArray:
    """Indices of evenly spread atoms."""
    return np.unique(np.linspace(0, n_atoms - 1, min(n_atoms, SCREENING_ATOMS)).round().astype(np.int64))


def _polish(
    tree: cKDTree, home: FloatArray, away: FloatArray, pose: FloatArray, alike: float
) -> tuple[FloatArray, IntArray]:
    """Alternate one-to-one assignment and best rotation until the labels stay; centred clusters of equal count.

    Of clusters that are not alike the labels wander for long and gain little: less than a hundredth ends it.
    """
    order, before = _assignment(tree, home, away @ pose.T), np.inf
    for _ in range(MAX_ROUNDS):
        pose = best_rotation(home, away[order])
        rmsd = float(np.sqrt(np.mean(np.sum(np.square(away[order] @ pose.T - home), axis=1))))
        if rmsd > alike and rmsd > 0.99 * before:
            break
        before = rmsd
        renewed = _assignment(tree, home, away @ pose.T)
        if np.array_equal(renewed, order):
            break
        order = renewed
    return pose, order


def _assignment(tree: cKDTree, home: FloatArray, moved: FloatArray) -> IntArray:
    """Labels that minimise the sum of squared distances; nearest neighbours where they already are one-to-one."""
    nearest = tree.query(moved)[1]
    order = np.full(len(home), -1)
    order[nearest] = np.arange(len(moved))
    if np.any(order < 0):
        order = linear_sum_assignment(cdist(home, moved, "sqeuclidean"))[1]
    return np.asarray(order, dtype=np.int64)


def _voted(home: FloatArray, away: FloatArray, poses: FloatArray, dnn: float) -> tuple[FloatArray, FloatArray]:
    """The poses and translations that lay most atoms onto atoms, best first (a vote of all difference vectors)."""
    sample = away[_sample(len(away))]
    reach = max(np.max(np.linalg.norm(home, axis=1)), np.max(np.linalg.norm(away, axis=1)))
    cell = VOTING_CELL * dnn
    middle = int(np.ceil(reach / cell))
    n_cells = 2 * middle + 2
    shifts, votes = np.zeros((len(poses), 3)), np.zeros(len(poses))
    for number, pose in enumerate(poses):
        differences = (home.T[:, :, None] - (pose @ sample.T)[:, None]).reshape(3, -1)
        cells = np.round(differences / cell).astype(np.int64) + middle
        inside = np.all((cells >= 0) & (cells <= 2 * middle), axis=0)
        flat = (cells[0] * n_cells + cells[1]) * n_cells + cells[2]
        counts = np.bincount(flat[inside], minlength=n_cells**3).reshape(3 * (n_cells,))
        for axis in range(3):
            counts = counts + np.roll(counts, -1, axis=axis)
        corner = np.array(np.unravel_index(int(np.argmax(counts)), counts.shape)) - middle
        near = np.all(np.abs(differences / cell - corner[:, None] - 0.5) <= 1.0, axis=0)
        shifts[number], votes[number] = differences[:, near].mean(axis=1), near.sum()
    order = np.lexsort([np.linalg.det(poses) < 0, -votes])[:N_IMPROVED]
    return poses[order], shifts[order]


def _polish_overlap(
    tree: cKDTree, home: FloatArray, away: FloatArray, pose: FloatArray, shift: FloatArray, cutoff: float, reach: float
) -> tuple[FloatArray, FloatArray, IntArray]:
    """Alternate matching and best rigid motion, first within a generous reach, then within the cutoff."""
    for limit in (max(reach, cutoff), cutoff):
        pairs = _pairs_within(tree, home, away @ pose.T + shift, limit)
        for _ in range(MAX_ROUNDS):
            if len(pairs) < 3:
                break
            pose, shift = _rigid_motion(home[pairs[:, 0]], away[pairs[:, 1]])
            renewed = _pairs_within(tree, home, away @ pose.T + shift, limit)
            if np.array_equal(renewed, pairs):
                break
            pairs = renewed
    return pose, shift, _pairs_within(tree, home, away @ pose.T + shift, cutoff)


def _rigid_motion(home: FloatArray, away: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Rotation or reflection, and translation, that lay paired atoms onto each other best."""
    centre, middle = home.mean(axis=0), away.mean(axis=0)
    pose = best_rotation(home - centre, away - middle)
    return pose, np.asarray(centre - middle @ pose.T)


def _pairs_within(tree: cKDTree, home: FloatArray, moved: FloatArray, reach: float) -> IntArray:
    """(n_pairs, 2) most one-to-one pairs within a reach, ordered by the moved atoms."""
    distances, nearest = tree.query(moved)
    inside = np.nonzero(distances <= reach)[0]
    if len(np.unique(nearest[inside])) == len(inside):
        return np.stack([nearest[inside], inside], axis=1).astype(np.int64)
    gaps = cdist(home, moved[inside], "sqeuclidean")
    bonus = 1e3 * reach**2
    first, second = linear_sum_assignment(np.where(gaps <= reach**2, gaps - bonus, 0.0))
    paired = gaps[first, second] <= reach**2
    pairs = np.stack([first[paired], inside[second[paired]]], axis=1)
    return np.asarray(pairs[np.argsort(pairs[:, 1])], dtype=np.int64)


def _positions(positions: FloatArray, name: str) -> FloatArray:
    """Positions as float64, checked."""
    positions = np.asarray(positions, dtype=np.float64)
    if positions.ndim != 2 or positions.shape[1] != 3 or not len(positions):
        raise InputError(f"{name}: got shape {positions.shape}; must be (n_atoms, 3) with at least one atom")
    if not np.all(np.isfinite(positions)):
        raise InputError(f"{name}: holds coordinates that are not finite")
    return positions
