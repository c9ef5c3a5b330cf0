"""cbldm simulate: the PDF of a structure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cbldm.cli.shared import Seed, app, console


@app.command("simulate")
def simulate_command(
    structure: Annotated[Path, typer.Argument(help="A structure file of one cluster.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The .gr file to write.")],
    qmin: Annotated[float, typer.Option(help="Å⁻¹")] = 0.8,
    qmax: Annotated[float, typer.Option(help="Å⁻¹")] = 25.0,
    qdamp: Annotated[float, typer.Option(help="Å⁻¹")] = 0.03,
    qbroad: Annotated[float, typer.Option(help="Å⁻¹")] = 0.0,
    uiso: Annotated[float, typer.Option(help="Å²")] = 0.006,
    delta2: Annotated[float, typer.Option(help="Å²")] = 0.0,
    rmax: Annotated[float, typer.Option(help="Å")] = 30.0,
    rstep: Annotated[float, typer.Option(help="Å")] = 0.01,
    noise_floor: Annotated[float, typer.Option(help="Rw between the noisy and the noise-free PDF.")] = 0.0,
    seed: Seed = 0,
) -> None:
    """The PDF of a structure, with the effects of the instrument and noise."""
    from cbldm.data.structure_files import read_structure, write_gr
    from cbldm.simulate import simulate_structure

    atoms = read_structure(structure)
    r, g, metadata = simulate_structure(
        atoms, qmin=qmin, qmax=qmax, qdamp=qdamp, qbroad=qbroad, uiso=uiso, delta2=delta2, rmax=rmax, rstep=rstep,
        noise_floor=noise_floor, seed=seed,
    )  # fmt: skip
    write_gr(output, r, g, metadata)
    console.print(f"written to {output}: {len(r)} points, {len(atoms)} atoms", highlight=False)
