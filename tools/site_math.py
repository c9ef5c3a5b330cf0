"""LaTeX as SVG, so that equations of the documentation need no script, no font and no network."""

from __future__ import annotations

from html import escape
from math import ceil

import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import TextPath, TextToPath

#: Units of a drawing per em.
EM = 100
#: Signs of SVG for the codes of a matplotlib path, and how many points each has.
_SIGNS = {Path.MOVETO: ("M", 1), Path.LINETO: ("L", 1), Path.CURVE3: ("Q", 2), Path.CURVE4: ("C", 3)}
_FONT = FontProperties(size=EM, math_fontfamily="stix")


def equation(latex: str, *, block: bool) -> str:
    """An equation as an SVG element of the colour and size of the text around it.

    Args:
        latex: What matplotlib's mathtext understands of LaTeX.
        block: On a line of its own.

    Raises:
        ValueError: matplotlib does not understand it.

    >>> equation("x", block=False).startswith('<svg class="equation" role="img" aria-label="x" ')
    True
    """
    latex = " ".join(latex.split())
    sizes = TextToPath().get_text_width_height_descent(f"${latex}$", _FONT, True)
    width, height, descent = (ceil(size) for size in sizes)
    style = f"width:{width / EM:.2f}em;height:{height / EM:.2f}em;vertical-align:{-descent / EM:.2f}em"
    svg = (
        f'<svg class="equation" role="img" aria-label="{escape(latex)}" style="{style}" '
        f'viewBox="0 {descent - height} {width} {height}"><path fill="currentColor" d="{_outline(latex)}"/></svg>'
    )
    return f'<p class="equation">{svg}</p>' if block else svg


def _outline(latex: str) -> str:
    path = TextPath((0, 0), f"${latex}$", prop=_FONT)
    points = np.round(path.vertices * (1, -1), 1)
    parts, index = [], 0
    while index < len(path.codes):
        if path.codes[index] == Path.CLOSEPOLY:
            parts.append("Z")
            index += 1
            continue
        sign, count = _SIGNS[path.codes[index]]
        parts.append(sign + " ".join(f"{x:g},{y:g}" for x, y in points[index : index + count]))
        index += count
    return "".join(parts)
