"""Computations in processes of their own: in order, within limits, and ended for good when asked."""

import os
from pathlib import Path

import pytest

from cbldm.errors import InputError
from cbldm.web.jobs import CRASHED, STAGES


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")")[1][:3] if Path("/proc").is_dir() else True


def task(tmp_path, act, number=0):
    return {"act": act, "file": "x.gr", "name": f"{number}.gr", "out": str(tmp_path / str(number))}


def test_an_answer(make_jobs, until, tmp_path):
    jobs = make_jobs()
    job = jobs.submit(task(tmp_path, "answer"))
    until(lambda: job.state == "done")
    assert job.answer == "answer on 0.gr"
    assert job.done == 1.0
    assert (tmp_path / "0" / "report.html").is_file()
    until(lambda: job.pid is None)


def test_cancel_ends_the_process_and_the_next_job_has_another(make_jobs, until, tmp_path):
    jobs = make_jobs()
    first = jobs.submit(task(tmp_path, "hang"))
    until(lambda: first.stage == "search")
    pid = first.pid
    assert is_running(pid)
    assert STAGES["search"][1] < first.done < STAGES["recover"][1]
    second = jobs.submit(task(tmp_path, "answer", 1))
    assert second.state == "waiting"
    first.cancel()
    assert not is_running(pid)
    assert first.state == "cancelled"
    until(lambda: second.state == "done")
    assert first.state == "cancelled"


def test_a_waiting_job_can_be_cancelled(make_jobs, until, tmp_path):
    jobs = make_jobs()
    first, second, third = (jobs.submit(task(tmp_path, act, i)) for i, act in enumerate(("hang", "answer", "answer")))
    until(lambda: first.state == "running")
    assert [jobs.before(job) for job in (second, third)] == [0, 1]
    second.cancel()
    assert jobs.before(third) == 0
    first.cancel()
    until(lambda: third.state == "done")
    assert second.state == "cancelled"
    assert not (tmp_path / "1").exists()


def test_a_full_queue_says_so(make_jobs, until, tmp_path):
    jobs = make_jobs(running=1, waiting=1)
    first = jobs.submit(task(tmp_path, "hang"))
    until(lambda: first.state == "running")
    second = jobs.submit(task(tmp_path, "hang", 1))
    with pytest.raises(InputError, match="1 computations are waiting already"):
        jobs.submit(task(tmp_path, "hang", 2))
    second.cancel()
    third = jobs.submit(task(tmp_path, "answer", 3))
    first.cancel()
    until(lambda: third.state == "done")


def test_a_crash_and_an_error_are_said_and_do_not_spread(make_jobs, until, tmp_path):
    jobs = make_jobs(waiting=5)
    crashed, wrong, right = (jobs.submit(task(tmp_path, act, i)) for i, act in enumerate(("crash", "error", "answer")))
    until(lambda: right.state == "done")
    assert (crashed.state, crashed.error) == ("failed", CRASHED)
    assert wrong.state == "failed"
    assert "cannot be solved" in wrong.error


def test_the_time_limit_ends_a_job(make_jobs, until, tmp_path):
    jobs = make_jobs(seconds=1.0)
    job = jobs.submit(task(tmp_path, "hang"))
    until(lambda: job.state == "failed")
    assert "stopped after 1 s" in job.error
    until(lambda: job.pid is None)


def test_closing_leaves_no_process(make_jobs, until, tmp_path):
    jobs = make_jobs(running=2)
    job = jobs.submit(task(tmp_path, "hang"))
    until(lambda: job.state == "running")
    until(lambda: len(jobs._ready) == 2)
    pids = [process.pid for process in jobs._ready]
    jobs.close()
    assert not any(map(is_running, pids))
    assert job.state == "cancelled"
