"""What a training run is: settings read from TOML."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from cbldm.errors import InputError
from cbldm.models.cbldm import ModelConfig

_T = TypeVar("_T", bound="ModelConfig | StageConfig | TrainingConfig")
#: Arithmetic of a run, in the words of Fabric.
Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
#: What a checkpoint keeps; see `cbldm.training.checkpoints`.
CheckpointKind = Literal["exact", "compact"]


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
        sculptor: The diffusion's stage.
        batch: Clusters per step, over all processes.
        shards: Parts of each step's batch, from seeds of their own. Processes share them out, so what is learned from
            does not depend on how many processes there are: any number that divides the shards.
        reuse: Steps that share their shapes.
        n_atoms: Smallest and largest atom count.
        textbook: Share of textbook shapes.
        group: Clusters that share an instrument within a batch.
        precision: Fabric's precision; ``bf16-mixed`` where the device computes in it, ``32-true`` elsewhere.
        validate_every: Steps between points of the validation curve.
        checkpoint_every: Steps between checkpoints.
        checkpoint: ``exact``: resuming changes nothing; ``compact``: files small enough to carry about.
    """

    name: str
    seed: int
    model: ModelConfig
    translator: StageConfig
    sculptor: StageConfig
    batch: int = 512
    shards: int = 1
    reuse: int = 2
    n_atoms: tuple[int, int] = (5, 256)
    textbook: float = 0.12
    group: int = 64
    precision: Precision = "bf16-mixed"
    validate_every: int = 200
    checkpoint_every: int = 100
    checkpoint: CheckpointKind = "exact"

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
    if config.shards < 1 or config.batch % config.shards:
        raise InputError(f"shards in {path.name} must divide the batch of {config.batch} into equal parts, "
                         f"got {config.shards}")  # fmt: skip
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
