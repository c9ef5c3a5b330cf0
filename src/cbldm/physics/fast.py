"""G(r) of many clusters at once in torch: distances onto a fine grid, one sine transform to Q, one back to r.

A sine transform is a product with a matrix where that is small, else a Fourier transform.
Differentiable in the positions and in every parameter given as a tensor; memory is bounded by chunks of pairs.
Units: r and d in Å, Q in Å⁻¹, U in Å², F in Å⁻¹, G in Å⁻².
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from scipy.fft import next_fast_len, rfft
from torch import Tensor

from cbldm.errors import InputError
from cbldm.physics.instrument import EDGE_REACH, EDGE_ROOM, band_weights, relative_variance
from cbldm.physics.spread import INTERPOLATION, read, spread_distances

#: The grid step is a whole number of 1/4096 Å: exact in float32, and the same for many values of qmax.
STEPS_PER_ANGSTROM = 4096
#: Largest grid step in Å, for a small qmax; two atoms closer than four steps count as that far apart.
STEP_MAX = 0.05
#: Å by which a peak may reach beyond its distance.
PEAK_REACH = 1.0
#: Error allowed in the expansion of distance-dependent broadening, by dtype.
BROADENING_TOLERANCE = {torch.float32: 1e-7, torch.float64: 1e-12}

#: Longest r + d of a grid are multiples of this, in Å, so that few different grids occur.
EXTENTS = 4
#: Largest matrix of sines; for a longer transform Fourier's way takes less time.
MOST_SINES = 1 << 20
#: The number of rows of a matrix of sines is a multiple of this, so that few different ones occur.
ROWS_OF_SINES = 128
#: Å to which `approximate_slopes` rounds distances.
SLOPE_STEP = 0.04

Parameter = float | Tensor


def fast_gr(
    r: Tensor,
    positions: Tensor,
    mask: Tensor | None = None,
    *,
    qmin: Parameter,
    qmax: Parameter,
    qdamp: Parameter = 0.0,
    qbroad: Parameter = 0.0,
    uiso: Parameter,
    delta1: Parameter = 0.0,
    delta2: Parameter = 0.0,
    scale: Parameter = 1.0,
    stretch: Parameter = 1.0,
    surface: Tensor | None = None,
    surface_uiso: Parameter = 0.0,
) -> Tensor:
    """G(r) = scale exp(-(Qdamp r)²/2) (2/π) ∫_{Qmin}^{Qmax} F(Q) sin(Qr) dQ of each cluster of a batch.

    The same quantity as `cbldm.physics.debye.debye_gr` with ``grid="exact"``, for one element. Every parameter is a
    number, a tensor of no dimension, or one of shape (B,). Atoms closer than 0.2 Å count as that far apart.

    Args:
        r: (n_r,) in Å, any grid.
        positions: (B, N, 3) in Å, before ``stretch``; float32 or float64.
        mask: (B, N) True where there is an atom, or None where all are.
        qmin: Lower end of the integral, in Å⁻¹.
        qmax: Upper end of the integral, in Å⁻¹.
        qdamp: Damping, in Å⁻¹.
        qbroad: Broadening with distance, in Å⁻¹.
        uiso: Isotropic displacement parameter, in Å².
        delta1: Correlated motion, 1/d term, in Å.
        delta2: Correlated motion, 1/d² term, in Å².
        scale: Factor on G.
        stretch: Factor on all distances.
        surface: (B, N) True where an atom moves by ``surface_uiso``, not ``uiso``; None where none does. The variance
            of a distance is the sum of those of its ends.
        surface_uiso: In Å².

    Returns:
        (B, n_r) in Å⁻².

    Raises:
        InputError: If a shape, the Q range or a number cannot be used.

    >>> dimer = torch.tensor([[[0.0, 0.0, 0.0], [2.0, 0.0, 0.0]]])
    >>> g = fast_gr(torch.linspace(0, 4, 401), dimer, qmin=0.0, qmax=20.0, uiso=0.005)
    >>> int(g.argmax())
    200
    """
    if positions.ndim != 3 or positions.shape[-1] != 3 or positions.dtype not in INTERPOLATION:
        raise InputError(
            f"positions: got shape {tuple(positions.shape)} of {positions.dtype}, need (B, N, 3) of float32 or float64"
        )
    if surface is not None and (surface.shape != positions.shape[:2] or surface.dtype != torch.bool):
        raise InputError(
            f"surface: got shape {tuple(surface.shape)} of {surface.dtype}, need {tuple(positions.shape[:2])} of bool"
        )

    def column(value: Parameter) -> Parameter:
        return value.to(positions).reshape(-1, 1) if isinstance(value, Tensor) else float(value)

    qmin, qmax, qbroad, delta1, delta2 = map(column, (qmin, qmax, qbroad, delta1, delta2))
    uiso, surface_uiso = column(uiso), column(surface_uiso)
    stretched = positions * (stretch.to(positions).reshape(-1, 1, 1) if isinstance(stretch, Tensor) else stretch)
    n_atoms = positions.shape[1] if mask is None else mask.sum(-1, keepdim=True).clamp(min=1)

    # Grids: d = k h, r = k h and Q = k π/P, with 2P = n h.
    places = r.detach().cpu().double().numpy()
    shortest, longest = float(places.min()), float(places.max())
    diameter, top = _diameter_bound(stretched.detach(), mask), _largest(qmax)
    extent = longest + diameter + PEAK_REACH
    if not (shortest >= 0.0 and math.isfinite(extent) and -_largest(-qmin) >= 0.0 and _largest(qmin - qmax) < 0.0):
        raise InputError(
            f"got qmin {qmin}, qmax {qmax}, r from {shortest} to {longest} Å, clusters of {diameter} Å; "
            "need 0 <= qmin < qmax, r >= 0, everything finite"
        )
    grid = _Grid.of(EXTENTS * math.ceil(extent / EXTENTS), top, positions.dtype)
    taps = INTERPOLATION[positions.dtype].taps
    n_nodes, n_r = math.ceil(diameter / grid.step) + taps, math.ceil(longest / grid.step) + taps

    placed = stretched / grid.step
    histograms = [(spread_distances(placed, mask, n_nodes), uiso)]
    if surface is not None:
        present = torch.ones_like(surface) if mask is None else mask
        inner, outer = (spread_distances(placed, present & chosen, n_nodes) for chosen in (~surface, surface))
        across = histograms[0][0] - inner - outer
        histograms = [(inner, uiso), (outer, surface_uiso), (across, 0.5 * (uiso + surface_uiso))]
    steps = torch.arange(max(n_nodes, grid.n_q), dtype=positions.dtype, device=positions.device)
    d, q = grid.step * steps[:n_nodes].clamp(min=1), grid.dq * steps[: grid.n_q]
    parts = [_debye_transform(h / d, d, q, grid.n_fft, u, delta1, delta2, qbroad) for h, u in histograms]
    f = sum(parts[1:], parts[0]) * (2.0 / n_atoms)
    weighted = f * _band(grid, qmin, qmax, positions)
    weighted = weighted * (2.0 / math.pi)
    if grid.n_q * len(places) <= MOST_SINES:
        curves = weighted @ _sines_at(places.tobytes(), grid.dq, grid.n_q, positions.dtype, positions.device)
    else:
        curves = read(_sine_sum(weighted, grid.n_fft, n_r), places / grid.step)
    damping = torch.exp(-0.5 * (column(qdamp) * r.to(positions)) ** 2)
    return curves * (column(scale) * damping)


def approximate_slopes(
    r: Tensor, positions: Tensor, *, qmin: float, qmax: float, qdamp: float, uiso: float, delta2: float
) -> tuple[Tensor, Tensor]:
    """G(r) of one cluster and its derivatives by every coordinate and parameter, to some per cent.

    Distances are rounded to `SLOPE_STEP`, and of a wave sin(Qd)/d only the phase changes with d. That is enough for a
    Gauss-Newton Hessian, which takes the derivative of every point by every coordinate.

    Args:
        r: (n_r,) in Å.
        positions: (n_atoms, 3) in Å, at least two atoms.
        qmin: Lower end of the integral, in Å⁻¹.
        qmax: Upper end of the integral, in Å⁻¹.
        qdamp: Damping, in Å⁻¹.
        uiso: In Å².
        delta2: In Å².

    Returns:
        (n_r,) G in Å⁻², and (3 n_atoms + 2, n_r) its derivatives by x, y, z of the first atom and so on, uiso, delta2.
    """
    n_atoms = len(positions)
    first, second = torch.triu_indices(n_atoms, n_atoms, 1, device=positions.device)
    ends = positions[first] - positions[second]
    distances = ends.norm(dim=-1).clamp(min=SLOPE_STEP)
    bins = (distances / SLOPE_STEP).round().long()
    n_d, extent = int(bins.max()) + 1, float(r[-1]) + float(distances.max())
    counts = torch.bincount(bins, minlength=n_d).to(positions)
    units = ends / distances[:, None]
    pulls = positions.new_zeros(n_atoms * n_d, 3)
    pulls.index_add_(0, first * n_d + bins, units).index_add_(0, second * n_d + bins, -units)

    d = SLOPE_STEP * torch.arange(n_d, device=positions.device).clamp(min=1).to(positions)
    q = torch.linspace(qmin, qmax, math.ceil((qmax - qmin) * extent / math.pi) + 1, device=positions.device).to(d)
    ratio = (1.0 - delta2 / d**2).clamp(min=0.0)
    heat = torch.exp(-uiso * ratio[:, None] * q**2) / d[:, None]
    phase = d[:, None] * q
    to_r = torch.sin(q[:, None] * r) * torch.exp(-0.5 * (qdamp * r) ** 2) * (4.0 / math.pi / n_atoms * (q[1] - q[0]))
    by_distance = (heat * torch.cos(phase) * q) @ to_r
    by_place = pulls.view(n_atoms, n_d, 3).transpose(1, 2).reshape(-1, n_d) @ by_distance
    sums = torch.stack([counts, -ratio * counts, uiso * counts / d**2]) @ (heat * torch.sin(phase))
    sums[1:] *= q**2
    curve, by_uiso, by_delta2 = sums @ to_r
    return curve, torch.cat([by_place, by_uiso[None], by_delta2[None]])


def _largest(value: Parameter) -> float:
    return float(value.detach().max()) if isinstance(value, Tensor) else value


def _diameter_bound(positions: Tensor, mask: Tensor | None) -> float:
    """Twice the largest distance from the middle of a cluster, in Å: no pair is longer."""
    if mask is None:
        middle = positions.mean(1, keepdim=True)
    else:
        count = mask.sum(1).clamp(min=1)[:, None, None]
        middle = torch.where(mask[..., None], positions, 0.0).sum(1, keepdim=True) / count
        positions = torch.where(mask[..., None], positions, middle)
    return 2.0 * math.sqrt(float((positions - middle).square().sum(-1).max())) + 1e-3


@dataclass(frozen=True)
class _Grid:
    """Sizes of the two grids that a Fourier transform of length ``n_fft`` connects.

    Attributes:
        step: Of d and r, in Å.
        dq: Of Q, in Å⁻¹.
        n_fft: Length of the transform.
        n_q: Q values that count.
    """

    step: float
    dq: float
    n_fft: int
    n_q: int

    @classmethod
    @lru_cache
    def of(cls, extent: int, qmax: float, dtype: torch.dtype) -> _Grid:
        """Choose the grids for r + d up to ``extent`` (Å)."""
        step = math.floor(min(INTERPOLATION[dtype].band / qmax, STEP_MAX) * STEPS_PER_ANGSTROM) / STEPS_PER_ANGSTROM
        n_fft = 2 * next_fast_len(math.ceil(max(extent / (1.0 - EDGE_ROOM), EDGE_REACH / qmax) / step))
        half_period = 0.5 * n_fft * step
        dq = math.pi / half_period
        return cls(step, dq, n_fft, math.ceil((qmax + EDGE_REACH / half_period) / dq) + 1)


def _band(grid: _Grid, qmin: Parameter, qmax: Parameter, like: Tensor) -> Tensor:
    """Quadrature weights of the Q grid, remembered where both limits are plain numbers."""
    if isinstance(qmin, float) and isinstance(qmax, float):
        return _fixed_band(grid, qmin, qmax, like.dtype, like.device)
    lower, upper = (torch.as_tensor(edge, device=like.device).reshape(-1, 1) for edge in (qmin, qmax))
    return band_weights(grid.dq, grid.n_q, lower, upper).to(like)


@lru_cache
def _fixed_band(grid: _Grid, qmin: float, qmax: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    lower, upper = (torch.tensor([[edge]], dtype=torch.float64) for edge in (qmin, qmax))
    return band_weights(grid.dq, grid.n_q, lower, upper).to(dtype=dtype, device=device)


@lru_cache(maxsize=16)
def _sines_at(places: bytes, dq: float, n_q: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """sin(k ΔQ r), of shape (n_q, n_r)."""
    angles = dq * np.outer(np.arange(n_q), np.frombuffer(places))
    return torch.from_numpy(np.sin(angles)).to(device, dtype)


@lru_cache(maxsize=16)
def _sines(n_in: int, n_fft: int, n_out: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """sin(2π m k / n), of shape (n_in, n_out)."""
    period = torch.from_numpy(np.sin(2.0 * np.pi * np.arange(n_fft) / n_fft)).to(dtype).numpy()
    k, m = (np.arange(n, dtype=np.int32) for n in (n_in, n_out))
    return torch.from_numpy(period.take(np.outer(k, m) % np.int32(n_fft))).to(device)


def _sine_sum(values: Tensor, n_fft: int, n_out: int) -> Tensor:
    """Σ_k v_k sin(2π m k / n) for m < ``n_out``."""
    n_in = values.shape[-1]
    if n_in * n_out > MOST_SINES:
        return _long_sine_sum(values, n_fft, n_out)
    n_rows = ROWS_OF_SINES * math.ceil(n_in / ROWS_OF_SINES)
    return values @ _sines(n_rows, n_fft, n_out, values.dtype, values.device)[:n_in]


class _SineSumFunction(torch.autograd.Function):
    """`_sine_sum` by Fourier; its gradient is the same sum over m.

    On the CPU by scipy, which keeps its twiddle factors, where torch computes them anew in every call.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, n_fft: int, n_out: int) -> Tensor:
        ctx.sizes = (n_fft, values.shape[-1])
        if values.device.type == "cpu":
            return torch.from_numpy(-rfft(values.detach().numpy(), n_fft)[..., :n_out].imag)
        return -torch.fft.rfft(values, n_fft)[..., :n_out].imag

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return _long_sine_sum(grad, *ctx.sizes), None, None


_long_sine_sum: Callable[[Tensor, int, int], Tensor] = _SineSumFunction.apply


def _debye_transform(
    per_d: Tensor,
    d: Tensor,
    q: Tensor,
    n_fft: int,
    uiso: Parameter,
    delta1: Parameter,
    delta2: Parameter,
    qbroad: Parameter,
) -> Tensor:
    """Σ_k H_k/d_k exp(-U Q² ρ(d_k)) sin(Q d_k), where ρ is the relative variance.

    exp(-U Q² ρ) is a Chebyshev series in ρ over the range of ρ that the cluster has, with coefficients that depend on
    Q alone: one sine transform per term, of the histogram weighted by a Chebyshev polynomial.

    Args:
        per_d: (B, n_d) histogram over d, in Å⁻¹.
        d: (n_d,) in Å.
        q: (n_q,) in Å⁻¹.
        n_fft: Length of the Fourier transform.
        uiso: A number or (B or 1, 1), in Å².
        delta1: A number or (B or 1, 1), in Å.
        delta2: A number or (B or 1, 1), in Å².
        qbroad: A number or (B or 1, 1), in Å⁻¹.

    Returns:
        (B, n_q) in Å⁻¹.
    """
    decay = torch.atleast_2d(uiso * q**2)
    if all(isinstance(parameter, float) and parameter == 0.0 for parameter in (delta1, delta2, qbroad)):
        return torch.exp(-decay) * _sine_sum(per_d, n_fft, len(q))
    ratio = torch.atleast_2d(relative_variance(d, delta1, delta2, qbroad).clamp(min=0.0))
    middle, half = _range(ratio.detach(), per_d.detach())
    n_terms = _series_length(float(decay.detach().max()), float(middle.min()), float(half.max()), q.dtype)
    t = ((ratio - middle) / half).clamp(-1.0, 1.0)
    weighted = [per_d, per_d * t]
    while len(weighted) < n_terms:
        weighted.append(2.0 * t * weighted[-1] - weighted[-2])
    transformed = _sine_sum(torch.stack(weighted, 1), n_fft, len(q))
    j = torch.arange(n_terms, dtype=q.dtype, device=q.device)
    angle = math.pi * (j + 0.5) / n_terms
    exact = torch.exp(-decay[:, None] * (middle[..., None] + half[..., None] * torch.cos(angle)[:, None]))
    cosines = torch.cos(j[:, None] * angle) * (2.0 / n_terms)
    cosines[0] /= 2.0
    return ((cosines @ exact) * transformed).sum(1)


def _range(ratio: Tensor, per_d: Tensor) -> tuple[Tensor, Tensor]:
    """Middle and half width, (B, 1) each, of the relative variances that occur in each cluster."""
    present = per_d != 0
    low = torch.where(present, ratio, torch.inf).amin(-1, keepdim=True)
    high = torch.where(present, ratio, -torch.inf).amax(-1, keepdim=True)
    empty = low > high
    low, high = low.masked_fill(empty, 1.0), high.masked_fill(empty, 1.0)
    return 0.5 * (low + high), (0.501 * (high - low)).clamp(min=1e-2)


def _series_length(exponent: float, middle: float, half: float, dtype: torch.dtype) -> int:
    """Terms K of the Chebyshev series: the first with max_y exp(-y middle) (y half/2)^K / K! below the tolerance."""
    n_terms, tolerance = 3, math.log(BROADENING_TOLERANCE[dtype])
    while n_terms < 64:
        y = min(exponent, n_terms / max(middle, 1e-3))
        if n_terms * math.log(max(0.5 * y * half, 1e-30)) - y * middle - math.lgamma(n_terms + 1) < tolerance:
            break
        n_terms += 1
    return n_terms
