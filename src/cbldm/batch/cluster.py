"""The workers of Dask distributed: on this machine, of a cluster that runs, or of one that SLURM starts.

Deaths of workers and repeats are Dask's. A worker gets a job when it has none, so that a worker's death counts against
the job that it was at, and not against others that were waiting.
"""

from __future__ import annotations

import logging
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cbldm.batch.work import Job, Outcome, Task, run_job
from cbldm.data.file_bytes import read_bytes
from cbldm.errors import InputError

if TYPE_CHECKING:
    from distributed import Client

#: Deaths of a worker after which the job that it was at is given up.
MOST_DEATHS = 3
#: What Dask and the processes that it starts are told.
_SETTINGS = {
    "distributed.scheduler.allowed-failures": MOST_DEATHS - 1,
    # On a busy machine a new process takes longer to begin than the 15 s after which Dask would do without it.
    "distributed.deploy.lost-worker-timeout": "10 minutes",
    "distributed.nanny.pre-spawn-environ.DASK_LOGGING__DISTRIBUTED": "critical",
    # Dask would have malloc give every larger array back at once: fifty times the page faults, 1.6 times the time.
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None,
    # Made for tasks of milliseconds and for a dashboard; ours take seconds, and each look costs the cores that solve.
    "distributed.worker.profile.enabled": False,
    "distributed.worker.memory.monitor-interval": "2s",
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.scheduler.active-memory-manager.start": False,
    "distributed.scheduler.work-stealing": False,
}
#: The same for workers whose nannies are begun elsewhere: what is set already stands, so that both must be.
KEEP_MEMORY = ("export MALLOC_TRIM_THRESHOLD_=268435456", "export MALLOC_MMAP_THRESHOLD_=33554432")
LOOPBACK = "127.0.0.1"
#: No dashboard; what serves it listens all the same, at a free port that no other machine reaches.
_UNSEEN = {"dashboard": False, "dashboard_address": f"{LOOPBACK}:0"}
#: Seconds without any result after which it is asked whether there are workers at all.
LULL = 900
#: In which a scheduler must answer.
PATIENCE = "20s"


def there() -> bool:
    """Whether the extra ``scale`` is installed."""
    try:
        import distributed  # noqa: F401
    except ModuleNotFoundError:
        return False
    return True


@contextmanager
def connected(workers: int, scheduler: str | None, slurm: Path | None) -> Iterator[Client]:
    """A client of workers of one thread each, which end with the block where they were begun for it.

    Args:
        workers: How many processes are started, here or by SLURM.
        scheduler: Address of a scheduler that runs, whose workers are used instead.
        slurm: TOML file with the arguments of `dask_jobqueue.SLURMCluster`.

    Raises:
        InputError: There is no scheduler at the address, or the file does not describe a cluster.
    """
    import dask
    from distributed import Client, LocalCluster

    with ExitStack() as stack:
        stack.enter_context(dask.config.set(_SETTINGS))
        stack.enter_context(_silent("distributed", "distributed.client"))
        where: Any = scheduler
        if slurm is not None:
            where = stack.enter_context(slurm_cluster(slurm))
            where.scale(n=workers)
        elif scheduler is None:
            where = stack.enter_context(
                LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    processes=True,
                    host=LOOPBACK,
                    dashboard_address=None,
                    scheduler_kwargs=_UNSEEN,
                )
            )
        try:
            client = stack.enter_context(Client(where, timeout=PATIENCE))
        except (OSError, ValueError) as error:
            raise InputError(f"no Dask scheduler answers at {scheduler!r}: {' '.join(str(error).split())}") from error
        yield client


@contextmanager
def _silent(*names: str) -> Iterator[None]:
    """Keep loggers of this process off the screen: what matters of deaths and losses is said by the batch itself."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def slurm_cluster(config: Path) -> Any:
    """The cluster that a TOML file describes; nothing is submitted yet.

    Raises:
        InputError: The file does not describe a cluster.
    """
    try:
        from dask_jobqueue.slurm import SLURMCluster
    except ModuleNotFoundError as error:
        raise InputError("--slurm needs dask-jobqueue: pip install 'cbldm[scale]'") from error
    where = repr(str(config))
    try:
        arguments = tomllib.loads(read_bytes(config, "a TOML file").decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{where} is not a TOML file: {error}") from error
    try:
        # One thread to a process, as on one machine.
        processes = {"processes": arguments["cores"]} if "cores" in arguments else {}
        options = {
            "scheduler_options": _UNSEEN | arguments.pop("scheduler_options", {}),
            "job_script_prologue": [*KEEP_MEMORY, *arguments.pop("job_script_prologue", [])],
        }
        return SLURMCluster(**(processes | arguments | options))
    except (TypeError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{where} must hold arguments of dask_jobqueue.SLURMCluster: {reason}") from error


def outcomes(client: Client, jobs: Sequence[Job], task: Task) -> Iterator[Outcome]:
    """What becomes of each job, as it comes.

    Raises:
        InputError: The scheduler was lost, or all workers of this machine.
    """
    from distributed import Future, LocalCluster, wait

    waiting = iter(jobs)
    running: dict[Future[Outcome], str] = {}
    while True:
        for job in islice(waiting, max(0, _places(client) - len(running))):
            running[client.submit(run_job, job, task, pure=False)] = job.name
        if not running:
            return
        try:
            done = wait(list(running), timeout=LULL, return_when="FIRST_COMPLETED").done
        except CancelledError as error:
            raise InputError("the Dask scheduler was lost") from error
        except TimeoutError:
            # Those of a cluster may wait in its queue for hours.
            if isinstance(client.cluster, LocalCluster) and not client.nthreads():
                raise InputError("no worker is left, and none could be started again") from None
            continue
        for future in done:
            yield _outcome(future, running.pop(future))


def _outcome(future: Any, name: str) -> Outcome:
    from distributed import KilledWorker

    try:
        outcome: Outcome = future.result()
    except KilledWorker:
        return Outcome(name, error=f"{MOST_DEATHS} processes died of it, as they do where memory is short")
    except (CancelledError, OSError) as error:
        raise InputError("the Dask scheduler was lost") from error
    return outcome


def _places(client: Client) -> int:
    """Jobs that can run at the same time; one where no worker has come yet."""
    try:
        return max(1, sum(client.nthreads().values()))
    except (OSError, ValueError) as error:
        raise InputError("the Dask scheduler was lost") from error
