"""A solution in a terminal: the ranking, the best fit in a few rows of text, the answer, and where the files are."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from cbldm.report.posterior import SHOWN_LEVEL, Posterior, percent, span
from cbldm.types import Candidate, Fit, FloatArray, Solution

#: Heights that a cell of a picture can have, by the signs that draw them: an empty cell first, a full one last.
BLOCKS, ASCII = " ▁▂▃▄▅▆▇█", " .:-=+*#@"
#: Rows of the data and of the fit, and the most rows of the difference, which has their scale.
CURVE_ROWS, MOST_ROWS = 2, 4
#: Columns of a picture at most, and of what stands before it.
WIDEST, LABEL = 100, 12
#: More columns than any table needs.
_UNLIMITED = 1000


@dataclass(frozen=True)
class _Column:
    """A column of the ranking.

    Attributes:
        head: What stands above it.
        text: What it says of a candidate.
        dropped: Place in the order in which columns go where the terminal is narrow; 0 where it always stays.
        left: Whether it is a name, which stands left.
    """

    head: str
    text: Callable[[Candidate], str]
    dropped: int = 0
    left: bool = False


def _parameter(name: str, form: str) -> Callable[[Candidate], str]:
    return lambda candidate: format(candidate.parameters[name], form) if name in candidate.parameters else "-"


def _uiso(candidate: Candidate) -> str:
    inside, surface = (_parameter(name, ".4f")(candidate) for name in ("uiso", "surface_uiso"))
    return inside if surface == "-" else f"{inside}, surface {surface}"


def _distance(candidate: Candidate) -> str:
    return "-" if candidate.rmsd_to_rank1 is None else f"{candidate.rmsd_to_rank1:.2f}"


_COLUMNS = (
    _Column("rank", lambda c: str(c.rank)),
    _Column("source", lambda c: c.source, 3, left=True),
    _Column("N", lambda c: str(c.n_atoms)),
    _Column("motif", lambda c: c.motif, left=True),
    _Column("diameter Å", lambda c: f"{c.diameter:.1f}", 7),
    _Column("Rw", lambda c: f"{c.rw:.4f}"),
    _Column("scale", _parameter("scale", ".3f"), 1),
    _Column("stretch", _parameter("stretch", ".4f"), 2),
    _Column("Uiso Å²", _uiso, 5),
    _Column("moved Å", lambda c: f"{c.moved_median:.2f}", 6),
    _Column("RMSD to 1 Å", _distance, 4),
    _Column("weight", lambda c: f"{c.weight:.2f}"),
    _Column("group", lambda c: str(c.group)),
)


def show_solution(
    console: Console, solution: Solution, *, answer: str, posterior: Posterior | None, folder: Path
) -> None:
    """Print a solution.

    Args:
        console: Where to; its width decides which columns of the ranking are shown.
        solution: What was found.
        answer: The solution in a sentence.
        posterior: How likely each atom count and motif is; None without candidates.
        folder: Where the files are.
    """
    if posterior is not None:
        console.print(ranking_table(solution, console))
        for line in fit_lines(solution.candidates[0].fit, console.width, ascii_only=console.options.ascii_only):
            console.print(line, highlight=False, markup=False, no_wrap=True)
        console.print()
    _say(console, answer)
    if posterior is not None:
        _say(console, _likeliest(posterior))
    rejected = ", ".join(f"{count} {reason}" for reason, count in solution.rejected.items() if count)
    _say(console, f"rejected: {rejected or 'none'}; {solution.seconds['total']:.1f} s on {solution.device}")
    for warning in solution.warnings:
        _say(console, f"note: {warning}")
    _show_files(console, folder)


def _say(console: Console, text: str) -> None:
    """A line that is wrapped between words and in which nothing is markup."""
    console.print(text, highlight=False, markup=False)


def ranking_table(solution: Solution, console: Console) -> Table:
    """The candidates, with as many columns as fit beside each other."""
    columns = list(_COLUMNS)
    while True:
        table = _table(solution, columns)
        spare = [column for column in columns if column.dropped]
        needed = Measurement.get(console, console.options.update(max_width=_UNLIMITED), table).maximum
        if not spare or needed <= console.width:
            return table
        columns.remove(min(spare, key=lambda column: column.dropped))


def _table(solution: Solution, columns: list[_Column]) -> Table:
    n_found = len(solution.candidates)
    title = f"{n_found} candidate{'s, best first' if n_found > 1 else ''}"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, collapse_padding=True)
    for column in columns:
        table.add_column(column.head, justify="left" if column.left else "right", no_wrap=True)
    for candidate in solution.candidates:
        table.add_row(*(column.text(candidate) for column in columns))
    return table


def fit_lines(fit: Fit, width: int, *, ascii_only: bool = False) -> list[str]:
    r"""Data, fit and difference over r as filled curves of text, all to one scale.

    Args:
        fit: The curves.
        width: Of the terminal, in columns.
        ascii_only: Draw with signs that every terminal has.

    Returns:
        The rows of each curve, from the top, and a row that says where r starts and ends.

    >>> r = np.linspace(0, 10, 500)
    >>> print(*fit_lines(Fit(r, np.sin(r), np.sin(r)), 44), sep="\n")
    data        ▁▄▆▇██▇▆▄▁          ▁▃▆▇██▇▆▄▂
                ██████████▇▄▂▁  ▁▂▄▆██████████▇▅
    fit         ▁▄▆▇██▇▆▄▁          ▁▃▆▇██▇▆▄▂
                ██████████▇▄▂▁  ▁▂▄▆██████████▇▅
    difference  ▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄
    r (Å)       0                             10
    """
    n_columns = max(10, min(width, WIDEST) - LABEL)
    ramp = ASCII if ascii_only else BLOCKS
    data, fitted, difference = (_averaged(curve, n_columns) for curve in (fit.observed, fit.calculated, fit.difference))
    low, high = min(data.min(), fitted.min()), max(data.max(), fitted.max())
    level = (high - low) / (CURVE_ROWS * (len(ramp) - 1)) or 1.0
    rows = {
        "data": _filled(data - low, level, CURVE_ROWS, ramp),
        "fit": _filled(fitted - low, level, CURVE_ROWS, ramp),
        "difference": _difference(difference, level, ramp),
    }
    lines = []
    for name, drawn in rows.items():
        lines += [f"{name if index == 0 else '':<{LABEL}}{row}".rstrip() for index, row in enumerate(drawn)]
    start, end = f"{fit.r[0]:.3g}", f"{fit.r[-1]:.3g}"
    name = "r (A)" if ascii_only else "r (Å)"
    return [*lines, f"{name:<{LABEL}}{start}{end:>{n_columns - len(start)}}"]


def _averaged(curve: FloatArray, n_columns: int) -> FloatArray:
    """(n_columns,) mean of each stretch of a curve; the curve between its points where there are fewer of them."""
    places = np.linspace(0, len(curve) - 1, n_columns * max(1, -(-len(curve) // n_columns)))
    return np.interp(places, np.arange(len(curve)), curve).reshape(n_columns, -1).mean(axis=1)


def _difference(difference: FloatArray, level: float, ramp: str) -> list[str]:
    """Rows around zero, which is the middle of a row where that is enough."""
    full = level * (len(ramp) - 1)
    reach = float(np.abs(difference).max())
    n_rows = 1 if 2 * reach <= full else min(MOST_ROWS, 2 * math.ceil(reach / full))
    return _filled(difference + n_rows * full / 2, level, n_rows, ramp)


def _filled(heights: FloatArray, level: float, n_rows: int, ramp: str) -> list[str]:
    """Columns of these heights, from the bottom, as rows from the top."""
    full = len(ramp) - 1
    levels = np.round(heights / level).astype(int)
    return ["".join(ramp[int(np.clip(n - full * row, 0, full))] for n in levels) for row in reversed(range(n_rows))]


def _likeliest(posterior: Posterior) -> str:
    """The range of atom counts and the likeliest motif."""
    ends = span(*map(str, posterior.ranges[SHOWN_LEVEL]))
    motif, share = next(iter(posterior.motif.items()))
    return f"atom count: {ends} with {percent(SHOWN_LEVEL)} probability; likeliest motif: {motif} ({percent(share)})"


def _show_files(console: Console, folder: Path) -> None:
    """Where to look first, of what is there."""
    kinds = {
        "report.html": "everything, for a browser",
        "candidates/01.xyz": "the best structure",
        "fits/01.fgr": "its curves",
        "fit.png": "a picture of them",
        "results.json": "everything in numbers",
    }
    console.print(f"written to {folder}", highlight=False, markup=False, soft_wrap=True)
    for name, what in kinds.items():
        if (folder / name).exists():
            console.print(f"  {name:<18}  {what}", highlight=False, markup=False)
