"""kill -9 of a worker, of the scheduler and of the driver: what is there in the end is as if nothing had happened."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests.batch.running import finish, start, tree, wait_until

pytest.importorskip("distributed")

N = 10


def dask(*words: str) -> subprocess.Popen:
    """``dask scheduler`` or ``dask worker``, with all that it starts in a group of its own."""
    name, *rest = words
    command = [sys.executable, "-m", f"distributed.cli.dask_{name}", *rest, "--no-dashboard", "--host", "127.0.0.1"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment,
                            start_new_session=True)  # fmt: skip


def kill(process: subprocess.Popen) -> None:
    """Kill a process and all that it started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def start_scheduler(folder):
    """A scheduler as a process of its own, and its address."""
    file = folder / "scheduler.json"
    scheduler = dask("scheduler", "--port", "0", "--scheduler-file", str(file))
    wait_until(file.is_file)
    wait_until(lambda: file.read_text().rstrip().endswith("}"))
    return scheduler, json.loads(file.read_text())["address"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Address of a scheduler, and the process that keeps two workers alive."""
    folder = tmp_path_factory.mktemp("cluster")
    scheduler, address = start_scheduler(folder)
    nannies = dask("worker", address, "--nthreads", "1", "--nworkers", "2", "--local-directory", str(folder))
    yield address, nannies
    kill(nannies)
    kill(scheduler)


def workers_of(nannies: subprocess.Popen) -> list[psutil.Process]:
    """The processes that work: not the one that looks after them, nor Python's own helper."""
    children = psutil.Process(nannies.pid).children(recursive=True)
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def begun(out) -> bool:
    """Whether a folder of results is there, be it half written."""
    return out.is_dir() and any(path.is_dir() for path in out.iterdir())


def reach_moment(out, number: int) -> None:
    """Wait for a moment that differs from test to test: before any result, while one is written, and later."""
    wait_until(lambda: (out / "batch.json").is_file())
    if number % 3:
        wait_until(lambda: begun(out))
    time.sleep(0.17 * number)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(N))
def test_driver(number, pdfs, undisturbed, cluster, tmp_path):
    words = ("--scheduler", cluster[0]) if number % 2 else ("--workers", "1")
    driver = start(pdfs, tmp_path / "out", *words)
    reach_moment(tmp_path / "out", number)
    driver.send_signal(signal.SIGKILL)
    finish(driver)
    assert finish(start(pdfs, tmp_path / "out", "--resume", *words)) == (0, "")
    assert tree(tmp_path / "out") == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("number", range(N))
def test_worker(number, pdfs, undisturbed, cluster, tmp_path):
    address, nannies = cluster
    wait_until(lambda: len(workers_of(nannies)) == 2)
    driver = start(pdfs, tmp_path / "out", "--scheduler", address)
    reach_moment(tmp_path / "out", number)
    workers_of(nannies)[number % 2].send_signal(signal.SIGKILL)
    assert finish(driver) == (0, "")
    assert tree(tmp_path / "out") == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("number", range(N))
def test_scheduler(number, pdfs, undisturbed, tmp_path):
    out = tmp_path / "out"
    scheduler, address = start_scheduler(tmp_path)
    worker = dask("worker", address, "--nthreads", "1", "--no-nanny", "--local-directory", str(tmp_path))
    try:
        driver = start(pdfs, out, "--scheduler", address)
        reach_moment(out, number)
        kill(scheduler)
        code, said = finish(driver)
        assert code in (0, 2)  # 0 where all was done before
        assert code == 0 or ("Dask scheduler" in said and len(said.strip().splitlines()) == 1)
    finally:
        kill(worker)
        kill(scheduler)
    assert finish(start(pdfs, out, "--resume", "--workers", "1")) == (0, "")
    assert tree(out) == undisturbed
