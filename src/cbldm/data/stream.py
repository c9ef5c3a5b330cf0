"""Endless training batches: shapes from random cuts, split by shape, with a measured-looking PDF for each.

Batch number k is a pure function of (seed, k): a resumed run sees what an unbroken one would have seen.
Lengths are in units of the nearest-neighbour distance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from cbldm.data.clusters import textbook_clusters
from cbldm.data.cuts import Cuts, Random, draw
from cbldm.data.splits import Split, in_split
from cbldm.geometry.fingerprint import fingerprints
from cbldm.geometry.frames import FRAME_OF_MOTIF, FRAMES, frame
from cbldm.geometry.matrices import MatrixKind, matrix_features
from cbldm.geometry.slots import chunks_by_size, inward_field, padded_atoms
from cbldm.physics.kernel import pair_histogram, pdf_kernel, sine_grid
from cbldm.types import MOTIFS, InputUnit, Instrument

#: Grid of pair distances: start, step and number of points.
BIN_START, BIN_STEP, N_BINS = 0.5, 0.01, 1020
#: How often each of `FRAMES` is drawn: stacks carry two motifs, simple cubic metals are rare.
FRAME_WEIGHTS = (1.2, 0.8, 0.6, 1.2, 1.5, 1.0, 1.0)
#: Grid on which the first peak is sought, and the share of the highest maximum that makes a first peak.
PEAK_START, PEAK_STEP, N_PEAK, PEAK_SHARE = 0.8, 0.005, 101, 0.45
#: Å per unit of the input where that is not the first peak: the mean of what is drawn, and so the same reach.
ANGSTROM_UNIT = 2.75
#: Points of the grid of pair distances then: the reach of 28.9 Å is 12.6 of the shortest nearest-neighbour distances.
N_BINS_ANGSTROM = 1220
#: Clusters that share an instrument within a batch, unless told otherwise.
GROUP = 64


@dataclass(frozen=True)
class InputGrid:
    """The r grid of the network's input, in its unit: the first peak of G(r), or `ANGSTROM_UNIT`."""

    start: float = 0.7
    stop: float = 10.5
    step: float = 0.025

    def points(self, device: str = "cpu") -> torch.Tensor:
        """(n_r,) float32."""
        n = round((self.stop - self.start) / self.step) + 1
        return self.start + self.step * torch.arange(n, device=device)


class Batch(NamedTuple):
    """Clusters of one frame and their PDFs.

    Attributes:
        frame_index: Index into `FRAMES`.
        occupancy: (batch, n_sites) bool.
        displacement: (batch, n_sites, 3), zero on empty sites.
        n_atoms: (batch,) int64.
        features: (batch, n_sites, 4) of `cbldm.geometry.matrices.matrix_features`.
        motif: (batch,) int64 index into `MOTIFS`.
        pdf: (batch, n_r) G(r) with unit standard deviation, zero beyond the data.
        conditions: (batch, 3) qmin, qmax and rmax times or over the unit of the input, scaled to order one.
    """

    frame_index: int
    occupancy: torch.Tensor
    displacement: torch.Tensor
    features: torch.Tensor
    n_atoms: torch.Tensor
    motif: torch.Tensor
    pdf: torch.Tensor
    conditions: torch.Tensor


#: Cuts, displacements, features of S and pair histograms.
_Shapes = tuple[Cuts, torch.Tensor, torch.Tensor, torch.Tensor]


def scaled_conditions(qmin: float, qmax: float, rmax: float) -> list[float]:
    """Instrument settings as the network reads them, of order one; qmin, qmax and rmax are in the input's unit."""
    return [qmin / 3 - 1, qmax / 30 - 2, rmax / 5 - 1]


class Stream:
    """Training or validation batches of one split.

    Args:
        seed: Seed of every draw.
        batch: Clusters per batch.
        split: ``train`` or ``validation``.
        n_atoms: Smallest and largest atom count.
        textbook: Share of textbook clusters in a batch.
        grid: The input grid.
        reuse: Batches that each set of shapes serves.
        group: Clusters that share an instrument within a batch.
        matrix: What S is.
        tau: τ of the affinity.
        unit: Unit of length of the input.
        device: Torch device.
    """

    def __init__(
        self,
        seed: int,
        batch: int,
        split: Split = "train",
        n_atoms: tuple[int, int] = (5, 256),
        textbook: float = 0.12,
        grid: InputGrid | None = None,
        reuse: int = 1,
        group: int = GROUP,
        matrix: MatrixKind = "laplacian",
        tau: float = 10.0,
        unit: InputUnit = "first_peak",
        device: str = "cpu",
    ) -> None:
        self.seed, self.size, self.split, self.n_atoms, self.device = seed, batch, split, n_atoms, device
        self.textbook, self.reuse, self.group, self.matrix, self.tau = textbook, reuse, group, matrix, tau
        self.unit = unit
        self._kept: dict[tuple[int, str | None], _Shapes] = {}
        self.r = (grid or InputGrid()).points(device)
        self.shelf = textbook_shelf(split, n_atoms, device) if textbook else {}

    def batch(self, number: int, frame_name: str | None = None) -> Batch:
        """Batch of that number, from the named frame or from one drawn at random.

        Each set of shapes serves ``reuse`` batches, which differ in everything that a measurement adds. As many sets
        take turns, so that consecutive batches are not of one frame.
        """
        turn, place = divmod(number, self.reuse**2)
        key = (turn * self.reuse + place % self.reuse, frame_name)
        if key not in self._kept:
            self._kept = dict(list(self._kept.items())[1 - self.reuse :] if self.reuse > 1 else [])
            self._kept[key] = self._clusters(*key)
        cuts, displacement, features, histogram = self._kept[key]
        random = self._random(2 * number + 1)
        n_atoms = cuts.occupancy.sum(dim=1)
        pdf, conditions = simulate(histogram, n_atoms, self.r, random, self.group, self.unit)
        return Batch(
            FRAMES.index(cuts.frame.name), cuts.occupancy, displacement, features, n_atoms, cuts.motif, pdf, conditions
        )

    def _random(self, number: int) -> Random:
        seed = (self.seed * 1_000_003 + number * 2_654_435_761 + 12_345) % (2**63)
        return Random(torch.Generator(device=self.device).manual_seed(seed), self.device)

    def _clusters(self, number: int, frame_name: str | None) -> _Shapes:
        random = self._random(2 * number)
        weights = torch.tensor(FRAME_WEIGHTS, device=self.device)
        name = frame_name or FRAMES[int(torch.multinomial(weights, 1, generator=random.generator))]
        cuts = self._shapes(name, random)
        displacement = _displacements(cuts, random)
        features = matrix_features(name, cuts.occupancy, displacement, self.matrix, self.tau)
        n_bins = N_BINS if self.unit == "first_peak" else N_BINS_ANGSTROM
        return cuts, displacement, features, histograms(cuts, displacement, n_bins)

    def _shapes(self, name: str, random: Random) -> Cuts:
        """Distinct clusters of the split, exactly as many as a batch holds."""
        n_shelf = round(self.textbook * self.size) if name in self.shelf else 0
        parts, have = [], 0
        if n_shelf:
            shelf = self.shelf[name]
            parts.append(shelf.select(random.integer(len(shelf.motif), n_shelf)))
            have = n_shelf
        while have < self.size:
            cuts = draw(name, int(1.5 * (self.size - have)) + 32, random.generator, self.n_atoms, self.device)
            hashes = fingerprints(cuts.frame, cuts.occupancy)
            cuts = cuts.select(first_of_each(hashes) & in_split(hashes, self.split))
            parts.append(cuts)
            have += len(cuts.motif)
        whole = Cuts(parts[0].frame, torch.cat([p.occupancy for p in parts]), torch.cat([p.motif for p in parts]))
        # Surplus cuts are dropped before the order is mixed: the textbook clusters stand first and stay.
        return whole.select(torch.randperm(self.size, generator=random.generator, device=self.device))


def first_of_each(values: torch.Tensor) -> torch.Tensor:
    """(n,) bool: True where a value stands for the first time."""
    ordered, index = values.sort(stable=True)
    first = torch.ones_like(ordered, dtype=torch.bool)
    first[1:] = ordered[1:] != ordered[:-1]
    return torch.zeros_like(first).scatter_(0, index, first)


def textbook_shelf(split: Split, n_atoms: tuple[int, int], device: str) -> dict[str, Cuts]:
    """The textbook clusters of a split, by frame, in canonical pose."""
    found: dict[str, list[tuple[torch.Tensor, int]]] = {}
    for cluster in textbook_clusters(n_atoms[1]):
        home = frame(FRAME_OF_MOTIF[cluster.motif])
        sites = home.occupy(cluster.positions) if cluster.n_atoms >= n_atoms[0] else None
        if sites is not None:
            found.setdefault(home.name, []).append((torch.as_tensor(sites, device=device), MOTIFS.index(cluster.motif)))
    shelf = {}
    for name, items in found.items():
        occupancy = frame(name).canonical(torch.stack([sites for sites, _ in items]))
        mine = in_split(fingerprints(frame(name), occupancy), split)
        if mine.any():
            shelf[name] = Cuts(frame(name), occupancy, torch.tensor([m for _, m in items], device=device)).select(mine)
    return shelf


def _displacements(cuts: Cuts, random: Random) -> torch.Tensor:
    """Relaxation as EMT gives it, and a little static disorder; none in a third of the clusters.

    EMT-relaxed Pt, Au and Ag clusters of 38 to 201 atoms follow u = c X (1 - |X|²/R²) + a v with v the field outward
    where neighbours are missing, c of 0 to 0.07 and a of 0 to 0.02 (R² of 0.94 to 1 for fcc, 0.72 to 0.92 for
    decahedra). The uniform part is taken out, since lengths are in units of the nearest-neighbour distance.
    """
    n = len(cuts.occupancy)
    sites = torch.as_tensor(cuts.frame.sites, dtype=torch.float32, device=random.device)
    present = cuts.occupancy[:, :, None]
    active = (random.uniform(n, 1, 1) < 0.67).float()
    core = active * 0.07 * random.uniform(n, 1, 1)
    surface = active * (0.025 * random.uniform(n, 1, 1) - 0.007)
    disorder = active * 0.015 * random.uniform(n, 1, 1)
    square = (sites**2).sum(dim=1, keepdim=True)
    extent = (square * present).amax(dim=1, keepdim=True)
    moved = core * sites * (1 - square / extent) - surface * inward_field(cuts.frame, cuts.occupancy)
    moved = moved * present
    uniform = (moved * sites).sum(dim=(1, 2)) / (square * present).sum(dim=(1, 2))
    moved = moved - uniform[:, None, None] * sites + disorder * random.normal(*moved.shape)
    return moved * present


def histograms(cuts: Cuts, displacement: torch.Tensor, n_bins: int = N_BINS) -> torch.Tensor:
    """(batch, n_bins) pair histograms of clusters with displaced atoms."""
    result = torch.zeros(len(cuts.occupancy), n_bins, device=cuts.occupancy.device)
    for index in chunks_by_size(cuts.occupancy.sum(dim=1), 32):
        _, present, positions = padded_atoms(cuts.frame, cuts.occupancy[index], displacement[index])
        result[index] = pair_histogram(torch.cdist(positions, positions), present, BIN_START, BIN_STEP, n_bins)
    return result


def simulate(
    histogram: torch.Tensor,
    n_atoms: torch.Tensor,
    r: torch.Tensor,
    random: Random,
    group: int = GROUP,
    unit: InputUnit = "first_peak",
) -> tuple[torch.Tensor, torch.Tensor]:
    """PDFs of random instruments with noise, ripples, a slightly wrong scale and a random end.

    Args:
        histogram: (batch, n_bins).
        n_atoms: (batch,).
        r: (n_r,) input grid.
        random: Source of randomness.
        group: Clusters that share an instrument.
        unit: Unit of length of the input grid.

    Returns:
        (batch, n_r) PDFs of unit standard deviation and (batch, 3) conditions.
    """
    bins = BIN_START + BIN_STEP * torch.arange(histogram.shape[1], device=r.device)
    pdfs, conditions = [], []
    for counts, size in zip(histogram.split(group), n_atoms.split(group), strict=True):
        dnn, instrument, uiso, delta2 = _instrument(random)
        # The unit of length is read from the first peak, as from a measured PDF, and is off by a little.
        peak = _first_peak(counts, bins, instrument, uiso, delta2) * (1 + 0.005 * float(random.normal(1)))
        length = peak if unit == "first_peak" else ANGSTROM_UNIT / dnn
        stretched = length * r
        ideal = counts @ pdf_kernel(stretched, bins, instrument, uiso, delta2) / size[:, None]
        ideal = ideal / ideal.std(dim=1, keepdim=True)
        pdfs.append(ideal + _noise(ideal, stretched, instrument, random))
        qmin, qmax, _ = scaled_conditions(instrument.qmin * length, instrument.qmax * length, 0.0)
        end = torch.where(random.uniform(len(counts)) < 0.35, 5 + 5.5 * random.uniform(len(counts)), 10.5)
        conditions.append(torch.stack([torch.full_like(end, qmin), torch.full_like(end, qmax), end / 5 - 1], dim=1))
    pdf, condition = torch.cat(pdfs), torch.cat(conditions)
    return normalised(pdf, r, 5 * (condition[:, 2:] + 1)), condition


def _first_peak(counts: torch.Tensor, bins: torch.Tensor, instrument: Instrument, uiso: float, delta2: float) -> float:
    """Median place of the first strong maximum of G(r) of a group, by the rule of `cbldm.first_peak`.

    It is 1 but for bcc, whose two first shells melt into one peak where the atoms shake or Qmax is low.
    """
    r = PEAK_START + PEAK_STEP * torch.arange(N_PEAK, device=bins.device)
    g = counts @ pdf_kernel(r, bins, instrument, uiso, delta2)
    top = (g[:, 1:-1] >= g[:, :-2]) & (g[:, 1:-1] > g[:, 2:])
    top &= g[:, 1:-1] >= PEAK_SHARE * g.amax(dim=1, keepdim=True)
    places = r[1:-1][top.to(torch.int8).argmax(dim=1)]
    return float(places[top.any(dim=1)].median()) if bool(top.any()) else 1.0


def normalised(pdf: torch.Tensor, r: torch.Tensor, rmax: torch.Tensor) -> torch.Tensor:
    """Zero a PDF (batch, n_r) beyond rmax (batch, 1) and divide it by its standard deviation."""
    inside = (r <= rmax + 1e-6).to(pdf.dtype)
    pdf = pdf * inside
    power = (pdf**2).sum(dim=1, keepdim=True) / inside.sum(dim=1, keepdim=True)
    return pdf / power.clamp_min(1e-30).sqrt()


def _instrument(random: Random) -> tuple[float, Instrument, float, float]:
    """A random measurement: nearest-neighbour distance in Å, and instrument, Uiso and delta2 in units of it."""
    u: Sequence[float] = random.uniform(8).tolist()
    dnn = 2.3 + 0.9 * u[0]
    qdamp = 0.0 if u[3] < 0.1 else 0.07 * (u[3] - 0.1) / 0.9
    qbroad = 0.0 if u[4] < 0.7 else 0.06 * (u[4] - 0.7)
    instrument = Instrument((0.5 + u[1]) * dnn, (15 + 15 * u[2]) * dnn, qdamp * dnn, qbroad * dnn)
    delta2 = 0.0 if u[6] < 0.4 else 5 * (u[6] - 0.4)
    return dnn, instrument, (0.0025 + 0.0115 * u[5]) / dnn**2, delta2 / dnn**2


def _noise(ideal: torch.Tensor, r: torch.Tensor, instrument: Instrument, random: Random) -> torch.Tensor:
    """Noise (batch, n_r) limited to Qmax, and in some PDFs a slow ripple, both relative to unit standard deviation."""
    wide = Instrument(0.0, instrument.qmax)
    q, sines, _ = sine_grid(r, wide, 2.0)
    level = torch.where(random.uniform(len(ideal), 1) < 0.2, 0.0, 0.01 * 30 ** random.uniform(len(ideal), 1))
    white = random.normal(len(ideal), len(q)) @ sines / math.sqrt(len(q) / 2)
    slow = random.normal(len(ideal), len(q)) * (q < 1.2 * max(instrument.qmin, 1.0))
    ripple = slow @ sines / (slow**2).sum(dim=1, keepdim=True).clamp_min(1e-9).sqrt() * math.sqrt(2)
    amplitude = torch.where(random.uniform(len(ideal), 1) < 0.6, 0.0, 0.12 * random.uniform(len(ideal), 1))
    return level * white + amplitude * ripple
