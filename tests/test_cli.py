"""The command line: results where they belong, one line and exit code 2 for what a user can mend."""

import json
import re
import subprocess
import sys
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.cluster import Octahedron
from typer.testing import CliRunner

import cbldm
from cbldm.cli import app
from cbldm.data.pdf_files import read_pdf

EXAMPLE = Path(cbldm.__file__).parent / "examples" / "pt_example.gr"
runner = CliRunner()


@pytest.fixture
def structure(tmp_path):
    path = tmp_path / "truth.xyz"
    ase.io.write(path, Octahedron("Pt", 5, 1, latticeconstant=3.92))
    return path


def test_solve_writes_and_prints_json(tmp_path):
    out = tmp_path / "out"
    words = ["solve", str(EXAMPLE), "--out", str(out), "--samples", "8", "--candidates", "2", "--json", "--quiet"]
    result = runner.invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0
    printed = json.loads(result.stdout)
    assert printed == json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert printed["input"]["element"] == {"value": "Pt", "source": "header"}
    assert len(printed["candidates"]) == 2
    assert result.stderr == ""


def test_simulate_then_refine(tmp_path, structure):
    made = tmp_path / "made.gr"
    words = ["simulate", str(structure), "-o", str(made), "--qmax", "22", "--noise-floor", "0.05", "--seed", "3"]
    assert runner.invoke(app, words, catch_exceptions=False).exit_code == 0
    pdf = read_pdf(made)
    assert (pdf.element, pdf.instrument.qmax, pdf.instrument.qmin) == ("Pt", 22.0, 0.8)
    result = runner.invoke(app, ["refine", str(structure), str(made), "--rigid"], catch_exceptions=False)
    assert result.exit_code == 0
    assert 0.03 < float(result.stdout.split()[1].rstrip(",")) < 0.07


def test_refine_tells_the_uiso_of_the_surface(tmp_path, structure):
    made = tmp_path / "made.gr"
    words = ["simulate", str(structure), "-o", str(made), "--qmax", "22"]
    assert runner.invoke(app, words, catch_exceptions=False).exit_code == 0
    words = ["refine", str(structure), str(made), "--rigid", "--fit-surface-uiso"]
    told = runner.invoke(app, words, catch_exceptions=False).stdout
    uiso, surface = (float(found) for found in re.search(r"Uiso (\S+) Å², surface Uiso (\S+) Å²", told).groups())
    assert uiso == pytest.approx(surface, abs=2e-4)  # the simulation has one for all


def test_python_runs_it_as_a_module():
    done = subprocess.run([sys.executable, "-m", "cbldm", "--help"], capture_output=True, text=True, check=True)
    assert "calibrate" in done.stdout


def test_version():
    result = runner.invoke(app, ["--version"], catch_exceptions=False)
    assert (result.exit_code, result.stdout) == (0, f"cbldm {cbldm.__version__}\n")


def test_same_seed_same_noise(tmp_path, structure):
    files = [tmp_path / name for name in ("a.gr", "b.gr", "c.gr")]
    for path, seed in zip(files, ("1", "1", "2"), strict=True):
        words = ["simulate", str(structure), "-o", str(path), "--noise-floor", "0.1", "--seed", seed]
        assert runner.invoke(app, words, catch_exceptions=False).exit_code == 0
    a, b, c = (read_pdf(path).g for path in files)
    np.testing.assert_array_equal(a, b)
    assert np.abs(a - c).max() > 0


def test_info(tmp_path):
    result = runner.invoke(app, ["info", str(EXAMPLE), "--json"], catch_exceptions=False)
    found = json.loads(result.stdout)
    assert found["dnn"] == pytest.approx(2.76, abs=0.03)
    low, middle, high = found["n_atoms"]
    assert 5 <= low <= middle <= high <= 256
    assert runner.invoke(app, ["info", str(EXAMPLE)], catch_exceptions=False).exit_code == 0


BARE = "\n".join(f"{x:.2f} {np.sin(5 * x) * np.exp(-x / 9):.6f}" for x in np.arange(0, 20, 0.05))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["solve", "missing.gr"], "missing.gr"),
        (["solve", "bare.txt", "--qmax", "20"], "--element"),
        (["solve", "bare.txt", "--element", "Pt"], "qmax"),
        (["solve", "bare.txt", "--element", "Xx", "--qmax", "20"], "Xx"),
        (["solve", "bare.txt", "--n-atoms", "many"], "--n-atoms must be"),
        (["solve", "bare.txt", "--element", "Pt", "--qmax", "20", "--r-unit", "ft"], "--r-unit"),
        (["simulate", "bare.txt", "-o", "x.gr"], "bare.txt"),
        (["calibrate", "bare.txt", "--element", "Ni", "--qmax", "20"], "at least 20 Å"),
        (["calibrate", "bare.txt", "--element", "Ni", "--qmax", "20", "-o", "bare.txt"], "another name with -o"),
        (["info", "bare.txt", "--qmax", "20", "--instrument", "bare.txt"], "bare.txt"),
        (["solve", str(EXAMPLE), "--background", "99"], "background must be a whole number of 0 to"),
        (["train", "no-such-config"], "cpu, gpu"),
        (["evaluate", "moon", "--out", "x"], "moon"),
    ],
)
def test_user_errors_are_one_line_and_exit_2(words, message, tmp_path):
    (tmp_path / "bare.txt").write_text(BARE)
    call = [sys.executable, "-c", "from cbldm.cli import main; main()", *words]
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bare.txt"]


def test_unknown_option_exits_2():
    assert runner.invoke(app, ["solve", str(EXAMPLE), "--colour", "blue"]).exit_code == 2
