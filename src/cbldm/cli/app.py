"""cbldm app: the same in a browser."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated

import typer

from cbldm.cli.shared import app, console


@app.command("app")
def app_command(
    host: Annotated[str, typer.Option(help="Address to listen on; this machine alone by default.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 for any that is free.")] = 7860,
    max_upload: Annotated[float, typer.Option(help="Most MB that are taken at once.")] = 10.0,
    max_files: Annotated[int, typer.Option(help="Files that one page may hold.")] = 20,
    time_limit: Annotated[float, typer.Option(help="Seconds after which a computation is stopped.")] = 900.0,
    queue: Annotated[int, typer.Option(help="Computations that may wait.")] = 20,
    jobs: Annotated[int, typer.Option(help="Computations that run at once.")] = 1,
) -> None:
    """A page to drop files on, for the browser; it runs until Ctrl-C."""
    if find_spec("gradio") is None:
        console.print("cbldm app needs gradio: pip install 'cbldm[app]'", highlight=False, markup=False)
        raise typer.Exit(2)

    from cbldm.web.limits import Limits

    limits = Limits(host, port, max_upload, max_files, time_limit, queue, jobs)
    console.print("starting the app", highlight=False)
    if not limits.is_loopback:
        console.print(
            f"warning: {host} is open to the network: whoever reaches this port can use the app and this machine's "
            "processors, and nothing is encrypted",
            highlight=False,
        )

    from cbldm.web.app import serve

    serve(limits, lambda address: console.print(f"cbldm app: {address} (Ctrl-C ends it)", highlight=False))
