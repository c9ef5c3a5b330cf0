"""Flags of `cbldm.unfamiliar`: how often strange samples raise one, and how often clusters of the validation split do.

Run with ``python benchmarks/bench_unfamiliar.py [--seed N] [--each N] [--familiar N]``. Each PDF is solved with default
options, which takes most of the time: about ten seconds each. A PDF that is refused with a line on its r counts as
detected, and is shown apart. Thresholds were chosen with seeds 1 and 2, so other seeds are held out.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "2")

from collections import Counter
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from strangers import FLOORS, KINDS, make_stranger

from cbldm.data.evaluation_sets import case_keys, make_case, simulate_case
from cbldm.errors import InputError
from cbldm.pipeline import solve


def main(
    seed: Annotated[int, typer.Option(help="Of the strange samples.")] = 3,
    each: Annotated[int, typer.Option(help="Samples of each kind.")] = 10,
    familiar: Annotated[int, typer.Option(help="Clusters of the validation split.")] = 42,
) -> None:
    table = Table("kind", "samples", "flagged or refused", "refused", "flags")
    for kind in KINDS:
        refused, flagged, raised = 0, 0, Counter[str]()
        for number in range(each):
            stranger = make_stranger(kind, number, seed)
            try:
                found = solve((stranger.r, stranger.g), **stranger.settings).flags
            except InputError as error:
                if " r" not in str(error):
                    raise
                refused += 1
                continue
            flagged += bool(found)
            raised.update({flag.kind for flag in found})
        table.add_row(kind, str(each), f"{100 * (flagged + refused) / each:.0f} %", str(refused), _counts(raised))
    alarms, raised = 0, Counter[str]()
    for number, key in enumerate(case_keys("validation", familiar)):
        found = solve(simulate_case(make_case(key), FLOORS[number % len(FLOORS)])).flags
        alarms += bool(found)
        raised.update({flag.kind for flag in found})
    table.add_row("validation split", str(familiar), f"{100 * alarms / familiar:.0f} %", "0", _counts(raised))
    Console(width=120).print(table)


def _counts(raised: Counter[str]) -> str:
    return ", ".join(f"{kind} {count}" for kind, count in raised.most_common())


if __name__ == "__main__":
    typer.run(main)
