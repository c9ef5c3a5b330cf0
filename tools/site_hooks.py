"""What mkdocs does beside Markdown: pages from the commands and from files of the repository, and equations.

A line ``[[commands]]`` becomes the reference of the command line, ``[[file PATH]]`` a file of the repository, and
``[[section PATH: HEADING]]`` one section of it. So what is said in one place is said in one place only.
"""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

from site_commands import command_reference
from site_math import equation

ROOT = Path(__file__).parents[1]
CARD = "src/cbldm/weights/cpu-1"

_LINE = re.compile(r"^\[\[(commands|file|section)(?: ([^:\]]+))?(?:: ([^\]]+))?\]\]$", re.MULTILINE)
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#:\s]+)\)")
# pymdownx.arithmatex finds the equations and keeps Markdown away from them.
_INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL)
_BLOCK = re.compile(r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>', re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the figure of the model card, which lies beside the card."""
    files.append(File.generated(config, "curve.png", abs_src_path=str(ROOT / CARD / "curve.png")))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put in what lines in double brackets name."""
    return _LINE.sub(_included, markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Draw equations."""
    html = _BLOCK.sub(lambda found: equation(unescape(found[1]), block=True), html)
    return _INLINE.sub(lambda found: equation(unescape(found[1]), block=False), html)


def _included(found: re.Match[str]) -> str:
    kind, path, heading = found.groups()
    if kind == "commands":
        return command_reference()
    folder = Path(path).parent
    text = _LINK.sub(lambda link: _moved(link, folder), (ROOT / path).read_text(encoding="utf-8"))
    return text if kind == "file" else _section(text, heading, path)


def _moved(link: re.Match[str], folder: Path) -> str:
    """A link in a file of the repository as one of a page in docs/; what is no page is named."""
    place, docs = (ROOT / folder / link[2]).resolve(), ROOT / "docs"
    if place.is_relative_to(docs):
        return f"[{link[1]}]({place.relative_to(docs)})"
    return f"{link[1]} (`{place.relative_to(ROOT)}`)"


def _section(text: str, heading: str, path: str) -> str:
    """The body of a section of the second level."""
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        title, _, body = part.partition("\n")
        if title == heading:
            return body.strip()
    raise PluginError(f"{path} has no section {heading!r}")
