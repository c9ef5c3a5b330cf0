"""Histograms times a kernel give the direct Debye sum."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist

from cbldm.data.clusters import cubic, decahedron, icosahedron, octahedron
from cbldm.metrics import rw
from cbldm.physics.debye import debye_gr
from cbldm.physics.kernel import pair_histogram, pdf_kernel, sine_grid
from cbldm.types import Cluster, FloatArray, Instrument

R = 0.7 + 0.025 * np.arange(393)
START, STOP, STEP = 0.5, 10.7, 0.01
CLUSTERS = [octahedron(5, 1), icosahedron(4), decahedron(3, 2, 0), cubic("bcc", 3, 4, 3)]
#: Instrument (qmin, qmax, qdamp, qbroad), Uiso and delta2 in nearest-neighbour distances, as `data.stream` draws them.
SETTINGS = [
    (Instrument(2.0, 60.0), 0.0010, 0.0),
    (Instrument(4.0, 75.0, 0.1), 0.0010, 0.0),
    (Instrument(2.0, 45.0, 0.1), 0.0015, 0.3),
]


def from_histogram(cluster: Cluster, instrument: Instrument, uiso: float, delta2: float, step: float) -> FloatArray:
    n_bins = round((STOP - START) / step)
    points = torch.as_tensor(cluster.positions)[None]
    present = torch.ones(1, cluster.n_atoms, dtype=torch.bool)
    histogram = pair_histogram(torch.cdist(points, points), present, START, step, n_bins)
    bins = START + step * torch.arange(n_bins, dtype=torch.float64)
    kernel = pdf_kernel(torch.as_tensor(R), bins, instrument, uiso, delta2)
    return (histogram @ kernel / cluster.n_atoms)[0].numpy()


def error(cluster: Cluster, instrument: Instrument, uiso: float, delta2: float, step: float) -> float:
    exact = debye_gr(R, cluster.positions, instrument, uiso, delta2=delta2)
    return rw(exact, from_histogram(cluster, instrument, uiso, delta2, step))


@pytest.mark.parametrize("cluster", CLUSTERS, ids=lambda c: f"{c.family}-{c.n_atoms}")
@pytest.mark.parametrize("setting", SETTINGS)
def test_kernel_gives_the_direct_debye_sum(cluster: Cluster, setting: tuple[Instrument, float, float]) -> None:
    """At the step of training the error is below the least noise; finer bins leave the error of the Q rule alone."""
    coarse, middle, fine = (error(cluster, *setting, STEP / k) for k in (1, 2, 8))
    assert coarse < 6e-3
    assert middle < 0.65 * coarse
    assert fine < 2.5e-3


def test_broadening_with_distance_is_that_of_the_debye_sum() -> None:
    assert error(octahedron(4), Instrument(2.0, 60.0, 0.0, 0.03), 0.001, 0.0, STEP) < 6e-3


def test_pairs_are_counted_once_and_keep_their_mean_distance() -> None:
    cluster = octahedron(4)
    points = torch.as_tensor(cluster.positions)[None]
    histogram = pair_histogram(torch.cdist(points, points), torch.ones(1, 44, dtype=torch.bool), START, STEP, 1020)
    bins = START + STEP * torch.arange(1020, dtype=torch.float64)
    assert histogram.min() >= 0
    torch.testing.assert_close(histogram.sum().item(), 44 * 43 / 2)
    torch.testing.assert_close((histogram * bins).sum().item(), pdist(cluster.positions).sum(), rtol=1e-9, atol=0.0)


def test_padding_and_distant_pairs_are_left_out() -> None:
    generator = torch.Generator().manual_seed(0)
    points = 4 * torch.rand(1, 12, 3, generator=generator, dtype=torch.float64)
    present = torch.ones(1, 12, dtype=torch.bool)
    present[0, 9:] = False
    distances = torch.cdist(points, points)
    padded = pair_histogram(distances, present, 0.0, STEP, 800)
    alone = pair_histogram(distances[:, :9, :9], present[:, :9], 0.0, STEP, 800)
    torch.testing.assert_close(padded, alone)
    limit = 2.0
    short = pair_histogram(distances, torch.ones_like(present), 0.0, STEP, round(limit / STEP) + 1)
    near = (pdist(points[0].numpy()) < limit).sum()
    torch.testing.assert_close(short.sum().item(), float(near))


def test_a_batch_is_its_clusters() -> None:
    generator = torch.Generator().manual_seed(1)
    points = 3 * torch.rand(5, 7, 3, generator=generator)
    present = torch.rand(5, 7, generator=generator) < 0.8
    distances = torch.cdist(points, points)
    whole = pair_histogram(distances, present, 0.0, STEP, 700)
    for k in range(5):
        torch.testing.assert_close(whole[k : k + 1], pair_histogram(distances[k : k + 1], present[k : k + 1],
                                                                    0.0, STEP, 700))  # fmt: skip


def test_midpoint_rule_spans_the_limits() -> None:
    r = torch.as_tensor(R)
    q, sines, damping = sine_grid(r, Instrument(2.0, 60.0, 0.05), 10.0)
    step = (q[1] - q[0]).item()
    assert abs(q[0].item() - 0.5 * step - 2.0) < 1e-4
    assert abs(q[-1].item() + 0.5 * step - 60.0) < 1e-4
    assert step < np.pi / (R[-1] + 10.0)
    assert sines.shape == (len(q), len(r))
    torch.testing.assert_close(damping, torch.exp(-0.5 * (0.05 * r) ** 2))
