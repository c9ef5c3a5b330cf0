"""What training asks of Lightning Fabric, and the same for one device where Fabric is not installed."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

from cbldm.arithmetic import has_bfloat16
from cbldm.errors import InputError
from cbldm.training.config import Precision

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    Runner: TypeAlias = "Fabric | OneDevice"


class OneDevice:
    """The part of `lightning_fabric.Fabric` that training uses; a step gives the same bits."""

    global_rank, world_size = 0, 1

    def __init__(self, accelerator: str, precision: Precision) -> None:
        if precision == "16-mixed":
            raise InputError("precision 16-mixed needs lightning_fabric; bf16-mixed and 32-true do without it")
        cuda = accelerator == "cuda" or (accelerator == "auto" and torch.cuda.is_available())
        self.device = torch.device("cuda:0" if cuda else "cpu")
        self.mixed = precision == "bf16-mixed"

    def setup(
        self, model: torch.nn.Module, optimizer: torch.optim.Optimizer
    ) -> tuple[Callable[..., Any], torch.optim.Optimizer]:
        """The model's forward pass in the run's arithmetic, and the optimizer as it is."""

        def forward(stage: str, batch: Any, *rest: Any) -> Any:
            if not self.mixed:
                return model(stage, batch, *rest)
            # Fabric hands over its inputs in half precision.
            parts = (p.bfloat16() if isinstance(p, torch.Tensor) and p.is_floating_point() else p for p in batch)
            with torch.autocast(self.device.type, torch.bfloat16):
                return model(stage, type(batch)(*parts), *rest)

        return forward, optimizer

    def all_reduce(self, data: torch.Tensor, reduce_op: str) -> torch.Tensor:
        """Of one process, what it has."""
        return data

    def no_backward_sync(self, module: object) -> AbstractContextManager[None]:
        """Nothing is exchanged."""
        return nullcontext()

    def backward(self, loss: torch.Tensor) -> None:
        """Gradients of the loss."""
        loss.backward()

    def clip_gradients(self, module: object, optimizer: torch.optim.Optimizer, max_norm: float) -> None:
        """Shorten the gradient; an error where it is not finite."""
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        torch.nn.utils.clip_grad_norm_(parameters, max_norm, error_if_nonfinite=True)


def process_layout(devices: int | None, nodes: int | None) -> tuple[int, int]:
    """Processes on each node, and nodes: what torchrun started this process as, or what is asked for.

    Raises:
        InputError: A number is below 1, or not that of torchrun.
    """
    started = {"devices": 1, "nodes": 1}
    under_torchrun = "TORCHELASTIC_RUN_ID" in os.environ
    if under_torchrun:
        started["devices"] = int(os.environ["LOCAL_WORLD_SIZE"])
        started["nodes"] = int(os.environ["WORLD_SIZE"]) // started["devices"]
    for name, asked in (("devices", devices), ("nodes", nodes)):
        if asked is not None and asked < 1:
            raise InputError(f"{name} must be at least 1, got {asked}")
        if under_torchrun and asked not in (None, started[name]):
            raise InputError(
                f"torchrun started {started[name]} {name}, but {asked} are asked for; leave it to torchrun"
            )
        started[name] = asked or started[name]
    return started["devices"], started["nodes"]


def make_runner(accelerator: str, devices: int, nodes: int, precision: Precision) -> Runner:
    """Fabric, launched; `OneDevice` where it is not installed. ``bf16-mixed`` is ``32-true`` on processors without it.

    Args:
        accelerator: ``cpu``, ``cuda`` or ``auto``.
        devices: Processes on each node.
        nodes: Machines.
        precision: Arithmetic.

    Raises:
        InputError: Something is asked for that needs Fabric, which is not installed.
    """
    cuda = accelerator == "cuda" or (accelerator == "auto" and torch.cuda.is_available())
    if precision == "bf16-mixed" and not has_bfloat16("cuda" if cuda else "cpu"):
        precision = "32-true"
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.strategies.ddp import DDPStrategy
    except ModuleNotFoundError as error:
        if devices * nodes > 1:
            raise InputError(
                f"training in {devices * nodes} processes needs {error.name}: pip install 'cbldm[train]'"
            ) from error
        return OneDevice(accelerator, precision)
    # A batch is of one frame, and uses the parameters of that frame alone.
    strategy = DDPStrategy(find_unused_parameters=True) if devices * nodes > 1 else "auto"
    fabric = Fabric(accelerator=accelerator, devices=devices, num_nodes=nodes, precision=precision, strategy=strategy)
    fabric.launch()
    return fabric
