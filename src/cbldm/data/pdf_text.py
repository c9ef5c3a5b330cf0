"""The text of a PDF file as a header and a table of numbers, whatever program and country it comes from.

Only the shape of the text is judged here: encoding, decimal mark, where the data begin, what the columns are called.
What the numbers mean is decided in `cbldm.data.pdf_files`.
"""

from __future__ import annotations

import codecs
import math
import re
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cbldm.errors import InputError
from cbldm.types import FloatArray

#: Longer lines hold no row of a PDF table and no header entry.
MAX_LINE = 4096
#: Rows of numbers that a header without a ``start data`` line may hold before it ends.
MAX_HEADER_ROWS = 10
#: Lines above the table among which its labels are looked for.
LABELS_ABOVE = 50
#: Lines that decide whether a file has a decimal comma.
SAMPLE = 5000

_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_START = re.compile(r"\s*#+\s*start\s+data\b", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][-+]?\d+)?")
_COMMA_NUMBER = re.compile(r"[-+]?(?:\d+(?:,\d+)?|,\d+)(?:[eEdD][-+]?\d+)?")
_NOT_A_NUMBER = re.compile(r"|[-+]?(?:nan|inf(?:inity)?)|n/?a|--|\*+|[-+]?1\.#\w+", re.IGNORECASE)
_COMMENT = "#%!"
_TRAILING = re.compile(r"\s[#%!].*")
_QUOTED_GAP = re.compile(r'" *[,;\t] *"')
# Without the look-behind and the possessive quantifier a long blank would be gone through from each of its places.
_LABEL_GAP = re.compile(r"(?<!\s)\s++(?=[(\[])")
_LABEL_SPLIT = re.compile(r"[\s,;]+")

#: Meaning of a column by its label, first match first. ``g`` is the observed G(r) unless ``gdiff`` is there too.
_ROLES = (
    ("other", re.compile(r"(?:[rtn]|rho|rdf)\(r\).*|[sfi]\(q\).*")),
    ("r", re.compile(r"(?:r|x|distance)(?:[(\[/_].*)?")),
    ("q", re.compile(r"(?:q|2theta|tth)(?:[(\[/_].*)?")),
    ("gdiff", re.compile(r"g?_?(?:diff|difference)(?:[(\[/_].*)?")),
    ("gcalc", re.compile(r"(?:g_?|y_?)?calc.*|g\(r\)_?calc.*")),
    ("gobs", re.compile(r"(?:g_?|y_?)?obs.*|g\(r\)_?obs.*")),
    ("dg", re.compile(r"d_?g.*|d_?y.*|sig(?:ma)?(?:_?g.*)?|err.*|e_?g.*")),
    ("dr", re.compile(r"d_?[rx]|sig(?:ma)?_?[rx]")),
    ("g", re.compile(r"g.*|y|pdf")),
)

#: Programs by what they leave in the header, first match first. Blanks that a pattern repeats are not those of a line's
#: end, or a long header of ``#`` alone would take forever.
_DIALECTS = tuple(
    (name, re.compile(pattern, re.IGNORECASE | re.MULTILINE))
    for name, pattern in (
        ("cbldm", r"^history written by cbldm"),
        ("xPDFsuite", r"xPDFsuite configuration"),
        ("PDFgetXgui", r"PDFgetXgui configuration"),
        ("PDFgetX3", r"\bversion\s*=\s*(?:diffpy\.)?pdfget[xns]"),
        ("PDFgetX2", r"get_xpdf"),
        ("PDFgetN", r"pdf from pdfgetn|^[# \t]*run information[ \t]+runcorrection"),
        ("PDFgui", r"^#+\s*pdfgui"),
        ("Mantid", r"pdf from mantid|^#comment:\s*neutron"),
        ("NOMAD", r"^#\s*comment:\s*(?:neutron|x-?ray)"),
        ("srfit", r"^#?[ \t]*x[ \t]+ycalc[ \t]+y\b"),
    )
)


@dataclass(frozen=True)
class PdfTable:
    """The rows of numbers of a PDF file and the text around them.

    Attributes:
        header: Every line that is not a row of the table.
        labels: Name of each column in lower case; empty where they have none.
        roles: Meaning of each labelled column: ``r g dg dr gcalc gobs gdiff q other`` or an empty string.
        r_in_nm: Whether the label of r says nanometres.
        rows: (n, n_columns) numbers; NaN where the file has no finite number.
        lines: (n,) line of each row in the file, from 1.
        dialect: The program that wrote the file, as recognised, or ``text``.
        warnings: One line for each oddity.
    """

    header: tuple[str, ...]
    labels: tuple[str, ...]
    roles: tuple[str, ...]
    r_in_nm: bool
    rows: FloatArray
    lines: NDArray[np.int64]
    dialect: str
    warnings: tuple[str, ...]


def read_table(data: bytes, where: str) -> PdfTable:
    r"""Find the table of numbers in the bytes of a file.

    Args:
        data: The whole file.
        where: Name of the file for messages.

    Raises:
        InputError: Not text, no table in it, or a line inside the table that is no row of it.

    Example:
        >>> table = read_table(b"composition = Pt\n#L r(A) G(r)\n0.01 0.5\n0.02 0.7\n", "x.gr")
        >>> table.rows.tolist(), table.roles, table.lines.tolist()
        ([[0.01, 0.5], [0.02, 0.7]], ('r', 'g'), [3, 4])
    """
    lines = re.split(r"\r\n|\r|\n", decode(data, where).replace("\N{MINUS SIGN}", "-"))
    parse = _row_parser(lines)
    starts = [i for i, line in enumerate(lines) if _START.match(line[:80])]
    found = _find_rows(lines, parse, starts[-1] if starts else -1, where)
    blocks = (f"the file has {len(starts)} lines 'start data'; what follows the last was read",) if starts[1:] else ()
    first = int(found.lines[0])
    table_lines = set(found.lines.tolist())
    header = tuple(line[:MAX_LINE] for i, line in enumerate(lines, 1) if i not in table_lines and line.strip())
    labels = _labels([line[:MAX_LINE] for line in lines[: first - 1] if line.strip()], found.rows.shape[1])
    return PdfTable(
        header=header,
        labels=tuple(labels),
        roles=tuple(_role(label) for label in labels[: found.rows.shape[1]]),
        r_in_nm=bool(labels) and re.match(r"(?:r|x|distance)[(\[/_]*nm", labels[0]) is not None,
        rows=found.rows,
        lines=found.lines,
        dialect=_dialect("\n".join(header)),
        warnings=blocks + found.warnings,
    )


def decode(data: bytes, where: str) -> str:
    """The text of a file in UTF-8, UTF-16 or UTF-32 (with or without a byte-order mark) or Latin-1.

    Raises:
        InputError: The file is empty or is not text.

    Example:
        >>> decode("r(Å)".encode("latin-1"), "x.gr"), decode("r(Å)".encode("utf-16-be"), "x.gr")
        ('r(Å)', 'r(Å)')
    """
    if not data.strip():
        raise InputError(f"{where} is empty; a PDF file holds two or more columns of numbers, r and G(r)")
    data = data.removeprefix(codecs.BOM_UTF8)
    for encoding in _encodings(data):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        text = text.rstrip("\x1a\x00")
        if text and not _CONTROL.search(text):
            return text
    raise InputError(f"{where} is not a text file; a PDF file holds two or more columns of numbers, r and G(r)")


def _encodings(data: bytes) -> Iterator[str]:
    """Encodings to try, most telling first."""
    yield from (encoding for mark, encoding in _MARKS if data.startswith(mark))
    head = data[:4096]
    if head[1::2].count(0) > len(head) // 4:
        yield "utf-16-le"
    if head[0::2].count(0) > len(head) // 4:
        yield "utf-16-be"
    yield from ("utf-8", "latin-1")


@dataclass(frozen=True)
class _Rows:
    rows: FloatArray
    lines: NDArray[np.int64]
    warnings: tuple[str, ...]


def _find_rows(lines: list[str], parse: Callable[[str], list[float] | None], start: int, where: str) -> _Rows:
    """The rows after line index `start`; without such a line (-1) a header may itself hold a few rows.

    A line among the rows that is neither a row nor a comment is an error: to skip it would be to lose data silently.
    """
    values, numbers = array("d"), array("q")
    n_columns, bad, skipped, hidden = 0, 0, 0, 0
    for number, line in enumerate(lines[start + 1 :], start + 2):
        if not (text := line.strip()):
            continue
        comment = text[0] in _COMMENT
        row = parse(text.lstrip(_COMMENT) if comment else text) if len(line) <= MAX_LINE else None
        if comment and numbers:
            hidden += row is not None and len(row) == n_columns
            # Labels begin a table: the few rows above them belong to the header.
            if start < 0 and len(numbers) <= MAX_HEADER_ROWS and _labels([line], n_columns):
                bad = bad or number
        if comment:
            continue
        if row is None:
            bad = bad or (number if numbers else 0)
            continue
        if bad:
            if start >= 0 or len(numbers) > MAX_HEADER_ROWS:
                break
            skipped += len(numbers)
            values, numbers, bad, hidden = array("d"), array("q"), 0, 0
        n_columns = n_columns if numbers else len(row)
        if len(row) != n_columns:
            raise InputError(f"{where}, line {number}: {len(row)} columns where the rows above have {n_columns}")
        values.extend(row)
        numbers.append(number)
    if bad:
        raise InputError(f"{where}, line {bad}: not a row of numbers, but it stands among or after the rows of data")
    if not numbers:
        raise InputError(f"{where} holds no rows of numbers; a PDF file holds two or more columns, r and G(r)")
    warnings = [f"{skipped} rows of numbers above line {numbers[0]} were taken as header"] if skipped else []
    if hidden:
        warnings.append(f"{hidden} rows of numbers behind a comment sign among the data were left out")
    table = np.frombuffer(values, dtype=np.float64).reshape(len(numbers), n_columns)
    return _Rows(table, np.frombuffer(numbers, dtype=np.int64), tuple(warnings))


def _row_parser(lines: list[str]) -> Callable[[str], list[float] | None]:
    """How this file writes its rows: with a decimal comma where more lines look so than have a decimal point."""
    sample = [line for line in lines[:SAMPLE] if len(line) <= MAX_LINE]
    commas = sum(_has_decimal_comma(line) for line in sample if "," in line)
    points = sum(_parse_point_row(line) is not None for line in sample if "." in line)
    return _parse_comma_row if commas > points else _parse_point_row


def _has_decimal_comma(line: str) -> bool:
    cells = re.split(r"\s*;\s*|\s+", _bare(line))
    cells = cells[:-1] if not cells[-1] else cells  # a separator at the end of the line
    return len(cells) > 1 and all(_COMMA_NUMBER.fullmatch(cell) or _NOT_A_NUMBER.fullmatch(cell) for cell in cells)


def _bare(line: str) -> str:
    """A row without quotes around its cells and without a comment at its end."""
    if '"' in line:
        line = _QUOTED_GAP.sub(";", line).replace('"', "")
    return _TRAILING.sub("", line).strip()


def _parse_point_row(line: str) -> list[float] | None:
    """Numbers of a row with decimal points, its cells apart by blanks, commas or semicolons."""
    return _numbers(re.split(r"\s*[,;]\s*|\s+", _bare(line)))


def _parse_comma_row(line: str) -> list[float] | None:
    """Numbers of a row with decimal commas, its cells apart by blanks or semicolons."""
    return _numbers(re.split(r"\s*;\s*|\s+", _bare(line).replace(",", ".")))


def _numbers(cells: list[str]) -> list[float] | None:
    """The cells as numbers, an empty or non-finite one as NaN; None where they are no row of a table."""
    if len(cells) > 2 and not cells[-1]:
        cells = cells[:-1]  # a separator at the end of the line
    if len(cells) < 2:
        return None
    row = []
    for cell in cells:
        if _NUMBER.fullmatch(cell):
            value = float(cell.replace("D", "e").replace("d", "e"))
            row.append(value if math.isfinite(value) else math.nan)
        elif _NOT_A_NUMBER.fullmatch(cell):
            row.append(math.nan)
        else:
            return None
    return row


def _labels(lines: list[str], n_columns: int) -> list[str]:
    """Column labels in lower case from the last of the lines above a table that begins with the name of an abscissa.

    Right above the table that is enough; farther up, a line counts that names every column, the observed G among them.
    """
    for distance, line in enumerate(reversed(lines[-LABELS_ABOVE:])):
        text = _LABEL_GAP.sub("", re.sub(r"^[\s#%!]*(?:L\s+)?", "", line.replace('"', "")))
        labels = [label for label in _LABEL_SPLIT.split(text.strip().lower()) if label]
        roles = [_role(label) for label in labels]
        whole = len(labels) == n_columns and bool({"g", "gobs", "gdiff"} & set(roles))
        if len(labels) > 1 and roles[0] in ("r", "q") and (distance < 3 or whole):
            return labels
    return []


def _role(label: str) -> str:
    return next((role for role, pattern in _ROLES if pattern.fullmatch(label)), "")


def _dialect(header: str) -> str:
    return next((name for name, pattern in _DIALECTS if pattern.search(header)), "text")
