"""Frames: the sites that the atoms of one motif can occupy, and a canonical pose in them.

A cluster is (frame, occupied sites, small displacements). Slots tied to places keep their index when a neighbour comes
or goes. All lengths are in units of the nearest-neighbour distance.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import permutations, product

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cbldm.types import MOTIFS, FloatArray

IntArray = NDArray[np.int64]

#: Two atoms nearer than this are bonded: above bcc's second shell (1.155), below sc's and fcc's (1.414).
BOND_CUTOFF = 1.28
#: Two sites nearer than this cannot both be occupied.
EXCLUSION = 0.88

#: Names in the order of the model's frame index.
FRAMES = ("fcc", "bcc", "sc", "hcp", "stack", "decahedron", "icosahedron")

#: Radius and half length of the needles in the hcp frame.
HCP_RODS = ((4.45, 9.2), (3.5, 12.0))
#: Radius and half length of the needle in the decahedral frame.
DECAHEDRAL_ROD = (1.8, 6.6)

#: The frame that carries each motif.
FRAME_OF_MOTIF = {motif: "stack" if motif in ("twin", "faulted") else motif for motif in MOTIFS}


@dataclass(frozen=True)
class Frame:
    """Sites, bonds and symmetry of one motif family.

    Attributes:
        name: One of `FRAMES`.
        sites: (n_sites, 3) positions.
        neighbours: (n_sites, n_max) indices of bonded sites, padded with n_sites.
        operations: (n_ops, 3, 3) orthogonal matrices that map the frame onto itself.
        site_maps: (n_ops, n_sites) index to which an operation moves each site.
        wyckoff: (n_ops, n_sites) value of a generic function at each moved site; it orders poses.
        translations: (n_shifts, 3) sites near the origin that can become the origin; only zero where the frame has a
            centre.
        turns: (n_shifts, 3, 3) rotation about each of them that brings the frame back onto itself.
    """

    name: str
    sites: FloatArray
    neighbours: IntArray
    operations: FloatArray
    site_maps: IntArray
    wyckoff: FloatArray
    translations: FloatArray
    turns: FloatArray

    @property
    def n_sites(self) -> int:
        """Number of sites."""
        return len(self.sites)

    def canonical(self, occupancy: torch.Tensor) -> torch.Tensor:
        """Turn each occupancy to the pose that maximises a fixed generic function, ties broken by the first.

        Args:
            occupancy: (batch, n_sites) bool.

        Returns:
            (batch, n_sites) bool, the same clusters in canonical pose.
        """
        wyckoff = torch.as_tensor(self.wyckoff, dtype=torch.float32, device=occupancy.device)
        best = (occupancy.float() @ wyckoff.T).argmax(dim=1)
        targets = torch.as_tensor(self.site_maps, device=occupancy.device)[best]
        return torch.zeros_like(occupancy).scatter_(1, targets, occupancy)

    def occupy(self, positions: FloatArray, tolerance: float = 0.15) -> NDArray[np.bool_] | None:
        """Find the sites that a cluster fills, whatever its pose.

        An atom with two of its bonds is laid on a site with two of its bonds; of the rigid motions and reflections that
        put every atom within the tolerance of a site of its own, the one is taken that brings the cluster's centre
        nearest to the origin.

        Args:
            positions: (n_atoms, 3) in units of the nearest-neighbour distance.
            tolerance: Largest distance of an atom from its site.

        Returns:
            (n_sites,) bool, or None where the cluster is not a part of this frame.
        """
        centred = positions - positions.mean(axis=0)
        tree = cKDTree(self.sites)
        bonds = cKDTree(centred).query_ball_point(centred, BOND_CUTOFF)
        radius = np.linalg.norm(centred, axis=1)
        order = sorted(range(len(centred)), key=lambda i: (-len(bonds[i]), radius[i], i))
        if radius.max() > np.linalg.norm(self.sites, axis=1).max() + tolerance + 1:
            return None
        for atom in order[:3]:
            arms = [j for j in bonds[atom] if j != atom]
            pair = _widest_pair(centred[arms] - centred[atom])
            if pair is None:
                continue
            # The centre of the cluster comes to lie within about a bond of the origin.
            near = np.flatnonzero(abs(np.linalg.norm(self.sites, axis=1) - radius[atom]) < 1.1)
            motions = [self._motions(pair, int(site)) for site in near]
            target = np.repeat(near, [len(group) for group in motions])
            turns = np.concatenate(motions)
            offsets = np.linalg.norm(self.sites[target] - turns @ centred[atom], axis=1)
            for k in np.argsort(np.round(offsets, 6), kind="stable")[:400]:
                moved = (centred - centred[atom]) @ turns[k].T + self.sites[target[k]]
                distance, index = tree.query(moved, distance_upper_bound=tolerance)
                if np.isfinite(distance).all() and len(np.unique(index)) == len(index):
                    occupied = np.zeros(self.n_sites, dtype=bool)
                    occupied[index] = True
                    return occupied
        return None

    def _motions(self, pair: FloatArray, site: int) -> FloatArray:
        """Orthogonal matrices (n, 3, 3) that lay two bonds (2, 3) on two bonds of a site, mirror images included."""
        ends = self.neighbours[site]
        arms = self.sites[ends[ends < self.n_sites]] - self.sites[site]
        lengths = np.linalg.norm(arms, axis=1)
        cosine = arms @ arms.T
        wanted = np.linalg.norm(pair, axis=1)
        first, second = np.nonzero(
            (abs(lengths[:, None] - wanted[0]) < 0.08)
            & (abs(lengths[None, :] - wanted[1]) < 0.08)
            & (abs(cosine - pair[0] @ pair[1]) < 0.12)
        )
        source = _triads(pair[:1], pair[1:])[0]
        targets = _triads(arms[first], arms[second])
        flips = np.array([np.eye(3), np.diag([1.0, 1.0, -1.0])])
        return np.asarray(np.einsum("kxy,fyz,wz->kfxw", targets, flips, source).reshape(-1, 3, 3))


def _widest_pair(arms: FloatArray) -> FloatArray | None:
    """Two vectors (2, 3) that are far from parallel, or None."""
    for i in range(len(arms)):
        for j in range(len(arms)):
            if i != j and np.linalg.norm(np.cross(arms[i], arms[j])) > 0.6:
                return np.stack([arms[i], arms[j]])
    return None


def _triads(first: FloatArray, second: FloatArray) -> FloatArray:
    """Right-handed orthonormal columns (n, 3, 3) from pairs of vectors (n, 3)."""
    x = first / np.linalg.norm(first, axis=1, keepdims=True)
    z = np.cross(first, second)
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    return np.stack([x, np.cross(z, x), z], axis=2)


def _build(
    name: str,
    sites: FloatArray,
    operations: FloatArray,
    translations: FloatArray | None = None,
    turns: FloatArray | None = None,
) -> Frame:
    sites = sites[np.lexsort((sites[:, 2], sites[:, 1], sites[:, 0], np.round(np.linalg.norm(sites, axis=1), 6)))]
    tree = cKDTree(sites)
    pairs = tree.query_pairs(BOND_CUTOFF, output_type="ndarray")
    pairs = pairs[np.linalg.norm(sites[pairs[:, 0]] - sites[pairs[:, 1]], axis=1) > EXCLUSION]
    mine, theirs = np.concatenate([pairs, pairs[:, ::-1]]).T
    order = np.lexsort((theirs, mine))
    n_bonds = np.bincount(mine, minlength=len(sites))
    place = np.arange(len(order)) - np.repeat(np.cumsum(n_bonds) - n_bonds, n_bonds)
    neighbours = np.full((len(sites), n_bonds.max()), len(sites), dtype=np.int64)
    neighbours[mine[order], place] = theirs[order]
    maps, values = [], []
    for operation in operations:
        moved = sites @ operation.T
        distance, index = tree.query(moved)
        if distance.max() > 1e-6:
            raise AssertionError(f"frame {name} is not closed under its symmetry")
        maps.append(index)
        values.append(_generic(moved))
    shifts = np.zeros((1, 3)) if translations is None else translations
    turned = np.repeat(np.eye(3)[None], len(shifts), axis=0) if turns is None else turns
    return Frame(name, sites, neighbours, operations, np.array(maps, np.int64), np.array(values), shifts, turned)


def _generic(points: FloatArray) -> FloatArray:
    """A function without symmetry; its low orders dominate, so that single atoms seldom change the canonical pose."""
    x, y, z = points.T
    return np.asarray(
        1.0 * x
        + 0.31 * y
        + 0.13 * z
        + 0.6 * x**2
        + 0.37 * y**2
        + 0.23 * x**2 * y
        - 0.11 * z**2 * x
        + 0.05 * x * y * z
        + 0.017 * y**3 * z
        - 0.029 * x * z**3
    )


def _grid(basis: FloatArray, radius: float, offsets: FloatArray | None = None) -> FloatArray:
    """Lattice points (n, 3) of a basis (rows), each with the offsets added, inside a sphere."""
    reach = int(np.ceil(radius / np.linalg.svd(basis)[1].min())) + 1
    axis = np.arange(-reach, reach + 1)
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3) @ basis
    if offsets is not None:
        points = (points[:, None] + offsets).reshape(-1, 3)
    return np.asarray(points[np.linalg.norm(points, axis=1) < radius + 1e-6])


def _cubic_group() -> FloatArray:
    matrices = []
    for order in permutations(range(3)):
        for signs in product((1.0, -1.0), repeat=3):
            matrix = np.zeros((3, 3))
            matrix[range(3), order] = signs
            matrices.append(matrix)
    return np.stack(matrices)


def _axial_group(fold: int) -> FloatArray:
    """The group D_nh about z with a mirror through x: 4 n operations."""
    matrices = []
    for k, mirror, flip in product(range(fold), (1.0, -1.0), (1.0, -1.0)):
        c, s = np.cos(2 * np.pi * k / fold), np.sin(2 * np.pi * k / fold)
        matrices.append(np.array([[c, -s * mirror, 0], [s, c * mirror, 0], [0, 0, flip]]))
    return np.stack(matrices)


def icosahedron_vertices() -> FloatArray:
    """The 12 vertices (12, 3) of an icosahedron of unit circumradius."""
    golden = (1 + np.sqrt(5)) / 2
    corners = [(0, s, t * golden) for s in (1, -1) for t in (1, -1)]
    points = np.array([np.roll(corner, shift) for shift in range(3) for corner in corners])
    return np.asarray(points / np.linalg.norm(points[0]))


def icosahedron_faces() -> IntArray:
    """Vertex indices (20, 3) of the faces."""
    vertices = icosahedron_vertices()
    near = np.linalg.norm(vertices[:, None] - vertices[None], axis=-1) < 1.1
    triples = [
        (i, j, k) for i in range(12) for j in range(i) for k in range(j) if near[i, j] and near[j, k] and near[i, k]
    ]
    return np.array(triples, dtype=np.int64)


def _icosahedral_group() -> FloatArray:
    vertices = icosahedron_vertices()
    i, j = np.nonzero(abs(np.linalg.norm(vertices[:, None] - vertices[None], axis=-1) - 1.0515) < 0.01)
    triads = _triads(vertices[i], vertices[j])
    turns = triads @ triads[0].T
    return np.concatenate([turns, -turns])


def mackay_shell(shell: int) -> FloatArray:
    """Sites (10 n² + 2, 3) of the n-th Mackay shell; radial bonds have length 1."""
    if shell == 0:
        return np.zeros((1, 3))
    vertices = icosahedron_vertices()
    points = [
        (i * vertices[a] + j * vertices[b] + (shell - i - j) * vertices[c])
        for a, b, c in icosahedron_faces()
        for i in range(shell + 1)
        for j in range(shell + 1 - i)
    ]
    return _unique(np.array(points))


def anti_mackay_cover(shell: int) -> FloatArray:
    """Sites (n, 3) of the hcp-stacked cover of the n-th Mackay shell: shell n-1 mirrored in each face."""
    vertices = icosahedron_vertices()
    inner = mackay_shell(shell - 1)
    points = []
    for face in icosahedron_faces():
        normal = vertices[face].sum(axis=0)
        normal /= np.linalg.norm(normal)
        height = vertices[face[0]] @ normal
        layer = inner[inner @ normal > (shell - 1) * height - 1e-6]
        points.append(layer + 2 * height * normal)
    return _unique(np.concatenate(points))


def _unique(points: FloatArray) -> FloatArray:
    keep = np.unique(np.round(points, 6), axis=0, return_index=True)[1]
    return points[np.sort(keep)]


def _fcc() -> Frame:
    basis = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / np.sqrt(2)
    return _build("fcc", _grid(basis, 4.85), _cubic_group(), _grid(basis, 2.1))


def _bcc() -> Frame:
    basis = np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]) / np.sqrt(3)
    return _build("bcc", _grid(basis, 5.0), _cubic_group(), _grid(basis, 2.1))


def _sc() -> Frame:
    return _build("sc", _grid(np.eye(3), 5.2), _cubic_group(), _grid(np.eye(3), 2.1))


def _hcp() -> Frame:
    """Hexagonal close packing about an atom: a ball, and two rods along the axis for needles of up to 256 atoms."""
    height = np.sqrt(2 / 3)
    basis = np.array([[0.0, 1.0, 0.0], [np.sqrt(3) / 2, 0.5, 0.0], [0.0, 0.0, 2 * height]])
    even = _grid(basis, 13.0)
    odd = even + (basis[0] + basis[1]) / 3 + np.array([0.0, 0.0, height])
    points = np.concatenate([even, odd])
    across, along = np.linalg.norm(points[:, :2], axis=1), abs(points[:, 2])
    inside = np.linalg.norm(points, axis=1) < 4.75
    for radius, length in HCP_RODS:
        inside |= (across < radius) & (along < length)
    near = [group[np.linalg.norm(group, axis=1) < 1.7] for group in (even, odd)]
    # Seen from an atom of the odd layers, the packing is turned by half a turn.
    turns = [np.repeat(np.diag([s, s, 1.0])[None], len(group), axis=0) for s, group in zip((1, -1), near, strict=True)]
    return _build("hcp", points[inside], _axial_group(3), np.concatenate(near), np.concatenate(turns))


def stack_basis() -> FloatArray:
    """Basis (3, 3) of the lattice that holds the A, B and C sites of every close-packed layer, layers along z."""
    step = 1 / np.sqrt(3)
    return np.array([[step, 0, 0], [step / 2, step * np.sqrt(3) / 2, 0], [0, 0, np.sqrt(2 / 3)]])


def _stack() -> Frame:
    return _build("stack", _grid(stack_basis(), 4.7), _axial_group(6), _grid(stack_basis(), 1.3))


def decahedral_wedges(rings: int) -> tuple[FloatArray, IntArray]:
    """Columns of the five-fold frame: (n, 2) positions across the axis and (n, 3) labels (wedge, a, b).

    A column of wedge w lies at a v_w + b v_{w+1}; columns of odd a + b are shifted by half a bond along the axis.
    """
    angle = 2 * np.pi * np.arange(6) / 5
    arms = np.sqrt(3) / 2 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    points, labels = [np.zeros(2)], [(0, 0, 0)]
    for wedge, ring in product(range(5), range(1, rings + 1)):
        for b in range(ring):
            points.append((ring - b) * arms[wedge] + b * arms[wedge + 1])
            labels.append((wedge, ring - b, b))
    return np.array(points), np.array(labels, dtype=np.int64)


def _decahedron() -> Frame:
    radius = 5.1
    columns, labels = decahedral_wedges(7)
    sites = [
        (x, y, k + 0.5 * (ring % 2))
        for (x, y), ring in zip(columns, labels[:, 1:].sum(axis=1), strict=True)
        for k in range(-8, 8)
    ]
    points = np.array(sites)
    # The mirror plane z = 0 must stay one: half-integer columns are symmetric about it too.
    rod = (np.linalg.norm(points[:, :2], axis=1) < DECAHEDRAL_ROD[0]) & (abs(points[:, 2]) < DECAHEDRAL_ROD[1])
    points = points[rod | (np.linalg.norm(points, axis=1) < radius)]
    shifts = np.array([[0.0, 0.0, k] for k in range(-2, 3)])
    return _build("decahedron", points, _axial_group(5), shifts)


def _icosahedron() -> Frame:
    shells = [mackay_shell(n) for n in range(6)]
    covers = [anti_mackay_cover(n) for n in (1, 2, 3)]
    return _build("icosahedron", _unique(np.concatenate([*shells, *covers])), _icosahedral_group())


_BUILDERS = {
    "fcc": _fcc, "bcc": _bcc, "sc": _sc, "hcp": _hcp, "stack": _stack, "decahedron": _decahedron,
    "icosahedron": _icosahedron,
}  # fmt: skip


@cache
def frame(name: str) -> Frame:
    """The frame of that name, built once.

    >>> frame("fcc").name
    'fcc'
    """
    return _BUILDERS[name]()
