"""The trend: one page that shows a series of results over the order of the files or a number that is known of each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from cbldm.report.html import _fill, _pack, page_code
from cbldm.types import MOTIFS

#: Colours of `MOTIFS` (after Okabe and Ito; grey for close-packed stacks with faults).
MOTIF_COLOURS = ("#0072b2", "#56b4e9", "#009e73", "#9aa3ab", "#cc79a7", "#f0e442", "#e69f00", "#d55e00")
#: Files without a structure that are named above the plot.
MOST_NAMED = 8


@dataclass(frozen=True)
class Axis:
    """Something to show the results against.

    Attributes:
        name: What it is called; ``file`` for the order of the files.
        places: (n,) number of each row, or None.
        changes: By quantity, pairs of rows between which it changes.
    """

    name: str
    places: Sequence[float | None]
    changes: Mapping[str, Sequence[tuple[int, int]]]


def trend_html(
    *,
    title: str,
    columns: Mapping[str, Sequence[Any]],
    weights: Mapping[str, Sequence[float | None]],
    axes: Sequence[Axis],
    chosen: str,
    version: str,
) -> str:
    """A series as one self-contained page of HTML that asks for nothing.

    Args:
        title: What the page is called.
        columns: Of a value for each row, None where it is not known: ``file``, ``name`` (of the folder beside the
            page), ``report`` (whether there is one), ``atoms``, ``low``, ``high`` (80 % range), ``diameter`` (Å),
            ``rw``, ``uiso`` (Å²), ``motif``, ``equivalents``, ``warnings`` (their number), ``error``.
        weights: Probability of each motif, by its name.
        axes: What the series can be shown against; at least one.
        chosen: Name of the one that is shown first.
        version: Of cbldm.

    Returns:
        The page; the same results give the same text.
    """
    n_rows = len(columns["file"])
    n_failed = sum(map(bool, columns["error"]))
    failed = f", {n_failed} without a structure" if n_failed else ""
    content = {
        "columns": columns,
        "weights": [
            {"name": name, "colour": MOTIF_COLOURS[MOTIFS.index(name)], "values": values}
            for name, values in weights.items()
        ],
        "axes": [vars(axis) for axis in axes],
    }
    choices = "".join(
        f'<option value="{escape(axis.name)}"{" selected" if axis.name == chosen else ""}>'
        f"{escape('order of the files' if number == 0 else axis.name)}</option>"
        for number, axis in enumerate(axes)
    )
    page = {
        **page_code(("report.css", "trend.css"), ("plot.js", "content.js", "trend.js")),
        "title": escape(f"{title}: cbldm trend"),
        "heading": escape(title),
        "subtitle": escape(f"{n_rows} file{'s' * (n_rows != 1)}{failed}"),
        "failed": _failed(columns),
        "choices": choices,
        "version": escape(version),
        "payload": _pack(json.dumps(content, separators=(",", ":"))),
    }
    return _fill("trend.html", page)


def _failed(columns: Mapping[str, Sequence[Any]]) -> str:
    """Files without a structure and why, the first of them."""
    failed = [(file, why) for file, why in zip(columns["file"], columns["error"], strict=True) if why]
    if not failed:
        return ""
    items = "".join(f"<li><strong>{escape(file)}:</strong> {escape(why)}</li>" for file, why in failed[:MOST_NAMED])
    if len(failed) > MOST_NAMED:
        items += f"<li>and {len(failed) - MOST_NAMED} more, see the table</li>"
    return f'<section class="notes" aria-label="Failed files"><h2>Without a structure</h2><ul>{items}</ul></section>'
