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
    """

    distances: FloatArray
    index: NDArray[np.int16]
    bonds: NDArray[np.bool_]
    clashes: NDArray[np.bool_]

    @property
    def most_bonds(self) -> float:
        """Bonds of an atom inside a cluster."""
        return 12.0 if self.clashes.any() else float(self.bonds.sum(axis=1).max())

    def occupied(self, sites: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(n_sites,) True on the given sites (n,)."""
        inside = np.zeros(len(self.index), dtype=bool)
        inside[sites] = True
        return inside

    def hollows(self, inside: NDArray[np.bool_], least: int) -> NDArray[np.bool_]:
        """(n_sites,) True on empty sites that clash with no atom and have at least so many bonds to atoms."""
        return ~inside & (self.bonds[:, inside].sum(axis=1) >= least) & ~self.clashes[:, inside].any(axis=1)


@cache
def site_classes(name: str) -> SiteClasses:
    """Classes of a frame's distances, made once."""
    home = frame(name)
    distance = cdist(home.sites, home.sites)
    bins = np.round(distance / SAME_DISTANCE).astype(np.int64)
    index = np.unique(bins, return_inverse=True)[1]
    index = index.reshape(bins.shape)
    mean = np.bincount(index.ravel(), distance.ravel()) / np.bincount(index.ravel())
    mean[0] = 0.0
    bonds = np.zeros((home.n_sites, home.n_sites + 1), dtype=bool)
    np.put_along_axis(bonds, home.neighbours, True, axis=1)
    clashes = (distance < EXCLUSION) & ~np.eye(home.n_sites, dtype=bool)
    return SiteClasses(mean, index.astype(np.int16), bonds[:, :-1], clashes)
