"""The frames of a notebook in a real browser: curves and a structure to turn, and no way out of the frame."""

import io

import numpy as np
import pytest
from ase.cluster import Icosahedron
from PIL import Image

from cbldm.types import Candidate, Fit, Pdf, Setting, Solution


@pytest.fixture(scope="module")
def solution() -> Solution:
    r = np.round(np.arange(1.5, 20.0, 0.02), 2)
    observed = np.exp(-0.1 * r) * np.sin(2.6 * r)
    parameters = {"scale": 0.7, "stretch": 1.001, "uiso": 0.0061, "delta2": 2.25, "qdamp": 0.03}
    fit = Fit(r, observed, 0.9 * observed)
    candidate = Candidate(1, Icosahedron("Pt", 3), "icosahedron", "cbldm", fit, parameters, 0.01, 0.05, None)
    values = {"element": "Pt", "qmin": 0.8, "qmax": 22.0, "qdamp": 0.03, "qbroad": 0.0, "rmin": 1.5, "rmax": 20.0}
    pdf = Pdf(r, observed, None, {name: Setting(value, "option") for name, value in values.items()}, "pt.gr")
    return Solution(pdf, [candidate], {}, [], {}, 0, "cpu", {"total": 1.0}, {})


@pytest.fixture
def inside(visit, tmp_path):
    """Open a page that holds what a notebook would show, and wait for it."""

    def go(shown):
        path = tmp_path / "cell.html"
        path.write_text(f"<!DOCTYPE html><html data-ready><body>{shown._repr_html_()}</body></html>", encoding="utf-8")
        frame = visit(path).frame_locator("iframe")
        frame.locator("html[data-ready]").wait_for(state="attached")
        return frame

    return go


def picture(locator) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(locator.screenshot())).convert("RGB")).astype(int)


def test_a_candidate_is_drawn_and_turned(inside, solution):
    frame = inside(solution.candidates[0])
    assert "icosahedron, 55 atoms" in frame.locator("main p").first.inner_text()
    assert frame.locator("#plot path.fit").get_attribute("d").startswith("M")
    box = frame.locator("#structure")
    before = picture(box)
    assert len(np.unique(before.reshape(-1, 3), axis=0)) > 100
    box.press("ArrowRight")
    assert np.abs(picture(box) - before).max() > 30


def test_a_view_is_the_structure_alone(inside, solution):
    frame = inside(solution.candidates[0].view())
    assert frame.locator("#structure canvas").count() == 1
    assert frame.locator("#plot").count() == 0
