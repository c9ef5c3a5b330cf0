"""How close two structures, or two curves, are: the numbers that results are reported in.

Structures are compared up to rigid motion, reflection and relabelling, since a PDF knows no more than that.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import pdist

from cbldm.errors import InputError
from cbldm.geometry.alignment import align, match
from cbldm.geometry.poses import nearest_neighbour_distance
from cbldm.types import FloatArray

#: Default cutoff of a matched pair, in nearest-neighbour distances of the reference.
F1_CUTOFF = 0.25


def rmsd(reference: FloatArray, other: FloatArray) -> float:
    """Root mean square distance of partner atoms up to rigid motion, reflection and relabelling.

    Args:
        reference: (n_atoms, 3) in Å.
        other: (n_atoms, 3) in Å.

    Returns:
        RMSD in Å.

    Raises:
        InputError: If the counts differ or a coordinate is not finite.

    >>> tetrahedron = np.array([[0.0, 0, 0], [2, 2, 0], [2, 0, 2], [0, 2, 2]])
    >>> round(rmsd(tetrahedron, 1.0 - tetrahedron[::-1]), 6)
    0.0
    """
    return align(reference, other).rmsd


def f1(reference: FloatArray, other: FloatArray, cutoff: float | None = None) -> float:
    """Share of atoms with a partner in the other cluster: 2 n_pairs / (n_atoms + m_atoms), one-to-one, best pose.

    Args:
        reference: (n_atoms, 3) in Å.
        other: (m_atoms, 3) in Å.
        cutoff: Largest distance of a pair in Å; None for `F1_CUTOFF` nearest-neighbour distances of the reference.

    Returns:
        A number from 0 (nothing matches) to 1 (every atom of both has its partner).

    Raises:
        InputError: If the cutoff is not positive or a coordinate is not finite.

    >>> row = np.array([[0.0, 0, 0], [2.5, 0, 0], [5, 0, 0], [5, 2.5, 0]])
    >>> round(f1(row, row[:3]), 3)
    0.857
    """
    if cutoff is None:
        cutoff = F1_CUTOFF * nearest_neighbour_distance(np.asarray(reference, dtype=np.float64))
    return match(reference, other, cutoff).f1


def sorted_distance_mae(reference: FloatArray, other: FloatArray) -> float:
    """Mean absolute difference of the sorted lists of all pair distances; at most twice the RMSD, and much cheaper.

    Zero for congruent clusters; above 2 x it proves that the RMSD is above x.

    Args:
        reference: (n_atoms, 3) in Å.
        other: (n_atoms, 3) in Å.

    Returns:
        The mean in Å.

    Raises:
        InputError: If the counts differ or are below 2.

    >>> sorted_distance_mae(np.array([[0.0, 0, 0], [2, 0, 0]]), np.array([[0.0, 0, 0], [0, 0, 2.5]]))
    0.5
    """
    if len(reference) != len(other) or len(reference) < 2:
        raise InputError(f"sorted_distance_mae: got {len(reference)} and {len(other)} atoms; must be equal, at least 2")
    return float(np.mean(np.abs(np.sort(pdist(reference)) - np.sort(pdist(other)))))


def rw(observed: FloatArray, calculated: FloatArray) -> float:
    """Agreement factor Rw = sqrt(sum (observed - calculated)² / sum observed²), without weights.

    Args:
        observed: (n,) G(r) in Å⁻².
        calculated: (n,) G(r) in Å⁻² on the same grid.

    Returns:
        Zero for a perfect fit, one for a calculated curve of zeros.

    Raises:
        InputError: If the shapes differ or the observed curve is zero everywhere.

    >>> rw(np.array([3.0, 4.0]), np.array([3.0, 1.0]))
    0.6
    """
    observed, calculated = np.asarray(observed, dtype=np.float64), np.asarray(calculated, dtype=np.float64)
    if observed.shape != calculated.shape:
        raise InputError(f"rw: got shapes {observed.shape} and {calculated.shape}; must be equal")
    norm = float(np.linalg.norm(observed))
    if norm == 0:
        raise InputError("rw: the observed curve is zero everywhere; needs at least one other value")
    return float(np.linalg.norm(observed - calculated)) / norm
