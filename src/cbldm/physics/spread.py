"""Between distances or r and an equally spaced grid: spreading every pair of atoms on nodes, and reading in between.

Everything is in steps of the grid. Differentiable; memory is bounded by chunks of pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from cbldm.types import FloatArray

#: Pairs handled at once: so few that the work stays in the cache of a core, and that torch does not divide each of the
#: many small steps among threads, which would spend their time waiting for each other.
PAIRS_AT_ONCE = (1 << 15) - 1
#: The same for an accelerator.
PAIRS_AT_ONCE_DEVICE = 1 << 22
#: Where absent atoms stand (steps, times their number), so that every pair with one of them falls off the grid.
FAR = 1.0e6


class Interpolation(NamedTuple):
    """How to go between the nodes of a grid.

    Attributes:
        moments: Powers 0, 1, ... of the place within a bin.
        taps: Nodes used, half of them on either side.
        band: Largest grid step times Q.
    """

    moments: int
    taps: int
    band: float


#: The error at qmax is 3e-7 and 7e-8, that of the derivative 1e-5 and 9e-7; peaks broadened by heat see less.
INTERPOLATION = {torch.float32: Interpolation(5, 8, 0.4), torch.float64: Interpolation(6, 8, 0.5)}


@lru_cache
def interpolation_kernel(moments: int, taps: int, band: float) -> FloatArray:
    """C with f(s) ≈ Σ_j f(j) Σ_m C[j, m] s^m for 0 <= s <= 1, for every f made of waves exp(iωx) with |ω| <= ``band``.

    The nodes are j = 1 - taps/2 ... taps/2. At the Chebyshev points of [0, 1], ends included, the weights of the
    nodes are the least-squares choice over the band; between them they are polynomials, so the result is continuous.

    Args:
        moments: Of `Interpolation`.
        taps: Of `Interpolation`.
        band: Of `Interpolation`.

    Returns:
        (taps, moments).

    >>> weights = interpolation_kernel(6, 8, 0.5) @ 0.25 ** np.arange(6)
    >>> bool(abs(weights @ np.sin(0.5 * np.arange(-3, 5)) - np.sin(0.125)) < 1e-7)
    True
    """
    s = 0.5 - 0.5 * np.cos(np.pi * np.arange(moments) / (moments - 1))
    omega = 1.1 * band * np.cos(np.pi * (np.arange(4 * taps) + 0.5) / (8 * taps))
    nodes = np.arange(1 - taps // 2, taps // 2 + 1)
    basis, wanted = (np.concatenate([np.cos(x), np.sin(x)]) for x in (np.outer(omega, nodes), np.outer(omega, s)))
    weights = np.linalg.lstsq(basis, wanted, rcond=1e-15)[0]
    return np.linalg.solve(np.vander(s, increasing=True), weights.T).T


@lru_cache
def _kernel(dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(interpolation_kernel(*INTERPOLATION[dtype]), dtype=dtype, device=device)


def read(grid: Tensor, u: FloatArray) -> Tensor:
    """Read odd functions, given at the steps 0, 1, ..., at the places ``u``.

    Args:
        grid: (B, n), where n - taps/2 exceeds every place.
        u: (n_u,) in steps, not negative.

    Returns:
        (B, n_u).
    """
    return _sparse_product(grid, _reading_matrix(u.tobytes(), grid.shape[1], grid.dtype, grid.device))


@lru_cache(maxsize=16)
def _reading_matrix(places: bytes, n: int, dtype: torch.dtype, device: torch.device) -> Any:
    """The sparse (n_u, n) matrix that `read` multiplies with, of scipy on the CPU and of torch elsewhere."""
    kernel = interpolation_kernel(*INTERPOLATION[dtype])
    taps, moments = kernel.shape
    u = np.frombuffer(places)
    bins = np.floor(u)
    nodes = bins[:, None] + np.arange(1 - taps // 2, taps // 2 + 1)
    weights = np.sign(nodes) * (np.vander(u - bins, moments, increasing=True) @ kernel.T)
    rows = taps * np.arange(len(u) + 1)
    matrix = csr_array((weights.ravel(), np.abs(nodes).astype(np.int32).ravel(), rows), shape=(len(u), n))
    matrix.sum_duplicates()
    if device.type == "cpu":
        return matrix.astype(torch.empty(0, dtype=dtype).numpy().dtype)
    pairs = matrix.tocoo()
    indices = torch.from_numpy(np.stack([pairs.row, pairs.col]).astype(np.int64))
    values = torch.from_numpy(pairs.data).to(device, dtype)
    return torch.sparse_coo_tensor(indices.to(device), values, matrix.shape, is_coalesced=True, check_invariants=False)


class _SparseProductFunction(torch.autograd.Function):
    """(B, n) tensor times the transpose of a sparse matrix."""

    @staticmethod
    def forward(ctx: Any, dense: Tensor, matrix: Any) -> Tensor:
        ctx.matrix = matrix
        if dense.device.type == "cpu":
            return torch.from_numpy((matrix @ dense.detach().numpy().T).T)
        return (matrix @ dense.T).T

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _sparse_product(grad, ctx.matrix.T), None


_sparse_product: Callable[[Tensor, Any], Tensor] = _SparseProductFunction.apply


def spread_distances(positions: Tensor, mask: Tensor | None, n_nodes: int) -> Tensor:
    """Give H with Σ_k H_k f(k) = Σ_{i<j} f(d_ij) for every smooth f: all distances, spread on a grid.

    Two atoms closer than taps/2 steps count, and are pushed, as if that far apart.

    Args:
        positions: (B, N, 3) in steps.
        mask: (B, N) True where there is an atom, or None where all are.
        n_nodes: Length of the grid; must exceed every distance by the number of taps.

    Returns:
        (B, n_nodes).
    """
    batch, n, _ = positions.shape
    if mask is not None:
        far = FAR * torch.arange(1, n + 1, dtype=positions.dtype, device=positions.device)[:, None]
        positions = torch.where(mask[..., None], positions, far)
    if n % 2 == 0:
        positions = torch.cat([positions, positions.new_full((batch, 1, 3), -FAR)], 1)
    # In the order of a lattice one bin would be hit many times in a row, and each addition would wait for the last.
    order = _shuffle(positions.shape[1], positions.device)
    kernel = _kernel(positions.dtype, positions.device)
    return _deposit(positions.transpose(1, 2).index_select(2, order), n_nodes, kernel)


@lru_cache
def _shuffle(n: int, device: torch.device) -> Tensor:
    return torch.randperm(n, generator=torch.Generator().manual_seed(0)).to(device)


class _DepositFunction(torch.autograd.Function):
    """Per bin the moments Σ s^m of the place s within the bin are summed; the weights of the nodes follow from them.

    The gradient is that of the same polynomials. The last bin takes what is off the grid, and is dropped.
    """

    @staticmethod
    def forward(ctx: Any, atoms: Tensor, n_nodes: int, kernel: Tensor) -> Tensor:
        ctx.save_for_backward(atoms)
        ctx.grid = (n_nodes, kernel)
        nodes = atoms.new_empty(len(atoms), n_nodes)
        for group in _groups(atoms):
            nodes[group.clusters] = _spread_group(group, n_nodes, kernel)
        return nodes

    @staticmethod
    def backward(ctx: Any, grad_nodes: Tensor) -> tuple[Tensor, None, None]:
        (atoms,) = ctx.saved_tensors
        n_nodes, kernel = ctx.grid
        grad = torch.empty_like(atoms)
        for group in _groups(atoms):
            grad[group.clusters] = _pull_group(group, grad_nodes[group.clusters], n_nodes, kernel)
        return grad, None, None


_deposit: Callable[[Tensor, int, Tensor], Tensor] = _DepositFunction.apply


def _spread_group(group: _Group, n_nodes: int, kernel: Tensor) -> Tensor:
    """(clusters, n_nodes) of the distances in the clusters of a group."""
    taps, n_moments = kernel.shape
    length = len(group.ring) * n_nodes
    # Many equal numbers are added up, whose rounding errors would all have one sign: in float64, always.
    moments = torch.zeros(n_moments, length, dtype=torch.float64, device=kernel.device)
    for pairs in group.chunks():
        _, place, index = pairs.bins(n_nodes, taps // 2)
        s = place.double()
        power = torch.ones_like(s)
        for moment in moments:
            moment.scatter_add_(0, index, power)
            power.mul_(s)
    moments.view(n_moments, -1, n_nodes)[..., -1] = 0.0
    # Row j of the buffer starts j places further right: a column is a node. Clusters do not touch, for their first
    # taps/2 and last taps - 1 bins are empty.
    rows = kernel.new_zeros(taps, length + taps)
    rows.as_strided((taps, length), (length + taps + 1, 1)).copy_(_multiply(kernel, moments.to(kernel)))
    return rows.sum(0)[taps // 2 - 1 :][:length].view(-1, n_nodes)


def _pull_group(group: _Group, grad_nodes: Tensor, n_nodes: int, kernel: Tensor) -> Tensor:
    """(clusters, 3, n) gradient with respect to the coordinates, from that with respect to the nodes."""
    taps, n_moments = kernel.shape
    size, n = len(group.ring), group.ring.shape[2] // 2
    padded = torch.nn.functional.pad(grad_nodes.reshape(-1), (taps // 2 - 1, taps // 2))
    derivative = kernel[:, 1:] * torch.arange(1, n_moments, device=kernel.device)
    slopes = _multiply(derivative.T, padded.unfold(0, taps, 1).T)
    slopes.view(n_moments - 1, -1, n_nodes)[..., -1] = 0.0
    grad = torch.zeros_like(group.ring)
    pull = columns = kernel.new_empty(0)
    for pairs in group.chunks():
        u, s, index = pairs.bins(n_nodes, taps // 2)
        slope = torch.index_select(slopes[-1], 0, index)
        for table in slopes[:-1].flip(0):
            slope.mul_(s).add_(torch.index_select(table, 0, index))
        slope = slope.div_(u).view(pairs.shape)
        # Each row of the buffer starts one place further right than the row above: a column is an atom.
        width = n + pairs.shape[1]
        if pull.shape != pairs.shape:
            columns = kernel.new_zeros(size, pairs.shape[1], width)
            pull = columns.as_strided(pairs.shape, (pairs.shape[1] * width, width + 1, 1))
        for axis in range(3):
            torch.mul(pairs.difference(axis), slope, out=pull)
            grad[:, axis, :n] -= pull.sum(1)
            grad[:, axis, pairs.shift : pairs.shift + width] += columns.sum(1)
    return grad[..., :n] + grad[..., n:]


@dataclass(frozen=True)
class _Pairs:
    """The pairs (i, i + k mod n) of some clusters, for k from ``shift`` on, read from a ring without any index.

    Attributes:
        ring: (clusters, 3, 2n) coordinates in steps, twice over.
        shift: The first k.
        shape: (clusters, shifts, n) of a quantity of the pairs.
    """

    ring: Tensor
    shift: int
    shape: tuple[int, int, int]

    def difference(self, axis: int) -> Tensor:
        """One coordinate of the second atom minus the first, of ``shape``."""
        offset = self.ring.storage_offset() + axis * self.ring.stride(1) + self.shift
        second = self.ring.as_strided(self.shape, (self.ring.stride(0), 1, 1), offset)
        return torch.sub(second, self.ring[:, axis, None, : self.shape[2]], out=self.ring.new_empty(self.shape))

    def bins(self, n_nodes: int, lowest: int) -> tuple[Tensor, Tensor, Tensor]:
        """Distance in steps, place within the bin, and index of the bin among those of all clusters; all flat."""
        squared = self.difference(0).square_()
        for axis in (1, 2):
            difference = self.difference(axis)
            squared.addcmul_(difference, difference)
        squared.clamp_(lowest**2, (n_nodes - 0.5) ** 2)
        u = _take_root(squared)
        index = u.long()
        if len(index) > 1:
            index += n_nodes * torch.arange(len(index), device=index.device)[:, None, None]
        return u.view(-1), u.frac().view(-1), index.view(-1)


def _take_root(values: Tensor) -> Tensor:
    """Square root in place, by numpy on the CPU: torch would let threads wait for each other in so short a step."""
    if values.device.type == "cpu":
        np.sqrt(values.numpy(), out=values.numpy())
        return values
    return values.sqrt_()


def _multiply(left: Tensor, right: Tensor) -> Tensor:
    """Product of two small matrices, by numpy on the CPU for the reason that `_take_root` gives."""
    if left.device.type == "cpu":
        return torch.from_numpy(left.numpy() @ right.numpy())
    return left @ right


@dataclass(frozen=True)
class _Group:
    """Clusters whose pairs are worked on together.

    Attributes:
        clusters: Which of the batch.
        ring: (clusters, 3, 2n) coordinates in steps, twice over; n is odd.
        rows: Values of k in one chunk.
    """

    clusters: slice
    ring: Tensor
    rows: int

    def chunks(self) -> Iterator[_Pairs]:
        """Name every pair of atoms once: (i, i + k mod n) for k <= (n-1)/2."""
        size, _, double = self.ring.shape
        last = (double // 2 - 1) // 2
        for shift in range(1, last + 1, self.rows):
            yield _Pairs(self.ring, shift, (size, min(self.rows, last + 1 - shift), double // 2))


def _groups(atoms: Tensor) -> Iterator[_Group]:
    """Divide a batch of clusters, (B, 3, n) with n odd."""
    batch, _, n = atoms.shape
    ring = torch.cat([atoms, atoms], -1)
    limit = PAIRS_AT_ONCE if atoms.device.type == "cpu" else PAIRS_AT_ONCE_DEVICE
    rows = max(1, min((n - 1) // 2, limit // n))
    size = max(1, limit // (rows * n))
    for start in range(0, batch, size):
        yield _Group(slice(start, start + size), ring[start : start + size], rows)
