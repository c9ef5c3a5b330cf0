"""One picture of how far the stated probabilities can be trusted: of the motif, and of ranges of the atom count."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cbldm.errors import InputError
from cbldm.report.evaluation_figure import ALL
from cbldm.report.figures import _figure, _png, _printable, _style, _write

#: Size of ``calibration.png``, in pixels.
SIZE = (2000, 1000)
#: Colours (Okabe and Ito) and markers of the noise floors in turn.
COLOURS, MARKERS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#5b5b5b"), "os^Dv"
#: How far a share may stray before it is called off, as in the band that is drawn.
BAND = 0.05


def draw_calibration(report: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Draw how often the likeliest motif is right, and how often ranges hold the atom count, over what was stated.

    Args:
        report: What ``report.json`` holds: ``set``, ``seed`` and ``rows``, one for each category and floor.
        path: The PNG file of 2000 by 1000 pixels to write; it appears complete or not at all.

    Raises:
        InputError: If there is no row or the file cannot be written.
    """
    rows: Sequence[Mapping[str, Any]] = [row for row in report["rows"] if row["category"] == ALL]
    if not rows:
        raise InputError("calibration.png: got no rows; at least one case must be done")
    with _style():
        figure = _figure(SIZE)
        figure.text(0.06, 0.93, _printable(f"{report['set']} (seed {report['seed']})", 40), fontweight="bold")
        panels = [figure.add_axes((left, 0.15, 0.4, 0.66)) for left in (0.06, 0.56)]
        for axes, name in zip(panels, ("likeliest motif", "atom count in the stated range"), strict=True):
            _draw_frame(axes, name)
        for number, row in enumerate(rows):
            style = {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)]}
            _draw_motif(panels[0], row, style)
            _draw_ranges(panels[1], row, style)
        _draw_legend(figure, panels[0])
        png = _png(figure)
    _write(path, png)


def _draw_frame(axes: Axes, name: str) -> None:
    """The diagonal on which all is as stated, with its band."""
    ends = np.array([0.0, 1.0])
    axes.fill_between(ends, ends - BAND, ends + BAND, color="#e8ecef", linewidth=0)
    axes.plot(ends, ends, color="#5b5b5b", linewidth=0.8, linestyle="--")
    axes.set_title(name, fontsize=9.5, loc="left")
    axes.set_xlabel("stated probability")
    axes.set_ylabel("share that was right")
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)


def _draw_motif(axes: Axes, row: Mapping[str, Any], style: Mapping[str, Any]) -> None:
    """A marker for each bin, its area by the number of cases, with the standard error of a share."""
    bins = row["motif_bins"]
    said, right, n = (np.array([one[key] for one in bins]) for key in ("said", "right", "n"))
    error = "" if row["motif_error"] is None else f", ECE {row['motif_error']:.3f}"
    label = f"floor {row['floor']:g}: {row['n_cases']} PDFs{error}"
    if len(bins):
        axes.errorbar(said, right, np.sqrt(np.maximum(right * (1 - right), 0.25 / n) / n), fmt="none",
                      ecolor=style["color"], linewidth=0.8)  # fmt: skip
    axes.scatter(said, right, 12 + 90 * n / max(1, row["n_cases"]), label=label, clip_on=False, **style)


def _draw_ranges(axes: Axes, row: Mapping[str, Any], style: Mapping[str, Any]) -> None:
    """A curve over the stated levels, with the standard error of a share."""
    covered = sorted((float(level), share) for level, share in row["n_atoms_covered"].items())
    levels, shares = np.array(covered).reshape(-1, 2).T
    error = np.sqrt(shares * (1 - shares) / max(1, row["n_cases"]))
    axes.errorbar(levels, shares, error, linewidth=1.2, markersize=4.5, clip_on=False, **style)


def _draw_legend(figure: Figure, axes: Axes) -> None:
    curves = axes.get_legend_handles_labels()
    figure.legend(*curves, loc="upper right", bbox_to_anchor=(0.97, 0.985), ncols=min(4, len(curves[0])), fontsize=8)
