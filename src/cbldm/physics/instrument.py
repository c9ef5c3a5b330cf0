"""What the finite Q range, the resolution and the correlated motion of atoms do to F(Q) and G(r)."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

#: Part of the half period of the Fourier grid that must lie beyond the longest r + d.
EDGE_ROOM = 1.0 / 6.0
#: Width over which the kernel of the band falls to 0, as a part of the half period.
SOFTNESS = EDGE_ROOM / 4.0
#: Beyond this reach over the half period (Å), in Å⁻¹, from its edges the weights of the band are 0 or 1 to 1e-9.
EDGE_REACH = 9.2 / SOFTNESS
#: Spacing of the table of the smoothed step.
TABLE_STEP = math.pi / 128


def relative_variance(d: Any, delta1: Any, delta2: Any, qbroad: Any) -> Any:
    """σ²/(2U) = 1 - δ1/d - δ2/d² + Qbroad² d², before it is clipped at 0.

    Args:
        d: Distances in Å, an array or a tensor.
        delta1: In Å.
        delta2: In Å².
        qbroad: In Å⁻¹.

    Returns:
        The ratio, in the shape that ``d`` and the parameters broadcast to.
    """
    return 1.0 - delta1 / d - delta2 / d**2 + (qbroad * d) ** 2


def band_weights(dq: float, n_q: int, qmin: Tensor, qmax: Tensor) -> Tensor:
    """Weights with which Σ_m w_m Φ(m ΔQ), m >= 0, is ∫_{Qmin}^{Qmax} Φ(Q) dQ to 1e-8, wherever the limits lie.

    Φ must be even, 0 at Q = 0, and made of waves cos(Qx) with |x| <= (1 - `EDGE_ROOM`) P, where P = π/ΔQ. For such Φ
    the box [Qmin, Qmax] is as good as the box convolved with a kernel whose Fourier transform is 1 up to there and 0
    from (1 + `EDGE_ROOM`) P on; and on that smooth function the trapezoidal rule is exact.

    Args:
        dq: ΔQ, in Å⁻¹.
        n_q: Number of weights; the grid must reach `EDGE_REACH` / P past ``qmax``.
        qmin: (B or 1, 1) lower limit, in Å⁻¹.
        qmax: (B or 1, 1) upper limit, in Å⁻¹.

    Returns:
        (B or 1, n_q) in Å⁻¹, float64.

    >>> one = torch.ones(1, 1, dtype=torch.float64)
    >>> weights = band_weights(0.1, 400, 1.5 * one, 20.25 * one)
    >>> q = 0.1 * torch.arange(400)
    >>> exact = 9.375 - (math.sin(2 * 20.25 * 7) - math.sin(2 * 1.5 * 7)) / 28
    >>> bool((weights @ torch.sin(7 * q).double() ** 2 - exact).abs() < 1e-5)
    True
    """
    q = dq * torch.arange(n_q, dtype=torch.float64, device=qmin.device)
    edges = torch.cat(torch.broadcast_tensors(qmax.double(), qmin.double()), -1)[..., None, None]
    steps = _smooth_step((edges + torch.stack([q, -q])) * (math.pi / dq))
    return dq * (steps[:, 0] - steps[:, 1]).sum(-2)


def _smooth_step(tau: Tensor) -> Tensor:
    """S(τ) = (1/π) ∫_0^τ sin(y)/y exp(-(SOFTNESS y/2)²) dy, odd, from -1/2 to 1/2, by cubic Hermite interpolation."""
    table = _step_table().to(tau.device)
    u = (tau.abs() / TABLE_STEP).clamp(max=table.shape[1] - 0.5)
    bins = u.detach().floor()
    s = u - bins
    c0, c1, c2, c3 = torch.index_select(table, 1, bins.long().view(-1)).view(4, *tau.shape)
    return (((c3 * s + c2) * s + c1) * s + c0) * torch.sign(tau)


@lru_cache
def _step_table() -> Tensor:
    """(4, n) coefficients of the cubic pieces of S, by increasing power."""
    x, w = np.polynomial.legendre.leggauss(8)

    def integrand(y: Any) -> Any:
        return np.sinc(y / np.pi) / np.pi * np.exp(-((0.5 * SOFTNESS * y) ** 2))

    grid = TABLE_STEP * np.arange(math.ceil(EDGE_REACH / TABLE_STEP) + 2)
    rise = 0.5 * TABLE_STEP * integrand(grid[:-1, None] + 0.5 * TABLE_STEP * (1 + x)) @ w
    value = np.concatenate([[0.0], np.cumsum(rise)[:-1]])
    left, right = TABLE_STEP * integrand(grid[:-1]), TABLE_STEP * integrand(grid[1:])
    return torch.from_numpy(np.stack([value, left, 3 * rise - 2 * left - right, left + right - 2 * rise]))
