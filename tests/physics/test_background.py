"""The background: its profile is that of an explicit least squares, and it holds no more than it says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cbldm.data.pdf_files import pdf_from_arrays
from cbldm.errors import InputError
from cbldm.physics.background import HIGHEST_Q, Background, background_q, most_terms

R = np.arange(1.5, 20.0, 0.05)


def terms(n: int, ridge: float, r: np.ndarray = R) -> Background:
    return Background(background_q(n, 0.8, 20.0), 0.03, ridge, r)


@given(st.integers(1, 8), st.floats(1e-3, 10.0), st.integers(0, 99))
def test_the_filter_is_the_least_over_all_amplitudes(n: int, ridge: float, seed: int) -> None:
    """|M (y - c)|² is the minimum of |y - c - A a|² + λ |a|², found by least squares on stacked equations."""
    background = terms(n, ridge)
    residual = np.random.default_rng(seed).normal(size=len(R))
    orthonormal = np.linalg.qr(background.waves)[0]
    stacked = np.vstack([orthonormal, np.sqrt(ridge) * np.eye(n)])
    amplitudes, least = np.linalg.lstsq(stacked, np.concatenate([residual, np.zeros(n)]))[:2]
    filtered = background.filtered(torch.from_numpy(residual))
    assert float((filtered**2).sum()) == pytest.approx(float(least[0]), rel=1e-9)
    found = background.curve(background.amplitudes(torch.from_numpy(residual)))
    np.testing.assert_allclose(found, orthonormal @ amplitudes, atol=1e-9)


def test_without_terms_nothing_changes() -> None:
    curves = torch.from_numpy(np.random.default_rng(0).normal(size=(3, len(R))))
    background = terms(0, 0.0)
    assert background.filtered(curves) is curves
    amplitudes = background.amplitudes(curves)
    assert amplitudes.shape == (3, 0)
    assert not background.curve(amplitudes).any()
    assert background.freedom == 0


def test_amplitudes_mean_the_same_on_other_points() -> None:
    amplitudes = np.array([0.3, -0.1, 0.2])
    elsewhere = np.arange(3.0, 15.0, 0.17)
    found = terms(3, 1e-9).amplitudes(torch.from_numpy(terms(3, 0.0).curve(amplitudes)))
    np.testing.assert_allclose(found, amplitudes, rtol=1e-6)
    expected = np.sin(elsewhere[:, None] * background_q(3, 0.8, 20.0)) @ amplitudes
    np.testing.assert_allclose(
        terms(3, 0.0).on(elsewhere).curve(found), expected * np.exp(-0.5 * (0.03 * elsewhere) ** 2), rtol=1e-6
    )


def test_a_stronger_ridge_leaves_less_of_the_background_and_of_its_freedom() -> None:
    curve = torch.from_numpy(terms(4, 0.0).curve(np.ones(4)))
    sizes = [np.linalg.norm(terms(4, ridge).curve(terms(4, ridge).amplitudes(curve))) for ridge in (0.01, 1.0, 100.0)]
    np.testing.assert_allclose(np.array(sizes) / float(curve.norm()), [1 / 1.01, 1 / 2, 1 / 101])
    assert [round(terms(4, ridge).freedom, 3) for ridge in (0.01, 1.0)] == [3.96, 2.0]


@given(st.floats(0.5, 1.8), st.floats(8.0, 60.0))
def test_all_terms_that_are_allowed_lie_between_qmin_and_the_first_diffraction_peak(qmin: float, rmax: float) -> None:
    most = most_terms(qmin, rmax)
    q = background_q(most + 1, qmin, rmax)
    assert (q[:most] > qmin).all()
    assert (q[:most] <= HIGHEST_Q).all()
    assert q[most] > HIGHEST_Q - 1e-9


@pytest.mark.parametrize("wrong", [-1, 9, 2.5, "three", float("nan")])
def test_a_number_of_terms_that_cannot_be_is_refused_in_one_line(wrong: object) -> None:
    r = np.arange(0.0, 20.005, 0.01)
    with pytest.raises(InputError, match=r"background must be .*(got|finite)") as caught:
        pdf_from_arrays(r, np.sin(4 * r), qmin=0.8, qmax=22, background=wrong)
    assert "\n" not in str(caught.value)
    assert pdf_from_arrays(r, np.sin(4 * r), qmin=0.8, qmax=22, background=8).n_background == 8
    assert pdf_from_arrays(r, np.sin(4 * r), qmin=0.8, qmax=22).n_background == 0
