"""Likelihood-guided moves: atoms added to, removed from and carried between the sites of a frame.

The data decide the atom count, the model the shape: what is minimised is a negative log posterior, the misfit of G(r)
in nats, the log-odds that the model gave each site, and what the
shape costs (`cbldm.search.habit`). Every move that is tried is judged exactly: G is linear in the
pair counts, an added atom contributes its pairs with all others, and a carried one the same less the pair of its two
sites. The scale and the background are profiled out exactly, stretch, Uiso and delta2 to first order by
projecting their tangents out of the data, and refitted between rounds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cbldm.geometry.site_classes import site_classes
from cbldm.parallel import Once
from cbldm.physics.instrument import relative_variance
from cbldm.physics.kernel import sine_grid
from cbldm.refine import BOUNDS
from cbldm.search.collective import collective_moves, least_bonds
from cbldm.search.habit import ShapePrior
from cbldm.search.neighbourhood import Neighbourhood
from cbldm.target import Target, independent_points
from cbldm.types import FloatArray, Pdf

#: Stretch values of the first scan: the first peak of bcc holds two shells, so its estimate is several percent long.
SCAN = tuple(np.round(np.arange(0.92, 1.041, 0.01), 2).tolist())
#: Pairs of Uiso (Å²) and delta2 (Å²) of the scan.
SCAN_MOTION = ((0.004, 0.0), (0.004, 2.5), (0.009, 0.0), (0.009, 2.5))
#: Rw that the kernel and the ideal sites leave at best: below it a lower misfit means nothing.
MODEL_ERROR = 0.001
#: Rounds of refitting and moving: the price in nats of each missing bond, and the Rw below which fits count as alike.
#: A cluster thinned out by vacancies has nearly the PDF of the whole one at another scale, and no single atom leads
#: back: so rounds that hold the atoms together, and let the shape decide between good fits, come first.
ROUNDS = ((3.0, 0.05), (0.3, 0.02), (0.0, MODEL_ERROR))
#: The same after collective moves and after a kick.
LAST_ROUND, KICKED_ROUNDS = ROUNDS[-1:], ((1.0, 0.02), (0.0, MODEL_ERROR))
#: The share of the atoms that a kick takes away, and puts elsewhere; and the bonds below which an atom is at the
#: surface.
DAMAGE, SURFACE_BONDS = (0.02, 0.08), 10
#: Moves per round.
MOVES = 60
#: Moves for which a moved site stays where it is, and moves without a new best before a search ends.
TENURE, PATIENCE = 6, 8
#: Collective moves in a row, and those at each turn that are followed up.
MOST_COLLECTIVE, FOLLOWED = 3, 3
#: Nats within which of the best fit structures must lie for their shape to matter.
SHAPE_RANGE = 25.0
#: Sites and atoms, each the best alone, whose exchanges are tried; and the gain in nats that counts as one.
SHORTLIST, LEAST_GAIN = 24, 0.05


@dataclass(frozen=True)
class Placement:
    """Occupied sites with the parameters that fit them.

    Attributes:
        sites: (n_atoms,) occupied sites, increasing.
        stretch: Size relative to the nearest-neighbour distance that was given.
        uiso: Å².
        delta2: Å².
        misfit: Rw² on the thinned data.
        data: Negative log likelihood in nats.
        energy: Negative log posterior in nats.
    """

    sites: NDArray[np.int64]
    stretch: float
    uiso: float
    delta2: float
    misfit: float
    data: float
    energy: float

    @property
    def theta(self) -> tuple[float, float, float]:
        """Stretch, uiso and delta2."""
        return self.stretch, self.uiso, self.delta2

    @property
    def key(self) -> tuple[Any, ...]:
        """The same for the same sites and parameters."""
        return self.sites.tobytes(), *self.theta


class SiteSearch:
    """Moves in one frame for one PDF.

    Args:
        pdf: Data, instrument and fit range.
        name: Name of the frame.
        dnn: Estimated nearest-neighbour distance in Å.
        log_odds: (n_sites,) what the model thinks of each site. None for no opinion.
        log_counts: (n,) log probability of each atom count from 0; -inf keeps moves away from it. None for no opinion.
    """

    def __init__(
        self,
        pdf: Pdf,
        name: str,
        dnn: float,
        log_odds: FloatArray | None = None,
        log_counts: FloatArray | None = None,
    ) -> None:
        self.pdf, self.dnn = pdf, dnn
        self.prior = ShapePrior(name, log_counts)
        self.name, self.classes, self.least = name, site_classes(name), least_bonds(name)
        target = Target.of(pdf, oversampling=1.0)
        self.r, self.background = target.r, target.background
        self.observed = target.observed / target.observed.norm()
        self.n_eff = independent_points(pdf)
        self.log_odds = np.zeros(len(self.classes.index)) if log_odds is None else log_odds
        self.liked = float(np.maximum(self.log_odds, 0).sum())
        self.distances = torch.as_tensor(self.classes.distances, dtype=torch.float32)
        longest = float(self.distances[-1]) * dnn * SCAN[-1]
        self.q, self.sines, self.damping = sine_grid(self.r, pdf.instrument, longest)
        # Searches from different samples meet: what has been done from there is not done again.
        self.refitted: dict[bytes, Placement] = {}
        self.searched: dict[tuple[bytes, float, float], NDArray[np.int64]] = {}
        self.once = Once()

    def scout(self) -> SiteSearch:
        """A twin that leaves no trace but the finished pieces of work, which its original does not do again."""
        twin = copy(self)
        twin.refitted, twin.searched = self.refitted.copy(), self.searched.copy()
        return twin

    def counts(self, sites: NDArray[np.int64]) -> Tensor:
        """(n_classes,) number of pairs at each distance."""
        pairs = self.classes.index[np.ix_(sites, sites)]
        found = 0.5 * np.bincount(pairs.ravel(), minlength=len(self.distances))
        found[0] = 0.0
        return torch.as_tensor(found, dtype=torch.float32)

    def _waves(self, distances: Tensor, stretch: float, uiso: float, delta2: float) -> Tensor:
        """(n, n_r) what a pair at each distance (n,) adds to G(r), but for a constant; zero for the distance zero."""
        d = (self.dnn * stretch * distances).clamp_min(0.1)
        variance = 2 * uiso * relative_variance(d, 0.0, delta2, self.pdf.instrument.qbroad).clamp_min(0.0)
        waves = (-0.5 * variance[:, None] * self.q**2).exp_()
        waves *= torch.sin(d[:, None] * self.q)
        waves /= d[:, None]
        waves[distances == 0] = 0.0
        return self.background.filtered(waves @ self.sines * self.damping)

    def _curves(self, counts: Tensor, stretch: float, uiso: float, delta2: float) -> Tensor:
        found = counts.reshape(-1, counts.shape[-1]).any(dim=0)
        return counts[..., found] @ self._waves(self.distances[found], stretch, uiso, delta2)

    def _misfit(self, curves: Tensor) -> Tensor:
        along = (curves @ self.observed).clamp_min(0) ** 2 / (curves**2).sum(-1).clamp_min(1e-12)
        return (1 - along).clamp_min(0)

    def place(self, sites: NDArray[np.int64], theta: Sequence[float] | FloatArray, misfit: float) -> Placement:
        """Sites with their energies: the noise is unknown, so the misfit counts by its logarithm."""
        data = 0.5 * self.n_eff * math.log(misfit + MODEL_ERROR**2)
        doubt = self.prior.habit.trust * (self.liked - float(self.log_odds[sites].sum()))
        prior = self.prior.cost(sites, doubt) - self.prior.habit.trust * self.liked
        stretch, uiso, delta2 = map(float, theta)
        return Placement(sites, stretch, uiso, delta2, misfit, data, data + prior)

    def start(self, drawn: Sequence[NDArray[np.int64]]) -> list[Placement]:
        """Find the size that fits each drawn structure best.

        Args:
            drawn: Occupied sites (n_atoms,) of each.
        """
        counts = torch.stack([self.counts(sites) for sites in drawn])
        grid = [(size, *motion) for size in SCAN for motion in SCAN_MOTION]
        misfits, places = torch.stack([self._misfit(self._curves(counts, *point)) for point in grid]).min(dim=0)
        return [
            self.place(np.sort(sites), grid[k], misfit)
            for sites, misfit, k in zip(drawn, misfits.tolist(), places.tolist(), strict=True)
        ]

    def descend(self, place: Placement) -> Placement:
        """Move single atoms until the energy is lowest."""
        return self._descend(place, ROUNDS)

    def improve(self, place: Placement) -> Placement:
        """Where single atoms are stuck, move whole facets, orbits and layers, and single atoms after that."""
        for _ in range(MOST_COLLECTIVE):
            starts = self.once(("collective", *place.key), partial(self._collective, place))
            moved = [self._descend(start, LAST_ROUND) for start in starts]
            best = min(moved, key=lambda trial: trial.energy, default=place)
            if best.energy > place.energy - LEAST_GAIN:
                break
            place = best
        return place

    def settle(self, place: Placement) -> Placement:
        """Move single atoms of what `kicked` gave until the energy is lowest."""
        return self._descend(place, KICKED_ROUNDS)

    def kicked(self, place: Placement, other: Placement | None, rng: np.random.Generator) -> Placement | None:
        """Damage the surface at random, or cross the structure with another one.

        Args:
            place: Where a search ended.
            other: Another one in the same frame: of the sites on which the two differ, each is taken from one of them.
            rng: Source of randomness.

        Returns:
            Where a new search can begin; None where nothing sound was left.
        """
        table = self.classes
        inside = table.occupied(place.sites)
        if other is not None:
            inside = np.where(rng.random(len(inside)) < 0.5, inside, table.occupied(other.sites))
        else:
            bonds = table.n_bonds(inside)
            hollow = np.flatnonzero(table.hollows(inside, self.least))
            surface = np.flatnonzero(inside & (bonds < SURFACE_BONDS))
            n = max(2, round(rng.uniform(*DAMAGE) * len(place.sites)))
            inside[rng.choice(surface, min(n, len(surface)), replace=False)] = False
            inside[rng.choice(hollow, min(n, len(hollow)), replace=False)] = True
        sites = np.flatnonzero(inside)
        sites = sites[~table.in_clash(sites)]
        if len(sites) < 5 or not np.isfinite(self.prior.sizes[len(sites)]):
            return None
        misfit = float(self._misfit(self._curve(self.counts(sites), np.array(place.theta))[0]))
        return self.place(sites, place.theta, misfit)

    def _collective(self, place: Placement) -> list[Placement]:
        """The structures of least energy that a collective move makes of one."""
        options = [o for o in collective_moves(self.name, place.sites) if np.isfinite(self.prior.sizes[len(o)])]
        if not options:
            return []
        curves = self._curves(torch.stack([self.counts(option) for option in options]), *place.theta)
        misfits = self._misfit(curves).tolist()
        made: list[Placement] = []
        for k in np.argsort(misfits, kind="stable").tolist():
            trial = self.place(options[k], place.theta, misfits[k])
            made = sorted([*made, trial], key=lambda trial: trial.energy)[:FOLLOWED]
            # What fits worse by more than shapes can differ is not described.
            if len(made) == FOLLOWED and trial.data > made[-1].data + SHAPE_RANGE:
                break
        return made

    def _descend(self, place: Placement, rounds: Sequence[tuple[float, float]]) -> Placement:
        """Refit and move in turn."""
        best = place
        for stage in rounds:
            place = self._refit(place)
            if place.energy < best.energy:
                best = place
            key = (place.sites.tobytes(), *stage)
            if key not in self.searched:
                self.searched[key] = self.once((*stage, *place.key), partial(self._search, place, *stage))
            moved = self.searched[key]
            if np.array_equal(moved, place.sites) and stage == rounds[-1]:
                break
            place = replace(place, sites=moved)
        place = self._refit(place)
        return place if place.energy < best.energy else best

    def _refit(self, place: Placement) -> Placement:
        """Better parameters of the same sites, or those that were found before."""
        key = place.sites.tobytes()
        if key not in self.refitted or self.refitted[key].misfit > place.misfit:
            self.refitted[key] = self.once(("fit", *place.key), partial(self._fit, place))
        return self.refitted[key]

    def _fit(self, place: Placement, steps: int = 3) -> Placement:
        """A few damped Gauss-Newton steps on stretch, uiso and delta2."""
        counts = self.counts(place.sites)
        theta = np.array(place.theta)
        low = np.array([SCAN[0] - 0.02, BOUNDS["uiso"][0], BOUNDS["delta2"][0]])
        high = np.array([SCAN[-1] + 0.02, BOUNDS["uiso"][1], BOUNDS["delta2"][1]])
        curve, slopes = self._curve(counts, theta)
        misfit = float(self._misfit(curve))
        damping = 1e-3
        for _ in range(steps):
            scale = float(curve @ self.observed) / float(curve @ curve)
            unit = curve / curve.norm()
            jacobian = scale * (slopes - (slopes @ unit)[:, None] * unit)
            residual = self.observed - scale * curve
            normal = (jacobian @ jacobian.T).double().numpy()
            gradient = (jacobian @ residual).double().numpy()
            normal[np.diag_indices(3)] *= 1 + damping
            normal[np.diag_indices(3)] += 1e-12
            trial = np.clip(theta + np.linalg.solve(normal, gradient), low, high)
            trial_curve, trial_slopes = self._curve(counts, trial)
            trial_misfit = float(self._misfit(trial_curve))
            if trial_misfit >= misfit:
                damping *= 30
                continue
            gain = misfit - trial_misfit
            theta, curve, slopes, misfit = trial, trial_curve, trial_slopes, trial_misfit
            if gain < 0.01 * misfit:
                break
        return self.place(place.sites, theta, misfit)

    def _curve(self, counts: Tensor, theta: FloatArray) -> tuple[Tensor, Tensor]:
        """G(r) (n_r,) of one structure, and its derivatives (3, n_r) by stretch, uiso and delta2."""
        found = counts.nonzero()[:, 0]
        counts, (stretch, uiso, delta2) = counts[found], theta.tolist()
        d = (self.dnn * stretch) * self.distances[found]
        ratio = relative_variance(d, 0.0, delta2, self.pdf.instrument.qbroad).clamp_min(0.0)
        phase = d[:, None] * self.q
        damped = torch.exp(-uiso * ratio[:, None] * self.q**2)
        weight = counts / d
        waves = damped * torch.sin(phase)
        f = weight @ waves
        by_size = (counts @ (damped * torch.cos(phase)) * self.q - f) / stretch
        by_uiso = -(self.q**2) * ((weight * ratio) @ waves)
        by_delta2 = uiso * self.q**2 * ((weight / d**2 * (ratio > 0)) @ waves)
        curves = torch.stack([f, by_size, by_uiso, by_delta2]) @ self.sines * self.damping
        curves = self.background.filtered(curves)
        return curves[0], curves[1:]

    def _search(self, place: Placement, cohesion: float, blur: float) -> NDArray[np.int64]:
        """The best sites that a tabu search (Glover 1989) over single moves meets, at fixed parameters."""
        curve, slopes = self._curve(self.counts(place.sites), np.array(place.theta))
        basis = np.linalg.qr(slopes.double().numpy().T)[0].astype(np.float32)
        unit = curve.numpy() - basis @ (basis.T @ curve.numpy())

        def kernel(found: NDArray[np.int64]) -> FloatArray:
            waves = self._waves(self.distances[found], *place.theta).numpy()
            return np.asarray((waves - (waves @ basis) @ basis.T) / np.linalg.norm(unit))

        observed = self.observed.numpy() - basis @ (basis.T @ self.observed.numpy())
        state = Neighbourhood(self.classes, kernel, observed, place.sites, self.least)
        habit = self.prior.habit.tightened(cohesion)
        odds = habit.trust * self.log_odds[state.active]
        sizes = self.prior.sizes - habit.expected(np.arange(len(self.prior.sizes)))
        weight = 0.5 * self.n_eff

        def cost(misfit: Any) -> Any:
            return weight * np.log(misfit + blur**2)

        released = np.zeros(len(odds), dtype=np.int64)
        # Energies are told from where the search begins.
        lowest, prior = float(cost(state.misfit())), 0.0
        best, last = state.inside.copy(), 0
        for step in range(MOVES):
            count = int(state.inside.sum())
            toll = state.tolls(habit) + np.where(state.inside, odds, -odds)
            resized = np.where(state.inside, sizes[count - 1], sizes[count + 1]) - sizes[count]
            single = cost(state.singles()) + prior + toll + resized
            a = np.flatnonzero(~state.inside & (state.n_bonds >= self.least) & (state.n_clashes <= 1))
            b = np.flatnonzero(state.inside)
            a, b = (group[np.argsort(single[group], kind="stable")[:SHORTLIST]] for group in (a, b))
            carried = state.carry_tolls(habit, toll, a, b) - odds[a][:, None]
            double = cost(state.pairwise(a, b)) + prior + carried
            single[~state.inside & ((state.n_bonds < self.least) | (state.n_clashes > 0))] = np.inf
            # A move that was undone lately waits, unless it leads to the best so far.
            waits = released > step
            single[waits & (single > lowest - LEAST_GAIN)] = np.inf
            double[(waits[a][:, None] | waits[b]) & (double > lowest - LEAST_GAIN)] = np.inf
            i, j = np.unravel_index(int(double.argmin()), double.shape) if double.size else (0, 0)
            carry = bool(double.size) and double[i, j] < single.min()
            chosen = [int(b[j]), int(a[i])] if carry else [int(single.argmin())]
            energy = float(double[i, j] if carry else single[chosen[0]])
            if not np.isfinite(energy):
                break
            prior += float(carried[i, j] if carry else (toll + resized)[chosen[0]])
            for site in chosen:
                state.toggle(site)
                released[site] = step + TENURE
            if energy < lowest - LEAST_GAIN:
                lowest, best, last = energy, state.inside.copy(), step
            elif step - last >= PATIENCE:
                break
        return state.active[best]
