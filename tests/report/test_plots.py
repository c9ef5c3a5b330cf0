"""Figures from a results folder: vectors with text, the width that was asked for, the style that was asked for."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.cluster import Decahedron, Icosahedron
from matplotlib import rcParams
from matplotlib.image import imread
from typer.testing import CliRunner

from cbldm.cli import app
from cbldm.errors import InputError
from cbldm.report.plots import paper_style, plot_fit, plot_posterior
from cbldm.results import posterior, results, write_solution
from cbldm.saved import read_candidates
from cbldm.types import Candidate, Fit, Pdf, Setting, Solution


@pytest.fixture(scope="module")
def solution() -> Solution:
    """Two candidates with made-up curves."""
    r = np.arange(1.5, 10.0, 0.02)
    observed = np.exp(-0.1 * r) * np.sin(2.6 * r)
    parameters = {"scale": 0.7, "stretch": 1.001, "uiso": 0.0061, "delta2": 2.25, "qdamp": 0.03}
    candidates = [
        Candidate(rank, atoms, motif, "cbldm", Fit(r, observed, (1 - 0.02 * rank) * observed), parameters, 0.01, 0.05,
                  None, weight=0.75 if rank == 1 else 0.25)
        for rank, (motif, atoms) in enumerate(
            [("icosahedron", Icosahedron("Pt", 2)), ("decahedron", Decahedron("Pt", 2, 1, 0))], 1
        )
    ]  # fmt: skip
    values = {"element": "Pt", "qmin": 0.8, "qmax": 22.0, "qdamp": 0.03, "qbroad": 0.0, "rmin": 1.5, "rmax": 10.0}
    pdf = Pdf(r, observed, None, {name: Setting(value, "header") for name, value in values.items()}, "pt.gr")
    return Solution(pdf, candidates, {}, [], {}, 0, "cpu", {"total": 2.5}, {})


@pytest.fixture(scope="module")
def folder(solution, tmp_path_factory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cbldm.report.figures.draw_fit", lambda *_: None)
        patch.setattr("cbldm.report.figures.draw_structures", lambda *_: None)
        return write_solution(solution, tmp_path_factory.mktemp("plots") / "out", report=False)


@pytest.fixture
def plot(folder, tmp_path, monkeypatch):
    """Run ``cbldm plot`` on the folder, in an empty one."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, ["plot", str(folder), *words], catch_exceptions=False)


def test_a_folder_reads_as_it_was_written(folder, solution):
    read = read_candidates(folder)
    assert len(read) == 2
    for one, other in zip(read, solution.candidates, strict=True):
        assert one.atoms.positions == pytest.approx(other.atoms.positions, abs=1e-7)
        np.testing.assert_allclose(one.fit.observed, other.fit.observed, atol=1e-12)
        np.testing.assert_array_equal(one.fit.calculated, other.fit.calculated)
        assert (one.rank, one.motif, one.weight, one.parameters) == (other.rank, other.motif, other.weight,
                                                                     other.parameters)  # fmt: skip
    stated = results(solution)["ambiguity"]
    assert {f"{level:g}": list(ends) for level, ends in posterior(read).ranges.items()} == stated["n_atoms"]


def test_the_background_is_drawn_from_a_folder(solution, tmp_path):
    first, *others = solution.candidates
    fit = replace(first.fit, background=0.1 * np.sin(first.fit.r))
    write_solution(replace(solution, candidates=[replace(first, fit=fit), *others]), tmp_path / "out", report=False)
    with_one, without = read_candidates(tmp_path / "out")
    np.testing.assert_array_equal(with_one.fit.background, fit.background)
    assert without.fit.background is None
    with paper_style():
        labels = [line.get_label() for line in plot_fit(with_one).axes[0].lines]
    assert "background" in labels


@pytest.mark.parametrize(
    ("what", "words"),
    [("fit", ["data", "difference", "icosahedron"]), ("structures", ["≥ 10", "13 atoms"]), ("posterior", ["75 %"])],
)
def test_svg_has_the_width_and_its_text_is_text(plot, what, words):
    assert plot("--what", what, "--width", "4", "-o", "figure.svg").exit_code == 0
    text = Path("figure.svg").read_text(encoding="utf-8")
    assert float(re.search(r'<svg [^>]*width="([\d.]+)pt"', text)[1]) == pytest.approx(4 * 72)
    for word in words:
        assert word in "".join(re.findall(r">([^<>]+)<", text)), word
    assert text.count("<image") == (2 if what == "structures" else 0)


def test_pdf_is_the_default_and_the_same_each_time(plot):
    assert plot().exit_code == 0
    first = Path("fit.pdf").read_bytes()
    assert first.startswith(b"%PDF")
    assert b"/Subtype /Image" not in first
    plot()
    assert Path("fit.pdf").read_bytes() == first
    assert [path.name for path in Path().iterdir()] == ["fit.pdf"]


def test_png_has_the_width_of_a_column(plot):
    assert plot("--format", "png", "--candidate", "2").exit_code == 0
    assert imread("fit.png").shape[1] == round(3.4 * 600)


def test_styles_are_heeded_and_the_readers_settings_come_back(plot, tmp_path):
    (tmp_path / "own.mplstyle").write_text("axes.prop_cycle: cycler(color=['123456', 'abcdef', '654321'])\n")
    before = dict(rcParams)
    assert plot("--style", "own.mplstyle", "-o", "own.svg").exit_code == 0
    assert "#abcdef" in Path("own.svg").read_text(encoding="utf-8")
    assert plot("--style", "dark_background", "-o", "dark.png").exit_code == 0
    assert imread("dark.png")[0, 0, :3].max() == 0
    assert dict(rcParams) == before


def test_curves_are_those_of_the_candidate(solution):
    candidate = solution.candidates[1]
    with paper_style():
        axes = plot_fit(candidate).axes[0]
    lines = {line.get_label(): line.get_xydata() for line in axes.lines}
    np.testing.assert_array_equal(lines["fit"][:, 1], candidate.fit.calculated)
    np.testing.assert_allclose(np.diff(lines["difference"][:, 1]), np.diff(candidate.fit.difference), atol=1e-12)
    assert lines["difference"][:, 1].max() < min(lines["fit"][:, 1].min(), lines["data"][:, 1].min())


def test_bars_are_the_posterior(solution):
    found = posterior(solution.candidates)
    with paper_style():
        counts, motifs = plot_posterior(found).axes
    heights = [bar.get_height() for bar in counts.patches]
    assert sum(heights) == pytest.approx(1.0, abs=0.02)
    assert max(heights) == pytest.approx(max(found.count.values()))
    assert [bar.get_width() for bar in motifs.patches] == pytest.approx([0.75, 0.25])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--what", "moon"], "fit, structures, posterior"),
        (["--format", "gif"], "png, svg, pdf"),
        (["-o", "figure.docx"], "png, svg, pdf"),
        (["--width", "0.1"], "2 to 20"),
        (["--candidate", "9"], "1 to 2"),
        (["--what", "posterior", "--candidate", "1"], "leave out --candidate"),
        (["--style", "no-such-style"], "no-such-style"),
        (["--style", "bad.mplstyle"], "bad.mplstyle"),
        (["-o", "missing/figure.pdf"], "cannot be written"),
    ],
)
def test_what_cannot_be_drawn_is_said(plot, tmp_path, words, message):
    (tmp_path / "bad.mplstyle").write_text("no style at all\n")
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        plot(*words)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.mplstyle"]


@pytest.mark.parametrize("content", [None, "", "[]", '{"candidates": []}', '{"candidates": [{"rank": 1}]}'])
def test_a_folder_that_is_none_of_ours_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "results.json").write_text(content)
    with pytest.raises(InputError, match=r"results\.json"):
        read_candidates(tmp_path)
    with pytest.raises(InputError, match="is no folder"):
        read_candidates(tmp_path / "results.json")


@pytest.mark.parametrize("name", ["candidates/02.xyz", "fits/01.fgr"])
@pytest.mark.parametrize("content", [None, "1 2 3\n"])
def test_missing_and_damaged_files_are_named(folder, tmp_path, name, content):
    for path in folder.rglob("*.*"):
        copy = tmp_path / path.relative_to(folder)
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(path.read_bytes())
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=re.escape(name)):
        read_candidates(tmp_path)
