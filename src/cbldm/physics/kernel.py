"""Many clusters, few instruments: pair histograms times a dense kernel give G(r), all inside one batch on one device.

Training draws thousands of clusters a second. Their distances go into histograms once; a matrix per instrument then
turns them into G(r), with every broadening exact in the distance.
"""

from __future__ import annotations

import math

import torch

from cbldm.physics.instrument import relative_variance
from cbldm.types import Instrument


def pair_histogram(
    distances: torch.Tensor, present: torch.Tensor, start: float, step: float, n_bins: int
) -> torch.Tensor:
    """Deposit the distances of each cluster linearly onto a grid.

    Args:
        distances: (batch, n, n) distances.
        present: (batch, n) bool, False for padding.
        start: First grid point; no distance may lie below it.
        step: Grid step.
        n_bins: Number of grid points; a pair beyond the last is dropped.

    Returns:
        (batch, n_bins) weights; each pair i < j counts once.
    """
    batch, n = present.shape
    i, j = torch.triu_indices(n, n, offset=1, device=distances.device)
    place = (distances[:, i, j] - start) / step
    weight = (present[:, i] & present[:, j] & (place < n_bins - 1)).to(distances.dtype)
    left = place.floor().clamp(0, n_bins - 2)
    part = (place - left) * weight
    left = left.long()
    histogram = torch.zeros(batch, n_bins, dtype=distances.dtype, device=distances.device)
    histogram.scatter_add_(1, left, weight - part)
    histogram.scatter_add_(1, left + 1, part)
    return histogram


def sine_grid(
    r: torch.Tensor, instrument: Instrument, longest: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Q points of a midpoint rule that no distance up to ``longest`` aliases on.

    Returns:
        (n_q,) Q in Å⁻¹, (n_q, n_r) sin(Qr), and (n_r,) damping of the resolution.
    """
    n_q = math.ceil((instrument.qmax - instrument.qmin) * (float(r[-1]) + longest + 2) / math.pi)
    step = (instrument.qmax - instrument.qmin) / n_q
    q = instrument.qmin + step * (torch.arange(n_q, device=r.device) + 0.5)
    return q, torch.sin(q[:, None] * r), torch.exp(-0.5 * (instrument.qdamp * r) ** 2)


def pdf_kernel(
    r: torch.Tensor, distances: torch.Tensor, instrument: Instrument, uiso: float, delta2: float = 0.0
) -> torch.Tensor:
    """The matrix that turns a histogram of pair distances into N G(r), the Debye sum of Farrow & Billinge (2009).

    Args:
        r: (n_r,) in Å, or in units of a length that all other quantities share.
        distances: (n_bins,) grid of `pair_histogram`, equally spaced.
        instrument: Integration limits, damping and broadening.
        uiso: Mean square displacement of each atom.
        delta2: Correlated motion of near atoms.

    Returns:
        (n_bins, n_r); ``histogram @ kernel / n_atoms`` is G(r).
    """
    q, sines, damping = sine_grid(r, instrument, float(distances[-1]))
    variance = 2 * uiso * relative_variance(distances, 0.0, delta2, instrument.qbroad)
    # The linear deposit multiplies the transform by sinc²(Q step / 2); dividing undoes it.
    half = 0.5 * q * float(distances[1] - distances[0])
    smear = (torch.sin(half) / half) ** 2
    fq = torch.exp(-0.5 * variance.clamp_min(0)[:, None] * q**2) * torch.sin(distances[:, None] * q) / smear
    step = (instrument.qmax - instrument.qmin) / len(q)
    return (2 * step * 2 / math.pi) * (fq / distances[:, None]) @ sines * damping
