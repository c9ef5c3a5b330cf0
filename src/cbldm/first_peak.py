"""The nearest-neighbour distance, read from the first peak of G(r)."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase.data import atomic_numbers, reference_states

from cbldm.errors import InputError
from cbldm.types import Pdf

#: Where the first peak of a metal can lie, in Å.
SHORTEST, LONGEST = 2.0, 4.3
#: A maximum counts as the first peak from this share of the highest one in that range.
SHARE = 0.45


def first_peak(pdf: Pdf) -> float:
    """Position of the first strong maximum of G(r) between 2.0 and 4.3 Å, by a parabola through its top.

    Termination ripples are lower than `SHARE` of the highest maximum; the two first shells of a bcc metal count as two.

    Args:
        pdf: The data.

    Returns:
        The distance in Å.

    Raises:
        InputError: No maximum lies in that range.
    """
    inside = (pdf.r > SHORTEST) & (pdf.r < LONGEST)
    r, g = pdf.r[inside], pdf.g[inside]
    tops = np.flatnonzero((g[1:-1] > 0) & (g[1:-1] >= g[:-2]) & (g[1:-1] > g[2:])) + 1
    if not len(tops):
        raise InputError(
            f"no first peak between {SHORTEST:g} and {LONGEST:g} Å, where metal neighbours lie: check the unit of r"
        )
    top = tops[g[tops] >= SHARE * g[tops].max()][0]
    # The parabola spans about a third of a peak's width, so noise on single points matters little.
    near = np.abs(r - r[top]) <= max(0.06, 1.5 * float(np.median(np.diff(r))))
    a, b, _ = np.polyfit(r[near] - r[top], g[near], 2)
    shift = -b / (2 * a) if a < 0 else 0.0
    return float(r[top] + np.clip(shift, -0.06, 0.06))


def expected_dnn(element: str) -> float | None:
    """Nearest-neighbour distance in Å of the bulk element; None where ASE knows no simple lattice for it."""
    state: dict[str, Any] | None = reference_states[atomic_numbers[element]]
    if state is None or "a" not in state:
        return None
    factor = {"fcc": 2**-0.5, "bcc": 0.75**0.5, "sc": 1.0, "diamond": 0.1875**0.5}
    if state["symmetry"] == "hcp":
        a, ratio = float(state["a"]), float(state["c/a"])
        return min(a, float(np.sqrt(a**2 / 3 + (ratio * a) ** 2 / 4)))
    return factor[state["symmetry"]] * float(state["a"]) if state["symmetry"] in factor else None
