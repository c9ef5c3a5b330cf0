"""What a three-dimensional view needs of each atom: its neighbours, the order around it, and where to look from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.spatial import cKDTree

from cbldm.report.spheres import NEIGHBOUR_REACH, pose
from cbldm.types import FloatArray

IntArray = NDArray[np.int64]

#: The order around an atom, as `local_order` counts it.
ORDERS = ("open site", "cubic layers (fcc)", "hexagonal layer (hcp)", "five-fold axis", "bcc")
#: Atoms about the middle that decide from where a cluster is seen; bonds of all would fill the memory.
MOST_POSED = 400


def bonded_pairs(positions: FloatArray) -> tuple[float, IntArray]:
    """The median distance of nearest neighbours, in Å, and (n_bonds, 2): pairs within `NEIGHBOUR_REACH` times that.

    >>> nearest, pairs = bonded_pairs(np.array([[0.0, 0, 0], [2.5, 0, 0], [5.0, 0, 0]]))
    >>> nearest, sorted(pairs.tolist())
    (2.5, [[0, 1], [1, 2]])
    """
    tree = cKDTree(positions)
    nearest = float(np.median(tree.query(positions, k=2)[0][:, 1]))
    return nearest, tree.query_pairs(NEIGHBOUR_REACH * nearest, output_type="ndarray").astype(np.int64)


def neighbour_counts(pairs: IntArray, n_atoms: int) -> IntArray:
    """(n_atoms,) number of bonds of each atom, of (n_bonds, 2) pairs."""
    return np.bincount(pairs.ravel(), minlength=n_atoms)


def local_order(pairs: IntArray, n_atoms: int) -> IntArray:
    """(n_atoms,) index into `ORDERS` by common-neighbour analysis (Honeycutt and Andersen, 1987) of an atom's bonds.

    A bond tells when its two ends share four or more neighbours: five in a ring lie about a five-fold axis, four or six
    in a ring are those of bcc, four in a chain join two atoms of one hexagonal layer, and four in two pairs are those
    of fcc. Surface atoms are named too where one of their bonds tells.
    """
    first, second = pairs.T
    ends = np.concatenate([first, second]), np.concatenate([second, first])
    bonded = csr_array((np.ones(2 * len(pairs)), ends), shape=(n_atoms, n_atoms))
    common = bonded[first].multiply(bonded[second]).tocsr()
    links = (common @ bonded).multiply(common).tocsr()
    shared = np.diff(common.indptr)
    n_links = links.sum(axis=1)
    most = links.max(axis=1).toarray().ravel()
    ring = (n_links == 2 * shared) & (most == 2)
    kinds = (
        (1, (shared == 4) & (n_links == 4) & (most == 1)),
        (2, (shared == 4) & (n_links == 4) & (most == 2)),
        (4, ((shared == 4) | (shared == 6)) & ring),
        (3, (shared == 5) & ring),
    )
    order = np.zeros(n_atoms, dtype=np.int64)
    for kind, told in kinds:
        order[pairs[told].ravel()] = kind
    return order


def view(positions: FloatArray) -> FloatArray:
    """(3, 3) matrix that turns positions, rows of Å from their mean, as `pose` turns those in the middle."""
    distances = np.linalg.norm(positions - positions.mean(axis=0), axis=1)
    core = positions[np.sort(np.argsort(distances, kind="stable")[:MOST_POSED])]
    turned = pose(core)
    return np.linalg.lstsq(core - core.mean(axis=0), turned - turned.mean(axis=0))[0]
