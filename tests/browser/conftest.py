"""A real browser without a network, and what it did: every page says whom it asked and what it complained of."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
#: Root needs no sandbox in a container; every name leads nowhere.
OFFLINE = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND", "--disable-background-networking"]
#: WebGL on the processor, and none.
SOFTWARE_WEBGL, NO_WEBGL = (
    ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"],
    ["--disable-gpu", "--disable-3d-apis"],
)


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    if CHROMIUM is None:
        pytest.skip("no chromium was found, so nothing is tested in a browser: apt-get install chromium")
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="session")
def launch(playwright) -> Iterator[Callable[[bool], Browser]]:
    """Start chromium with or without WebGL; each is started once."""
    running: dict[bool, Browser] = {}

    def start(webgl: bool) -> Browser:
        if webgl not in running:
            arguments = OFFLINE + (SOFTWARE_WEBGL if webgl else NO_WEBGL)
            running[webgl] = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments, timeout=120_000)
        return running[webgl]

    yield start
    for browser in running.values():
        browser.close()


@pytest.fixture
def visit(launch) -> Iterator[Callable[..., Page]]:
    """Open a file in a fresh window; at the end nothing but that file was asked for, and nothing was complained of."""
    opened: list[tuple[Page, str, list[str], list[str]]] = []

    def go(path: Path, *, width: int = 1400, height: int = 900, scheme: str = "light", webgl: bool = False) -> Page:
        context = launch(webgl).new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, offline=True, accept_downloads=True
        )
        context.set_default_timeout(60_000)
        page = context.new_page()
        asked: list[str] = []
        complaints: list[str] = []
        context.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        page.goto(path.as_uri())
        page.locator("html[data-ready]").wait_for(state="attached")
        opened.append((page, path.as_uri(), asked, complaints))
        return page

    yield go
    for page, address, asked, complaints in opened:
        page.context.close()
        assert [url for url in asked if not url.startswith(("blob:", "data:"))] == [address]
        assert complaints == []
