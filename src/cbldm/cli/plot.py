"""cbldm plot: figures for a publication."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cbldm.cli.shared import app, console


@app.command("plot")
def plot_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that solve wrote.")],
    what: Annotated[str, typer.Option(help="fit, structures or posterior.")] = "fit",
    form: Annotated[
        str | None, typer.Option("--format", help="png, svg or pdf; that of the output's name, else pdf.")
    ] = None,
    style: Annotated[str | None, typer.Option(help="A .mplstyle file, or the name of a matplotlib style.")] = None,
    candidate: Annotated[
        int | None, typer.Option(help="Rank of the one that is drawn; the best fit, all structures where not given.")
    ] = None,
    width: Annotated[
        float | None, typer.Option(help="Inches; 3.4 (one column), for structures 7 (two) where not given.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file to write; WHAT.FORMAT here by default.")
    ] = None,
) -> None:
    """A figure for a publication from the results of solve."""
    from cbldm.report.plots import check_figure, draw_figure

    form = form or ("pdf" if output is None or not output.suffix else output.suffix[1:].lower())
    check_figure(what, form, width)

    from cbldm.results import posterior
    from cbldm.saved import read_candidates

    candidates = read_candidates(folder)
    path = output or Path(f"{what}.{form}")
    draw_figure(what, candidates, posterior(candidates), path, form=form, style=style, rank=candidate, width=width)
    console.print(f"written to {path}", highlight=False)
