"""G(r) of an infinite crystal of one element, limited to a Q range like that of a cluster.

The pairs of an infinite crystal never end, and what lies beyond the last r that is asked for still reaches into it,
because the end of the Q range gives every peak long ripples. Without broadening that grows with distance their sum has
no limit: a Bragg peak is in the range or not. Pairs and mean density are therefore faded out together beyond the last
r, which broadens the Bragg peaks by about 1/`FADE`, as the resolution does. A `FADE` of 20 Å instead changes G(r) of
nickel to 60 Å by Rw 0.004 at most.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import erfc

from cbldm.errors import InputError
from cbldm.physics.debye import sine_transform
from cbldm.physics.instrument import EDGE_REACH, EDGE_ROOM, band_weights, relative_variance
from cbldm.types import FloatArray, Instrument

LatticeName = Literal["fcc", "bcc", "hcp", "diamond"]
LATTICES: tuple[LatticeName, ...] = get_args(LatticeName)

#: Atoms in the conventional cell, of volume a³, or a²c sqrt(3)/2 for hcp.
ATOMS_PER_CELL = {"fcc": 4, "bcc": 2, "hcp": 2, "diamond": 8}
#: Width in Å over which pairs fade out, and number of widths between the last r and the middle of the fading.
FADE, FADE_WIDTHS = 4.0, 3.5
#: Step in Å of the grid that peaks are drawn on, and half the width of a drawn peak over its standard deviation.
STEP, PEAK_WIDTHS = 0.025, 6.0
#: A peak is drawn with at least this standard deviation, in Å; a narrower one would fall between the grid points.
NARROWEST = 0.02
#: Shells drawn together.
CHUNK = 2048


@dataclass(frozen=True)
class Shells:
    """Neighbours of an atom by their squared distance, in_a a² + in_c c².

    Attributes:
        in_a: (n,) share of a².
        in_c: (n,) share of c²; 0 for cubic lattices.
        counts: (n,) neighbours.
    """

    in_a: FloatArray
    in_c: FloatArray
    counts: FloatArray

    def distances(self, a: float, c: float) -> FloatArray:
        """(n,) in Å for lattice constants in Å."""
        return np.sqrt(self.in_a * a**2 + self.in_c * c**2)


def lattice_shells(lattice: LatticeName, a: float, c: float, reach: float) -> Shells:
    """Every neighbour of an atom up to a distance; all atoms of these lattices have the same neighbours.

    Args:
        lattice: One of `LATTICES`.
        a: Lattice constant in Å.
        c: Lattice constant of hcp in Å; ignored by the others.
        reach: Longest distance in Å.

    Raises:
        InputError: The lattice is none of `LATTICES`.

    >>> shells = lattice_shells("fcc", 1.0, 1.0, 1.5)
    >>> shells.in_a.tolist(), shells.counts.tolist()
    ([0.5, 1.0, 1.5, 2.0], [12.0, 6.0, 24.0, 12.0])
    """
    if lattice not in LATTICES:
        raise InputError(f"lattice must be {', '.join(LATTICES[:-1])} or {LATTICES[-1]}, got {lattice!r}")
    if lattice == "hcp":
        in_a, in_c, counts = _hexagonal_shells(a, c, reach)
    else:
        # In units of a/2 the sites of fcc have an even sum, those of bcc are all even or all odd. Of the vectors that
        # are all odd in units of a/4, diamond holds one of each pair v, -v.
        n = math.ceil(2 * reach / a)
        whole = np.arange(-n, n + 1)
        odd = np.arange(-2 * n - 1, 2 * n + 2, 2)
        if lattice == "bcc":
            squares = [(_sums_of_squares(x), 1.0, 4) for x in (whole[whole % 2 == 0], whole[whole % 2 == 1])]
        else:
            fcc = _sums_of_squares(whole)
            fcc[1::2] = 0
            squares = [(fcc, 1.0, 4)] + ([(_sums_of_squares(odd), 0.5, 16)] if lattice == "diamond" else [])
        in_a = np.concatenate([np.arange(len(found)) / unit for found, _, unit in squares])
        counts = np.concatenate([share * found for found, share, _ in squares])
        in_c = np.zeros_like(in_a)
    shells = Shells(in_a, in_c, counts)
    d = shells.distances(a, c)
    kept = np.flatnonzero((counts > 0) & (d > 0) & (d <= reach))
    kept = kept[np.argsort(d[kept], kind="stable")]
    return Shells(in_a[kept], in_c[kept], counts[kept])


def _sums_of_squares(values: NDArray[np.int64]) -> FloatArray:
    """How often each x² + y² + z² occurs among the values."""
    squares = values**2
    plane = np.bincount(np.add.outer(squares, squares).ravel())
    space = np.zeros(len(plane) + int(squares.max()))
    for square in squares:
        space[square : square + len(plane)] += plane
    return space


def _hexagonal_shells(a: float, c: float, reach: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Layers at multiples of c/2; every other one is shifted by a third of the cell's diagonal."""
    n = math.ceil(2 * reach / (math.sqrt(3) * a)) + 1
    h, k = np.meshgrid(np.arange(-n, n + 1), np.arange(-n, n + 1))
    parts = []
    for shift in (0, 1):
        u, v = 3 * h + shift, 3 * k + shift
        plane = np.bincount(((u * u + u * v + v * v) // 3).ravel())
        p = plane.nonzero()[0]
        layers = np.arange(-math.ceil(2 * reach / c) - 1, math.ceil(2 * reach / c) + 2)
        heights = np.bincount(layers[layers % 2 == shift] ** 2)
        q = heights.nonzero()[0]
        pairs = np.meshgrid(p / 3, q / 4, indexing="ij")
        parts.append((*pairs, np.multiply.outer(plane[p], heights[q])))
    in_a, in_c, counts = (np.concatenate([part[i].ravel() for part in parts]).astype(np.float64) for i in range(3))
    return in_a, in_c, counts


def atomic_density(lattice: LatticeName, a: float, c: float) -> float:
    """Atoms per Å³ for lattice constants in Å.

    >>> round(atomic_density("fcc", 3.52, 3.52), 4)
    0.0917
    """
    volume = a**2 * c * math.sqrt(3) / 2 if lattice == "hcp" else a**3
    return ATOMS_PER_CELL[lattice] / volume


class CrystalBand:
    """F(Q) of an infinite crystal on a Q grid that integrates [Qmin, Qmax] exactly for r up to an end.

    Attributes:
        q: (n_q,) in Å⁻¹.
    """

    def __init__(
        self, lattice: LatticeName, end: float, qmin: float, qmax: float, *, smallest_a: float, smallest_c: float
    ) -> None:
        """Lay out the grids.

        Args:
            lattice: One of `LATTICES`.
            end: Largest r in Å that G(r) will be asked for.
            qmin: In Å⁻¹.
            qmax: In Å⁻¹.
            smallest_a: No lattice constant below it will be asked for, in Å.
            smallest_c: Likewise for c of hcp, in Å; ignored by the others.

        Raises:
            InputError: The lattice is none of `LATTICES`, or the Q range is empty.
        """
        if not 0.0 <= qmin < qmax:
            raise InputError(f"Q range: got {qmin} to {qmax} Å⁻¹, need 0 <= qmin < qmax")
        self.lattice = lattice
        self.middle = end + FADE_WIDTHS * FADE
        reach = self.middle + FADE_WIDTHS * FADE
        self.shells = lattice_shells(lattice, smallest_a, smallest_c, reach)
        self.step = min(STEP, 0.5 * math.pi / qmax)
        n = math.ceil((reach + 1.0 + end) / (1 - EDGE_ROOM) / self.step)
        self._half = n
        self.grid: FloatArray = self.step * np.arange(math.ceil((reach + 10.0) / self.step), dtype=np.float64)
        self._fade = self._faded(self.grid)
        dq = math.pi / (n * self.step)
        n_q = math.ceil((qmax + EDGE_REACH / (n * self.step)) / dq) + 2
        self.q = dq * np.arange(n_q, dtype=np.float64)
        low, high = (torch.tensor([[limit]], dtype=torch.float64) for limit in (qmin, qmax))
        self._weights: FloatArray = band_weights(dq, n_q, low, high)[0].numpy()

    def _faded(self, d: FloatArray) -> FloatArray:
        """What is left of pairs at these distances: 1 up to the end (to 3e-4), 0 far beyond."""
        return 0.5 * erfc((d - self.middle) / (math.sqrt(2) * FADE))

    def weighted_fq(self, a: float, c: float, uiso: float, *, delta2: float = 0.0, qbroad: float = 0.0) -> FloatArray:
        """(n_q,) F(Q) in Å⁻¹ times the weight of each Q in the integral, for `sine_transform`.

        F(Q) = Σ n exp(-σ²Q²/2) sin(Qd)/d over the shells, minus the transform of 4π r ρ0.

        Args:
            a: Lattice constant in Å.
            c: Of hcp, in Å.
            uiso: In Å².
            delta2: In Å².
            qbroad: In Å⁻¹.
        """
        d = self.shells.distances(a, c)
        variance = 2.0 * uiso * relative_variance(d, 0.0, delta2, qbroad)
        sigma = np.sqrt(np.maximum(variance, NARROWEST**2))
        height = self.shells.counts * self._faded(d) / (d * sigma * math.sqrt(2 * math.pi))
        density = -4 * math.pi * atomic_density(self.lattice, a, c) * self.grid * self._fade
        for start in range(0, len(d), CHUNK):
            part = slice(start, start + CHUNK)
            room = math.ceil(PEAK_WIDTHS * float(sigma[part].max()) / self.step)
            places = np.rint(d[part] / self.step).astype(np.int64)[:, None] + np.arange(-room, room + 1)
            z = (self.step * places - d[part, None]) / sigma[part, None]
            peaks = height[part, None] * np.exp(-0.5 * z * z)
            # A peak near 0 or the far end of the grid loses its outermost points, where it or its weight is nothing.
            inside = (places >= 0) & (places < len(self.grid))
            density += np.bincount(places[inside], peaks[inside], len(self.grid))
        transform = -np.fft.rfft(density, 2 * self._half).imag[: len(self.q)] * self.step
        return self._weights * transform


def crystal_gr(
    r: FloatArray,
    lattice: LatticeName,
    a: float,
    instrument: Instrument,
    uiso: float,
    *,
    c: float | None = None,
    delta2: float = 0.0,
    scale: float = 1.0,
) -> FloatArray:
    """G(r) = scale exp(-(Qdamp r)²/2) (2/π) ∫_{Qmin}^{Qmax} F(Q) sin(Qr) dQ of an infinite crystal.

    Args:
        r: (n_r,) in Å.
        lattice: One of `LATTICES`.
        a: Lattice constant in Å.
        instrument: qmin, qmax, qdamp and qbroad in Å⁻¹.
        uiso: Isotropic displacement parameter of every atom, in Å².
        c: Lattice constant of hcp, in Å; that of touching spheres if None.
        delta2: Correlated motion, in Å².
        scale: Factor on G.

    Returns:
        (n_r,) in Å⁻².

    Raises:
        InputError: The lattice is none of `LATTICES`, or the Q range is empty.

    >>> r = np.arange(0.5, 3.0, 0.01)
    >>> g = crystal_gr(r, "fcc", 3.52, Instrument(0.0, 60.0), 0.006)
    >>> float(r[np.argmax(g)]), float(g[100] / r[100]), -4 * math.pi * 4 / 3.52**3
    (2.49, -1.15, -1.15)
    """
    r = np.asarray(r, dtype=np.float64)
    height = a * math.sqrt(8 / 3) if c is None else c
    end = float(r.max(initial=1.0))
    band = CrystalBand(lattice, end, instrument.qmin, instrument.qmax, smallest_a=a, smallest_c=height)
    fq = band.weighted_fq(a, height, uiso, delta2=delta2, qbroad=instrument.qbroad)
    return scale * np.exp(-0.5 * (instrument.qdamp * r) ** 2) * sine_transform(r, band.q, fq)
