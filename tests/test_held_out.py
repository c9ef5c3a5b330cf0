"""What was not fitted judges: parts do not overlap, predictions are not fits, and noise is not followed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from cbldm.data.clusters import octahedron
from cbldm.data.noise import noise_at_floor
from cbldm.data.pdf_files import pdf_from_arrays
from cbldm.held_out import NOISE, judged, left_out_rw, part
from cbldm.metrics import rmsd
from cbldm.physics.fast import fast_gr
from cbldm.refine import fit_parameters, predicted, refine_positions
from cbldm.target import fit_range, independent_points
from cbldm.types import FloatArray, Pdf

R = 0.01 * np.arange(2501)
SETTINGS = {"qmin": 0.8, "qmax": 22.0, "qdamp": 0.03}
IDEAL = 2.77 * octahedron(5, 1).positions


def relaxed(positions: FloatArray) -> FloatArray:
    """The outer atoms 2 % nearer to the middle."""
    radius = np.linalg.norm(positions, axis=1, keepdims=True)
    return np.asarray(positions * (1 - 0.02 * (radius / radius.max()) ** 3))


def measured(positions: FloatArray, floor: float) -> Pdf:
    curve = fast_gr(torch.from_numpy(R), torch.from_numpy(positions)[None], uiso=0.006, delta2=2.0, **SETTINGS)[0]
    noise = noise_at_floor(R, curve.numpy(), SETTINGS["qmax"], floor, np.random.default_rng(1))
    return pdf_from_arrays(R, curve.numpy() + noise, element="Pt", **SETTINGS)


def test_parts_make_up_the_data_and_share_nothing() -> None:
    pdf = measured(IDEAL, 0.0)
    parts = part(pdf)
    assert parts is not None
    kept, left = parts
    np.testing.assert_array_equal(np.sort(np.concatenate([kept.r, left.r])), pdf.r)
    fitted = [len(fit_range(one)[0]) for one in (kept, left)]
    assert sum(fitted) == len(fit_range(pdf)[0])
    assert 0.15 < fitted[1] / sum(fitted) < 0.22
    # A gap holds no independent points.
    assert independent_points(kept) == pytest.approx(independent_points(pdf) * fitted[0] / sum(fitted), rel=0.02)


def test_a_short_range_is_not_parted_but_still_refined() -> None:
    pdf = pdf_from_arrays(R, measured(IDEAL, 0.0).g, element="Pt", rmin=1.5, rmax=6.0, **SETTINGS)
    assert part(pdf) is None
    fit = judged(pdf, fit_parameters(pdf, [IDEAL]), max_iterations=5)[0]
    assert np.isnan(fit.rw_left_out)
    assert fit.rw < 0.01


def test_a_prediction_is_the_curve_on_other_points() -> None:
    pdf = measured(IDEAL, 0.05)
    fit = fit_parameters(pdf, [IDEAL])[0]
    np.testing.assert_allclose(predicted(pdf, [fit])[0], fit.calculated, atol=1e-9 * np.abs(fit.calculated).max())
    parts = part(pdf)
    assert parts is not None
    observed = fit_range(parts[1])[1]
    expected = np.linalg.norm(observed - predicted(parts[1], [fit])[0]) / np.linalg.norm(observed)
    assert left_out_rw(parts[1], [fit])[0] == pytest.approx(expected)


def test_relaxation_is_found_where_the_data_show_it() -> None:
    truth = relaxed(IDEAL)
    pdf = measured(truth, 0.0)
    rigid = fit_parameters(pdf, [IDEAL])
    fit = judged(pdf, rigid, max_iterations=12)[0]
    assert fit.rw_left_out < 0.5 * fit.rw_left_out_rigid
    assert rmsd(truth, fit.positions) < 0.5 * rmsd(truth, rigid[0].positions)
    assert 4 < fit.freedom < 3 * len(IDEAL)
    assert 0 < fit.moved_median < 0.1


def test_noise_is_not_followed() -> None:
    pdf = measured(IDEAL, 0.2)
    rigid = fit_parameters(pdf, [IDEAL])
    free = refine_positions(pdf, rigid, noise=min(NOISE), max_iterations=12)[0]
    fit = judged(pdf, rigid, max_iterations=12)[0]
    assert free.rw < fit.rw
    assert rmsd(IDEAL, fit.positions) < 0.5 * rmsd(IDEAL, free.positions)
    assert fit.freedom < free.freedom
    assert fit.rw_left_out <= 1.001 * fit.rw_left_out_rigid


def test_what_becomes_of_a_fit_is_told_from_its_start() -> None:
    pdf = measured(relaxed(IDEAL), 0.0)
    begin = replace(fit_parameters(pdf, [IDEAL])[0], prior=3.0)
    fit = judged(pdf, [begin], max_iterations=12)[0]
    assert fit.prior == 3.0
    assert fit.stretch == pytest.approx(begin.stretch, abs=0.01)
    assert fit.moved_median < fit.moved_max < 0.2


def test_a_fitted_qdamp_is_not_lost() -> None:
    pdf = measured(relaxed(IDEAL), 0.0)
    unknown = pdf_from_arrays(R, pdf.g, element="Pt", **(SETTINGS | {"qdamp": 0.0}))
    rigid = fit_parameters(unknown, [IDEAL], fit_qdamp=True)
    fit = judged(unknown, rigid, fit_qdamp=True, max_iterations=12)[0]
    assert fit.moved_median > 0
    assert fit.qdamp == pytest.approx(rigid[0].qdamp, abs=0.01)
    assert fit.qdamp > 0.02


def test_a_surface_of_its_own_is_not_lost() -> None:
    pdf = measured(relaxed(IDEAL), 0.0)
    rigid = fit_parameters(pdf, [IDEAL], fit_surface_uiso=True)
    fit = judged(pdf, rigid, max_iterations=12)[0]
    assert fit.moved_median > 0
    assert fit.surface is not None


def test_a_background_is_fitted_to_what_is_kept_and_predicts_what_is_left_out() -> None:
    bare = measured(IDEAL, 0.02)
    smooth = 0.15 * np.linalg.norm(bare.g) * np.sin(1.1 * R) / np.linalg.norm(np.sin(1.1 * R))
    lefts = []
    for terms in (0, 4):
        pdf = pdf_from_arrays(R, bare.g + smooth, element="Pt", background=terms, **SETTINGS)
        parts = part(pdf)
        assert parts is not None
        kept, left = parts
        fit = fit_parameters(kept, [IDEAL])[0]
        lefts.append(float(left_out_rw(left, [fit])[0]))
        assert len(fit.background) == terms
        without = replace(fit, background=np.zeros(terms))
        shown = np.linalg.norm(predicted(left, [fit])[0] - predicted(left, [without])[0])
        assert (shown > 0) == (terms > 0)
    assert lefts[0] > 0.1
    assert lefts[1] < 0.05
