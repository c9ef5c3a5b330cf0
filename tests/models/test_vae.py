"""The translator: the kernel of its embeddings is a matrix S whatever the latent says, and absent slots say nothing."""

from __future__ import annotations

import pytest
import torch

from cbldm.data.cuts import draw
from cbldm.geometry.frames import FRAMES, frame
from cbldm.geometry.matrices import DISTANCE_UNIT, MatrixKind, matrix_features, matrix_of
from cbldm.models.vae import EXTRA, FIELDS, ConditionalVae, Decoded, kernel_matrix

N_R, N_CONDITIONS, N_LATENT = 11, 3, 6


@pytest.fixture(scope="module")
def vae() -> ConditionalVae:
    torch.manual_seed(0)
    model = ConditionalVae(N_R, N_CONDITIONS, N_LATENT, n_read=16, n_write=20, width=24, depth=1)
    # Away from the quiet start, so that every part has something to say.
    torch.nn.init.normal_(model.shape_of_matrix.weight, std=0.3)
    return model.eval().requires_grad_(False)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def clusters(name: str) -> torch.Tensor:
    return draw(name, 10, torch.Generator().manual_seed(5), (10, 40)).occupancy


@pytest.mark.parametrize("kind", ["laplacian", "distance"])
def test_kernel_is_symmetric_with_a_fixed_diagonal(kind: MatrixKind) -> None:
    embeddings = normal(3, 20, 3 + EXTRA).double()
    matrix = kernel_matrix(embeddings, kind, 10.0)
    assert torch.equal(matrix, matrix.transpose(1, 2))
    diagonal = matrix.diagonal(dim1=1, dim2=2)
    expected = 1.0 if kind == "laplacian" else 0.0
    torch.testing.assert_close(diagonal, torch.full_like(diagonal, expected), atol=1e-5, rtol=0)
    assert (matrix >= 0).all()


def test_affinity_kernel_is_positive_definite() -> None:
    matrix = kernel_matrix(normal(4, 30, 3 + EXTRA).double(), "laplacian", 10.0)
    assert torch.linalg.eigvalsh(matrix).min() > 0
    assert matrix.max() <= 1


def test_kernel_of_positions_is_the_matrix_of_their_distances() -> None:
    positions = 2 * normal(2, 15, 3).double()
    squared = torch.cdist(positions, positions) ** 2
    torch.testing.assert_close(kernel_matrix(positions, "laplacian", 8.0), torch.exp(-squared / 8))
    torch.testing.assert_close(kernel_matrix(positions, "distance", 8.0) * DISTANCE_UNIT, squared.sqrt(),
                               atol=1e-4, rtol=0)  # fmt: skip


@pytest.mark.parametrize("name", FRAMES)
def test_decoder_speaks_of_every_slot(vae: ConditionalVae, name: str) -> None:
    decoded = vae.decode(FRAMES.index(name), normal(4, N_LATENT))
    assert decoded.logits.shape == (4, frame(name).n_sites)
    assert decoded.relaxation.shape == (4, 1)
    assert decoded.fields.shape == (4, FIELDS, 3 + EXTRA)
    row = decoded.row(2)
    assert torch.equal(row.logits, decoded.logits[2:3])
    assert torch.equal(row.fields, decoded.fields[2:3])


@pytest.mark.parametrize("name", FRAMES)
def test_without_fields_the_kernel_is_that_of_the_ideal_sites(vae: ConditionalVae, name: str) -> None:
    occupancy = clusters(name)[:1]
    index = occupancy.nonzero()[None, :, 1]
    quiet = Decoded(torch.zeros(1, frame(name).n_sites), torch.zeros(1, 1), torch.zeros(1, FIELDS, 3 + EXTRA))
    embeddings = vae.embeddings(FRAMES.index(name), quiet, occupancy, index)
    assert embeddings.shape == (1, index.shape[1], 3 + EXTRA)
    sites = torch.as_tensor(frame(name).sites, dtype=torch.float32)[index[0]]
    squared = ((sites[:, None] - sites[None]) ** 2).sum(dim=2)
    torch.testing.assert_close(kernel_matrix(embeddings, "laplacian", 10.0)[0], matrix_of(squared, "laplacian", 10.0))


def test_relaxation_moves_surface_atoms_inward(vae: ConditionalVae) -> None:
    occupancy = clusters("fcc")[:1]
    index = occupancy.nonzero()[None, :, 1]
    n_sites = frame("fcc").n_sites
    still, drawn = (
        vae.embeddings(0, Decoded(torch.zeros(1, n_sites), torch.full((1, 1), amount),
                                  torch.zeros(1, FIELDS, 3 + EXTRA)), occupancy, index)[0, :, :3]
        for amount in (0.0, 0.01)
    )  # fmt: skip
    centre = still.mean(dim=0)
    assert (drawn - centre).norm(dim=1).mean() < (still - centre).norm(dim=1).mean()
    assert 1e-3 < (drawn - still).norm(dim=1).max() < 0.1


def test_embeddings_follow_their_slots(vae: ConditionalVae) -> None:
    occupancy = clusters("bcc")[:1]
    index = occupancy.nonzero()[None, :, 1]
    order = torch.randperm(index.shape[1], generator=torch.Generator().manual_seed(0))
    decoded = vae.decode(1, normal(1, N_LATENT))
    embeddings = vae.embeddings(1, decoded, occupancy, index)
    torch.testing.assert_close(vae.embeddings(1, decoded, occupancy, index[:, order]), embeddings[:, order])


@pytest.mark.parametrize("name", FRAMES)
def test_encoder_sees_slots_and_displacements_but_no_padding(vae: ConditionalVae, name: str) -> None:
    occupancy = clusters(name)
    n = len(occupancy)
    pdf, conditions = normal(n, N_R), normal(n, N_CONDITIONS)
    displacement = 0.05 * normal(*occupancy.shape, 3) * occupancy[:, :, None]

    def encode(moved: torch.Tensor, present: torch.Tensor = occupancy) -> torch.Tensor:
        features = matrix_features(name, present, moved, "laplacian", 10.0)
        return vae.encode(FRAMES.index(name), present, features, pdf, conditions).mean

    known = encode(displacement)
    assert known.shape == (n, N_LATENT)
    empty = torch.where(occupancy[:, :, None], displacement, torch.full_like(displacement, 9.0))
    assert torch.equal(encode(empty), known)
    assert (encode(0 * displacement) - known).abs().amax(dim=1).min() > 1e-5
    fewer = occupancy.clone()
    fewer[torch.arange(n), occupancy.int().argmax(dim=1)] = False
    assert (encode(displacement * fewer[:, :, None], fewer) - known).abs().amax(dim=1).min() > 1e-5


def test_encoder_is_conditional(vae: ConditionalVae) -> None:
    """q(z | S, x) reads x, and the same sites in another frame are something else."""
    occupancy = clusters("fcc")
    n, features = len(occupancy), torch.zeros(*occupancy.shape, 4)
    first, second = (vae.encode(0, occupancy, features, normal(n, N_R, seed=s), normal(n, 3)).mean for s in (1, 2))
    assert (first - second).abs().amax(dim=1).min() > 1e-5
    latent = normal(2, N_LATENT)
    codes = {name: vae.decode(FRAMES.index(name), latent).relaxation for name in FRAMES}
    assert len({tuple(value.flatten().tolist()) for value in codes.values()}) == len(FRAMES)
