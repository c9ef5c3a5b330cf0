"""The whole chain on simulated data, with the shipped weights and with the library."""

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

import cbldm
from cbldm.data.clusters import decahedron, octahedron
from cbldm.data.pdf_files import pdf_from_arrays
from cbldm.errors import InputError
from cbldm.metrics import f1
from cbldm.physics.debye import debye_gr
from cbldm.pipeline import Options, refine_structure, solve
from cbldm.refine import check_structure
from cbldm.report.ranking import detail
from cbldm.results import results, write_solution
from cbldm.saved import read_candidates
from cbldm.types import Cluster, Instrument

EXAMPLE = Path(cbldm.__file__).parent / "examples" / "pt_example.gr"
QUICK = {"samples": 12, "candidates": 3}


def simulated(cluster, dnn=2.8, **options):
    r = np.arange(0, 25.005, 0.02)
    g = debye_gr(r, dnn * cluster.positions, Instrument(0.8, 24.0, 0.03), 0.006, delta2=1.5)
    return pdf_from_arrays(r, g, **({"element": "Au", "qmin": 0.8, "qmax": 24.0, "qdamp": 0.03} | options))


@pytest.fixture(scope="module")
def solution():
    return solve(EXAMPLE, **QUICK)


def test_candidates_are_sound_ranked_and_labelled(solution):
    assert len(solution.candidates) == 3
    assert [c.rank for c in solution.candidates] == [1, 2, 3]
    for candidate in solution.candidates:
        assert set(candidate.atoms.get_chemical_symbols()) == {"Pt"}
        assert check_structure(candidate.atoms.positions, solution.estimates["dnn"]) is None
        assert candidate.source == "cbldm"
        assert candidate.rw < 0.6
        np.testing.assert_allclose(candidate.fit.difference, candidate.fit.observed - candidate.fit.calculated)
    assert sum(solution.estimates["motif"].values()) == pytest.approx(1, abs=0.01)
    assert set(solution.seconds) == {"load", "sample", "search", "recover", "refine", "rank", "total"}
    assert 1 <= len(solution.raw) <= 10
    assert all(raw.shape[1] == 3 for raw in solution.raw)


def test_same_seed_same_answer_and_another_seed_another(solution):
    again = solve(EXAMPLE, **QUICK)
    for one, two in zip(solution.candidates, again.candidates, strict=True):
        np.testing.assert_array_equal(one.atoms.positions, two.atoms.positions)
        assert one.rw == two.rw
    other = solve(EXAMPLE, seed=1, **QUICK)
    assert [c.rw for c in other.candidates] != [c.rw for c in solution.candidates]


def test_atom_counts_are_kept_to():
    found = solve(EXAMPLE, n_atoms=(120, 130), **QUICK)
    assert all(120 <= c.n_atoms <= 130 for c in found.candidates)


def test_library_finds_a_textbook_cluster():
    cluster = decahedron(4, 2, 1)
    found = solve(simulated(cluster), source="library", candidates=3)
    best = found.candidates[0]
    assert (best.n_atoms, best.motif, best.source) == (cluster.n_atoms, "decahedron", "library")
    assert best.rw < 0.02
    assert f1(2.8 * cluster.positions, best.atoms.positions) == 1
    assert found.model == {}


def test_all_sources_are_merged():
    found = solve(simulated(decahedron(3, 2, 0)), source="all", samples=8, candidates=6)
    assert found.candidates[0].source == "library"


def test_a_particle_larger_than_the_model_is_served():
    cluster = octahedron(11, 5)
    found = solve(simulated(cluster), source="all", n_atoms=(450, 700), candidates=3)
    best = found.candidates[0]
    assert (best.n_atoms, best.motif, best.source) == (561, "fcc", "library")
    assert best.rw < 0.02
    assert best.moved_median == best.moved_max == 0
    shown = len(found.candidates)
    assert any(f"positions were not refined for {shown} of {shown} candidates" in line for line in found.warnings)


def test_candidates_of_a_neighbour_are_weighed_with_the_own_ones():
    """The truth lacks some corners, so no textbook has it."""
    cluster = Cluster(octahedron(4, 1).positions[4:], "fcc", "octahedron")
    truth = Atoms(f"Au{cluster.n_atoms}", positions=2.84 * cluster.positions)
    torn = Atoms("Au40", positions=np.arange(120.0).reshape(40, 3) * 2)
    few = {"source": "textbook", "n_atoms": (30, 60), "candidates": 3}
    pdf = simulated(cluster)
    alone = solve(pdf, **few)
    assert {c.source for c in alone.candidates} == {"library"}
    warm = solve(pdf, starts=[torn, truth], **few)
    best = warm.candidates[0]
    assert (best.source, best.n_atoms) == ("neighbour", 34)
    assert best.rw < 0.002 < alone.candidates[0].rw
    assert f1(2.8 * cluster.positions, best.atoms.positions) == 1
    assert warm.rejected["falls apart"] == 1
    beyond = solve(pdf, starts=[truth], **few | {"n_atoms": (35, 60)})
    assert {c.source for c in beyond.candidates} == {"library"}


def test_the_textbook_alone_is_a_source_and_knows_its_limit():
    found = solve(simulated(octahedron(11, 5)), source="textbook", n_atoms=(240, 3000), candidates=2)
    assert all(240 <= candidate.n_atoms <= 256 for candidate in found.candidates)
    assert any("near the library's limit of 256 atoms" in line and "--source all" in line for line in found.warnings)


def test_refine_of_the_truth_fits():
    pdf = simulated(decahedron(3, 2, 0))
    positions = 2.83 * decahedron(3, 2, 0).positions
    fitted = refine_structure(pdf, Atoms(f"Au{len(positions)}", positions=positions), rigid=True)
    assert fitted.rw < 1e-3
    assert fitted.parameters["stretch"] == pytest.approx(2.8 / 2.83, abs=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, "samples must be 1 to 4096"),
        ({"candidates": 1000}, "candidates must be"),
        ({"source": "guess"}, "source must be"),
        ({"n_atoms": (30, 20)}, "n_atoms must be"),
        ({"seed": -1}, "seed must be"),
        ({"device": "abacus"}, "device must be"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(cbldm.InputError, match=message):
        Options(**options)


def test_missing_element_is_asked_for():
    with pytest.raises(cbldm.InputError, match="--element"):
        solve(simulated(decahedron(3, 2, 0), element=None))


def test_what_is_no_metal_is_refused():
    with pytest.raises(cbldm.InputError, match=r"must be a metal.*made of Si \(from the option\)"):
        solve(simulated(decahedron(3, 2, 0), element="Si"))


def test_too_large_for_the_model():
    with pytest.raises(cbldm.InputError, match="up to 256 atoms"):
        solve(EXAMPLE, n_atoms=(300, 400), **QUICK)


def test_other_weights_that_are_not_there(tmp_path):
    with pytest.raises(cbldm.ModelError, match="cannot read the model"):
        solve(EXAMPLE, weights=tmp_path)


def test_arrays_are_taken_too(solution):
    pdf = solution.pdf
    found = solve((pdf.r, pdf.g), element="Pt", qmin=0.9, qmax=24.0, qdamp=0.03, qbroad=0.0, **QUICK)
    assert found.candidates[0].rw == pytest.approx(solution.candidates[0].rw, rel=1e-6)


def test_nonsense_is_refused():
    with pytest.raises(cbldm.InputError, match="data must be"):
        solve(42)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["JQ_S1", "JQ_S3", "Au144pMBA"])
def test_measured_files(shared_data, name):
    found = solve(shared_data / "experimental" / f"{name}.gr")
    assert len(found.candidates) == 10
    assert set(found.candidates[0].atoms.get_chemical_symbols()) == {"Au" if name.startswith("Au") else "Pt"}
    assert found.candidates[0].rw < 0.45


def test_a_surface_with_its_own_uiso_is_told_and_written(tmp_path):
    found = solve(EXAMPLE, samples=2, candidates=2, fit_surface_uiso=True)
    out = write_solution(found, tmp_path / "out")
    entries = json.loads((out / "results.json").read_text(encoding="utf-8"))["candidates"]
    assert detail(found.candidates[0]) in (out / "report.html").read_text(encoding="utf-8")
    for candidate, entry, again in zip(found.candidates, entries, read_candidates(out), strict=True):
        uiso = candidate.parameters["surface_uiso"]
        assert 0.0005 <= uiso <= 0.1
        assert entry["surface_uiso_A2"] == again.parameters["surface_uiso"] == pytest.approx(uiso, abs=1e-6)
        assert f"surface_uiso {uiso:.4f} Å²" in detail(candidate)
        assert f"\nsurface_uiso={uiso}\n" in (out / "fits" / f"{candidate.rank:02d}.fgr").read_text(encoding="utf-8")
    without = solve(EXAMPLE, samples=2, candidates=2)
    assert results(without)["candidates"][0]["surface_uiso_A2"] is None
    assert "surface_uiso" not in without.candidates[0].parameters


def test_instrument_file_and_fitted_qdamp_are_told(tmp_path):
    path = tmp_path / "instrument.toml"
    path.write_text("[instrument]\nqdamp = 0.041\nqbroad = 0.002\n", encoding="utf-8")
    found = cbldm.solve(
        EXAMPLE, instrument=path, qbroad=0.001, samples=2, candidates=1, seed=0, fit_qdamp=True, n_atoms=(40, 80)
    )
    entry = results(found)["input"]
    assert entry["qdamp"] == {"value": 0.041, "source": "instrument", "note": entry["qdamp"]["note"]}
    assert entry["qdamp"]["note"].startswith("instrument.toml")
    assert (entry["qbroad"]["value"], entry["qbroad"]["source"]) == (0.001, "option")
    assert any(line.startswith("size and Qdamp trade off") for line in found.warnings)
    with pytest.raises(InputError, match="already read"):
        cbldm.solve(found.pdf, instrument=path)
