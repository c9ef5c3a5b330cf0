"""G(r) of fcc cuboctahedra: time and error of cbldm and of DebyeCalculator (PyPI) in the same run, on one thread.

Run with ``python benchmarks/bench_gr.py [--out FILE.json] [--sizes 55,147]``; needs ``pip install cbldm[bench]``.

What is compared. Qmin 0.7, Qmax 25, Qdamp 0.04 Å⁻¹, Biso 0.3 Å², r = 0, 0.01, ... 29.99 Å. Every error is Rw after a
least-squares scale, against a direct sum over all pairs in float64, whose rounding errors do not count.

- "own": against the tool's own definition. For cbldm that is the integral from Qmin to Qmax. DebyeCalculator sums F(Q)
  on Q = Qmin + k π/(rmax + rstep) instead, and its G is half as large: its reference is that sum, on its own Q and r.
- "integral": against the integral from Qmin to Qmax, the same for both.
- "aligned": DebyeCalculator against the integral from Qmin - ΔQ/2 to its last Q + ΔQ/2, for which its sum stands.

Both work in float32, the default of DebyeCalculator; cbldm in float64 is shown too. DebyeCalculator has no δ2.
Times: tools take turns of four calls, after one that does not count (both remember what depends on r and Q alone).
"cpu" is the least time that the calling thread ran, which other users of the machine disturb least; "wall" is the least
that passed on the clock, beside its median. On one thread of an idle machine the three agree; "cpu" decides there, and
"wall" for the batch on two threads.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from debyecalculator import DebyeCalculator
from rich.console import Console
from rich.table import Table

from cbldm.physics.debye import debye_fq, debye_gr, sine_transform
from cbldm.physics.fast import fast_gr
from cbldm.types import FloatArray, Instrument

QMIN, QMAX, QDAMP, BISO = 0.7, 25.0, 0.04, 0.3
UISO = BISO / (8 * np.pi**2)
RMAX, RSTEP = 30.0, 0.01
R = RSTEP * np.arange(round(RMAX / RSTEP))
SECONDS_PER_SIZE, CALLS_PER_TURN = 5.0, 4
BATCH, BATCH_ATOMS, BATCH_THREADS, BATCH_LIMIT_MS = 64, 147, 2, 0.3


def cuboctahedron(n_atoms: int, lattice: float = 3.92) -> FloatArray:
    """Positions in Å of the fcc cuboctahedron of platinum with ``n_atoms`` atoms."""
    for shells in range(1, 20):
        side = np.arange(-shells, shells + 1)
        sites = np.stack(np.meshgrid(side, side, side, indexing="ij"), -1).reshape(-1, 3)
        inside = sites[(sites.sum(1) % 2 == 0) & (np.abs(sites).sum(1) <= 2 * shells)]
        if len(inside) == n_atoms:
            return 0.5 * lattice * inside.astype(np.float64)
    raise SystemExit(f"no cuboctahedron has {n_atoms} atoms; 13, 55, 147, 309, 561, 923, 1415, 2057 are possible")


def rw(wanted: FloatArray, found: FloatArray) -> float:
    """Agreement factor after the least-squares scale."""
    scale = (wanted @ found) / (found @ found)
    return float(np.sqrt(np.sum((wanted - scale * found) ** 2) / np.sum(wanted**2)))


def ours(xyz: FloatArray, dtype: torch.dtype, delta2: float) -> Callable[[], FloatArray]:
    """One call of cbldm for one cluster."""
    positions, r = torch.tensor(xyz, dtype=dtype)[None], torch.tensor(R)

    def call() -> FloatArray:
        with torch.no_grad():
            g = fast_gr(r, positions, qmin=QMIN, qmax=QMAX, qdamp=QDAMP, uiso=UISO, delta2=delta2)
        return g[0].numpy().astype(np.float64)

    return call


def theirs(xyz: FloatArray, pair_sum: str) -> tuple[DebyeCalculator, Callable[[], FloatArray]]:
    """One call of DebyeCalculator for one cluster."""
    calculator = DebyeCalculator(
        qmin=QMIN, qmax=QMAX, qdamp=QDAMP, rmax=RMAX, rstep=RSTEP, biso=BISO, device="cpu", radiation_type="neutron",
        pair_sum=pair_sum, num_threads=1,
    )  # fmt: skip
    source = (["Pt"] * len(xyz), xyz)
    return calculator, lambda: calculator.gr(source).g.astype(np.float64)


def references(xyz: FloatArray, calculator: DebyeCalculator) -> dict[str, FloatArray]:
    """The direct sums in float64: the integral without and with δ2, and DebyeCalculator's two definitions."""
    q, r = (tensor.numpy().ravel().astype(np.float64) for tensor in (calculator.q, calculator.r))
    dq, damping = float(calculator.qstep), np.exp(-0.5 * (QDAMP * r) ** 2)
    aligned = Instrument(float(q[0]) - dq / 2, float(q[-1]) + dq / 2, QDAMP)
    stated = Instrument(QMIN, QMAX, QDAMP)
    return {
        "integral": debye_gr(R, xyz, stated, UISO),
        "integral delta2": debye_gr(R, xyz, stated, UISO, delta2=2.0),
        "aligned": debye_gr(r, xyz, aligned, UISO),
        "own": damping * sine_transform(r, q, dq * debye_fq(q, xyz, UISO)),
    }


def race(calls: dict[str, Callable[[], Any]], seconds: float, share: int = 1) -> dict[str, dict[str, float]]:
    """Times in ms, divided by ``share``; the calls take turns for about ``seconds``."""
    for call in calls.values():
        call()
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or not all(times.values()):
        for name, call in calls.items():
            for _ in range(CALLS_PER_TURN):
                ran, started = time.thread_time(), time.perf_counter()
                call()
                times[name].append((time.thread_time() - ran, time.perf_counter() - started))
    result = {}
    for name, pairs in times.items():
        cpu, wall = 1e3 / share * np.array(pairs).T
        result[name] = {"ms_cpu": float(cpu.min()), "ms_wall": float(wall.min()), "ms_median": float(np.median(wall))}
    return result


def measure(n_atoms: int) -> list[dict[str, Any]]:
    """One row per tool for one size."""
    torch.set_num_threads(1)
    xyz = cuboctahedron(n_atoms)
    calculator, grid = theirs(xyz, "grid")
    _, direct = theirs(xyz, "direct")
    calls = {
        "cbldm float32": ours(xyz, torch.float32, 0.0),
        "cbldm float32, δ2 = 2": ours(xyz, torch.float32, 2.0),
        "cbldm float64": ours(xyz, torch.float64, 0.0),
        "cbldm float64, δ2 = 2": ours(xyz, torch.float64, 2.0),
        "DebyeCalculator grid": grid,
    }
    wanted = references(xyz, calculator)
    times = race(calls, SECONDS_PER_SIZE) | race({"DebyeCalculator direct": direct}, 0.0)
    rows = []
    for name, call in (calls | {"DebyeCalculator direct": direct}).items():
        g, its_own = call(), name.startswith("cbldm")
        integral = wanted["integral delta2" if "δ2" in name else "integral"]
        rows.append({
            "n_atoms": n_atoms, "tool": name, **times[name],
            "rw_own": rw(integral if its_own else wanted["own"], g), "rw_integral": rw(integral, g),
            "rw_aligned": None if its_own else rw(wanted["aligned"], g),
        })  # fmt: skip
    return rows


def measure_batch() -> list[dict[str, Any]]:
    """Time per cluster of a batch, without and with the gradient of the positions."""
    torch.set_num_threads(BATCH_THREADS)
    noise = np.random.default_rng(0).normal(scale=0.05, size=(BATCH, BATCH_ATOMS, 3))
    positions, r = torch.tensor(cuboctahedron(BATCH_ATOMS) + noise, dtype=torch.float32), torch.tensor(R)

    def forward(delta2: float) -> None:
        with torch.no_grad():
            fast_gr(r, positions, qmin=QMIN, qmax=QMAX, qdamp=QDAMP, uiso=UISO, delta2=delta2)

    def backward(delta2: float) -> None:
        x = positions.clone().requires_grad_()
        fast_gr(r, x, qmin=QMIN, qmax=QMAX, qdamp=QDAMP, uiso=UISO, delta2=delta2).square().sum().backward()

    calls = {
        f"{name}, δ2 = {delta2:g}": lambda work=work, delta2=delta2: work(delta2)
        for name, work in (("forward", forward), ("forward and gradient", backward))
        for delta2 in (0.0, 2.0)
    }
    times = race(calls, 2 * SECONDS_PER_SIZE, BATCH)
    torch.set_num_threads(1)
    return [{"tool": f"batch, {name}", **found} for name, found in times.items()]


def verdicts(rows: list[dict[str, Any]], batch: list[dict[str, Any]]) -> list[tuple[str, bool]]:
    """The bars: at least twice as fast as the grid mode at a smaller error at every size, and the batch."""
    result = []
    for n_atoms in sorted({row["n_atoms"] for row in rows}):
        of = {row["tool"]: row for row in rows if row["n_atoms"] == n_atoms}
        us, them = of["cbldm float32"], of["DebyeCalculator grid"]
        faster, median = (them[key] / us[key] for key in ("ms_cpu", "ms_median"))
        text = (
            f"N = {n_atoms}: {faster:.1f} times as fast (wall median {median:.1f}), "
            f"own error {us['rw_own']:.1e} against {them['rw_own']:.1e}"
        )
        result.append((text, faster >= 2.0 and us["rw_own"] < them["rw_own"]))
    each = batch[0]["ms_wall"]
    text = f"batch of {BATCH} with {BATCH_ATOMS} atoms, float32, {BATCH_THREADS} threads: {each:.2f} ms each"
    return [*result, (text, each < BATCH_LIMIT_MS)]


def milliseconds(row: dict[str, Any]) -> list[str]:
    """The three times of a row as text."""
    return [f"{row[key]:.3g}" for key in ("ms_cpu", "ms_wall", "ms_median")]


def main(
    out: Annotated[Path | None, typer.Option(help="Write the numbers to this JSON file.")] = None,
    sizes: Annotated[str, typer.Option(help="Numbers of atoms, separated by commas.")] = "55,147,309,561,923,2057",
) -> None:
    """Time both tools, print the table and say which bars hold."""
    console, load = Console(width=120), os.getloadavg()[0]
    table = Table(
        title=f"one G(r) on {len(R)} points, one thread; {os.cpu_count()} cores, load {load:.1f} at the start"
    )
    for heading in ("N", "tool", "cpu ms", "wall ms", "median", "Rw own", "Rw integral", "Rw aligned"):
        table.add_column(heading, justify="left" if heading == "tool" else "right")
    rows = []
    for n_atoms in map(int, sizes.split(",")):
        with console.status(f"{n_atoms} atoms: direct sums, then the race"):
            found = measure(n_atoms)
        rows += found
        for row in found:
            errors = (row["rw_own"], row["rw_integral"], row["rw_aligned"])
            texts = ["" if error is None else f"{error:.1e}" for error in errors]
            table.add_row(str(n_atoms), row["tool"], *milliseconds(row), *texts)
        table.add_section()
    batch = measure_batch()
    for row in batch:
        table.add_row(str(BATCH_ATOMS), row["tool"], *milliseconds(row), "", "", "")
    console.print(table)
    bars = verdicts(rows, batch)
    for text, holds in bars:
        console.print(f"{'holds' if holds else 'FAILS'}  {text}", style="green" if holds else "red")
    if out is not None:
        record = {
            "settings": {"qmin": QMIN, "qmax": QMAX, "qdamp": QDAMP, "biso": BISO, "rmax": RMAX, "rstep": RSTEP},
            "cores": os.cpu_count(), "load_at_start": load, "torch": torch.__version__, "rows": rows, "batch": batch,
            "bars": [{"text": text, "holds": holds} for text, holds in bars],
        }  # fmt: skip
        out.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
