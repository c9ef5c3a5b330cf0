"""A simulated standard gives its Qdamp and Qbroad back with right uncertainties; what is no standard is refused."""

import math
import tomllib

import numpy as np
import pytest
from typer.testing import CliRunner

from cbldm.calibrate import calibrate
from cbldm.cli import app
from cbldm.data.instrument_files import read_instrument
from cbldm.data.noise import noise_at_floor
from cbldm.data.pdf_files import pdf_from_arrays, read_pdf
from cbldm.data.standards import reference_lattice
from cbldm.data.structure_files import write_gr
from cbldm.errors import InputError
from cbldm.physics.crystal import crystal_gr
from cbldm.types import Instrument

R = np.round(np.arange(0, 70.001, 0.02), 2)
QMIN, QMAX = 0.8, 24.0
STANDARDS = {
    "fcc": ("Ni", 3.53, None, 0.035, 0.020),
    "bcc": ("W", 3.165, None, 0.045, 0.025),
    "hcp": ("Ti", 2.94, 4.70, 0.030, 0.018),
    "diamond": ("Si", 5.43, None, 0.055, 0.022),
}
runner = CliRunner()


def standard(lattice="fcc", *, floor=0.05, seed=0, qdamp=None, qbroad=None, size=math.inf):
    """G(r) of a standard with noise; a finite size in Å makes spheres of it."""
    _, a, c, usual_qdamp, usual_qbroad = STANDARDS[lattice]
    instrument = Instrument(
        QMIN, QMAX, usual_qdamp if qdamp is None else qdamp, usual_qbroad if qbroad is None else qbroad
    )
    share = np.minimum(R / size, 1.0)
    g = 0.8 * (1 - 1.5 * share + 0.5 * share**3) * crystal_gr(R, lattice, a, instrument, 0.0055, c=c, delta2=1.8)
    return g + noise_at_floor(R, g, QMAX, floor, np.random.default_rng(seed), rmax=60.0)


def as_pdf(g, element="Ni", r=R, **settings):
    return pdf_from_arrays(r, g, **({"element": element, "qmin": QMIN, "qmax": QMAX} | settings))


@pytest.mark.parametrize("lattice", STANDARDS)
def test_what_was_put_in_comes_back(lattice):
    element, a, c, qdamp, qbroad = STANDARDS[lattice]
    found = calibrate(as_pdf(standard(lattice), element))
    assert found.lattice == lattice
    assert found.warnings == ()
    truth = {"qdamp": qdamp, "qbroad": qbroad, "a": a, "uiso": 0.0055, "delta2": 1.8, "scale": 0.8}
    truth |= {"c": c} if c else {}
    assert found.values.keys() == truth.keys() == found.uncertainties.keys()
    for name, value in truth.items():
        assert abs(found.values[name] - value) < 3 * found.uncertainties[name], name
    for name in ("qdamp", "qbroad", "a"):
        assert found.values[name] == pytest.approx(truth[name], rel=0.05)
    assert found.fit.rw == pytest.approx(0.05, abs=0.005)
    assert -0.9 < found.correlation < -0.4
    assert found.pdf.settings["rmax"].value == 60.0


@pytest.mark.slow
def test_uncertainties_are_those_of_repeated_measurements():
    fits = [calibrate(as_pdf(standard(seed=seed, floor=0.1))) for seed in range(24)]
    for name, truth in (("qdamp", 0.035), ("qbroad", 0.020), ("a", 3.53), ("uiso", 0.0055)):
        z = np.array([(fit.values[name] - truth) / fit.uncertainties[name] for fit in fits])
        # The root mean square of 24 standard normal numbers is within 0.45 of 1 in 99.8 % of cases.
        assert 0.55 < np.sqrt(np.mean(z**2)) < 1.45


def test_nothing_depends_on_a_wrong_qmin():
    # What is below the first Bragg peak is orthogonal to everything that tells Qdamp and Qbroad.
    fits = [calibrate(as_pdf(standard(), qmin=qmin)) for qmin in (0.0, QMIN, 1.5)]
    for name in ("qdamp", "qbroad"):
        values = [fit.values[name] for fit in fits]
        assert np.ptp(values) < 0.3 * fits[1].uncertainties[name]


def test_qbroad_that_the_data_do_not_tell_is_fixed_at_0():
    found = calibrate(as_pdf(standard(qbroad=0.0), rmax=40.0))
    assert found.values["qbroad"] == 0
    assert "qbroad" not in found.uncertainties
    assert found.correlation is None
    assert any("qbroad is not determined" in line for line in found.warnings)
    assert found.values["qdamp"] == pytest.approx(0.035, rel=0.05)


def test_an_instrument_without_damping():
    found = calibrate(as_pdf(standard(qdamp=0.0)))
    assert found.values["qdamp"] < 0.006
    assert found.values["qbroad"] == pytest.approx(0.02, rel=0.05)


def test_range_goes_on_to_the_end_of_the_data_but_for_options():
    g = standard()
    short = R <= 35
    assert calibrate(as_pdf(g[short], r=R[short])).pdf.settings["rmax"].value == 35.0
    chosen = calibrate(as_pdf(g, rmin=3.0, rmax=45.0))
    assert (chosen.fit.r[0], chosen.fit.r[-1]) == (3.0, 45.0)


def test_another_lattice_than_the_usual_one():
    cobalt = crystal_gr(R, "fcc", 3.545, Instrument(QMIN, QMAX, 0.04, 0.02), 0.006)
    found = calibrate(as_pdf(cobalt, "Co"), "fcc")
    assert found.values["a"] == pytest.approx(3.545, abs=1e-4)
    assert found.fit.rw < 1e-3
    with pytest.raises(InputError, match="bulk hcp Co does not fit"):
        calibrate(as_pdf(cobalt, "Co"))


def test_lattices_have_the_volume_of_the_element():
    for element, own in (("Ni", "fcc"), ("Fe", "bcc"), ("Si", "diamond"), ("Ti", "hcp")):
        assert reference_lattice(element)[0] == own
    name, a, c = reference_lattice("Ni", "hcp")
    assert (name, a, c) == (
        "hcp",
        pytest.approx(3.52 / math.sqrt(2)),
        pytest.approx(3.52 / math.sqrt(2) * math.sqrt(8 / 3)),
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"element": "Au"}, r"bulk fcc Au does not fit \(Rw [01]\.\d\d"),
        ({"element": "W"}, "bulk bcc W does not fit"),
        ({"lattice": "hcp"}, "bulk hcp Ni does not fit"),
        ({"lattice": "sc"}, "lattice must be fcc, bcc, hcp or diamond, got 'sc'"),
        ({"element": "Po"}, "Po is no standard"),
        ({"element": "Mn"}, "Mn is no standard"),
        ({"element": "Se"}, "Se is no standard"),
        ({"element": "Nope"}, "chemical symbol"),
        ({"element": None}, "--element"),
        ({"qmax": None}, "--qmax"),
        ({"rmax": 15.0}, "ends at 15 Å.*at least 20 Å"),
        ({"rmin": 38.0, "rmax": 40.0}, "holds 15 independent values"),
        ({"floor": 0.6}, r"does not fit \(Rw 0\.\d\d, above 0.3\).*wrong"),
        ({"floor": 0.28, "rmax": 20.5, "rmin": 8.0}, "does not tell Qdamp.*to a larger r"),
        ({"size": 40.0, "floor": 0.01}, r"crystallites of about (39|4\d).*no bulk standard"),
    ],
)
def test_refused(change, message):
    made = {key: change[key] for key in ("floor", "size") if key in change}
    settings = {key: value for key, value in change.items() if key not in ("floor", "size", "lattice")}
    g = standard(**made)
    with pytest.raises(InputError, match=message) as caught:
        calibrate(as_pdf(g, **settings), change.get("lattice"))
    assert "\n" not in str(caught.value)


def test_crystallites_and_odd_constants_are_warned_of():
    small = calibrate(as_pdf(standard(size=80.0)))
    assert any("crystallites of about" in line for line in small.warnings)
    smaller = calibrate(as_pdf(standard(size=25.0, floor=0.1)))
    assert any("qdamp is above 0.08" in line for line in smaller.warnings)
    copper = calibrate(as_pdf(standard(), "Cu"))
    assert any("a is -2.2% from the usual 3.61 Å" in line for line in copper.warnings)


def test_alloys_are_refused_unless_the_header_is_overruled(tmp_path):
    path = tmp_path / "alloy.gr"
    write_gr(path, R, standard(), {"element": "Ni0.8 Fe0.2", "qmin": QMIN, "qmax": QMAX})
    with pytest.raises(InputError, match=r"Ni0\.8 Fe0\.2, but a standard must be a crystal of one element"):
        calibrate(read_pdf(path))
    assert any("Ni0.8 Fe0.2" in line for line in calibrate(read_pdf(path, element="Ni")).warnings)


def test_file_says_what_was_fitted(tmp_path):
    found = calibrate(as_pdf(standard(floor=0.02)))
    path = tmp_path / "instrument.toml"
    path.write_text(found.text(), encoding="utf-8")
    read = read_instrument(path)
    assert read.qdamp == pytest.approx(found.values["qdamp"], rel=1e-5)
    assert read.qbroad == pytest.approx(found.values["qbroad"], rel=1e-5)
    expected = {"element": "Ni", "lattice": "fcc", "qmin": QMIN, "qmax": QMAX, "rmin": 1.5, "rmax": 60.0}
    assert expected.items() <= read.standard.items()
    assert read.standard["uncertainties"].keys() == found.uncertainties.keys()


def test_command_writes_what_other_commands_read(tmp_path):
    folder = tmp_path / "secret place"
    folder.mkdir()
    path, out = folder / "ni.gr", tmp_path / "instrument.toml"
    write_gr(path, R, standard(), {"element": "Ni", "qmin": QMIN, "qmax": QMAX})
    result = runner.invoke(app, ["calibrate", str(path), "--rmax", "50", "-o", str(out)], catch_exceptions=False)
    assert result.exit_code == 0
    assert "correlation of qdamp and qbroad -0." in result.stdout
    text = out.read_text(encoding="utf-8")
    assert "secret" not in text
    content = tomllib.loads(text)
    assert content["standard"]["file"] == "ni.gr"
    assert content["standard"]["sha256"] == read_pdf(path).sha256
    assert content["instrument"]["qdamp"] == pytest.approx(0.035, rel=0.05)
    # A second time the file may be replaced, another one may not.
    assert runner.invoke(app, ["calibrate", str(path), "--rmax", "30", "-o", str(out)]).exit_code == 0
    with pytest.raises(InputError, match="choose another name"):
        runner.invoke(app, ["calibrate", str(path), "-o", str(path)], catch_exceptions=False)
    shown = runner.invoke(app, ["info", str(path), "--instrument", str(out), "--json"], catch_exceptions=False)
    assert '"source": "instrument"' in shown.stdout
    assert "instrument.toml: standard fcc Ni ni.gr" in shown.stdout
