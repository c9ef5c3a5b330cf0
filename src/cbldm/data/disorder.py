"""What real clusters have and textbook ones lack: missing surface atoms, adatoms and thermal displacements.

All lengths are in units of the nearest-neighbour distance, all chance comes from the generator that is passed in.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from cbldm.errors import InputError
from cbldm.geometry.frames import BOND_CUTOFF
from cbldm.types import Cluster, FloatArray

#: Two atoms nearer than this overlap.
OVERLAP = 0.9
#: Corners of a hollow lie nearer to each other than this: on (100) up to sqrt(2), on the open (111) of bcc 1.633.
HOLLOW_WIDTH = 1.65


def coordination(positions: FloatArray, cutoff: float = BOND_CUTOFF) -> NDArray[np.int64]:
    """Number of bonded neighbours of each atom.

    Args:
        positions: (n_atoms, 3) in nearest-neighbour distances.
        cutoff: Length below which two atoms are bonded; the default counts both inner shells of bcc.

    Returns:
        (n_atoms,) counts.

    Example:
        >>> coordination(np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]]))
        array([1, 2, 1])
    """
    return np.bincount(_bonds(positions, cutoff).ravel(), minlength=len(positions))


def remove_atoms(cluster: Cluster, count: int, rng: np.random.Generator) -> Cluster:
    """The cluster with `count` random surface vacancies, still in one piece.

    One atom goes at a time, each under-coordinated one with the same chance; atoms that hold the cluster together stay.

    Raises:
        InputError: If count is negative, or the cluster would be left without an atom.

    Example:
        >>> from cbldm.data.clusters import icosahedron
        >>> remove_atoms(icosahedron(3), 4, np.random.default_rng(0)).n_atoms
        51
    """
    if not 0 <= count < cluster.n_atoms:
        raise InputError(f"{count} vacancies in {cluster.n_atoms} atoms; allowed are 0 to {cluster.n_atoms - 1}")
    positions = cluster.positions
    for _ in range(count):
        bonded = coordination(positions)
        pieces = _number_of_pieces(positions)
        order = rng.permutation(len(positions))
        order = order[np.argsort(bonded[order] == bonded.max(), kind="stable")]
        rest = (np.delete(positions, atom, axis=0) for atom in order)
        positions = next(left for left in rest if _number_of_pieces(left) <= pieces)
    return _changed(cluster, positions, vacancies=count)


def add_atoms(cluster: Cluster, count: int, rng: np.random.Generator) -> Cluster:
    """The cluster with `count` adatoms, one after the other in random hollows of its surface.

    Raises:
        InputError: If count is negative or the cluster has no hollow left.

    Example:
        >>> from cbldm.data.clusters import icosahedron
        >>> add_atoms(icosahedron(2), 3, np.random.default_rng(0)).n_atoms
        16
    """
    if count < 0:
        raise InputError(f"{count} adatoms asked for; allowed are 0 and more")
    positions = cluster.positions
    for added in range(count):
        hollows = hollow_sites(positions)
        if len(hollows) == 0:
            raise InputError(f"no hollow for adatom {added + 1} of {count} on {len(positions)} atoms; ask for fewer")
        positions = np.concatenate([positions, hollows[rng.integers(len(hollows))][None]])
    return _changed(cluster, positions, adatoms=count)


def thermal_displacement(cluster: Cluster, sigma: float, rng: np.random.Generator) -> Cluster:
    """The cluster with independent Gaussian displacements, `sigma` nearest-neighbour distances along each axis.

    Raises:
        InputError: If sigma is negative.

    Example:
        >>> from cbldm.data.clusters import octahedron
        >>> thermal_displacement(octahedron(3), 0.02, np.random.default_rng(0)).parameters["sigma"]
        0.02
    """
    if not sigma >= 0:
        raise InputError(f"sigma is {sigma}; allowed are 0 and positive numbers")
    return _changed(cluster, cluster.positions + rng.normal(0.0, sigma, cluster.positions.shape), sigma=sigma)


def hollow_sites(positions: FloatArray) -> FloatArray:
    """Places for one more atom: at distance 1 from three surface atoms and overlapping none.

    Args:
        positions: (n_atoms, 3) in nearest-neighbour distances.

    Returns:
        (n_sites, 3); a hollow between four atoms appears once.

    Example:
        >>> triangle = np.array([[0.0, 0, 0], [1, 0, 0], [0.5, 0.75**0.5, 0]])
        >>> hollow_sites(triangle).round(4).tolist()
        [[0.5, 0.2887, -0.8165], [0.5, 0.2887, 0.8165]]
    """
    bonded = coordination(positions)
    surface = positions[bonded < bonded.max()] if bonded.min() < bonded.max() else positions
    apexes = _apexes(surface, _triples(surface, HOLLOW_WIDTH))
    if len(apexes) == 0:
        return apexes
    free = apexes[cKDTree(positions).query(apexes)[0] > OVERLAP]
    _, first = np.unique(np.round(free, 4) + 0.0, axis=0, return_index=True)
    return free[first]


def _bonds(positions: FloatArray, cutoff: float) -> NDArray[np.int64]:
    """(n_bonds, 2) pairs of atoms nearer than the cutoff, the lower index first."""
    return np.asarray(cKDTree(positions).query_pairs(cutoff, output_type="ndarray"), dtype=np.int64)


def _number_of_pieces(positions: FloatArray) -> int:
    i, j = _bonds(positions, BOND_CUTOFF).T
    graph = csr_array((np.ones(len(i)), (i, j)), shape=(len(positions), len(positions)))
    return int(connected_components(graph, directed=False)[0])


def _triples(positions: FloatArray, cutoff: float) -> NDArray[np.int64]:
    """(n, 3) all triples of atoms that lie within the cutoff of each other, in increasing order."""
    pairs = _bonds(positions, cutoff)
    near = np.zeros((len(positions), len(positions)), dtype=bool)
    near[pairs[:, 0], pairs[:, 1]] = True
    pair, third = np.nonzero(near[pairs[:, 0]] & near[pairs[:, 1]])
    return np.concatenate([pairs[pair], third[:, None]], axis=1)


def _apexes(positions: FloatArray, triples: NDArray[np.int64]) -> FloatArray:
    """(n, 3) the points at distance 1 from each of three atoms, on both sides of their plane where they exist."""
    origin = positions[triples[:, 0]]
    a, b = positions[triples[:, 1]] - origin, positions[triples[:, 2]] - origin
    normal = np.cross(a, b)
    area = np.sum(normal**2, axis=1, keepdims=True)
    flat = area[:, 0] < 1e-6
    area[flat] = 1.0
    centre = np.cross(np.sum(a**2, axis=1, keepdims=True) * b - np.sum(b**2, axis=1, keepdims=True) * a, normal)
    centre /= 2 * area
    height = (1 - np.sum(centre**2, axis=1, keepdims=True)) / area
    exists = (height[:, 0] >= 0) & ~flat
    up = (normal * np.sqrt(np.maximum(height, 0)))[exists]
    return np.concatenate([(origin + centre)[exists] + up, (origin + centre)[exists] - up])


def _changed(cluster: Cluster, positions: FloatArray, **parameters: float) -> Cluster:
    """The same family with other positions, centred again."""
    centred = positions - positions.mean(axis=0)
    return Cluster(centred, cluster.motif, cluster.family, {**cluster.parameters, **parameters})
