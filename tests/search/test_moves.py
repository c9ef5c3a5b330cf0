"""Moves: each is judged as if G(r) were computed anew, and they find the way back from a damaged structure."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from cbldm.data.clusters import decahedron, octahedron
from cbldm.data.pdf_files import pdf_from_arrays
from cbldm.geometry.frames import frame, stack_basis
from cbldm.geometry.site_classes import site_classes
from cbldm.physics.debye import debye_gr
from cbldm.search.collective import layer_shifts
from cbldm.search.moves import SiteSearch
from cbldm.types import Cluster, Instrument, Pdf

DNN, UISO, DELTA2 = 2.8, 0.006, 1.2


def simulated(positions: np.ndarray, dnn: float = DNN) -> Pdf:
    r = np.arange(0.0, 25.0, 0.02)
    instrument = Instrument(0.8, 24.0, 0.03)
    g = debye_gr(r, dnn * positions, instrument, UISO, delta2=DELTA2)
    return pdf_from_arrays(r, g, element="Pt", qmin=0.8, qmax=24.0, qdamp=0.03, qbroad=0.0)


def sites_of(cluster: Cluster, name: str) -> np.ndarray:
    occupied = frame(name).occupy(cluster.positions)
    assert occupied is not None
    return np.flatnonzero(occupied)


def damaged(sites: np.ndarray, name: str, lost: int, gained: int, seed: int = 0) -> np.ndarray:
    """Surface atoms taken away, others put into hollows."""
    rng = np.random.default_rng(seed)
    classes = site_classes(name)
    inside = np.isin(np.arange(frame(name).n_sites), sites)
    surface = [s for s in sites if classes.bonds[s, inside].sum() < 9]
    hollow = [s for s in np.flatnonzero(~inside)
              if classes.bonds[s, inside].sum() >= 3 and not classes.clashes[s, inside].any()]  # fmt: skip
    inside[rng.choice(surface, lost, replace=False)] = False
    inside[rng.choice(hollow, gained, replace=False)] = True
    return np.flatnonzero(inside)


def test_curve_of_counts_is_that_of_the_debye_equation() -> None:
    cluster = octahedron(5, 1)
    pdf = simulated(cluster.positions)
    search = SiteSearch(pdf, "fcc", DNN)
    counts = search.counts(sites_of(cluster, "fcc"))
    assert counts.sum() == cluster.n_atoms * (cluster.n_atoms - 1) / 2
    curve = search._curves(counts, 1.0, UISO, DELTA2)
    assert float(search._misfit(curve)) < 1e-6


def test_slopes_are_the_derivatives_of_the_curve() -> None:
    cluster = octahedron(5, 1)
    search = SiteSearch(simulated(cluster.positions), "fcc", DNN)
    counts = search.counts(sites_of(cluster, "fcc"))
    theta = np.array([1.01, 0.007, 0.9])
    curve, slopes = search._curve(counts, theta)
    np.testing.assert_allclose(curve, search._curves(counts, *theta), atol=1e-4 * float(curve.abs().max()))
    for k, step in enumerate((2e-3, 2e-4, 0.05)):
        ends = [search._curve(counts, theta + sign * step * np.eye(3)[k])[0].double() for sign in (1, -1)]
        numeric = (ends[0] - ends[1]) / (2 * step)
        # The width of a peak depends on its distance, but the derivative by the stretch leaves that out.
        assert float((slopes[k] - numeric).norm() / numeric.norm()) < 0.03


@pytest.mark.parametrize(("cluster", "name"), [(octahedron(5, 1), "fcc"), (decahedron(3, 2, 0), "decahedron")])
def test_moves_mend_a_damaged_cluster(cluster: Cluster, name: str) -> None:
    truth = sites_of(cluster, name)
    search = SiteSearch(simulated(cluster.positions, dnn=2.83), name, DNN)
    begin = damaged(truth, name, lost=4, gained=2)
    start = search.start([begin])[0]
    end = search.improve(search.descend(start))
    assert start.misfit > 1e-3
    assert end.misfit < 1e-5
    assert end.energy < start.energy
    np.testing.assert_allclose(
        np.sort(pdist(frame(name).sites[end.sites])), np.sort(pdist(frame(name).sites[truth])), atol=1e-6
    )
    assert end.stretch == pytest.approx(2.83 / DNN, abs=1e-3)
    assert end.uiso == pytest.approx(UISO, rel=0.1)


def test_a_size_that_is_several_per_cent_off_is_found() -> None:
    cluster = octahedron(5, 1)
    search = SiteSearch(simulated(cluster.positions, dnn=0.94 * DNN), "fcc", DNN)
    start = search.start([sites_of(cluster, "fcc")])[0]
    assert start.stretch == pytest.approx(0.94, abs=0.011)


def test_atom_counts_without_probability_are_never_reached() -> None:
    cluster = octahedron(5, 1)
    truth = sites_of(cluster, "fcc")
    log_counts = np.full(257, -np.inf)
    log_counts[len(truth) - 6 : len(truth) - 2] = 0.0
    search = SiteSearch(simulated(cluster.positions), "fcc", DNN, log_counts=log_counts)
    end = search.descend(search.start([damaged(truth, "fcc", 5, 0)])[0])
    assert len(truth) - 6 <= len(end.sites) <= len(truth) - 3


def test_the_model_decides_where_the_data_do_not() -> None:
    """Two atoms on equivalent faces: G(r) is the same, so the log-odds choose."""
    cluster = octahedron(5, 1)
    truth = sites_of(cluster, "fcc")
    odds = np.zeros(frame("fcc").n_sites)
    odds[truth] = 2.0
    pdf = simulated(cluster.positions)
    liked, disliked = (SiteSearch(pdf, "fcc", DNN, opinion).start([truth])[0] for opinion in (odds, -odds))
    assert liked.data == disliked.data
    assert liked.energy < disliked.energy - 10


def test_shifted_layers_find_the_right_stacking() -> None:
    home = frame("stack")
    height = stack_basis()[2, 2]
    layer = np.round(home.sites[:, 2] / height).astype(int)
    lattice = np.round(home.sites @ np.linalg.inv(stack_basis())).astype(int)
    letter = (lattice[:, 0] - lattice[:, 1]) % 3
    ball = np.linalg.norm(home.sites, axis=1) < 2.3

    twin = np.flatnonzero(
        ball & np.array([{-2: 2, -1: 1, 0: 0, 1: 1, 2: 2}.get(k) == x for k, x in zip(layer, letter, strict=True)])
    )
    search = SiteSearch(simulated(home.sites[twin]), "stack", DNN)
    shifts = layer_shifts("stack").astype(int)[:, twin]
    whole = [np.sort(row) for row in shifts if (row >= 0).all()]
    wrong = [row for row in whole if not site_classes("stack").clashes[np.ix_(row, row)].any()]
    starts = [start for start in search.start(wrong) if start.misfit > 1e-3]
    assert len(starts) > 3
    for start in starts[::5]:
        end = search.improve(start)
        assert end.misfit < 1e-5
        assert len(end.sites) == len(twin)


def test_same_start_same_end() -> None:
    cluster = octahedron(4)
    pdf = simulated(cluster.positions)
    begin = damaged(sites_of(cluster, "fcc"), "fcc", 3, 1)
    ends = []
    for _ in range(2):
        search = SiteSearch(pdf, "fcc", DNN)
        ends.append(search.descend(search.start([begin])[0]))
    np.testing.assert_array_equal(ends[0].sites, ends[1].sites)
    assert ends[0].misfit == ends[1].misfit


def test_moves_mend_a_cluster_beside_a_background() -> None:
    cluster = octahedron(5, 1)
    truth = sites_of(cluster, "fcc")
    bare = simulated(cluster.positions)
    waves = np.sin(np.outer((0.9, 1.1), bare.r)).sum(axis=0)
    g = bare.g + 0.2 * np.linalg.norm(bare.g) * waves / np.linalg.norm(waves)
    pdf = pdf_from_arrays(bare.r, g, element="Pt", qmin=0.8, qmax=24.0, qdamp=0.03, qbroad=0.0, background=6)
    search = SiteSearch(pdf, "fcc", DNN)
    start = search.start([damaged(truth, "fcc", lost=4, gained=2)])[0]
    end = search.improve(search.descend(start))
    assert np.array_equal(end.sites, truth)
    blind = pdf_from_arrays(bare.r, g, element="Pt", qmin=0.8, qmax=24.0, qdamp=0.03, qbroad=0.0)
    assert SiteSearch(blind, "fcc", DNN).start([truth])[0].misfit > 5 * end.misfit
