"""From many fits to a short list: duplicates removed, the rest ordered by misfit and strain together, and grouped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from cbldm.geometry.alignment import align, distance_profiles, least_rmsd
from cbldm.geometry.fingerprint import shape_hash
from cbldm.parallel import each
from cbldm.refine import FittedStructure
from cbldm.target import fit_range, independent_points
from cbldm.types import FloatArray, Pdf

#: No data and no model are better than this Rw; it bounds the noise that `scores` estimates.
SMALLEST_NOISE = 0.003
#: Vuong's z from which one structure fits worse than another one, and not by chance: 5 % on one side.
WORSE = 1.645
#: Nats of `scores` that lower the weight by a factor of e. Scores count as if noise were white and every structure had
#: been looked at, which makes them too sure by this factor: `benchmarks/fit_posterior.py`, on the validation split.
TEMPERATURE = 12.0
#: Share of the tolerance up to which a difference of distances may still be noise where bonds are unlike.
ALIKE = 0.3


@dataclass(frozen=True)
class Ranked:
    """One candidate's place.

    Attributes:
        index: Which of the given fits it is.
        score: Negative log posterior in nats above that of rank 1.
        weight: Posterior probability among the ranked ones, calibrated by `TEMPERATURE`.
        group: 1 for all that fit as well as rank 1, 2 for those that fit as well as the best of the rest, and so on.
        rmsd_to_rank1: Å, up to rigid motion, reflection and relabelling; None where the atom counts differ.
    """

    index: int
    score: float
    weight: float
    group: int
    rmsd_to_rank1: float | None


def distinct(
    fitted: Sequence[FittedStructure],
    tolerance: float = 0.15,
    *,
    costs: Sequence[float] | FloatArray | None = None,
    limit: int | None = None,
) -> tuple[list[int], list[int]]:
    """The best fit of each set of structures that are equal up to rigid motion, reflection and relabelling.

    Fits are visited from the lowest cost up; one that lies within the tolerance of a kept one is its duplicate. Most
    others are told apart without an alignment: their distances differ by too much (`least_rmsd`), or by more than next
    to nothing while they are bonded unlike.

    Args:
        fitted: Fits; atom counts may differ.
        tolerance: RMSD in Å up to which two structures are the same. One atom on another site makes at least
            dnn / sqrt(N), 0.17 Å for 256 atoms.
        costs: (n_fits,) what orders them, as `scores`; Rw where None.
        limit: Stop once so many distinct structures are found; None visits all.

    Returns:
        Indices of the kept fits, lowest cost first, and for each how many of the visited fits it stands for, itself
        included.
    """
    kept: list[int] = []
    counts: list[int] = []

    @cache
    def profiles(index: int) -> FloatArray:
        """For thousands of atoms only where something is compared, as the next one."""
        return distance_profiles(fitted[index].positions)

    @cache
    def bonds(index: int) -> int:
        return shape_hash(fitted[index].positions)

    for index in np.argsort([fit.rw for fit in fitted] if costs is None else costs, kind="stable").tolist():
        positions = fitted[index].positions
        for place, other in enumerate(kept):
            if len(fitted[other].positions) != len(positions):
                continue
            apart = least_rmsd(profiles(other), profiles(index))
            if apart > tolerance or (apart > ALIKE * tolerance and bonds(other) != bonds(index)):
                continue
            if align(fitted[other].positions, positions, good_enough=tolerance).rmsd <= tolerance:
                counts[place] += 1
                break
        else:
            if limit is not None and len(kept) == limit:
                break
            kept.append(index)
            counts.append(1)
    return kept, counts


def scores(pdf: Pdf, fitted: Sequence[FittedStructure]) -> FloatArray:
    """Negative log posterior in nats, 0.5 n_eff (Rw / σ)² + restraint + prior: strain and oddity pay.

    n_eff is `independent_points`. σ is the Rw that noise and the model's shortcomings leave; the lowest Rw of all fits
    estimates it, so scores compare candidates for one PDF and mean nothing across PDFs. The restraint is the negative
    log prior of uneven bonds and of uiso from `refine_positions`: it is what the freedom of every atom costs. The prior
    is what the generative model thinks of the occupied sites.

    Args:
        pdf: The data that all were fitted to.
        fitted: Fits, all refined or all not.

    Returns:
        (n_fits,) scores.
    """
    rw = np.array([fit.rw for fit in fitted])
    sigma = max(float(rw.min()), SMALLEST_NOISE)
    beliefs = np.array([fit.restraint + fit.prior for fit in fitted])
    return np.asarray(0.5 * independent_points(pdf) * (rw / sigma) ** 2 + beliefs)


def vuong(observed: FloatArray, first: FloatArray, other: FloatArray, n_eff: float) -> float:
    """Vuong's statistic for two models that are not nested (Vuong 1989, eq. 5.6): how surely the other one fits worse.

    The mean over the data of the difference of squared residuals, over its standard error. Where both are as near to
    the truth it is a standard normal, whatever the level of the noise. Points of G(r) are correlated by the finite
    Qmax, so as many count as are independent.

    Args:
        observed: (n,) data.
        first: (n,) one model's curve.
        other: (n,) the other model's curve.
        n_eff: Number of independent points.

    Returns:
        z, positive where the other one fits worse; 0 where both are the same.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> truth, noise = np.sin(np.arange(400.0)), rng.normal(size=400)
        >>> vuong(truth + noise, truth, truth + 0.01, 400) < WORSE < vuong(truth + noise, truth, 0.5 * truth, 400)
        True
    """
    difference = (observed - other) ** 2 - (observed - first) ** 2
    spread = float(difference.std())
    return 0.0 if spread == 0 else float(np.sqrt(n_eff) * difference.mean() / spread)


def equivalents(pdf: Pdf, fitted: Sequence[FittedStructure]) -> list[int]:
    """Group fits that the data cannot tell apart.

    Args:
        pdf: The data that all were fitted to.
        fitted: Fits, best first.

    Returns:
        The group of each, from 1. The first fit that is in no group yet begins the next one, and takes in all later
        ones that `vuong` does not find worse.
    """
    observed, n_eff = fit_range(pdf)[1], independent_points(pdf)
    groups = [0] * len(fitted)
    for number in range(1, len(fitted) + 1):
        waiting = [k for k, group in enumerate(groups) if group == 0]
        for k in waiting:
            if vuong(observed, fitted[waiting[0]].calculated, fitted[k].calculated, n_eff) < WORSE:
                groups[k] = number
    return groups


def rank(pdf: Pdf, fitted: Sequence[FittedStructure], most: int | None = None) -> list[Ranked]:
    """Order fits by `scores`, lowest first.

    Args:
        pdf: The data that all were fitted to.
        fitted: Fits, all refined or all not; at least one.
        most: Only so many of the best; None for all.

    Returns:
        The fits, best first.
    """
    values = scores(pdf, fitted)
    order = np.argsort(values, kind="stable").tolist()[:most]
    first = fitted[order[0]].positions
    weights = np.exp((values[order[0]] - values[order]) / TEMPERATURE)
    groups = equivalents(pdf, [fitted[index] for index in order])

    def distance(index: int) -> float | None:
        positions = fitted[index].positions
        if index == order[0]:
            return 0.0
        return align(first, positions).rmsd if len(positions) == len(first) else None

    return [
        Ranked(i, float(values[i] - values[order[0]]), float(weight), group, rmsd)
        for i, weight, group, rmsd in zip(order, weights / weights.sum(), groups, each(distance, order), strict=True)
    ]
