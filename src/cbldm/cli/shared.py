"""What the commands share: the program, options that several take, progress and settings shown."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from cbldm.errors import InputError

# Every command imports what it needs where it runs: help and a wrong option must not wait for torch.
if TYPE_CHECKING:
    from cbldm.pipeline import Watcher
    from cbldm.types import Pdf

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Ranked 3D structures of metal nanoparticles from a pair distribution function.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"cbldm {version('cbldm')}")
        raise typer.Exit


@app.callback()
def program(
    _: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """What comes before the name of a command."""


def make_console() -> Console:
    """Standard error: in a log 120 columns wide, and without escape codes where ``NO_COLOR`` asks for none."""
    # By itself rich would leave out the colours then, but not bold type.
    plain = bool(os.environ.get("NO_COLOR"))
    return Console(stderr=True, width=None if sys.stderr.isatty() else 120, color_system=None if plain else "auto")


#: Everything for people goes here; standard output carries only what was asked for.
console = make_console()

Element = Annotated[str | None, typer.Option(help="Chemical symbol; from the header where not given.")]
Qmin = Annotated[float | None, typer.Option(help="Lower end of the Fourier integral, Å⁻¹.")]
Qmax = Annotated[float | None, typer.Option(help="Upper end of the Fourier integral, Å⁻¹.")]
Qdamp = Annotated[float | None, typer.Option(help="Damping by the resolution, Å⁻¹.")]
Qbroad = Annotated[float | None, typer.Option(help="Broadening by the resolution, Å⁻¹.")]
Rmin = Annotated[float | None, typer.Option(help="Start of the fitted range, Å.")]
Rmax = Annotated[float | None, typer.Option(help="End of the fitted range, Å.")]
BackgroundTerms = Annotated[
    int | None, typer.Option(help="Terms of a smooth background, as ligands make it; none where not given.")
]
InstrumentFile = Annotated[
    Path | None, typer.Option(help="Qdamp and Qbroad from a file that calibrate wrote; options beat it.")
]
FitQdamp = Annotated[bool, typer.Option("--fit-qdamp", help="Fit Qdamp too; it trades off with the size.")]
SurfaceUiso = Annotated[
    bool,
    typer.Option("--fit-surface-uiso", help="Fit a Uiso of the surface atoms beside that of the others."),
]
RUnit = Annotated[str | None, typer.Option(help="Unit of r in the file, A or nm; by its label where not given.")]
From = Annotated[
    str,
    typer.Option(
        help="cbldm (the model), library (templates up to 3000 atoms), textbook (textbook shapes up to 256 atoms) or "
        "all (the model and the library)."
    ),
]
Seed = Annotated[int, typer.Option(help="Seed of every random draw.")]
Json = Annotated[bool, typer.Option("--json", help="Print results.json to standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print no progress, settings or tables.")]


def unit(text: str | None) -> Literal["A", "nm"] | None:
    """The unit that --r-unit names.

    Raises:
        InputError: There is no such unit.
    """
    units: dict[str | None, Literal["A", "nm"] | None] = {None: None, "A": "A", "nm": "nm"}
    if text in units:
        return units[text]
    raise InputError(f"--r-unit must be A or nm, got {text!r}")


def span(text: str | None) -> tuple[int, int] | None:
    """The atom counts that --n-atoms allows: LO-HI or a single count.

    Raises:
        InputError: It is neither.
    """
    if text is None:
        return None
    low, _, high = text.partition("-")
    try:
        return int(low), int(high or low)
    except ValueError:
        raise InputError(f"--n-atoms must be a number or LO-HI, as 100-200, got {text!r}") from None


@contextmanager
def watching(quiet: bool) -> Iterator[Watcher]:
    """A progress bar of the stages."""
    columns = (TextColumn("{task.description:<8}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=quiet, transient=True) as bar:
        tasks = {}

        def watch(stage: str, done: float) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=1.0)
            bar.update(tasks[stage], completed=done)

        yield watch


def show_settings(pdf: Pdf) -> None:
    """A table of every setting, its value and where that comes from, on standard error."""
    from cbldm.data.pdf_settings import settings_table

    table = Table(title=f"{pdf.file} ({pdf.dialect}): what is used, and where it comes from", title_justify="left",
                  box=SIMPLE_HEAD)  # fmt: skip
    for name in ("setting", "value", "from", "note"):
        table.add_column(name)
    for row in settings_table(pdf):
        table.add_row(row.name, f"{row.value} {row.unit}".strip(), row.source, row.note)
    console.print(table)
