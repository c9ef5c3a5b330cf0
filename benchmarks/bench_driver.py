"""What a batch costs the process that drives it: CPU, memory and bytes for each PDF, at the start, at the end, resumed.

``cbldm batch`` runs as it is, around workers that put a finished folder of results in place at once, so that nothing is
left but its own work: to find and name the inputs, to keep account, to look what is done, to write the table and the
page. The slope between two counts of PDFs is what each costs.

Run with ``python benchmarks/bench_driver.py [--count 4000]``.
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import typer

#: A small and quick solve for the folder that all PDFs get.
N_ATOMS, SAMPLES, CANDIDATES = 55, 8, 10
SECONDS = dict.fromkeys(("load", "sample", "search", "recover", "refine", "rank", "total", "write"), 12.345)


class Ready:
    """In place of `cbldm.batch.run.Pool`: every job is done, with these results."""

    def __init__(self, results: Path) -> None:
        self.results = results

    @contextmanager
    def outcomes(self, jobs: Sequence[Any], task: Any) -> Iterator[Iterator[Any]]:
        from cbldm.batch.work import Outcome

        def done(job: Any) -> Outcome:
            (task.out / job.name).mkdir()
            os.link(self.results, task.out / job.name / "results.json")
            return Outcome(job.name, SECONDS)

        yield (done(job) for job in jobs)


def solve_one(place: Path) -> tuple[Path, Path]:
    """A PDF and its results.json."""
    from bench_stages import make_file

    from cbldm import read_pdf, solve, write_solution

    file = place / "pdf.gr"
    make_file(N_ATOMS, file)
    write_solution(solve(read_pdf(file), samples=SAMPLES, candidates=CANDIDATES), place / "results")
    return file, place / "results" / "results.json"


def drive(place: Path, count: int, *, resume: bool) -> dict[str, float]:
    """Run a batch of so many PDFs; a process of its own, whose memory nothing else has raised."""
    from cbldm.batch.run import batch

    out = place / f"out-{count}"
    pool: Any = Ready(place / "results" / "results.json")
    reading = {"element": None, "qmax": None, "instrument": None}
    choices = {"source": "cbldm", "weights": None}
    before = (time.process_time(), time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    batch([str(place / f"in-{count}")], out, reading=reading, choices=choices, pool=pool, resume=resume)
    return {
        "CPU ms": 1000 * (time.process_time() - before[0]),
        "wall ms": 1000 * (time.perf_counter() - before[1]),
        "memory KB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before[2],
        "batch.json B": (out / "batch.json").stat().st_size,
        "trend.html B": (out / "trend.html").stat().st_size,
    }


def main(
    count: Annotated[int, typer.Option(help="PDFs of the larger batch; the smaller has a quarter.")] = 4000,
) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("each PDF", "CPU ms", "wall ms", "memory KB", "batch.json B", "trend.html B")
    with tempfile.TemporaryDirectory() as folder, get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        place = Path(folder)
        file, _ = pool.apply(solve_one, (place,))
        counts = (count // 4, count)
        for number in counts:
            (place / f"in-{number}").mkdir()
            for index in range(number):
                os.link(file, place / f"in-{number}" / f"scan_{index:07d}.gr")
        for name, resume in (("begun", False), ("resumed", True)):
            less, more = (pool.apply(drive, (place, number), {"resume": resume}) for number in counts)
            each = {key: (more[key] - less[key]) / (counts[1] - counts[0]) for key in more}
            table.add_row(name, *(f"{value:.2f}" for value in each.values()))
    console = Console(width=100)
    console.print(table)
    console.print(f"{counts[0]} and {counts[1]} PDFs; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end")


if __name__ == "__main__":
    typer.run(main)
