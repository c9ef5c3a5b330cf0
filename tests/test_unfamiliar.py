"""Each flag is raised by what it is for, and by nothing that is one cluster of one element."""

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from ase import Atoms

from cbldm.data.clusters import decahedron, icosahedron, octahedron
from cbldm.data.noise import noise_at_floor
from cbldm.data.pdf_files import pdf_from_arrays
from cbldm.errors import InputError
from cbldm.first_peak import first_peak
from cbldm.physics.crystal import crystal_gr
from cbldm.physics.fast import fast_gr
from cbldm.pipeline import solve
from cbldm.results import results_text
from cbldm.types import Candidate, Fit, Instrument, Solution
from cbldm.unfamiliar import NEAR_LIMIT, SizeLimit, flags_of_data, flags_of_fits, noise_of

PT = 2.77
R = np.arange(0.0, 30.01, 0.02)
INSTRUMENT = Instrument(0.8, 20.0, 0.03)
LIMIT = SizeLimit("model", 256, "; ask another source")


def ideal(positions, instrument=INSTRUMENT, uiso=0.006):
    """G(r) of a cluster in Å."""
    return fast_gr(torch.from_numpy(R), torch.from_numpy(positions)[None], **asdict(instrument), uiso=uiso)[0].numpy()


def pdf_of(g, r=R, element="Pt", floor=0.0, seed=0, **settings):
    noise = noise_at_floor(R, g, INSTRUMENT.qmax, floor, np.random.default_rng(seed))
    return pdf_from_arrays(r, g + noise, element=element, **(asdict(INSTRUMENT) | settings))


def candidate(pdf, positions, calculated, **parameters):
    inside = (pdf.r >= 1.5 - 1e-9) & (pdf.r <= 30 + 1e-9)
    g, model = pdf.g[inside], calculated[inside]
    fit = Fit(pdf.r[inside], g, model * (model @ g) / (model @ model))
    known = {"scale": 1.0, "stretch": 1.0, "uiso": 0.006, "delta2": 0.0, "qdamp": 0.03}
    return Candidate(
        1, Atoms(f"Pt{len(positions)}", positions=positions), "fcc", "cbldm", fit, known | parameters, 0, 0, None
    )


def kinds(flags):
    return [flag.kind for flag in flags]


def data_kinds(pdf):
    return kinds(flags_of_data(pdf, first_peak(pdf)))


@pytest.mark.parametrize("floor", [0.0, 0.05, 0.1])
@pytest.mark.parametrize("cluster", [octahedron(5, 1), decahedron(3, 2, 0), icosahedron(3)], ids=lambda c: c.family)
def test_one_cluster_of_one_element_raises_nothing(cluster, floor):
    positions = PT * cluster.positions
    pdf = pdf_of(ideal(positions), floor=floor)
    assert data_kinds(pdf) == []
    assert kinds(flags_of_fits(pdf, [candidate(pdf, positions, ideal(positions))], LIMIT)) == []


def test_that_there_is_no_candidate_is_a_flag():
    assert kinds(flags_of_fits(pdf_of(ideal(PT * icosahedron(3).positions)), [], LIMIT)) == ["no structure"]


def test_noise_is_read_from_the_difference():
    g = ideal(PT * octahedron(5, 1).positions)
    pdf = pdf_of(g, floor=0.2)
    truth = float(np.sqrt(np.mean((pdf.g - g) ** 2)))
    assert noise_of(pdf, pdf.r, pdf.g - g) == pytest.approx(truth, rel=0.25)
    # What structure leaves is weakest where noise is read.
    other = g - ideal(PT * octahedron(5, 0).positions)
    assert noise_of(pdf, pdf.r, other) < 0.5 * float(np.sqrt(np.mean(other**2)))


def test_r_that_is_too_long():
    pdf = pdf_of(ideal(PT * octahedron(5, 1).positions), floor=0.05)
    for factor in (4, 10):
        assert "unit of r" in kinds(flags_of_data(replace(pdf, r=factor * pdf.r), PT))


@pytest.mark.parametrize("floor", [0.0, 0.1])
def test_r_that_is_ten_times_too_long_is_refused(floor):
    with pytest.raises(InputError, match=r"check .*the unit of r"):
        solve(pdf_of(ideal(PT * octahedron(5, 1).positions), r=10 * R, floor=floor))


def test_r_that_is_ten_times_too_short_is_refused():
    with pytest.raises(InputError, match="--r-unit"):
        solve((0.1 * R, ideal(PT * octahedron(5, 1).positions)), element="Pt", qmin=0.8, qmax=20)


def test_another_element():
    flags = flags_of_data(pdf_of(ideal(PT * octahedron(5, 1).positions), element="Cu"), PT)
    assert kinds(flags) == ["element"]
    assert "2.55 Å" in flags[0].text


@pytest.mark.parametrize("qdamp", [0.01, 0.06])
def test_a_bulk_crystal(qdamp):
    g = crystal_gr(R, "fcc", PT * math.sqrt(2), Instrument(0.8, 20.0, qdamp), 0.006)
    assert data_kinds(pdf_of(g, qdamp=qdamp, floor=0.1)) == ["long-range order"]


def test_a_qmax_that_is_stated_too_low():
    assert data_kinds(pdf_of(ideal(PT * octahedron(5, 1).positions, uiso=0.003), qmax=14.0)) == ["qmax"]


@pytest.mark.parametrize("floor", [0.0, 0.1])
def test_a_second_phase(floor):
    first, second = PT * octahedron(5, 1).positions, 2.5 * icosahedron(4).positions
    pdf = pdf_of(0.7 * ideal(first) + 0.3 * ideal(second), floor=floor)
    flags = flags_of_fits(pdf, [candidate(pdf, first, ideal(first))], LIMIT)
    assert kinds(flags) == ["misfit"]
    assert flags[0].value > flags[0].limit


def test_noise_alone_is_no_misfit_until_it_hides_everything():
    positions = PT * octahedron(5, 1).positions
    for floor, expected in ((0.3, []), (0.5, ["misfit"])):
        pdf = pdf_of(ideal(positions), floor=floor)
        assert kinds(flags_of_fits(pdf, [candidate(pdf, positions, ideal(positions))], LIMIT)) == expected


def test_peaks_broader_than_thermal_motion():
    positions = PT * octahedron(5, 1).positions
    g = ideal(positions, uiso=0.025)
    pdf = pdf_of(g)
    assert kinds(flags_of_fits(pdf, [candidate(pdf, positions, g, uiso=0.025)], LIMIT)) == ["disorder"]


def test_a_structure_that_is_no_compact_cluster():
    positions = PT * octahedron(5, 1).positions
    pdf = pdf_of(ideal(positions))
    scattered = np.random.default_rng(0).uniform(-8, 8, size=positions.shape)
    assert kinds(flags_of_fits(pdf, [candidate(pdf, scattered, ideal(positions))], LIMIT)) == ["disorder"]


def test_an_open_cluster_of_even_bonds_is_not_disordered():
    ring = np.arange(6) * np.pi / 3
    flat = PT * np.array([[0, 0, 0], *np.stack([np.cos(ring), np.sin(ring), 0 * ring], axis=1)])
    chain = PT * np.array([[x, 0.0, 0.0] for x in range(2, 6)])
    positions = np.concatenate([flat, chain])
    pdf = pdf_of(ideal(positions))
    assert kinds(flags_of_fits(pdf, [candidate(pdf, positions, pdf.g)], LIMIT)) == []


def test_many_sizes_that_one_cluster_imitates():
    rng = np.random.default_rng(0)
    lattice = PT * octahedron(11, 0).positions
    total, atoms = np.zeros(len(R)), 0
    for factor in np.exp(0.29 * np.linspace(-1.7, 1.7, 9)):
        centre = lattice[np.argmin(np.linalg.norm(lattice, axis=1))] + rng.uniform(-1.5, 1.5, size=3)
        sphere = lattice[np.linalg.norm(lattice - centre, axis=1) < 6.5 * factor]
        weight = len(sphere) * math.exp(-0.5 * (math.log(factor) / 0.29) ** 2)
        total, atoms = total + weight * ideal(sphere), atoms + weight
    pdf = pdf_of(total / atoms, floor=0.05)
    flags = flags_of_fits(pdf, [candidate(pdf, lattice[:200], total)], LIMIT)
    assert kinds(flags) == ["size distribution"]
    assert "fcc spheres of many sizes" in flags[0].text


def test_a_candidate_at_the_limit_of_its_source():
    positions = PT * octahedron(5, 1).positions
    pdf = pdf_of(ideal(positions))
    best = candidate(pdf, positions, ideal(positions))
    flags = flags_of_fits(pdf, [best], SizeLimit("model", len(positions), "; ask another source"))
    assert kinds(flags) == ["size"]
    assert flags[0].text.endswith("the particle may be larger; ask another source")
    assert flags_of_fits(pdf, [best], SizeLimit("model", round(len(positions) / NEAR_LIMIT) + 1)) == []


def test_every_flag_is_one_line_and_in_the_results():
    pdf = pdf_of(ideal(PT * octahedron(5, 1).positions), element="Cu")
    flags = flags_of_data(pdf, PT)
    solution = Solution(pdf, [], {}, [flag.text for flag in flags], {}, 0, "cpu", {}, {"dnn": PT}, flags=flags)
    written = json.loads(results_text(solution))
    assert [flag["kind"] for flag in written["flags"]] == ["element"]
    assert written["flags"][0]["value"] > written["flags"][0]["limit"] == 0.06
    assert all("\n" not in flag["text"] and flag["text"] in written["warnings"] for flag in written["flags"])


def test_the_bundled_example_is_familiar(root):
    solution = solve(root / "src/cbldm/examples/pt_example.gr", samples=16, candidates=2)
    assert list(solution.flags) == []
