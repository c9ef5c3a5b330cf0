"""What shapes the clusters of a frame have: the prior of the search beside the model's own.

Noise of one part in ten hides single atoms, so the data alone accept surfaces that are too rough, and log-odds site by
site cannot say that facets are straight. A Markov random field can: an energy for every atom and for every free site,
by its number of bonds to atoms. Its tables, and the weight that the model's log-odds deserve beside them, are fitted by
pseudo-likelihood to shapes of the training stream: see `cbldm.search.fit_habits`. What no local rule knows is that a
cluster bounded by few planes at few distances is one of few, and so far likelier than any single rough one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from cbldm.geometry.site_classes import SiteClasses, site_classes
from cbldm.search.polyhedra import Polyhedra, polyhedra
from cbldm.types import FloatArray

#: Nats that each distance costs that has to be told of the planes that bound a cluster, up to so many distances; and
#: how many distances a missing atom counts as.
DISTANCE, MOST_DISTANCES, FLAW = 1.0, 10, 1.5
#: Nats beyond which a cluster that planes bound is no odder, however thin it is or sharp its edges are, and what each
#: atom adds that is missing from it.
BOUNDED, VACANCY = 4.0, 5.0
#: Nats at most that the model's log-odds charge a cluster which planes bound, beyond the structure they like best. A
#: layer of a ribbon is one decision, but its log-odds count every atom; ribbons of hcp end beyond the reach of the
#: data, which would not object to a layer too few. Other frames have no such shapes, and there it did not help.
SURE = {"hcp": 3.0}
#: Weight of the model's probabilities of atom counts: among prisms of hcp it prefers those that it was trained on.
COUNT_TRUST = {"hcp": 0.5}


@dataclass(frozen=True)
class Habit:
    """Energies in nats by the number of bonds.

    Attributes:
        classes: The frame's bonds and clashes.
        atom: (n_bonds,) of an atom.
        free: (n_bonds,) of an empty site that clashes with no atom.
        usual: (4,) coefficients of N^(0, 1/3, 2/3, 1): the energy of a usual cluster of N atoms.
        trust: Weight of the model's log-odds, which are independent site by site and so surer than they should be.
        compact: Bonds that usual clusters of N atoms lack, over N^(2/3).
    """

    classes: SiteClasses
    atom: FloatArray
    free: FloatArray
    usual: FloatArray
    trust: float
    compact: float

    def energy(self, inside: NDArray[np.bool_]) -> float:
        """Energy beyond that of a usual cluster of as many atoms.

        Args:
            inside: (n_sites,) True where there is an atom.
        """
        bonds = self.classes.n_bonds(inside)
        free = ~inside & (self.classes.n_clashes(inside) == 0)
        found = self.atom[bonds[inside]].sum() + self.free[bonds[free]].sum()
        return float(found) - float(self.expected(np.array(inside.sum())))

    def expected(self, n_atoms: NDArray[np.int64]) -> FloatArray:
        """Energy of usual clusters of so many atoms, of any shape."""
        return np.asarray(np.cbrt(n_atoms)[..., None] ** np.arange(4) @ self.usual)

    def tightened(self, cohesion: float) -> Habit:
        """The same with a price on every bond that a cluster lacks more than usual, in nats."""
        n_bonds = np.arange(len(self.atom))
        missing = self.classes.most_bonds - n_bonds
        usual = self.usual + np.array([0.0, 0.0, cohesion * self.compact, 0.0])
        return replace(self, atom=self.atom + 0.5 * cohesion * missing, usual=usual)

    def changes(
        self,
        n_bonds: NDArray[np.int64],
        n_clashes: NDArray[np.int64],
        inside: NDArray[np.bool_],
        bonds: NDArray[np.float32],
        clashes: NDArray[np.float32] | None,
        at: NDArray[np.int64] | slice,
    ) -> FloatArray:
        """(..., n_at) what toggling sites adds to the energy, without `expected`.

        Args:
            n_bonds: (..., n) bonds of each site to atoms.
            n_clashes: (..., n) clashes of each site with atoms.
            inside: (..., n) True where there is an atom.
            bonds: (n, n_at) single precision, of these sites with those that are toggled.
            clashes: (n, n_at) the same, or None where nothing clashes.
            at: Which of the sites are toggled.
        """
        own, more, less, empty = self._steps
        # One index into a whole table takes half the time of two.
        state = np.where(inside, 2, n_clashes == 0) * len(own) + n_bonds
        gained, lost = more.take(state) @ bonds, less.take(state) @ bonds
        if clashes is not None:
            gained -= empty.take(state) @ clashes
            lost += np.where(~inside & (n_clashes == 1), empty[1].take(n_bonds), 0) @ clashes
        alone = own[n_bonds[..., at]]
        return np.asarray(np.where(inside[..., at], lost - alone, gained + alone), dtype=np.float64)

    @cached_property
    def _steps(self) -> tuple[NDArray[np.float32], ...]:
        """Energies by the number of bonds, in single precision.

        What an atom costs more than a free site (n_bonds,); and for blocked sites, free ones and atoms (3, n_bonds):
        what a bond more costs, what a bond less does, and what is saved where the site is blocked.
        """
        nothing = np.zeros_like(self.atom)
        tables = np.array([nothing, self.free, self.atom])
        more = np.diff(tables, axis=1, append=tables[:, -1:])
        less = -np.diff(tables, axis=1, prepend=tables[:, :1])
        saved = np.array([nothing, self.free, nothing])
        own, *rest = (table.astype(np.float32) for table in (self.atom - self.free, more, less, saved))
        return own, *rest


class ShapePrior:
    """What atom counts and shapes cost in one frame, in nats.

    Args:
        name: Name of the frame.
        log_counts: (n,) log probability of each atom count from 0; -inf keeps moves away from it. None for no opinion.
    """

    def __init__(self, name: str, log_counts: FloatArray | None = None) -> None:
        self.habit: Habit = habit(name)
        self.sure = SURE.get(name, np.inf)
        self.polyhedra: Polyhedra = polyhedra(name)
        n_sites = len(self.habit.classes.index)
        self.sizes = np.full(n_sites + 2, np.inf)
        given = np.zeros(n_sites + 1) if log_counts is None else np.asarray(log_counts)[: n_sites + 1]
        self.sizes[5 : len(given)] = -COUNT_TRUST.get(name, 1.0) * given[5:]

    def cost(self, sites: NDArray[np.int64], doubt: float = 0.0) -> float:
        """Negative log probability of occupied sites (n_atoms,), up to a constant.

        Args:
            sites: The occupied sites.
            doubt: Nats that the model's log-odds charge more than for the structure they like best.
        """
        missing, distances = self.polyhedra.description(sites)
        told = DISTANCE * min(MOST_DISTANCES, distances + FLAW * missing)
        rough = self.habit.energy(self.habit.classes.occupied(sites))
        flaws = VACANCY * missing
        return float(self.sizes[len(sites)]) + told + min(rough, BOUNDED + flaws) + min(doubt, self.sure + flaws)


@cache
def habit(name: str) -> Habit:
    """The habit of a frame's clusters, read once."""
    table = json.loads((files("cbldm.search") / "habits.json").read_text(encoding="utf-8"))[name]
    atom, free, usual = (np.array(table[key]) for key in ("atom", "free", "usual"))
    return Habit(site_classes(name), atom, free, usual, table["trust"], table["compact"])
