"""Duplicates go whatever their pose; misfit and strain together decide the order."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from cbldm.data.clusters import decahedron, icosahedron, octahedron
from cbldm.rank import WORSE, distinct, equivalents, rank, scores, vuong
from cbldm.refine import FittedStructure
from cbldm.target import fit_range, independent_points
from cbldm.types import FloatArray, Pdf, Setting

DNN = 2.77
FCC = DNN * octahedron(5, 2).positions
ICO = DNN * icosahedron(3).positions
DECA = DNN * decahedron(3, 2, 0).positions


def fitted(positions: FloatArray, rw: float = 0.1, restraint: float = 0.0) -> FittedStructure:
    return FittedStructure(positions, 1.0, 1.0, 0.005, 0.0, 0.03, rw, np.zeros(1), 0.0, 0.0, restraint, True, 4.0)


def copy_of(positions: FloatArray, rng: np.random.Generator, rattle: float = 0.03) -> FloatArray:
    """Turned, mirrored, relabelled, moved and rattled."""
    turned = Rotation.random(random_state=int(rng.integers(2**31))).apply(positions * [1, 1, -1])
    return rng.permutation(turned) + rattle * rng.normal(size=positions.shape) + 5.0


@pytest.fixture
def pdf() -> Pdf:
    values = {"element": "Pt", "qmin": 0.8, "qmax": 22.0, "qdamp": 0.0, "qbroad": 0.0, "rmin": 1.5, "rmax": 20.0}
    r = np.arange(0, 25, 0.01)
    return Pdf(r, np.sin(r), None, {key: Setting(value, "option") for key, value in values.items()})


def test_copies_are_counted_and_the_best_of_each_kind_is_kept() -> None:
    rng = np.random.default_rng(0)
    fits = [
        fitted(FCC, 0.20),
        fitted(copy_of(ICO, rng), 0.15),
        fitted(copy_of(FCC, rng), 0.10),
        fitted(ICO, 0.11),
        fitted(copy_of(FCC, rng), 0.30),
        fitted(ICO[:-1], 0.40),
    ]
    assert distinct(fits) == ([2, 3, 5], [3, 2, 1])


@settings(max_examples=10)
@given(st.integers(0, 10**6), st.sampled_from([FCC, ICO, DECA]))
def test_a_copy_in_any_pose_is_a_duplicate_and_one_moved_atom_makes_another_structure(
    seed: int, ideal: FloatArray
) -> None:
    rng = np.random.default_rng(seed)
    other = copy_of(ideal, rng)
    outer = np.argmax(np.linalg.norm(other - other.mean(axis=0), axis=1))
    moved = other.copy()
    moved[outer] = 2 * other.mean(axis=0) - 1.2 * other[outer]
    assert distinct([fitted(ideal, 0.1), fitted(other, 0.2)]) == ([0], [2])
    assert len(distinct([fitted(ideal, 0.1), fitted(moved, 0.2)])[0]) == 2


def test_the_search_ends_when_enough_structures_are_found() -> None:
    fits = [fitted(FCC[: 54 - k], 0.1 + 0.01 * k) for k in range(5)]
    assert distinct(fits, limit=2) == ([0, 1], [1, 1])


def test_score_is_the_misfit_in_units_of_the_noise_plus_the_strain(pdf: Pdf) -> None:
    fits = [fitted(FCC, 0.1, 3.0), fitted(ICO, 0.2, 1.0)]
    half = 0.5 * independent_points(pdf)
    assert scores(pdf, fits) == pytest.approx([half + 3.0, 4 * half + 1.0])


def test_a_low_rw_bought_by_strain_does_not_win(pdf: Pdf) -> None:
    fits = [fitted(FCC, 0.100, restraint=300.0), fitted(ICO, 0.105, restraint=10.0), fitted(DECA, 0.3)]
    ranked = rank(pdf, fits)
    assert [one.index for one in ranked] == [1, 0, 2]
    assert ranked[0].score == 0.0
    assert all(a.score <= b.score for a, b in pairwise(ranked))


def test_rmsd_to_rank_1_is_there_for_equal_counts_only(pdf: Pdf) -> None:
    rng = np.random.default_rng(1)
    rattled = FCC + 0.05 * rng.normal(size=FCC.shape)
    fits = [fitted(FCC, 0.1), fitted(copy_of(rattled, rng, 0.0), 0.12), fitted(FCC[:-1], 0.2)]
    ranked = rank(pdf, fits)
    assert ranked[0].rmsd_to_rank1 == 0.0
    assert ranked[1].rmsd_to_rank1 == pytest.approx(0.05 * np.sqrt(3), rel=0.15)
    assert ranked[2].rmsd_to_rank1 is None


def test_scores_of_noise_free_data_stay_finite(pdf: Pdf) -> None:
    values = scores(pdf, [fitted(FCC, 0.0), replace(fitted(ICO), rw=0.02)])
    assert np.isfinite(values).all()
    assert values[0] < values[1]


def test_vuong_is_a_standard_normal_where_two_models_are_as_near_to_the_truth() -> None:
    rng = np.random.default_rng(1)
    n = 400
    truth, shift = np.zeros(n), 0.3 * rng.normal(size=n)
    found = [vuong(truth + rng.normal(size=n), truth + shift, truth - shift, n) for _ in range(2000)]
    assert abs(np.mean(found)) < 0.1
    assert abs(np.std(found) - 1) < 0.06
    assert abs(np.mean(np.array(found) > WORSE) - 0.05) < 0.02


def test_vuong_knows_no_scale_and_changes_sign_with_the_order() -> None:
    rng = np.random.default_rng(2)
    observed, one, other = rng.normal(size=(3, 300))
    z = vuong(observed, one, other, 60)
    assert vuong(7 * observed, 7 * one, 7 * other, 60) == pytest.approx(z)
    assert vuong(observed, other, one, 60) == pytest.approx(-z)
    assert vuong(observed, one, one, 60) == 0


def test_fits_that_differ_by_less_than_the_noise_are_equivalent_and_a_bad_fit_is_not(pdf: Pdf) -> None:
    rng = np.random.default_rng(3)
    observed = fit_range(pdf)[1]
    noisy = replace(pdf, g=pdf.g + 0.1 * rng.normal(size=len(pdf.g)))
    good, near, bad = (replace(fitted(FCC), calculated=scale * observed) for scale in (1.0, 1.001, 0.5))
    assert equivalents(noisy, [good, near, bad, good]) == [1, 1, 2, 1]
    ranked = rank(noisy, [replace(good, rw=0.1), replace(bad, rw=0.5)])
    assert [place.group for place in ranked] == [1, 2]
    assert sum(place.weight for place in ranked) == pytest.approx(1)
