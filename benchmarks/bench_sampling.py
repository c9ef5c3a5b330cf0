"""Quality and cost of raw samples against the number of denoiser calls: 0 (the conditional prior alone) to 50.

Clusters are of the validation split, so none was trained on and none is in an evaluation set. Raw samples: no moves, no
refinement. Writes a table, a JSON file and a figure.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from cbldm.data.stream import Stream
from cbldm.geometry.frames import FRAMES
from cbldm.models.cbldm import CbLdm
from cbldm.models.checkpoint import load_weights
from cbldm.parallel import steady
from cbldm.pipeline import recover

STEPS = (0, 1, 2, 4, 8, 20, 50)
#: PDFs of each frame, and samples of each PDF.
PER_FRAME, SAMPLES = 12, 16
#: The timed case: samples for one PDF of a cluster of about so many atoms.
TIMED, ATOMS = 64, 150


def quality(model: CbLdm, steps: int, per_frame: int) -> dict[str, float]:
    """Mean scores of samples in the frame that is right, with atom counts drawn by the model.

    F1 is over the sites in canonical pose, so a sample in an equivalent pose counts as wrong: a lower bound.
    """
    scores: list[list[float]] = []
    for name in FRAMES:
        batch = Stream(90_001, per_frame, "validation", (20, 256), textbook=0.0).batch(0, name)
        for row in range(per_frame):
            generator = torch.Generator().manual_seed(row)
            drawn = model.draw(
                batch.pdf[row : row + 1], batch.conditions[row : row + 1], SAMPLES, generator, steps=steps
            )
            truth, n = set(batch.occupancy[row].nonzero()[:, 0].tolist()), int(batch.n_atoms[row])
            found = [
                2 * len(truth & set(s.sites.tolist())) / (len(s.sites) + n) if s.frame == name else 0.0 for s in drawn
            ]
            near = [abs(len(s.sites) - n) <= 0.05 * n for s in drawn]
            distinct = len({s.sites.tobytes() for s in drawn})
            scores.append([float(np.mean(found)), max(found), float(np.mean(near)), float(any(near)), distinct])
    names = ("f1", "f1_best", "count_within_5", "count_within_5_best", "distinct")
    return dict(zip(names, np.mean(scores, axis=0).tolist(), strict=True))


@steady()
def seconds(model: CbLdm, steps: int) -> tuple[float, float]:
    """Wall clock of drawing 64 samples for one PDF of about 150 atoms, and of recovering all positions from S.

    Torch and BLAS have one thread, as within a solve: on matrices of this size a second one costs more than it gains.
    """
    batch = Stream(90_002, 1, "validation", (ATOMS - 3, ATOMS + 3), textbook=0.0).batch(0, "fcc")
    drawing, recovering = [], []
    for repeat in range(3):
        begin = time.perf_counter()
        drawn = model.draw(batch.pdf, batch.conditions, TIMED, torch.Generator().manual_seed(repeat), steps=steps)
        middle = time.perf_counter()
        for sample in drawn:
            recover(model, sample)
        drawing.append(middle - begin)
        recovering.append(time.perf_counter() - middle)
    return min(drawing), min(recovering)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, default=None)
    parser.add_argument("--per-frame", type=int, default=PER_FRAME)
    parser.add_argument("--out", type=Path, default=Path("runs/bench_sampling"))
    options = parser.parse_args()
    model, identity = load_weights(options.weights, "cpu")
    title = f"raw samples of {identity['name']}, {len(FRAMES) * options.per_frame} unseen PDFs, {SAMPLES} samples each"
    table = Table(title=title, title_justify="left")
    for name in ("steps", "F1", "best of 16", "N ±5 %", "any of 16", "distinct of 16", "draw 64, s", "recover 64, s"):
        table.add_column(name, justify="right")
    rows = []
    for steps in STEPS:
        row = {"steps": steps, **quality(model, steps, options.per_frame)}
        row["draw_seconds"], row["recover_seconds"] = seconds(model, steps)
        rows.append(row)
        table.add_row(
            str(steps), f"{row['f1']:.3f}", f"{row['f1_best']:.3f}", f"{100 * row['count_within_5']:.0f}",
            f"{100 * row['count_within_5_best']:.0f}", f"{row['distinct']:.1f}", f"{row['draw_seconds']:.2f}",
            f"{row['recover_seconds']:.2f}",
        )  # fmt: skip
    Console(width=130).print(table)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "steps.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    _draw(rows, options.out / "steps.png")


def _draw(rows: list[dict[str, float]], path: Path) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    place = np.arange(len(rows))
    for key, label, style in (("f1", "mean of samples", "o-"), ("f1_best", "best of 16", "s--")):
        left.plot(place, [row[key] for row in rows], style, label=label)
    left.set_ylabel("F1 of sites, unseen shapes")
    for key, label, style in (("draw_seconds", "draw", "o-"), ("recover_seconds", "recover positions", "s--")):
        right.plot(place, [row[key] for row in rows], style, label=label)
    right.set_ylabel(f"seconds for {TIMED} samples of {ATOMS} atoms")
    for axes in (left, right):
        axes.set_xticks(place, [str(row["steps"]) for row in rows])
        axes.set_xlabel("denoiser calls (0: the prior alone)")
        axes.legend(frameon=False)
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main()
