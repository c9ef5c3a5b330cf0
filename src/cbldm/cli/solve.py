"""cbldm solve: one PDF: structures, ranked."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cbldm.cli.shared import Json, Quiet, app, console, show_settings, watching
from cbldm.cli.solving import Solving, takes_solving
from cbldm.loading import loading


@app.command("solve")
@takes_solving
def solve_command(
    file: Annotated[Path, typer.Argument(help="A G(r) file.")],
    solving: Solving,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results; FILE_cbldm beside the file by default.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """PDF in, ranked structures out."""
    choices, reading = solving.choices(), solving.reading()

    from cbldm.report.painter import painting
    from cbldm.results import answer, check_folder, posterior, results_text, write_solution

    folder = out or file.with_name(f"{file.stem}_cbldm")
    check_folder(folder)
    with painting() as painter:
        from cbldm.data.pdf_files import read_pdf
        from cbldm.data.pdf_settings import require_metal

        pdf = read_pdf(file, **reading)
        require_metal(pdf)
        if not quiet:
            show_settings(pdf)

        with loading():
            from cbldm.pipeline import solve
            from cbldm.report.terminal import show_solution

        with watching(quiet) as watch:
            solution = solve(pdf, watch=watch, **choices)
        write_solution(solution, folder, report=solving.report, painter=painter)
    if not quiet:
        show_solution(console, solution, answer=answer(solution.candidates),
                      posterior=posterior(solution.candidates), folder=folder)  # fmt: skip
    if as_json:
        sys.stdout.write(results_text(solution))
