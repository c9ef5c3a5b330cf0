"""What each stage of ``cbldm solve`` costs, from the start of the command to the last file: CPU and wall-clock seconds.

Simulated PDFs of 55, 150 and 250 atoms (fcc cuts of the validation split, noise of Rw 0.03), ten candidates. Each run
is the command itself in a fresh process with clocks around its parts; time is charged to the innermost part. ``start``
is the interpreter with all imports but those of the pictures; ``templates`` the loading of the library, or its making
where the cache is empty; ``screen`` the fit of templates; ``fit`` the least squares of size and motion; ``refine`` the
positions. ``Solution.seconds`` holds wall-clock seconds of whole stages, here the parts are kept apart. The clocks are
those of the main thread: what runs beside it, as the library with ``--source all``, shows in the CPU seconds of the
part that it was at.

Run with ``python benchmarks/bench_stages.py [--source all] [--atoms 150]``; threads are those of ``OMP_NUM_THREADS``,
one for each core by default. The bar is 15 s on 2 free cores for 150 atoms.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

SOURCES = ("cbldm", "library", "all")
SIZES = (55, 150, 250)
#: Names of the parts, and where the functions are that make them up.
PARTS = (
    ("read", "cbldm.data.pdf_files", "read_pdf"),
    ("first peak", "cbldm.pipeline", "first_peak"),
    ("weights", "cbldm.pipeline", "load_weights"),
    ("templates", "cbldm.pipeline", "extended_library"),
    ("screen", "cbldm.library.TemplateLibrary", "fit"),
    ("estimate", "cbldm.pipeline", "describe"),
    ("sample", "cbldm.models.cbldm.CbLdm", "draw"),
    ("search", "cbldm.pipeline", "explore"),
    ("recover", "cbldm.pipeline", "recover"),
    ("fit", "cbldm.pipeline", "fit_parameters"),
    ("refine", "cbldm.pipeline", "judged"),
    ("rank", "cbldm.pipeline", "distinct"),
    ("rank", "cbldm.pipeline", "rank"),
    ("write", "cbldm.results", "write_solution"),
)
ORDER = ("start", *dict.fromkeys(name for name, _, _ in PARTS), "rest")


def now() -> tuple[float, float]:
    """CPU and wall-clock seconds."""
    return time.process_time(), time.perf_counter()


class Stopwatch:
    """Seconds of each part, those of parts inside it left out."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        self._open = ["rest"]
        self._since = (0.0, 0.0)

    def begin(self) -> None:
        """What the process has used so far is the start; the wall clock knows nothing of it."""
        self._since = now()
        self.seconds["start"] = [self._since[0], 0.0]

    def switch(self) -> None:
        """Charge the time since the last switch to the innermost open part."""
        cpu, wall = now()
        spent = self.seconds[self._open[-1]]
        spent[0] += cpu - self._since[0]
        spent[1] += wall - self._since[1]
        self._since = (cpu, wall)

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        self.switch()
        self._open.append(name)
        yield
        self.switch()
        self._open.pop()

    def watch(self, name: str, place: str, attribute: str) -> None:
        """Put a clock around a function of a module or class."""
        home: Any
        try:
            home = importlib.import_module(place)
        except ModuleNotFoundError:
            module, _, owner = place.rpartition(".")
            home = getattr(importlib.import_module(module), owner)
        function = getattr(home, attribute)

        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            if threading.current_thread() is not threading.main_thread():
                return function(*args, **kwargs)
            with self.part(name):
                return function(*args, **kwargs)

        setattr(home, attribute, timed)


def inside(words: list[str]) -> None:
    """Run the command line with clocks and print the seconds as JSON."""
    stopwatch = Stopwatch()
    for name, place, attribute in PARTS:
        stopwatch.watch(name, place, attribute)
    from cbldm.cli import main as command

    sys.argv[1:] = words
    stopwatch.begin()
    with contextlib.suppress(SystemExit):
        command()
    stopwatch.switch()
    print(json.dumps(stopwatch.seconds))


def make_file(n_atoms: int, path: Path) -> None:
    """The PDF to be solved."""
    import numpy as np
    import torch
    from bench_refine import measured, validation_cut

    from cbldm.data.structure_files import write_gr

    cluster = validation_cut("fcc", (n_atoms, n_atoms), torch.Generator().manual_seed(n_atoms))
    pdf, _ = measured(cluster, "Pt", np.random.default_rng(n_atoms))
    settings = {name: pdf.settings[name].value for name in ("element", "qmin", "qmax", "qdamp", "qbroad")}
    write_gr(path, pdf.r, pdf.g, settings)


def run(file: Path, source: str, out: Path) -> dict[str, list[float]]:
    """Seconds of each part, ``start`` and ``total`` among them, [CPU, wall clock]."""
    words = ["solve", str(file), "--source", source, "--candidates", "10", "--out", str(out), "--quiet"]
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, __file__, "--inside", *words], check=True, stdout=subprocess.PIPE, text=True
    )  # fmt: skip
    total = time.perf_counter() - begin
    seconds: dict[str, list[float]] = json.loads(done.stdout)
    seconds["start"][1] = total - sum(wall for _, wall in seconds.values())
    return seconds | {"total": [sum(cpu for cpu, _ in seconds.values()), total]}


def main(
    source: Annotated[
        list[str] | None, typer.Option(help="One or more of cbldm, library, all; else all three.")
    ] = None,
    atoms: Annotated[list[int] | None, typer.Option(help="One or more atom counts; else 55, 150 and 250.")] = None,
) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=120)
    with tempfile.TemporaryDirectory() as folder:
        files = {n_atoms: Path(folder) / f"{n_atoms}.gr" for n_atoms in atoms or SIZES}
        for n_atoms, file in files.items():
            make_file(n_atoms, file)
        for name in source or SOURCES:
            found = {n: run(file, name, Path(folder) / f"{name}-{n}") for n, file in files.items()}
            table = Table("part", *(f"{n} atoms: CPU s / wall s" for n in files), title=f"--source {name}")
            for part in (*ORDER, "total"):
                if any(part in seconds for seconds in found.values()):
                    cells = (found[n].get(part, [0.0, 0.0]) for n in files)
                    table.add_row(part, *(f"{cpu:.2f} / {wall:.2f}" for cpu, wall in cells))
            console.print(table)
    load, threads = os.getloadavg()[0], os.environ.get("OMP_NUM_THREADS", "all")
    console.print(f"{os.cpu_count()} cores, {threads} threads, load {load:.1f} at the end")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        inside(sys.argv[2:])
    else:
        typer.run(main)
