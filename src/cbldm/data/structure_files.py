"""Structures and curves as files: .xyz, .cif, .gr and .fgr out, any structure that ASE knows in.

Every file is written beside its place and then moved there, so that a reader never sees half of one. Nothing here
writes a date or a path: the same content gives the same bytes.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterable, Mapping
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.io import ParseError
from ase.io.formats import UnknownFileTypeError
from ase.spacegroup.spacegroup import SpacegroupError
from numpy.typing import ArrayLike
from scipy.spatial import cKDTree

from cbldm.data.file_bytes import check_file
from cbldm.errors import InputError
from cbldm.types import Fit, FloatArray

#: Atoms nearer to each other than this, in Å, overlap: bonds in metal clusters are longer than 1.8 Å.
MIN_DISTANCE = 1.2
#: A periodic box that leaves less empty space than this along an edge, in Å, holds a crystal and not a cluster.
MIN_VACUUM = 4.0
#: Empty space around the cluster in a written .cif, in Å on each side.
CIF_VACUUM = 10.0

#: Metadata that PDFgui reads from its own header; everything else goes below ``# metadata``.
_PDFGUI_KEYS = ("qmax", "qdamp", "qbroad", "dscale", "fitrmin", "fitrmax")
#: What ASE's readers raise on a damaged file.
_READER_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    ParseError,
    RuntimeError,
    SpacegroupError,
    StopIteration,
    SyntaxError,
    TypeError,
    UnknownFileTypeError,
    ValueError,
)


def write_text(path: str | Path, content: str | bytes) -> None:
    """Put `content` (text as UTF-8) into the file at once: a reader finds the old file or the new one, whole.

    Raises:
        InputError: The place cannot be written to.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        try:
            part.write_bytes(content.encode() if isinstance(content, str) else content)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be written: {error.strerror or type(error).__name__}") from error


def write_gr(
    path: str | Path, r: ArrayLike, g: ArrayLike, metadata: Mapping[str, Any], *, dg: ArrayLike | None = None
) -> None:
    """Write G(r) as a .gr file of PDFgui's layout, which `read_pdf` reads back without loss.

    Args:
        path: The file.
        r: (n,) distances in Å.
        g: (n,) G(r) in Å⁻².
        metadata: ``element qmin qmax qdamp qbroad`` (Å⁻¹) and whatever else belongs to the curve; None is left out.
        dg: (n,) standard uncertainty of G in Å⁻²; zeros where None.

    Raises:
        InputError: Columns of unequal length, metadata of more than one line, or a place that cannot be written to.
    """
    r, g = np.asarray(r, dtype=np.float64), np.asarray(g, dtype=np.float64)
    dg = np.zeros_like(g) if dg is None else np.asarray(dg, dtype=np.float64)
    table = _table([r, g, np.zeros_like(r), dg])
    write_text(path, "\n".join([*_header("##### PDFgui", metadata), "#L r(A) G(r) d_r d_Gr", *table]) + "\n")


def write_fgr(path: str | Path, fit: Fit, metadata: Mapping[str, Any]) -> None:
    """Write a fit as a .fgr file of PDFgui's layout: r, calculated G, two unused columns, observed − calculated.

    A background that was fitted is a sixth column, which programs that know the first five leave alone.

    Args:
        path: The file.
        fit: The curves.
        metadata: As for `write_gr`.

    Raises:
        InputError: Metadata of more than one line, or a place that cannot be written to.
    """
    unused = np.zeros_like(fit.r)
    columns, labels = [fit.r, fit.calculated, unused, unused, fit.difference], "#L r(A) Gcalc d_r d_Gr Gdiff"
    if fit.background is not None:
        columns, labels = [*columns, fit.background], f"{labels} background"
    entries = {"fitrmin": float(fit.r[0]), "fitrmax": float(fit.r[-1]), **metadata}
    write_text(path, "\n".join([*_header("##### PDFgui fit", entries), labels, *_table(columns)]) + "\n")


def write_xyz(path: str | Path, atoms: Atoms) -> None:
    """Write a cluster as an extended .xyz file, its element as it is and ``atoms.info`` on the comment line.

    Raises:
        InputError: The place cannot be written to.
    """
    buffer = StringIO()
    ase.io.write(buffer, atoms, format="extxyz")
    write_text(path, buffer.getvalue())


def write_cif(path: str | Path, atoms: Atoms) -> None:
    """Write a cluster as a .cif file: in the middle of a P1 box with `CIF_VACUUM` of empty space on each side.

    A .cif needs a cell, and the cell repeats; the box is so large that no viewer draws a bond into the next one. The
    distances are those of the cluster, the origin is the corner of the box.

    Raises:
        InputError: The place cannot be written to.
    """
    boxed = Atoms(atoms.get_chemical_symbols(), positions=atoms.get_positions())
    boxed.center(vacuum=CIF_VACUUM)
    boxed.pbc = True
    buffer = BytesIO()
    ase.io.write(buffer, boxed, format="cif")
    write_text(path, buffer.getvalue())


def read_structure(path: str | Path) -> Atoms:
    """The metal cluster in a file of any format that ASE reads, without a cell.

    Raises:
        InputError: The file cannot be read, or holds anything but one cluster of one element with sound positions.
    """
    path = Path(path)
    where = repr(str(path))
    check_file(path, "a structure file")
    try:
        # ASE warns of cells and symmetry; what matters of a cluster is checked below.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            frames = list(ase.io.iread(str(path.absolute()), index=":", do_not_split_by_at_sign=True))
    except _READER_ERRORS as error:
        raise InputError(
            f"{where} cannot be read as a structure ({type(error).__name__}); .xyz or .cif will do"
        ) from error
    if len(frames) != 1:
        raise InputError(f"{where} holds {len(frames)} structures; one is needed")
    atoms = frames[0]
    _check_structure(atoms, where)
    return Atoms(atoms.get_chemical_symbols(), positions=atoms.get_positions())


def _check_structure(atoms: Atoms, where: str) -> None:
    """Raise unless this is a cluster that cbldm can work with."""
    if len(atoms) < 2:
        raise InputError(f"{where} holds {len(atoms)} atoms; a cluster has at least 2")
    elements = sorted(set(atoms.get_chemical_symbols()))
    if len(elements) > 1 or elements == ["X"]:
        raise InputError(f"{where} holds {', '.join(elements[:8])}; a cluster of one metal is needed")
    positions = atoms.get_positions()
    if not np.isfinite(positions).all():
        row = int(np.flatnonzero(~np.isfinite(positions).all(axis=1))[0])
        raise InputError(f"{where}: the position of atom {row + 1} is not finite")
    nearest, neighbours = cKDTree(positions).query(positions, k=2)
    row = int(np.argmin(nearest[:, 1]))
    if nearest[row, 1] < MIN_DISTANCE:
        pair = f"atoms {row + 1} and {neighbours[row, 1] + 1} are {nearest[row, 1]:.3g} Å apart"
        raise InputError(f"{where}: {pair}; atoms must be at least {MIN_DISTANCE:g} Å apart")
    vacuum = _vacuum(atoms)
    if vacuum < MIN_VACUUM:
        raise InputError(f"{where} is periodic with {vacuum:.3g} Å between its copies; a cluster on its own is needed")


def _vacuum(atoms: Atoms) -> float:
    """Smallest empty space, in Å, that a periodic box leaves along one of its axes; infinite without periodicity."""
    axes = np.flatnonzero(atoms.pbc)
    if not len(axes):
        return float("inf")
    if atoms.cell.rank < 3:
        return 0.0
    reciprocal = np.linalg.inv(atoms.cell.array)
    extent = np.ptp(atoms.get_positions() @ reciprocal, axis=0)
    heights = 1 / np.linalg.norm(reciprocal, axis=0)
    return float(np.min(((1 - extent) * heights)[axes]))


def _header(title: str, metadata: Mapping[str, Any]) -> list[str]:
    """The lines above the column labels; ``element`` becomes ``composition``, as reduction programs call it."""
    entries = {"composition" if key == "element" else key: _entry(key, value) for key, value in metadata.items()}
    known = {key: value for key, value in entries.items() if value is not None}
    first = [f"{key}={known[key]}" for key in _PDFGUI_KEYS if key in known]
    rest = [f"{key}={value}" for key, value in known.items() if key not in _PDFGUI_KEYS]
    return ["History written by cbldm", title, *first, "# metadata", *rest, "##### start data"]


def _entry(key: str, value: Any) -> str | None:
    """A value on one line, a number in full precision."""
    if value is None:
        return None
    text = repr(float(value)) if isinstance(value, (float, np.floating)) else str(value)
    if any(sign in f"{key}{text}" for sign in "\r\n"):
        raise InputError(f"metadata {key!r:.40} must be one line")
    return text


def _table(columns: Iterable[FloatArray]) -> list[str]:
    """Rows in full precision, so that reading gives the same numbers."""
    columns = list(columns)
    if len({column.shape for column in columns}) > 1 or columns[0].ndim != 1:
        raise InputError(f"columns must be equally long (got shapes {[column.shape for column in columns]})")
    return [" ".join(repr(float(value)) for value in row) for row in zip(*columns, strict=True)]
