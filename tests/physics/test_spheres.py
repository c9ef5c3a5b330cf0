"""Spheres of one lattice: the share of pairs in a sphere, and the size and spread that are read from their G(r)."""

import math

import numpy as np
import pytest
import torch

from cbldm.physics.fast import fast_gr
from cbldm.physics.spheres import fit_spheres, overlap
from cbldm.types import Instrument

INSTRUMENT = Instrument(0.8, 20.0, 0.03)
R = np.arange(1.5, 30.0, 0.07)
FCC = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])


def curve(radius, rng, a=3.92):
    """G(r) and atom count of an fcc sphere around a random place."""
    cells = np.stack(np.meshgrid(*[np.arange(-5, 6)] * 3, indexing="ij"), -1).reshape(-1, 1, 3)
    points = a * (cells + FCC - rng.uniform(size=3)).reshape(-1, 3)
    points = points[np.linalg.norm(points, axis=1) <= radius]
    g = fast_gr(
        torch.from_numpy(R),
        torch.from_numpy(points)[None],
        qmin=INSTRUMENT.qmin,
        qmax=INSTRUMENT.qmax,
        qdamp=INSTRUMENT.qdamp,
        uiso=0.006,
    )
    return g[0].numpy(), len(points)


def powder(radius, spread, seed=0, count=60):
    """G(r) of many spheres, each counting with its atoms."""
    rng = np.random.default_rng(seed)
    parts = [curve(radius * math.exp(spread * z), rng) for z in np.clip(rng.normal(size=count), -2, 2)]
    return sum(n * g for g, n in parts) / sum(n for _, n in parts)


def test_share_of_pairs_is_that_of_points_drawn_in_a_sphere():
    rng = np.random.default_rng(0)
    points = rng.uniform(-10, 10, size=(200_000, 3))
    points = points[np.linalg.norm(points, axis=1) < 10]
    steps = rng.normal(size=points.shape)
    steps *= 7.0 / np.linalg.norm(steps, axis=1, keepdims=True)
    inside = np.mean(np.linalg.norm(points + steps, axis=1) < 10)
    assert overlap(np.array([7.0]), 10.0, 0.0)[0] == pytest.approx(inside, abs=0.005)


def test_many_sizes_are_read_from_their_curve():
    g = powder(8.0, 0.25)
    found = fit_spheres(R, g, INSTRUMENT, 2.77, 0.007, 1.0, worst=0.5)
    assert (found.lattice, found.rw < 0.03) == ("fcc", True)
    assert 0.18 < found.spread < 0.32
    # Each sphere counts with its atoms: the median of atoms is exp(3 spread²) above that of spheres.
    assert found.diameter == pytest.approx(16.0 * math.exp(3 * 0.25**2), rel=0.1)


def test_no_lattice_is_found_for_what_is_none():
    rng = np.random.default_rng(1)
    assert fit_spheres(R, rng.normal(size=len(R)), INSTRUMENT, 2.77, 0.007, 1.0, worst=0.5) is None
