"""What gets through to Gradio, and what does not."""

import asyncio

import pytest

from cbldm.web.gate import Gate

HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


def ask(method, path, *, host="127.0.0.1:7860", hosts=HOSTS, **headers):
    """Status and headers of the answer to a request, where what is behind the gate says 200."""
    said = []

    async def behind(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})

    async def send(message):
        said.append(message)

    named = {"host": host} | {name.replace("_", "-"): text for name, text in headers.items()}
    raw = [(name.encode(), text.encode()) for name, text in named.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": raw}
    asyncio.run(Gate(behind, 1000, hosts)(scope, None, send))
    return said[0]["status"], {name.decode(): text.decode() for name, text in said[0]["headers"]}


@pytest.mark.parametrize(
    "path", ["/", "/theme.css", "/assets/index-D1.js", "/static/js/x.min.js", "/gradio_api/heartbeat/ab12",
             "/results/a-b_c/report", "/results/a-b_c/files.zip"]
)  # fmt: skip
def test_the_page_gets_what_it_needs(path):
    assert ask("GET", path)[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd", "/file=/etc/passwd", "/gradio_api/file/etc/passwd", "/gradio_api/upload",
        "/gradio_api/proxy=https://example.com", "/gradio_api/deep_link", "/gradio_api/info", "/config", "/monitoring",
        "/gradio_api/queue/data", "/docs", "/openapi.json", "/assets/../../secret", "/assets/%2e%2e/x",
        "/results/a/../b",
        "/results/a/results.json", "/gradio_api/vibe-code", "/gradio_api/runs", "/manifest.json",
    ],
)  # fmt: skip
def test_nothing_else_is_fetched(path):
    assert ask("GET", path)[0] == 404


@pytest.mark.parametrize(
    "path", ["/gradio_api/upload", "/gradio_api/queue/join", "/gradio_api/component_server", "/gradio_api/vibe-edit",
             "/gradio_api/process_recording", "/gradio_api/call/x", "/login", "/"]
)  # fmt: skip
def test_nothing_is_sent_but_events(path):
    assert ask("POST", path, content_length="3")[0] == 404
    assert ask("POST", "/gradio_api/run/predict", content_length="3")[0] == 200


def test_events_have_a_size():
    assert ask("POST", "/gradio_api/run/predict", content_length="1000")[0] == 200
    assert ask("POST", "/gradio_api/run/predict", content_length="1001")[0] == 413
    assert ask("POST", "/gradio_api/run/predict")[0] == 411
    assert ask("POST", "/gradio_api/run/predict", content_length="-1")[0] == 411


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[::1", "0.0.0.0"])
def test_a_name_that_somebody_made_point_here_is_refused(host):
    assert ask("GET", "/", host=host)[0] == 421
    assert ask("GET", "/", host="localhost:1")[0] == ask("GET", "/", host="[::1]:7860")[0] == 200


def test_other_names_are_taken_where_the_app_is_open():
    assert ask("GET", "/", host="beamline.example", hosts=None)[0] == 200


def test_other_pages_may_not_send_events():
    event = {"content_length": "3"}
    assert ask("POST", "/gradio_api/run/predict", origin="http://127.0.0.1:7860", **event)[0] == 200
    for origin in ("http://evil.example", "http://127.0.0.1:80", "null"):
        assert ask("POST", "/gradio_api/run/predict", origin=origin, **event)[0] == 403


@pytest.mark.parametrize("path", ["/", "/nothing"])
def test_every_answer_forbids_requests_to_elsewhere(path):
    policy = ask("GET", path)[1]["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "connect-src 'self'" in policy
    assert "http:" not in policy
    assert "https:" not in policy
    assert "*" not in policy
