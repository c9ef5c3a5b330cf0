"""Qdamp and Qbroad of an instrument, from the G(r) of a bulk crystal of one element.

A bulk standard has no size, so what lowers and widens its peaks with r is the instrument: Qdamp lowers them all, Qbroad
widens them with distance. On a nanoparticle its end would be taken for Qdamp.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cbldm.data.instrument_files import instrument_text
from cbldm.data.pdf_settings import header_mixture, require_element
from cbldm.data.standards import reference_lattice
from cbldm.errors import InputError
from cbldm.optimize import levenberg_marquardt
from cbldm.physics.crystal import CrystalBand, LatticeName, crystal_gr
from cbldm.refine import BOUNDS
from cbldm.target import fit_range, independent_points, thinned_range
from cbldm.types import Fit, FloatArray, Instrument, Pdf, Setting

#: The range ends here, in Å, unless an option says otherwise. Most of what tells Qdamp lies below 2/Qdamp, which for
#: the usual 0.03 to 0.06 Å⁻¹ is 33 to 67 Å; beyond, the fit is slower and hardly better.
LONGEST_RANGE = 60.0
#: The range must reach this r, in Å: up to there a Qdamp of 0.03 takes 16 % from G(r), up to 10 Å only 4 %.
SHORTEST_END = 20.0
#: A worse fit is not of this crystal.
WORST_RW = 0.3
#: A fit worse than this is worth a warning: good standards reach 0.05 to 0.1.
ROUGH_RW = 0.15
#: Qdamp counts as known if its standard uncertainty is below this share of it, or if the damping at `REFERENCE_R`, in
#: Å, is known within that share: an instrument without damping has a Qdamp of 0.
KNOWN_SHARE, REFERENCE_R = 0.2, 30.0
#: The size of crystallites matters if it betters the fit by this many standard deviations (by the likelihood ratio) and
#: takes `KNOWN_SHARE` of Qdamp; the sample is refused if it also lowers the sum of squares to this share. A good nickel
#: standard, fitted with Rw 0.025, seems to have crystallites of 190 Å: no resolution is quite a Gaussian.
SIZE_SIGMAS, SIZE_SHARE = 4.0, 0.5
#: Instruments for PDF have a Qdamp below this, in Å⁻¹.
USUAL_QDAMP = 0.08
#: Independent values that the fit must have beyond its parameters.
SPARE_POINTS = 10
#: Lattice constants are searched up to this share from those of ASE, in steps, on r up to an end in Å where they still
#: lead to the right minimum; c/a of hcp likewise, but nearer.
SCAN_SHARE, SCAN_STEPS, SCAN_END = 0.04, 17, 15.0
SCAN_RATIOS = (0.97, 0.985, 1.0, 1.015, 1.03)
#: How far a lattice constant may go in the fit, as a share of that of ASE.
FREEDOM = 0.05
#: A lattice constant this far from that of ASE, as a share, is worth a warning: an alloy, or r in a wrong unit.
ODD_LATTICE = 0.015
#: Qdamp and Qbroad enter G(r) by their squares, in Å⁻². The squares are fitted: at 0 the slope of the roots vanishes.
SQUARED: tuple[str, str] = ("qdamp", "qbroad")
#: Highest Qbroad in Å⁻¹.
QBROAD_HIGHEST = 0.1
#: Finite-difference step of each fitted value: Å², Å², Å⁻² for the squares, Å⁻¹. That of a and c is a share.
STEPS = {"a": 5e-5, "c": 5e-5, "uiso": 2e-5, "delta2": 0.02, "qdamp": 1e-5, "qbroad": 1e-6, "inverse_size": 1e-5}
#: Most steps of the fit.
MAX_ITERATIONS = 40
#: Allowed and first values of what is no lattice constant, in the unit of `STEPS`.
_LIMITS = {
    "uiso": BOUNDS["uiso"], "delta2": BOUNDS["delta2"], "qdamp": (0.0, BOUNDS["qdamp"][1] ** 2),
    "qbroad": (0.0, QBROAD_HIGHEST**2), "inverse_size": (0.0, 0.1),
}  # fmt: skip
_START = {"uiso": 0.006, "delta2": 1.0, "qdamp": 0.03**2, "qbroad": 0.01**2}


@dataclass(frozen=True)
class Calibration:
    """What the fit of a bulk standard says of the instrument.

    Attributes:
        pdf: The data; its settings ``rmin`` and ``rmax`` are the range that was fitted.
        lattice: The lattice.
        values: ``qdamp`` (Å⁻¹), ``qbroad`` (Å⁻¹), ``a`` (Å), ``c`` (Å, hcp only), ``uiso`` (Å²), ``delta2`` (Å²),
            ``scale``.
        uncertainties: Their standard uncertainties; none for a value that was fixed or ended at its bound.
        correlation: Between Qdamp and Qbroad; None where one of them was not free.
        fit: The curves on every data point of the range.
        warnings: One line for each thing that a careful user should know.
    """

    pdf: Pdf
    lattice: LatticeName
    values: Mapping[str, float]
    uncertainties: Mapping[str, float]
    correlation: float | None
    fit: Fit
    warnings: tuple[str, ...]

    def text(self) -> str:
        """The instrument file, as `cbldm.data.instrument_files.read_instrument` reads it."""
        settings = self.pdf.settings
        standard: dict[str, Any] = {
            "file": self.pdf.file, "sha256": self.pdf.sha256, "element": self.pdf.element, "lattice": self.lattice,
        }  # fmt: skip
        standard |= {name: _rounded(value) for name, value in self.values.items() if name not in SQUARED}
        standard |= {name: settings[name].value for name in ("qmin", "qmax", "rmin", "rmax")}
        standard["rw"] = _rounded(self.fit.rw)
        if self.correlation is not None:
            standard["correlation_qdamp_qbroad"] = round(self.correlation, 3)
        standard["cbldm_version"] = version("cbldm")
        standard["uncertainties"] = {name: float(f"{value:.2g}") for name, value in self.uncertainties.items()}
        return instrument_text(_rounded(self.values["qdamp"]), _rounded(self.values["qbroad"]), standard)


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


def calibrate(pdf: Pdf, lattice: str | None = None) -> Calibration:
    """Fit the G(r) of a bulk crystal: lattice constants, scale, Uiso, delta2, Qdamp and Qbroad by least squares.

    The uncertainties count π/Qmax of r as one independent value and take all of the misfit for noise. A Qbroad that is
    not larger than its uncertainty (of the squares, which G(r) depends on) is fixed at 0 and the rest fitted again.

    Args:
        pdf: The standard. Where its ``rmax`` is no option, the range goes on to the end of the data, at most
            `LONGEST_RANGE`. Its Qdamp and Qbroad are not used.
        lattice: ``fcc``, ``bcc``, ``hcp`` or ``diamond``; that of the element where None.

    Raises:
        InputError: Element or lattice cannot be a standard, the range is too short, or the crystal does not fit.
    """
    element = require_element(pdf)
    mixture = header_mixture(pdf)
    if mixture is not None and pdf.settings["element"].source != "option":
        raise InputError(
            f"the header says {mixture}, but a standard must be a crystal of one element: measure one, as Ni, or give "
            "--element if the header is wrong"
        )
    name, a, c = reference_lattice(element, lattice)
    pdf = _whole_range(pdf)
    warnings = list(pdf.warnings)
    if mixture is not None:
        warnings.append(f"the header says {mixture}; the standard was taken for pure {element}, as asked")
    problem = _Problem(pdf, name, a, c)
    names = list(problem.names)
    found = problem.minimum(problem.first_values(), names)
    _refuse_misfit(pdf, name, problem.fit(found)[0].rw)
    spread = problem.uncertainty("qbroad", found)
    if found["qbroad"] <= spread:
        highest = math.sqrt(found["qbroad"] + 2 * spread)
        warnings.append(f"qbroad is not determined by these data and was fixed at 0; it is below {highest:.2g} Å⁻¹")
        names.remove("qbroad")
        found = problem.minimum({**found, "qbroad": 0.0}, names)
    fit, scale = problem.fit(found)
    free = [key for key in names if not problem.at_bound(key, found[key])]
    qdamp_spread = problem.uncertainty("qdamp", found, free)
    _refuse_unknown_qdamp(pdf, found["qdamp"], qdamp_spread)
    warnings += problem.doubts(found, names, fit.rw, qdamp_spread)
    warnings += problem.size_seen(found, free)
    covariance = problem.covariance(found, free)
    uncertainties = {key: math.sqrt(covariance[key, key]) for key in (*free, "scale")}
    correlation = None
    if set(SQUARED) <= set(free):
        correlation = covariance[SQUARED] / (uncertainties["qdamp"] * uncertainties["qbroad"])
    values = {**found, "scale": scale}
    for key in SQUARED:
        values[key] = math.sqrt(found[key])
        if key in uncertainties:
            uncertainties[key] /= 2 * values[key]
    order = [key for key in ("qdamp", "qbroad", "a", "c", "uiso", "delta2", "scale") if key in values]
    return Calibration(
        pdf=pdf,
        lattice=name,
        values={key: values[key] for key in order},
        uncertainties={key: uncertainties[key] for key in order if key in uncertainties},
        correlation=correlation,
        fit=fit,
        warnings=tuple(warnings),
    )


def _whole_range(pdf: Pdf) -> Pdf:
    """The data with the range of a bulk standard, which goes further than that of a particle.

    Raises:
        InputError: The range is too short.
    """
    rmax = pdf.settings["rmax"]
    if rmax.source != "option":
        end = float(pdf.r[-1])
        rmax = Setting(LONGEST_RANGE, "default") if end > LONGEST_RANGE else Setting(end, "data", "the data end here")
        pdf = replace(pdf, settings={**pdf.settings, "rmax": rmax})
    if rmax.value < SHORTEST_END:
        raise InputError(
            f"the range ends at {rmax.value:g} Å, where Qdamp cannot be told from the scale: a standard needs G(r) to "
            f"at least {SHORTEST_END:g} Å, better {LONGEST_RANGE:g} Å; reduce the data again with a larger rmax"
        )
    n_parameters = len(_START) + 3
    if independent_points(pdf) < n_parameters + SPARE_POINTS:
        raise InputError(
            f"the range {pdf.settings['rmin'].value:g} to {rmax.value:g} Å holds {independent_points(pdf):.0f} "
            f"independent values (π/Qmax each); at least {n_parameters + SPARE_POINTS} are needed to tell Qdamp"
        )
    return pdf


def _refuse_misfit(pdf: Pdf, lattice: str, rw: float) -> None:
    if not rw <= WORST_RW:
        raise InputError(
            f"bulk {lattice} {pdf.element} does not fit (Rw {rw:.2f}, above {WORST_RW:g}): this is no bulk crystal of "
            f"that element and lattice, or Qmax {pdf.instrument.qmax:g} Å⁻¹ or the unit of r is wrong; a nanoparticle "
            "is no standard"
        )


def _refuse_unknown_qdamp(pdf: Pdf, square: float, uncertainty: float) -> None:
    """Raise unless Qdamp is known, given its square and the uncertainty of that, in Å⁻²."""
    if uncertainty > max(2 * KNOWN_SHARE * square, KNOWN_SHARE * 2 / REFERENCE_R**2):
        raise InputError(
            f"the range to {pdf.settings['rmax'].value:g} Å does not tell Qdamp ({math.sqrt(square):.3f} Å⁻¹, with "
            f"2σ below {math.sqrt(square + 2 * uncertainty):.3f}): G(r) is needed to a larger r, about 2/Qdamp, or "
            "with less noise"
        )


class _Problem:
    """The data, the crystal, and what is free."""

    def __init__(self, pdf: Pdf, lattice: LatticeName, a: float, c: float) -> None:
        self.pdf = pdf
        self.lattice = lattice
        self.start = {"a": a} | ({"c": c} if lattice == "hcp" else {}) | _START
        self.names = list(self.start)
        self.limits: dict[str, tuple[float, float]] = dict(_LIMITS)
        self.steps = dict(STEPS)
        for name in {"a", "c"} & set(self.names):
            self.limits[name] = ((1 - FREEDOM) * self.start[name], (1 + FREEDOM) * self.start[name])
            self.steps[name] *= self.start[name]
        self.r, self.g = thinned_range(pdf)
        self.converged = True
        near = self.r <= max(SCAN_END, float(pdf.settings["rmin"].value) + 5.0)
        self._near = _Curve(self, self.r[near], self.g[near])
        self._far = _Curve(self, self.r, self.g)

    def first_values(self) -> dict[str, float]:
        """Lattice constants that fit the near part best, by a scan and then least squares."""
        best, least = dict(self.start), math.inf
        for share in np.linspace(1 - SCAN_SHARE, 1 + SCAN_SHARE, SCAN_STEPS):
            for ratio in SCAN_RATIOS if "c" in self.start else (1.0,):
                trial = self.start | {"a": share * self.start["a"]}
                if "c" in trial:
                    trial["c"] = float(np.clip(share * ratio * trial["c"], *self.limits["c"]))
                misfit = self._near.misfit(trial)
                if misfit < least:
                    best, least = trial, misfit
        return self._minimum(self._near, best, [name for name in self.names if name not in (*SQUARED, "delta2")])

    def minimum(self, values: Mapping[str, float], names: Sequence[str]) -> dict[str, float]:
        """Least squares on the whole range; what is not named stays."""
        return self._minimum(self._far, values, names)

    def _minimum(self, curve: _Curve, values: Mapping[str, float], names: Sequence[str]) -> dict[str, float]:
        def curves(rows: Tensor, trials: Tensor) -> Tensor:
            return torch.from_numpy(np.stack([
                curve({**values, **dict(zip(names, row, strict=True))}) for row in trials.tolist()
            ]))  # fmt: skip

        start, low, high, step = (
            torch.tensor(row, dtype=torch.float64)
            for row in (
                [values[name] for name in names],
                [self.limits[name][0] for name in names],
                [self.limits[name][1] for name in names],
                [self.steps[name] for name in names],
            )
        )
        observed = torch.from_numpy(curve.g)
        found, converged = levenberg_marquardt(curves, observed, start[None], low, high, step, MAX_ITERATIONS)
        self.converged = bool(converged[0])
        return {**values, **dict(zip(names, found[0].tolist(), strict=True))}

    def at_bound(self, name: str, value: float) -> bool:
        """Whether a value ended at one of its bounds."""
        low, high = self.limits[name]
        return value <= low or value >= high

    def covariance(self, values: Mapping[str, float], names: Sequence[str]) -> dict[tuple[str, str], float]:
        """Of the named values and the scale, each pair by name.

        Neighbouring points of a curve that is limited to Qmax are correlated: they count as `independent_points`.
        """
        model = self._far(values)
        scale = float(model @ self.g / (model @ model))
        columns = [model]
        for name in names:
            step = self.steps[name]
            # At a lower bound, as 0 for the squares, the step goes up only.
            back = step if values[name] - step >= self.limits[name][0] else 0.0
            ahead, behind = ({**values, name: values[name] + change} for change in (step, -back))
            columns.append(scale * (self._far(ahead) - self._far(behind)) / (step + back))
        jacobian = np.stack(columns, axis=1)
        misfit = float(np.sum((self.g - scale * model) ** 2))
        n_points = min(independent_points(self.pdf), len(self.r))
        inflation = len(self.r) / n_points
        noise = misfit / len(self.r) * n_points / (n_points - len(columns))
        size = np.linalg.norm(jacobian, axis=0)
        inverse = np.linalg.inv((jacobian / size).T @ (jacobian / size)) / np.outer(size, size)
        labels = ["scale", *names]
        return {
            (one, two): float(noise * inflation * inverse[i, j])
            for i, one in enumerate(labels)
            for j, two in enumerate(labels)
        }

    def uncertainty(self, name: str, values: Mapping[str, float], names: Sequence[str] | None = None) -> float:
        """Standard uncertainty of one value where it is free beside those that are named, else beside all."""
        free = [key for key in (self.names if names is None else names) if key != name]
        return math.sqrt(self.covariance(values, [*free, name])[name, name])

    def fit(self, values: Mapping[str, float]) -> tuple[Fit, float]:
        """The curves on every data point of the range, and the scale."""
        r, observed = fit_range(self.pdf)
        given = self.pdf.instrument
        instrument = Instrument(given.qmin, given.qmax, math.sqrt(values["qdamp"]), math.sqrt(values["qbroad"]))
        model = crystal_gr(
            r, self.lattice, values["a"], instrument, values["uiso"], c=values.get("c"), delta2=values["delta2"]
        )
        scale = max(0.0, float(model @ observed / (model @ model)))
        return Fit(r, observed, scale * model), scale

    def size_seen(self, values: Mapping[str, float], free: Sequence[str]) -> list[str]:
        """A warning where the end of a particle explains the data better than damping alone.

        Raises:
            InputError: It does so by so much that this is no bulk sample.
        """
        sized = self.minimum({**values, "inverse_size": 1e-3}, [*free, "inverse_size"])
        bulk, particle = self._far.misfit(values), self._far.misfit(sized)
        size = 1 / max(sized["inverse_size"], 1e-6)
        n_points = min(independent_points(self.pdf), len(self.r))
        mistaken = math.sqrt(sized["qdamp"]) < (1 - KNOWN_SHARE) * math.sqrt(values["qdamp"])
        if not mistaken or n_points * math.log(bulk / particle) < SIZE_SIGMAS**2:
            return []
        with_size = f"crystallites of about {size:.3g} Å explain the data better (Rw {math.sqrt(particle):.3f} against "
        with_size += f"{math.sqrt(bulk):.3f}, with qdamp {math.sqrt(sized['qdamp']):.4f} Å⁻¹)"
        if particle < SIZE_SHARE * bulk:
            raise InputError(f"{with_size}: this sample is no bulk standard, its size would be taken for Qdamp")
        return [f"{with_size}: qdamp may be too high; a well annealed standard is better"]

    def doubts(
        self, values: Mapping[str, float], names: Sequence[str], rw: float, qdamp_uncertainty: float
    ) -> list[str]:
        """What a careful user should know of the fit; the uncertainty is that of Qdamp², in Å⁻²."""
        doubts = []
        if not self.converged:
            doubts.append("the fit had not converged at its last step: take the values with care")
        if rw > ROUGH_RW:
            doubts.append(f"the crystal fits only roughly (Rw {rw:.2f}): the uncertainties may be too small")
        for name in sorted({"a", "c"} & set(self.start)):
            change = values[name] / self.start[name] - 1
            if abs(change) > ODD_LATTICE:
                doubts.append(f"{name} is {change:+.1%} from the usual {self.start[name]:.2f} Å: check sample and r")
        if self.at_bound("qdamp", values["qdamp"]):
            highest = math.sqrt(values["qdamp"] + 2 * qdamp_uncertainty)
            doubts.append(
                f"qdamp is at its bound, {math.sqrt(values['qdamp']):g} Å⁻¹; it may be up to {highest:.2g} Å⁻¹"
            )
        if values["qdamp"] > USUAL_QDAMP**2:
            doubts.append(
                f"qdamp is above {USUAL_QDAMP:g} Å⁻¹, more than instruments have: small crystallites look like that"
            )
        for name in names:
            if name != "qdamp" and self.at_bound(name, values[name]):
                bound = math.sqrt(values[name]) if name in SQUARED else values[name]
                doubts.append(f"{name} is at its bound, {bound:.4g}: take the fit with care")
        return doubts


class _Curve:
    """G(r) of the crystal at scale 1 on one set of points, many times over."""

    def __init__(self, problem: _Problem, r: FloatArray, g: FloatArray) -> None:
        low = problem.limits
        instrument = problem.pdf.instrument
        self.band = CrystalBand(
            problem.lattice, float(r[-1]), instrument.qmin, instrument.qmax,
            smallest_a=low["a"][0], smallest_c=low["c" if "c" in low else "a"][0],
        )  # fmt: skip
        self.r, self.g = r, g
        self._sines = 2 / np.pi * np.sin(np.multiply.outer(r, self.band.q))

    def __call__(self, values: Mapping[str, float]) -> FloatArray:
        """(n_r,) in Å⁻²; ``qdamp`` and ``qbroad`` are squares, in Å⁻².

        An ``inverse_size`` in Å⁻¹ adds the envelope of a sphere, the share of its volume that overlaps when it is
        shifted by r.
        """
        fq = self.band.weighted_fq(
            values["a"], values.get("c", values["a"]), values["uiso"], delta2=values["delta2"],
            qbroad=math.sqrt(values["qbroad"]),
        )  # fmt: skip
        share = np.minimum(values.get("inverse_size", 0.0) * self.r, 1.0)
        envelope = np.exp(-0.5 * values["qdamp"] * self.r**2) * (1 - 1.5 * share + 0.5 * share**3)
        return envelope * (self._sines @ fq)

    def misfit(self, values: Mapping[str, float]) -> float:
        """Rw² at the best scale."""
        model = self(values)
        overlap = max(0.0, float(model @ self.g))
        return 1 - overlap**2 / float(model @ model) / float(self.g @ self.g)
