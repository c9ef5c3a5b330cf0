"""Ligand peaks are found where they are, and neither noise nor ripples are taken for one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cbldm.data.clusters import cubic, decahedron, icosahedron, octahedron
from cbldm.data.noise import noise_at_floor
from cbldm.data.pdf_files import pdf_from_arrays, read_pdf
from cbldm.first_peak import first_peak
from cbldm.ligands import background_note, ligand_advice, strongest_ligand_peak
from cbldm.physics.debye import debye_gr
from cbldm.physics.fast import fast_gr
from cbldm.types import Fit, FloatArray, Instrument, Pdf

DNN = 2.8
R = 0.01 * np.arange(2501)
CLUSTERS = {
    "fcc": octahedron(5, 1),
    "bcc": cubic("bcc", 3, 4, 5),
    "decahedron": decahedron(3, 2, 0),
    "icosahedron": icosahedron(4),
}


def metal(positions: FloatArray, qmax: float = 24.0, uiso: float = 0.006) -> FloatArray:
    settings = {"qmin": 0.8, "qmax": qmax, "qdamp": 0.03}
    return fast_gr(torch.from_numpy(R), torch.from_numpy(DNN * positions)[None], uiso=uiso, delta2=1.5, **settings)[
        0
    ].numpy()


def measured(g: FloatArray, floor: float, seed: int = 0, qmax: float = 24.0, **options: float) -> Pdf:
    noise = noise_at_floor(R, g, qmax, floor, np.random.default_rng(seed))
    return pdf_from_arrays(R, g + noise, element="Au", qmin=0.8, qmax=qmax, qdamp=0.03, **options)


def bond(distance: float, height: float, g: FloatArray, qmax: float = 24.0) -> FloatArray:
    """The peak of one bond, of a height relative to the highest peak of a curve."""
    pair = np.array([[0.0, 0, 0], [distance, 0, 0]])
    peak = debye_gr(R, pair, Instrument(0.8, qmax, 0.03), 0.006)
    return np.asarray(height * g.max() * peak / peak.max())


@pytest.mark.parametrize("name", CLUSTERS)
@pytest.mark.parametrize("qmax", [17.0, 24.0, 30.0])
def test_ripples_and_noise_are_no_ligands(name: str, qmax: float) -> None:
    for uiso in (0.003, 0.012):
        g = metal(CLUSTERS[name].positions, qmax, uiso)
        for seed, floor in enumerate((0.0, 0.03, 0.1)):
            pdf = measured(g, floor, seed, qmax)
            peak = strongest_ligand_peak(pdf, first_peak(pdf))
            assert peak is None or not peak.certain


@pytest.mark.parametrize("distance", [1.54, 2.0, 2.3])
def test_bonds_of_ligands_are_found_and_the_fit_begins_above_them(distance: float) -> None:
    g = metal(CLUSTERS["icosahedron"].positions)
    pdf = measured(g + bond(distance, 0.12, g), 0.01)
    dnn = first_peak(pdf)
    peak = strongest_ligand_peak(pdf, dnn)
    assert peak is not None
    assert peak.certain
    assert peak.position == pytest.approx(distance, abs=0.04)
    assert peak.height == pytest.approx(0.12, rel=0.3)
    assert distance < peak.rmin < dnn
    advice = ligand_advice(pdf, dnn)
    assert advice is not None
    assert f"--rmin {peak.rmin:.2f}" in advice
    assert "--background 4" in advice
    above = measured(g + bond(distance, 0.12, g), 0.01, rmin=peak.rmin)
    assert ligand_advice(above, dnn) is None


def test_a_small_peak_in_much_noise_is_not_claimed() -> None:
    g = metal(CLUSTERS["icosahedron"].positions)
    for seed in range(5):
        peak = strongest_ligand_peak(measured(g + bond(2.0, 0.02, g), 0.1, seed), DNN)
        assert peak is None or not peak.certain


def test_data_that_begin_at_the_first_peak_say_nothing() -> None:
    g = metal(CLUSTERS["fcc"].positions)
    late = R > 2.2
    pdf = pdf_from_arrays(R[late], g[late], element="Au", qmin=0.8, qmax=24.0)
    assert strongest_ligand_peak(pdf, DNN) is None
    assert ligand_advice(pdf, DNN) is None


def test_gold_sulfur_bonds_show_in_the_measured_cluster(shared_data) -> None:
    pdf = read_pdf(shared_data / "experimental" / "Au144pMBA.gr")
    peak = strongest_ligand_peak(pdf, first_peak(pdf))
    assert peak is not None
    assert peak.certain
    assert peak.position == pytest.approx(2.35, abs=0.05)


@pytest.mark.parametrize(("share", "words"), [(0.01, None), (0.1, "10% of the data"), (0.4, "large share")])
def test_a_background_is_told_as_soon_as_it_matters(share: float, words: str | None) -> None:
    pdf = measured(metal(CLUSTERS["fcc"].positions), 0.0, background=4)
    smooth = np.sin(R)
    smooth *= share * np.linalg.norm(pdf.g) / np.linalg.norm(smooth)
    note = background_note(pdf, Fit(pdf.r, pdf.g, pdf.g, smooth))
    assert (note is None) == (words is None)
    assert words is None or words in str(note)
    assert background_note(pdf, Fit(pdf.r, pdf.g, pdf.g)) is None
