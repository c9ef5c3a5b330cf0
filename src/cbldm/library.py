"""The library solver: templates fitted to a PDF. The yardstick of the method, and a source of candidates.

There are two libraries. `TemplateLibrary` without arguments holds the textbook clusters up to 256 atoms: the
enumeration that the method is measured against, which stays what it is. `extended_library` holds these and the
templates of `cbldm.data.large_templates` up to 3000 atoms: what users get, for a particle larger than the model must be
served. In the pipeline they are the sources ``textbook`` and ``library``, so an evaluation says which one it used.

Fitting each template properly would waste most of the time on hopeless ones, so all of them are screened first: their
pair histograms, made once, turn into G(r) for a grid of sizes by two matrix products. The best go through the same
`fit_parameters` as every other candidate or, where they are large, through the same least squares on their histograms.
The histograms of the extended library are kept on disk (`cbldm.template_cache`), those of the textbook are made anew.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist, pdist
from torch import Tensor

from cbldm.data.clusters import textbook_clusters
from cbldm.data.large_templates import large_templates
from cbldm.data.nests import Nest
from cbldm.errors import InputError
from cbldm.optimize import levenberg_marquardt, misfits
from cbldm.physics.instrument import relative_variance
from cbldm.physics.kernel import sine_grid
from cbldm.refine import BOUNDS, OVERSAMPLING, STEPS, FittedStructure, fit_parameters
from cbldm.target import Target
from cbldm.template_cache import Table, Templates, remembered
from cbldm.types import Cluster, FloatArray, Pdf

#: Sizes tried in the screening, relative to the estimated nearest-neighbour distance. The first peak of bcc holds two
#: shells, so an estimate from it is several percent too long; elsewhere it is good to a percent or two.
SCREENED_STRETCH = tuple(np.round(np.arange(0.90, 1.061, 0.01), 2).tolist())
#: (uiso in Å², delta2 in Å²) tried in the screening: stiff atoms without correlation, and what metals usually show.
#: The second line is for fits without delta2.
SCREENED_MOTION = {
    True: ((0.004, 0.0), (0.01, 3.0)),
    False: ((0.004, 0.0), (0.01, 0.0)),
}
#: A library of more templates than this is screened with rounded distances first, and so many again on a finer grid:
#: the ranks of thousands are decided by a few per cent of Rw, which is less than the grid leaves.
SCREENED_TWICE = 400
#: Sizes about the best one of the first screening, and motions, of the second.
FINER_STRETCH = (-0.006, -0.003, 0.0, 0.003, 0.006)
FINER_MOTION = {
    True: ((0.005, 0.0), (0.006, 2.0), (0.01, 3.0)),
    False: ((0.006, 0.0), (0.009, 0.0), (0.013, 0.0)),
}
#: Step of the pair histograms in nearest-neighbour distances.
BIN = 0.005
#: The same for the first of two screenings. It spreads pairs by less than a tenth of what heat does.
COARSE_BIN = 0.02
#: Pairs whose peak lies this far beyond the fit range, in Å, leave no trace in it.
BEYOND_RANGE = 3.0
#: Templates of more atoms are fitted by their histograms.
LARGE = 400
#: Most steps of such a fit.
MOST_STEPS = 15
#: Distances that are worked on together.
PAIRS_AT_ONCE = 40_000


@dataclass(frozen=True)
class FittedTemplate:
    """A cluster of the library with its fit.

    Attributes:
        cluster: The template, in nearest-neighbour distances.
        fit: Its best fit; ``stretch`` is relative to the estimated nearest-neighbour distance.
    """

    cluster: Cluster
    fit: FittedStructure


class TemplateLibrary:
    """Clusters that can be fitted to many PDFs; building it takes seconds, using it a second or two.

    Args:
        clusters: The templates; None for all textbook clusters up to 256 atoms.
        nests: More of them; of clusters with the same pair distances only the first is kept.
        tables: Pair counts of the clusters, as in `tables`, where they are known already.
    """

    def __init__(
        self,
        clusters: Sequence[Cluster] | None = None,
        nests: Iterable[Nest] = (),
        tables: Sequence[Table] | None = None,
    ) -> None:
        self.clusters = textbook_clusters() if clusters is None else list(clusters)
        if tables is not None:
            self._shelves = [_Shelf(*table) for table in tables]
            return
        histograms = [_histogram(pdist(cluster.positions)) for cluster in self.clusters]
        self._shelves = [_Shelf.of(histograms)]
        known = {_identity(histogram) for histogram in histograms}
        # Clusters of one motif share their distances, so a table of them has few columns.
        for _, kin in groupby(nests, key=lambda nest: nest.motif):
            shelf: list[NDArray[np.float32]] = []
            for nest in kin:
                for cluster, histogram in zip(nest.clusters(), _nest_histograms(nest), strict=True):
                    if (identity := _identity(histogram)) not in known:
                        known.add(identity)
                        shelf.append(histogram.astype(np.float32))
                        self.clusters.append(cluster)
            self._shelves.append(_Shelf.of(shelf))

    @property
    def tables(self) -> list[Table]:
        """Distances and pair counts, in the order of the clusters."""
        return [(shelf.distances, shelf.counts) for shelf in self._shelves]

    @cached_property
    def _sizes(self) -> NDArray[np.int64]:
        return np.array([cluster.n_atoms for cluster in self.clusters])

    @cached_property
    def _coarse(self) -> _Shelf:
        """All clusters with multiples of `COARSE_BIN`: one table, so that its peaks are computed once."""
        longest = max(float(shelf.distances[-1]) for shelf in self._shelves)
        counts = torch.zeros(len(self.clusters), int(longest / COARSE_BIN) + 2)
        for shelf, own in zip(self._shelves, counts.split([len(shelf.counts) for shelf in self._shelves]), strict=True):
            shelf.add_coarse(own)
        columns = torch.nonzero(counts.any(dim=0))[:, 0]
        return _Shelf(COARSE_BIN * columns, counts[:, columns])

    def screen(self, pdf: Pdf, dnn: float, *, fit_delta2: bool = True) -> tuple[FloatArray, FloatArray]:
        """Rough fit of every template: scale by least squares, size and motion from a grid.

        Args:
            pdf: Data, instrument and fit range.
            dnn: Estimated nearest-neighbour distance in Å.
            fit_delta2: Whether delta2 will be fitted; else it is 0.

        Returns:
            (n_clusters,) Rw and (n_clusters,) stretch relative to `dnn`, both of the best point of the grid.

        Raises:
            InputError: If dnn is not a length between atoms.
        """
        if not 1.0 <= dnn <= 6.0:
            raise InputError(f"nearest-neighbour distance is {dnn} Å; allowed are 1 to 6 Å")
        target = Target.of(pdf, oversampling=OVERSAMPLING)
        twice = len(self.clusters) > SCREENED_TWICE
        grid = [(size, motion) for size in SCREENED_STRETCH for motion in SCREENED_MOTION[fit_delta2]]
        found = [shelf.screen(target, dnn, grid) for shelf in ([self._coarse] if twice else self._shelves)]
        best, stretch = (torch.cat(parts).double().numpy() for parts in zip(*found, strict=True))
        if twice:
            self._screen_again(target, dnn, fit_delta2, best, stretch)
        return np.sqrt(best), stretch

    def _screen_again(
        self, target: Target, dnn: float, fit_delta2: bool, best: FloatArray, stretch: FloatArray
    ) -> None:
        """Improve Rw² and stretch of the best `SCREENED_TWICE` templates in place."""
        rough = stretch.copy()
        chosen = np.zeros(len(best), dtype=bool)
        chosen[np.argsort(best, kind="stable")[:SCREENED_TWICE]] = True
        first = 0
        for shelf in self._shelves:
            mine = np.arange(first, first + len(shelf.counts))
            first += len(shelf.counts)
            for size in np.unique(rough[mine[chosen[mine]]]).tolist():
                rows = mine[chosen[mine] & (rough[mine] == size)]
                grid = [(size + step, motion) for step in FINER_STRETCH for motion in FINER_MOTION[fit_delta2]]
                found = shelf.screen(target, dnn, grid, (rows - mine[0]).tolist())
                misfit, finer = (part.double().numpy() for part in found)
                stretch[rows] = np.where(misfit < best[rows], finer, stretch[rows])
                best[rows] = np.minimum(misfit, best[rows])

    def fit(
        self,
        pdf: Pdf,
        dnn: float,
        *,
        keep: int = 40,
        n_atoms: tuple[int, int] | None = None,
        fit_delta2: bool = True,
        fit_qdamp: bool = False,
    ) -> list[FittedTemplate]:
        """The templates that fit best, each with its own scale, stretch, uiso and, where asked, delta2 and qdamp.

        Args:
            pdf: Data, instrument and fit range.
            dnn: Estimated nearest-neighbour distance in Å.
            keep: How many of the screened templates are fitted properly.
            n_atoms: Allowed atom counts, both ends included; any when None.
            fit_delta2: Whether delta2 is free.
            fit_qdamp: Whether qdamp is free.

        Returns:
            At most `keep` fits, lowest Rw first.
        """
        rw, stretch = self.screen(pdf, dnn, fit_delta2=fit_delta2)
        low, high = n_atoms or (0, int(self._sizes.max()))
        allowed = np.flatnonzero((self._sizes >= low) & (self._sizes <= high))
        chosen = allowed[np.argsort(rw[allowed], kind="stable")[:keep]]
        small, large = chosen[self._sizes[chosen] <= LARGE], chosen[self._sizes[chosen] > LARGE]
        fits = [
            *fit_parameters(pdf, self._structures(small, dnn * stretch), fit_delta2=fit_delta2, fit_qdamp=fit_qdamp),
            *self._fit_large(pdf, large, dnn * stretch, fit_delta2, fit_qdamp),
        ]
        templates = [
            FittedTemplate(self.clusters[i], replace(fit, stretch=fit.stretch * stretch[i]))
            for i, fit in zip([*small, *large], fits, strict=True)
        ]
        return sorted(templates, key=lambda template: template.fit.rw)

    def _structures(self, indices: NDArray[np.int64], dnn: FloatArray) -> list[FloatArray]:
        return [self.clusters[i].positions * dnn[i] for i in indices]

    def _fit_large(
        self, pdf: Pdf, indices: NDArray[np.int64], dnn: FloatArray, fit_delta2: bool, fit_qdamp: bool
    ) -> list[FittedStructure]:
        """What `fit_parameters` does, by histograms: it would count the pairs anew in every step.

        The parameters are those that fit best with distances spread over `BIN`; the curves and Rw are exact.
        """
        names = ["stretch", "uiso"] + ["delta2"] * fit_delta2 + ["qdamp"] * fit_qdamp
        start = {"stretch": 1.0, "uiso": 0.01, "delta2": 0.0, "qdamp": pdf.instrument.qdamp}
        target = Target.of(pdf, oversampling=OVERSAMPLING)
        places = [self._place(int(i)) for i in indices]

        def curves(rows: Tensor, values: Tensor) -> Tensor:
            found = [target.r.new_empty(0, len(target.r))]
            for row, value in zip(rows.tolist(), values.tolist(), strict=True):
                given = start | dict(zip(names, value, strict=True))
                shelf, place = places[row]
                damped, size = target.damped(given["qdamp"]), float(dnn[indices[row]]) * given["stretch"]
                found.append(shelf.curves(damped, size, given["uiso"], given["delta2"], [place]))
            return torch.cat(found)

        low, high = (torch.tensor([BOUNDS[name][k] for name in names]) for k in (0, 1))
        first = torch.tensor([start[name] for name in names]).repeat(len(indices), 1)
        step = torch.tensor([STEPS[name] for name in names])
        values, converged = levenberg_marquardt(curves, target.observed, first, low, high, step, MOST_STEPS)
        structures = self._structures(indices, dnn)
        return [
            _evaluated(pdf, x, start | dict(zip(names, value, strict=True)), done, len(names) + 1.0)
            for x, value, done in zip(structures, values.tolist(), converged.tolist(), strict=True)
        ]

    def _place(self, index: int) -> tuple[_Shelf, int]:
        for shelf in self._shelves:
            if index < len(shelf.counts):
                return shelf, index
            index -= len(shelf.counts)
        raise IndexError(index)


@lru_cache(maxsize=1)
def extended_library() -> TemplateLibrary:
    """The textbook clusters and the `large_templates` up to 3000 atoms, loaded once a process."""

    def make() -> Templates:
        library = TemplateLibrary(nests=large_templates())
        return library.clusters, library.tables

    clusters, tables = remembered(make)
    return TemplateLibrary(clusters, tables=tables)


@dataclass(frozen=True)
class _Shelf:
    """Pair histograms of clusters that share many of their distances.

    Attributes:
        distances: (n_columns,) multiples of `BIN` that occur, in nearest-neighbour distances.
        counts: (n_clusters, n_columns) pairs.
    """

    distances: Tensor
    counts: Tensor

    @classmethod
    def of(cls, histograms: Sequence[NDArray[np.floating]]) -> _Shelf:
        """Leave out the columns that are empty, and atoms' distances from themselves."""
        n_bins = max(map(len, histograms), default=0)
        occurs = np.zeros(n_bins, dtype=bool)
        for histogram in histograms:
            occurs[: len(histogram)] |= histogram > 0
        occurs[: int(0.5 / BIN)] = False  # nothing lies nearer than half a nearest-neighbour distance
        columns = np.flatnonzero(occurs)
        counts = np.zeros((len(histograms), len(columns)), dtype=np.float32)
        for row, histogram in zip(counts, histograms, strict=True):
            there = columns[columns < len(histogram)]
            row[: len(there)] = histogram[there]
        return cls(torch.as_tensor(BIN * columns, dtype=torch.float32), torch.as_tensor(counts))

    def add_coarse(self, counts: Tensor) -> None:
        """Add the pairs to a table (n_clusters, n) with a column for every multiple of `COARSE_BIN`."""
        place = self.distances / COARSE_BIN
        left = place.long()
        share = place - left
        counts.index_add_(1, left, self.counts * (1 - share)).index_add_(1, left + 1, self.counts * share)

    def screen(
        self,
        target: Target,
        dnn: float,
        grid: Sequence[tuple[float, tuple[float, float]]],
        rows: Sequence[int] | slice = slice(None),
    ) -> tuple[Tensor, Tensor]:
        """(n_rows,) least Rw² on a grid of (stretch, (uiso, delta2)), and (n_rows,) its stretch."""
        best = torch.full((len(self.counts[rows]),), torch.inf)
        stretch = torch.ones(len(best))
        for size, (uiso, delta2) in grid:
            misfit = misfits(self.curves(target, size * dnn, uiso, delta2, rows), target.observed)
            stretch = torch.where(misfit < best, size, stretch)
            best = torch.minimum(misfit, best)
        return best, stretch

    def curves(
        self,
        target: Target,
        dnn: float,
        uiso: float,
        delta2: float,
        rows: Sequence[int] | slice = slice(None),
    ) -> Tensor:
        """(n_rows, n_r) curves of `Target` up to a factor for each cluster, which the scale absorbs."""
        r, instrument = target.r, target.instrument
        n_columns = int(torch.searchsorted(self.distances, (float(r[-1]) + BEYOND_RANGE) / dnn))
        distances = dnn * self.distances[:n_columns]
        q, sines, damping = sine_grid(r, instrument, float(distances[-1]))
        variance = 2 * uiso * relative_variance(distances, 0.0, delta2, instrument.qbroad).clamp_min(0.0)
        peaks = torch.exp(-0.5 * variance[:, None] * q**2) * torch.sin(distances[:, None] * q) / distances[:, None]
        # In the order that takes the fewest multiplications.
        waves = torch.linalg.multi_dot([self.counts[rows, :n_columns], peaks, sines])
        return target.background.filtered(waves * damping)


def _evaluated(
    pdf: Pdf, positions: FloatArray, parameters: dict[str, float], converged: bool, freedom: float
) -> FittedStructure:
    """A structure in Å with its parameters, as `fit_parameters` gives it: exact, on every point of the fit range."""
    target = Target.of(pdf, oversampling=None, dtype=torch.float64)
    stretched = parameters["stretch"] * (positions - positions.mean(axis=0))
    motion: dict[str, Any] = {name: parameters[name] for name in ("qdamp", "uiso", "delta2")}
    explained = target.explain(target.whole_curves(torch.as_tensor(stretched)[None], None, **motion))
    return FittedStructure(
        positions=stretched,
        scale=float(explained.scales[0]),
        stretch=parameters["stretch"],
        rw=float(explained.rws[0]),
        calculated=explained.calculated[0].numpy(),
        moved_median=0.0,
        moved_max=0.0,
        restraint=0.0,
        converged=converged,
        freedom=freedom + target.background.freedom,
        background=explained.amplitudes[0],
        **motion,
    )


def _histogram(distances: FloatArray, weights: FloatArray | None = None) -> FloatArray:
    """(n_bins,) the distances, each shared linearly between its two nearest multiples of `BIN`."""
    place = distances / BIN
    left = place.astype(np.int64)
    share = place - left
    weights = np.ones_like(share) if weights is None else weights
    n_bins = int(left.max()) + 2
    share *= weights
    counts: FloatArray = np.bincount(left, weights - share, n_bins).astype(np.float64, copy=False)
    counts += np.bincount(left + 1, share, n_bins)
    return counts


def _nest_histograms(nest: Nest) -> list[FloatArray]:
    """(n_bins,) of each cluster of a nest, atoms' distances from themselves in the first bins.

    Of each set of equal atoms only one is asked for its pairs with the atoms that came before or together with it.
    """
    furthest = np.linalg.norm(nest.sites, axis=1).max()
    total = np.zeros(int(2 * furthest / BIN) + 3)
    histograms = []
    start = 0
    for end in nest.ends.tolist():
        asked = start + np.flatnonzero(nest.orbits[start:end])
        share = np.where(np.arange(end) < start, 1.0, 0.5)  # a pair of two new atoms is met from both ends
        for some in np.array_split(asked, math.ceil(len(asked) * end / PAIRS_AT_ONCE)):
            distances = cdist(nest.sites[some], nest.sites[:end]).ravel()
            added = _histogram(distances, np.outer(nest.orbits[some], share).ravel())
            total[: len(added)] += added
        histograms.append(total.copy())
        start = end
    return histograms


def _identity(histogram: FloatArray) -> int:
    """The same for clusters with the same pair distances."""
    counts = np.round(histogram[int(0.5 / BIN) :], 2)
    bins = np.flatnonzero(counts)
    return hash((bins.tobytes(), counts[bins].tobytes()))
