"""The seven textbook families of metal clusters, in units of the nearest-neighbour distance.

The families are those of CbLDM (arXiv 2509.01370), DeepStruc and MetalFinder: simple, body-centred and face-centred
cubic clusters cut by {100}, {110} and {111}, hexagonal parallelepipeds, Mackay icosahedra, (Marks) decahedra and
(truncated) octahedra. Parameters mean what they mean in ``ase.cluster``; nothing here needs ASE.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import chain, combinations
from typing import Literal, get_args

import numpy as np
from scipy.spatial import cKDTree

from cbldm.errors import InputError
from cbldm.geometry.fingerprint import fingerprint
from cbldm.types import Cluster, FloatArray

Lattice = Literal["sc", "bcc", "fcc"]

#: Fewest atoms that the published data sets call a cluster.
MIN_ATOMS = 5
#: Largest edge of a hexagonal parallelepiped in the published data sets, whose edges also never decrease.
MAX_HCP_SIZE = 15
#: Largest p and q of a decahedron in the published data sets.
MAX_DECAHEDRON_EDGE = 12


def textbook_clusters(max_atoms: int = 256) -> list[Cluster]:
    """Every distinct textbook shape of 5 to `max_atoms` atoms, smallest first.

    Cubic clusters and octahedra are complete: each set of planes that gives a new shape is there. Hexagonal and
    decahedral families never end (rods of any length), so they stop where the published data sets stop. Shapes equal
    up to similarity are kept once, under the name of the family that is listed first here: octahedron, icosahedron,
    decahedron, fcc, hcp, sc, bcc.

    Example:
        >>> clusters = textbook_clusters(20)
        >>> [(c.n_atoms, c.parameters) for c in clusters if c.family == "octahedron"]
        [(6, {'length': 2, 'cutoff': 0}), (13, {'length': 3, 'cutoff': 1}), (19, {'length': 3, 'cutoff': 0})]
    """
    return list(_enumerate(max_atoms))


@lru_cache(maxsize=4)
def _enumerate(max_atoms: int) -> tuple[Cluster, ...]:
    distinct: dict[str, Cluster] = {}
    for cluster in _all_shapes(max_atoms):
        distinct.setdefault(fingerprint(cluster.positions), cluster)
    return tuple(sorted(distinct.values(), key=lambda cluster: cluster.n_atoms))


def _all_shapes(max_atoms: int) -> Iterator[Cluster]:
    """Every parameter set of every family that gives 5 to `max_atoms` atoms."""
    shapes = chain(
        _octahedra(max_atoms),
        _icosahedra(max_atoms),
        _decahedra(max_atoms),
        _all_cubic("fcc", max_atoms),
        _hexagonals(max_atoms),
        _all_cubic("sc", max_atoms),
        _all_cubic("bcc", max_atoms),
    )
    return (cluster for cluster in shapes if MIN_ATOMS <= cluster.n_atoms <= max_atoms)


def cubic(lattice: Lattice, h: int, k: int, l: int) -> Cluster:  # noqa: E741
    """A cubic cluster around a lattice site, cut after h {100}, k {110} and l {111} layers.

    Reproduces ``ase.cluster.SimpleCubic``, ``BodyCenteredCubic`` and ``FaceCenteredCubic`` with the surfaces (1,0,0),
    (1,1,0), (1,1,1) and the layers (h, k, l).

    Raises:
        InputError: If the lattice is none of sc, bcc, fcc, or a number of layers is below 1.

    Example:
        >>> cubic("fcc", 2, 4, 2).n_atoms
        55
    """
    if lattice not in get_args(Lattice):
        raise InputError(f"lattice {lattice!r} is unknown; allowed are {', '.join(get_args(Lattice))}")
    _require_at_least(1, h=h, k=k, l=l)
    first, second, third = _plane_offsets(lattice, h, k, l)
    sites = _lattice_sites(lattice, min(first, second, third))
    inside = np.all(_plane_norms(sites) <= (first, second, third), axis=1)
    return _cluster(sites[inside].astype(float), lattice, lattice, {"h": h, "k": k, "l": l})


def hexagonal(size1: int, size2: int, size3: int) -> Cluster:
    """A parallelepiped of size1 x size2 x size3 two-atom cells of the ideal hexagonal close packing, c along size3.

    Reproduces ``ase.lattice.hexagonal.HexagonalClosedPacked`` with c/a = sqrt(8/3).

    Raises:
        InputError: If a size is below 1.

    Example:
        >>> hexagonal(4, 4, 4).n_atoms
        128
    """
    _require_at_least(1, size1=size1, size2=size2, size3=size3)
    axes = np.array([[1.0, 0.0, 0.0], [-0.5, np.sqrt(3) / 2, 0.0], [0.0, 0.0, np.sqrt(8 / 3)]])
    cells = np.stack(np.meshgrid(*map(np.arange, (size1, size2, size3)), indexing="ij"), axis=-1).reshape(-1, 3)
    sites = np.concatenate([cells, cells + np.array([1 / 3, 2 / 3, 1 / 2])])
    return _cluster(sites @ axes, "hcp", "hcp", {"size1": size1, "size2": size2, "size3": size3})


def octahedron(length: int, cutoff: int = 0) -> Cluster:
    """An fcc octahedron with `length` atoms along its edge, each vertex truncated by `cutoff` layers.

    Reproduces ``ase.cluster.Octahedron``. Cuboctahedra have length = 2 cutoff + 1, regular truncated octahedra
    length = 3 cutoff + 1.

    Raises:
        InputError: If length is below 1 or cutoff is outside 0 to (length - 1) / 2.

    Example:
        >>> [octahedron(n).n_atoms for n in (2, 3, 4, 5)]
        [6, 19, 44, 85]
    """
    _require_at_least(1, length=length)
    if not 0 <= cutoff <= (length - 1) / 2:
        raise InputError(f"octahedron cutoff is {cutoff}; allowed are 0 to {(length - 1) // 2} at length {length}")
    # Half lattice constants from the centre: a site where the length is odd, an octahedral hole where it is even.
    points = _integer_points(length - 1)
    layer = np.abs(points).sum(axis=1)
    inside = (layer % 2 == (length - 1) % 2) & (layer < length) & (np.abs(points).max(axis=1) < length - cutoff)
    return _cluster(points[inside].astype(float), "fcc", "octahedron", {"length": length, "cutoff": cutoff})


def icosahedron(shells: int) -> Cluster:
    """The Mackay icosahedron of the given number of shells, the central atom being the first.

    Reproduces ``ase.cluster.Icosahedron``: bonds along the radius are 1, bonds within a shell 1.0515.

    Raises:
        InputError: If shells is below 1.

    Example:
        >>> [icosahedron(n).n_atoms for n in (1, 2, 3, 4)]
        [1, 13, 55, 147]
    """
    _require_at_least(1, shells=shells)
    golden = (1 + np.sqrt(5)) / 2
    corners = [(1, golden, 0), (1, -golden, 0), (-1, golden, 0), (-1, -golden, 0)]
    vertices = np.array([np.roll(corner, axis) for axis in range(3) for corner in corners])
    adjacent = np.isclose(np.linalg.norm(vertices[:, None] - vertices[None], axis=-1), 2.0)
    faces = [f for f in combinations(range(12), 3) if all(adjacent[a, b] for a, b in combinations(f, 2))]
    sites = {(0.0, 0.0, 0.0): np.zeros(3)}
    for shell in range(1, shells):
        for face in faces:
            for i in range(shell + 1):
                for j in range(shell + 1 - i):
                    site = np.array([i, j, shell - i - j]) @ vertices[list(face)]
                    sites[tuple(np.round(site, 6) + 0.0)] = site
    return _cluster(np.array(list(sites.values())), "icosahedron", "icosahedron", {"shells": shells})


def decahedron(p: int, q: int, r: int) -> Cluster:
    """A decahedron: p atoms along the (100) facets across the axis, q along it, Marks re-entrance r.

    Reproduces ``ase.cluster.Decahedron``. Five twinned tetrahedra share the axis; the gap between them is closed by
    stretching the rings around the axis by 1.8 %. q = 1, r = 0 is the pentagonal bipyramid, r > 0 a Marks decahedron,
    p = 1, r = 0 the bare axis.

    Raises:
        InputError: If p or q is below 1 or r below 0.

    Example:
        >>> [decahedron(n, 1, 0).n_atoms for n in (2, 3, 4)]
        [7, 23, 54]
    """
    _require_at_least(1, p=p, q=q)
    _require_at_least(0, r=r)
    height = p + q + 2 * r - 1
    angles = 2 * np.pi / 5 * np.arange(6)
    spokes = np.sqrt(3) / 2 * np.stack([np.cos(angles), np.sin(angles), np.zeros(6)], axis=1)
    columns: list[tuple[FloatArray, int]] = [(np.zeros(3), height)]
    for ring in range(1, min(height, p + 2 * r)):
        for step in range(ring):
            if max(ring - step, step) < p + r:  # beyond this the re-entrant groove removes the column
                columns += [((ring - step) * spokes[m] + step * spokes[m + 1], height - ring) for m in range(5)]
    sites = [foot + np.array([0, 0, z - (n - 1) / 2]) for foot, n in columns for z in range(n)]
    return _cluster(np.array(sites), "decahedron", "decahedron", {"p": p, "q": q, "r": r})


def _all_cubic(lattice: Lattice, max_atoms: int) -> Iterator[Cluster]:
    """Each cubic shape once: only planes that all touch an atom are tried.

    Such planes fulfil first <= second <= 2 first and second <= third <= 3/2 second, and a shape whose outermost
    {100} plane lies at `first` contains the octahedron of that radius, which bounds the size of the search.
    """
    densest = 4 / 3 / {"sc": 1, "fcc": 2, "bcc": 4}[lattice]
    sites = _lattice_sites(lattice, int((max_atoms / densest) ** (1 / 3)) + 2)
    norms = _plane_norms(sites)
    for first in range(1, int(norms[:, 0].max()) + 1):
        for second in range(first, 2 * first + 1):
            for third in range(second, 3 * second // 2 + 1):
                planes = np.array([first, second, third])
                inside = np.all(norms <= planes, axis=1)
                if inside.sum() <= max_atoms and np.array_equal(norms[inside].max(axis=0), planes):
                    yield cubic(lattice, *map(int, planes // _plane_offsets(lattice, 1, 1, 1)))


def _hexagonals(max_atoms: int) -> Iterator[Cluster]:
    for size1 in range(1, MAX_HCP_SIZE + 1):
        for size2 in range(size1, MAX_HCP_SIZE + 1):
            for size3 in range(size2, MAX_HCP_SIZE + 1):
                if 2 * size1 * size2 * size3 <= max_atoms:
                    yield hexagonal(size1, size2, size3)


def _icosahedra(max_atoms: int) -> Iterator[Cluster]:
    shells = 1
    while (cluster := icosahedron(shells)).n_atoms <= max_atoms:
        yield cluster
        shells += 1


def _decahedra(max_atoms: int) -> Iterator[Cluster]:
    """All but p = 1, r = 0, which is a line of atoms."""
    for p in range(1, MAX_DECAHEDRON_EDGE + 1):
        for q in range(1, MAX_DECAHEDRON_EDGE + 1):
            r = 1 if p == 1 else 0
            while (cluster := decahedron(p, q, r)).n_atoms <= max_atoms:
                yield cluster
                r += 1


def _octahedra(max_atoms: int) -> Iterator[Cluster]:
    length = 1
    while (smallest := octahedron(length, (length - 1) // 2)).n_atoms <= max_atoms:
        yield smallest
        yield from (octahedron(length, cutoff) for cutoff in range((length - 1) // 2))
        length += 1


def _integer_points(half_width: int) -> FloatArray:
    """(n, 3) all integer points with coordinates from -half_width to half_width."""
    line = np.arange(-half_width, half_width + 1)
    return np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1).reshape(-1, 3).astype(float)


def _lattice_sites(lattice: Lattice, half_width: int) -> FloatArray:
    """(n, 3) sites around a site in integers: lattice constants for sc, half lattice constants for bcc and fcc."""
    points = _integer_points(half_width)
    if lattice == "fcc":
        return points[points.sum(axis=1) % 2 == 0]
    if lattice == "bcc":
        return points[np.all(points % 2 == points[:, :1] % 2, axis=1)]
    return points


def _plane_norms(sites: FloatArray) -> FloatArray:
    """(n, 3) the {100}, {110} and {111} plane through each site: largest |x|, |x| + |y|, |x| + |y| + |z|."""
    return np.cumsum(np.sort(np.abs(sites), axis=1)[:, ::-1], axis=1)


def _plane_offsets(lattice: Lattice, h: int, k: int, l: int) -> tuple[int, int, int]:  # noqa: E741
    """The outermost {100}, {110}, {111} planes in the integers of `_plane_norms` after h, k, l layers."""
    spacing = {"sc": (1, 1, 1), "bcc": (1, 2, 1), "fcc": (1, 1, 2)}[lattice]
    return h * spacing[0], k * spacing[1], l * spacing[2]


def _cluster(sites: FloatArray, motif: str, family: str, parameters: Mapping[str, int]) -> Cluster:
    """The cluster centred on the origin, with its shortest distance scaled to 1."""
    centred = sites - sites.mean(axis=0)
    if len(sites) > 1:
        distances, _ = cKDTree(centred).query(centred, k=2)
        centred = centred / distances[:, 1].min()
    return Cluster(centred, motif, family, parameters)


def _require_at_least(lowest: int, **values: int) -> None:
    for name, value in values.items():
        if value < lowest:
            raise InputError(f"{name} is {value}; allowed are whole numbers from {lowest}")
