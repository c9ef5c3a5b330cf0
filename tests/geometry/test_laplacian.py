"""Recovery brings back what W came from; the Laplacian and its gradients are what the equations say."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from ase.cluster import BodyCenteredCubic, Decahedron, FaceCenteredCubic, Icosahedron, Octahedron
from hypothesis import given, settings
from hypothesis import strategies as st

from cbldm.errors import InputError
from cbldm.geometry.laplacian import (
    affinity,
    affinity_misfit,
    classical_scaling,
    distance_misfit,
    eigenmap,
    laplacian,
    pair_distances,
    recover_from_affinity,
    recover_from_distances,
)
from cbldm.types import FloatArray

DNN = 2.77
TAU = 10 * DNN**2
PLANES = [(1, 0, 0), (1, 1, 0), (1, 1, 1)]


def grid(*counts: int) -> FloatArray:
    return np.stack(np.meshgrid(*[np.arange(n) for n in counts], indexing="ij"), -1).reshape(-1, 3).astype(float)


SHAPES = {
    "sc 8": lambda: grid(2, 2, 2),
    "sc 216": lambda: grid(6, 6, 6),
    "bcc": lambda: BodyCenteredCubic("Fe", PLANES, (5, 5, 5), latticeconstant=1.0).positions,
    "fcc": lambda: FaceCenteredCubic("Pt", PLANES, (5, 4, 5), latticeconstant=1.0).positions,
    "hcp 12": lambda: bulk("Co", "hcp", a=1.0, c=1.633).repeat((3, 2, 1)).positions,
    "hcp 200": lambda: bulk("Co", "hcp", a=1.0, c=1.633).repeat((5, 5, 4)).positions,
    "icosahedron 13": lambda: Icosahedron("Pt", 2).positions,
    "icosahedron 147": lambda: Icosahedron("Pt", 4).positions,
    "decahedron 7": lambda: Decahedron("Pt", 2, 1, 0).positions,
    "decahedron 207": lambda: Decahedron("Pt", 5, 3, 0).positions,
    "marks decahedron": lambda: Decahedron("Pt", 3, 3, 1).positions,
    "octahedron 6": lambda: Octahedron("Pt", 2, 0).positions,
    "octahedron 231": lambda: Octahedron("Pt", 7, 0).positions,
    "plate 256": lambda: grid(16, 16, 1),
    "line 5": lambda: grid(5, 1, 1),
    "line 256": lambda: grid(256, 1, 1),
}


def scaled(positions: FloatArray) -> FloatArray:
    """Positions in Å with the nearest-neighbour distance DNN."""
    distances = pair_distances(positions) + np.diag(np.full(len(positions), np.inf))
    return positions * DNN / np.median(distances.min(axis=1))


def rmsd(a: FloatArray, b: FloatArray) -> float:
    """RMSD up to rotation, translation and reflection, atoms in the same order."""
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    u, _, vt = np.linalg.svd(b.T @ a)
    return float(np.sqrt(np.mean(np.sum((b @ u @ vt - a) ** 2, axis=1))))


def symmetric_noise(rng: np.random.Generator, n: int, sigma: float) -> FloatArray:
    upper = np.triu(rng.normal(scale=sigma, size=(n, n)), 1)
    return upper + upper.T


@pytest.mark.parametrize("name", SHAPES)
def test_recovery_from_an_exact_matrix_is_exact(name: str) -> None:
    truth = scaled(SHAPES[name]())
    assert 5 <= len(truth) <= 256
    assert rmsd(truth, recover_from_affinity(affinity(pair_distances(truth), TAU), TAU)) <= 1e-5


@pytest.mark.parametrize("name", SHAPES)
def test_recovery_from_exact_distances_is_exact(name: str) -> None:
    truth = scaled(SHAPES[name]())
    assert rmsd(truth, recover_from_distances(pair_distances(truth))) <= 1e-5


@pytest.mark.parametrize("name", ["sc 216", "bcc", "fcc", "icosahedron 147", "decahedron 207", "octahedron 231"])
def test_the_eigenmap_start_of_the_paper_finds_compact_clusters(name: str) -> None:
    truth = scaled(SHAPES[name]())
    weights = affinity(pair_distances(truth), TAU)
    assert rmsd(truth, recover_from_affinity(weights, TAU, start="eigenmap")) <= 1e-5


@pytest.mark.parametrize("tau", [3 * DNN**2, 30 * DNN**2])
def test_recovery_does_not_hang_on_tau(tau: float) -> None:
    truth = scaled(SHAPES["decahedron 207"]())
    assert rmsd(truth, recover_from_affinity(affinity(pair_distances(truth), tau), tau)) <= 1e-5


@pytest.mark.parametrize("start", ["mds", "eigenmap"])
@pytest.mark.parametrize("name", ["fcc", "icosahedron 147", "decahedron 207", "hcp 200"])
@pytest.mark.parametrize("sigma", [0.001, 0.01, 0.1])
def test_recovery_from_a_noisy_matrix_reaches_the_minimum_next_to_the_truth(start, name: str, sigma: float) -> None:
    truth = scaled(SHAPES[name]())
    noise = symmetric_noise(np.random.default_rng(1), len(truth), sigma)
    weights = affinity(pair_distances(truth), TAU) + noise
    if sigma == 0.1:
        assert weights.min() < 0 or weights.max() > 1
    found = recover_from_affinity(weights, TAU, start=start)
    assert affinity_misfit(found, weights, TAU)[0] <= affinity_misfit(truth, weights, TAU)[0]
    assert rmsd(truth, found) < 8.0 * sigma


@pytest.mark.parametrize("n_atoms", [1, 2, 3, 4])
@pytest.mark.parametrize("start", ["mds", "eigenmap"])
def test_the_smallest_clusters_are_recovered(n_atoms: int, start) -> None:
    truth = scaled(grid(2, 2, 2)[[0, 1, 2, 4][:n_atoms]]) if n_atoms > 1 else np.zeros((1, 3))
    found = recover_from_affinity(affinity(pair_distances(truth), TAU), TAU, start=start)
    np.testing.assert_allclose(pair_distances(found), pair_distances(truth), atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n_atoms=st.integers(5, 40), sigma=st.sampled_from([0.0, 0.003]))
def test_permuting_atoms_permutes_the_answer(seed: int, n_atoms: int, sigma: float) -> None:
    rng = np.random.default_rng(seed)
    truth = scaled(grid(4, 4, 4)[rng.permutation(64)[:n_atoms]])
    weights = affinity(pair_distances(truth), TAU) + symmetric_noise(rng, n_atoms, sigma)
    order = rng.permutation(n_atoms)
    straight, permuted = recover_from_affinity(weights, TAU), recover_from_affinity(weights[np.ix_(order, order)], TAU)
    np.testing.assert_allclose(pair_distances(permuted), pair_distances(straight)[np.ix_(order, order)], atol=1e-3)


@pytest.mark.parametrize("kind", ["affinity", "distance"])
def test_gradients_agree_with_finite_differences(kind: str) -> None:
    rng = np.random.default_rng(2)
    truth = scaled(Icosahedron("Pt", 2).positions)
    points = (truth + rng.normal(scale=0.2, size=truth.shape)).ravel()
    distances = pair_distances(truth)
    weights = affinity(distances, TAU)

    def objective(x: FloatArray) -> tuple[float, FloatArray]:
        return affinity_misfit(x, weights, TAU) if kind == "affinity" else distance_misfit(x, distances)

    gradient = objective(points)[1]
    step = 1e-4
    numeric = [(objective(points + e)[0] - objective(points - e)[0]) / (2 * step) for e in step * np.eye(len(points))]
    assert np.linalg.norm(gradient - numeric) <= 1e-6 * np.linalg.norm(gradient)


def test_the_laplacian_has_zero_row_sums_and_no_negative_eigenvalue() -> None:
    weights = affinity(pair_distances(scaled(SHAPES["fcc"]())), TAU)
    matrix = laplacian(weights)
    np.testing.assert_allclose(matrix.sum(axis=1), 0.0, atol=1e-12)
    assert np.linalg.eigvalsh(matrix).min() > -1e-10


def test_the_eigenmap_solves_the_generalised_eigenproblem_after_the_constant_vector() -> None:
    weights = affinity(pair_distances(scaled(SHAPES["fcc"]())), TAU)
    degrees, vectors = weights.sum(axis=1), eigenmap(weights)
    np.testing.assert_allclose(vectors.T @ (degrees[:, None] * vectors), np.eye(3), atol=1e-10)
    np.testing.assert_allclose(degrees @ vectors, 0.0, atol=1e-9)
    image = laplacian(weights) @ vectors
    values = np.sum(vectors * image, axis=0)
    np.testing.assert_allclose(image, degrees[:, None] * vectors * values, atol=1e-9)
    assert np.all(np.diff(values) > -1e-12)
    assert values[0] > 1e-6


def test_classical_scaling_gives_principal_axes_in_falling_order() -> None:
    positions = classical_scaling(pair_distances(grid(4, 3, 2)) ** 2)
    moments = positions.T @ positions
    np.testing.assert_allclose(moments, np.diag(np.diag(moments)), atol=1e-10)
    assert np.all(np.diff(np.diag(moments)) < 0)


@pytest.mark.parametrize(
    ("weights", "tau", "start", "message"),
    [
        (np.zeros((2, 3)), 1.0, "mds", r"affinity matrix: got shape \(2, 3\)"),
        (np.full((2, 2), np.nan), 1.0, "mds", "not finite"),
        (np.eye(2), 0.0, "mds", "tau: got 0.0"),
        (np.eye(2), 1.0, "smacof", "start: got 'smacof'"),
    ],
)
def test_bad_input_is_refused(weights: FloatArray, tau: float, start, message: str) -> None:
    with pytest.raises(InputError, match=message):
        recover_from_affinity(weights, tau, start=start)
