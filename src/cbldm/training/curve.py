"""The training curve as a CSV file, a row for each checkpoint, of all processes together."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from cbldm.models.cbldm import Stage

if TYPE_CHECKING:
    from cbldm.training.runner import Runner

COLUMNS = ("stage", "step", "loss", "presence", "matrix", "kl", "f1", "prior", "denoiser", "motif", "count",
           "unseen_f1", "seen_f1")  # fmt: skip


class Curve:
    """Means of the training scalars between checkpoints; a resumed run drops the rows after its checkpoint.

    Args:
        path: The file.
        stage: The stage that is trained.
        first: Step at which it goes on.
        runner: Where it runs: the first of its processes writes the file.
    """

    def __init__(self, path: Path, stage: Stage, first: int, runner: Runner) -> None:
        self.path, self.stage, self.runner, self.active = path, stage, runner, runner.global_rank == 0
        self.values: dict[str, list[torch.Tensor]] = {}
        self.points: dict[str, float] = {}
        rows: list[dict[str, str]] = []
        if self.active and path.is_file():
            with path.open(newline="", encoding="utf-8") as file:
                rows = [row for row in csv.DictReader(file) if row["stage"] != stage or int(row["step"]) <= first]
        if self.active:
            with path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, COLUMNS)
                writer.writeheader()
                writer.writerows(rows)

    def add(self, scalars: Mapping[str, torch.Tensor]) -> None:
        """Take in the scalars of a step; they stay on the device, so that it need not be waited for."""
        for key, value in scalars.items():
            self.values.setdefault(key, []).append(value)

    def set(self, key: str, value: float) -> None:
        """Set a number that is measured once per row."""
        self.points[key] = value

    def mean(self, key: str) -> float:
        """Mean of the last 50 steps of this row in this process, waiting for the device."""
        values = self.values.get(key, [])[-50:]
        return float(torch.stack(values).mean()) if values else math.nan

    def flush(self, step: int) -> None:
        """Write the row; every process has to call this."""
        row: dict[str, Any] = {"stage": self.stage, "step": step}
        for key, values in self.values.items():
            means = self.runner.all_reduce(torch.stack(values), reduce_op="mean")
            assert isinstance(means, torch.Tensor)  # as what was given
            row[key] = f"{sum(means.tolist()) / len(values):.5g}"
        row |= {key: f"{value:.4f}" for key, value in self.points.items()}
        if self.active:
            with self.path.open("a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, COLUMNS).writerow(row)
        self.values, self.points = {}, {}
