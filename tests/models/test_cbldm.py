"""The whole model, small and untrained: what it draws is a matrix over sites that may be occupied together."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import pdist

from cbldm.data.stream import Batch, Stream
from cbldm.geometry.frames import EXCLUSION, FRAMES, frame
from cbldm.models.cbldm import CbLdm, ModelConfig, Sample, Stage, fill_sites, systematic
from cbldm.models.networks import Gaussian
from cbldm.models.prior import Counting
from cbldm.types import MOTIFS

TINY = ModelConfig(
    n_max=60, n_latent=12, n_read=32, n_write=32, n_code=32, vae_width=32, vae_depth=1, prior_width=32,
    encoder_width=32, encoder_depth=1,
    denoiser_width=32, denoiser_depth=1,
)  # fmt: skip


def tiny(**changes: object) -> CbLdm:
    torch.manual_seed(0)
    return CbLdm(replace(TINY, **changes)).eval()  # type: ignore[arg-type]


@cache
def batch(name: str = "fcc") -> Batch:
    return Stream(3, 12, "train", (10, 50), textbook=0.0).batch(0, name)


def drawn(model: CbLdm, n: int = 12, seed: int = 0, **options: object) -> list[Sample]:
    one = batch()
    return model.draw(one.pdf[:1], one.conditions[:1], n, torch.Generator().manual_seed(seed), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes", [{}, {"matrix": "distance"}, {"start": "noise"}, {"count": "implicit"}, {"unit": "angstrom"}], ids=str
)
def test_samples_are_matrices_of_clusters(changes: dict[str, str]) -> None:
    model = tiny(**changes)
    samples = drawn(model, n_atoms=(10, 40))
    assert len(samples) == 12
    for sample in samples:
        n = len(sample.sites)
        sites = frame(sample.frame).sites[sample.sites]
        assert len(np.unique(sample.sites)) == n
        assert pdist(sites).min() >= EXCLUSION - 1e-6
        assert len(sample.log_odds) == frame(sample.frame).n_sites
        matrix = model.matrix(sample)
        assert matrix.shape == (n, n)
        assert matrix.dtype == np.float64
        np.testing.assert_array_equal(matrix, matrix.T)
        diagonal = 1.0 if model.config.matrix == "laplacian" else 0.0
        np.testing.assert_allclose(np.diag(matrix), diagonal, atol=1e-5)
        assert np.isfinite(matrix).all()


def test_matrix_of_other_sites_is_that_of_the_slots_it_shares() -> None:
    model = tiny()
    sample = drawn(model, n=4, n_atoms=(20, 30))[0]
    fewer = model.matrix(sample, sample.sites[:-1])
    assert fewer.shape == (len(sample.sites) - 1,) * 2
    # But for the relaxation of the neighbours of the site that is gone.
    np.testing.assert_allclose(fewer, model.matrix(sample)[:-1, :-1], atol=0.02)


@pytest.mark.parametrize("bounds", [(10, 12), (20, 40), (33, 33)])
def test_atom_counts_keep_to_the_option(bounds: tuple[int, int]) -> None:
    samples = drawn(tiny(), n=24, n_atoms=bounds)
    assert len(samples) == 24
    assert all(bounds[0] <= len(sample.sites) <= bounds[1] for sample in samples)


def test_same_generator_same_structures() -> None:
    model = tiny()
    first, again, other = (drawn(model, seed=seed, n_atoms=(10, 40)) for seed in (1, 1, 2))
    for a, b in zip(first, again, strict=True):
        assert a.frame == b.frame
        np.testing.assert_array_equal(a.sites, b.sites)
        np.testing.assert_array_equal(model.matrix(a), model.matrix(b))
    assert any(len(a.sites) != len(b.sites) or (a.sites != b.sites).any() for a, b in zip(first, other, strict=True))


def test_only_an_explicit_count_is_told_to_prior_and_denoiser() -> None:
    one, frames = batch(), torch.zeros(12, dtype=torch.long)
    for count in get_args(Counting):
        model = tiny(count=count)
        code = model.pdf_encoder(one.pdf, one.conditions)
        few, many = (torch.full((12,), n) for n in (10, 50))
        same_prior = torch.equal(model.prior(code, frames, few).mean, model.prior(code, frames, many).mean)
        same_context = torch.equal(model.prior.context(code, frames, few), model.prior.context(code, frames, many))
        assert same_prior == same_context == (count == "implicit")


@pytest.mark.parametrize(("bounds", "expected"), [(None, 20), ((25, 40), 25), ((8, 15), 15), ((20, 20), 20)])
def test_an_implicit_count_is_the_decoders(bounds: tuple[int, int] | None, expected: int) -> None:
    model, one = tiny(count="implicit"), batch()
    with torch.no_grad():
        for bias in model.vae.bias:
            bias.fill_(-10.0)
            bias[:20] = 10.0
    samples = model.draw_in_frame(
        0, one.pdf[:1], one.conditions[:1], 6, torch.Generator().manual_seed(0), n_atoms=bounds
    )
    assert [len(sample.sites) for sample in samples] == [expected] * 6
    for sample in samples:
        assert (sample.log_odds > 0).sum() == 20
        assert len(set(sample.sites) & set(range(20))) == min(20, expected)


@pytest.mark.parametrize("name", FRAMES)
def test_draws_in_a_frame_stay_in_it(name: str) -> None:
    one = batch()
    generator = torch.Generator().manual_seed(0)
    samples = tiny().draw_in_frame(FRAMES.index(name), one.pdf[:1], one.conditions[:1], 3, generator, n_atoms=(10, 20))
    assert [sample.frame for sample in samples] == [name] * 3


@pytest.mark.parametrize("steps", [1, 3])
def test_any_number_of_steps(steps: int) -> None:
    assert len(drawn(tiny(), n=4, steps=steps, n_atoms=(10, 20))) == 4


def test_estimates_are_distributions() -> None:
    model, one = tiny(), batch()
    motif, counts = model.estimates(one.pdf[:1], one.conditions[:1])
    assert motif.shape == (len(MOTIFS),)
    assert counts.shape == (len(FRAMES), TINY.n_max + 1)
    torch.testing.assert_close(motif.sum().item(), 1.0, atol=1e-5, rtol=0)
    torch.testing.assert_close(counts.sum(dim=1), torch.ones(len(FRAMES)))
    assert not counts[:, :5].any()
    bounded = model.estimates(one.pdf[:1], one.conditions[:1], (20, 30))[1]
    assert (bounded[:, 20:31] > 0).all()
    assert bounded[:, :20].sum() + bounded[:, 31:].sum() == 0
    share = model.frame_share(motif)
    torch.testing.assert_close(share.sum().item(), 1.0, atol=1e-5, rtol=0)
    stacks = sum(motif[MOTIFS.index(name)] for name in ("twin", "faulted"))
    torch.testing.assert_close(share[FRAMES.index("stack")], stacks)


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("stage", get_args(Stage))
def test_losses_are_finite_and_train_the_parts_of_their_stage(stage: Stage, name: str) -> None:
    model = tiny()
    own = model.stage_parameters(stage)
    model.requires_grad_(False)
    for parameter in own:
        parameter.requires_grad_(True)
    loss, parts = model(stage, batch(name), torch.Generator().manual_seed(0), 0.1)
    assert loss.shape == ()
    assert all(torch.isfinite(value) for value in [loss, *parts.values()])
    loss.backward()
    trained = sum(bool(p.grad is not None and p.grad.abs().sum() > 0) for p in own)
    assert trained > 0.6 * len(own)
    assert all(p.grad is None for p in model.parameters() if not p.requires_grad)


def test_stages_cover_the_model() -> None:
    model = tiny()
    covered = {id(p) for stage in get_args(Stage) for p in model.stage_parameters(stage)}
    assert covered == {id(p) for p in model.parameters()}
    translator = {id(p) for p in model.vae.parameters()}
    assert not translator & {id(p) for p in model.stage_parameters("sculptor")}


def test_loss_is_a_function_of_its_generator() -> None:
    model = tiny()
    for stage in get_args(Stage):
        first, again, other = (
            model(stage, batch(), torch.Generator().manual_seed(seed), 0.1)[0].item() for seed in (1, 1, 2)
        )
        assert first == again != other


def test_prior_of_normalised_latents_is_the_same_prior() -> None:
    model = tiny()
    one, frames = batch(), torch.zeros(12, dtype=torch.long)
    code = model.pdf_encoder(one.pdf, one.conditions)
    raw = model.latent_prior(code, frames, one.n_atoms)
    model.set_latent_scale(iter([one]))
    assert (model.latent_std[0] != 1).all()
    assert (model.latent_std[1:] == 1).all()
    scaled = model.latent_prior(code, frames, one.n_atoms)
    mean, std = model.latent_mean[0], model.latent_std[0]
    torch.testing.assert_close(scaled.mean * std + mean, raw.mean)
    torch.testing.assert_close(scaled.variance * std**2, raw.variance)
    z = (model.posterior(one).mean - mean) / std
    torch.testing.assert_close(z.mean(dim=0), torch.zeros(12), atol=1e-4, rtol=0)
    assert (z.std(dim=0) <= 1 + 1e-4).all()


def test_the_ablation_without_prior_leans_on_white_noise() -> None:
    prior = Gaussian(torch.full((2, 12), 3.0), torch.full((2, 12), -4.0))
    assert tiny().start_prior(prior) is prior
    plain = tiny(start="noise").start_prior(prior)
    assert not plain.mean.any()
    assert not plain.log_variance.any()


@given(seed=st.integers(0, 10_000), n_atoms=st.integers(1, 60))
def test_filled_sites_are_the_likeliest_that_fit(seed: int, n_atoms: int) -> None:
    for name in ("fcc", "icosahedron"):
        sites = frame(name).sites
        logits = torch.randn(len(sites), generator=torch.Generator().manual_seed(seed))
        filled = fill_sites(logits, sites, n_atoms)
        taken: list[int] = []
        for site in logits.argsort(descending=True, stable=True)[: 2 * n_atoms].tolist():
            if len(taken) < n_atoms and all(np.linalg.norm(sites[site] - sites[k]) >= EXCLUSION for k in taken):
                taken.append(site)
        assert filled.nonzero()[:, 0].tolist() == sorted(taken)
        if name == "fcc":
            assert len(taken) == n_atoms


@given(
    weights=st.lists(st.floats(0, 1), min_size=2, max_size=12).filter(lambda w: sum(w) > 1e-3),
    n=st.integers(1, 40),
    seed=st.integers(0, 1000),
)
def test_shares_are_met_to_within_one_draw(weights: list[float], n: int, seed: int) -> None:
    drawn = systematic(torch.tensor(weights), n, torch.Generator().manual_seed(seed))
    assert len(drawn) == n
    expected = n * np.array(weights) / sum(weights)
    found = np.bincount(drawn.numpy(), minlength=len(weights))
    assert (abs(found - expected) < 1 + 1e-4).all()
    assert not found[np.array(weights) == 0].any()


def test_systematic_draws_are_unbiased() -> None:
    weights = torch.tensor([0.07, 0.31, 0.0, 0.62])
    generator = torch.Generator().manual_seed(0)
    total = sum(torch.bincount(systematic(weights, 3, generator), minlength=4) for _ in range(2000))
    share = total / 6000
    assert (share - weights).abs().max() < 0.02
