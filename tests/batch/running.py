"""Batches as processes of their own, and what they leave."""

import os
import subprocess
import sys
import time
from pathlib import Path

from cbldm.batch.layout import TIMES

#: As little work as gives a whole folder of results.
OPTIONS = ["--samples", "1", "--candidates", "1", "--n-atoms", "13-19", "--no-report", "--quiet"]
COMMAND = [sys.executable, "-c", "from cbldm.cli import main; main()", "batch"]


def tree(out: Path) -> dict[str, bytes]:
    """Every file below a folder but the times."""
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*"))
            if path.is_file() and path.name != TIMES}  # fmt: skip


def start(pdfs: Path, out: Path, *words: str) -> subprocess.Popen:
    """A batch of these PDFs as a process of its own."""
    command = [*COMMAND, str(pdfs), "--out", str(out), *OPTIONS, *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def finish(process: subprocess.Popen, seconds: float = 900) -> tuple[int, str]:
    """Exit code and everything said."""
    try:
        said, _ = process.communicate(timeout=seconds)
    finally:
        process.kill()
    return process.returncode, said


def wait_until(condition, seconds: float = 600, pause: float = 0.02) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(pause)
