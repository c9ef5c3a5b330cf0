import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cbldm.physics.instrument import EDGE_REACH, EDGE_ROOM, band_weights, relative_variance

HALF_PERIOD = 60.0
DQ = math.pi / HALF_PERIOD


def weights_of(qmin, qmax):
    n_q = math.ceil((33.0 + EDGE_REACH / HALF_PERIOD) / DQ) + 1
    lower, upper = (torch.as_tensor(edge, dtype=torch.float64).reshape(-1, 1) for edge in (qmin, qmax))
    return band_weights(DQ, n_q, lower, upper), DQ * torch.arange(n_q, dtype=torch.float64)


@given(
    qmin=st.floats(0.0, 3.0),
    width=st.floats(5.0, 30.0),
    d=st.floats(1.0, 20.0),
    r=st.floats(0.0, (1 - EDGE_ROOM) * HALF_PERIOD - 20.0),
)
def test_band_weights_integrate_products_of_sines(qmin, width, d, r):
    """∫ sin(Qd) sin(Qr) dQ over any limits, on or off the grid."""
    weights, q = weights_of(qmin, qmin + width)

    def integral(x):
        return (math.sin((qmin + width) * x) - math.sin(qmin * x)) / x if x else width

    found = float((weights @ (torch.sin(q * d) * torch.sin(q * r))).item())
    assert found == pytest.approx(0.5 * (integral(d - r) - integral(d + r)), abs=3e-8)


def test_gradient_of_the_integral_is_the_integrand_at_its_limits():
    edges = [torch.tensor(edge, dtype=torch.float64, requires_grad=True) for edge in (0.73, 24.1)]
    weights, q = weights_of(*edges)

    def integrand(x):
        return np.sin(3.1 * x) * np.sin(8.2 * x)

    (weights @ torch.as_tensor(integrand(q.numpy()))).sum().backward()
    assert float(edges[0].grad) == pytest.approx(-integrand(0.73), abs=1e-6)
    assert float(edges[1].grad) == pytest.approx(integrand(24.1), abs=1e-6)


def test_each_cluster_may_have_its_own_limits():
    together = band_weights(DQ, 700, torch.tensor([[0.5], [1.0]]), torch.tensor([[20.0], [25.0]]))
    for row, qmin, qmax in zip(together, (0.5, 1.0), (20.0, 25.0), strict=True):
        alone = band_weights(DQ, 700, torch.tensor([[qmin]]), torch.tensor([[qmax]]))
        torch.testing.assert_close(row, alone[0], rtol=0, atol=0)


def test_relative_variance_is_the_formula_for_arrays_and_tensors():
    d = np.array([2.5, 4.0, 10.0])
    wanted = 1 - 0.3 / d - 1.5 / d**2 + (0.02 * d) ** 2
    np.testing.assert_allclose(relative_variance(d, 0.3, 1.5, 0.02), wanted)
    np.testing.assert_allclose(relative_variance(torch.tensor(d), 0.3, 1.5, 0.02).numpy(), wanted)
