"""cbldm calibrate: Qdamp and Qbroad from a standard."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from cbldm.cli.shared import Element, Qmax, Qmin, Rmin, RUnit, app, console, unit


@app.command("calibrate")
def calibrate_command(
    file: Annotated[Path, typer.Argument(help="The G(r) of a bulk crystal of one element.")],
    element: Element = None,
    lattice: Annotated[
        str | None, typer.Option(help="fcc, bcc, hcp or diamond; that of the element where not given.")
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="The TOML file to write.")] = Path("instrument.toml"),
    qmin: Qmin = None,
    qmax: Qmax = None,
    rmin: Rmin = None,
    rmax: Annotated[
        float | None, typer.Option(help="End of the fitted range, Å; that of the data where not given, at most 60.")
    ] = None,
    r_unit: RUnit = None,
) -> None:
    """Qdamp and Qbroad of an instrument, from the PDF of a bulk standard."""
    from cbldm.calibrate import calibrate
    from cbldm.data.instrument_files import check_replaceable
    from cbldm.data.pdf_files import read_pdf
    from cbldm.data.structure_files import write_text

    check_replaceable(output)
    pdf = read_pdf(file, element=element, qmin=qmin, qmax=qmax, rmin=rmin, rmax=rmax, r_unit=unit(r_unit))
    found = calibrate(pdf, lattice)
    write_text(output, found.text())
    settings = found.pdf.settings
    units = {"qdamp": "Å⁻¹", "qbroad": "Å⁻¹", "a": "Å", "c": "Å", "uiso": "Å²", "delta2": "Å²", "scale": ""}
    table = Table(title=f"{pdf.file}: bulk {found.lattice} {pdf.element}", title_justify="left", box=SIMPLE_HEAD)
    for name in ("parameter", "value", "uncertainty", "unit"):
        table.add_column(name, justify="right" if name in ("value", "uncertainty") else "left")
    for name, value in found.values.items():
        known = found.uncertainties.get(name)
        table.add_row(name, f"{value:.5g}", "fixed" if known is None else f"{known:.1g}", units[name])
    out = Console()
    out.print(table)
    correlation = "" if found.correlation is None else f", correlation of qdamp and qbroad {found.correlation:.2f}"
    used = "r {rmin:g} to {rmax:g} Å, Q {qmin:g} to {qmax:g} Å⁻¹".format(**{k: s.value for k, s in settings.items()})
    out.print(f"Rw {found.fit.rw:.4f} on {used}{correlation}", highlight=False, soft_wrap=True)
    for warning in found.warnings:
        out.print(f"note: {warning}", highlight=False, soft_wrap=True)
    console.print(f"written to {output}", highlight=False)
