"""The library solver: every textbook cluster fitted to a PDF. The yardstick of the method, and a source of candidates.

Fitting each template properly would waste most of the time on hopeless ones, so all of them are screened first: their
pair histograms, made once, turn into G(r) for a grid of sizes by two matrix products. The best go through the same
`fit_parameters` as every other candidate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.spatial.distance import pdist
from torch import Tensor

from cbldm.data.clusters import textbook_clusters
from cbldm.errors import InputError
from cbldm.optimize import misfits
from cbldm.physics.instrument import relative_variance
from cbldm.physics.kernel import sine_grid
from cbldm.refine import FittedStructure, fit_parameters, thinned_range
from cbldm.types import Cluster, FloatArray, Pdf

#: Sizes tried in the screening, relative to the estimated nearest-neighbour distance. The first peak of bcc holds two
#: shells, so an estimate from it is several percent too long; elsewhere it is good to a percent or two.
SCREENED_STRETCH = tuple(np.round(np.arange(0.90, 1.061, 0.01), 2).tolist())
#: (uiso in Å², delta2 in Å²) tried in the screening: stiff atoms without correlation, and what metals usually show.
SCREENED_MOTION = ((0.004, 0.0), (0.01, 3.0))
#: Step of the pair histograms in nearest-neighbour distances.
BIN = 0.005
#: Pairs whose peak lies this far beyond the fit range, in Å, leave no trace in it.
BEYOND_RANGE = 3.0


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
    """Clusters that can be fitted to many PDFs; building it costs a second, using it another.

    Args:
        clusters: The templates; None for all textbook clusters up to 256 atoms.
    """

    def __init__(self, clusters: Sequence[Cluster] | None = None) -> None:
        self.clusters = textbook_clusters() if clusters is None else list(clusters)
        distances = [pdist(cluster.positions) for cluster in self.clusters]
        n_bins = 2 + round(max(float(d.max()) for d in distances) / BIN)
        self._histograms = torch.as_tensor(np.stack([_histogram(d, n_bins) for d in distances]), dtype=torch.float32)

    def screen(self, pdf: Pdf, dnn: float) -> tuple[FloatArray, FloatArray]:
        """Rough fit of every template: scale by least squares, size and motion from a grid.

        Args:
            pdf: Data, instrument and fit range.
            dnn: Estimated nearest-neighbour distance in Å.

        Returns:
            (n_clusters,) Rw and (n_clusters,) stretch relative to `dnn`, both of the best point of the grid.

        Raises:
            InputError: If dnn is not a length between atoms.
        """
        if not 1.0 <= dnn <= 6.0:
            raise InputError(f"nearest-neighbour distance is {dnn} Å; allowed are 1 to 6 Å")
        r, observed = (torch.as_tensor(a.copy(), dtype=torch.float32) for a in thinned_range(pdf))
        best = torch.full((len(self.clusters),), torch.inf)
        stretch = torch.ones(len(self.clusters))
        for size in SCREENED_STRETCH:
            for uiso, delta2 in SCREENED_MOTION:
                misfit = misfits(self._curves(r, pdf, size * dnn, uiso, delta2), observed)
                stretch = torch.where(misfit < best, size, stretch)
                best = torch.minimum(misfit, best)
        return best.sqrt().double().numpy(), stretch.double().numpy()

    def fit(
        self, pdf: Pdf, dnn: float, *, keep: int = 40, fit_delta2: bool = True, fit_qdamp: bool = False
    ) -> list[FittedTemplate]:
        """The templates that fit best, each with its own scale, stretch, uiso and, where asked, delta2 and qdamp.

        Args:
            pdf: Data, instrument and fit range.
            dnn: Estimated nearest-neighbour distance in Å.
            keep: How many of the screened templates are fitted properly.
            fit_delta2: Whether delta2 is free.
            fit_qdamp: Whether qdamp is free.

        Returns:
            At most `keep` fits, lowest Rw first.
        """
        rw, stretch = self.screen(pdf, dnn)
        chosen = np.argsort(rw, kind="stable")[:keep]
        structures = [self.clusters[i].positions * (dnn * stretch[i]) for i in chosen]
        fits = fit_parameters(pdf, structures, fit_delta2=fit_delta2, fit_qdamp=fit_qdamp)
        templates = [
            FittedTemplate(self.clusters[i], replace(fit, stretch=fit.stretch * stretch[i]))
            for i, fit in zip(chosen, fits, strict=True)
        ]
        return sorted(templates, key=lambda template: template.fit.rw)

    def _curves(self, r: Tensor, pdf: Pdf, dnn: float, uiso: float, delta2: float) -> Tensor:
        """(n_clusters, n_r) G(r) up to a factor for each cluster, which the scale absorbs."""
        n_bins = min(self._histograms.shape[1], math.ceil((float(r[-1]) + BEYOND_RANGE) / (BIN * dnn)))
        first = int(0.5 / BIN)  # nothing lies nearer than half a nearest-neighbour distance
        distances = dnn * BIN * torch.arange(first, n_bins)
        instrument = pdf.instrument
        q, sines, damping = sine_grid(r, instrument, float(distances[-1]))
        variance = 2 * uiso * relative_variance(distances, 0.0, delta2, instrument.qbroad).clamp_min(0.0)
        peaks = torch.exp(-0.5 * variance[:, None] * q**2) * torch.sin(distances[:, None] * q) / distances[:, None]
        return (self._histograms[:, first:n_bins] @ peaks) @ sines * damping


def _histogram(distances: FloatArray, n_bins: int) -> FloatArray:
    """(n_bins,) the distances, each shared linearly between its two nearest multiples of `BIN`."""
    place = distances / BIN
    left = place.astype(np.int64)
    share = place - left
    counts = np.bincount(left, 1 - share, n_bins) + np.bincount(left + 1, share, n_bins)
    return counts.astype(np.float64)
