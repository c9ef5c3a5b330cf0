"""batch(): inputs -> names -> jobs that are not done -> outcomes -> tables, in that order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cbldm.batch import cluster
from cbldm.batch.inputs import Input, find_inputs, name_inputs
from cbldm.batch.layout import (
    ERRORS,
    TIMES,
    Times,
    check_same,
    digest,
    is_done,
    read_record,
    remove_leftovers,
    write_record,
    write_rows,
)
from cbldm.batch.neighbours import identity, neighbours
from cbldm.batch.work import Job, Outcome, Task, run_job
from cbldm.cores import n_cores
from cbldm.data.pdf_files import read_pdf
from cbldm.errors import CbldmError, InputError
from cbldm.models.checkpoint import load_weights
from cbldm.options import MODEL_SOURCES, Options
from cbldm.series import write_series

#: Version of the layout of batch.json.
SCHEMA_VERSION = 1
#: Packages whose version can change the last digit of a result.
NUMERICAL = ("cbldm", "numpy", "scipy", "torch")


@dataclass
class Progress:
    """How far a batch has come.

    Attributes:
        total: PDFs in all.
        solved: Those with results, those of an earlier run among them.
        errors: Why the others have none, by name.
    """

    total: int
    solved: int = 0
    errors: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Pool:
    """Where the work is done.

    Attributes:
        workers: Number of processes; None for one on each core.
        scheduler: Address of a Dask scheduler that runs.
        slurm: TOML file with the arguments of `dask_jobqueue.SLURMCluster`.
    """

    workers: int | None = None
    scheduler: str | None = None
    slurm: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            InputError: The choices contradict each other, or need what is not installed.
        """
        if self.workers is not None and self.workers < 1:
            raise InputError(f"--workers must be at least 1, got {self.workers}")
        if self.scheduler is not None and (self.slurm is not None or self.workers is not None):
            raise InputError("--scheduler uses the workers that the cluster has: give neither --workers nor --slurm")
        if self.slurm is not None and self.workers is None:
            raise InputError("--slurm needs --workers, the number of processes that SLURM starts in all")
        if (self.scheduler or self.slurm or (self.workers or 1) > 1) and not cluster.there():
            raise InputError("more than one process needs Dask: pip install 'cbldm[scale]'")

    @contextmanager
    def outcomes(self, jobs: Sequence[Job], task: Task) -> Iterator[Iterator[Outcome]]:
        """What becomes of each job, as it comes; one process does without Dask."""
        workers = self.workers or (min(n_cores(), len(jobs)) if cluster.there() else 1)
        if self.scheduler is None and self.slurm is None and workers == 1:
            yield (run_job(job, task) for job in jobs)
        else:
            with cluster.connected(workers, self.scheduler, self.slurm) as client:
                yield cluster.outcomes(client, jobs, task)


def batch(
    words: Sequence[str],
    out: Path,
    *,
    reading: Mapping[str, Any],
    choices: Mapping[str, Any],
    report: bool = True,
    resume: bool = False,
    warm: Path | None = None,
    pool: Pool | None = None,
    tell: Callable[[Progress], None] | None = None,
) -> list[tuple[str, Input, str]]:
    """Solve many PDFs, each into a folder of its own.

    The same files and options give the same bytes, whatever the number of workers and however often the run was broken
    off; only ``times.csv`` differs. Each folder is what `cbldm solve` writes for its file, without the times.

    Args:
        words: Files, folders, patterns and lists; see `find_inputs`.
        out: The folder of the batch.
        reading: What `read_pdf` is told about all of them.
        choices: What `solve` is told about all of them, the seed among it.
        report: Whether each gets a report.html.
        resume: Go on with what an earlier run has left in the folder; PDFs may have been added.
        warm: The folder of a finished batch of the same files: each PDF is tried with what that one found for its
            neighbours too.
        pool: Where the work is done; on every core where None.
        tell: Told how far it has come, after each PDF.

    Returns:
        Name, input and error (or an empty string) of each PDF in order.

    Raises:
        InputError: The inputs, the folder or an option cannot be used, or the folder cannot be written any more; what
            is done is kept.
    """
    pool, tell = pool or Pool(), tell or (lambda progress: None)
    inputs = find_inputs(words)
    earlier = read_record(out, resume=resume)
    names = name_inputs(inputs, _names(earlier))
    task = Task(out.absolute(), _absolute(reading), _absolute(choices), report)
    around: list[tuple[Path, ...]] = [()] * len(inputs) if warm is None else neighbours(warm, inputs)
    others: dict[str, Any] = {"report": report} | ({} if warm is None else {"warm": identity(warm)})
    record = _record(inputs, names, reading, choices, others)
    if earlier is not None:
        check_same(earlier, record, out)
    write_record(out, record)
    remove_leftovers(out, names)
    jobs = [
        Job(name, Path(item.file).absolute(), item.column, near)
        for name, item, near in zip(names, inputs, around, strict=True)
    ]
    todo = [job for job in jobs if not _is_done(job, task)]
    progress = Progress(len(jobs), len(jobs) - len(todo))
    tell(progress)
    try:
        (out / ERRORS).unlink(missing_ok=True)
        _work(todo, task, pool, progress, Times(out / TIMES), tell, names)
    except (InputError, OSError) as error:
        why = f"{str(out)!r}: {error.strerror or error}" if isinstance(error, OSError) else error
        done = f"{progress.solved} of {progress.total} are solved and kept, --resume goes on"
        raise InputError(f"stopped: {why}; {done}") from error
    finally:
        remove_leftovers(out, names)
    faults = [(item.shown, progress.errors[name]) for name, item in zip(names, inputs, strict=True)
              if name in progress.errors]  # fmt: skip
    write_rows(out / ERRORS, ("file", "reason"), faults)
    write_series(out)
    return [(name, item, progress.errors.get(name, "")) for name, item in zip(names, inputs, strict=True)]


def _work(
    jobs: Sequence[Job],
    task: Task,
    pool: Pool,
    progress: Progress,
    times: Times,
    tell: Callable[[Progress], None],
    names: Sequence[str],
) -> None:
    if jobs:
        with pool.outcomes(jobs, task) as outcomes:
            for outcome in outcomes:
                if outcome.obstacle:
                    raise InputError(outcome.obstacle)
                if outcome.error:
                    progress.errors[outcome.name] = outcome.error
                else:
                    progress.solved += 1
                    times.add(outcome.name, outcome.seconds)
                tell(progress)
    times.finish(names)


def _names(earlier: Mapping[str, Any] | None) -> dict[tuple[str, int | None], str]:
    if earlier is None:
        return {}
    return {(str(item["file"]), item["column"]): item["name"] for item in earlier["inputs"]}


def _record(
    inputs: Sequence[Input],
    names: Sequence[str],
    reading: Mapping[str, Any],
    choices: Mapping[str, Any],
    others: Mapping[str, Any],
) -> dict[str, Any]:
    """The content of batch.json; damaged weights are found here, before any PDF is blamed."""
    chosen = Options(**choices)
    model = load_weights(chosen.weights)[1] if chosen.source in MODEL_SOURCES else {}
    options = {**reading, **choices, **others}
    if (instrument := options.pop("instrument", None)) is not None:
        options["instrument"] = digest(Path(instrument))
    options.pop("weights", None)
    return {
        "schema_version": SCHEMA_VERSION,
        "versions": {name: version(name) for name in NUMERICAL},
        "model": model,
        "options": {name: list(value) if isinstance(value, tuple) else value for name, value in options.items()},
        "inputs": [
            {"name": name, "file": item.file, "column": item.column, "label": item.label}
            for name, item in zip(names, inputs, strict=True)
        ],
    }


def _absolute(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with paths that mean the same in every process."""
    return {name: value.absolute() if isinstance(value, Path) else value for name, value in options.items()}


def _is_done(job: Job, task: Task) -> bool:
    """Whether the job's folder holds the results of its data, as they are now or as they were before the file went."""
    if not (task.out / job.name).is_dir():
        return False
    if job.column is None:
        return is_done(task.out / job.name, digest(job.path))
    try:
        return is_done(task.out / job.name, read_pdf(job.path, **task.reading, column=job.column).sha256)
    except CbldmError:
        return is_done(task.out / job.name, None)
