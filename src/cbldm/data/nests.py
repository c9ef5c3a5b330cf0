"""Templates up to 3000 atoms, made as nests: clusters that grow out of each other, shell by shell.

Each nest is one way of growing: a lattice (or stack, or multiply twinned particle), a centre in it, and the form of the
growing body. Its clusters are the states at which a whole facet is complete, so all of them together cost little more
than the largest: each pair of atoms is counted once, for the cluster in which it first occurs, and of atoms that the
symmetry makes equal only one is asked. Everything is in units of the nearest-neighbour distance.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from cbldm.types import Cluster, FloatArray

IntArray = NDArray[np.int64]

#: Atom counts of the templates. Smaller ones are left to the textbook.
FEWEST, MOST = 20, 3000
#: Clusters of one nest differ in their atom counts by at least these shares, below and above `FINE_TO` atoms.
FINE, COARSE, FINE_TO = 0.10, 0.15, 1000
#: Fewest bonds of an atom: what has fewer is an adatom, not a facet.
LEAST_BONDS = {"sc": 2}
USUAL_BONDS = 3
#: Bonds of an inner atom where they are not 12.
BULK_BONDS = {"sc": 6, "bcc": 8}
#: Longest bond: bcc has its second neighbours at 1.155, an icosahedron its own ones at 1.0515.
BOND = 1.1
#: Radius of the balls that are cut, a bond more than that of the largest octahedron.
REACH = 11.7
#: Heights that differ by less are equal.
SAME = 1e-6


@dataclass(frozen=True)
class Nest:
    """Clusters of which each holds the one before.

    Attributes:
        sites: (n_sites, 3) in the order in which they join.
        ends: (n_clusters,) atom count of each cluster: the first so many sites.
        orbits: (n_sites,) for one site of each set that the symmetry makes equal the size of that set, else 0.
        motif: One of `cbldm.types.MOTIFS`.
        family: What grows.
        parameters: Centre and form.
    """

    sites: FloatArray
    ends: IntArray
    orbits: IntArray
    motif: str
    family: str
    parameters: Mapping[str, Any]

    def clusters(self) -> list[Cluster]:
        """The clusters, as views of the sites: not centred where the nest has no centre of symmetry."""
        return [Cluster(self.sites[:end], self.motif, self.family, self.parameters) for end in self.ends]


@dataclass(frozen=True)
class Crystal:
    """Where nests are cut from.

    Attributes:
        sites: (n_sites, 3) around the centre of growth.
        orbit: (n_sites,) number of the set of equal sites that each belongs to.
        orbits: (n_sites,) as in `Nest`.
        neighbours: (n_asked, 12) bonded sites of the sites with an orbit, padded with n_sites.
        motif: Of everything that is cut from it.
        centre: Its name.
    """

    sites: FloatArray
    orbit: IntArray
    orbits: IntArray
    neighbours: IntArray
    motif: str
    centre: str

    @classmethod
    def of(cls, sites: FloatArray, symmetry: Sequence[FloatArray], motif: str, centre: str) -> Crystal:
        """Find orbits and bonds; of the (3, 3) symmetries those count that map the sites onto themselves."""
        tree = cKDTree(sites)
        inner = sites[np.argsort(np.linalg.norm(sites, axis=1))[:60]]
        edges = []
        for turn in symmetry:
            if np.all(tree.query(inner @ turn.T, distance_upper_bound=1e-3)[0] < 1e-3):
                there, image = tree.query(sites @ turn.T, distance_upper_bound=1e-3)
                if np.all(there < 1e-3):
                    edges.append(image)
        first = np.tile(np.arange(len(sites)), len(edges))
        second = np.concatenate(edges) if edges else first
        graph = coo_array((np.ones(len(first)), (first, second)), shape=(len(sites), len(sites)))
        _, orbit = connected_components(graph, directed=False)
        _, asked, counts = np.unique(orbit, return_index=True, return_counts=True)
        orbits = np.zeros(len(sites), dtype=np.int64)
        orbits[asked] = counts
        _, near = tree.query(sites[orbits > 0], k=13, distance_upper_bound=BOND)
        return cls(sites, orbit, orbits, near[:, 1:].astype(np.int64), motif, centre)

    def grow(
        self, heights: FloatArray, family: str, form: str, *, step: float | None = None, most: int = MOST
    ) -> Iterator[Nest]:
        """The nest of all sites below a rising height, or nothing where it has no clusters.

        Args:
            heights: (n_sites,) when each site joins; equal for equal sites, inf for sites that never do.
            family: Name of what grows.
            form: Name of the form.
            step: Share by which atom counts differ at least, 0 where every state counts; None for the usual ones.
            most: Largest atom count.
        """
        # Equal sites join together, whatever rounding does to their heights.
        heights = np.round(heights[self.orbits > 0][np.argsort(self.orbit[self.orbits > 0])][self.orbit] / SAME) * SAME
        order = np.lexsort((np.arange(len(heights)), heights))
        levels, starts = np.unique(heights[order], return_index=True)
        ends = np.append(starts[1:], len(order))
        radius = np.maximum.accumulate(np.linalg.norm(self.sites[order], axis=1))[ends - 1]
        # A body that touches the edge of the ball may be cut by it.
        sound = (ends >= FEWEST) & (ends <= most) & np.isfinite(levels) & (radius < REACH - 1.0)
        if not np.any(sound):
            return
        ends = ends[sound]
        place = np.empty(len(order) + 1, dtype=np.int64)
        place[order], place[-1] = np.arange(len(order)), len(order)
        asked = self.orbits > 0
        mine, theirs = place[:-1][asked], np.sort(place[self.neighbours], axis=1)
        least = LEAST_BONDS.get(self.motif, USUAL_BONDS)
        # An atom is held from the moment when so many of its neighbours are there.
        held = np.zeros(len(order), dtype=np.int64)
        held[mine] = theirs[:, least - 1]
        whole = np.maximum.accumulate(held)[ends - 1] < ends
        formed = np.maximum(mine[:, None], theirs).ravel()
        weights = np.repeat(self.orbits[asked], theirs.shape[1])
        total = np.cumsum(np.bincount(formed, weights, len(order) + 1))[ends - 1]
        # The fewest bonds missing per surface: of states of almost the same size the one with the smoothest facets.
        missing = (BULK_BONDS.get(self.motif, 12) * ends - total) / ends ** (2 / 3)
        chosen = _spaced(ends[whole], missing[whole], step)
        if len(chosen):
            last = order[: chosen[-1]]
            parameters = {"centre": self.centre, "form": form}
            yield Nest(self.sites[last], chosen, self.orbits[last], self.motif, family, parameters)


def _spaced(ends: IntArray, costs: FloatArray, step: float | None) -> IntArray:
    """The cheapest of the counts in each window of almost the same size."""
    chosen: list[int] = []
    paid = 0.0
    for end, cost in zip(ends.tolist(), costs.tolist(), strict=True):
        least = step if step is not None else FINE if end <= FINE_TO else COARSE
        if chosen and end < chosen[-1] * (1 + least):
            if cost < paid:
                chosen[-1], paid = end, cost
        else:
            chosen.append(end)
            paid = cost
    return np.array(chosen, dtype=np.int64)
