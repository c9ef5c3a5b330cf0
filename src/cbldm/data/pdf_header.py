"""What the header of a PDF file says about the sample and the measurement.

Headers of PDFgetX3, xPDFsuite, PDFgui, Mantid, PDFgetX2 and PDFgetN are read alike: wherever ``qmax = 22`` or
``Qmax=22`` stands as an entry of its own it counts, whichever line it is on. Text that can hold a path is cut away
before anything else is looked at, so that neither a ``=`` in a path nor the path itself goes any further.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cbldm.data.composition import parse_formula

#: The numbers that are looked for.
KEYS = ("qmin", "qmax", "qdamp", "qbroad", "rmin", "rmax")
#: Most other numbers that are kept.
MOST_METADATA = 100

# The look-ahead and the possessive quantifier keep a long word from being gone through again and again.
_PATH = re.compile(r"\b(?=\w*?(?:file|dir|path|title|folder))\w++\s*[=:].*", re.IGNORECASE)
_ENTRY = re.compile(rf"(?<![\w./\\-])({'|'.join(KEYS)})(\s*[=:]\s*|\s*,\s*|\s+)(?=(\S{{0,64}}))", re.IGNORECASE)
_VALUE = re.compile(r"([-+]?(?:\d+[.,]\d+|\d+\.?|\.\d+)(?:[eE][-+]?\d+)?)(?![\d/\\])")
_PER_NM = re.compile(r"\s*[(\[]?(?:nm|1\s*/\s*nm)", re.IGNORECASE)
_NAMED = re.compile(r"(?<![\w./\\:-])([a-z]\w{0,39}+)\s{0,4}[=:]\s{0,4}(?=[-+.\d])", re.IGNORECASE)
# After a number only its unit and the next entry: neither a date nor a time of day is a number.
_NUMBER_ENDS = re.compile(r"\s{0,4}(?:[^\W\d][^\s,;=:]{0,9}|[%°][^\W\d]?)?\s*(?:$|[,;]|\s\w+\s*[=:])")
_COMPOSITION = re.compile(r"(?<![\w./\\-])(?:composition|formula|element)\s*[=:]\s*(.*)", re.IGNORECASE)
_COMPOSITION_END = re.compile(r"\s{2,}|\s+\w+\s*=|[;,#]")
_TABLE = re.compile(r"^\W*(?:L\s+)?(?:element\s+relAtomNum|symbol\s+valence\s+fractions)\b", re.IGNORECASE)
_TABLE_ROW = re.compile(r"^\W*([A-Z][a-z]?)((?:\s+[-+.\deE]+)+)\s*$")


@dataclass(frozen=True)
class PdfHeader:
    """Values found in a header.

    Attributes:
        numbers: The keys of `KEYS` that the header has, Q in Å⁻¹ and r in Å, as written.
        composition: Count of atoms of each element; None where the header names none.
        warnings: One line for each entry that could not be used.
        metadata: Every other number by its name in lower case, such as ``temperature``, as written.
    """

    numbers: Mapping[str, float]
    composition: Mapping[str, float] | None
    warnings: tuple[str, ...]
    metadata: Mapping[str, float] = field(default_factory=dict)


def read_header(lines: Iterable[str]) -> PdfHeader:
    """Find settings and composition in the header lines of a PDF file.

    Example:
        >>> found = read_header(["# qmax = 21.99", "inputdir = C:/a qmax=3/b", "composition = Au144 S60"])
        >>> found.numbers, found.composition
        ({'qmax': 21.99}, {'Au': 144.0, 'S': 60.0})
        >>> read_header(["Temperature: 300 K, time=12.5", "date: 2026-11-28"]).metadata
        {'temperature': 300.0, 'time': 12.5}
    """
    lines = [_PATH.sub("", line) for line in lines]
    numbers, number_warnings = _numbers(lines)
    composition, composition_warnings = _composition(lines)
    return PdfHeader(numbers, composition, (*number_warnings, *composition_warnings), _metadata(lines))


def _numbers(lines: list[str]) -> tuple[dict[str, float], list[str]]:
    """The first value of each key; a later, different one or one that is no number gives a warning for the key."""
    numbers: dict[str, float] = {}
    warnings: dict[tuple[str, str], str] = {}
    for line in lines:
        for entry in _ENTRY.finditer(line):
            key, value = entry[1].lower(), _VALUE.match(entry[3])
            if value is None:
                if "=" in entry[2] and entry[3]:
                    warnings[key, "value"] = f"the header's {key} is not a number and was not used"
                continue
            number = float(value[1].replace(",", "."))
            if key.startswith("q") and _PER_NM.match(line, entry.start(3) + value.end()):
                number /= 10
                warnings[key, "unit"] = f"the header's {key} was converted from nm⁻¹ to Å⁻¹"
            if number != numbers.setdefault(key, number):
                said = f"the header gives {key} as {numbers[key]:g} and as {number:g}; the first was used"
                warnings.setdefault((key, "again"), said)
    return numbers, list(warnings.values())


def _metadata(lines: list[str]) -> dict[str, float]:
    """The first value of each name that is none of `KEYS`."""
    found: dict[str, float] = {}
    for line in lines:
        for entry in _NAMED.finditer(line):
            name, value = entry[1].lower(), _VALUE.match(line, entry.end())
            if name in KEYS or value is None or not _NUMBER_ENDS.match(line, value.end()):
                continue
            number = float(value[1].replace(",", "."))
            if math.isfinite(number) and len(found) < MOST_METADATA:
                found.setdefault(name, number)
    return found


def _composition(lines: list[str]) -> tuple[dict[str, float] | None, list[str]]:
    """The first composition that is a formula, else that of the atom table of PDFgetX2 and PDFgetN."""
    texts = [_COMPOSITION_END.split(entry[1].strip())[0] for line in lines if (entry := _COMPOSITION.search(line))]
    formulas = [formula for text in texts if (formula := parse_formula(text))]
    formula = formulas[0] if formulas else _atom_table(lines)
    unread = any(texts) and formula is None
    return formula, ["the header's composition is not a chemical formula and was not used"] if unread else []


def _atom_table(lines: list[str]) -> dict[str, float] | None:
    """Element and fraction from the table that PDFgetN and PDFgetX2 put in their headers."""
    for i, line in enumerate(lines):
        if not _TABLE.match(line):
            continue
        column = 0 if "relatomnum" in line.lower() else 1
        counts: dict[str, float] = {}
        for row in lines[i + 1 :]:
            cells = _TABLE_ROW.match(row)
            if cells is None or len(cells[2].split()) <= column:
                break
            counts |= parse_formula(f"{cells[1]}{cells[2].split()[column]}") or {}
        return counts or None
    return None
