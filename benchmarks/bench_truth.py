"""Solve the six simulated PDFs of the DeepStruc authors and print truth and answer side by side.

The files lie in ../shared/data/simulated and are not part of this repository. What they really are is said there: Qmin
0.7 acts as 0.737 and Qmax 25 as 25.02 (DiffPy's grid), Qdamp 0, r computed at 0.01 i but labelled 0.03 % too long.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import ase.io
import numpy as np
from rich.console import Console
from rich.table import Table

from cbldm import pdf_from_arrays, solve
from cbldm.geometry.motif import name_motif
from cbldm.metrics import f1, rmsd

SIMULATED = Path(__file__).parents[2] / "shared" / "data" / "simulated"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", default="cbldm", choices=("cbldm", "library", "all"))
    parser.add_argument("--samples", type=int, default=64)
    options = parser.parse_args()
    console = Console(width=150)
    files = sorted(SIMULATED.glob("*.gr"))
    if not files:
        console.print("the folder shared/data/simulated is not beside this repository: nothing to do")
        return
    table = Table(title=f"truth and rank 1, --source {options.source}, {options.samples} samples", title_justify="left")
    names = ("file", "N", "found", "motif", "found", "RMSD Å", "F1", "best F1 of 10", "Rw", "s")
    for name in names:
        table.add_column(name)
    for path in files:
        truth = ase.io.read(path.with_suffix(".xyz"))
        _, g = np.loadtxt(path, unpack=True)
        pdf = pdf_from_arrays(
            0.01 * np.arange(len(g)), g, element=truth.get_chemical_symbols()[0], qmin=0.737, qmax=25.02, qdamp=0.0
        )
        solution = solve(pdf, source=options.source, samples=options.samples)
        best = solution.candidates[0]
        scores = [f1(truth.positions, candidate.atoms.positions) for candidate in solution.candidates]
        same = best.n_atoms == len(truth)
        distance = f"{rmsd(truth.positions, best.atoms.positions):.3f}" if same else "-"
        table.add_row(
            path.stem, str(len(truth)), str(best.n_atoms), name_motif(truth.positions), best.motif, distance,
            f"{scores[0]:.3f}", f"{max(scores):.3f}", f"{best.rw:.4f}", f"{solution.seconds['total']:.1f}",
        )  # fmt: skip
    console.print(table)


if __name__ == "__main__":
    main()
