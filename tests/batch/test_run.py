"""A batch around a solver that costs nothing: what is done, done again, refused, kept and said."""

import csv
import errno
import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from cbldm.batch import run
from cbldm.batch.layout import digest, write_rows
from cbldm.batch.run import Pool, batch
from cbldm.batch.work import Outcome, run_job
from cbldm.cli import app
from cbldm.errors import InputError

READING = {"element": None, "qmax": None, "instrument": None}
CHOICES = {"samples": 8, "source": "textbook", "seed": 3, "weights": None}


@pytest.fixture
def folder(tmp_path):
    """Five files; what a solver makes of them is in their names."""
    for name in ("good_1", "good_2", "bad_3", "good_4", "odd_5"):
        (tmp_path / "in" / f"{name}.gr").parent.mkdir(exist_ok=True)
        (tmp_path / "in" / f"{name}.gr").write_text(name)
    return tmp_path / "in"


@pytest.fixture
def solver(monkeypatch):
    """Takes the place of the real one; its list says what was solved."""
    solved = []

    def pretend(job, task):
        solved.append(job.name)
        if job.name.startswith("bad"):
            return Outcome(job.name, error="no PDF")
        content = {"input": {"file": job.path.name, "sha256": digest(job.path)}, "warnings": [], "candidates": []}
        (task.out / job.name).mkdir(exist_ok=True)
        (task.out / job.name / "results.json").write_text(json.dumps(content))
        return Outcome(job.name, {"search": 1.5, "total": 2.0})

    monkeypatch.setattr(run, "run_job", pretend)
    monkeypatch.setattr(run, "write_series", lambda out: write_rows(out / "series.csv", ["file"], []))
    return solved


def go(folder, out, *, resume=False, reading=READING, words=(), **choices):
    return batch([str(folder), *words], out, reading=reading, choices=CHOICES | choices, resume=resume,
                 pool=Pool(workers=1))  # fmt: skip


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def content(out):
    return {p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file() and p.name != "times.csv"}


def test_each_pdf_has_a_folder_or_a_line(folder, solver, tmp_path):
    found = go(folder, tmp_path / "out")
    assert [(name, error) for name, _, error in found] == [
        ("bad_3", "no PDF"), ("good_1", ""), ("good_2", ""), ("good_4", ""), ("odd_5", ""),
    ]  # fmt: skip
    assert rows(tmp_path / "out" / "errors.csv") == [{"file": str(folder / "bad_3.gr"), "reason": "no PDF"}]
    assert rows(tmp_path / "out" / "times.csv")[0] == {"name": "good_1", "search": "1.500", "total": "2.000"}
    record = json.loads((tmp_path / "out" / "batch.json").read_text())
    assert [item["name"] for item in record["inputs"]] == [name for name, _, _ in found]
    assert record["options"]["seed"] == 3
    assert record["versions"]["cbldm"]


def test_resume_does_what_is_left_and_ends_the_same(folder, solver, tmp_path):
    go(folder, tmp_path / "whole")
    out = tmp_path / "out"
    go(folder, out)
    (out / "errors.csv").unlink()
    (out / "good_2" / "results.json").unlink()
    (out / "good_4" / "results.json").write_text('{"input": {"sha')
    (out / ".odd_5-a1b2c3d4").mkdir()
    (out / ".batch.json.17-4.part").write_text("{")
    (out / ".mine-abcdefgh").mkdir()
    with (out / "times.csv").open("a") as file:
        file.write("good_9,0.1")
    solver.clear()
    go(folder, out, resume=True)
    assert solver == ["bad_3", "good_2", "good_4"]
    assert (out / ".mine-abcdefgh").is_dir()
    (out / ".mine-abcdefgh").rmdir()
    assert sorted(p.name for p in out.iterdir()) == sorted(p.name for p in (tmp_path / "whole").iterdir())
    assert content(out) == content(tmp_path / "whole")
    assert [row["name"] for row in rows(out / "times.csv")] == ["good_1", "good_2", "good_4", "odd_5"]


def test_resume_takes_what_joined_and_what_changed(folder, solver, tmp_path):
    go(folder, tmp_path / "out")
    (folder / "good_0.gr").write_text("later")
    (folder / "good_2.gr").write_text("measured again")
    (folder / "good_4.gr").unlink()
    solver.clear()
    found = go(folder, tmp_path / "out", resume=True)
    assert solver == ["bad_3", "good_0", "good_2"]
    assert [name for name, _, _ in found] == ["bad_3", "good_0", "good_1", "good_2", "odd_5"]


def test_a_new_folder_may_be_resumed_and_another_may_not(folder, solver, tmp_path):
    go(folder, tmp_path / "out", resume=True)
    with pytest.raises(InputError, match=r"not empty.*--resume"):
        go(folder, tmp_path / "out")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("years")
    with pytest.raises(InputError, match=r"no batch\.json"):
        go(folder, tmp_path / "thesis", resume=True)
    with pytest.raises(InputError, match="is a file"):
        go(folder, folder / "good_1.gr")
    assert [p.name for p in (tmp_path / "thesis").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"inputs": [], "options": 3}', '{"inputs": [{"name": 3}], "options": {}}', "9" * 9999]
)
def test_a_damaged_record_is_refused(text, folder, solver, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "batch.json").write_text(text)
    with pytest.raises(InputError, match="damaged"):
        go(folder, tmp_path / "out", resume=True)


def test_other_options_are_refused_by_name(folder, solver, tmp_path):
    go(folder, tmp_path / "out")
    with pytest.raises(InputError, match=r"begun with (seed 3, not 4|samples 8, not 16); (seed|samples)"):
        go(folder, tmp_path / "out", resume=True, seed=4, samples=16)
    with pytest.raises(InputError, match=r"qmax None, not 20\.0"):
        go(folder, tmp_path / "out", resume=True, reading=READING | {"qmax": 20.0})
    instrument = tmp_path / "instrument.toml"
    instrument.write_text("qdamp = 0.03")
    with pytest.raises(InputError, match="instrument None, not"):
        go(folder, tmp_path / "out", resume=True, reading=READING | {"instrument": instrument})
    assert len(go(folder, tmp_path / "out", resume=True, n_atoms=None)) == 5


def test_what_hinders_all_ends_the_batch_and_keeps_what_is_done(folder, solver, tmp_path, monkeypatch):
    pretend = run.run_job

    def full(job, task):
        return Outcome(job.name, obstacle="'out' cannot be written: No space left on device") if job.name == "good_4" \
            else pretend(job, task)  # fmt: skip

    monkeypatch.setattr(run, "run_job", full)
    with pytest.raises(InputError, match="No space left on device; 2 of 5 are solved and kept, --resume goes on"):
        go(folder, tmp_path / "out")
    monkeypatch.setattr(run, "run_job", pretend)
    solver.clear()
    go(folder, tmp_path / "out", resume=True)
    assert solver == ["bad_3", "good_4", "odd_5"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_table_that_cannot_be_written_ends_the_batch(number, folder, solver, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(number, "no more")

    monkeypatch.setattr(run.Times, "add", fail)
    with pytest.raises(InputError, match="no more; 1 of 5 are solved and kept"):
        go(folder, tmp_path / "out")
    assert (tmp_path / "out" / "good_1" / "results.json").is_file()


def test_a_place_that_cannot_be_made_is_refused(folder, solver, tmp_path):
    with pytest.raises(InputError, match="cannot be made: Not a directory"):
        go(folder, folder / "good_1.gr" / "out")
    assert solver == []


@pytest.mark.parametrize(
    ("pool", "message"),
    [
        ({"workers": 0}, "at least 1"),
        ({"workers": 2, "scheduler": "tcp://here:1"}, "neither"),
        ({"slurm": "x.toml"}, "needs --workers"),
    ],
)
def test_pools_that_make_no_sense(pool, message):
    with pytest.raises(InputError, match=message):
        Pool(**pool)


def test_without_dask_one_process_works_and_more_are_refused(folder, solver, tmp_path, monkeypatch):
    monkeypatch.setattr(run.cluster, "there", lambda: False)
    assert len(batch([str(folder)], tmp_path / "out", reading=READING, choices=CHOICES)) == 5
    with pytest.raises(InputError, match=r"cbldm\[scale\]"):
        Pool(workers=2)


def test_command_says_what_became_of_each(folder, solver, tmp_path):
    words = ["batch", str(folder), "--out", str(tmp_path / "out"), "--workers", "1", "--source", "textbook"]
    done = CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    told = json.loads(done.stdout)
    assert (told["solved"], told["failed"]) == (4, 1)
    assert told["pdfs"][0] == {"name": "bad_3", "file": str(folder / "bad_3.gr"), "error": "no PDF"}
    assert "4 of 5 solved" in " ".join(done.stderr.split())
    assert "bad_3: no PDF" in " ".join(done.stderr.split())


def test_command_where_nothing_was_solved_exits_2(folder, solver, tmp_path):
    out = str(tmp_path / "out")
    words = ["batch", str(folder / "bad_3.gr"), "--out", out, "--workers", "1", "--source", "textbook", "--quiet"]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert (done.exit_code, done.stdout, done.stderr) == (2, "", "")


def test_command_stopped_by_hand_says_how_to_go_on(folder, solver, tmp_path, monkeypatch):
    def interrupt(job, task):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "run_job", interrupt)
    words = ["batch", str(folder), "--out", str(tmp_path / "out"), "--workers", "1", "--source", "textbook"]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 130
    assert "--resume" in done.stderr


def test_a_worker_of_another_version_or_without_the_folder_stops_all(tmp_path):
    from cbldm.batch.work import Job, Task

    task = Task(tmp_path / "out", {}, {}, report=False)
    assert "must share" in run_job(Job("x", tmp_path / "x.gr"), task).obstacle
    assert "the batch needs 9.9" in run_job(Job("x", tmp_path / "x.gr"), replace(task, version="9.9")).obstacle
