"""The direct Debye sum in float64: the reference that every faster route is measured against.

Units: r and d in Å, Q in Å⁻¹, U in Å², F in Å⁻¹, G in Å⁻².
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from cbldm.errors import InputError
from cbldm.physics.instrument import relative_variance
from cbldm.types import FloatArray, Instrument

#: Numbers held at once in a table of pairs times Q (8 bytes each).
CHUNK = 1 << 18
#: Nodes of one Gauss-Legendre panel, and the largest phase (rad) that the panel may span.
PANEL_NODES, PANEL_PHASE = 64, 120.0


def pair_distances(positions: FloatArray, weights: ArrayLike | None = None) -> tuple[FloatArray, FloatArray]:
    """List every pair once: its distance and its scattering weight f_i f_j / <f>².

    For one element the weight is 1 whatever f is, even where f depends on Q: f cancels, and X-ray, neutron and
    electron G(r) are the same.

    Args:
        positions: (N, 3) in Å.
        weights: (N,) constant scattering lengths in any unit, or None for one element.

    Returns:
        d (N(N-1)/2,) in Å and weights (N(N-1)/2,).

    Raises:
        InputError: If a shape is wrong or a number is not finite.
    """
    xyz = np.asarray(positions, dtype=np.float64)
    if xyz.ndim != 2 or xyz.shape[1] != 3 or len(xyz) == 0 or not np.isfinite(xyz).all():
        raise InputError(f"positions: got an array of shape {xyz.shape}, need finite numbers of shape (N, 3), N >= 1")
    i, j = np.triu_indices(len(xyz), 1)
    d = np.sqrt(((xyz[i] - xyz[j]) ** 2).sum(1))
    if weights is None:
        return d, np.ones(len(d))
    f = np.asarray(weights, dtype=np.float64)
    if f.shape != (len(xyz),):
        raise InputError(f"weights: got shape {f.shape}, need one number per atom, ({len(xyz)},)")
    return d, f[i] * f[j] / f.mean() ** 2


def pair_sum(q: FloatArray, d: FloatArray, weights: FloatArray, variance: FloatArray) -> FloatArray:
    """Sum w exp(-σ² Q²/2) sin(Qd)/d over pairs, in memory bounded by `CHUNK` numbers.

    Args:
        q: (n_q,) in Å⁻¹.
        d: (n_pairs,) in Å.
        weights: (n_pairs,).
        variance: (n_pairs,) σ² of the peak of each pair, in Å².

    Returns:
        (n_q,) in Å⁻¹.
    """
    # sin(Qd)/d is Q at d = 0; the factor of a variance that all pairs share is left to the end.
    shared = float(variance[0]) if len(variance) and np.all(variance == variance[0]) else None
    together = d == 0.0
    amplitude = weights / np.where(together, 1.0, d)
    total = np.zeros(len(q))
    step = max(1, CHUNK // max(1, len(q)))
    for start in range(0, len(d), step):
        part = slice(start, start + step)
        table = np.sin(np.multiply.outer(d[part], q))
        table[together[part]] = q
        if shared is None:
            table *= np.exp(np.multiply.outer(-0.5 * variance[part], q**2))
        total += amplitude[part] @ table
    return total if shared is None else total * np.exp(-0.5 * shared * q**2)


def debye_fq(
    q: FloatArray,
    positions: FloatArray,
    uiso: float,
    *,
    delta1: float = 0.0,
    delta2: float = 0.0,
    qbroad: float = 0.0,
    weights: ArrayLike | None = None,
) -> FloatArray:
    """F(Q) = Q[S(Q) - 1] is the Debye sum 2/(N<f>²) Σ_{i<j} f_i f_j exp(-σ_ij² Q²/2) sin(Q d_ij)/d_ij.

    Args:
        q: (n_q,) in Å⁻¹.
        positions: (N, 3) in Å.
        uiso: Isotropic displacement parameter of every atom, in Å².
        delta1: Correlated motion, 1/d term, in Å.
        delta2: Correlated motion, 1/d² term, in Å².
        qbroad: Broadening with distance, in Å⁻¹.
        weights: (N,) constant scattering lengths, or None for one element.

    Returns:
        (n_q,) in Å⁻¹.

    Raises:
        InputError: If a shape is wrong or a number is not finite.

    >>> dimer = np.array([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0]])
    >>> bool(np.allclose(debye_fq(np.array([1.0]), dimer, 0.0), np.sin(2.0) / 2.0))
    True
    """
    d, w = pair_distances(positions, weights)
    return _fq(np.asarray(q, dtype=np.float64), d, w, len(positions), uiso, delta1, delta2, qbroad)


def _fq(
    q: FloatArray,
    d: FloatArray,
    weights: FloatArray,
    n_atoms: int,
    uiso: float,
    delta1: float,
    delta2: float,
    qbroad: float,
) -> FloatArray:
    ratio = relative_variance(np.maximum(d, 1e-12), delta1, delta2, qbroad)
    variance = 2.0 * uiso * np.maximum(ratio, 0.0)
    return 2.0 / n_atoms * pair_sum(q, d, weights, variance)


def gauss_legendre_band(qmin: float, qmax: float, extent: float) -> tuple[FloatArray, FloatArray]:
    """Composite Gauss-Legendre nodes that integrate cos(Qx) over [qmin, qmax] to rounding error for all |x| <= extent.

    Args:
        qmin: Lower limit, in Å⁻¹.
        qmax: Upper limit, in Å⁻¹.
        extent: Largest |x|, in Å; for F(Q) sin(Qr) it is the largest distance plus the largest r.

    Returns:
        Nodes and weights, (n,) each, in Å⁻¹.
    """
    n_panels = max(1, math.ceil((qmax - qmin) * extent / PANEL_PHASE))
    x, w = np.polynomial.legendre.leggauss(PANEL_NODES)
    edges = np.linspace(qmin, qmax, n_panels + 1)
    half = 0.5 * np.diff(edges)[:, None]
    nodes, weights = edges[:-1, None] + half * (1.0 + x), half * w
    return nodes.ravel().astype(np.float64), weights.ravel().astype(np.float64)


def sine_transform(r: FloatArray, q: FloatArray, weighted_fq: FloatArray) -> FloatArray:
    """G(r) = (2/π) Σ_k w_k F(Q_k) sin(Q_k r), the quadrature of (2/π) ∫ F(Q) sin(Qr) dQ.

    Args:
        r: (n_r,) in Å.
        q: (n_q,) in Å⁻¹.
        weighted_fq: (n_q,) F times the quadrature weights, in Å⁻².

    Returns:
        (n_r,) in Å⁻².
    """
    g = np.empty(len(r))
    step = max(1, CHUNK // max(1, len(q)))
    for start in range(0, len(r), step):
        part = slice(start, start + step)
        g[part] = 2.0 / np.pi * np.sin(np.multiply.outer(r[part], q)) @ weighted_fq
    return g


@dataclass(frozen=True)
class DiffpyGrid:
    """The Q grid of DiffPy-CMI's DebyePDFCalculator: F on k ΔQ for k_min <= k < k_max, zero below.

    Attributes:
        r_extended: Longest distance that counts, in Å.
        dq: ΔQ = π / r_extended, in Å⁻¹.
        k_min: First index that counts.
        k_max: One past the last index.
    """

    r_extended: float
    dq: float
    k_min: int
    k_max: int

    @property
    def q(self) -> FloatArray:
        """(k_max,) Q values from 0, in Å⁻¹."""
        return self.dq * np.arange(self.k_max, dtype=np.float64)

    @property
    def limits(self) -> tuple[float, float]:
        """The limits of the integral that DiffPy's sum stands for: (k_min - 1/2)ΔQ and (k_max - 1/2)ΔQ, in Å⁻¹."""
        return (self.k_min - 0.5) * self.dq, (self.k_max - 0.5) * self.dq


def diffpy_grid(instrument: Instrument, uiso: float, delta2: float, rmax: float, rstep: float) -> DiffpyGrid:
    """DiffPy extends r by termination ripples and the width of a peak, and that fixes its Q grid.

    Args:
        instrument: qmin and qmax are used.
        uiso: Isotropic displacement parameter, in Å².
        delta2: Correlated motion, in Å².
        rmax: Exclusive upper end of the r grid, in Å.
        rstep: Step of the r grid, in Å.

    Returns:
        The grid.
    """
    fwhm = 2.0 * math.sqrt(2.0 * math.log(2.0)) * math.sqrt(2.0 * uiso) * max(1.0, math.sqrt(1.0 - delta2 / rmax**2))
    extension = min(10.0, 12.0 * math.pi / instrument.qmax + 2.1327 * fwhm)
    r_extended = math.ceil((rmax + extension) / rstep - 1e-9) * rstep
    dq = math.pi / r_extended
    return DiffpyGrid(r_extended, dq, math.ceil(instrument.qmin / dq), math.ceil(instrument.qmax / dq))


def debye_gr(
    r: FloatArray,
    positions: FloatArray,
    instrument: Instrument,
    uiso: float,
    *,
    delta1: float = 0.0,
    delta2: float = 0.0,
    scale: float = 1.0,
    stretch: float = 1.0,
    grid: Literal["exact", "diffpy"] = "exact",
    weights: ArrayLike | None = None,
    rmax: float | None = None,
    rstep: float | None = None,
) -> FloatArray:
    """G(r) = scale exp(-(Qdamp r)²/2) (2/π) ∫_{Qmin}^{Qmax} F(Q) sin(Qr) dQ of a finite cluster.

    ``grid="exact"`` integrates the stated limits to rounding error. ``grid="diffpy"`` reproduces the grid, the FFT and
    the linear interpolation of DiffPy-CMI's DebyePDFCalculator.

    Args:
        r: (n_r,) in Å.
        positions: (N, 3) in Å, before ``stretch``.
        instrument: qmin, qmax, qdamp and qbroad in Å⁻¹.
        uiso: Isotropic displacement parameter of every atom, in Å².
        delta1: Correlated motion, 1/d term, in Å.
        delta2: Correlated motion, 1/d² term, in Å².
        scale: Factor on G.
        stretch: Factor on all distances.
        grid: ``exact`` or ``diffpy``.
        weights: (N,) constant scattering lengths, or None for one element.
        rmax: Exclusive upper end of DiffPy's own r grid, in Å; one step past the last r if None.
        rstep: Step of DiffPy's own r grid, in Å; the first step of r if None.

    Returns:
        (n_r,) in Å⁻².

    Raises:
        InputError: If ``grid``, the Q range or a shape is wrong.

    >>> dimer = np.array([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0]])
    >>> g = debye_gr(np.linspace(0.0, 4.0, 401), dimer, Instrument(0.0, 20.0), 0.005)
    >>> int(np.argmax(g))
    200
    """
    if not 0.0 <= instrument.qmin < instrument.qmax:
        raise InputError(f"Q range: got {instrument.qmin} to {instrument.qmax} Å⁻¹, need 0 <= qmin < qmax")
    r = np.asarray(r, dtype=np.float64)
    d, w = pair_distances(stretch * np.asarray(positions, dtype=np.float64), weights)
    physics = (len(positions), uiso, delta1, delta2, instrument.qbroad)
    if grid == "exact":
        extent = float(np.max(np.abs(r)) + d.max(initial=0.0))
        q, quadrature = gauss_legendre_band(instrument.qmin, instrument.qmax, extent)
        g = sine_transform(r, q, quadrature * _fq(q, d, w, *physics))
    elif grid == "diffpy":
        rstep = float(r[1] - r[0]) if rstep is None else rstep
        rmax = float(r[-1]) + rstep if rmax is None else rmax
        own = diffpy_grid(instrument, uiso, delta2, rmax, rstep)
        counted = d <= own.r_extended
        f = _fq(own.q, d[counted], w[counted], *physics)
        f[: own.k_min] = 0.0
        own_r, own_g = _diffpy_transform(f, own.dq, rstep)
        g = np.interp(r, own_r, own_g)
    else:
        raise InputError(f"grid: got {grid!r}, allowed are 'exact' and 'diffpy'")
    return scale * np.exp(-0.5 * (instrument.qdamp * r) ** 2) * g


def _diffpy_transform(f: FloatArray, dq: float, rstep: float) -> tuple[FloatArray, FloatArray]:
    """DiffPy's sine transform: F padded to a power of two so that the step in r is no larger than ``rstep``."""
    n = 2 ** math.ceil(math.log2(max(len(f), math.pi / (dq * rstep))))
    padded = np.zeros(n + 1)
    padded[: len(f)] = f
    g = 2.0 / np.pi * dq * n * np.fft.irfft(-1j * padded)
    return math.pi / (dq * n) * np.arange(n), g[:n]
