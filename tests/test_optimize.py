"""The batched optimisers find known minima, respect bounds, and say when they did not converge."""

import pytest
import torch
from torch import Tensor

from cbldm.optimize import best_scales, lbfgs, levenberg_marquardt, misfits

POINTS = torch.linspace(0, 4, 81, dtype=torch.float64)


def decays(rows: Tensor, values: Tensor) -> Tensor:
    """exp(-rate x) + 0.5 exp(-((x - centre) / 0.5)²) for each row."""
    rate, centre = values[:, :1], values[:, 1:]
    return torch.exp(-rate * POINTS) + 0.5 * torch.exp(-(((POINTS - centre) / 0.5) ** 2))


def fit_decays(observed: Tensor, start: list[list[float]], max_iterations: int = 30) -> tuple[Tensor, Tensor]:
    tensor = torch.tensor
    return levenberg_marquardt(
        decays,
        observed,
        tensor(start, dtype=torch.float64),
        tensor([0.1, 0.0], dtype=torch.float64),
        tensor([3.0, 4.0], dtype=torch.float64),
        tensor([1e-5, 1e-5], dtype=torch.float64),
        max_iterations,
    )


def test_least_squares_finds_the_parameters_of_a_curve_at_any_scale() -> None:
    truth = torch.tensor([[0.7, 2.2]], dtype=torch.float64)
    observed = 3.3 * decays(torch.tensor([0]), truth)[0]
    values, converged = fit_decays(observed, [[1.0, 2.0], [0.3, 2.5], [2.0, 1.8]])
    assert converged.all()
    assert torch.allclose(values, truth.expand(3, 2), atol=1e-5)
    assert best_scales(decays(torch.arange(3), values), observed) == pytest.approx([3.3] * 3)


def test_least_squares_stops_at_a_bound() -> None:
    observed = decays(torch.tensor([0]), torch.tensor([[5.0, 2.0]], dtype=torch.float64))[0]
    values, converged = fit_decays(observed, [[1.0, 2.1]])
    assert values[0, 0] == 3.0
    assert converged[0]


def test_least_squares_cut_short_does_not_claim_to_have_converged() -> None:
    observed = decays(torch.tensor([0]), torch.tensor([[0.5, 2.4]], dtype=torch.float64))[0]
    assert not fit_decays(observed, [[2.5, 1.8]], max_iterations=1)[1].any()


def test_misfit_is_the_square_of_rw() -> None:
    observed = torch.tensor([3.0, 4.0])
    assert misfits(torch.tensor([[6.0, 8.0], [4.0, -3.0]]), observed) == pytest.approx([0.0, 1.0])


def rosenbrock(rows: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """A curved valley whose floor is at (1, 1); each row has its own steepness."""
    steep = 10.0 * (rows + 1).to(values.dtype)
    x, y = values.T
    value = (1 - x) ** 2 + steep * (y - x**2) ** 2
    gradient = torch.stack([-2 * (1 - x) - 4 * steep * x * (y - x**2), 2 * steep * (y - x**2)], dim=1)
    return value, gradient


def minimise(start: list[list[float]], high: float = torch.inf, max_iterations: int = 200) -> tuple[Tensor, ...]:
    limit = torch.full((2,), high, dtype=torch.float64)
    return lbfgs(
        rosenbrock,
        lambda rows, vectors: 0.1 * vectors,
        torch.tensor(start, dtype=torch.float64),
        torch.full((2,), -torch.inf, dtype=torch.float64),
        limit,
        torch.full((2,), 0.5, dtype=torch.float64),
        max_iterations=max_iterations,
        tolerance=1e-12,
    )


def test_lbfgs_reaches_the_floor_of_rosenbrocks_valley_in_every_row() -> None:
    found, values, converged = minimise([[-1.2, 1.0], [0.0, 0.0], [2.0, -1.0], [1.0, 1.0]])
    assert converged.all()
    assert torch.allclose(found, torch.ones(4, 2, dtype=torch.float64), atol=1e-4)
    assert values.max() < 1e-8


def test_lbfgs_keeps_to_bounds_and_converges_on_them() -> None:
    found, _, converged = minimise([[-1.0, 0.0]], high=0.5)
    assert converged[0]
    assert found[0] == pytest.approx([0.5, 0.25], abs=1e-5)


def test_lbfgs_cut_short_does_not_claim_to_have_converged() -> None:
    assert not minimise([[-1.2, 1.0]], max_iterations=3)[2].any()


def test_a_row_does_not_depend_on_the_rest_of_its_batch() -> None:
    together = minimise([[-1.2, 1.0], [0.3, 2.0]])[0][0]
    alone = minimise([[-1.2, 1.0]])[0][0]
    assert torch.allclose(together, alone, atol=1e-9)
