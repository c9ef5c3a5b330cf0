"""The PDF of a given structure, as an instrument would measure it."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms

from cbldm.data.noise import noise_at_floor
from cbldm.errors import InputError
from cbldm.physics.debye import debye_gr
from cbldm.types import FloatArray, Instrument


def simulate_structure(
    atoms: Atoms,
    *,
    qmin: float,
    qmax: float,
    qdamp: float,
    qbroad: float,
    uiso: float,
    delta2: float,
    rmax: float,
    rstep: float,
    noise_floor: float,
    seed: int,
) -> tuple[FloatArray, FloatArray, dict[str, Any]]:
    """G(r) on r = 0, rstep, ... rmax by the Debye sum, with noise that is limited to Qmax.

    Args:
        atoms: A cluster of one element, positions in Å.
        qmin: Lower end of the Fourier integral, in Å⁻¹.
        qmax: Upper end, in Å⁻¹.
        qdamp: Damping, in Å⁻¹.
        qbroad: Broadening, in Å⁻¹.
        uiso: Mean square displacement of each atom, in Å².
        delta2: Correlated motion, in Å².
        rmax: End of the grid, in Å.
        rstep: Step of the grid, in Å.
        noise_floor: Rw between noisy and noise-free PDF.
        seed: Seed of the noise.

    Returns:
        (n,) r in Å, (n,) G in Å⁻², and what the file's header should say.

    Raises:
        InputError: A value is out of range.
    """
    allowed = {
        "qmin": (qmin, 0.0, 10.0), "qmax": (qmax, max(qmin, 3.0), 100.0), "qdamp": (qdamp, 0.0, 0.5),
        "qbroad": (qbroad, 0.0, 0.5), "uiso": (uiso, 0.0, 0.5), "delta2": (delta2, 0.0, 20.0),
        "rmax": (rmax, 5.0, 1000.0), "rstep": (rstep, 0.001, 0.2), "noise_floor": (noise_floor, 0.0, 0.99),
    }  # fmt: skip
    for name, (value, low, high) in allowed.items():
        if not low <= value <= high:
            raise InputError(f"{name} must be {low:g} to {high:g}, got {value:g}")
    r: FloatArray = np.arange(round(rmax / rstep) + 1, dtype=np.float64) * np.float64(rstep)
    g: FloatArray = debye_gr(r, atoms.get_positions(), Instrument(qmin, qmax, qdamp, qbroad), uiso, delta2=delta2)
    if noise_floor > 0:
        g = g + noise_at_floor(r, g, qmax, noise_floor, np.random.default_rng(seed))
    metadata = {
        "element": atoms.get_chemical_symbols()[0], "qmin": qmin, "qmax": qmax, "qdamp": qdamp, "qbroad": qbroad,
        "uiso": uiso, "delta2": delta2, "noise_floor": noise_floor, "seed": seed,
    }  # fmt: skip
    return r, g, metadata
