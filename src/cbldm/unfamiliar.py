"""Signs that a sample is not what the solver is made for: one cluster of one element, as the settings say.

Some are in the data alone, others in how the best candidate fits them. What a candidate leaves unexplained is compared
with noise where peaks are weakest, in the upper quarter of the Q range: thermal motion damps there what structure adds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.fft import next_fast_len, rfft, rfftfreq
from scipy.spatial import cKDTree

from cbldm.first_peak import LONGEST, SHORTEST, expected_dnn
from cbldm.physics.spheres import Spheres, fit_spheres
from cbldm.types import Candidate, Flag, FloatArray, Pdf

#: A first peak this far from the element's own distance, as a share of it, is odd.
ODD_DNN = 0.06
#: Highest maximum beyond the first shell over that within it, from which r cannot be in Å.
EMPTY_FIRST_SHELL = 4.0
#: Share of r at its end, and strength of G there over that near the origin, without Qdamp, from which it is a crystal.
FAR, NEAR, LONG_RANGE = 0.75, 0.4, 0.5
#: That is judged up to the first of these over Qdamp, where the resolution leaves a third of G; where that is beyond
#: the second, in Å, since large particles fade slowly too; where the near part is as long as the third, in Å; and where
#: more than the fourth of its power is signal.
RESOLVED, LONG_ENOUGH, NEAR_ENOUGH, SIGNAL = 1.5, 20.0, 3.0, 0.1
#: Share of the power of G above Qmax that is too much, and where above begins and ends over Qmax.
POWER_ABOVE, ABOVE = 0.02, (1.1, 1.4)
#: Where noise is read, over Qmax.
NOISE_BAND = (0.75, 0.98)
#: Rw beyond noise that no single structure should leave, and Rw that is poor whatever the noise.
EXCESS, POOR = 0.08, 0.35
#: Squared Rw over noise from which it is not chance: noise is read from some fifty points.
BY_CHANCE = 1.6
#: Uiso in Å² that no metal near room temperature has, and spread of the three shortest distances of an atom, over their
#: median, that no compact cluster has.
BROAD, LOOSE = 0.018, 0.2
#: Distance up to which atoms are bonded, and spread of bond lengths below which a cluster is ideal, however open: both
#: over the median bond.
BONDED, EVEN = 1.3, 0.03
#: Uiso in Å² that no metal has, not even for zero-point motion; fits cannot go below half of it.
SHARP = 0.001
#: Atoms of the smallest structure that any source knows.
FEWEST = 5
#: Spheres of many sizes fit as well where their Rw beyond the best candidate's is below this; narrower spreads of
#: ln(radius) are one size.
AS_WELL, SPREAD = 0.03, 0.15
#: Share of the largest size of a source from which a particle may be larger.
NEAR_LIMIT = 0.97
#: Points per independent one that spheres are fitted to.
OVERSAMPLING = 2.0
#: Points of a Fourier transform over those of the data.
PADDING = 4


class SizeLimit(NamedTuple):
    """The largest particle that a source knows.

    Attributes:
        name: Of the source, for people.
        n_atoms: Its largest atom count.
        advice: What else the user can do, as the end of a sentence.
    """

    name: str
    n_atoms: int
    advice: str = ""


def flags_of_data(pdf: Pdf, dnn: float) -> list[Flag]:
    """What the data alone say.

    Args:
        pdf: With an element.
        dnn: First peak in Å.
    """
    found = [_unit_of_r(pdf), _element(pdf, dnn), _long_range(pdf), _qmax(pdf)]
    return [flag for flag in found if flag is not None]


def flags_of_fits(pdf: Pdf, candidates: Sequence[Candidate], limit: SizeLimit) -> list[Flag]:
    """What the best candidate and its fit say.

    Args:
        pdf: What was fitted.
        candidates: Ranked, best first; that there is none is a flag of its own.
        limit: Of the source that they are from.
    """
    if not candidates:
        text = (
            "no sound structure was found: see the rejected counts, and try other options; or the sample is no compact "
            "cluster of one element"
        )
        return [Flag("no structure", text, 0, 1)]
    best = candidates[0]
    found = [_misfit(pdf, best), _broad(best), _sharp(best), _loose(best)]
    # What one structure does not explain is no average of many.
    found = [*(found if any(found) else [_sizes(pdf, best)]), _size(best, limit), _small(best)]
    return [flag for flag in found if flag is not None]


def noise_of(pdf: Pdf, r: FloatArray, difference: FloatArray) -> float:
    """Root mean square of the noise in a difference curve, as the upper quarter of its Q range tells.

    Args:
        pdf: For Qmax.
        r: (n,) in Å.
        difference: (n,) in Å⁻².
    """
    q, power = _spectrum(r, difference)
    of_qmax = q / pdf.instrument.qmax
    band = (of_qmax > NOISE_BAND[0]) & (of_qmax < NOISE_BAND[1])
    if not band.any():
        return 0.0  # on so coarse a grid nothing tells noise from structure
    share = min(1.0, float(power[band].mean() / max(power[of_qmax < 1].mean(), 1e-300)))
    return float(np.sqrt(share * np.mean(difference**2)))


def _spectrum(r: FloatArray, g: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Q in Å⁻¹ and the power of the Fourier transform of g there, (n_q,) each; uneven steps are made even."""
    step = float(np.median(np.diff(r)))
    even = np.arange(r[0], r[-1], step)
    n = next_fast_len(PADDING * len(even), real=True)
    power = np.abs(rfft(np.interp(even, r, g), n)) ** 2
    return 2 * np.pi * rfftfreq(n, step), np.asarray(power)


def _above(kind: str, value: float, limit: float, text: str) -> Flag | None:
    """A flag where the value is above its limit."""
    return Flag(kind, text, value, limit) if value > limit else None


def _unit_of_r(pdf: Pdf) -> Flag | None:
    shell, beyond = (pdf.r > SHORTEST) & (pdf.r < LONGEST), pdf.r >= LONGEST
    top = pdf.r[beyond][np.argmax(pdf.g[beyond])]
    ratio = float(pdf.g[beyond].max() / max(pdf.g[shell].max(), 1e-300))
    text = (
        f"G(r) is highest at {top:.1f} Å and has next to nothing from {SHORTEST:g} to {LONGEST:g} Å, where metal "
        "neighbours are: check the unit of r"
    )
    return _above("unit of r", ratio, EMPTY_FIRST_SHELL, text)


def _element(pdf: Pdf, dnn: float) -> Flag | None:
    expected = expected_dnn(str(pdf.element))
    if expected is None:
        return None
    text = (
        f"the first peak is at {dnn:.2f} Å, but neighbours in bulk {pdf.element} are {expected:.2f} Å apart: "
        "check the element and the unit of r, or it is a compound, which is not modelled"
    )
    return _above("element", abs(dnn / expected - 1), ODD_DNN, text)


def _long_range(pdf: Pdf) -> Flag | None:
    """Peaks as strong at the end of r as near the origin, once the resolution's damping is undone."""
    end = min(float(pdf.r[-1]), RESOLVED / max(pdf.instrument.qdamp, 1e-9))
    start = float(pdf.settings["rmin"].value)
    if end < LONG_ENOUGH or NEAR * end - start < NEAR_ENOUGH:
        return None
    strengths: list[float] = []
    for low, high in ((start, NEAR * end), (FAR * end, end)):
        part = (pdf.r >= low) & (pdf.r <= high)
        r, g = pdf.r[part], pdf.g[part]
        power = float(np.mean(g**2))
        signal = max(0.0, power - noise_of(pdf, r, g) ** 2)
        if not strengths and signal <= SIGNAL * power:
            return None
        strengths.append(math.sqrt(signal / float(np.mean(np.exp(-((pdf.instrument.qdamp * r) ** 2))))))
    ratio = strengths[1] / strengths[0]
    text = (
        f"peaks from {FAR * end:.0f} to {end:.0f} Å are {100 * ratio:.0f} % as strong as those near: a bulk crystal, "
        "or grains far larger than any candidate; refine a crystal, or remove the bulk from the sample"
    )
    return _above("long-range order", ratio, LONG_RANGE, text)


def _qmax(pdf: Pdf) -> Flag | None:
    qmax = pdf.instrument.qmax
    inside = pdf.r >= float(pdf.settings["rmin"].value)
    q, power = _spectrum(pdf.r[inside], pdf.g[inside])
    share = float(power[(q > ABOVE[0] * qmax) & (q < ABOVE[1] * qmax)].sum() / max(power.sum(), 1e-300))
    text = (
        f"{100 * share:.0f} % of the power of G(r) is above the stated Qmax of {qmax:g} Å⁻¹: check Qmax, or whether "
        "the curve is an interpolated or unsmoothed one"
    )
    return _above("qmax", share, POWER_ABOVE, text)


def _misfit(pdf: Pdf, best: Candidate) -> Flag | None:
    fit = best.fit
    noise = noise_of(pdf, fit.r, fit.difference) / float(np.sqrt(np.mean(fit.observed**2)))
    excess = math.sqrt(max(0.0, fit.rw**2 - noise**2))
    beyond_noise = excess > EXCESS and fit.rw**2 > BY_CHANCE * noise**2
    if not beyond_noise and fit.rw <= POOR:
        return None
    text = (
        f"the best candidate leaves more than noise explains (Rw {fit.rw:.2f}, noise about {noise:.2f}): there may be "
        "a second phase or element, ligands, or little order; look where the curves differ, and be wary of all "
        "candidates"
    )
    return Flag("misfit", text, excess, EXCESS)


def _broad(best: Candidate) -> Flag | None:
    uiso = best.parameters["uiso"]
    text = (
        f"peaks are as broad as Uiso {uiso:.3f} Å² makes them, more than thermal motion does (metals have 0.003 to "
        "0.012): a cluster with little order, or several phases; measure it cold, and be wary of all candidates"
    )
    return _above("disorder", uiso, BROAD, text)


def _sharp(best: Candidate) -> Flag | None:
    uiso = best.parameters["uiso"]
    if uiso >= SHARP:
        return None
    text = (
        f"peaks are as sharp as Uiso {uiso:.4f} Å² makes them, and atoms of metals move more (0.003 to 0.012): check "
        "Qmax and the unit of r; was it simulated with atoms at rest, the atom count may be wrong"
    )
    return Flag("sharp peaks", text, uiso, SHARP)


def _loose(best: Candidate) -> Flag | None:
    shortest = _neighbours(best, 3)
    usual = np.median(shortest[:, 0])
    if np.std(shortest[shortest < BONDED * usual]) < EVEN * usual:
        return None
    spread = float(np.std(shortest) / usual)
    text = (
        f"the distances of neighbours in the best candidate are spread by {100 * spread:.0f} %: it was bent to the "
        "data and is no compact cluster; the sample may have little order, or several phases"
    )
    return _above("disorder", spread, LOOSE, text)


def _neighbours(best: Candidate, count: int) -> FloatArray:
    """(n_atoms, count) distances of each atom to its nearest ones, in Å."""
    positions = best.atoms.get_positions()
    return np.asarray(cKDTree(positions).query(positions, k=count + 1)[0][:, 1:])


def _sizes(pdf: Pdf, best: Candidate) -> Flag | None:
    """Whether spheres of many sizes explain the data as well as the best candidate."""
    step = math.pi / (OVERSAMPLING * pdf.instrument.qmax)
    stride = max(1, int(step / float(np.median(np.diff(best.fit.r)))))
    r, observed, difference = (a[::stride] for a in (best.fit.r, best.fit.observed, best.fit.difference))
    single = float(np.linalg.norm(difference) / np.linalg.norm(observed))
    dnn = float(np.median(_neighbours(best, 1)))
    spheres = fit_spheres(
        r, observed, pdf.instrument, dnn, best.parameters["uiso"], best.parameters["delta2"], worst=2 * single + 0.25
    )
    if spheres is None or spheres.spread < SPREAD:
        return None
    excess = math.sqrt(max(0.0, spheres.rw**2 - single**2))
    if excess >= AS_WELL:
        return None
    return Flag("size distribution", _sizes_text(spheres, single), excess, AS_WELL)


def _sizes_text(spheres: Spheres, single: float) -> str:
    return (
        f"{spheres.lattice} spheres of many sizes (about {spheres.diameter:.0f} Å, spread "
        f"{100 * spheres.spread:.0f} %) fit about as well as the best candidate (Rw {spheres.rw:.3f}, {single:.3f}): "
        "the sample may be a mixture of sizes, and the candidate its average; check the spread by microscopy or SAXS"
    )


def _size(best: Candidate, limit: SizeLimit) -> Flag | None:
    text = (
        f"the best candidate is near the {limit.name}'s limit of {limit.n_atoms} atoms: "
        f"the particle may be larger{limit.advice}"
    )
    return _above("size", best.n_atoms / limit.n_atoms, NEAR_LIMIT, text)


def _small(best: Candidate) -> Flag | None:
    if best.n_atoms > FEWEST:
        return None
    text = (
        f"the best candidate has {best.n_atoms} atoms, the fewest that any source knows: what was measured may be "
        "smaller, or no cluster at all"
    )
    return Flag("few atoms", text, best.n_atoms, FEWEST)
