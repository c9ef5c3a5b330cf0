"""Which atoms of a cluster lie on its surface."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cbldm.geometry.poses import nearest_neighbour_distance
from cbldm.types import FloatArray

#: Atoms within this many nearest-neighbour distances are neighbours; it takes in the second shell of bcc.
REACH = 1.25
#: An atom inside has at least this share of the neighbours of the best coordinated one: 11 of 12, 12 of 14.
INSIDE = 0.85


def on_surface(positions: FloatArray) -> NDArray[np.bool_]:
    """Which atoms have clearly fewer neighbours than the best coordinated one.

    Args:
        positions: (n_atoms, 3) in any unit.

    Returns:
        (n_atoms,) True on the surface; nowhere in a cluster whose atoms are all alike, as a dimer.

    >>> arms = np.concatenate([np.eye(3), -np.eye(3)])
    >>> on_surface(np.concatenate([np.zeros((1, 3)), arms])).tolist()
    [False, True, True, True, True, True, True]
    """
    reach = REACH * nearest_neighbour_distance(positions)
    n_neighbours = cKDTree(positions).query_ball_point(positions, reach, return_length=True) - 1
    return np.asarray(n_neighbours < INSIDE * n_neighbours.max())
