"""What was brought back to the truth is not doubted, what was bent to the data is, with the facts in one line."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from cbldm.data.clusters import icosahedron
from cbldm.data.pdf_files import pdf_from_arrays
from cbldm.physics.debye import debye_gr
from cbldm.pipeline import refine_structure
from cbldm.rescue import not_rescued
from cbldm.types import Candidate, Fit, FloatArray, Instrument

IDEAL = 2.8 * icosahedron(3).positions


def candidate(rw: float, *, positions: FloatArray = IDEAL, **known: float | bool) -> Candidate:
    """A candidate with an Rw and what else is known of it."""
    r = np.linspace(1.5, 20.0, 200)
    g = np.sin(r)
    moved = {"moved_median": 0.1, "moved_max": 0.3} | {k: known.pop(k) for k in ("moved_max",) if k in known}
    fit = Fit(r, g, (1 - rw) * g)
    return Candidate(1, Atoms(f"Au{len(positions)}", positions=positions), "icosahedron", "given", fit,
                     {"uiso": 0.006}, rmsd_to_rank1=None, **moved, **known)  # fmt: skip


@pytest.mark.parametrize(("rw", "left_out"), [(0.03, 0.06), (0.2, 0.3), (0.002, 0.05), (0.3, float("nan"))])
def test_what_predicts_the_rest_of_the_data_is_not_doubted(rw: float, left_out: float) -> None:
    assert not_rescued(candidate(rw, rw_left_out=left_out)) is None


def test_each_fact_is_named() -> None:
    line = not_rescued(candidate(0.06, rw_left_out=0.69, converged=False, moved_max=1.13))
    assert line is not None
    assert "data left out of the fit are at Rw 0.69, those fitted at 0.06" in line
    assert "did not converge" in line
    assert "moved by up to 1.13 Å" in line
    assert "\n" not in line
    assert "Rw is 0.91" in str(not_rescued(candidate(0.91, rw_left_out=0.93, moved_max=0.0)))
    crowded = IDEAL.copy()
    crowded[-1] += 0.3 * (crowded[0] - crowded[-1]) / np.linalg.norm(crowded[0] - crowded[-1]) * 2.8
    assert "atoms are as near as" in str(not_rescued(candidate(0.05, positions=crowded)))


def test_a_rattled_start_comes_back_and_a_wrong_one_is_told() -> None:
    r = np.arange(0.0, 25.005, 0.02)
    g = debye_gr(r, IDEAL, Instrument(0.8, 24.0, 0.03), 0.006, delta2=1.5)
    pdf = pdf_from_arrays(r, g, element="Au", qmin=0.8, qmax=24.0, qdamp=0.03)
    noise = np.random.default_rng(0).normal(size=IDEAL.shape) / np.sqrt(3)
    near, far = (
        refine_structure(pdf, Atoms(f"Au{len(IDEAL)}", positions=start))
        for start in (IDEAL + 0.2 * noise, 2.8 * elongated())
    )
    assert near.rw < 0.05
    assert not_rescued(near) is None
    assert not_rescued(far) is not None


def elongated() -> FloatArray:
    """(55, 3) a simple cubic bar: even bonds, all of them wrong."""
    points = np.stack(np.meshgrid(np.arange(3), np.arange(3), np.arange(7), indexing="ij"), axis=-1).reshape(-1, 3)
    return points[:55].astype(float)
