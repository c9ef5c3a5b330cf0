"""cbldm train: training."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from cbldm.cli.shared import Quiet, app, console
from cbldm.errors import InputError


@app.command("train")
def train_command(
    config: Annotated[str, typer.Argument(help="A TOML file, or the name of a config that ships, as cpu.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for checkpoints, curve and weights; runs/NAME by default.")
    ] = None,
    accelerator: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    devices: Annotated[
        int | None,
        typer.Option(help="Processes on each node, a device each; torchrun's where it started them, else 1."),
    ] = None,
    nodes: Annotated[
        int | None, typer.Option(help="Machines; where torchrun does not, NODE_RANK and MASTER_ADDR say which this is.")
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="Stop after so long; the same command goes on.")] = None,
    quiet: Quiet = False,
) -> None:
    """Train a model from nothing, or go on where a run stopped."""
    try:
        from cbldm.training import read_config, train
    except ModuleNotFoundError as error:
        raise InputError(f"training needs {error.name}: pip install 'cbldm[train]'") from error
    if minutes is not None and not minutes > 0:
        raise InputError(f"minutes must be above 0, got {minutes:g}")
    settings = read_config(config)
    folder = out or Path("runs") / settings.name
    weights = train(settings, folder, accelerator=accelerator, devices=devices, nodes=nodes,
                    minutes=minutes or math.inf, quiet=quiet)  # fmt: skip
    said = f"stopped with a checkpoint in {folder}" if weights is None else f"weights written to {weights}"
    console.print(said, highlight=False)
