"""The batch's own way over Dask with solves that only sleep: lost and repeated work, and the time that a model expects.

Jobs go through `cbldm.batch.cluster` to real worker processes; in place of a solve each sleeps for seconds drawn from
the cost model of docs/scaling.md, divided by ``--faster``, and then puts its folder in place as a solve does. Some are
stragglers; workers are killed (SIGKILL) at times drawn for each and begun again by Dask. A new process sleeps as long
as imports and weights take.

``model`` is a simulation of list scheduling, each free worker taking the next job, told the same seconds and deaths,
how long the new processes really took to come, and the median of the pauses between two jobs of a worker. Which job a
death strikes is chance: the mean over many numberings of the workers is shown, and the range of 90 % of them. ``least``
is the work divided by the workers, which no schedule beats; ``again`` counts jobs that were begun more than once;
``driver`` is the process in which the scheduler runs and what watches over the workers. Sleeping takes no CPU, so that
16 workers run on two cores; that they take turns at the network share and at memory bandwidth is not seen.

Run with ``python benchmarks/simulate_cluster.py [--workers 16]``.
"""

from __future__ import annotations

import heapq
import itertools
import os
import random
import signal
import statistics
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import typer

# Nothing of cbldm here: every worker process reads this file, and should not load torch.

#: Seconds of a solve: of any, for each atom; standard deviation of the logarithm; the sizes.
FIXED, EACH, SPREAD, ATOMS = 7.0, 0.079, 0.25, (20, 256)
#: Seconds of imports and weights in a new process.
START = 4.3
#: Share of the jobs that are stragglers, and how much longer these take.
STRAGGLERS, LONGER = 0.05, 10.0
#: Orders of the workers in which the model is run.
NUMBERINGS = 200
#: Runs where none are given: workers, jobs, and whether there are stragglers and deaths.
RUNS = ((16, 160, False), (16, 160, True), (8, 100, True), (1, 12, True))


@dataclass(frozen=True)
class Job:
    name: str
    seconds: float


@dataclass(frozen=True)
class Task:
    out: Path
    log: Path
    start: float


@dataclass(frozen=True)
class Outcome:
    name: str
    error: str = ""


def sleep_job(job: Job, task: Task) -> Outcome:
    """In place of `cbldm.batch.work.run_job`: the same steps, but for the solve."""
    note(task.log, "begin", job.name)
    if not os.environ.get("SIMULATED_START"):
        time.sleep(task.start)
        os.environ["SIMULATED_START"] = "done"
    if not (task.out / job.name).exists():
        time.sleep(job.seconds)
        partial = Path(tempfile.mkdtemp(prefix=f".{job.name}-", dir=task.out))
        (partial / "results.json").write_text(f"{job.seconds}\n")
        partial.rename(task.out / job.name)
        note(task.log, "solved", job.name)
    note(task.log, "end", job.name)
    return Outcome(job.name)


def note(log: Path, event: str, name: str) -> None:
    """Append a line at once, so that those of several processes do not mix."""
    with log.open("a") as file:
        file.write(f"{time.time()} {os.getpid()} {event} {name}\n")


def draw_seconds(count: int, chance: random.Random, *, faults: bool) -> list[float]:
    """Seconds of solves, among them stragglers."""

    def one() -> float:
        usual = (FIXED + EACH * chance.uniform(*ATOMS)) * chance.lognormvariate(0.0, SPREAD)
        return usual * (LONGER if faults and chance.random() < STRAGGLERS else 1.0)

    return [one() for _ in range(count)]


@dataclass(frozen=True)
class Death:
    """Of a worker by its number; seconds after the first job was given, and until the next process came."""

    at: float
    worker: int
    away: float


def model(seconds: Sequence[float], workers: int, deaths: Sequence[Death] = (), start: float = 0.0,
          pause: float = 0.0) -> float:  # fmt: skip
    """Seconds of list scheduling; a job whose worker dies is the next to be given.

    Args:
        seconds: Of each job, in the order in which they are given.
        workers: How many there are.
        deaths: Of workers.
        start: Seconds that a process takes before its first job.
        pause: Seconds between two jobs of a worker.

    Example:
        >>> model([3.0, 2.0, 2.0, 1.0], 2)
        4.0
        >>> model([3.0, 2.0, 2.0, 1.0], 2, [Death(1.0, 0, 5.0)])
        7.0
    """
    waiting = list(enumerate(seconds))[::-1]
    at: dict[int, tuple[int, float] | None] = dict.fromkeys(range(workers))
    life = [0] * workers
    number = itertools.count()
    events = [(0.0, next(number), "free", worker, 0) for worker in range(workers)]
    events += [(death.at, next(number), "dies", death.worker, index) for index, death in enumerate(deaths)]
    heapq.heapify(events)
    fresh, idle, end, left = set(range(workers)), set[int](), 0.0, len(waiting)
    while left:
        now, _, event, worker, index = heapq.heappop(events)
        if event == "dies":
            life[worker] += 1
            idle.discard(worker)
            fresh.add(worker)
            lost, at[worker] = at[worker], None
            if lost is not None:
                waiting.append(lost)
            heapq.heappush(events, (now + deaths[index].away, next(number), "free", worker, life[worker]))
        elif index == life[worker]:
            if at[worker] is not None:
                at[worker], end, left = None, now, left - 1
            idle.add(worker)
        while waiting and idle:
            taker = min(idle)
            idle.remove(taker)
            job = at[taker] = waiting.pop()
            free = now + job[1] + pause + (start if taker in fresh else 0.0)
            fresh.discard(taker)
            heapq.heappush(events, (free, next(number), "free", taker, life[taker]))
    return end


def numberings(
    seconds: Sequence[float], workers: int, deaths: Sequence[Death], start: float, pause: float
) -> list[float]:
    """Sorted results of `model` where the deaths strike other workers at the same times."""
    chance, found = random.Random(0), []
    for _ in range(NUMBERINGS):
        order = chance.sample(range(workers), workers)
        struck = [replace(death, worker=order[death.worker]) for death in deaths]
        found.append(model(seconds, workers, struck, start, pause))
    return sorted(found)


@dataclass(eq=False)
class Reaper(threading.Thread):
    """Kills workers of a LocalCluster at random times, as long as it is not stopped."""

    cluster: Any
    lifetime: float
    chance: random.Random
    deaths: list[Death] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)
        self.begin = time.time()

    def run(self) -> None:
        nannies = list(self.cluster.workers.values())
        away: dict[int, tuple[float, int]] = {}
        following = self._following(len(nannies))
        while not self.over.wait(0.1):
            now = time.time() - self.begin
            for number, (at, before) in list(away.items()):
                if nannies[number].status.name == "running" and nannies[number].pid not in (None, before):
                    self.deaths.append(Death(at, number, now - at))
                    del away[number]
            if now >= following:
                following = now + self._following(len(nannies))
                number = self.chance.randrange(len(nannies))
                if number not in away and nannies[number].pid:
                    away[number] = (now, nannies[number].pid)
                    os.kill(nannies[number].pid, signal.SIGKILL)
        now = time.time() - self.begin
        self.deaths += [Death(at, number, now - at) for number, (at, _) in away.items()]
        self.deaths.sort(key=lambda death: death.at)

    def _following(self, workers: int) -> float:
        return self.chance.expovariate(workers / self.lifetime)


@dataclass(frozen=True)
class Found:
    """Of one run: seconds, and counts of jobs.

    Attributes:
        wall: From the first job given to the last outcome.
        expected: What the model says, sorted.
        least: Work divided by the workers.
        pause: Median of the seconds between two jobs of a worker.
        deaths: Of workers.
        again: Jobs that were begun more than once.
        twice: Jobs that were solved more than once.
        lost: Jobs without outcome or folder.
        given_up: Jobs whose error says that they were given up.
        cpu: Cores that the driver kept busy, in which the scheduler runs and what watches over the workers.
    """

    wall: float
    expected: Sequence[float]
    least: float
    pause: float
    deaths: int
    again: int
    twice: int
    lost: int
    given_up: int
    cpu: float


def simulate(workers: int, seconds: Sequence[float], start: float, lifetime: float | None, seed: int) -> Found:
    """Let a cluster of this machine work through sleeping jobs."""
    from cbldm.batch import cluster

    with tempfile.TemporaryDirectory() as place:
        task = Task(Path(place) / "out", Path(place) / "log", start)
        task.out.mkdir()
        jobs = [Job(f"{number:06d}", value) for number, value in enumerate(seconds)]
        cluster.run_job = sleep_job
        with cluster.connected(workers, None, None) as client:
            reaper = Reaper(client.cluster, lifetime or float("inf"), random.Random(seed))
            cpu = time.process_time()
            if lifetime:
                reaper.start()
            outcomes = list(cluster.outcomes(client, jobs, task))
            wall, cpu = time.time() - reaper.begin, time.process_time() - cpu
            if lifetime:
                reaper.over.set()
                reaper.join()
        lines = [line.split() for line in task.log.read_text().splitlines()]
        counts = {event: Counter(name for _, _, now, name in lines if now == event) for event in ("begin", "solved")}
        told = Counter(outcome.name for outcome in outcomes if not outcome.error)
        there = {job.name for job in jobs if (task.out / job.name / "results.json").is_file()}
    between = pause(lines)
    return Found(
        wall,
        numberings(seconds, workers, reaper.deaths, start, between),
        sum(seconds) / workers,
        between,
        len(reaper.deaths),
        sum(count > 1 for count in counts["begin"].values()),
        sum(count > 1 for count in counts["solved"].values()),
        sum(told[job.name] != 1 or job.name not in there for job in jobs),
        sum(bool(outcome.error) for outcome in outcomes),
        cpu / wall,
    )


def pause(lines: Sequence[Sequence[str]]) -> float:
    """Median of the seconds from the end of a job to the begin of the next in the same process."""
    pauses, ended = [], defaultdict[str, float](float)
    for when, pid, event, _ in lines:
        if event == "begin" and ended[pid]:
            pauses.append(float(when) - ended[pid])
        elif event == "end":
            ended[pid] = float(when)
    return statistics.median(pauses) if pauses else 0.0


def main(
    workers: Annotated[list[int] | None, typer.Option(help="Numbers of workers; else 16, 8 and 1.")] = None,
    count: Annotated[int, typer.Option(help="Jobs, where numbers of workers are given.")] = 160,
    faster: Annotated[float, typer.Option(help="How many times faster than a solve a job is.")] = 8.0,
    lifetime: Annotated[float, typer.Option(help="Mean seconds from start to death of a worker.")] = 1800.0,
    seed: Annotated[int, typer.Option(help="Of seconds and deaths.")] = 0,
    faults: Annotated[bool, typer.Option(help="Stragglers and deaths, where numbers of workers are given.")] = True,
) -> None:
    columns = ("workers", "jobs", "faults", "least s", "model s", "90 % s", "wall s", "wall / model", "pause s",
               "deaths", "again", "twice", "given up", "lost", "driver cores")  # fmt: skip
    print("|", " | ".join(columns), "|")
    print("|", " | ".join("---:" for _ in columns), "|", flush=True)
    for number, jobs, harm in RUNS if workers is None else [(number, count, faults) for number in workers]:
        seconds = [value / faster for value in draw_seconds(jobs, random.Random(seed), faults=harm)]
        found = simulate(number, seconds, START / faster, lifetime / faster if harm else None, seed)
        expected = statistics.mean(found.expected)
        spread = f"{found.expected[NUMBERINGS // 20]:.1f} to {found.expected[-NUMBERINGS // 20]:.1f}"
        cells = (number, jobs, "yes" if harm else "no", f"{found.least:.1f}", f"{expected:.1f}", spread,
                 f"{found.wall:.1f}", f"{found.wall / expected:.2f}", f"{found.pause:.2f}", found.deaths,
                 found.again, found.twice, found.given_up, found.lost, f"{found.cpu:.2f}")  # fmt: skip
        print("|", " | ".join(str(cell) for cell in cells), "|", flush=True)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end")


if __name__ == "__main__":
    typer.run(main)
