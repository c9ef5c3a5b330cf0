"""What a notebook shows is whole pages in closed frames, and the figures of the command line."""

import base64
import gzip
import json
import subprocess
import sys
from dataclasses import replace
from html import unescape

import numpy as np
import pytest
from ase.cluster import Icosahedron, Octahedron
from matplotlib.figure import Figure

from cbldm.errors import InputError
from cbldm.results import report_text
from cbldm.types import Candidate, Fit, Pdf, Setting, Solution


@pytest.fixture(scope="module")
def solution() -> Solution:
    r = np.arange(1.5, 10.0, 0.02)
    observed = np.exp(-0.1 * r) * np.sin(2.6 * r)
    parameters = {"scale": 0.7, "stretch": 1.001, "uiso": 0.0061, "delta2": 2.25, "qdamp": 0.03}
    candidates = [
        Candidate(rank, atoms, "fcc", "cbldm", Fit(r, observed, 0.9 * observed), parameters, 0.01, 0.05, None)
        for rank, atoms in enumerate([Icosahedron("Pt", 2), Octahedron("Pt", 3)], 1)
    ]
    values = {"element": "Pt", "qmin": 0.8, "qmax": 22.0, "qdamp": 0.03, "qbroad": 0.0, "rmin": 1.5, "rmax": 10.0}
    pdf = Pdf(r, observed, None, {name: Setting(value, "header") for name, value in values.items()}, '"a&b".gr')
    return Solution(pdf, candidates, {}, [], {}, 0, "cpu", {"total": 2.5}, {})


def page_in(frame: str) -> str:
    """The page that a frame holds; there is nothing else."""
    assert frame.startswith("<iframe ")
    assert frame.endswith('"></iframe>')
    assert 'sandbox="allow-scripts allow-downloads"' in frame
    _, page = frame.removesuffix('"></iframe>').split(' srcdoc="')
    assert '"' not in page
    assert "<" not in page
    return unescape(page)


def payload(page: str) -> dict:
    packed = page.split('id="payload">')[1].split("</script>")[0]
    return json.loads(gzip.decompress(base64.b64decode(packed)))


def test_a_solution_is_its_report(solution):
    assert page_in(solution._repr_html_()) == report_text(solution)
    assert "no structure was found" in report_text(replace(solution, candidates=[])).lower()


@pytest.mark.parametrize("with_fit", [True, False])
def test_a_candidate_carries_its_structure_and_curves(solution, with_fit):
    candidate = solution.candidates[1]
    page = page_in(candidate._repr_html_() if with_fit else candidate.view()._repr_html_())
    assert "default-src 'none'" in page
    assert ('id="plot"' in page) == with_fit
    assert 'id="structure"' in page
    (entry,) = payload(page)["candidates"]
    assert len(entry["neighbours"]) == candidate.n_atoms == 19
    assert payload(page)["files"][entry["xyz"]].splitlines()[0] == "19"
    last = [float(word) for word in payload(page)["files"][entry["fgr"]].splitlines()[-1].split()]
    assert last == [candidate.fit.r[-1], candidate.fit.calculated[-1], 0, 0, candidate.fit.difference[-1]]


def test_plot_is_a_figure_of_the_best_fit(solution):
    figure = solution.plot(width=5)
    assert isinstance(figure, Figure)
    assert figure.get_size_inches()[0] == 5
    curve = next(line for line in figure.axes[0].lines if line.get_label() == "fit")
    np.testing.assert_array_equal(curve.get_ydata(), solution.candidates[0].fit.calculated)
    with pytest.raises(InputError, match="without candidates"):
        replace(solution, candidates=[]).plot()


def test_types_alone_import_nothing_that_draws():
    words = "import sys, cbldm.types; print(*sorted(sys.modules.keys() & {'matplotlib', 'ase', 'cbldm.notebook'}))"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
