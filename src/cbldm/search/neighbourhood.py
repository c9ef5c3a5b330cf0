"""All single moves from one set of occupied sites, and what each would do to the misfit and to the shape."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array

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
    """

    def __init__(
        self, classes: SiteClasses, kernel: FloatArray, observed: FloatArray, sites: NDArray[np.int64], least: int
    ) -> None:
        self.least = least
        occupied = classes.occupied(sites)
        for _ in range(2):  # what grows from the surface by one layer, and by another on top of that
            occupied |= classes.bonds[:, occupied].sum(axis=1) >= max(1, least - 1)
        occupied &= classes.clashes[:, sites].sum(axis=1) <= MOST_CLASHES
        self.active = np.flatnonzero(occupied)
        chosen = np.ix_(self.active, self.active)
        self.pairs = classes.index[chosen]
        self.bonds, self.clashes = classes.bonds[chosen].astype(np.int8), classes.clashes[chosen].astype(np.int8)
        self.touching = (self.bonds + self.clashes).astype(bool)
        np.fill_diagonal(self.touching, True)
        # Most pairs of sites are not linked.
        clashing = bool(self.clashes.any())
        self.bond_links = csc_array(self.bonds.astype(float))
        self.clash_links = csc_array(self.clashes.astype(float)) if clashing else None
        self.inside = np.isin(self.active, sites)
        self.kernel, self.observed = kernel, observed
        self.power = float(observed @ observed)
        n, rows = len(self.active), np.arange(len(self.active))[:, None]
        partners = np.bincount((self.pairs[:, self.inside] + rows * len(kernel)).ravel(), minlength=n * len(kernel))
        partners = partners.reshape(n, -1).astype(np.float32)
        partners[:, 0] = 0.0
        self.reach = partners @ kernel
        self.total = 0.5 * self.reach[self.inside].sum(axis=0)
        self.n_bonds = self.bonds[:, self.inside].sum(axis=1, dtype=np.int64)
        self.n_clashes = self.clashes[:, self.inside].sum(axis=1, dtype=np.int64)

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
        totals = (self.total + self.reach[a])[:, None] - self.reach[b] - self.kernel[self.pairs[cross]]
        misfits = np.asarray(self.misfit(totals @ self.observed, np.einsum("abr,abr->ab", totals, totals)))
        misfits[self.n_clashes[a][:, None] > self.clashes[cross]] = np.inf
        misfits[self.n_bonds[a][:, None] - self.bonds[cross] < self.least] = np.inf
        return misfits

    def tolls(self, habit: Habit) -> FloatArray:
        """(n_active,) what toggling each active site adds to the energy of the shape, whatever the atom count."""
        return habit.changes(self.n_bonds, self.n_clashes, self.inside, self.bond_links, self.clash_links, slice(None))

    def carry_tolls(self, habit: Habit, tolls: FloatArray, a: NDArray[np.int64], b: NDArray[np.int64]) -> FloatArray:
        """(len(a), len(b)) what carrying atom b to the empty site a adds: taking b away (n_active,), then adding a."""
        inside = np.repeat(self.inside[None], len(b), axis=0)
        inside[np.arange(len(b)), b] = False
        near = np.flatnonzero(self.touching[a].any(axis=0))
        after, across = np.ix_(b, near), np.ix_(near, a)
        added = habit.changes(
            self.n_bonds[near] - self.bonds[after],
            self.n_clashes[near] - self.clashes[after],
            inside[:, near],
            self.bonds[across].astype(float),
            None if self.clash_links is None else self.clashes[across].astype(float),
            np.searchsorted(near, a),
        )
        return np.asarray(tolls[b] + added.T)

    def toggle(self, site: int) -> None:
        """Fill an empty active site, or empty a filled one."""
        sign = -1 if self.inside[site] else 1
        self.total = self.total + sign * self.reach[site]
        self.reach += sign * self.kernel[self.pairs[:, site]]
        self.n_bonds += sign * self.bonds[:, site]
        self.n_clashes += sign * self.clashes[:, site]
        self.inside[site] = sign > 0
