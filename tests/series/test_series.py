"""A table of a series: complete, in order, the same bytes each time, and harmless in a spreadsheet."""

import csv
import json

import pytest
from typer.testing import CliRunner

from cbldm.cli import app
from cbldm.errors import InputError
from cbldm.series import write_series
from cbldm.series.table import COLUMNS, read_rows, with_metadata

ICO, DECA = {"icosahedron": 0.9, "fcc": 0.1}, {"decahedron": 1.0}


@pytest.fixture
def out(tmp_path, write_result):
    """Three PDFs that were solved, one that was not, one that there was no time for; names that do harm if they can."""
    folder = tmp_path / "out"
    names = {"b": "run/b.gr", "=1+1": "run/=1+1.gr", "a": "run/a.gr", "bad": "run/bad.gr", "late": "run/late.gr"}
    write_result(folder / "b", "b.gr", 55, ICO, temperature=300.0)
    write_result(folder / "=1+1", "=1+1.gr", 60, DECA, temperature=320.0, rw=7.0)
    write_result(folder / "a", "a.gr", 70, DECA, temperature=310.0)
    inputs = [{"name": name, "file": file, "column": None, "label": ""} for name, file in names.items()]
    (folder / "batch.json").write_text(json.dumps({"inputs": inputs}), encoding="utf-8")
    (folder / "errors.csv").write_text('file,reason\nrun/bad.gr,"r does not increase, at all"\n', encoding="utf-8")
    return folder


def table(folder):
    with (folder / "series.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_row_for_each_input_in_the_order_of_the_batch(out):
    assert write_series(out) == []
    rows = table(out)
    assert [row["file"] for row in rows] == ["run/b.gr", "run/=1+1.gr", "run/a.gr", "run/bad.gr", "run/late.gr"]
    assert [row["n_atoms"] for row in rows] == ["55", "60", "70", "", ""]
    assert list(rows[0]) == ["file", "name", "temperature", "header_rw", *COLUMNS[2:]]
    expected = {"n_atoms_low": "52", "n_atoms_high": "59", "motif": "icosahedron", "motif_icosahedron": "0.9",
                "motif_fcc": "0.1", "motif_hcp": "0.0", "rw": "0.1", "scale": "0.8", "uiso_A2": "0.006",
                "stretch": "1.01", "equivalents": "2", "warnings": "a note", "error": "", "temperature": "300.0",
                "header_rw": ""}  # fmt: skip
    assert expected.items() <= rows[0].items()
    assert [row["error"] for row in rows[3:]] == ["r does not increase, at all", "there are no results yet"]


def test_nothing_in_the_table_is_a_formula(out, tmp_path, write_result):
    for number, name in enumerate(("=cmd()", "@x", "-2", "+1")):
        write_result(tmp_path / "plain" / name, f"{name}.gr", 50 + number, DECA)
    write_series(tmp_path / "plain")
    assert all(row[name].startswith("'") for row in table(tmp_path / "plain") for name in ("file", "name"))
    write_series(out)
    assert table(out)[1]["name"] == "'=1+1"


def test_parquet_holds_the_same_with_its_types(out):
    parquet = pytest.importorskip("pyarrow.parquet")
    write_series(out)
    read = parquet.read_table(out / "series.parquet")
    kinds = {name: str(read.schema.field(name).type) for name in read.column_names}
    assert (kinds["n_atoms"], kinds["rw"], kinds["file"], kinds["temperature"]) == (
        "int64",
        "double",
        "string",
        "double",
    )
    assert read.column("name").to_pylist()[1] == "=1+1"
    for row, cells in zip(read.to_pylist(), table(out), strict=True):
        assert {name: "" if value is None else str(value) for name, value in row.items()} == {
            name: cell.removeprefix("'") for name, cell in cells.items()
        }


def test_the_same_results_give_the_same_bytes_and_leave_nothing_else(out):
    names = ("series.csv", "series.parquet", "trend.html")
    before = {path.name for path in out.iterdir()}
    write_series(out)
    first = {name: (out / name).read_bytes() for name in names}
    write_series(out)
    assert {name: (out / name).read_bytes() for name in names} == first
    assert {path.name for path in out.iterdir()} == before | set(names)


def test_folders_alone_are_a_series_in_the_order_of_their_numbers(tmp_path, write_result):
    for number in (10, 9, 1):
        write_result(tmp_path / f"scan_{number}", f"scan_{number}.gr", 50 + number, ICO)
    (tmp_path / "other").mkdir()
    assert [row.name for row in read_rows(tmp_path)] == ["scan_1", "scan_9", "scan_10"]


def test_columns_of_a_series_file_are_told_apart(tmp_path, write_result):
    write_result(tmp_path / "s-0001", "s.csv, column 1", 55, ICO)
    inputs = [{"name": "s-0001", "file": "s.csv", "column": 1, "label": "320"}]
    (tmp_path / "batch.json").write_text(json.dumps({"inputs": inputs}), encoding="utf-8")
    row = read_rows(tmp_path)[0]
    assert (row.file, row.metadata) == ("s.csv, column 1", {"label": 320.0})


@pytest.mark.parametrize(
    "text",
    ["file,time,phase\na.gr,2.5,hot\nrun/b.gr,1,cold\nx.gr,9,\n", "time;file;phase\n2,5;a.gr;hot\n1;b;cold\n9;x.gr;\n"],
)
def test_a_users_table_is_joined_by_file(out, tmp_path, text):
    path = tmp_path / "more.csv"
    path.write_text(text, encoding="utf-8-sig")
    assert write_series(out, metadata=path, against="time") == ["x.gr"]
    rows = {row["name"]: row for row in table(out)}
    assert [(rows[name]["time"], rows[name]["phase"]) for name in ("a", "b", "late")] == [
        ("2.5", "hot"), ("1.0", "cold"), ("", ""),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("file\na.gr\n", "two columns"),
        ("file,t,t\n", "two columns"),
        ("file,t\na.gr\n", "line 2 has 1 cells"),
        ("file,t\na.gr,1\na.gr,2\n", "line 3: 'a.gr' was there before"),
        ("", "no CSV file"),
    ],
)
def test_a_users_table_that_is_none_is_refused(out, tmp_path, text, reason):
    path = tmp_path / "more.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=reason):
        with_metadata(read_rows(out), path)


def test_only_columns_of_numbers_that_differ_can_be_chosen(out):
    write_series(out, against="temperature")
    with pytest.raises(InputError, match="there is: temperature"):
        write_series(out, against="header_rw")


@pytest.mark.parametrize(
    "inputs",
    [
        '[{"name": "../b", "file": "b.gr"}]',
        '[{"name": ".", "file": "b.gr"}]',
        "[{}]",
        "3",
        "[[",
        '[{"name": 1, "file": 2}]',
    ],
)
def test_a_damaged_record_is_refused(out, inputs):
    (out / "batch.json").write_text(f'{{"inputs": {inputs}}}', encoding="utf-8")
    with pytest.raises(InputError, match=r"batch\.json"):
        read_rows(out)


@pytest.mark.parametrize(
    ("key", "value"),
    [("candidates", [{}]), ("candidates", 3), ("ambiguity", None), ("warnings", None), ("input", {"metadata": [1]})],
)
def test_damaged_results_are_refused(out, key, value):
    path = out / "a" / "results.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(content | {key: value}), encoding="utf-8")
    with pytest.raises(InputError, match=r"a/results\.json"):
        read_rows(out)


def test_a_solution_without_candidates_is_a_row_with_its_reason(out):
    path = out / "a" / "results.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(content | {"candidates": [], "ambiguity": None}), encoding="utf-8")
    write_series(out)
    assert table(out)[2]["error"] == "no structure was found"


def test_folders_that_hold_no_results_are_refused(tmp_path):
    for folder, reason in ((tmp_path, "neither batch"), (tmp_path / "none", "no folder")):
        with pytest.raises(InputError, match=reason):
            write_series(folder)


def test_the_command_says_what_it_wrote_and_whom_it_does_not_know(out, tmp_path):
    more = tmp_path / "more.csv"
    more.write_text("file,time\na.gr,2\nb.gr,3\nx.gr,4\n", encoding="utf-8")
    words = ["series", str(out), "--against", "time", "--metadata", str(more)]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0
    assert "no results of 'x.gr', named in" in result.stderr
    assert "series.csv" in result.stderr
    assert result.stdout == ""
    with pytest.raises(InputError, match="no column 'nothing'"):
        CliRunner().invoke(app, ["series", str(out), "--against", "nothing"], catch_exceptions=False)
