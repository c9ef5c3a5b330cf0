"""All single moves from one set of occupied sites, and what each would do to the misfit and to the shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cbldm.geometry.site_classes import SiteClasses
from cbldm.search.habit import Habit
from cbldm.types import FloatArray

#: Atoms that an empty site may clash with to be looked at: in the middle of three it stays closed.
MOST_CLASHES = 2


class Neighbourhood:
    """All single moves from one set of occupied sites, and what each would make of the misfit.

    The vectors of `kernel` are what a pair at each distance adds to G(r), whose scale is free. With R_i the sum of the
    kernel over the pairs of site i with the atoms, adding i changes the total by R_i, taking j away by -R_j, and
    carrying j to i by R_i - R_j - K_ij.

    Args:
        classes: The frame's distances, bonds and clashes.
        kernel: Gives (n, n_r) for n classes of distances; zero for the first class, a site with itself.
        observed: (n_r,) the data.
        sites: (n_atoms,) occupied sites.
        least: Bonds that a site needs for an atom to come to it.
    """

    def __init__(
        self,
        classes: SiteClasses,
        kernel: Callable[[NDArray[np.int64]], FloatArray],
        observed: FloatArray,
        sites: NDArray[np.int64],
        least: int,
    ) -> None:
        self.least = least
        occupied = classes.occupied(sites)
        for bonds in (max(1, least - 1), least):  # what grows from the surface by one layer, and on top of that
            occupied |= classes.n_bonds(occupied) >= bonds
        inside = classes.occupied(sites)
        n_bonds, n_clashes = classes.n_bonds(inside), classes.n_clashes(inside)
        occupied &= n_clashes <= MOST_CLASHES
        self.active = np.flatnonzero(occupied)
        pairs = self._among(classes.index)
        found = np.zeros(len(classes.distances), dtype=bool)
        found[pairs] = True
        self.pairs = (np.cumsum(found) - 1).astype(np.int16).take(pairs)
        self.kernel, self.observed = kernel(np.flatnonzero(found)), observed
        # As numbers that can be multiplied.
        self.bonds = self._among(classes.bonds).astype(np.float32)
        self.clashes = self._among(classes.clashes).astype(np.float32) if classes.clashing.size else None
        self.inside = inside[self.active]
        self.n_bonds, self.n_clashes = n_bonds[self.active], n_clashes[self.active]
        self.power = float(observed @ observed)
        n, k = len(self.active), len(self.kernel)
        partners = np.bincount((self.pairs[:, self.inside] + k * np.arange(n)[:, None]).ravel(), minlength=n * k)
        partners = partners.reshape(n, -1).astype(np.float32)
        self.reach = partners @ self.kernel
        self.total = 0.5 * self.reach[self.inside].sum(axis=0)

    def _among(self, table: NDArray[Any]) -> NDArray[Any]:
        """(n_active, n_active) of a table (n_sites, n_sites)."""
        return table.take(self.active, axis=0).take(self.active, axis=1)

    def misfit(self, along: Any = None, norm: Any = None) -> Any:
        """Squared distance of the best scaled total from the data, or of totals with these products."""
        along = self.observed @ self.total if along is None else along
        norm = self.total @ self.total if norm is None else norm
        return np.maximum(self.power - np.maximum(along, 0) ** 2 / np.maximum(norm, 1e-9), 0)

    def singles(self) -> FloatArray:
        """(n_active,) misfit after toggling each active site."""
        sign = np.where(self.inside, -1, 1)
        along = self.observed @ self.total + sign * (self.reach @ self.observed)
        square = np.einsum("ij,ij->i", self.reach, self.reach)
        return np.asarray(self.misfit(along, self.total @ self.total + 2 * sign * (self.reach @ self.total) + square))

    def pairwise(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> FloatArray:
        """(len(a), len(b)) misfit after carrying atom b to the empty site a; infinite where that cannot be."""
        cross = np.ix_(a, b)
        totals = (self.total + self.reach[a])[:, None] - self.reach[b]
        totals -= self.kernel.take(self.pairs[cross], axis=0)
        misfits = np.asarray(self.misfit(totals @ self.observed, np.einsum("abr,abr->ab", totals, totals)))
        if self.clashes is not None:
            misfits[self.n_clashes[a][:, None] > self.clashes[cross]] = np.inf
        misfits[self.n_bonds[a][:, None] - self.bonds[cross] < self.least] = np.inf
        return misfits

    def tolls(self, habit: Habit) -> FloatArray:
        """(n_active,) what toggling each active site adds to the energy of the shape, whatever the atom count."""
        return habit.changes(self.n_bonds, self.n_clashes, self.inside, self.bonds, self.clashes, slice(None))

    def carry_tolls(self, habit: Habit, tolls: FloatArray, a: NDArray[np.int64], b: NDArray[np.int64]) -> FloatArray:
        """(len(a), len(b)) what carrying atom b to the empty site a adds: taking b away (n_active,), then adding a."""
        links = self.bonds[a] if self.clashes is None else self.bonds[a] + self.clashes[a]
        linked = np.asarray(links.any(axis=0))
        linked[a] = True
        near = np.flatnonzero(linked)
        after, across = np.ix_(b, near), np.ix_(near, a)
        inside = self.inside[near] & (near != b[:, None])
        added = habit.changes(
            self.n_bonds[near] - self.bonds[after].astype(np.int64),
            self.n_clashes[near] - (0 if self.clashes is None else self.clashes[after].astype(np.int64)),
            inside,
            self.bonds[across],
            None if self.clashes is None else self.clashes[across],
            np.searchsorted(near, a),
        )
        return np.asarray(tolls[b] + added.T)

    def toggle(self, site: int) -> None:
        """Fill an empty active site, or empty a filled one."""
        sign = -1 if self.inside[site] else 1
        self.total = self.total + sign * self.reach[site]
        self.reach += sign * self.kernel.take(self.pairs[site], axis=0)
        self.n_bonds += sign * self.bonds[site].astype(np.int64)
        if self.clashes is not None:
            self.n_clashes += sign * self.clashes[site].astype(np.int64)
        self.inside[site] = sign > 0
