"""The blueprint: affinity W, graph Laplacian L = D - W, and the way back to positions (CbLDM, arXiv 2509.01370).

Lengths may be in any unit; ``tau`` is in the square of the same unit. Positions come back up to rigid motion and
reflection, which is all that distances hold.

The way back is a start followed by least squares. Two starts are kept: classical multidimensional scaling (MDS) of
-tau ln W, which is exact for an exact matrix of any shape and therefore the default, and the paper's Laplacian
eigenmaps, which are slightly closer than MDS in compact clusters with noise but fold long rods and plates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from scipy.linalg import eigh
from scipy.optimize import minimize, nnls
from scipy.sparse.csgraph import shortest_path

from cbldm.errors import InputError
from cbldm.types import FloatArray

#: Smallest affinities that the MDS start takes at face value: all that float64 can hold, then what noise leaves.
MDS_FLOORS = (1e-290, 1e-2)

#: Share of pairs below the floor beyond which clipping them would fold the shape, so their paths are measured instead.
PATH_SHARE = 0.1

#: Root mean square of W residuals below which a start counts as exact and no other floor is tried.
EXACT_RESIDUAL = 1e-9

#: Objective, gradient (flat) at flat positions.
Objective = Callable[[FloatArray], tuple[float, FloatArray]]


def pair_distances(positions: FloatArray) -> FloatArray:
    """Distances between all atoms.

    Args:
        positions: (n_atoms, 3).

    Returns:
        (n_atoms, n_atoms), zero diagonal, in the unit of the positions.
    """
    return np.sqrt(_squared_distances(np.asarray(positions, dtype=np.float64)))


def affinity(distances: FloatArray, tau: float) -> FloatArray:
    """Affinity W_ij = exp(-d_ij² / tau) (CbLDM, the matrix S).

    Args:
        distances: (n_atoms, n_atoms) distances.
        tau: Squared length over which the affinity decays.

    Returns:
        (n_atoms, n_atoms), symmetric, unit diagonal for zero self-distances.

    Raises:
        InputError: If tau is not positive.

    >>> affinity(np.array([[0.0, 1.0], [1.0, 0.0]]), tau=1.0).round(4)
    array([[1.    , 0.3679],
           [0.3679, 1.    ]])
    """
    return np.exp(np.square(distances) / -_positive(tau))


def laplacian(weights: FloatArray) -> FloatArray:
    """Graph Laplacian L = D - W with D the diagonal of the row sums of W.

    Args:
        weights: (n_atoms, n_atoms) affinity W.

    Returns:
        (n_atoms, n_atoms), every row sums to zero.

    >>> laplacian(np.array([[1.0, 0.5], [0.5, 1.0]]))
    array([[ 0.5, -0.5],
           [-0.5,  0.5]])
    """
    return np.diag(weights.sum(axis=1)) - weights


def eigenmap(weights: FloatArray, n_components: int = 3) -> FloatArray:
    """Laplacian eigenmap: eigenvectors 2 to n_components + 1 of L v = lambda D v (CbLDM, recovery).

    Args:
        weights: (n_atoms, n_atoms) symmetric affinity W, every row sum positive.
        n_components: Number of eigenvectors.

    Returns:
        (n_atoms, n_components) without unit, v^T D v = 1; columns beyond the n_atoms - 1 that exist are zero.

    Raises:
        InputError: If W is not square and finite, or a row sum is not positive.
    """
    weights = _square(weights, "affinity matrix")
    degrees = weights.sum(axis=1)
    if np.any(degrees <= 0):
        raise InputError(f"affinity matrix: row {int(np.argmin(degrees))} sums to {degrees.min():.3g}; must be > 0")
    n_atoms = len(weights)
    known = min(n_components, n_atoms - 1)
    vectors = np.zeros((n_atoms, n_components))
    if known:
        vectors[:, :known] = eigh(laplacian(weights), np.diag(degrees), subset_by_index=[1, known])[1]
    return vectors


def classical_scaling(squared_distances: FloatArray) -> FloatArray:
    """Classical multidimensional scaling in three dimensions (Torgerson 1952).

    Args:
        squared_distances: (n_atoms, n_atoms) symmetric.

    Returns:
        (n_atoms, 3) centred positions along their principal axes; directions without extent are exactly zero.

    >>> classical_scaling(np.array([[0.0, 4.0], [4.0, 0.0]])).round(12)
    array([[-1.,  0.,  0.],
           [ 1.,  0.,  0.]])
    """
    n_atoms = len(squared_distances)
    row_means = squared_distances.mean(axis=0)
    gram = -0.5 * (squared_distances - row_means - row_means[:, None] + row_means.mean())
    known = min(3, n_atoms)
    values, vectors = eigh(gram, subset_by_index=[n_atoms - known, n_atoms - 1])
    values = np.where(values > 1e-13 * values[-1], values, 0.0)
    positions = np.zeros((n_atoms, 3))
    positions[:, :known] = (vectors * np.sqrt(values))[:, ::-1]
    return positions


def affinity_misfit(positions: FloatArray, weights: FloatArray, tau: float) -> tuple[float, FloatArray]:
    """Least-squares objective sum_{i<j} (exp(-d_ij²/tau) - W_ij)² and its gradient (CbLDM, recovery).

    With R the residuals and C = R exp(-d²/tau), the gradient is -(4/tau) times the Laplacian of C times the positions.

    Args:
        positions: (n_atoms, 3) or flat (3 n_atoms,).
        weights: (n_atoms, n_atoms) symmetric affinity W; its diagonal plays no part.
        tau: Squared length over which the affinity decays.

    Returns:
        The objective, and its (3 n_atoms,) gradient in 1 / length.
    """
    points = positions.reshape(-1, 3)
    modelled = np.exp(_squared_distances(points) / -tau)
    residuals = modelled - weights
    np.fill_diagonal(residuals, 0.0)
    value = 0.5 * float(np.vdot(residuals, residuals))
    return value, (-4.0 / tau) * _laplacian_times(residuals * modelled, points).ravel()


def distance_misfit(positions: FloatArray, distances: FloatArray) -> tuple[float, FloatArray]:
    """Least-squares objective sum_{i<j} (d_ij - D_ij)² and its gradient.

    Args:
        positions: (n_atoms, 3) or flat (3 n_atoms,).
        distances: (n_atoms, n_atoms) symmetric target distances D; the diagonal plays no part.

    Returns:
        The objective in length², and its (3 n_atoms,) gradient in length; coinciding atoms exert no force.
    """
    points = positions.reshape(-1, 3)
    modelled = np.sqrt(_squared_distances(points))
    residuals = modelled - distances
    np.fill_diagonal(residuals, 0.0)
    value = 0.5 * float(np.vdot(residuals, residuals))
    forces = np.divide(residuals, modelled, out=np.zeros_like(residuals), where=modelled > 0)
    return value, 2.0 * _laplacian_times(forces, points).ravel()


def recover_from_affinity(
    weights: FloatArray, tau: float, *, start: Literal["mds", "eigenmap"] = "mds", max_iterations: int = 300
) -> FloatArray:
    """Positions from an affinity matrix by a start and L-BFGS on sum_{i<j} (exp(-d_ij²/tau) - W_ij)² (CbLDM, recovery).

    The matrix may be noisy: it is symmetrised, entries outside [0, 1] are clipped for the start only (the least
    squares sees them as they are) and the diagonal is ignored. An exact matrix gives exact positions for
    every shape with ``start="mds"``; the eigenmap start loses long rods and plates.

    Args:
        weights: (n_atoms, n_atoms) affinity W.
        tau: Squared length over which the affinity decays; gives the unit of the positions.
        start: Where the least squares begins: classical MDS of -tau ln W, or scaled Laplacian eigenmaps (the paper).
        max_iterations: Most L-BFGS iterations.

    Returns:
        (n_atoms, 3) centred positions, up to rigid motion and reflection.

    Raises:
        InputError: If W is not square and finite, tau is not positive or the start is unknown.

    >>> line = np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]])
    >>> found = recover_from_affinity(affinity(pair_distances(line), tau=10.0), tau=10.0)
    >>> pair_distances(found).round(6)
    array([[0., 1., 2.],
           [1., 0., 1.],
           [2., 1., 0.]])
    """
    weights = _square(weights, "affinity matrix")
    tau = _positive(tau)
    if start not in ("mds", "eigenmap"):
        raise InputError(f"start: got {start!r}; allowed are 'mds' and 'eigenmap'")
    first = _mds_start(weights, tau) if start == "mds" else _eigenmap_start(weights, tau)
    return _minimise(lambda flat: affinity_misfit(flat, weights, tau), first, max_iterations)


def recover_from_distances(distances: FloatArray, *, max_iterations: int = 300) -> FloatArray:
    """Positions from a distance matrix by classical MDS and L-BFGS on the distances (the paper's ablation variant).

    The matrix may be noisy: it is symmetrised, its diagonal is ignored and negative entries count as zero in the start.

    Args:
        distances: (n_atoms, n_atoms).
        max_iterations: Most L-BFGS iterations.

    Returns:
        (n_atoms, 3) centred positions in the unit of the distances, up to rigid motion and reflection.

    Raises:
        InputError: If the matrix is not square and finite.
    """
    distances = _square(distances, "distance matrix")
    squares = np.square(np.maximum(distances, 0.0))
    np.fill_diagonal(squares, 0.0)
    first = classical_scaling(squares)
    return _minimise(lambda flat: distance_misfit(flat, distances), first, max_iterations)


def _mds_start(weights: FloatArray, tau: float) -> FloatArray:
    """Classical MDS of -tau ln W, clipped at a floor; many pairs below it get their shortest path over the others.

    The floor that explains W best wins: the lowest one for an exact matrix, a higher one where noise drowns far pairs.
    """
    n_pairs = max(len(weights) * (len(weights) - 1) / 2, 1)
    best, lowest = np.zeros((len(weights), 3)), np.inf
    for floor in MDS_FLOORS:
        squares = -tau * np.log(np.clip(weights, floor, 1.0))
        np.fill_diagonal(squares, 0.0)
        unknown = weights < floor
        if np.mean(unknown) > PATH_SHARE:
            steps = np.sqrt(squares)
            steps[unknown] = np.inf
            squares = np.where(unknown, np.square(_shortest_paths(steps)), squares)
        candidate = classical_scaling(squares)
        value = affinity_misfit(candidate, weights, tau)[0]
        if value < lowest:
            best, lowest = candidate, value
        if value <= n_pairs * EXACT_RESIDUAL**2:
            break
    return best


def _shortest_paths(steps: FloatArray) -> FloatArray:
    """Shortest paths along finite steps; atoms that no path joins are put one longest path apart."""
    paths = np.asarray(shortest_path(steps, method="FW", directed=False))
    joined = np.isfinite(paths)
    return np.where(joined, paths, np.max(paths[joined]))


def _eigenmap_start(weights: FloatArray, tau: float) -> FloatArray:
    """Laplacian eigenmaps, each axis stretched so that W-weighted squared distances match -tau ln W."""
    clipped = np.clip(weights, 1e-3, 1.0)
    np.fill_diagonal(clipped, 1.0)
    axes = eigenmap(clipped)
    rows, columns = np.triu_indices(len(weights), 1)
    if not len(rows):
        return axes
    trust = clipped[rows, columns]
    squares = -tau * np.log(trust)
    stretches = nnls(np.square(axes[rows] - axes[columns]) * trust[:, None], squares * trust)[0]
    return np.asarray(axes * np.sqrt(stretches))


def _minimise(objective: Objective, first: FloatArray, max_iterations: int) -> FloatArray:
    """L-BFGS from a start; returns centred positions."""
    result = minimize(
        objective,
        first.ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": max_iterations, "maxfun": 2 * max_iterations, "ftol": 1e-15, "gtol": 1e-9},
    )
    points = np.asarray(result.x, dtype=np.float64).reshape(-1, 3)
    return np.asarray(points - points.mean(axis=0))


def _squared_distances(points: FloatArray) -> FloatArray:
    """Squared distances through the Gram matrix: one matrix product, never negative, zero diagonal."""
    centred = points - points.mean(axis=0)
    norms = np.einsum("ij,ij->i", centred, centred)
    squares: FloatArray = norms[:, None] + norms - 2.0 * (centred @ centred.T)
    np.maximum(squares, 0.0, out=squares)
    np.fill_diagonal(squares, 0.0)
    return squares


def _laplacian_times(couplings: FloatArray, points: FloatArray) -> FloatArray:
    """Graph Laplacian of symmetric couplings times the positions: sum_j C_ij (x_i - x_j)."""
    moved: FloatArray = couplings.sum(axis=1)[:, None] * points - couplings @ points
    return moved


def _square(matrix: FloatArray, name: str) -> FloatArray:
    """The matrix as symmetric float64."""
    matrix = np.asarray(matrix, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not len(matrix):
        raise InputError(f"{name}: got shape {matrix.shape}; must be (n_atoms, n_atoms) with at least one atom")
    if not np.all(np.isfinite(matrix)):
        raise InputError(f"{name}: holds values that are not finite")
    return np.asarray(0.5 * (matrix + matrix.T), dtype=np.float64)


def _positive(tau: float) -> float:
    """Tau as a float, checked."""
    if not np.isfinite(tau) or tau <= 0:
        raise InputError(f"tau: got {tau}; must be a positive squared length")
    return float(tau)
