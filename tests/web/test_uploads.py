"""Files of users: within limits, under names of ours, read as the command line reads them."""

import base64

import numpy as np
import pytest

from cbldm.data.pdf_files import read_pdf
from cbldm.errors import InputError
from cbldm.web.limits import Limits
from cbldm.web.uploads import MOST_POINTS, Upload, take

R = np.round(np.arange(0, 20, 0.02), 2)
G = np.exp(-0.1 * R) * np.sin(2.6 * (R - 2.17)) * (R > 1)
ROWS = "\n".join(f"{r:.2f} {g:.6f}" for r, g in zip(R, G, strict=True))


def sent(name, text):
    return {"name": name, "data": base64.b64encode(text.encode()).decode()}


@pytest.fixture
def upload(tmp_path, simulated):
    path = tmp_path / "0123.gr"
    path.write_text(simulated)
    return Upload("0123", "my <b>file</b>.gr", path)


@pytest.fixture(scope="module")
def simulated(root):
    return (root / "src/cbldm/examples/pt_example.gr").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name", ["../../x.gr", "/etc/cron.d/x.gr", "..\\x.gr", "x\0.gr", "", "a/../../b.fgr", "." * 300, 7]
)
def test_a_name_never_becomes_a_path(tmp_path, name):
    folder = tmp_path / "folder"
    folder.mkdir()
    uploads, refused = take([{**sent("", ROWS), "name": name}], folder, 5, Limits())
    assert refused == []
    assert [path.parent for path in tmp_path.rglob("*.*gr")] == [folder]
    assert uploads[0].path.parent == folder
    assert uploads[0].path.stem == uploads[0].key
    assert "/" not in uploads[0].name
    assert "\0" not in uploads[0].name


def test_what_is_too_much_is_refused_whole(tmp_path):
    limits = Limits(max_upload=0.05, max_files=3)
    with pytest.raises(InputError, match=r"more than 0\.05 MB"):
        take([sent("a.gr", "x" * 30_000), sent("b.gr", "y" * 30_000)], tmp_path, 3, limits)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="at most 3 files, 1 more now"):
        take([sent("a.gr", ROWS)] * 2, tmp_path, 1, limits)
    for nothing in (None, [], "text"):
        with pytest.raises(InputError, match="no file"):
            take(nothing, tmp_path, 3, limits)


@pytest.mark.parametrize("file", [{}, {"name": "a.gr"}, {"name": "a.gr", "data": "%%"}, {"name": "a.gr", "data": 3}, 5])
def test_what_did_not_arrive_is_named(tmp_path, file):
    uploads, refused = take([file, sent("b.gr", ROWS)], tmp_path, 3, Limits())
    assert [upload.name for upload in uploads] == ["b.gr"]
    assert len(refused) == 1


def test_settings_are_read_as_by_the_command_line(upload):
    upload.read()
    expected = read_pdf(upload.path)
    assert upload.problem == ""
    assert upload.pdf.settings == expected.settings
    assert upload.pdf.sha256 == expected.sha256
    assert upload.pdf.file == upload.name
    assert upload.origin("qmax")[0] == "header"
    assert upload.shown("element") == "Pt"


def test_fields_that_still_show_what_was_read_are_no_options(upload):
    upload.read()
    fields = {name: upload.shown(name) for name in ("element", "qmin", "qmax", "qdamp", "qbroad", "rmin", "rmax")}
    assert not upload.set(fields)
    assert upload.set(fields | {"qmax": "20,5", "rmin": " 2.1 "})
    assert upload.given == {"qmax": 20.5, "rmin": 2.1}
    assert upload.origin("qmax") == ("option", "header says 24")
    assert upload.set(fields | {"qmax": "", "rmin": "2.1"})
    assert upload.given == {"rmin": 2.1}
    assert upload.origin("qmax")[0] == "header"


def test_a_field_that_is_no_number_is_named_and_the_others_are_taken(upload):
    upload.read()
    with pytest.raises(InputError, match="Qmax must be a number, got 'many'"):
        upload.set({"qmax": "many", "qmin": "1"})
    assert upload.given == {"qmin": 1.0}


@pytest.mark.parametrize(
    ("text", "given", "words"),
    [
        ("not a PDF at all", {}, "my.gr"),
        (ROWS, {}, "'my.gr' names no Qmax and no element: give Element and Qmax in Å⁻¹"),
        (ROWS, {"qmax": 22.0}, "'my.gr' does not say which metal it is of: give Element, as Pt"),
        (ROWS, {"qmax": 22.0, "element": "Xx"}, "Xx"),
        (ROWS, {"qmax": 22.0, "element": "Pt", "rmin": 500.0}, "rmin must be within the data"),
        (ROWS, {"qmax": 22.0, "element": "Pt", "r_unit": "ft"}, "r_unit must be A or nm"),
    ],
)
def test_what_is_wrong_is_a_sentence_without_a_path(tmp_path, text, given, words):
    path = tmp_path / "0123.gr"
    path.write_text(text)
    upload = Upload("0123", "my.gr", path, given)
    upload.read()
    assert words in upload.problem
    assert str(tmp_path) not in upload.problem
    assert "0123" not in upload.problem
    assert "--" not in upload.problem


def test_the_curve_of_a_large_file_keeps_its_peaks(tmp_path):
    r = np.linspace(0, 60, 50_001)
    g = 0.01 * np.sin(8 * r)
    g[20_000] = 5.0
    path = tmp_path / "0.gr"
    path.write_text("\n".join(f"{x:.5f} {y:.5f}" for x, y in zip(r, g, strict=True)))
    upload = Upload("0", "large.gr", path, {"element": "Pt", "qmax": 20.0})
    upload.read()
    curve = upload.curve()
    assert len(curve["r"]) <= MOST_POINTS
    assert max(curve["g"]) == 5.0
    assert curve["r"] == sorted(curve["r"])
    assert (curve["rmin"], curve["rmax"]) == (1.5, 30.0)
