"""The prior of shapes: what is smooth costs nothing, what is rough does, and few planes are a short story."""

from __future__ import annotations

import numpy as np
import pytest

from cbldm.data.clusters import octahedron, textbook_clusters
from cbldm.data.stream import Stream
from cbldm.geometry.frames import FRAMES, frame
from cbldm.geometry.site_classes import site_classes
from cbldm.search.habit import BOUNDED, COUNT_TRUST, DISTANCE, SURE, ShapePrior, habit
from cbldm.search.polyhedra import polyhedra
from tests.search.test_moves import damaged, sites_of


@pytest.mark.parametrize("name", FRAMES)
def test_usual_clusters_cost_about_nothing(name: str) -> None:
    shape = habit(name)
    batch = Stream(5, 64, "validation", (20, 256), textbook=0.0).batch(0, name)
    energies = [shape.energy(row.numpy()) for row in batch.occupancy]
    # Half of them have defects, which cost; one atom in ten at random costs far more.
    assert np.median(energies) < 15
    rng = np.random.default_rng(0)
    thinned = [shape.energy(row.numpy() & (rng.random(len(row)) < 0.9)) for row in batch.occupancy]
    assert np.median(np.subtract(thinned, energies)) > 10


def test_a_price_on_missing_bonds_is_a_price_on_missing_bonds() -> None:
    classes, shape = site_classes("fcc"), habit("fcc")
    sites = sites_of(octahedron(5, 1), "fcc")
    inside = classes.occupied(sites)
    n = len(sites)
    missing = 6 * n - classes.bonds[np.ix_(sites, sites)].sum() / 2
    extra = shape.tightened(0.5).energy(inside) - shape.energy(inside)
    assert extra == pytest.approx(0.5 * (missing - shape.compact * n ** (2 / 3)))


def test_roughness_costs_and_a_truncated_octahedron_is_cheap() -> None:
    sites = sites_of(octahedron(5, 1), "fcc")
    prior = ShapePrior("fcc")
    rough = [prior.cost(damaged(sites, "fcc", 3, 3, seed)) for seed in range(5)]
    assert min(rough) > prior.cost(sites) + 8


def test_a_thin_prism_is_no_odder_than_its_planes_say() -> None:
    """Its edges are sharp, which costs much bond by bond; but it is one of few that planes bound."""
    prior = ShapePrior("hcp")
    thin = next(c for c in textbook_clusters(256) if c.motif == "hcp" and c.n_atoms == 28)
    sites = sites_of(thin, "hcp")
    local = prior.habit.energy(prior.habit.classes.occupied(sites))
    assert local > BOUNDED
    assert prior.cost(sites) <= BOUNDED + 4 * DISTANCE
    assert min(prior.cost(np.delete(sites, k)) for k in range(0, 28, 5)) > prior.cost(sites)


def test_counts_that_cannot_be_cost_without_end() -> None:
    log_counts = np.full(100, -np.inf)
    log_counts[50:60] = -1.5
    prior = ShapePrior("fcc", log_counts)
    assert prior.sizes[55] == 1.5
    assert np.isinf(prior.sizes[[4, 49, 60, 200]]).all()
    assert len(prior.sizes) == frame("fcc").n_sites + 2
    assert np.isfinite(ShapePrior("fcc").sizes[5:-1]).all()
    ribbons = ShapePrior("hcp", log_counts)
    assert ribbons.sizes[55] == 1.5 * COUNT_TRUST["hcp"] < 1.5
    assert np.isinf(ribbons.sizes[[49, 60]]).all()


def test_a_ribbon_is_not_doubted_more_than_one_decision_is() -> None:
    home = frame("hcp").sites
    block = np.flatnonzero((abs(home[:, 0]) < 1.6) & (abs(home[:, 2]) < 1.3) & (abs(home[:, 1]) < 1.6))
    hull = polyhedra("hcp")
    whole = hull.filled(hull.limits(block), hull.crystal(block))
    prior = ShapePrior("hcp")
    assert hull.description(whole)[0] == 0
    assert prior.cost(whole, 2.0) == pytest.approx(prior.cost(whole) + 2.0)
    assert prior.cost(whole, 40.0) == prior.cost(whole, 20.0) == pytest.approx(prior.cost(whole) + SURE["hcp"])
    # Rough clusters are: that one more or fewer of their atoms is there is a decision each time.
    rough = damaged(whole, "hcp", 4, 0, 0)
    assert hull.description(rough)[0] > 0
    assert prior.cost(rough, 25.0) > prior.cost(rough) + SURE["hcp"] + 4
    sites = sites_of(octahedron(5, 1), "fcc")
    assert ShapePrior("fcc").cost(sites, 40.0) == pytest.approx(ShapePrior("fcc").cost(sites) + 40.0)
