"""Distances between the sites of a frame, grouped, so that a pair histogram is a count of classes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from cbldm.geometry.frames import EXCLUSION, frame
from cbldm.types import FloatArray

#: Distances of a frame that differ by less than this count as one, in nearest-neighbour distances.
SAME_DISTANCE = 0.002


@dataclass(frozen=True)
class SiteClasses:
    """Distances between the sites of a frame, grouped.

    Attributes:
        distances: (n_classes,) in nearest-neighbour distances; the first is the zero of a site with itself.
        index: (n_sites, n_sites) class of each pair.
        bonds: (n_sites, n_sites) bool.
        clashes: (n_sites, n_sites) bool.
        bonded: (n_sites, most) the same bonds as indices, padded with n_sites.
        clashing: (n_sites, most) the same clashes as indices, padded with n_sites; (n_sites, 0) where nothing clashes.
    """

    distances: FloatArray
    index: NDArray[np.int16]
    bonds: NDArray[np.bool_]
    clashes: NDArray[np.bool_]
    bonded: NDArray[np.int64]
    clashing: NDArray[np.int64]

    @property
    def most_bonds(self) -> float:
        """Bonds of an atom inside a cluster."""
        return 12.0 if self.clashing.size else float(self.bonds.sum(axis=1).max())

    def occupied(self, sites: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(n_sites,) True on the given sites (n,)."""
        inside = np.zeros(len(self.index), dtype=bool)
        inside[sites] = True
        return inside

    def n_bonds(self, inside: NDArray[np.bool_]) -> NDArray[np.int64]:
        """(n_sites,) bonds of each site to the occupied ones (n_sites,)."""
        return _touching(self.bonded, inside)

    def n_clashes(self, inside: NDArray[np.bool_]) -> NDArray[np.int64]:
        """(n_sites,) clashes of each site with the occupied ones (n_sites,)."""
        return _touching(self.clashing, inside)

    def in_clash(self, sites: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(n,) True where a site (n,) clashes with another one of these."""
        return self.n_clashes(self.occupied(sites))[sites] > 0

    def hollows(self, inside: NDArray[np.bool_], least: int) -> NDArray[np.bool_]:
        """(n_sites,) True on empty sites that clash with no atom and have at least so many bonds to atoms."""
        return ~inside & (self.n_bonds(inside) >= least) & (self.n_clashes(inside) == 0)


@cache
def site_classes(name: str) -> SiteClasses:
    """Classes of a frame's distances, made once."""
    home = frame(name)
    distance = cdist(home.sites, home.sites)
    bins = np.round(distance / SAME_DISTANCE).astype(np.int64)
    size = np.bincount(bins.ravel())
    sums = np.bincount(bins.ravel(), distance.ravel())
    index = (np.cumsum(size > 0) - 1)[bins]
    mean = sums[size > 0] / size[size > 0]
    mean[0] = 0.0
    clashes = (distance < EXCLUSION) & ~np.eye(home.n_sites, dtype=bool)
    bonds = np.zeros((home.n_sites, home.n_sites + 1), dtype=bool)
    np.put_along_axis(bonds, home.neighbours, True, axis=1)
    return SiteClasses(mean, index.astype(np.int16), bonds[:, :-1], clashes, home.neighbours, _indices(clashes))


def _indices(table: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(n, most) where each row (n, n) is true, padded with n."""
    rows, columns = table.nonzero()
    many = table.sum(axis=1)
    found = np.full((len(table), many.max()), len(table))
    found[rows, np.arange(len(rows)) - np.repeat(np.cumsum(many) - many, many)] = columns
    return found


def _touching(indices: NDArray[np.int64], inside: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(n,) number of true ones among the indices (n, most) of each site."""
    return np.asarray(np.append(inside, False)[indices].sum(axis=1))
