"""Crystals of the elements that can serve as standards of an instrument."""

from __future__ import annotations

import math
from typing import Any

from ase.data import atomic_numbers, reference_states

from cbldm.errors import InputError
from cbldm.physics.crystal import ATOMS_PER_CELL, LATTICES, LatticeName, atomic_density


def reference_lattice(element: str, lattice: str | None = None) -> tuple[LatticeName, float, float]:
    """The lattice of an element with constants a and c in Å at the element's volume per atom; c = a where cubic.

    Args:
        element: Chemical symbol.
        lattice: Another lattice than the element's own.

    Raises:
        InputError: The lattice is not supported, or the element's own is not.

    >>> reference_lattice("Ni"), reference_lattice("Co", "fcc")
    (('fcc', 3.52, 3.52), ('fcc', 3.54, 3.54))
    """
    choices = f"{', '.join(LATTICES[:-1])} or {LATTICES[-1]}"
    chosen = next((name for name in LATTICES if name == lattice), None)
    if lattice is not None and chosen is None:
        raise InputError(f"lattice must be {choices}, got {str(lattice)[:40]!r}")
    state: dict[str, Any] = reference_states[atomic_numbers[element]] or {}
    own = next((name for name in LATTICES if name == state.get("symmetry")), None)
    # ASE calls selenium and tellurium hcp, whose atoms sit elsewhere; it marks them by a basis.
    if own is None or "basis" in state:
        raise InputError(f"{element} is no standard: its crystal is not {choices}; use one of those, as Ni, W or Si")
    a = float(state["a"])
    c = a * float(state.get("c/a", 1.0))
    if chosen in (None, own):
        return own, a, c
    volume = 1 / atomic_density(own, a, c)
    if chosen == "hcp":
        a = (math.sqrt(2) * volume) ** (1 / 3)
        return chosen, a, a * math.sqrt(8 / 3)
    a = (ATOMS_PER_CELL[chosen] * volume) ** (1 / 3)
    return chosen, a, a
