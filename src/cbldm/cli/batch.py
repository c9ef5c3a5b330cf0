"""cbldm batch: many PDFs: a folder of results for each, and what they say together."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cbldm.cli.shared import Quiet, app, console
from cbldm.cli.solving import Solving, takes_solving

if TYPE_CHECKING:
    from cbldm.batch.run import Progress as Done

#: What a shell says of a program that Ctrl-C has ended.
INTERRUPTED = 130


@app.command("batch")
@takes_solving
def batch_command(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Files, folders (their .gr files), patterns in quotes, files that list these, or files with many "
            "columns of G(r).",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the results: one folder in it for each PDF, and tables.")],
    solving: Solving,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what is in the folder.")] = False,
    warm: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A finished batch of the same files: try what it found for neighbours, too."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes, of one thread each; one for each core by default.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Use the workers of this Dask scheduler, as tcp://host:8786.")
    ] = None,
    slurm: Annotated[
        Path | None,
        typer.Option(metavar="CONFIG", help="Start --workers N by SLURM; a TOML file says how (dask-jobqueue)."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what became of each PDF to standard output.")] = False,
    quiet: Quiet = False,
) -> None:
    """Many PDFs in, a folder of ranked structures for each.

    Exit code 0 where at least one PDF was solved, else 2.
    """
    choices, reading = solving.choices(), solving.reading()

    from cbldm.batch.run import Pool, batch

    pool = Pool(workers, scheduler, slurm)
    try:
        with _watching(quiet) as tell:
            found = batch(inputs, out, reading=reading, choices=choices, report=solving.report, resume=resume,
                          warm=warm, pool=pool, tell=tell)  # fmt: skip
    except KeyboardInterrupt:
        console.print("stopped; what is solved is kept, and the same command with --resume goes on", highlight=False)
        raise typer.Exit(INTERRUPTED) from None
    failed = sum(bool(error) for _, _, error in found)
    if as_json:
        rows = [{"name": name, "file": item.shown, "error": error or None} for name, item, error in found]
        sys.stdout.write(json.dumps({"solved": len(found) - failed, "failed": failed, "pdfs": rows}, indent=2) + "\n")
    if not quiet:
        more = f", {failed} could not be: see {out / 'errors.csv'}" if failed else ""
        console.print(f"{len(found) - failed} of {len(found)} solved into {out}{more}", highlight=False, markup=False)
    if failed == len(found):
        raise typer.Exit(2)


@contextmanager
def _watching(quiet: bool) -> Iterator[Callable[[Done], None]]:
    """A bar with counts and the time left; each PDF that fails is named once."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=console, disable=quiet, transient=True) as bar:
        task = bar.add_task("", total=None)
        said: set[str] = set()

        def tell(done: Done) -> None:
            count = done.solved + len(done.errors)
            words = f"{done.solved} solved, {len(done.errors)} failed"
            if bar.tasks[0].total is None:  # what an earlier run did took no time
                bar.reset(task, total=done.total, completed=count, description=words)
            bar.update(task, completed=count, description=words)
            for name in done.errors.keys() - said:
                said.add(name)
                if not quiet:
                    bar.console.print(f"{escape(name)}: {escape(done.errors[name])}", highlight=False)

        yield tell
