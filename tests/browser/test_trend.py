"""The trend page in a real browser: five panels over any axis, by hand and by keyboard, to every report."""

import json
import time

import pytest
from axe_playwright_python.base import AXE_SCRIPT

from cbldm.series import write_series

N, STEP, BAD = 40, 25, 7
NAME = "<script>alert(1)<_script>"
FILE = "<script>alert(1)</script>.gr"


@pytest.fixture(scope="module")
def folder(tmp_path_factory, write_result):
    """A series that changes once, with a file that failed and one with a troublesome name."""
    out = tmp_path_factory.mktemp("trend")
    inputs = []
    for i in range(N):
        name, file = (NAME, FILE) if i == 3 else (f"scan 100% #{i}", f"scan 100% #{i}.gr")
        inputs.append({"name": name, "file": file})
        if i != BAD:
            share = (0.9 if i < STEP else 0.2) + 0.01 * (i * i % 5)
            motif = {"icosahedron": share, "decahedron": 1 - share}
            write_result(out / name, file, (55 if i < STEP else 90) + i * i % 3, motif, temperature=300.0 - i)
    (out / "batch.json").write_text(json.dumps({"inputs": inputs}), encoding="utf-8")
    (out / "errors.csv").write_text(f"file,reason\nscan 100% #{BAD}.gr,<b>no data</b>\n", encoding="utf-8")
    write_series(out)
    return out


@pytest.fixture(scope="module")
def trend(folder):
    return folder / "trend.html"


def shown_range(page) -> list[float]:
    return [float(end) for end in page.locator("#plot").get_attribute("data-range").split()]


def links(page) -> list[str]:
    return page.locator("#table a").all_inner_texts()


def test_everything_is_drawn_and_text_is_text(visit, trend):
    page = visit(trend)
    assert page.locator(".notes li").all_inner_texts() == [f"scan 100% #{BAD}.gr: <b>no data</b>"]
    points = page.locator("#plot .point")
    assert [points.nth(i).get_attribute("d").count("M") for i in range(points.count())] == [N - 1] * 4
    assert page.locator("#plot .fault").first.get_attribute("d").count("M") == 1
    assert page.locator("#plot .change").count() == 3, "of atoms, diameter and motif"
    bars = page.locator("#plot path[fill^='#']")
    assert [bars.nth(i).get_attribute("d").count("M") for i in range(bars.count())] == [N - 1] * 2
    assert FILE in links(page)
    said = page.locator("#changes li").all_inner_texts()
    assert said[0] == (
        f"The atom count changes between scan 100% #{STEP - 1}.gr and scan 100% #{STEP}.gr "
        f"(file {STEP} and file {STEP + 1})."
    )


def test_another_axis_turns_the_order(visit, trend):
    page = visit(trend)
    assert page.locator("#axis option").all_inner_texts() == ["order of the files", "temperature"]
    assert links(page)[0] == "scan 100% #0.gr"
    page.get_by_label("Against").select_option("temperature")
    assert links(page)[0] == f"scan 100% #{N - 1}.gr"
    assert page.locator("#left-out").inner_text() == "1 file left out: there is no temperature for it."
    assert "temperature 275 and temperature 276" in page.locator("#changes li").first.inner_text()
    assert page.locator("#plot .change").count() == 3


def test_zoom_fills_the_table_with_what_is_in_sight(visit, trend):
    page = visit(trend)
    assert page.locator("#table tbody tr").count() == 25
    page.get_by_role("button", name="Show more").click()
    assert page.locator("#table tbody tr").count() == N
    assert not page.locator("#more").is_visible()
    page.locator("#plot").focus()
    for _ in range(3):
        page.keyboard.press("+")
    low, high = shown_range(page)
    assert high - low < 0.4 * N
    assert page.locator("#table tbody tr").count() == sum(low <= i <= high for i in range(1, N + 1))
    page.keyboard.press("PageUp")
    assert shown_range(page)[0] < low
    page.keyboard.press("Escape")
    assert shown_range(page) == [0.5, N + 0.5]


def test_arrows_choose_and_say_everything_of_a_file(visit, trend):
    page = visit(trend)
    page.locator("#plot").focus()
    page.keyboard.press("ArrowRight")
    readout = page.locator("#readout")
    assert readout.inner_text() == "scan 100% #0.gr: 55 atoms (52–59), icosahedron, 9.5 Å, Rw 0.100, Uiso 0.0060 Å²"
    for _ in range(BAD):
        page.keyboard.press("ArrowRight")
    assert readout.inner_text() == f"scan 100% #{BAD}.gr: <b>no data</b>"
    assert page.locator("#readout a").count() == 0
    page.keyboard.press("Enter")
    assert page.url.endswith("trend.html")
    assert page.locator("#plot .here.chosen").count() == 1


@pytest.mark.parametrize("way", ["mouse", "keyboard", "table"])
def test_every_report_is_one_step_away(launch, trend, folder, way):
    context = launch(False).new_context(viewport={"width": 1400, "height": 900}, offline=True)
    page = context.new_page()
    page.goto(trend.as_uri())
    page.locator("html[data-ready]").wait_for(state="attached")
    if way == "table":
        page.get_by_role("link", name=FILE).click()
    elif way == "keyboard":
        page.locator("#plot").focus()
        for _ in range(4):
            page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
    else:
        x, y = page.evaluate("""() => {
          const path = document.querySelector("#plot .point").getAttribute("d").match(/M[^a]+/g)[3].slice(1).split(" ");
          const box = document.querySelector("#plot").getBoundingClientRect();
          return [box.left + Number(path[0]) + 3, box.top + Number(path[1])];
        }""")
        page.mouse.move(x, y)
        assert page.locator("#readout").inner_text().startswith(FILE)
        page.mouse.click(x, y)
    page.wait_for_url("**/report.html")
    assert page.title() == f"report of {NAME}"
    context.close()


def test_a_press_beside_the_points_only_chooses(visit, trend):
    page = visit(trend, height=1400)
    box = page.locator("#plot").bounding_box()
    page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + box["height"] - 5)
    assert page.url == trend.as_uri()
    assert page.locator("#plot .here.chosen").count() == 1
    assert page.locator("#readout a").count() == 1


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (390, "dark")])
def test_nothing_is_too_wide_and_axe_finds_nothing_serious(visit, trend, width, scheme):
    page = visit(trend, width=width, scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate(AXE_SCRIPT)
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    assert len(found["passes"]) > 10
    serious = [v for v in found["violations"] if v["impact"] in ("serious", "critical")]
    assert [(v["id"], [node["html"][:200] for node in v["nodes"]]) for v in serious] == []


def test_every_control_is_reached_by_keyboard(visit, trend):
    page = visit(trend)
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.innerText"))
    expected = ["theme", "axis", "plot", "plot-in", "plot-out", "plot-reset", FILE, "more"]
    places = [reached.index(control) for control in expected]
    assert places == sorted(places)


def test_paper_shows_the_plot_and_no_control(visit, trend):
    page = visit(trend, width=800, scheme="dark")
    page.emulate_media(media="print")
    for hidden in ("#theme", "#plot-in", "#more", "#readout"):
        assert not page.locator(hidden).is_visible(), hidden
    for visible in ("#plot", "#key", "#changes", "#table"):
        assert page.locator(visible).is_visible(), visible
    assert page.evaluate("document.documentElement.scrollWidth") <= 800


@pytest.mark.slow
def test_five_thousand_files_are_drawn_and_moved_through(visit, tmp_path, monkeypatch):
    from cbldm.series import write
    from cbldm.series.table import WEIGHTS, Row

    rows = []
    for i in range(5000):
        share = 0.5 + 0.4 * (-1) ** (i // 1000)
        values = dict.fromkeys(WEIGHTS.values(), 0.0) | {"motif_fcc": share, "motif_decahedron": 1 - share}
        values |= {"n_atoms": 100 + i % 7, "n_atoms_low": 90, "n_atoms_high": 120, "diameter_A": 15.0 + 0.1 * (i % 5),
                   "rw": 0.1, "uiso_A2": 0.006, "motif": "fcc", "equivalents": 1}  # fmt: skip
        rows.append(Row(f"{i}.gr", str(i), values, {"temperature": 300.0 + 0.1 * i}))
    monkeypatch.setattr(write, "read_rows", lambda out: rows)
    write_series(tmp_path)
    assert (tmp_path / "trend.html").stat().st_size < 1_000_000
    page = visit(tmp_path / "trend.html")
    assert page.locator("#changes li").count() == 4
    begin = time.perf_counter()
    page.locator("#plot").focus()
    page.keyboard.press("+")
    page.keyboard.press("ArrowRight")
    page.get_by_label("Against").select_option("temperature")
    assert page.locator("#plot .change").count() == 4
    assert time.perf_counter() - begin < 20
