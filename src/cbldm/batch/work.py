"""One PDF from its file to its folder, in whatever process it is given to."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cbldm.batch.layout import RECORD, is_done
from cbldm.batch.neighbours import structures
from cbldm.data.pdf_files import read_pdf
from cbldm.data.pdf_settings import require_metal
from cbldm.errors import CbldmError, InputError
from cbldm.models.cbldm import CbLdm
from cbldm.models.checkpoint import load_weights
from cbldm.options import MODEL_SOURCES, Options
from cbldm.pipeline import solve
from cbldm.results import write_solution


@dataclass(frozen=True)
class Task:
    """What all PDFs of a batch have in common.

    Attributes:
        out: The folder of the batch, absolute.
        reading: What `read_pdf` is told.
        choices: What `solve` is told, the seed among it: every PDF has the same, so that its result depends on nothing
            but itself.
        report: Whether each gets its report.html.
        version: Of the cbldm that began the batch.
    """

    out: Path
    reading: Mapping[str, Any]
    choices: Mapping[str, Any]
    report: bool
    version: str = field(default_factory=lambda: version("cbldm"))


@dataclass(frozen=True)
class Job:
    """One PDF of a batch: the name of its folder, its file (absolute), its column in it, and results of neighbours."""

    name: str
    path: Path
    column: int | None = None
    neighbours: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        name: Of the job.
        seconds: Time of each stage; empty where it was not solved.
        error: Why this PDF could not be solved, in one line.
        obstacle: What keeps every other PDF from being solved too, in one line.
    """

    name: str
    seconds: Mapping[str, float] = field(default_factory=dict)
    error: str = ""
    obstacle: str = ""


def run_job(job: Job, task: Task) -> Outcome:
    """Solve one PDF and write its folder, whole or not at all.

    The folder holds what `cbldm solve` writes, without the times, which differ from run to run.
    """
    if task.version != version("cbldm"):
        return Outcome(job.name, obstacle=f"a worker has cbldm {version('cbldm')}, the batch needs {task.version}")
    if not (task.out / RECORD).is_file():
        return Outcome(job.name, obstacle=f"a worker does not see {str(task.out)!r}: all must share this folder")
    try:
        return _solved(job, task)
    except CbldmError as error:
        return Outcome(job.name, error=_one_line(error).replace(repr(str(job.path)), repr(job.path.name)))
    except Exception as error:  # noqa: BLE001 - whatever one PDF does, the rest go on
        return Outcome(job.name, error=f"unexpected {type(error).__name__}: {_one_line(error)}")


def _solved(job: Job, task: Task) -> Outcome:
    pdf = read_pdf(job.path, **task.reading, column=job.column)
    require_metal(pdf)
    folder = task.out / job.name
    if is_done(folder, pdf.sha256):  # by a worker that was lost before it could say so
        return Outcome(job.name)
    starts = structures(job.neighbours)
    solution = solve(pdf, loaded=_weights(Options(**task.choices)), starts=starts, **task.choices)
    begin = time.perf_counter()
    try:
        write_solution(replace(solution, seconds={}), folder, report=task.report)
    except InputError as error:
        # A worker that was taken for dead may have been quicker; its results are the same.
        if not is_done(folder, pdf.sha256):
            return Outcome(job.name, obstacle=_one_line(error))
    return Outcome(job.name, {**solution.seconds, "write": time.perf_counter() - begin})


def _weights(options: Options) -> tuple[CbLdm, dict[str, str]] | None:
    return _loaded(options.weights, options.torch_device) if options.source in MODEL_SOURCES else None


@lru_cache(maxsize=1)
def _loaded(folder: Path | None, device: str) -> tuple[CbLdm, dict[str, str]]:
    """The weights, once for each process."""
    return load_weights(folder, device)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
