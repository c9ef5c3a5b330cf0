"""The app in a real browser: files in, results out, and nobody but the app itself is asked for anything."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from ase.cluster import Icosahedron, Octahedron
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import expect
from typer.testing import CliRunner

from cbldm.cli import app
from cbldm.data.structure_files import write_gr
from cbldm.simulate import simulate_structure

# A machine that also computes is slow.
expect.set_options(timeout=60_000)

#: Loaded by every Python of the app: whoever tries to reach another machine is written down.
WITNESS = """
import os, socket

def watched(name):
    real = getattr(socket.socket, name)

    def call(self, address, *rest):
        host = address[0] if isinstance(address, tuple) else "127.0.0.1"
        if host not in ("127.0.0.1", "::1", "localhost"):
            with open(os.environ["CBLDM_WITNESS"], "a") as file:
                file.write(f"{name} {address}\\n")
            raise OSError("no network in tests")
        return real(self, address, *rest)

    setattr(socket.socket, name, call)

for name in ("connect", "connect_ex", "sendto"):
    watched(name)
look_up = socket.getaddrinfo

def getaddrinfo(host, *rest, **more):
    if host not in (None, "127.0.0.1", "::1", "localhost", b"127.0.0.1"):
        with open(os.environ["CBLDM_WITNESS"], "a") as file:
            file.write(f"getaddrinfo {host}\\n")
        raise OSError("no network in tests")
    return look_up(host, *rest, **more)

socket.getaddrinfo = getaddrinfo
"""


class Server:
    """The app in a process of its own, and whom it tried to reach."""

    def __init__(self, place: Path) -> None:
        (place / "sitecustomize.py").write_text(WITNESS)
        self.log = place / "reached"
        call = [sys.executable, "-c", "from cbldm.cli import main; main()", "app", "--port", "0", "--max-upload", "2"]
        environment = os.environ | {"PYTHONPATH": str(place), "CBLDM_WITNESS": str(self.log), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(call, stderr=subprocess.PIPE, text=True, env=environment)
        self.address = next(found[0] for line in self.process.stderr if (found := re.search(r"http://[\d.:]+", line)))

    def workers(self) -> set[int]:
        """Numbers of the processes that compute or are ready to."""
        lists = (path.read_text().split() for path in Path(f"/proc/{self.process.pid}/task").glob("*/children"))
        return {int(child) for found in lists for child in found}

    def stop(self) -> list[str]:
        """End it; what it said of itself that is an error."""
        self.process.terminate()
        said = self.process.communicate(timeout=60)[1]
        return [line for line in said.splitlines() if "Error" in line or "Traceback" in line]


@pytest.fixture(scope="module")
def server(playwright, tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("app"))
    yield running
    assert running.stop() == []
    assert not running.log.exists(), running.log.read_text()


@pytest.fixture(scope="module")
def chromium(playwright, launch):
    """As for the reports, but this machine can be reached."""
    executable = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    words = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--disable-gpu",
             "--disable-background-networking", "--disable-3d-apis"]  # fmt: skip
    browser = playwright.chromium.launch(executable_path=executable, args=words, timeout=120_000)
    yield browser
    browser.close()


@pytest.fixture
def open_page(chromium, server):
    """Open the app as another user; at the end it asked nobody else for anything, and did not complain."""
    opened = []

    def go(width=1400, height=1000, scheme="light"):
        size = {"width": width, "height": height}
        context = chromium.new_context(viewport=size, color_scheme=scheme, accept_downloads=True)
        context.set_default_timeout(180_000)
        page = context.new_page()
        asked, complaints = [], []
        context.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        opened.append((context, asked, complaints))
        page.goto(server.address)
        page.locator(".cb-drop").wait_for()
        return page

    yield go
    for context, asked, complaints in opened:
        context.close()
        strangers = [url for url in asked if not url.startswith((f"{server.address}/", "blob:", "data:"))]
        assert strangers == []
        assert len(asked) > 3
        assert complaints == []


def made(place: Path, name: str, atoms) -> Path:
    instrument = {"qmin": 0.8, "qmax": 20.0, "qdamp": 0.03, "qbroad": 0.0}
    r, g, metadata = simulate_structure(
        atoms, **instrument, uiso=0.006, delta2=0.0, rmax=20.0, rstep=0.02, noise_floor=0.02, seed=0
    )
    write_gr(place / name, r, g, metadata)
    return place / name


def choose(page, *paths: Path) -> None:
    page.locator("#drop input[type=file]").set_input_files(paths)
    page.locator("#range .data").wait_for()


def be_quick(page, samples: int = 8) -> None:
    page.get_by_label("Samples").fill(str(samples))
    page.get_by_label("Candidates").fill("2")


def report_of(page):
    frame = page.frame_locator("#result iframe")
    frame.locator("html[data-ready]").wait_for(state="attached")
    return frame


def downloaded(page, link, path: Path) -> Path:
    with page.expect_download() as download:
        link.click()
    download.value.save_as(path)
    return path


def without_times(text: str) -> dict:
    found = json.loads(text)
    del found["seconds"]
    return found


def solved_by_command(path: Path, out: Path, *words: str) -> dict:
    call = ["solve", str(path), "--out", str(out), "--quiet", "--no-report", *words]
    assert CliRunner().invoke(app, call, catch_exceptions=False).exit_code == 0
    return without_times((out / "results.json").read_text(encoding="utf-8"))


def check_whole_way(page, path: Path, tmp_path: Path) -> None:
    """From a file that is shown, with quick options, to files that equal those of the command line."""
    page.locator("#solve").click()
    frame = report_of(page)
    assert frame.locator("h1").inner_text() == path.name
    assert frame.locator("#plot path.fit").get_attribute("d").startswith("M")
    from_report = downloaded(page, frame.locator("a[data-file='results.json']"), tmp_path / "results.json")
    archive = downloaded(page, page.get_by_role("link", name="Download everything"), tmp_path / "all.zip")
    with zipfile.ZipFile(archive) as files:
        inside = {name.partition("/")[2]: files.read(name) for name in files.namelist()}
    assert {"results.json", "report.html", "fit.png", "structures.png", "candidates/01.xyz"} <= inside.keys()
    assert inside["results.json"] == from_report.read_bytes()
    expected = solved_by_command(path, tmp_path / "out", "--samples", "8", "--candidates", "2")
    assert without_times(inside["results.json"].decode()) == expected


def test_cancel_then_from_a_file_to_its_results(open_page, server, tmp_path):
    path = made(tmp_path, "pt38.gr", Octahedron("Pt", 4, 1))
    page = open_page()
    choose(page, path)
    be_quick(page, samples=4096)
    before = server.workers()
    page.locator("#solve").click()
    expect(page.locator("#progress")).to_contain_text(re.compile(r"structures.*: \d+%"), timeout=180_000)
    assert page.locator("#progress [role=progressbar]").count() == 1
    page.locator("#cancel").click()
    expect(page.locator("#progress")).to_contain_text("Stopped")
    page.wait_for_timeout(500)
    assert before
    assert not before & server.workers(), "the process that computed is still there"
    page.get_by_label("Samples").fill("8")
    check_whole_way(page, path, tmp_path)
    page.locator("#result iframe").evaluate("frame => { frame.dataset.mark = 'the same'; }")
    page.locator("#qmin input, #qmin textarea").fill("0.9")
    page.keyboard.press("Tab")
    expect(page.locator("#qmin")).to_contain_text("given by you")
    assert page.locator("#result iframe").get_attribute("data-mark") == "the same", "the report was loaded anew"
    assert report_of(page).locator("h1").inner_text() == path.name


def test_two_users_at_once_get_their_own(open_page, tmp_path):
    users = []
    for element, atoms in (("Au", Icosahedron("Au", 3)), ("Pd", Octahedron("Pd", 4, 1))):
        page = open_page()
        choose(page, made(tmp_path, f"{element} of {len(atoms)}.gr", atoms))
        be_quick(page)
        users.append((page, element, len(atoms)))
    for page, *_ in users:
        page.locator("#solve").click()
    expect(users[1][0].locator("#progress")).to_contain_text("Waiting to start: it is the next")
    for page, element, n_atoms in users:
        frame = report_of(page)
        assert frame.locator("h1").inner_text() == f"{element} of {n_atoms}.gr"
        assert frame.locator("header .quiet").inner_text().startswith(f"{element}, ")
    addresses = [page.locator(".cb-download").get_attribute("href") for page, *_ in users]
    assert addresses[0] != addresses[1]
    words = [page.content() for page, *_ in users]
    assert "Pd of" not in words[0]
    assert "Au of" not in words[1]


def test_what_is_wrong_is_said_and_can_be_corrected(open_page, tmp_path):
    junk, bare, large = tmp_path / "junk.gr", tmp_path / "<b>bare</b>.gr".replace("/", "_"), tmp_path / "large.gr"
    junk.write_bytes(b"%PDF-1.4 this is another kind of PDF")
    rows = made(tmp_path, "made.gr", Icosahedron("Au", 3)).read_text().split("\n")
    bare.write_text("\n".join(row for row in rows if re.match(r"[\d.]+ ", row)))
    large.write_bytes(b"1 2\n" * 600_000)
    page = open_page()
    page.locator("#drop input[type=file]").set_input_files(junk)
    alert = page.locator("#notes [role=alert]")
    expect(alert).to_contain_text("junk.gr")
    assert alert.inner_text().endswith(".")
    assert "/" not in alert.inner_text()
    assert page.locator("#solve").is_disabled()
    page.locator("#drop input[type=file]").set_input_files(bare)
    expect(alert).to_contain_text("<b>bare<_b>.gr' names no Qmax and no element: give Element and Qmax in Å⁻¹.")
    page.locator("#element input, #element textarea").fill("Au")
    page.locator("#qmax input, #qmax textarea").fill("20")
    page.keyboard.press("Tab")
    page.locator("#range .data").wait_for()
    expect(alert).to_have_count(0)
    expect(page.locator("#qmax")).to_contain_text("given by you")
    expect(page.locator("#solve")).to_be_enabled()
    page.locator("#drop input[type=file]").set_input_files(large)
    expect(page.locator(".cb-says")).to_contain_text("2.40 MB; at most 2 MB are taken")


def test_the_fitted_range_is_chosen_on_the_plot(open_page, tmp_path):
    page = open_page()
    choose(page, made(tmp_path, "pt38.gr", Octahedron("Pt", 4, 1)))
    field = {name: page.locator(f"#{name} input, #{name} textarea") for name in ("rmin", "rmax")}
    expect(field["rmax"]).to_have_value("20")
    box = page.locator(".cb-range").bounding_box()
    start = page.locator("[data-end=rmax]").bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(start["x"] + start["width"] / 2, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, y, steps=4)
    page.mouse.up()
    expect(field["rmax"]).to_have_value(re.compile(r"^9\.\d+$|^10\.\d+$"))
    page.locator("[data-end=rmin]").focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    expect(field["rmin"]).to_have_value("2")
    assert page.locator("[data-end=rmin]").get_attribute("aria-valuenow") == "2.00"
    expect(page.locator("#rmin")).to_contain_text("given by you")
    field["rmax"].fill("15")
    page.keyboard.press("Tab")
    expect(page.locator("[data-end=rmax]")).to_have_attribute("aria-valuenow", "15.00")


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (390, "dark")])
def test_nothing_is_too_wide_and_axe_finds_nothing_serious(open_page, tmp_path, width, scheme):
    page = open_page(width=width, scheme=scheme)
    choose(page, made(tmp_path, "pt38.gr", Octahedron("Pt", 4, 1)))
    page.get_by_label("Samples").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate(AXE_SCRIPT)
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    assert len(found["passes"]) > 10
    serious = [v for v in found["violations"] if v["impact"] in ("serious", "critical")]
    assert [(v["id"], [node["html"][:200] for node in v["nodes"]]) for v in serious] == []


@pytest.mark.slow
def test_a_measured_file_and_a_second_one_from_upload_to_download(open_page, shared_data, tmp_path):
    path = shared_data / "experimental" / "JQ_S1.gr"
    if not path.is_file():
        pytest.skip("needs shared/data/experimental/JQ_S1.gr beside the repository")
    page = open_page()
    choose(page, path)
    assert page.locator("#element input, #element textarea").input_value() == "Pt"
    be_quick(page)
    check_whole_way(page, path, tmp_path)
    choose(page, made(tmp_path, "pt38.gr", Octahedron("Pt", 4, 1)))
    page.locator("#solve-all").click()
    for name in ("JQ_S1.gr", "pt38.gr"):
        expect(page.locator("#files")).to_contain_text(f"{name}: done", timeout=900_000)
