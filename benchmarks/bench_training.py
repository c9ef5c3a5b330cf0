"""Training: samples per second of the data alone, of the networks alone and of both, for each frame and overall.

Run with ``python benchmarks/bench_training.py [CONFIG] [--device cuda] [--batch N] [--turns N]``; needs only numpy,
scipy and torch, so it runs on a bare GPU machine with ``PYTHONPATH=src``.

- "shapes": cutting, sorting out, relaxing and depositing pair distances, as if each shape served a single step.
- "measuring": PDFs of shapes that are there already, with instruments, noise and ripples.
- "translator", "sculptor": one step of the optimizer on a batch that is there already.
- "translator +", "sculptor +": steps as in training, with the config's reuse of shapes.

"overall" weighs the times of the frames as training draws them. The last lines say what the config's steps would take.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "2")

import argparse
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import get_args

import torch

from cbldm.data.stream import FRAME_WEIGHTS, Batch, Stream
from cbldm.geometry.frames import FRAMES
from cbldm.models.cbldm import CbLdm, Stage
from cbldm.training import TrainingConfig, read_config
from cbldm.training.learner import Learner
from cbldm.training.runner import OneDevice

STAGES: tuple[Stage, ...] = get_args(Stage)
COLUMNS = ("shapes", "measuring", *STAGES, *(f"{stage} +" for stage in STAGES))


def seconds(call: Callable[[], object], device: torch.device) -> float:
    """Wall-clock time of a call, and of all that it has left for the device to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    begin = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begin


def make_stream(config: TrainingConfig, batch: int, reuse: int, device: torch.device) -> Stream:
    """The stream of a run."""
    return Stream(
        config.seed, batch, "train", config.n_atoms, config.textbook, reuse=reuse, group=config.group,
        matrix=config.model.matrix, tau=config.model.tau, unit=config.model.unit, device=str(device),
    )  # fmt: skip


def take_steps(learner: Learner, batches: Iterable[tuple[int, Batch]]) -> None:
    """Learn from numbered batches."""
    for number, batch in batches:
        learner.learn(1, [(batch, number)])


def measure(
    name: str, config: TrainingConfig, batch: int, turns: int, learners: dict[Stage, Learner], streams: list[Stream]
) -> dict[str, float]:
    """Seconds per batch of one frame, by column."""
    device = learners[STAGES[0]].runner.device
    twice, reused = streams
    kept = twice.batch(10**6, name)  # builds the tables of the frame
    # Of four batches in a row the first two make their shapes and the others measure them once more.
    found = [seconds(partial(twice.batch, k, name), device) for k in range(4 * turns)]
    again = sum(found[k] for k in range(4 * turns) if k % 4 >= 2) / (2 * turns)
    times = {"shapes": sum(found) / (2 * turns) - 2 * again, "measuring": again}
    n_steps = turns * config.reuse**2
    for stage, learner in learners.items():
        learner.learn(0, [(kept, 0)])
        alone = ((k, kept) for k in range(n_steps))
        times[stage] = seconds(partial(take_steps, learner, alone), device) / n_steps
        first = n_steps * (1 + STAGES.index(stage))
        both = ((k, reused.batch(k, name)) for k in range(first, first + n_steps))
        times[f"{stage} +"] = seconds(partial(take_steps, learner, both), device) / n_steps
    return times


def line(name: str, times: dict[str, float], batch: int) -> str:
    """A row of the table, in samples per second."""
    return f"{name:12}" + "".join(f"{batch / times[column]:14,.0f}" for column in COLUMNS)


def main() -> None:
    """Measure every frame and print the table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("config", nargs="?", default="cpu", help="a TOML file, or the name of a config that ships")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--batch", type=int, help="clusters per batch; the config's by default")
    parser.add_argument("--turns", type=int, default=1, help="repeats; a turn is reuse² steps per frame and stage")
    options = parser.parse_args()
    config = read_config(options.config)
    batch = options.batch or config.batch
    runner = OneDevice(options.device, config.precision)
    machine = torch.cuda.get_device_name(runner.device) if options.device == "cuda" else f"{os.cpu_count()} cores"
    print(f"config {config.name}, batch {batch}, reuse {config.reuse}, group {config.group}, {config.precision}; "
          f"{machine}, load {os.getloadavg()[0]:.1f} at the start, torch {torch.__version__}")  # fmt: skip
    learners = {stage: Learner(stage, CbLdm(config.model), config, runner) for stage in STAGES}
    streams = [make_stream(config, batch, reuse, runner.device) for reuse in (2, config.reuse)]
    print("samples per second\n" + f"{'frame':12}" + "".join(f"{column:>14}" for column in COLUMNS))
    overall = dict.fromkeys(COLUMNS, 0.0)
    for name, weight in zip(FRAMES, FRAME_WEIGHTS, strict=True):
        times = measure(name, config, batch, options.turns, learners, streams)
        overall = {column: overall[column] + weight / sum(FRAME_WEIGHTS) * times[column] for column in COLUMNS}
        print(line(name, times, batch), flush=True)
    print(line("overall", overall, batch))
    for stage in STAGES:
        step, steps = overall[f"{stage} +"], getattr(config, stage).steps
        print(f"{stage}: {1e3 * step:.1f} ms a step, {steps * step / 60:.1f} min for {steps} steps")
    if options.device == "cuda":
        print(f"most memory: {torch.cuda.max_memory_allocated(runner.device) / 2**30:.1f} GiB")


if __name__ == "__main__":
    main()
