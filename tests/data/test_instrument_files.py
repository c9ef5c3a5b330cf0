"""An instrument file is read as it was written, and anything else is refused in one line."""

import math
import tomllib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cbldm.data.instrument_files import instrument_text, read_instrument
from cbldm.data.pdf_files import pdf_from_arrays, read_pdf
from cbldm.data.pdf_settings import settings_table
from cbldm.data.structure_files import write_gr
from cbldm.errors import InputError

R = np.arange(0, 25, 0.02)
G = np.sin(4 * R) * np.exp(-R / 9)
GOOD = '[instrument]\nqdamp = 0.04\nqbroad = 0.01\n\n[standard]\nfile = "ni.gr"\nelement = "Ni"\nlattice = "fcc"\n'

reuse = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def written(tmp_path, content, name="instrument.toml"):
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


positive = st.floats(0, 1e6)
names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\\\n\r"), max_size=30).filter(
    lambda text: not any(ord(sign) < 32 for sign in text)
)
standards = st.fixed_dictionaries(
    {},
    optional={
        "file": names,
        "sha256": st.text("0123456789abcdef", min_size=64, max_size=64),
        "element": st.sampled_from(["Ni", "W", "Si"]),
        "lattice": st.sampled_from(["fcc", "bcc", "hcp", "diamond"]),
        "a": positive,
        "c": positive,
        "rw": positive,
        "qmax": positive,
        "correlation_qdamp_qbroad": st.floats(-1, 1),
        "cbldm_version": st.just("0.1.0"),
        "uncertainties": st.dictionaries(st.sampled_from(["qdamp", "qbroad", "a"]), positive, min_size=1),
    },
)


@reuse
@given(qdamp=st.floats(0, 0.5), qbroad=st.floats(0, 0.5), standard=standards)
def test_what_is_written_is_read(tmp_path, qdamp, qbroad, standard):
    found = read_instrument(written(tmp_path, instrument_text(qdamp, qbroad, standard)))
    assert (found.qdamp, found.qbroad, dict(found.standard)) == (qdamp, qbroad, standard)


# TOML of any shape, near to the right one and far from it.
values = st.recursive(
    st.one_of(st.floats(), st.integers(), st.booleans(), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
    max_leaves=5,
)
keys = st.one_of(st.sampled_from(["qdamp", "qbroad", "file", "element", "uncertainties", "rw"]), st.text(max_size=8))
tables = st.dictionaries(keys, values, max_size=4)
documents = st.dictionaries(
    st.one_of(st.sampled_from(["instrument", "standard"]), st.text(max_size=8)), st.one_of(tables, values), max_size=3
)


def toml(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(key)} = {toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(toml(inner) for inner in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return quoted(value) if isinstance(value, str) else repr(value)


def quoted(text):
    return '"' + "".join(f"\\U{ord(sign):08X}" for sign in text if not 0xD800 <= ord(sign) < 0xE000) + '"'


@reuse
@given(document=documents)
def test_any_other_toml_is_sound_or_refused_in_one_line(tmp_path, document):
    text = "".join(f"{quoted(key)} = {toml(value)}\n" for key, value in document.items())
    path = written(tmp_path, text)
    found, complaint = None, ""
    try:
        found = read_instrument(path)
    except InputError as error:
        complaint = str(error)
    if found is None:
        assert len(complaint.splitlines()) == 1
        assert "instrument.toml" in complaint
    else:
        content = tomllib.loads(text)
        assert set(content) <= {"instrument", "standard"}
        assert set(content["instrument"]) == {"qdamp", "qbroad"}
        assert 0 <= found.qdamp <= 0.5
        assert 0 <= found.qbroad <= 0.5


@reuse
@given(
    content=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
)
def test_any_bytes_are_refused_in_one_line(tmp_path, content):
    with pytest.raises(InputError) as caught:
        read_instrument(written(tmp_path, content))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "lacks qdamp and qbroad"),
        ("[instrument]\nqdamp = 0.04\n", "lacks qbroad"),
        (GOOD.replace("0.04", "0.7"), r"\[instrument\] qdamp must be a number, 0 to 0.5 \(got '0.7'\)"),
        (GOOD.replace("0.04", "-0.01"), "qdamp must be a number, 0 to 0.5"),
        (GOOD.replace("0.04", "nan"), "qdamp must be a number, 0 to 0.5"),
        (GOOD.replace("0.04", '"0.04"'), "qdamp must be a number"),
        (GOOD.replace("0.04", "true"), "qdamp must be a number"),
        (GOOD.replace("qbroad", "qbraod"), "'qbraod' is not known; known are qdamp, qbroad"),
        (GOOD + "quality = 1\n", r"\[standard\] 'quality' is not known"),
        (GOOD.replace('"ni.gr"', '"C:\\\\data\\\\ni.gr"'), r"\[standard\] file must be a text"),
        (GOOD.replace('"fcc"', '"sc"'), r"\[standard\] lattice must be a text of the form fcc\|bcc\|hcp\|diamond"),
        (GOOD + "a = -3.5\n", r"\[standard\] a must be a number, 0 or more"),
        (GOOD + "[standard.uncertainties]\nqdamp = inf\n", r"\[standard.uncertainties\] qdamp must be a number"),
        (GOOD + "[standard.uncertainties]\nzeal = 1\n", "'zeal' is not known"),
        (GOOD + "[extra]\n", "'extra' is not known; known are instrument, standard"),
        ("instrument = 3\n", "instrument must be a table"),
        (GOOD + GOOD, "cannot be read as an instrument file"),
        ("x" * 70000, "too large"),
    ],
)
def test_refused(tmp_path, content, message):
    with pytest.raises(InputError, match=message) as caught:
        read_instrument(written(tmp_path, content))
    assert len(str(caught.value).splitlines()) == 1


def test_missing_files_and_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match="not there"):
        read_instrument(tmp_path / "none.toml")
    with pytest.raises(InputError, match="a folder"):
        read_instrument(tmp_path)


@pytest.mark.parametrize("header", [None, 0.02])
@pytest.mark.parametrize("known", [None, 0.04])
@pytest.mark.parametrize("option", [None, 0.05])
def test_option_beats_instrument_beats_header_beats_default(tmp_path, option, known, header):
    data = tmp_path / "data.gr"
    write_gr(data, R, G, {"element": "Pt", "qmin": 0.8, "qmax": 22.0, "qdamp": header, "qbroad": 0.002})
    instrument = None if known is None else written(tmp_path, GOOD)
    pdf = read_pdf(data, qdamp=option, instrument=instrument)
    setting = pdf.settings["qdamp"]
    ranked = [("option", option), ("instrument", known), ("header", header), ("default", 0.03)]
    source, value = next((name, value) for name, value in ranked if value is not None)
    assert (setting.source, setting.value) == (source, value)
    assert pdf.instrument.qdamp == value
    overruled = {"instrument file says 0.04": known and option, "header says 0.02": header and (option or known)}
    for words, said in overruled.items():
        assert (words in setting.note) == bool(said)
    if source == "instrument":
        assert "instrument.toml: standard fcc Ni ni.gr" in setting.note
    expected = ("header", 0.002) if known is None else ("instrument", 0.01)
    assert (pdf.settings["qbroad"].source, pdf.settings["qbroad"].value) == expected
    assert next(row for row in settings_table(pdf) if row.name == "qdamp").source == source


def test_arrays_take_an_instrument_file_too(tmp_path):
    pdf = pdf_from_arrays(R, G, element="Pt", qmax=22, instrument=written(tmp_path, GOOD))
    assert (pdf.instrument.qdamp, pdf.instrument.qbroad) == (0.04, 0.01)
    assert pdf.settings["qdamp"].note == "instrument.toml: standard fcc Ni ni.gr"


def test_a_file_written_by_hand_needs_no_standard(tmp_path):
    found = read_instrument(written(tmp_path, "\ufeff[instrument]\r\nqdamp = 0\r\nqbroad = 0.1\r\n", "mine.toml"))
    assert (found.qdamp, found.qbroad, found.note) == (0.0, 0.1, "mine.toml")
    assert math.copysign(1, found.qdamp) == 1
