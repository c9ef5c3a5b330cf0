"""What is no G(r) of a metal is named; what is one passes without a word, whatever its shape and noise."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cbldm.data.noise import noise_at_floor
from cbldm.data.pdf_files import pdf_from_arrays, read_pdf
from cbldm.data.sense import check_range, check_sense
from cbldm.errors import InputError
from cbldm.geometry.frames import frame
from cbldm.physics.fast import fast_gr

QMAX = 24.0
R = np.arange(3001) * 0.01
#: Number density of platinum in Å⁻³.
DENSITY = 0.066
SAFE_R = np.maximum(R, 0.01)


def simulated(name: str, size: float, *, r: np.ndarray = R, **settings: float) -> np.ndarray:
    """G(r) of a ball of sites of a frame, `size` in Å."""
    sites = 2.77 * frame(name).sites
    ball = sites[np.linalg.norm(sites - sites.mean(axis=0), axis=1) < size]
    options = {"qmin": 0.8, "qmax": QMAX, "qdamp": 0.03, "uiso": 0.006, "delta2": 2.0} | settings
    return fast_gr(torch.from_numpy(r), torch.from_numpy(ball)[None], **options)[0].numpy()


@pytest.fixture(scope="module")
def g() -> np.ndarray:
    return simulated("fcc", 7.0)


@pytest.fixture(scope="module")
def q_and_f(g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    q = np.arange(1, 1201) * 0.02
    return q, np.trapezoid(g * np.sin(q[:, None] * R), R, axis=1)


@pytest.mark.parametrize("name", ["fcc", "hcp", "bcc", "decahedron", "icosahedron"])
@pytest.mark.parametrize("size", [4.0, 8.0])
@pytest.mark.parametrize("floor", [0.0, 0.2])
def test_a_pdf_passes_without_a_word(name: str, size: float, floor: float) -> None:
    for uiso, qdamp in ((0.003, 0.0), (0.012, 0.06)):
        clean = simulated(name, size, uiso=uiso, qdamp=qdamp)
        noisy = clean + noise_at_floor(R, clean, QMAX, floor, np.random.default_rng(0))
        assert check_sense(R, 1e3 * noisy, 0.8, QMAX, "x") == []
        assert check_sense(R[::10], noisy[::10], 0.8, QMAX, "x") == []
        for end in (600, 1000):
            assert check_sense(R[:end], noisy[:end], 0.8, QMAX, "x") == []


def refusal(r: np.ndarray, y: np.ndarray) -> str:
    with pytest.raises(InputError) as error:
        pdf_from_arrays(r, y, qmax=QMAX, element="Pt")
    assert "\n" not in str(error.value)
    return str(error.value)


def test_other_functions_are_refused_by_name(g: np.ndarray, q_and_f: tuple[np.ndarray, np.ndarray]) -> None:
    q, f = q_and_f
    structure = 1 + f / q
    assert "tends to 1, as g(r) and S(Q) do" in refusal(R, 1 + g / (4 * np.pi * SAFE_R * DENSITY))
    assert "grows as r², as R(r) does" in refusal(R, R * g + 4 * np.pi * DENSITY * R**2)
    assert "grows as r, as T(r) does" in refusal(R, g + 4 * np.pi * DENSITY * R)
    assert "ends at Qmax, as S(Q) does" in refusal(q, structure)
    assert "falls, as an intensity I(Q)" in refusal(q, structure * (78 * np.exp(-(q**2) / 60) + 3) ** 2)


def test_a_structure_function_that_ends_at_qmax_is_pointed_out(q_and_f: tuple[np.ndarray, np.ndarray]) -> None:
    assert any("this is F(Q)" in line for line in pdf_from_arrays(*q_and_f, qmax=QMAX).warnings)


def test_what_holds_no_atoms_is_refused() -> None:
    assert "constant (0.3)" in refusal(R, np.full_like(R, 0.3))
    assert "shows no atoms" in refusal(R, -R)
    assert "is zero" in refusal(R, 0 * R)


def test_an_offset_is_a_warning(g: np.ndarray) -> None:
    shifted = g + 0.3 * np.sqrt(np.mean(g[R > 1.5] ** 2))
    (line,) = check_sense(R, shifted, 0.8, QMAX, "x")
    assert "does not oscillate about 0" in line


def test_a_small_angle_part_is_no_offset() -> None:
    whole = simulated("fcc", 7.0, qmin=0.0)
    assert check_sense(R, whole, 0.0, QMAX, "x") == []
    (line,) = check_sense(R, whole, 0.8, QMAX, "x")
    assert "does not oscillate about 0" in line


def test_nanometres_over_a_long_range_are_asked_about() -> None:
    """Numbers up to 7 may be Å, as may those up to 3 whose highest peak is not below 1."""
    long_r = np.arange(7001) * 0.01
    long_g = simulated("fcc", 7.0, r=long_r)
    assert "r looks like nm" in refusal(long_r / 10, 100 * long_g)
    pdf = pdf_from_arrays(long_r / 10, 100 * long_g, qmax=QMAX, r_unit="nm", element="Pt")
    assert pdf.warnings == ("r was converted from nm to Å and G from nm⁻² to Å⁻², as asked",)


def test_a_qmax_that_cannot_be_is_said(g: np.ndarray) -> None:
    (low,) = check_sense(R, g, 0.8, 12.0, "x")
    assert "lies beyond Qmax = 12" in low
    (high,) = check_sense(R, g, 0.8, 40.0, "x")
    edge = float(high.split("Q = ")[1].split()[0])
    assert abs(edge - QMAX) < 1.5


def test_wide_peaks_are_said(g: np.ndarray) -> None:
    with pytest.raises(InputError, match="unit of r"):
        check_sense(10 * R, g / 100, 0.8, QMAX, "x")


def test_a_short_range_is_said_and_a_shorter_one_refused(g: np.ndarray) -> None:
    assert any("nearest shells only" in line for line in pdf_from_arrays(R, g, qmax=QMAX, rmax=7).warnings)
    assert check_range(1.5, 8.0) == []
    assert "must go past 5" in refusal(R[:480], g[:480])


def test_odd_grids_are_judged_without_a_fault(g: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    some = np.sort(rng.choice(len(R), 900, replace=False))
    assert check_sense(R[some], g[some], 0.8, QMAX, "x") == []
    assert check_sense(R + 50, g, 0.8, QMAX, "x") == []


@pytest.mark.parametrize("name", ["JQ_S1.gr", "JQ_S3.gr", "Au144pMBA.gr"])
def test_measured_files_pass(shared_data, name: str) -> None:
    assert read_pdf(shared_data / "experimental" / name).warnings == ()
