"""Refinement from a rattled truth: is 0.2 Å of noise undone, and is a start that cannot be rescued reported as such?

Clusters of every motif, 55 to 250 atoms, of the validation split: none was trained on and none is in an evaluation set.
One size of the close-packed ones is relaxed by EMT. The PDF has noise that alone makes an Rw of 0.03. A start is the
truth with Gaussian noise on every coordinate; its amplitude is the root mean square of an atom's displacement in three
dimensions. RMSD is that of atoms in the same order after the best superposition, before and after. Two paths:

* ``refine``: what `cbldm refine` does, where data left out of the fit decide how far atoms may move. It refuses starts
  with overlapping atoms, and says of a result in one line when it is no answer (`cbldm.rescue.not_rescued`),
* ``known noise``: `refine_positions` told the Rw that the noise makes, refused starts too.

Run with ``python benchmarks/bench_refine.py [--per-motif 4] [--amplitude 0.2 --amplitude 0.7] [--out FILE.json]``.
"""

from __future__ import annotations

import os

if __name__ == "__main__":  # another benchmark that imports this one has its own number of threads
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from ase import Atoms
from rich.console import Console
from rich.table import Table

from cbldm.data.cuts import draw
from cbldm.data.evaluation_sets import BISO, BULK_DNN, DELTA2, QDAMP, QMAX, QMIN, R_END, R_STEP, STRAIN
from cbldm.data.noise import noise_at_floor
from cbldm.data.pdf_files import pdf_from_arrays
from cbldm.data.relaxation import BULK_BOND, CLOSE_PACKED, relax_emt
from cbldm.data.splits import in_split
from cbldm.errors import CbldmError, InputError
from cbldm.geometry.fingerprint import fingerprints
from cbldm.geometry.frames import FRAME_OF_MOTIF
from cbldm.geometry.poses import best_rotation
from cbldm.physics.fast import fast_gr
from cbldm.pipeline import THOROUGH, refine_structure
from cbldm.refine import fit_parameters, refine_positions
from cbldm.rescue import not_rescued
from cbldm.types import MOTIFS, Cluster, FloatArray, Instrument, Pdf

#: Atom counts, Rw of the noise, and the RMSD in Å up to which a start counts as rescued.
FEWEST, MOST, FLOOR, RESCUED = 55, 250, 0.03, 0.15
#: Largest force that the relaxation leaves, in eV/Å.
FORCE = 0.1
#: The bars: median RMSD in Å after a start at 0.2 Å, and share of starts that are not worse after than before.
BAR_RMSD, BAR_SHARE = 0.08, 0.95


def validation_cut(motif: str, n_atoms: tuple[int, int], generator: torch.Generator) -> Cluster:
    """A cut of a motif and an allowed atom count, of the validation split."""
    while True:
        cuts = draw(FRAME_OF_MOTIF[motif], 64, generator, n_atoms)
        mine = in_split(fingerprints(cuts.frame, cuts.occupancy), "validation")
        mine &= cuts.motif == MOTIFS.index(motif)
        if mine.any():
            sites = cuts.frame.sites[cuts.occupancy[mine][0].numpy()]
            return Cluster(sites - sites.mean(axis=0), motif, "cut")


def clusters(per_motif: int, seed: int) -> Iterator[tuple[Cluster, str]]:
    """Clusters of every motif in mixed sizes, and the element of each; the second smallest ones relaxed."""
    rng = np.random.default_rng(seed)
    edges = np.linspace(FEWEST, MOST + 1, per_motif + 1).astype(int)
    for round_, (place, motif) in product(range(per_motif), enumerate(MOTIFS)):
        # Every beginning of the list holds all motifs, small clusters and large ones.
        stratum = (round_ + place) % per_motif
        relaxed = stratum == 1 and motif in CLOSE_PACKED
        element = str(rng.choice(list(BULK_BOND if relaxed else BULK_DNN)))
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        cluster = validation_cut(motif, (int(edges[stratum]), int(edges[stratum + 1]) - 1), generator)
        try:
            yield (relax_emt(cluster, element, FORCE) if relaxed else cluster), element
        except CbldmError:
            yield cluster, element  # a few walk on for ever over a flat energy


def measured(cluster: Cluster, element: str, rng: np.random.Generator) -> tuple[Pdf, FloatArray]:
    """The PDF of a cluster, and the true positions in Å."""
    truth = BULK_DNN[element] * float(rng.uniform(*STRAIN)) * cluster.positions
    instrument = Instrument(*(float(rng.uniform(*bounds)) for bounds in (QMIN, QMAX, QDAMP)))
    motion = {"uiso": float(rng.uniform(*BISO)) / (8 * np.pi**2), "delta2": float(rng.uniform(*DELTA2))}
    r = R_STEP * np.arange(round(R_END / R_STEP) + 1)
    g = fast_gr(torch.from_numpy(r), torch.from_numpy(truth)[None], **asdict(instrument), **motion)[0].numpy()
    noise = noise_at_floor(r, g, instrument.qmax, FLOOR, rng)
    return pdf_from_arrays(r, g + noise, element=element, **asdict(instrument)), truth


def rmsd(truth: FloatArray, found: FloatArray) -> float:
    """RMSD of atoms in the same order, up to rigid motion and reflection."""
    home, away = truth - truth.mean(axis=0), found - found.mean(axis=0)
    return float(np.sqrt(np.mean(np.sum((away @ best_rotation(home, away).T - home) ** 2, axis=1))))


def by_command(pdf: Pdf, start: FloatArray) -> dict[str, Any]:
    """What `cbldm refine` makes of a start, and what it says of it."""
    try:
        end = refine_structure(pdf, Atoms(f"{pdf.element}{len(start)}", positions=start))
    except InputError as error:
        return {"positions": start, "refused": True, "said": str(error)}
    return {
        "positions": end.atoms.get_positions(), "said": not_rescued(end), "rw": end.rw, "rw_left_out": end.rw_left_out,
        "rw_left_out_rigid": end.rw_left_out_rigid, "moved_median": end.moved_median, "moved_max": end.moved_max,
        "freedom": end.freedom, "converged": end.converged,
    }  # fmt: skip


def by_noise(pdf: Pdf, start: FloatArray) -> dict[str, Any]:
    """What the refinement makes of a start when the noise is known."""
    (end,) = refine_positions(pdf, fit_parameters(pdf, [start]), noise=FLOOR, max_iterations=THOROUGH)
    return {
        "positions": end.positions, "rw": end.rw, "moved_median": end.moved_median, "moved_max": end.moved_max,
        "freedom": end.freedom, "converged": end.converged, "restraint": end.restraint,
    }  # fmt: skip


PATHS = {"refine": by_command, "known noise": by_noise}


def measure(per_motif: int, amplitudes: list[float], seed: int) -> Iterator[dict[str, Any]]:
    """One row for each cluster, amplitude and path."""
    for number, (cluster, element) in enumerate(clusters(per_motif, seed)):
        rng = np.random.default_rng([seed, number])
        pdf, truth = measured(cluster, element, rng)
        direction = rng.normal(size=truth.shape) / np.sqrt(3)
        for amplitude, path in product(amplitudes, PATHS):
            start = truth + amplitude * direction
            begin = time.process_time()
            found = PATHS[path](pdf, start)
            known = {"motif": cluster.motif, "relaxed": "relaxed" in cluster.parameters, "n_atoms": len(truth)}
            ends = {"before": rmsd(truth, start), "after": rmsd(truth, found.pop("positions"))}
            spent = {"cpu_seconds": time.process_time() - begin}
            yield known | {"amplitude": amplitude, "path": path} | ends | found | spent


def summary(rows: list[dict[str, Any]]) -> Table:
    """One line for each amplitude and path; what was refused has no RMSD."""
    table = Table("start Å", "path", "PDFs", "refused", "RMSD Å median", "90 %", "not worse", "rescued", "others said",
                  "rescued but said", "Rw", "CPU s")  # fmt: skip
    for amplitude, path in dict.fromkeys((row["amplitude"], row["path"]) for row in rows):
        mine = [row for row in rows if (row["amplitude"], row["path"]) == (amplitude, path)]
        tried = [row for row in mine if not row.get("refused")]
        after = np.array([row["after"] for row in tried] or [np.nan])
        good = [row for row in tried if row["after"] <= RESCUED]
        others = [row for row in mine if row not in good]
        said = [
            str(sum(row["said"] is not None for row in some)) if path == "refine" else "-" for some in (others, good)
        ]
        table.add_row(
            f"{amplitude:g}", path, str(len(mine)), str(len(mine) - len(tried)), f"{np.median(after):.3f}",
            f"{np.quantile(after, 0.9):.3f}", f"{sum(row['after'] <= row['before'] for row in tried)}",
            str(len(good)), f"{said[0]} of {len(others)}", said[1],
            f"{np.median([row['rw'] for row in tried] or [np.nan]):.3f}",
            f"{np.mean([row['cpu_seconds'] for row in mine]):.1f}",
        )  # fmt: skip
    return table


def main(
    per_motif: Annotated[int, typer.Option(help="Clusters of each motif.")] = 4,
    amplitude: Annotated[list[float] | None, typer.Option(help="Noise of a start in Å; else 0.2 and 0.7.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of clusters, noise and starts.")] = 0,
    out: Annotated[Path | None, typer.Option(help="JSON file for the row of every case.")] = None,
) -> None:
    rows = []
    for row in measure(per_motif, amplitude or [0.2, 0.7], seed):
        rows.append(row)
        if out is not None:
            out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    console = Console(width=120)
    console.print(summary(rows))
    console.print(
        f"bars from 0.2 Å: median RMSD {BAR_RMSD} Å, {BAR_SHARE:.0%} not worse; rescued: RMSD up to {RESCUED} Å"
    )


if __name__ == "__main__":
    typer.run(main)
