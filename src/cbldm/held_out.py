"""What was not fitted judges: blocks of r are left out, and a structure that was bent to noise predicts them badly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from cbldm.metrics import rw
from cbldm.refine import COARSE_TO_FINE, FittedStructure, fit_parameters, predicted, refine_positions, since
from cbldm.target import fit_range
from cbldm.types import FloatArray, Pdf

#: Width of a block in Å, several times what a finite Qmax correlates; one block in so many is left out.
BLOCK, EVERY = 1.0, 5
#: Fewest points of either part.
FEWEST = 10
#: Levels of noise (Rw) that the refinement may be told, most first: the more noise, the stiffer the structure.
NOISE = (0.2, 0.1, 0.05, 0.025)
#: Fits, the best ones, that decide on the level of noise.
JUDGES = 3
#: Rw of the left-out data that a looser refinement must gain to be believed, as a share of it.
LEAST_GAIN = 0.02


def part(pdf: Pdf) -> tuple[Pdf, Pdf] | None:
    """The data less every fifth Å of r from rmin on, and those.

    Args:
        pdf: Data and fit range.

    Returns:
        What is fitted and what is left out, with the same settings; None where the fit range is too short for that,
        or where one of them has too few points or nothing but zeros.

    Example:
        >>> from cbldm.data.pdf_files import pdf_from_arrays
        >>> r = np.linspace(0, 20, 2001)
        >>> parts = part(pdf_from_arrays(r, np.sin(6 * r), element="Pt", qmax=22))
        >>> [round(float(x), 2) for x in parts[1].r[[0, 99, 100]]]
        [3.5, 4.49, 8.5]
    """
    r, _ = fit_range(pdf)
    if r[-1] - r[0] < EVERY * BLOCK:
        return None
    start = float(pdf.settings["rmin"].value)
    left = np.floor((pdf.r - start + 1e-9) / BLOCK).astype(np.int64) % EVERY == EVERY // 2
    left &= pdf.r >= start
    fitted = np.isin(pdf.r, r)
    for chosen in (left, ~left):
        g = pdf.g[fitted & chosen]
        if len(g) < FEWEST or not g.any():
            return None
    kept, out = (
        replace(pdf, r=pdf.r[chosen], g=pdf.g[chosen], dg=None if pdf.dg is None else pdf.dg[chosen])
        for chosen in (~left, left)
    )
    return kept, out


def left_out_rw(left: Pdf, fitted: Sequence[FittedStructure]) -> FloatArray:
    """(n_fits,) agreement factor of each fit on data that it has not seen, at the scale and background of the fit."""
    observed = fit_range(left)[1]
    return np.array([rw(observed, curve) for curve in predicted(left, fitted)])


def judged(
    pdf: Pdf,
    fitted: Sequence[FittedStructure],
    *,
    fit_qdamp: bool = False,
    max_iterations: int,
    device: str = "cpu",
) -> list[FittedStructure]:
    """Refine positions as far as data that are not fitted bear it out.

    Args:
        pdf: The data.
        fitted: Rigid fits, the best first; where they have a surface's uiso, it is fitted to the part too.
        fit_qdamp: Whether Qdamp was fitted, and is fitted again to a part of the data.
        max_iterations: Most steps in each stage of the refinement.
        device: Where the curves are computed.

    Returns:
        One refined fit of all the data for each given one, with ``rw_left_out`` and ``rw_left_out_rigid`` from fits of
        a part of them; NaN where the fit range is too short to be parted.
    """
    parts = part(pdf)
    if parts is None or not fitted:
        return refine_positions(pdf, fitted, max_iterations=max_iterations, device=device)
    kept, left = parts
    rigid = fit_parameters(
        kept,
        [fit.positions for fit in fitted],
        fit_qdamp=fit_qdamp,
        fit_surface_uiso=fitted[0].surface is not None,
        device=device,
    )
    before = left_out_rw(left, rigid)
    noise = choose_noise(kept, left, rigid[:JUDGES], max_iterations=max_iterations, device=device)
    if noise is None:
        return [
            replace(fit, rw_left_out=float(value), rw_left_out_rigid=float(value))
            for fit, value in zip(fitted, before, strict=True)
        ]
    options: dict[str, Any] = {"noise": noise, "max_iterations": max_iterations, "device": device}
    bent = refine_positions(kept, rigid, stages=COARSE_TO_FINE[1:], **options)
    ends = refine_positions(pdf, bent, stages=COARSE_TO_FINE[-1:], **options)
    return [
        replace(since(fit, end), rw_left_out=float(b), rw_left_out_rigid=float(a))
        for fit, end, a, b in zip(fitted, ends, before, left_out_rw(left, bent), strict=True)
    ]


def choose_noise(
    kept: Pdf, left: Pdf, fitted: Sequence[FittedStructure], *, max_iterations: int, device: str = "cpu"
) -> float | None:
    """The level of noise with which refined positions predict best what is left out.

    Args:
        kept: What is fitted.
        left: What is left out.
        fitted: A few rigid fits, the best ones.
        max_iterations: Most steps in each stage of the refinement.
        device: Where the curves are computed.

    Returns:
        One of `NOISE`, or None for the rigid structures: the first that gains less than `LEAST_GAIN` in the mean of
        ln Rw on the left-out data ends the search, and the one before it is taken.
    """
    best, refined = None, list(fitted)
    lowest = _mean_log(left_out_rw(left, fitted))
    for noise in NOISE:
        # Each level goes on where the one before it ended.
        stages = COARSE_TO_FINE if noise == NOISE[0] else COARSE_TO_FINE[-1:]
        refined = refine_positions(
            kept, refined, noise=noise, stages=stages, max_iterations=max_iterations, device=device
        )
        found = _mean_log(left_out_rw(left, refined))
        if found > lowest - LEAST_GAIN:
            break
        best, lowest = noise, found
    return best


def _mean_log(values: FloatArray) -> float:
    return float(np.log(np.maximum(values, 1e-9)).mean())
