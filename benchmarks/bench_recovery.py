"""Recovery of positions from an affinity or distance matrix: time, start and sensitivity to noise, on one thread.

Run with ``python benchmarks/bench_recovery.py``. Lengths in Å, nearest-neighbour distance 2.77 Å, tau 10 squared
nearest-neighbour distances (77 Å²) and the paper's 260 Å². RMSD is up to rigid motion and reflection, labels known.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import time
from collections.abc import Callable

import numpy as np

from cbldm.data.clusters import icosahedron, octahedron
from cbldm.geometry.laplacian import affinity, pair_distances, recover_from_affinity, recover_from_distances
from cbldm.geometry.poses import best_rotation
from cbldm.types import FloatArray

DNN = 2.77
TAUS = {"10 dnn²": 10 * DNN**2, "260 Å²": 260.0}
NOISE = (0.0, 1e-4, 1e-3, 1e-2, 3e-2, 1e-1)
REPEATS = 7


def clusters() -> dict[int, FloatArray]:
    """Clusters of 55, 147 and 225 atoms in Å; the last one is an octahedron of 231 atoms less six corners."""
    big = octahedron(7, 0).positions
    big = big[np.argsort(np.linalg.norm(big, axis=1), kind="stable")[:225]]
    return {len(p): DNN * p for p in (icosahedron(3).positions, icosahedron(4).positions, big)}


def symmetric_noise(n_atoms: int, sigma: float, rng: np.random.Generator) -> FloatArray:
    """Symmetric matrix of independent Gaussian errors, zero diagonal."""
    upper = np.triu(rng.normal(scale=sigma, size=(n_atoms, n_atoms)), 1)
    return upper + upper.T


def rmsd(truth: FloatArray, found: FloatArray) -> float:
    """RMSD of atoms in the same order, up to rigid motion and reflection."""
    home, away = truth - truth.mean(axis=0), found - found.mean(axis=0)
    return float(np.sqrt(np.mean(np.sum(np.square(away @ best_rotation(home, away).T - home), axis=1))))


def measure(truth: FloatArray, recover: Callable[[], FloatArray]) -> tuple[float, float]:
    """Median time in ms, and RMSD in Å."""
    times = []
    found = recover()
    for _ in range(REPEATS):
        started = time.perf_counter()
        found = recover()
        times.append(time.perf_counter() - started)
    return 1e3 * float(np.median(times)), rmsd(truth, found)


def main() -> None:
    """Print one table per question."""
    print("| N | tau | noise of W | MDS start: ms | RMSD Å | eigenmap start: ms | RMSD Å |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for n_atoms, truth in clusters().items():
        for name, tau in TAUS.items():
            for sigma in NOISE:
                rng = np.random.default_rng(n_atoms)
                weights = affinity(pair_distances(truth), tau) + symmetric_noise(n_atoms, sigma, rng)
                mds = measure(truth, lambda w=weights, t=tau: recover_from_affinity(w, t))
                eigen = measure(truth, lambda w=weights, t=tau: recover_from_affinity(w, t, start="eigenmap"))
                cells = " | ".join(f"{ms:.1f} | {error:.2g}" for ms, error in (mds, eigen))
                print(f"| {n_atoms} | {name} | {sigma:g} | {cells} |")
    print("\n| N | noise of D, Å | distances: ms | RMSD Å |")
    print("| --- | --- | --- | --- |")
    for n_atoms, truth in clusters().items():
        for sigma in (0.0, 0.01, 0.1, 1.0):
            rng = np.random.default_rng(n_atoms)
            distances = pair_distances(truth) + symmetric_noise(n_atoms, sigma, rng)
            ms, error = measure(truth, lambda d=distances: recover_from_distances(d))
            print(f"| {n_atoms} | {sigma:g} | {ms:.1f} | {error:.2g} |")


if __name__ == "__main__":
    main()
