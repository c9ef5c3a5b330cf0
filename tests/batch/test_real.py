"""A batch with the real solver: what single commands write, whatever the order and the column, on a full disk too."""

import json
import resource
import subprocess

import numpy as np
import pytest
from typer.testing import CliRunner

from cbldm.batch.run import Pool, batch
from cbldm.batch.work import Job, Task, run_job
from cbldm.cli import app
from cbldm.data.pdf_files import read_pdf
from cbldm.options import Options
from tests.batch.running import COMMAND, OPTIONS, tree

CHOICES = {"samples": 1, "candidates": 1, "n_atoms": (13, 19)}


def test_each_folder_is_what_solve_writes_less_the_times(pdfs, tmp_path):
    found = batch([str(pdfs / "scan_9.gr")], tmp_path / "out", reading={}, choices=CHOICES, pool=Pool(workers=1))
    assert [(name, error) for name, _, error in found] == [("scan_9", "")]
    words = ["solve", str(pdfs / "scan_9.gr"), "--out", str(tmp_path / "single"), *OPTIONS, "--report"]
    assert CliRunner().invoke(app, words, catch_exceptions=False).exit_code == 0
    ours, theirs = tree(tmp_path / "out" / "scan_9"), tree(tmp_path / "single")
    results, single = (json.loads(files.pop("results.json")) for files in (ours, theirs))
    assert results.pop("seconds") == {}
    assert single.pop("seconds")["total"] > 0
    assert results == single
    # The report carries results.json and shows the times.
    assert ours.pop("report.html") != theirs.pop("report.html")
    assert ours == theirs


@pytest.mark.slow
def test_the_columns_of_a_series_file_are_solved_as_files_are(pdfs, undisturbed, tmp_path):
    curves = [read_pdf(pdfs / f"scan_{number}.gr") for number in (8, 9)]
    table = np.column_stack([curves[0].r, *(pdf.g for pdf in curves)])
    text = "composition = Pt\nqmin = 0.8\nqmax = 22\nqdamp = 0.03\nr 300 350\n"
    text += "\n".join(" ".join(map(repr, row)) for row in table.tolist()) + "\n"
    (tmp_path / "heating.txt").write_text(text)
    task_out = tmp_path / "out"
    batch([str(tmp_path / "heating.txt")], task_out, reading={}, choices=CHOICES, pool=Pool(workers=1), report=False)
    for column, number in ((1, 8), (2, 9)):
        found = json.loads((task_out / f"heating-{column:04d}" / "results.json").read_text())
        other = json.loads(undisturbed[f"scan_{number}/results.json"])
        assert found["candidates"] == other["candidates"]
        assert found["input"]["file"] == f"heating.txt, column {column}"


@pytest.mark.slow
def test_a_full_disk_ends_in_one_line_and_resume_goes_on(pdfs, undisturbed, tmp_path):
    # No file may be longer than the pictures are, as no file could be on a disk without room for them.
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))

    words = [*COMMAND, str(pdfs), "--out", str(tmp_path / "out"), *OPTIONS, "--workers", "1"]
    done = subprocess.run(words, preexec_fn=limit, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "0 of 4 are solved and kept, --resume goes on" in done.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["batch.json"]
    assert subprocess.run([*words, "--resume"], check=False).returncode == 0
    assert tree(tmp_path / "out") == undisturbed


def test_whatever_a_pdf_does_is_a_line(tmp_path, monkeypatch):
    (tmp_path / "batch.json").touch()
    (tmp_path / "x.gr").write_text("nothing")
    task = Task(tmp_path, {}, {}, report=False)
    assert run_job(Job("x", tmp_path / "x.gr"), task).error.startswith("'x.gr' holds no rows of numbers")
    monkeypatch.setattr("cbldm.batch.work.read_pdf", lambda *_, **__: 1 / 0)
    assert run_job(Job("x", tmp_path / "x.gr"), task).error == "unexpected ZeroDivisionError: division by zero"


def test_every_option_of_solve_is_an_option_of_batch():
    import typer

    solve, many = (typer.main.get_command(app).commands[name] for name in ("solve", "batch"))
    names = [{option.name for option in command.params} for command in (solve, many)]
    assert names[0] - names[1] == {"file"}
    assert (
        {"samples", "candidates", "n_atoms", "source", "seed", "device", "fit_qdamp", "fit_surface_uiso", "weights"}
        == set(Options.__dataclass_fields__)
        <= names[1]
    )
