"""What is fitted: the data of the fit range, the instrument and the background, and how curves compare with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from cbldm.errors import InputError
from cbldm.optimize import best_scales
from cbldm.physics.background import Background
from cbldm.physics.fast import fast_gr
from cbldm.types import FloatArray, Instrument, Pdf

#: Share of the steps of r that are no gaps.
WITHOUT_GAPS = 0.9


def fit_range(pdf: Pdf) -> tuple[FloatArray, FloatArray]:
    """Data points (r, G) between the settings rmin and rmax, both included.

    Raises:
        InputError: Fewer than 10 points lie between rmin and rmax.
    """
    rmin, rmax = (float(pdf.settings[key].value) for key in ("rmin", "rmax"))
    inside = (pdf.r >= rmin - 1e-9) & (pdf.r <= rmax + 1e-9)
    if np.count_nonzero(inside) < 10:
        raise InputError(
            f"only {np.count_nonzero(inside)} data points lie between rmin {rmin:g} and rmax {rmax:g} Å; "
            f"the data run from {pdf.r[0]:g} to {pdf.r[-1]:g} Å and at least 10 points are needed"
        )
    return pdf.r[inside], pdf.g[inside]


def thinned_range(pdf: Pdf, oversampling: float = 2.0) -> tuple[FloatArray, FloatArray]:
    """`fit_range` at the coarsest step that keeps so many points per independent one, pi / qmax."""
    r, g = fit_range(pdf)
    stride = max(1, int(np.pi / (oversampling * pdf.instrument.qmax) / np.quantile(np.diff(r), WITHOUT_GAPS)))
    return r[::stride], g[::stride]


def independent_points(pdf: Pdf) -> float:
    """Number of independent values in the fit range, qmax * (rmax - rmin) / pi (Nyquist), gaps in r left out."""
    steps = np.diff(fit_range(pdf)[0])
    length = np.minimum(steps, np.quantile(steps, WITHOUT_GAPS)).sum()
    return float(pdf.instrument.qmax * length / np.pi)


def background_of(pdf: Pdf, r: FloatArray) -> Background:
    """The background of a PDF on points r (n_r,) in Å."""
    return Background.of(pdf, r, independent_points(pdf))


class Explained(NamedTuple):
    """How curves explain the data: each with its best scale, and the background beside it.

    Attributes:
        scales: (B,) linear factors.
        amplitudes: (B, K) of the background, in Å⁻².
        calculated: (B, n_r) scaled curve and background, in Å⁻².
        rws: (B,) agreement factors.
    """

    scales: Tensor
    amplitudes: FloatArray
    calculated: Tensor
    rws: Tensor


@dataclass(frozen=True)
class Target:
    """The data as tensors, the instrument and the background.

    Attributes:
        r: (n_r,) in Å.
        data: (n_r,) G(r) in Å⁻².
        observed: (n_r,) the data once a background has been allowed for: what `curves` are compared with.
        instrument: What the measurement does to G(r).
        background: Terms of the background.
    """

    r: Tensor
    data: Tensor
    observed: Tensor
    instrument: Instrument
    background: Background

    @classmethod
    def of(
        cls,
        pdf: Pdf,
        *,
        oversampling: float | None,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
    ) -> Target:
        """The fit range of a PDF.

        Args:
            pdf: Data, instrument, fit range and background.
            oversampling: Points per independent one that thinned data keep; None for every point.
            dtype: Of the tensors.
            device: Of the tensors.
        """
        r, g = fit_range(pdf) if oversampling is None else thinned_range(pdf, oversampling)
        points, data = (torch.as_tensor(a.copy(), dtype=dtype, device=device) for a in (r, g))
        background = background_of(pdf, r)
        return cls(points, data, background.filtered(data), pdf.instrument, background)

    def damped(self, qdamp: float) -> Target:
        """The same with another Qdamp of the structure's curves."""
        return replace(self, instrument=replace(self.instrument, qdamp=qdamp))

    def whole_curves(self, positions: Tensor, mask: Tensor | None, **parameters: Any) -> Tensor:
        """(B, n_r) G(r) at scale 1 of clusters (B, N, 3) in Å, of which the mask (B, N) says which atoms are real.

        The parameters are those of `fast_gr` that are not the instrument's.
        """
        fixed: dict[str, Any] = {
            "qmin": self.instrument.qmin,
            "qmax": self.instrument.qmax,
            "qbroad": self.instrument.qbroad,
        }
        return fast_gr(self.r, positions, mask, **fixed, **parameters)

    def curves(self, positions: Tensor, mask: Tensor | None, **parameters: Any) -> Tensor:
        """(B, n_r) what is left of `whole_curves` once a background has been allowed for."""
        return self.background.filtered(self.whole_curves(positions, mask, **parameters))

    def explain(self, whole: Tensor) -> Explained:
        """Scale `whole_curves` (B, n_r) and add the background that goes with each."""
        scales = best_scales(self.background.filtered(whole), self.observed)
        scaled = scales[:, None] * whole
        amplitudes = self.background.amplitudes(self.data - scaled)
        calculated = scaled + torch.from_numpy(self.background.curve(amplitudes)).to(scaled)
        rws = torch.sqrt(((self.data - calculated) ** 2).sum(-1) / (self.data**2).sum())
        return Explained(scales, amplitudes, calculated, rws)


def batched(structures: Sequence[FloatArray], dtype: torch.dtype, device: str | torch.device) -> tuple[Tensor, Tensor]:
    """Centred structures as one (B, N, 3) tensor, and which atoms are real, (B, N)."""
    n_max = max(len(x) for x in structures)
    positions = torch.zeros(len(structures), n_max, 3, dtype=dtype, device=device)
    mask = torch.zeros(len(structures), n_max, dtype=torch.bool, device=device)
    for row, x in enumerate(structures):
        positions[row, : len(x)] = torch.as_tensor(x - x.mean(axis=0), dtype=dtype)
        mask[row, : len(x)] = True
    return positions, mask
