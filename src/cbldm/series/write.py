"""write_series(): results -> table -> series.csv, series.parquet and trend.html."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cbldm.data.structure_files import write_text
from cbldm.errors import InputError
from cbldm.report.trend import Axis, trend_html
from cbldm.series.changes import change_points
from cbldm.series.table import COLUMNS, NUMBERS, WEIGHTS, Row, Value, read_rows, with_metadata

#: What a spreadsheet takes for the beginning of a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")
#: Columns over which the page can show the results, beside the order of the files, at most.
MOST_AXES = 12
#: What changes are looked for in, and the columns that tell.
CHANGING = {"atoms": ("n_atoms",), "diameter": ("diameter_A",), "motif": tuple(WEIGHTS.values())}


def write_series(out: Path, *, against: str | None = None, metadata: Path | None = None) -> list[str]:
    """Write ``series.csv``, ``series.parquet`` (with pyarrow) and ``trend.html`` into a folder of results.

    The same results give the same bytes. In ``series.csv`` text that a spreadsheet would take for a formula begins with
    an apostrophe, as ``'=cmd.gr``; the Parquet file has it as it is.

    Args:
        out: What `cbldm batch` wrote, or a folder of folders that `cbldm solve` wrote.
        against: The column of numbers over which the page shows the results first; the order of the files where None.
        metadata: A CSV file of the user's that says more of each file, see `with_metadata`.

    Returns:
        Files that ``metadata`` names and that are none of the inputs.

    Raises:
        InputError: A file cannot be read or written, or there is no such column.
    """
    rows, unknown = read_rows(out), list[str]()
    if metadata is not None:
        rows, unknown = with_metadata(rows, metadata)
    table = columns_of(rows)
    axes = _axes(rows, table, against)
    write_text(out / "series.csv", csv_text(table))
    if find_spec("pyarrow") is not None:
        write_text(out / "series.parquet", parquet_bytes(table))
    write_text(out / "trend.html", _page(out, rows, axes, against))
    return unknown


def columns_of(rows: Sequence[Row]) -> dict[str, list[Value | None]]:
    """The table by columns; a name that metadata share with a result gets ``header_`` before it."""
    names = dict.fromkeys(name for row in rows for name in row.metadata)
    metadata = {_free(name): [row.metadata.get(name) for row in rows] for name in names}
    text: dict[str, list[Value | None]] = {
        "file": [row.file for row in rows],
        "name": [row.name for row in rows],
        "warnings": ["; ".join(row.warnings) or None for row in rows],
        "error": [row.error or None for row in rows],
    }
    values = {name: [row.values.get(name) for row in rows] for name in COLUMNS if name not in text}
    for name, column in metadata.items():
        if not _is_numeric(column):
            metadata[name] = [None if value is None else _text(value) for value in column]
    return {name: text.pop(name) for name in ("file", "name")} | metadata | values | text


def _free(name: str) -> str:
    return f"header_{name}" if name in COLUMNS else name


def _is_numeric(column: Sequence[Value | None]) -> bool:
    return all(value is None or isinstance(value, int | float) for value in column)


def _text(value: Value) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def csv_text(table: dict[str, list[Value | None]]) -> str:
    r"""A table as CSV, in which nothing is a formula.

    >>> csv_text({"file": ["=1+1.gr"], "rw": [0.1], "shift": [-2.5], "note": [None]})
    "file,rw,shift,note\n'=1+1.gr,0.1,-2.5,\n"
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([_cell(name) for name in table])
    writer.writerows([_cell(value) for value in row] for row in zip(*table.values(), strict=True))
    return text.getvalue()


def _cell(value: Value | None) -> Value:
    if value is None:
        return ""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def parquet_bytes(table: dict[str, list[Value | None]]) -> bytes:
    """A table as a Parquet file: text, whole numbers (64 bits) and floating-point numbers (64 bits)."""
    import pyarrow
    from pyarrow import parquet

    whole = {"n_atoms", "n_atoms_low", "n_atoms_high", "equivalents"}
    kinds = {name: pyarrow.int64() if name in whole else pyarrow.float64() for name in (*NUMBERS, *WEIGHTS.values())}
    kinds |= dict.fromkeys(("file", "name", "motif", "warnings", "error"), pyarrow.string())
    arrays = {
        name: pyarrow.array(column, kinds.get(name, pyarrow.float64() if _is_numeric(column) else pyarrow.string()))
        for name, column in table.items()
    }
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.table(arrays), buffer)
    return buffer.getvalue()


def _axes(rows: Sequence[Row], table: dict[str, list[Value | None]], against: str | None) -> list[Axis]:
    """The order of the files and every column of metadata that says different things of them; the chosen one first."""
    choices = {
        _free(name): table[_free(name)]
        for name in dict.fromkeys(name for row in rows for name in row.metadata)
        if _is_numeric(table[_free(name)]) and len(set(table[_free(name)]) - {None}) > 1
    }
    if against is not None and against not in choices:
        known = ", ".join(choices) or "none"
        raise InputError(f"no column {against!r} of numbers that differ to show the results against; there is: {known}")
    names = sorted(choices, key=lambda name: name != against)[:MOST_AXES]
    axes = [_axis("file", list(range(1, len(rows) + 1)), table)]
    axes += [_axis(name, choices[name], table) for name in names]
    return axes


def _axis(name: str, places: Sequence[Any], table: dict[str, list[Value | None]]) -> Axis:
    """An axis with what changes along it, each change between the two rows that it lies between."""
    solved = [i for i, n in enumerate(table["n_atoms"]) if n is not None and places[i] is not None]
    order = sorted(solved, key=lambda i: places[i])
    changes = {}
    for what, columns in CHANGING.items():
        values: list[list[Any]] = [[table[column][i] for column in columns] for i in order]
        changes[what] = [(order[k - 1], order[k]) for k in change_points(values)]
    return Axis(name, places, changes)


def _page(out: Path, rows: Sequence[Row], axes: Sequence[Axis], against: str | None) -> str:
    shown = [name for name, column in WEIGHTS.items() if any(row.values.get(column) for row in rows)]

    def column(name: str) -> list[Any]:
        return [row.values.get(name) for row in rows]

    return trend_html(
        title=out.absolute().name,
        columns={
            "file": [row.file for row in rows],
            "name": [row.name for row in rows],
            "report": [(out / row.name / "report.html").is_file() for row in rows],
            "atoms": column("n_atoms"),
            "low": column("n_atoms_low"),
            "high": column("n_atoms_high"),
            "diameter": column("diameter_A"),
            "rw": column("rw"),
            "uiso": column("uiso_A2"),
            "motif": column("motif"),
            "equivalents": column("equivalents"),
            "warnings": [len(row.warnings) for row in rows],
            "error": [row.error for row in rows],
        },
        weights={name: column(WEIGHTS[name]) for name in shown},
        axes=axes,
        chosen=against or axes[0].name,
        version=version("cbldm"),
    )
