"""cbldm info: what is in a file."""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cbldm.cli.shared import (
    Element,
    InstrumentFile,
    Json,
    Qbroad,
    Qdamp,
    Qmax,
    Qmin,
    Rmax,
    Rmin,
    RUnit,
    app,
    show_settings,
    unit,
)
from cbldm.loading import loading


@app.command("info")
def info_command(
    file: Annotated[Path, typer.Argument(help="A G(r) file.")],
    element: Element = None,
    qmin: Qmin = None,
    qmax: Qmax = None,
    qdamp: Qdamp = None,
    qbroad: Qbroad = None,
    instrument: InstrumentFile = None,
    rmin: Rmin = None,
    rmax: Rmax = None,
    r_unit: RUnit = None,
    as_json: Json = False,
) -> None:
    """What was read from a file, the nearest-neighbour distance and the expected size."""
    from cbldm.data.pdf_files import read_pdf

    pdf = read_pdf(file, element=element, qmin=qmin, qmax=qmax, qdamp=qdamp, qbroad=qbroad, rmin=rmin, rmax=rmax,
                   r_unit=unit(r_unit), instrument=instrument)  # fmt: skip

    with loading():
        from cbldm.pipeline import inspect_pdf

    found = inspect_pdf(pdf)
    if as_json:
        settings = {name: {"value": s.value, "source": s.source, "note": s.note} for name, s in pdf.settings.items()}
        found = {"file": pdf.file, "sha256": pdf.sha256, "dialect": pdf.dialect, "settings": settings} | found
        sys.stdout.write(json.dumps(found | {"warnings": list(pdf.warnings)}, indent=2, ensure_ascii=False) + "\n")
        return
    out = Console()
    show_settings(pdf)
    step = float(statistics.median(pdf.r[1:] - pdf.r[:-1]))
    out.print(f"data: {len(pdf.r)} points, {pdf.r[0]:g} to {pdf.r[-1]:g} Å, step {step:g} Å", highlight=False)
    out.print(f"nearest-neighbour distance: {found['dnn']:.3f} Å (first peak)", highlight=False)
    low, middle, high = found["n_atoms"]
    out.print(f"expected size: {middle} atoms (90 % between {low} and {high})", highlight=False)
    motifs = ", ".join(f"{name} {share:.0%}" for name, share in found["motif"].items() if share >= 0.01)
    out.print(f"motif: {motifs}", highlight=False)
    for warning in [*pdf.warnings, *found["advice"]]:
        out.print(f"note: {warning}", highlight=False)
