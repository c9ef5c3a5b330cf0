"""Naming the atomic arrangement of a cluster by common-neighbour analysis and by its close-packed layers.

The rings that the common neighbours of a bond form tell five-fold axes and bcc apart from close packing (Honeycutt and
Andersen 1987; Faken and Jónsson 1994), also at a surface and with atoms displaced by 5 % of a bond. What is left is
close-packed, and the sequence of its layers A, B, C says how; layers count every atom, so a few dozen are enough.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.spatial import cKDTree

from cbldm.errors import InputError
from cbldm.geometry.poses import nearest_neighbour_distance
from cbldm.types import FloatArray

IntArray = NDArray[np.int64]

#: A bond is shorter than this many mean bonds; in bcc it takes in both inner shells.
BOND_LENGTH = 1.2
#: Second neighbours (square diagonals) per bond above which a lattice without triangles is simple cubic.
SQUARES_OF_SC, TRIANGLES_OF_SC = 0.6, 0.6
#: Share of bonds about which four or six common neighbours form a ring above which a cluster is bcc.
RINGS_OF_BCC = 0.03
#: Second neighbours per bond below which atoms in no order of layers are a small piece of bcc, which has none.
SQUARES_OF_FCC = 0.1
#: Two five-fold bonds are on one line when the cosine of their angle is above this.
COLLINEAR = 0.93
#: Five-fold bonds off the main line, per bond on it, above which a cluster is an icosahedron (five in a whole one).
OFF_LINE = 0.4
#: Distance of close-packed layers, in bonds.
LAYER = np.sqrt(2.0 / 3.0)
#: Order (1: perfect, 0: none) of layers and of the sites in them above which a direction is a stacking axis.
LEAST_ORDER = 0.5
#: Layers with fewer atoms than this share of the largest one are islands and say nothing about the stacking.
ISLAND = 0.1
#: Cosine above which two candidates for a stacking axis are one, most candidates tried, and vectors they come from.
SAME_AXIS, MOST_AXES, MOST_VECTORS = 0.97, 16, 500
#: Radius (in bonds) of the first fit of a stack, and what holds its lattice (in atoms) where few atoms say anything.
FIRST_REACH, STIFFNESS = 1.2, 0.5


def name_motif(positions: FloatArray, dnn: float | None = None) -> str:
    """Name the atomic arrangement, one of `cbldm.types.MOTIFS`, by our own common-neighbour analysis.

    A close-packed cluster is ``fcc`` or ``hcp`` when all inner layers are cubic or hexagonal, ``twin`` with one
    hexagonal layer among cubic ones and ``faulted`` otherwise. All 338 textbook clusters of 5 to 256 atoms are named
    right; with displacements of 5 % of a bond along each axis, at least 99 % of those of 30 atoms and more and 95 % of
    those of 13 to 29. Some shapes are truly ambiguous: three layers A B A are called hcp, two layers fcc, and a
    decahedron whose five-fold axis lies on its surface is a twin, hcp or faulted.

    Args:
        positions: (n_atoms, 3).
        dnn: Nearest-neighbour distance in the unit of the positions; None measures it.

    Returns:
        The motif.

    Raises:
        InputError: If there are fewer than two atoms, the shape is not (n_atoms, 3) or dnn is not positive.

    >>> corners = np.stack(np.meshgrid([0, 1, 2], [0, 1, 2], [0, 1, 2]), -1).reshape(-1, 3)
    >>> name_motif(2.5 * corners)
    'sc'
    """
    positions = np.asarray(positions, dtype=np.float64)
    if positions.ndim != 2 or positions.shape[1] != 3 or len(positions) < 2:
        raise InputError(f"name_motif: got shape {positions.shape}; must be (n_atoms, 3) with at least two atoms")
    dnn = nearest_neighbour_distance(positions) if dnn is None else dnn
    if not np.isfinite(dnn) or dnn <= 0:
        raise InputError(f"name_motif: got dnn {dnn}; must be a positive length")
    points = (positions - positions.mean(axis=0)) / _mean_bond(positions, dnn)
    bonds = _bonds(points)
    if bonds.n_common.mean() < TRIANGLES_OF_SC and _squares(points) > SQUARES_OF_SC * len(bonds.ends):
        return "sc"
    if np.mean((bonds.rings == 4) | (bonds.rings == 6)) > RINGS_OF_BCC:
        return "bcc"
    if np.any(bonds.rings == 5):
        return _name_fivefold(bonds.vectors[bonds.rings == 5])
    hexagonal, order = _stacking(points, bonds)
    if order < LEAST_ORDER:
        return "faulted" if _squares(points) > SQUARES_OF_FCC * len(bonds.ends) else "bcc"
    return _name_stack(hexagonal)


@dataclass(frozen=True)
class _Bonds:
    """The bonds of a cluster and what lies around them.

    Attributes:
        ends: (n_bonds, 2) atoms of each bond.
        vectors: (n_bonds, 3) from the first to the second end, in mean bonds.
        n_common: (n_bonds,) number of atoms bonded to both ends.
        rings: (n_bonds,) the same number where those atoms are bonded to a closed ring of four or more, else zero.
        normals: (n_triangles, 3) normals of the triangles of bonds, of any length.
    """

    ends: IntArray
    vectors: FloatArray
    n_common: IntArray
    rings: IntArray
    normals: FloatArray


def _mean_bond(positions: FloatArray, dnn: float) -> float:
    """Mean length of the bonds, found from a first guess; noise shifts it far less than the shortest distance."""
    pairs = cKDTree(positions).query_pairs(2.0 * dnn, output_type="ndarray")
    lengths = np.linalg.norm(positions[pairs[:, 0]] - positions[pairs[:, 1]], axis=1)
    if not np.any(lengths < 1.25 * dnn):
        raise InputError(f"name_motif: got dnn {dnn:.4g}, but no two atoms are within 1.25 dnn; is the unit right?")
    bond = dnn
    for _ in range(8):
        bond = float(np.mean(lengths[lengths < 1.25 * bond]))
    return bond


def _bonds(points: FloatArray) -> _Bonds:
    """Common-neighbour analysis of all bonds of a cluster whose mean bond is 1."""
    ends = cKDTree(points).query_pairs(BOND_LENGTH, output_type="ndarray").astype(np.int64)
    first, second = ends.T
    ones = np.ones(2 * len(ends))
    both = np.concatenate([first, second]), np.concatenate([second, first])
    bonded = csr_array((ones, both), shape=(len(points), len(points)))
    common = bonded[first].multiply(bonded[second]).tocsr()
    linked = (common @ bonded).multiply(common).tocsr()
    n_common = np.diff(common.indptr).astype(np.int64)
    n_with_two_links = np.asarray((linked == 2).sum(axis=1)).ravel()
    closed = (n_common >= 4) & (n_with_two_links == n_common)
    bond_of, apex = common.nonzero()
    normals = np.cross(points[second[bond_of]] - points[first[bond_of]], points[apex] - points[first[bond_of]])
    return _Bonds(ends, points[second] - points[first], n_common, np.where(closed, n_common, 0), normals)


def _squares(points: FloatArray) -> int:
    """Number of pairs at about the diagonal of a square of bonds."""
    tree = cKDTree(points)
    return (tree.count_neighbors(tree, 1.45) - tree.count_neighbors(tree, BOND_LENGTH)) // 2


def _name_fivefold(fivefold: FloatArray) -> str:
    """Decahedron where the five-fold bonds lie along one direction, icosahedron where they point along several."""
    directions = fivefold / np.linalg.norm(fivefold, axis=1, keepdims=True)
    on_line = int(np.max(np.sum(np.abs(directions @ directions.T) > COLLINEAR, axis=1)))
    return "icosahedron" if len(fivefold) - on_line > OFF_LINE * on_line else "decahedron"


def _name_stack(hexagonal: NDArray[np.bool_]) -> str:
    """Name a stack by which of its inner layers are hexagonal (neighbours alike) rather than cubic."""
    if not np.any(hexagonal):
        return "fcc"
    if np.all(hexagonal):
        return "hcp"
    return "twin" if np.sum(hexagonal) == 1 else "faulted"


def _stacking(points: FloatArray, bonds: _Bonds) -> tuple[NDArray[np.bool_], float]:
    """Which inner close-packed layers are hexagonal, along the direction that orders the cluster best, and that order.

    Of directions that order it equally, the one with most layers counts. A chain without any has no layers, order 1.
    """
    axes = _stacking_axes(points, bonds)
    best_order, best_layers = (0.0 if len(axes) else 1.0), np.zeros(0, dtype=bool)
    for axis in axes:
        cells, order = _fit_stack(points, axis, bonds)
        layers, purity = _hexagonal_layers(cells)
        order *= purity
        better = order > best_order + 0.05
        if better or (order > best_order - 0.05 and len(layers) > len(best_layers)):
            best_order, best_layers = max(order, best_order), layers
    return best_layers, best_order


def _stacking_axes(points: FloatArray, bonds: _Bonds) -> FloatArray:
    """(n_axes, 3) candidates for the normal of the layers, the commonest first.

    These are normals of triangles of bonds, and directions of pairs at 2 sqrt(2/3) bonds: in hcp they lie along c, in
    fcc there are none.
    """
    pairs = cKDTree(points).query_pairs(2 * LAYER + 0.09, output_type="ndarray")
    across = points[pairs[:, 1]] - points[pairs[:, 0]]
    across = across[np.linalg.norm(across, axis=1) > 2 * LAYER - 0.09]
    vectors = np.concatenate([bonds.normals, across])
    vectors = vectors[:: 1 + len(vectors) // MOST_VECTORS]
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    same = np.abs(vectors @ vectors.T) > SAME_AXIS
    left = np.ones(len(vectors), dtype=bool)
    axes: list[FloatArray] = []
    while np.any(left) and len(axes) < MOST_AXES:
        most = int(np.argmax(same[:, left].sum(axis=1) * left))
        group = vectors[same[most] & left]
        mean = np.sum(group * np.sign(group @ vectors[most])[:, None], axis=0)
        axes.append(mean / np.linalg.norm(mean))
        left &= ~same[most]
    return np.array(axes).reshape(-1, 3)


def _fit_stack(points: FloatArray, axis: FloatArray, bonds: _Bonds) -> tuple[IntArray, float]:
    """Integer coordinates of the atoms on the lattice of all sites A, B and C of all layers normal to an axis.

    Every close-packed stack lies on this lattice: a triangular one of constant 1/sqrt(3) in the layer, repeated from
    layer to layer. It is fitted from the centre outwards, so that strain and noise do not add up along a rod.

    Args:
        points: (n_atoms, 3) in mean bonds, centred.
        axis: (3,) unit normal of the layers.
        bonds: The bonds; they set the direction of the rows.

    Returns:
        (n_atoms, 3) coordinates, the layer last, and the order: mean cosine of the deviation along the worst of them.
    """
    plane = np.linalg.svd(axis[None])[2][1:]
    in_plane, height = bonds.vectors @ plane.T, np.abs(bonds.vectors @ axis)
    sense = np.where(height < 0.5 * LAYER, 1.0, -1.0) * np.linalg.norm(in_plane, axis=1)
    turn = np.angle(np.sum(sense * np.exp(6j * np.arctan2(in_plane[:, 1], in_plane[:, 0])))) / 6 + np.pi / 6
    rows = np.array([[np.cos(angle), np.sin(angle)] for angle in (turn, turn + np.pi / 3)]) / np.sqrt(3)
    basis = np.vstack([rows @ plane, LAYER * axis])
    radii = np.linalg.norm(points, axis=1)
    centre = int(np.argmin(radii))
    affine = np.vstack([np.linalg.inv(basis), np.zeros(3)])
    affine[3] = -points[centre] @ affine[:3]
    extended = np.column_stack([points, np.ones(len(points))])
    reach = FIRST_REACH
    while True:
        inside = extended[radii <= radii[centre] + reach]
        deviation = np.round(inside @ affine) - inside @ affine
        normal = inside.T @ inside + STIFFNESS * np.eye(4)
        affine = affine + np.linalg.solve(normal, inside.T @ deviation)
        if len(inside) == len(points):
            break
        reach *= 1.25
    coordinates = extended @ affine
    cells = np.round(coordinates)
    order = float(np.min(np.mean(np.cos(2 * np.pi * (coordinates - cells)), axis=0)))
    return cells.astype(np.int64), order


def _hexagonal_layers(cells: IntArray) -> tuple[NDArray[np.bool_], float]:
    """Which layers have neighbours of one letter (hexagonal) rather than two (cubic).

    Args:
        cells: (n_atoms, 3) coordinates on the lattice of `_fit_stack`.

    Returns:
        One entry for every layer between two others, islands on top and at the bottom left out; and the share of atoms
        that have the letter of their layer.
    """
    letter, layer = (cells[:, 0] - cells[:, 1]) % 3, cells[:, 2] - cells[:, 2].min()
    counts = np.zeros((layer.max() + 1, 3), dtype=np.int64)
    np.add.at(counts, (layer, letter), 1)
    sizes = counts.sum(axis=1)
    whole = np.nonzero(sizes >= ISLAND * sizes.max())[0]
    letters = np.argmax(counts[whole[0] : whole[-1] + 1], axis=1)
    return np.asarray(letters[2:] == letters[:-2]), float(counts.max(axis=1).sum() / len(cells))
