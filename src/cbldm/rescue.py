"""Was a structure that was given found in the data, or only bent to them? What can be measured of it, in one line."""

from __future__ import annotations

import math

import numpy as np
from scipy.spatial import cKDTree

from cbldm.types import Candidate

#: Rw above which a structure says little of the data.
MOST_RW = 0.35
#: Rw of left-out data relative to that of the fitted data, and least value, from which on the atoms follow the noise.
MOST_RATIO, LEAST_LEFT_OUT = 2.5, 0.12
#: Distance to the nearest neighbour, relative to its median, that no atom of a metal falls below.
LEAST_DISTANCE = 0.8


def not_rescued(candidate: Candidate) -> str | None:
    """Why a refined structure is no answer; None where nothing speaks against it.

    Measured with ``benchmarks/bench_refine.py`` (noise of Rw 0.03): refinements from starts at 0.2 Å from the truth
    leave the left-out data at Rw 0.07 at most and the nearest atoms at 0.83 of the usual distance at least; what is not
    brought back from farther away leaves the left-out data at Rw 0.17 to 0.97.

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
