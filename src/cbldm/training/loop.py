"""The training loop: every stage in its turn, from the beginning or from the last checkpoint.

Batches and noise of step k are pure functions of (seed, stage, k).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import torch

from cbldm.data.splits import Split
from cbldm.data.stream import Batch, Stream
from cbldm.errors import InputError
from cbldm.geometry.frames import FRAMES
from cbldm.model_card import write_card
from cbldm.models.cbldm import CbLdm, Stage
from cbldm.models.diffusion import sample
from cbldm.training.checkpoints import read_checkpoint, write_checkpoint
from cbldm.training.config import TrainingConfig
from cbldm.training.curve import Curve
from cbldm.training.display import display
from cbldm.training.learner import Learner, step_noise
from cbldm.training.runner import make_runner, process_layout

if TYPE_CHECKING:
    from cbldm.training.runner import Runner

#: Clusters per frame in a validation set.
N_VALIDATION = 96
#: Steps between looks at the loss, for which the device is waited for.
LOOK_EVERY = 10


@dataclass(frozen=True)
class _Run:
    """A run in progress.

    Attributes:
        config: Its settings.
        out: Its folder.
        runner: Where and in which arithmetic it runs.
        deadline: Reading of the monotonic clock at which it stops.
        quiet: Show nothing.
    """

    config: TrainingConfig
    out: Path
    runner: Runner
    deadline: float
    quiet: bool


def train(
    config: TrainingConfig,
    out: Path,
    *,
    accelerator: str = "auto",
    devices: int | None = None,
    nodes: int | None = None,
    minutes: float = math.inf,
    quiet: bool = False,
) -> Path | None:
    """Train every stage, or go on where a checkpoint in the folder stopped, with any number of processes.

    Args:
        config: The run.
        out: Folder for the checkpoint, ``curve.csv`` and, at the end, the weights.
        accelerator: ``cpu``, ``cuda`` or ``auto``.
        devices: Processes on each node, a device each; what torchrun started, otherwise 1.
        nodes: Machines; what torchrun started, otherwise 1.
        minutes: Time after which a checkpoint is written and training stops; in one process only.
        quiet: Show no progress.

    Returns:
        Folder of the finished weights; None where time ran out, or where safetensors is not installed, which they
        are written with. The checkpoint is there, and training again goes on from it.

    Raises:
        InputError: The folder holds a damaged checkpoint or that of another configuration, or an option needs a
            package that is not installed.
    """
    deadline = time.monotonic() + 60 * minutes
    layout = process_layout(devices, nodes)
    n_processes = math.prod(layout)
    if n_processes > 1 and minutes < math.inf:
        raise InputError(f"training for some minutes needs one process, got {n_processes}")
    if config.shards % n_processes:
        raise InputError(f"{n_processes} processes cannot share the {config.shards} shards of config {config.name} "
                         f"evenly; set shards to a multiple of {n_processes}")  # fmt: skip
    run = _Run(config, out, make_runner(accelerator, *layout, config.precision), deadline, quiet)
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    model = CbLdm(config.model)
    state = read_checkpoint(out)
    if state:
        if state["config"] != config.digest:
            raise InputError(f"{out} holds the checkpoint of another configuration; choose an empty folder")
        model.load_state_dict(state["model"])
    stages = get_args(Stage)
    first = stages.index(state["stage"]) + bool(state["finished"]) if state else 0
    for stage in stages[first:]:
        state = _train_stage(run, stage, model, state)
        if not state["finished"]:
            return None
    return _write_weights(run, model, state["seconds"])


def _write_weights(run: _Run, model: CbLdm, seconds: Mapping[str, float]) -> Path | None:
    try:
        from cbldm.models.checkpoint import save_weights
    except ModuleNotFoundError as error:
        if error.name != "safetensors":
            raise
        return None
    config, weights = run.config, run.out / run.config.name
    if run.runner.global_rank == 0:
        save_weights(model, weights, config.name)
        text = json.dumps(asdict(config), indent=2)
        write_card(weights, config.name, text, config.n_atoms, run.out / "curve.csv", seconds)
    return weights


def _train_stage(run: _Run, stage: Stage, model: CbLdm, state: Mapping[str, Any]) -> dict[str, Any]:
    """Train one stage from its beginning, or from the state of a checkpoint in it, and give the last state."""
    config, runner, device = run.config, run.runner, str(run.runner.device)
    resumed = bool(state) and state["stage"] == stage
    first = int(state["step"]) if resumed else 0
    model.to(runner.device)
    if stage == "sculptor" and not resumed:
        model.set_latent_scale(_every_frame(_stream(config, stage, 0, config.batch, device), 2))
    mine = range(runner.global_rank, config.shards, runner.world_size)
    streams = {shard: _stream(config, stage, shard, config.batch // config.shards, device) for shard in mine}
    learner = Learner(stage, model, config, runner)
    if resumed:
        learner.resume(state)
    held_out, seen = (list(_every_frame(_small_stream(config, split, device), 1)) for split in ("validation", "train"))
    leads, steps = runner.global_rank == 0, learner.settings.steps
    curve = Curve(run.out / "curve.csv", stage, first, runner)
    seconds, begin = dict(state.get("seconds", {})), time.monotonic()
    before, step, last, out_of_time = seconds.get(stage, 0.0), first, False, False
    with display(stage, first, steps, run.quiet or not leads) as show:
        while not (last or out_of_time):
            numbers = {shard: step * config.shards + shard for shard in streams}
            curve.add(learner.learn(step, [(streams[shard].batch(step), numbers[shard]) for shard in streams]))
            step += 1
            last = step == steps
            if step % config.validate_every == 0 or last:
                learner.average.swap()
                for name, batches in (("unseen", held_out), ("seen", seen)):
                    curve.set(f"{name}_f1", _recovery(model, stage, batches, config.seed))
                learner.average.swap()
            if step % LOOK_EVERY == 0 or last:
                show(step, curve.mean("loss"))
            out_of_time = time.monotonic() >= run.deadline
            if step % config.checkpoint_every == 0 or last or out_of_time:
                curve.flush(step)
                if last:
                    # The next stage, and the finished weights, start from the average.
                    learner.average.swap()
                seconds[stage] = before + time.monotonic() - begin
                state = {"config": config.digest, "stage": stage, "step": step, "finished": last, "seconds": seconds}
                state |= learner.state()
                if leads:
                    write_checkpoint(run.out, state, config.checkpoint)
    return dict(state)


def _stream(config: TrainingConfig, stage: Stage, shard: int, size: int, device: str) -> Stream:
    """The training batches of one shard."""
    # Every stage and every shard sees shapes of its own.
    seed = config.seed + 101 * get_args(Stage).index(stage) + 15_485_863 * shard
    return Stream(
        seed, size, "train", config.n_atoms, config.textbook, reuse=config.reuse, group=config.group,
        matrix=config.model.matrix, tau=config.model.tau, unit=config.model.unit, device=device,
    )  # fmt: skip


def _small_stream(config: TrainingConfig, split: Split, device: str) -> Stream:
    """The fixed clusters of the curves, from the cuts alone and from a seed of their own."""
    return Stream(
        config.seed + 7919, N_VALIDATION, split, config.n_atoms, textbook=0.0, matrix=config.model.matrix,
        tau=config.model.tau, unit=config.model.unit, device=device,
    )  # fmt: skip


def _every_frame(stream: Stream, repeats: int) -> Iterator[Batch]:
    for name in FRAMES:
        for number in range(repeats):
            yield stream.batch(number, name)


@torch.no_grad()
def _recovery(model: CbLdm, stage: Stage, batches: list[Batch], seed: int) -> float:
    """Mean F1 of the sites: of the reconstruction (translator), or of one sample given the true frame and count."""
    scores = []
    for batch in batches:
        index = batch.frame_index
        if stage != "sculptor":
            z = model.posterior(batch).mean
        else:
            frames = torch.full((len(batch.pdf),), index, device=batch.pdf.device)
            code = model.pdf_encoder(batch.pdf, batch.conditions)
            prior = model.latent_prior(code, frames, batch.n_atoms)
            context = model.prior.context(code, frames, batch.n_atoms)
            start = model.start_prior(prior)
            generator = step_noise(seed, stage, index, str(batch.pdf.device))
            denoise = partial(model.denoiser, prior=start, context=context)
            z = sample(denoise, prior, 8, generator, start=model.config.start)
            z = z * model.latent_std[index] + model.latent_mean[index]
        found = model.vae.decode(index, z).logits > 0
        both = (found & batch.occupancy).sum(dim=1)
        scores.append(2 * both / (found.sum(dim=1) + batch.n_atoms))
    return float(torch.cat(scores).float().mean())
