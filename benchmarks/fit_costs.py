"""A cost model from finished batches: seconds of each stage over the atom count, and what many PDFs take.

The mean cost of a stage is fitted as a + b N by least squares, N being the atom count of the best candidate; the fits
of the stages add up to that of the whole. ``times.csv`` holds wall-clock seconds, so the batch should have had a free
core for each worker.

Run with ``python benchmarks/fit_costs.py OUT... [--count 1000000] [--workers 64]``, where OUT are folders of
``cbldm batch``. What was measured so is in docs/scaling.md.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from cbldm.errors import InputError

#: Atom counts at which the fits are shown.
SHOWN = (30, 100, 150, 200, 250)
#: The sum of the stages of a solve, which is no stage itself.
TOTAL = "total"
HOUR, YEAR = 3600.0, 365.25 * 24 * 3600.0


@dataclass(frozen=True)
class Cost:
    """Seconds of one stage.

    Attributes:
        fixed: Of a PDF without atoms.
        each: For each atom.
        mean: Over the PDFs of the batch.
        spread: Standard deviation of seconds over the fit, relative to the mean.
    """

    fixed: float
    each: float
    mean: float
    spread: float

    def at(self, n_atoms: float) -> float:
        return self.fixed + self.each * n_atoms


def read_times(out: Path) -> Iterator[tuple[float, dict[str, float]]]:
    """Atom count and seconds of each stage, of every PDF that has both.

    Raises:
        InputError: The folder is not of a finished batch.
    """
    try:
        with (out / "series.csv").open(newline="", encoding="utf-8") as file:
            atoms = {row["name"]: float(row["n_atoms"]) for row in csv.DictReader(file) if row["n_atoms"]}
        with (out / "times.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            name = row.pop("name")
            if name in atoms and row.get(TOTAL):
                yield atoms[name], {stage: float(cell) for stage, cell in row.items() if cell and stage != TOTAL}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{str(out)!r} must hold times.csv and series.csv of a finished batch: {error}") from error


def fit_costs(times: Sequence[tuple[float, Mapping[str, float]]]) -> dict[str, Cost]:
    """The cost of each stage in its order, and of all together as ``total``.

    Raises:
        InputError: There is no PDF.
    """
    if not times:
        raise InputError("no PDF has both an atom count and times; solve some first")
    n_atoms = np.array([n for n, _ in times])
    stages = list(dict.fromkeys(stage for _, seconds in times for stage in seconds))
    seconds = np.array([[found.get(stage, 0.0) for stage in stages] for _, found in times])
    costs = {stage: _fit(n_atoms, column) for stage, column in zip(stages, seconds.T, strict=True)}
    return costs | {TOTAL: _fit(n_atoms, seconds.sum(axis=1))}


def _fit(n_atoms: np.ndarray, seconds: np.ndarray) -> Cost:
    mean = float(seconds.mean())
    each, fixed = np.polyfit(n_atoms, seconds, 1) if np.ptp(n_atoms) > 0 else (0.0, mean)
    spread = float(np.std(seconds - fixed - each * n_atoms)) / mean if mean > 0 else 0.0
    return Cost(float(fixed), float(each), mean, spread)


def speed_up(share: float, factor: float = np.inf) -> float:
    """Amdahl's law: of the whole, where a share of it becomes faster by a factor.

    Example:
        >>> speed_up(0.5), speed_up(0.5, 2.0)
        (2.0, 1.3333333333333333)
    """
    return 1.0 / (1.0 - share + share / factor)


def main(
    out: Annotated[list[Path], typer.Argument(help="Folders of cbldm batch.")],
    count: Annotated[int, typer.Option(help="PDFs that are planned, of the sizes of these.")] = 1_000_000,
    workers: Annotated[list[int] | None, typer.Option(help="Cores that are planned; else 1 and 64.")] = None,
) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=120)
    times = [found for folder in out for found in read_times(folder)]
    costs = fit_costs(times)
    whole = costs[TOTAL]
    table = Table("stage", "a s", "b ms", *(f"N = {n}" for n in SHOWN), "mean s", "spread %", "share %", "without it")
    for stage, cost in costs.items():
        share = cost.mean / whole.mean
        gain = "" if stage == TOTAL else f"{speed_up(share):.2f} x"
        shown = (f"{value:.2f}" for value in (cost.fixed, 1000 * cost.each, *map(cost.at, SHOWN), cost.mean))
        table.add_row(stage, *shown, f"{100 * cost.spread:.0f}", f"{100 * share:.0f}", gain)
    console.print(table)
    console.print(f"{len(times)} PDFs of {min(n for n, _ in times):.0f} to {max(n for n, _ in times):.0f} atoms")
    for number in workers or (1, 64):
        seconds = count * whole.mean / number
        console.print(f"{count} PDFs on {number} cores: {seconds / HOUR:.0f} h, {seconds / YEAR:.2f} years")


if __name__ == "__main__":
    typer.run(main)
