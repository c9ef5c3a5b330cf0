"""Every family is named for what it is, ideal or displaced, at any scale and pose; stacks by their layers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from cbldm.data.clusters import decahedron, icosahedron, octahedron, textbook_clusters
from cbldm.errors import InputError
from cbldm.geometry.motif import name_motif
from cbldm.types import MOTIFS, Cluster, FloatArray

EVERY_FIFTH = textbook_clusters(256)[::5]


def stack(letters: str, width: int = 4) -> FloatArray:
    """Rhombic close-packed layers at the given sites, in nearest-neighbour distances."""
    rows = np.stack(np.meshgrid(np.arange(width), np.arange(width)), -1).reshape(-1, 2)
    layer = rows @ np.array([[1.0, 0.0], [0.5, np.sqrt(0.75)]])
    offset = np.array([0.5, np.sqrt(1 / 12)])
    layers = [
        np.column_stack([layer + "ABC".index(letter) * offset, np.full(len(layer), height * np.sqrt(2 / 3))])
        for height, letter in enumerate(letters)
    ]
    return np.concatenate(layers)


@pytest.mark.parametrize("cluster", EVERY_FIFTH, ids=lambda c: f"{c.family} {c.n_atoms}")
def test_ideal_clusters_are_named_right(cluster: Cluster) -> None:
    assert name_motif(2.5 * cluster.positions) == cluster.motif
    assert name_motif(2.5 * cluster.positions, 2.5) == cluster.motif


@pytest.mark.slow
def test_all_ideal_clusters_are_named_right() -> None:
    wrong = [(c.family, c.parameters) for c in textbook_clusters(256) if name_motif(c.positions) != c.motif]
    assert wrong == []


@pytest.mark.parametrize("sigma", [0.05 / np.sqrt(3), 0.05])
def test_displaced_clusters_are_named_right(sigma: float) -> None:
    rng = np.random.default_rng(0)
    clusters = [cluster for cluster in EVERY_FIFTH if cluster.n_atoms >= 13]
    moved = [cluster.positions + rng.normal(scale=sigma, size=cluster.positions.shape) for cluster in clusters]
    right = [name_motif(positions) == cluster.motif for positions, cluster in zip(moved, clusters, strict=True)]
    assert np.mean(right) >= 0.97


@pytest.mark.parametrize(
    ("letters", "motif"),
    [
        ("ABCABC", "fcc"),
        ("ABC", "fcc"),
        ("ABABAB", "hcp"),
        ("ABA", "hcp"),
        ("ABCBA", "twin"),
        ("ABCABACBA", "twin"),
        ("ABCBCABC", "faulted"),
        ("ABACABAC", "faulted"),
    ],
)
@pytest.mark.parametrize("sigma", [0.0, 0.03])
def test_a_stack_is_named_by_its_layers(letters: str, motif: str, sigma: float) -> None:
    positions = stack(letters)
    positions = positions + np.random.default_rng(1).normal(scale=sigma, size=positions.shape)
    assert name_motif(positions) == motif


def test_an_island_on_a_facet_leaves_the_name() -> None:
    whole = stack("ABCABC")
    island = stack("ABCABCB")[-16:][[5]]
    assert name_motif(np.concatenate([whole, island])) == "fcc"


def test_missing_corners_leave_the_name() -> None:
    for cluster in (decahedron(3, 3, 0), icosahedron(3), octahedron(5, 1)):
        order = np.argsort(np.linalg.norm(cluster.positions, axis=1))
        assert name_motif(cluster.positions[order[:-6]]) == cluster.motif


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    number=st.integers(0, len(EVERY_FIFTH) - 1),
    scale=st.floats(0.1, 10.0),
    mirror=st.booleans(),
)
def test_the_name_does_not_hang_on_scale_pose_or_order(seed: int, number: int, scale: float, mirror: bool) -> None:
    rng = np.random.default_rng(seed)
    turn = Rotation.from_quat(rng.normal(size=4)).as_matrix() * (-1.0 if mirror else 1.0)
    positions = EVERY_FIFTH[number].positions
    moved = scale * positions[rng.permutation(len(positions))] @ turn.T + rng.normal(size=3)
    assert name_motif(moved) == EVERY_FIFTH[number].motif


@pytest.mark.parametrize("n_atoms", [2, 3, 4, 5])
def test_the_smallest_heaps_get_some_name(n_atoms: int) -> None:
    assert name_motif(octahedron(4, 1).positions[:n_atoms]) in MOTIFS


def test_bad_input_is_refused() -> None:
    points = octahedron(2, 0).positions
    with pytest.raises(InputError, match=r"got shape \(1, 3\)"):
        name_motif(points[:1])
    with pytest.raises(InputError, match="dnn -1"):
        name_motif(points, -1.0)
    with pytest.raises(InputError, match="is the unit right"):
        name_motif(points, 0.1)
