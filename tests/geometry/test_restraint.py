"""The restraint rests where bonds are even, pulls rattled bonds together, and its Hessian is its second derivative."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cbldm.data.clusters import cubic, icosahedron, octahedron
from cbldm.geometry.restraint import Restraint, RestraintBatch, bond_length, bond_targets
from cbldm.types import FloatArray

SHAPES = {
    "fcc": octahedron(4, 1).positions,
    "icosahedron": icosahedron(3).positions,
    "bcc": cubic("bcc", 2, 3, 4).positions,
    "sc": cubic("sc", 3, 3, 3).positions,
}


def batch(*structures: FloatArray) -> tuple[RestraintBatch, torch.Tensor]:
    n_max = max(len(x) for x in structures)
    start = torch.zeros(len(structures), n_max, 3, dtype=torch.float64)
    for row, x in enumerate(structures):
        start[row, : len(x)] = torch.as_tensor(x - x.mean(axis=0))
    return RestraintBatch(list(structures), start, Restraint()), start


@pytest.mark.parametrize("name", SHAPES)
def test_perfect_shapes_rest_at_no_energy(name: str) -> None:
    bonds, start = batch(2.8 * SHAPES[name])
    assert float(bonds.energy(torch.tensor([0]), start)) < 0.01 * len(SHAPES[name])


@pytest.mark.parametrize("name", SHAPES)
def test_a_rattled_start_holds_energy_that_its_even_parent_does_not(name: str) -> None:
    rng = np.random.default_rng(0)
    ideal = 2.8 * (SHAPES[name] - SHAPES[name].mean(axis=0))
    bonds, start = batch(ideal + 0.1 * rng.normal(size=ideal.shape))
    rattled = float(bonds.energy(torch.tensor([0]), start))
    assert float(bonds.energy(torch.tensor([0]), torch.as_tensor(ideal)[None])) < 0.9 * rattled


def test_energy_and_hessian_of_a_padded_batch_are_those_of_each_structure_alone() -> None:
    small, large = 2.6 * SHAPES["sc"], 2.9 * SHAPES["icosahedron"]
    bonds, start = batch(small, large)
    moved = start + 0.05 * torch.sin(torch.arange(start.numel(), dtype=torch.float64)).reshape(start.shape)
    moved[0, len(small) :] = 0.0
    alone, _ = batch(small)
    together = bonds.energy(torch.tensor([1, 0]), moved[[1, 0]])
    assert float(together[1]) == pytest.approx(float(alone.energy(torch.tensor([0]), moved[:1, : len(small)])))
    n = 3 * len(small)
    assert torch.allclose(bonds.hessian()[0, :n, :n], alone.hessian()[0])


@pytest.mark.parametrize("name", ["fcc", "bcc"])
def test_hessian_is_the_second_derivative_where_bonds_are_even(name: str) -> None:
    bonds, start = batch(2.8 * SHAPES[name])
    row = torch.tensor([0])
    exact = torch.autograd.functional.hessian(lambda x: bonds.energy(row, x).sum(), start)
    n = start.numel()
    assert torch.allclose(bonds.hessian()[0], exact.reshape(n, n), rtol=1e-3, atol=1e-3 * float(exact.abs().max()))


@given(st.floats(1.5, 4.0), st.floats(0.0, 0.2), st.integers(0, 100))
def test_bond_length_is_steady_under_rattling(dnn: float, amplitude: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    positions = dnn * (SHAPES["fcc"] + 0.07 * amplitude * rng.normal(size=SHAPES["fcc"].shape))
    assert bond_length(positions) == pytest.approx(dnn, rel=0.02)


def test_the_two_bonds_of_an_icosahedron_stay_apart_and_rattled_bonds_merge() -> None:
    rng = np.random.default_rng(1)
    two = np.concatenate([np.full(200, 0.951), np.full(400, 1.0)])
    assert bond_targets(two, 1.0) == pytest.approx(two, abs=0.003)
    ends = np.unique(bond_targets(two + 0.004 * rng.normal(size=600), 1.0).round(3))
    assert ends == pytest.approx([0.951, 1.0], abs=0.003)
    spread = 1 + 0.1 * rng.normal(size=600)
    assert np.std(bond_targets(spread, 1.0)) < 0.5 * np.std(spread)
