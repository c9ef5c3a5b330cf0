"""Was a structure that was given found in the data, or only bent to them? What can be measured of it, in one line."""

from __future__ import annotations

import math

import numpy as np
from scipy.spatial import cKDTree

from cbldm.types import Candidate

#: Rw above which a structure says little of the data.
MOST_RW = 0.35
#: Rw of left-out data relative to that of the fitted data, and least value, from which on the atoms follow the noise.
MOST_RATIO, LEAST_LEFT_OUT = 2.5, 0.1
#: Distance to the nearest neighbour, relative to its median, that no atom of a metal falls below.
LEAST_DISTANCE = 0.85


def not_rescued(candidate: Candidate) -> str | None:
    """Why a refined structure is no answer; None where nothing speaks against it.

    The limits lie between what refinements from starts at 0.2 Å and at 0.7 Å from the truth leave
    (``benchmarks/bench_refine.py``): the first are brought back, the second hardly ever.

    Args:
        candidate: From `cbldm.pipeline.refine_structure`.
    """
    facts = []
    left_out, rw = candidate.rw_left_out, candidate.rw
    if rw > MOST_RW:
        facts.append(f"Rw is {rw:.2f}")
    elif left_out > MOST_RW or left_out > max(LEAST_LEFT_OUT, MOST_RATIO * rw):
        facts.append(f"data left out of the fit are at Rw {left_out:.2f}, those fitted at {rw:.2f}")
    positions = candidate.atoms.get_positions()
    nearest = cKDTree(positions).query(positions, k=2)[0][:, 1] if len(positions) > 1 else np.ones(1)
    closest, usual = float(nearest.min()), float(np.median(nearest))
    if closest < LEAST_DISTANCE * usual:
        facts.append(f"atoms are as near as {closest:.2f} Å, where {usual:.2f} Å is usual")
    if not facts:
        return None
    if not candidate.converged:
        facts.append("the refinement did not converge")
    moved = "" if math.isclose(candidate.moved_max, 0.0) else f", with atoms moved by up to {candidate.moved_max:.2f} Å"
    return f"the structure was not rescued{moved}: {'; '.join(facts)}; start from another structure, as solve finds"
