"""The first peak of simulated clusters is their nearest-neighbour distance."""

import numpy as np
import pytest

from cbldm.data.clusters import cubic, icosahedron
from cbldm.data.noise import noise_at_floor
from cbldm.data.pdf_files import pdf_from_arrays
from cbldm.errors import InputError
from cbldm.first_peak import expected_dnn, first_peak
from cbldm.physics.debye import debye_gr
from cbldm.types import Instrument

R = np.arange(0, 20.005, 0.01)


def pdf_of(cluster, dnn, *, floor=0.0, step=1, **instrument):
    settings = {"qmin": 0.8, "qmax": 25.0, "qdamp": 0.03, "qbroad": 0.0} | instrument
    r = R[::step]
    g = debye_gr(r, dnn * cluster.positions, Instrument(**settings), 0.006, delta2=2.0)
    if floor:
        g = g + noise_at_floor(r, g, settings["qmax"], floor, np.random.default_rng(3))
    return pdf_from_arrays(r, g, element="Pt", **settings)


@pytest.mark.parametrize("lattice", ["fcc", "bcc", "sc"])
@pytest.mark.parametrize("dnn", [2.35, 2.77, 3.1])
def test_peak_of_a_cubic_cluster_lies_at_its_bond(lattice, dnn):
    assert first_peak(pdf_of(cubic(lattice, 3, 4, 4), dnn)) == pytest.approx(dnn, rel=0.01)


@pytest.mark.parametrize(("step", "floor"), [(1, 0.0), (10, 0.0), (1, 0.1), (5, 0.05)])
def test_coarse_grids_and_noise_do_little(step, floor):
    exact = first_peak(pdf_of(icosahedron(3), 2.8))
    assert first_peak(pdf_of(icosahedron(3), 2.8, step=step, floor=floor)) == pytest.approx(exact, rel=0.01)


def test_no_peak_is_said():
    with pytest.raises(InputError, match="no first peak"):
        first_peak(pdf_from_arrays(R, -np.exp(-R), element="Pt", qmax=20))


@pytest.mark.parametrize(
    ("element", "distance"), [("Pt", 2.77), ("Fe", 2.48), ("Co", 2.50), ("Po", 3.35), ("Zn", 2.66)]
)
def test_distance_expected_of_an_element(element, distance):
    assert expected_dnn(element) == pytest.approx(distance, abs=0.02)


def test_element_without_a_simple_lattice():
    assert expected_dnn("Mn") is None or expected_dnn("Mn") > 2
