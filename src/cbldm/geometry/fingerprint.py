"""Shape fingerprints: the same for every scale, pose, mirror image and numbering, and robust to small displacements.

A fingerprint is the Weisfeiler-Lehman hash of the graph of bonds (Shervashidze et al. 2011). Two clusters share it when
their atoms are bonded alike, so a relaxed copy keeps the fingerprint of the ideal cluster and falls on the same side of
a split. Hashing is in 64-bit integers with wrap-around: exact, the same on CPU and GPU, and independent of order.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import cKDTree

from cbldm.geometry.frames import BOND_CUTOFF, Frame
from cbldm.types import FloatArray

#: Rounds of neighbourhood hashing: enough for the centre of a 1000-atom cluster to see its surface.
ROUNDS = 6


def _mix(value: torch.Tensor) -> torch.Tensor:
    """One splitmix64 scrambling step (Steele et al. 2014) on wrapped int64."""
    value = value * -7046029254386353131
    value = (value ^ ((value >> 30) & 0x3FFFFFFFF)) * -4658895280553007687
    value = (value ^ ((value >> 27) & 0x1FFFFFFFFF)) * -7723592293110705685
    return value ^ ((value >> 31) & 0x1FFFFFFFF)


def _hash_graphs(neighbours: torch.Tensor, owner: torch.Tensor, n_graphs: int) -> torch.Tensor:
    """Weisfeiler-Lehman hash of disjoint graphs.

    Args:
        neighbours: (n_nodes, n_max) indices into the nodes, padded with n_nodes.
        owner: (n_nodes,) index of each node's graph.
        n_graphs: Number of graphs.

    Returns:
        (n_graphs,) int64 hashes.
    """
    state = torch.ones(len(neighbours) + 1, dtype=torch.int64, device=neighbours.device)
    state[-1] = 0
    for _ in range(ROUNDS):
        around = _mix(state)[neighbours].masked_fill(neighbours == len(neighbours), 0).sum(dim=1)
        state[:-1] = _mix(3 * state[:-1] + around)
    total = torch.zeros(n_graphs, dtype=torch.int64, device=neighbours.device)
    return _mix(total.index_add_(0, owner, _mix(state[:-1] + 1)))


def fingerprints(frame: Frame, occupancy: torch.Tensor) -> torch.Tensor:
    """Hash a batch of clusters given as occupied sites of one frame.

    Args:
        frame: The frame.
        occupancy: (batch, n_sites) bool.

    Returns:
        (batch,) int64 hashes, equal to `shape_hash` of the same clusters' positions.
    """
    owner, site = occupancy.nonzero(as_tuple=True)
    number = torch.full((len(occupancy), frame.n_sites + 1), len(site), dtype=torch.int64, device=occupancy.device)
    number[owner, site] = torch.arange(len(site), device=occupancy.device)
    table = torch.as_tensor(frame.neighbours, device=occupancy.device)
    return _hash_graphs(number[owner[:, None], table[site]], owner, len(occupancy))


def shape_hash(positions: FloatArray) -> int:
    """Hash one cluster, whatever its unit of length.

    Args:
        positions: (n_atoms, 3) in any unit; at least two atoms.

    Returns:
        A signed 64-bit integer.

    Raises:
        ValueError: Fewer than two atoms.

    >>> triangle = np.array([[0.0, 0, 0], [1, 0, 0], [0.5, 0.75**0.5, 0]])
    >>> shape_hash(triangle) == shape_hash(2.7 * triangle[::-1])
    True
    """
    if len(positions) < 2:
        raise ValueError(f"a shape needs at least 2 atoms, got {len(positions)}")
    tree = cKDTree(positions)
    unit = float(np.median(tree.query(positions, k=2)[0][:, 1]))
    near = [sorted(set(ends) - {i}) for i, ends in enumerate(tree.query_ball_point(positions, BOND_CUTOFF * unit))]
    table = np.full((len(positions), max(1, max(map(len, near)))), len(positions), dtype=np.int64)
    for i, ends in enumerate(near):
        table[i, : len(ends)] = ends
    owner = torch.zeros(len(positions), dtype=torch.int64)
    return int(_hash_graphs(torch.as_tensor(table), owner, 1)[0])


def fingerprint(positions: FloatArray) -> str:
    """`shape_hash` as 16 hexadecimal digits, with the atom count in front.

    >>> fingerprint(np.array([[0.0, 0, 0], [1, 0, 0]]))[:2]
    '2-'
    """
    return f"{len(positions)}-{shape_hash(positions) & (2**64 - 1):016x}"
