"""A smooth background of few terms: what a ligand shell and errors of normalisation add to G(r).

The density of ligands about a core is broad in r, and so are the errors that a wrong composition or absorption leaves
in F(Q): both are waves sin(Qr) of small Q. G(r) holds nothing below Qmin, so the smoothest that it can hold are the
first waves above it. On the way up to `HIGHEST_Q` the atoms themselves scatter little, for the first diffraction peak
of a metal lies at 2.6 Å⁻¹ or above. That is why few terms take little from the structure, and many would take its size.

Everything is linear in the amplitudes, so they are profiled out exactly, as the scale is. With orthonormal terms A on
the points of the data and the ridge λ, the least over a of |y - c - A a|² + λ |a|² is |M (y - c)|², where

    M = 1 - (1 - sqrt(λ / (1 + λ))) A Aᵀ.

So the data and every curve go through one linear filter M, and what compares them afterwards knows of no background.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from cbldm.types import FloatArray, Pdf

# Reading a file asks how many terms there may be: a misspelt name must not wait for torch.
if TYPE_CHECKING:
    from torch import Tensor

#: Highest Q in Å⁻¹ of a term.
HIGHEST_Q = 2.0


def background_q(n_terms: int, qmin: float, rmax: float) -> FloatArray:
    """(n_terms,) Q in Å⁻¹ of the terms: the first above Qmin, as far apart as data that end at rmax can tell.

    >>> background_q(3, 0.8, 20.0).round(3).tolist()
    [0.879, 1.036, 1.193]
    """
    return np.asarray(qmin + (np.arange(n_terms) + 0.5) * np.pi / rmax, dtype=np.float64)


def most_terms(qmin: float, rmax: float) -> int:
    """How many terms lie below `HIGHEST_Q`.

    >>> most_terms(0.8, 20.0), most_terms(2.5, 20.0)
    (8, 0)
    """
    return max(0, int((HIGHEST_Q - qmin) * rmax / np.pi + 0.5))


@dataclass(frozen=True)
class Background:
    """The terms on the points of a fit, and how strongly they are held.

    The prior of the whole background is as large as what the fit leaves unexplained: each of the K amplitudes has a
    variance of 1/K of the misfit, each independent point of the data one of 1/n_eff of it. Their ratio is the ridge.

    Attributes:
        q: (K,) of the waves, in Å⁻¹.
        qdamp: Damping of the waves in Å⁻¹, that of G(r).
        ridge: λ, K / n_eff.
        r: (n_r,) in Å.
    """

    q: FloatArray
    qdamp: float
    ridge: float
    r: FloatArray

    @classmethod
    def of(cls, pdf: Pdf, r: FloatArray, n_eff: float) -> Background:
        """The background that the settings of a PDF ask for.

        Args:
            pdf: The data.
            r: (n_r,) points of the fit in Å.
            n_eff: Number of independent values in the fit range.
        """
        q = background_q(pdf.n_background, pdf.instrument.qmin, float(pdf.settings["rmax"].value))
        return cls(q, pdf.instrument.qdamp, len(q) / n_eff, r)

    def on(self, r: FloatArray) -> Background:
        """The same on other points (n_r,)."""
        return Background(self.q, self.qdamp, self.ridge, r)

    @property
    def freedom(self) -> float:
        """Effective number of parameters: of each amplitude the share that the data decide."""
        return len(self.q) / (1 + self.ridge)

    @cached_property
    def waves(self) -> FloatArray:
        """(n_r, K) sin(Qr), damped as G(r) is."""
        damping = np.exp(-0.5 * (self.qdamp * self.r) ** 2)
        return np.asarray(np.sin(self.r[:, None] * self.q) * damping[:, None])

    @cached_property
    def _factors(self) -> tuple[FloatArray, FloatArray]:
        """Orthonormal terms A (n_r, K) and the triangle (K, K) with waves = A @ triangle."""
        terms, triangle = np.linalg.qr(self.waves)
        return terms, triangle

    def filtered(self, curves: Tensor) -> Tensor:
        """M times curves (..., n_r): what is left of them once a background has been allowed for."""
        if not len(self.q):
            return curves
        import torch

        terms = torch.from_numpy(self._factors[0]).to(curves)
        return curves - (1 - (self.ridge / (1 + self.ridge)) ** 0.5) * (curves @ terms) @ terms.T

    def amplitudes(self, residual: Tensor) -> FloatArray:
        """(..., K) amplitudes in Å⁻² of the waves that explain residuals (..., n_r) best, held by the ridge."""
        terms, triangle = self._factors
        held = residual.detach().cpu().double().numpy() @ terms / (1 + self.ridge)
        return np.asarray(np.linalg.solve(triangle, held[..., None])[..., 0]) if len(self.q) else held

    def curve(self, amplitudes: FloatArray) -> FloatArray:
        """(..., n_r) background in Å⁻² of amplitudes (..., K)."""
        return np.asarray(amplitudes @ self.waves.T)
