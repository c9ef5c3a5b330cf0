"""What ``cbldm batch`` gains over single commands, what a second worker gains, and how much memory a worker takes.

Simulated PDFs of clusters of 30 to 250 atoms (cuts of the validation split, six metals, noise of Rw 0.03) are solved by
``cbldm batch`` with one worker and with two, and some of them by ``cbldm solve``, one command each. Every run is a
command of its own; the clock runs from its start to its end, so that loading counts. Resident memory of the workers is
read when the 20th folder appears and when the last does.

Run with ``python benchmarks/bench_batch.py [--count 200] [--single 10]``. The bars: two workers 1.8 times the
throughput of one, the batch 3 times that of single commands, at most 1.5 GB a worker, and no more at the last PDF than
at the 20th. The machine should have nothing else to do, and two cores at least.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import psutil
import typer

COMMAND = [sys.executable, "-c", "from cbldm.cli import main; main()"]
METALS = ("Pt", "Au", "Ag", "Cu", "Ni", "Pd")
#: The PDF after which memory must not grow any more.
SETTLED = 20


@dataclass
class Run:
    """Wall-clock and CPU seconds of a command with all its processes, and MB of its largest process."""

    wall: float
    cpu: float
    settled: float = 0.0
    last: float = 0.0
    largest: list[float] = field(default_factory=list)


def make_files(count: int, folder: Path) -> list[Path]:
    """Simulated PDFs whose atom counts are spread evenly."""
    import numpy as np
    import torch
    from bench_refine import measured, validation_cut

    from cbldm.data.structure_files import write_gr

    folder.mkdir()
    files = []
    for number, n_atoms in enumerate(np.linspace(30, 250, count).round().astype(int)):
        motif = ("fcc", "decahedron", "twin")[number % 3]
        cluster = validation_cut(motif, (n_atoms - 5, n_atoms + 5), torch.Generator().manual_seed(number))
        pdf, _ = measured(cluster, METALS[number % len(METALS)], np.random.default_rng(number))
        settings = {name: pdf.settings[name].value for name in ("element", "qmin", "qmax", "qdamp", "qbroad")}
        # So that large and small clusters take turns, as the memory must not depend on their order.
        files.append(folder / f"{(number * 7919) % 10007:05d}.gr")
        write_gr(files[-1], pdf.r, pdf.g, settings)
    return files


def batch(files: list[Path], workers: int, out: Path, samples: int) -> Run:
    """Solve all of them with one command, and look at its workers meanwhile."""
    words = ["batch", str(files[0].parent), "--out", str(out), "--workers", str(workers), "--quiet"]
    begin = time.perf_counter()
    process = subprocess.Popen([*COMMAND, *words, "--samples", str(samples)], env=one_thread())
    run, cpu = Run(0.0, 0.0), 0.0
    while process.poll() is None:
        done = sum(1 for _ in out.glob("[!.]*/results.json"))
        memory, cpu = look(process.pid, workers, cpu)
        if memory and done >= min(SETTLED, len(files)) and not run.settled:
            run.settled = max(memory)
        run.last = max(memory, default=run.last)
        run.largest = memory or run.largest
        time.sleep(0.25)
    if process.returncode:
        raise RuntimeError(f"batch ended with {process.returncode}")
    run.wall, run.cpu = time.perf_counter() - begin, cpu
    return run


def look(pid: int, workers: int, cpu: float) -> tuple[list[float], float]:
    """MB of each process that solves, and CPU seconds so far."""
    memory = []
    try:
        parent = psutil.Process(pid)
        everyone = [parent, *parent.children(recursive=True)]
        # One worker is the command itself; more are processes that Dask spawned.
        solving = everyone[:1] if workers == 1 else [p for p in everyone if "spawn_main" in " ".join(p.cmdline())]
        memory = [process.memory_info().rss / 2**20 for process in solving]
        cpu = max(cpu, sum(sum(process.cpu_times()[:2]) for process in everyone))
    except psutil.Error:
        pass
    return memory, cpu


def single(files: list[Path], folder: Path, samples: int) -> Run:
    """Solve each with a command of its own, with the threads that the command takes by itself."""
    begin, before = time.perf_counter(), os.times()
    for file in files:
        words = ["solve", str(file), "--out", str(folder / file.stem), "--samples", str(samples), "--quiet"]
        subprocess.run([*COMMAND, *words], check=True)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Run(time.perf_counter() - begin, cpu)


def one_thread() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1"}


def main(
    count: Annotated[int, typer.Option(help="PDFs in the batch.")] = 200,
    single_count: Annotated[int, typer.Option("--single", help="PDFs that are solved by single commands.")] = 10,
    samples: Annotated[int, typer.Option(help="Structures drawn from the model.")] = 64,
    workers: Annotated[list[int] | None, typer.Option(help="Numbers of workers; 1 and 2 where not given.")] = None,
) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("run", "PDFs", "wall s", "CPU s", "PDFs/h", "MB at the 20th", "MB at the last")
    rates = {}

    def show(name: str, n: int, run: Run) -> None:
        rates[name] = n / run.wall
        memory = (f"{value:.0f}" if value else "-" for value in (run.settled, run.last))
        table.add_row(name, str(n), f"{run.wall:.0f}", f"{run.cpu:.0f}", f"{3600 * rates[name]:.0f}", *memory)

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        files = make_files(count, folder / "pdfs")
        every = max(1, len(files) // single_count)
        some = files[every // 2 :: every][:single_count]  # of all sizes alike, as the batch is
        show("single commands", len(some), single(some, folder, samples))
        for number in workers or (1, 2):
            show(f"batch, {number}", count, batch(files, number, folder / f"out-{number}", samples))
    console = Console(width=120)
    console.print(table)
    first = rates["single commands"]
    for name, rate in rates.items():
        console.print(f"{name}: {rate / first:.2f} times the throughput of single commands", highlight=False)
    console.print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end")


if __name__ == "__main__":
    typer.run(main)
