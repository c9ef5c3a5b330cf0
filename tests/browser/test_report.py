"""The report in a real browser: everything on it works, from a file, without a network, by hand and by keyboard."""

import io
import re

import numpy as np
import pytest
from ase.cluster import Decahedron, Icosahedron, Octahedron
from axe_playwright_python.base import AXE_SCRIPT
from PIL import Image

from cbldm.results import write_solution
from cbldm.types import Candidate, Fit, Pdf, Setting, Solution

FILE = "<script>alert(1)</script>.gr"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A report on three clusters, with made-up curves, of a file with a troublesome name."""
    r = np.round(np.arange(1.5, 20.0, 0.02), 2)
    observed = np.exp(-0.1 * r) * np.sin(2.6 * r)
    parameters = {"scale": 0.7, "stretch": 1.001, "uiso": 0.0061, "delta2": 2.25, "qdamp": 0.03}
    clusters = [
        ("icosahedron", Icosahedron("Pt", 3)),
        ("fcc", Octahedron("Pt", 4, 1)),
        ("decahedron", Decahedron("Pt", 3, 2, 0)),
    ]
    candidates = [
        Candidate(rank, atoms, motif, "cbldm", Fit(r, observed, np.exp(-0.1 * r) * np.sin((2.6 + 0.01 * rank) * r)),
                  parameters, 0.01, 0.05, None, weight=1 - 0.2 * rank, rw_left_out=(0.3, float("nan"), 0.1)[rank - 1])
        for rank, (motif, atoms) in enumerate(clusters, 1)
    ]  # fmt: skip
    values = {"element": "Pt", "qmin": 0.8, "qmax": 22.0, "qdamp": 0.03, "qbroad": 0.0, "rmin": 1.5, "rmax": 20.0}
    settings = {name: Setting(value, "option") for name, value in values.items()}
    pdf = Pdf(r, observed, None, settings, FILE, "ab", "PDFgui")
    solution = Solution(pdf, candidates, {"duplicates": 3}, ["a warning"], {"name": "m", "sha256": "0"}, 7, "cpu",
                        {"total": 1.0}, {"dnn": 2.77})  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cbldm.report.figures.draw_fit", lambda *_: None)
        patch.setattr("cbldm.report.figures.draw_structures", lambda *_: None)
        return write_solution(solution, tmp_path_factory.mktemp("browser") / "out")


@pytest.fixture(scope="module")
def report(folder):
    return folder / "report.html"


def ranks(page) -> list[str]:
    return page.locator(".ranking tbody [data-show]").all_inner_texts()


def shown_range(page) -> list[float]:
    return [float(end) for end in page.locator("#plot").get_attribute("data-range").split()]


def picture(locator) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(locator.screenshot())).convert("RGB")).astype(int)


def test_text_from_the_file_is_text(visit, report):
    page = visit(report)
    assert page.locator("h1").inner_text() == FILE
    assert page.title() == f"{FILE}: cbldm report"
    assert page.locator(".notes li").all_inner_texts() == ["a warning"]


def test_table_sorts_by_mouse_and_by_keyboard(visit, report):
    page = visit(report)
    head = page.locator(".ranking th")
    assert ranks(page) == ["1", "2", "3"]
    page.get_by_role("button", name="motif").click()
    assert ranks(page) == ["3", "2", "1"]
    assert head.nth(4).get_attribute("aria-sort") == "ascending"
    assert head.nth(0).get_attribute("aria-sort") is None
    page.get_by_role("button", name="weight").focus()
    page.keyboard.press("Enter")
    assert ranks(page) == ["3", "2", "1"]
    page.keyboard.press("Space")
    assert ranks(page) == ["1", "2", "3"]
    assert head.nth(13).get_attribute("aria-sort") == "descending"
    page.get_by_role("button", name="left-out").click()
    assert ranks(page) == ["3", "1", "2"]
    page.get_by_role("button", name="left-out").click()
    assert ranks(page) == ["1", "3", "2"], "what is unknown comes last in both directions"


def test_plot_zooms_by_wheel_drag_keys_and_buttons(visit, report):
    page = visit(report)
    plot, whole = page.locator("#plot"), [1.5, 19.98]
    box = plot.bounding_box()
    y = box["y"] + box["height"] / 2
    assert shown_range(page) == whole
    page.mouse.move(box["x"] + 0.5 * box["width"], y)
    page.mouse.wheel(0, -300)
    assert shown_range(page) == whole, "a wheel that only passes by turns the page"
    page.evaluate("window.scrollTo(0, 0)")
    box = plot.bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.click(box["x"] + 0.5 * box["width"], y)
    page.mouse.wheel(0, -300)
    expect_range(page, lambda low, high: low > 2 and high < 19.5)
    page.keyboard.press("Escape")
    expect_range(page, lambda *ends: list(ends) == whole)
    page.mouse.move(box["x"] + 0.4 * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], y, steps=3)
    page.mouse.up()
    expect_range(page, lambda low, high: 7 < low < 9 and 11 < high < 13)
    before = shown_range(page)
    page.keyboard.press("ArrowRight")
    assert shown_range(page)[0] > before[0]
    page.keyboard.press("-")
    page.get_by_role("button", name="Whole range").click()
    assert shown_range(page) == whole
    page.get_by_role("button", name="Zoom in").click()
    low, high = shown_range(page)
    assert high - low == pytest.approx(0.6 * (whole[1] - whole[0]), abs=0.01)
    assert page.locator("#readout").inner_text().startswith("r = ")


def expect_range(page, holds) -> None:
    """The wheel is dealt with a moment later."""
    for _ in range(50):
        if holds(*shown_range(page)):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"range is {shown_range(page)}")


def test_candidates_are_chosen_in_four_ways(visit, report):
    page = visit(report)
    line = page.locator("#plot .curve.fit")
    seen = {line.get_attribute("d")}
    page.get_by_label("Candidate", exact=True).select_option("2")
    seen.add(line.get_attribute("d"))
    assert page.locator("#shown").inner_text().startswith("Candidate 2: fcc, 38 atoms")
    assert page.locator(".ranking tr.chosen [data-show]").inner_text() == "2"
    page.get_by_role("button", name="Candidate after").click()
    seen.add(line.get_attribute("d"))
    assert page.locator("#shown").inner_text().startswith("Candidate 3: decahedron")
    assert len(seen) == 3
    page.locator(".ranking [data-show='1']").click()
    assert page.locator(".ranking [data-show='1']").get_attribute("aria-pressed") == "true"
    assert line.get_attribute("d") in seen
    page.locator(".card [data-show='2']").click()
    assert page.locator("#candidate").input_value() == "2"


@pytest.mark.parametrize("webgl", [True, False])
def test_structure_is_drawn_turned_and_coloured(visit, report, webgl):
    page = visit(report, webgl=webgl, width=420, height=600)
    box = page.locator("#structure")
    assert box.get_attribute("data-drawn-by") == ("3Dmol" if webgl else "canvas")
    assert page.locator("#fallback").is_visible() == (not webgl)
    first = picture(box)
    paper = first[2, 2]
    covered = np.mean(np.abs(first - paper).sum(axis=2) > 60)
    assert 0.1 < covered < 0.9
    box.focus()
    page.keyboard.press("ArrowLeft")
    assert changed(first, picture(box)) > 0.02
    page.keyboard.press("Escape")
    assert changed(first, picture(box)) < 0.01
    page.get_by_label("Colour").select_option("order")
    assert changed(first, picture(box)) > 0.02
    assert page.locator("#key").inner_text().split() == ["hexagonal", "layer", "(hcp)", "five-fold", "axis"]


def changed(before: np.ndarray, after: np.ndarray) -> float:
    """Share of pixels that are another colour."""
    return float(np.mean(np.abs(before - after).sum(axis=2) > 60))


def test_downloads_are_the_files_on_disk(visit, report, folder, tmp_path):
    page = visit(report)
    for path in ("candidates/02.xyz", "candidates/02.cif", "fits/02.fgr", "results.json"):
        with page.expect_download() as download:
            page.locator(f"a[data-file='{path}']").click()
        assert download.value.suggested_filename == path.split("/")[-1]
        download.value.save_as(tmp_path / "got")
        assert (tmp_path / "got").read_bytes() == (folder / path).read_bytes()


@pytest.mark.parametrize(("scheme", "other"), [("light", "dark"), ("dark", "light")])
def test_dark_mode_follows_the_system_and_the_button(visit, report, scheme, other):
    page = visit(report, scheme=scheme)
    assert brightness(page) == scheme
    button = page.get_by_role("button", name="Dark mode")
    button.click()
    assert brightness(page) == other
    assert button.get_attribute("aria-pressed") == str(other == "dark").lower()


def brightness(page) -> str:
    colours = page.evaluate("[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]")
    paper, ink = (sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours)
    return "light" if paper > ink else "dark"


def test_every_control_is_reached_by_keyboard(visit, report):
    page = visit(report)
    name = "document.activeElement.id || document.activeElement.dataset.file || document.activeElement.innerText"
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.append(page.evaluate(name))
    expected = ["theme", "previous", "candidate", "next", "plot", "plot-in", "plot-out", "plot-reset", "structure",
                "colour", "size", "structure-reset", "rank", "Rw", "weight", "Show candidate 3", "candidates/01.xyz",
                "fits/03.fgr", "results.json"]  # fmt: skip
    places = [reached.index(control) for control in expected[:12]]
    assert places == sorted(places)
    assert set(expected) <= set(reached)


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (390, "dark")])
def test_nothing_is_too_wide_and_axe_finds_nothing_serious(visit, report, width, scheme):
    page = visit(report, width=width, scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate(AXE_SCRIPT)
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    assert len(found["passes"]) > 10
    serious = [v for v in found["violations"] if v["impact"] in ("serious", "critical")]
    assert [(v["id"], [node["html"][:200] for node in v["nodes"]]) for v in serious] == []


def test_paper_shows_everything_and_no_control(visit, report):
    page = visit(report, width=800, scheme="dark")
    page.emulate_media(media="print")
    assert brightness(page) == "light"
    for hidden in ("#theme", "#candidate", "#plot-in", "#structure", ".card button"):
        assert not page.locator(hidden).first.is_visible(), hidden
    for visible in (".notes", "#plot", "#shown", ".ranking", ".bars rect >> nth=0", ".card canvas >> nth=2", ".run"):
        assert page.locator(visible).first.is_visible(), visible
    assert page.evaluate("document.documentElement.scrollWidth") <= 800
    card = picture(page.locator(".card canvas").nth(2))
    assert np.mean(card.sum(axis=2) < 600) > 0.1


def test_a_browser_that_cannot_unpack_says_so(launch, report):
    context = launch(False).new_context(offline=True)
    context.add_init_script("delete window.DecompressionStream")
    page = context.new_page()
    page.goto(report.as_uri())
    problem = page.locator("#problem")
    problem.wait_for(state="visible")
    assert "cannot draw" in problem.inner_text()
    assert page.locator(".ranking tbody tr").count() == 3
    context.close()
