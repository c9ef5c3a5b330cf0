"""The ranking of candidates as a table of HTML that the page can sort."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from cbldm.types import Candidate


@dataclass(frozen=True)
class Column:
    """One column of the ranking.

    Attributes:
        head: What stands above it, as HTML of our own.
        value: A number or a name of a candidate, given its diameter too, in Å; NaN is shown as a dash.
        form: Format of the value; empty for names, which stand left.
    """

    head: str
    value: Callable[[Candidate, float], float | str]
    form: str = ""


def _parameter(name: str) -> Callable[[Candidate, float], float]:
    return lambda candidate, _: candidate.parameters.get(name, math.nan)


COLUMNS = (
    Column("source", lambda c, _: c.source),
    Column("R<sub>w</sub>", lambda c, _: c.rw, ".4f"),
    Column("atoms", lambda c, _: c.n_atoms, "d"),
    Column("motif", lambda c, _: c.motif),
    Column("diameter (Å)", lambda _, diameter: diameter, ".1f"),
    Column("scale", _parameter("scale"), ".3f"),
    Column("U<sub>iso</sub> (Å²)", _parameter("uiso"), ".4f"),
    Column("stretch", _parameter("stretch"), ".4f"),
    Column("δ<sub>2</sub> (Å²)", _parameter("delta2"), ".2f"),
    Column("moved (Å)", lambda c, _: c.moved_median, ".3f"),
    Column("left-out R<sub>w</sub>", lambda c, _: c.rw_left_out, ".4f"),
    Column("group", lambda c, _: c.group, "d"),
    Column("weight", lambda c, _: c.weight, ".2f"),
)


def title(candidate: Candidate) -> str:
    """A candidate in a line of plain text."""
    return f"{candidate.rank}: {candidate.motif}, {candidate.n_atoms} atoms, Rw {candidate.rw:.3f}"


def detail(candidate: Candidate) -> str:
    """What was fitted, in a line of plain text."""
    fitted = {"scale": (".3f", ""), "stretch": (".4f", ""), "uiso": (".4f", " Å²"), "surface_uiso": (".4f", " Å²"),
              "delta2": (".2f", " Å²"), "qdamp": (".4f", " Å⁻¹")}  # fmt: skip
    known = candidate.parameters
    values = [f"{name} {known[name]:{form}}{unit}" for name, (form, unit) in fitted.items() if name in known]
    rigid = candidate.moved_max == 0
    moved = (
        "atoms not moved"
        if rigid
        else f"atoms moved {candidate.moved_median:.3f} Å, {candidate.moved_max:.3f} Å at most"
    )
    ended = [] if candidate.converged else ["the refinement did not converge"]
    start = [f"Candidate {title(candidate)}", f"from {candidate.source}"]
    return "; ".join([*start, *values, moved, *ended])


def ranking_table(candidates: Sequence[Candidate], diameters: Sequence[float]) -> str:
    """A row for each candidate, with a button that shows it, and a button in each heading that sorts.

    Args:
        candidates: In the order of the rows.
        diameters: Of each, in Å.
    """
    heads = "".join(
        f'<th scope="col"{_number(column.form)}><button type="button">{column.head}</button></th>' for column in COLUMNS
    )
    rank = '<th scope="col" aria-sort="ascending"><button type="button">rank</button></th>'
    rows = "".join(map(_row, candidates, diameters))
    return f'<table class="ranking"><thead><tr>{rank}{heads}</tr></thead><tbody>{rows}</tbody></table>'


def _row(candidate: Candidate, diameter: float) -> str:
    button = (
        f'<button type="button" data-show="{candidate.rank}" aria-pressed="false" '
        f'aria-label="Show candidate {candidate.rank}">{candidate.rank}</button>'
    )
    cells = "".join(_cell(column, column.value(candidate, diameter)) for column in COLUMNS)
    return f'<tr><td data-value="{candidate.rank}">{button}</td>{cells}</tr>'


def _cell(column: Column, value: float | str) -> str:
    known = isinstance(value, str) or math.isfinite(value)
    text = format(value, column.form) if known else "–"
    return f'<td{_number(column.form)} data-value="{escape(str(value)) if known else ""}">{escape(text)}</td>'


def _number(form: str) -> str:
    return ' class="number"' if form else ""
