import numpy as np
import pytest

from cbldm.errors import InputError
from cbldm.physics import debye
from cbldm.physics.debye import debye_fq, debye_gr, diffpy_grid
from cbldm.types import Instrument

#: Settings of the reference arrays: instrument, delta2 in Å², U in Å².
SETTINGS = {
    "A": (Instrument(0.7, 25.0, 0.04), 2.0, 0.3 / (8 * np.pi**2)),
    "B": (Instrument(1.0, 22.0, 0.03), 0.0, 0.5 / (8 * np.pi**2)),
}
SMALL = ("Pt55", "Pt147", "Pt147_rattled")
LARGE = tuple(pytest.param(name, marks=pytest.mark.slow) for name in ("Pt309", "Pt309_rattled", "Pt561", "Pt923"))
HUGE = (pytest.param("Pt2057", marks=pytest.mark.slow),)
#: Constant scattering factors of DiffPy: number of electrons, and bound coherent neutron lengths in fm.
CONSTANT_FACTORS = {"electronnumber": {"Au": 79.0, "Cu": 29.0}, "neutron": {"Au": 7.90, "Cu": 7.718}}
SIMULATED = (
    "BCC_h_4_k_7_l_8_Cr",
    "Decahedron_p_5_q_1_r_0_Re",
    "FCC_h_3_k_6_l_7_Zn",
    "HCP_Size1_4_Size2_4_Size3_4_Os",
    "Icosahedron_shell_3_V",
    "SC_h_4_k_4_l_5_V",
)


def relative(found, wanted):
    return np.max(np.abs(found - wanted)) / np.max(np.abs(wanted))


@pytest.fixture(scope="module")
def reference(shared_data):
    with np.load(shared_data / "reference" / "diffpy.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", SMALL + LARGE + HUGE)
def test_diffpy_grid_reproduces_diffpy(reference, name, setting):
    instrument, delta2, uiso = SETTINGS[setting]
    g = debye_gr(reference["r"], reference[f"{name}_xyz"], instrument, uiso, delta2=delta2, grid="diffpy")
    assert relative(g, reference[f"{name}_{setting}_Gdebye"]) <= 1e-8


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", SMALL + LARGE)
def test_exact_integral_agrees_with_diffpy_on_its_effective_limits(reference, name, setting):
    instrument, delta2, uiso = SETTINGS[setting]
    limits = diffpy_grid(instrument, uiso, delta2, 30.0, 0.01).limits
    effective = Instrument(*limits, instrument.qdamp)
    g = debye_gr(reference["r"], reference[f"{name}_xyz"], effective, uiso, delta2=delta2)
    assert relative(g, reference[f"{name}_{setting}_Gdebye"]) <= 2e-3


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("factor", CONSTANT_FACTORS)
def test_constant_weights_reproduce_diffpy_on_an_alloy(reference, factor, setting):
    instrument, delta2, uiso = SETTINGS[setting]
    weights = [CONSTANT_FACTORS[factor][symbol] for symbol in reference["AuCu147_sym"]]
    xyz = reference["AuCu147_xyz"]
    g = debye_gr(reference["r"], xyz, instrument, uiso, delta2=delta2, grid="diffpy", weights=weights)
    assert relative(g, reference[f"AuCu147_{setting}_Gdebye_{factor}"]) <= 1e-8


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", SMALL)
def test_fq_reproduces_diffpy(reference, name, setting):
    _, delta2, uiso = SETTINGS[setting]
    f = debye_fq(reference[f"{name}_{setting}_Q"], reference[f"{name}_xyz"], uiso, delta2=delta2)
    assert relative(f, reference[f"{name}_{setting}_F"]) <= 1e-8


@pytest.mark.parametrize("name", SIMULATED)
def test_simulated_files_are_reproduced_at_multiples_of_a_hundredth(shared_data, name):
    folder = shared_data / "simulated"
    g_file = np.loadtxt(folder / f"{name}.gr")[:, 1]
    xyz = np.loadtxt(folder / f"{name}.xyz", skiprows=2, usecols=(1, 2, 3))
    r = 0.01 * np.arange(3000)
    g = debye_gr(r, xyz, Instrument(0.7, 25.0), 0.3 / (8 * np.pi**2), grid="diffpy")
    assert np.max(np.abs(g - g_file)) <= 2e-8 * max(1.0, np.max(np.abs(g_file)))


def test_form_factor_of_one_element_cancels():
    """S(Q) = I(Q)/(N f²) whatever f(Q): the sum over pairs weighted by f(Q)² gives the F(Q) that knows no f."""
    rng = np.random.default_rng(0)
    xyz, uiso = 4.0 * rng.normal(size=(12, 3)), 0.006
    q = np.linspace(0.3, 25.0, 60)
    d = np.linalg.norm(xyz[:, None] - xyz[None], axis=-1)
    waller = np.where(np.eye(12, dtype=bool), 1.0, np.exp(-uiso * q[:, None, None] ** 2))
    for form_factor in (np.full_like(q, 9.6), 78.0 * np.exp(-0.02 * q**2) + 3.0):
        intensity = (form_factor[:, None, None] ** 2 * waller * np.sinc(q[:, None, None] * d / np.pi)).sum((1, 2))
        structure_factor = intensity / (12 * form_factor**2)
        np.testing.assert_allclose(q * (structure_factor - 1.0), debye_fq(q, xyz, uiso), rtol=0, atol=1e-12)
    np.testing.assert_allclose(debye_fq(q, xyz, uiso, weights=np.full(12, -3.7)), debye_fq(q, xyz, uiso), atol=1e-13)


def test_dimer_without_cuts_is_one_gaussian():
    """For Qmin = 0 and Qmax where exp(-UQ²) has died, (2/N) times a normal density of variance 2U around d, over d."""
    d, uiso = 2.7, 0.005
    r = np.linspace(0.0, 6.0, 301)

    def density(x):
        return np.exp(-(x**2) / (4 * uiso)) / np.sqrt(4 * np.pi * uiso)

    g = debye_gr(r, np.array([[0, 0, 0], [0, d, 0]]), Instrument(0.0, 90.0), uiso)
    np.testing.assert_allclose(g, (density(r - d) - density(r + d)) / d, rtol=0, atol=1e-12)


def test_correlated_motion_and_qbroad_change_the_variance_of_a_peak():
    d, uiso, delta1, delta2, qbroad = 2.7, 0.005, 0.4, 1.2, 0.03
    r = np.linspace(1.5, 4.0, 2001)
    dimer, wide = np.array([[0, 0, 0], [0, 0, d]]), Instrument(0.0, 120.0, 0.0, qbroad)
    g = debye_gr(r, dimer, wide, uiso, delta1=delta1, delta2=delta2)
    variance = np.sum(g * (r - d) ** 2) / np.sum(g)
    assert variance == pytest.approx(2 * uiso * (1 - delta1 / d - delta2 / d**2 + (qbroad * d) ** 2), rel=1e-9)


def test_variance_is_clipped_at_zero():
    q, dimer = np.linspace(0.5, 20.0, 40), np.array([[0, 0, 0], [2.0, 0, 0]])
    np.testing.assert_array_equal(debye_fq(q, dimer, 0.01, delta2=9.0), debye_fq(q, dimer, 0.0))


def test_exact_integral_does_not_depend_on_its_panels(monkeypatch):
    rng = np.random.default_rng(1)
    xyz, r = 5.0 * rng.normal(size=(20, 3)), np.linspace(0.0, 30.0, 200)
    coarse = debye_gr(r, xyz, Instrument(0.7, 25.0), 0.004)
    monkeypatch.setattr(debye, "PANEL_PHASE", 50.0)
    assert relative(debye_gr(r, xyz, Instrument(0.7, 25.0), 0.004), coarse) < 1e-12


def test_chunks_do_not_change_the_sum(monkeypatch):
    rng = np.random.default_rng(2)
    xyz, q = 5.0 * rng.normal(size=(30, 3)), np.linspace(0.5, 25.0, 50)
    whole = debye_fq(q, xyz, 0.004)
    monkeypatch.setattr(debye, "CHUNK", 700)
    np.testing.assert_allclose(debye_fq(q, xyz, 0.004), whole, rtol=0, atol=1e-12)


def test_stretch_scale_and_damping_act_as_defined():
    rng = np.random.default_rng(3)
    xyz, r = 4.0 * rng.normal(size=(10, 3)), np.linspace(0.0, 20.0, 101)
    g = debye_gr(r, xyz, Instrument(0.7, 25.0, 0.05), 0.004, scale=1.7, stretch=1.03)
    plain = debye_gr(r, 1.03 * xyz, Instrument(0.7, 25.0), 0.004)
    np.testing.assert_allclose(g, 1.7 * np.exp(-0.5 * (0.05 * r) ** 2) * plain, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"grid": "fine"}, "allowed are 'exact' and 'diffpy'"),
        ({"instrument": Instrument(5.0, 4.0)}, "0 <= qmin < qmax"),
        ({"positions": np.zeros((4, 2))}, "shape"),
        ({"positions": np.array([[0.0, 0.0, np.nan]])}, "finite"),
        ({"weights": [1.0, 2.0, 3.0]}, "one number per atom"),
    ],
)
def test_unusable_input_is_named(change, message):
    call = {
        "r": np.linspace(0, 5, 11),
        "positions": np.array([[0, 0, 0], [0, 0, 2.0]]),
        "instrument": Instrument(0.5, 20.0),
        "uiso": 0.005,
    }
    with pytest.raises(InputError, match=message):
        debye_gr(**(call | change))
