"""The process that computes one answer: it makes itself ready, waits for a task, and ends with it.

It reads a task as one line of JSON from standard input and writes what happens as lines of JSON to standard output:
``{"ready": true}``, ``{"stage": ..., "done": ...}``, and last ``{"answer": ...}`` or ``{"error": ...}``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

from cbldm.errors import CbldmError
from cbldm.loading import loading

#: Least seconds between two reports on the same stage.
PAUSE = 0.2


def main() -> None:
    """Compute what standard input asks for."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    # What libraries print must not be taken for an answer.
    os.dup2(2, 1)
    _make_ready()
    _say(answers, ready=True)
    line = sys.stdin.readline()
    if line:
        _say(answers, **_answer(json.loads(line), answers))


def _make_ready() -> None:
    """Load what every answer needs."""
    with loading():
        for name in ("pipeline", "results", "report.figures", "report.html"):
            import_module(f"cbldm.{name}")


def _answer(task: Mapping[str, Any], answers: TextIO) -> dict[str, Any]:
    from cbldm.pipeline import solve
    from cbldm.results import answer, write_solution
    from cbldm.web.uploads import read_upload

    last: dict[str, float] = {}

    def watch(stage: str, done: float) -> None:
        now = time.monotonic()
        if done in (0.0, 1.0) or now - last.get(stage, 0.0) > PAUSE:
            last[stage] = now
            _say(answers, stage=stage, done=done)

    try:
        pdf = read_upload(Path(task["file"]), task["name"], task["given"])
        solution = solve(pdf, watch=watch, **task["options"])
        _say(answers, stage="write", done=0.0)
        write_solution(solution, task["out"])
    except CbldmError as error:
        return {"error": str(error)}
    except MemoryError:
        return {"error": "this needs more memory than there is; try fewer samples, or a smaller range of atoms"}
    return {"answer": answer(solution.candidates)}


def _say(answers: TextIO, **words: Any) -> None:
    answers.write(json.dumps(words) + "\n")


if __name__ == "__main__":
    main()
