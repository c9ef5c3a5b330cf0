"""G(r) of spheres of one lattice whose radii are log-normal: what a powder of many sizes shows.

An atom of a sphere has the neighbours of the infinite lattice, as far as they lie in the sphere. The share that does,
for pairs at distance d averaged over atoms and places of the centre, is 1 - 3x/2 + x³/2 with x = d over the diameter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares
from scipy.special import ndtri

from cbldm.physics.crystal import LatticeName, lattice_shells
from cbldm.physics.debye import pair_sum
from cbldm.physics.instrument import relative_variance
from cbldm.types import FloatArray, Instrument

#: a over the distance of neighbours, for lattices that metals have.
CELL: dict[LatticeName, float] = {"fcc": math.sqrt(2), "bcc": 2 / math.sqrt(3), "hcp": 1.0}
#: Quantiles that stand for the distribution of radii.
QUANTILES = 24
#: Shells of which a smaller share lies within the particles are left out.
NEGLIGIBLE = 1e-3
#: Radii over the neighbour distance, and spreads of ln(radius), that are tried before the least squares.
RADII, SPREADS = np.geomspace(1.5, 8.0, 12), (0.1, 0.2, 0.3, 0.45)
#: Least variance of a peak, as a share of 2 uiso.
NARROWEST = 0.05
#: Bounds of stretch, uiso (Å²), delta2 (Å²), radius over the neighbour distance and spread; scales of their steps.
BOUNDS = ((0.96, 0.0005, 0.0, 1.0, 0.0), (1.04, 0.05, 6.0, 12.0, 0.8))
STEPS = (0.002, 0.001, 0.5, 0.2, 0.05)
MOST_STEPS = 12


@dataclass(frozen=True)
class Spheres:
    """Spheres that were fitted to a G(r).

    Attributes:
        lattice: A key of `CELL`.
        diameter: Twice the median radius of an atom's sphere (each sphere counts with its atoms), in Å.
        spread: Standard deviation of ln(radius).
        rw: Agreement factor at the best scale.
    """

    lattice: LatticeName
    diameter: float
    spread: float
    rw: float


def overlap(d: FloatArray, radius: float, spread: float) -> FloatArray:
    """Share of the lattice's pairs at each distance that lie within one sphere, averaged over the atoms of all spheres.

    Args:
        d: (n,) in Å.
        radius: Median radius of an atom's sphere, in Å.
        spread: Standard deviation of ln(radius).

    >>> overlap(np.array([0.0, 5.0, 20.0]), 10.0, 0.0)
    array([1.     , 0.6328125, 0.     ])
    """
    radii = radius * np.exp(spread * ndtri((np.arange(QUANTILES) + 0.5) / QUANTILES))
    x = np.minimum(d[:, None] / (2 * radii), 1.0)
    return np.asarray((1 - 1.5 * x + 0.5 * x**3).mean(axis=1))


def fit_spheres(
    r: FloatArray, g: FloatArray, instrument: Instrument, dnn: float, uiso: float, delta2: float, worst: float
) -> Spheres | None:
    """The log-normal spheres of a lattice of `CELL` that fit best: least squares from the best of a coarse grid.

    Args:
        r: (n_r,) in Å; a step of half π/qmax is fine enough.
        g: (n_r,) in Å⁻².
        instrument: Settings.
        dnn: Distance of neighbours in Å, right within 2 %.
        uiso: Start in Å².
        delta2: Start in Å².
        worst: A lattice whose Rw on the coarse grid is above it is not tried further.

    Returns:
        The best, or None where no lattice comes near.
    """
    q = _middles(instrument, r)
    to_r = _sine_matrix(r, q, instrument)
    best: Spheres | None = None
    for lattice, cell in CELL.items():
        shells = lattice_shells(lattice, cell, cell * math.sqrt(8 / 3), (r[-1] + 2.0) / dnn)
        d = dnn * shells.distances(cell, cell * math.sqrt(8 / 3))
        table = to_r @ (np.sin(np.outer(q, d)) * np.exp(-0.5 * np.outer(q**2, _variance(d, uiso, delta2, instrument))))
        tried = [
            (_rw(table @ (shells.counts / d * overlap(d, radius * dnn, spread)), g), radius, spread)
            for radius in RADII
            for spread in SPREADS
        ]
        rw, radius, spread = min(tried)
        if rw > worst:
            continue

        def residual(x: FloatArray, d: FloatArray = d, counts: FloatArray = shells.counts) -> FloatArray:
            weights = counts * overlap(x[0] * d, x[3] * dnn, x[4])
            inside = weights > NEGLIGIBLE * counts
            far = x[0] * d[inside]
            fq = pair_sum(q, far, weights[inside], _variance(far, x[1], x[2], instrument))
            curve = to_r @ fq
            scale = float(curve @ g) / max(float(curve @ curve), 1e-300)
            return np.asarray((g - scale * curve) / np.linalg.norm(g))

        start = np.clip([1.0, uiso, delta2, radius, spread], *BOUNDS)
        found = least_squares(residual, start, bounds=BOUNDS, x_scale=STEPS, max_nfev=MOST_STEPS, diff_step=1e-4)
        rw = float(np.linalg.norm(found.fun))
        if best is None or rw < best.rw:
            best = Spheres(lattice, 2 * float(found.x[3]) * dnn, float(found.x[4]), rw)
    return best


def _variance(d: FloatArray, uiso: float, delta2: float, instrument: Instrument) -> FloatArray:
    ratio = relative_variance(d, 0.0, delta2, instrument.qbroad)
    return np.asarray(2 * uiso * np.maximum(ratio, NARROWEST))


def _middles(instrument: Instrument, r: FloatArray) -> FloatArray:
    """Middles of equal steps from qmin to qmax, fine enough for pairs as long as r."""
    n = math.ceil((instrument.qmax - instrument.qmin) * (2 * r[-1] + 10.0) / math.pi)
    return np.asarray(instrument.qmin + (instrument.qmax - instrument.qmin) * (np.arange(n) + 0.5) / n)


def _sine_matrix(r: FloatArray, q: FloatArray, instrument: Instrument) -> FloatArray:
    """(n_r, n_q) the matrix from F(Q) to G(r)."""
    sines = np.sin(np.outer(r, q)) * (2 / math.pi * (q[1] - q[0]))
    return np.asarray(np.exp(-0.5 * (instrument.qdamp * r) ** 2)[:, None] * sines)


def _rw(curve: FloatArray, g: FloatArray) -> float:
    """Agreement factor at the best scale."""
    cosine = max(0.0, float(curve @ g)) / max(float(np.linalg.norm(curve) * np.linalg.norm(g)), 1e-300)
    return math.sqrt(max(0.0, 1 - cosine**2))
