"""What `cbldm solve` makes of input at the edge of what it is made for: the answer, CPU seconds and peak memory.

Every case runs with default options (64 samples, 10 candidates) in a fresh process, warnings of numpy and torch
caught. Peak memory is that of the process: the imports alone are in the line ``imports``. Columns are those of the
table in ``docs/limits.md``.

Run with ``python benchmarks/bench_limits.py [--only ring] [--out FILE.json]``. One process, one thread.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

os.environ.setdefault("OMP_NUM_THREADS", "1")

Array = NDArray[np.float64]
#: Distance of neighbours in platinum, in Å, and settings of an ordinary measurement.
DNN = 2.775
ORDINARY = {"qmin": 0.8, "qmax": 22.0, "qdamp": 0.03, "qbroad": 0.0}
SETTINGS = {"element": "Pt"} | ORDINARY
#: A case: r in Å and G in Å⁻², settings of the data, options of `solve`.
Case = tuple[Array, Array, dict[str, Any], dict[str, Any]]


def grid(rmax: float = 30.0, step: float = 0.02) -> Array:
    """Distances from 0 to rmax, in Å."""
    return np.arange(round(rmax / step) + 1, dtype=np.float64) * step


def of(positions: Array, r: Array | None = None, uiso: float = 0.006, **settings: float) -> Case:
    """The PDF of atoms at positions in nearest-neighbour distances."""
    from cbldm.physics.debye import debye_gr
    from cbldm.types import Instrument

    r = grid() if r is None else r
    instrument = ORDINARY | settings
    g = debye_gr(r, DNN * np.asarray(positions, dtype=np.float64), Instrument(**instrument), uiso)
    return r, g, {"element": "Pt"} | instrument, {}


def curve(g: Array, r: Array | None = None, **settings: Any) -> Case:
    """Any curve as if it were a PDF."""
    return grid() if r is None else r, g, SETTINGS | settings, {}


def chosen(case: Case, **options: Any) -> Case:
    """A case with options of `solve`."""
    return *case[:3], options


def fitted(case: Case, **settings: float) -> Case:
    """A case with settings of the fit range."""
    return case[0], case[1], case[2] | settings, case[3]


def line(n: int) -> Array:
    """Atoms in a row."""
    return np.arange(n)[:, None] * np.array([[1.0, 0, 0]])


def ring(n: int) -> Array:
    """Atoms on a circle."""
    angles = 2 * np.pi * np.arange(n) / n
    return np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1) / (2 * np.sin(np.pi / n))


def disc(radius: float) -> Array:
    """One close-packed layer."""
    a, b = np.meshgrid(np.arange(-20, 21), np.arange(-20, 21))
    points = np.stack([a + 0.5 * b, np.sqrt(0.75) * b, 0.0 * a], axis=-1).reshape(-1, 3)
    return points[np.linalg.norm(points, axis=1) < radius + 1e-6]


def ball(n: int, centre: tuple[float, float, float] = (0.11, 0.23, 0.31)) -> Array:
    """The n fcc sites nearest to a point: any atom count, no symmetry."""
    axis = np.arange(-14, 15)
    sites = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(-1, 3)
    sites = sites[sites.sum(axis=1) % 2 == 0] / np.sqrt(2)
    return sites[np.linalg.norm(sites - np.array(centre), axis=1).argsort(kind="stable")[:n]]


def bipyramid() -> Array:
    """Five atoms: a triangle with one above and one below."""
    apex = np.sqrt(2 / 3)
    return np.concatenate([ring(3), [[0, 0, apex], [0, 0, -apex]]])


def noise(band: bool) -> Case:
    """Noise of every frequency, or of those that a Fourier transform to Qmax lets through."""
    from cbldm.data.noise import noise_at_floor

    rng, r = np.random.default_rng(0), grid()
    white = rng.normal(size=len(r))
    return curve(noise_at_floor(r, white, ORDINARY["qmax"], 0.9, rng) if band else white)


def spike(place: float) -> Case:
    """Zero but for one point."""
    r = grid()
    return curve(1.0 * (np.arange(len(r)) == round(place / 0.02)))


def nickel(rmax: float) -> Case:
    """A bulk crystal."""
    from cbldm.physics.crystal import crystal_gr
    from cbldm.types import Instrument

    r = grid(rmax)
    g = crystal_gr(r, "fcc", 3.524, Instrument(**ORDINARY), 0.006)
    return curve(g, r, element="Ni")


def times(factor: float) -> Case:
    """An ordinary PDF in other units."""
    r, g, settings, options = of(ball(101))
    return r, factor * g, settings, options


def cut(start: float, end: float, step: float = 0.02) -> Case:
    """An ordinary PDF on a part of r."""
    r = grid(end, step)
    return of(ball(101), r[r >= start - 1e-9])


CASES: dict[str, Callable[[], Case]] = {
    "ordinary, 101 atoms": lambda: of(ball(101)),
    "2 atoms": lambda: of(line(2)),
    "3 atoms in a line": lambda: of(line(3)),
    "10 atoms in a line": lambda: of(line(10)),
    "5 atoms": lambda: of(bipyramid()),
    "ring of 12": lambda: of(ring(12)),
    "disc of 37, one layer": lambda: of(disc(3)),
    "13 atoms, one shell": lambda: of(ball(13, (0, 0, 0))),
    "256 atoms": lambda: of(ball(256)),
    "256 atoms, all sources": lambda: chosen(of(ball(256)), source="all"),
    "257 atoms": lambda: of(ball(257)),
    "257 atoms, all sources": lambda: chosen(of(ball(257)), source="all"),
    "400 atoms": lambda: of(ball(400)),
    "400 atoms, all sources": lambda: chosen(of(ball(400)), source="all"),
    "1000 atoms": lambda: of(ball(1000)),
    "1000 atoms, all sources": lambda: chosen(of(ball(1000)), source="all"),
    "3000 atoms, all sources": lambda: chosen(of(ball(3000), grid(60)), source="all"),
    "white noise": lambda: noise(band=False),
    "noise up to Qmax": lambda: noise(band=True),
    "spike at 2.8 Å": lambda: spike(2.8),
    "spike at 12 Å": lambda: spike(12.0),
    "white noise, said to be in Å": lambda: fitted(noise(band=False), r_unit="A"),
    "zeros": lambda: curve(0 * grid()),
    "constant": lambda: curve(1 + 0 * grid()),
    "bulk Ni to 30 Å": lambda: nickel(30.0),
    "bulk Ni to 30 Å, all sources": lambda: chosen(nickel(30.0), source="all"),
    "r to 5.2 Å": lambda: cut(0, 5.2),
    "r to 4 Å": lambda: cut(0, 4),
    "r from 2 to 7 Å": lambda: cut(2, 7),
    "r from 5 to 30 Å": lambda: cut(5, 30),
    "r to 100 Å, 20,000 points": lambda: fitted(of(ball(101), grid(100, 0.005)), rmax=100.0),
    "fitted from 20 to 30 Å": lambda: fitted(of(ball(101)), rmin=20.0),
    "step of 0.001 Å": lambda: cut(0, 30, 0.001),
    "step of π/Qmax": lambda: cut(0, 30, np.pi / ORDINARY["qmax"]),
    "step of twice π/Qmax": lambda: cut(0, 30, 2 * np.pi / ORDINARY["qmax"]),
    "G times 1e6": lambda: times(1e6),
    "G times 1e-6": lambda: times(1e-6),
    "G times 1e10": lambda: times(1e10),
    "G times 1e-15": lambda: times(1e-15),
    "G times 1e-30": lambda: times(1e-30),
    "G times 1e-300": lambda: times(1e-300),
    "Uiso 0.00001 Å²": lambda: of(ball(101), uiso=1e-5),
    "Uiso 0.1 Å²": lambda: of(ball(101), uiso=0.1),
    "Qmax 4 Å⁻¹": lambda: of(ball(101), qmax=4.0),
    "Qmax 8 Å⁻¹": lambda: of(ball(101), qmax=8.0),
    "Qmax 40 Å⁻¹": lambda: of(ball(101), qmax=40.0),
    "Qmax 100 Å⁻¹, step 0.02 Å": lambda: of(ball(101), qmax=100.0),
    "Qmin 0": lambda: of(ball(101), qmin=0.0),
    "Qmin 9 Å⁻¹": lambda: of(ball(101), qmin=9.0),
    "Qdamp 0.5 Å⁻¹": lambda: of(ball(101), qdamp=0.5),
    "Qbroad 0.5 Å⁻¹": lambda: of(ball(101), qbroad=0.5),
}


def outcome(case: Case) -> dict[str, Any]:
    """Solve a case: what came of it, and what it cost."""
    from cbldm.data.pdf_files import pdf_from_arrays
    from cbldm.errors import InputError
    from cbldm.pipeline import solve

    r, g, settings, options = case
    start = time.process_time()
    found: dict[str, Any] = {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            solution = solve(pdf_from_arrays(r, g, **settings), **options)
        except InputError as error:
            found["answer"], found["flags"] = f"refused: {error}", []
        else:
            best = solution.candidates[0] if solution.candidates else None
            found["answer"] = "no structure"
            if best is not None:
                found["answer"] = f"{best.motif} of {best.n_atoms} atoms, Rw {best.rw:.3f}"
            found["flags"] = [flag.kind for flag in solution.flags]
            found["lines"] = list(solution.warnings)
            found["n"] = len(solution.candidates)
    found["warned"] = sorted({f"{item.category.__name__}: {item.message}" for item in caught})
    return found | {"cpu_s": time.process_time() - start, "peak_mb": peak()}


def peak() -> float:
    """Peak resident memory of this process in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(name: str) -> dict[str, Any]:
    """A case in a process of its own."""
    done = subprocess.run([sys.executable, __file__, "--case", name], capture_output=True, text=True)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        return {"answer": f"CRASH: {last}", "flags": [], "warned": [], "cpu_s": float("nan"), "peak_mb": float("nan")}
    return dict(json.loads(done.stdout))


def main(
    only: Annotated[str, typer.Option(help="Cases with this in their name.")] = "",
    out: Annotated[Path | None, typer.Option(help="Where to write everything as JSON.")] = None,
    case: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Measure every case and print a table."""
    if case:
        print(json.dumps(outcome(CASES[case]())))
        return
    results = {}
    print("| input | answer | flags | CPU s | peak MB |\n| --- | --- | --- | ---: | ---: |")
    for name in (name for name in CASES if only in name):
        results[name] = row = measured(name)
        said = ", ".join([*row["flags"], *row["warned"]])
        print(f"| {name} | {row['answer']} | {said} | {row['cpu_s']:.1f} | {row['peak_mb']:.0f} |", flush=True)
    if out is not None:
        out.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
