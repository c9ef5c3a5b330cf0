"""cbldm evaluate: scores on clusters of known structure."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cbldm.cli.shared import From, Quiet, Seed, app, console
from cbldm.options import MODEL_SOURCES, Options


@app.command("evaluate")
def evaluate_command(
    name: Annotated[
        str,
        typer.Argument(
            metavar="SET", help="textbook, offlibrary, large, or seen: textbook shapes of the training split."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for cases.jsonl, report.json and pictures; a run is resumed.")],
    source: From = "cbldm",
    floor: Annotated[
        list[float] | None, typer.Option(help="Noise floor (Rw), once or more often; else 0, 0.05, 0.1 and 0.2.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Cases per floor at most.")] = None,
    samples: Annotated[int, typer.Option(help="Structures drawn per PDF.")] = 64,
    seed: Seed = 0,
    weights: Annotated[Path | None, typer.Option(help="Folder of a trained model.")] = None,
    quiet: Quiet = False,
) -> None:
    """Score the solver on clusters of known structure whose shapes no training has seen."""
    from cbldm.data.evaluation_sets import case_keys
    from cbldm.data.structure_files import write_text
    from cbldm.evaluation import FLOORS, evaluate
    from cbldm.models.checkpoint import load_weights
    from cbldm.pipeline import SOURCES, solve
    from cbldm.report.calibration_figure import draw_calibration
    from cbldm.report.evaluation_figure import draw_evaluation
    from cbldm.report.evaluation_tables import calibration_table, score_table

    case_keys(name, limit, seed)  # refuses what is not there before anything is shown

    options: dict[str, Any] = {"source": source, "samples": samples, "seed": seed, "weights": weights}
    Options(**options)
    solver = f"{SOURCES[source]}, seed {seed}"
    if source in MODEL_SOURCES:
        _, model = load_weights(weights)  # damaged weights are no fault of the cases
        solver += f", {samples} samples of {model['name']} ({model['sha256'][:8]})"
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=console, disable=quiet) as bar:
        task = bar.add_task(f"{name}: PDFs", total=None)
        report = evaluate(
            name,
            solve=lambda pdf: solve(pdf, **options),
            floors=tuple(floor or FLOORS),
            limit=limit,
            seed=seed,
            solver=solver,
            out=out,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    content = report.to_dict()
    write_text(out / "report.json", json.dumps(content, indent=2) + "\n")
    draw_evaluation(content, out / "report.png")
    draw_calibration(content, out / "calibration.png")
    screen = Console(width=None if sys.stdout.isatty() else 160)
    screen.print(score_table(content))
    screen.print(calibration_table(content))
