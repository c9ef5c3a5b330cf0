"""What stands before Gradio: it lets through what the page needs, and nothing of the rest that Gradio offers.

Gradio has routes for files of the server, uploads, proxies and shared links. None of them is reached: files come inside
the events of the page, and results leave by a route of ours. A content security policy forbids the browser every
request but to the app itself.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

#: What may be fetched, and where events go.
READ = re.compile(
    r"/|/theme\.css|/favicon\.ico|/(assets|static)/[\w./-]+|/gradio_api/(startup-events|heartbeat/\w+)"
    r"|/results/[\w-]+/(report|files\.zip)"
)
WRITE = re.compile(r"/gradio_api/run/predict/?")
HEADERS = {
    # Gradio compiles the templates and scripts of the page in the browser, hence 'unsafe-eval'.
    "content-security-policy": "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; "
    "frame-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class Gate:
    """An ASGI application around another one."""

    def __init__(self, app: App, max_body: int, hosts: frozenset[str] | None) -> None:
        """Say what is let through.

        Args:
            app: What is behind the gate.
            max_body: Most bytes of a request.
            hosts: Names by which this machine may be called; any where None. A page from elsewhere that makes its own
                name point to this machine does not get in.
        """
        self._app, self._max_body, self._hosts = app, max_body, hosts

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Refuse a request, or hand it on and add headers to the response."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        refused = self._refusal(scope)
        if refused is not None:
            await _respond(send, *refused)
            return

        async def send_more(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = {name.lower() for name, _ in message["headers"]}
                extra = [(name.encode(), text.encode()) for name, text in HEADERS.items() if name.encode() not in names]
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        await self._app(scope, receive, send_more)

    def _refusal(self, scope: Message) -> tuple[int, str] | None:
        """Status and sentence for what is not let through."""
        headers = {name.decode("latin-1").lower(): text.decode("latin-1") for name, text in scope["headers"]}
        if self._hosts is not None and _host_name(headers.get("host", "")) not in self._hosts:
            return 421, "This app is not reached by that name."
        origin = headers.get("origin")
        if origin is not None and origin not in (f"http://{headers.get('host')}", f"https://{headers.get('host')}"):
            return 403, "Another page may not use this app."
        if scope["method"] in ("GET", "HEAD") and READ.fullmatch(scope["path"]) and ".." not in scope["path"]:
            return None
        if scope["method"] != "POST" or not WRITE.fullmatch(scope["path"]):
            return 404, "There is nothing here."
        length = headers.get("content-length", "")
        if not length.isdecimal():
            return 411, "The length of a request must be said."
        if int(length) > self._max_body:
            return 413, "That is more than this app takes at once."
        return None


def _host_name(host: str) -> str:
    """The name in a Host header, without its port; empty where it is malformed."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


async def _respond(send: Send, status: int, text: str) -> None:
    headers = {**HEADERS, "content-type": "text/plain; charset=utf-8", "content-length": str(len(text))}
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": text.encode()})
