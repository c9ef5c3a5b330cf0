"""What a metal cluster may do between its start and the end of a refinement: even bonds, atoms near their places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from cbldm.types import FloatArray

#: Pairs closer than this many bond lengths are bonds; both shells of bcc (1 and 1.155) count.
BOND_CUTOFF = 1.25
#: Smallest kernel width in bond lengths, and kernel width over the standard deviation of the lengths.
MODE_WIDTH, MODE_WIDTH_OVER_SPREAD = 0.015, 0.45


@dataclass(frozen=True)
class Restraint:
    """Gaussian beliefs about how a structure differs from its start, as widths in units of its bond length dnn.

    The energy in kT is 0.5 Σ_bonds ((d - target) / (bond dnn))² + 0.5 Σ_atoms (displacement / (place dnn))². A bond is
    a pair closer than `BOND_CUTOFF` at the start; its target is the mode of the start's bond lengths to which it
    belongs (`bond_targets`), so a rattled start is drawn to even bonds and an even start stays even.

    Attributes:
        bond: Standard deviation of a bond length from its target.
        place: Standard deviation of an atom from its start, per coordinate; holds what no bond holds.
    """

    bond: float = 0.035
    place: float = 0.18


def bond_length(positions: FloatArray) -> float:
    """The mean of all distances up to 1.25 times that mean, in Å: the bond length, steady under rattling.

    >>> round(bond_length(np.array([[0.0, 0, 0], [2.5, 0, 0], [0, 2.5, 0]])), 3)
    2.5
    """
    tree = cKDTree(positions)
    length = float(np.median(tree.query(positions, k=2)[0][:, 1]))
    for _ in range(4):
        length = float(np.mean(_near_pairs(positions, BOND_CUTOFF * length)[1]))
    return length


def bond_targets(lengths: FloatArray, dnn: float) -> FloatArray:
    """Each length climbs to a mode of the density of lengths (mean shift, Comaniciu & Meer 2002), step by tabled step.

    The density's kernel is `MODE_WIDTH` wide for even bonds, so that the two lengths of an icosahedron (0.95 and 1)
    stay apart, and grows with the spread of the lengths, so that those of a rattled cluster share few modes.

    Args:
        lengths: (n_bonds,) in Å.
        dnn: Bond length that sets the scale, in Å.

    >>> bond_targets(np.array([0.99, 1.0, 1.01, 1.15, 1.16, 1.17]), 1.0).round(2)
    array([1.  , 1.  , 1.  , 1.16, 1.16, 1.16])
    """
    width = max(MODE_WIDTH * dnn, MODE_WIDTH_OVER_SPREAD * float(lengths.std()))
    nodes = np.linspace(lengths.min(), lengths.max(), 129)
    weights = np.exp(-0.5 * ((nodes[:, None] - lengths) / width) ** 2) + 1e-300
    climbed = modes = weights @ lengths / weights.sum(axis=1)
    for _ in range(49):
        modes = np.interp(modes, nodes, climbed)
    return np.interp(lengths, nodes, modes)


class RestraintBatch:
    """The restraint of several structures, padded to one size; the given positions are the start.

    Args:
        structures: Each (n_atoms, 3) in Å, at least two atoms.
        reference: (B, N, 3) the same, padded, and centred as the positions of `energy` will be.
        restraint: Widths.
    """

    def __init__(self, structures: Sequence[FloatArray], reference: Tensor, restraint: Restraint) -> None:
        self.reference = reference
        lengths = [bond_length(x) for x in structures]
        bonds = [_near_pairs(x, BOND_CUTOFF * dnn) for x, dnn in zip(structures, lengths, strict=True)]
        shape = (len(bonds), max(len(pairs) for pairs, _ in bonds))
        self._pairs = torch.zeros(*shape, 2, dtype=torch.long, device=reference.device)
        self._targets, self._stiffness = reference.new_ones(shape), reference.new_zeros(shape)
        for row, ((pairs, found), dnn) in enumerate(zip(bonds, lengths, strict=True)):
            self._pairs[row, : len(pairs)] = torch.as_tensor(pairs)
            self._targets[row, : len(pairs)] = torch.as_tensor(bond_targets(found, dnn))
            self._stiffness[row, : len(pairs)] = (restraint.bond * dnn) ** -2
        self._tether = (restraint.place * reference.new_tensor(lengths)) ** -2

    def energy(self, rows: Tensor, positions: Tensor) -> Tensor:
        """(b,) energy in kT of the structures named by `rows`, at positions (b, N, 3) in Å."""
        i, j = self._pairs[rows].unbind(-1)
        batch = torch.arange(len(rows), device=rows.device)[:, None]
        bonded = self._stiffness[rows] > 0
        squares = ((positions[batch, i] - positions[batch, j]) ** 2).sum(-1)
        lengths = torch.where(bonded, squares, 1.0).clamp_min(1e-12).sqrt()
        bonds = (self._stiffness[rows] * (lengths - self._targets[rows]) ** 2).sum(-1)
        places = self._tether[rows] * ((positions - self.reference[rows]) ** 2).sum((-1, -2))
        return 0.5 * (bonds + places)

    def hessian(self) -> Tensor:
        """(B, 3N, 3N) second derivatives at the start in Å⁻², bonds taken at their targets."""
        size, n_max, _ = self.reference.shape
        matrix = self.reference.new_zeros(size, 3 * n_max, 3 * n_max)
        blocks = matrix.view(size, n_max, 3, n_max, 3).transpose(2, 3)
        for row, (pairs, stiffness) in enumerate(zip(self._pairs, self._stiffness, strict=True)):
            i, j = pairs[stiffness > 0].T
            ends = self.reference[row, i] - self.reference[row, j]
            unit = ends / ends.norm(dim=-1, keepdim=True).clamp_min(1e-6)
            block = stiffness[stiffness > 0, None, None] * unit[:, :, None] * unit[:, None, :]
            blocks[row, i, j] = blocks[row, j, i] = -block
            blocks[row].diagonal().permute(2, 0, 1).index_add_(0, i, block).index_add_(0, j, block)
        matrix.diagonal(dim1=1, dim2=2).add_(self._tether[:, None])
        return matrix


def _near_pairs(positions: FloatArray, cutoff: float) -> tuple[NDArray[np.intp], FloatArray]:
    """Pairs (n, 2) of atoms closer than the cutoff, and their distances (n,) in Å."""
    pairs = cKDTree(positions).query_pairs(cutoff, output_type="ndarray")
    return pairs, np.linalg.norm(positions[pairs[:, 0]] - positions[pairs[:, 1]], axis=1)
