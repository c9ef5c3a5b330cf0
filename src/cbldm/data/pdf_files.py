"""PDF files and arrays as `Pdf`: the curve, what is known of the measurement, and where each value came from.

Nothing is repaired silently: what was changed or left out is a line in `Pdf.warnings`, and what cannot be used is an
`InputError` of one line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cbldm.data.file_bytes import printable, read_bytes
from cbldm.data.instrument_files import InstrumentFile, read_instrument
from cbldm.data.pdf_header import PdfHeader, read_header
from cbldm.data.pdf_settings import settle
from cbldm.data.pdf_text import PdfTable, read_table
from cbldm.data.sense import check_range, check_sense
from cbldm.errors import InputError
from cbldm.types import FloatArray, Pdf, Setting

#: Fewest points of a PDF.
MIN_POINTS = 50
#: A PDF that ends before this r, in Å, holds the first shell of a metal alone, which says nothing of its structure.
MIN_END = 5.0
#: Beyond these r (Å) and |G| (Å⁻²) a file is damaged. A highest |G| below the last has no unit of G; squares of much
#: smaller numbers vanish in single precision.
MAX_R, MAX_G, MIN_G = 1e5, 1e12, 1e-12
#: Data that end before the first and have their highest peak before the second look like nanometres.
NANOMETRE_END, NANOMETRE_PEAK = 6.0, 1.0

Unit = Literal["A", "nm"]

#: Columns by position, for a table without labels.
_POSITIONS = {2: ("r", "g"), 3: ("r", "g", "dg"), 4: ("r", "g", "dr", "dg")}
_FGR_POSITIONS = ("r", "gcalc", "dr", "", "gdiff")


@dataclass(frozen=True)
class _Curve:
    """Columns as read, and how to name the place of row i in a message."""

    r: FloatArray
    g: FloatArray
    dg: FloatArray | None
    where: str
    unit: str
    numbers: NDArray[np.int64]

    def place(self, row: int) -> str:
        """For example ``'x.gr', line 31``."""
        return f"{self.where}, {self.unit} {self.numbers[row]}"

    @property
    def finite(self) -> NDArray[np.bool_]:
        """Which rows hold numbers."""
        return np.isfinite(self.r) & np.isfinite(self.g)

    def keep(self, rows: NDArray[np.bool_]) -> _Curve:
        """The curve with these rows only."""
        dg = None if self.dg is None else self.dg[rows]
        return _Curve(self.r[rows], self.g[rows], dg, self.where, self.unit, self.numbers[rows])


def read_pdf(
    path: str | Path,
    *,
    element: str | None = None,
    qmin: float | None = None,
    qmax: float | None = None,
    qdamp: float | None = None,
    qbroad: float | None = None,
    rmin: float | None = None,
    rmax: float | None = None,
    background: int | None = None,
    r_unit: Unit | None = None,
    instrument: str | Path | None = None,
    column: int | None = None,
) -> Pdf:
    """Read an observed G(r) from a file of PDFgetX2, PDFgetX3, PDFgetN, xPDFsuite, PDFgui, SrFit, Mantid or plain text.

    Of an ``.fgr`` file the observed curve is read, not the calculated one that is in its second column.

    Args:
        path: The file, in any encoding and with decimal point or comma.
        element: Chemical symbol of the metal; the header's composition where None.
        qmin: Lower end of the Fourier integral, in Å⁻¹, taken as it is (a header's may be raised, see `pdf_settings`).
        qmax: Upper end of the Fourier integral, in Å⁻¹.
        qdamp: Gaussian damping of the resolution, in Å⁻¹.
        qbroad: Broadening of peaks with distance, in Å⁻¹.
        rmin: Start of the fitted range, in Å.
        rmax: End of the fitted range, in Å.
        background: Terms of a smooth background that is fitted beside the structure, see `cbldm.physics.background`.
        r_unit: Unit of r (and of G, as its inverse square) in the file; by its label where None.
        instrument: A file of `cbldm calibrate` with Qdamp and Qbroad; it beats the header, an option beats it.
        column: Of a file that holds a series, which column after that of r is G(r), from 1; see
            `cbldm.data.series_files`. The digest is then that of the two columns.

    Raises:
        InputError: A file cannot be read or is not what it should be, Qmax is unknown, or an option is out of range.
    """
    path = Path(path)
    where = repr(str(path))
    data = read_bytes(path, "a PDF file")
    table = read_table(data, where) if column is None else _series_table(data, where)
    header = read_header(table.header)
    warnings = [*table.warnings, *header.warnings]
    if column is None:
        raw, name, digested = _columns(table, path.suffix.lower(), where, warnings), path.name, data
    else:
        raw, name = _series_column(table, column, where), f"{path.name}, column {column}"
        digested = raw.r.tobytes() + raw.g.tobytes()
    curve = _in_angstrom(raw, r_unit, table.r_in_nm, warnings)
    options = {
        "qmin": qmin, "qmax": qmax, "qdamp": qdamp, "qbroad": qbroad, "rmin": rmin, "rmax": rmax,
        "background": background,
    }  # fmt: skip
    digest = hashlib.sha256(digested).hexdigest()
    known = None if instrument is None else read_instrument(instrument)
    unit_said = r_unit is not None or table.r_in_nm
    return _build(curve, header, element, options, known, warnings, printable(name), digest, table.dialect, unit_said)


def pdf_from_arrays(
    r: ArrayLike,
    g: ArrayLike,
    *,
    dg: ArrayLike | None = None,
    element: str | None = None,
    qmin: float | None = None,
    qmax: float | None = None,
    qdamp: float | None = None,
    qbroad: float | None = None,
    rmin: float | None = None,
    rmax: float | None = None,
    background: int | None = None,
    r_unit: Unit | None = None,
    instrument: str | Path | None = None,
) -> Pdf:
    """A `Pdf` from arrays, under the same checks and defaults as one from a file.

    Args:
        r: (n,) distances in Å (or nm, if `r_unit` says so), increasing.
        g: (n,) G(r) in Å⁻² (or nm⁻²).
        dg: (n,) standard uncertainty of G.
        element: As for `read_pdf`, like everything below.
        qmin: In Å⁻¹.
        qmax: In Å⁻¹.
        qdamp: In Å⁻¹.
        qbroad: In Å⁻¹.
        rmin: In Å.
        rmax: In Å.
        background: Number of terms.
        r_unit: Unit of r and of G.
        instrument: As for `read_pdf`.

    Raises:
        InputError: The arrays are no PDF, Qmax is not given, or an option is out of range.

    Example:
        >>> r = np.arange(0, 20, 0.01)
        >>> pdf = pdf_from_arrays(r, np.sin(4 * r), element="Pt", qmax=22)
        >>> pdf.element, pdf.instrument.qmax, pdf.settings["qdamp"].source
        ('Pt', 22.0, 'default')
    """
    columns = {"r": _column(r, "r"), "g": _column(g, "g")} | ({} if dg is None else {"dg": _column(dg, "dg")})
    lengths = [len(column) for column in columns.values()]
    if len(set(lengths)) > 1:
        raise InputError(f"{', '.join(columns)} must be equally long (got lengths {', '.join(map(str, lengths))})")
    digest = hashlib.sha256(b"".join(column.tobytes() for column in columns.values())).hexdigest()
    warnings: list[str] = []
    raw = _Curve(columns["r"], columns["g"], columns.get("dg"), "the arrays", "index", np.arange(lengths[0]))
    curve = _in_angstrom(raw, r_unit, False, warnings)
    options = {
        "qmin": qmin, "qmax": qmax, "qdamp": qdamp, "qbroad": qbroad, "rmin": rmin, "rmax": rmax,
        "background": background,
    }  # fmt: skip
    known = None if instrument is None else read_instrument(instrument)
    return _build(
        curve, PdfHeader({}, None, ()), element, options, known, warnings, "", digest, "arrays", r_unit is not None
    )


def _column(values: ArrayLike, name: str) -> FloatArray:
    try:
        array = np.ma.asarray(values) if isinstance(values, np.ma.MaskedArray) else np.asarray(values)
        column = np.ma.filled(array.astype(np.float64), np.nan) if array.dtype.kind in "biufO" else None
    except (TypeError, ValueError, OverflowError, RuntimeError):  # the last from a tensor that requires a gradient
        column = None
    if column is None or column.ndim != 1:
        raise InputError(f"{name} must be a one-dimensional array of real numbers")
    return column


@lru_cache(maxsize=1)
def _series_table(data: bytes, where: str) -> PdfTable:
    """As `read_table`; the columns of a large file are asked for one after the other."""
    return read_table(data, where)


def _series_column(table: PdfTable, column: int, where: str) -> _Curve:
    most = table.rows.shape[1] - 1
    if not 1 <= column <= most:
        raise InputError(f"column must be 1 to {most}, the columns after r in {where} (got {column})")
    return _Curve(
        np.ascontiguousarray(table.rows[:, 0]), np.ascontiguousarray(table.rows[:, column]), None, where, "line",
        table.lines,
    )  # fmt: skip


def _columns(table: PdfTable, suffix: str, where: str, warnings: list[str]) -> _Curve:
    """The columns by their labels, or by position where r or G(r) has no label."""
    if "q" in table.roles[:1]:
        raise InputError(f"{where} is a function of Q or of an angle by its label; a PDF file holds r and G(r)")
    labelled = "r" in table.roles and bool({"g", "gobs", "gdiff"} & set(table.roles))
    if "other" in table.roles[1:2]:
        raise InputError(
            f"{where} is R(r), S(Q) or another function than G(r) by its label; a PDF file holds r and G(r)"
        )
    roles = table.roles if labelled else _roles_by_position(table.rows.shape[1], suffix, warnings)
    columns = {role: table.rows[:, i] for i, role in reversed(list(enumerate(roles[: table.rows.shape[1]])))}
    observed = _observed(columns)
    if observed is None or (suffix == ".fgr" and not {"gdiff", "gobs"} & set(columns)):
        raise InputError(f"{where} holds a calculated G(r); it needs a column Gdiff too, observed = calculated + Gdiff")
    # PDFgui writes into the d_Gr of an .fgr something that is no uncertainty of the observed curve.
    dg = None if "gdiff" in columns else columns.get("dg")
    return _Curve(columns["r"], observed, dg, where, "line", table.lines)


def _roles_by_position(n_columns: int, suffix: str, warnings: list[str]) -> tuple[str, ...]:
    if suffix == ".fgr":
        return _FGR_POSITIONS
    if n_columns not in _POSITIONS:
        warnings.append(f"{n_columns} columns without labels: the first two were read as r and G(r)")
    return _POSITIONS.get(n_columns, _POSITIONS[2])


def _observed(columns: Mapping[str, FloatArray]) -> FloatArray | None:
    """The observed G(r); beside a column Gdiff, PDFgui's column G(r) is the calculated one."""
    if "gobs" in columns or "gdiff" not in columns:
        return columns.get("gobs", columns.get("g"))
    calculated = columns.get("gcalc", columns.get("g"))
    with np.errstate(over="ignore"):
        return None if calculated is None else calculated + columns["gdiff"]


def _in_angstrom(curve: _Curve, r_unit: Unit | None, labelled_nm: bool, warnings: list[str]) -> _Curve:
    """The curve in Å and Å⁻²; a unit that is only suspected is asked for."""
    if r_unit not in (None, "A", "nm"):
        raise InputError(f"r_unit must be A or nm (got {str(r_unit)[:40]!r})")
    if r_unit == "nm" or (labelled_nm and r_unit is None):
        reason = "as asked" if r_unit else "as the label of r says"
        warnings.append(f"r was converted from nm to Å and G from nm⁻² to Å⁻², {reason}")
        with np.errstate(over="ignore"):
            return _Curve(
                curve.r * 10,
                curve.g / 100,
                None if curve.dg is None else curve.dg / 100,
                curve.where,
                curve.unit,
                curve.numbers,
            )
    if labelled_nm:
        warnings.append("the label says that r is in nm; it was read in Å, as asked")
    elif r_unit is None and _looks_like_nm(curve.keep(curve.finite)):
        raise InputError(f"{curve.where}: r looks like nm (its highest peak is below 1): say --r-unit A or --r-unit nm")
    return curve


def _looks_like_nm(curve: _Curve) -> bool:
    if len(curve.r) < MIN_POINTS:
        return False
    return bool(curve.r.max() < NANOMETRE_END and 0 < curve.r[np.argmax(curve.g)] < NANOMETRE_PEAK)


def _build(
    curve: _Curve,
    header: PdfHeader,
    element: str | None,
    options: Mapping[str, float | None],
    known: InstrumentFile | None,
    warnings: list[str],
    file: str,
    sha256: str,
    dialect: str,
    unit_said: bool,
) -> Pdf:
    """Check the curve, settle the settings, and say what was done."""
    good = curve.keep(curve.finite)
    _check_curve(good)
    measured = dialect != "cbldm"
    instrument = None if known is None else {"qdamp": known.qdamp, "qbroad": known.qbroad}
    note = "" if known is None else known.note
    settings, notes = settle(
        element, options, header, good.r, curve.where, measured=measured, instrument=instrument, instrument_note=note
    )
    start, end = settings["rmin"].value, settings["rmax"].value
    fitted = good.keep((good.r >= start) & (good.r <= end))
    highest = float(np.abs(fitted.g).max())
    if highest < MIN_G:
        said = f"is at most {highest:g} Å⁻²" if highest else "is zero"
        raise InputError(f"{curve.where}: G(r) {said} from rmin {start:g} to rmax {end:g} Å; there is nothing to fit")
    log = [
        *warnings,
        *notes,
        *_rows_left_out(curve, start, end),
        *_grid_warnings(fitted.r, good.r[-1], settings, header),
        *check_sense(good.r, good.g, settings["qmin"].value, settings["qmax"].value, curve.where, unit_said=unit_said),
        *check_range(start, end),
    ]
    usable = good.dg is not None and bool(np.all((good.dg > 0) & np.isfinite(good.dg)))
    if good.dg is not None and np.any(good.dg) and not usable:
        log.append("the uncertainties of G are not all positive and were not used")
    return Pdf(
        good.r, good.g, good.dg if usable else None, settings, file, sha256, dialect, tuple(log), header.metadata
    )


def _check_curve(curve: _Curve) -> None:
    """Raise unless r increases from 0 or above, far enough, and G is a curve."""
    if len(curve.r) < MIN_POINTS:
        raise InputError(f"{curve.where} has {len(curve.r)} points; a PDF needs at least {MIN_POINTS}")
    for name, values, low, high in (("r", curve.r, 0.0, MAX_R), ("G", curve.g, -MAX_G, MAX_G)):
        wild = np.flatnonzero((values < low) | (values > high))
        if len(wild):
            row = int(wild[0])
            raise InputError(f"{curve.place(row)}: {name} must be from {low:g} to {high:g} (got {values[row]:g})")
    wrong = np.flatnonzero(np.diff(curve.r) <= 0)
    if len(wrong):
        raise InputError(f"{curve.place(int(wrong[0]) + 1)}: r does not increase; the r column must always increase")
    if curve.r[-1] <= MIN_END:
        raise InputError(f"{curve.where} ends at r = {curve.r[-1]:g} Å; a PDF must go past {MIN_END:g} Å")


def _rows_left_out(curve: _Curve, rmin: float, rmax: float) -> list[str]:
    """Count the rows without numbers; raise for one that leaves a gap in the fitted range."""
    good, bad = np.flatnonzero(curve.finite), np.flatnonzero(~curve.finite)
    if not len(bad):
        return []
    after = np.searchsorted(good, bad)
    inner = (after > 0) & (after < len(good))
    before_r, after_r = curve.r[good[after[inner] - 1]], curve.r[good[after[inner]]]
    gaps = bad[inner][(before_r < rmax) & (after_r > rmin)]
    if len(gaps):
        raise InputError(f"{curve.place(int(gaps[0]))}: not a number inside the fitted range, {rmin:g} to {rmax:g} Å")
    return [f"{len(bad)} rows without numbers, outside the fitted range, were left out"]


def _grid_warnings(fitted_r: FloatArray, end: float, settings: Mapping[str, Setting], header: PdfHeader) -> list[str]:
    """Warn of a grid that cannot carry Qmax, and of a header that is wrong about where the data end."""
    warnings = []
    step, limit = float(np.max(np.diff(fitted_r))), np.pi / settings["qmax"].value
    if step > limit:
        warnings.append(f"r has steps of up to {step:.3g} Å, too coarse for the Qmax: more than π/Qmax = {limit:.3g} Å")
    said = header.numbers.get("rmax")
    if said is not None and abs(said - end) > max(0.5, 0.02 * end):
        warnings.append(f"the header says rmax {said:g} Å, the data end at {end:g} Å; the data were believed")
    return warnings
