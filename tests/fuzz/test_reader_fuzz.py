"""Files as reduction programs, spreadsheets and people write them: the same r and G, or one line that says where."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, seed, settings
from hypothesis import strategies as st

from cbldm.data.pdf_files import read_pdf
from cbldm.errors import InputError
from cbldm.types import FloatArray, Pdf

CORPUS = Path(__file__).parent / "corpus"
#: Rows at the end of each file of the corpus; what stands above them is the header of its dialect.
CORPUS_ROWS = 60
#: What the columns of each file of the corpus hold, after r.
COLUMNS = {
    "mantid.gr": "g z e", "nomad.gr": "g", "pdfgetn.gr": "g z e", "pdfgetx2.gr": "g z e", "pdfgetx3.gr": "g",
    "pdfgui.fgr": "half z z half", "pdfgui.gr": "g z e", "plain.csv": "g e", "srfit.dat": "half g e",
    "xpdfsuite.gr": "g",
}  # fmt: skip
HEADERS = {
    name: (CORPUS / name).read_text(encoding="latin-1").splitlines()[:-CORPUS_ROWS] for name in COLUMNS
}  # fmt: skip

#: Encodings of a file; UTF-16 also without a byte-order mark.
ENCODINGS: dict[str, Callable[[str], bytes]] = {
    "utf-8": lambda text: text.encode(),
    "utf-8 with mark": lambda text: codecs.BOM_UTF8 + text.encode(),
    "latin-1": lambda text: latin(text),
    "latin-1 behind a mark of utf-8": lambda text: codecs.BOM_UTF8 + latin(text),
    "utf-16": lambda text: text.encode("utf-16"),
    "utf-16-le": lambda text: text.encode("utf-16-le"),
    "utf-16-be": lambda text: text.encode("utf-16-be"),
    "utf-32": lambda text: text.encode("utf-32"),
}


def latin(text: str) -> bytes:
    return text.replace("\N{MINUS SIGN}", "-").replace("\N{ANGSTROM SIGN}", "Å").encode("latin-1")


#: Separators, and whether a decimal comma can stand beside them.
SEPARATORS = {" ": True, "   ": True, "\t": True, " \t ": True, "\N{NO-BREAK SPACE}": True, ";": True, " ; ": True,
              ",": False, ", ": False}  # fmt: skip
NUMBERS: dict[str, Callable[[float], str]] = {
    "shortest": repr,
    "%.6f": lambda value: f"{value:.6f}",
    "%.9e": lambda value: f"{value:.9e}",
    "%+.5E": lambda value: f"{value:+.5E}",
    "Fortran": lambda value: f"{value:.8E}".replace("E", "D"),
    "no leading zero": lambda value: re.sub(r"^(-?)0\.", r"\1.", f"{value:.6f}"),
    "typeset minus": lambda value: f"{value:.5f}".replace("-", "\N{MINUS SIGN}"),
}
#: Lines that may stand in any header, and change nothing.
NEUTRAL = (
    "# anything = 3", "qmaxinst = 31", "inputdir = D:\\a=b\\qmax=9 c", "temperature: 300 K", "[Misc]",
    "rpoly=0.9 bgscale=1.0 nyquist=1", "# \N{ANGSTROM SIGN}", "optqmax=40.0 optqmin=20.0", "#", "twothetazero = 0",
)  # fmt: skip
#: Ways to say a Qmax of 22.5 Å⁻¹.
QMAX = ("qmax = 22.5", "# Qmax=22.5 1/A", "stype=X qmax=22.50 scale=1", "## G(r)  qmax: 22,5", "QMAX 22.5",
        "qmin=0.9,qmax=22.5,qdamp=0.03", "# qmax = 225 nm^-1")  # fmt: skip
NAN = ("nan", "NaN", "inf", "-Inf", "*****", "1.#QNAN", "--", "N/A", "1e999")
#: What is done to a good file, and what the answer must say beside the line.
FAULTS: dict[str, str] = {
    "the same r twice": "does not increase",
    "r goes back": "does not increase",
    "r below zero": "r must be from 0",
    "a column too many": "columns where",
    "a word": "not a row of numbers",
    "half a row": "not a row of numbers|columns where",
    "NaN in the fit": "not a number inside the fitted range",
    "G out of bounds": "G must be from",
}

settings.register_profile("fuzz", deadline=None, database=None, suppress_health_check=list(HealthCheck))
FUZZ = settings(settings.get_profile("fuzz"), derandomize=True)


@dataclass(frozen=True)
class Written:
    """A file, and what a reader must find in it.

    Attributes:
        name: Of the file.
        data: Its bytes.
        r: (n,) what r must be; None where the file must be refused.
        g: (n,) what G must be.
        line: The line that a refusal must name.
        reason: What it must say.
    """

    name: str
    data: bytes
    r: FloatArray | None = None
    g: FloatArray | None = None
    line: int = 0
    reason: str = ""


def curve(random: np.random.Generator, r: FloatArray) -> FloatArray:
    """Something like the G(r) of a metal: peaks on shells of 2.8 Å, damped, and ripples."""
    shells = 2.8 * np.sqrt(np.arange(1, 12))
    heights = random.uniform(0.5, 3, len(shells))
    peaks = (heights[:, None] * np.exp(-(((r - shells[:, None]) / 0.25) ** 2))).sum(axis=0)
    return (peaks - 0.3 * r * np.exp(-r / 5) + 0.05 * np.sin(20 * r)) * 10.0 ** random.integers(-2, 3)


@st.composite
def files(draw: st.DrawFn, *, faulty: bool = False) -> Written:
    """A file in some dialect, encoding and spelling; with `faulty`, one row of it is broken."""
    name = draw(st.sampled_from(sorted(COLUMNS)))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    step = draw(st.sampled_from([0.09, 0.1, 0.12]))
    r = step * np.arange(draw(st.integers(0, 2)), draw(st.integers(66, 76)))  # past 5 Å, whatever is left out below
    if draw(st.booleans()):  # an uneven grid, as of rows that are missing
        r = r[np.sort(random.choice(len(r), len(r) - random.integers(1, 6), replace=False))]
    g = curve(random, r)
    separator = draw(st.sampled_from(sorted(SEPARATORS)))
    comma = SEPARATORS[separator] and draw(st.booleans())
    write = NUMBERS[draw(st.sampled_from(sorted(NUMBERS)))]
    quote = '"' if draw(st.integers(0, 5)) == 0 and separator.strip() else ""
    kinds = {"g": g, "half": g / 2, "z": np.zeros_like(g), "e": 0.01 + 0.001 * r}
    columns = [r, *(kinds[kind] for kind in COLUMNS[name].split())]
    cells = [[write(float(value)) for value in row] for row in zip(*columns, strict=True)]
    read = np.array([[number(cell) for cell in row] for row in cells])
    n_nan = draw(st.integers(0, 3))
    for row in range(n_nan):  # at the end, where nothing is fitted
        cells[-1 - row][1:] = [draw(st.sampled_from(NAN))] * (len(columns) - 1)
    fault = draw(st.sampled_from(sorted(FAULTS))) if faulty else ""
    broken = draw(st.integers(22, len(cells) - 10))
    if fault:
        cells[broken] = break_row(fault, cells, broken)
    rows = [separator.join(f"{quote}{cell}{quote}" for cell in row) for row in cells]
    if comma:
        rows = [row.replace(".", ",") for row in rows]
    rows = [" " * draw(st.sampled_from([0, 0, 1, 4])) + row for row in rows[:2]] + rows[2:]
    if separator.strip() and draw(st.booleans()) and not fault:
        rows = [row + separator.strip() for row in rows]
    elif draw(st.booleans()) and not fault:
        rows[7] += "  # a remark"
    header = spoken_header(draw, name)
    asides = sorted(draw(st.sets(st.integers(2, 20), max_size=3)))
    for place in reversed(asides):
        rows.insert(place, draw(st.sampled_from(["", "# by hand", "   ", "! aside", "%"])))
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    last = draw(st.sampled_from([end, "", end * 3, f"{end}\x1a"]))
    text = end.join([*header, *rows]) + last
    data = ENCODINGS[draw(st.sampled_from(sorted(ENCODINGS)))](text)
    event(f"{name}, {fault or 'sound'}")
    if fault:
        return Written(name, data, line=len(header) + len(asides) + broken + 1, reason=FAULTS[fault])
    good = slice(0, len(cells) - n_nan)
    parts = {"pdfgui.fgr": [1, 4], "srfit.dat": [2]}.get(name, [1])
    return Written(name, data, read[good, 0], read[good][:, parts].sum(axis=1))


def spoken_header(draw: st.DrawFn, name: str) -> list[str]:
    """The header of a dialect with its Qmax said in another way, and more lines in it."""
    header = list(HEADERS[name])
    qmax = next(i for i, line in enumerate(header) if re.search(r"\bqmax[=,\s]+22", line, re.IGNORECASE))
    own = re.sub(r"(?i)\bqmax([=,\s]+)22\.5\d*", "", header[qmax])
    if draw(st.booleans()):
        header[qmax : qmax + 1] = [own, draw(st.sampled_from(QMAX))]
    for line in draw(st.lists(st.sampled_from(NEUTRAL), max_size=3)):
        header.insert(draw(st.integers(0, 2 if name == "pdfgetx2.gr" else 1)), line)
    if draw(st.integers(0, 4)) == 0:
        header[:0] = ["0.1 0.2 0.3", "7 8 9", "text after them"]
    return header


def break_row(fault: str, cells: list[list[str]], broken: int) -> list[str]:
    """The cells of the row at `broken`, with a fault."""
    row, before = cells[broken], cells[broken - 1]
    return {
        "the same r twice": [before[0], *row[1:]],
        "r goes back": [cells[broken - 2][0], *row[1:]],
        "r below zero": ["-1.5", *row[1:]],
        "a column too many": [*row, "1.0"],
        "a word": [*row[:-1], "O.5x"],
        "half a row": row[:1],
        "NaN in the fit": [row[0], *["nan"] * (len(row) - 1)],
        "G out of bounds": [row[0], *["1e13"] * (len(row) - 1)],
    }[fault]


def number(cell: str) -> float:
    return float(cell.replace("D", "E").replace("\N{MINUS SIGN}", "-"))


def read(folder: Path, name: str, data: bytes) -> Pdf:
    path = folder / name
    path.write_bytes(data)
    return read_pdf(path, element="Pt")


def check_round_trip(folder: Path, written: Written) -> None:
    pdf = read(folder, written.name, written.data)
    np.testing.assert_array_equal(pdf.r, written.r)
    np.testing.assert_array_equal(pdf.g, written.g)
    assert pdf.settings["qmax"].value == 22.5


def check_refusal(folder: Path, written: Written) -> None:
    with pytest.raises(InputError, match=rf"line {written.line}: .*(?:{written.reason})") as error:
        read(folder, written.name, written.data)
    assert "\n" not in str(error.value)
    assert repr(written.name)[1:-1] in str(error.value)


def check_damage(folder: Path, written: Written, damage: list[tuple[float, bytes]]) -> None:
    """Bytes put over the file at random give one line, or a curve that is sound."""
    data = bytearray(written.data)
    for place, content in damage:
        start = int(place * len(data))
        data[start : start + len(content)] = content
    try:
        pdf = read(folder, written.name, bytes(data))
    except InputError as error:
        event("refused")
        said = str(error)
    else:
        event("read")
        said = "".join(pdf.warnings)
        assert (np.diff(pdf.r) > 0).all()
        assert np.isfinite(pdf.g).all()
    assert "\n" not in said


DAMAGE = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),
        st.binary(min_size=1, max_size=6) | st.sampled_from([b"\n", b",", b"#", b"nan", b"1e5", b"\xff\xfe", b"-"]),
    ),
    min_size=1,
    max_size=5,
)
#: Every check and what it is run on.
CHECKS: dict[str, tuple[Callable[..., None], tuple[st.SearchStrategy[Any], ...]]] = {
    "round trip": (check_round_trip, (files(),)),
    "refusal": (check_refusal, (files(faulty=True),)),
    "damage": (check_damage, (files(), DAMAGE)),
}


def run(check: str, folder: Path, n_inputs: int, start: int) -> None:
    """Give a check as many generated inputs as asked for."""
    function, strategies = CHECKS[check]

    @seed(start)
    @settings(FUZZ, max_examples=n_inputs)
    @given(st.tuples(*strategies))
    def generated(arguments: tuple[Any, ...]) -> None:
        function(folder, *arguments)

    generated()


@pytest.mark.parametrize("check", sorted(CHECKS))
def test_generated_files(check: str, tmp_path: Path) -> None:
    run(check, tmp_path, 700, start=0)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(1, 12))
@pytest.mark.parametrize("check", sorted(CHECKS))
def test_many_more_generated_files(check: str, start: int, tmp_path: Path) -> None:
    """With the fast ones more than 100,000 files in all."""
    run(check, tmp_path, 3000, start)
