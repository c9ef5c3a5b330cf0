"""Fits recover what a PDF was made with; refinement repairs rattled atoms and leaves right ones alone."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cbldm.data.clusters import cubic, decahedron, icosahedron, octahedron
from cbldm.errors import InputError
from cbldm.geometry.restraint import Restraint
from cbldm.geometry.surface import on_surface
from cbldm.physics.debye import debye_gr
from cbldm.physics.fast import fast_gr
from cbldm.refine import (
    BOUNDS,
    OVERSAMPLING,
    FittedStructure,
    _Restrained,
    check_structure,
    fit_parameters,
    predicted,
    refine_positions,
)
from cbldm.target import Target, background_of, fit_range, independent_points
from cbldm.types import Cluster, Fit, FloatArray, Instrument, Pdf, Setting

DNN = 2.77
INSTRUMENT = Instrument(qmin=0.8, qmax=22.0, qdamp=0.03)
FCC = DNN * octahedron(5, 2).positions
ICO = DNN * icosahedron(3).positions
DECA = DNN * decahedron(3, 2, 0).positions
BCC = DNN * cubic("bcc", 2, 3, 4).positions


def make_pdf(r: FloatArray, g: FloatArray, instrument: Instrument = INSTRUMENT) -> Pdf:
    values = {"element": "Pt", "rmin": 1.5, "rmax": 20.0, **vars(instrument)}
    return Pdf(r, g, None, {key: Setting(value, "option") for key, value in values.items()})


def simulate(
    positions: FloatArray,
    *,
    uiso: float = 0.005,
    delta2: float = 0.0,
    scale: float = 1.0,
    noise: float = 0.0,
    qdamp: float = 0.03,
    rng: np.random.Generator | None = None,
) -> Pdf:
    """Exact G(r) on 1 to 22 Å; the noise is band-limited, its Rw over the curve is as given."""
    r = np.arange(1.0, 22.0, 0.02)
    instrument = Instrument(INSTRUMENT.qmin, INSTRUMENT.qmax, qdamp)
    g = debye_gr(r, positions, instrument, uiso, delta2=delta2, scale=scale)
    if rng is not None:
        q = np.linspace(INSTRUMENT.qmin, INSTRUMENT.qmax, 200)
        ripple = rng.normal(size=len(q)) @ np.sin(q[:, None] * r)
        g = g + ripple * noise * np.linalg.norm(g) / np.linalg.norm(ripple)
    return make_pdf(r, g)


def rmsd_in_order(a: FloatArray, b: FloatArray) -> float:
    """RMSD after the best superposition of atoms that keep their labels, in Å."""
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    u, _, vt = np.linalg.svd(a.T @ b)
    return float(np.sqrt(np.mean(np.sum((a @ u @ vt - b) ** 2, axis=1))))


# --- parameters of rigid structures -------------------------------------------------------------------------------


@pytest.mark.parametrize(("uiso", "delta2"), [(0.003, 0.0), (0.006, 2.0), (0.02, 4.0)])
def test_fit_recovers_scale_stretch_uiso_and_delta2_from_starts_3_percent_off(uiso: float, delta2: float) -> None:
    pdf = simulate(ICO, uiso=uiso, delta2=delta2, scale=1.7)
    sizes = (0.97, 1.0, 1.013, 1.03)
    for off, fit in zip(sizes, fit_parameters(pdf, [size * ICO for size in sizes]), strict=True):
        assert fit.converged
        assert fit.rw < 1e-4
        assert fit.stretch == pytest.approx(1 / off, rel=1e-5)
        assert fit.scale == pytest.approx(1.7, rel=1e-4)
        assert fit.uiso == pytest.approx(uiso, rel=1e-3)
        assert fit.delta2 == pytest.approx(delta2, abs=2e-3)
        assert rmsd_in_order(fit.positions, ICO) < 1e-3


def test_fits_come_back_in_the_order_given_whatever_their_sizes() -> None:
    structures = [FCC, BCC, ICO, DECA, ICO[:40]]
    fits = fit_parameters(simulate(FCC), structures)
    assert [len(fit.positions) for fit in fits] == [len(x) for x in structures]
    assert fits[0].rw < 1e-4 < 0.05 < min(fit.rw for fit in fits[1:])
    alone = fit_parameters(simulate(FCC), [DECA])[0]
    assert alone.rw == pytest.approx(fits[3].rw, rel=1e-4)


def test_rw_is_that_of_all_points_of_the_fit_range() -> None:
    pdf = simulate(FCC, noise=0.1, rng=np.random.default_rng(0))
    fit = fit_parameters(pdf, [FCC])[0]
    r, g = fit_range(pdf)
    assert r[0] == pytest.approx(1.5)
    assert r[-1] == pytest.approx(20.0)
    assert Fit(r, g, fit.calculated).rw == pytest.approx(fit.rw)
    assert fit.rw == pytest.approx(0.1, rel=0.15)


def test_parameters_that_are_not_fitted_keep_their_values() -> None:
    fit = fit_parameters(simulate(FCC, delta2=2.0), [FCC], fit_delta2=False)[0]
    assert (fit.delta2, fit.qdamp) == (0.0, INSTRUMENT.qdamp)
    assert fit.rw > 0.005


def test_qdamp_is_recovered_when_asked_for() -> None:
    fit = fit_parameters(simulate(FCC, qdamp=0.06), [FCC], fit_qdamp=True)[0]
    assert fit.qdamp == pytest.approx(0.06, rel=1e-3)


def livelier(positions: FloatArray, uiso: float, outer: float, noise: float = 0.0) -> Pdf:
    """A PDF of a cluster whose surface atoms move by another Uiso."""
    pdf = simulate(positions, noise=noise, rng=np.random.default_rng(5))
    motion = {"uiso": uiso, "surface": torch.tensor(on_surface(positions))[None], "surface_uiso": outer}
    curve = fast_gr(torch.tensor(pdf.r), torch.tensor(positions)[None], **vars(INSTRUMENT), **motion)[0].numpy()
    still = simulate(positions)
    return make_pdf(pdf.r, curve + (pdf.g - still.g))


def test_the_uiso_of_the_surface_is_recovered_when_asked_for() -> None:
    pdf = livelier(FCC, 0.004, 0.012)
    common = fit_parameters(pdf, [FCC])[0]
    own = fit_parameters(pdf, [FCC], fit_surface_uiso=True)[0]
    assert common.surface is None
    assert own.surface is not None
    assert own.rw < 1e-3 < 0.02 < common.rw
    assert own.uiso == pytest.approx(0.004, rel=0.01)
    assert own.surface.uiso == pytest.approx(0.012, rel=0.01)
    assert np.array_equal(own.surface.atoms, on_surface(FCC))
    assert own.freedom == common.freedom + 1


def test_the_uiso_of_the_surface_goes_through_the_refinement() -> None:
    """Its ratio to the others' is kept, its curve is part of the objective, and true positions stay."""
    pdf = livelier(FCC, 0.004, 0.012, noise=0.02)
    fit = fit_parameters(pdf, [FCC], fit_surface_uiso=True)[0]
    end = refine_positions(pdf, [fit], noise=0.02)[0]
    assert fit.surface is not None
    assert end.surface is not None
    assert np.array_equal(end.surface.atoms, fit.surface.atoms)
    assert end.surface.uiso / end.uiso == pytest.approx(fit.surface.uiso / fit.uiso)
    assert end.rw <= fit.rw
    assert rmsd_in_order(end.positions, FCC) < 0.02
    np.testing.assert_allclose(predicted(pdf, [end])[0], end.calculated, atol=1e-9 * np.abs(end.calculated).max())


def test_a_dimer_has_no_surface_to_fit() -> None:
    dimer = DNN * np.array([[0.0, 0, 0], [1, 0, 0]])
    fit = fit_parameters(simulate(dimer), [dimer], fit_surface_uiso=True)[0]
    assert fit.surface is not None
    assert not fit.surface.atoms.any()
    assert fit.rw < 1e-3


def test_parameters_stay_inside_their_bounds() -> None:
    fit = fit_parameters(simulate(FCC, uiso=0.09), [FCC])[0]
    assert fit.uiso == pytest.approx(BOUNDS["uiso"][1])


def test_an_empty_fit_range_is_refused_in_one_line() -> None:
    pdf = simulate(FCC)
    short = make_pdf(pdf.r[:30], pdf.g[:30])
    with pytest.raises(InputError, match=r"only \d data points lie between rmin 1.5 and rmax 20 Å"):
        fit_parameters(short, [FCC])


def test_independent_points_are_one_per_pi_over_qmax() -> None:
    assert independent_points(simulate(FCC)) == pytest.approx(22.0 * 18.5 / np.pi)


# --- positions ----------------------------------------------------------------------------------------------------


def rescue(ideal: FloatArray, amplitude: float, noise: float, seed: int) -> tuple[list[float], list[FittedStructure]]:
    """RMSD to the truth of three refined starts, rattled by `amplitude` Å per coordinate, and the refined fits."""
    rng = np.random.default_rng(seed)
    truth = ideal + 0.02 * rng.normal(size=ideal.shape)
    pdf = simulate(truth, delta2=1.5, noise=noise, rng=rng)
    starts = [truth + amplitude * rng.normal(size=truth.shape) for _ in range(3)]
    refined = refine_positions(pdf, fit_parameters(pdf, starts))
    return [rmsd_in_order(fit.positions, truth) for fit in refined], refined


@pytest.mark.parametrize("ideal", [FCC, ICO, DECA, BCC], ids=["fcc", "icosahedron", "decahedron", "bcc"])
def test_refinement_rescues_atoms_rattled_by_02_angstrom_under_3_percent_noise(ideal: FloatArray) -> None:
    errors, refined = rescue(ideal, 0.2 / np.sqrt(3), 0.03, seed=0)  # 0.2 Å root mean square
    assert np.median(errors) < 0.06
    assert max(errors) < 0.1
    assert all(fit.converged and fit.rw < 0.04 for fit in refined)
    assert all(0.05 < fit.moved_median < 0.35 for fit in refined)


def test_refinement_leaves_the_truth_where_it_is() -> None:
    pdf = simulate(ICO, delta2=1.0)
    fit = refine_positions(pdf, fit_parameters(pdf, [ICO]))[0]
    assert fit.converged
    assert fit.moved_max < 0.01
    assert fit.rw < 0.005


def test_refinement_does_not_bend_a_cluster_with_a_few_wrong_atoms() -> None:
    rng = np.random.default_rng(3)
    pdf = simulate(FCC, delta2=1.0, noise=0.03, rng=rng)
    far = np.argsort(np.linalg.norm(FCC - FCC.mean(axis=0), axis=1))
    for missing in (1, 3):
        fit = refine_positions(pdf, fit_parameters(pdf, [np.delete(FCC, far[-missing:], axis=0)]))[0]
        assert fit.moved_median < 0.05
        assert fit.rw < 0.15


def test_a_wrong_motif_keeps_misfit_and_strain() -> None:
    pdf = simulate(ICO, noise=0.03, rng=np.random.default_rng(0))
    wrong = FCC[np.argsort(np.linalg.norm(FCC - FCC.mean(axis=0), axis=1), kind="stable")[:55]]
    right, bent = refine_positions(pdf, fit_parameters(pdf, [ICO, wrong]))
    assert bent.restraint > right.restraint + 10
    assert bent.moved_median > 5 * right.moved_median
    assert bent.rw > 3 * right.rw


def test_surface_contraction_is_found_from_the_ideal_shape() -> None:
    radius = np.linalg.norm(ICO - ICO.mean(axis=0), axis=1, keepdims=True)
    truth = ICO * (1 - 0.03 * (radius / radius.max()) ** 4)
    pdf = simulate(truth, delta2=1.0, noise=0.03, rng=np.random.default_rng(2))
    rigid = fit_parameters(pdf, [ICO])
    refined = refine_positions(pdf, rigid)
    assert rmsd_in_order(refined[0].positions, truth) < 0.4 * rmsd_in_order(rigid[0].positions, truth)


def test_a_uniform_change_of_size_is_stretch_and_not_movement() -> None:
    pdf = simulate(FCC, delta2=1.0)
    exact = fit_parameters(pdf, [FCC])[0]
    swollen = FittedStructure(**{**vars(exact), "positions": 1.004 * exact.positions})
    fit = refine_positions(pdf, [swollen])[0]
    assert fit.stretch == pytest.approx(1 / 1.004, abs=5e-4)
    assert fit.moved_max < 0.02


def test_refinement_keeps_delta2_where_it_is_not_fitted() -> None:
    pdf = simulate(ICO, delta2=2.0)
    fit = refine_positions(pdf, fit_parameters(pdf, [ICO], fit_delta2=False), fit_delta2=False)[0]
    assert fit.delta2 == 0.0


def test_a_structure_that_fits_nothing_and_a_tiny_noise_are_no_obstacle() -> None:
    pdf = simulate(ICO, noise=0.03, rng=np.random.default_rng(0))
    upside_down = Pdf(pdf.r, -pdf.g, None, pdf.settings)
    for data in (pdf, upside_down):
        fit = refine_positions(data, fit_parameters(data, [FCC[:20]]), noise=1e-3, max_iterations=3)[0]
        assert np.isfinite(fit.positions).all()


def test_an_interrupted_refinement_does_not_claim_to_have_converged() -> None:
    rng = np.random.default_rng(0)
    pdf = simulate(ICO)
    rattled = fit_parameters(pdf, [ICO + 0.2 * rng.normal(size=ICO.shape)])
    assert not refine_positions(pdf, rattled, max_iterations=2)[0].converged


def test_same_input_same_answer() -> None:
    pdf = simulate(DECA, noise=0.03, rng=np.random.default_rng(1))
    start = DECA + 0.1 * np.random.default_rng(2).normal(size=DECA.shape)
    first, second = (refine_positions(pdf, fit_parameters(pdf, [start]))[0] for _ in range(2))
    assert np.array_equal(first.positions, second.positions)
    assert first.rw == second.rw


@pytest.mark.slow
@pytest.mark.parametrize("cluster", [octahedron(7, 2), icosahedron(4), decahedron(4, 2, 1)], ids=lambda c: c.family)
def test_refinement_rescues_larger_clusters_rattled_by_02_angstrom_per_coordinate(cluster: Cluster) -> None:
    errors, _ = rescue(DNN * cluster.positions, 0.2, 0.03, seed=1)
    assert np.median(errors) < 0.12
    assert max(errors) < 0.25


# --- a smooth background beside the structure -----------------------------------------------------------------------


def with_background(pdf: Pdf, terms: int, share: float) -> tuple[Pdf, FloatArray]:
    """The PDF with waves of the lowest Q added, as large as a share of it, and what was added to the fit range."""
    amplitudes = np.random.default_rng(7).normal(size=3)
    asked = Pdf(pdf.r, pdf.g, None, {**pdf.settings, "background": Setting(3, "option")})
    smooth = background_of(asked, pdf.r).curve(amplitudes)
    smooth *= share * np.linalg.norm(pdf.g) / np.linalg.norm(smooth)
    settings = {**pdf.settings, "background": Setting(terms, "option")}
    changed = Pdf(pdf.r, pdf.g + smooth, None, settings)
    return changed, smooth[np.isin(pdf.r, fit_range(pdf)[0])]


def test_a_known_background_is_recovered_within_the_noise() -> None:
    clean = simulate(ICO, delta2=1.0, noise=0.02, rng=np.random.default_rng(4))
    pdf, added = with_background(clean, 4, 0.2)
    fit = fit_parameters(pdf, [ICO])[0]
    r, observed = fit_range(pdf)
    found = background_of(pdf, r).curve(fit.background)
    assert np.linalg.norm(found - added) < 0.02 * np.linalg.norm(observed)
    assert fit.rw < 0.025
    assert fit.rw == pytest.approx(np.linalg.norm(observed - fit.calculated) / np.linalg.norm(observed))
    bare = fit_parameters(clean, [ICO])[0]
    assert fit.uiso == pytest.approx(bare.uiso, rel=0.05)
    assert fit.scale == pytest.approx(bare.scale, rel=0.02)
    assert fit.freedom == pytest.approx(bare.freedom + 4 / (1 + 4 / independent_points(pdf)))
    assert fit_parameters(with_background(clean, 0, 0.2)[0], [ICO])[0].rw > 0.15


def test_no_terms_are_the_same_as_no_word_of_a_background() -> None:
    pdf = simulate(ICO, noise=0.03, rng=np.random.default_rng(1))
    silent, none = (refine_positions(p, fit_parameters(p, [ICO]))[0] for p in (pdf, with_background(pdf, 0, 0.0)[0]))
    assert np.array_equal(silent.positions, none.positions)
    assert np.array_equal(silent.calculated, none.calculated)


def test_gradients_are_those_of_the_profiled_objective() -> None:
    pdf, _ = with_background(simulate(ICO, delta2=1.0, noise=0.03, rng=np.random.default_rng(0)), 4, 0.2)
    rattled = ICO + 0.1 * np.random.default_rng(1).normal(size=ICO.shape)
    fits = fit_parameters(pdf, [rattled])
    target = Target.of(pdf, oversampling=OVERSAMPLING, dtype=torch.float64)
    problem = _Restrained(target, fits, 1e4, Restraint(), True)
    rows = torch.zeros(1, dtype=torch.long)
    direction = torch.from_numpy(np.random.default_rng(2).normal(size=problem.start.shape))
    _, gradient = problem.function(rows, problem.start)
    step = 1e-3
    ends = [problem.function(rows, problem.start + sign * step * direction)[0] for sign in (1, -1)]
    assert float((gradient * direction).sum()) == pytest.approx(float((ends[0] - ends[1]) / (2 * step)), rel=0.01)


def test_positions_are_refined_beside_a_background() -> None:
    clean = simulate(ICO, delta2=1.0, noise=0.03, rng=np.random.default_rng(5))
    rattled = ICO + 0.15 * np.random.default_rng(6).normal(size=ICO.shape)
    pdf, _ = with_background(clean, 4, 0.2)
    fit = refine_positions(pdf, fit_parameters(pdf, [rattled]))[0]
    assert fit.rw < 0.04
    assert rmsd_in_order(fit.positions, ICO) < 0.08


# --- sound structures ---------------------------------------------------------------------------------------------


@given(st.integers(0, 1000), st.sampled_from([FCC, ICO, DECA, BCC]))
def test_slightly_rattled_clusters_are_sound(seed: int, ideal: FloatArray) -> None:
    rattled = ideal + 0.1 * np.random.default_rng(seed).uniform(-1, 1, ideal.shape)
    assert check_structure(rattled, DNN) is None


def test_an_adatom_with_three_neighbours_is_sound_and_a_lost_atom_is_not() -> None:
    pyramid = DNN * np.array([[0, 0, 0], [1, 0, 0], [0.5, np.sqrt(0.75), 0], [0.5, np.sqrt(1 / 12), np.sqrt(2 / 3)]])
    assert check_structure(pyramid, DNN) is None
    assert check_structure(np.vstack([pyramid, pyramid[3] + [0, 0, 1.4 * DNN]]), DNN) == "falls apart"


def test_unsound_structures_get_a_reason_that_can_be_counted() -> None:
    assert check_structure(np.vstack([FCC, FCC[0] + [0.5, 0, 0]]), DNN) == "overlapping atoms"
    assert check_structure(np.where(np.arange(len(FCC))[:, None] == 3, np.nan, FCC), DNN) == "not finite"
    assert check_structure(np.vstack([FCC, FCC + 100.0]), DNN) == "falls apart"
    assert check_structure(np.zeros((1, 3)), DNN) is None
