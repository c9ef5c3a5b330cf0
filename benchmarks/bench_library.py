"""The library on measured PDFs: best template up to 256 and up to 3000 atoms by scale, stretch and Uiso alone.

Run with ``python benchmarks/bench_library.py [--data DIR]``. The files are those of ``shared/data/experimental`` beside
the repository: platinum particles ``JQ_S1.gr`` and ``JQ_S3.gr``, and ``Au144pMBA.gr``. Qdamp is 0.03 Å⁻¹, r runs from
1.5 to 20 Å, everything else is as the headers say; delta2 is 0.

The limits are what an enumeration of up to 1500 atoms reached before. Seconds are those of screening and fitting once
the library is there; the time that takes, once a process, is printed above the table, as is the memory of the process.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import resource
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cbldm.data.pdf_files import read_pdf
from cbldm.first_peak import first_peak
from cbldm.library import TemplateLibrary, extended_library

#: Element and the Rw of the earlier enumeration.
FILES = {"JQ_S1.gr": ("Pt", 0.168), "JQ_S3.gr": ("Pt", 0.219), "Au144pMBA.gr": ("Au", 0.210)}
DATA = Path(__file__).parents[2] / "shared" / "data" / "experimental"


def megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def main(data: Annotated[Path, typer.Option(help="Folder of the measured files.")] = DATA) -> None:
    console = Console(width=120)
    missing = [name for name in FILES if not (data / name).is_file()]
    if missing:
        console.print(f"skipped: {data} has no {', '.join(missing)}")
        sys.exit(0)
    before, begin = megabytes(), time.perf_counter()
    textbook, middle = TemplateLibrary(), time.perf_counter()
    extended, end = extended_library(), time.perf_counter()
    console.print(f"textbook library: {len(textbook.clusters)} templates, {middle - begin:.1f} s")
    console.print(f"extended library: {len(extended.clusters)} templates, {end - middle:.1f} s")
    table = Table("file", "library", "Rw", "limit", "N", "motif", "family", "screening", "all seconds")
    for name, (element, limit) in FILES.items():
        pdf = read_pdf(data / name, element=element, qdamp=0.03, rmin=1.5, rmax=20.0)
        dnn = first_peak(pdf)
        for words, library in (("textbook", textbook), ("extended", extended)):
            begin = time.perf_counter()
            library.screen(pdf, dnn, fit_delta2=False)
            middle = time.perf_counter()
            best = library.fit(pdf, dnn, fit_delta2=False)[0]
            end = time.perf_counter()
            cluster = best.cluster
            table.add_row(name, words, f"{best.fit.rw:.4f}", f"{limit:.3f}", str(cluster.n_atoms), cluster.motif,
                          cluster.family, f"{middle - begin:.1f}", f"{end - middle:.1f}")  # fmt: skip
    console.print(table)
    console.print(f"memory: {before:.0f} MB after the imports, {megabytes():.0f} MB at most")


if __name__ == "__main__":
    typer.run(main)
