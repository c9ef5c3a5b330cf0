"""Each open page has its own files and results, and nothing stays when it is gone."""

import base64
import io
import time
import zipfile

import pytest

from cbldm.errors import InputError
from cbldm.web import visitors as module
from cbldm.web.limits import Limits
from cbldm.web.visitors import Visitors


@pytest.fixture
def example(root):
    return base64.b64encode((root / "src/cbldm/examples/pt_example.gr").read_bytes()).decode()


@pytest.fixture
def visitors(make_jobs):
    made = Visitors(Limits(max_files=3), make_jobs(running=2))
    yield made
    made.close()


def test_results_are_fetched_by_their_token_alone(visitors, example, until):
    first, second = visitors.get("a"), visitors.get("b")
    for visitor, name in ((first, "Pt one.gr"), (second, "two.gr")):
        visitor.add([{"name": name, "data": example}])
        visitor.solve(visitor.chosen, {"samples": 8})
    until(lambda: first.result.job.state == second.result.job.state == "done")
    tokens = [visitor.result.token for visitor in (first, second)]
    assert min(map(len, tokens)) >= 40
    assert [visitors.result(token).report() for token in tokens] == [b"report on Pt one.gr", b"report on two.gr"]
    for guess in ("", "a", tokens[0][:-1], tokens[0] + "x", "../" + tokens[0], "ünknown"):
        assert visitors.result(guess) is None
    with zipfile.ZipFile(io.BytesIO(first.result.archive())) as archive:
        assert archive.namelist() == ["Pt_one_cbldm/report.html", "Pt_one_cbldm/results.json"]
    assert first.result.archive() == first.result.archive()


def test_a_new_computation_replaces_the_old_result(visitors, example, until):
    visitor = visitors.get("a")
    visitor.add([{"name": "x.gr", "data": example}])
    visitor.solve(visitor.chosen, {})
    with pytest.raises(InputError, match="being solved already"):
        visitor.solve(visitor.chosen, {})
    until(lambda: visitor.result.job.state == "done")
    old = visitor.result
    visitor.solve(visitor.chosen, {})
    assert not old.folder.exists()
    assert visitors.result(old.token) is None


def test_a_file_that_cannot_be_solved_starts_nothing(visitors):
    visitor = visitors.get("a")
    visitor.add([{"name": "x.gr", "data": base64.b64encode(b"junk").decode()}])
    with pytest.raises(InputError, match=r"x\.gr"):
        visitor.solve(visitor.chosen, {})
    with pytest.raises(InputError, match="samples must be"):
        visitor.solve(visitor.chosen, {"samples": 0})
    assert visitor.results == {}


def test_removing_a_file_removes_all_of_it(visitors, example, until):
    visitor = visitors.get("a")
    visitor.add([{"name": "1.gr", "data": example}, {"name": "2.gr", "data": example}])
    first = visitor.upload
    visitor.solve(first.key, {})
    until(lambda: visitor.result.job.state == "done")
    folder = visitor.result.folder
    visitor.remove()
    assert visitor.upload.name == "2.gr"
    assert not folder.exists()
    assert not first.path.exists()


def test_who_left_is_stopped_and_forgotten_and_who_comes_back_is_not(visitors, example, until, monkeypatch):
    gone, back = visitors.get("gone"), visitors.get("back")
    for visitor in (gone, back):
        visitor.add([{"name": "x.gr", "data": example}])
        visitor.solve(visitor.chosen, {"samples": 4000})
        until(lambda visitor=visitor: visitor.result.job.state == "running")
    visitors.leave("gone")
    visitors.leave("back")
    visitors.tidy()
    assert gone.is_busy
    monkeypatch.setattr(module, "STOP_AFTER", 0.0)
    assert visitors.get("back") is back
    time.sleep(0.01)
    visitors.tidy()
    assert not gone.is_busy
    assert back.is_busy
    folder = gone.upload.path.parent
    monkeypatch.setattr(module, "FORGET_AFTER", 0.0)
    visitors.tidy()
    assert not folder.exists()
    assert len(visitors) == 1
    assert visitors.get("gone") is not gone


def test_the_most_silent_goes_when_there_are_too_many(visitors, monkeypatch):
    monkeypatch.setattr(module, "MOST_VISITORS", 2)
    first, second = visitors.get("1"), visitors.get("2")
    visitors.get("1")
    visitors.get("3")
    assert len(visitors) == 2
    assert visitors.get("1") is first
    assert visitors.get("2") is not second


def test_the_folder_is_private_and_goes_at_the_end(make_jobs, example):
    visitors = Visitors(Limits(), make_jobs())
    visitor = visitors.get("a")
    visitor.add([{"name": "x.gr", "data": example}])
    folder = visitor.upload.path.parent
    assert folder.parent.stat().st_mode & 0o077 == 0
    visitors.close()
    assert not folder.parent.exists()
