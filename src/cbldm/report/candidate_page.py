"""A page of one candidate, to be turned and zoomed, and frames that hold pages in a notebook."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape

from cbldm.report.html import _fill, _machinery, _pack, _payload
from cbldm.report.ranking import detail, title
from cbldm.types import Candidate

_PLOT = """<figure><div id="plot" class="canvas" tabindex="0" role="application" aria-label="Data and fit"></div>
<p class="legend" aria-hidden="true"><span class="circle"></span>observed <span class="line fit"></span>fit
<span class="line difference"></span>difference, offset</p><p class="readout" id="readout">&nbsp;</p></figure>"""
_STRUCTURE = """<figure><div id="structure" class="canvas" tabindex="0" role="application"
aria-label="Structure in three dimensions"></div><p class="legend" id="key"></p></figure>"""


def candidate_page(candidate: Candidate, files: Mapping[str, bytes], *, fit: bool) -> str:
    """A candidate as one self-contained page of HTML that asks for nothing.

    Args:
        candidate: What is shown.
        files: Its ``candidates/NN.xyz`` and ``fits/NN.fgr``, which are drawn.
        fit: Whether data and fit are shown beside the structure.
    """
    stage = f'<div class="stage">{_PLOT}{_STRUCTURE}</div>' if fit else _STRUCTURE
    page = {
        **_machinery("candidate.js"),
        "title": escape(title(candidate)),
        "detail": escape(detail(candidate)),
        "stage": stage,
        "payload": _pack(json.dumps(_payload([candidate], files))),
    }
    return _fill("candidate.html", page)


def frame(page: str, name: str, height: int) -> str:
    """A page inside another one, of which it can see and change nothing.

    Args:
        page: A whole page of HTML.
        name: What a screen reader calls it.
        height: In pixels.
    """
    return (
        f'<iframe title="{escape(name)}" sandbox="allow-scripts allow-downloads" width="100%" height="{height}" '
        f'style="border: 0" srcdoc="{escape(page)}"></iframe>'
    )
