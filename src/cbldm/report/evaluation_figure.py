"""One picture of an evaluation: what each noise floor leaves of the scores, and which kinds of cluster are hard."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cbldm.errors import InputError
from cbldm.report.figures import _figure, _png, _printable, _style, _write

#: Size of ``report.png``, in pixels.
SIZE = (2000, 1500)
#: Title, score of rank 1 and factor of each panel over the noise floors.
PANELS = (
    ("N exact (%)", "count_exact", 100.0),
    ("N within 5 % (%)", "count_within_5", 100.0),
    ("RMSD < 0.1 Å (%)", "rmsd_below_01", 100.0),
    ("mean F1", "f1", 1.0),
)
#: Name, form of the score's key, colour (Okabe and Ito, told apart by the colour-blind), line and marker of each curve.
CURVES = (
    ("rank 1", "{}", "#0072b2", "-", "o"),
    ("best of 10", "{}_best", "#d55e00", "--", "s"),
    ("raw sample, before moves and refinement", "raw_{}", "#5b5b5b", ":", "^"),
)
#: Colour of the bars at the lowest and at the highest noise floor.
LOWEST, HIGHEST = np.array([0.03, 0.27, 0.45]), np.array([0.72, 0.84, 0.93])
#: The category that holds all cases.
ALL = "all"
#: Width that the bars of a category share.
BARS = 0.8


def draw_evaluation(report: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Draw scores over the noise floors, and the mean F1 of each category at each floor.

    Args:
        report: What ``report.json`` holds: ``set``, ``seed``, ``solver`` and ``rows``, one for each category and floor.
        path: The PNG file of 2000 by 1500 pixels to write; it appears complete or not at all.

    Raises:
        InputError: If there is no row or the file cannot be written.
    """
    rows: Sequence[Mapping[str, Any]] = report["rows"]
    if not rows:
        raise InputError("report.png: got no rows; at least one case must be done")
    floors = sorted({row["floor"] for row in rows})
    total = [next(row for row in rows if row["floor"] == floor and row["category"] == ALL) for floor in floors]
    with _style():
        figure = _figure(SIZE)
        figure.text(0.05, 0.965, _printable(f"{report['set']} (seed {report['seed']})", 40), fontweight="bold")
        n_cases = "–".join(dict.fromkeys(str(n(row["n_cases"] for row in total)) for n in (min, max)))
        summary = f"{_printable(report['solver'], 100)}  ·  {n_cases} PDFs per noise floor"
        figure.text(0.975, 0.965, summary, ha="right", fontsize=8)
        panels = [figure.add_axes((0.05 + 0.243 * number, 0.56, 0.196, 0.3)) for number in range(len(PANELS))]
        for axes, (title, score, factor) in zip(panels, PANELS, strict=True):
            _draw_curves(axes, total, score, factor)
            axes.set_title(title, fontsize=9.5, loc="left")
        curves = panels[0].get_legend_handles_labels()
        figure.legend(*curves, loc="upper center", bbox_to_anchor=(0.51, 0.95), ncols=len(CURVES))
        _draw_categories(figure, rows, floors)
        png = _png(figure)
    _write(path, png)


def _draw_curves(axes: Axes, total: Sequence[Mapping[str, Any]], score: str, factor: float) -> None:
    """Rank 1, best of 10 and raw sample of one score; floors at equal steps, a score that nothing has left out."""
    places = range(len(total))
    for name, key, colour, line, marker in CURVES:
        values = [row[key.format(score)] for row in total]
        if all(value is None for value in values):
            continue  # nothing was drawn by a network
        heights = [np.nan if value is None else factor * value for value in values]
        style: dict[str, Any] = {"color": colour, "linestyle": line, "marker": marker, "markersize": 4.5}
        axes.plot(places, heights, label=name, linewidth=1.6, clip_on=False, **style)
    axes.set_xticks(places, [f"{row['floor']:g}" for row in total])
    axes.set_xlim(-0.25, len(total) - 0.75)
    axes.set_ylim(0, factor)
    axes.set_xlabel("noise floor (Rw)")
    _draw_grid(axes)


def _draw_categories(figure: Figure, rows: Sequence[Mapping[str, Any]], floors: Sequence[float]) -> None:
    """Bars of the mean F1 of rank 1, a stroke for the best of 10 and a triangle for the raw sample."""
    categories = sorted({row["category"] for row in rows}, key=lambda name: (name == ALL, name))
    axes = figure.add_axes((0.05, 0.1, 0.925, 0.32))
    width = BARS / len(floors)
    _, best, raw = CURVES
    for number, floor in enumerate(floors):
        chosen = {row["category"]: row for row in rows if row["floor"] == floor}
        places = np.array([i for i, name in enumerate(categories) if name in chosen])
        places = places + width * (number + 0.5) - BARS / 2
        shown = [chosen[name] for name in categories if name in chosen]
        colour = LOWEST + (HIGHEST - LOWEST) * number / max(1, len(floors) - 1)
        axes.bar(places, [row["f1"] for row in shown], 0.92 * width, color=tuple(colour), label=f"{floor:g}")
        left, right = places - 0.46 * width, places + 0.46 * width
        axes.hlines([row["f1_best"] for row in shown], left, right, best[2], clip_on=False)
        drawn = [np.nan if row["raw_f1"] is None else row["raw_f1"] for row in shown]
        axes.plot(places, drawn, raw[4], color="white", markeredgecolor=raw[2], markersize=4.5, clip_on=False)
    counts = {name: max(row["n_cases"] for row in rows if row["category"] == name) for name in categories}
    axes.set_xticks(range(len(categories)), [f"{_printable(name, 20)}\n{counts[name]} PDFs" for name in categories])
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.6, len(categories) - 0.4)
    axes.set_ylim(0, 1)
    title = "mean F1 by category: rank 1 (bar), best of 10 (stroke), raw sample (triangle)"
    axes.set_title(title, fontsize=9.5, loc="left", pad=10)
    axes.legend(title="noise floor (Rw)", loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=len(floors), fontsize=8)
    _draw_grid(axes)


def _draw_grid(axes: Axes) -> None:
    """Faint horizontal lines behind everything."""
    axes.grid(axis="y", color="#d9dde1", linewidth=0.6)
    axes.set_axisbelow(True)
