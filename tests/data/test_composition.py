"""Formulas are read as chemists write them, and the metal in them is found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbldm.data.composition import check_element, main_metal, parse_formula, write_formula
from cbldm.errors import InputError


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("Pt", {"Pt": 1}),
        ("Au144 S60 C180", {"Au": 144, "S": 60, "C": 180}),
        ("Au25(SC8H9)18", {"Au": 25, "S": 18, "C": 144, "H": 162}),
        ("((Au2)3S)2", {"Au": 12, "S": 2}),
        ("Ni 0.5 Ti.5", {"Ni": 0.5, "Ti": 0.5}),
        ("PtPt2", {"Pt": 3}),
    ],
)
def test_formula_is_counted(text, counts):
    assert parse_formula(text) == counts


@pytest.mark.parametrize(
    "text", ["", "pt", "Pt0", "Xx", "X", "Pt(", "Pt)", "(Pt", "2(Pt)", "Pt-Au", "unknown", "Pt1e400"]
)
def test_what_is_no_formula_is_none(text):
    assert parse_formula(text) is None


@given(st.text(alphabet="PtAuX0123.() e", max_size=40))
def test_any_text_is_a_formula_or_none(text):
    counts = parse_formula(text)
    assert counts is None or all(number > 0 for number in counts.values())


@given(st.dictionaries(st.sampled_from(["Pt", "Au", "S", "C", "O"]), st.integers(1, 999), min_size=1))
def test_written_formula_reads_back(counts):
    assert parse_formula(write_formula(counts)) == counts


@pytest.mark.parametrize(
    ("counts", "metal"),
    [
        ({"Au": 144, "S": 60, "C": 2000}, "Au"),
        ({"Pt": 1, "Ni": 3}, "Ni"),
        ({"Pt": 1, "Ni": 1}, "Pt"),
        ({"C": 60}, "C"),
        ({"Si": 1, "O": 2}, None),
    ],
)
def test_metal_with_most_electrons_wins(counts, metal):
    assert main_metal(counts) == metal


@pytest.mark.parametrize(
    ("symbol", "hint"), [("pt", "'Pt'"), ("PT", "'Pt'"), ("Qq", "as Pt"), ("", "as Pt"), ("X", "as Pt")]
)
def test_wrong_symbol_is_refused_with_a_hint(symbol, hint):
    with pytest.raises(InputError, match=hint):
        check_element(symbol)
