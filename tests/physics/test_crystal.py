"""The infinite crystal has the neighbours that nature fixes, the density of its cell, the G(r) of a large sphere."""

import math
from functools import cache

import numpy as np
import pytest
from scipy.special import erfc

from cbldm.errors import InputError
from cbldm.physics.crystal import FADE, FADE_WIDTHS, LATTICES, CrystalBand, atomic_density, crystal_gr, lattice_shells
from cbldm.physics.debye import gauss_legendre_band, pair_distances, pair_sum, sine_transform
from cbldm.types import Instrument

CONSTANTS = {"fcc": (3.52, 3.52), "bcc": (2.87, 2.87), "hcp": (2.51, 4.07), "diamond": (5.43, 5.43)}
# Cells with their sites, in Å, by hand: the shells are found in another way.
CELLS = {
    "fcc": [(0, 0, 0), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)],
    "bcc": [(0, 0, 0), (0.5, 0.5, 0.5)],
    "hcp": [(0, 0, 0), (1 / 3, 2 / 3, 0.5)],
    "diamond": [
        (x + s, y + s, z + s) for s in (0, 0.25) for x, y, z in [(0, 0, 0), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
    ],
}


@cache
def ball(lattice, diameter):
    """Atoms within a sphere around a point of low symmetry."""
    a, c = CONSTANTS[lattice]
    axes = (
        np.diag([a, a, a]) if lattice != "hcp" else np.array([[a, 0, 0], [-a / 2, a * math.sqrt(0.75), 0], [0, 0, c]])
    )
    n = math.ceil(0.75 * diameter / min(a * 0.86, c)) + 2
    steps = np.arange(-n, n + 1)
    cells = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    sites = np.concatenate([cells + np.array(site) for site in CELLS[lattice]]) @ axes
    return sites[np.linalg.norm(sites - np.array([0.31, 0.83, 0.57]), axis=1) < diameter / 2]


@pytest.mark.parametrize("lattice", LATTICES)
def test_shells_are_those_of_a_block_of_cells(lattice):
    a, c = CONSTANTS[lattice]
    sites = ball(lattice, 40.0)
    middle = sites[np.argmin(np.linalg.norm(sites, axis=1))]
    distances = np.sort(np.linalg.norm(sites - middle, axis=1))[1:]
    distances = distances[distances < 18.0]
    shells = lattice_shells(lattice, a, c, 18.0)
    listed = np.repeat(shells.distances(a, c), shells.counts.astype(int))
    np.testing.assert_allclose(np.sort(listed), distances, atol=1e-9)


@pytest.mark.parametrize(("lattice", "first"), [("fcc", 12), ("bcc", 8), ("hcp", 12), ("diamond", 4)])
def test_coordination_number(lattice, first):
    shells = lattice_shells(lattice, 1.0, math.sqrt(8 / 3), 1.2)
    d = shells.distances(1.0, math.sqrt(8 / 3))
    assert shells.counts[d < 1.001 * d[0]].sum() == first


@pytest.mark.parametrize("lattice", LATTICES)
def test_shells_have_the_density_of_the_cell(lattice):
    a, c = CONSTANTS[lattice]
    shells = lattice_shells(lattice, a, c, 80.0)
    found = (1 + shells.counts.sum()) / (4 / 3 * math.pi * 80.0**3)
    assert found == pytest.approx(atomic_density(lattice, a, c), rel=3e-3)


@pytest.mark.parametrize("lattice", LATTICES)
def test_below_the_first_peak_only_the_mean_density_is_left(lattice):
    a, c = CONSTANTS[lattice]
    r = np.arange(0.8, 1.7, 0.05)
    g = crystal_gr(r, lattice, a, Instrument(0.0, 60.0), 0.005, c=c)
    np.testing.assert_allclose(g, -4 * math.pi * r * atomic_density(lattice, a, c), atol=2e-3)


@pytest.mark.parametrize("lattice", LATTICES)
def test_every_peak_is_that_of_a_debye_sum_over_a_finite_range_of_q(lattice):
    a, c = CONSTANTS[lattice]
    uiso, delta2, instrument = 0.006, 1.5, Instrument(0.0, 21.3, 0.04, 0.02)
    r = np.arange(1.0, 12.0, 0.037)
    middle = r[-1] + FADE_WIDTHS * FADE
    shells = lattice_shells(lattice, a, c, middle + FADE_WIDTHS * FADE)
    d = shells.distances(a, c)
    weights = shells.counts * 0.5 * erfc((d - middle) / (math.sqrt(2) * FADE))
    q, quadrature = gauss_legendre_band(0.0, instrument.qmax, r[-1] + d[-1])
    variance = 2 * uiso * (1 - delta2 / d**2 + (instrument.qbroad * d) ** 2)
    peaks = sine_transform(r, q, quadrature * pair_sum(q, d, weights, variance))
    density = -4 * math.pi * r * atomic_density(lattice, a, c) * 0.5 * erfc((r - middle) / (math.sqrt(2) * FADE))
    expected = np.exp(-0.5 * (instrument.qdamp * r) ** 2) * (peaks + density)
    np.testing.assert_allclose(crystal_gr(r, lattice, a, instrument, uiso, c=c, delta2=delta2), expected, atol=1e-4)


@pytest.mark.parametrize("lattice", LATTICES)
@pytest.mark.parametrize("qmin", [0.0, 0.9])
def test_a_large_sphere_is_the_crystal_times_its_shape_function(lattice, qmin):
    a, c = CONSTANTS[lattice]
    instrument, uiso = Instrument(qmin, 22.0, 0.03, 0.0), 0.006
    sites = ball(lattice, 42.0)
    density = atomic_density(lattice, a, c)
    diameter = (6 * len(sites) / (math.pi * density)) ** (1 / 3)
    d, counts = np.unique(pair_distances(sites)[0].round(6), return_counts=True)
    r = np.arange(1.5, 20.0, 0.02)
    q, quadrature = gauss_legendre_band(qmin, instrument.qmax, r[-1] + d[-1])
    debye = 2 / len(sites) * pair_sum(q, d, counts.astype(float), np.full(len(d), 2 * uiso))
    damping = np.exp(-0.5 * (instrument.qdamp * r) ** 2)
    sphere = damping * sine_transform(r, q, quadrature * debye)
    share = 1 - 1.5 * r / diameter + 0.5 * (r / diameter) ** 3
    # From Q = 0 on the integral holds the small-angle scattering, which a crystal does not have: its density comes off.
    found = sphere / share - (damping * 4 * math.pi * r * density if qmin == 0 else 0)
    expected = crystal_gr(r, lattice, a, instrument, uiso, c=c)
    rw = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    assert rw < 0.015
    assert found @ expected / (expected @ expected) == pytest.approx(1, abs=0.005)


def test_longer_fading_changes_little(monkeypatch):
    r = np.arange(1.5, 40.0, 0.02)
    short = crystal_gr(r, "fcc", 3.52, Instrument(0.7, 24.0, 0.03, 0.0), 0.005)
    monkeypatch.setattr("cbldm.physics.crystal.FADE", 20.0)
    long = crystal_gr(r, "fcc", 3.52, Instrument(0.7, 24.0, 0.03, 0.0), 0.005)
    assert np.linalg.norm(short - long) < 0.006 * np.linalg.norm(long)


def test_refusals():
    with pytest.raises(InputError, match="fcc, bcc, hcp or diamond, got 'sc'"):
        lattice_shells("sc", 3.0, 3.0, 10.0)
    with pytest.raises(InputError, match="Q range"):
        CrystalBand("fcc", 20.0, 5.0, 5.0, smallest_a=3.0, smallest_c=3.0)
