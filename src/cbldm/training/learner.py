"""One stage's learning: a step of the optimizer, its rate, and the moving average of the weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, get_args

import torch

from cbldm.data.stream import Batch
from cbldm.models.cbldm import CbLdm, Stage
from cbldm.training.config import StageConfig, TrainingConfig

if TYPE_CHECKING:
    from cbldm.training.runner import Runner

#: Decay of the moving average of the weights, reached after a warm-up.
EMA_DECAY = 0.998


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


class Learner:
    """The model in one stage, its optimizer and its average, on the runner's device.

    Args:
        stage: The stage; parameters of others are frozen.
        model: The model with the weights to begin with.
        config: The run.
        runner: Where and in which arithmetic.
    """

    def __init__(self, stage: Stage, model: CbLdm, config: TrainingConfig, runner: Runner) -> None:
        self.stage, self.model, self.seed, self.runner = stage, model, config.seed, runner
        self.settings: StageConfig = getattr(config, stage)
        model.to(runner.device).requires_grad_(False)
        parameters = model.stage_parameters(stage)
        for parameter in parameters:
            parameter.requires_grad_(True)
        self.raw_optimizer = torch.optim.AdamW(parameters, lr=self.settings.learning_rate, weight_decay=0.01)
        self.average = Average(model, stage)
        self.warm_from = 0
        self.module: Any
        self.optimizer: Any
        self.module, self.optimizer = runner.setup(model, self.raw_optimizer)

    def state(self) -> dict[str, Any]:
        """What `resume` needs."""
        return {
            "model": dict(self.model.state_dict()),
            "optimizer": self.raw_optimizer.state_dict(),
            "average": self.average.shadow,
        }

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint whose weights the model already has."""
        if "optimizer" in state:
            self.raw_optimizer.load_state_dict(state["optimizer"])
            self.average.shadow = [shadow.to(self.runner.device) for shadow in state["average"]]
            self.average.steps = int(state["step"])
        else:
            self.warm_from = int(state["step"])

    def learn(self, step: int, shards: Sequence[tuple[Batch, int]]) -> dict[str, torch.Tensor]:
        """Take one step along the mean gradient of the shards of all processes.

        Args:
            step: Number of the step.
            shards: What this process learns from, as many batches of equal size in each process, and the number of
                each, which seeds its noise.

        Returns:
            Scalars for the curve, means over the shards, on the device.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate(self.settings, step, self.warm_from)
        beta = self.settings.beta * min(1.0, (step + 1) / self.settings.beta_steps)
        self.optimizer.zero_grad()
        seen: list[dict[str, torch.Tensor]] = []
        for batch, number in shards:
            noise = step_noise(self.seed, self.stage, number, str(self.runner.device))
            waits = self.runner.world_size > 1 and len(seen) + 1 < len(shards)
            # Processes exchange their gradients once, after the last shard.
            with self.runner.no_backward_sync(self.module) if waits else nullcontext():
                loss, parts = self.module(self.stage, batch, noise, beta)
                self.runner.backward(loss / len(shards))
            seen.append({"loss": loss.detach()} | {key: value.detach() for key, value in parts.items()})
        self.runner.clip_gradients(self.module, self.optimizer, max_norm=1.0)
        self.optimizer.step()
        self.average.update()
        return {key: torch.stack([scalars[key] for scalars in seen]).mean() for key in seen[0]}


def rate(settings: StageConfig, step: int, warm_from: int = 0) -> float:
    """Linear warm-up from the step at which the optimizer was new, then a cosine down to a fiftieth."""
    cosine = 0.5 * (1 + math.cos(math.pi * step / settings.steps))
    return settings.learning_rate * min(1.0, (step - warm_from + 1) / settings.warmup) * (0.02 + 0.98 * cosine)


def step_noise(seed: int, stage: Stage, number: int, device: str) -> torch.Generator:
    """The source of the noise of one batch."""
    offset = 1 + get_args(Stage).index(stage)
    return torch.Generator(device=device).manual_seed((seed * 7_368_787 + offset * 15_485_863 + number) % 2**63)
