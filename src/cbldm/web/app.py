"""The server of the app: who may ask what, and where results are fetched."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable

import gradio as gr
import uvicorn
from fastapi import FastAPI, Response

from cbldm.errors import InputError
from cbldm.web.gate import Gate
from cbldm.web.jobs import Jobs
from cbldm.web.limits import Limits
from cbldm.web.page import Page, asset
from cbldm.web.visitors import MOST_VISITORS, Visitors

#: Seconds between two looks for pages that were closed.
TIDY_EVERY = 10.0
#: Connections at once; an open page holds one or two.
MOST_CONNECTIONS = 256
FONT = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "DejaVu Sans", "sans-serif"]
MONO = ["ui-monospace", "monospace"]


def serve(limits: Limits, announce: Callable[[str], None]) -> None:
    """Serve the app until it is interrupted.

    Args:
        limits: How much it takes on, and where it listens.
        announce: Told the address.

    Raises:
        InputError: The address cannot be listened on.
    """
    with _listen(limits) as listener:
        jobs = Jobs(limits.jobs, limits.queue, limits.time_limit)
        visitors = Visitors(limits, jobs)
        over = threading.Event()
        tidy = threading.Thread(target=_tidy, args=(visitors, over), daemon=True)
        try:
            tidy.start()
            server = uvicorn.Server(_configuration(make_app(visitors, limits)))
            host = f"[{limits.host}]" if ":" in limits.host else limits.host
            announce(f"http://{host}:{listener.getsockname()[1]}")
            # uvicorn passes a signal on when it has shut down, which must not keep the rest from being tidied up.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            with contextlib.suppress(KeyboardInterrupt):
                server.run(sockets=[listener])
        finally:
            over.set()
            jobs.close()
            visitors.close()


def make_app(visitors: Visitors, limits: Limits) -> Gate:
    """The whole app behind its gate."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/results/{token}/{what}")
    def result(token: str, what: str) -> Response:
        found = visitors.result(token)
        if found is None:
            return Response("There is nothing here.", 404, media_type="text/plain")
        report = what == "report"
        name = "report.html.txt" if report else f"{found.name}.zip"
        return Response(
            found.report() if report else found.archive(),
            # The page puts the report into a frame; by itself it must not run as a page of this app.
            media_type="text/plain; charset=utf-8" if report else "application/zip",
            headers={"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"},
        )

    # Where Gradio keeps what it is sent; nothing gets there through the gate.
    os.environ["GRADIO_TEMP_DIR"] = str(visitors.folder / "gradio")
    blocks = Page(visitors, limits).blocks
    # What Gradio keeps of pages that are gone.
    blocks.state_session_capacity = MOST_VISITORS
    gr.mount_gradio_app(
        app, blocks, "/", footer_links=[], run_history=False, ssr_mode=False, mcp_server=False, pwa=False,
        show_error=False, css=asset("app.css"), theme=gr.themes.Default(primary_hue="blue", font=FONT, font_mono=MONO),
    )  # fmt: skip
    hosts = frozenset({"localhost", "127.0.0.1", "::1", limits.host}) if limits.is_loopback else None
    return Gate(app, limits.max_body, hosts)


def _configuration(app: Gate) -> uvicorn.Config:
    return uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, proxy_headers=False, ws="none",
        limit_concurrency=MOST_CONNECTIONS, timeout_graceful_shutdown=2,
    )  # fmt: skip


def _listen(limits: Limits) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(limits.host, limits.port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise InputError(f"--host {limits.host!r} is no address of this machine: {error.strerror}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise InputError(
            f"{limits.host} port {limits.port} cannot be listened on ({error.strerror}); --port chooses another one"
        ) from error
    return listener


def _tidy(visitors: Visitors, over: threading.Event) -> None:
    while not over.wait(TIDY_EVERY):
        visitors.tidy()
