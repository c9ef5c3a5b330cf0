"""The stream: batches are functions of (seed, number), shapes keep to their split, PDFs are those of their clusters."""

from __future__ import annotations

from functools import cache
from typing import get_args

import numpy as np
import pytest
import torch

from cbldm.data import stream as module
from cbldm.data.cuts import Cuts, Random, draw
from cbldm.data.splits import Split, in_split
from cbldm.data.stream import (
    ANGSTROM_UNIT,
    BIN_START,
    BIN_STEP,
    N_BINS,
    N_BINS_ANGSTROM,
    Batch,
    InputGrid,
    Stream,
    first_of_each,
    histograms,
    normalised,
    scaled_conditions,
    textbook_shelf,
)
from cbldm.geometry.fingerprint import fingerprints
from cbldm.geometry.frames import FRAME_OF_MOTIF, FRAMES, frame
from cbldm.metrics import rw
from cbldm.physics.debye import debye_gr
from cbldm.physics.kernel import pdf_kernel
from cbldm.types import MOTIFS, InputUnit, Instrument

SIZES = (10, 80)


def small(seed: int = 1, split: Split = "train", reuse: int = 1, batch: int = 24) -> Stream:
    return Stream(seed, batch, split, SIZES, textbook=0.0, reuse=reuse)


@cache
def example(name: str) -> Batch:
    return small(9).batch(0, name)


def same(first: Batch, second: Batch) -> bool:
    return first.frame_index == second.frame_index and all(
        torch.equal(a, b) for a, b in zip(first[1:], second[1:], strict=True)
    )


@pytest.mark.parametrize("reuse", [1, 2])
def test_a_batch_depends_on_seed_and_number_only(reuse: int) -> None:
    forward, backward = small(reuse=reuse), small(reuse=reuse)
    ahead = [forward.batch(k) for k in range(4)]
    behind = [backward.batch(k) for k in (3, 0, 2, 1)]
    for number, batch in zip((3, 0, 2, 1), behind, strict=True):
        assert same(ahead[number], batch)
    assert not same(ahead[0], ahead[1])
    other = small(2, reuse=reuse).batch(0, FRAMES[ahead[0].frame_index])
    assert not torch.equal(other.occupancy, small(reuse=reuse).batch(0, FRAMES[ahead[0].frame_index]).occupancy)


def test_reused_shapes_are_measured_anew() -> None:
    """Two sets of shapes take turns."""
    stream = small(reuse=2)
    first, other, second = (stream.batch(k, "fcc") for k in range(3))
    assert torch.equal(first.occupancy, second.occupancy)
    assert torch.equal(first.displacement, second.displacement)
    assert not torch.equal(first.conditions, second.conditions)
    assert (first.pdf - second.pdf).abs().amax(dim=1).min() > 0.01
    assert not torch.equal(first.occupancy, other.occupancy)


def test_a_group_shares_its_instrument() -> None:
    batch = Stream(1, 24, "train", SIZES, textbook=0.0, group=8).batch(0, "fcc")
    settings = batch.conditions[:, :2]
    assert torch.equal(settings, settings[::8].repeat_interleave(8, dim=0))
    assert len(settings.unique(dim=0)) == 3


@pytest.mark.parametrize("name", FRAMES)
def test_what_a_batch_holds(name: str) -> None:
    batch = example(name)
    home = frame(name)
    n_r = len(InputGrid().points())
    assert n_r == 393
    assert batch.frame_index == FRAMES.index(name)
    assert batch.occupancy.shape == (24, home.n_sites)
    assert batch.displacement.shape == (24, home.n_sites, 3)
    assert batch.pdf.shape == (24, n_r)
    assert batch.conditions.shape == (24, 3)
    assert torch.equal(batch.n_atoms, batch.occupancy.sum(dim=1))
    assert batch.n_atoms.min() >= SIZES[0]
    assert batch.n_atoms.max() <= SIZES[1]
    assert not batch.displacement[~batch.occupancy].any()
    assert batch.displacement.norm(dim=2).max() < 0.35
    assert {FRAME_OF_MOTIF[MOTIFS[int(label)]] for label in batch.motif} == {name}
    assert all(torch.isfinite(part).all() for part in batch[1:])
    assert batch.conditions.abs().max() < 2.5
    assert len(fingerprints(home, batch.occupancy).unique()) > 12


@pytest.mark.parametrize("name", FRAMES)
def test_pdfs_have_unit_deviation_and_end_at_rmax(name: str) -> None:
    batch, r = example(name), InputGrid().points()
    rmax = 5 * (batch.conditions[:, 2:] + 1)
    inside = r <= rmax + 1e-6
    assert not batch.pdf[~inside].any()
    power = (batch.pdf**2).sum(dim=1) / inside.sum(dim=1)
    torch.testing.assert_close(power, torch.ones(len(power)), atol=1e-4, rtol=0)
    assert rmax.min() >= 5 - 1e-4
    assert rmax.max() <= 10.5 + 1e-4


def test_some_pdfs_are_cut_short() -> None:
    rmax = torch.cat([5 * (example(name).conditions[:, 2] + 1) for name in FRAMES])
    assert 0.2 < (rmax < 10.4).float().mean() < 0.5


@pytest.mark.parametrize("split", ["train", "validation"])
def test_no_shape_leaves_its_split(split: Split) -> None:
    stream = Stream(5, 12, split, (10, 50), textbook=0.3 if split == "train" else 0.0)
    for name in FRAMES:
        batch = stream.batch(0, name)
        hashes = fingerprints(frame(name), batch.occupancy)
        assert in_split(hashes, split).all()
        # What the network is shown of a shape is its atoms: their positions give the same verdict.
        assert (fingerprints(frame(name), frame(name).canonical(batch.occupancy)) == hashes).all()


def test_shelves_share_no_shape() -> None:
    shelves = {split: textbook_shelf(split, (5, 50), "cpu") for split in ("train", "validation", "test")}
    hashes = {
        split: {int(h) for cuts in shelf.values() for h in fingerprints(cuts.frame, cuts.occupancy)}
        for split, shelf in shelves.items()
    }
    assert not hashes["train"] & hashes["test"]
    assert not hashes["train"] & hashes["validation"]
    assert not hashes["validation"] & hashes["test"]
    # Twins and faults have no textbook shapes.
    assert {name for shelf in shelves.values() for name in shelf} == set(FRAMES) - {"stack"}
    for cuts in shelves["train"].values():
        assert torch.equal(cuts.frame.canonical(cuts.occupancy), cuts.occupancy)


def test_textbook_share_is_met() -> None:
    stream = Stream(3, 40, "train", (10, 40), textbook=0.5)
    known = fingerprints(frame("bcc"), stream.shelf["bcc"].occupancy)
    found = [fingerprints(frame("bcc"), stream.batch(k, "bcc").occupancy) for k in range(3)]
    assert torch.isin(torch.cat(found), known).float().mean() > 0.45


@pytest.mark.parametrize("name", FRAMES)
def test_histograms_give_the_debye_sum_of_the_displaced_cluster(name: str) -> None:
    """The curve before noise is the direct Debye sum of the same atoms, in units of the bond throughout."""
    batch, r = example(name), InputGrid().points()
    cuts = Cuts(frame(name), batch.occupancy, batch.motif)
    counts = histograms(cuts, batch.displacement)
    torch.testing.assert_close(counts.sum(dim=1), (batch.n_atoms * (batch.n_atoms - 1) / 2).float())
    instrument, uiso, delta2 = Instrument(2.5, 62.0, 0.08), 0.0012, 0.3
    bins = BIN_START + BIN_STEP * torch.arange(N_BINS)
    curves = counts @ pdf_kernel(r, bins, instrument, uiso, delta2) / batch.n_atoms[:, None]
    for k in range(4):
        present = batch.occupancy[k]
        positions = cuts.frame.sites[present.numpy()] + batch.displacement[k][present].double().numpy()
        exact = debye_gr(r.double().numpy(), positions, instrument, uiso, delta2=delta2)
        assert rw(exact, curves[k].double().numpy()) < 6e-3


@pytest.mark.parametrize("unit", get_args(InputUnit))
def test_a_quiet_measurement_is_the_debye_sum(monkeypatch: pytest.MonkeyPatch, unit: InputUnit) -> None:
    """Without noise and with a known instrument the network's input is the normalised G(r) of its cluster."""
    dnn, instrument = 2.4, Instrument(2.5, 62.0, 0.08)
    stretch: list[float] = []

    def silence(ideal: torch.Tensor, stretched: torch.Tensor, *_: object) -> torch.Tensor:
        stretch.append(float(stretched[-1]) / 10.5)
        return torch.zeros_like(ideal)

    monkeypatch.setattr(module, "_noise", silence)
    monkeypatch.setattr(module, "_instrument", lambda random: (dnn, instrument, 0.0012, 0.0))
    batch, r = Stream(9, 24, "train", SIZES, textbook=0.0, unit=unit).batch(0, "fcc"), InputGrid().points()
    assert stretch[0] == pytest.approx(1.0 if unit == "first_peak" else ANGSTROM_UNIT / dnn, rel=0.02)
    # The unit of length is that which the settings are read in, too.
    expected = scaled_conditions(2.5 * stretch[0], 62.0 * stretch[0], 0.0)[:2]
    np.testing.assert_allclose(batch.conditions[:, :2], [expected] * len(batch.pdf), atol=1e-5)
    for k in range(3):
        present = batch.occupancy[k].numpy()
        positions = frame("fcc").sites[present] + batch.displacement[k].double().numpy()[present]
        exact = debye_gr(stretch[0] * r.double().numpy(), positions, instrument, 0.0012)
        rmax = 5 * (batch.conditions[k : k + 1, 2:] + 1)
        wanted = normalised(torch.as_tensor(exact).float()[None], r, rmax)
        assert rw(wanted[0].double().numpy(), batch.pdf[k].double().numpy()) < 6e-3


def test_the_unit_of_the_input_is_all_that_it_changes() -> None:
    scaled, fixed = (
        Stream(9, 24, "train", SIZES, textbook=0.0, unit=unit).batch(0, "hcp") for unit in get_args(InputUnit)
    )
    for name in ("occupancy", "displacement", "features", "n_atoms", "motif"):
        assert torch.equal(getattr(scaled, name), getattr(fixed, name))
    assert scaled.pdf.shape == fixed.pdf.shape
    assert (scaled.pdf - fixed.pdf).abs().amax(dim=1).min() > 0.1
    assert all(torch.isfinite(part).all() for part in fixed[1:])
    # Qmin and Qmax in Å⁻¹ are 0.5 to 1.5 and 15 to 30, whatever the nearest-neighbour distance is.
    qmin, qmax = 3 * (fixed.conditions[:, 0] + 1) / ANGSTROM_UNIT, 30 * (fixed.conditions[:, 1] + 2) / ANGSTROM_UNIT
    assert 0.5 <= qmin.min() <= qmin.max() <= 1.5
    assert 15 <= qmax.min() <= qmax.max() <= 30


def test_no_pair_is_lost_within_the_reach_of_the_input() -> None:
    """The grid of pair distances holds all that an input in Å can show of the shortest bonds."""
    farthest = float(InputGrid().points()[-1]) * ANGSTROM_UNIT / 2.3
    assert farthest + 0.1 < BIN_START + BIN_STEP * (N_BINS_ANGSTROM - 1)


def test_displacements_keep_the_unit_of_length() -> None:
    """Relaxation does not change the size of a cluster as a whole: that part is taken out."""
    for name in FRAMES:
        batch = example(name)
        sites = torch.as_tensor(frame(name).sites, dtype=torch.float32)
        square = ((sites**2).sum(dim=1) * batch.occupancy).sum(dim=1)
        growth = (batch.displacement * sites).sum(dim=(1, 2)) / square
        assert growth.abs().max() < 0.01
        still = (batch.displacement == 0).all(dim=2).all(dim=1).float().mean()
        assert 0.05 < still < 0.7


def test_normalised_zeroes_what_lies_beyond() -> None:
    r = torch.linspace(1.0, 10.0, 91)
    pdf = torch.randn(3, 91, generator=torch.Generator().manual_seed(0))
    result = normalised(pdf, r, torch.tensor([[4.0], [10.0], [7.05]]))
    assert [int((row != 0).sum()) for row in result] == [31, 91, 61]
    torch.testing.assert_close(result[1].square().mean().item(), 1.0)
    torch.testing.assert_close(normalised(7.3 * pdf, r, torch.full((3, 1), 10.0)),
                               normalised(pdf, r, torch.full((3, 1), 10.0)))  # fmt: skip
    assert not normalised(torch.zeros(1, 91), r, torch.full((1, 1), 10.0)).isnan().any()


def test_noise_is_limited_to_qmax() -> None:
    """No detail finer than the measurement's Qmax allows: beyond it the noise has no power."""
    r = 0.7 + 0.0125 * torch.arange(786)
    ideal = torch.ones(64, len(r))
    noise = module._noise(ideal, r, Instrument(2.0, 50.0), Random(torch.Generator().manual_seed(0), "cpu"))
    loud = noise[noise.std(dim=1) > 0.02]
    assert 20 < len(loud) < 64
    window = torch.hann_window(len(r), periodic=False)
    power = torch.fft.rfft(loud * window).abs() ** 2
    q = 2 * torch.pi * torch.fft.rfftfreq(len(r), 0.0125)
    assert (power[:, q > 55].sum() / power.sum()) < 1e-4
    assert noise.std(dim=1).max() < 0.6


def test_first_of_each_marks_the_first() -> None:
    assert first_of_each(torch.tensor([3, 1, 3, 1, 2])).tolist() == [True, True, False, False, True]
    cuts = draw("sc", 80, torch.Generator().manual_seed(0), (5, 20))
    hashes = fingerprints(cuts.frame, cuts.occupancy)
    assert int(first_of_each(hashes).sum()) == len(hashes.unique())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", FRAMES)
def test_a_gpu_makes_the_same_kind_of_batch(name: str) -> None:
    """Its draws are its own, but shapes keep to their split, and histograms and poses are those of a CPU."""
    batch = Stream(5, 600, "train", SIZES, textbook=0.1, device="cuda").batch(0, name)
    assert all(part.device.type == "cuda" and torch.isfinite(part).all() for part in batch[1:])
    home, occupancy, displacement = frame(name), batch.occupancy.cpu(), batch.displacement.cpu()
    assert in_split(fingerprints(home, occupancy), "train").all()
    here = histograms(Cuts(home, batch.occupancy, batch.motif), batch.displacement).cpu()
    there = histograms(Cuts(home, occupancy, batch.motif.cpu()), displacement)
    # Of thousands of pairs, since the rounding of a distance that hundreds of pairs share adds up.
    assert (here.cumsum(dim=1) - there.cumsum(dim=1)).abs().max() < 0.5
    assert (home.canonical(occupancy) == occupancy).all(dim=1).float().mean() > 0.99
