"""Every dialect that was met in the wild gives the same curve, and anything else gives one line that says why."""

import codecs
import hashlib
import os
import re
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cbldm.data.pdf_files import pdf_from_arrays, read_pdf
from cbldm.data.pdf_settings import require_element, settings_table
from cbldm.errors import InputError
from cbldm.types import Pdf

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
NEEDS_DATA = pytest.mark.skipif(not DATA.is_dir(), reason=f"the shared data are not at {DATA}")

R = np.round(np.arange(1, 1251) * 0.02, 2)
G = np.round(
    sum(a * np.exp(-(((R - c) / 0.12) ** 2)) for a, c in ((3, 2.77), (1.4, 3.92), (2.9, 4.8), (-1, 3.3), (2.2, 7.3))), 6
)
DG = np.round(0.01 + 0.001 * R, 5)
CALC = np.round(0.9 * G, 6)
DIFF = np.round(G - CALC, 6)


def rows(*columns, sep=" ", comma=False):
    text = "\n".join(sep.join(f"{value:.9g}" for value in row) for row in zip(*columns, strict=True)) + "\n"
    return text.replace(".", ",") if comma else text


PDFGETX3 = """[DEFAULT]

version = pdfgetx3-1.0-r2239-20130415

# input and output specifications
dataformat = Qnm
inputfile = sample_qmax=3.chi
backgroundfile =
outputtype = gr

# PDF calculation setup
mode = xray
composition = Pt
bgscale = 1
rpoly = 0.9
qmaxinst = 29
qmin = 0.9
qmax = 22.5
rmin = 0
rmax = 25
rstep = 0.01

# End of config --------------------------------------------------------------

#### start data
#S 1
#L r(Å)  G(Å$^{-2}$)
"""

XPDFSUITE = """# xPDFsuite Configuration #
[PDF]
wavelength = 0.1
dataformat = QA
inputfile = a b.chi
mode = xray
bgscale = 0.9
composition = Pt
outputtype = gr
qmaxinst = 22.0
qmin = 0.9
qmax = 22.5
rmax = 25.0
rmin = 0.0
rstep = 0.01
rpoly = 0.9

[Misc]
inputdir = /beamline/somebody/secret run/qmax=12 composition = Ni/x
savedir = C:\\Users\\somebody\\secret qmin = 5
backgroundfilefull = /beamline/somebody/secret/qdamp=0.4/back.chi

#### start data
#S 1
#L r($\\AA$)  G($\\AA^{-2}$)
"""

PDFGUI = """History written: Thu Jan  1 00:00:00 2026
produced by somebody
##### PDFgui
stype=X  x-ray scattering
qmax=22.50
qdamp=0.035
qbroad=0.012
dscale=1
# metadata
temperature=300.0
##### start data
#L r(A) G(r) d_r d_Gr
"""

PDFGUI_FIT = PDFGUI.replace("##### PDFgui", "##### PDFgui fit").replace("G(r) d_r d_Gr", "G(r) d_r d_Gr Gdiff")

MANTID = """#Comment: neutron, Qmin=0.9, Qmax=22.5, Qdamp=0.035, Qbroad= 0.012, Temperature = 300
##### start data
#S 1 - PDF from Mantid 6.10.0
#L r G(r) dr dG(r)
"""

NOMAD = """1250
# file: PDF/NOM_9999_Pt_5K_ftfrgr.gr
# created: Thu Jan  1 00:00:00 2026
# Comment: neutron, Qmax=22.5, Qdamp=0.035, Qbroad= 0.012
#
"""

PDFGETN = """History written: Thu Jan  1 00:00:00 2026
produced by somebody
##### Run Information     runCorrection=T
run=npdf_03315     background=npdf_03001
temp=300     runTitle=Run 3315: Pt qmax=12 RT_stick
##### Sample Material     numElements=2     NormLaue=0.00000
Element relAtomNum atomMass atomCoherCS atomIncoherCS atomAbsorpCS
  Pt        0.9000   195.08     11.5800        0.1300     10.30000
   O        0.1000   15.999      4.2320        0.0008      0.00019
density=7.0     effDensity=2.8777
##### Banks=4  deltaQ=0.01  matchRef=0  matchScal=T  matchOffset=T
bank   angle   blendQmin   blendQmax       (0.0 means no info)
  1     46.6        0.87    21.63
  2     90.0        1.51    37.66
##### Program Specific Information
numRpoints=10000     maxR=100.0     numDensity=0.0   intMaxR=1.5
## Damp     Qmin=0.9     Qmax=22.5     startDampQ=27.0    QAveMin=0.6
##### start data
#O0 rg_int sig_rg_int low_int sig_low_int rmax rhofit
#S 1 - PDF from PDFgetN
#P0 **********   47.30471    0.14884    0.13136    1.50  0.1091
#L r G(r) dr dG(r)
"""

PDFGETX2 = """History written:       Thu Jan  1 00:00:00 2026
Produced by me
####### Get_XPDF #######
##### General_Setting
title=RAPDF qmin=3
workingdirectory=/u24/somebody/secret/qmax=9/
quiet=0    debug=0    autosave_isa=1    savefilenamebase=Pt.chi
##### Data&Background
det#  used  xcol detcol deterrcol xmin  xmax  add_det  mul_det
  0    1    0    1    3    0.00000    35.0000    0.00000    1.00000
           (0: Ag K_alpha, 1:Cu K_alpha, 2:Mo K_alpha, 3:Customize)
##### Sample_Setup information    num_atoms=1
#L symbol valence fractions z user_f1 user_f2 user_macoef
  Pt    0.00   1.000000    78   0.000000   0.000000   0.000000
geometry=2    mut=0.10590000    numberdensity=0.109910
## S(q)  qmin=0.900000    qmax=22.50000    qgrid=0.000000
## G(r)  rmin=0.000000    rmax=25.000000    rgrid=0.010000
optqmin=20.0000    optqmax=40.0000    optqgrid=0.00000
##### start data
#F Pt.chi.gr
#S 1    G(r)
#L r    G(r)    d_r    d_Gr
"""

#: dialect, file name, text, settings that must come from the header
DIALECTS = {
    "PDFgetX3": ("a.gr", PDFGETX3 + rows(R, G), {"element": "Pt", "qmin": 0.9, "qmax": 22.5}),
    "xPDFsuite": ("a.gr", XPDFSUITE + rows(R, G), {"element": "Pt", "qmin": 0.9, "qmax": 22.5}),
    "PDFgetXgui": (
        "a.gr",
        XPDFSUITE.replace("xPDFsuite", "PDFgetXgui") + rows(R, G),
        {"element": "Pt", "qmin": 0.9, "qmax": 22.5},
    ),
    "PDFgui": ("a.gr", PDFGUI + rows(R, G, 0 * R, DG), {"qmax": 22.5, "qdamp": 0.035, "qbroad": 0.012}),
    "PDFgui fit": (
        "a.fgr",
        PDFGUI_FIT + rows(R, CALC, 0 * R, DIFF, DIFF),
        {"qmax": 22.5, "qdamp": 0.035, "qbroad": 0.012},
    ),
    "Mantid": (
        "a.gr",
        MANTID + rows(R, G, 0 * R, DG),
        {"qmin": 0.9, "qmax": 22.5, "qdamp": 0.035, "qbroad": 0.012},
    ),
    "NOMAD": ("a.gr", NOMAD + rows(R, G), {"qmax": 22.5, "qdamp": 0.035, "qbroad": 0.012}),
    "PDFgetN": ("a.gr", PDFGETN + rows(R, G, 0 * R, DG), {"element": "Pt", "qmin": 0.9, "qmax": 22.5}),
    "PDFgetX2": ("a.gr", PDFGETX2 + rows(R, G, -0.2 * R, DG), {"element": "Pt", "qmin": 0.9, "qmax": 22.5}),
    "srfit": ("a.fit", "# x  ycalc  y  dy\n# qmax = 22.5\n" + rows(R, CALC, G, DG), {"qmax": 22.5}),
    "text": ("a.csv", "qmax,22.5\nr,G(r),dG\n" + rows(R, G, DG, sep=","), {"qmax": 22.5}),
}


def save(folder, name, text, encoding="utf-8"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return path


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_gives_the_observed_curve_and_its_settings(tmp_path, dialect):
    name, text, expected = DIALECTS[dialect]
    pdf = read_pdf(save(tmp_path, name, text))
    assert pdf.dialect == dialect.removesuffix(" fit")
    np.testing.assert_allclose(pdf.r, R, rtol=1e-12)
    np.testing.assert_allclose(pdf.g, G, atol=2e-6)
    for key, value in expected.items():
        assert pdf.settings[key].value == value
        assert pdf.settings[key].source == "header"
    assert {key for key, setting in pdf.settings.items() if setting.source == "header"} == set(expected)
    assert (pdf.settings["rmin"].value, pdf.settings["rmax"].value) == (1.5, 25.0)
    assert pdf.file == name


@pytest.mark.parametrize("dialect", ["PDFgui", "Mantid", "PDFgetN", "PDFgetX2", "srfit", "text"])
def test_uncertainties_are_read_where_the_file_has_them(tmp_path, dialect):
    name, text, _ = DIALECTS[dialect]
    np.testing.assert_allclose(read_pdf(save(tmp_path, name, text)).dg, DG)


def test_a_column_of_zeros_is_no_uncertainty_and_a_wrong_one_is_said(tmp_path):
    silent = read_pdf(save(tmp_path, "a.gr", PDFGUI + rows(R, G, 0 * R, 0 * R)))
    assert silent.dg is None
    assert silent.warnings == ()
    wrong = read_pdf(save(tmp_path, "b.gr", PDFGUI + rows(R, G, 0 * R, DG - 0.02)))
    assert wrong.dg is None
    assert any("uncertainties" in line for line in wrong.warnings)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_no_path_of_the_header_goes_any_further(tmp_path, dialect):
    name, text, _ = DIALECTS[dialect]
    assert "secret" not in repr(read_pdf(save(tmp_path, name, text)))


ENCODINGS = {
    "latin-1": lambda text: text.encode("latin-1"),
    "utf-8": lambda text: text.encode(),
    "utf-8 with mark": lambda text: codecs.BOM_UTF8 + text.encode(),
    "latin-1 behind that mark": lambda text: codecs.BOM_UTF8 + text.encode("latin-1"),
    "utf-16 with mark": lambda text: text.encode("utf-16"),
    "utf-16-le": lambda text: text.encode("utf-16-le"),
    "utf-16-be": lambda text: text.encode("utf-16-be"),
    "utf-32 with mark": lambda text: text.encode("utf-32"),
    "windows lines": lambda text: text.replace("\n", "\r\n").encode("latin-1"),
    "old mac lines": lambda text: text.replace("\n", "\r").encode("latin-1"),
    "dos end mark": lambda text: text.encode() + b"\x1a",
    "fortran and typeset numbers": lambda text: text.replace("-", "\N{MINUS SIGN}").encode(),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_encoding_and_line_ends_do_not_matter(tmp_path, encoding):
    data = ENCODINGS[encoding](DIALECTS["PDFgetX3"][1])
    pdf = read_pdf(save(tmp_path, "a.gr", data))
    np.testing.assert_array_equal(pdf.g, read_pdf(save(tmp_path, "b.gr", DIALECTS["PDFgetX3"][1])).g)
    assert pdf.element == "Pt"
    assert pdf.sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    "text",
    [
        rows(R, G, sep=","),
        rows(R, G, sep=", "),
        rows(R, G, sep="\t"),
        rows(R, G, sep=";"),
        rows(R, G, sep=";", comma=True),
        rows(R, G, sep="\t", comma=True),
        rows(R, G, sep="   ", comma=True),
        rows(R, G, sep=" ; ", comma=True),
        rows(R, G, sep=";", comma=True).replace("\n", ";\n"),
        "".join(f'"{r}","{g}"\n'.replace(".", ",") for r, g in zip(R, G, strict=True)),
        re.sub(r"\b0,", ",", rows(R, G, sep="\t", comma=True)),
        "".join(f"{r} {g}  # by hand\n" for r, g in zip(R, G, strict=True)),
        '"r (Å)","G (Å-2)"\n' + rows(R, G, sep=","),
        "r;G(r)\n" + rows(R, G, sep=";", comma=True),
        "".join(f'"{r}","{g}"\n' for r, g in zip(R, G, strict=True)),
        "".join(f"{r},{g},\n" for r, g in zip(R, G, strict=True)),
        "".join(f"{r:.8E} {g:.8E}\n".replace("E", "D") for r, g in zip(R, G, strict=True)),
        "% made elsewhere\n! and again\n" + rows(R, G),
    ],
)
def test_separators_and_decimal_marks_do_not_matter(tmp_path, text):
    pdf = read_pdf(save(tmp_path, "a.txt", text), qmax=22.5)
    np.testing.assert_allclose(pdf.g, G, atol=2e-6)
    np.testing.assert_allclose(pdf.r, R)


@pytest.mark.parametrize(
    ("line", "qmax"),
    [
        ("qmax = 21.5", 21.5),
        ("# qmax = 21.5", 21.5),
        ("# qmax 21.5", 21.5),
        ("#Qmax: 21.5 1/A", 21.5),
        ("QMAX=21.5Å^-1", 21.5),
        ("qmin=0.5,qmax=21.5,qdamp=0.03", 21.5),
        ("qmaxinst=9 qmax=21.5 optqmax=30", 21.5),
        ("qmax = 21,5", 21.5),
        ("qmax = 2.15e1", 21.5),
        ("qmax = 215 nm^-1", 21.5),
        ("qmax=215 (1/nm)", 21.5),
    ],
)
def test_qmax_is_found_however_it_is_written(tmp_path, line, qmax):
    assert read_pdf(save(tmp_path, "a.gr", line + "\n" + rows(R, G))).settings["qmax"].value == qmax


@pytest.mark.parametrize(
    ("line", "metadata"),
    [
        ("Temperature: 300 K, time=12.5", {"temperature": 300.0, "time": 12.5}),
        ("T = -12.5°C", {"t": -12.5}),
        ("a=1;b=2 c=3", {"a": 1.0, "b": 2.0, "c": 3.0}),
        ("time = 300,5", {"time": 300.5}),
        ("time=1 time=2", {"time": 1.0}),
        ("date: 2026-11-28", {}),
        ("date = 5 Nov 2026", {}),
        ("time: 12:30:00", {}),
        ("version = 1.2.3", {}),
        ("t=1e999", {}),
        ("inputfile = a t=3", {}),
        ("a/b=3", {}),
        ("qmax = 22", {}),
    ],
)
def test_other_numbers_of_the_header_are_kept(tmp_path, line, metadata):
    text = f"{line}\nqmax=22\n#### start data\n" + rows(R, G)
    path = tmp_path / "x.gr"
    path.write_text(text, encoding="utf-8")
    assert read_pdf(path, element="Pt").metadata == metadata


def test_a_header_that_contradicts_itself_is_said(tmp_path):
    pdf = read_pdf(save(tmp_path, "a.gr", "# qmax=20\n# qmax=25\n" + rows(R, G)))
    assert pdf.settings["qmax"].value == 20
    assert any("qmax as 20 and as 25" in line for line in pdf.warnings)


def test_options_beat_the_header_and_say_what_it_said(tmp_path):
    path = save(tmp_path, *DIALECTS["PDFgetX3"][:2])
    pdf = read_pdf(path, element="Au", qmin=0.2, qmax=20, qdamp=0.01, qbroad=0.02, rmin=2, rmax=12)
    values = {key: setting.value for key, setting in pdf.settings.items()}
    assert values == {
        "element": "Au", "qmin": 0.2, "qmax": 20, "qdamp": 0.01, "qbroad": 0.02, "rmin": 2, "rmax": 12, "background": 0,
    }  # fmt: skip
    assert {setting.source for key, setting in pdf.settings.items() if key != "background"} == {"option"}
    assert pdf.settings["element"].note == "header says Pt"
    assert pdf.settings["qmax"].note == "header says 22.5"
    assert pdf.instrument.qbroad == 0.02


def test_defaults_are_named_as_such():
    pdf = pdf_from_arrays(R, G, qmax=22)
    assert {key: setting.source for key, setting in pdf.settings.items()} == {
        "element": "default",
        "qmin": "default",
        "qmax": "option",
        "qdamp": "default",
        "qbroad": "default",
        "rmin": "default",
        "rmax": "data",
        "background": "default",
    }
    assert pdf.instrument.qdamp == 0.03
    assert len(settings_table(pdf)) == len(pdf.settings)
    assert settings_table(pdf)[0].value == "unknown"


def test_small_angle_qmin_of_a_header_is_raised_and_said_but_an_option_stands(tmp_path):
    path = save(tmp_path, "a.gr", PDFGETX3.replace("qmin = 0.9", "qmin = 0.1") + rows(R, G))
    raised = read_pdf(path)
    assert raised.settings["qmin"].value == 0.6
    assert "header says 0.1" in raised.settings["qmin"].note
    assert any("qmin was raised" in line for line in raised.warnings)
    assert read_pdf(path, qmin=0.1).settings["qmin"].value == 0.1


def test_metal_of_a_ligand_shell_is_taken_and_said(tmp_path):
    text = PDFGETX3.replace("composition = Pt", "composition = Au144 S60 C180") + rows(R, G)
    pdf = read_pdf(save(tmp_path, "a.gr", text))
    assert pdf.element == "Au"
    assert pdf.settings["element"].note == "of composition Au144 S60 C180"
    assert any("Au144 S60 C180" in line for line in pdf.warnings)


@pytest.mark.parametrize("composition", ["unknown", "/beamline/somebody/secret", "SiO2", ""])
def test_missing_element_is_asked_for(tmp_path, composition):
    text = PDFGETX3.replace("composition = Pt", f"composition = {composition}") + rows(R, G)
    pdf = read_pdf(save(tmp_path, "a.gr", text))
    assert pdf.element is None
    assert "secret" not in repr(pdf)
    with pytest.raises(InputError, match="--element"):
        require_element(pdf)
    assert require_element(read_pdf(tmp_path / "a.gr", element="Pt")) == "Pt"


def test_everything_that_is_missing_is_asked_for_at_once(tmp_path):
    path = save(tmp_path, "a.txt", rows(R, G))
    with pytest.raises(InputError, match=r"--element SYMBOL and --qmax"):
        read_pdf(path)
    with pytest.raises(InputError, match=r"no Qmax: give --qmax"):
        read_pdf(path, element="Pt")


def test_nanometres_are_converted_when_the_label_says_so(tmp_path):
    text = "# r(nm) G(nm^-2)\n# qmax = 22.5\n" + rows(R / 10, G * 100)
    pdf = read_pdf(save(tmp_path, "a.gr", text))
    np.testing.assert_allclose(pdf.r, R)
    np.testing.assert_allclose(pdf.g, G, atol=1e-6)
    assert any("converted from nm" in line for line in pdf.warnings)
    wrong_label = read_pdf(save(tmp_path, "b.gr", "# r(nm) G\n# qmax = 22.5\n" + rows(R, G)), r_unit="A")
    np.testing.assert_allclose(wrong_label.r, R)
    assert any("as asked" in line for line in wrong_label.warnings)


def test_nanometres_are_asked_about_when_they_are_only_likely(tmp_path):
    path = save(tmp_path, "a.gr", "# qmax = 22.5\n" + rows(R / 10, G * 100))
    with pytest.raises(InputError, match="looks like nm"):
        read_pdf(path)
    np.testing.assert_allclose(read_pdf(path, r_unit="nm").r, R)
    with pytest.raises(InputError, match="must go past"):
        read_pdf(path, r_unit="A")
    with pytest.raises(InputError, match="r_unit must be"):
        read_pdf(path, r_unit="mm")


def test_qnm_of_the_input_says_nothing_of_r(tmp_path):
    assert "Qnm" in PDFGETX3
    assert read_pdf(save(tmp_path, "a.gr", DIALECTS["PDFgetX3"][1])).r[-1] == 25


def test_grids_are_taken_as_they_come(tmp_path):
    uneven = np.sort(np.random.default_rng(0).choice(R, 700, replace=False))
    for r in (R[1:], R[::5], uneven, np.append(0.0, R)):
        pdf = pdf_from_arrays(r, np.interp(r, R, G), qmax=22)
        np.testing.assert_array_equal(pdf.r, r)
    coarse = pdf_from_arrays(R[::20], G[::20], qmax=22)
    assert any("too coarse" in line for line in coarse.warnings)


def test_data_that_start_late_or_end_early_set_the_fitted_range():
    pdf = pdf_from_arrays(R[90:600], G[90:600], qmax=22)
    assert (pdf.settings["rmin"].value, pdf.settings["rmax"].value) == (1.82, 12.0)
    assert pdf.settings["rmin"].source == pdf.settings["rmax"].source == "data"


def test_a_header_that_lies_about_the_end_is_said(tmp_path):
    text = PDFGETX3.replace("rmax = 25", "rmax = 6") + rows(R, G)
    pdf = read_pdf(save(tmp_path, "a.gr", text))
    assert pdf.settings["rmax"].value == 25
    assert any("rmax 6" in line for line in pdf.warnings)


@pytest.mark.parametrize("nan", ["nan", "NaN", "-nan", "inf", "*****", "1e999", "1.#QNAN", "n/a", "--"])
def test_rows_without_numbers_outside_the_fit_are_counted(tmp_path, nan):
    text = [f"{r} {nan if r < 0.05 or r > 24 or r == 0.5 else g}\n" for r, g in zip(R, G, strict=True)]
    pdf = read_pdf(save(tmp_path, "a.gr", "".join(text)), qmax=22)
    assert len(pdf.r) == len(R) - 53
    assert any("53 rows" in line for line in pdf.warnings)


def test_a_gap_inside_the_fit_is_an_error_that_names_the_line(tmp_path):
    text = [f"{r},{'' if r == 5 else g}\n" for r, g in zip(R, G, strict=True)]
    path = save(tmp_path, "a.csv", "r,G\n" + "".join(text))
    with pytest.raises(InputError, match="line 251: not a number inside the fitted range"):
        read_pdf(path, qmax=22)
    assert len(read_pdf(path, qmax=22, rmin=6).r) == len(R) - 1


def test_numbers_in_a_header_without_start_line_are_said(tmp_path):
    pdf = read_pdf(save(tmp_path, "a.gr", "1 2\n3 4\nr G(r)\n" + rows(R, G)), qmax=22)
    assert len(pdf.r) == len(R)
    assert any("2 rows of numbers above line 4" in line for line in pdf.warnings)


def test_unlabelled_columns_beyond_the_fourth_are_said(tmp_path):
    pdf = read_pdf(save(tmp_path, "a.dat", rows(R, G, R, R, R)), qmax=22)
    np.testing.assert_allclose(pdf.g, G, atol=1e-6)
    assert any("5 columns without labels" in line for line in pdf.warnings)


def test_labels_between_rows_begin_the_table(tmp_path):
    pdf = read_pdf(save(tmp_path, "a.gr", "0.001 1250\n# r G(r)\n" + rows(R, G)), qmax=22)
    np.testing.assert_allclose(pdf.r, R)
    assert any("1 rows of numbers above line 3" in line for line in pdf.warnings)


def test_labels_far_above_the_table_are_found(tmp_path):
    """Of the four columns of SrFit the second is the calculated curve: without labels it would be taken."""
    header = "# x  ycalc  y  dy\n# qmax = 22.5\n# a\n# b\n# c\n"
    np.testing.assert_allclose(read_pdf(save(tmp_path, "a.dat", header + rows(R, CALC, G, DG))).g, G, atol=1e-6)


def test_rows_behind_a_comment_sign_are_counted(tmp_path):
    lines = rows(R, G).splitlines()
    lines[100:103] = [f"#{line}" for line in lines[100:103]]
    pdf = read_pdf(save(tmp_path, "a.gr", "\n".join(lines)), qmax=22)
    assert len(pdf.r) == len(R) - 3
    assert any("3 rows of numbers behind a comment sign" in line for line in pdf.warnings)


def test_two_beginnings_of_data_are_said(tmp_path):
    pdf = read_pdf(save(tmp_path, "a.gr", PDFGETX3 + rows(R, 2 * G) + "#### start data\n" + rows(R, G)))
    np.testing.assert_allclose(pdf.g, G, atol=1e-6)
    assert any("2 lines 'start data'" in line for line in pdf.warnings)


@pytest.mark.parametrize("line", ["#", "file" * 1000, "qmax," * 800, "x ", " " * 4000 + "a", "title" + " " * 4000])
def test_a_long_header_takes_no_long_time(tmp_path, line):
    """Each of these took a time that grows with the square of the header's or of the line's length."""
    header = "\n".join([line] * (20_000 if len(line) < 10 else 50))
    start = time.process_time()
    assert len(read_pdf(save(tmp_path, "a.gr", f"# qmax=22\n{header}\n{rows(R, G)}")).r) == len(R)
    assert time.process_time() - start < 4


def test_a_header_that_says_everything_gives_few_warnings(tmp_path):
    header = "".join(f"# qmax={20 + i / 1000}\n# qmin=high{i}\n" for i in range(5000))
    assert len(read_pdf(save(tmp_path, "a.gr", header + rows(R, G))).warnings) < 5


def test_the_name_of_a_file_can_be_printed(tmp_path):
    path = save(tmp_path, os.fsdecode(b"a\xff\x1b.gr"), rows(R, G))
    assert read_pdf(path, qmax=22).file.isprintable()


def test_fgr_without_labels_is_read_by_position(tmp_path):
    pdf = read_pdf(save(tmp_path, "a.fgr", rows(R, CALC, 0 * R, 0 * R, DIFF)), qmax=22)
    np.testing.assert_allclose(pdf.g, G, atol=2e-6)


BROKEN = {
    "nothing": ("", "is empty"),
    "blanks": (" \n\n", "is empty"),
    "zeros": (bytes(1000), "is not a text file"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4, "is not a text file"),
    "prose": ("no numbers here\nat all\n", "no rows of numbers"),
    "one column": ("1\n2\n3\n", "no rows of numbers"),
    "too few": (rows(R[:49], G[:49]), "49 points"),
    "too short": (rows(R[:245], G[:245]), "must go past 5"),
    "backwards": (rows(R[::-1], G), "line 2: r does not increase"),
    "twice the same r": ("0.02 5\n" + rows(R, G), "line 2: r does not increase"),
    "negative r": (rows(R - 1, G), "line 1: r must be from 0"),
    "huge G": (rows(R, G + 1e13), "line 1: G must be"),
    "broken row": (rows(R[:100], G[:100]) + "0.0x 1\n" + rows(R[100:], G[100:]), "line 101: not a row"),
    "cut off": (rows(R, G) + "25.02", "line 1251: not a row"),
    "ragged": (rows(R[:100], G[:100]) + "2.02 1 1\n", "line 101: 3 columns where"),
    "F(Q)": ("#L Q(A^-1) F(A^-1)\n" + rows(R, G), "function of Q"),
    "R(r)": ("#L r(A) R(r)\n" + rows(R, G), "R\\(r\\), S\\(Q\\) or another function than G\\(r\\) by its label"),
    "all zero": (rows(R, 0 * R), "nothing to fit"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files_are_refused_with_one_line_that_says_why(tmp_path, case):
    text, reason = BROKEN[case]
    path = save(tmp_path, "a.gr", text)
    with pytest.raises(InputError, match=reason) as error:
        read_pdf(path, qmax=22)
    assert "\n" not in str(error.value)
    assert "a.gr" in str(error.value)


def test_fgr_without_a_difference_is_refused(tmp_path):
    for text in (rows(R, CALC), "#L r(A) Gcalc d_r d_Gr\n" + rows(R, CALC, R, R)):
        with pytest.raises(InputError, match="Gdiff"):
            read_pdf(save(tmp_path, "a.fgr", text), qmax=22)


def test_places_that_hold_no_file_are_refused(tmp_path):
    with pytest.raises(InputError, match="not there"):
        read_pdf(tmp_path / "none.gr")
    with pytest.raises(InputError, match="folder"):
        read_pdf(tmp_path)
    with pytest.raises(InputError):
        read_pdf("a\0b\n.gr")


def test_a_file_beyond_the_limit_is_not_read(tmp_path):
    path = tmp_path / "big.gr"
    with path.open("wb") as file:
        file.truncate(65 * 2**20)
    with pytest.raises(InputError, match="65 MiB"):
        read_pdf(path)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"qmax": 0}, "qmax must be 3 to 100"),
        ({"qmax": 220}, "qmax must be 3 to 100"),
        ({"qmax": "high"}, "qmax must be a number"),
        ({"qmax": float("nan")}, "finite"),
        ({"qmin": -1}, "qmin must be"),
        ({"qmin": 8, "qmax": 7}, "qmin must be below qmax"),
        ({"qdamp": 3}, "qdamp must be"),
        ({"qbroad": -0.1}, "qbroad must be"),
        ({"rmin": -1}, "rmin must be within the data"),
        ({"rmax": 40}, "rmax must be within the data"),
        ({"rmin": 10, "rmax": 5}, "points from rmin 10 to rmax 5"),
        ({"rmin": 10, "rmax": 10.1}, "at least 20"),
        ({"element": "pt"}, "did you mean 'Pt'"),
    ],
)
def test_impossible_options_are_refused(options, reason):
    with pytest.raises(InputError, match=reason):
        pdf_from_arrays(R, G, **{"qmax": 22} | options)


def test_an_impossible_header_is_refused_and_names_the_option(tmp_path):
    path = save(tmp_path, "a.gr", "# qmax=225\n" + rows(R, G))
    with pytest.raises(InputError, match=r"225 from the header.*--qmax sets it"):
        read_pdf(path)
    assert read_pdf(path, qmax=22.5).settings["qmax"].note == "header says 225"


@pytest.mark.parametrize("r", [R[:5], R[:, None], "r", [1j] * 1250, [None] * 1250, [10**400] * 1250, [[1], [1, 2]]])
def test_arrays_that_are_no_pdf_are_refused(r):
    with pytest.raises(InputError):
        pdf_from_arrays(r, G, qmax=22)


def test_masked_points_are_no_numbers_and_tensors_are_arrays():
    hidden = np.ma.masked_array(G, mask=R > 24.9)
    assert len(pdf_from_arrays(R, hidden, qmax=22).r) == np.sum(R <= 24.9)
    np.testing.assert_array_equal(pdf_from_arrays(R, torch.from_numpy(G), qmax=22).g, G)
    with pytest.raises(InputError, match="one-dimensional array of real numbers"):
        pdf_from_arrays(R, torch.tensor(G, requires_grad=True), qmax=22)


def test_arrays_are_copied_and_told_apart_by_their_digest():
    r, g = R.copy(), G.copy()
    pdf = pdf_from_arrays(r, g, dg=DG, qmax=22)
    g[:] = 0
    np.testing.assert_array_equal(pdf.g, G)
    np.testing.assert_array_equal(pdf.dg, DG)
    assert pdf.sha256 != pdf_from_arrays(R, 2 * G, qmax=22).sha256


QUIET = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)
LINES = st.lists(
    st.sampled_from([
        "#### start data", "qmax = 20", "qmax=", "composition = Pt", "#L r(A) G(r)", "#L r(nm) G(r)", "1 2", "1,5 2,5",
        "0,1;2", "1 2 3", "nan nan", "1e999 -1e999", "text", "7", "r,G", ",", ";;", "# x ycalc y dy", "\u2028", "\x85",
    ])
    | st.text(max_size=30),
    max_size=30,
)  # fmt: skip


def is_pdf_or_one_line(read):
    try:
        result = read()
    except InputError as error:
        result = str(error)
    if isinstance(result, Pdf):
        return bool(np.isfinite(result.g).all())
    return bool(result) and "\n" not in result


@given(st.binary(max_size=2000), st.sampled_from([".gr", ".fgr", ".csv"]))
@QUIET
def test_any_bytes_give_a_pdf_or_one_line(tmp_path, data, suffix):
    path = save(tmp_path, f"a{suffix}", data)
    assert is_pdf_or_one_line(lambda: read_pdf(path, qmax=22))


@given(LINES, LINES, LINES, st.sampled_from([".gr", ".fgr"]), st.sampled_from([" ", ",", ";"]), st.integers(2, 6))
@QUIET
def test_any_lines_around_and_among_data_give_a_pdf_or_one_line(tmp_path, above, among, below, suffix, sep, n_columns):
    first = rows(*[R[::12]] * n_columns, sep=sep).splitlines()
    lines = [*above, *first[:50], *among[:2], *first[50:], *below[:2]]
    data = "\n".join(lines).encode("utf-8", "surrogatepass")
    path = save(tmp_path, f"a{suffix}", data)
    assert is_pdf_or_one_line(lambda: read_pdf(path, qmax=22))


@given(
    st.lists(st.floats(width=64), min_size=0, max_size=120),
    st.lists(st.floats(width=64), min_size=0, max_size=120),
    st.booleans(),
)
@QUIET
def test_any_arrays_give_a_pdf_or_one_line(r, g, ordered):
    r = np.sort(r) if ordered else r
    assert is_pdf_or_one_line(lambda: pdf_from_arrays(r, g, qmax=22, element="Pt"))


@given(st.sampled_from(sorted(DIALECTS)), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=8))
@QUIET
def test_damaged_files_give_a_pdf_or_one_line(tmp_path, dialect, damage):
    name, text, _ = DIALECTS[dialect]
    data = bytearray(text.encode("latin-1"))
    for place, byte in damage:
        data[int(place * (len(data) - 1))] = byte
    path = save(tmp_path, name, bytes(data))
    assert is_pdf_or_one_line(lambda: read_pdf(path, qmax=22))


@given(st.integers(0, 2**32), st.sampled_from([" ", "\t", ",", ";"]), st.sampled_from(["utf-8", "utf-16", "latin-1"]))
@QUIET
def test_numbers_survive_to_the_last_bit(tmp_path, seed, sep, encoding):
    rng = np.random.default_rng(seed)
    r = np.cumsum(rng.uniform(0.01, 0.2, 200))
    g = rng.normal(size=200) * 10.0 ** rng.integers(-6, 3)
    text = "".join(f"{a!r}{sep}{b!r}\n" for a, b in zip(r.tolist(), g.tolist(), strict=True))
    pdf = read_pdf(save(tmp_path, "a.gr", text, encoding), qmax=22)
    np.testing.assert_array_equal(pdf.r, r)
    np.testing.assert_array_equal(pdf.g, g)


@NEEDS_DATA
@pytest.mark.parametrize(
    ("name", "dialect", "element", "qmin", "qmax", "end"),
    [
        ("JQ_S1.gr", "xPDFsuite", "Pt", 1.0, 21.998245281, 50),
        ("JQ_S3.gr", "xPDFsuite", "Pt", 1.0, 21.998245281, 50),
        ("Au144pMBA.gr", "PDFgetX3", "Au", 1.33, 28.0, 20),
    ],
)
def test_measured_files_are_read_without_a_question(name, dialect, element, qmin, qmax, end):
    pdf = read_pdf(DATA / "experimental" / name)
    assert (pdf.dialect, require_element(pdf), pdf.r[0], pdf.r[-1]) == (dialect, element, 0, end)
    assert (pdf.instrument.qmin, pdf.instrument.qmax) == (qmin, qmax)
    assert pdf.warnings == ()
    assert 2 < pdf.r[np.argmax(pdf.g)] < 5


@NEEDS_DATA
@pytest.mark.parametrize("path", sorted((DATA / "simulated").glob("*.gr")), ids=lambda path: path.stem)
def test_simulated_files_are_read_with_options(path):
    with pytest.raises(InputError, match="--qmax"):
        read_pdf(path)
    pdf = read_pdf(path, element=path.stem.split("_")[-1], qmax=25, qdamp=0)
    assert len(pdf.r) == 3000
    assert pdf.instrument.qmin == 0.7
