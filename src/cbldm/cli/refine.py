"""cbldm refine: a structure that is given."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cbldm.cli.shared import (
    BackgroundTerms,
    FitQdamp,
    InstrumentFile,
    Qbroad,
    Qdamp,
    Qmax,
    Qmin,
    Rmax,
    Rmin,
    RUnit,
    SurfaceUiso,
    app,
    console,
    show_settings,
    unit,
)
from cbldm.loading import loading


@app.command("refine")
def refine_command(
    structure: Annotated[Path, typer.Argument(help="A structure file of one cluster.")],
    file: Annotated[Path, typer.Argument(help="A G(r) file.")],
    out: Annotated[Path | None, typer.Option(help="Folder for refined.xyz and refined.fgr.")] = None,
    qmin: Qmin = None,
    qmax: Qmax = None,
    qdamp: Qdamp = None,
    qbroad: Qbroad = None,
    instrument: InstrumentFile = None,
    rmin: Rmin = None,
    rmax: Rmax = None,
    background: BackgroundTerms = None,
    r_unit: RUnit = None,
    fit_qdamp: FitQdamp = False,
    fit_surface_uiso: SurfaceUiso = False,
    rigid: Annotated[bool, typer.Option("--rigid", help="Fit scale, stretch, Uiso and delta2 only.")] = False,
) -> None:
    """Fit a structure that you have to a PDF."""
    from cbldm.data.pdf_files import read_pdf
    from cbldm.data.structure_files import read_structure, write_fgr, write_xyz

    atoms = read_structure(structure)
    pdf = read_pdf(file, element=atoms.get_chemical_symbols()[0], qmin=qmin, qmax=qmax, qdamp=qdamp, qbroad=qbroad,
                   rmin=rmin, rmax=rmax, background=background, r_unit=unit(r_unit),
                   instrument=instrument)  # fmt: skip
    show_settings(pdf)

    with loading():
        from cbldm.ligands import background_note
        from cbldm.pipeline import QDAMP_DOUBT, refine_structure
        from cbldm.rescue import not_rescued

    candidate = refine_structure(pdf, atoms, fit_qdamp=fit_qdamp, fit_surface_uiso=fit_surface_uiso, rigid=rigid)
    if fit_qdamp:
        console.print(f"note: {QDAMP_DOUBT}", highlight=False)
    p = candidate.parameters
    surface = f"surface Uiso {p['surface_uiso']:.4f} Å², " if fit_surface_uiso else ""
    Console().print(
        f"Rw {candidate.rw:.4f}, {candidate.n_atoms} atoms, {candidate.motif}, scale {p['scale']:.4f}, "
        f"stretch {p['stretch']:.4f}, Uiso {p['uiso']:.4f} Å², {surface}delta2 {p['delta2']:.2f} Å², "
        f"qdamp {p['qdamp']:.4f} Å⁻¹, "
        f"atoms moved {candidate.moved_median:.3f} Å (median), {candidate.moved_max:.3f} Å (max)",
        highlight=False, soft_wrap=True,
    )  # fmt: skip
    if (note := background_note(pdf, candidate.fit)) is not None:
        console.print(f"note: {note}", highlight=False, soft_wrap=True)
    if not rigid and (doubt := not_rescued(candidate)) is not None:
        console.print(f"note: {doubt}", highlight=False, soft_wrap=True)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_xyz(out / "refined.xyz", candidate.atoms)
        write_fgr(out / "refined.fgr", candidate.fit, {"element": pdf.element, "rw": candidate.rw})
