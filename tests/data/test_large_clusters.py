import numpy as np
import pytest
from scipy.spatial import cKDTree

from cbldm.data.disorder import coordination
from cbldm.data.large_clusters import LEAST_BONDS, REACH, large_cuts
from cbldm.geometry.motif import name_motif

MOTIFS = ("fcc", "hcp", "bcc", "twin", "faulted", "decahedron", "icosahedron")
#: A cut can leave a stack without its faults; the other motifs stay what they are.
SURE = {"faulted": 0.6, "twin": 0.9}


@pytest.fixture(scope="module", params=MOTIFS)
def clusters(request):
    rng = np.random.default_rng(5)
    return [next(large_cuts(request.param, sizes, rng)) for sizes in 4 * ((257, 400), (600, 750), (900, 1000))]


def test_atoms_are_bonded_and_none_overlap(clusters):
    for cluster in clusters:
        nearest = cKDTree(cluster.positions).query(cluster.positions, k=2)[0][:, 1]
        assert nearest.min() > 0.999
        assert np.median(nearest) == pytest.approx(1.0)
        assert coordination(cluster.positions).min() >= LEAST_BONDS


def test_counts_are_about_those_asked_for(clusters):
    for cluster, (low, high) in zip(clusters, 4 * ((257, 400), (600, 750), (900, 1000)), strict=True):
        assert 0.85 * low < cluster.n_atoms < 1.1 * high


def test_motifs_are_those_asked_for(clusters):
    right = [name_motif(cluster.positions) == cluster.motif for cluster in clusters]
    assert np.mean(right) >= SURE.get(clusters[0].motif, 1.0)


def test_cuts_end_before_the_ball_of_lattice_does(clusters):
    for cluster in clusters:
        assert np.linalg.norm(cluster.positions, axis=1).max() < REACH


def test_clusters_are_centred_and_off_the_centre_of_symmetry(clusters):
    unlike = 0
    for cluster in clusters:
        np.testing.assert_allclose(cluster.positions.mean(axis=0), 0, atol=1e-9)
        unlike += cKDTree(cluster.positions).query(-cluster.positions)[0].max() > 0.1
    assert unlike >= 0.8 * len(clusters)


def test_same_seed_same_clusters():
    first, again, other = (next(large_cuts("fcc", (300, 400), np.random.default_rng(seed))) for seed in (3, 3, 4))
    assert np.array_equal(first.positions, again.positions)
    assert not np.array_equal(first.positions, other.positions)
