"""The library solver: screening is a true fit on a grid, and what is in the library is found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from cbldm.data.clusters import decahedron, icosahedron, octahedron, textbook_clusters
from cbldm.data.pdf_files import pdf_from_arrays
from cbldm.errors import InputError
from cbldm.library import TemplateLibrary
from cbldm.physics.debye import debye_gr
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
