"""Moves of many atoms at once: what single atoms cannot reach because everything in between fits worse.

Hollows close all over the surface, whole facets come and go, so do sets of sites that the symmetry of the frame makes
equal, and in stacks whole layers take another letter or turn over.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cbldm.geometry.frames import frame, stack_basis
from cbldm.geometry.site_classes import site_classes
from cbldm.search.polyhedra import polyhedra

Sites = NDArray[np.int64]

#: Share of the atoms that must stay in the frame when layers are shifted.
MOST_LOST = 0.05
#: Heights that differ by less are one layer.
SAME_HEIGHT = 0.02


def collective_moves(name: str, sites: Sites) -> list[Sites]:
    """What one collective move can make of a structure: facets, orbits, layers.

    Args:
        name: Name of the frame.
        sites: (n_atoms,) occupied sites.

    Returns:
        Occupied sites, increasing, of distinct structures other than the given one, without clashes.
    """
    made = [
        *polyhedra(name).regular(sites),
        *polyhedra(name).prisms(sites),
        *_closed(name, sites),
        *_facets(name, sites),
        *_orbits(name, sites),
        *_shifted_layers(name, sites),
    ]
    classes = site_classes(name)
    distinct = {option.tobytes(): option for option in made}
    distinct.pop(np.sort(sites).tobytes(), None)
    return [option for option in distinct.values() if len(option) >= 5 and not classes.in_clash(option).any()]


def least_bonds(name: str) -> int:
    """Bonds that a site must have for an atom to come to it: 3, but fewer at the corners of hcp, bcc and sc."""
    return {"hcp": 2, "bcc": 1, "sc": 1}.get(name, 3)


def _closed(name: str, sites: Sites) -> list[Sites]:
    """All hollows of at least so many bonds filled, atoms of less than so many dropped."""
    classes = site_classes(name)
    inside = classes.occupied(sites)
    bonds = classes.n_bonds(inside)
    made = [np.flatnonzero(inside | classes.hollows(inside, least)) for least in range(5, 12)]
    return made + [np.flatnonzero(inside & (bonds >= least)) for least in range(4, 7)]


def _facets(name: str, sites: Sites) -> list[Sites]:
    """The outermost layer along each plane taken away, and the next layer put on."""
    classes, heights = site_classes(name), polyhedra(name).heights
    inside = classes.occupied(sites)
    free = classes.hollows(inside, least_bonds(name))
    made = []
    for height in heights.T:
        top = height[sites].max()
        made.append(np.flatnonzero(inside & ~(height > top - SAME_HEIGHT)))
        above = free & (height > top + SAME_HEIGHT)
        if above.any():
            layer = np.flatnonzero(above & (height < height[above].min() + SAME_HEIGHT))
            made += [np.union1d(sites, part) for part in _without_clashes(name, layer)]
    return made


def _without_clashes(name: str, layer: Sites) -> list[Sites]:
    """A layer in its possible stackings: each grown from one site over all that do not clash with it."""
    clashes = site_classes(name).clashes[np.ix_(layer, layer)]
    if not clashes.any():
        return [layer]
    parts = []
    for seed in (0, int(np.flatnonzero(clashes[0])[0]) if clashes[0].any() else 0):
        kept: list[int] = [seed]
        for site in range(len(layer)):
            if site not in kept and not clashes[site, kept].any():
                kept.append(site)
        parts.append(layer[sorted(kept)])
    return parts


def _orbits(name: str, sites: Sites) -> list[Sites]:
    """Each orbit of the frame's symmetry that touches the surface, filled and emptied as a whole."""
    classes = site_classes(name)
    inside = classes.occupied(sites)
    bonds = classes.n_bonds(inside)
    surface = (inside & (bonds < 10)) | (~inside & (bonds >= least_bonds(name)))
    made = []
    for orbit in _orbit_table(name):
        if surface[orbit].any():
            if not inside[orbit].all():
                made.append(np.union1d(sites, orbit))
            if inside[orbit].any():
                made.append(np.setdiff1d(sites, orbit))
    return made


def _shifted_layers(name: str, sites: Sites) -> list[Sites]:
    """A stack with one layer, or all above it, carried to other letters or turned over."""
    moved = layer_shifts(name)[:, sites].astype(np.int64)
    return [np.unique(row[row >= 0]) for row in moved if (row < 0).mean() < MOST_LOST]


@cache
def _orbit_table(name: str) -> list[Sites]:
    """Sites that the symmetry operations of the frame map onto each other."""
    first = frame(name).site_maps.min(axis=0)
    return [np.flatnonzero(first == k) for k in np.unique(first)]


@cache
def layer_shifts(name: str) -> NDArray[np.int16]:
    """Where each site goes (n_shifts, n_sites), -1 for nowhere, when layers of a stack are shifted or turned.

    Single atoms cannot change a stacking. A shift carries one layer, or all above one, to the sites of another letter,
    or turns all above one about the axis, which makes or undoes a twin. Frames other than the stack have none.
    """
    home = frame(name)
    if name != "stack":
        return np.empty((0, home.n_sites), dtype=np.int16)
    basis = stack_basis()
    steps = [sign * arm for arm in (basis[0], basis[1], basis[1] - basis[0]) for sign in (1, -1)]
    turn = np.diag([-1.0, -1.0, 1.0])
    heights = np.unique(np.round(home.sites[:, 2], 6))
    tree = cKDTree(home.sites)

    def carried(matrix: NDArray[np.float64], step: NDArray[np.float64]) -> NDArray[np.int64]:
        """(n_sites,) where every site goes."""
        distance, index = tree.query(home.sites @ matrix + step)
        return np.where(distance < 1e-3, index, -1)

    stay = np.arange(home.n_sites)
    moves = [carried(np.eye(3), step) for step in steps]
    turns = [carried(turn, step) for step in (np.zeros(3), *steps)]
    shifts = []
    for height in heights:
        single, above = abs(home.sites[:, 2] - height) < 0.1, home.sites[:, 2] > height - 0.1
        motions = [(single, goal) for goal in moves] + [(above, goal) for goal in [*moves, *turns]]
        shifts += [np.where(part, goal, stay) for part, goal in motions]
    return np.array(shifts, dtype=np.int16)
