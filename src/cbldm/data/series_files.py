"""Files that hold many PDFs: r in the first column and a G(r) in each of the others.

Time and temperature series are often kept so. Such a file is recognised by its labels, or by more columns than any
program writes for one PDF.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from cbldm.data.file_bytes import check_file
from cbldm.data.pdf_text import PdfTable, decode, read_table
from cbldm.errors import InputError

#: Fewest columns of a series without labels: r, G and their uncertainties are four.
LEAST_COLUMNS = 5
#: Bytes at the beginning of a file that show its columns.
HEAD = 2**16


class SeriesColumn(NamedTuple):
    """A column of G(r).

    Attributes:
        number: Its place after the column of r, from 1.
        label: Its name in lower case, or an empty string.
    """

    number: int
    label: str


def read_head(path: Path) -> PdfTable | None:
    """The table at the beginning of a file; None where there is none."""
    try:
        check_file(path, "a PDF file")
        with path.open("rb") as file:
            head = file.read(HEAD)
        text = decode(head, "the file")
        whole = text if len(head) < HEAD else text[: text.rfind("\n")]
        return read_table(whole.encode(), "the file")
    except (InputError, OSError):
        return None


def series_columns(path: Path) -> list[SeriesColumn]:
    """The columns of G(r) of a file that holds a series; none where it holds one PDF or no table."""
    table = None if path.suffix.lower() == ".fgr" else read_head(path)
    return [] if table is None else columns_of(table)


def columns_of(table: PdfTable) -> list[SeriesColumn]:
    r"""The columns of G(r) where a table holds more than one.

    Example:
        >>> columns_of(read_table(b"r,300K,350K\n0.1,1,2\n0.2,2,3\n", "x.csv"))
        [SeriesColumn(number=1, label='300k'), SeriesColumn(number=2, label='350k')]
        >>> columns_of(read_table(b"r G dr dG\n0.1 1 0 0\n0.2 2 0 0\n", "x.gr"))
        []
    """
    n_columns = table.rows.shape[1]
    if len(table.labels) != n_columns or table.roles[0] != "r":
        return [SeriesColumn(i, "") for i in range(1, n_columns)] if n_columns >= LEAST_COLUMNS else []
    if {"gcalc", "gdiff", "q", "other"} & set(table.roles):
        return []
    observed = [i for i, role in enumerate(table.roles) if role in ("g", "gobs")]
    # Where no column is called G, what is called by a temperature or a time is one.
    columns = observed or [i for i, role in enumerate(table.roles) if not role]
    return [SeriesColumn(i, table.labels[i]) for i in columns] if len(columns) > 1 else []
