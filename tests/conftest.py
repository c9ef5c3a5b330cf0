"""What every test runs under: two threads at most, no network, the same random examples each time."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("MPLBACKEND", "agg")

import ipaddress
import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(min(2, torch.get_num_threads()))

settings.register_profile("cbldm", deadline=None, derandomize=True, database=None)
settings.load_profile("cbldm")

ROOT = Path(__file__).parents[1]
#: A script that runs on its own; looking for doctests in it would import what only it needs.
collect_ignore = ["fuzz/atheris_reader.py"]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Measured and simulated PDFs that lie beside the repository and are not part of it."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the folder shared/data beside the repository")
    return folder


@pytest.fixture(scope="session")
def write_result() -> Callable[..., None]:
    """Write what of a results.json a series needs into a folder."""

    def write(folder: Path, file: str, n_atoms: int, motif: dict[str, float], **metadata: float) -> None:
        best = {"n_atoms": n_atoms, "motif": max(motif, key=motif.get), "diameter_A": 2.5 * n_atoms ** (1 / 3),
                "rw": 0.1, "scale": 0.8, "uiso_A2": 0.006, "stretch": 1.01}  # fmt: skip
        said = {"equivalents": 2, "motif": motif, "n_atoms": {"0.8": [n_atoms - 3, n_atoms + 4]}}
        content = {"input": {"file": file, "metadata": metadata}, "warnings": ["a note"], "ambiguity": said,
                   "candidates": [best]}  # fmt: skip
        folder.mkdir(parents=True)
        (folder / "results.json").write_text(json.dumps(content), encoding="utf-8")
        (folder / "report.html").write_text(f"<title>report of {folder.name}</title>", encoding="utf-8")

    return write


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.socket.connect

    def connect_here(self: socket.socket, address: object) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = address[0]
            if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
                raise OSError(f"a test tried to reach {host}; tests use no network")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect_here)
