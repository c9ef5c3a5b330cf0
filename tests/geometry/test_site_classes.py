"""Classes of distances stand for the distances of their frame."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from cbldm.geometry.frames import EXCLUSION, FRAMES, frame
from cbldm.geometry.site_classes import SAME_DISTANCE, site_classes


@pytest.mark.parametrize("name", FRAMES)
def test_classes_stand_for_the_distances_of_the_frame(name: str) -> None:
    classes, sites = site_classes(name), frame(name).sites
    some = np.arange(0, len(sites), 7)
    distance = cdist(sites[some], sites)
    assert abs(classes.distances[classes.index[some]] - distance).max() <= SAME_DISTANCE
    assert classes.distances[0] == 0
    assert (classes.bonds == classes.bonds.T).all()
    assert not classes.clashes.diagonal().any()
    assert (classes.clashes[some] == ((distance < EXCLUSION) & (distance > 0))).all()


@pytest.mark.parametrize("name", FRAMES)
def test_sites_in_a_clash_are_those_of_the_table(name: str) -> None:
    classes, rng = site_classes(name), np.random.default_rng(5)
    for n in (1, 5, 200):
        sites = rng.choice(len(classes.index), n, replace=False)
        assert np.array_equal(classes.in_clash(sites), classes.clashes[np.ix_(sites, sites)].any(axis=1))
