"""Another process draws the same pictures, and nothing depends on it: neither the results nor its own end."""

import subprocess
import sys
import time

import psutil
import pytest
from ase.cluster import Icosahedron, Octahedron

from cbldm.report.figures import draw_pictures
from cbldm.report.painter import Painter, painting
from cbldm.results import write_solution
from cbldm.types import Solution
from tests.report.test_figures import make_solution

PICTURES = ("fit.png", "structures.png")


@pytest.fixture(scope="module")
def solution() -> Solution:
    return make_solution([Icosahedron("Pt", 2), Octahedron("Pt", 3)])


@pytest.fixture(scope="module")
def drawn_here(solution: Solution, tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("here")
    draw_pictures(solution, folder)
    return [(folder / name).read_bytes() for name in PICTURES]


@pytest.fixture
def painter():
    made = Painter()
    yield made
    made.close()


@pytest.fixture
def two_cores(monkeypatch):
    monkeypatch.setattr("cbldm.report.painter.n_cores", lambda: 2)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def test_a_painter_draws_the_same_bytes(painter, solution, drawn_here, tmp_path):
    assert painter.draw(solution, tmp_path)
    assert [(tmp_path / name).read_bytes() for name in PICTURES] == drawn_here
    assert len(list(tmp_path.iterdir())) == len(PICTURES)


@pytest.mark.usefixtures("two_cores")
def test_a_painter_imports_nothing_from_where_the_user_is(solution, drawn_here, tmp_path, monkeypatch):
    (tmp_path / "matplotlib.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    with painting() as made:
        assert made is not None
        assert made.draw(solution, tmp_path)
    assert [(tmp_path / name).read_bytes() for name in PICTURES] == drawn_here


def test_what_a_painter_could_not_draw_is_drawn_here(painter, solution, drawn_here, tmp_path, monkeypatch):
    painter._process.kill()
    monkeypatch.setattr("cbldm.results._write_data", lambda *_: None)
    out = write_solution(solution, tmp_path / "out", report=False, painter=painter)
    assert [(out / name).read_bytes() for name in PICTURES] == drawn_here


def test_a_folder_that_is_gone_is_not_said_to_be_drawn(painter, solution, tmp_path):
    assert not painter.draw(solution, tmp_path / "gone")


@pytest.mark.usefixtures("two_cores")
def test_there_is_none_where_one_core_is_asked_for(monkeypatch):
    with painting() as painter:
        assert painter is not None
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with painting() as painter:
        assert painter is None
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr("cbldm.report.painter.n_cores", lambda: 1)
    with painting() as painter:
        assert painter is None


@pytest.mark.usefixtures("two_cores")
def test_there_is_none_where_no_process_can_be_begun(monkeypatch):
    def refused():
        raise BlockingIOError("no more processes")

    monkeypatch.setattr("cbldm.report.painter.Painter", refused)
    with painting() as painter:
        assert painter is None


@pytest.mark.usefixtures("two_cores")
@pytest.mark.parametrize("how", ["return", "error"])
def test_it_ends_with_the_block(how):
    before = set(psutil.Process().children())
    try:
        with painting():
            (begun,) = set(psutil.Process().children()) - before
            if how == "error":
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert not runs(begun.pid)


def test_it_ends_where_the_command_is_killed():
    script = (
        "import os; from cbldm.report.painter import Painter\n"
        "painter = Painter(); print(painter._process.pid, flush=True); os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while runs(int(done.stdout)) and time.monotonic() < until:
        time.sleep(0.05)
    assert done.returncode == -9
    assert not runs(int(done.stdout))


def runs(pid: int) -> bool:
    """Whether a process is more than an entry that nobody has cleared away."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_solving_and_the_report_need_no_matplotlib():
    script = "import sys, cbldm.pipeline, cbldm.results, cbldm.report.html; sys.exit('matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)
