"""A terminal is shown whole cells at any usual width, escape codes only where wanted, and the curves as they are."""

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.cluster import Decahedron, Icosahedron, Octahedron
from rich.console import Console
from typer.testing import CliRunner

import cbldm
from cbldm.cli import app
from cbldm.cli.shared import make_console
from cbldm.report.posterior import Posterior
from cbldm.report.terminal import ASCII, BLOCKS, LABEL, fit_lines, show_solution
from cbldm.types import Candidate, Fit, Pdf, Setting, Solution

EXAMPLE = Path(cbldm.__file__).parent / "examples" / "pt_example.gr"
ALWAYS = ["rank", "N", "motif", "Rw", "weight", "group"]
ALL = ["rank", "source", "N", "motif", "diameter Å", "Rw", "scale", "stretch", "Uiso Å²", "moved Å", "RMSD to 1 Å",
       "weight", "group"]  # fmt: skip
POSTERIOR = Posterior({13: 0.6, 14: 0.4}, {0.8: (13, 14)}, {"icosahedron": 0.7, "fcc": 0.3})
R = np.arange(1.5, 30.0, 0.01)


def make_solution() -> Solution:
    """Three candidates with made-up curves and a warning that looks like markup of rich."""
    observed = np.exp(-0.1 * R) * np.sin(2.6 * R)
    parameters = {"scale": 0.7, "stretch": 1.001, "uiso": 0.0061, "delta2": 2.25, "qdamp": 0.03}
    clusters = [("icosahedron", Icosahedron("Pt", 2)), ("decahedron", Decahedron("Pt", 2, 2, 0)),
                ("faulted", Octahedron("Pt", 6))]  # fmt: skip
    candidates = [
        Candidate(rank, atoms, motif, "library", Fit(R, observed, 0.9 * observed), parameters, 0.01, 0.05,
                  1.25 if rank > 1 else None, weight=0.5 / rank, group=rank)
        for rank, (motif, atoms) in enumerate(clusters, 1)
    ]  # fmt: skip
    values = {"element": "Pt", "qmin": 0.8, "qmax": 22.0, "qdamp": 0.03, "qbroad": 0.0, "rmin": 1.5, "rmax": 30.0}
    pdf = Pdf(R, observed, None, {name: Setting(value, "header") for name, value in values.items()}, "pt.gr")
    return Solution(pdf, candidates, {"overlapping atoms": 4, "detached": 0}, ["be careful [bold]"], {}, 0, "cpu",
                    {"total": 2.5}, {})  # fmt: skip


def shown(solution: Solution, folder: Path, **how) -> str:
    """What a console of these properties is sent."""
    console = Console(file=io.StringIO(), **how)
    posterior = POSTERIOR if solution.candidates else None
    show_solution(console, solution, answer="2 structures fit equally well", posterior=posterior, folder=folder)
    return console.file.getvalue()


def columns(text: str) -> list[str]:
    """The heads of the ranking."""
    return re.split(r"\s{2,}", text.splitlines()[2].strip())


@pytest.mark.parametrize("width", [80, 120, 200])
def test_every_cell_is_whole_and_no_line_too_long(width):
    # A path is never broken, so it is a short one here.
    lines = shown(make_solution(), Path("pt_cbldm"), width=width).splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in "".join(lines)
    heads = columns("\n".join(lines))
    assert set(ALWAYS) <= set(heads)
    assert heads == [name for name in ALL if name in heads]
    rows = [re.split(r"\s{2,}", line.strip()) for line in lines[4:7]]
    for row, candidate in zip(rows, make_solution().candidates, strict=True):
        assert len(row) == len(heads)
        cells = dict(zip(heads, row, strict=True))
        assert [cells["N"], cells["motif"]] == [str(candidate.n_atoms), candidate.motif]
        assert (cells["Rw"], cells["group"]) == (f"{candidate.rw:.4f}", str(candidate.group))


def test_wider_terminals_show_more(tmp_path):
    n_columns = [len(columns(shown(make_solution(), tmp_path, width=width))) for width in (80, 100, 200)]
    assert n_columns == sorted(set(n_columns))
    assert n_columns[-1] == len(ALL)


def test_what_the_data_leave_open_and_where_the_files_are(tmp_path):
    (tmp_path / "report.html").touch()
    text = shown(make_solution(), tmp_path, width=200)
    assert "atom count: 13–14 with 80 % probability; likeliest motif: icosahedron (70 %)" in text
    assert "rejected: 4 overlapping atoms; 2.5 s on cpu" in text
    assert "note: be careful [bold]" in text
    assert f"written to {tmp_path}" in text
    assert "report.html" in text
    assert "results.json" not in text


def test_no_candidates_is_said(tmp_path):
    text = shown(replace(make_solution(), candidates=[]), tmp_path, width=80)
    assert "Rw" not in text
    assert "rejected: 4 overlapping atoms" in text


def test_escape_codes_are_for_colour_terminals_alone(tmp_path):
    plain = shown(make_solution(), tmp_path, width=80)
    assert "\x1b" not in plain
    coloured = shown(make_solution(), tmp_path, width=80, force_terminal=True, color_system="standard")
    assert "\x1b" in coloured
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == plain


def heights(lines: list[str], name: str, ramp: str = BLOCKS) -> np.ndarray:
    """(n_columns,) levels of a curve, read back from its rows."""
    start = next(index for index, line in enumerate(lines) if line.startswith(name))
    end = next(index for index, line in enumerate(lines) if index > start and not line.startswith(" "))
    rows = lines[start:end]
    length = max(map(len, lines)) - LABEL
    return sum(np.array([ramp.index(sign) for sign in row[LABEL:].ljust(length)]) for row in rows)


@pytest.mark.parametrize("ramp", [BLOCKS, ASCII])
@pytest.mark.parametrize("width", [80, 200])
def test_curves_in_text_are_the_curves(ramp, width):
    observed = np.exp(-0.1 * R) * np.sin(1.6 * R)
    lines = fit_lines(Fit(R, observed, 0.5 * observed), width, ascii_only=ramp is ASCII)
    assert max(map(len, lines)) <= width
    assert lines[-1].split()[2:] == ["1.5", "30"]
    data, fitted, difference = (heights(lines, name, ramp) for name in ("data", "fit", "difference"))
    places = np.linspace(R[0], R[-1], len(data) + 1)
    middle = np.interp((places[1:] + places[:-1]) / 2, R, observed)
    for drawn, factor in ((data, 1.0), (fitted, 0.5), (difference, 0.5)):
        levels = (drawn - drawn[np.argmin(np.abs(middle))]) * np.ptp(observed) / (2 * (len(ramp) - 1))
        assert levels == pytest.approx(factor * middle, abs=0.1)


@pytest.mark.parametrize("scale", [0.0, 1e-9, 1e9])
def test_flat_and_extreme_curves_are_drawn(scale):
    curve = scale * np.sin(R)
    assert len(fit_lines(Fit(R, curve, -curve), 80)) <= 9


@pytest.fixture
def solved(monkeypatch):
    """The command line with a solver that is done at once."""
    monkeypatch.setattr("cbldm.pipeline.solve", lambda *_, **__: make_solution())
    monkeypatch.setattr("cbldm.report.figures.draw_fit", lambda *_: None)
    monkeypatch.setattr("cbldm.report.figures.draw_structures", lambda *_: None)

    def call(*words: str):
        return CliRunner().invoke(app, ["solve", str(EXAMPLE), "--no-report", *words], catch_exceptions=False)

    return call


def test_json_is_alone_on_standard_output(solved, tmp_path):
    out = tmp_path / "out"
    told = solved("--out", str(out), "--json")
    assert json.loads(told.stdout) == json.loads((out / "results.json").read_bytes())
    assert "difference" in told.stderr
    assert "\x1b" not in told.stderr
    assert solved("--out", str(out)).stdout == ""


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_quiet_says_nothing_to_people(solved, tmp_path, words):
    told = solved("--out", str(tmp_path / "out"), "--quiet", *words)
    assert told.stderr == ""
    assert bool(told.stdout) == ("--json" in words)


@pytest.mark.parametrize("no_color", ["", "1"])
def test_a_terminal_may_refuse_escape_codes(monkeypatch, no_color):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", no_color)
    console = make_console()
    with console.capture() as sent:
        console.print("[bold red]text")
    assert ("\x1b" in sent.get()) == (not no_color)
