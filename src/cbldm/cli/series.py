"""cbldm series: what the results of many PDFs say together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cbldm.cli.shared import Quiet, app, console


@app.command("series")
def series_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What batch wrote, or a folder of results of solve.")],
    against: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="What the page shows the results against; the order of the files by default."
        ),
    ] = None,
    metadata: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="More about each file: a table with a column file.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """A table and a page of the trend from the results of many PDFs."""
    from cbldm.series import write_series

    unknown = write_series(folder, against=against, metadata=metadata)
    if quiet:
        return
    if unknown:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        console.print(f"note: no results of {unknown[0]!r}{more}, named in {metadata}", highlight=False, markup=False)
    console.print(f"written to {folder}: series.csv, trend.html", highlight=False, markup=False)
