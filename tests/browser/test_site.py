"""The documentation builds without a warning, names nothing outside, and works in a browser from a folder."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from axe_playwright_python.base import AXE_SCRIPT

ROOT = Path(__file__).parents[2]
LOADING = {
    "script": "src",
    "link": "href",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "use": "href",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "site"
    done = subprocess.run([sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)], cwd=ROOT,
                          env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True,
                          check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


class Loads(HTMLParser):
    """Collects what a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if tag in LOADING and attributes.get(LOADING[tag]) and attributes.get("rel") != "canonical":
            self.found.append(attributes[LOADING[tag]])
        self.found += re.findall(r"url\(([^)]*)\)", attributes.get("style") or "")


def outside(addresses):
    return [address for address in addresses if re.match(r"[\"' ]*(?:\w+:)?//", address)]


def test_pages_load_nothing_from_outside(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 10
    for page in pages:
        loads = Loads()
        loads.feed(page.read_text(encoding="utf-8"))
        assert len(loads.found) > 3
        assert outside(loads.found) == [], page.name
    for sheet in site.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        assert (
            outside(re.findall(r"url\(([^)]*)\)|@import\s+([^;]+)", text) and re.findall(r"url\(([^)]*)\)", text)) == []
        )
        assert "@import" not in text


def test_what_is_outside_would_be_found():
    loads = Loads()
    loads.feed(
        '<script src="https://x.y/z.js"></script><link href="//x.y/f.css"><img src="a.png"><a href="https://x.y">'
    )
    assert outside(loads.found) == ["https://x.y/z.js", "//x.y/f.css"]


def test_equations_and_included_parts_are_there(site):
    theory = (site / "theory.html").read_text(encoding="utf-8")
    assert theory.count('<p class="equation"><svg') > 12
    for page in site.glob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert "arithmatex" not in text, page.name
        assert "[[" not in re.sub(r"<script.*?</script>|<code.*?</code>", "", text, flags=re.DOTALL), page.name
    assert "cbldm simulate" in (site / "cli.html").read_text(encoding="utf-8")
    assert "offlibrary" in (site / "card.html").read_text(encoding="utf-8")


@pytest.fixture
def open_page(launch, site):
    """Open a page of the site; at the end nothing but files of the site was asked for."""
    asked, opened = [], []

    def go(name, *, width=1400, scheme="light"):
        context = launch(False).new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
        page = context.new_page()
        context.on("request", lambda request: asked.append(request.url))
        page.goto((site / f"{name}.html").as_uri())
        opened.append(context)
        return page

    yield go
    for context in opened:
        context.close()
    assert [url for url in asked if not url.startswith((site.as_uri(), "data:", "blob:"))] == []
    assert asked


def test_search_works_without_a_server(open_page):
    page = open_page("index")
    page.locator(".md-search__input").first.fill("left-out")
    page.locator(".md-search-result__link").first.wait_for(timeout=30_000)
    assert "reading.html" in str(page.locator(".md-search-result__link").evaluate_all("all => all.map(a => a.href)"))


def test_no_page_is_wider_than_a_phone(open_page, site):
    page = open_page("index", width=390)
    for path in sorted(set(site.glob("*.html")) - {site / "404.html"}):
        page.goto(path.as_uri(), wait_until="domcontentloaded")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path.name


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_follow_the_reader_and_nothing_is_hard_to_reach(open_page, scheme):
    page = open_page("theory", scheme=scheme)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != (
        "rgb(255, 255, 255)" if scheme == "dark" else "rgb(0, 0, 0)"
    )
    colour = page.locator(".md-content p").first.evaluate("element => getComputedStyle(element).color")
    assert page.locator(".equation path").first.evaluate("element => getComputedStyle(element).fill") == colour
    page.evaluate(AXE_SCRIPT)
    found = page.evaluate("axe.run('.md-content', {resultTypes: ['violations']})")["violations"]
    assert [(one["id"], len(one["nodes"])) for one in found if one["impact"] in ("serious", "critical")] == []
