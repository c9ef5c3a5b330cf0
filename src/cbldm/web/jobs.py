"""Computations: a queue, and for each one a process of its own that can be ended at any time.

A process is made ready before it is needed, for the imports take seconds; after its job it ends, whatever happened, so
that no job leaves memory behind or can disturb another one.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from cbldm.cores import n_cores
from cbldm.errors import InputError

#: What a stage does, and how far a job has come, from 0 to 1, when it begins.
STAGES = {
    "load": ("reading the file", 0.0),
    "sample": ("drawing structures from the model", 0.02),
    "search": ("moving atoms of the drawn structures", 0.06),
    "recover": ("recovering positions", 0.55),
    "refine": ("refining positions", 0.58),
    "rank": ("ranking", 0.90),
    "write": ("writing files and the report", 0.93),
}
#: What starts a process that waits for a job.
WORKER = (sys.executable, "-P", "-m", "cbldm.web.worker")
CRASHED = "the computation ended without an answer; try again, and if that does not help, tell who runs this app"
FULL = "{n} computations are waiting already; try again in a few minutes"


class Job:
    """One computation.

    Attributes:
        state: ``waiting``, ``running``, ``done``, ``failed`` or ``cancelled``.
        answer: The answer in a sentence, when done.
        error: Why it failed, as a sentence.
        pid: Number of its process while it runs, else None.
    """

    def __init__(self, task: Mapping[str, Any], lock: threading.Condition) -> None:
        self.task = dict(task)
        self.state = "waiting"
        self.answer = self.error = self.stage = ""
        self.done = 0.0
        self.pid: int | None = None
        self.begun = self.ended = 0.0
        self._lock = lock
        self._process: subprocess.Popen[str] | None = None

    @property
    def is_active(self) -> bool:
        """Whether it waits or runs."""
        return self.state in ("waiting", "running")

    @property
    def seconds(self) -> float:
        """How long it has been running, or ran."""
        return (self.ended or time.monotonic()) - self.begun if self.begun else 0.0

    def cancel(self) -> None:
        """Stop it; its process is gone when this returns."""
        self._stop("cancelled")

    def _stop(self, state: str, error: str = "") -> None:
        with self._lock:
            if not self.is_active:
                return
            self.state, self.error, self.ended = state, error, time.monotonic()
            process = self._process
            self._lock.notify_all()
        if process is not None:
            _end(process)

    def _hear(self, words: Mapping[str, Any]) -> None:
        """Take what the process says."""
        with self._lock:
            if self.state != "running":
                return
            if "stage" in words:
                self._advance(words["stage"], words["done"])
            elif "error" in words:
                self.state, self.error = "failed", words["error"]
            elif "answer" in words:
                self.state, self.answer, self.done = "done", words["answer"], 1.0

    def _advance(self, stage: str, done: float) -> None:
        if stage not in STAGES:
            return
        starts = [start for _, start in STAGES.values()] + [1.0]
        begin, end = starts[list(STAGES).index(stage)], starts[list(STAGES).index(stage) + 1]
        # Stages come again where a second round is drawn; a bar that goes back would look broken.
        self.stage, self.done = stage, max(self.done, begin + done * (end - begin))


class Jobs:
    """The queue and those who work it off."""

    def __init__(self, running: int, waiting: int, seconds: float, command: Sequence[str] = ()) -> None:
        """Start making processes ready.

        Args:
            running: Jobs at once.
            waiting: Jobs that may wait.
            seconds: Longest time of a job.
            command: What starts a process; `WORKER` where empty.
        """
        self._waiting, self._seconds, self._command = waiting, seconds, list(command or WORKER)
        self._queue: deque[Job] = deque()
        self._changed = threading.Condition(threading.RLock())
        self._closed = False
        self._environment = os.environ | {"OMP_NUM_THREADS": _threads(running)}
        self._ready: set[subprocess.Popen[str]] = set()
        self._slots = [threading.Thread(target=self._work, daemon=True) for _ in range(running)]
        for slot in self._slots:
            slot.start()

    def submit(self, task: Mapping[str, Any]) -> Job:
        """Put a job into the queue.

        Args:
            task: What `cbldm.web.worker` is told.

        Raises:
            InputError: The queue is full.
        """
        with self._changed:
            waiting = self._ahead()
            if waiting >= self._waiting + self._idle():
                raise InputError(FULL.format(n=waiting))
            job = Job(task, self._changed)
            self._queue = deque([*(other for other in self._queue if other.is_active), job])
            self._changed.notify_all()
        return job

    def before(self, job: Job) -> int:
        """How many jobs are waiting before this one."""
        with self._changed:
            queue = [other for other in self._queue if other.state == "waiting"]
            return queue.index(job) if job in queue else 0

    def close(self) -> None:
        """End everything that runs and waits."""
        with self._changed:
            self._closed = True
            jobs, ready = list(self._queue), list(self._ready)
            self._changed.notify_all()
        for job in jobs:
            job.cancel()
        for process in ready:
            _end(process)
        for slot in self._slots:
            slot.join(timeout=5)

    def _ahead(self) -> int:
        return sum(job.state == "waiting" for job in self._queue)

    def _idle(self) -> int:
        return len(self._slots) - sum(job.state == "running" for job in self._queue)

    def _work(self) -> None:
        """One job after the other, each in a fresh process."""
        while True:
            process = self._prepare()
            if process is None:
                return
            job = self._next(process)
            if job is None:
                _end(process)
                self._forget(process)
                continue
            limit = threading.Timer(self._seconds, job._stop, ("failed", f"stopped after {self._seconds:g} s, the time "
                                    "limit of this app; fewer samples or candidates take less time"))  # fmt: skip
            limit.daemon = True
            limit.start()
            try:
                _converse(process, job)
            finally:
                limit.cancel()
                _end(process)
                self._finish(job)
                self._forget(process)

    def _prepare(self) -> subprocess.Popen[str] | None:
        with self._changed:
            if self._closed:
                return None
            process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                text=True, encoding="utf-8", env=self._environment, start_new_session=True,
            )  # fmt: skip
            self._ready.add(process)
            return process

    def _next(self, process: subprocess.Popen[str]) -> Job | None:
        """Wait for a job; it runs from now on. None when no more will come, or the process is gone."""
        with self._changed:
            while not self._closed and process.poll() is None:
                job = next((job for job in self._queue if job.state == "waiting"), None)
                if job is not None:
                    job.state, job.begun, job.pid, job._process = "running", time.monotonic(), process.pid, process
                    return job
                self._changed.wait()
        return None

    def _finish(self, job: Job) -> None:
        with self._changed:
            if job.state == "running":
                job.state, job.error = "failed", CRASHED
            job.ended, job.pid, job._process = job.ended or time.monotonic(), None, None
            self._queue = deque(other for other in self._queue if other.is_active)

    def _forget(self, process: subprocess.Popen[str]) -> None:
        with self._changed:
            self._ready.discard(process)
        for pipe in (process.stdin, process.stdout):
            # What it was not told any more cannot be delivered.
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]


def _converse(process: subprocess.Popen[str], job: Job) -> None:
    """Give a job to a process and hear it out; a process that ends early has said all it can."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(job.task) + "\n")
        process.stdin.flush()
        for line in process.stdout:
            job._hear(json.loads(line))
    except (OSError, ValueError):
        return


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()


def _threads(running: int) -> str:
    """Threads of each process, so that all together have one for each core."""
    return os.environ.get("OMP_NUM_THREADS", str(max(1, n_cores() // running)))
