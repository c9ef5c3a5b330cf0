"""Chemical formulas as PDF files write them, and the one element that a metal cluster is made of."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from ase.data import atomic_numbers

from cbldm.errors import InputError

#: Elements that no metal core is made of: the atoms of ligands, supports and solvents.
NON_METALS = frozenset({
    "H", "He", "B", "C", "N", "O", "F", "Ne", "Si", "P", "S", "Cl", "Ar", "Ge", "As", "Se", "Br", "Kr", "Te", "I", "Xe",
    "At", "Rn",
})  # fmt: skip

_TOKEN = re.compile(r"\s*(?:([A-Z][a-z]?)|(\()|(\)))(?:\s*(\d+\.?\d*|\.\d+))?")


def is_element(symbol: str) -> bool:
    """Whether `symbol` names a chemical element, in the spelling of the periodic table.

    Example:
        >>> is_element("Pt"), is_element("pt"), is_element("X")
        (True, False, False)
    """
    return atomic_numbers.get(symbol, 0) > 0


def check_element(symbol: str) -> str:
    """Return `symbol` if it names an element.

    Raises:
        InputError: It does not; the right spelling is suggested where one is near.
    """
    if is_element(str(symbol)):
        return str(symbol)
    near = str(symbol).strip().capitalize()
    hint = f"; did you mean {near!r}?" if is_element(near) else ", as Pt or Au"
    raise InputError(f"element must be a chemical symbol{hint} (got {str(symbol)[:40]!r})")


def parse_formula(text: str) -> dict[str, float] | None:
    """Count of atoms of each element in a formula, or None where the text is not one.

    Blanks, fractions and (nested) parentheses are read as PDFgetX3 and its relatives write them.

    Example:
        >>> parse_formula("Au144 S60 C180"), parse_formula("Ba0.5K0.5(SO4)2"), parse_formula("unknown")
        ({'Au': 144.0, 'S': 60.0, 'C': 180.0}, {'Ba': 0.5, 'K': 0.5, 'S': 2.0, 'O': 8.0}, None)
    """
    text = text.strip()
    stack: list[dict[str, float]] = [{}]
    place = 0
    while place < len(text):
        token = _TOKEN.match(text, place)
        if token is None:
            return None
        place = token.end()
        symbol, opened, _, digits = token.groups()
        count = float(digits) if digits else 1.0
        if opened:
            if digits:
                return None
            stack.append({})
            continue
        if symbol:
            group = {symbol: 1.0}
        elif len(stack) > 1:
            group = stack.pop()
        else:
            return None
        for element, number in group.items():
            stack[-1][element] = stack[-1].get(element, 0.0) + number * count
    counts = stack[0]
    sound = (
        len(stack) == 1
        and bool(counts)
        and all(is_element(element) and number > 0 and math.isfinite(number) for element, number in counts.items())
    )
    return counts if sound else None


def write_formula(counts: Mapping[str, float]) -> str:
    """The formula with blanks between the elements.

    Example:
        >>> write_formula({"Au": 144.0, "S": 60.0, "C": 1.0})
        'Au144 S60 C'
    """
    return " ".join(element + ("" if number == 1 else f"{number:g}") for element, number in counts.items())


def main_metal(counts: Mapping[str, float]) -> str | None:
    """The metal with the largest count × Z, which is the one that scatters X-rays most; None without a metal.

    A formula of one element is taken at its word, metal or not.

    Example:
        >>> main_metal({"Au": 144, "S": 60, "C": 180}), main_metal({"C": 60}), main_metal({"Si": 1, "O": 2})
        ('Au', 'C', None)
    """
    metals = [element for element in counts if element not in NON_METALS] or (list(counts) if len(counts) == 1 else [])
    return max(metals, key=lambda element: counts[element] * atomic_numbers[element], default=None)
