"""Eight users at once for ten minutes: nothing breaks, nobody sees what is another's, and memory stays flat."""

import io
import json
import os
import random
import re
import secrets
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import httpx
import pytest
from ase import Atoms
from ase.cluster import Icosahedron, Octahedron

from cbldm.data.structure_files import write_gr
from cbldm.simulate import simulate_structure

MINUTES = float(os.environ.get("CBLDM_LOAD_MINUTES", "10"))
#: Each user has another element or size, so that a result shows whose it is.
USERS = [("Pt", 38), ("Au", 55), ("Pd", 38), ("Ag", 55), ("Cu", 38), ("Ni", 55), ("Ir", 38), ("Rh", 55)]
#: MB by which the server may grow after its second minute.
FLAT = 40


def file_of(folder: Path, element: str, n_atoms: int) -> bytes:
    shape: Atoms = Octahedron(element, 4, 1) if n_atoms == 38 else Icosahedron(element, 3)
    instrument = {"qmin": 0.8, "qmax": 20.0, "qdamp": 0.03, "qbroad": 0.0}
    r, g, metadata = simulate_structure(
        shape, **instrument, uiso=0.006, delta2=0.0, rmax=20.0, rstep=0.02, noise_floor=0.02, seed=0
    )
    path = folder / f"{element}.gr"
    write_gr(path, r, g, metadata)
    return path.read_bytes()


def megabytes(pid: int) -> float:
    """Resident memory of a process, 0 where it has just ended."""
    try:
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


def children(pid: int) -> list[int]:
    lists = (path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children"))
    return [int(child) for found in lists for child in found]


class User(threading.Thread):
    """Uploads, solves, sometimes gives up or sends rubbish, and reads what comes back closely."""

    def __init__(self, number, address, browse, content, over):
        super().__init__(daemon=True)
        self.number, self.address, self.browse, self.content, self.over = number, address, browse, content, over
        self.marker = f"user{number}-{secrets.token_hex(4)}"
        self.counts = {"solved": 0, "cancelled": 0, "rubbish": 0, "answers": 0}
        self.faults: list[str] = []
        self.random = random.Random(number)

    def run(self):
        while not self.over.is_set() and not self.faults:
            try:
                with httpx.Client(base_url=self.address, timeout=120) as client:
                    session = secrets.token_hex(8)
                    # A browser holds this as long as a page is open.
                    with client.stream("GET", f"/gradio_api/heartbeat/{session}"):
                        self.visit(client, self.browse(client, session))
            except (httpx.HTTPError, AssertionError, ValueError, KeyError) as error:
                self.faults.append(repr(error))

    def check(self, text):
        self.counts["answers"] += 1
        others = set(re.findall(r"user\d+-[0-9a-f]{8}", text)) - {self.marker}
        assert not others, f"user {self.number} sees {others}"
        assert "Traceback" not in text

    def visit(self, client, page):
        if self.random.random() < 0.2:
            self.check(page.drop((f"{self.marker}.gr", secrets.token_bytes(2000))))
            assert "role=" in page.text("notes")
            self.counts["rubbish"] += 1
        self.check(page.drop((f"{self.marker}.gr", self.content)))
        assert page.text("element") == USERS[self.number][0]
        for component in page.config["components"]:
            if component["props"].get("label") in ("Samples", "Candidates"):
                page.values[component["id"]] = {"Samples": 8, "Candidates": 2}[component["props"]["label"]]
        self.check(page.do("solve", "click"))
        gives_up = self.random.random() < 0.3
        patience = time.monotonic() + self.random.uniform(1, 30)
        while page.text("result") is None:
            time.sleep(0.8)
            self.check(page.poll())
            if self.over.is_set() or (gives_up and time.monotonic() > patience):
                self.check(page.do("cancel", "click"))
                if page.text("result") is None:
                    self.counts["cancelled"] += 1
                    return
            assert 'role="alert"' not in (page.text("progress") or ""), page.text("progress")
        self.fetch(client, page.text("result"))

    def fetch(self, client, result):
        report = client.get(f"/{result['report']}").text
        self.check(report)
        assert self.marker in report
        with zipfile.ZipFile(io.BytesIO(client.get(f"/{result['archive']}").content)) as archive:
            found = json.loads(archive.read(f"{self.marker}_cbldm/results.json"))
        assert found["input"]["file"] == f"{self.marker}.gr"
        assert found["input"]["element"]["value"] == USERS[self.number][0]
        assert found["candidates"]
        self.counts["solved"] += 1


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="memory is read from /proc, which is not here")
def test_ten_minutes_of_eight_users(browse, tmp_path):
    files = [file_of(tmp_path, element, n_atoms) for element, n_atoms in USERS]
    call = [sys.executable, "-c", "from cbldm.cli import main; main()", "app", "--port", "0", "--jobs", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(call, stderr=subprocess.PIPE, text=True, env=environment) as server:
        address = next(found[0] for line in server.stderr if (found := re.search(r"http://[\d.:]+", line)))
        threading.Thread(target=lambda: [print("server:", line, end="") for line in server.stderr], daemon=True).start()
        over = threading.Event()
        users = [User(i, address, browse, content, over) for i, content in enumerate(files)]
        memory = [megabytes(server.pid)]
        begin = time.monotonic()
        for user in users:
            user.start()
        while time.monotonic() - begin < 60 * MINUTES and not any(user.faults for user in users):
            time.sleep(min(10.0, 6 * MINUTES))
            memory.append(megabytes(server.pid))
            workers = [round(megabytes(pid)) for pid in children(server.pid)]
            print(f"{time.monotonic() - begin:.0f} s: server {memory[-1]:.0f} MB, workers {workers} MB", flush=True)
        over.set()
        for user in users:
            user.join(timeout=120)
        running = children(server.pid)
        server.terminate()
        server.wait(timeout=60)
    total = {name: sum(user.counts[name] for user in users) for name in users[0].counts}
    print(f"{total}, memory {memory[0]:.0f} MB before, {memory[-1]:.0f} MB at the end", flush=True)
    assert [fault for user in users for fault in user.faults] == []
    assert min(user.counts["answers"] for user in users) > 0
    assert total["solved"] > 0
    settled = memory[len(memory) // 5]
    assert memory[-1] < settled + FLAT, f"{settled:.0f} MB after a fifth of the time, {memory[-1]:.0f} MB at the end"
    assert not any(Path(f"/proc/{pid}").exists() for pid in running)
