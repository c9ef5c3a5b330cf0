"""Scores on known answers: copies score zero or one, known differences score what they are."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cbldm.data.clusters import decahedron, icosahedron, octahedron, textbook_clusters
from cbldm.errors import InputError
from cbldm.metrics import f1, rmsd, rw, sorted_distance_mae
from cbldm.types import Cluster, FloatArray

DNN = 2.77
SIGMA = 0.02


def rattled_copy(positions: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Rotated, mirrored, shifted and shuffled, every coordinate off by SIGMA (root mean square, after rigid motion)."""
    centred = positions - positions.mean(axis=0)
    noise = rng.normal(size=positions.shape)
    noise -= noise.mean(axis=0)
    turns = np.stack([np.cross(axis, centred) for axis in np.eye(3)]).reshape(3, -1)
    basis = np.linalg.svd(turns, full_matrices=False)[2]
    noise -= (basis.T @ (basis @ noise.ravel())).reshape(-1, 3)
    noise *= SIGMA / np.sqrt(np.mean(np.square(noise)))
    mirror_and_turn = -Rotation.from_quat(rng.normal(size=4)).as_matrix()
    return (positions + noise)[rng.permutation(len(positions))] @ mirror_and_turn.T + rng.normal(size=3)


def one_of_each() -> list[Cluster]:
    """A small, a middling and a large cluster of every family."""
    chosen = []
    for family in ("sc", "bcc", "fcc", "hcp", "icosahedron", "decahedron", "octahedron"):
        members = [cluster for cluster in textbook_clusters(256) if cluster.family == family]
        chosen += [members[i] for i in sorted({1, len(members) // 2, len(members) - 1})]
    return chosen


def check_known_answer(cluster: Cluster) -> None:
    truth = DNN * cluster.positions
    copy = rattled_copy(truth, np.random.default_rng(cluster.n_atoms))
    assert rmsd(truth, copy) == pytest.approx(SIGMA * np.sqrt(3), rel=0.1)
    assert f1(truth, copy) == 1.0
    assert sorted_distance_mae(truth, copy) < 2 * SIGMA


@pytest.mark.parametrize("cluster", one_of_each(), ids=lambda c: f"{c.family} {c.n_atoms}")
def test_a_rotated_mirrored_shuffled_rattled_copy_is_recognised(cluster: Cluster) -> None:
    check_known_answer(cluster)


@pytest.mark.slow
def test_every_textbook_cluster_is_recognised_in_its_rattled_copy() -> None:
    for cluster in textbook_clusters(256):
        check_known_answer(cluster)


@pytest.mark.parametrize("cluster", one_of_each(), ids=lambda c: f"{c.family} {c.n_atoms}")
def test_three_missing_atoms_cost_f1_what_they_should(cluster: Cluster) -> None:
    rng = np.random.default_rng(3)
    truth = DNN * cluster.positions
    n = cluster.n_atoms
    kept = rng.permutation(n)[3:]
    part = truth[kept] @ Rotation.from_quat(rng.normal(size=4)).as_matrix().T
    assert f1(truth, part) == pytest.approx(2 * (n - 3) / (2 * n - 3))
    assert f1(part, truth) == pytest.approx(2 * (n - 3) / (2 * n - 3))


def test_f1_falls_where_atoms_are_off_by_more_than_the_cutoff() -> None:
    truth = DNN * octahedron(4, 1).positions
    other = truth.copy()
    far = np.argmax(truth[:, 0])
    other[far] *= 1 + 0.9 / np.linalg.norm(other[far])
    assert f1(truth, other) == pytest.approx(2 * (len(truth) - 1) / (2 * len(truth)))
    assert f1(truth, other, cutoff=1.0) == 1.0


def test_different_motifs_of_one_size_score_far_from_a_copy() -> None:
    first, second = DNN * icosahedron(3).positions, DNN * decahedron(3, 3, 0).positions
    assert len(first) == len(second) == 55
    assert rmsd(first, second) > 0.5
    assert f1(first, second) < 0.8


def test_sorted_distance_mae_of_a_stretched_copy_is_the_stretch_of_the_mean_distance() -> None:
    truth = DNN * icosahedron(3).positions
    distances = np.linalg.norm(truth[:, None] - truth, axis=-1)[np.triu_indices(len(truth), 1)]
    assert sorted_distance_mae(truth, 1.01 * truth) == pytest.approx(0.01 * distances.mean())


@pytest.mark.parametrize("sigma", [0.02, 0.5])
def test_sorted_distance_mae_is_at_most_twice_the_rmsd(sigma: float) -> None:
    rng = np.random.default_rng(4)
    truth = DNN * decahedron(3, 3, 0).positions
    other = truth + rng.normal(scale=sigma, size=truth.shape)
    assert sorted_distance_mae(truth, other) <= 2 * rmsd(truth, other)


def test_rw_is_zero_for_a_perfect_fit_and_one_for_nothing() -> None:
    curve = np.sin(np.linspace(0, 9, 50))
    assert rw(curve, curve) == 0.0
    assert rw(curve, np.zeros(50)) == 1.0
    assert rw(curve, 0.9 * curve) == pytest.approx(0.1)


def test_bad_input_is_refused() -> None:
    points = octahedron(2, 0).positions
    with pytest.raises(InputError, match="got 6 and 5 atoms"):
        rmsd(points, points[:5])
    with pytest.raises(InputError, match="cutoff -1"):
        f1(points, points, cutoff=-1)
    with pytest.raises(InputError, match="got 6 and 5 atoms"):
        sorted_distance_mae(points, points[:5])
    with pytest.raises(InputError, match="shapes"):
        rw(np.ones(3), np.ones(4))
    with pytest.raises(InputError, match="zero everywhere"):
        rw(np.zeros(3), np.ones(3))
