"""Ligands and oxide: peaks below the first metal-metal distance, and what to do about them.

Between about 1.2 Å and the first peak a PDF of bare metal holds a baseline and ripples only. A peak there is of bonds
of the ligands (C-C 1.4 Å) or from metal to ligand (metal-O 2.0, metal-S 2.3 Å): no monometallic structure makes it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from cbldm.physics.background import background_q, most_terms
from cbldm.types import Fit, FloatArray, Instrument, Pdf

#: Where ligand peaks are looked for: from so many Å to this share of the nearest-neighbour distance.
SHORTEST, LONGEST_SHARE = 1.3, 0.84
#: The data that are fitted for that: from so many Å to this share of the nearest-neighbour distance.
START, END_SHARE = 1.2, 1.1
#: Pairs of metal atoms that make the first peak, in nearest-neighbour distances, and their spacing in Å. Each is
#: narrower than any peak of a metal (Å²), so that together they make every width.
FIRST_SHELL, SHELL_STEP, NARROW = (0.92, 1.2), 0.04, 0.002
#: Displacement parameter in Å² of a ligand peak, and the spacing in Å of the places that are tried.
LIGAND_UISO, LIGAND_STEP = 0.006, 0.025
#: Least width in Å of the data below the first peak.
LEAST_WINDOW = 0.5
#: Height over that of the first peak, over its own uncertainty by the noise, and gain of the fit (F ratio) from which
#: a peak counts.
LEAST_HEIGHT, LEAST_SIGMAS, LEAST_GAIN = 0.03, 7.0, 8.0
#: Part of the range of Q, next to Qmax, where far out in r nearly all is noise.
NOISE_BAND = (0.8, 0.98)
#: Terms of the background that are advised.
ADVISED_TERMS = 4
#: Share of the data from which a background is worth a word, and from which it takes what tells the size.
NOTABLE_SHARE, LARGE_SHARE = 0.03, 0.25


@dataclass(frozen=True)
class LigandPeak:
    """A peak that no pair of metal atoms makes.

    Attributes:
        position: In Å.
        height: Relative to the first metal-metal peak.
        sigmas: Height over its uncertainty by the noise.
        gain: F ratio of the fit with it and without.
        rmin: Where G(r) is lowest between it and the first metal-metal peak, in Å: a fit may begin there.
    """

    position: float
    height: float
    sigmas: float
    gain: float
    rmin: float

    @property
    def certain(self) -> bool:
        """Whether it is neither noise nor a ripple."""
        return self.height >= LEAST_HEIGHT and self.sigmas >= LEAST_SIGMAS and self.gain >= LEAST_GAIN


def strongest_ligand_peak(pdf: Pdf, dnn: float) -> LigandPeak | None:
    """The peak below the first metal-metal distance that explains most of the data there.

    The model without it is a parabola for the baseline, pairs of metal atoms of the first shell with the ripples that
    the finite Qmax gives them, and one ripple of frequency Qmax for all other shells.

    Args:
        pdf: The data.
        dnn: Nearest-neighbour distance of the metal in Å.

    Returns:
        The peak, however small; None where the data begin too late to tell, or nothing is left to explain.
    """
    end = END_SHARE * dnn
    stride = max(1, int(np.pi / pdf.instrument.qmax / 3 / np.median(np.diff(pdf.r))))
    inside = (pdf.r >= START) & (pdf.r <= end)
    r, g = pdf.r[inside][::stride], pdf.g[inside][::stride]
    places = np.arange(SHORTEST, LONGEST_SHARE * dnn, LIGAND_STEP)
    if len(r) < 10 or r[0] > LONGEST_SHARE * dnn - LEAST_WINDOW or g.max() <= 0:
        return None
    first = float(g.max())
    x = (r - r[0]) / (r[-1] - r[0])
    phase = pdf.instrument.qmax * r
    free = np.stack([np.ones_like(x), x, x**2, np.sin(phase), np.cos(phase)], axis=1)
    shell = _peaks(r, np.arange(FIRST_SHELL[0] * dnn, FIRST_SHELL[1] * dnn, SHELL_STEP), pdf.instrument, NARROW)
    # Non-negative least squares: what is free in sign has a column for each.
    bare = np.hstack([shell, free, -free])
    ligand = _peaks(r, places, pdf.instrument, LIGAND_UISO)
    target = g / first
    amounts, without = nnls(bare, target)
    fits = [nnls(np.column_stack([bare, column]), target) for column in ligand.T]
    best = int(np.argmin([left for _, left in fits]))
    (*_, height), left = fits[best]
    if height == 0 or left == 0:
        return None
    n_eff = pdf.instrument.qmax * (r[-1] - r[0]) / np.pi
    spare = max(n_eff - np.count_nonzero(amounts) - 2, 2.0)
    used = np.column_stack([ligand[:, best], free, shell[:, amounts[: shell.shape[1]] > 0]])
    # Of the points as many are independent as Qmax leaves: their noise adds up over the others.
    spread = np.sqrt(np.linalg.pinv(used.T @ used)[0, 0] * len(r) / n_eff) * _noise(pdf) / first
    between = (pdf.r > places[best]) & (pdf.r < dnn)
    return LigandPeak(
        position=float(places[best]),
        height=float(height),
        sigmas=float(height / max(spread, 1e-9)),
        gain=float((without**2 - left**2) / (left**2 / spare)),
        rmin=float(pdf.r[between][np.argmin(pdf.g[between])]),
    )


def _peaks(r: FloatArray, distances: FloatArray, instrument: Instrument, uiso: float) -> FloatArray:
    """(n_r, n) what a pair at each distance (n,) in Å adds to G(r), its highest point 1."""
    span = instrument.qmax - instrument.qmin
    n_q = int(np.ceil(span * (r[-1] + distances[-1] + 2) / np.pi))
    q = instrument.qmin + span * (np.arange(n_q) + 0.5) / n_q
    waves = np.sin(np.outer(r, q)) * np.exp(-uiso * q**2) @ np.sin(np.outer(q, distances))
    return np.asarray(waves / waves.max(axis=0))


def _noise(pdf: Pdf) -> float:
    """Standard deviation of the noise of G(r) in Å⁻²: white in F(Q), it shows next to Qmax in the far half of r."""
    far = pdf.r >= 0.5 * (pdf.r[0] + pdf.r[-1])
    r, qmax = pdf.r[far], pdf.instrument.qmax
    length = float(r[-1] - r[0])
    window = np.hanning(len(r))
    q = qmax * np.linspace(*NOISE_BAND, max(8, int((NOISE_BAND[1] - NOISE_BAND[0]) * qmax * length / np.pi)))
    power = np.abs(np.exp(-1j * np.outer(q, r)) @ (pdf.g[far] * window)) ** 2
    per_point = np.sum(window**2) * np.pi / (qmax * length / (len(r) - 1))
    return float(np.sqrt(np.mean(power) / per_point))


def ligand_advice(pdf: Pdf, dnn: float) -> str | None:
    """One line where ligands or an oxide show and the fit begins below them, else None."""
    peak = strongest_ligand_peak(pdf, dnn)
    if peak is None or not peak.certain or float(pdf.settings["rmin"].value) > peak.position:
        return None
    qmin, rmax = pdf.instrument.qmin, float(pdf.settings["rmax"].value)
    terms = min(ADVISED_TERMS, most_terms(qmin, rmax))
    smooth = f", and if a smooth misfit is left, add --background {terms}" if terms and not pdf.n_background else ""
    return (
        f"a peak at {peak.position:.2f} Å ({peak.height:.0%} of the first metal-metal peak at {dnn:.2f} Å) is not of "
        f"the metal but of ligands or an oxide (C-C 1.4, metal-O 2.0, metal-S 2.3 Å): fit from --rmin {peak.rmin:.2f}"
        f"{smooth}"
    )


def background_note(pdf: Pdf, fit: Fit) -> str | None:
    """One line on how large the background of the best fit is, where it is worth a word."""
    if fit.background is None or fit.background_share < NOTABLE_SHARE:
        return None
    q = background_q(pdf.n_background, pdf.instrument.qmin, float(pdf.settings["rmax"].value))
    doubt = (
        ": it takes a large share of what tells the size; try fewer terms, or a larger --rmin"
        if fit.background_share > LARGE_SHARE
        else ""
    )
    return (
        f"the smooth background of {len(q)} term{'s' * (len(q) > 1)} (Q {q[0]:.2f} to {q[-1]:.2f} Å⁻¹) is "
        f"{fit.background_share:.0%} of the data in the best candidate{doubt}"
    )
