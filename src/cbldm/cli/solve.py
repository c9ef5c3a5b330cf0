"""cbldm solve: one PDF: structures, ranked."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cbldm.cli.shared import (
    BackgroundTerms,
    Element,
    From,
    InstrumentFile,
    Json,
    Qbroad,
    Qdamp,
    Qmax,
    Qmin,
    Quiet,
    Rmax,
    Rmin,
    RUnit,
    Seed,
    app,
    console,
    show_settings,
    span,
    unit,
    watching,
)
from cbldm.options import Options


@app.command("solve")
def solve_command(
    file: Annotated[Path, typer.Argument(help="A G(r) file.")],
    element: Element = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results; FILE_cbldm beside the file by default.")
    ] = None,
    samples: Annotated[int, typer.Option(help="Structures drawn from the model.")] = 64,
    candidates: Annotated[int, typer.Option(help="Structures shown.")] = 10,
    n_atoms: Annotated[str | None, typer.Option(help="Allowed atom counts, LO-HI.")] = None,
    qmin: Qmin = None,
    qmax: Qmax = None,
    qdamp: Qdamp = None,
    qbroad: Qbroad = None,
    instrument: InstrumentFile = None,
    rmin: Rmin = None,
    rmax: Rmax = None,
    background: BackgroundTerms = None,
    r_unit: RUnit = None,
    fit_qdamp: Annotated[bool, typer.Option("--fit-qdamp", help="Fit Qdamp too; it trades off with the size.")] = False,
    source: From = "cbldm",
    seed: Seed = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    weights: Annotated[Path | None, typer.Option(help="Folder of a trained model; the shipped one by default.")] = None,
    report: Annotated[bool, typer.Option(help="Write report.html, which shows everything in a browser.")] = True,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """PDF in, ranked structures out."""
    options: dict[str, Any] = {
        "samples": samples, "candidates": candidates, "n_atoms": span(n_atoms), "source": source, "seed": seed,
        "device": device, "fit_qdamp": fit_qdamp, "weights": weights,
    }  # fmt: skip
    Options(**options)

    from cbldm.data.pdf_files import read_pdf
    from cbldm.data.pdf_settings import require_metal
    from cbldm.report.terminal import show_solution
    from cbldm.results import answer, check_folder, posterior, results_text, write_solution

    folder = out or file.with_name(f"{file.stem}_cbldm")
    check_folder(folder)
    pdf = read_pdf(file, element=element, qmin=qmin, qmax=qmax, qdamp=qdamp, qbroad=qbroad, rmin=rmin, rmax=rmax,
                   background=background, r_unit=unit(r_unit), instrument=instrument)  # fmt: skip
    require_metal(pdf)
    if not quiet:
        show_settings(pdf)

    from cbldm.pipeline import solve

    with watching(quiet) as watch:
        solution = solve(pdf, watch=watch, **options)
    write_solution(solution, folder, report=report)
    if not quiet:
        show_solution(console, solution, answer=answer(solution.candidates),
                      posterior=posterior(solution.candidates), folder=folder)  # fmt: skip
    if as_json:
        sys.stdout.write(results_text(solution))
