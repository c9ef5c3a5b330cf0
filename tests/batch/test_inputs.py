"""Folders, patterns, lists and series files become PDFs in a fixed order, with names that no other has."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbldm.batch.inputs import LONGEST, Input, find_inputs, name_inputs
from cbldm.batch.layout import FILES
from cbldm.data.pdf_files import read_pdf
from cbldm.data.series_files import HEAD
from cbldm.errors import InputError

R = np.arange(0, 20, 0.05)
CURVES = [np.sin(k * R) * np.exp(-R / 9) for k in (4, 5, 6, 7)]
ONE = "\n".join(f"{r:.2f} {g:.6f}" for r, g in zip(R, CURVES[0], strict=True))


def series(labels="", n=4, mark=" "):
    rows = [mark.join(f"{value:.6f}" for value in row) for row in zip(R, *CURVES[:n], strict=True)]
    return "\n".join([labels, *rows] if labels else rows) + "\n"


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(path, text=ONE):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def files(*words):
    return [item.shown for item in find_inputs(words)]


def test_a_folder_gives_its_gr_files_with_numbers_counted(tmp_path):
    for name in ("s_10.gr", "s_9.gr", "s_9.GR.txt", ".s_1.gr", "a.GR", "note.txt"):
        write(tmp_path / "run" / name)
    assert files("run") == ["run/a.GR", "run/s_9.gr", "run/s_10.gr"]


def test_patterns_and_files_come_in_their_order_and_once(tmp_path):
    for name in ("x/2.txt", "x/10.txt", "x/y/3.txt", "b.gr"):
        write(tmp_path / name)
    assert files("b.gr", "x/*.txt", "./x/2.txt", str(tmp_path / "b.gr")) == ["b.gr", "x/2.txt", "x/10.txt"]
    assert files("x/**/*.txt") == ["x/2.txt", "x/10.txt", "x/y/3.txt"]
    assert files(str(tmp_path / "x" / "*.txt"))[0] == str(tmp_path / "x" / "2.txt")


def test_a_name_with_brackets_is_a_file_before_it_is_a_pattern(tmp_path):
    write(tmp_path / "a[1].gr")
    write(tmp_path / "a1.gr")
    assert files("a[1].gr") == ["a[1].gr"]


def test_a_list_is_relative_to_itself_and_keeps_what_leads_nowhere(tmp_path):
    for name in ("d/a.gr", "d/e/b.gr", "d/e/c.gr"):
        write(tmp_path / name)
    write(tmp_path / "d" / "list.txt", f"# mine\n e/c.gr \n\ngone.gr\ne\n{tmp_path / 'd' / 'a.gr'}\n")
    assert files("d/list.txt") == ["d/e/c.gr", "d/gone.gr", "d/e/b.gr", str(tmp_path / "d" / "a.gr")]


def test_a_list_in_a_list_is_no_list(tmp_path):
    write(tmp_path / "a.gr")
    write(tmp_path / "inner.txt", "a.gr\n")
    write(tmp_path / "outer.txt", "inner.txt\nouter.txt\n")
    assert files("outer.txt") == ["inner.txt", "outer.txt"]


@pytest.mark.parametrize("word", ["gone.gr", "gone/*.gr", "empty"])
def test_a_word_for_nothing_is_refused(word, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"gone|empty"):
        find_inputs([word])


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        (ONE, []),
        (series(), [1, 2, 3, 4]),
        (series(n=3), []),
        (series("r G dr dG", n=3), []),
        (series("r G1 G2 dG", n=3), [1, 2]),
        (series("r,300K,350K", n=2, mark=","), [1, 2]),
        (series("r;300K;350K;400K", n=3, mark=";"), [1, 2, 3]),
        (series("r Gcalc Gobs Gdiff a b", n=4), [1, 2, 3, 4]),  # as many labels as columns, or they are none
        (series("r Gcalc Gobs Gdiff a", n=4), []),
        ("# series\nqmax = 20\n" + series(), [1, 2, 3, 4]),
        ("no table", []),
        ("", []),
    ],
)
def test_a_series_is_recognised(text, columns, tmp_path):
    write(tmp_path / "s.csv", text)
    assert [item.column for item in find_inputs(["s.csv"])] == (columns or [None])


def test_a_long_series_is_recognised_by_its_beginning(tmp_path):
    text = series(" ".join(["r", *(f"t{i}" for i in range(4))]))
    write(tmp_path / "s.csv", text + "".join(f"{20 + 0.05 * i:.6f} 1 2 3 4\n" for i in range(5000)))
    assert (tmp_path / "s.csv").stat().st_size > HEAD
    assert [(item.column, item.label) for item in find_inputs(["s.csv"])] == [(i, f"t{i - 1}") for i in range(1, 5)]


def test_each_column_is_read_as_the_file_of_its_own_would_be(tmp_path):
    write(tmp_path / "s.csv", "composition = Pt\nqmax = 20\n" + series())
    digests = set()
    for number, curve in enumerate(CURVES, start=1):
        pdf = read_pdf(tmp_path / "s.csv", column=number)
        np.testing.assert_allclose(pdf.g, curve, atol=1e-6)
        np.testing.assert_allclose(pdf.r, R, atol=1e-6)
        assert (pdf.element, pdf.instrument.qmax, pdf.file) == ("Pt", 20.0, f"s.csv, column {number}")
        digests.add(pdf.sha256)
    assert len(digests) == 4
    # A column that joins later changes none of those that were there.
    write(tmp_path / "s.csv", "composition = Pt\nqmax = 20\n" + series(n=3).replace("\n", " 0.1\n"))
    assert read_pdf(tmp_path / "s.csv", column=1).sha256 in digests
    with pytest.raises(InputError, match="column must be 1 to 4"):
        read_pdf(tmp_path / "s.csv", column=5)


def test_names_are_stems_numbered_where_they_collide():
    inputs = [
        Input("a/x.gr"),
        Input("b/x.gr"),
        Input("b/X.txt"),
        Input("x-2.gr"),
        Input("s.csv", 3),
        Input("t.csv", 12),
    ]
    assert name_inputs(inputs, {}) == ["x", "x-2", "X-3", "x-2-2", "s-0003", "t-0012"]


def test_names_stay_when_inputs_join():
    first = [Input("b/x.gr"), Input("c/x.gr")]
    names = name_inputs(first, {})
    earlier = {(item.file, item.column): name for item, name in zip(first, names, strict=True)}
    assert name_inputs([Input("a/x.gr"), *first], earlier) == ["x-3", "x", "x-2"]


@given(st.lists(st.text(min_size=1, max_size=300), min_size=1, max_size=6))
def test_no_name_leads_out_of_the_folder(texts):
    names = name_inputs([Input(text) for text in texts], {})
    folded = {name.casefold() for name in names}
    assert len(folded) == len(names)
    assert not folded & set(FILES)
    for name in names:
        assert os.path.normpath(name) == name
        assert not set(name) & set('/\\\0:"<>|?*')
        assert not name.startswith(".")
        assert 0 < len(name.encode()) <= LONGEST + 10
