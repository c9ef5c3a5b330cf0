"""Clusters too large for the frames, made for evaluation alone: the kinds of ``offlibrary`` on lattices without end.

Everything is in units of the nearest-neighbour distance, and all chance comes from the generator that is passed in.
The generators are endless: whoever takes clusters from them decides on sizes and labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import permutations, product

import numpy as np

from cbldm.data.clusters import decahedron
from cbldm.data.disorder import coordination
from cbldm.geometry.frames import anti_mackay_cover, mackay_shell, stack_basis
from cbldm.types import Cluster, FloatArray

#: Radius of the balls of lattice that are cut: half as much again as that of 1000 atoms.
REACH = 9.0
#: Fewest bonds that keep an atom on a surface.
LEAST_BONDS = 3
#: How far the centre of a cut lies from an atom, at most along each axis.
OFF_CENTRE = 0.7
#: Distances of planes from it, as parts of a radius: of a family, spread within one; and where a sphere cuts instead.
FAMILY, SPREAD, SPHERE = (0.75, 1.25), 0.12, (1.05, 1.4)
#: Chance that a family of planes does not cut at all.
ABSENT = 0.25
#: A decahedron is sliced out of one that has this many times its atoms.
PARENTS = (1.1, 2.0)
#: Chance that the incomplete shell of an icosahedron is stacked like hcp on the complete ones (anti-Mackay).
HCP_COVER = 0.3
#: Largest share of that shell that is there.
FULLEST = 0.9

#: Miller indices of the planes that cut a cubic lattice.
_PLANES = {"fcc": ((1, 0, 0), (1, 1, 0), (1, 1, 1)), "bcc": ((1, 0, 0), (1, 1, 0), (2, 1, 1))}
#: Rows of the primitive cells.
_CELLS = {
    "fcc": np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / np.sqrt(2),
    "bcc": np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]) / np.sqrt(3),
}


def large_cuts(motif: str, sizes: tuple[int, int], rng: np.random.Generator) -> Iterator[Cluster]:
    """Endless random clusters of a motif, about as large as asked for.

    Planes of random distances about a random point cut fcc, bcc, hcp, stacks with a twin plane or faults, and larger
    decahedra; an icosahedron has a patch of its next shell, or of one that is stacked like hcp.

    Args:
        motif: One of `cbldm.types.MOTIFS` but sc.
        sizes: Smallest and largest atom count aimed at, of 100 to 1000; what comes may be larger by a facet, or
            smaller by loose atoms.
        rng: Source of randomness.

    Yields:
        Clusters that are meant to have the motif; a cut can take away what makes it.

    Example:
        >>> cluster = next(large_cuts("twin", (300, 400), np.random.default_rng(0)))
        >>> cluster.motif, cluster.n_atoms
        ('twin', 386)
    """
    while True:
        wanted = int(rng.integers(sizes[0], sizes[1] + 1))
        if motif == "icosahedron":
            positions = _incomplete_icosahedron(wanted, rng)
        elif motif == "decahedron":
            positions = _cut(_parent_decahedron(wanted, rng), _decahedral_normals(), wanted, rng)
        elif motif in _CELLS:
            normals = [_equivalent(index) for index in _PLANES[motif]]
            positions = _cut(_ball(_CELLS[motif]), normals, wanted, rng)
        else:
            positions = _cut(_stack(_hexagonal(motif, rng)), _stack_normals(), wanted, rng)
        yield Cluster(positions - positions.mean(axis=0), motif, f"large {motif} cut")


def _cut(sites: FloatArray, families: Sequence[FloatArray], wanted: int, rng: np.random.Generator) -> FloatArray:
    """The sites inside planes of random distances, moved outwards together until about so many atoms are inside.

    Args:
        sites: (n_sites, 3).
        families: (n_planes, 3) unit normals of each family of planes, which share a distance but for a spread.
        wanted: Atom count at which a whole facet is completed.
        rng: Source of randomness.

    Returns:
        (n_atoms, 3), loose atoms left out.
    """
    centred = sites - rng.uniform(-OFF_CENTRE, OFF_CENTRE, 3)
    size = np.linalg.norm(centred, axis=1) / rng.uniform(*SPHERE)
    for normals in families:
        distances = rng.uniform(*FAMILY) * (1 + SPREAD * rng.normal(size=len(normals))).clip(0.5, 1.5)
        if rng.random() > ABSENT:
            size = np.maximum(size, np.max(centred @ normals.T / distances, axis=1))
    outermost = np.sort(size)[min(wanted, len(size)) - 1]
    return _without_loose_atoms(sites[size <= outermost + 1e-9])


def _without_loose_atoms(positions: FloatArray) -> FloatArray:
    while np.any(loose := coordination(positions) < LEAST_BONDS):
        positions = positions[~loose]
    return positions


def _ball(cell: FloatArray) -> FloatArray:
    """(n_sites, 3) lattice points of a cell (rows) within `REACH`."""
    steps = np.arange(-20, 21)
    points = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3) @ cell
    return np.asarray(points[np.linalg.norm(points, axis=1) <= REACH])


def _hexagonal(motif: str, rng: np.random.Generator) -> list[bool]:
    """Which layers of a stack are hexagonal, its middle layer in the middle: all, one, two neighbours or some."""
    layers = np.arange(2 * int(REACH / stack_basis()[2, 2]) + 1)
    middle = len(layers) // 2 + int(rng.integers(-2, 3))
    if motif == "hcp":
        chosen = np.ones(len(layers), dtype=bool)
    elif motif == "twin":
        chosen = layers == middle
    elif rng.random() < 0.5:
        chosen = (layers == middle) | (layers == middle + 1)
    else:
        chosen = rng.random(len(layers)) < rng.uniform(0.15, 0.6)
    return [bool(hexagonal) for hexagonal in chosen]


def _stack(hexagonal: Sequence[bool]) -> FloatArray:
    """(n_sites, 3) close-packed layers normal to z within `REACH`, hexagonal where their neighbours lie alike."""
    basis = stack_basis()
    rows = np.array([basis[0] + basis[1], 2 * basis[1] - basis[0]])
    steps = np.arange(-20, 21)
    layer = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2) @ rows
    letter, turn, layers = 0, 1, []
    for number, turned in enumerate(hexagonal):
        layers.append(layer + letter * basis[0] + (number - len(hexagonal) // 2) * basis[2])
        turn = -turn if turned else turn
        letter = (letter + turn) % 3
    points = np.concatenate(layers)
    return np.asarray(points[np.linalg.norm(points, axis=1) <= REACH])


def _equivalent(index: tuple[int, int, int]) -> FloatArray:
    """(n, 3) unit vectors of all cubic equivalents of a Miller index."""
    signed = {tuple(np.multiply(signs, order)) for order in permutations(index) for signs in product((1, -1), repeat=3)}
    return np.array(sorted(signed)) / np.linalg.norm(index)


def _stack_normals() -> list[FloatArray]:
    """Base, two prisms, and the {111} and {100} facets that fcc has on either side of a twin plane, each way up."""
    angles = np.arange(12) * np.pi / 6
    around = np.stack([np.cos(angles), np.sin(angles), np.zeros(12)], axis=1)
    up = np.array([0.0, 0.0, 1.0])
    families = [np.stack([up, -up]), around[::2], around[1::2]]
    for tilt, sign, first in product((np.arccos(1 / 3), np.arccos(1 / np.sqrt(3))), (1, -1), (1, 3)):
        families.append(np.sin(tilt) * around[first::4] + sign * np.cos(tilt) * up)
    return families


def _parent_decahedron(wanted: int, rng: np.random.Generator) -> FloatArray:
    """(n_sites, 3) a decahedron, with Marks notches or without, that is larger than wanted."""
    least, most = (factor * wanted for factor in PARENTS)
    parents = [sites for sites in _decahedra() if least <= len(sites) <= most]
    return parents[rng.integers(len(parents))]


@cache
def _decahedra() -> list[FloatArray]:
    """The (n_sites, 3) sites of decahedra of all shapes."""
    return [decahedron(p, q, r).positions for p, q, r in product(range(1, 8), range(1, 8), range(4)) if p + r > 2]


def _decahedral_normals() -> list[FloatArray]:
    """The five {100} sides, the planes across the twin planes, the ends, and the {111} caps at either end."""
    angles = 2 * np.pi / 5 * (np.arange(5) + 0.5)
    sides = np.stack([np.cos(angles), np.sin(angles), np.zeros(5)], axis=1)
    up = np.array([0.0, 0.0, 1.0])
    # A cap falls by half a bond from ring to ring, which are cos(36°) sqrt(3)/2 apart.
    slope = 0.5 / (np.cos(np.pi / 5) * np.sqrt(3) / 2)
    caps = [(slope * sides + sign * up) / np.hypot(slope, 1.0) for sign in (1, -1)]
    return [sides, -sides, np.stack([up, -up]), *caps]


def _incomplete_icosahedron(wanted: int, rng: np.random.Generator) -> FloatArray:
    """(n_atoms, 3) complete Mackay shells and a patch of the next one, on one side and with a rough edge."""
    shell, core, outer = 1, mackay_shell(0), mackay_shell(1)
    while len(core) + len(outer) < wanted:
        shell, core, outer = shell + 1, np.concatenate([core, outer]), mackay_shell(shell + 1)
    if rng.random() < HCP_COVER:
        outer = anti_mackay_cover(shell - 1)
    direction = rng.normal(size=3)
    score = outer @ direction / np.linalg.norm(direction) + rng.uniform(0.0, 1.0) * rng.normal(size=len(outer))
    n_outer = min(wanted - len(core), int(FULLEST * len(outer)))
    patch = outer[np.argsort(-score)[:n_outer]]
    return _without_loose_atoms(np.concatenate([core, patch]))
