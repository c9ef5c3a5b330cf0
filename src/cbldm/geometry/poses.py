"""Candidate poses for laying one cluster onto another: rotations and reflections read from local frames and moments.

A cluster of high symmetry has no unique principal axes, so a frame is set up from bonds instead: an atom with a
telling environment and two of its bonds in the reference, every like pair of bonds about every like atom in the other.
All poses are orthogonal (3, 3) matrices Q, determinant -1 for a reflection, that act as ``positions @ Q.T``.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cbldm.errors import InputError
from cbldm.types import FloatArray

IntArray = NDArray[np.int64]

#: Longest bond, in nearest-neighbour distances; it takes in the second shell of bcc.
BOND_LENGTH = 1.3
#: Largest difference of two bonds, or of the spans of two pairs of bonds, that are alike (nearest-neighbour distances).
BOND_TOLERANCE = 0.3
#: Two bonds of the reference that lay out a pose span at least this area (squared nearest-neighbour distances).
LEAST_AREA = 0.3
#: Distances (in nearest-neighbour distances) at which the density around an atom is sampled, and the blur.
SHELLS, SHELL_WIDTH = np.arange(0.8, 2.3, 0.1), 0.1
#: Atoms of the other cluster tried for each atom that carries a frame.
N_LIKE = 4
#: Poses whose nine elements agree to this are one pose.
POSE_GRID = 0.2
#: Poses are dropped when their bonds fit worse than the best by this (nearest-neighbour distances, root mean square).
FIT_MARGIN = 0.15


def nearest_neighbour_distance(positions: FloatArray) -> float:
    """Median distance from an atom to its nearest neighbour.

    Args:
        positions: (n_atoms, 3).

    Returns:
        The distance in the unit of the positions; 1 for a single atom.

    Raises:
        InputError: If more than half of the atoms coincide with another one.

    >>> nearest_neighbour_distance(np.array([[0.0, 0, 0], [2.5, 0, 0], [0, 2.5, 0]]))
    2.5
    """
    if len(positions) < 2:
        return 1.0
    distance = float(np.median(cKDTree(positions).query(positions, k=2)[0][:, 1]))
    if distance <= 0:
        raise InputError(f"positions: most of the {len(positions)} atoms coincide with another one; must be distinct")
    return distance


def candidate_poses(reference: FloatArray, other: FloatArray, dnn: float) -> FloatArray:
    """Orthogonal matrices that may lay one cluster onto another, the likeliest first.

    Args:
        reference: (n_atoms, 3) centred on the origin.
        other: (m_atoms, 3) centred on the origin.
        dnn: Nearest-neighbour distance in the unit of the positions.

    Returns:
        (n_poses, 3, 3): the identity, the poses that match principal axes, and those that match local frames.
    """
    first, second = _surroundings(reference / dnn), _surroundings(other / dnn)
    poses, misfits = [np.zeros((0, 3, 3))], [np.zeros(0)]
    for seed in _seeds(first):
        for like in _like(second, first, seed):
            found, misfit = _bond_poses(first.bonds(seed), second.bonds(int(like)))
            poses.append(found)
            misfits.append(misfit)
    local, misfit = np.concatenate(poses), np.concatenate(misfits)
    order = np.argsort(misfit, kind="stable")
    local = local[order[misfit[order] <= np.min(misfit, initial=np.inf) + FIT_MARGIN]]
    return np.concatenate([np.eye(3)[None], _principal_poses(reference, other), _distinct(local)])


def best_rotation(reference: FloatArray, other: FloatArray) -> FloatArray:
    """Rotation or reflection Q that minimises sum |reference_i - Q other_i|² (Kabsch 1976), for one or many pairings.

    Args:
        reference: (..., n_pairs, 3) about the origin.
        other: (..., n_pairs, 3) about the origin.

    Returns:
        (..., 3, 3).

    >>> best_rotation(np.eye(3), np.eye(3)[[1, 2, 0]]).round(6) + 0.0
    array([[0., 0., 1.],
           [1., 0., 0.],
           [0., 1., 0.]])
    """
    u, _, vt = np.linalg.svd(np.swapaxes(reference, -1, -2) @ other)
    return np.asarray(u @ vt)


@dataclass(frozen=True)
class _Surroundings:
    """A centred cluster in nearest-neighbour distances.

    Attributes:
        positions: (n_atoms, 3).
        density: (n_atoms, n_shells) number of atoms about each distance of `SHELLS`.
        start, end: (n_bonds,) atoms of each bond, every bond both ways.
    """

    positions: FloatArray
    density: FloatArray
    start: IntArray
    end: IntArray

    def bonds(self, atom: int) -> FloatArray:
        """(n_bonds, 3) vectors from an atom to its neighbours."""
        return np.asarray(self.positions[self.end[self.start == atom]] - self.positions[atom])


def _surroundings(positions: FloatArray) -> _Surroundings:
    """What surrounds each atom of a centred cluster in nearest-neighbour distances."""
    pairs = cKDTree(positions).query_pairs(SHELLS[-1] + 2 * SHELL_WIDTH, output_type="ndarray")
    start, end = np.concatenate([pairs, pairs[:, ::-1]]).T
    distances = np.linalg.norm(positions[start] - positions[end], axis=1)
    blurred = np.exp(-0.5 * np.square((distances[:, None] - SHELLS) / SHELL_WIDTH))
    density = np.zeros((len(positions), len(SHELLS)))
    np.add.at(density, start, blurred)
    bonded = distances < BOND_LENGTH
    return _Surroundings(positions, density, start[bonded], end[bonded])


def _seeds(cluster: _Surroundings) -> list[int]:
    """Atoms to carry a frame: the most central one, and the most unusual among the well-bonded ones and among all."""
    n_bonds = np.bincount(cluster.start, minlength=len(cluster.positions))
    unusual = np.linalg.norm(cluster.density - np.median(cluster.density, axis=0), axis=1)
    central = int(np.argmin(np.linalg.norm(cluster.positions, axis=1)))
    inner = int(np.argmax(np.where(n_bonds >= n_bonds.max() - 1, unusual, -1.0)))
    outer = int(np.argmax(np.where(n_bonds >= 3, unusual, -1.0)))
    return list(dict.fromkeys([central, inner, outer]))


def _like(cluster: _Surroundings, model: _Surroundings, atom: int) -> IntArray:
    """Atoms of a cluster most like an atom of another one, judged by environment, then by distance from the centre."""
    unlike = np.linalg.norm(cluster.density - model.density[atom], axis=1)
    radii = np.linalg.norm(cluster.positions, axis=1)
    unlike += np.abs(radii - np.linalg.norm(model.positions[atom]))
    return np.argsort(unlike, kind="stable")[:N_LIKE]


def _bond_poses(bonds: FloatArray, others: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Poses that lay the bonds of one atom onto those of another, and the misfit of each.

    Args:
        bonds: (n, 3) bond vectors of the reference atom.
        others: (m, 3) bond vectors of the other atom.

    Returns:
        (n_poses, 3, 3) poses, and (n_poses,) root mean square distance of the bonds after the best rotation.
    """
    none = np.zeros((0, 3, 3)), np.zeros(0)
    if len(bonds) < 2 or len(others) < 2:
        return none
    areas = np.linalg.norm(np.cross(bonds[:, None], bonds), axis=-1)
    a, b = np.unravel_index(int(np.argmax(areas.round(3))), areas.shape)
    if areas[a, b] < LEAST_AREA:
        return none
    lengths = np.linalg.norm(others, axis=1)
    span = np.linalg.norm(bonds[a] - bonds[b])
    spans = np.linalg.norm(others[:, None] - others, axis=-1)
    alike = np.abs(spans - span) < BOND_TOLERANCE
    alike &= (np.abs(lengths - np.linalg.norm(bonds[a])) < BOND_TOLERANCE)[:, None]
    alike &= np.abs(lengths - np.linalg.norm(bonds[b])) < BOND_TOLERANCE
    # Opposite bonds span no triad, however well their lengths agree.
    alike &= np.linalg.norm(np.cross(others[:, None], others), axis=-1) > LEAST_AREA / 2
    np.fill_diagonal(alike, False)
    first, second = np.nonzero(alike)
    if not len(first):
        return none
    home = _triads(bonds[a][None], bonds[b][None])[0]
    away = _triads(others[first], others[second])
    flip = np.diag([1.0, 1.0, -1.0])
    poses = np.concatenate([home @ np.swapaxes(away, 1, 2), home @ flip @ np.swapaxes(away, 1, 2)])
    poses = _distinct(poses)
    laid = others @ np.swapaxes(poses, 1, 2)
    gaps = np.linalg.norm(bonds[None, :, None] - laid[:, None], axis=-1)
    partner = np.argmin(gaps, axis=2)
    matched = np.take_along_axis(np.broadcast_to(others, laid.shape), partner[..., None], axis=1)
    refined = best_rotation(np.broadcast_to(bonds, matched.shape), matched)
    same = (np.linalg.det(refined) < 0) == (np.linalg.det(poses) < 0)
    poses = np.where(same[:, None, None], refined, poses)
    misfit = np.sqrt(np.mean(np.square(np.min(gaps, axis=2)), axis=1))
    return poses, misfit


def _triads(first: FloatArray, second: FloatArray) -> FloatArray:
    """(n, 3, 3) right-handed orthonormal triads, as columns, of pairs of vectors; the pair is treated alike."""
    along = first + second
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    across = first - second
    across -= np.sum(across * along, axis=1, keepdims=True) * along
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    return np.stack([along, across, np.cross(along, across)], axis=2)


def _principal_poses(reference: FloatArray, other: FloatArray) -> FloatArray:
    """The eight poses that match principal axes in their order, with every choice of signs."""
    home = np.linalg.eigh(reference.T @ reference)[1]
    away = np.linalg.eigh(other.T @ other)[1]
    return np.array([home @ np.diag(signs) @ away.T for signs in product([1.0, -1.0], repeat=3)])


def _distinct(poses: FloatArray) -> FloatArray:
    """One pose of each cell of a grid over the nine elements, the first one, in the given order."""
    cells = np.round(poses.reshape(-1, 9) / POSE_GRID)
    return poses[np.sort(np.unique(cells, axis=0, return_index=True)[1])]
