"""The library solver: screening is a true fit on a grid, and what is in the library is found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from cbldm.data.clusters import decahedron, icosahedron, octahedron, textbook_clusters
from cbldm.data.large_clusters import large_cuts
from cbldm.data.large_templates import large_templates
from cbldm.data.pdf_files import pdf_from_arrays, read_pdf
from cbldm.errors import InputError
from cbldm.first_peak import first_peak
from cbldm.geometry.fingerprint import fingerprint
from cbldm.geometry.motif import name_motif
from cbldm.library import BIN, LARGE, TemplateLibrary, _histogram, _nest_histograms, extended_library
from cbldm.physics.debye import debye_gr
from cbldm.refine import fit_parameters
from cbldm.types import Cluster, Instrument, Pdf

SIMULATED = Path(__file__).resolve().parents[2] / "shared" / "data" / "simulated"


@pytest.fixture(scope="module")
def library() -> TemplateLibrary:
    return TemplateLibrary()


def simulated(cluster: Cluster, dnn: float, instrument: Instrument, uiso: float, delta2: float = 0.0) -> Pdf:
    r = np.arange(0.5, 20, 0.02)
    g = debye_gr(r, dnn * cluster.positions, instrument, uiso, delta2=delta2, scale=0.6)
    settings = {"qmin": instrument.qmin, "qmax": instrument.qmax, "qdamp": instrument.qdamp, "qbroad": 0.0}
    return pdf_from_arrays(r, g, element="Pt", rmin=1.5, rmax=19.9, **settings)


@pytest.mark.parametrize(
    ("name", "family", "n_atoms", "error"),
    [
        ("BCC_h_4_k_7_l_8_Cr", "bcc", 149, 1.03),
        ("SC_h_4_k_4_l_5_V", "sc", 177, 0.98),
        ("FCC_h_3_k_6_l_7_Zn", "fcc", 171, 1.02),
        ("HCP_Size1_4_Size2_4_Size3_4_Os", "hcp", 128, 1.0),
        ("Decahedron_p_5_q_1_r_0_Re", "decahedron", 105, 0.99),
        ("Icosahedron_shell_3_V", "icosahedron", 55, 1.03),
    ],
)
def test_published_simulations_come_back_as_themselves(
    library: TemplateLibrary, name: str, family: str, n_atoms: int, error: float
) -> None:
    file = SIMULATED / f"{name}.gr"
    if not file.exists():
        pytest.skip(f"needs {file.name} of the shared test data")
    truth = np.loadtxt(file.with_suffix(".xyz"), skiprows=2, usecols=(1, 2, 3))
    dnn = pdist(truth).min()
    # These files were computed at r = 0.01 i; their own r column is 0.03 % too long.
    r, g = 0.01 * np.arange(3000), np.loadtxt(file)[:, 1]
    pdf = pdf_from_arrays(r, g, element="Pt", qmin=0.737, qmax=25.02, qdamp=0, qbroad=0, rmin=1.5, rmax=29.9)
    best, second = library.fit(pdf, dnn * error, keep=8)[:2]
    assert (best.cluster.family, best.cluster.n_atoms) == (family, n_atoms)
    assert best.fit.rw < 0.005 < second.fit.rw
    np.testing.assert_allclose(best.fit.stretch * error, 1.0, atol=5e-4)
    np.testing.assert_allclose(best.fit.uiso, 0.3 / (8 * np.pi**2), rtol=0.02)
    np.testing.assert_allclose(np.sort(pdist(best.fit.positions)), np.sort(pdist(truth)), rtol=5e-4)


@pytest.mark.parametrize(("uiso", "delta2"), [(0.004, 0.0), (0.01, 3.0)])
def test_screening_is_exact_on_its_grid(library: TemplateLibrary, uiso: float, delta2: float) -> None:
    pdf = simulated(decahedron(4, 1, 0), 2.6, Instrument(0.8, 22.0, qdamp=0.03), uiso, delta2)
    rw, stretch = library.screen(pdf, 2.6 / 1.03)
    best = int(np.argmin(rw))
    assert (library.clusters[best].family, library.clusters[best].n_atoms) == ("decahedron", 54)
    assert rw[best] < 2e-3
    assert stretch[best] == pytest.approx(1.03)
    assert rw.shape == stretch.shape == (len(textbook_clusters()),)


def test_fits_are_sorted_and_as_many_as_kept(library: TemplateLibrary) -> None:
    pdf = simulated(octahedron(4, 1), 2.77, Instrument(0.8, 25.0), 0.006, 2.0)
    fits = library.fit(pdf, 2.8, keep=5)
    assert len(fits) == 5
    assert [f.fit.rw for f in fits] == sorted(f.fit.rw for f in fits)
    assert fits[0].cluster.n_atoms == 38
    np.testing.assert_allclose(fits[0].fit.stretch * 2.8, 2.77, rtol=1e-3)
    np.testing.assert_allclose(fits[0].fit.scale, 0.6, rtol=0.01)
    np.testing.assert_allclose(fits[0].fit.delta2, 2.0, atol=0.1)


def test_a_library_of_own_clusters() -> None:
    icosahedra = TemplateLibrary([icosahedron(2), icosahedron(3)])
    pdf = simulated(icosahedron(3), 2.9, Instrument(1.0, 24.0), 0.005)
    assert [f.cluster.n_atoms for f in icosahedra.fit(pdf, 2.9)] == [55, 13]


def test_a_bond_length_that_is_none_is_refused(library: TemplateLibrary) -> None:
    pdf = simulated(icosahedron(2), 2.9, Instrument(1.0, 24.0), 0.005)
    with pytest.raises(InputError, match=r"nearest-neighbour distance is 0\.2 Å; allowed are 1 to 6 Å"):
        library.screen(pdf, 0.2)


@pytest.fixture(scope="module")
def extended() -> TemplateLibrary:
    return extended_library()


def test_pairs_of_a_nest_are_those_of_its_clusters() -> None:
    """Counting by symmetry and shell by shell changes nothing, in every group and for nests without any symmetry."""
    for nest in list(large_templates())[::29]:
        histograms = _nest_histograms(nest)
        for end, histogram in list(zip(nest.ends, histograms, strict=True))[:: max(1, len(nest.ends) // 2)]:
            if end > 1500:
                continue
            expected = _histogram(pdist(nest.sites[:end]))
            np.testing.assert_allclose(histogram[int(0.5 / BIN) : len(expected)], expected[int(0.5 / BIN) :], atol=1e-5)


def test_the_extended_library_holds_the_textbook_and_each_shape_once(extended: TemplateLibrary) -> None:
    textbook = textbook_clusters()
    for found, known in zip(extended.clusters, textbook, strict=False):
        assert (found.family, dict(found.parameters)) == (known.family, dict(known.parameters))
        np.testing.assert_array_equal(found.positions, known.positions)
    assert 3000 < len(extended.clusters) < 6000
    assert max(cluster.n_atoms for cluster in extended.clusters) == 3000
    medium = [c for c in extended.clusters[len(textbook) :] if 200 <= c.n_atoms <= 320]
    assert len({fingerprint(c.positions) for c in medium}) == len(medium) > 100
    assert extended_library() is extended


@pytest.mark.parametrize(
    ("motif", "seed"),
    [("fcc", 1), ("hcp", 1), ("twin", 2), ("bcc", 1), ("decahedron", 1), ("icosahedron", 1)],
)
def test_a_large_particle_that_is_no_template_is_placed(extended: TemplateLibrary, motif: str, seed: int) -> None:
    cuts = large_cuts(motif, (680, 720), np.random.default_rng(seed))
    truth = next(cut for cut in cuts if name_motif(cut.positions) == motif)
    assert fingerprint(truth.positions) not in {
        fingerprint(c.positions) for c in extended.clusters if c.n_atoms == truth.n_atoms
    }
    pdf = simulated(truth, 2.77, Instrument(0.8, 22.0, qdamp=0.03), 0.006, 2.0)
    best = extended.fit(pdf, 2.8, keep=20)[0]
    assert best.cluster.motif == motif
    assert best.cluster.n_atoms == pytest.approx(truth.n_atoms, rel=0.05)
    assert best.fit.rw < 0.05


def test_large_templates_are_fitted_as_small_ones_are(extended: TemplateLibrary) -> None:
    truth = next(c for c in extended.clusters if c.n_atoms > LARGE and c.motif == "decahedron")
    pdf = simulated(truth, 2.77, Instrument(0.8, 22.0, qdamp=0.03), 0.008, 2.0)
    best = extended.fit(pdf, 2.8, keep=5)[0]
    (expected,) = fit_parameters(pdf, [2.77 * truth.positions])
    assert best.cluster is truth
    assert best.fit.rw < 0.01
    np.testing.assert_allclose(
        [2.8 * best.fit.stretch, best.fit.uiso, best.fit.delta2, best.fit.scale, best.fit.freedom],
        [2.77 * expected.stretch, expected.uiso, expected.delta2, expected.scale, expected.freedom],
        rtol=0.02,
    )
    np.testing.assert_allclose(best.fit.calculated, expected.calculated, atol=0.01 * np.abs(expected.calculated).max())


def test_only_allowed_sizes_are_fitted(extended: TemplateLibrary) -> None:
    pdf = simulated(icosahedron(3), 2.9, Instrument(1.0, 24.0), 0.005)
    found = extended.fit(pdf, 2.9, keep=6, n_atoms=(240, 460))
    assert len(found) == 6
    assert all(240 <= template.cluster.n_atoms <= 460 for template in found)
    assert extended.fit(pdf, 2.9, n_atoms=(3001, 4000)) == []


@pytest.mark.parametrize(
    ("name", "element", "limit"), [("JQ_S1", "Pt", 0.16), ("JQ_S3", "Pt", 0.219), ("Au144pMBA", "Au", 0.210)]
)
def test_measured_particles(extended: TemplateLibrary, name: str, element: str, limit: float) -> None:
    file = SIMULATED.parent / "experimental" / f"{name}.gr"
    if not file.exists():
        pytest.skip(f"needs {file.name} of the shared test data")
    pdf = read_pdf(file, element=element, qdamp=0.03, rmin=1.5, rmax=20.0)
    assert extended.fit(pdf, first_peak(pdf), keep=40, fit_delta2=False)[0].fit.rw <= limit
