"""Training: stream -> model -> checkpoint, one stage after the other, exactly resumable (Lightning Fabric).

Batches and noise of step k are pure functions of (seed, stage, k), so a run that was killed and resumed ends with the
weights of an unbroken one on the same machine.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import time
import tomllib
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, fields
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cbldm.data.splits import Split
from cbldm.data.stream import Batch, Stream
from cbldm.errors import InputError
from cbldm.geometry.frames import FRAMES
from cbldm.model_card import write_card
from cbldm.models.cbldm import CbLdm, ModelConfig, Stage
from cbldm.models.checkpoint import save_weights
from cbldm.models.diffusion import sample

_T = TypeVar("_T", bound="ModelConfig | StageConfig | TrainingConfig")
#: Arithmetic of a run, in the words of Fabric.
Precision = Literal["32-true", "bf16-mixed", "16-mixed"]

#: Decay of the moving average of the weights, reached after a warm-up.
EMA_DECAY = 0.998
#: Clusters per frame in a validation set.
N_VALIDATION = 96


@dataclass(frozen=True)
class StageConfig:
    """Length and rates of one stage.

    Attributes:
        steps: Optimizer steps.
        learning_rate: Peak of AdamW's rate; a warm-up and a cosine lead to and from it.
        warmup: Steps of the warm-up.
        beta: Final weight of the KL term (VAE only).
        beta_steps: Steps over which beta is annealed up (VAE only).
    """

    steps: int
    learning_rate: float
    warmup: int = 50
    beta: float = 0.15
    beta_steps: int = 300


@dataclass(frozen=True)
class TrainingConfig:
    """One training run, as read from TOML.

    Attributes:
        name: Name of the run and of its weights.
        seed: Seed of every draw.
        model: The network.
        translator: The VAE's stage.
        polish: The VAE's second stage, from the averaged weights of the first, with a fresh optimizer.
        sculptor: The diffusion's stage.
        batch: Clusters per step and device.
        reuse: Steps that share their shapes.
        n_atoms: Smallest and largest atom count.
        textbook: Share of textbook shapes.
        precision: Fabric's precision.
        validate_every: Steps between points of the validation curve.
        checkpoint_every: Steps between checkpoints.
    """

    name: str
    seed: int
    model: ModelConfig
    translator: StageConfig
    polish: StageConfig
    sculptor: StageConfig
    batch: int = 512
    reuse: int = 2
    n_atoms: tuple[int, int] = (5, 256)
    textbook: float = 0.12
    precision: Precision = "bf16-mixed"
    validate_every: int = 200
    checkpoint_every: int = 100

    @property
    def digest(self) -> str:
        """Hash of all settings: a checkpoint belongs to one of them."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def read_config(name_or_path: str) -> TrainingConfig:
    """Read a training configuration.

    Args:
        name_or_path: A TOML file, or the name of one that ships with cbldm.

    Raises:
        InputError: The file is missing or not TOML, or a key is unknown, missing or of the wrong kind.
    """
    path = Path(name_or_path)
    shipped = Path(str(files("cbldm"))) / "configs"
    if not path.suffix:
        path = shipped / f"{name_or_path}.toml"
    if not path.is_file():
        names = ", ".join(sorted(p.stem for p in shipped.glob("*.toml")))
        raise InputError(f"no training config {name_or_path!r}; give a .toml file or one of: {names}")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path.name} is not valid TOML: {error}") from error
    parts: dict[str, type[ModelConfig | StageConfig]] = {
        "model": ModelConfig,
        "translator": StageConfig,
        "polish": StageConfig,
        "sculptor": StageConfig,
    }
    try:
        for key, kind in parts.items():
            content[key] = _build(kind, content.get(key, {}), f"[{key}] of {path.name}")
        if "n_atoms" in content:
            low, high = content["n_atoms"]
            content["n_atoms"] = (int(low), int(high))
        config = _build(TrainingConfig, content, path.name)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path.name}: {error}") from error
    if not 5 <= config.n_atoms[0] <= config.n_atoms[1] <= config.model.n_max:
        raise InputError(f"n_atoms in {path.name} must lie within 5 and n_max {config.model.n_max}, "
                         f"got {list(config.n_atoms)}")  # fmt: skip
    return config


def _build(kind: type[_T], values: Mapping[str, Any], where: str) -> _T:
    known = {field.name for field in fields(kind)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise InputError(f"unknown key {unknown[0]!r} in {where}; allowed: {', '.join(sorted(known))}")
    hints = get_type_hints(kind)
    for name, value in values.items():
        if not _is_of_kind(value, hints[name]):
            allowed = " or ".join(map(str, get_args(hints[name]))) or hints[name].__name__
            raise InputError(f"{name} in {where} must be {allowed}, got {value!r}")
    return kind(**values)


def _is_of_kind(value: Any, hint: Any) -> bool:
    """Whether a value read from TOML, or made of one, is what a field's annotation says."""
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, get_origin(hint) or hint) and not isinstance(value, bool)


class Average:
    """Exponential moving average of the parameters of a stage."""

    def __init__(self, model: CbLdm, stage: Stage) -> None:
        self.parameters = model.stage_parameters(stage)
        self.shadow = [p.detach().clone() for p in self.parameters]
        self.steps = 0

    def update(self) -> None:
        """Take in the parameters after a step."""
        self.steps += 1
        decay = min(EMA_DECAY, (1 + self.steps) / (10 + self.steps))
        for shadow, parameter in zip(self.shadow, self.parameters, strict=True):
            shadow.lerp_(parameter.detach(), 1 - decay)

    def swap(self) -> None:
        """Exchange parameters and average; a second call undoes it."""
        for shadow, parameter in zip(self.shadow, self.parameters, strict=True):
            kept = parameter.detach().clone()
            parameter.data.copy_(shadow)
            shadow.copy_(kept)


def train(
    config: TrainingConfig, out: Path, *, accelerator: str = "auto", devices: int = 1, quiet: bool = False
) -> Path:
    """Train every stage, or go on where a checkpoint in the folder stopped.

    Args:
        config: The run.
        out: Folder for ``checkpoint.pt``, ``curve.csv`` and, at the end, the weights.
        accelerator: ``cpu``, ``cuda`` or ``auto``.
        devices: Number of devices.
        quiet: Show no progress bar.

    Returns:
        Folder of the finished weights.

    Raises:
        InputError: The folder holds the checkpoint of another configuration.
    """
    strategy = DDPStrategy(find_unused_parameters=True) if devices > 1 else "auto"
    fabric = Fabric(accelerator=accelerator, devices=devices, precision=config.precision, strategy=strategy)
    fabric.launch()
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    model = CbLdm(config.model)
    done = _Progress(out / "checkpoint.pt", config, fabric)
    for stage in get_args(Stage):
        if done.stage_is_over(stage):
            continue
        _train_stage(stage, model, config, out, fabric, done, quiet)
    done.restore_model(model)
    weights = out / config.name
    if fabric.global_rank == 0:
        save_weights(model, weights, config.name)
        text = json.dumps(asdict(config), indent=2)
        write_card(weights, config.name, text, config.n_atoms, out / "curve.csv", done.state.get("seconds", {}))
    return weights


class _Progress:
    """The checkpoint file: written whole or not at all."""

    def __init__(self, path: Path, config: TrainingConfig, fabric: Fabric) -> None:
        self.path, self.config, self.fabric = path, config, fabric
        self.state: dict[str, Any] = {}
        if path.is_file():
            self.state = torch.load(path, map_location="cpu", weights_only=True)
            if self.state["config"] != config.digest:
                raise InputError(f"{path} belongs to another configuration; choose an empty --out folder")

    def stage_is_over(self, stage: Stage) -> bool:
        order = get_args(Stage)
        if not self.state:
            return False
        if self.state["stage"] == stage:
            return bool(self.state["finished"])
        return order.index(self.state["stage"]) > order.index(stage)

    def restore_model(self, model: CbLdm) -> None:
        if self.state:
            model.load_state_dict(self.state["model"])

    def write(
        self, stage: Stage, step: int, finished: bool, model: CbLdm, optimizer: Any, average: Average, seconds: float
    ) -> None:
        self.state = {
            "config": self.config.digest,
            "stage": stage,
            "step": step,
            "finished": finished,
            "model": {key: value.detach().cpu().clone() for key, value in model.state_dict().items()},
            "optimizer": deepcopy(optimizer.state_dict()),
            "average": [shadow.cpu() for shadow in average.shadow],
            "seconds": dict(self.state.get("seconds", {})) | {stage: seconds},
        }
        if self.fabric.global_rank == 0:
            partial = self.path.with_suffix(".partial")
            torch.save(self.state, partial)
            partial.replace(self.path)


def _train_stage(
    stage: Stage, model: CbLdm, config: TrainingConfig, out: Path, fabric: Fabric, done: _Progress, quiet: bool
) -> None:
    settings: StageConfig = getattr(config, stage)
    device = str(fabric.device)
    done.restore_model(model)
    resumed = bool(done.state) and done.state["stage"] == stage
    stream = Stream(
        # Every stage sees shapes of its own.
        config.seed + 101 * get_args(Stage).index(stage), config.batch, "train", config.n_atoms, config.textbook,
        reuse=config.reuse, matrix=config.model.matrix, tau=config.model.tau, device=device,
    )  # fmt: skip
    model.to(fabric.device)
    if stage == "sculptor" and not resumed:
        model.eval()
        model.set_latent_scale(_every_frame(stream, 2))
    model.requires_grad_(False)
    parameters = model.stage_parameters(stage)
    for parameter in parameters:
        parameter.requires_grad_(True)
    raw_optimizer = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=0.01)
    average = Average(model, stage)
    first = 0
    if resumed:
        raw_optimizer.load_state_dict(done.state["optimizer"])
        average.shadow = [shadow.to(fabric.device) for shadow in done.state["average"]]
        first = average.steps = int(done.state["step"])
    module, optimizer = fabric.setup(model, raw_optimizer)
    curve = _Curve(out / "curve.csv", stage, first, fabric.global_rank == 0)
    held_out, seen = (list(_every_frame(_small_stream(config, split, device), 1)) for split in ("validation", "train"))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TimeRemainingColumn(), TextColumn("{task.fields[loss]}"))  # fmt: skip
    begin, before = time.monotonic(), done.state.get("seconds", {}).get(stage, 0.0)
    with Progress(*columns, disable=quiet or fabric.global_rank != 0) as bar:
        task = bar.add_task(stage, total=settings.steps, completed=first, loss="")
        for step in range(first, settings.steps):
            for group in optimizer.param_groups:
                group["lr"] = _rate(settings, step)
            number = step * fabric.world_size + fabric.global_rank
            batch = stream.batch(number)
            beta = settings.beta * min(1.0, (step + 1) / settings.beta_steps)
            loss, parts = module(stage, batch, _noise(config.seed, stage, number, device), beta)
            optimizer.zero_grad()
            fabric.backward(loss)
            fabric.clip_gradients(module, optimizer, max_norm=1.0)
            optimizer.step()
            average.update()
            curve.add({"loss": float(loss.detach()), **{key: float(value.detach()) for key, value in parts.items()}})
            last = step + 1 == settings.steps
            if (step + 1) % config.validate_every == 0 or last:
                average.swap()
                model.eval()
                for name, batches in (("unseen", held_out), ("seen", seen)):
                    curve.set(f"{name}_f1", _recovery(model, stage, batches, config.seed))
                model.train()
                average.swap()
            if (step + 1) % config.checkpoint_every == 0 or last:
                curve.flush(step + 1)
                if last:
                    average.swap()
                done.write(stage, step + 1, last, model, optimizer, average, before + time.monotonic() - begin)
            bar.update(task, completed=step + 1, loss=f"loss {curve.mean('loss'):.3f}")


def _rate(settings: StageConfig, step: int) -> float:
    """Linear warm-up, then a cosine down to a fiftieth."""
    cosine = 0.5 * (1 + math.cos(math.pi * step / settings.steps))
    return settings.learning_rate * min(1.0, (step + 1) / settings.warmup) * (0.02 + 0.98 * cosine)


def _small_stream(config: TrainingConfig, split: Split, device: str) -> Stream:
    """The fixed clusters of the curves, from the cuts alone and from a seed of their own."""
    return Stream(
        config.seed + 7919, N_VALIDATION, split, config.n_atoms, textbook=0.0, matrix=config.model.matrix,
        tau=config.model.tau, device=device,
    )  # fmt: skip


def _every_frame(stream: Stream, repeats: int) -> Iterator[Batch]:
    for name in FRAMES:
        for number in range(repeats):
            yield stream.batch(number, name)


def _noise(seed: int, stage: Stage, number: int, device: str) -> torch.Generator:
    offset = 1 + get_args(Stage).index(stage)
    return torch.Generator(device=device).manual_seed((seed * 7_368_787 + offset * 15_485_863 + number) % 2**63)


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
            generator = _noise(seed, stage, index, str(batch.pdf.device))
            denoise = partial(model.denoiser, prior=start, context=context)
            z = sample(denoise, prior, 8, generator, start=model.config.start)
            z = z * model.latent_std[index] + model.latent_mean[index]
        found = model.vae.decode(index, z).logits > 0
        both = (found & batch.occupancy).sum(dim=1)
        scores.append(2 * both / (found.sum(dim=1) + batch.n_atoms))
    return float(torch.cat(scores).float().mean())


class _Curve:
    """Means of the training scalars between checkpoints, as rows of a CSV file; a resumed run drops later rows."""

    COLUMNS = ("stage", "step", "loss", "presence", "matrix", "kl", "f1", "prior", "denoiser", "motif", "count",
               "unseen_f1", "seen_f1")  # fmt: skip

    def __init__(self, path: Path, stage: Stage, first: int, active: bool) -> None:
        self.path, self.stage, self.active = path, stage, active
        self.sums: dict[str, list[float]] = {}
        self.points: dict[str, float] = {}
        rows: list[dict[str, str]] = []
        if path.is_file():
            with path.open(newline="", encoding="utf-8") as file:
                rows = [row for row in csv.DictReader(file) if row["stage"] != stage or int(row["step"]) <= first]
        if active:
            with path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, self.COLUMNS)
                writer.writeheader()
                writer.writerows(rows)

    def add(self, values: Mapping[str, float]) -> None:
        for key, value in values.items():
            self.sums.setdefault(key, []).append(value)

    def set(self, key: str, value: float) -> None:
        self.points[key] = value

    def mean(self, key: str) -> float:
        values = self.sums.get(key, [math.nan])[-50:]
        return sum(values) / len(values)

    def flush(self, step: int) -> None:
        row: dict[str, Any] = {"stage": self.stage, "step": step}
        row |= {key: f"{sum(values) / len(values):.5g}" for key, values in self.sums.items()}
        row |= {key: f"{value:.4f}" for key, value in self.points.items()}
        if self.active:
            with self.path.open("a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, self.COLUMNS).writerow(row)
        self.sums, self.points = {}, {}
