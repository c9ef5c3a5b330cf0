"""The matrix S of displaced clusters: what the encoder reads vanishes for ideal ones and ignores empty slots."""

from __future__ import annotations

import pytest
import torch

from cbldm.data.cuts import draw
from cbldm.geometry.frames import FRAMES, frame
from cbldm.geometry.matrices import DISTANCE_UNIT, MatrixKind, matrix_features, matrix_of

KINDS: tuple[MatrixKind, ...] = ("laplacian", "distance")


def clusters(name: str, seed: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    cuts = draw(name, 16, torch.Generator().manual_seed(seed), (8, 60))
    displacement = 0.05 * torch.randn(*cuts.occupancy.shape, 3, generator=torch.Generator().manual_seed(seed))
    return cuts.occupancy, displacement * cuts.occupancy[:, :, None]


def test_matrix_entries_are_those_of_the_paper() -> None:
    squared = torch.tensor([0.0, 1.0, 4.0, 100.0], dtype=torch.float64)
    torch.testing.assert_close(matrix_of(squared, "laplacian", 10.0), torch.exp(-squared / 10))
    torch.testing.assert_close(matrix_of(squared, "distance", 10.0), squared.sqrt() / DISTANCE_UNIT, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FRAMES)
def test_features_vanish_for_ideal_clusters(name: str, kind: MatrixKind) -> None:
    occupancy, displacement = clusters(name)
    assert not matrix_features(name, occupancy, torch.zeros_like(displacement), kind, 10.0).any()
    assert matrix_features(name, occupancy, displacement, kind, 10.0).abs().amax(dim=(1, 2)).min() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_features_ignore_empty_slots(kind: MatrixKind) -> None:
    occupancy, displacement = clusters("fcc")
    clean = matrix_features("fcc", occupancy, displacement, kind, 10.0)
    rubbish = torch.where(occupancy[:, :, None], displacement, torch.full_like(displacement, 3.0))
    assert torch.equal(matrix_features("fcc", occupancy, rubbish, kind, 10.0), clean)
    assert not clean[~occupancy].any()


@pytest.mark.parametrize("kind", KINDS)
def test_features_ignore_a_rigid_shift(kind: MatrixKind) -> None:
    occupancy, displacement = clusters("fcc")
    shifted = displacement + torch.tensor([0.3, -0.2, 0.1]) * occupancy[:, :, None]
    torch.testing.assert_close(
        matrix_features("fcc", occupancy, shifted, kind, 10.0),
        matrix_features("fcc", occupancy, displacement, kind, 10.0),
        atol=2e-3, rtol=1e-3,
    )  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_features_are_the_change_of_the_laplacian(kind: MatrixKind) -> None:
    """L 1 of the change of S is zero by definition, so its row sums and L X are given, L = D - S."""
    occupancy, displacement = clusters("decahedron")
    found = matrix_features("decahedron", occupancy, displacement, kind, 10.0)
    sites = torch.as_tensor(frame("decahedron").sites)
    for row, occupied in enumerate(occupancy[:6]):
        ideal = sites[occupied]
        moved = ideal + displacement[row][occupied].double()
        gap = [((x[:, None] - x[None]) ** 2).sum(dim=2) for x in (moved, ideal)]
        change = matrix_of(gap[0], kind, 10.0) - matrix_of(gap[1], kind, 10.0)
        degree = change.sum(dim=1)
        laplacian = (torch.diag(degree) - change) @ ideal
        expected = torch.cat([degree[:, None], laplacian], dim=1).float()
        torch.testing.assert_close(found[row][occupied], expected, atol=3e-3, rtol=1e-3)


def test_features_do_not_depend_on_the_company() -> None:
    occupancy, displacement = clusters("sc")
    together = matrix_features("sc", occupancy, displacement, "laplacian", 10.0)
    alone = torch.cat([
        matrix_features("sc", occupancy[k : k + 1], displacement[k : k + 1], "laplacian", 10.0)
        for k in range(len(occupancy))
    ])  # fmt: skip
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)
