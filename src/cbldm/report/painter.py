"""A process that draws the pictures of one solution, so that a command need not wait for matplotlib.

It loads matplotlib while the command loads torch, when there is nothing else to do on a second core, and draws while
the command writes its report. The bytes are those of `cbldm.report.figures`, whoever draws.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from cbldm.cores import n_cores
from cbldm.types import Candidate, Fit, Pdf, Solution

#: What a painter says in the end: that it has ended comes later.
DRAWN = b"drawn"


class Painter:
    """A process that waits for a solution to draw. It ends with the one that began it, however that ends."""

    def __init__(self) -> None:
        # Nothing is imported from where the user is; and Ctrl-C is for the command, which ends this one in turn.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def draw(self, solution: Solution, folder: Path) -> bool:
        """Draw ``fit.png`` and ``structures.png`` into a folder, once.

        Returns:
            Whether that was done; if not, the reason is found by drawing here.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError), self._process.stdin as pipe:
            pipe.write(pack(solution, folder))
        return self._process.stdout.read(len(DRAWN)) == DRAWN

    def close(self) -> None:
        """End the process."""
        with self._process:  # waits, and closes the pipes
            self._process.kill()


@contextmanager
def painting() -> Iterator[Painter | None]:
    """A painter where there is a core for it and a process can be begun, else None.

    ``OMP_NUM_THREADS=1`` asks for one core, as where many PDFs are solved at once.
    """
    painter = None
    if n_cores() > 1 and os.environ.get("OMP_NUM_THREADS") != "1":
        with suppress(OSError):
            painter = Painter()
    try:
        yield painter
    finally:
        if painter is not None:
            painter.close()


def pack(solution: Solution, folder: Path) -> bytes:
    """What the pictures show, and where they go, as text that keeps every bit of a number."""
    from ase.io.jsonio import encode

    candidates = [_fields(candidate) | {"fit": _fields(candidate.fit)} for candidate in solution.candidates]
    text: str = encode({"folder": str(folder.absolute()), "file": solution.pdf.file, "candidates": candidates})
    return text.encode()


def unpack(packed: bytes) -> tuple[Solution, Path]:
    """The solution, without what no picture shows, and the folder."""
    from ase.io.jsonio import decode

    task = decode(packed.decode())
    candidates = [Candidate(**shown | {"fit": Fit(**shown["fit"])}) for shown in task["candidates"]]
    pdf = Pdf(np.empty(0), np.empty(0), None, {}, task["file"])
    return Solution(pdf, candidates, {}, [], {}, 0, "cpu", {}, {}), Path(task["folder"])


def _fields(item: Candidate | Fit) -> dict[str, Any]:
    return {field.name: getattr(item, field.name) for field in fields(item)}


def main() -> None:
    """Draw the solution that comes over standard input; none comes where there is nothing to draw."""
    import_module("ase.io.jsonio")  # before it is needed

    from cbldm.report.figures import draw_pictures

    if packed := sys.stdin.buffer.read():
        draw_pictures(*unpack(packed))
        os.write(1, DRAWN)


if __name__ == "__main__":
    main()
