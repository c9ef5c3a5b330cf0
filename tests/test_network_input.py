"""What the network sees of a measured PDF is what it saw in training."""

import numpy as np
import pytest
import torch

from cbldm.data.clusters import octahedron
from cbldm.data.pdf_files import pdf_from_arrays
from cbldm.data.stream import ANGSTROM_UNIT, scaled_conditions
from cbldm.models.cbldm import ModelConfig
from cbldm.network_input import network_input
from cbldm.physics.debye import debye_gr
from cbldm.physics.kernel import pair_histogram, pdf_kernel
from cbldm.types import Instrument

DNN = 2.77
CONFIG = ModelConfig()
INSTRUMENT = Instrument(0.9, 24.0, 0.03, 0.0)


@pytest.fixture(scope="module")
def cluster():
    return octahedron(5, 1).positions


def measured(cluster, **options):
    r = np.arange(0, 40.005, 0.01)
    g = 0.37 * debye_gr(r, DNN * cluster, INSTRUMENT, 0.006)
    settings = {"qmin": 0.9, "qmax": 24.0, "qdamp": 0.03, "qbroad": 0.0} | options
    return pdf_from_arrays(r, g, element="Pt", **settings)


@pytest.mark.parametrize(
    ("config", "unit"),
    [(CONFIG, DNN), (ModelConfig(unit="angstrom"), ANGSTROM_UNIT)],
    ids=lambda value: str(value)[-6:],
)
def test_equals_the_training_pdf(cluster, config, unit):
    """Whatever the scale of the data, in the unit of the input they are the training kernel's curve."""
    x, conditions = network_input(measured(cluster), DNN, config, "cpu")
    points = torch.as_tensor(cluster, dtype=torch.float32)[None]
    bins = 0.5 + 0.01 * torch.arange(1020)
    histogram = pair_histogram(
        torch.cdist(points, points), torch.ones(1, len(cluster), dtype=torch.bool), 0.5, 0.01, 1020
    )
    r = CONFIG.r_start + CONFIG.r_step * torch.arange(CONFIG.n_r)
    scaled = Instrument(0.9 * DNN, 24.0 * DNN, 0.03 * DNN, 0.0)
    expected = histogram @ pdf_kernel(unit / DNN * r, bins, scaled, 0.006 / DNN**2)
    expected = expected / (expected**2).mean().sqrt()
    assert float(((x - expected) ** 2).mean().sqrt()) < 0.02
    wanted = scaled_conditions(0.9 * unit, 24.0 * unit, float(r[-1]))
    np.testing.assert_allclose(conditions, [wanted], rtol=1e-5)


def test_data_end_is_zero_and_said(cluster):
    x, conditions = network_input(measured(cluster, rmax=15.0), DNN, CONFIG, "cpu")
    r = CONFIG.r_start + CONFIG.r_step * torch.arange(CONFIG.n_r)
    assert (x[0, r > 15.0 / DNN + 0.01] == 0).all()
    assert float(5 * (conditions[0, 2] + 1)) == pytest.approx(15.0 / DNN, rel=1e-5)
    inside = x[0, r <= 15.0 / DNN]
    assert float((inside**2).mean().sqrt()) == pytest.approx(1.0, abs=0.01)
