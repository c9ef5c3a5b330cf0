"""Fitting the prior of shapes: the differences are those of counting with and without an atom."""

from __future__ import annotations

import numpy as np
import pytest

from cbldm.geometry.site_classes import site_classes
from cbldm.search.collective import least_bonds
from cbldm.search.fit_habits import bounded_shapes, flips, histogram
from tests.search.test_neighbourhood import ball


@pytest.mark.parametrize("name", ["fcc", "stack"])
def test_flips_are_differences_of_histograms(name: str) -> None:
    classes = site_classes(name)
    inside = classes.occupied(ball(name, 40))
    width = int(classes.bonds.sum(axis=1).max()) + 2
    sites, differences = flips(classes, inside, least_bonds(name), width)
    assert inside[sites].sum() == 40
    assert (~inside[sites]).sum() > 10
    for site, row in list(zip(sites, differences, strict=True))[::3]:
        with_atom, without = inside.copy(), inside.copy()
        with_atom[site], without[site] = True, False
        np.testing.assert_array_equal(
            row, histogram(classes, with_atom, width) - histogram(classes, without, width), err_msg=str(site)
        )


def test_bounded_shapes_are_whole() -> None:
    shapes = bounded_shapes("sc")
    assert len(shapes) > 50
    classes = site_classes("sc")
    for inside in shapes[::10]:
        # No hole: an empty site whose six neighbours are all there.
        assert not ((classes.bonds[:, inside].sum(axis=1) == 6) & ~inside).any()
