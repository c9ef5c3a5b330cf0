"""The report is one page that asks for nothing, carries its files whole, and shows text as text."""

import base64
import gzip
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files as package_files

import numpy as np
import pytest
from ase.cluster import Decahedron, Icosahedron, Octahedron
from typer.testing import CliRunner

from cbldm.ambiguity import summarise
from cbldm.cli import app
from cbldm.data.structure_files import write_cif, write_fgr, write_xyz
from cbldm.report.html import report_html
from cbldm.report.posterior import Posterior
from cbldm.results import write_solution
from cbldm.types import Candidate, Fit, Flag, Pdf, Setting, Solution

POSTERIOR = Posterior({13: 1.0}, {0.8: (13, 13)}, {"icosahedron": 1.0})
#: What `report_html` is told where it does not matter.
REST = {"answer": "", "posterior": POSTERIOR, "settings": [], "version": "1"}
EVIL = "<script>alert(1)</script>&\"'"


class Page(HTMLParser):
    """What a browser would see: tags with attributes, the text of each tag, and all text outside scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.of: dict[str, list[str]] = {}
        self.inside: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.inside.append(tag)
        self.of.setdefault(tag, []).append("")

    def handle_endtag(self, tag):
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data):
        if self.inside:
            self.of[self.inside[-1]][-1] += data
        if not {"script", "style"} & set(self.inside):
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def make_solution(**changes) -> Solution:
    """Three candidates with made-up curves; the best has no left-out data."""
    r = np.arange(1.5, 10.0, 0.02)
    observed = np.exp(-0.1 * r) * np.sin(2.6 * r)
    parameters = {"scale": 0.7, "stretch": 1.001, "uiso": 0.0061, "delta2": 2.25, "qdamp": 0.03}
    candidates = []
    clusters = [("icosahedron", Icosahedron("Pt", 2)), ("fcc", Octahedron("Pt", 3)), ("fcc", Octahedron("Pt", 4, 1))]
    for rank, (motif, atoms) in enumerate(clusters, 1):
        fit = Fit(r, observed, np.exp(-0.1 * r) * np.sin((2.6 + 0.01 * rank) * r))
        left_out = float("nan") if rank == 1 else 0.1 * rank
        candidates.append(
            Candidate(rank, atoms, motif, "cbldm", fit, parameters, 0.01 * rank, 0.05, None,
                      weight=0.7 / 2 ** (rank - 1), group=rank, rw_left_out=left_out)
        )  # fmt: skip
    values = {"element": "Pt", "qmin": 0.8, "qmax": 22.0, "qdamp": 0.03, "qbroad": 0.0, "rmin": 1.5, "rmax": 10.0}
    settings = {name: Setting(value, "header", "a note") for name, value in values.items()}
    pdf = Pdf(r, observed, None, settings, "pt.gr", "12ab", "PDFgui")
    solution = Solution(pdf, candidates, {"overlapping atoms": 4}, ["be careful", "too long bonds"],
                        {"name": "m-1", "sha256": "cd34"}, 7, "cpu", {"refine": 1.25, "total": 2.5},
                        {"dnn": 2.775, "n_atoms": (10, 13, 20), "motif": {"fcc": 0.25, "icosahedron": 0.75}},
                        flags=[Flag("unit of r", "too long bonds", 40.0, 9.0)])  # fmt: skip
    return replace(solution, **changes)


@pytest.fixture(scope="module")
def solution() -> Solution:
    return make_solution()


@pytest.fixture(scope="module", autouse=True)
def _no_pictures():
    """The pictures have tests of their own; here they would take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cbldm.report.figures.draw_fit", lambda *_: None)
        patch.setattr("cbldm.report.figures.draw_structures", lambda *_: None)
        yield


@pytest.fixture(scope="module")
def folder(solution, tmp_path_factory):
    return write_solution(solution, tmp_path_factory.mktemp("report") / "out")


@pytest.fixture(scope="module")
def text(folder) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text) -> Page:
    return Page(text)


def payload(page: Page) -> dict:
    index = next(i for i, attributes in enumerate(page.all("script")) if attributes.get("id") == "payload")
    return json.loads(gzip.decompress(base64.b64decode(page.of["script"][index])))


def test_nothing_is_asked_of_anyone(page):
    policy = next(m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert set(rules) == {"default-src", "script-src", "style-src", "img-src", "base-uri", "form-action"}
    assert "unsafe" not in policy
    assert "http" not in rules["script-src"] + rules["style-src"] + rules["img-src"]
    loading = {"src", "srcset", "data", "action", "formaction", "poster", "background"}
    assert [tag for tag, attributes in page.tags if loading & set(attributes)] == []
    assert page.all("link") == page.all("iframe") == page.all("object") == []
    assert all(re.fullmatch(r"(candidates|fits)/\d\d\.\w+|results\.json", a["href"]) for a in page.all("a"))
    assert not re.search(r"url\(|@import", page.of["style"][0])


def test_licences_of_the_viewer_go_with_it(page):
    kept = " ".join(page.text.split())
    for name in ("3Dmol-LICENSE.txt", "3Dmol-NOTICES.txt"):
        licence = package_files("cbldm.report").joinpath("assets", name).read_text(encoding="utf-8")
        assert " ".join(licence.split()) in kept


def test_policy_knows_every_script_and_style(page):
    policy = next(m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    viewer = next(i for i, attributes in enumerate(page.all("script")) if attributes.get("id") == "viewer-code")
    texts = [
        page.of["style"][0],
        page.of["script"][0],
        gzip.decompress(base64.b64decode(page.of["script"][viewer])).decode(),
    ]
    assert "3dmol" in texts[2][:200].lower()
    for text in texts:
        assert base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in policy
    assert [a.get("type") for a in page.all("script")] == [None, "text/plain", "text/plain"]
    inline = [name for _, attributes in page.tags for name in attributes if name == "style" or name.startswith("on")]
    assert inline == []


def test_files_inside_are_those_beside(page, folder):
    beside = [path for path in folder.rglob("*") if path.suffix in {".xyz", ".cif", ".fgr", ".json"}]
    files = payload(page)["files"]
    assert len(files) == len(beside) == 3 * 3 + 1
    for path in beside:
        assert files[path.relative_to(folder).as_posix()].encode() == path.read_bytes()
    assert {a["data-file"] for a in page.all("a")} == set(files)


def test_atoms_carry_their_neighbours_and_their_order(page):
    content = payload(page)
    icosahedron, octahedron, _ = content["candidates"]
    labels = {name: [entry["label"] for entry in key] for name, key in content["keys"].items()}
    named = [labels["neighbours"][int(digit)] for digit in icosahedron["neighbours"]]
    assert sorted(named) == ["6"] * 12 + ["≥ 10"]
    assert {labels["order"][int(digit)] for digit in octahedron["order"]} <= {"cubic layers (fcc)", "open site"}
    assert len(icosahedron["order"]) == 13


def test_everything_that_was_used_is_said(page):
    text = " ".join(page.text.split())
    for words in ("be careful", "pt.gr", "PDFgui", "12ab", "m-1", "cd34", "overlapping atoms", "22 Å⁻¹", "a note",
                  "header of the file", "2.775", "13 (10–20)", "icosahedron 75 %", "1.2 s", "2.5 s",
                  "unit of r: too long bonds",
                  "One structure fits better than all others that were found"):  # fmt: skip
        assert words in text, words


def test_table_has_a_button_for_each_column_and_a_row_for_each_candidate(text):
    table = re.search(r'<table class="ranking">.*?</table>', text, re.DOTALL)[0]
    heads = [re.sub("<.*?>", "", head) for head in re.findall(r"<th scope=.*?</th>", table)]
    assert heads == [
        "rank", "source", "Rw", "atoms", "motif", "diameter (Å)", "scale", "Uiso (Å²)", "stretch", "δ2 (Å²)",
        "moved (Å)", "left-out Rw", "group", "weight",
    ]  # fmt: skip
    rows = [re.findall(r"<td.*?>(.*?)</td>", row) for row in re.findall(r"<tr>(<td.*?)</tr>", table)]
    assert [row[1:2] + row[3:5] + row[6:] for row in rows] == [
        ["cbldm", "13", "icosahedron", "0.700", "0.0061", "1.0010", "2.25", "0.010", "–", "1", "0.70"],
        ["cbldm", "19", "fcc", "0.700", "0.0061", "1.0010", "2.25", "0.020", "0.2000", "2", "0.35"],
        ["cbldm", "38", "fcc", "0.700", "0.0061", "1.0010", "2.25", "0.030", "0.3000", "3", "0.17"],
    ]
    assert table.count("<button") == len(heads) + len(rows)


def test_bars_are_the_posterior(text, solution):
    bars = re.findall(r'scope="row">([^<]*)</th><td><svg.*?width="([\d.]+)"', text)
    found = summarise(solution.candidates)
    assert bars == [(name, f"{100 * share:.2f}") for name, share in found.motif.items()]
    assert "{}–{}".format(*found.n_atoms[0.8]) in text


def test_without_candidates_the_page_says_why():
    nothing = make_solution(candidates=[], warnings=["no sound structure was found"])
    text = report_html(
        nothing,
        answer="no structure was found",
        posterior=None,
        settings=[],
        files={"results.json": b"{}"},
        version="1",
    )
    found = Page(text)
    assert "no sound structure was found" in found.text
    assert found.all("canvas") == []
    assert payload(found)["candidates"] == []


def test_what_is_said_twice_is_shown_once(page):
    assert page.text.count("too long bonds") == 1
    assert page.text.count("be careful") == 1
    assert page.text.index("be careful") < page.text.index("Answer")


def test_a_background_is_carried_and_named(solution, page):
    first = solution.candidates[0]
    curve = 0.1 * np.cos(first.fit.r)
    with_one = replace(solution, candidates=[replace(first, fit=replace(first.fit, background=curve))])
    files = payload(page)["files"]
    found = Page(
        report_html(
            with_one,
            answer="",
            posterior=POSTERIOR,
            settings=[],
            version="1",
            files={k: v.encode() for k, v in files.items()},
        )
    )
    assert payload(found)["candidates"][0]["background"] == pytest.approx(curve, abs=1e-5)
    assert payload(page)["candidates"][0]["background"] is None
    assert "difference, offset background" in " ".join(found.text.split())
    assert "offset background" not in " ".join(page.text.split())


def test_text_stays_text(tmp_path):
    tame = make_solution()
    settings = {**tame.pdf.settings, "element": Setting("Pt", "option", EVIL)}
    pdf = replace(tame.pdf, file=EVIL, dialect=EVIL, sha256=EVIL, settings=settings)
    candidates = [replace(c, source=EVIL) for c in tame.candidates]
    evil = make_solution(
        pdf=pdf, candidates=candidates, rejected={EVIL: 1}, warnings=[EVIL], model={"name": EVIL, "sha256": EVIL},
        device=EVIL, seconds={EVIL: 1.0}, estimates={EVIL: {EVIL: 0.9}, "other": EVIL},
    )  # fmt: skip
    text = (write_solution(evil, tmp_path / "out") / "report.html").read_text(encoding="utf-8")
    found, before = (
        Page(text),
        Page((write_solution(tame, tmp_path / "tame") / "report.html").read_text(encoding="utf-8")),
    )
    assert len(found.all("script")) == len(before.all("script")) == 3
    assert "alert(1)" not in text.replace("&lt;script&gt;alert(1)&lt;/script&gt;&amp;&quot;&#x27;", "")
    assert found.text.count(EVIL) >= 12


def test_the_same_solution_gives_the_same_bytes(solution, folder, tmp_path):
    again = write_solution(solution, tmp_path / "again")
    assert (again / "report.html").read_bytes() == (folder / "report.html").read_bytes()


def test_a_report_can_be_left_out(solution, tmp_path):
    out = write_solution(solution, tmp_path / "out")
    assert (out / "report.html").is_file()
    write_solution(solution, out, report=False)
    assert sorted(path.name for path in out.iterdir()) == ["candidates", "fits", "results.json"]


@pytest.mark.parametrize("option", [[], ["--no-report"]])
def test_command_line_writes_it_unless_told_not_to(solution, root, tmp_path, monkeypatch, option):
    monkeypatch.setattr("cbldm.pipeline.solve", lambda *_, **__: solution)
    example = root / "src/cbldm/examples/pt_example.gr"
    words = [
        "solve",
        str(example),
        "--element",
        "Pt",
        "--qmax",
        "22",
        "--quiet",
        "--out",
        str(tmp_path / "out"),
        *option,
    ]
    assert CliRunner().invoke(app, words).exit_code == 0
    assert (tmp_path / "out" / "report.html").is_file() == (not option)


def test_ten_large_candidates_fit_in_three_megabytes(solution, tmp_path, monkeypatch):
    monkeypatch.setattr(Candidate, "diameter", 40.0)  # takes longest, and says nothing about bytes
    rng = np.random.default_rng(0)
    atoms = Decahedron("Pt", 8, 8, 3)[:3000]
    atoms.positions += 0.01 * rng.normal(size=atoms.positions.shape)
    r = np.round(np.arange(1.5, 30.0, 0.01), 2)
    fit = Fit(r, rng.normal(size=len(r)), rng.normal(size=len(r)))
    write_xyz(tmp_path / "a.xyz", atoms)
    write_cif(tmp_path / "a.cif", atoms)
    write_fgr(tmp_path / "a.fgr", fit, {"element": "Pt"})
    candidates = [replace(solution.candidates[0], rank=rank, atoms=atoms, fit=fit) for rank in range(1, 11)]
    files = {
        f"{place}/{rank:02d}.{kind}": (tmp_path / f"a.{kind}").read_bytes()
        for rank in range(1, 11)
        for place, kind in (("candidates", "xyz"), ("candidates", "cif"), ("fits", "fgr"))
    }
    text = report_html(
        replace(solution, candidates=candidates), answer="", posterior=POSTERIOR, settings=[], files=files, version="1"
    )
    assert len(atoms) == 3000
    assert len(text.encode()) < 3_000_000
