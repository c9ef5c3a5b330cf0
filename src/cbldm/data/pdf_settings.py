"""The settings of a PDF, each with its origin: option beats instrument file beats header beats default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from cbldm.data.composition import NON_METALS, check_element, main_metal, parse_formula, write_formula
from cbldm.data.pdf_header import PdfHeader
from cbldm.errors import InputError
from cbldm.physics.background import HIGHEST_Q, most_terms
from cbldm.types import FloatArray, Pdf, Setting

#: Lowest Qmin, in Å⁻¹, that a measured G(r) can have: reduction removes the small-angle scattering below. On a platinum
#: file whose header says 0.1 the same model fits with Rw 0.61 at 0.1 and 0.13 at any Qmin from 0.6 to 1.2.
QMIN_FLOOR = 0.6
#: The range that is fitted by default, in Å. Published fits of metal nanoparticles often end at 20 Å; what lies beyond
#: says where the particle ends, which for ribbons nothing else does.
FIT_RANGE = (1.5, 30.0)
#: Fewest points in the fitted range.
MIN_FIT_POINTS = 20


#: How notes on the element begin that end in a formula.
_OF_COMPOSITION, _HEADER_SAYS = "of composition ", "header says "


@dataclass(frozen=True)
class _Rule:
    """What a setting may be, in Å⁻¹, and what it is when nobody says."""

    low: float
    high: float
    default: float | None
    note: str


_RULES = {
    "qmin": _Rule(0.0, 10.0, 0.7, "not in the header; lies above the small-angle region, which reduction removes"),
    "qmax": _Rule(3.0, 100.0, None, "not in the header"),
    "qdamp": _Rule(0.0, 0.5, 0.03, "not in the header; typical of a synchrotron area detector"),
    "qbroad": _Rule(0.0, 0.5, 0.0, "not in the header"),
}


def settle(
    element: str | None,
    options: Mapping[str, float | None],
    header: PdfHeader,
    r: FloatArray,
    where: str,
    *,
    measured: bool,
    instrument: Mapping[str, float] | None = None,
    instrument_note: str = "",
) -> tuple[dict[str, Setting], list[str]]:
    """Every setting of a PDF with its origin, and one line for each that a careful user should know of.

    A header's rmin and rmax are the grid of the data, and often wrong; the fitted range does not come from them.

    Args:
        element: Chemical symbol, or None for the header's.
        options: ``qmin qmax qdamp qbroad`` in Å⁻¹, ``rmin rmax`` of the fit in Å, ``background`` (number of its terms);
            None for the header's or the default.
        header: What the file says.
        r: (n,) the grid of the data in Å.
        where: Name of the data for messages.
        measured: Whether a reduction program made the data, so that a Qmin below `QMIN_FLOOR` cannot be true.
        instrument: What is known of the instrument, in Å⁻¹; empty where None.
        instrument_note: One clause on where that is known from.

    Raises:
        InputError: Qmax is unknown, or a value is out of its range.
    """
    warnings: list[str] = []
    settings = {"element": _element(element, header.composition, warnings)}
    if options["qmax"] is None and "qmax" not in header.numbers:
        question = ": give" if settings["element"].value else " and no element: give --element SYMBOL and"
        raise InputError(f"{where} names no Qmax{question} --qmax VALUE in Å⁻¹")
    known = instrument or {}
    settings |= {
        name: _instrument(name, options[name], known.get(name), header.numbers.get(name), instrument_note, where)
        for name in _RULES
    }
    if measured:
        settings["qmin"] = _believable_qmin(settings["qmin"], warnings)
    qmin, qmax = settings["qmin"].value, settings["qmax"].value
    if qmin >= qmax:
        raise InputError(f"qmin must be below qmax (got {qmin:g} and {qmax:g} Å⁻¹ for {where})")
    settings |= _fit_range(options["rmin"], options["rmax"], r, where)
    settings["background"] = _background(options.get("background"), qmin, settings["rmax"].value)
    return settings, warnings


def allowed_range(name: str) -> tuple[float, float]:
    """Lowest and highest value in Å⁻¹ of ``qmin``, ``qmax``, ``qdamp`` or ``qbroad``.

    >>> allowed_range("qdamp")
    (0.0, 0.5)
    """
    return _RULES[name].low, _RULES[name].high


def header_mixture(pdf: Pdf) -> str | None:
    """The formula in the header of a PDF where it names more than one element, else None."""
    for words in (_OF_COMPOSITION, _HEADER_SAYS):
        formula = pdf.settings["element"].note.removeprefix(words)
        if len(parse_formula(formula) or {}) > 1:
            return formula
    return None


def require_element(pdf: Pdf) -> str:
    """The element of a PDF.

    Raises:
        InputError: Neither header nor option named one.
    """
    if not pdf.element:
        name = repr(pdf.file) if pdf.file else "the PDF"
        raise InputError(f"{name} does not say which metal it is of: give --element SYMBOL, as --element Pt")
    return pdf.element


def require_metal(pdf: Pdf) -> str:
    """The element of a PDF, which must be one that metal particles are made of.

    Raises:
        InputError: Neither header nor option named one, or it is no metal.
    """
    symbol = require_element(pdf)
    if symbol in NON_METALS:
        raise InputError(
            f"element must be a metal, as Pt or Au: no metal particle is made of {symbol} "
            f"(from the {pdf.settings['element'].source}); --element SYMBOL sets it"
        )
    return symbol


class SettingRow(NamedTuple):
    """One line of what was used and where it came from."""

    name: str
    value: str
    unit: str
    source: str
    note: str


def settings_table(pdf: Pdf) -> list[SettingRow]:
    """What was used and where it came from, ready to print.

    Example:
        >>> from cbldm.data.pdf_files import pdf_from_arrays
        >>> r = np.arange(0, 20, 0.01)
        >>> settings_table(pdf_from_arrays(r, np.sin(4 * r), qmax=22))[2]
        SettingRow(name='qmax', value='22', unit='Å⁻¹', source='option', note='')
    """
    units = {"element": "", "rmin": "Å", "rmax": "Å", "background": "terms"}
    return [
        SettingRow(name, _show(setting.value), units.get(name, "Å⁻¹"), setting.source, setting.note)
        for name, setting in pdf.settings.items()
    ]


def _show(value: Any) -> str:
    return "unknown" if value is None else value if isinstance(value, str) else f"{value:.6g}"


def _element(option: str | None, composition: Mapping[str, float] | None, warnings: list[str]) -> Setting:
    """The option, else the metal of the composition that scatters most."""
    said = write_formula(composition) if composition else ""
    if option is not None:
        symbol = check_element(option)
        return Setting(symbol, "option", f"{_HEADER_SAYS}{said}" if said and said != symbol else "")
    if composition is None:
        return Setting(None, "default", "not in the header")
    metal = main_metal(composition)
    if metal is None:
        warnings.append(f"the header's composition {said} has no metal; the element is unknown")
        return Setting(None, "default", f"no metal in composition {said}")
    if len(composition) == 1:
        return Setting(metal, "header")
    warnings.append(f"element {metal} was taken from composition {said}: its metal with the largest count × Z")
    return Setting(metal, "header", f"{_OF_COMPOSITION}{said}")


def _instrument(
    name: str, option: float | None, known: float | None, header: float | None, known_note: str, where: str
) -> Setting:
    """A setting of the instrument, within the range of its rule."""
    rule = _RULES[name]
    if option is not None:
        value = _number(name, option)
        others = [("instrument file", known), ("header", header)]
        setting = Setting(value, "option", _disagreement(value, others))
    elif known is not None:
        said = _disagreement(known, [("header", header)])
        setting = Setting(known, "instrument", "; ".join(filter(None, (known_note, said))))
    elif header is not None:
        setting = Setting(header, "header")
    else:
        return Setting(rule.default, "default", rule.note)
    if not rule.low <= setting.value <= rule.high:
        allowed = f"{rule.low:g} to {rule.high:g} Å⁻¹"
        raise InputError(
            f"{name} must be {allowed} (got {setting.value:g} from the {setting.source} for {where}); --{name} sets it"
        )
    return setting


def _disagreement(value: float, others: list[tuple[str, float | None]]) -> str:
    """Which of the others say something else, and what."""
    return ", ".join(f"{name} says {said:g}" for name, said in others if said not in (None, value))


def _believable_qmin(qmin: Setting, warnings: list[str]) -> Setting:
    """A header's Qmin, raised to `QMIN_FLOOR` where it claims the small-angle region; an option stands."""
    if qmin.source != "header" or qmin.value >= QMIN_FLOOR:
        return qmin
    note = f"header says {qmin.value:g}, but reduction removes the small-angle scattering"
    warnings.append(f"qmin was raised to {QMIN_FLOOR:g} Å⁻¹: {note}; --qmin overrides")
    return Setting(QMIN_FLOOR, "default", note)


def _number(name: str, value: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{name} must be a number (got {str(value)[:40]!r})") from error
    if not np.isfinite(number):
        raise InputError(f"{name} must be a finite number (got {number})")
    return number


def _background(option: float | None, qmin: float, rmax: float) -> Setting:
    """The number of terms of the background: the option as far as they stay below the peaks of the atoms, else none."""
    if option is None:
        return Setting(0, "default")
    n_terms, most = _number("background", option), most_terms(qmin, rmax)
    if n_terms != int(n_terms) or not 0 <= n_terms <= most:
        raise InputError(
            f"background must be a whole number of 0 to {most} terms, which with qmin {qmin:g} Å⁻¹ and rmax {rmax:g} Å "
            f"stay below Q = {HIGHEST_Q:g} Å⁻¹, where atoms begin to scatter (got {n_terms:g})"
        )
    return Setting(int(n_terms), "option")


def _fit_range(rmin: float | None, rmax: float | None, r: FloatArray, where: str) -> dict[str, Setting]:
    """``rmin`` and ``rmax`` of the fit: options within the data, else `FIT_RANGE` as far as the data go."""
    first, last = float(r[0]), float(r[-1])
    low, high = FIT_RANGE
    settings = {
        "rmin": Setting(low, "default") if first <= low else Setting(first, "data", "the data start here"),
        "rmax": Setting(high, "default") if last >= high else Setting(last, "data", "the data end here"),
    }
    # A grid that leaves out its first or last point (r = 0 is often missing) still covers the range it names.
    slack = 1.001 * float(np.median(np.diff(r)))
    for name, option in (("rmin", rmin), ("rmax", rmax)):
        if option is None:
            continue
        value = _number(name, option)
        if not first - slack <= value <= last + slack:
            raise InputError(f"{name} must be within the data, {first:g} to {last:g} Å (got {value:g} for {where})")
        settings[name] = Setting(value, "option")
    start, end = settings["rmin"].value, settings["rmax"].value
    n_points = int(np.sum((r >= start) & (r <= end)))
    if n_points < MIN_FIT_POINTS:
        span = f"rmin {start:g} to rmax {end:g} Å"
        raise InputError(f"{where} has {n_points} points from {span}; a fit needs at least {MIN_FIT_POINTS}")
    return settings
