import numpy as np
import pytest
import torch

from cbldm.physics import spread
from cbldm.physics.spread import INTERPOLATION, interpolation_kernel, read, spread_distances

#: Largest error of a wave at the edge of the band, by dtype.
TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-7}


def scattered(batch, n_atoms, dtype=torch.float64):
    """Clusters (batch, n_atoms, 3) in steps, no two atoms closer than 4.5 or further apart than 86."""
    rng = np.random.default_rng(n_atoms)
    sites = np.stack(np.meshgrid(*[[0.0, 16.5, 33.0, 49.5]] * 3, indexing="ij"), -1).reshape(-1, 3)
    chosen = [rng.permutation(sites)[:n_atoms] + rng.uniform(-3, 3, size=(n_atoms, 3)) for _ in range(batch)]
    return torch.tensor(np.stack(chosen), dtype=dtype)


@pytest.mark.parametrize("dtype", INTERPOLATION)
def test_kernel_interpolates_every_wave_of_its_band(dtype):
    moments, taps, band = INTERPOLATION[dtype]
    s, nodes = np.linspace(0, 1, 41), np.arange(1 - taps // 2, taps // 2 + 1)
    weights = np.vander(s, moments, increasing=True) @ interpolation_kernel(moments, taps, band).T
    for omega in np.linspace(0, band, 11):
        assert np.max(np.abs(weights @ np.exp(1j * omega * nodes) - np.exp(1j * omega * s))) < TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", INTERPOLATION)
@pytest.mark.parametrize("n_atoms", [1, 2, 3, 8, 15])
def test_histogram_gives_the_sum_of_a_wave_over_all_pairs(dtype, n_atoms):
    positions = scattered(3, n_atoms, dtype)
    histogram = spread_distances(positions, None, 120)
    nodes, band = torch.arange(120, dtype=dtype), INTERPOLATION[dtype].band
    pairs = [torch.pdist(cluster) for cluster in positions]
    for omega in (0.0, 0.3 * band, 0.9 * band):
        wanted = torch.stack([torch.cos(omega * d).sum() for d in pairs])
        error = ((histogram * torch.cos(omega * nodes)).sum(1) - wanted).abs().max()
        assert error <= 2 * TOLERANCE[dtype] * max(1, n_atoms**2 // 2)


def test_absent_atoms_do_not_count_and_feel_no_force():
    positions = scattered(2, 9).requires_grad_()
    mask = torch.arange(9) < torch.tensor([[9], [6]])
    histogram = spread_distances(positions, mask, 110)
    alone = spread_distances(positions[1:, :6], None, 110)
    torch.testing.assert_close(histogram[1], alone[0], rtol=0, atol=1e-12)
    (histogram * torch.linspace(0, 1, 110)).sum().backward()
    assert torch.all(positions.grad[1, 6:] == 0)
    assert torch.all(positions.grad[1, :6] != 0)


@pytest.mark.parametrize("limit", [1, 40, 300])
def test_chunks_change_nothing(monkeypatch, limit):
    positions = scattered(5, 12)
    slope = torch.sin(torch.arange(110.0, dtype=torch.float64))

    def both():
        copy = positions.clone().requires_grad_()
        histogram = spread_distances(copy, None, 110)
        (histogram * slope).sum().backward()
        return histogram.detach(), copy.grad

    whole = both()
    monkeypatch.setattr(spread, "PAIRS_AT_ONCE", limit)
    for found, wanted in zip(both(), whole, strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


def test_gradient_passes_gradcheck():
    positions = scattered(2, 6).requires_grad_()
    weights = torch.sin(0.4 * torch.arange(110.0, dtype=torch.float64))
    assert torch.autograd.gradcheck(
        lambda x: (spread_distances(x, None, 110) * weights).sum(1), positions, eps=1e-4, atol=1e-6, rtol=1e-6
    )


@pytest.mark.parametrize("dtype", INTERPOLATION)
def test_read_is_the_function_and_its_transpose_is_the_gradient(dtype):
    band = INTERPOLATION[dtype].band
    grid = torch.sin(0.9 * band * torch.arange(200, dtype=torch.float64)).to(dtype).repeat(2, 1).requires_grad_()
    u = np.sort(np.concatenate([[0.0, 1.0, 17.0], np.random.default_rng(0).uniform(0, 190, 300)]))
    found = read(grid, u)
    assert np.max(np.abs(found.detach().numpy() - np.sin(0.9 * band * u))) < TOLERANCE[dtype]
    left = torch.rand(2, len(u), dtype=dtype, generator=torch.Generator().manual_seed(3))
    (found * left).sum().backward()
    other = torch.rand(2, 200, dtype=dtype, generator=torch.Generator().manual_seed(4))
    torch.testing.assert_close((grid.grad * other).sum(), (left * read(other, u)).sum(), rtol=1e-4, atol=0)
