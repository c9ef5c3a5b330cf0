"""The documentation says nothing that is not so: its commands and its Python run and print what is shown."""

import contextlib
import importlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from ase.cluster import Octahedron

import cbldm
from cbldm.cli import app
from cbldm.data.instrument_files import read_instrument
from cbldm.data.noise import noise_at_floor
from cbldm.data.structure_files import write_gr
from cbldm.physics.crystal import crystal_gr
from cbldm.simulate import simulate_structure
from cbldm.types import MOTIFS, Instrument
from site_commands import command_reference
from site_math import equation

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md"))}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = {name: FENCE.findall(page) for name, page in PAGES.items()}
#: Pages whose commands run in `make test`; those of the others take minutes.
QUICK = {"tutorial"}
RUN = sorted(name for name, blocks in BLOCKS.items() if {"bash", "python"} & {language for language, _ in blocks})
#: What is not run, since it installs; targets of make are looked up.
INSTALLING = (
    "source .venv/bin/activate",
    "python3.11 -m venv .venv",
    "pip install --no-index --find-links wheelhouse cbldm",
)
#: What is told apart nowhere: numbers and ranges of them, motifs, and how many of them fit equally well.
ROUGHLY = (
    (r"(?:\d+ structures fit equally well|one structure fits better).*", "ANSWER"),
    (rf"\b(?:{'|'.join(MOTIFS)})\b", "MOTIF"),
    (r"(?<![\w.])-?\d[\d.]*(?:e-\d+)?(?:[-–]\d[\d.]*)?", "#"),
    (r"\s+", " "),
)


def nickel(path: Path) -> None:
    r = np.round(np.arange(0, 60.001, 0.02), 2)
    g = crystal_gr(r, "fcc", 3.53, Instrument(0.8, 22.0, 0.035, 0.02), 0.0055, delta2=1.8)
    write_gr(path, r, g + noise_at_floor(r, g, 22.0, 0.05, np.random.default_rng(0)), {"qmin": 0.8, "qmax": 22.0})


def plain(path: Path) -> None:
    path.write_text("".join(f"{0.05 * k:.2f} {np.sin(0.3 * k):.4f}\n" for k in range(400)))


def frame(path: Path) -> None:
    number = int(path.stem)
    values = {"qmin": 0.8, "qmax": 22.0, "qdamp": 0.03, "qbroad": 0.0, "uiso": 0.006, "delta2": 2.0}
    r, g, metadata = simulate_structure(
        Octahedron("Pt", 3 + number, 1), **values, rmax=30.0, rstep=0.02, noise_floor=0.05, seed=number
    )
    write_gr(path, r, g, metadata | {"temperature": 100.0 * number})


#: Files that a page takes for the reader's.
READERS = {
    "own-file": {"nickel.gr": nickel, "plain.txt": plain},
    "folder": {f"frames/{number}.gr": frame for number in (1, 2)},
}


def roughly(text: str) -> list[str]:
    for pattern, name in ROUGHLY:
        text = "\n".join(re.sub(pattern, name, line) for line in text.splitlines())
    return [line.strip() for line in text.splitlines() if line.strip()]


def run_page(name: str, folder: Path) -> None:
    """Runs the blocks of a page one after another in ``folder`` and compares what they print with what is shown."""
    shutil.copytree(ROOT / "src/cbldm/examples", folder / "src/cbldm/examples")
    for file, make in READERS.get(name, {}).items():
        (folder / file).parent.mkdir(exist_ok=True)
        make(folder / file)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    printed, names = "", {}
    blocks = BLOCKS[name]
    for index, (language, body) in enumerate(blocks):
        shown = blocks[index + 1][1] if index + 1 < len(blocks) and blocks[index + 1][0] == "text" else ""
        if language == "bash":
            done = subprocess.run(["bash", "-euo", "pipefail", "-c", body], cwd=folder, capture_output=True, text=True,
                                  env=os.environ | {"PATH": path}, check=False)  # fmt: skip
            printed = done.stdout + done.stderr
            assert done.returncode == (2 if shown.startswith("cbldm: ") else 0), f"{body}{printed}"
        elif language == "python":
            with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()) as out:
                exec(compile(body, f"{name}.md", "exec"), names)
            printed = out.getvalue()
        elif language == "text":
            assert index > 0
            missing = set(roughly(body)) - set(roughly(printed))
            assert not missing, f"{name}.md shows {sorted(missing)}, but this was printed:\n{printed}"


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory) -> Path:
    """Where the commands of the tutorial were run."""
    folder = tmp_path_factory.mktemp("tutorial")
    run_page("tutorial", folder)
    return folder


def test_the_tutorial_runs_and_its_answer_is_right(tutorial):
    found = json.loads((tutorial / "pt/results.json").read_text())
    best, ranges = found["candidates"][0], found["ambiguity"]["n_atoms"]
    assert best["motif"] == "decahedron"
    assert best["rw"] == pytest.approx(0.049, abs=0.004)
    assert ranges["0.8"][0] <= 145 <= ranges["0.8"][1]
    assert found["ambiguity"]["equivalents"] >= 2
    assert {"fit.svg", "posterior.svg"} <= {path.name for path in tutorial.iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(RUN) - QUICK))
def test_page_runs(name, tmp_path):
    run_page(name, tmp_path)


def parse(words: list[str]) -> None:
    """Parses ``words`` as `cbldm` would, without running them."""
    group = typer.main.get_command(app)
    with group.make_context("cbldm", list(words)) as context:
        name, command, rest = group.resolve_command(context, list(words))
        command.make_context(name, rest, parent=context)


def test_blocks_say_their_language_and_nothing_escapes():
    assert set(RUN) >= QUICK
    for name, blocks in BLOCKS.items():
        assert {language for language, _ in blocks} <= {"bash", "python", "sh", "text", "toml"}, name
    makefile = (ROOT / "Makefile").read_text()
    for line in "".join(
        body for blocks in BLOCKS.values() for language, body in blocks if language == "sh"
    ).splitlines():
        target = re.fullmatch(r"make ([a-z-]+)", line)
        if line.startswith("cbldm "):  # it runs until it is stopped: see the tests of the app
            parse(line.split()[1:])
            continue
        assert line in INSTALLING or (target and re.search(rf"^{target[1]}:", makefile, re.MULTILINE)), line


def test_options_and_commands_in_the_text_exist():
    group = typer.main.get_command(app)
    known = {
        name
        for command in (group, *group.commands.values())
        for param in command.params
        for name in [*param.opts, *param.secondary_opts]
    }
    for name in set(PAGES) - {"design-notes"}:
        text = FENCE.sub("", PAGES[name])
        assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)) - {"--help"} <= known, name
        assert set(re.findall(r"`cbldm ([a-z]+)", text)) <= set(group.commands), name


def test_every_command_and_option_is_in_the_reference():
    reference = command_reference()
    for name, command in typer.main.get_command(app).commands.items():
        section = reference.split(f"## cbldm {name}\n")[1].split("\n## ")[0]
        for param in command.params:
            for word in (
                param.opts
                if param.param_type_name == "option"
                else [(param.metavar or param.name.upper()).removesuffix("...")]
            ):
                assert re.search(rf"`{re.escape(word)}[ `.]", section), f"{name}: {word}"


def test_the_public_api_is_in_the_reference():
    listed = re.findall(r"^::: cbldm\.(\w+)$", PAGES["api"], re.MULTILINE)
    assert sorted(listed) == sorted(cbldm.__all__)


def first_cells(text: str) -> set[str]:
    """What is set as code in the first cells of tables."""
    cells = re.findall(r"^\| (`[^|]*) \|", text, re.MULTILINE)
    return {word for cell in cells for word in re.findall(r"`([^`]+)`", cell)}


def test_every_field_of_the_results_is_explained(tutorial):
    found = json.loads((tutorial / "pt/results.json").read_text())
    section = PAGES["formats"].split("### `results.json`")[1].split("### ")[0]
    named = first_cells(section)
    given = {f"input.{name}" for name, value in found["input"].items() if "source" not in value}
    fields = (found.keys() - {"input"}) | found["candidates"][0].keys() | {"input.element", "input.background"}
    assert named == fields | given


def test_flags_are_those_that_can_be_raised():
    source = Path(importlib.import_module("cbldm.unfamiliar").__file__).read_text()
    kinds = set(re.findall(r'(?:Flag|_above)\("([^"]+)"', source))
    table = PAGES["reading"].split("## Warnings and flags")[1]
    assert set(re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)) == kinds


def test_dialects_are_those_that_are_recognised():
    module = importlib.import_module("cbldm.data.pdf_text")
    table = PAGES["formats"].split("## What is written")[0]
    named = first_cells(table)
    assert named == {name for name, _ in module._DIALECTS} | {"text"}


def test_the_instrument_file_that_is_shown_is_one(tmp_path):
    ((_, body),) = [block for block in BLOCKS["formats"] if block[0] == "toml"]
    (tmp_path / "instrument.toml").write_text(body)
    assert read_instrument(tmp_path / "instrument.toml").qdamp > 0


def test_shares_in_the_text_are_those_of_the_card():
    card = (ROOT / "src/cbldm/weights/cpu-1/CARD.md").read_text(encoding="utf-8")
    table = card.split("| set | floor |")[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    found = {row[1]: row for row in rows if row[0] == "offlibrary"}
    count, motif = ({floor: re.match(r"\d+", row[k])[0] for floor, row in found.items()} for k in (4, 7))
    text = " ".join(PAGES["trust"].split("[[section")[0].split())
    assert (
        f"the motif is right in {motif['0']} % of noise-free PDFs, the atom count within 5 % in {count['0']} %" in text
    )
    assert f"the atom count is within 5 % in {count['0.1']} %" in text


def test_an_equation_is_drawn_and_a_wrong_one_refused():
    svg = equation(r"\frac{a}{b} < c", block=False)
    assert svg.startswith('<svg class="equation" role="img" aria-label="\\frac{a}{b} &lt; c"')
    assert svg.count("M") > 4
    assert equation("a", block=True).startswith('<p class="equation"><svg')
    with pytest.raises(ValueError, match="nonsense"):
        equation(r"\nonsense", block=False)
