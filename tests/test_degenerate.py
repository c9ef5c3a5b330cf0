"""The whole of solve at the edge of what it is made for: a sensible answer, a flag, or one line."""

import warnings

import numpy as np
import pytest

from cbldm.data.noise import noise_at_floor
from cbldm.data.pdf_files import pdf_from_arrays
from cbldm.errors import InputError
from cbldm.geometry.frames import frame
from cbldm.held_out import part
from cbldm.physics.crystal import crystal_gr
from cbldm.physics.debye import debye_gr
from cbldm.pipeline import solve
from cbldm.types import Instrument

DNN = 2.775
ORDINARY = {"qmin": 0.8, "qmax": 22.0, "qdamp": 0.03, "qbroad": 0.0}
R = np.arange(1501) * 0.02
QUICK = {"samples": 4, "candidates": 1}


def simulated(positions, r=R, uiso=0.006, **instrument):
    """G(r) of atoms at positions in nearest-neighbour distances."""
    return debye_gr(r, DNN * np.asarray(positions, dtype=float), Instrument(**(ORDINARY | instrument)), uiso)


def ball(n):
    """The fcc sites nearest to a point without symmetry."""
    sites = frame("fcc").sites
    return sites[np.linalg.norm(sites - [0.08, 0.16, 0.22], axis=1).argsort(kind="stable")[:n]]


def row(n):
    return np.arange(n)[:, None] * np.array([[1.0, 0, 0]])


def ring(n):
    angles = 2 * np.pi * np.arange(n) / n
    return np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1) / (2 * np.sin(np.pi / n))


def solved(g, r=R, *, settings=None, **options):
    """A solution, for which no part of the chain may have warned."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pdf = pdf_from_arrays(r, g, **({"element": "Pt"} | ORDINARY | (settings or {})))
        return solve(pdf, **(QUICK | options))


def kinds(solution):
    return [flag.kind for flag in solution.flags]


def test_two_atoms_are_fewer_than_any_source_knows():
    found = solved(simulated(row(2)))
    assert found.candidates[0].n_atoms == 5
    assert "few atoms" in kinds(found)


def test_a_fit_of_the_far_end_alone_is_judged_without_the_near_one():
    found = solved(simulated(ball(55)), settings={"rmin": 20.0})
    assert found.candidates
    assert "long-range order" not in kinds(found)


def test_a_grid_too_coarse_for_qmax_is_said_and_solved():
    r = np.arange(0, 30, 2 * np.pi / 22)
    found = solved(simulated(ball(55), r), r)
    assert any("too coarse for the Qmax" in line for line in found.warnings)
    assert np.isfinite(found.candidates[0].rw)


@pytest.mark.parametrize(
    ("g", "said"),
    [
        (0 * R, "is zero"),
        (1 + 0 * R, "is constant"),
        (np.random.default_rng(0).normal(size=len(R)), "as of noise or of single points"),
        (1.0 * (np.arange(len(R)) == 140), "as of noise or of single points"),
        (1.0 * (np.arange(len(R)) == 600), "as of noise or of single points"),
        (1e-15 * np.sin(6 * R), "is at most 1e-15"),
        (1e-300 * np.sin(6 * R), "is at most 1e-300"),
        (1e13 * np.sin(6 * R), "G must be from"),
    ],
)
def test_what_holds_no_structure_is_refused_in_a_line(g, said):
    with pytest.raises(InputError, match=said) as error:
        solved(g)
    assert "\n" not in str(error.value)


def test_a_range_of_the_first_shell_alone_is_refused():
    inside = R <= 4
    with pytest.raises(InputError, match="must go past 5"):
        solved(simulated(ball(55))[inside], R[inside])


def test_data_are_not_parted_where_a_part_has_nothing_to_fit():
    spikes = 1.0 * np.isin(np.arange(len(R)), [140, 600])
    settings = {"element": "Pt", "r_unit": "A"} | ORDINARY
    assert part(pdf_from_arrays(R, spikes, **settings)) is None
    coarse = np.arange(0, 7, 0.12)
    assert part(pdf_from_arrays(coarse, simulated(ball(55), coarse), **settings)) is None
    assert part(pdf_from_arrays(R, simulated(ball(55)), **settings)) is not None


@pytest.mark.slow
@pytest.mark.parametrize("factor", [1e-10, 1e-6, 1e6, 1e10])
def test_the_unit_of_g_does_not_matter(factor):
    g = simulated(ball(55))
    one, other = solved(g, samples=16).candidates[0], solved(factor * g, samples=16).candidates[0]
    assert other.n_atoms == one.n_atoms
    assert other.rw == pytest.approx(one.rw, abs=2e-3)
    assert other.parameters["scale"] == pytest.approx(factor * one.parameters["scale"], rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("positions", "expected"),
    [(row(3), "few atoms"), (row(10), None), (ring(12), "misfit"), (ball(257), "size"), (ball(400), "size")],
    ids=["3 in a row", "10 in a row", "ring", "257", "400"],
)
def test_odd_shapes_and_sizes_are_solved_or_flagged(positions, expected):
    # Few samples of the model are lines, so that one takes the usual number of them to be found.
    found = solved(simulated(positions), **({"samples": 16} if expected else {"samples": 64, "candidates": 10}))
    assert expected in kinds(found) if expected else found.candidates[0].rw < 0.01


@pytest.mark.slow
def test_noise_up_to_qmax_is_flagged():
    rng = np.random.default_rng(0)
    g = noise_at_floor(R, rng.normal(size=len(R)), 22.0, 0.9, rng)
    assert "misfit" in kinds(solved(g))


@pytest.mark.slow
def test_a_bulk_crystal_is_flagged():
    g = crystal_gr(R, "fcc", 3.524, Instrument(**ORDINARY), 0.006)
    found = solved(g, settings={"element": "Ni"}, source="all")
    assert {"long-range order", "misfit"} <= set(kinds(found))


@pytest.mark.slow
def test_atoms_at_rest_are_flagged_and_are_no_crystal():
    found = solved(simulated(ball(101), uiso=1e-5))
    assert "sharp peaks" in kinds(found)
    assert "long-range order" not in kinds(found)


@pytest.mark.slow
@pytest.mark.parametrize(("rmax", "step"), [(100.0, 0.005), (30.0, 0.001), (5.2, 0.02)])
def test_long_fine_and_short_grids_are_solved(rmax, step):
    r = np.arange(round(rmax / step) + 1) * step
    found = solved(simulated(ball(101), r), r, settings={"rmax": rmax}, samples=64 if rmax < 10 else 4)
    assert found.candidates[0].rw < 0.15
    assert "long-range order" not in kinds(found)


@pytest.mark.slow
@pytest.mark.parametrize("instrument", [{"qmax": 4.0}, {"qmax": 100.0}, {"qdamp": 0.5}, {"qbroad": 0.5}, {"qmin": 9.0}])
def test_instruments_at_their_limits_are_survived(instrument):
    found = solved(simulated(ball(55), **instrument), settings=instrument)
    assert found.flags or found.candidates[0].rw < 0.1
