"""Polyhedra: textbook clusters fill theirs, and what is nearly one is brought to it."""

from __future__ import annotations

import numpy as np
import pytest

from cbldm.data.clusters import decahedron, octahedron, textbook_clusters
from cbldm.geometry.frames import FRAME_OF_MOTIF, FRAMES, frame
from cbldm.search.polyhedra import polyhedra
from cbldm.types import Cluster
from tests.search.test_moves import sites_of


def test_textbook_clusters_are_bounded_by_planes_at_few_distances() -> None:
    found = dict.fromkeys(FRAMES, 0)
    for cluster in textbook_clusters(256):
        home = frame(FRAME_OF_MOTIF[cluster.motif])
        occupied = home.occupy(cluster.positions)
        if occupied is None:
            continue
        missing, distances = polyhedra(home.name).description(np.flatnonzero(occupied))
        assert missing == 0, cluster.name
        # hcp prisms have three pairs of sides, and no centre of inversion that would make the two of a pair equal.
        assert 1 <= distances <= (7 if home.name == "hcp" else 3), cluster.name
        found[home.name] += 1
    assert all(n > 0 for name, n in found.items() if name != "stack")


def test_vacancies_and_adatoms_make_the_description_longer() -> None:
    sites = sites_of(octahedron(5, 1), "fcc")
    hull = polyhedra("fcc")
    inner = sites[np.linalg.norm(frame("fcc").sites[sites], axis=1).argmin()]
    assert hull.description(np.setdiff1d(sites, inner))[0] == 1
    heights = hull.heights[:, 0]
    above = np.flatnonzero(heights > heights[sites].max() + 0.01)
    adatom = above[np.linalg.norm(frame("fcc").sites[above], axis=1).argmin()]
    missing, distances = hull.description(np.append(sites, adatom))
    assert missing + distances >= 2 + sum(hull.description(sites))


@pytest.mark.parametrize(("cluster", "name"), [(octahedron(5, 1), "fcc"), (decahedron(3, 2, 0), "decahedron")])
def test_a_cluster_that_lacks_a_few_atoms_is_brought_back(cluster: Cluster, name: str) -> None:
    truth = sites_of(cluster, name)
    corner = truth[np.linalg.norm(frame(name).sites[truth], axis=1).argsort()[-2:]]
    middle = truth[np.linalg.norm(frame(name).sites[truth], axis=1).argsort()[:2]]
    made = polyhedra(name).regular(np.setdiff1d(truth, np.concatenate([corner, middle])))
    assert any(np.array_equal(option, truth) for option in made)


def test_a_stack_continues_in_its_own_letters() -> None:
    home = frame("stack")
    hull = polyhedra("stack")
    assert hull.layers is not None
    layer, letter = hull.layers
    middle = (layer.max() + 1) // 2
    ball = np.flatnonzero((np.linalg.norm(home.sites, axis=1) < 2.4) & (letter == abs(layer - middle) % 3))
    crystal = hull.crystal(ball)
    assert crystal[ball].all()
    assert set(layer[crystal]) == set(layer[ball])
    assert (letter[crystal] == abs(layer[crystal] - middle) % 3).all()


def test_a_prism_of_another_length_is_one_step_away() -> None:
    hull, home = polyhedra("hcp"), frame("hcp")
    ribbons = [c for c in textbook_clusters(256) if c.motif == "hcp" and 90 < c.n_atoms < 130]
    found = 0
    for cluster in ribbons[:6]:
        occupied = home.occupy(cluster.positions)
        if occupied is None:
            continue
        truth = np.flatnonzero(occupied)
        options = hull.prisms(truth)
        found += 1
        assert any(np.array_equal(option, truth) for option in options)
        # Shorter and longer by whole layers, and every one filled.
        assert min(map(len, options)) < 0.9 * len(truth)
        assert max(map(len, options)) > 1.1 * len(truth)
        assert all(hull.description(option)[0] == 0 for option in options[::40])
        # All three sides may be off at once, which no way of single ones mends: each alone fits worse.
        larger = [option for option in options if 1.6 * len(truth) < len(option) < 2.4 * len(truth)]
        assert any(np.array_equal(back, truth) for option in larger[::3] for back in hull.prisms(option))
    assert found > 2
    assert polyhedra("fcc").prisms(sites_of(octahedron(5, 1), "fcc")) == []
